//! Where a connection's batches come from: made one by one, or taken in turn from a ring made before the run.
//!
//! Records with tags differ, so they are made one by one. Without tags the same records serve for many batches: only the
//! 61 bytes before them change, and the generator costs little more than the kernel's copy to the socket.
use std::sync::Arc;

use crate::batch::{Body, BodyMaker, CodecError, Tags};

/// Bytes of a ring at most, and batches at least and at most: enough variety for a codec, small enough for the cache.
const RING_BYTES_MAX: usize = 8 << 20;
const RING_BATCHES: std::ops::RangeInclusive<usize> = 4..=64;
/// Buffers kept for the next batch.
const SPARE_MAX: usize = 8;

/// Batches of one connection.
#[derive(Debug)]
pub struct Source {
    maker: BodyMaker,
    ring: Option<Arc<[Body]>>,
    cursor: usize,
    spare: Vec<Vec<u8>>,
}

impl Source {
    /// Each batch is made when it is due.
    pub fn fresh(maker: BodyMaker) -> Self {
        Self { maker, ring: None, cursor: 0, spare: Vec::new() }
    }

    /// Batches come from `ring` in turn, beginning with number `start`; `maker` makes the short one at the end.
    ///
    /// # Panics
    /// If the ring is empty.
    pub fn from_ring(maker: BodyMaker, ring: Arc<[Body]>, start: usize) -> Self {
        assert!(!ring.is_empty());
        Self { maker, ring: Some(ring), cursor: start, spare: Vec::new() }
    }

    /// Makes a ring.
    ///
    /// # Errors
    /// If the codec fails.
    pub fn ring(
        maker: &mut BodyMaker,
        records_max: u32,
        batch_bytes: usize,
    ) -> Result<Arc<[Body]>, CodecError> {
        let count = (RING_BYTES_MAX / batch_bytes.max(1)).clamp(*RING_BATCHES.start(), *RING_BATCHES.end());
        (0..count).map(|_| maker.make(records_max, None, Vec::new(), true)).collect()
    }

    /// About how many records a batch holds.
    pub fn records_mean(&self) -> u32 {
        self.ring.as_ref().map_or_else(|| self.maker.records_mean(), |ring| ring[0].record_count())
    }

    /// The next batch, of at most `records_max` records; `tags` for its records, if they carry any.
    ///
    /// # Errors
    /// If the codec fails.
    pub fn next(&mut self, records_max: u32, tags: Option<Tags>) -> Result<Body, CodecError> {
        if let Some(ring) = &self.ring {
            let body = &ring[self.cursor % ring.len()];
            self.cursor += 1;
            if body.record_count() <= records_max {
                return Ok(body.clone());
            }
        }
        let memory = self.spare.pop().unwrap_or_default();
        self.maker.make(records_max, tags, memory, false)
    }

    /// Takes the memory of a settled batch back, if nobody else holds it.
    pub fn give_back(&mut self, body: Body) {
        if self.ring.is_none()
            && self.spare.len() < SPARE_MAX
            && let Some(bytes) = body.into_bytes()
        {
            self.spare.push(bytes);
        }
    }
}

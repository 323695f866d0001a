//! The only way to a [`CheckedBatch`].

use bytes::Bytes;

use super::{BatchError, BatchHeader, Codec, TimestampType};
use crate::units::{ProducerId, Timestamp};

/// Who appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A Produce request.
    Client,
    /// A coordinator of ours: may write control batches and transactional ones.
    Coordinator,
}

/// A topic's `compression.type` with its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetCompression {
    /// As the producer sent it.
    Producer,
    /// This codec (`uncompressed` is `Codec::None`), at this level where one is set.
    Codec(Codec, Option<i32>),
}

/// What the topic, the request and the clock say about a batch.
#[derive(Clone, Copy, Debug)]
pub struct CheckRules {
    /// `max.message.bytes`: of the whole batch, header included.
    pub batch_bytes_max: usize,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `cleanup.policy` has `compact`: records need keys.
    pub compacted: bool,
    /// `compression.type`.
    pub compression: TargetCompression,
    /// How far a compressed batch may unfold.
    pub unpacked_bytes_max: usize,
    /// Produce 7 or later.
    pub zstd_allowed: bool,
    /// Who appends.
    pub origin: Origin,
    /// The clock.
    pub now: Timestamp,
}

/// One batch that [`check`] let through: the proof that it ran.
#[derive(Clone, Debug)]
pub struct CheckedBatch {
    bytes: Bytes,
    header: BatchHeader,
}

impl CheckedBatch {
    /// The bytes to store: the producer's own, or remade where Kafka's rules change something inside the checksum.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The header of `bytes`.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Records in it; at least one.
    pub fn record_count(&self) -> u32 {
        self.header.record_count as u32
    }

    /// Size of the whole batch, header included.
    pub fn batch_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The largest timestamp of its records, or the append time.
    pub fn max_timestamp(&self) -> Timestamp {
        Timestamp(self.header.max_timestamp)
    }

    /// Place in the batch of the first record that carries `max_timestamp`.
    pub fn max_timestamp_delta(&self) -> u32 {
        unimplemented!()
    }

    /// The producer's identity, if it has one.
    pub fn producer_id(&self) -> Option<ProducerId> {
        (self.header.producer_id >= 0).then_some(ProducerId(self.header.producer_id))
    }

    /// -1 without producer id.
    pub fn producer_epoch(&self) -> i16 {
        self.header.producer_epoch
    }

    /// -1 without producer id.
    pub fn base_sequence(&self) -> i32 {
        self.header.base_sequence
    }
}

/// Checks the `records` field of one partition of a Produce request: exactly one batch.
///
/// # Errors
/// As [`BatchError`] says.
pub fn check(records: &Bytes, rules: &CheckRules) -> Result<CheckedBatch, BatchError> {
    unimplemented!()
}

//! Write values behind each other: into one buffer, or around slices that are handed on as they are.
//!
//! ```text
//! put put slices put      ->   [ owned | slice | slice | owned ]
//! ```
//! The owned pieces share one allocation; a slice is never copied.

use bytes::{BufMut, Bytes, BytesMut};

/// How many bytes a value takes, before it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// All of them.
    pub bytes: usize,
    /// Those of them that are slices of someone else's memory.
    pub slice_bytes: usize,
}

impl Size {
    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    pub(super) fn add_slices(&mut self, slices: &[Bytes]) {
        let bytes: usize = slices.iter().map(Bytes::len).sum();
        self.bytes += bytes;
        self.slice_bytes += bytes;
    }
}

/// Bytes being written.
#[derive(Debug, Default)]
pub struct Writer {
    owned: BytesMut,
    parts: Vec<Bytes>,
}

impl Writer {
    /// Nothing written yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing written yet, with room for `owned_bytes` (what is copied in; slices need none).
    pub fn with_capacity(owned_bytes: usize) -> Self {
        Self { owned: BytesMut::with_capacity(owned_bytes), parts: Vec::new() }
    }

    /// All that was written, in order; empty pieces are left out.
    pub fn into_parts(mut self) -> Vec<Bytes> {
        self.seal();
        self.parts
    }

    /// All that was written, in one piece; copies only if slices were handed in.
    pub fn into_bytes(self) -> Bytes {
        let mut parts = self.into_parts();
        if parts.len() > 1 {
            return parts.concat().into();
        }
        parts.pop().unwrap_or_default()
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.owned.put_slice(bytes);
    }

    pub(super) fn varint(&mut self, value: u32) {
        let mut rest = value;
        while rest >= 0x80 {
            self.owned.put_u8(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.owned.put_u8(rest as u8);
    }

    pub(super) fn slices(&mut self, slices: &[Bytes]) {
        self.seal();
        self.parts.extend(slices.iter().filter(|slice| !slice.is_empty()).cloned());
    }

    fn seal(&mut self) {
        if !self.owned.is_empty() {
            self.parts.push(self.owned.split().freeze());
        }
    }
}

/// Bytes of an unsigned number as [`Writer`] writes it.
pub(super) fn varint_bytes(value: u32) -> usize {
    let bits = 32 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

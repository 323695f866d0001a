//! A stretch of a tail's memory: a chunk that is being filled, or bytes packed to their own length.
//!
//! ```text
//! growing  [ filled ......... | room ]      capacity is taken from the start
//! packed   [ bytes ]- - - - - - - - -       only what is there; it spans whole blocks all the same
//! ```
//! Thousands of partitions that nobody writes to hold a part of a block each: those are packed.

use crate::io::{BLOCK_BYTES, Chunk};
use bytes::Bytes;
use std::ops::Range;

/// See the file's header.
pub(super) enum Piece {
    /// More may be appended.
    Growing(Chunk),
    /// Came from a journal, or is what was left when a tail shrank.
    Packed(Bytes),
}

impl Piece {
    /// An empty one with room for `capacity` bytes.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self::Growing(Chunk::with_capacity(capacity))
    }

    /// A copy of `bytes` that takes no more room than they do.
    pub(super) fn packed(bytes: &[u8]) -> Self {
        Self::Packed(Bytes::copy_from_slice(bytes))
    }

    /// Bytes of the segment for which it stands: whole blocks, filled or not.
    pub(super) fn span(&self) -> usize {
        match self {
            Self::Growing(chunk) => chunk.capacity(),
            Self::Packed(bytes) => bytes.len().next_multiple_of(BLOCK_BYTES),
        }
    }

    /// Bytes of memory that it holds.
    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Growing(chunk) => chunk.capacity(),
            Self::Packed(bytes) => bytes.len(),
        }
    }

    pub(super) fn is_packed(&self) -> bool {
        matches!(self, Self::Packed(_))
    }

    /// Copies in as much of `bytes` as it has room for. Returns how much that was, and the memory that was taken for it.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> (usize, usize) {
        let mut taken = 0;
        if let Self::Packed(packed) = self {
            if packed.len().is_multiple_of(BLOCK_BYTES) {
                return (0, 0);
            }
            // Less than a block of it is copied: what is longer was packed apart from its last block.
            let mut chunk = Chunk::with_capacity(packed.len().next_multiple_of(BLOCK_BYTES));
            chunk.fill(packed);
            taken = chunk.capacity() - packed.len();
            *self = Self::Growing(chunk);
        }
        match self {
            Self::Growing(chunk) => (chunk.fill(bytes), taken),
            Self::Packed(_) => (0, taken),
        }
    }

    /// Bytes that are there.
    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        match self {
            Self::Growing(chunk) => chunk.bytes(range),
            Self::Packed(bytes) => &bytes[range],
        }
    }

    /// The same as a shared slice: no copy.
    pub(super) fn share(&self, range: Range<usize>) -> Bytes {
        match self {
            Self::Growing(chunk) => chunk.share(range),
            Self::Packed(bytes) => bytes.slice(range),
        }
    }
}

//! Writes what only the broker knows into its stored copy of a batch: base offset and leader epoch.
//!
//! Both lie before the checksum's range, so nothing else changes and nothing is read. What lies inside that range
//! (`LogAppendTime`, a corrected maximum timestamp) was settled by [`check`](super::check) already.

use super::header::{HEADER_BYTES, at};
use crate::units::{LeaderEpoch, Offset};

/// Writes base offset and leader epoch into a stored copy of one batch.
///
/// # Panics
/// If `stored` is shorter than a header: the caller copied a whole [`CheckedBatch`](super::CheckedBatch) there.
pub fn stamp(stored: &mut [u8], base_offset: Offset, epoch: LeaderEpoch) {
    let bytes = stored.len();
    let Some(header) = stored.first_chunk_mut::<HEADER_BYTES>() else {
        panic!("{bytes} B cannot be a stored batch")
    };
    let (offset, rest) = header.split_at_mut(at::LENGTH);
    offset.copy_from_slice(&base_offset.as_i64().to_be_bytes());
    let (_, rest) = rest.split_at_mut(at::LEADER_EPOCH - at::LENGTH);
    let (leader_epoch, _) = rest.split_at_mut(at::MAGIC - at::LEADER_EPOCH);
    leader_epoch.copy_from_slice(&epoch.0.to_be_bytes());
}

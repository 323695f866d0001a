//! The header to store: what only the broker knows, and what the check corrected.
//!
//! Base offset and leader epoch lie before the checksum's range: writing them costs nothing. `LogAppendTime` and a
//! corrected maximum timestamp lie inside it; the check computed the checksum anew for them, over the producer's own
//! records, which nobody copies. So a stored batch is always this header and the records as they came.

use super::check::CheckedBatch;
use super::header::{BatchHeader, HEADER_BYTES};
use crate::units::{LeaderEpoch, Offset};

impl CheckedBatch {
    /// The header's bytes with base offset and leader epoch: they replace the first 61 of `bytes()`.
    pub fn stamped_header(&self, base: Offset, leader_epoch: LeaderEpoch) -> [u8; HEADER_BYTES] {
        BatchHeader { base_offset: base.as_i64(), partition_leader_epoch: leader_epoch.0, ..*self.header() }
            .encode()
    }
}

//! How far a log reaches, for whom.
//!
//! ```text
//! log_start <= last_stable <= high_watermark <= log_end,   durable_end <= log_end
//! ```
//! On a single broker the high watermark is the durable end: what a consumer saw, no crash takes back. In the weaker
//! durability modes it is the log's end (`early`).

use crate::units::{LeaderEpoch, Offset};

/// The bounds of one log, all of them offsets one past the thing they bound. A view of the owning shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogBounds {
    /// The first offset a consumer may read.
    pub log_start: Offset,
    /// Records below it belong to no open transaction.
    pub last_stable: Offset,
    /// Records below it may be read.
    pub high_watermark: Offset,
    /// Records below it are on the device and synced.
    pub durable_end: Offset,
    /// The offset the next record gets.
    pub log_end: Offset,
    /// The epoch new batches are stamped with.
    pub leader_epoch: LeaderEpoch,
}

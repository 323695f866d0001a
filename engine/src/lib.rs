//! Partitions kept as logs on one shard's disk.
//!
//! ```text
//! batch    What is in the bytes a producer sent?
//! segment  How do batches lie in one file?
//! journal  How does a whole shard become durable at once?
//! log      What does one partition remember?
//! io       How do bytes reach the device?
//! shard    What runs on one core?
//! ```
//! Knows record batches. Knows no request, no socket, no group.

pub mod batch;
pub mod io;
mod journal;
pub mod log;
mod segment;
pub mod shard;
pub mod units;

/// Gives every commit of a journal file's bytes the checksums of what it holds now: for a fuzz target.
#[cfg(feature = "sim")]
pub fn reseal_journal(bytes: &mut [u8]) {
    journal::reseal(bytes);
}

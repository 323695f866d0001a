//! Partitions kept as logs on one shard's disk.
//!
//! ```text
//! batch    What is in the bytes a producer sent?
//! segment  How do batches lie in one file?
//! journal  How does a whole shard become durable at once?
//! log      What does one partition remember?
//! io       How do bytes reach the device?
//! shard    What runs on one core?
//! hostile  What becomes of bytes on the disk that nobody of ours wrote? (tests and fuzz targets)
//! ```
//! Knows record batches. Knows no request, no socket, no group.

pub mod batch;
#[cfg(any(test, feature = "sim"))]
pub mod hostile;
pub mod io;
mod journal;
pub mod log;
mod segment;
pub mod shard;
pub mod units;

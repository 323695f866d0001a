//! What is in the bytes a producer sent?
//!
//! Record batches of format v2, looked into as far as Kafka's own validation does, with a bound on what unfolds.
//! Pure code; bytes never panic here.

#![deny(clippy::indexing_slicing, clippy::expect_used)]

mod build;
mod check;
mod codec;
mod error;
mod header;
mod records;
mod remake;
mod varint;

pub use build::{BatchBuilder, ProducerFields};
pub use check::{CheckRules, CheckedBatch, Origin, TargetCompression, check};
pub use codec::Codec;
pub use error::{BatchError, RecordError};
pub use header::{BatchHeader, HEADER_BYTES, TimestampType, crc_matches};
pub use records::{Record, find_max_timestamp, find_timestamp, for_each_record};

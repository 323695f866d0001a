//! What is in the bytes a producer sent?
//!
//! Record batches, format v2, as they travel on the wire and as they lie in segments: the same bytes.
//! Pure code: no file, no clock, no log.
//! ```text
//! header   the 61 bytes before the records, read in place; a walk from header to header
//! check    everything a broker must know before it stores a batch: the only way to a CheckedBatch
//! stamp    the header to store: base offset, leader epoch, and what the check corrected
//! framing  the skeleton of one record, read from a slice or from a stream; skips keys and values
//! records  single records with keys and values: lookups by time, coordinators' logs, compaction
//! build    a batch made of records: coordinators' own records, tests
//! codec    names and numbers of compression
//! unpack   compressed records -> plain bytes, streaming, behind a bound (lz4, snappy: their block formats)
//! pack     plain bytes -> compressed records, as Kafka's own producer frames them
//! varint   zig-zag numbers
//! ```
//! Bytes from sockets and disk never panic here, and never make us hold more than a bound says.
#![deny(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used)]

mod build;
mod check;
mod codec;
mod error;
mod framing;
#[cfg(test)]
mod hand;
mod header;
mod lz4;
mod pack;
mod records;
mod snappy;
mod stamp;
mod unpack;
mod varint;

pub use build::{BatchBuilder, ProducerFields};
pub use check::{CheckRules, CheckedBatch, Origin, TargetCompression, check, is_packed, is_remade};
pub use codec::Codec;
pub use error::{BatchError, RecordError};
pub(crate) use header::BatchCrc;
pub use header::{BatchHeader, BatchWalk, HEADER_BYTES, TimestampType, crc_matches, walk};
pub use records::{Record, RecordHeaders, find_max_timestamp, find_timestamp, for_each_record};
pub use unpack::UNPACKED_BYTES_MAX;

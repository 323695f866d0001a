//! What is in the bytes a producer sent?
//!
//! Record batches, format v2, as they travel on the wire and as they lie in segments: the same bytes.
//! Pure code: no file, no clock, no log.
//! ```text
//! header   the 61 bytes before the records, read in place; a walk from header to header
//! check    everything a broker must know before it stores a batch: the only way to a CheckedBatch
//! stamp    base offset and leader epoch, written into the stored copy
//! records  single records, also those inside a compressed batch (behind a bound)
//! build    a batch made of records: coordinators' own records, recompression, tests
//! unpack   compressed bytes -> plain bytes, streaming; pack: the other way
//! varint   zig-zag numbers
//! ```
//! Bytes from sockets and disk never panic here, and never allocate more than a bound says.
#![deny(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used)]

mod build;
mod check;
mod error;
mod header;
mod records;
mod stamp;

pub use build::{BatchBuilder, ProducerFields};
pub use check::{CheckRules, CheckedBatch, Origin, TargetCompression, check};
pub use error::{BatchError, RecordError};
pub use header::{BatchHeader, BatchWalk, Codec, HEADER_BYTES, TimestampType, crc_matches, walk};
pub use records::{Record, RecordHeaders, find_max_timestamp, find_timestamp, for_each_record};
pub use stamp::stamp;

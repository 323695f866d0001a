//! How do records lie in a batch, and is a batch that came back whole?
//!
//! The generator's own encoding of the record batch, format v2, so that a fault of the broker's cannot hide on both sides.
//! ```text
//!  0       8      12     16  17   21    23     27      35      43       51    53       57     61
//!  | base  | batch| leader|ma-| CRC | at- | last | base | max  | producer|epoch| base  | re-  | records, perhaps
//!  | offset| bytes| epoch |gic|     | tri-| delta| time | time | id      |     | seq.  | cords| compressed
//!                                   |<------------------- CRC-32C counts these ------------------------->|
//! ```
mod body;
mod codec;
mod header;
mod read;
mod tag;
mod varint;

pub use body::{Body, BodyMaker, BodyShape};
pub use codec::{Codec, CodecError};
pub use header::{Header, Stamp};
pub use read::{BatchFault, Batches, Record, RecordBatch, records};
pub use tag::{TAG_BYTES, TAG_KEY, Tag, Tags};

/// Bytes of a batch before its records.
pub const HEADER_BYTES: usize = 61;
/// Where the CRC's range begins.
pub(crate) const CRC_START: usize = 21;
/// Bytes before the part that the header's length field counts.
pub(crate) const LENGTH_END: usize = 12;

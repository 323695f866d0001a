//! The skeleton of one record: its lengths, deltas, and whether it has a key; keys, values and headers are skipped.
//!
//! ```text
//! length varint | attributes 1 | timestamp delta varlong | offset delta varint | key | value | headers
//! key, value:  length varint (negative: null) + bytes          headers:  count varint, then a key and a value each
//! ```
//! The same code reads a slice (uncompressed batches: in place) and a stream (compressed ones: a chunk at a time), so
//! that checking a batch which unfolds to gigabytes holds one chunk. Lengths are held against what is left of the
//! record, never trusted. Kafka 4.3.1 does not look whether a record's length is true inside a compressed batch and
//! stores what its own consumers then cannot read; here it is refused in every codec.

use std::ops::ControlFlow;

use super::codec::Codec;
use super::error::BatchError;
use super::header::BatchHeader;
use super::unpack::Unpacked;
use super::varint::{read_int, read_long};

/// Why bytes are not a record. Small, because every byte read may answer with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The bytes end inside the record.
    Ended,
    /// A number has more bytes than its type.
    VarintTooLong,
    /// The record's length is not the sum of its fields.
    Length,
    /// A header count below zero.
    HeaderCount,
    /// A header without a key.
    HeaderKey,
    /// The stream of compressed bytes failed, or passed its bound.
    Source(Box<BatchError>),
}

impl Flaw {
    /// The flaw of record `index` as an answer to the producer.
    pub(super) fn of_record(self, index: u32) -> BatchError {
        let reason = match self {
            Self::Source(error) => return *error,
            Self::Ended => "the batch or the record ends inside it",
            Self::VarintTooLong => "a number in it is too long",
            Self::Length => "its length is not that of its fields",
            Self::HeaderCount => "it has an invalid number of headers",
            Self::HeaderKey => "it has a header without a key",
        };
        BatchError::invalid(format!("invalid record {index} in the batch: {reason}"))
    }
}

/// Bytes to be read in order.
pub(super) trait ByteSource {
    /// Takes one byte.
    fn byte(&mut self) -> Result<u8, Flaw>;
    /// Passes over bytes.
    fn skip(&mut self, bytes: usize) -> Result<(), Flaw>;
    /// Whether nothing is left. May unpack further to find out.
    fn is_at_end(&mut self) -> Result<bool, Flaw>;
}

/// Bytes that records lie in: a slice, or what a codec unpacks.
pub(super) trait RecordSource: ByteSource {
    /// One record's bytes.
    type Part<'a>: ByteSource
    where
        Self: 'a;
    /// The next so many bytes as a source of their own, to be read to its end before this one is read on.
    fn part(&mut self, bytes: usize) -> Result<Self::Part<'_>, Flaw>;
}

impl ByteSource for &[u8] {
    #[inline]
    fn byte(&mut self) -> Result<u8, Flaw> {
        let (byte, rest) = self.split_first().ok_or(Flaw::Ended)?;
        *self = rest;
        Ok(*byte)
    }

    #[inline]
    fn skip(&mut self, bytes: usize) -> Result<(), Flaw> {
        *self = self.get(bytes..).ok_or(Flaw::Ended)?;
        Ok(())
    }

    #[inline]
    fn is_at_end(&mut self) -> Result<bool, Flaw> {
        Ok(self.is_empty())
    }
}

impl RecordSource for &[u8] {
    type Part<'a>
        = Self
    where
        Self: 'a;

    #[inline]
    fn part(&mut self, bytes: usize) -> Result<Self, Flaw> {
        let (part, rest) = self.split_at_checked(bytes).ok_or(Flaw::Ended)?;
        *self = rest;
        Ok(part)
    }
}

/// What is known of a record without its key, value and headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Framing {
    /// Milliseconds after the batch's base timestamp.
    pub(super) timestamp_delta: i64,
    /// Offsets after the batch's base offset.
    pub(super) offset_delta: i32,
    /// `false` for a null key; an empty one is a key.
    pub(super) has_key: bool,
}

/// Calls `visit` with place and skeleton of each record of a batch, in order, until it breaks. `packed` is the batch
/// behind its header. If no visit breaks, the records are exactly as many as the header counts and nothing follows.
///
/// # Errors
/// `Invalid` for what is not records; `Bomb` for what unfolds past `unpacked_bytes_max`.
pub(super) fn for_each_framing(
    header: &BatchHeader,
    packed: &[u8],
    unpacked_bytes_max: usize,
    visit: impl FnMut(u32, Framing) -> ControlFlow<()>,
) -> Result<(), BatchError> {
    let count = record_count(header)?;
    match header.codec()? {
        Codec::None => walk_framing(packed, count, visit),
        codec => walk_framing(Unpacked::new(codec, packed, unpacked_bytes_max)?, count, visit),
    }
}

/// The header's count of records.
pub(super) fn record_count(header: &BatchHeader) -> Result<u32, BatchError> {
    let count = header.record_count;
    u32::try_from(count).map_err(|_| BatchError::invalid(format!("found invalid record count {count}")))
}

/// The answer to bytes behind the last record.
pub(super) fn more_records() -> BatchError {
    BatchError::invalid(
        "incorrect declared batch size, records still remaining behind those that the header counts",
    )
}

fn walk_framing<S: RecordSource>(
    mut source: S,
    count: u32,
    mut visit: impl FnMut(u32, Framing) -> ControlFlow<()>,
) -> Result<(), BatchError> {
    for index in 0..count {
        let framing = read_framing(&mut source).map_err(|flaw| flaw.of_record(index))?;
        if visit(index, framing).is_break() {
            return Ok(());
        }
    }
    if source.is_at_end().map_err(|flaw| flaw.of_record(count))? { Ok(()) } else { Err(more_records()) }
}

/// Reads one record's skeleton and passes over the rest of it.
#[inline]
pub(super) fn read_framing<S: RecordSource>(source: &mut S) -> Result<Framing, Flaw> {
    let length = usize::try_from(read_int(source)?).map_err(|_| Flaw::Length)?;
    let mut record = source.part(length)?;
    record.byte()?; // attributes: no bit means anything yet
    let timestamp_delta = read_long(&mut record)?;
    let offset_delta = read_int(&mut record)?;
    let has_key = skip_field(&mut record)?;
    skip_field(&mut record)?;
    let header_count = usize::try_from(read_int(&mut record)?).map_err(|_| Flaw::HeaderCount)?;
    for _ in 0..header_count {
        if !skip_field(&mut record)? {
            return Err(Flaw::HeaderKey);
        }
        skip_field(&mut record)?;
    }
    if record.is_at_end()? {
        Ok(Framing { timestamp_delta, offset_delta, has_key })
    } else {
        Err(Flaw::Length)
    }
}

/// Passes over a field with its length before it; says whether it is there (a negative length: null).
#[inline]
fn skip_field(record: &mut impl ByteSource) -> Result<bool, Flaw> {
    let Ok(length) = usize::try_from(read_int(record)?) else { return Ok(false) };
    record.skip(length)?;
    Ok(true)
}

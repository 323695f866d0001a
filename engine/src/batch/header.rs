//! The 61 bytes before a batch's records, read in place; and the walk from one header to the next.
//!
//! ```text
//!  0        8        12       16  17       21   23       27       35       43       51   53       57       61
//!  +--------+--------+--------+---+--------+----+--------+--------+--------+--------+----+--------+--------+---
//!  | base   | length | leader | m | crc    | at | last   | base   | max    | produ- | ep | base   | record | records
//!  | offset | after  | epoch  | a | of all | tr | offset | time-  | time-  | cer id | oc | sequ-  | count  |
//!  |        | here   |        | g | behind | .  | delta  | stamp  | stamp  |        | h  | ence   |        |
//!  +--------+--------+--------+---+--------+----+--------+--------+--------+--------+----+--------+--------+---
//!                                          | the checksum (CRC-32C) covers everything from here to the end
//! ```
//! All numbers are big-endian. `base offset` and `leader epoch` lie before the checksum's range, which is what lets a
//! broker write them into bytes that a producer made.

use super::codec::Codec;
use super::error::BatchError;
use crate::units::{Offset, Timestamp};

/// Bytes of a batch before its records.
pub const HEADER_BYTES: usize = 61;
/// Bytes of a batch up to and including the length field, which does not count them.
pub(super) const PREFIX_BYTES: usize = 12;
/// The only format that is stored.
pub(super) const MAGIC: i8 = 2;
/// Where the checksum's range begins.
pub(super) const CRC_START: usize = 21;

/// Kafka reads a length below this as corruption, whatever the format (header of the oldest one).
const LENGTH_MIN: i32 = 14;

/// What the bits of the attributes above the codec's three mean; the rest mean nothing.
pub(super) mod bit {
    pub(in crate::batch) const LOG_APPEND_TIME: i16 = 0x08;
    pub(in crate::batch) const TRANSACTIONAL: i16 = 0x10;
    pub(in crate::batch) const CONTROL: i16 = 0x20;
    pub(in crate::batch) const DELETE_HORIZON: i16 = 0x40;
}

/// Whose clock the timestamps of a batch are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer's, one per record.
    Create,
    /// The broker's: one for the batch, in the field of the maximum.
    LogAppend,
}

/// The fields of one batch header, as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record; 0 from a producer.
    pub base_offset: i64,
    /// Bytes after this field: 12 less than the whole batch.
    pub batch_length: i32,
    /// Epoch of the leader that stored it; -1 from a producer.
    pub partition_leader_epoch: i32,
    /// Format: always 2 here.
    pub magic: i8,
    /// CRC-32C of everything from `attributes` to the end.
    pub crc: u32,
    /// Codec, timestamp type, transactional, control, delete horizon.
    pub attributes: i16,
    /// Offset of the last record, counted from the base; it stays when compaction removes records.
    pub last_offset_delta: i32,
    /// What the records' timestamps are counted from (or the delete horizon, see `delete_horizon`).
    pub base_timestamp: i64,
    /// Largest timestamp of the records, or the broker's time under `LogAppendTime`.
    pub max_timestamp: i64,
    /// -1 if the producer is not idempotent.
    pub producer_id: i64,
    /// -1 if the producer is not idempotent.
    pub producer_epoch: i16,
    /// Number of the first record in the producer's own count; -1 if it does not count.
    pub base_sequence: i32,
    /// Records that follow.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`; the records need not be there.
    ///
    /// Checks the length field and the magic, in Kafka's order. Does not look at the checksum: see [`crc_matches`].
    ///
    /// # Errors
    /// `Truncated` below 61 bytes; `Corrupt` for a length or a magic that cannot be; `Invalid` for magic 0 and 1.
    pub fn read(bytes: &[u8]) -> Result<Self, BatchError> {
        let mut fields = Fields { bytes };
        let short = || BatchError::Truncated { bytes: bytes.len() };
        let base_offset = fields.take().map(i64::from_be_bytes).ok_or_else(short)?;
        let batch_length = fields.take().map(i32::from_be_bytes).ok_or_else(short)?;
        if batch_length < LENGTH_MIN {
            return Err(implausible(batch_length));
        }
        let partition_leader_epoch = fields.take().map(i32::from_be_bytes).ok_or_else(short)?;
        let magic = fields.take().map(i8::from_be_bytes).ok_or_else(short)?;
        match magic {
            MAGIC => {}
            0 | 1 => {
                let reason = format!("only record batches with magic version 2 are accepted, not {magic}");
                return Err(BatchError::invalid(reason));
            }
            _ => {
                return Err(BatchError::Corrupt {
                    reason: format!("Invalid magic found in record: {magic}"),
                });
            }
        }
        if (batch_length as usize) < HEADER_BYTES - PREFIX_BYTES {
            return Err(implausible(batch_length));
        }
        Ok(Self {
            base_offset,
            batch_length,
            partition_leader_epoch,
            magic,
            crc: fields.take().map(u32::from_be_bytes).ok_or_else(short)?,
            attributes: fields.take().map(i16::from_be_bytes).ok_or_else(short)?,
            last_offset_delta: fields.take().map(i32::from_be_bytes).ok_or_else(short)?,
            base_timestamp: fields.take().map(i64::from_be_bytes).ok_or_else(short)?,
            max_timestamp: fields.take().map(i64::from_be_bytes).ok_or_else(short)?,
            producer_id: fields.take().map(i64::from_be_bytes).ok_or_else(short)?,
            producer_epoch: fields.take().map(i16::from_be_bytes).ok_or_else(short)?,
            base_sequence: fields.take().map(i32::from_be_bytes).ok_or_else(short)?,
            record_count: fields.take().map(i32::from_be_bytes).ok_or_else(short)?,
        })
    }

    /// The header as bytes, with the checksum as it stands in the field.
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let mut rest = out.as_mut_slice();
        let mut put = |field: &[u8]| {
            if let Some((front, behind)) = std::mem::take(&mut rest).split_at_mut_checked(field.len()) {
                front.copy_from_slice(field);
                rest = behind;
            }
        };
        put(&self.base_offset.to_be_bytes());
        put(&self.batch_length.to_be_bytes());
        put(&self.partition_leader_epoch.to_be_bytes());
        put(&self.magic.to_be_bytes());
        put(&self.crc.to_be_bytes());
        put(&self.attributes.to_be_bytes());
        put(&self.last_offset_delta.to_be_bytes());
        put(&self.base_timestamp.to_be_bytes());
        put(&self.max_timestamp.to_be_bytes());
        put(&self.producer_id.to_be_bytes());
        put(&self.producer_epoch.to_be_bytes());
        put(&self.base_sequence.to_be_bytes());
        put(&self.record_count.to_be_bytes());
        out
    }

    /// Size of the whole batch in bytes, header included.
    pub fn batch_bytes(&self) -> usize {
        PREFIX_BYTES + self.batch_length as usize
    }

    /// How the records are compressed.
    ///
    /// # Errors
    /// `UnknownCodec` for the numbers 5 to 7.
    pub fn codec(&self) -> Result<Codec, BatchError> {
        Codec::from_attributes(self.attributes)
    }

    /// Whose clock the timestamps are of.
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & bit::LOG_APPEND_TIME == 0 {
            TimestampType::Create
        } else {
            TimestampType::LogAppend
        }
    }

    /// Part of a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & bit::TRANSACTIONAL != 0
    }

    /// Holds a marker that no application sees.
    pub fn is_control(&self) -> bool {
        self.attributes & bit::CONTROL != 0
    }

    /// From when on compaction may drop the tombstones (KIP-534): it then stands in place of the base timestamp.
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        (self.attributes & bit::DELETE_HORIZON != 0).then_some(Timestamp(self.base_timestamp))
    }

    /// The offset behind the batch: base + last delta + 1.
    ///
    /// # Panics
    /// On a negative one: a stored batch has none, and [`walk`] lets none through.
    pub fn offset_end(&self) -> Offset {
        Offset::new(self.base_offset.saturating_add(i64::from(self.last_offset_delta)).saturating_add(1))
    }
}

fn implausible(batch_length: i32) -> BatchError {
    BatchError::Corrupt { reason: format!("record batch with a length field of {batch_length}") }
}

/// Bytes still to be read as fields.
struct Fields<'a> {
    bytes: &'a [u8],
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(*field)
    }
}

/// Whether a whole batch's bytes are those its checksum was made of; `false` also if they are not one whole batch.
///
/// Reads every byte behind the checksum field. The base offset and the leader epoch are not covered.
pub fn crc_matches(batch: &[u8]) -> bool {
    BatchHeader::read(batch).is_ok_and(|header| {
        let mut crc = BatchCrc::default();
        crc.add(batch);
        crc.matches(&header)
    })
}

/// The checksum of a batch whose bytes come in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BatchCrc {
    bytes: usize,
    crc: u32,
}

impl BatchCrc {
    /// The next bytes, from the batch's first one on.
    pub(crate) fn add(&mut self, piece: &[u8]) {
        let skipped = CRC_START.saturating_sub(self.bytes);
        if let Some(covered) = piece.get(skipped..) {
            self.crc = crc32c::crc32c_append(self.crc, covered);
        }
        self.bytes += piece.len();
    }

    /// Whether all of the batch was added, and its bytes are those that the checksum in `header` was made of.
    pub(crate) fn matches(&self, header: &BatchHeader) -> bool {
        self.bytes == header.batch_bytes() && self.crc == header.crc
    }
}

/// Walks stored batches that lie end to end, from header to header; no checksum is computed.
///
/// Yields where each batch starts, counted in bytes from the start of `bytes`, and its header. The bytes of every
/// batch that comes out are whole, its offsets not negative. A batch that is cut off by the end of `bytes`, and
/// anything that is not a batch, comes out as one error, and then the walk has ended.
pub fn walk(bytes: &[u8]) -> BatchWalk<'_> {
    BatchWalk { bytes, at: 0 }
}

/// See [`walk`].
#[derive(Clone, Debug)]
pub struct BatchWalk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl BatchWalk<'_> {
    /// Where the next batch starts; after an error: where the bytes start that are not a batch.
    pub fn position(&self) -> usize {
        self.at
    }

    fn read_next(&self) -> Result<BatchHeader, BatchError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let header = BatchHeader::read(rest)?;
        if header.batch_bytes() > rest.len() {
            return Err(BatchError::Truncated { bytes: rest.len() });
        }
        let offset_end = header.base_offset.checked_add(i64::from(header.last_offset_delta) + 1);
        if header.base_offset < 0 || header.last_offset_delta < 0 || offset_end.is_none() {
            let (base, delta) = (header.base_offset, header.last_offset_delta);
            let reason = format!("stored batch with base offset {base} and last offset delta {delta}");
            return Err(BatchError::Corrupt { reason });
        }
        Ok(header)
    }
}

impl Iterator for BatchWalk<'_> {
    type Item = Result<(usize, BatchHeader), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let start = self.at;
        match self.read_next() {
            Ok(header) => {
                self.at += header.batch_bytes();
                Some(Ok((start, header)))
            }
            Err(error) => {
                self.bytes = self.bytes.get(..start).unwrap_or_default(); // the walk ends here
                Some(Err(error))
            }
        }
    }
}

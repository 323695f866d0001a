//! The 61 bytes in front of every batch, read in place.
//!
//! ```text
//!  0 base offset 8 | 8 length 4 | 12 leader epoch 4 | 16 magic 1 | 17 crc 4 | 21 attributes 2
//! 23 last offset delta 4 | 27 base timestamp 8 | 35 max timestamp 8
//! 43 producer id 8 | 51 producer epoch 2 | 53 base sequence 4 | 57 record count 4 | 61 records
//! ```
//! Big-endian. The checksum covers everything from the attributes on; offset and leader epoch lie before it.

use super::codec::Codec;
use super::error::BatchError;

/// Bytes before the records.
pub const HEADER_BYTES: usize = 61;
/// Bytes that the length field does not count.
pub(super) const LENGTH_PREFIX_BYTES: usize = 12;
/// Where the checksum's range begins.
pub(super) const CRC_START: usize = 21;

/// Whose clock a record's timestamp is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer's.
    Create,
    /// The broker's, set on append.
    LogAppend,
}

/// A batch's header, each field as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Bytes behind the length field.
    pub batch_length: i32,
    /// Leader epoch of the append.
    pub partition_leader_epoch: i32,
    /// 2.
    pub magic: i8,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec (bits 0-2), timestamp type (3), transactional (4), control (5), delete horizon (6).
    pub attributes: i16,
    /// Offset of the last record less that of the first.
    pub last_offset_delta: i32,
    /// Milliseconds; the records' deltas count from it.
    pub base_timestamp: i64,
    /// The greatest timestamp, or the append time.
    pub max_timestamp: i64,
    /// -1 without idempotence.
    pub producer_id: i64,
    /// -1 without idempotence.
    pub producer_epoch: i16,
    /// -1 without idempotence.
    pub base_sequence: i32,
    /// Records in the batch.
    pub record_count: i32,
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|field| field.try_into().ok()).unwrap_or([0; N])
}

impl BatchHeader {
    /// Reads a header; the batch itself may be longer than `bytes`. Does not look at the checksum.
    ///
    /// # Errors
    /// `Truncated` for fewer than 61 bytes or a length that cannot be; `Invalid` for another magic than 2.
    pub fn read(bytes: &[u8]) -> Result<Self, BatchError> {
        let magic = bytes.get(16).copied().ok_or(BatchError::Truncated { bytes: bytes.len() })? as i8;
        if magic != 2 {
            return Err(BatchError::invalid(format!("message format {magic} is not supported, only 2 is")));
        }
        if bytes.len() < HEADER_BYTES {
            return Err(BatchError::Truncated { bytes: bytes.len() });
        }
        let header = Self {
            base_offset: i64::from_be_bytes(field(bytes, 0)),
            batch_length: i32::from_be_bytes(field(bytes, 8)),
            partition_leader_epoch: i32::from_be_bytes(field(bytes, 12)),
            magic,
            crc: u32::from_be_bytes(field(bytes, 17)),
            attributes: i16::from_be_bytes(field(bytes, 21)),
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)),
            base_timestamp: i64::from_be_bytes(field(bytes, 27)),
            max_timestamp: i64::from_be_bytes(field(bytes, 35)),
            producer_id: i64::from_be_bytes(field(bytes, 43)),
            producer_epoch: i16::from_be_bytes(field(bytes, 51)),
            base_sequence: i32::from_be_bytes(field(bytes, 53)),
            record_count: i32::from_be_bytes(field(bytes, 57)),
        };
        if header.batch_length < (HEADER_BYTES - LENGTH_PREFIX_BYTES) as i32 {
            return Err(BatchError::Truncated { bytes: bytes.len() });
        }
        Ok(header)
    }

    /// The header's bytes.
    pub(super) fn write(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let mut rest = &mut out[..];
        let mut put = |bytes: &[u8]| {
            let (field, tail) = std::mem::take(&mut rest).split_at_mut(bytes.len());
            field.copy_from_slice(bytes);
            rest = tail;
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

    /// Bytes of the whole batch, header included.
    pub fn batch_bytes(&self) -> usize {
        self.batch_length.max(0) as usize + LENGTH_PREFIX_BYTES
    }

    /// How the records are compressed.
    ///
    /// # Errors
    /// `Invalid` for a number that names no codec.
    pub fn codec(&self) -> Result<Codec, BatchError> {
        Codec::from_attributes(self.attributes)
    }

    /// Whose clock the timestamps are.
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & 8 == 0 { TimestampType::Create } else { TimestampType::LogAppend }
    }

    /// Part of a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & 16 != 0
    }

    /// Markers, not records.
    pub fn is_control(&self) -> bool {
        self.attributes & 32 != 0
    }
}

/// Whether a whole batch's checksum is right.
pub fn crc_matches(batch: &[u8]) -> bool {
    let found = u32::from_be_bytes(field(batch, 17));
    batch.get(CRC_START..).is_some_and(|covered| crc32c::crc32c(covered) == found)
}

//! Why a batch was refused: who is at fault, and which Kafka error code says so.
//!
//! The server turns variants into codes (the number is in each variant's comment); nothing here knows the wire.

use super::Codec;

/// At most this many records of one batch are named in an error: a batch may hold millions of bad ones.
pub(super) const RECORD_ERRORS_MAX: usize = 100;

/// Why one record of a batch was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// Place of the record in its batch, from zero.
    pub index: u32,
    /// What is wrong with it, in a sentence for the producer's log.
    pub message: String,
}

/// Why a batch was refused. Nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than the batch says it has. Sent by a client: 87 `INVALID_RECORD`, as Kafka finds "no batch" then.
    #[error("{bytes} B, where a batch needs {needed_bytes} B")]
    Truncated {
        /// Bytes that are there.
        bytes: usize,
        /// Bytes that should be there.
        needed_bytes: usize,
    },
    /// The length field cannot be right: 2 `CORRUPT_MESSAGE`.
    #[error("batch length field is {batch_length}")]
    LengthImplausible {
        /// The field as it was read.
        batch_length: i32,
    },
    /// The bytes differ from those that the checksum was made of: 2 `CORRUPT_MESSAGE`.
    #[error("record batch is corrupt (stored crc = {stored}, computed crc = {computed})")]
    BadCrc {
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// No format has this number: 2 `CORRUPT_MESSAGE`.
    #[error("invalid magic {magic} in record batch")]
    UnknownMagic {
        /// The byte as it was read.
        magic: i8,
    },
    /// Formats 0 and 1 are not stored: 87 `INVALID_RECORD`.
    #[error("only record batches with magic version 2 are accepted, not {magic}")]
    UnsupportedMagic {
        /// 0 or 1.
        magic: i8,
    },
    /// Larger than `max.message.bytes`, as sent or after recompression: 10 `MESSAGE_TOO_LARGE`.
    #[error("the record batch is {batch_bytes} B, more than the configured {batch_bytes_max} B")]
    TooLarge {
        /// Size of the whole batch, header included.
        batch_bytes: usize,
        /// The limit.
        batch_bytes_max: usize,
    },
    /// zstd in a Produce request below version 7: 76 `UNSUPPORTED_COMPRESSION_TYPE`.
    #[error("compression type {codec:?} is not allowed in this version of the request")]
    UnsupportedCompression {
        /// The batch's codec.
        codec: Codec,
    },
    /// Codec bits 5 to 7: nothing has these numbers.
    #[error("unknown compression type id {id}")]
    UnknownCodec {
        /// The three bits.
        id: u8,
    },
    /// A client's batch claims to be part of a transaction: 53 `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`, as Kafka
    /// answers when the request names no transactional id.
    #[error("transactional batch from a producer without transactional id")]
    TransactionalNotAllowed,
    /// Against the rules of a batch or of its records: 87 `INVALID_RECORD`.
    #[error("{reason}")]
    InvalidRecord {
        /// What is wrong with the whole.
        reason: String,
        /// The records at fault, where single ones are; at most a hundred.
        record_errors: Vec<RecordError>,
    },
    /// Records with timestamps out of range, or a client that claims `LogAppendTime`: 32 `INVALID_TIMESTAMP`.
    #[error("one or more records have been rejected due to invalid timestamp")]
    InvalidTimestamp {
        /// The records at fault; at most a hundred.
        record_errors: Vec<RecordError>,
    },
    /// The compressed records do not unpack: 87 `INVALID_RECORD`.
    #[error("failed to decompress record stream: {reason}")]
    Undecompressable {
        /// What the codec said.
        reason: String,
    },
    /// The compressed records unfold to more than the broker is ready to look at: 10 `MESSAGE_TOO_LARGE`.
    #[error("compressed records unfold to more than {unpacked_bytes_max} B")]
    UnpacksTooLarge {
        /// The limit.
        unpacked_bytes_max: usize,
    },
}

impl BatchError {
    /// An `InvalidRecord` about the batch as a whole.
    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        Self::InvalidRecord { reason: reason.into(), record_errors: Vec::new() }
    }
}

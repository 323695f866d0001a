//! Why a batch is refused: who is at fault, and which Kafka error says so.
//!
//! The server turns variants into codes; the number is in each variant's comment.

/// At most this many records of one batch are named in an error: a batch may hold a million bad ones, and each would
/// cost a hundred bytes of answer. Kafka names all.
pub(super) const RECORD_ERRORS_MAX: usize = 100;

/// One record of a refused batch; Produce 8 and later tell the client (KIP-467).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// The record's place in its batch, from 0.
    pub index: i32,
    /// What is wrong with it.
    pub message: String,
}

/// Why a batch was refused. Nothing of it was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Stored bytes that end inside a batch. (2 `CORRUPT_MESSAGE`; a client's cut batch is `Invalid`, as in Kafka.)
    #[error("{bytes} B end inside a batch")]
    Truncated {
        /// Bytes that were there.
        bytes: usize,
    },
    /// A length or a format that cannot be. (2 `CORRUPT_MESSAGE`)
    #[error("{reason}")]
    Corrupt {
        /// What.
        reason: String,
    },
    /// The checksum is wrong. (2 `CORRUPT_MESSAGE`)
    #[error("record batch is corrupt (stored crc = {found}, computed crc = {computed})")]
    Checksum {
        /// As it stands in the batch.
        found: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// Longer than the topic allows, as it came or in the topic's own compression. (10 `MESSAGE_TOO_LARGE`)
    #[error("record batch of {bytes} B exceeds max.message.bytes {limit}")]
    TooLarge {
        /// The whole batch.
        bytes: usize,
        /// `max.message.bytes`.
        limit: usize,
    },
    /// Something inside is not as the format or the topic demands. (87 `INVALID_RECORD`)
    #[error("{reason}")]
    Invalid {
        /// What.
        reason: String,
        /// The records at fault, where single ones are; a hundred at most.
        records: Vec<RecordError>,
    },
    /// Timestamps outside the topic's bounds, or not the producer's to set. (32 `INVALID_TIMESTAMP`)
    #[error("{reason}")]
    Timestamp {
        /// What.
        reason: String,
        /// The records at fault, those with other faults among them; a hundred at most.
        records: Vec<RecordError>,
    },
    /// zstd from a client that may not know it. (76 `UNSUPPORTED_COMPRESSION_TYPE`)
    #[error("zstd needs Produce 7 or later")]
    Compression,
    /// What the batch unfolds to passes the bound. (10 `MESSAGE_TOO_LARGE`: producers then split the batch, KIP-126)
    #[error("the batch unfolds to more than {limit} B")]
    Bomb {
        /// The bound.
        limit: usize,
    },
}

impl BatchError {
    /// An `Invalid` about the batch as a whole.
    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid { reason: reason.into(), records: Vec::new() }
    }

    /// An `Invalid` for compressed records that the codec does not understand.
    pub(super) fn undecodable(reason: impl std::fmt::Display) -> Self {
        Self::invalid(format!("the compressed records do not unfold: {reason}"))
    }
}

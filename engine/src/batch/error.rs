//! Why a batch is refused, and which Kafka error says so.

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
    /// Fewer bytes than a header, or than the header says, or more behind it. (2 `CORRUPT_MESSAGE`)
    #[error("batch of {bytes} B is cut or its length lies")]
    Truncated {
        /// Bytes that were there.
        bytes: usize,
    },
    /// The checksum is wrong. (2 `CORRUPT_MESSAGE`)
    #[error("the batch's checksum is {found:#010x}, computed {computed:#010x}")]
    Checksum {
        /// As it stands in the batch.
        found: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// Longer than the topic allows. (10 `MESSAGE_TOO_LARGE`)
    #[error("batch of {bytes} B is larger than max.message.bytes {limit}")]
    TooLarge {
        /// The whole batch.
        bytes: usize,
        /// `max.message.bytes`.
        limit: usize,
    },
    /// Something inside is not as the format says. (87 `INVALID_RECORD`)
    #[error("{reason}")]
    Invalid {
        /// What.
        reason: String,
        /// The records at fault, where single ones are.
        records: Vec<RecordError>,
    },
    /// Timestamps outside the topic's bounds. (32 `INVALID_TIMESTAMP`)
    #[error("{reason}")]
    Timestamp {
        /// What.
        reason: String,
        /// The records at fault.
        records: Vec<RecordError>,
    },
    /// zstd from a client that may not know it. (76 `UNSUPPORTED_COMPRESSION_TYPE`)
    #[error("zstd needs Produce 7 or later")]
    Compression,
    /// What the batch unfolds to passes the bound. (87 `INVALID_RECORD`)
    #[error("the batch unfolds to more than {limit} B")]
    Bomb {
        /// The bound.
        limit: usize,
    },
}

impl BatchError {
    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid { reason: reason.into(), records: Vec::new() }
    }
}

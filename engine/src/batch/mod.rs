//! What is in the bytes a producer sent?

/// Compression of the records in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not compressed.
    None,
    /// RFC 1952.
    Gzip,
    /// Raw blocks or xerial's framing.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// RFC 8878.
    Zstd,
}

/// Whose clock a record's timestamp is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer's.
    Create,
    /// The broker's, set on append.
    LogAppend,
}

/// A topic's `compression.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetCompression {
    /// Keep what the producer chose.
    Producer,
    /// Make every batch this codec's, at this level.
    Codec(Codec, Option<i32>),
}

/// Who hands a batch in; a client may not send control batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A Produce request.
    Client,
    /// A coordinator of this broker.
    Coordinator,
}

/// Why a batch was refused. The batch room's developer replaces this list with the whole one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than a header, or than the header says.
    #[error("batch of {bytes} B is cut")]
    Truncated {
        /// Bytes that were there.
        bytes: usize,
    },
}

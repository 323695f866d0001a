//! What the server asks of a shard's engine, and what it gets.

use crate::batch::{BatchError, Origin};
use crate::log::{LogBounds, LogIdentity};
use crate::units::{LeaderEpoch, LogId, Offset, Timestamp};
use bytes::Bytes;

/// One partition's part of a Produce request, or a coordinator's records.
#[derive(Clone, Debug)]
pub struct Append {
    /// The `records` field as it came: one batch from a client.
    pub records: Bytes,
    /// Produce 7 and later may carry zstd.
    pub zstd_allowed: bool,
    /// Who hands it in.
    pub origin: Origin,
}

/// Where a batch went: in memory, not yet durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Staged {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// One past the offset of the last record; wait for it with `Engine::durable`.
    pub offset_end: Offset,
    /// The broker's time under `LogAppendTime`, otherwise `Timestamp::NONE`.
    pub append_time: Timestamp,
    /// The log's first offset.
    pub log_start: Offset,
    /// One of the producer's last five batches came again: nothing was stored, `base_offset` is the first one's.
    pub duplicate: bool,
}

/// Which records a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Up to the high watermark.
    Uncommitted,
    /// Up to the last stable offset.
    Committed,
}

/// One read.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// The first offset wanted; the batch that holds it is answered from its start.
    pub offset: Offset,
    /// Whole batches up to this many bytes.
    pub bytes_max: usize,
    /// Answer the first batch whole even where it passes `bytes_max`.
    pub first_batch_whole: bool,
    /// How far the reader may see.
    pub isolation: Isolation,
}

/// What a read found.
#[derive(Clone, Debug)]
pub struct ReadOutcome {
    /// The stored bytes of whole batches, in order; slices of shared memory, any core may send them.
    pub slices: Vec<Bytes>,
    /// Sum of the slices.
    pub bytes: usize,
    /// The bounds at the time of the read.
    pub bounds: LogBounds,
}

/// A record found by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOffset {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Leader epoch of its batch.
    pub leader_epoch: LeaderEpoch,
}

/// Answer to `OffsetForLeaderEpoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest known epoch not above the one asked for.
    pub leader_epoch: LeaderEpoch,
    /// Where it ended.
    pub end: Offset,
}

/// Why a log cannot be asked at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// This shard owns no such log. (Kafka: `UNKNOWN_TOPIC_OR_PARTITION` or `NOT_LEADER_OR_FOLLOWER`.)
    #[error("log {log_id} is not on this shard")]
    Unknown {
        /// The id asked for.
        log_id: LogId,
    },
    /// Fenced or offline: its bytes did not check, its files are missing or its directory stopped. (`KAFKA_STORAGE_ERROR`.)
    #[error("log {log_id} is offline: {reason}")]
    Offline {
        /// The id asked for.
        log_id: LogId,
        /// What happened, for the operator.
        reason: String,
    },
}

/// Why an append was refused. Nothing was stored unless the variant says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The log cannot be asked.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The bytes are not a batch that Kafka would take.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Idempotence: a gap, an old duplicate or a new epoch not beginning at 0. (45)
    #[error("producer {producer_id} sent sequence {sequence}, expected {expected}")]
    OutOfOrderSequence {
        /// The producer.
        producer_id: i64,
        /// What it sent.
        sequence: i32,
        /// What would have followed.
        expected: i32,
    },
    /// Idempotence: an epoch below the one known. (47)
    #[error("producer {producer_id} has epoch {epoch}, known is {known}")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: i64,
        /// What it sent.
        epoch: i16,
        /// The newest known.
        known: i16,
    },
    /// A transactional batch, and transactions are not served. (53 `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`, as PROTOCOL says.)
    #[error("transactional batch without a transactional id")]
    Transactional,
    /// The disk has no room for the batch: it may be tried again, as soon as something was removed. (`KAFKA_STORAGE_ERROR`)
    #[error("the disk of log {log_id} is full")]
    Full {
        /// The log.
        log_id: LogId,
    },
    /// The shard's memory for bytes not yet written back is full; try again. (`THROTTLING_QUOTA_EXCEEDED` does not fit: the server waits.)
    #[error("no room for {bytes} B now")]
    Busy {
        /// Bytes of the batch.
        bytes: usize,
    },
}

/// Why a read was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The log cannot be asked.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Outside `log_start ..= log_end`. (1)
    #[error("offset {offset} is outside {log_start}..{log_end}")]
    OutOfRange {
        /// The offset asked for.
        offset: Offset,
        /// The log's first.
        log_start: Offset,
        /// One past the log's last.
        log_end: Offset,
    },
    /// The stored bytes do not check: the log is fenced now. (`KAFKA_STORAGE_ERROR`)
    #[error("stored bytes at offset {offset} do not check")]
    Corrupt {
        /// Where reading began.
        offset: Offset,
    },
}

/// What one log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLog {
    /// Which log.
    pub identity: LogIdentity,
    /// Place of its directory among those that the engine was given.
    pub directory: usize,
    /// Bytes of its segments, staged ones included.
    pub bytes: u64,
}

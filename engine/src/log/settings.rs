//! Which log this is and the rules its topic sets for it.

use super::Durability;
use crate::batch::{TargetCompression, TimestampType};
use crate::units::LogId;

/// Who a log is: written to its directory when it is made, never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogIdentity {
    /// Random, never used again.
    pub log_id: LogId,
    /// The topic's id, as Metadata answers it.
    pub topic_id: [u8; 16],
    /// The topic's name; with `partition` it names the directory.
    pub topic: String,
    /// The partition's number in its topic, from 0.
    pub partition: i32,
}

/// What the topic's configuration asks of a log. May change while the log is open.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSettings {
    /// `segment.bytes`: a segment never grows past it, except by its first batch.
    pub segment_bytes: u64,
    /// `segment.ms`: age of the first record at which the active segment is sealed by the next append.
    pub segment_ms: u64,
    /// `segment.jitter.ms`: spread taken off `segment_ms`, so that logs made together roll apart.
    pub segment_jitter_ms: u64,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u64,
    /// `max.message.bytes`: a whole batch, header included.
    pub batch_bytes_max: usize,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `compression.type` and its level.
    pub compression: TargetCompression,
    /// `cleanup.policy` names `compact`: records need keys.
    pub compacted: bool,
    /// `retention.bytes`; `None` when `cleanup.policy` does not name `delete` or it has no limit.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`; `None` as above.
    pub retention_ms: Option<u64>,
    /// `file.delete.delay.ms`: how long a segment's file stays after the segment is gone.
    pub file_delete_delay_ms: u64,
    /// `thalweg.durability.*`, `flush.messages`, `flush.ms`.
    pub durability: Durability,
    /// A clean stop leaves the active segment its reserved blocks, as a kill does: what the next start has to write needs no
    /// room then. For a log that nobody reads from its files.
    pub keeps_blocks: bool,
}

impl Default for LogSettings {
    /// The defaults of Kafka 4.3, except that nothing is deleted: a log whose topic has not said yet what it wants keeps all.
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3600 * 1000,
            segment_jitter_ms: 0,
            index_interval_bytes: 4096,
            batch_bytes_max: 1_048_588,
            timestamp_type: TimestampType::Create,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            compression: TargetCompression::Producer,
            compacted: false,
            retention_bytes: None,
            retention_ms: None,
            file_delete_delay_ms: 60_000,
            durability: Durability::default(),
            keeps_blocks: false,
        }
    }
}

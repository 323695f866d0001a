//! `DeleteRecords` and `DescribeLogDirs`: what is kept of partitions, and where.

use crate::wire::codes::ErrorCode;
use crate::wire::table::messages;

messages! {
    /// Moves the starts of logs up.
    message DeleteRecordsRequest (0..=2, flexible 2) {
        topics: Vec<DeleteRecordsTopic> [0..],
        timeout_ms: i32 [0..],
    }

    /// One topic.
    struct DeleteRecordsTopic {
        name: String [0..],
        partitions: Vec<DeleteRecordsPartition> [0..],
    }

    /// Records below `offset` go; -1 is the high watermark.
    struct DeleteRecordsPartition {
        partition_index: i32 [0..],
        offset: i64 [0..],
    }

    /// Where the logs start now.
    message DeleteRecordsResponse (0..=2, flexible 2) {
        throttle_time_ms: i32 [0..],
        topics: Vec<DeleteRecordsTopicResult> [0..],
    }

    /// One topic.
    struct DeleteRecordsTopicResult {
        name: String [0..],
        partitions: Vec<DeleteRecordsPartitionResult> [0..],
    }

    /// One partition; the low watermark is -1 with an error.
    struct DeleteRecordsPartitionResult {
        partition_index: i32 [0..],
        low_watermark: i64 [0..],
        error_code: ErrorCode [0..],
    }

    /// Asks what lies in the log directories; null is every partition.
    message DescribeLogDirsRequest (1..=5, flexible 2) {
        topics: Option<Vec<DescribableLogDirTopic>> [1..; null 1..] = Some(Vec::new()),
    }

    /// The partitions of one topic that are asked about.
    struct DescribableLogDirTopic {
        topic: String [1..],
        partitions: Vec<i32> [1..],
    }

    /// The log directories.
    message DescribeLogDirsResponse (1..=5, flexible 2) {
        throttle_time_ms: i32 [1..],
        error_code: ErrorCode [3..],
        results: Vec<DescribeLogDirsResult> [1..],
    }

    /// One directory; bytes of its file system, -1 when unknown. KIP-1066: a cordoned one takes no new partitions.
    struct DescribeLogDirsResult {
        error_code: ErrorCode [1..],
        log_dir: String [1..],
        topics: Vec<DescribeLogDirsTopic> [1..],
        total_bytes: i64 [4..] = -1,
        usable_bytes: i64 [4..] = -1,
        is_cordoned: bool [5..],
    }

    /// One topic of a directory.
    struct DescribeLogDirsTopic {
        name: String [1..],
        partitions: Vec<DescribeLogDirsPartition> [1..],
    }

    /// One partition: bytes of its segments, and how far it lags behind when it is on its way to another directory.
    struct DescribeLogDirsPartition {
        partition_index: i32 [1..],
        partition_size: i64 [1..],
        offset_lag: i64 [1..],
        is_future_key: bool [1..],
    }
}

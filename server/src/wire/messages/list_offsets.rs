//! `ListOffsets` and `OffsetForLeaderEpoch`: offsets by time, and where an epoch ended.

use crate::wire::codes::ErrorCode;
use crate::wire::table::messages;

messages! {
    /// Asks for offsets by time.
    message ListOffsetsRequest (0..=11, flexible 6) {
        replica_id: i32 [0..],
        isolation_level: i8 [2..],
        topics: Vec<ListOffsetsTopic> [0..],
        timeout_ms: i32 [10..],
    }

    /// One topic.
    struct ListOffsetsTopic {
        name: String [0..],
        partitions: Vec<ListOffsetsPartition> [0..],
    }

    /// One partition. `timestamp`: a time in ms, or -1 latest, -2 earliest, -3 of the largest timestamp, -4 earliest
    /// local, -5 latest tiered, -6 earliest pending upload.
    struct ListOffsetsPartition {
        partition_index: i32 [0..],
        current_leader_epoch: i32 [4..] = -1,
        timestamp: i64 [0..],
        max_num_offsets: i32 [0..=0] = 1,
    }

    /// Offsets by time.
    message ListOffsetsResponse (0..=11, flexible 6) {
        throttle_time_ms: i32 [2..],
        topics: Vec<ListOffsetsTopicResponse> [0..],
    }

    /// One topic.
    struct ListOffsetsTopicResponse {
        name: String [0..],
        partitions: Vec<ListOffsetsPartitionResponse> [0..],
    }

    /// One partition: one offset from v1, a list of them (`old_style_offsets`) in v0.
    struct ListOffsetsPartitionResponse {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
        timestamp: i64 [1..] = -1,
        offset: i64 [1..] = -1,
        leader_epoch: i32 [4..] = -1,
        old_style_offsets: Vec<i64> [0..=0],
    }

    /// Asks where epochs of leaders ended.
    message OffsetForLeaderEpochRequest (2..=4, flexible 4) {
        replica_id: i32 [3..] = -2,
        topics: Vec<OffsetForLeaderTopic> [2..],
    }

    /// One topic.
    struct OffsetForLeaderTopic {
        topic: String [2..],
        partitions: Vec<OffsetForLeaderPartition> [2..],
    }

    /// One partition and the epoch in question.
    struct OffsetForLeaderPartition {
        partition: i32 [2..],
        current_leader_epoch: i32 [2..] = -1,
        leader_epoch: i32 [2..],
    }

    /// Where epochs of leaders ended.
    message OffsetForLeaderEpochResponse (2..=4, flexible 4) {
        throttle_time_ms: i32 [2..],
        topics: Vec<OffsetForLeaderTopicResult> [2..],
    }

    /// One topic.
    struct OffsetForLeaderTopicResult {
        topic: String [2..],
        partitions: Vec<EpochEndOffset> [2..],
    }

    /// Where the epoch, or the largest one below it, ended in one partition.
    struct EpochEndOffset {
        error_code: ErrorCode [2..],
        partition: i32 [2..],
        leader_epoch: i32 [2..] = -1,
        end_offset: i64 [2..] = -1,
    }
}

//! `OffsetCommit` and `OffsetFetch`: how far a group has read.
//!
//! One group a request up to `OffsetFetch` v7, several from v8: the parts of the older form have singular names
//! (`OffsetFetchRequestTopic`), those of the newer one plural ones (`OffsetFetchRequestTopics`), as in Kafka.

use crate::wire::codes::ErrorCode;
use crate::wire::table::messages;
use uuid::Uuid;

messages! {
    /// A group stores how far it has read.
    message OffsetCommitRequest (1..=10, flexible 8) {
        group_id: String [1..],
        generation_id_or_member_epoch: i32 [1..] = -1,
        member_id: String [1..],
        retention_time_ms: i64 [2..=4] = -1,
        group_instance_id: Option<String> [7..; null 7..],
        topics: Vec<OffsetCommitRequestTopic> [1..],
    }

    /// One topic: by name up to v9, by id from v10.
    struct OffsetCommitRequestTopic {
        name: String [1..=9],
        topic_id: Uuid [10..],
        partitions: Vec<OffsetCommitRequestPartition> [1..],
    }

    /// One partition's next offset to read.
    struct OffsetCommitRequestPartition {
        partition_index: i32 [1..],
        committed_offset: i64 [1..],
        committed_leader_epoch: i32 [6..] = -1,
        commit_timestamp: i64 [1..=1] = -1,
        committed_metadata: Option<String> [1..; null 1..] = Some(String::new()),
    }

    /// How each partition went.
    message OffsetCommitResponse (1..=10, flexible 8) {
        throttle_time_ms: i32 [3..],
        topics: Vec<OffsetCommitResponseTopic> [1..],
    }

    /// One topic: by name up to v9, by id from v10.
    struct OffsetCommitResponseTopic {
        name: String [1..=9],
        topic_id: Uuid [10..],
        partitions: Vec<OffsetCommitResponsePartition> [1..],
    }

    /// How one partition went.
    struct OffsetCommitResponsePartition {
        partition_index: i32 [1..],
        error_code: ErrorCode [1..],
    }

    /// Asks how far groups have read. `topics`: null (from v2) is all of them.
    message OffsetFetchRequest (1..=10, flexible 6) {
        group_id: String [1..=7],
        topics: Option<Vec<OffsetFetchRequestTopic>> [1..=7; null 2..] = Some(Vec::new()),
        groups: Vec<OffsetFetchRequestGroup> [8..],
        require_stable: bool [7..],
    }

    /// One topic, up to v7.
    struct OffsetFetchRequestTopic {
        name: String [1..=7],
        partition_indexes: Vec<i32> [1..=7],
    }

    /// One group, from v8. `topics`: null is all of them.
    struct OffsetFetchRequestGroup {
        group_id: String [8..],
        member_id: Option<String> [9..; null 9..],
        member_epoch: i32 [9..] = -1,
        topics: Option<Vec<OffsetFetchRequestTopics>> [8..; null 8..] = Some(Vec::new()),
    }

    /// One topic, from v8: by id from v10.
    struct OffsetFetchRequestTopics {
        name: String [8..=9],
        topic_id: Uuid [10..],
        partition_indexes: Vec<i32> [8..],
    }

    /// How far groups have read: `topics` of one group up to v7, `groups` from v8.
    message OffsetFetchResponse (1..=10, flexible 6) {
        throttle_time_ms: i32 [3..],
        topics: Vec<OffsetFetchResponseTopic> [1..=7],
        error_code: ErrorCode [2..=7],
        groups: Vec<OffsetFetchResponseGroup> [8..],
    }

    /// One topic, up to v7.
    struct OffsetFetchResponseTopic {
        name: String [1..=7],
        partitions: Vec<OffsetFetchResponsePartition> [1..=7],
    }

    /// One partition, up to v7; `committed_offset` is -1 where nothing is stored.
    struct OffsetFetchResponsePartition {
        partition_index: i32 [1..=7],
        committed_offset: i64 [1..=7],
        committed_leader_epoch: i32 [5..=7] = -1,
        metadata: Option<String> [1..=7; null 1..] = Some(String::new()),
        error_code: ErrorCode [1..=7],
    }

    /// One group, from v8.
    struct OffsetFetchResponseGroup {
        group_id: String [8..],
        topics: Vec<OffsetFetchResponseTopics> [8..],
        error_code: ErrorCode [8..],
    }

    /// One topic, from v8: by id from v10.
    struct OffsetFetchResponseTopics {
        name: String [8..=9],
        topic_id: Uuid [10..],
        partitions: Vec<OffsetFetchResponsePartitions> [8..],
    }

    /// One partition, from v8; `committed_offset` is -1 where nothing is stored.
    struct OffsetFetchResponsePartitions {
        partition_index: i32 [8..],
        committed_offset: i64 [8..],
        committed_leader_epoch: i32 [8..] = -1,
        metadata: Option<String> [8..; null 8..] = Some(String::new()),
        error_code: ErrorCode [8..],
    }
}

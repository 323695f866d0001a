//! `CreateTopics`, `DeleteTopics` and `CreatePartitions`.

use crate::wire::codes::ErrorCode;
use crate::wire::table::messages;
use uuid::Uuid;

messages! {
    /// Asks for new topics.
    message CreateTopicsRequest (0..=7, flexible 5) {
        topics: Vec<CreatableTopic> [0..],
        timeout_ms: i32 [0..] = 60_000,
        validate_only: bool [1..],
    }

    /// One new topic. `num_partitions` and `replication_factor`: -1 is the broker's default, or with `assignments`.
    struct CreatableTopic {
        name: String [0..],
        num_partitions: i32 [0..],
        replication_factor: i16 [0..],
        assignments: Vec<CreatableReplicaAssignment> [0..],
        configs: Vec<CreatableTopicConfig> [0..],
    }

    /// Which brokers get one partition.
    struct CreatableReplicaAssignment {
        partition_index: i32 [0..],
        broker_ids: Vec<i32> [0..],
    }

    /// One config of a new topic.
    struct CreatableTopicConfig {
        name: String [0..],
        value: Option<String> [0..; null 0..] = Some(String::new()),
    }

    /// How each creation went.
    message CreateTopicsResponse (0..=7, flexible 5) {
        throttle_time_ms: i32 [2..],
        topics: Vec<CreatableTopicResult> [0..],
    }

    /// How one creation went, and what the topic is like.
    struct CreatableTopicResult {
        name: String [0..],
        topic_id: Uuid [7..],
        error_code: ErrorCode [0..],
        error_message: Option<String> [1..; null 1..] = Some(String::new()),
        num_partitions: i32 [5..] = -1,
        replication_factor: i16 [5..] = -1,
        configs: Option<Vec<CreatableTopicConfigs>> [5..; null 5..] = Some(Vec::new()),
        topic_config_error_code: ErrorCode [5..; tag 0 = ErrorCode::None],
    }

    /// One config in force for the new topic.
    struct CreatableTopicConfigs {
        name: String [5..],
        value: Option<String> [5..; null 5..] = Some(String::new()),
        read_only: bool [5..],
        config_source: i8 [5..] = -1,
        is_sensitive: bool [5..],
    }

    /// Asks for topics to be deleted: by name up to v5 (`topic_names`), by name or id from v6 (`topics`).
    message DeleteTopicsRequest (0..=6, flexible 4) {
        topic_names: Vec<String> [0..=5],
        topics: Vec<DeleteTopicState> [6..],
        timeout_ms: i32 [0..],
    }

    /// One topic by name or by id.
    struct DeleteTopicState {
        name: Option<String> [6..; null 6..],
        topic_id: Uuid [6..],
    }

    /// How each deletion went.
    message DeleteTopicsResponse (0..=6, flexible 4) {
        throttle_time_ms: i32 [1..],
        responses: Vec<DeletableTopicResult> [0..],
    }

    /// How one deletion went.
    struct DeletableTopicResult {
        name: Option<String> [0..; null 6..] = Some(String::new()),
        topic_id: Uuid [6..],
        error_code: ErrorCode [0..],
        error_message: Option<String> [5..; null 5..],
    }

    /// Asks for more partitions.
    message CreatePartitionsRequest (0..=3, flexible 2) {
        topics: Vec<CreatePartitionsTopic> [0..],
        timeout_ms: i32 [0..],
        validate_only: bool [0..],
    }

    /// One topic. `count`: partitions in all, old ones included.
    struct CreatePartitionsTopic {
        name: String [0..],
        count: i32 [0..],
        assignments: Option<Vec<CreatePartitionsAssignment>> [0..; null 0..] = Some(Vec::new()),
    }

    /// Which brokers get one new partition.
    struct CreatePartitionsAssignment {
        broker_ids: Vec<i32> [0..],
    }

    /// How each topic went.
    message CreatePartitionsResponse (0..=3, flexible 2) {
        throttle_time_ms: i32 [0..],
        results: Vec<CreatePartitionsTopicResult> [0..],
    }

    /// How one topic went.
    struct CreatePartitionsTopicResult {
        name: String [0..],
        error_code: ErrorCode [0..],
        error_message: Option<String> [0..; null 0..],
    }
}

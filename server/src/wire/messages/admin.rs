//! Topics and configurations.

use crate::wire::codes::ErrorCode;
use crate::wire::primitives::message;
use uuid::Uuid;

message! {
    CreateTopicsRequest {
        [0..] topics: Vec<CreatableTopic>,
        [0..] timeout_ms: i32 = 60_000,
        [1..] validate_only: bool,
    }
    CreatableTopic {
        [0..] name: String,
        [0..] num_partitions: i32,
        [0..] replication_factor: i16,
        [0..] assignments: Vec<CreatableReplicaAssignment>,
        [0..] configs: Vec<CreatableTopicConfig>,
    }
    CreatableReplicaAssignment {
        [0..] partition_index: i32,
        [0..] broker_ids: Vec<i32>,
    }
    CreatableTopicConfig {
        [0..] name: String,
        [0..] value: Option<String>,
    }
    CreateTopicsResponse {
        [2..] throttle_time_ms: i32,
        [0..] topics: Vec<CreatableTopicResult>,
    }
    CreatableTopicResult {
        [0..] name: String,
        [7..] topic_id: Uuid,
        [0..] error_code: ErrorCode,
        [1..] error_message: Option<String>,
        [5.., tag 0] topic_config_error_code: ErrorCode,
        [5..] num_partitions: i32 = -1,
        [5..] replication_factor: i16 = -1,
        [5..] configs: Option<Vec<CreatableTopicConfigs>>,
    }
    CreatableTopicConfigs {
        [5..] name: String,
        [5..] value: Option<String>,
        [5..] read_only: bool,
        [5..] config_source: i8 = -1,
        [5..] is_sensitive: bool,
    }
    DeleteTopicsRequest {
        [6..] topics: Vec<DeleteTopicState>,
        [0..=5] topic_names: Vec<String>,
        [0..] timeout_ms: i32,
    }
    DeleteTopicState {
        [6..] name: Option<String>,
        [6..] topic_id: Uuid,
    }
    DeleteTopicsResponse {
        [1..] throttle_time_ms: i32,
        [0..] responses: Vec<DeletableTopicResult>,
    }
    DeletableTopicResult {
        [0..] name: Option<String>,
        [6..] topic_id: Uuid,
        [0..] error_code: ErrorCode,
        [5..] error_message: Option<String>,
    }
    CreatePartitionsRequest {
        [0..] topics: Vec<CreatePartitionsTopic>,
        [0..] timeout_ms: i32,
        [0..] validate_only: bool,
    }
    CreatePartitionsTopic {
        [0..] name: String,
        [0..] count: i32,
        [0..] assignments: Option<Vec<CreatePartitionsAssignment>>,
    }
    CreatePartitionsAssignment {
        [0..] broker_ids: Vec<i32>,
    }
    CreatePartitionsResponse {
        [0..] throttle_time_ms: i32,
        [0..] results: Vec<CreatePartitionsTopicResult>,
    }
    CreatePartitionsTopicResult {
        [0..] name: String,
        [0..] error_code: ErrorCode,
        [0..] error_message: Option<String>,
    }
    DescribeConfigsRequest {
        [0..] resources: Vec<DescribeConfigsResource>,
        [1..] include_synonyms: bool,
        [3..] include_documentation: bool,
    }
    DescribeConfigsResource {
        [0..] resource_type: i8,
        [0..] resource_name: String,
        [0..] configuration_keys: Option<Vec<String>>,
    }
    DescribeConfigsResponse {
        [0..] throttle_time_ms: i32,
        [0..] results: Vec<DescribeConfigsResult>,
    }
    DescribeConfigsResult {
        [0..] error_code: ErrorCode,
        [0..] error_message: Option<String>,
        [0..] resource_type: i8,
        [0..] resource_name: String,
        [0..] configs: Vec<DescribeConfigsResourceResult>,
    }
    DescribeConfigsResourceResult {
        [0..] name: String,
        [0..] value: Option<String>,
        [0..] read_only: bool,
        [0..=0] is_default: bool,
        [1..] config_source: i8 = -1,
        [0..] is_sensitive: bool,
        [1..] synonyms: Vec<DescribeConfigsSynonym>,
        [3..] config_type: i8,
        [3..] documentation: Option<String>,
    }
    DescribeConfigsSynonym {
        [1..] name: String,
        [1..] value: Option<String>,
        [1..] source: i8,
    }
    AlterConfigsRequest {
        [0..] resources: Vec<AlterConfigsResource>,
        [0..] validate_only: bool,
    }
    AlterConfigsResource {
        [0..] resource_type: i8,
        [0..] resource_name: String,
        [0..] configs: Vec<AlterableConfigEntry>,
    }
    AlterableConfigEntry {
        [0..] name: String,
        [0..] value: Option<String>,
    }
    AlterConfigsResponse {
        [0..] throttle_time_ms: i32,
        [0..] responses: Vec<AlterConfigsResourceResponse>,
    }
    AlterConfigsResourceResponse {
        [0..] error_code: ErrorCode,
        [0..] error_message: Option<String>,
        [0..] resource_type: i8,
        [0..] resource_name: String,
    }
    IncrementalAlterConfigsRequest {
        [0..] resources: Vec<IncrementalAlterConfigsResource>,
        [0..] validate_only: bool,
    }
    IncrementalAlterConfigsResource {
        [0..] resource_type: i8,
        [0..] resource_name: String,
        [0..] configs: Vec<IncrementalAlterableConfig>,
    }
    IncrementalAlterableConfig {
        [0..] name: String,
        [0..] config_operation: i8,
        [0..] value: Option<String>,
    }
    IncrementalAlterConfigsResponse {
        [0..] throttle_time_ms: i32,
        [0..] responses: Vec<AlterConfigsResourceResponse>,
    }
    ListPartitionReassignmentsRequest {
        [0..] timeout_ms: i32 = 60_000,
        [0..] topics: Option<Vec<ListPartitionReassignmentsTopics>>,
    }
    ListPartitionReassignmentsTopics {
        [0..] name: String,
        [0..] partition_indexes: Vec<i32>,
    }
    ListPartitionReassignmentsResponse {
        [0..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
        [0..] error_message: Option<String>,
        [0..] topics: Vec<OngoingTopicReassignment>,
    }
    OngoingTopicReassignment {
        [0..] name: String,
        [0..] partitions: Vec<OngoingPartitionReassignment>,
    }
    OngoingPartitionReassignment {
        [0..] partition_index: i32,
        [0..] replicas: Vec<i32>,
        [0..] adding_replicas: Vec<i32>,
        [0..] removing_replicas: Vec<i32>,
    }
}

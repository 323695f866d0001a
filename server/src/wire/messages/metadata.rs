//! ApiVersions, Metadata, DescribeCluster, FindCoordinator, InitProducerId.

use crate::wire::codes::ErrorCode;
use crate::wire::primitives::message;
use uuid::Uuid;

message! {
    ApiVersionsRequest {
        [3..] client_software_name: String,
        [3..] client_software_version: String,
    }
    ApiVersionsResponse {
        [0..] error_code: ErrorCode,
        [0..] api_keys: Vec<ApiVersion>,
        [1..] throttle_time_ms: i32,
        [3.., tag 0] supported_features: Vec<SupportedFeatureKey>,
        [3.., tag 1] finalized_features_epoch: i64 = -1,
        [3.., tag 2] finalized_features: Vec<FinalizedFeatureKey>,
        [3.., tag 3] zk_migration_ready: bool,
    }
    ApiVersion {
        [0..] api_key: i16,
        [0..] min_version: i16,
        [0..] max_version: i16,
    }
    SupportedFeatureKey {
        [3..] name: String,
        [3..] min_version: i16,
        [3..] max_version: i16,
    }
    FinalizedFeatureKey {
        [3..] name: String,
        [3..] max_version_level: i16,
        [3..] min_version_level: i16,
    }
    MetadataRequest {
        [0..] topics: Option<Vec<MetadataRequestTopic>>,
        [4..] allow_auto_topic_creation: bool = true,
        [8..=10] include_cluster_authorized_operations: bool,
        [8..] include_topic_authorized_operations: bool,
    }
    MetadataRequestTopic {
        [10..] topic_id: Uuid,
        [0..] name: Option<String>,
    }
    MetadataResponse {
        [3..] throttle_time_ms: i32,
        [0..] brokers: Vec<MetadataResponseBroker>,
        [2..] cluster_id: Option<String>,
        [1..] controller_id: i32 = -1,
        [0..] topics: Vec<MetadataResponseTopic>,
        [8..=10] cluster_authorized_operations: i32 = i32::MIN,
        [13..] error_code: ErrorCode,
    }
    MetadataResponseBroker {
        [0..] node_id: i32,
        [0..] host: String,
        [0..] port: i32,
        [1..] rack: Option<String>,
    }
    MetadataResponseTopic {
        [0..] error_code: ErrorCode,
        [0..] name: Option<String>,
        [10..] topic_id: Uuid,
        [1..] is_internal: bool,
        [0..] partitions: Vec<MetadataResponsePartition>,
        [8..] topic_authorized_operations: i32 = i32::MIN,
    }
    MetadataResponsePartition {
        [0..] error_code: ErrorCode,
        [0..] partition_index: i32,
        [0..] leader_id: i32,
        [7..] leader_epoch: i32 = -1,
        [0..] replica_nodes: Vec<i32>,
        [0..] isr_nodes: Vec<i32>,
        [5..] offline_replicas: Vec<i32>,
    }
    DescribeClusterRequest {
        [0..] include_cluster_authorized_operations: bool,
        [1..] endpoint_type: i8 = 1,
        [2..] include_fenced_brokers: bool,
    }
    DescribeClusterResponse {
        [0..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
        [0..] error_message: Option<String>,
        [1..] endpoint_type: i8 = 1,
        [0..] cluster_id: String,
        [0..] controller_id: i32 = -1,
        [0..] brokers: Vec<DescribeClusterBroker>,
        [0..] cluster_authorized_operations: i32 = i32::MIN,
    }
    DescribeClusterBroker {
        [0..] broker_id: i32,
        [0..] host: String,
        [0..] port: i32,
        [0..] rack: Option<String>,
        [2..] is_fenced: bool,
    }
    FindCoordinatorRequest {
        [0..=3] key: String,
        [1..] key_type: i8,
        [4..] coordinator_keys: Vec<String>,
    }
    FindCoordinatorResponse {
        [1..] throttle_time_ms: i32,
        [0..=3] error_code: ErrorCode,
        [1..=3] error_message: Option<String>,
        [0..=3] node_id: i32,
        [0..=3] host: String,
        [0..=3] port: i32,
        [4..] coordinators: Vec<Coordinator>,
    }
    Coordinator {
        [4..] key: String,
        [4..] node_id: i32,
        [4..] host: String,
        [4..] port: i32,
        [4..] error_code: ErrorCode,
        [4..] error_message: Option<String>,
    }
    InitProducerIdRequest {
        [0..] transactional_id: Option<String>,
        [0..] transaction_timeout_ms: i32,
        [3..] producer_id: i64 = -1,
        [3..] producer_epoch: i16 = -1,
    }
    InitProducerIdResponse {
        [0..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
        [0..] producer_id: i64 = -1,
        [0..] producer_epoch: i16,
    }
}

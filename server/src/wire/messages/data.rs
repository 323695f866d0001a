//! Produce, Fetch, ListOffsets, OffsetForLeaderEpoch.

use crate::wire::codes::ErrorCode;
use crate::wire::primitives::message;
use bytes::Bytes;
use uuid::Uuid;

message! {
    /// Produce: record bytes stay slices of the frame.
    ProduceRequest {
        [3..] transactional_id: Option<String>,
        [0..] acks: i16,
        [0..] timeout_ms: i32,
        [0..] topic_data: Vec<TopicProduceData>,
    }
    TopicProduceData {
        [0..=12] name: String,
        [13..] topic_id: Uuid,
        [0..] partition_data: Vec<PartitionProduceData>,
    }
    PartitionProduceData {
        [0..] index: i32,
        [0..] records: Option<Bytes>,
    }
    ProduceResponse {
        [0..] responses: Vec<TopicProduceResponse>,
        [1..] throttle_time_ms: i32,
        [10.., tag 0] node_endpoints: Vec<NodeEndpoint>,
    }
    TopicProduceResponse {
        [0..=12] name: String,
        [13..] topic_id: Uuid,
        [0..] partition_responses: Vec<PartitionProduceResponse>,
    }
    PartitionProduceResponse {
        [0..] index: i32,
        [0..] error_code: ErrorCode,
        [0..] base_offset: i64,
        [2..] log_append_time_ms: i64 = -1,
        [5..] log_start_offset: i64 = -1,
        [8..] record_errors: Vec<BatchIndexAndErrorMessage>,
        [8..] error_message: Option<String>,
        [10.., tag 0] current_leader: LeaderIdAndEpoch,
    }
    BatchIndexAndErrorMessage {
        [8..] batch_index: i32,
        [8..] batch_index_error_message: Option<String>,
    }
    /// KIP-951.
    LeaderIdAndEpoch {
        [0..] leader_id: i32 = -1,
        [0..] leader_epoch: i32 = -1,
    }
    NodeEndpoint {
        [0..] node_id: i32,
        [0..] host: String,
        [0..] port: i32,
        [0..] rack: Option<String>,
    }
    FetchRequest {
        [12.., tag 0] cluster_id: Option<String>,
        [0..=14] replica_id: i32 = -1,
        [15.., tag 1] replica_state: ReplicaState,
        [0..] max_wait_ms: i32,
        [0..] min_bytes: i32,
        [3..] max_bytes: i32 = i32::MAX,
        [4..] isolation_level: i8,
        [7..] session_id: i32,
        [7..] session_epoch: i32 = -1,
        [0..] topics: Vec<FetchTopic>,
        [7..] forgotten_topics_data: Vec<ForgottenTopic>,
        [11..] rack_id: String,
    }
    ReplicaState {
        [15..] replica_id: i32 = -1,
        [15..] replica_epoch: i64 = -1,
    }
    FetchTopic {
        [0..=12] topic: String,
        [13..] topic_id: Uuid,
        [0..] partitions: Vec<FetchPartition>,
    }
    FetchPartition {
        [0..] partition: i32,
        [9..] current_leader_epoch: i32 = -1,
        [0..] fetch_offset: i64,
        [12..] last_fetched_epoch: i32 = -1,
        [5..] log_start_offset: i64 = -1,
        [0..] partition_max_bytes: i32,
        [17.., tag 0] replica_directory_id: Uuid,
        [18.., tag 1] high_watermark: i64 = i64::MAX,
    }
    ForgottenTopic {
        [7..=12] topic: String,
        [13..] topic_id: Uuid,
        [7..] partitions: Vec<i32>,
    }
    ListOffsetsRequest {
        [0..] replica_id: i32,
        [2..] isolation_level: i8,
        [0..] topics: Vec<ListOffsetsTopic>,
        [10..] timeout_ms: i32,
    }
    ListOffsetsTopic {
        [0..] name: String,
        [0..] partitions: Vec<ListOffsetsPartition>,
    }
    ListOffsetsPartition {
        [0..] partition_index: i32,
        [4..] current_leader_epoch: i32 = -1,
        [0..] timestamp: i64,
        [0..=0] max_num_offsets: i32 = 1,
    }
    ListOffsetsResponse {
        [2..] throttle_time_ms: i32,
        [0..] topics: Vec<ListOffsetsTopicResponse>,
    }
    ListOffsetsTopicResponse {
        [0..] name: String,
        [0..] partitions: Vec<ListOffsetsPartitionResponse>,
    }
    ListOffsetsPartitionResponse {
        [0..] partition_index: i32,
        [0..] error_code: ErrorCode,
        [0..=0] old_style_offsets: Vec<i64>,
        [1..] timestamp: i64 = -1,
        [1..] offset: i64 = -1,
        [4..] leader_epoch: i32 = -1,
    }
    OffsetForLeaderEpochRequest {
        [3..] replica_id: i32 = -2,
        [0..] topics: Vec<OffsetForLeaderTopic>,
    }
    OffsetForLeaderTopic {
        [0..] topic: String,
        [0..] partitions: Vec<OffsetForLeaderPartition>,
    }
    OffsetForLeaderPartition {
        [0..] partition: i32,
        [2..] current_leader_epoch: i32 = -1,
        [0..] leader_epoch: i32,
    }
    OffsetForLeaderEpochResponse {
        [2..] throttle_time_ms: i32,
        [0..] topics: Vec<OffsetForLeaderTopicResult>,
    }
    OffsetForLeaderTopicResult {
        [0..] topic: String,
        [0..] partitions: Vec<EpochEndOffset>,
    }
    EpochEndOffset {
        [0..] error_code: ErrorCode,
        [0..] partition: i32,
        [1..] leader_epoch: i32 = -1,
        [0..] end_offset: i64 = -1,
    }
}

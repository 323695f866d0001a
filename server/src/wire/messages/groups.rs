//! Groups and their offsets.

use crate::wire::codes::ErrorCode;
use crate::wire::primitives::message;
use bytes::Bytes;
use uuid::Uuid;

message! {
    JoinGroupRequest {
        [0..] group_id: String,
        [0..] session_timeout_ms: i32,
        [1..] rebalance_timeout_ms: i32 = -1,
        [0..] member_id: String,
        [5..] group_instance_id: Option<String>,
        [0..] protocol_type: String,
        [0..] protocols: Vec<JoinGroupRequestProtocol>,
        [8..] reason: Option<String>,
    }
    JoinGroupRequestProtocol {
        [0..] name: String,
        [0..] metadata: Bytes,
    }
    JoinGroupResponse {
        [2..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
        [0..] generation_id: i32 = -1,
        [7..] protocol_type: Option<String>,
        [0..] protocol_name: Option<String>,
        [0..] leader: String,
        [9..] skip_assignment: bool,
        [0..] member_id: String,
        [0..] members: Vec<JoinGroupResponseMember>,
    }
    JoinGroupResponseMember {
        [0..] member_id: String,
        [5..] group_instance_id: Option<String>,
        [0..] metadata: Bytes,
    }
    SyncGroupRequest {
        [0..] group_id: String,
        [0..] generation_id: i32,
        [0..] member_id: String,
        [3..] group_instance_id: Option<String>,
        [5..] protocol_type: Option<String>,
        [5..] protocol_name: Option<String>,
        [0..] assignments: Vec<SyncGroupRequestAssignment>,
    }
    SyncGroupRequestAssignment {
        [0..] member_id: String,
        [0..] assignment: Bytes,
    }
    SyncGroupResponse {
        [1..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
        [5..] protocol_type: Option<String>,
        [5..] protocol_name: Option<String>,
        [0..] assignment: Bytes,
    }
    HeartbeatRequest {
        [0..] group_id: String,
        [0..] generation_id: i32,
        [0..] member_id: String,
        [3..] group_instance_id: Option<String>,
    }
    HeartbeatResponse {
        [1..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
    }
    LeaveGroupRequest {
        [0..] group_id: String,
        [0..=2] member_id: String,
        [3..] members: Vec<MemberIdentity>,
    }
    MemberIdentity {
        [3..] member_id: String,
        [3..] group_instance_id: Option<String>,
        [5..] reason: Option<String>,
    }
    LeaveGroupResponse {
        [1..] throttle_time_ms: i32,
        [0..] error_code: ErrorCode,
        [3..] members: Vec<MemberResponse>,
    }
    MemberResponse {
        [3..] member_id: String,
        [3..] group_instance_id: Option<String>,
        [3..] error_code: ErrorCode,
    }
    OffsetCommitRequest {
        [0..] group_id: String,
        [1..] generation_id_or_member_epoch: i32 = -1,
        [1..] member_id: String,
        [7..] group_instance_id: Option<String>,
        [2..=4] retention_time_ms: i64 = -1,
        [0..] topics: Vec<OffsetCommitRequestTopic>,
    }
    OffsetCommitRequestTopic {
        [0..=9] name: String,
        [10..] topic_id: Uuid,
        [0..] partitions: Vec<OffsetCommitRequestPartition>,
    }
    OffsetCommitRequestPartition {
        [0..] partition_index: i32,
        [0..] committed_offset: i64,
        [6..] committed_leader_epoch: i32 = -1,
        [1..=1] commit_timestamp: i64 = -1,
        [0..] committed_metadata: Option<String>,
    }
    OffsetCommitResponse {
        [3..] throttle_time_ms: i32,
        [0..] topics: Vec<OffsetCommitResponseTopic>,
    }
    OffsetCommitResponseTopic {
        [0..=9] name: String,
        [10..] topic_id: Uuid,
        [0..] partitions: Vec<OffsetCommitResponsePartition>,
    }
    OffsetCommitResponsePartition {
        [0..] partition_index: i32,
        [0..] error_code: ErrorCode,
    }
    OffsetFetchRequest {
        [0..=7] group_id: String,
        [0..=7] topics: Option<Vec<OffsetFetchRequestTopic>>,
        [8..] groups: Vec<OffsetFetchRequestGroup>,
        [7..] require_stable: bool,
    }
    OffsetFetchRequestTopic {
        [0..=7] name: String,
        [0..=7] partition_indexes: Vec<i32>,
    }
    OffsetFetchRequestGroup {
        [8..] group_id: String,
        [9..] member_id: Option<String>,
        [9..] member_epoch: i32 = -1,
        [8..] topics: Option<Vec<OffsetFetchRequestTopics>>,
    }
    OffsetFetchRequestTopics {
        [8..=9] name: String,
        [10..] topic_id: Uuid,
        [8..] partition_indexes: Vec<i32>,
    }
    OffsetFetchResponse {
        [3..] throttle_time_ms: i32,
        [0..=7] topics: Vec<OffsetFetchResponseTopic>,
        [2..=7] error_code: ErrorCode,
        [8..] groups: Vec<OffsetFetchResponseGroup>,
    }
    OffsetFetchResponseTopic {
        [0..=7] name: String,
        [0..=7] partitions: Vec<OffsetFetchResponsePartition>,
    }
    OffsetFetchResponsePartition {
        [0..=7] partition_index: i32,
        [0..=7] committed_offset: i64,
        [5..=7] committed_leader_epoch: i32 = -1,
        [0..=7] metadata: Option<String>,
        [0..=7] error_code: ErrorCode,
    }
    OffsetFetchResponseGroup {
        [8..] group_id: String,
        [8..] topics: Vec<OffsetFetchResponseTopics>,
        [8..] error_code: ErrorCode,
    }
    OffsetFetchResponseTopics {
        [8..=9] name: String,
        [10..] topic_id: Uuid,
        [8..] partitions: Vec<OffsetFetchResponsePartitions>,
    }
    OffsetFetchResponsePartitions {
        [8..] partition_index: i32,
        [8..] committed_offset: i64,
        [8..] committed_leader_epoch: i32 = -1,
        [8..] metadata: Option<String>,
        [8..] error_code: ErrorCode,
    }
}

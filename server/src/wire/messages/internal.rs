//! Records of `__consumer_offsets`: keys and values behind their 16-bit version.

use crate::wire::primitives::message;
use bytes::Bytes;
use uuid::Uuid;

message! {
    OffsetCommitKey {
        [0..] group: String,
        [0..] topic: String,
        [0..] partition: i32,
    }
    OffsetCommitValue {
        [0..] offset: i64,
        [3..] leader_epoch: i32 = -1,
        [0..] metadata: String,
        [0..] commit_timestamp: i64,
        [1..=1] expire_timestamp: i64 = -1,
        [4.., tag 0] topic_id: Uuid,
    }
    GroupMetadataKey {
        [2..] group: String,
    }
    GroupMetadataValue {
        [0..] protocol_type: String,
        [0..] generation: i32,
        [0..] protocol: Option<String>,
        [0..] leader: Option<String>,
        [2..] current_state_timestamp: i64 = -1,
        [0..] members: Vec<MemberMetadata>,
    }
    MemberMetadata {
        [0..] member_id: String,
        [3..] group_instance_id: Option<String>,
        [0..] client_id: String,
        [0..] client_host: String,
        [1..] rebalance_timeout: i32 = -1,
        [0..] session_timeout: i32,
        [0..] subscription: Bytes,
        [0..] assignment: Bytes,
    }
}

//! Kafka's record schemas in `__consumer_offsets`: in front of each key and value stands its version as an i16.

use crate::wire::table::messages;
use bytes::Bytes;
use uuid::Uuid;

messages! {
    /// Whose offset a record holds; v0 and v1 are alike.
    message OffsetCommitKey (0..=1, flexible i16::MAX) {
        group: String [0..],
        topic: String [0..],
        partition: i32 [0..],
    }

    /// Which group a record describes.
    message GroupMetadataKey (2..=2, flexible i16::MAX) {
        group: String [2..],
    }

    /// How far a group has read in one partition. `expire_timestamp`: only where the commit asked for one (v1).
    message OffsetCommitValue (0..=4, flexible 4) {
        offset: i64 [0..],
        leader_epoch: i32 [3..] = -1,
        metadata: String [0..],
        commit_timestamp: i64 [0..],
        expire_timestamp: i64 [1..=1] = -1,
        topic_id: Uuid [4..; tag 0 = Uuid::nil()],
    }

    /// The state of a classic group.
    message GroupMetadataValue (0..=4, flexible 4) {
        protocol_type: String [0..],
        generation: i32 [0..],
        protocol: Option<String> [0..; null 0..] = Some(String::new()),
        leader: Option<String> [0..; null 0..] = Some(String::new()),
        current_state_timestamp: i64 [2..] = -1,
        members: Vec<MemberMetadata> [0..],
    }

    /// One member of a classic group; times in ms.
    struct MemberMetadata {
        member_id: String [0..],
        group_instance_id: Option<String> [3..; null 3..],
        client_id: String [0..],
        client_host: String [0..],
        rebalance_timeout: i32 [1..] = -1,
        session_timeout: i32 [0..],
        subscription: Bytes [0..],
        assignment: Bytes [0..],
    }
}

//! `JoinGroup`, `SyncGroup`, Heartbeat and `LeaveGroup`: membership of classic groups.

use crate::wire::codes::ErrorCode;
use crate::wire::table::messages;
use bytes::Bytes;

messages! {
    /// A member joins or rejoins.
    message JoinGroupRequest (0..=9, flexible 6) {
        group_id: String [0..],
        session_timeout_ms: i32 [0..],
        rebalance_timeout_ms: i32 [1..] = -1,
        member_id: String [0..],
        group_instance_id: Option<String> [5..; null 5..],
        protocol_type: String [0..],
        protocols: Vec<JoinGroupRequestProtocol> [0..],
        reason: Option<String> [8..; null 8..],
    }

    /// One assignment strategy that the member knows, with its subscription in the strategy's own bytes.
    struct JoinGroupRequestProtocol {
        name: String [0..],
        metadata: Bytes [0..],
    }

    /// The generation joined; `members` only for the leader.
    message JoinGroupResponse (0..=9, flexible 6) {
        throttle_time_ms: i32 [2..],
        error_code: ErrorCode [0..],
        generation_id: i32 [0..] = -1,
        protocol_type: Option<String> [7..; null 7..],
        protocol_name: Option<String> [0..; null 7..] = Some(String::new()),
        leader: String [0..],
        skip_assignment: bool [9..],
        member_id: String [0..],
        members: Vec<JoinGroupResponseMember> [0..],
    }

    /// One member, told to the leader.
    struct JoinGroupResponseMember {
        member_id: String [0..],
        group_instance_id: Option<String> [5..; null 5..],
        metadata: Bytes [0..],
    }

    /// A member asks for its assignment; the leader brings everyone's.
    message SyncGroupRequest (0..=5, flexible 4) {
        group_id: String [0..],
        generation_id: i32 [0..],
        member_id: String [0..],
        group_instance_id: Option<String> [3..; null 3..],
        protocol_type: Option<String> [5..; null 5..],
        protocol_name: Option<String> [5..; null 5..],
        assignments: Vec<SyncGroupRequestAssignment> [0..],
    }

    /// What one member shall read, in the strategy's own bytes.
    struct SyncGroupRequestAssignment {
        member_id: String [0..],
        assignment: Bytes [0..],
    }

    /// What the member shall read.
    message SyncGroupResponse (0..=5, flexible 4) {
        throttle_time_ms: i32 [1..],
        error_code: ErrorCode [0..],
        protocol_type: Option<String> [5..; null 5..],
        protocol_name: Option<String> [5..; null 5..],
        assignment: Bytes [0..],
    }

    /// A member is alive.
    message HeartbeatRequest (0..=4, flexible 4) {
        group_id: String [0..],
        generation_id: i32 [0..],
        member_id: String [0..],
        group_instance_id: Option<String> [3..; null 3..],
    }

    /// Whether the generation still stands.
    message HeartbeatResponse (0..=4, flexible 4) {
        throttle_time_ms: i32 [1..],
        error_code: ErrorCode [0..],
    }

    /// Members leave: one up to v2 (`member_id`), several from v3 (`members`).
    message LeaveGroupRequest (0..=5, flexible 4) {
        group_id: String [0..],
        member_id: String [0..=2],
        members: Vec<MemberIdentity> [3..],
    }

    /// One member that leaves.
    struct MemberIdentity {
        member_id: String [3..],
        group_instance_id: Option<String> [3..; null 3..],
        reason: Option<String> [5..; null 5..],
    }

    /// How leaving went.
    message LeaveGroupResponse (0..=5, flexible 4) {
        throttle_time_ms: i32 [1..],
        error_code: ErrorCode [0..],
        members: Vec<MemberResponse> [3..],
    }

    /// How leaving went for one member.
    struct MemberResponse {
        member_id: String [3..],
        group_instance_id: Option<String> [3..; null 3..] = Some(String::new()),
        error_code: ErrorCode [3..],
    }
}

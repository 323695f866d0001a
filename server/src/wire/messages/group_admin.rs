//! `DescribeGroups`, `ListGroups`, `DeleteGroups` and `OffsetDelete`: what operators ask about groups.

use crate::wire::codes::ErrorCode;
use crate::wire::table::messages;
use bytes::Bytes;

messages! {
    /// Asks for the state of classic groups.
    message DescribeGroupsRequest (0..=6, flexible 5) {
        groups: Vec<String> [0..],
        include_authorized_operations: bool [3..],
    }

    /// The state of classic groups.
    message DescribeGroupsResponse (0..=6, flexible 5) {
        throttle_time_ms: i32 [1..],
        groups: Vec<DescribedGroup> [0..],
    }

    /// The state of one group.
    struct DescribedGroup {
        error_code: ErrorCode [0..],
        error_message: Option<String> [6..; null 6..],
        group_id: String [0..],
        group_state: String [0..],
        protocol_type: String [0..],
        protocol_data: String [0..],
        members: Vec<DescribedGroupMember> [0..],
        authorized_operations: i32 [3..] = i32::MIN,
    }

    /// One member; metadata and assignment in the strategy's own bytes.
    struct DescribedGroupMember {
        member_id: String [0..],
        group_instance_id: Option<String> [4..; null 4..],
        client_id: String [0..],
        client_host: String [0..],
        member_metadata: Bytes [0..],
        member_assignment: Bytes [0..],
    }

    /// Asks which groups there are; empty filters let all pass.
    message ListGroupsRequest (0..=5, flexible 3) {
        states_filter: Vec<String> [4..],
        types_filter: Vec<String> [5..],
    }

    /// Which groups there are.
    message ListGroupsResponse (0..=5, flexible 3) {
        throttle_time_ms: i32 [1..],
        error_code: ErrorCode [0..],
        groups: Vec<ListedGroup> [0..],
    }

    /// One group.
    struct ListedGroup {
        group_id: String [0..],
        protocol_type: String [0..],
        group_state: String [4..],
        group_type: String [5..],
    }

    /// Asks for groups to be forgotten.
    message DeleteGroupsRequest (0..=2, flexible 2) {
        groups_names: Vec<String> [0..],
    }

    /// How each deletion went.
    message DeleteGroupsResponse (0..=2, flexible 2) {
        throttle_time_ms: i32 [0..],
        results: Vec<DeletableGroupResult> [0..],
    }

    /// How one deletion went.
    struct DeletableGroupResult {
        group_id: String [0..],
        error_code: ErrorCode [0..],
    }

    /// Asks for offsets of a group to be forgotten.
    message OffsetDeleteRequest (0..=0, flexible i16::MAX) {
        group_id: String [0..],
        topics: Vec<OffsetDeleteRequestTopic> [0..],
    }

    /// One topic.
    struct OffsetDeleteRequestTopic {
        name: String [0..],
        partitions: Vec<OffsetDeleteRequestPartition> [0..],
    }

    /// One partition.
    struct OffsetDeleteRequestPartition {
        partition_index: i32 [0..],
    }

    /// How that went; `topics` is empty where `error_code` says that nothing was looked at.
    message OffsetDeleteResponse (0..=0, flexible i16::MAX) {
        error_code: ErrorCode [0..],
        throttle_time_ms: i32 [0..],
        topics: Vec<OffsetDeleteResponseTopic> [0..],
    }

    /// One topic.
    struct OffsetDeleteResponseTopic {
        name: String [0..],
        partitions: Vec<OffsetDeleteResponsePartition> [0..],
    }

    /// How it went for one partition.
    struct OffsetDeleteResponsePartition {
        partition_index: i32 [0..],
        error_code: ErrorCode [0..],
    }
}

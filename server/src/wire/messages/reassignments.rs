//! `ListPartitionReassignments`: which partitions are being moved.

use crate::wire::codes::ErrorCode;
use crate::wire::table::messages;

messages! {
    /// Asks which partitions are being moved; null is all of them.
    message ListPartitionReassignmentsRequest (0..=0, flexible 0) {
        timeout_ms: i32 [0..] = 60_000,
        topics: Option<Vec<ListPartitionReassignmentsTopics>> [0..; null 0..],
    }

    /// The partitions of one topic that are asked about.
    struct ListPartitionReassignmentsTopics {
        name: String [0..],
        partition_indexes: Vec<i32> [0..],
    }

    /// The partitions that are being moved.
    message ListPartitionReassignmentsResponse (0..=0, flexible 0) {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<String> [0..; null 0..] = Some(String::new()),
        topics: Vec<OngoingTopicReassignment> [0..],
    }

    /// One topic.
    struct OngoingTopicReassignment {
        name: String [0..],
        partitions: Vec<OngoingPartitionReassignment> [0..],
    }

    /// One partition: its replicas now, those to come and those to go.
    struct OngoingPartitionReassignment {
        partition_index: i32 [0..],
        replicas: Vec<i32> [0..],
        adding_replicas: Vec<i32> [0..],
        removing_replicas: Vec<i32> [0..],
    }
}

//! Metadata and `DescribeCluster`: brokers, topics, partitions and who leads them.

use crate::wire::codes::ErrorCode;
use crate::wire::table::messages;
use uuid::Uuid;

messages! {
    /// Asks for brokers and topics. `topics`: null is all of them; before v1 an empty list is all of them.
    message MetadataRequest (0..=13, flexible 9) {
        topics: Option<Vec<MetadataRequestTopic>> [0..; null 1..] = Some(Vec::new()),
        allow_auto_topic_creation: bool [4..] = true,
        include_cluster_authorized_operations: bool [8..=10],
        include_topic_authorized_operations: bool [8..],
    }

    /// A topic by name, or from v10 by id with a null name (Kafka answers ids from v12).
    struct MetadataRequestTopic {
        topic_id: Uuid [10..],
        name: Option<String> [0..; null 10..] = Some(String::new()),
    }

    /// Brokers and topics.
    message MetadataResponse (0..=13, flexible 9) {
        throttle_time_ms: i32 [3..],
        brokers: Vec<MetadataResponseBroker> [0..],
        cluster_id: Option<String> [2..; null 2..],
        controller_id: i32 [1..] = -1,
        topics: Vec<MetadataResponseTopic> [0..],
        cluster_authorized_operations: i32 [8..=10] = i32::MIN,
        error_code: ErrorCode [13..],
    }

    /// One broker and where to reach it.
    struct MetadataResponseBroker {
        node_id: i32 [0..],
        host: String [0..],
        port: i32 [0..],
        rack: Option<String> [1..; null 1..],
    }

    /// One topic; its name is null when it was asked for by an unknown id.
    struct MetadataResponseTopic {
        error_code: ErrorCode [0..],
        name: Option<String> [0..; null 12..] = Some(String::new()),
        topic_id: Uuid [10..],
        is_internal: bool [1..],
        partitions: Vec<MetadataResponsePartition> [0..],
        topic_authorized_operations: i32 [8..] = i32::MIN,
    }

    /// One partition and its replicas.
    struct MetadataResponsePartition {
        error_code: ErrorCode [0..],
        partition_index: i32 [0..],
        leader_id: i32 [0..],
        leader_epoch: i32 [7..] = -1,
        replica_nodes: Vec<i32> [0..],
        isr_nodes: Vec<i32> [0..],
        offline_replicas: Vec<i32> [5..],
    }

    /// Asks for brokers. `endpoint_type`: 1 is brokers, 2 controllers.
    message DescribeClusterRequest (0..=2, flexible 0) {
        include_cluster_authorized_operations: bool [0..],
        endpoint_type: i8 [1..] = 1,
        include_fenced_brokers: bool [2..],
    }

    /// Brokers, cluster id and controller.
    message DescribeClusterResponse (0..=2, flexible 0) {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<String> [0..; null 0..],
        endpoint_type: i8 [1..] = 1,
        cluster_id: String [0..],
        controller_id: i32 [0..] = -1,
        brokers: Vec<DescribeClusterBroker> [0..],
        cluster_authorized_operations: i32 [0..] = i32::MIN,
    }

    /// One broker and where to reach it.
    struct DescribeClusterBroker {
        broker_id: i32 [0..],
        host: String [0..],
        port: i32 [0..],
        rack: Option<String> [0..; null 0..],
        is_fenced: bool [2..],
    }
}

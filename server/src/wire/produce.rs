//! Produce.

use crate::wire::codes::ErrorCode;
use crate::wire::table::messages;
use bytes::Bytes;
use uuid::Uuid;

messages! {
    /// Batches to append. `acks`: 0 no answer, 1 and -1 (all) once stored.
    message ProduceRequest (0..=13, flexible 9) {
        transactional_id: Option<String> [3..; null 3..],
        acks: i16 [0..],
        timeout_ms: i32 [0..],
        topics: Vec<ProduceTopic> [0..],
    }

    /// The partitions of one topic: by name up to v12, by id in v13.
    struct ProduceTopic {
        name: String [0..=12],
        topic_id: Uuid [13..],
        partitions: Vec<ProducePartition> [0..],
    }

    /// Batches for one partition, as slices of the frame.
    struct ProducePartition {
        index: i32 [0..],
        records: Option<Bytes> [0..; null 0..],
    }

    /// Where each partition's batches are.
    message ProduceResponse (0..=13, flexible 9) {
        responses: Vec<TopicProduceResponse> [0..],
        throttle_time_ms: i32 [1..],
        node_endpoints: Vec<NodeEndpoint> [10..; tag 0 = Vec::new()],
    }

    /// One topic: by name up to v12, by id in v13.
    struct TopicProduceResponse {
        name: String [0..=12],
        topic_id: Uuid [13..],
        partition_responses: Vec<PartitionProduceResponse> [0..],
    }

    /// Where one partition's batches are, or why not. `log_append_time_ms`: -1 unless the log gives times.
    struct PartitionProduceResponse {
        index: i32 [0..],
        error_code: ErrorCode [0..],
        base_offset: i64 [0..],
        log_append_time_ms: i64 [2..] = -1,
        log_start_offset: i64 [5..] = -1,
        record_errors: Vec<BatchIndexAndErrorMessage> [8..],
        error_message: Option<String> [8..; null 8..],
        current_leader: LeaderIdAndEpoch [10..; tag 0 = LeaderIdAndEpoch::default()],
    }

    /// What is wrong with one record (KIP-467).
    struct BatchIndexAndErrorMessage {
        batch_index: i32 [8..],
        batch_index_error_message: Option<String> [8..; null 8..],
    }

    /// Who leads the partition now (KIP-951).
    struct LeaderIdAndEpoch {
        leader_id: i32 [10..] = -1,
        leader_epoch: i32 [10..] = -1,
    }

    /// Where to reach a leader named in the answer (KIP-951).
    struct NodeEndpoint {
        node_id: i32 [10..],
        host: String [10..],
        port: i32 [10..],
        rack: Option<String> [10..; null 10..],
    }
}

//! Produce: batches in, as slices of the frame; where they are, out.
//!
//! Versions 0 to 2 are listed to clients (`versions.rs`) but have no answer: like Kafka 4, the connection closes.

use crate::wire::codes::ErrorCode;
use crate::wire::table::messages;
use bytes::Bytes;
use uuid::Uuid;

messages! {
    /// Batches to append. `acks`: 0 no answer, 1 and -1 (all) once stored.
    message ProduceRequest (3..=13, flexible 9) {
        transactional_id: Option<String> [3..; null 3..],
        acks: i16 [3..],
        timeout_ms: i32 [3..],
        topic_data: Vec<TopicProduceData> [3..],
    }

    /// The partitions of one topic: by name up to v12, by id in v13.
    struct TopicProduceData {
        name: String [3..=12],
        topic_id: Uuid [13..],
        partition_data: Vec<PartitionProduceData> [3..],
    }

    /// Batches for one partition, as slices of the frame.
    struct PartitionProduceData {
        index: i32 [3..],
        records: Option<Bytes> [3..; null 3..],
    }

    /// Where each partition's batches are.
    message ProduceResponse (3..=13, flexible 9) {
        responses: Vec<TopicProduceResponse> [3..],
        throttle_time_ms: i32 [3..],
        node_endpoints: Vec<NodeEndpoint> [10..; tag 0 = Vec::new()],
    }

    /// One topic: by name up to v12, by id in v13.
    struct TopicProduceResponse {
        name: String [3..=12],
        topic_id: Uuid [13..],
        partition_responses: Vec<PartitionProduceResponse> [3..],
    }

    /// Where one partition's batches are, or why not. `log_append_time_ms`: -1 unless the log gives times.
    struct PartitionProduceResponse {
        index: i32 [3..],
        error_code: ErrorCode [3..],
        base_offset: i64 [3..],
        log_append_time_ms: i64 [3..] = -1,
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

//! Fetch: the answer is written around slices of stored batches, which are never copied ([`Answer`](super::Answer)).

use crate::wire::codes::ErrorCode;
use crate::wire::produce::{LeaderIdAndEpoch, NodeEndpoint};
use crate::wire::table::messages;
use bytes::Bytes;
use uuid::Uuid;

impl PartitionData {
    /// A partition without records and, as Kafka spells "unknown", with bounds of -1.
    pub fn error(partition_index: i32, error_code: ErrorCode) -> Self {
        Self { partition_index, error_code, high_watermark: -1, ..Self::default() }
    }

    /// Bytes of all slices.
    pub fn records_bytes(&self) -> usize {
        self.records.iter().map(Bytes::len).sum()
    }
}

messages! {
    /// Asks for batches. Without a session (KIP-227) `session_epoch` is -1 and `topics` is all that is read.
    message FetchRequest (4..=18, flexible 12) {
        replica_id: i32 [4..=14] = -1,
        max_wait_ms: i32 [4..],
        min_bytes: i32 [4..],
        max_bytes: i32 [4..] = i32::MAX,
        isolation_level: i8 [4..],
        session_id: i32 [7..],
        session_epoch: i32 [7..] = -1,
        topics: Vec<FetchTopic> [4..],
        forgotten_topics_data: Vec<ForgottenTopic> [7..],
        rack_id: String [11..],
        cluster_id: Option<String> [12..; null 12..; tag 0 = None],
        replica_state: ReplicaState [15..; tag 1 = ReplicaState::default()],
    }

    /// Partitions of one topic: by name up to v12, by id from v13.
    struct FetchTopic {
        topic: String [4..=12],
        topic_id: Uuid [13..],
        partitions: Vec<FetchPartition> [4..],
    }

    /// One partition and where to read on.
    struct FetchPartition {
        partition: i32 [4..],
        current_leader_epoch: i32 [9..] = -1,
        fetch_offset: i64 [4..],
        last_fetched_epoch: i32 [12..] = -1,
        log_start_offset: i64 [5..] = -1,
        partition_max_bytes: i32 [4..],
        replica_directory_id: Uuid [17..; tag 0 = Uuid::nil()],
        high_watermark: i64 [18..; tag 1 = i64::MAX],
    }

    /// Partitions that leave the session.
    struct ForgottenTopic {
        topic: String [7..=12],
        topic_id: Uuid [13..],
        partitions: Vec<i32> [7..],
    }

    /// Which follower asks, from v15 in place of `replica_id`.
    struct ReplicaState {
        replica_id: i32 [15..] = -1,
        replica_epoch: i64 [15..] = -1,
    }

    /// Batches, as slices of where they are stored.
    message FetchResponse (4..=18, flexible 12) {
        throttle_time_ms: i32 [4..],
        error_code: ErrorCode [7..],
        session_id: i32 [7..],
        responses: Vec<FetchableTopicResponse> [4..],
        node_endpoints: Vec<NodeEndpoint> [16..; tag 0 = Vec::new()],
    }

    /// One topic: by name up to v12, by id from v13.
    struct FetchableTopicResponse {
        topic: String [4..=12],
        topic_id: Uuid [13..],
        partitions: Vec<PartitionData> [4..],
    }

    /// One partition: its bounds and its batches. `records`: the bytes of whole batches, in order, in any number of
    /// slices; none is written as empty.
    struct PartitionData {
        partition_index: i32 [4..],
        error_code: ErrorCode [4..],
        high_watermark: i64 [4..],
        last_stable_offset: i64 [4..] = -1,
        log_start_offset: i64 [5..] = -1,
        aborted_transactions: Option<Vec<AbortedTransaction>> [4..; null 4..] = Some(Vec::new()),
        preferred_read_replica: i32 [11..] = -1,
        records: Vec<Bytes> [4..],
        diverging_epoch: EpochEndOffset [12..; tag 0 = EpochEndOffset::default()],
        current_leader: LeaderIdAndEpoch [12..; tag 1 = LeaderIdAndEpoch::default()],
        snapshot_id: SnapshotId [12..; tag 2 = SnapshotId::default()],
    }

    /// A transaction whose records the reader skips.
    struct AbortedTransaction {
        producer_id: i64 [4..],
        first_offset: i64 [4..],
    }

    /// Where the reader's log and this one part (followers only).
    struct EpochEndOffset {
        epoch: i32 [12..] = -1,
        end_offset: i64 [12..] = -1,
    }

    /// The snapshot a follower must read instead.
    struct SnapshotId {
        end_offset: i64 [12..] = -1,
        epoch: i32 [12..] = -1,
    }
}

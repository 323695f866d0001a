//! The topics under load: what each is there for, and what its log may do besides growing.

use super::audit::Audited;
use crate::Client;
use thalweg_loadgen::verify::Ledger;
use uuid::Uuid;

/// How a log's start may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Not at all.
    Fixed,
    /// By retention, which leaves at least so many bytes.
    Retained(u64),
    /// By DeleteRecords.
    Cut,
}

/// What a topic is and how it is written to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) partitions: i32,
    pub(super) configs: &'static [(&'static str, &'static str)],
    pub(super) start: Start,
    pub(super) connections: u32,
    /// Records a second, drawn from this range.
    pub(super) rate: (u64, u64),
    pub(super) record_bytes: (usize, usize),
    /// Most records of a batch.
    pub(super) batch_records: (u32, u32),
}

const RETAINED_BYTES: u64 = 2_097_152;

/// Three hundred partitions: thin ones in number, segments that roll by size and by time, large runs, cut and retained logs.
pub(super) const KINDS: [Kind; 8] = [
    Kind {
        name: "thin",
        partitions: 120,
        configs: &[],
        start: Start::Fixed,
        connections: 12,
        rate: (500, 5_000),
        record_bytes: (10, 300),
        batch_records: (1, 4),
    },
    Kind {
        name: "plain",
        partitions: 64,
        configs: &[],
        start: Start::Fixed,
        connections: 8,
        rate: (500, 4_000),
        record_bytes: (100, 1_400),
        batch_records: (1, 20),
    },
    Kind {
        name: "rolled_by_time",
        partitions: 24,
        configs: &[("segment.ms", "150")],
        start: Start::Fixed,
        connections: 4,
        rate: (300, 2_000),
        record_bytes: (100, 1_000),
        batch_records: (1, 5),
    },
    Kind {
        name: "rolled_by_size",
        partitions: 6,
        configs: &[("segment.bytes", "1048576")],
        start: Start::Fixed,
        connections: 3,
        rate: (1_000, 6_000),
        record_bytes: (500, 2_000),
        batch_records: (4, 60),
    },
    Kind {
        name: "large",
        partitions: 6,
        configs: &[("segment.bytes", "4194304")],
        start: Start::Fixed,
        connections: 6,
        rate: (1_000, 8_000),
        record_bytes: (1_000, 1_400),
        batch_records: (200, 600),
    },
    Kind {
        name: "retained",
        partitions: 8,
        configs: &[("segment.bytes", "1048576"), ("retention.bytes", "2097152")],
        start: Start::Retained(RETAINED_BYTES),
        connections: 4,
        rate: (2_000, 8_000),
        record_bytes: (500, 1_500),
        batch_records: (5, 100),
    },
    Kind {
        name: "cut",
        partitions: 24,
        configs: &[("segment.ms", "400")],
        start: Start::Cut,
        connections: 4,
        rate: (300, 3_000),
        record_bytes: (50, 700),
        batch_records: (1, 30),
    },
    Kind {
        name: "grouped",
        partitions: 24,
        configs: &[],
        start: Start::Fixed,
        connections: 6,
        rate: (500, 3_000),
        record_bytes: (50, 500),
        batch_records: (1, 10),
    },
];

/// The topic that groups read.
pub(super) const GROUPED: usize = KINDS.len() - 1;
/// The topic whose records are deleted.
pub(super) const CUT: usize = KINDS.len() - 2;

/// A topic as it stands: made in some round, written to in each since.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) kind: Kind,
    pub(super) id: Uuid,
    /// Rounds since it was made.
    pub(super) age: u32,
    /// One of each run that wrote to it.
    pub(super) ledgers: Vec<Ledger>,
    /// What was found in it so far, by partition.
    pub(super) audited: Vec<Audited>,
}

impl Topic {
    /// Makes the topic.
    pub(super) fn make(kind: Kind, client: &mut Client) -> Self {
        let id = client.create_topic_with(kind.name, kind.partitions, kind.configs);
        let audited = vec![Audited::default(); kind.partitions as usize];
        Self { kind, id, age: 0, ledgers: Vec::new(), audited }
    }
}

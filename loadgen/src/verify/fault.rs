//! Kinds of faults, counted, with a few examples of each.
use std::collections::BTreeMap;

use serde::Serialize;

/// Examples kept of each kind: enough to look, not enough to drown in.
const EXAMPLES_MAX: usize = 5;

/// What can be wrong with what a broker served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// An acknowledged record (without a ledger: one before others of its stream) is not there.
    Lost,
    /// A record is there more than once.
    Doubled,
    /// A record stands behind one that was sent after it.
    OutOfOrder,
    /// A batch's CRC, length, count or packing is wrong.
    BatchBroken,
    /// A record's tag, key or value changed although its batch is whole.
    RecordChanged,
    /// Offsets jump forward.
    OffsetHole,
    /// Offsets jump back.
    OffsetBack,
    /// An acknowledged record is not at the offset the acknowledgement named.
    Misplaced,
    /// A record that the broker refused, or that was never sent, is there.
    Uninvited,
    /// `ListOffsets` and what could be read do not agree.
    BoundsDisagree,
    /// A partition could not be read to its end.
    Unreadable,
}

impl FaultKind {
    /// In words, for the report.
    pub fn words(self) -> &'static str {
        match self {
            Self::Lost => "lost records",
            Self::Doubled => "doubled records",
            Self::OutOfOrder => "records out of order",
            Self::BatchBroken => "broken batches",
            Self::RecordChanged => "changed records",
            Self::OffsetHole => "missing offsets",
            Self::OffsetBack => "offsets served again",
            Self::Misplaced => "records not at their acknowledged offset",
            Self::Uninvited => "records that nobody should have stored",
            Self::BoundsDisagree => "partitions whose ListOffsets disagree with what was read",
            Self::Unreadable => "partitions that could not be read to their end",
        }
    }
}

/// Counts and examples.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Faults(BTreeMap<FaultKind, Found>);

/// One kind's share.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Found {
    /// How many records, batches, offsets or partitions.
    pub count: u64,
    /// The first few, in words.
    pub examples: Vec<String>,
}

impl Faults {
    /// Counts `count` more of `kind`; `example` is called only while examples are wanted.
    pub fn add(&mut self, kind: FaultKind, count: u64, example: impl FnOnce() -> String) {
        let found = self.0.entry(kind).or_default();
        found.count += count;
        if found.examples.len() < EXAMPLES_MAX {
            found.examples.push(example());
        }
    }

    /// Takes over all of `other`.
    pub fn merge(&mut self, other: Self) {
        for (kind, found) in other.0 {
            let own = self.0.entry(kind).or_default();
            own.count += found.count;
            let room = EXAMPLES_MAX.saturating_sub(own.examples.len());
            own.examples.extend(found.examples.into_iter().take(room));
        }
    }

    /// Forgets one kind and tells how many there were.
    pub fn forgive(&mut self, kind: FaultKind) -> u64 {
        self.0.remove(&kind).map_or(0, |found| found.count)
    }

    /// How many of `kind`.
    pub fn count(&self, kind: FaultKind) -> u64 {
        self.0.get(&kind).map_or(0, |found| found.count)
    }

    /// Nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All kinds found.
    pub fn iter(&self) -> impl Iterator<Item = (FaultKind, &Found)> {
        self.0.iter().map(|(kind, found)| (*kind, found))
    }
}

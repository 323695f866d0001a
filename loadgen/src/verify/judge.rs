//! Compare what the producers know with what was read, and say what is wrong.
//!
//! What is proven, for each partition that was read to its end:
//! - every acknowledged record is there, whole, at the offset its acknowledgement named; none is there twice if the run was
//!   idempotent; no refused record is there; the records of one producer stand in the order of sending;
//! - offsets are dense from the log's start to its end, and both are what `ListOffsets` says.
//!
//! Records below the log's start are gone by retention: told, not lost. A plain run that sent batches again may double and
//! reorder them: told, not a fault. Without a ledger each stream must be dense from 0 to its highest record.
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use serde::Serialize;

use super::{Checker, FaultKind, Faults, Ledger, Outcomes, PartitionCheck, Ranges, StreamCheck};

/// Start and end of one partition by `ListOffsets`, before and after it was read.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Asked before.
    pub before: Range<i64>,
    /// Asked after.
    pub after: Range<i64>,
    /// Reading was meant to reach the end.
    pub complete: bool,
}

/// The outcome of a verification.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// Partitions read.
    pub partitions: u64,
    /// Records read.
    pub records: u64,
    /// Of them, without a tag: only their batch could be checked.
    pub untagged_records: u64,
    /// Acknowledged by the ledgers given, and within what was read.
    pub acknowledged_records: u64,
    /// Acknowledged, but below the log's start now.
    pub expired_records: u64,
    /// Of those with unknown outcome, found after all.
    pub unknown_found_records: u64,
    /// Of those with unknown outcome, not found.
    pub unknown_absent_records: u64,
    /// Found more than once where a plain run had sent batches again.
    pub forgiven_doubled_records: u64,
    /// Found out of order where a plain run had sent batches again.
    pub forgiven_out_of_order_records: u64,
    /// What is wrong; empty: proven.
    pub faults: Faults,
}

impl Verdict {
    /// Nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Compares. `bounds` has an entry for each partition that was to be read.
pub fn judge(checker: Checker, ledgers: &[Ledger], bounds: &BTreeMap<i32, Bounds>) -> Verdict {
    let untagged_records = checker.partitions.values().map(|partition| partition.untagged_count).sum();
    let mut verdict = Verdict {
        partitions: checker.partitions.len() as u64,
        records: checker.record_count(),
        untagged_records,
        faults: checker.faults,
        ..Verdict::default()
    };
    for (index, partition) in &checker.partitions {
        let known = bounds.get(index);
        if let Some(bounds) = known {
            check_bounds(&mut verdict.faults, *index, &partition.offsets, bounds);
        }
        let place = Place { index: *index, partition, complete: known.is_some_and(|bounds| bounds.complete) };
        for ((run, producer), stream) in &partition.streams {
            match ledgers.iter().find(|ledger| ledger.run == *run) {
                Some(ledger) => judge_extra(&mut verdict, &place, *producer, stream, ledger),
                None => judge_alone(&mut verdict, &place, (*run, *producer), stream),
            }
        }
    }
    for ledger in ledgers {
        for ((producer, index), outcomes) in &ledger.streams {
            let Some(partition) = checker.partitions.get(index) else { continue };
            let complete = bounds.get(index).is_some_and(|bounds| bounds.complete);
            let place = Place { index: *index, partition, complete };
            judge_acknowledged(&mut verdict, &place, (ledger.run, *producer), outcomes);
        }
    }
    verdict
}

/// Where a stream was read.
struct Place<'a> {
    index: i32,
    partition: &'a PartitionCheck,
    /// It was to be read to its end: what is acknowledged behind it is lost.
    complete: bool,
}

fn check_bounds(faults: &mut Faults, partition: i32, read: &Range<i64>, bounds: &Bounds) {
    let Bounds { before, after, complete } = bounds;
    let mut disagree = |what: String| {
        faults.add(FaultKind::BoundsDisagree, 1, || format!("partition {partition}: {what}"));
    };
    if after.start < before.start || after.end < before.end {
        disagree(format!("bounds went back from {before:?} to {after:?}"));
    }
    if read.end > after.end {
        disagree(format!("records up to {} were served, the end is said to be {}", read.end, after.end));
    }
    if read.end < before.end && *complete {
        faults.add(FaultKind::Unreadable, 1, || {
            format!("partition {partition}: read up to {}, the end was said to be {}", read.end, before.end)
        });
    }
}

/// A stream whose run left no ledger here: dense, once, in order.
fn judge_alone(verdict: &mut Verdict, place: &Place<'_>, (run, producer): (u64, u32), stream: &StreamCheck) {
    let index = place.index;
    // Where the log does not begin at 0, or reading did not, the stream's beginning may be out of sight.
    let start = if place.partition.offsets.start > 0 { stream.seen.first().unwrap_or(0) } else { 0 };
    for missing in stream.seen.missing_in(start..stream.seen.end()) {
        verdict.faults.add(FaultKind::Lost, missing.end - missing.start, || {
            format!("run {run:016x}, producer {producer}, partition {index}: sequences {missing:?} are missing (no ledger given)")
        });
    }
    add_repetitions(&mut verdict.faults, index, producer, stream);
}

/// What is in the log of a stream beyond what was acknowledged.
fn judge_extra(
    verdict: &mut Verdict,
    place: &Place<'_>,
    producer: u32,
    stream: &StreamCheck,
    ledger: &Ledger,
) {
    let mut found = Faults::default();
    add_repetitions(&mut found, place.index, producer, stream);
    if !ledger.idempotent && ledger.repeated > 0 {
        verdict.forgiven_doubled_records += found.forgive(FaultKind::Doubled);
        verdict.forgiven_out_of_order_records += found.forgive(FaultKind::OutOfOrder);
    }
    verdict.faults.merge(found);
    let none = Outcomes::default();
    let outcomes = ledger.streams.get(&(producer, place.index)).unwrap_or(&none);
    let mut invited = Ranges::default();
    for placed in &outcomes.acknowledged {
        invited.add(placed.sequences.clone());
    }
    for unknown in &outcomes.unknown {
        let missing: u64 =
            stream.seen.missing_in(unknown.clone()).iter().map(|gap| gap.end - gap.start).sum();
        verdict.unknown_absent_records += missing;
        verdict.unknown_found_records += unknown.end - unknown.start - missing;
        invited.add(unknown.clone());
    }
    for seen in stream.seen.iter() {
        for uninvited in invited.missing_in(seen) {
            verdict.faults.add(FaultKind::Uninvited, uninvited.end - uninvited.start, || {
                format!(
                    "producer {producer}, partition {}: sequences {uninvited:?} were refused or never sent",
                    place.index
                )
            });
        }
    }
}

fn add_repetitions(faults: &mut Faults, partition: i32, producer: u32, stream: &StreamCheck) {
    if stream.doubled_count > 0 {
        faults.add(FaultKind::Doubled, stream.doubled_count, || {
            format!(
                "producer {producer}, partition {partition}: sequences {:?}",
                first_ranges(&stream.doubled)
            )
        });
    }
    let out_of_order = stream.out_of_order.count();
    if out_of_order > 0 {
        faults.add(FaultKind::OutOfOrder, out_of_order, || {
            format!(
                "producer {producer}, partition {partition}: sequences {:?}",
                first_ranges(&stream.out_of_order)
            )
        });
    }
}

fn first_ranges(ranges: &Ranges) -> Vec<Range<u64>> {
    ranges.iter().take(3).collect()
}

/// Every acknowledged record is there, at its offset.
fn judge_acknowledged(
    verdict: &mut Verdict,
    place: &Place<'_>,
    (run, producer): (u64, u32),
    outcomes: &Outcomes,
) {
    let none = StreamCheck::default();
    let stream = place.partition.streams.get(&(run, producer)).unwrap_or(&none);
    // Sequence minus offset is the same for all records of a placed range: the key under which to find it again.
    let mut found: HashMap<i64, Vec<&Range<u64>>> = HashMap::new();
    for placed in &stream.placed {
        let shift = placed.sequences.start as i64 - placed.base_offset.unwrap_or(-1);
        found.entry(shift).or_default().push(&placed.sequences);
    }
    let read = &place.partition.offsets;
    let read_end = if place.complete { i64::MAX } else { read.end };
    for placed in &outcomes.acknowledged {
        let sequences = placed.sequences.clone();
        let Some(base_offset) = placed.base_offset else {
            // A broker that answers a repeated batch need not know its offset any more.
            verdict.acknowledged_records += sequences.end - sequences.start;
            report_lost(verdict, place.index, producer, &stream.seen.missing_in(sequences));
            continue;
        };
        // Only what lies where reading went can be judged.
        let shift = sequences.start as i64 - base_offset;
        let end_offset = base_offset + (sequences.end - sequences.start) as i64;
        let sequence_at = |offset: i64| (offset.clamp(base_offset, end_offset) + shift) as u64;
        let judged = sequence_at(read.start)..sequence_at(read_end);
        verdict.expired_records += judged.start - sequences.start;
        verdict.acknowledged_records += judged.end.saturating_sub(judged.start);
        let missing = stream.seen.missing_in(judged.clone());
        report_lost(verdict, place.index, producer, &missing);
        let missing_count: u64 = missing.iter().map(|gap| gap.end - gap.start).sum();
        let at_place: u64 = found.get(&shift).map_or(0, |ranges| {
            ranges
                .iter()
                .map(|range| range.end.min(judged.end).saturating_sub(range.start.max(judged.start)))
                .sum()
        });
        let misplaced = judged.end.saturating_sub(judged.start + missing_count + at_place);
        if misplaced > 0 {
            verdict.faults.add(FaultKind::Misplaced, misplaced, || {
                format!(
                    "producer {producer}, partition {}: sequences {judged:?}, acknowledged at {base_offset}",
                    place.index
                )
            });
        }
    }
}

fn report_lost(verdict: &mut Verdict, partition: i32, producer: u32, missing: &[Range<u64>]) {
    for gap in missing {
        verdict.faults.add(FaultKind::Lost, gap.end - gap.start, || {
            format!(
                "producer {producer}, partition {partition}: acknowledged sequences {gap:?} are not there"
            )
        });
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;

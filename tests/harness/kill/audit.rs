//! What is in the logs after all that was done to the broker, held against all that anybody was told.
//!
//! The load generator's ledgers, checker and judge do the records; here are the bounds, and that nothing changes once it was seen.

use super::stage::{Start, Topic};
use super::witness::{Seen, Testimony, fetch};
use crate::Client;
use crate::verbs::code;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};
use thalweg_loadgen::batch::Batches;
use thalweg_loadgen::client::{Control, Topic as Described};
use thalweg_loadgen::verify::{Bounds, Checker, judge};

const PARTITION_BYTES: i32 = 8 * 1024 * 1024;
const FETCH_BYTES: i32 = 32 * 1024 * 1024;
/// Every partition of a topic answers and was read within this time, or is named.
const READ_WITHIN: Duration = Duration::from_secs(60);
const CLIENT: &str = "thalweg-tests";

/// What is known of one partition: found by earlier audits, seen by consumers, answered to those who cut it.
#[derive(Clone, Debug, Default)]
pub(super) struct Audited {
    /// Offsets below were read and judged.
    pub(super) end: i64,
    /// The highest log start that anybody was told; none lower may follow.
    pub(super) log_start: i64,
    /// The highest offset that anybody asked to be the log's start.
    pub(super) log_start_asked: i64,
    /// Every batch that anybody was given, by base offset.
    pub(super) batches: BTreeMap<i64, Seen>,
}

/// Reads one topic: what is new since its last audit, or with `whole` everything; returns what is wrong.
pub(super) fn audit(address: &str, topic: &mut Topic, testimony: &Testimony, whole: bool) -> Vec<String> {
    let name = topic.kind.name;
    match Auditor::begin(address, topic, testimony, whole).and_then(Auditor::end) {
        Ok(violations) => violations.into_iter().map(|what| format!("{name}: {what}")).collect(),
        Err(error) => vec![format!("{name} cannot be audited: {error}")],
    }
}

/// First and next offset of each partition.
type Ends = BTreeMap<i32, Range<i64>>;

struct Auditor<'a> {
    client: Client,
    control: Control,
    described: Described,
    topic: &'a mut Topic,
    before: Ends,
    checker: Checker,
    whole: bool,
    positions: BTreeMap<(&'static str, i32), i64>,
    bytes: BTreeMap<i32, u64>,
    violations: Vec<String>,
}

impl<'a> Auditor<'a> {
    fn begin(
        address: &str,
        topic: &'a mut Topic,
        testimony: &Testimony,
        whole: bool,
    ) -> Result<Self, String> {
        let text = |error: thalweg_loadgen::client::ClientError| error.to_string();
        let client =
            Client::connect_within(address, Duration::from_secs(5)).map_err(|error| error.to_string())?;
        let mut control = Control::connect(address, CLIENT).map_err(text)?;
        let described = Described::look_up(&mut control, topic.kind.name).map_err(text)?;
        if described.partitions.len() != topic.kind.partitions as usize {
            return Err(format!("{} partitions", described.partitions.len()));
        }
        let before = described.bounds(CLIENT).map_err(text)?;
        let mut auditor = Self {
            client,
            control,
            described,
            topic,
            before,
            checker: Checker::default(),
            whole,
            positions: BTreeMap::new(),
            bytes: BTreeMap::new(),
            violations: Vec::new(),
        };
        auditor.hear(testimony);
        for partition in 0..auditor.topic.kind.partitions {
            auditor.enter(partition);
        }
        auditor.read();
        Ok(auditor)
    }

    /// What a consumer saw counts from now on; where it saw more than is there, something went away.
    fn hear(&mut self, testimony: &Testimony) {
        for (partition, known) in (0..).zip(&mut self.topic.audited) {
            let Some(sight) = testimony.sights.get(&(self.topic.kind.name, partition)) else { continue };
            known.log_start = known.log_start.max(sight.log_start);
            for (base, seen) in &sight.batches {
                if let Some(other) = known.batches.insert(*base, *seen)
                    && other != *seen
                {
                    self.violations.push(format!(
                        "partition {partition}, offset {base}: a consumer was given {seen:?}, before it was {other:?}"
                    ));
                }
            }
            let end = self.before.get(&partition).map_or(0, |bounds| bounds.end);
            if sight.high_watermark > end {
                self.violations.push(format!(
                    "partition {partition} ends at {end}, a consumer was told {}",
                    sight.high_watermark
                ));
            }
        }
    }

    /// Checks a partition's bounds and begins to read it.
    fn enter(&mut self, partition: i32) {
        let Some(bounds) = self.before.get(&partition).cloned() else {
            self.violations.push(format!("partition {partition} does not answer ListOffsets"));
            return;
        };
        let known = &mut self.topic.audited[partition as usize];
        let mut wrong = |what: String| self.violations.push(format!("partition {partition}: {what}"));
        if bounds.start < known.log_start {
            wrong(format!("the log starts at {}, before it was {}", bounds.start, known.log_start));
        }
        let start_max = match self.topic.kind.start {
            Start::Fixed => 0,
            Start::Cut => known.log_start_asked,
            Start::Retained(_) => bounds.end,
        };
        if bounds.start > start_max {
            wrong(format!("the log starts at {}, nobody asked for more than {start_max}", bounds.start));
        }
        if bounds.end < known.end {
            wrong(format!("the log ends at {}, it was read up to {}", bounds.end, known.end));
        }
        known.log_start = known.log_start.max(bounds.start);
        let from = if self.whole { bounds.start } else { known.end.max(bounds.start) };
        self.checker.begin(partition, from);
        self.positions.insert((self.topic.kind.name, partition), from);
        self.bytes.insert(partition, 0);
    }

    /// Reads every partition to the end it had.
    fn read(&mut self) {
        let deadline = Instant::now() + READ_WITHIN;
        loop {
            self.positions.retain(|(_, partition), at| *at < self.before[partition].end);
            if self.positions.is_empty() {
                return;
            }
            if Instant::now() > deadline {
                self.violations.push(format!("not read to their ends: {:?}", self.positions));
                return;
            }
            let request = fetch(self.positions.iter(), PARTITION_BYTES, FETCH_BYTES);
            let answer = match self.client.try_call(11, &request) {
                Ok(answer) => answer,
                Err(error) => {
                    self.violations.push(format!("a fetch was not answered: {error}"));
                    return;
                }
            };
            for part in answer.responses.into_iter().flat_map(|topic| topic.partitions) {
                self.take(part.partition_index, part.error_code, part.records.unwrap_or_default());
            }
        }
    }

    fn take(&mut self, partition: i32, error_code: i16, records: bytes::Bytes) {
        let place = (self.topic.kind.name, partition);
        let Some(at) = self.positions.get(&place).copied() else { return };
        if error_code == code::OFFSET_OUT_OF_RANGE && matches!(self.topic.kind.start, Start::Retained(_)) {
            return self.follow_retention(partition);
        }
        if error_code != code::NONE {
            self.violations.push(format!("partition {partition} answers {error_code} to a fetch at {at}"));
            self.positions.remove(&place);
            return;
        }
        let known = &mut self.topic.audited[partition as usize];
        for batch in Batches::new(records) {
            let batch = match batch {
                Ok(batch) => batch,
                Err(fault) => {
                    self.violations.push(format!("partition {partition}, behind {at}: {fault}"));
                    self.positions.remove(&place);
                    return;
                }
            };
            self.checker.batch(partition, &batch, |_| {});
            let header = batch.header();
            let end = header.base_offset() + header.last_offset_delta() + 1;
            let seen = Seen { end, crc: header.crc() };
            if let Some(other) = known.batches.insert(header.base_offset(), seen)
                && other != seen
            {
                self.violations.push(format!(
                    "partition {partition}, offset {}: {seen:?}, somebody was given {other:?}",
                    header.base_offset()
                ));
            }
            *self.bytes.entry(partition).or_default() += batch.batch_bytes() as u64;
            self.positions.insert(place, end);
        }
    }

    /// Retention was faster than the reader: reading goes on at the new start.
    fn follow_retention(&mut self, partition: i32) {
        match self.described.bounds(CLIENT) {
            Ok(bounds) => {
                let start = bounds[&partition].start;
                self.checker.begin(partition, start);
                self.positions.insert((self.topic.kind.name, partition), start);
                self.bytes.insert(partition, 0);
            }
            Err(error) => self.violations.push(format!("partition {partition}: {error}")),
        }
    }

    /// Judges what was read and keeps it for the next time.
    fn end(mut self) -> Result<Vec<String>, String> {
        let after = self.described.bounds(CLIENT).map_err(|error| error.to_string())?;
        self.look_for_what_went_away();
        let bounds = self.before.iter().map(|(partition, before)| {
            let after = after.get(partition).cloned().unwrap_or_default();
            (*partition, Bounds { before: before.clone(), after, complete: true })
        });
        let bounds: BTreeMap<_, _> = bounds.collect();
        for (partition, check) in &self.checker.partitions {
            let known = &mut self.topic.audited[*partition as usize];
            known.end = known.end.max(check.offsets.end);
            let strange = check
                .streams
                .keys()
                .filter(|(run, _)| self.topic.ledgers.iter().all(|ledger| ledger.run != *run));
            let strange: Vec<_> = strange.map(|(run, producer)| format!("{run:016x}/{producer}")).collect();
            if check.untagged_count > 0 || !strange.is_empty() {
                self.violations.push(format!(
                    "partition {partition}: {} records of nobody, records of {strange:?}, who never wrote to this topic",
                    check.untagged_count
                ));
            }
        }
        let verdict = judge(self.checker, &self.topic.ledgers, &bounds);
        for (kind, found) in verdict.faults.iter() {
            let examples = found.examples.join(" | ");
            self.violations.push(format!("{} {}: {examples}", found.count, kind.words()));
        }
        drop(self.control);
        Ok(self.violations)
    }

    /// Batches that somebody was given and that were not met where this audit read.
    fn look_for_what_went_away(&mut self) {
        for (partition, check) in &self.checker.partitions {
            let known = &self.topic.audited[*partition as usize];
            let read = &check.offsets;
            let mut next = None;
            for (base, seen) in &known.batches {
                if seen.end <= read.start {
                    continue;
                }
                // Read without a gap (the checker looks), so a batch that begins elsewhere is one that was not met.
                if next.is_some_and(|next| next != *base) || seen.end > read.end {
                    self.violations.push(format!(
                        "partition {partition}: a batch {base}..{} that somebody was given is not there; read {read:?}",
                        seen.end
                    ));
                    break;
                }
                next = Some(seen.end);
            }
            if let Start::Retained(bytes_min) = self.topic.kind.start
                && self.whole
                && read.start > 0
                && self.bytes[partition] < bytes_min
            {
                self.violations.push(format!(
                    "partition {partition}: retention left {} bytes, {bytes_min} are to be kept",
                    self.bytes[partition]
                ));
            }
        }
    }
}

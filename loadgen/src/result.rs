//! One run's result: the schema of the JSON, versioned.
//!
//! Fields are only ever added under one version; a change of meaning makes a new one. Times are in the unit of their name.
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::client::code_name;
use crate::consumer::{ReadTotals, Tally};
use crate::group;
use crate::histogram::LatencySummary;
use crate::machine::Machine;
use crate::producer::{Recorder, Totals};
use crate::series::Second;
use crate::spec::{self, Spec};
use crate::verify::Verdict;

/// Name and version of the schema.
pub const SCHEMA: &str = "thalweg-loadgen/1";
/// Examples of commits that were lost, of all groups together.
const GONE_BACK_MAX: usize = 5;

/// Everything about one run.
#[derive(Clone, Debug, Serialize)]
pub struct RunResult {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Wall clock at the start of the run, milliseconds since 1970.
    pub start_unix_ms: i64,
    /// The settings.
    pub spec: Option<Spec>,
    /// What it ran on.
    pub machine: Machine,
    /// The sending half.
    pub produce: Option<ProduceFigures>,
    /// The reading half.
    pub consume: Option<ConsumeFigures>,
    /// The groups.
    pub group: Option<GroupFigures>,
    /// From the intended send time to the consumer, per record.
    pub end_to_end_latency: Option<LatencySummary>,
    /// The proof, if one was asked for.
    pub verdict: Option<Verdict>,
    /// Processor time of the load generator, all threads, seconds.
    pub generator_cpu_s: f64,
    /// What to know before believing a figure.
    pub warnings: Vec<String>,
    /// What did not go as asked.
    pub failures: Vec<String>,
    /// Second by second, sending.
    pub produce_series: Vec<Second>,
    /// Second by second, reading.
    pub consume_series: Vec<Second>,
    /// Second by second, commits at a rate.
    pub group_series: Vec<Second>,
}

/// Rates over the measured window.
#[derive(Clone, Debug, Serialize)]
pub struct Rates {
    /// The measured window, seconds: after the warm-up, to the end of the load or the last answer.
    pub window_s: f64,
    /// Records in it.
    pub records: u64,
    /// Batches in it.
    pub batches: u64,
    /// Bytes of batches in it, as they crossed the network.
    pub batch_bytes: u64,
    /// Records a second.
    pub records_per_s: f64,
    /// Batches a second.
    pub batches_per_s: f64,
    /// Bytes of batches a second, in millions.
    pub mb_per_s: f64,
}

impl Rates {
    fn new(window: Duration, records: u64, batches: u64, batch_bytes: u64) -> Self {
        let window_s = window.as_secs_f64();
        let per_s = |count: f64| if window_s > 0.0 { count / window_s } else { 0.0 };
        Self {
            window_s,
            records,
            batches,
            batch_bytes,
            records_per_s: per_s(records as f64),
            batches_per_s: per_s(batches as f64),
            mb_per_s: per_s(batch_bytes as f64) / 1e6,
        }
    }
}

/// The sending half.
#[derive(Clone, Debug, Serialize)]
pub struct ProduceFigures {
    /// Number of the run, as in the records' tags.
    pub run: String,
    /// Batches left at the times of a plan; else as fast as answers came.
    pub open_loop: bool,
    /// Records were made before the run and sent again and again; else each batch was made when it was due.
    pub prebuilt_batches: bool,
    /// Partitions written to.
    pub partition_count: usize,
    /// Inside of the measured window.
    pub rates: Rates,
    /// All that was acknowledged, warm-up and end included.
    pub acknowledged_records: u64,
    /// Mean bytes of a batch.
    pub batch_bytes_mean: f64,
    /// Bytes of keys and values divided by bytes of batches.
    pub payload_ratio: f64,
    /// From the intended time to the acknowledgement, per batch.
    pub latency: LatencySummary,
    /// Part of it before the batch was given to the connection.
    pub wait: LatencySummary,
    /// Answers with an error, by Kafka's name.
    pub errors: BTreeMap<String, u64>,
    /// Batches sent again.
    pub repeated_batches: u64,
    /// Connections that broke.
    pub lost_links: u64,
    /// Records whose outcome nobody knows.
    pub unknown_records: u64,
    /// Records the broker refused.
    pub refused_records: u64,
    /// Records that were due and never sent.
    pub unsent_records: u64,
}

impl ProduceFigures {
    /// From the merged recorder of all threads.
    pub fn new(recorder: &Recorder, run: u64, facts: &ProduceFacts) -> Self {
        let end = facts
            .end
            .map_or(recorder.last_acknowledged, |end| end.min(recorder.last_acknowledged.max(facts.stopped)));
        let Totals { records, batches, batch_bytes, payload_bytes } = recorder.measured;
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        Self {
            run: format!("{run:016x}"),
            open_loop: facts.open_loop,
            prebuilt_batches: facts.prebuilt_batches,
            partition_count: facts.partition_count,
            rates: Rates::new(end.saturating_sub(facts.warm_up), records, batches, batch_bytes),
            acknowledged_records: recorder.acknowledged.records,
            batch_bytes_mean: share(batch_bytes, batches),
            payload_ratio: share(payload_bytes, batch_bytes),
            latency: recorder.latencies.summary(),
            wait: recorder.waits.summary(),
            errors: named(&recorder.errors),
            repeated_batches: recorder.repeated_batches,
            lost_links: recorder.lost_links,
            unknown_records: recorder.unknown_records,
            refused_records: recorder.refused_records,
            unsent_records: recorder.unsent_records,
        }
    }
}

/// What a recorder does not know of its run.
#[derive(Clone, Copy, Debug)]
pub struct ProduceFacts {
    /// The load had a plan.
    pub open_loop: bool,
    /// Batches came from a ring.
    pub prebuilt_batches: bool,
    /// Partitions of the topic.
    pub partition_count: usize,
    /// Not measured before.
    pub warm_up: Duration,
    /// The load was to end here.
    pub end: Option<Duration>,
    /// When the last thread ended.
    pub stopped: Duration,
}

/// The reading half.
#[derive(Clone, Debug, Serialize)]
pub struct ConsumeFigures {
    /// Partitions read.
    pub partition_count: usize,
    /// Inside of the measured window.
    pub rates: Rates,
    /// All that was read, warm-up included.
    pub read_records: u64,
    /// Answers with records in the window.
    pub fetches: u64,
    /// Answers without.
    pub empty_fetches: u64,
    /// Mean bytes of an answer's batches.
    pub fetch_bytes_mean: f64,
    /// From asking to the last byte of an answer, of answers with records; includes the broker's waiting for new ones.
    pub fetch_latency: LatencySummary,
    /// Answers with an error, by Kafka's name.
    pub errors: BTreeMap<String, u64>,
    /// Connections that broke.
    pub lost_links: u64,
}

impl ConsumeFigures {
    /// From the merged tally of all threads.
    pub fn new(tally: &Tally, partition_count: usize, warm_up: Duration, end: Option<Duration>) -> Self {
        let until = end.map_or(tally.last_read, |end| end.min(tally.last_read));
        let ReadTotals { records, batches, batch_bytes, fetches, empty_fetches } = tally.measured;
        Self {
            partition_count,
            rates: Rates::new(until.saturating_sub(warm_up), records, batches, batch_bytes),
            read_records: tally.all.records,
            fetches,
            empty_fetches,
            fetch_bytes_mean: if fetches == 0 { 0.0 } else { batch_bytes as f64 / fetches as f64 },
            fetch_latency: tally.fetches.summary(),
            errors: named(&tally.errors),
            lost_links: tally.lost_links,
        }
    }
}

/// The groups of a run.
#[derive(Clone, Debug, Serialize)]
pub struct GroupFigures {
    /// Groups.
    pub group_count: u32,
    /// Members alive at the end, all groups together.
    pub live_members: u64,
    /// Generations that a member reached, all groups together.
    pub rebalances: u64,
    /// The script, with what each line brought about.
    pub events: Vec<EventFigures>,
    /// Share of the time in which assignments were stable: all live members in one generation, every partition owned once.
    pub stable_share: f64,
    /// Time without a reader, by partition and rebalance; before a partition's first reader nothing stood still.
    pub stop_the_world: LatencySummary,
    /// From asking to join to the answer with a generation; includes the waiting for other members.
    pub join_latency: LatencySummary,
    /// From asking for a share to having it; includes the waiting for the leader.
    pub sync_latency: LatencySummary,
    /// Heartbeats.
    pub heartbeat_latency: LatencySummary,
    /// Seconds over which commits at a rate are counted: after the warm-up, to the end of the run.
    pub commit_window_s: f64,
    /// Commits a second.
    pub commits_per_s: f64,
    /// Offsets in them a second.
    pub committed_offsets_per_s: f64,
    /// Commits at a rate, from the intended time.
    pub commit_latency: LatencySummary,
    /// Commits that were due and never sent.
    pub unsent_commits: u64,
    /// Commits without an answer.
    pub lost_commits: u64,
    /// Records that reached members.
    pub read_records: u64,
    /// Of them, records that had reached a member of the group before.
    pub doubled_records: u64,
    /// Records of the log that reached no member of a group; `null`: nobody read.
    pub missed_records: Option<u64>,
    /// The first few, in words.
    pub missed_examples: Vec<String>,
    /// Offsets of each group whose commits were answered, by partition; -1: none.
    pub committed_offsets: BTreeMap<String, Vec<i64>>,
    /// Committed offsets that were told lower than a commit that had been answered.
    pub gone_back_offsets: u64,
    /// The first few, in words.
    pub gone_back_examples: Vec<String>,
    /// How often a partition got a reader while it had another.
    pub overlaps: u64,
    /// Answers with an error, by API and Kafka's name.
    pub errors: BTreeMap<String, u64>,
    /// Connections that broke.
    pub lost_links: u64,
    /// Members that gave up.
    pub failed_members: u64,
}

/// One line of the script.
#[derive(Clone, Debug, Serialize)]
pub struct EventFigures {
    /// In words.
    pub event: String,
    /// Groups to which it happened.
    pub group_count: u64,
    /// Groups that were not stable after it any more.
    pub never_stable: u64,
    /// From its end to the next stable assignment, by group.
    pub time_to_stable: LatencySummary,
}

impl GroupFigures {
    /// From the merged tally of all threads.
    pub fn new(
        tally: &group::Tally,
        groups: &[group::Group],
        spec: &spec::Group,
        missed: Option<group::Missed>,
        elapsed: Duration,
    ) -> Self {
        let window_s = tally.end.min(elapsed).saturating_sub(tally.warm_up).as_secs_f64();
        let per_s = |count: u64| if window_s > 0.0 { count as f64 / window_s } else { 0.0 };
        let (stable, whole) = (tally.stable_of.0.as_secs_f64(), tally.stable_of.1.as_secs_f64());
        let events = spec.events.iter().zip(&tally.events).map(|(event, figures)| EventFigures {
            event: event.words(),
            group_count: figures.group_count,
            never_stable: figures.group_count - figures.settled.count(),
            time_to_stable: figures.settled.summary(),
        });
        let committed =
            groups.iter().map(|group| (group.name.clone(), group.committed.answered().to_vec())).collect();
        let gone_back =
            groups.iter().flat_map(|group| &group.committed.examples).take(GONE_BACK_MAX).cloned().collect();
        let errors =
            tally.errors.iter().map(|((api, code), count)| (format!("{api} {}", code_name(*code)), *count));
        Self {
            group_count: spec.group_count,
            live_members: tally.live_members,
            rebalances: tally.generations,
            events: events.collect(),
            stable_share: if whole > 0.0 { stable / whole } else { 0.0 },
            stop_the_world: tally.gaps.summary(),
            join_latency: tally.joins.summary(),
            sync_latency: tally.syncs.summary(),
            heartbeat_latency: tally.beats.summary(),
            commit_window_s: window_s,
            commits_per_s: per_s(tally.committed),
            committed_offsets_per_s: per_s(tally.committed_offsets),
            commit_latency: tally.commits.summary(),
            unsent_commits: tally.unsent_commits,
            lost_commits: tally.lost_commits,
            read_records: tally.records,
            doubled_records: tally.doubled_records,
            missed_records: missed.as_ref().map(|missed| missed.records),
            missed_examples: missed.map(|missed| missed.examples).unwrap_or_default(),
            committed_offsets: committed,
            gone_back_offsets: groups.iter().map(|group| group.committed.gone_back).sum(),
            gone_back_examples: gone_back,
            overlaps: tally.overlaps,
            errors: errors.collect(),
            lost_links: tally.lost_links,
            failed_members: tally.failure_count,
        }
    }
}

fn named(errors: &BTreeMap<i16, u64>) -> BTreeMap<String, u64> {
    errors.iter().map(|(code, count)| (code_name(*code), *count)).collect()
}

impl RunResult {
    /// An empty result of a run that starts now.
    pub fn new(machine: Machine, start_unix_ms: i64) -> Self {
        Self {
            schema: SCHEMA,
            start_unix_ms,
            spec: None,
            warnings: machine.warnings(),
            machine,
            produce: None,
            consume: None,
            group: None,
            end_to_end_latency: None,
            verdict: None,
            generator_cpu_s: 0.0,
            failures: Vec::new(),
            produce_series: Vec::new(),
            consume_series: Vec::new(),
            group_series: Vec::new(),
        }
    }

    /// Exit status: 0 good; 1 the run did not go as asked; 3 the proof failed.
    pub fn exit_status(&self) -> u8 {
        let refused = self.produce.as_ref().is_some_and(|produce| produce.refused_records > 0);
        let missed = self.group.as_ref().is_some_and(|group| group.missed_records.unwrap_or(0) > 0);
        let gone_back = self.group.as_ref().is_some_and(|group| group.gone_back_offsets > 0);
        match &self.verdict {
            Some(verdict) if !verdict.is_good() => 3,
            _ if missed || gone_back => 3,
            _ if !self.failures.is_empty() || refused => 1,
            _ => 0,
        }
    }
}

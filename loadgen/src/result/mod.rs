//! One run's result: the schema of the JSON, versioned.
//!
//! Fields are only ever added under one version; a change of meaning makes a new one. Times are in the unit of their name.
mod consume;
mod group;
mod part;
mod produce;

pub use consume::{ConsumeFigures, ReaderFigures};
pub use group::{EventFigures, GroupFigures};
pub use part::{CrashFigures, LadderFigures, LadderStep, Part, Restart};
pub use produce::{ProduceFacts, ProduceFigures, ScheduleFigures};

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::client::code_name;
use crate::histogram::LatencySummary;
use crate::machine::Machine;
use crate::resources::ResourceFigures;
use crate::series::{Interval, Second};
use crate::spec::Spec;
use crate::verify::Verdict;

/// Name and version of the schema.
pub const SCHEMA: &str = "thalweg-loadgen/3";

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
    /// Each of several readers of the same topic; `consume` is all of them together.
    pub readers: Vec<ReaderFigures>,
    /// The groups.
    pub group: Option<GroupFigures>,
    /// From the intended send time to the consumer, per record.
    pub end_to_end_latency: Option<LatencySummary>,
    /// From the sending of its batch to the consumer, per record.
    pub end_to_end_service: Option<LatencySummary>,
    /// The proof, if one was asked for.
    pub verdict: Option<Verdict>,
    /// Runs of which this one is made, in their order.
    pub parts: Vec<Part>,
    /// What the parts of a ladder say together.
    pub ladder: Option<LadderFigures>,
    /// How the broker was restarted meanwhile.
    pub crash: Option<CrashFigures>,
    /// What it cost, this generator and the broker.
    pub resources: Option<ResourceFigures>,
    /// Processor time of the load generator, all threads, seconds, making ready included.
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
    /// Every latency second by second, for the interval log; not in the JSON.
    #[serde(skip)]
    pub intervals: Vec<Interval>,
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
            readers: Vec::new(),
            group: None,
            end_to_end_latency: None,
            end_to_end_service: None,
            verdict: None,
            parts: Vec::new(),
            ladder: None,
            crash: None,
            resources: None,
            generator_cpu_s: 0.0,
            failures: Vec::new(),
            produce_series: Vec::new(),
            consume_series: Vec::new(),
            group_series: Vec::new(),
            intervals: Vec::new(),
        }
    }

    /// Exit status: 0 good; 1 the run did not go as asked; 3 the proof failed.
    pub fn exit_status(&self) -> u8 {
        let refused = self.produce.as_ref().is_some_and(|produce| produce.refused_records > 0);
        let missed = self.group.as_ref().is_some_and(|group| group.missed_records.unwrap_or(0) > 0);
        let parts = self.parts.iter().map(Part::exit_status).max().unwrap_or(0);
        let gone_back = self.group.as_ref().is_some_and(|group| group.gone_back_offsets > 0);
        match &self.verdict {
            Some(verdict) if !verdict.is_good() => 3,
            _ if missed || gone_back => 3,
            _ if !self.failures.is_empty() || refused => parts.max(1),
            _ => parts,
        }
    }
}

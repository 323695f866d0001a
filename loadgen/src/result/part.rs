//! Runs that are made of several: their parts, and what the parts say together.
use serde::Serialize;

use super::{ConsumeFigures, ProduceFigures, ReaderFigures, RunResult};
use crate::histogram::LatencySummary;
use crate::resources::ResourceFigures;
use crate::series::{Interval, Second};
use crate::verify::Verdict;

/// One of the runs that a run is made of. Fields are those of a whole result; its series count from its own start.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields of a result of the same names say what each means")]
pub struct Part {
    /// What it was for.
    pub name: String,
    /// From the start of the first part to its own, seconds.
    pub start_s: f64,
    pub produce: Option<ProduceFigures>,
    pub consume: Option<ConsumeFigures>,
    pub readers: Vec<ReaderFigures>,
    pub end_to_end_latency: Option<LatencySummary>,
    pub end_to_end_service: Option<LatencySummary>,
    pub verdict: Option<Verdict>,
    pub resources: Option<ResourceFigures>,
    pub warnings: Vec<String>,
    pub failures: Vec<String>,
    pub produce_series: Vec<Second>,
    pub consume_series: Vec<Second>,
}

impl Part {
    /// As [`RunResult::exit_status`].
    pub(super) fn exit_status(&self) -> u8 {
        let refused = self.produce.as_ref().is_some_and(|produce| produce.refused_records > 0);
        match &self.verdict {
            Some(verdict) if !verdict.is_good() => 3,
            _ if refused || !self.failures.is_empty() => 1,
            _ => 0,
        }
    }
}

impl RunResult {
    /// Takes a whole run in as the next part of this one. The first part gives machine and start.
    pub fn take_part(&mut self, name: impl Into<String>, part: Self) {
        if self.parts.is_empty() {
            (self.machine, self.start_unix_ms) = (part.machine, part.start_unix_ms);
            self.warnings = self.machine.warnings();
        }
        let start_ms = (part.start_unix_ms - self.start_unix_ms).max(0);
        // The interval log has one time for all parts, in whole seconds.
        let shift_s = start_ms.unsigned_abs().div_ceil(1_000);
        let shifted = |interval: Interval| Interval { at_s: interval.at_s + shift_s, ..interval };
        self.intervals.extend(part.intervals.into_iter().map(shifted));
        let known = &self.warnings;
        let warnings = part.warnings.into_iter().filter(|told| !known.contains(told)).collect();
        self.parts.push(Part {
            name: name.into(),
            start_s: start_ms as f64 / 1e3,
            produce: part.produce,
            consume: part.consume,
            readers: part.readers,
            end_to_end_latency: part.end_to_end_latency,
            end_to_end_service: part.end_to_end_service,
            verdict: part.verdict,
            resources: part.resources,
            warnings,
            failures: part.failures,
            produce_series: part.produce_series,
            consume_series: part.consume_series,
        });
    }
}

/// A ladder of rates: which of them the broker kept.
#[derive(Clone, Debug, Serialize)]
pub struct LadderFigures {
    /// What p99 may be, milliseconds.
    pub p99_max_ms: f64,
    /// How much of the offered rate must be acknowledged within the window, percent.
    pub kept_percent: f64,
    /// Which p99: `produce`, or `end_to_end`.
    pub measured: &'static str,
    /// The steps in the order in which they were tried; each is the part of the same place.
    pub steps: Vec<LadderStep>,
    /// The highest rate that was kept, records a second; `null`: none was.
    pub knee_records_per_s: Option<u64>,
    /// The lowest rate that was not kept; `null`: all were, so that the knee lies above.
    pub broken_records_per_s: Option<u64>,
}

/// One rate.
#[derive(Clone, Debug, Serialize)]
pub struct LadderStep {
    /// Records a second offered.
    pub offered_records_per_s: u64,
    /// Records a second acknowledged in the window.
    pub achieved_records_per_s: f64,
    /// p99 from the intended time, milliseconds; `null`: too few samples.
    pub p99_ms: Option<f64>,
    /// Rate and p99 were within their bounds, and the generator kept its own schedule.
    pub kept: bool,
    /// Why not, in words; empty: kept.
    pub reasons: Vec<String>,
}

/// How the broker was restarted while records were sent.
#[derive(Clone, Debug, Serialize)]
pub struct CrashFigures {
    /// What was run each time.
    pub command: String,
    /// Each time.
    pub restarts: Vec<Restart>,
}

/// One run of the command.
#[derive(Clone, Debug, Serialize)]
pub struct Restart {
    /// When it was begun, seconds from the start of the sending.
    pub at_s: f64,
    /// How long it took, seconds.
    pub took_s: f64,
    /// Its exit status; `null`: a signal ended it, or it could not be started.
    pub exit_status: Option<i32>,
}

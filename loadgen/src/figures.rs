//! The figures by which runs are compared and followed over commits: where each lies in a result, and which way is good.
use crate::saved::{Latency, Process, Run};

/// One figure of a run.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// As on the command line and in a history, with its unit.
    pub name: &'static str,
    /// For people, without unit.
    pub title: &'static str,
    /// What it counts in.
    pub unit: Unit,
    /// More of it is better.
    pub more_is_better: bool,
    of: fn(&Run) -> Option<f64>,
}

impl Figure {
    /// The figure, if the run has it. Always above zero: what is not cannot be set against another.
    pub fn value(&self, run: &Run) -> Option<f64> {
        (self.of)(run).filter(|value| value.is_finite() && *value > 0.0)
    }
}

/// What a figure counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things a second.
    PerS,
    /// Microseconds; shown in what suits the size.
    Us,
    /// Bytes; shown in what suits the size.
    Bytes,
    /// So many of one thing for each of another.
    Ratio,
}

const fn rate(name: &'static str, title: &'static str, of: fn(&Run) -> Option<f64>) -> Figure {
    Figure { name, title, unit: Unit::PerS, more_is_better: true, of }
}

const fn less(name: &'static str, title: &'static str, unit: Unit, of: fn(&Run) -> Option<f64>) -> Figure {
    Figure { name, title, unit, more_is_better: false, of }
}

const fn time(name: &'static str, title: &'static str, of: fn(&Run) -> Option<f64>) -> Figure {
    Figure { name, title, unit: Unit::Us, more_is_better: false, of }
}

/// All of them, in the order of a table.
pub const FIGURES: &[Figure] = &[
    rate("produced_records_per_s", "acknowledged records", |run| {
        positive(run.produce.as_ref()?.rates.records_per_s)
    }),
    time("latency_p50_us", "latency p50", |run| latency(run)?.at("p50")),
    time("latency_p99_us", "latency p99", |run| latency(run)?.at("p99")),
    time("latency_p99.9_us", "latency p99.9", |run| latency(run)?.at("p99.9")),
    time("end_to_end_p50_us", "end to end p50", |run| run.end_to_end_latency.as_ref()?.at("p50")),
    time("end_to_end_p99_us", "end to end p99", |run| run.end_to_end_latency.as_ref()?.at("p99")),
    time("end_to_end_p99.9_us", "end to end p99.9", |run| run.end_to_end_latency.as_ref()?.at("p99.9")),
    rate("read_records_per_s", "records read", |run| positive(run.consume.as_ref()?.rates.records_per_s)),
    time("fetch_p50_us", "fetch p50", |run| run.consume.as_ref()?.fetch_latency.at("p50")),
    time("fetch_p99_us", "fetch p99", |run| run.consume.as_ref()?.fetch_latency.at("p99")),
    rate("commits_per_s", "commits", |run| positive(run.group.as_ref()?.commits_per_s)),
    time("commit_p50_us", "commit p50", |run| run.group.as_ref()?.commit_latency.at("p50")),
    time("commit_p99_us", "commit p99", |run| run.group.as_ref()?.commit_latency.at("p99")),
    time("stop_the_world_p50_us", "stop the world p50", |run| run.group.as_ref()?.stop_the_world.at("p50")),
    time("stop_the_world_p99_us", "stop the world p99", |run| run.group.as_ref()?.stop_the_world.at("p99")),
    rate("knee_records_per_s", "knee of the ladder", |run| {
        positive(run.ladder.as_ref()?.knee_records_per_s?)
    }),
    time("broker_cpu_us_per_record", "broker CPU per record", |run| {
        brokers(run, |one| one.cpu_us_per_record)
    }),
    less("broker_syscalls_per_record", "broker system calls per record", Unit::Ratio, |run| {
        brokers(run, |one| one.syscalls_per_record)
    }),
    less("broker_written_per_sent_byte", "bytes written per byte sent", Unit::Ratio, |run| {
        brokers(run, |one| one.disk_written_per_sent_byte)
    }),
    less("broker_resident_bytes", "broker memory, at most", Unit::Bytes, |run| {
        brokers(run, |one| Some(one.resident_bytes_max as f64))
    }),
    time("generator_cpu_us_per_record", "generator CPU per record", |run| {
        let told = run.resources.as_ref().and_then(|resources| resources.generator.cpu_us_per_record);
        told.or_else(|| per_record(run, run.generator_cpu_s)).and_then(positive)
    }),
];

/// The figure of this name.
pub fn figure(name: &str) -> Option<&'static Figure> {
    FIGURES.iter().find(|figure| figure.name == name)
}

fn latency(run: &Run) -> Option<&Latency> {
    run.produce.as_ref().map(|produce| &produce.latency)
}

/// All brokers that were looked at together; `None` if one of them does not tell.
fn brokers(run: &Run, of: fn(&Process) -> Option<f64>) -> Option<f64> {
    let told: Option<Vec<f64>> = run.resources.as_ref()?.brokers.iter().map(of).collect();
    positive(told?.iter().sum())
}

fn positive(value: f64) -> Option<f64> {
    (value > 0.0).then_some(value)
}

/// Microseconds of all of the run's processor time by all of its records, warm-up included on both sides.
fn per_record(run: &Run, cpu_s: f64) -> Option<f64> {
    let sent = run.produce.as_ref().map_or(0, |produce| produce.acknowledged_records);
    let read = run.consume.as_ref().map_or(0, |consume| consume.read_records);
    let records = sent.max(read);
    (records > 0 && cpu_s > 0.0).then(|| cpu_s * 1e6 / records as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_end_in_their_unit() {
        for figure in FIGURES {
            let same = FIGURES.iter().filter(|other| other.name == figure.name).count();
            let unit = match figure.unit {
                Unit::PerS => figure.name.ends_with("_per_s"),
                Unit::Us => figure.name.contains("_us"),
                Unit::Bytes => figure.name.ends_with("_bytes"),
                Unit::Ratio => figure.name.contains("_per_"),
            };
            assert!(same == 1 && unit, "{}", figure.name);
        }
    }

    #[test]
    fn a_run_without_a_half_has_none_of_its_figures() {
        let run = Run::default();
        assert!(FIGURES.iter().all(|figure| figure.value(&run).is_none()));
    }
}

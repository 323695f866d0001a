//! What upkeep costs those who send: p99 at half of the broker's own peak, beside retention, scrub and a backfill, and without.
//!
//! ```text
//! a round, one broker:  backlog, peak | without: peak, half of the peak | with: peak, half of the peak and the upkeep
//!                       (one data directory; a start before each part, then the peak to get warm; odd rounds: "with" first)
//! ```
//! Broker on the first CPU with all its threads, sender on the second; the reader of the backlog has what the sender leaves of
//! the second. The topics of both parts roll equally often, so what differs is the upkeep alone.

use crate::disk::{forget, forget_files, has_room, remove};
use crate::load::{Bench, Produced, at_rest};
use crate::probe::{self, Asked, EARLIEST};
use crate::process::{Broker, FIRST_CPU, Program};
use crate::table::{Row, Table};
use clap::ValueEnum;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use thalweg_benches::numbers::ratios;

/// The load: many connections that each send small batches, as in the figures of the same name.
const SHAPE: [&str; 8] =
    ["--connections", "64", "--in-flight", "5", "--batch-bytes", "4096", "--record-bytes", "999"];
const PARTITIONS: usize = 16;
/// A partition fills a segment in about this time, and retention takes it in the next.
const SEGMENT_S: f64 = 1.0;
/// Kafka's smallest segment.
const SEGMENT_BYTES_MIN: f64 = (1 << 20) as f64;
/// No broker of one core is known to take more of such batches.
const PEAK_BYTES_PER_S: f64 = 400e6;
/// Partitions of the backlog.
const BACKLOG_PARTITIONS: &str = "4";
/// Upkeep that has a delay after a start begins within the warm-up.
const SOON: (&str, &str) = ("log.initial.task.delay.ms", "500");
/// Retention looks so often that it always finds something.
const RETENTION: (&str, &str) = ("log.retention.check.interval.ms", "500");
/// The scrubber at its default rate, one pass after the other.
const SCRUB: [(&str, &str); 2] =
    [("thalweg.scrub.bytes.per.s", "16777216"), ("thalweg.scrub.interval.ms", "1")];
const SCRUBBED_BYTES: &str = "thalweg_scrub_bytes_total";
const LAPS: &str = "thalweg_laps_total";
/// p99 with upkeep is at most so many times the one without.
const RATIO_MAX: f64 = 1.5;

/// What runs beside the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Upkeep {
    /// Segments expire all the time.
    Retention,
    /// The broker checks what lies on its disk. Kafka does not.
    Scrub,
    /// A consumer reads the backlog from disk, as fast as it can, again and again.
    Backfill,
}

/// How large, and of what.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) backlog_gb: f64,
    pub(crate) with: Vec<Upkeep>,
}

impl Plan {
    fn has(&self, upkeep: Upkeep) -> bool {
        self.with.contains(&upkeep)
    }
}

/// What one broker is asked to do in both parts of a round.
struct Stage<'a> {
    bench: &'a Bench,
    program: &'a Program,
    port: u16,
    directory: &'a Path,
    plan: &'a Plan,
    /// Whether it has a scrubber.
    scrubs: bool,
    rate: Rate,
}

/// Half of the peak.
#[derive(Clone, Copy, Debug)]
struct Rate {
    records_per_s: f64,
    mb_per_s: f64,
}

impl Rate {
    /// Of a record on disk, its share of its batch's header included.
    fn record_bytes(self) -> f64 {
        self.mb_per_s * 1e6 / self.records_per_s
    }
}

/// One part of a round: what senders saw, and what else was done in the measured window.
#[derive(Clone, Copy, Debug)]
struct Part {
    produced: Produced,
    laps: f64,
    removed_mb_per_s: f64,
    scrubbed_mb_per_s: f64,
    backfill_mb_per_s: f64,
    device_mb_per_s: f64,
}

/// A round of one broker.
#[derive(Clone, Copy, Debug)]
struct Round {
    peak: Produced,
    without: Part,
    with: Part,
}

/// Each broker in turn, round by round.
pub(crate) fn upkeep(
    bench: &Bench,
    programs: &[Program],
    port: u16,
    rounds: usize,
    plan: &Plan,
    table: &mut Table,
) -> io::Result<()> {
    let mut conditions = vec![
        format!("64 connections, 5 batches of 4 KiB in flight each, acks=all, {PARTITIONS} partitions; the peak in a closed loop"),
        format!("the rate in an open loop, latency from the intended time; backlog of {} GB", plan.backlog_gb),
        "all threads of the broker on CPU 0, sender on CPU 1; the reader on CPU 1, SCHED_IDLE; segments of one second's data"
            .to_owned(),
        "each start is followed by the peak's load for the time of a warm-up, then by what is measured after a warm-up of its own".to_owned(),
        "before each part everything is synced and dropped from the page cache, the backlog's files before each pass over it"
            .to_owned(),
    ];
    let mut scrubs = Vec::new();
    for program in programs {
        let is_ours = matches!(program, Program::Thalweg { .. });
        let known = is_ours && plan.has(Upkeep::Scrub) && knows_scrub(bench, program, port)?;
        let told = if known {
            SCRUB.map(|(key, value)| format!("{key}={value}")).join(" ")
        } else {
            "none".to_owned()
        };
        conditions.push(format!("{}: scrubber: {told}", program.name()));
        scrubs.push(known);
    }
    let mut all: Vec<Vec<Round>> = programs.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for ((program, scrubs), of_program) in programs.iter().zip(&scrubs).zip(&mut all) {
            let directory = bench.fresh("broker")?;
            let stage = Stage {
                bench,
                program,
                port,
                directory: &directory,
                plan,
                scrubs: *scrubs,
                rate: Rate { records_per_s: f64::NAN, mb_per_s: f64::NAN },
            };
            let outcome = stage.round(round % 2 == 1);
            // The log of a broker that failed stays to be read, its data do not.
            remove(&if outcome.is_ok() { directory.clone() } else { directory.join("data") })?;
            let outcome = outcome?;
            eprintln!("upkeep, round {round}, {}: {outcome:?}", program.name());
            of_program.push(outcome);
        }
    }
    let mut rows = Vec::new();
    for ((program, scrubs), rounds) in programs.iter().zip(scrubs).zip(&all) {
        rows.extend(rows_of(program, plan, scrubs, rounds));
    }
    let names: Vec<String> = plan.with.iter().map(|upkeep| format!("{upkeep:?}").to_lowercase()).collect();
    let title =
        format!("Produce at half of the broker's own peak, with and without upkeep ({})", names.join(", "));
    table.push_under(&title, conditions, rows);
    Ok(())
}

/// Whether this build has a scrubber.
fn knows_scrub(bench: &Bench, program: &Program, port: u16) -> io::Result<bool> {
    let directory = bench.fresh("broker")?;
    let known = program.knows(&directory, port, &SCRUB);
    remove(&directory)?;
    known
}

impl Stage<'_> {
    fn round(mut self, with_first: bool) -> io::Result<Round> {
        let Bench { time_s, warm_up_s, ref directory, .. } = *self.bench;
        let (backlog_bytes, run_s) = (self.plan.backlog_gb * 1e9, time_s + warm_up_s);
        let peak_bytes = PEAK_BYTES_PER_S * (run_s + warm_up_s);
        has_room(directory, "backlog and peak", (backlog_bytes * 1.1 + peak_bytes) as u64)?;
        let broker = self.start(&[])?;
        let count = ((backlog_bytes / 1000.0) as u64).to_string();
        let backlog = ["--topic", "backlog", "--partitions", BACKLOG_PARTITIONS, "--connections", "4"];
        let large = ["--batch-bytes", "1000000", "--record-bytes", "999", "--count", &count];
        self.bench.produce(self.port, &[&backlog[..], &large[..]].concat())?;
        // Twice the warm-up: a peak that was found too early would make half of it easy.
        self.bench.produce(self.port, &words(&self.load("peak", 0.0)))?;
        let peak = self.bench.produce(self.port, &words(&self.load("peak", time_s)))?;
        broker.stop()?;
        self.rate = Rate { records_per_s: peak.records_per_s / 2.0, mb_per_s: peak.mb_per_s / 2.0 };
        let parts_bytes = peak.mb_per_s * 1e6 * (run_s + 2.0 * warm_up_s);
        has_room(directory, "two runs at half of the peak", parts_bytes as u64)?;
        let (first, second) = (self.part(with_first)?, self.part(!with_first)?);
        let (with, without) = if with_first { (first, second) } else { (second, first) };
        Ok(Round { peak, without, with })
    }

    fn start(&self, settings: &[(&str, &str)]) -> io::Result<Broker> {
        at_rest(self.program.start_pinned(self.directory, self.port, &FIRST_CPU, settings))
    }

    /// The load on a topic of its own, closed, for so long after the warm-up.
    fn load(&self, topic: &str, time_s: f64) -> Vec<String> {
        let warm_up_s = self.bench.warm_up_s;
        let (partitions, warm_up, time) =
            (PARTITIONS.to_string(), warm_up_s.to_string(), (warm_up_s + time_s).to_string());
        let words = ["--topic", topic, "--partitions", &partitions, "--warm-up", &warm_up, "--time", &time];
        words.into_iter().chain(SHAPE).map(str::to_owned).collect()
    }

    /// The load at half of the peak, on a topic that rolls in both parts and expires in one of them.
    fn part(&self, with: bool) -> io::Result<Part> {
        let runs = |upkeep| with && self.plan.has(upkeep);
        let mut settings = if with { vec![SOON] } else { Vec::new() };
        settings.extend(runs(Upkeep::Retention).then_some(RETENTION));
        settings.extend(SCRUB.into_iter().filter(|_| runs(Upkeep::Scrub) && self.scrubs));
        forget(self.directory, &BTreeSet::new())?;
        let broker = self.start(&settings)?;
        self.bench.produce(self.port, &words(&self.load("peak", 0.0)))?;
        let mut load = self.load(if with { "with" } else { "without" }, self.bench.time_s);
        let segment_bytes =
            (self.rate.mb_per_s * 1e6 / PARTITIONS as f64 * SEGMENT_S).max(SEGMENT_BYTES_MIN) as u64;
        let mut configs =
            vec![format!("segment.bytes={segment_bytes}"), "file.delete.delay.ms=1000".to_owned()];
        if runs(Upkeep::Retention) {
            configs.push(format!("retention.bytes={segment_bytes}"));
        }
        load.extend(configs.into_iter().flat_map(|config| ["--topic-config".to_owned(), config]));
        load.extend(["--rate".to_owned(), format!("{:.0}", self.rate.records_per_s)]);
        let is_over = AtomicBool::new(false);
        let part = std::thread::scope(|scope| {
            let reader = runs(Upkeep::Backfill).then(|| scope.spawn(|| self.read_again_and_again(&is_over)));
            let part = self.watched(&broker, &load, with);
            is_over.store(true, Ordering::Relaxed);
            let backfill_mb_per_s = match reader.map(std::thread::ScopedJoinHandle::join) {
                Some(Ok(read)) => read?,
                Some(Err(_)) => return Err(io::Error::other("the reader of the backlog panicked")),
                None => f64::NAN,
            };
            part.map(|part| Part { backfill_mb_per_s, ..part })
        })?;
        broker.stop()?;
        let took = |upkeep, what: &str, mb_per_s: f64| match mb_per_s > 0.0 {
            false if runs(upkeep) => {
                Err(io::Error::other(format!("{what} in the measured window: a longer run is needed")))
            }
            _ => Ok(()),
        };
        took(Upkeep::Retention, "retention removed nothing", part.removed_mb_per_s)?;
        took(Upkeep::Backfill, "nothing of the backlog was read", part.backfill_mb_per_s)?;
        if self.scrubs {
            took(Upkeep::Scrub, "nothing was scrubbed", part.scrubbed_mb_per_s)?;
        }
        Ok(part)
    }

    /// The load to its end; what the broker did besides from the end of the warm-up on.
    fn watched(&self, broker: &Broker, load: &[String], with: bool) -> io::Result<Part> {
        let topic = if with { "with" } else { "without" };
        let (since, mut start) = (Instant::now(), None);
        let produced = self.bench.produce_watched(self.port, &words(load), || {
            if start.is_none() && since.elapsed().as_secs_f64() > self.bench.warm_up_s {
                start = Some(Done::of(broker, topic)?);
            }
            Ok(())
        })?;
        let start = start.ok_or_else(|| io::Error::other("the load ended before its warm-up"))?;
        let end = Done::of(broker, topic)?;
        let window_s = end.at.duration_since(start.at).as_secs_f64();
        let mb_per_s =
            |count: fn(&Done) -> f64, unit: f64| (count(&end) - count(&start)) * unit / 1e6 / window_s;
        Ok(Part {
            produced,
            laps: end.laps - start.laps,
            removed_mb_per_s: mb_per_s(|done| done.removed_records, self.rate.record_bytes()),
            scrubbed_mb_per_s: mb_per_s(|done| done.scrubbed_bytes, 1.0),
            device_mb_per_s: mb_per_s(|done| done.device_bytes, 1.0),
            backfill_mb_per_s: f64::NAN,
        })
    }

    /// Reads the backlog from its start to its end, until it is over; MB a second.
    fn read_again_and_again(&self, is_over: &AtomicBool) -> io::Result<f64> {
        let (since, mut bytes) = (Instant::now(), 0.0);
        while !is_over.load(Ordering::Relaxed) {
            forget_files(&self.directory.join("data"), "backlog-")?;
            let arguments = ["--topic", "backlog", "--connections", "2", "--until-end"];
            let read = self.bench.consume_idly(self.port, &arguments, || is_over.load(Ordering::Relaxed))?;
            bytes += read["consume"]["rates"]["batch_bytes"].as_f64().unwrap_or(f64::NAN);
        }
        Ok(bytes / 1e6 / since.elapsed().as_secs_f64())
    }
}

/// Counters of a broker at one moment.
struct Done {
    at: Instant,
    laps: f64,
    removed_records: f64,
    scrubbed_bytes: f64,
    device_bytes: f64,
}

impl Done {
    fn of(broker: &Broker, topic: &str) -> io::Result<Self> {
        let asked = [Asked { topic: topic.to_owned(), partition_end: PARTITIONS }];
        Ok(Self {
            at: Instant::now(),
            laps: broker.metric(LAPS).unwrap_or(f64::NAN),
            removed_records: probe::offsets(broker.port, &asked, EARLIEST)?.iter().sum::<i64>() as f64,
            scrubbed_bytes: broker.metric(SCRUBBED_BYTES).unwrap_or(f64::NAN),
            device_bytes: broker.read_bytes()?,
        })
    }
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

fn rows_of(program: &Program, plan: &Plan, scrubs: bool, rounds: &[Round]) -> Vec<Row> {
    let name = program.name();
    let of = |value: fn(&Round) -> f64| rounds.iter().map(value).collect::<Vec<f64>>();
    let row =
        |what: &str, unit, value: fn(&Round) -> f64| Row::new(format!("{name}: {what}"), unit, of(value));
    let mut rows = vec![
        row("peak, batches", "/s", |round| round.peak.batches_per_s),
        row("without, acknowledged / half of the peak", "", |round| round.share(&round.without)),
        row("with, acknowledged / half of the peak", "", |round| round.share(&round.with)),
        row("without, p50", "ms", |round| round.without.produced.p50_us / 1e3),
        row("without, p99", "ms", |round| round.without.produced.p99_us / 1e3),
        row("without, p99.9", "ms", |round| round.without.produced.p999_us / 1e3),
        row("with, p50", "ms", |round| round.with.produced.p50_us / 1e3),
        row("with, p99", "ms", |round| round.with.produced.p99_us / 1e3),
        row("with, p99.9", "ms", |round| round.with.produced.p999_us / 1e3),
    ];
    let p99 = |part: fn(&Round) -> &Part| -> Vec<f64> {
        rounds.iter().map(|round| part(round).produced.p99_us).collect()
    };
    let ratio = ratios(&p99(|round| &round.with), &p99(|round| &round.without));
    let ratio = Row::new(format!("{name}: p99 with / without, same round"), "", ratio);
    let is_ours = matches!(program, Program::Thalweg { .. });
    rows.push(if is_ours { ratio.at_most(RATIO_MAX) } else { ratio });
    if plan.has(Upkeep::Retention) {
        rows.push(row("with, removed by retention", "MB/s", |round| round.with.removed_mb_per_s));
    }
    if scrubs {
        rows.push(row("with, scrubbed", "MB/s", |round| round.with.scrubbed_mb_per_s));
    }
    if plan.has(Upkeep::Backfill) {
        rows.push(row("with, backlog read", "MB/s", |round| round.with.backfill_mb_per_s));
    }
    rows.push(row("with, read from the device by the broker", "MB/s", |round| round.with.device_mb_per_s));
    if is_ours {
        rows.push(row("without, laps of write-back meanwhile", "", |round| round.without.laps));
        rows.push(row("with, laps of write-back meanwhile", "", |round| round.with.laps));
    }
    rows
}

impl Round {
    fn share(&self, part: &Part) -> f64 {
        part.produced.batches_per_s / (self.peak.batches_per_s / 2.0)
    }
}

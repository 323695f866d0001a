//! A run that sends.
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Progress, RunError, Stop, join};
use crate::machine::Machine;
use crate::producer::{self, Recorder, Sending, Worker};
use crate::resources::{Probe, Work};
use crate::result::{ProduceFacts, ProduceFigures, RunResult};
use crate::series::{Merged, Series};
use crate::spec::{Common, Produce, drawn};
use crate::verify::Ledger;

pub(super) fn run(
    common: &Common,
    produce: &Produce,
    machine: Machine,
    stop: &Stop,
) -> Result<RunResult, RunError> {
    send(common, produce, machine, stop).map(|(result, _)| result)
}

/// The run and what became of its records; without tags nothing is kept of them.
pub(super) fn send(
    common: &Common,
    produce: &Produce,
    mut machine: Machine,
    stop: &Stop,
) -> Result<(RunResult, Ledger), RunError> {
    let run = drawn();
    let progress = Arc::new(
        Progress::new(common.progress, "records")
            .until(produce.time_s.map(Duration::from_secs_f64), produce.record_count),
    );
    let Sending { workers, topic, peer } = producer::prepare(common, produce, run, &progress)?;
    machine.meet(peer, common.broker_version.as_deref());
    let (start, start_unix_ms) = (Instant::now(), unix_ms());
    let probe = Probe::start(common, start, Work { sent: Some(Arc::clone(&progress)), read: None })?;
    let threads = spawn(workers, start, start_unix_ms, stop)?;
    let (mut recorder, series) = merge(join(threads, &progress)?);
    let mut result = RunResult::new(machine, start_unix_ms);
    result.resources = Some(probe.finish()?);
    result.produce_series = series.seconds;
    result.intervals = series.intervals;
    recorder.ledger.run = run;
    report(&mut result, &mut recorder, common, produce, topic.partitions.len(), start.elapsed())?;
    Ok((result, recorder.ledger))
}

/// Starts one thread per worker.
pub(super) fn spawn(
    workers: Vec<Worker>,
    start: Instant,
    start_unix_ms: i64,
    stop: &Stop,
) -> Result<Vec<std::thread::JoinHandle<Result<Recorder, RunError>>>, RunError> {
    let spawn = |(number, worker): (usize, Worker)| {
        let stop = stop.clone();
        std::thread::Builder::new()
            .name(format!("send-{number}"))
            .spawn(move || worker.run(start, start_unix_ms, &stop))
            .map_err(|source| RunError::System { what: "starting a thread", source })
    };
    workers.into_iter().enumerate().map(spawn).collect()
}

/// All threads' figures as one.
///
/// # Panics
/// If there are none: a run has at least one thread.
pub(super) fn merge(recorders: Vec<Recorder>) -> (Recorder, Merged) {
    let mut parts = recorders.into_iter();
    let mut whole = parts.next().expect("a run has a thread");
    let mut series = vec![std::mem::take(&mut whole.series)];
    for mut part in parts {
        whole.merge(&mut part);
        series.push(std::mem::take(&mut part.series));
    }
    (whole, Series::merged(series))
}

/// Puts the sending half into the result and writes the journal.
pub(super) fn report(
    result: &mut RunResult,
    recorder: &mut Recorder,
    common: &Common,
    produce: &Produce,
    partition_count: usize,
    stopped: Duration,
) -> Result<(), RunError> {
    recorder.ledger.topic.clone_from(&common.topic);
    recorder.ledger.idempotent = produce.idempotent;
    if let Some(path) = &produce.acked {
        recorder.ledger.write(path)?;
    }
    let facts = ProduceFacts {
        open_loop: produce.rate_records_per_s > 0,
        prebuilt_batches: produce.prebuilds_batches(),
        partition_count,
        warm_up: common.warm_up(),
        end: produce.time_s.map(Duration::from_secs_f64),
        stopped,
    };
    let figures = ProduceFigures::new(recorder, recorder.ledger.run, &facts);
    if !facts.open_loop {
        let what = "closed loop: a stall holds back the batches behind it, so percentiles hide it; use --rate for latencies";
        result.warnings.push(what.to_owned());
    }
    if let Some(schedule) = figures.schedule.as_ref().filter(|schedule| !schedule.kept) {
        let worst = schedule.own_wait.max_us / 1e3;
        result.warnings.push(format!(
            "THE GENERATOR DID NOT KEEP ITS OWN SCHEDULE: more than one batch in a hundred waited over {:.3} ms for it alone, \
             the worst {worst:.1} ms; part of the latency is its own: lower the rate, add --threads or give it cores",
            schedule.limit_us / 1e3
        ));
    }
    if figures.unsent_records > 0 {
        let what =
            "records were due and never sent: the offered rate was not reached, percentiles understate";
        result.warnings.push(what.to_owned());
    }
    if recorder.acknowledged.records > 0 && figures.rates.records == 0 {
        result.warnings.push("the run ended before the warm-up did: nothing was measured".to_owned());
    }
    if produce.acks.wire() == 0 {
        result
            .warnings
            .push("acks=0: a batch counts as done when the kernel has it; nobody knows more".to_owned());
    }
    result.failures.append(&mut recorder.failures);
    result.produce = Some(figures);
    Ok(())
}

/// The wall clock, milliseconds since 1970.
pub(super) fn unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

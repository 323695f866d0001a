//! A run that reads, and the proof if one is asked for.
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::produce::unix_ms;
use super::{Progress, RunError, Stop, join};
use crate::client::Topic;
use crate::consumer::{self, Goal, Tally, Worker};
use crate::machine::Machine;
use crate::resources::{Probe, Work};
use crate::result::{ConsumeFigures, RunResult};
use crate::series::Series;
use crate::spec::{Common, Consume};
use crate::verify::{Bounds, Ledger, Verdict, judge};

pub(super) fn run(
    common: &Common,
    consume: &Consume,
    machine: Machine,
    stop: &Stop,
) -> Result<RunResult, RunError> {
    let ledgers = read_ledgers(common, consume)?;
    read(common, consume, &ledgers, machine, stop)
}

/// The run; with `verify` it is judged by these ledgers.
pub(super) fn read(
    common: &Common,
    consume: &Consume,
    ledgers: &[Ledger],
    mut machine: Machine,
    stop: &Stop,
) -> Result<RunResult, RunError> {
    let progress = Arc::new(
        Progress::new(common.progress, "records")
            .until(consume.time_s.map(Duration::from_secs_f64), consume.record_count),
    );
    let reading = consumer::prepare(common, consume, None, &progress)?;
    machine.meet(reading.peer, common.broker_version.as_deref());
    let end = consume.time_s.map(Duration::from_secs_f64);
    let goal = Arc::new(Goal {
        end,
        record_count: consume.record_count,
        ends: OnceLock::new(),
        repeats: consume.repeat,
        progress: Arc::clone(&progress),
    });
    let (start, start_unix_ms) = (Instant::now(), unix_ms());
    let probe = Probe::start(common, start, Work { sent: None, read: Some(Arc::clone(&progress)) })?;
    let threads = spawn(reading.workers, start, &goal, stop)?;
    let (mut tally, series) = merge(join(threads, &progress)?);
    let mut result = RunResult::new(machine, start_unix_ms);
    result.resources = Some(probe.finish()?);
    let series = Series::merged(series);
    result.consume_series = series.seconds;
    result.intervals = series.intervals;
    if consume.verify {
        // A reader that was stopped early can prove only what it read.
        let complete = consume.until_end && !stop.is_asked();
        result.verdict =
            Some(verdict(&mut tally, ledgers, &reading.topic, reading.bounds, complete, common)?);
    }
    result.failures.append(&mut tally.failures);
    result.consume = Some(ConsumeFigures::new(&tally, reading.topic.partitions.len(), common.warm_up(), end));
    Ok(result)
}

fn read_ledgers(common: &Common, consume: &Consume) -> Result<Vec<Ledger>, RunError> {
    let read = consume.acked.iter().map(|path| {
        let ledger = Ledger::read(path)?;
        if ledger.topic == common.topic {
            return Ok(ledger);
        }
        Err(RunError::OtherTopic { path: path.clone(), journal: ledger.topic, topic: common.topic.clone() })
    });
    read.collect()
}

/// Asks for the bounds again and judges.
pub(super) fn verdict(
    tally: &mut Tally,
    ledgers: &[Ledger],
    topic: &Topic,
    before: BTreeMap<i32, Range<i64>>,
    complete: bool,
    common: &Common,
) -> Result<Verdict, RunError> {
    let after = topic.bounds(&common.client_id)?;
    let bounds = before.into_iter().map(|(index, before)| {
        let after = after.get(&index).cloned().unwrap_or(before.clone());
        (index, Bounds { before, after, complete })
    });
    let checker = tally.checker.take().unwrap_or_default();
    Ok(judge(checker, ledgers, &bounds.collect()))
}

/// Starts one thread per worker.
pub(super) fn spawn(
    workers: Vec<Worker>,
    start: Instant,
    goal: &Arc<Goal>,
    stop: &Stop,
) -> Result<Vec<std::thread::JoinHandle<Result<Tally, RunError>>>, RunError> {
    let spawn = |(number, worker): (usize, Worker)| {
        let (stop, goal) = (stop.clone(), Arc::clone(goal));
        std::thread::Builder::new()
            .name(format!("read-{number}"))
            .spawn(move || worker.run(start, &goal, &stop))
            .map_err(|source| RunError::System { what: "starting a thread", source })
    };
    workers.into_iter().enumerate().map(spawn).collect()
}

/// All threads' figures as one, and their series.
///
/// # Panics
/// If there are none: a topic has at least one partition, and a run a thread.
pub(super) fn merge(tallies: Vec<Tally>) -> (Tally, Vec<Series>) {
    let mut parts = tallies.into_iter();
    let mut whole = parts.next().expect("a run has a thread");
    let mut series = vec![std::mem::take(&mut whole.series)];
    for mut part in parts {
        whole.merge(&mut part);
        series.push(std::mem::take(&mut part.series));
    }
    (whole, series)
}

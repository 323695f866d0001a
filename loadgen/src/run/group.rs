//! A run of groups, perhaps while records are sent.
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::produce::unix_ms;
use super::{Progress, RunError, Stop, join, produce as sending_run};
use crate::group::{self, Goal, Membership, Missed, Plan, Tally, Worker};
use crate::machine::Machine;
use crate::producer::{self, Recorder, Sending};
use crate::resources::{Probe, Work};
use crate::result::{GroupFigures, RunResult};
use crate::series::{Merged, Series};
use crate::spec::{Common, Group, Produce, drawn};

type Handle = std::thread::JoinHandle<Result<(Tally, Vec<group::Group>), RunError>>;

pub(super) fn run(
    common: &Common,
    produce: &Produce,
    group: &Group,
    mut machine: Machine,
    stop: &Stop,
) -> Result<RunResult, RunError> {
    let committed = Arc::new(
        Progress::new(common.progress, "commits").until(produce.time_s.map(Duration::from_secs_f64), None),
    );
    let Membership { workers, plan, topic, peer } = group::prepare(common, produce, group, &committed)?;
    machine.meet(peer, common.broker_version.as_deref());
    let sent = Arc::new(Progress::new(false, "records").beside(&committed));
    let run = drawn();
    let senders = if group.feed { Some(producer::prepare(common, produce, run, &sent)?) } else { None };
    let goal = Arc::new(Goal::default());
    let (start, start_unix_ms) = (Instant::now(), unix_ms());
    let work = Work { sent: group.feed.then(|| Arc::clone(&sent)), read: Some(Arc::clone(&committed)) };
    let probe = Probe::start(common, start, work)?;
    let members = spawn(workers, start, &goal, stop)?;
    // Members have the run's end of their own; only senders that fail end it earlier.
    let sending = send(senders, &committed, start, start_unix_ms, stop).inspect_err(|_| stop.ask())?;
    committed.watch(|| start.elapsed() >= plan.end || stop.is_asked());
    let bounds = topic.bounds(&common.client_id).inspect_err(|_| stop.ask())?;
    let ends: Vec<i64> = bounds.values().map(|bounds| bounds.end).collect();
    // Set once, here only.
    let _ = goal.ends.set(ends.clone());
    let (mut tally, groups, series) = merge(join(members, &committed)?);
    let resources = probe.finish()?;

    let mut result = RunResult::new(machine, start_unix_ms);
    result.resources = Some(resources);
    result.group_series = series.seconds;
    result.intervals = series.intervals;
    if let Some((mut recorder, produce_series, stopped)) = sending {
        recorder.ledger.run = run;
        result.produce_series = produce_series.seconds;
        result.intervals.extend(produce_series.intervals);
        let partitions = topic.partitions.len();
        sending_run::report(&mut result, &mut recorder, common, produce, partitions, stopped)?;
    }
    let missed = plan.rules.reads.then(|| missed(&plan, &groups, &ends));
    result.failures.append(&mut tally.failures);
    warn(&mut result, &tally, group);
    result.group = Some(GroupFigures::new(&tally, &groups, group, missed, start.elapsed()));
    Ok(result)
}

fn spawn(
    workers: Vec<Worker>,
    start: Instant,
    goal: &Arc<Goal>,
    stop: &Stop,
) -> Result<Vec<Handle>, RunError> {
    let spawn = |(number, worker): (usize, Worker)| {
        let (stop, goal) = (stop.clone(), Arc::clone(goal));
        std::thread::Builder::new()
            .name(format!("group-{number}"))
            .spawn(move || worker.run(start, &goal, &stop))
            .map_err(|source| RunError::System { what: "starting a thread", source })
    };
    workers.into_iter().enumerate().map(spawn).collect()
}

/// Sends until the senders are done.
fn send(
    sending: Option<Sending>,
    progress: &Progress,
    start: Instant,
    start_unix_ms: i64,
    stop: &Stop,
) -> Result<Option<(Recorder, Merged, Duration)>, RunError> {
    let Some(Sending { workers, .. }) = sending else { return Ok(None) };
    let threads = sending_run::spawn(workers, start, start_unix_ms, stop)?;
    let (recorder, series) = sending_run::merge(join(threads, progress)?);
    Ok(Some((recorder, series, start.elapsed())))
}

/// All threads' figures as one.
///
/// # Panics
/// If there are none: a run has a thread.
fn merge(parts: Vec<(Tally, Vec<group::Group>)>) -> (Tally, Vec<group::Group>, Merged) {
    let mut parts = parts.into_iter();
    let (mut whole, mut groups) = parts.next().expect("a run has a thread");
    let mut series = vec![std::mem::take(&mut whole.series)];
    for (mut part, own) in parts {
        whole.merge(&mut part);
        groups.extend(own);
        series.push(std::mem::take(&mut part.series));
    }
    (whole, groups, Series::merged(series))
}

fn missed(plan: &Plan, groups: &[group::Group], ends: &[i64]) -> Missed {
    let mut missed = Missed::default();
    let wanted = plan.wanted(ends);
    for group in groups {
        // A group that nobody is in any more had no one to read the rest.
        let is_whole = group.board.live_count() > 0;
        group.delivered.missed(&group.name, &wanted, is_whole, &mut missed);
    }
    missed
}

fn warn(result: &mut RunResult, tally: &Tally, group: &Group) {
    if tally.unsent_commits > 0 {
        result.warnings.push("commits were due and never sent: the offered rate was not reached".to_owned());
    }
    if tally.failure_count > result.failures.len() as u64 {
        let more = tally.failure_count - result.failures.len() as u64;
        result.failures.push(format!("{more} more members gave up"));
    }
    if group.read && tally.records == 0 {
        result.warnings.push("no record reached a member: nothing is shown about them".to_owned());
    }
}

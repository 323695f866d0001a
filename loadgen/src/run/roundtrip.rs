//! A run that sends and reads at once, and proves that all of it arrived.
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::produce::unix_ms;
use super::{Progress, RunError, Stop, consume as reading_run, join, produce as sending_run};
use crate::consumer::{self, Goal};
use crate::machine::Machine;
use crate::producer::{self, Sending};
use crate::result::{ConsumeFigures, RunResult};
use crate::spec::{Common, Consume, Partitions, Produce, ReadFrom, Roundtrip, drawn};

/// After the last acknowledgement, all records should be readable within this time.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn run(
    common: &Common,
    produce: &Produce,
    roundtrip: &Roundtrip,
    mut machine: Machine,
    stop: &Stop,
) -> Result<RunResult, RunError> {
    let run = drawn();
    let sent = Arc::new(Progress::new(false, "sent"));
    let read = Arc::new(
        Progress::new(common.progress, "records")
            .until(produce.time_s.map(Duration::from_secs_f64), produce.record_count)
            .beside(&sent),
    );
    // Senders first: they make the topic.
    let Sending { workers: senders, topic, ends } = producer::prepare(common, produce, run, &sent)?;
    machine.meet(ends);
    let reading = consumer::prepare(common, &consume(roundtrip), Some(run), &read)?;
    let goal =
        Arc::new(Goal { end: None, record_count: None, ends: OnceLock::new(), progress: Arc::clone(&read) });
    let (start, start_unix_ms) = (Instant::now(), unix_ms());
    // Readers have a stop of their own: Ctrl-C ends the sending, and what was sent still arrives.
    let stop_reading = Stop::default();
    let readers = reading_run::spawn(reading.workers, start, &goal, &stop_reading)?;
    let sending = sending_run::spawn(senders, start, start_unix_ms, stop)
        .and_then(|threads| join(threads, &read))
        .inspect_err(|_| stop_reading.ask())?;
    let (mut recorder, produce_series) = sending_run::merge(sending);
    recorder.ledger.run = run;
    let stopped = start.elapsed();
    let bounds = topic.bounds(&common.client_id).inspect_err(|_| stop_reading.ask())?;
    let until: std::collections::BTreeMap<_, _> =
        bounds.iter().map(|(index, bounds)| (*index, bounds.end)).collect();
    // Set once, here only.
    let _ = goal.ends.set(until);
    let deadline = Instant::now() + ARRIVAL_TIMEOUT;
    read.watch(|| readers.iter().all(std::thread::JoinHandle::is_finished) || Instant::now() > deadline);
    stop_reading.ask();
    let (mut tally, consume_series) = reading_run::merge(join(readers, &read)?);

    let mut result = RunResult::new(machine, start_unix_ms);
    (result.produce_series, result.consume_series) = (produce_series.seconds, consume_series.seconds);
    result.intervals = [produce_series.intervals, consume_series.intervals].concat();
    sending_run::report(&mut result, &mut recorder, common, produce, topic.partitions.len(), stopped)?;
    let end = produce.time_s.map(Duration::from_secs_f64);
    let before = reading.bounds.into_iter().map(|(index, before)| {
        // Everything up to the end that was told after the last acknowledgement was to be read.
        let end = bounds.get(&index).map_or(before.end, |bounds| bounds.end);
        (index, before.start..end)
    });
    let verdict =
        reading_run::verdict(&mut tally, &[recorder.ledger], &topic, before.collect(), true, common)?;
    result.verdict = Some(verdict);
    result.end_to_end_latency = Some(tally.arrivals.summary());
    result.end_to_end_service = Some(tally.services.summary());
    result.failures.append(&mut tally.failures);
    result.consume = Some(ConsumeFigures::new(&tally, topic.partitions.len(), common.warm_up(), end));
    Ok(result)
}

/// Settings of the reading half.
fn consume(roundtrip: &Roundtrip) -> Consume {
    Consume {
        from: ReadFrom::Latest,
        partitions: Partitions::All,
        connection_count: roundtrip.consumer_count,
        fetch_bytes: 50 << 20,
        partition_bytes: 1 << 20,
        min_bytes: roundtrip.fetch_min_bytes,
        max_wait_ms: roundtrip.fetch_max_wait_ms,
        record_count: None,
        time_s: None,
        until_end: false,
        verify: true,
        acked: Vec::new(),
    }
}

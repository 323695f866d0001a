//! A run that sends and reads at once, and proves that all of it arrived.
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::produce::unix_ms;
use super::{Progress, RunError, Stop, consume as reading_run, join, produce as sending_run};
use crate::consumer::{self, Goal, Reading, Tally};
use crate::machine::Machine;
use crate::producer::{self, Sending};
use crate::resources::{Probe, Work};
use crate::result::{ConsumeFigures, ReaderFigures, RunResult};
use crate::series::Series;
use crate::spec::{Common, Consume, Partitions, Produce, ReadFrom, Roundtrip, drawn};
use crate::verify::Verdict;

/// After the last acknowledgement, all records should be readable within this time.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(30);

type Threads = Vec<std::thread::JoinHandle<Result<Tally, RunError>>>;

/// One reader of all that is sent, with the threads that drive its connections.
struct Reader {
    threads: Threads,
    bounds: BTreeMap<i32, Range<i64>>,
}

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
    let Sending { workers: senders, topic, peer } = producer::prepare(common, produce, run, &sent)?;
    machine.meet(peer, common.broker_version.as_deref());
    let readings: Vec<Reading> = (0..roundtrip.reader_count)
        .map(|_| consumer::prepare(common, &consume(roundtrip), Some(run), &read))
        .collect::<Result<_, _>>()?;
    let goal = Arc::new(Goal {
        end: None,
        record_count: None,
        ends: OnceLock::new(),
        repeats: false,
        progress: Arc::clone(&read),
    });
    let (start, start_unix_ms) = (Instant::now(), unix_ms());
    let work = Work { sent: Some(Arc::clone(&sent)), read: Some(Arc::clone(&read)) };
    let probe = Probe::start(common, start, work)?;
    // Readers have a stop of their own: Ctrl-C ends the sending, and what was sent still arrives.
    let stop_reading = Stop::default();
    let begin = |reading: Reading| {
        let threads = reading_run::spawn(reading.workers, start, &goal, &stop_reading)?;
        Ok(Reader { threads, bounds: reading.bounds })
    };
    let readers: Vec<Reader> = readings.into_iter().map(begin).collect::<Result<_, RunError>>()?;
    let sending = sending_run::spawn(senders, start, start_unix_ms, stop)
        .and_then(|threads| join(threads, &read))
        .inspect_err(|_| stop_reading.ask())?;
    let (mut recorder, produce_series) = sending_run::merge(sending);
    recorder.ledger.run = run;
    let stopped = start.elapsed();
    let bounds = topic.bounds(&common.client_id).inspect_err(|_| stop_reading.ask())?;
    // Set once, here only.
    let _ = goal.ends.set(bounds.iter().map(|(index, bounds)| (*index, bounds.end)).collect());
    let deadline = Instant::now() + ARRIVAL_TIMEOUT;
    let is_done = |reader: &Reader| reader.threads.iter().all(std::thread::JoinHandle::is_finished);
    read.watch(|| readers.iter().all(is_done) || Instant::now() > deadline);
    stop_reading.ask();

    let mut result = RunResult::new(machine, start_unix_ms);
    result.produce_series = produce_series.seconds;
    result.intervals = produce_series.intervals;
    sending_run::report(&mut result, &mut recorder, common, produce, topic.partitions.len(), stopped)?;
    let end = produce.time_s.map(Duration::from_secs_f64);
    let ledgers = [recorder.ledger];
    let mut parts = Vec::new();
    for reader in readers {
        let (mut tally, series) = reading_run::merge(join(reader.threads, &read)?);
        // Everything up to the end that was told after the last acknowledgement was to be read.
        let until = |(index, before): (i32, Range<i64>)| {
            let end = bounds.get(&index).map_or(before.end, |bounds| bounds.end);
            (index, before.start..end)
        };
        let before = reader.bounds.into_iter().map(until).collect();
        let verdict = reading_run::verdict(&mut tally, &ledgers, &topic, before, true, common)?;
        result.failures.append(&mut tally.failures);
        parts.push((tally, series, verdict));
    }
    result.resources = Some(probe.finish()?);
    report_readers(&mut result, parts, topic.partitions.len(), common.warm_up(), end);
    Ok(result)
}

/// Puts the reading half into the result: all readers together, and each of several.
fn report_readers(
    result: &mut RunResult,
    parts: Vec<(Tally, Vec<Series>, Verdict)>,
    partition_count: usize,
    warm_up: Duration,
    end: Option<Duration>,
) {
    if parts.len() > 1 {
        let readers = parts.iter().map(|(tally, _, verdict)| ReaderFigures {
            consume: ConsumeFigures::new(tally, partition_count, warm_up, end),
            end_to_end_latency: tally.arrivals.summary(),
            end_to_end_service: tally.services.summary(),
            verdict: verdict.clone(),
        });
        result.readers = readers.collect();
    }
    let mut whole: Option<Tally> = None;
    let mut all_series = Vec::new();
    for (mut tally, series, verdict) in parts {
        // The first fault that a reader found is the run's; without one, any reader speaks for all.
        if result.verdict.as_ref().is_none_or(|known| known.is_good() && !verdict.is_good()) {
            result.verdict = Some(verdict);
        }
        all_series.extend(series);
        match &mut whole {
            Some(whole) => whole.merge(&mut tally),
            None => whole = Some(tally),
        }
    }
    let merged = Series::merged(all_series);
    result.consume_series = merged.seconds;
    result.intervals.extend(merged.intervals);
    if let Some(tally) = whole {
        result.end_to_end_latency = Some(tally.arrivals.summary());
        result.end_to_end_service = Some(tally.services.summary());
        result.consume = Some(ConsumeFigures::new(&tally, partition_count, warm_up, end));
    }
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
        repeat: false,
        verify: true,
        acked: Vec::new(),
    }
}

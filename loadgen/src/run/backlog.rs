//! Runs around a backlog: read it from its start, alone or beside a round trip.
use std::time::Duration;

use super::{RunError, Stop, consume as reading_run, produce as sending_run, roundtrip as trip_run};
use crate::machine::Machine;
use crate::result::RunResult;
use crate::spec::{Backlog, Common, Consume, Partitions, Produce, ReadFrom, Roundtrip, Tail};

/// Batches of a filling of its own: large ones, so that it takes no longer than it must.
const FILL_BATCH_BYTES: usize = 256 * 1024;
/// What a record of the generator's costs beside its key and value.
const RECORD_EXTRA_BYTES: u64 = 10;

/// Fills the topic as the settings of the sending say, then reads it from its start to its end.
pub(super) fn run(
    common: &Common,
    produce: &Produce,
    backlog: &Backlog,
    machine: &Machine,
    stop: &Stop,
) -> Result<RunResult, RunError> {
    let mut result = RunResult::new(machine.clone(), sending_run::unix_ms());
    if backlog.fill_bytes > 0 {
        let produce = Produce { record_count: Some(fill_records(produce, backlog)), ..produce.clone() };
        let filled = sending_run::run(&no_warm_up(common), &produce, machine.clone(), stop)?;
        result.take_part("fill", filled);
    }
    if !stop.is_asked() {
        let read = reading_run::read(common, &reader(backlog, None), &[], machine.clone(), stop)?;
        result.take_part("catch up", read);
    }
    Ok(result)
}

/// Round trips in two windows, without and with somebody who reads the backlog from its start again and again.
pub(super) fn tail(
    common: &Common,
    produce: &Produce,
    roundtrip: &Roundtrip,
    backlog: &Backlog,
    tail: Tail,
    machine: &Machine,
    stop: &Stop,
) -> Result<RunResult, RunError> {
    let mut result = RunResult::new(machine.clone(), sending_run::unix_ms());
    if backlog.fill_bytes > 0 {
        let fill = Produce {
            record_count: Some(fill_records(produce, backlog)),
            time_s: None,
            rate_records_per_s: 0,
            batch_bytes: produce.batch_bytes.max(FILL_BATCH_BYTES),
            batch_record_count: u32::MAX,
            linger_ms: None,
            reopens_per_s: 0,
            verifiable: false,
            acked: None,
            ..produce.clone()
        };
        result.take_part("fill", sending_run::run(&no_warm_up(common), &fill, machine.clone(), stop)?);
    }
    for _ in 0..tail.round_count {
        if stop.is_asked() {
            break;
        }
        let without = trip_run::run(common, produce, roundtrip, machine.clone(), stop)?;
        result.take_part("without backfill", without);
        if stop.is_asked() {
            break;
        }
        let (with, backfill) = beside_backfill(common, produce, roundtrip, backlog, machine, stop)?;
        result.take_part("with backfill", with);
        result.take_part("backfill", backfill);
    }
    Ok(result)
}

/// One window of round trips, and what was read of the backlog meanwhile.
fn beside_backfill(
    common: &Common,
    produce: &Produce,
    roundtrip: &Roundtrip,
    backlog: &Backlog,
    machine: &Machine,
    stop: &Stop,
) -> Result<(RunResult, RunResult), RunError> {
    let stop_reading = Stop::default();
    let reader = reader(backlog, produce.time_s);
    // The broker's cost is in the window's figures; the reader's own are those of this process in both.
    let quiet = Common { progress: false, broker_pids: Vec::new(), count_syscalls: false, ..common.clone() };
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| reading_run::read(&quiet, &reader, &[], machine.clone(), &stop_reading));
        let with = trip_run::run(common, produce, roundtrip, machine.clone(), stop);
        stop_reading.ask();
        let mut backfill = reading.join().map_err(|_| RunError::Panicked)??;
        // In the interval log the readers of the window have the same seconds.
        backfill.intervals.iter_mut().for_each(|interval| interval.kind = "backfill_fetch");
        Ok((with?, backfill))
    })
}

/// A filling is measured whole.
fn no_warm_up(common: &Common) -> Common {
    Common { warm_up_s: 0.0, ..common.clone() }
}

fn fill_records(produce: &Produce, backlog: &Backlog) -> u64 {
    let record_bytes = produce.payload(0).record_bytes_mean() as u64 + RECORD_EXTRA_BYTES;
    backlog.fill_bytes.div_ceil(record_bytes).max(1)
}

/// Reads all that is there; again and again until `repeat_s` is over.
fn reader(backlog: &Backlog, repeat_s: Option<f64>) -> Consume {
    Consume {
        from: ReadFrom::Earliest,
        partitions: Partitions::All,
        connection_count: backlog.connection_count,
        fetch_bytes: backlog.fetch_bytes,
        partition_bytes: backlog.partition_bytes,
        min_bytes: 1,
        max_wait_ms: 500,
        record_count: None,
        // The window ends it; this is only so that it never stays alone.
        time_s: repeat_s.map(|time_s| time_s + Duration::from_hours(1).as_secs_f64()),
        until_end: true,
        repeat: repeat_s.is_some(),
        verify: false,
        acked: Vec::new(),
    }
}

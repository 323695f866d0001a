//! What a log takes in memory that nobody writes to or reads, after a start.
//!
//! Two directories differ only in how many logs they hold: what the second takes more, by the logs that it has more, is a
//! log's part, whatever an executor and an engine take themselves. The bounds are a little above what was measured, so
//! that a field, a copy of a name or a chunk that stays in every log fails the test.
#![allow(clippy::unwrap_used, reason = "a test that meets an Err has failed")]

use futures_util::future::join_all;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;
use thalweg_engine::batch::{BatchBuilder, Codec, Origin, ProducerFields};
use thalweg_engine::io::{Disk, DmaDisk};
use thalweg_engine::log::{LogIdentity, LogSettings};
use thalweg_engine::shard::{Append, Engine, EngineSettings, recover};
use thalweg_engine::units::{LeaderEpoch, LogId, Timestamp};
use thalweg_server::route::{Pulse, run_core};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const FEW: usize = 100;
const MANY: usize = 2100;
const NOW: Timestamp = Timestamp(1_700_000_000_000);
/// Of a log, beside the bytes of its last block, which no file holds yet.
const LOG_BYTES_MAX: usize = 1750;
/// Of a batch of one record, beside its value.
const BATCH_BYTES_MAX: usize = 100;

/// So often in a row nothing has changed when a broker is idle.
const LOOKS_THE_SAME: usize = 5;

/// Bytes that are allocated now.
fn live_bytes() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.wrapping_sub(stats.bytes_deallocated)
}

fn settings(path: &Path) -> EngineSettings {
    EngineSettings { directories: vec![path.to_owned()], ..EngineSettings::default() }
}

fn log_id(number: usize) -> LogId {
    LogId(std::array::from_fn(|at| number.to_le_bytes().get(at).copied().unwrap_or(7)))
}

fn batch(value_bytes: usize) -> Append {
    let value: Vec<u8> = (0..value_bytes).map(|at| at as u8).collect();
    let builder = BatchBuilder::new(Codec::None).record(NOW, Some(b"key"), Some(&value));
    let nobody = ProducerFields { producer_id: -1, producer_epoch: -1, base_sequence: -1 };
    Append { records: builder.build(nobody).unwrap(), zstd_allowed: true, origin: Origin::Client }
}

/// Runs `work` on an engine over what lies in `path`. It is not stopped: the next start reads the journal.
fn live<T: 'static, F: Future<Output = T>>(path: &Path, work: impl FnOnce(Engine) -> F) -> T {
    let pulse = Pulse::start().unwrap();
    let recovering =
        async { recover(&[DmaDisk::new(path.to_owned())], &settings(path), 1, NOW).await.unwrap() };
    let recovered = run_core(&pulse, "recovery", None, Duration::ZERO, recovering).unwrap();
    let share = recovered.split(1, |_| 0).pop().unwrap();
    run_core(&pulse, "shard", None, Duration::ZERO, async {
        let engine = Engine::start(vec![DmaDisk::new(path.to_owned())], settings(path), share).await.unwrap();
        work(engine).await
    })
    .unwrap()
}

/// Until no further journal file is being made. An executor that ends meanwhile keeps that file, and its lock, for good.
async fn files_made_ahead(path: &Path) {
    let disk = DmaDisk::new(path.to_owned());
    let (mut known, mut same_count) = (Vec::new(), 0);
    while same_count < LOOKS_THE_SAME {
        disk.sleep(Duration::from_millis(100)).await;
        let found = disk.list(Path::new("thalweg-journal")).await.unwrap();
        let is_making = found.iter().any(|(name, _)| name.ends_with(".new") && !name.starts_with("manifest"));
        same_count = if !is_making && found == known { same_count + 1 } else { 0 };
        known = found;
    }
}

/// Makes logs with batches of these sizes in each.
fn fill(path: &Path, log_count: usize, value_bytes: &'static [usize]) {
    live(path, async move |engine| {
        for numbers in (0..log_count).collect::<Vec<_>>().chunks(100) {
            join_all(numbers.iter().map(|number| one_log(&engine, *number, value_bytes))).await;
        }
        files_made_ahead(path).await;
    });
}

async fn one_log(engine: &Engine, number: usize, value_bytes: &[usize]) {
    let log_id = log_id(number);
    let (topic, partition) = ("a-topic-with-a-usual-name".to_owned(), number as i32);
    let identity = LogIdentity { log_id, topic_id: [1; 16], topic, partition };
    engine.create(identity, LogSettings::default(), LeaderEpoch(0)).await.unwrap();
    for bytes in value_bytes {
        let staged = engine.stage(log_id, &batch(*bytes), NOW).await.unwrap();
        engine.durable(log_id, staged.offset_end).await.unwrap();
    }
}

/// Heap of a broker's engine that came back and has nothing to do any more: it has looked at what the journals held.
fn idle_bytes(path: &Path) -> usize {
    let before = live_bytes();
    let own = path.to_owned();
    live(path, async move |engine| {
        let (disk, stats) = (DmaDisk::new(own), engine.stats());
        let (mut known, mut same_count) = (0, 0);
        while same_count < LOOKS_THE_SAME {
            disk.sleep(Duration::from_millis(100)).await;
            let is_looked_at = stats.laps_total.load(Ordering::Relaxed) > 0;
            let now = live_bytes();
            same_count = if is_looked_at && now == known { same_count + 1 } else { 0 };
            known = now;
        }
        known - before
    })
}

/// What each log takes, with batches of these sizes in it.
fn bytes_each(value_bytes: &'static [usize]) -> usize {
    let idle = |log_count| {
        let directory = tempfile::tempdir().unwrap();
        fill(directory.path(), log_count, value_bytes);
        idle_bytes(directory.path())
    };
    let (few, many) = (idle(FEW), idle(MANY));
    let each = (many - few) / (MANY - FEW);
    eprintln!("{FEW} logs of {value_bytes:?} take {few} B, {MANY} take {many} B: {each} B each");
    each
}

#[test]
fn a_log_whose_few_bytes_are_in_no_file_yet_takes_those_and_little_more() {
    let each = bytes_each(&[300]);
    assert!(each <= LOG_BYTES_MAX + 300 + BATCH_BYTES_MAX, "{each} B for each log");
}

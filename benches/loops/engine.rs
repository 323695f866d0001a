//! The engine on a disk in memory: staging, reads from memory and from cached pages, and a commit's whole way.
//!
//! Only the polls of the asked operation count, but in `produce`, where everything does: commits, write-back, and the
//! simulated disk under them.

use crate::batches::{NOW, plain};
use crate::meter::Meter;
use bytes::Bytes;
use std::path::PathBuf;
use std::rc::Rc;
use thalweg_engine::batch::Origin;
use thalweg_engine::io::sim::{SimDisk, Simulation};
use thalweg_engine::log::{LogIdentity, LogSettings};
use thalweg_engine::shard::{Append, Engine, EngineSettings, Isolation, Read, recover};
use thalweg_engine::units::{LeaderEpoch, LogId, Offset, Timestamp};

const LOG: LogId = LogId([1; 16]);
/// What a fetch asks for, and so many batches of 16 records are in it.
const FETCH_BYTES: usize = 1 << 20;
const BATCH_RECORDS: usize = 16;

/// Small files: each is filled with zeros before it is used, which takes longest of all that is not counted.
fn settings() -> EngineSettings {
    EngineSettings {
        directories: vec![PathBuf::from("sim")],
        journal_file_bytes: 4 << 20,
        journal_files_max: 8,
        commit_bytes_max: 1 << 20,
        state_bytes_max: 64 << 10,
        scrub_bytes_per_s: 0,
        ..EngineSettings::default()
    }
}

async fn start(disk: &SimDisk) -> Engine<SimDisk> {
    let recovered = recover(std::slice::from_ref(disk), &settings(), 1, Timestamp(NOW)).await;
    let share = recovered.expect("a disk that is well").split(1, |_| 0).pop().expect("one share");
    Engine::start(vec![disk.clone()], settings(), share).await.expect("a disk that is well")
}

async fn create(engine: &Engine<SimDisk>) {
    create_with(engine, LogSettings::default()).await;
}

async fn create_with(engine: &Engine<SimDisk>, settings: LogSettings) {
    let identity = LogIdentity { log_id: LOG, topic_id: [1; 16], topic: "loops".to_owned(), partition: 0 };
    engine.create(identity, settings, LeaderEpoch(0)).await.expect("a disk that is well");
}

async fn produce(engine: &Engine<SimDisk>, records: &Bytes) {
    let append = Append { records: records.clone(), zstd_allowed: true, origin: Origin::Client };
    let staged = engine.stage(LOG, &append, Timestamp(NOW)).await.expect("a sound batch");
    engine.durable(LOG, staged.offset_end).await.expect("a disk that is well");
}

/// Appends to a tail, each made durable before the next.
fn stage(meter: &Rc<Meter>, rounds: u64, records: Bytes) {
    let (simulation, meter) = (Simulation::new(1), Rc::clone(meter));
    let disk = SimDisk::new(&simulation, 1);
    let lived = simulation.run(async move {
        let engine = start(&disk).await;
        create(&engine).await;
        produce(&engine, &records).await; // the first one makes the segment's file
        let append = Append { records, zstd_allowed: true, origin: Origin::Client };
        for _ in 0..meter.rounds(rounds) {
            let staged = meter.poll(engine.stage(LOG, &append, Timestamp(NOW))).await.expect("a sound batch");
            engine.durable(LOG, staged.offset_end).await.expect("a disk that is well");
        }
    });
    lived.expect("nothing cuts this run");
}

pub(crate) fn stage_one_record(meter: &Rc<Meter>) {
    stage(meter, 500, plain(100, 1));
}

pub(crate) fn stage_4k(meter: &Rc<Meter>) {
    stage(meter, 200, plain(100, 36));
}

pub(crate) fn stage_1m(meter: &Rc<Meter>) {
    stage(meter, 8, plain(1_000, 960));
}

/// Fetches the same megabyte again and again, from memory or after a restart from pages.
fn read(meter: &Rc<Meter>, rounds: u64, bytes_max: usize, is_restarted: bool) {
    let (simulation, meter) = (Simulation::new(1), Rc::clone(meter));
    let disk = SimDisk::new(&simulation, 1);
    let lived = simulation.run(async move {
        let mut engine = start(&disk).await;
        create(&engine).await;
        let records = plain(1_000, BATCH_RECORDS);
        let batches = FETCH_BYTES / records.len() + 8;
        for _ in 0..batches {
            produce(&engine, &records).await;
        }
        if is_restarted {
            engine.stop().await.expect("a disk that is well");
            engine = start(&disk).await;
        }
        let offset = Offset::new(BATCH_RECORDS as i64 + 3); // inside the second batch
        let read = Read { offset, bytes_max, first_batch_whole: true, isolation: Isolation::Uncommitted };
        // What has to be read and checked once is in the cache then.
        let found = engine.read(LOG, read).await.expect("a disk that is well");
        assert!(found.bytes <= bytes_max && found.bytes + 2 * records.len() > bytes_max, "{}", found.bytes);
        for _ in 0..meter.rounds(rounds) {
            let again = meter.poll(engine.read(LOG, read)).await.expect("a disk that is well");
            assert_eq!(again.bytes, found.bytes);
        }
    });
    lived.expect("nothing cuts this run");
}

pub(crate) fn read_memory_20k(meter: &Rc<Meter>) {
    read(meter, 500, 20_000, false);
}

pub(crate) fn read_memory_1m(meter: &Rc<Meter>) {
    read(meter, 200, FETCH_BYTES, false);
}

pub(crate) fn read_pages_20k(meter: &Rc<Meter>) {
    read(meter, 500, 20_000, true);
}

pub(crate) fn read_pages_1m(meter: &Rc<Meter>) {
    read(meter, 100, FETCH_BYTES, true);
}

/// Reads a log of small batches to its end and from the start again, from pages, a piece of 64 KiB each time. Its index has no
/// entry near to any of them, as that of a large segment.
pub(crate) fn read_in_order_64k(meter: &Rc<Meter>) {
    const PIECE_BYTES: usize = 64 << 10;
    let (simulation, meter) = (Simulation::new(1), Rc::clone(meter));
    let disk = SimDisk::new(&simulation, 1);
    let lived = simulation.run(async move {
        let engine = start(&disk).await;
        create_with(&engine, LogSettings { index_interval_bytes: 16 << 20, ..LogSettings::default() }).await;
        let records = plain(100, 4);
        let batches = FETCH_BYTES / records.len();
        for _ in 0..batches {
            produce(&engine, &records).await;
        }
        engine.stop().await.expect("a disk that is well");
        let engine = start(&disk).await;
        let mut offset = Offset::ZERO;
        for round in 0..=meter.rounds(400) {
            let read = Read {
                offset,
                bytes_max: PIECE_BYTES,
                first_batch_whole: true,
                isolation: Isolation::Uncommitted,
            };
            // What has to be read and checked once is in the cache after the first.
            let found = match round {
                0 => engine.read(LOG, Read { bytes_max: FETCH_BYTES, ..read }).await,
                _ => meter.poll(engine.read(LOG, read)).await,
            };
            let found = found.expect("a disk that is well");
            assert!(found.bytes >= records.len() && found.bytes.is_multiple_of(records.len()));
            let end = offset.advance((found.bytes / records.len() * 4) as u32);
            offset = if round == 0 || end >= found.bounds.log_end { Offset::ZERO } else { end };
        }
    });
    lived.expect("nothing cuts this run");
}

/// Everything that a produced batch of 4 KiB costs until it is durable.
pub(crate) fn produce_4k(meter: &Rc<Meter>) {
    let (simulation, rounds) = (Simulation::new(1), meter.rounds(200));
    let disk = SimDisk::new(&simulation, 1);
    let (own, records) = (disk.clone(), plain(100, 36));
    let engine = simulation.run(async move {
        let engine = start(&own).await;
        create(&engine).await;
        produce(&engine, &plain(100, 36)).await;
        engine.stop().await.expect("a disk that is well");
    });
    engine.expect("nothing cuts this run");
    meter.count(rounds, || {
        let lived = simulation.run(async move {
            let engine = start(&disk).await;
            for _ in 0..rounds {
                produce(&engine, &records).await;
            }
        });
        lived.expect("nothing cuts this run");
    });
}

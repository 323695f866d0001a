//! Journals of a real run with changed bytes: recovery never panics, and what it serves is what was acknowledged.
//!
//! An input is a list of changes of seven bytes: which file, where, and what is turned there. The first byte says
//! whether the checksums are put right afterwards: then the parsers behind them see the changes, and only panics and
//! memory count, since the disk of that input was forged and not damaged.
#![no_main]

use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;
use thalweg_engine::batch::{BatchBuilder, Codec, Origin, ProducerFields};
use thalweg_engine::io::Disk;
use thalweg_engine::io::sim::{SimDisk, Simulation};
use thalweg_engine::log::{LogIdentity, LogSettings};
use thalweg_engine::shard::{Append, Engine, EngineSettings, Isolation, Read, recover};
use thalweg_engine::units::{LeaderEpoch, LogId, Offset, Timestamp};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const CHANGE_BYTES: usize = 7;
const LOGS: u8 = 4;

/// The files of a run that was killed while idle, and what its logs hold.
struct Base {
    files: Vec<(PathBuf, Vec<u8>)>,
    logs: BTreeMap<u8, Vec<u8>>,
}

static BASE: LazyLock<Base> = LazyLock::new(make_base);

thalweg_fuzz::target!(check, memory_bytes_max, seeds);

fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![0],
        vec![1],
        [&[0][..], &[1; CHANGE_BYTES]].concat(),
        [&[1][..], &[1; 4 * CHANGE_BYTES]].concat(),
    ]
}

/// All journal files, read and replayed, the disk below them, and the engine's own budgets.
fn memory_bytes_max(_: usize) -> usize {
    64 << 20
}

fn settings() -> EngineSettings {
    EngineSettings {
        directories: vec![PathBuf::from("sim")],
        journal_file_bytes: 576 << 10,
        journal_files_max: 4,
        commit_bytes_max: 64 << 10,
        commit_entries_max: 64,
        state_bytes_max: 320 << 10,
        large_run_bytes: 16 << 10,
        tail_memory_bytes: 4 << 20,
        cache_bytes: 1 << 20,
        ..EngineSettings::default()
    }
}

fn log_id(log: u8) -> LogId {
    LogId([log; 16])
}

fn make_base() -> Base {
    let simulation = Simulation::new(1);
    let disk = SimDisk::new(&simulation, 1);
    let inner = disk.clone();
    let logs = simulation.run(async move {
        let engine = start(&inner).await.expect("a new disk");
        for log in 0..LOGS {
            let identity = LogIdentity {
                log_id: log_id(log),
                topic_id: [log; 16],
                topic: format!("t{log}"),
                partition: 0,
            };
            let settings = LogSettings { segment_bytes: 40_000, ..LogSettings::default() };
            engine.create(identity, settings, LeaderEpoch(0)).await.expect("a new log");
        }
        for number in 0..12_i64 {
            for log in 0..LOGS {
                let value = vec![number as u8; [10, 700, 5_000, 30_000][(number % 4) as usize]];
                let batch = BatchBuilder::new(Codec::None).record(NOW, None, Some(&value));
                let producer =
                    ProducerFields { producer_id: 3, producer_epoch: 0, base_sequence: number as i32 };
                let records = batch.build(producer).expect("a batch of ours");
                let append = Append { records, zstd_allowed: true, origin: Origin::Client };
                let staged = engine.stage(log_id(log), &append, NOW).await.expect("a disk that is well");
                engine.durable(log_id(log), staged.offset_end).await.expect("a disk that is well");
            }
        }
        let mut logs = BTreeMap::new();
        for log in 0..LOGS {
            logs.insert(log, read_all(&engine, log).await.expect("a disk that is well"));
        }
        // No clean stop: the journal still holds most of the bytes. After a while an empty commit says that all is synced.
        inner.sleep(Duration::from_secs(1)).await;
        logs
    });
    let files = disk.files().into_iter().map(|(path, _)| (path.clone(), disk.content(&path))).collect();
    Base { files, logs: logs.expect("nothing cuts this run") }
}

async fn start(disk: &SimDisk) -> Option<Engine<SimDisk>> {
    let recovered = recover(std::slice::from_ref(disk), &settings(), 1, NOW).await.ok()?;
    let share = recovered.split(1, |_| 0).pop()?;
    Engine::start(vec![disk.clone()], settings(), share).await.ok()
}

/// The bytes that readers of a log get; `None` when it is offline.
async fn read_all(engine: &Engine<SimDisk>, log: u8) -> Option<Vec<u8>> {
    let end = engine.bounds(log_id(log)).ok()?.high_watermark;
    let mut bytes = Vec::new();
    let mut offset = Offset::ZERO;
    while offset < end {
        let read = Read { offset, bytes_max: 1, first_batch_whole: true, isolation: Isolation::Uncommitted };
        let slices: Vec<Bytes> = engine.read(log_id(log), read).await.ok()?.slices;
        if slices.is_empty() {
            return None;
        }
        bytes.extend(slices.concat());
        offset = offset.advance(1); // one record a batch
    }
    Some(bytes)
}

fn check(input: &[u8]) -> u64 {
    let Some((choice, changes)) = input.split_first() else { return 0 };
    let base = &*BASE;
    let is_forged = choice & 1 == 1;
    let simulation = Simulation::new(2);
    let disk = SimDisk::new(&simulation, 2);
    let mut files = base.files.clone();
    for change in changes.chunks_exact(CHANGE_BYTES).take(64) {
        change_one(&mut files, change);
    }
    for (path, bytes) in &mut files {
        if is_forged && path.extension().is_some_and(|extension| extension == "journal") {
            thalweg_engine::hostile::reseal_journal(bytes);
        }
        disk.put(path, bytes).expect("the disk is new");
    }
    let inner = disk.clone();
    let found = simulation.run(async move {
        let engine = start(&inner).await?;
        let mut found = Vec::new();
        for log in 0..LOGS {
            found.push((log, read_all(&engine, log).await));
        }
        let _ = engine.stop().await;
        Some(found)
    });
    let Some(Some(found)) = found else { return 1 };
    let mut way = 2;
    for (log, bytes) in found {
        way = way * 2 + u64::from(bytes.is_some());
        if let Some(bytes) = bytes.filter(|_| !is_forged) {
            assert!(bytes == base.logs[&log], "log {log} serves other bytes than it acknowledged");
        }
    }
    way
}

/// Turns bytes of a journal file or the manifest.
fn change_one(files: &mut [(PathBuf, Vec<u8>)], change: &[u8]) {
    let mut journals: Vec<&mut (PathBuf, Vec<u8>)> = files
        .iter_mut()
        .filter(|(path, bytes)| {
            path.starts_with(Path::new("thalweg-journal")) && bytes.iter().any(|byte| *byte != 0)
        })
        .collect();
    let count = journals.len();
    let &[file, a, b, c, from, to, turn] = change else { return };
    let Some((_, bytes)) = journals.get_mut(usize::from(file) % count).map(|file| &mut **file) else {
        return;
    };
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    let at = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    let at = at % used.max(1);
    for byte in bytes.iter_mut().take(used).skip(at).take(1 + usize::from(from ^ to) % 8) {
        *byte ^= turn.max(1);
    }
}

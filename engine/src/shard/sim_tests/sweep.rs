//! One bit after the other: whatever single bit of a journal turns, no record is wrong, no log is forgotten, and nobody is
//! offline but who lost what nothing else says.
//!
//! `THALWEG_SWEEP_STEP=1` turns a bit of every byte; a test run takes one byte in many, and the tables more densely.

use super::elders::{identity, plain, settings, stage};
use super::{number_of, start_all};
use crate::batch::BatchHeader;
use crate::io::Disk;
use crate::io::sim::{End, Random, SimDisk, Simulation};
use crate::journal::{EntryKind, read_commit};
use crate::log::LogSettings;
use crate::shard::{Engine, Isolation, LogError, Read};
use crate::units::{LeaderEpoch, LogId, Offset};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

const LOGS: u8 = 5;
const STEP: u64 = 20_011;
const TABLE_STEP: usize = 149;

/// What lies on a disk, and what its logs hold.
struct Image {
    files: Vec<(PathBuf, Vec<u8>)>,
    logs: BTreeMap<u8, Vec<u8>>,
}

/// How a scene goes on after its second start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// Killed while the first journal file is at work.
    FirstFile,
    /// Killed in the second one.
    SecondFile,
    /// Stopped cleanly in it.
    Stopped,
}

async fn append(engine: &Engine<SimDisk>, log: u8, value_bytes: usize) {
    let staged = stage(engine, log, plain(value_bytes)).await;
    engine.durable(LogId([log; 16]), staged.offset_end).await.unwrap();
}

/// A log's bytes, or `None` when it is offline.
async fn content(engine: &Engine<SimDisk>, log: u8) -> Option<Vec<u8>> {
    let log_id = LogId([log; 16]);
    let (mut bytes, mut offset) = (Vec::new(), Offset::ZERO);
    let end = match engine.bounds(log_id) {
        Ok(bounds) => bounds.high_watermark,
        Err(LogError::Offline { .. }) => return None,
        Err(error @ LogError::Unknown { .. }) => unreachable!("{error}: forgotten"),
    };
    while offset < end {
        let read =
            Read { offset, bytes_max: 1 << 20, first_batch_whole: true, isolation: Isolation::Uncommitted };
        let found = engine.read(log_id, read).await.unwrap().slices.concat();
        let mut rest = &found[..];
        while let Ok(header) = BatchHeader::read(rest) {
            offset = Offset::new(header.base_offset).advance(header.last_offset_delta as u32 + 1);
            rest = &rest[header.batch_bytes()..];
        }
        bytes.extend_from_slice(&found);
    }
    Some(bytes)
}

fn live<F: Future<Output = ()> + 'static>(disk: &SimDisk, simulation: &Simulation, life: F) {
    simulation.run(life).unwrap();
    disk.end_life(End::Kill);
}

fn paint(scene: Scene) -> Image {
    let simulation = Simulation::new(11);
    let disk = SimDisk::new(&simulation, 11);
    let logs = Rc::new(RefCell::new(BTreeMap::new()));
    let own = disk.clone();
    live(&disk, &simulation, async move {
        let engine = start_all(&own, &settings(), 1, |_| 0).await.0.remove(0);
        for log in 1..=LOGS {
            engine.create(identity(log), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
            append(&engine, log, 100 * usize::from(log)).await;
            append(&engine, log, 7_000).await;
        }
    });
    let (own, held) = (disk.clone(), Rc::clone(&logs));
    live(&disk, &simulation, async move {
        let engine = start_all(&own, &settings(), 1, |_| 0).await.0.remove(0);
        own.sleep(Duration::from_secs(2)).await; // until the journals before are needed no more
        let first = engine.journals();
        for number in 0.. {
            let log = 1 + (number % u64::from(LOGS)) as u8;
            append(&engine, log, [300, 5_000, 20_000][number as usize % 3]).await;
            let is_further = engine.journals() != first;
            if number > 20 && (scene == Scene::FirstFile || is_further) {
                break;
            }
        }
        append(&engine, 2, 600).await;
        for log in 1..=LOGS {
            let content = content(&engine, log).await.unwrap();
            held.borrow_mut().insert(log, content);
        }
        match scene {
            Scene::Stopped => engine.stop().await.unwrap(),
            // An idle journal says once that what was answered last is synced.
            Scene::FirstFile | Scene::SecondFile => own.sleep(Duration::from_secs(1)).await,
        }
    });
    let files = disk.files().into_iter().map(|(path, _)| (path.clone(), disk.content(&path))).collect();
    Image { files, logs: logs.take() }
}

/// How far the tables reach that a journal file begins with.
fn table_end(bytes: &[u8]) -> usize {
    let (mut at, mut end) = (0, 0);
    while let Ok(commit) = read_commit(&bytes[at..], None) {
        at += commit.bytes;
        let kinds = || commit.entries.iter().map(|(entry, _)| entry.kind);
        let is_table = kinds().any(|kind| kind == EntryKind::TableEnd);
        if !is_table && !kinds().all(|kind| matches!(kind, EntryKind::TableState | EntryKind::Delete)) {
            break;
        }
        if is_table {
            end = at;
        }
    }
    end
}

/// The logs that are offline after a bit of this file has turned.
fn offline_after(image: &Image, path: &Path, at: usize, bit: u32) -> Vec<u8> {
    let simulation = Simulation::new(at as u64);
    let disk = SimDisk::new(&simulation, at as u64);
    for (path, bytes) in &image.files {
        disk.put(path, bytes).unwrap();
    }
    disk.flip_bit(path, at as u64, bit);
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for _ in 0..2 {
        let (own, offline) = (disk.clone(), Rc::new(RefCell::new(Vec::new())));
        let (logs, found) = (image.logs.clone(), Rc::clone(&offline));
        live(&disk, &simulation, async move {
            let engine = start_all(&own, &settings(), 1, |_| 0).await.0.remove(0);
            for (log, expected) in logs {
                match content(&engine, log).await {
                    Some(content) => assert!(content == expected, "log {log} holds something else"),
                    None => found.borrow_mut().push(log),
                }
            }
            own.sleep(Duration::from_secs(1)).await;
        });
        seen.push(offline.take());
    }
    assert_eq!(seen[0], seen[1], "the second start finds the same");
    seen.remove(0)
}

#[test]
fn a_bit_that_turns_in_a_table_fences_nobody_and_one_elsewhere_at_most_its_own_log() {
    let step = number_of("THALWEG_SWEEP_STEP");
    for scene in [Scene::FirstFile, Scene::SecondFile, Scene::Stopped] {
        let image = paint(scene);
        let mut random = Random::new(3);
        let mut counts = [[0u64; 2]; 2];
        let journals =
            image.files.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "journal"));
        for (path, bytes) in journals {
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            let table_end = table_end(bytes).min(used);
            let table_step = step.map_or(TABLE_STEP, |step| step as usize);
            let elsewhere = (table_end..used).step_by(step.unwrap_or(STEP) as usize);
            for at in (0..table_end).step_by(table_step).chain(elsewhere) {
                let offline = offline_after(&image, path, at, random.below(8) as u32);
                let [turned, fenced] = &mut counts[usize::from(at < table_end)];
                *turned += 1;
                *fenced += offline.len() as u64;
                if std::env::var("THALWEG_SWEEP_COUNT").is_err() {
                    let most = usize::from(at >= table_end);
                    assert!(offline.len() <= most, "{scene:?}: {} at {at}: {offline:?}", path.display());
                }
            }
        }
        let [[elsewhere, offline], [tables, table_offline]] = counts;
        assert!(elsewhere > 10 && tables > 50, "{counts:?}");
        eprintln!(
            "{scene:?}: {tables} bits of tables: {table_offline} logs offline; {elsewhere} elsewhere: {offline}"
        );
    }
}

//! Turned bits in segments and indexes, on the simulated disk: found by whoever comes first, a read or the scrubber;
//! exactly the log concerned is fenced, and nothing wrong is ever answered.

use super::*;
use crate::batch::{BatchBuilder, BatchHeader, Codec, Origin, ProducerFields};
use crate::io::Disk;
use crate::io::sim::{End, Faults, Random, SimDisk, Simulation};
use crate::log::{LogIdentity, LogSettings};
use crate::segment::{Index, IndexEntry};
use crate::units::{FilePos, LeaderEpoch, LogId, Offset, Timestamp};
use bytes::Bytes;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const NOW: i64 = 1_700_000_000_000;
const MINUTE: Duration = Duration::from_secs(60);
/// The logs: small segments, segments of several pages whose batches lie over their borders, and one beside them.
const LOGS: [u8; 3] = [1, 2, 3];
/// What the scrubber is told where it shall not work.
const OFF: u64 = 0;

fn settings(scrub_bytes_per_s: u64) -> EngineSettings {
    EngineSettings {
        directories: vec![PathBuf::from("sim")],
        journal_file_bytes: 1 << 20,
        journal_files_max: 4,
        commit_bytes_max: 128 << 10,
        commit_entries_max: 64,
        state_bytes_max: 320 << 10,
        large_run_bytes: 256 << 10,
        tail_memory_bytes: 8 << 20,
        cache_bytes: 1 << 20,
        retention_check_ms: 1_000,
        retention_delay_ms: 0,
        scrub_bytes_per_s,
        ..EngineSettings::default()
    }
}

fn identity(number: u8, topic: u8) -> LogIdentity {
    let id = [number; 16];
    LogIdentity { log_id: LogId(id), topic_id: id, topic: format!("t{topic}"), partition: 0 }
}

fn id(log: u8) -> LogId {
    LogId([log; 16])
}

async fn start(disk: &SimDisk, settings: EngineSettings) -> Engine<SimDisk> {
    let recovered = recover(std::slice::from_ref(disk), &settings, 1, Timestamp(NOW)).await.unwrap();
    let share = recovered.split(1, |_| 0).pop().unwrap();
    Engine::start(vec![disk.clone()], settings, share).await.unwrap()
}

/// One to three records whose values no codec makes smaller, at times that go up and down.
fn batch(random: &mut Random, value_bytes: u64) -> Bytes {
    let codec = [Codec::None, Codec::Gzip, Codec::Lz4, Codec::Zstd][random.below(4) as usize];
    let mut builder = BatchBuilder::new(codec);
    for _ in 0..=random.below(3) {
        let value: Vec<u8> =
            (0..value_bytes / 2 + random.below(value_bytes)).map(|_| random.below(256) as u8).collect();
        builder.push(Timestamp(NOW + random.below(1000) as i64), None, Some(&value), &[]);
    }
    builder.build(ProducerFields::NONE).unwrap()
}

async fn append(engine: &Engine<SimDisk>, log: u8, records: Bytes) -> Result<(), AppendError> {
    let append = Append { records, zstd_allowed: true, origin: Origin::Client };
    let staged = engine.stage(id(log), &append, Timestamp(NOW)).await?;
    engine.durable(id(log), staged.offset_end).await.map_err(AppendError::Log)
}

/// A batch as it is stored, with its first offset.
type Stored = (i64, Vec<u8>);

fn split(bytes: &[u8], into: &mut Vec<Stored>) {
    let mut at = 0;
    while at < bytes.len() {
        let header = BatchHeader::read(&bytes[at..]).unwrap();
        into.push((header.base_offset, bytes[at..at + header.batch_bytes()].to_vec()));
        at += header.batch_bytes();
    }
}

/// All batches from the log's start on, up to the first refusal.
async fn read_all(engine: &Engine<SimDisk>, log: u8, bytes_max: usize) -> (Vec<Stored>, Option<ReadError>) {
    let mut found: Vec<Stored> = Vec::new();
    let Ok(bounds) = engine.bounds(id(log)) else {
        return (found, Some(ReadError::Corrupt { offset: Offset::ZERO }));
    };
    let mut offset = bounds.log_start;
    while offset < bounds.high_watermark {
        let read = Read { offset, bytes_max, first_batch_whole: true, isolation: Isolation::Uncommitted };
        match engine.read(id(log), read).await {
            Ok(outcome) => {
                assert!(outcome.bytes > 0, "log {log}: nothing at {offset} of {}", bounds.high_watermark);
                split(&outcome.slices.concat(), &mut found);
                let header = BatchHeader::read(&found.last().unwrap().1).unwrap();
                offset = header.offset_end();
            }
            Err(error) => return (found, Some(error)),
        }
    }
    (found, None)
}

/// Three logs on a disk, cleanly stopped, and what they hold.
struct Scene {
    simulation: Simulation,
    disk: SimDisk,
    stored: Rc<Vec<Vec<Stored>>>,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let simulation = Simulation::new(seed);
        let disk = SimDisk::new(&simulation, seed);
        let mut scene = Self { simulation, disk, stored: Rc::default() };
        let stored = scene.live(settings(OFF), move |engine, _| async move {
            let mut random = Random::new(seed);
            for log in LOGS {
                let (segment_bytes, value_bytes, count) =
                    if log == 2 { (900_000, 60_000, 30) } else { (60_000, 3_000, 60) };
                let settings = LogSettings { segment_bytes, ..LogSettings::default() };
                engine.create(identity(log, log), settings, LeaderEpoch(0)).await.unwrap();
                for _ in 0..count {
                    append(&engine, log, batch(&mut random, value_bytes)).await.unwrap();
                }
            }
            let mut stored = Vec::new();
            for log in LOGS {
                let (found, refused) = read_all(&engine, log, 100_000).await;
                assert_eq!(refused, None);
                stored.push(found);
            }
            stored
        });
        scene.stored = Rc::new(stored);
        scene
    }

    /// One life, with a clean end.
    fn live<T: 'static, F: Future<Output = T> + 'static>(
        &self,
        settings: EngineSettings,
        life: impl FnOnce(Engine<SimDisk>, SimDisk) -> F + 'static,
    ) -> T {
        let disk = self.disk.clone();
        let run = self.simulation.run(async move {
            let engine = start(&disk, settings).await;
            let found = life(engine.clone(), disk).await;
            engine.stop().await.unwrap();
            found
        });
        // Index files are not synced: a power cut may take them, and they are built anew.
        self.disk.end_life(End::Kill);
        run.unwrap()
    }

    fn files(&self, log: u8, ending: &str) -> Vec<PathBuf> {
        let of_log = |path: &PathBuf| {
            path.starts_with(format!("t{log}-0")) && path.extension().is_some_and(|e| e == ending)
        };
        self.disk.files().into_iter().map(|(path, _)| path).filter(of_log).collect()
    }

    fn segment(&self, file: &Path) -> Vec<Stored> {
        let mut found = Vec::new();
        split(&self.disk.content(file), &mut found);
        found
    }

    /// Reads everything: of the bad log nothing but what it held, and a refusal; of the others all.
    fn read_with(&self, bad: u8, what: &str) {
        let (stored, what) = (Rc::clone(&self.stored), what.to_owned());
        self.live(settings(OFF), move |engine, _| async move {
            for (log, stored) in LOGS.into_iter().zip(stored.iter()) {
                let (found, refused) =
                    read_all(&engine, log, [1, 40_000, 400_000][usize::from(log) % 3]).await;
                assert_eq!(found[..], stored[..found.len()], "log {log}, {what}");
                assert_eq!(refused.is_some(), log == bad, "log {log}, {what}: {refused:?}");
                assert_eq!(engine.bounds(id(log)).is_err(), log == bad, "log {log}, {what}");
            }
            assert_eq!(count(&engine, |stats| &stats.rot_found_total), u64::from(bad > 0), "{what}");
            assert_eq!(count(&engine, |stats| &stats.logs_offline), u64::from(bad > 0), "{what}");
        });
    }

    /// Nobody reads; the scrubber goes through once.
    fn scrub_with(&self, bad: u8, what: &str) -> u64 {
        let (stored, what) = (Rc::clone(&self.stored), what.to_owned());
        self.live(settings(1 << 30), move |engine, disk| async move {
            a_pass(&engine, &disk).await;
            assert_eq!(count(&engine, |stats| &stats.rot_found_total), u64::from(bad > 0), "{what}");
            assert_eq!(count(&engine, |stats| &stats.cache_bytes), 0, "a scrub leaves the cache alone");
            for (log, stored) in LOGS.into_iter().zip(stored.iter()) {
                assert_eq!(engine.bounds(id(log)).is_err(), log == bad, "log {log}, {what}");
                if log != bad {
                    assert_eq!(
                        read_all(&engine, log, 100_000).await,
                        (stored.clone(), None),
                        "log {log}, {what}"
                    );
                }
            }
            count(&engine, |stats| &stats.indexes_rebuilt_total)
        })
    }

    fn flip(&self, file: &Path, at: u64, bit: u32, then: impl FnOnce()) {
        self.disk.flip_bit(file, at, bit);
        then();
        self.disk.flip_bit(file, at, bit);
    }
}

fn count(engine: &Engine<SimDisk>, of: impl Fn(&EngineStats) -> &std::sync::atomic::AtomicU64) -> u64 {
    of(&engine.stats()).load(Ordering::Relaxed)
}

async fn a_pass(engine: &Engine<SimDisk>, disk: &SimDisk) {
    let before = count(engine, |stats| &stats.scrub_passes_total);
    while count(engine, |stats| &stats.scrub_passes_total) == before {
        disk.sleep(Duration::from_millis(100)).await;
    }
}

/// Bytes of a batch, by field; those from `records` on are counted from its end.
const FIELDS: [(&str, usize); 13] = [
    ("base offset", 7),
    ("length", 9),
    ("length", 10),
    ("length", 11),
    ("leader epoch", 15),
    ("magic", 16),
    ("checksum", 18),
    ("attributes", 22),
    ("last offset delta", 26),
    ("base timestamp", 33),
    ("max timestamp", 41),
    ("producer id", 45),
    ("record count", 60),
];

/// Where a batch stands in its segment: the first, one in the middle, and the last.
fn places(segment: &[Stored]) -> [usize; 3] {
    [0, segment.len() / 2, segment.len() - 1]
}

#[test]
fn a_bit_that_turned_in_a_header_is_met_by_a_read_and_by_a_scrub_whichever_field_it_is_in() {
    let scene = Scene::new(1);
    let files = scene.files(1, "log");
    assert!(files.len() > 3, "{files:?}");
    for (number, (field, at)) in FIELDS.into_iter().enumerate() {
        let file = &files[number % (files.len() - 1)];
        let segment = scene.segment(file);
        let place = places(&segment)[number % 3];
        let start: usize = segment[..place].iter().map(|(_, bytes)| bytes.len()).sum();
        let what = format!("{field} of batch {place} of {}", file.display());
        scene.flip(file, (start + at) as u64, 1, || {
            scene.read_with(1, &what);
            scene.scrub_with(1, &what);
        });
    }
    scene.read_with(0, "repaired");
    scene.scrub_with(0, "repaired");
}

#[test]
fn a_bit_that_turned_in_records_is_met_in_every_kind_of_place_and_batch() {
    let scene = Scene::new(2);
    for log in [1, 2] {
        let files = scene.files(log, "log");
        // The last one is active: its full blocks are in the file, the rest is in memory.
        for file in [&files[0], &files[files.len() / 2], &files[files.len() - 1]] {
            let segment = scene.segment(file);
            let is_last = *file == files[files.len() - 1];
            for place in places(&segment) {
                let start: usize = segment[..place].iter().map(|(_, bytes)| bytes.len()).sum();
                for at in [61, segment[place].1.len() / 2, segment[place].1.len() - 1] {
                    let at = (start + at) as u64;
                    let in_memory = is_last && at >= scene.disk.content(file).len() as u64 / 4096 * 4096;
                    let bad = if in_memory { 0 } else { log };
                    let what = format!("byte {at} of {}", file.display());
                    scene.flip(file, at, 6, || {
                        scene.read_with(bad, &what);
                        if !(is_last
                            && bad > 0
                            && passes_full_blocks(&scene, file, start + segment[place].1.len()))
                        {
                            scene.scrub_with(bad, &what);
                        }
                    });
                }
            }
        }
    }
    scene.scrub_with(0, "repaired");
}

/// A batch of an active segment of which the end is in no full block: it is in memory in part, and checked when it is read,
/// or by a scrub once its segment has grown.
fn passes_full_blocks(scene: &Scene, file: &Path, end: usize) -> bool {
    end > scene.disk.content(file).len() / 4096 * 4096
}

#[test]
fn a_time_is_never_looked_up_in_bytes_that_do_not_check() {
    let scene = Scene::new(3);
    let file = scene.files(1, "log").remove(1);
    let segment = scene.segment(&file);
    let start: usize = segment[..2].iter().map(|(_, bytes)| bytes.len()).sum();
    // The field that says whether to look into a batch at all.
    for byte in 35..43 {
        scene.flip(&file, (start + byte) as u64, 7, || {
            let stored = Rc::clone(&scene.stored);
            scene.live(settings(OFF), move |engine, _| async move {
                for time in NOW..NOW + 1000 {
                    match engine.offset_for_time(id(1), Timestamp(time)).await {
                        Ok(found) => {
                            let first = |(_, bytes): &&Stored| {
                                BatchHeader::read(bytes).unwrap().max_timestamp >= time
                            };
                            let (base, bytes) = stored[0].iter().find(first).unwrap();
                            let end = BatchHeader::read(bytes).unwrap().offset_end().as_i64();
                            assert!((*base..end).contains(&found.unwrap().offset.as_i64()), "time {time}");
                        }
                        Err(_) => break,
                    }
                }
                let _ = read_all(&engine, 1, 40_000).await;
                assert!(engine.bounds(id(1)).is_err(), "byte {byte}");
            });
        });
    }
}

#[test]
fn an_index_that_is_missing_or_wrong_in_any_way_is_built_anew_and_fences_nothing() {
    let scene = Scene::new(4);
    let file = scene.files(1, "twindex").remove(1);
    let sound = scene.disk.content(&file);
    let bytes = scene.disk.content(&file.with_extension("log")).len() as u64;
    let index = Index::decode(&sound, bytes).unwrap();
    let entries = index.entries().to_vec();
    assert!(entries.len() > 3);
    let with = |at: usize, change: &dyn Fn(&mut IndexEntry)| {
        let mut entries = entries.clone();
        change(&mut entries[at]);
        Index::of(entries).encode(bytes)
    };
    let mut turned = sound.clone();
    turned[30] ^= 1;
    let later = |entry: &mut IndexEntry| entry.max_timestamp_before.0 += 1;
    let wrong: [(&str, Vec<u8>); 7] = [
        ("empty", Vec::new()),
        ("a bit turned", turned),
        ("of other bytes", index.encode(bytes - 1)),
        ("inside a batch", with(1, &|entry| entry.position = entry.position.advance(1))),
        ("another offset", with(2, &|entry| entry.offset = entry.offset.advance(1))),
        ("another time", with(0, &later)),
        ("offsets of another segment", with(entries.len() - 1, &|entry| entry.offset = Offset::new(1 << 40))),
    ];
    for (what, content) in wrong {
        scene.disk.put(&file, &content).unwrap();
        scene.read_with(0, what);
        scene.disk.put(&file, &content).unwrap();
        assert_eq!(scene.scrub_with(0, what), 1, "{what}");
        assert_eq!(scene.disk.content(&file), sound, "{what}");
    }
    scene.disk.lose_file(&file);
    assert_eq!(scene.scrub_with(0, "missing"), 1);
    assert_eq!(scene.disk.content(&file), sound);
    assert_eq!(scene.scrub_with(0, "sound"), 0);
}

#[test]
fn an_index_that_is_built_anew_while_files_of_its_log_go_is_kept_once_they_are_gone() {
    let scene = Scene::new(6);
    let file = scene.files(1, "twindex").remove(1);
    let sound = scene.disk.content(&file);
    scene.disk.lose_file(&file);
    let lost = file.clone();
    scene.live(settings(OFF), move |engine, disk| async move {
        let (_, log) = engine.find(id(1)).unwrap();
        disk.sleep(MINUTE).await;
        log.borrow_mut().removing = true;
        let (reader, clock) = (engine.clone(), disk.clone());
        disk.spawn(false, async move {
            assert_eq!(read_all(&reader, 1, 100_000).await.1, None);
            clock.sleep(MINUTE).await;
        });
        disk.sleep(MINUTE).await;
        assert_eq!(count(&engine, |stats| &stats.indexes_rebuilt_total), 1);
        assert!(disk.files().iter().all(|(path, _)| *path != lost), "files of the log go");
        log.borrow_mut().removing = false;
        disk.sleep(MINUTE).await;
    });
    assert_eq!(scene.disk.content(&file), sound);
}

#[test]
fn a_file_that_is_cut_or_gone_is_found_and_what_lies_behind_its_data_means_nothing() {
    let scene = Scene::new(5);
    let files = scene.files(1, "log");
    let sound = scene.disk.content(&files[1]);
    for (what, bytes, bad) in [
        ("cut within a batch", sound[..sound.len() - 1].to_vec(), 1),
        ("cut between batches", sound[..scene.segment(&files[1])[0].1.len()].to_vec(), 1),
        ("longer", [&sound[..], &[7; 9000]].concat(), 0),
    ] {
        scene.disk.put(&files[1], &bytes).unwrap();
        scene.read_with(bad, what);
        scene.scrub_with(bad, what);
    }
    scene.disk.put(&files[1], &sound).unwrap();
    let lost = files[1].clone();
    let soon = EngineSettings { scrub_interval_ms: 10_000, ..settings(1 << 30) };
    scene.live(soon, move |engine, disk| async move {
        a_pass(&engine, &disk).await;
        disk.lose_file(&lost);
        a_pass(&engine, &disk).await;
        assert_eq!(
            (count(&engine, |stats| &stats.rot_found_total), engine.bounds(id(1)).is_err()),
            (1, true)
        );
    });
}

#[test]
fn a_bit_that_turned_on_the_way_is_read_again_and_fences_nothing() {
    let scene = Scene::new(6);
    let stored = Rc::clone(&scene.stored);
    scene.live(settings(OFF), move |engine, disk| async move {
        for (log, stored) in LOGS.into_iter().zip(stored.iter()) {
            disk.garble_reads(1);
            assert_eq!(read_all(&engine, log, 100_000).await, (stored.clone(), None), "log {log}");
        }
        assert_eq!(count(&engine, |stats| &stats.rot_found_total), 0);
        assert_eq!(count(&engine, |stats| &stats.reads_repeated_total), 3);
    });
    scene.live(settings(1 << 30), move |engine, disk| async move {
        disk.garble_reads(1);
        a_pass(&engine, &disk).await;
        assert_eq!(count(&engine, |stats| &stats.rot_found_total), 0);
        assert_eq!(count(&engine, |stats| &stats.reads_repeated_total), 1);
    });
}

#[test]
fn a_scrub_keeps_to_its_rate_and_comes_back_in_its_time() {
    const RATE: u64 = 100_000;
    let scene = Scene::new(7);
    let bytes: u64 = LOGS
        .iter()
        .flat_map(|log| scene.files(*log, "log"))
        .map(|file| scene.disk.content(&file).len() as u64)
        .sum();
    scene.live(settings(OFF), |engine, disk| async move {
        disk.sleep(10 * MINUTE).await;
        assert_eq!(count(&engine, |stats| &stats.scrub_bytes_total), 0, "it is off");
    });
    let often = EngineSettings { scrub_interval_ms: 300_000, ..settings(RATE) };
    scene.live(often, move |engine, disk| async move {
        let begun = disk.now();
        while count(&engine, |stats| &stats.scrub_passes_total) == 0 {
            disk.sleep(Duration::from_millis(500)).await;
            let allowed = RATE * (disk.now() - begun).as_millis() as u64 / 1000 + (256 << 10);
            assert!(count(&engine, |stats| &stats.scrub_bytes_total) <= allowed);
        }
        let took = disk.now() - begun;
        assert!(
            took >= Duration::from_secs(bytes * 9 / 10 / RATE)
                && took < Duration::from_secs(bytes * 3 / RATE),
            "{took:?}"
        );
        assert!(count(&engine, |stats| &stats.scrub_passed_ms) > 0);
        assert!(count(&engine, |stats| &stats.scrub_batches_total) > 100);
        disk.sleep(MINUTE).await;
        assert_eq!(
            count(&engine, |stats| &stats.scrub_passes_total),
            1,
            "a pass begins five minutes after the last one began"
        );
        disk.sleep(7 * MINUTE).await;
        assert_eq!(count(&engine, |stats| &stats.scrub_passes_total), 2);
    });
}

#[test]
fn a_scrub_under_way_holds_up_no_stop() {
    let scene = Scene::new(8);
    for bytes_per_s in [1, 1 << 20] {
        let disk = scene.disk.clone();
        let run = scene.simulation.run(async move {
            let engine = start(&disk, settings(bytes_per_s)).await;
            disk.sleep(Duration::from_secs(6)).await;
            let begun = disk.now();
            engine.stop().await.unwrap();
            assert_eq!(count(&engine, |stats| &stats.scrub_passes_total) == 0, bytes_per_s == 1);
            disk.now() - begun
        });
        scene.disk.end_life(End::Kill);
        assert!(run.unwrap() < Duration::from_secs(1));
    }
    scene.read_with(0, "after all");
}

/// What one seed does to a log while it is scrubbed.
async fn trouble_a_log(engine: Engine<SimDisk>, disk: SimDisk, topic: u8, mut random: Random) {
    let retained = LogSettings {
        segment_bytes: 40_000,
        retention_bytes: Some(100_000),
        file_delete_delay_ms: random.below(2) * 500,
        ..LogSettings::default()
    };
    for life in 0..3 {
        let log = topic + 10 * life;
        engine.create(identity(log, topic), retained.clone(), LeaderEpoch(0)).await.unwrap();
        for _ in 0..random.below(60) {
            append(&engine, log, batch(&mut random, 4_000)).await.unwrap();
            match random.below(20) {
                0 => disk.sleep(Duration::from_millis(random.below(3000))).await,
                1 => {
                    let bounds = engine.bounds(id(log)).unwrap();
                    let span = (bounds.high_watermark.as_i64() - bounds.log_start.as_i64()) as u64;
                    let start = Offset::new(bounds.log_start.as_i64() + random.below(span + 1) as i64);
                    engine.raise_start(id(log), start).await.unwrap();
                }
                2 => {
                    let (_, refused) = read_all(&engine, log, 10_000).await;
                    assert!(matches!(refused, None | Some(ReadError::OutOfRange { .. })), "{refused:?}");
                }
                // The indexes go, to be made anew just when their segments or their log go as well.
                3..8 => {
                    let is_index = |path: &PathBuf| {
                        path.starts_with(format!("t{topic}-0"))
                            && path.extension().is_some_and(|e| e == "twindex")
                    };
                    let files = disk.files().into_iter().map(|(path, _)| path);
                    files.filter(is_index).for_each(|path| disk.lose_file(&path));
                }
                _ => {}
            }
        }
        disk.sleep(Duration::from_millis(random.below(3000))).await;
        engine.delete(id(log)).await.unwrap();
    }
}

#[test]
fn segments_that_go_under_the_scrubber_are_no_rot_and_nothing_comes_back_of_them() {
    for seed in 0..20 {
        let simulation = Simulation::new(seed);
        let disk = SimDisk::new(&simulation, seed);
        // Now and then a request takes long: an index may still be on its way when its segment goes.
        disk.set_faults(Faults { slow: 2_000, ..Faults::default() });
        let (inner, tasks) = (disk.clone(), simulation.clone());
        let run = simulation.run(async move {
            let often =
                EngineSettings { scrub_interval_ms: 100, ..settings([2 << 20, 50 << 20][seed as usize % 2]) };
            let engine = start(&inner, often).await;
            let busy = Rc::new(RefCell::new(3));
            for topic in 1..=3 {
                let random = Random::new(seed * 10 + u64::from(topic));
                let work = trouble_a_log(engine.clone(), inner.clone(), topic, random);
                let busy = Rc::clone(&busy);
                tasks.spawn(async move {
                    work.await;
                    *busy.borrow_mut() -= 1;
                });
            }
            while *busy.borrow() > 0 {
                inner.sleep(Duration::from_millis(100)).await;
            }
            assert_eq!(count(&engine, |stats| &stats.rot_found_total), 0);
            assert_eq!(count(&engine, |stats| &stats.scrub_failures_total), 0);
            assert!(count(&engine, |stats| &stats.scrub_batches_total) > 0);
            let left = |(path, _): &(PathBuf, u64)| !path.starts_with("thalweg-journal");
            let left: Vec<_> = inner.files().into_iter().filter(left).collect();
            assert!(left.is_empty(), "seed {seed}: {left:?}");
            engine.stop().await.unwrap();
        });
        assert!(run.is_some(), "seed {seed}");
    }
}

#[test]
fn what_lies_below_the_logs_start_fences_nothing_where_an_index_leads_past_it() {
    let scene = Scene::new(9);
    let file = scene.files(2, "log").remove(0);
    let segment = scene.segment(&file);
    let (start, _) = segment[segment.len() - 1];
    scene.live(settings(OFF), move |engine, _| async move {
        engine.raise_start(id(2), Offset::new(start)).await.unwrap();
    });
    scene.disk.flip_bit(&file, 200, 3);
    scene.live(settings(1 << 30), |engine, disk| async move {
        a_pass(&engine, &disk).await;
        assert_eq!(count(&engine, |stats| &stats.rot_found_total), 0);
        assert_eq!(read_all(&engine, 2, 100_000).await.1, None);
    });
    let at: usize = segment[..segment.len() - 1].iter().map(|(_, bytes)| bytes.len()).sum();
    scene.disk.flip_bit(&file, at as u64 + 100, 3);
    scene.live(settings(1 << 30), |engine, disk| async move {
        a_pass(&engine, &disk).await;
        assert_eq!(count(&engine, |stats| &stats.rot_found_total), 1, "from the start on all is looked at");
    });
    assert_ne!(FilePos::new(at as u64), FilePos::ZERO);
}

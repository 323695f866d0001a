//! Rare meetings of circumstances, each a scene of its own: random lives come to them once in ten thousands of seeds.

use super::elders::{identity, settings, stage};
use super::start_all;
use crate::batch::{BatchBuilder, BatchHeader, Codec, ProducerFields};
use crate::io::Disk;
use crate::io::sim::{End, Faults, SimDisk, Simulation};
use crate::log::LogSettings;
use crate::shard::{Engine, EngineSettings, Isolation, Read};
use crate::units::{LeaderEpoch, LogId, Offset, Timestamp};
use bytes::Bytes;
use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

const LOG: LogId = LogId([1; 16]);
/// Room for a manifest, not for a journal file.
const LITTLE_BYTES: u64 = 100 << 10;

/// One life on one shard, and its end.
fn live<F: Future<Output = ()> + 'static>(
    (simulation, disk): (&Simulation, &SimDisk),
    settings: &EngineSettings,
    end: End,
    life: impl FnOnce(Engine<SimDisk>, SimDisk) -> F + 'static,
) {
    let (own, settings) = (disk.clone(), settings.clone());
    let _ = simulation.run(async move {
        let engine = start_all(&own, &settings, 1, |_| 0).await.0.remove(0);
        life(engine, own).await;
    });
    disk.set_faults(Faults::default());
    disk.end_life(end);
}

fn filled(byte: u8, bytes: usize) -> Bytes {
    let builder = BatchBuilder::new(Codec::None);
    let time = Timestamp(super::model::NOW);
    builder.record(time, None, Some(&vec![byte; bytes])).build(ProducerFields::NONE).unwrap()
}

async fn append(engine: &Engine<SimDisk>, log: u8, records: Bytes) {
    let staged = stage(engine, log, records).await;
    engine.durable(LogId([log; 16]), staged.offset_end).await.unwrap();
}

async fn create(engine: &Engine<SimDisk>, log: u8, settings: LogSettings) {
    engine.create(identity(log), settings, LeaderEpoch(0)).await.unwrap();
}

/// Reads all batches of a log, each with a checksum that fits; how many.
async fn batch_count(engine: &Engine<SimDisk>, log: u8) -> usize {
    let bounds = engine.bounds(LogId([log; 16])).unwrap();
    let (mut offset, mut count) = (bounds.log_start, 0);
    while offset < bounds.high_watermark {
        let read =
            Read { offset, bytes_max: 1 << 20, first_batch_whole: true, isolation: Isolation::Uncommitted };
        let found = engine.read(LogId([log; 16]), read).await.unwrap().slices.concat();
        let mut rest = &found[..];
        while let Ok(header) = BatchHeader::read(rest) {
            assert!(crate::batch::crc_matches(&rest[..header.batch_bytes()]));
            offset = Offset::new(header.base_offset).advance(header.last_offset_delta as u32 + 1);
            rest = &rest[header.batch_bytes()..];
            count += 1;
        }
    }
    count
}

/// Several segments, whose files go as soon as they may.
fn segmented() -> LogSettings {
    LogSettings { segment_bytes: 20_000, file_delete_delay_ms: 0, ..LogSettings::default() }
}

/// A log of twelve batches in segments of three, written and cleanly stopped.
fn write_segments(place: (&Simulation, &SimDisk)) {
    live(place, &settings(), End::PowerCut, async |engine, _| {
        create(&engine, 1, segmented()).await;
        for number in 0..12 {
            append(&engine, 1, filled(number, 6_000)).await;
        }
        engine.stop().await.unwrap();
    });
}

/// Paths of a log's files of segments below an offset.
fn files_below(disk: &SimDisk, end: i64) -> Vec<PathBuf> {
    let files = disk.files().into_iter().map(|(path, _)| path).filter(|path| path.starts_with("t1-0"));
    let base = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<i64>().ok();
    files.filter(|path| base(path).is_some_and(|base| base < end)).collect()
}

/// Nobody was answered for what a large run wrote before its commit: the next life gives its place to other batches, and
/// the last write of the killed one may come 60 ms later.
#[test]
fn a_write_of_a_killed_process_never_lands_on_what_its_successor_wrote() {
    let settings = EngineSettings { large_run_bytes: 12 << 10, ..settings() };
    for seed in 0..60 {
        let simulation = Simulation::new(seed);
        let disk = SimDisk::new(&simulation, seed);
        let place = (&simulation, &disk);
        live(place, &settings, End::Kill, async move |engine, disk| {
            create(&engine, 1, LogSettings::default()).await;
            append(&engine, 1, filled(1, 60_000)).await;
            disk.set_faults(Faults { cut_after_steps: Some(1 + seed % 6), ..Faults::default() });
            append(&engine, 1, filled(2, 60_000)).await;
        });
        live(place, &settings, End::PowerCut, async |engine, disk| {
            append(&engine, 1, filled(3, 60_000)).await;
            disk.sleep(Duration::from_millis(100)).await;
            engine.stop().await.unwrap();
        });
        live(place, &settings, End::PowerCut, async |engine, _| {
            assert!(batch_count(&engine, 1).await >= 2);
        });
    }
}

/// The search for files that no state names took them for strays: a power cut left the log offline for a missing file.
#[test]
fn a_cut_segment_is_no_stray_while_its_commit_is_on_its_way() {
    for seed in 0..200 {
        let simulation = Simulation::new(seed);
        let disk = SimDisk::new(&simulation, seed);
        let place = (&simulation, &disk);
        write_segments(place);
        live(place, &settings(), End::PowerCut, async move |engine, disk| {
            disk.set_faults(Faults { cut_after_steps: Some(1 + seed % 25), ..Faults::default() });
            engine.raise_start(LOG, Offset::new(9)).await.unwrap();
            disk.sleep(Duration::from_secs(1)).await;
        });
        live(place, &settings(), End::PowerCut, async |engine, _| {
            let start = engine.bounds(LOG).unwrap().log_start.as_i64();
            assert_eq!(batch_count(&engine, 1).await as i64, 12 - start);
        });
    }
}

/// An index that was missing is on its way into its file when its segment goes: it must not come behind the removal.
#[test]
fn the_removal_of_a_segment_waits_for_an_index_write_under_way() {
    let settings = EngineSettings { retention_check_ms: 100, ..settings() };
    let is_under_way = |disk: &SimDisk| {
        disk.files().iter().any(|(path, _)| path.ends_with("00000000000000000000.twindex.new"))
    };
    for seed in 0..60 {
        let simulation = Simulation::new(seed);
        let disk = SimDisk::new(&simulation, seed);
        let place = (&simulation, &disk);
        write_segments(place);
        disk.lose_file(&PathBuf::from("t1-0/00000000000000000000.twindex"));
        let spawning = simulation.clone();
        live(place, &settings, End::PowerCut, async move |engine, disk| {
            engine.configure(LOG, segmented()).unwrap();
            disk.sleep(Duration::from_secs(1)).await;
            let reading = engine.clone();
            spawning.spawn(async move {
                let time = Timestamp(super::model::NOW);
                let _ = reading.offset_for_time(LOG, time).await;
            });
            // Some requests take a second, that of the index among them.
            disk.set_faults(Faults { slow: 40_000, ..Faults::default() });
            while !is_under_way(&disk) {
                disk.sleep(Duration::from_micros(20)).await;
            }
            engine.raise_start(LOG, Offset::new(9)).await.unwrap();
            disk.sleep(Duration::from_secs(60)).await;
            assert_eq!(files_below(&disk, 9), [] as [PathBuf; 0], "seed {seed}");
        });
    }
}

/// A topic is deleted to make room where no name can be changed without a free block, and the broker is killed on the way.
#[test]
fn a_deletion_on_a_full_disk_goes_on_with_the_next_start() {
    let full = Faults { name_bytes: LITTLE_BYTES + 1, ..Faults::default() };
    let mut halfway = 0;
    for steps in 0..40 {
        let simulation = Simulation::new(steps);
        let disk = SimDisk::new(&simulation, steps);
        let place = (&simulation, &disk);
        write_segments(place);
        let cut = Faults { cut_after_steps: Some(steps), ..full.clone() };
        live(place, &settings(), End::Kill, async |engine, disk| {
            disk.set_faults(cut);
            disk.leave_storage(LITTLE_BYTES);
            engine.delete(LOG).await.unwrap();
        });
        let was_there = disk.files().iter().any(|(path, _)| path.starts_with("t1-0"));
        disk.set_faults(full.clone());
        disk.leave_storage(LITTLE_BYTES);
        let is_deleted = Rc::new(Cell::new(false));
        let found = Rc::clone(&is_deleted);
        live(place, &settings(), End::Kill, async move |engine, disk| {
            found.set(engine.bounds(LOG).is_err());
            let is_there = disk.files().iter().any(|(path, _)| path.starts_with("t1-0"));
            assert_eq!(is_there, !found.get());
        });
        halfway += u32::from(was_there && is_deleted.get());
    }
    assert!(halfway > 0);
}

/// A log that cannot be written back holds every journal file, and what may still be committed fills the disk: the files
/// that are left belong to the next start.
#[test]
fn a_full_disk_takes_no_file_that_the_next_start_needs() {
    for seed in 0..10 {
        let simulation = Simulation::new(seed);
        let disk = SimDisk::new(&simulation, seed);
        let place = (&simulation, &disk);
        live(place, &settings(), End::Kill, async |engine, disk| {
            for log in [1, 2] {
                create(&engine, log, LogSettings::default()).await;
            }
            let first = engine.journals().remove(0);
            while engine.journals().contains(&first) {
                append(&engine, 1, filled(1, 9_000)).await;
            }
            engine.hold_back(LogId([2; 16]));
            // More than is copied forward when an old file is to go.
            for _ in 0..40 {
                append(&engine, 2, filled(2, 9_000)).await;
            }
            disk.sleep(Duration::from_secs(10)).await;
            disk.leave_storage(LITTLE_BYTES);
            let filling = engine.clone();
            disk.spawn(false, async move {
                loop {
                    create(&filling, 3, LogSettings::default()).await;
                    filling.delete(LogId([3; 16])).await.unwrap();
                }
            });
            disk.sleep(Duration::from_secs(60)).await;
        });
        for _ in 0..3 {
            disk.leave_storage(LITTLE_BYTES);
            live(place, &settings(), End::Kill, async |engine, disk| {
                assert_eq!(batch_count(&engine, 2).await, 40);
                // Killed before it wrote log 2 back, each start would hold one more of the files that are left.
                disk.sleep(Duration::from_secs(20)).await;
            });
        }
    }
}

/// Two journal files. The first one tells of log 1 and holds bytes of nobody; the second one tells that log 1 was deleted,
/// and is needed for the bytes of log 2.
fn write_earlier_journals(place: (&Simulation, &SimDisk)) {
    live(place, &settings(), End::Kill, async |engine, _| {
        for log in 1..=3 {
            create(&engine, log, LogSettings::default()).await;
        }
        let first = engine.journals();
        while engine.journals() == first {
            create(&engine, 4, LogSettings::default()).await;
            engine.delete(LogId([4; 16])).await.unwrap();
        }
        engine.delete(LOG).await.unwrap();
        engine.hold_back(LogId([2; 16]));
        // More than is copied forward when an old file is to go.
        for _ in 0..40 {
            append(&engine, 2, filled(2, 9_000)).await;
        }
    });
}

/// A start that needs the earlier journals until log 3 got so many batches. Then it gives them up, and the power goes after
/// so many steps; without a number, when the start's second file is begun. How many batches there were.
fn give_up_earlier_journals(place: (&Simulation, &SimDisk), batches: u64, steps: Option<u64>) -> u64 {
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    live(place, &settings(), End::PowerCut, async move |engine, disk| {
        engine.hold_back(LogId([2; 16]));
        // A long table, which passes the place of the deletion in the file that it is written over.
        let more = (10..110).map(|log| create(&engine, log, LogSettings::default()));
        futures_util::future::join_all(more).await;
        let first = engine.journals();
        while counted.get() < batches && engine.journals() == first {
            append(&engine, 3, filled(3, 100)).await;
            counted.set(counted.get() + 1);
        }
        if steps.is_some() {
            disk.set_faults(Faults { cut_after_steps: steps, ..Faults::default() });
            engine.let_go(LogId([2; 16]));
            disk.sleep(Duration::from_secs(1)).await;
        }
    });
    count.get()
}

/// Taken too early, the file with the deletion is begun anew, the power goes, and the file before it counts again.
#[test]
fn journals_of_earlier_starts_are_begun_anew_only_when_nobody_reads_them_any_more() {
    let with = |act: &dyn Fn((&Simulation, &SimDisk))| {
        let simulation = Simulation::new(6);
        let disk = SimDisk::new(&simulation, 6);
        write_earlier_journals((&simulation, &disk));
        act((&simulation, &disk));
    };
    let until_full = Cell::new(0);
    with(&|place| until_full.set(give_up_earlier_journals(place, u64::MAX, None)));
    for (before, steps) in (1..4).flat_map(|before| (10..34).step_by(2).map(move |steps| (before, steps))) {
        with(&|(simulation, disk)| {
            give_up_earlier_journals((simulation, disk), until_full.get() - before, Some(steps));
            let own = disk.clone();
            let life = async move {
                let (_, found, _) = start_all(&own, &settings(), 1, |_| 0).await;
                assert!(!found.contains(&LOG), "log 1 is here again: {before}, {steps}");
            };
            simulation.run(life).unwrap();
        });
    }
}

/// Found by seed 555633: while a large run held its log's oldest journal file, laps wrote checkpoints that could free
/// nothing into the last room of the journal, until none was left for the run's own commit.
#[test]
fn laps_leave_room_in_the_journal_for_a_large_run_that_takes_long() {
    let settings = EngineSettings { large_run_bytes: 64 << 10, ..settings() };
    for seed in 0..40 {
        let simulation = Simulation::new(seed);
        let disk = SimDisk::new(&simulation, seed);
        live((&simulation, &disk), &settings, End::Kill, async move |engine, disk| {
            for log in [1, 2] {
                create(&engine, log, LogSettings::default()).await;
            }
            append(&engine, 1, filled(1, 100)).await;
            disk.set_faults(Faults { slow: 100_000, ..Faults::default() });
            let large = stage(&engine, 1, filled(1, 200_000)).await;
            disk.sleep(Duration::from_micros(200)).await;
            disk.set_faults(Faults::default());
            for _ in 0..600 {
                append(&engine, 2, filled(2, 9_000)).await;
            }
            engine.durable(LOG, large.offset_end).await.unwrap();
        });
    }
}

//! Several log directories, each a disk of its own: what one does is no other's trouble.

use super::elders::{identity, plain, settings};
use crate::batch::{BatchHeader, Origin};
use crate::io::Disk;
use crate::io::sim::{End, Faults, Random, SimDisk, Simulation};
use crate::log::LogSettings;
use crate::shard::{
    Append, AppendError, Engine, EngineSettings, Isolation, LogError, Read, Recovered, recover_without,
};
use crate::units::{LeaderEpoch, LogId, Offset, Timestamp};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

const DISKS: usize = 3;
const SHARDS: usize = 2;
const LOGS: u8 = 12;

fn disks(simulation: &Simulation, seed: u64) -> Vec<SimDisk> {
    (0..DISKS as u64).map(|number| SimDisk::new(simulation, seed * 7 + number)).collect()
}

fn settings_of_all() -> EngineSettings {
    let directories = (0..DISKS).map(|number| PathBuf::from(format!("disk{number}"))).collect();
    EngineSettings { directories, large_run_bytes: 32 << 10, ..settings() }
}

fn owner(log: u8) -> usize {
    usize::from(log) % SHARDS
}

async fn recovered(disks: &[SimDisk], absent: BTreeMap<usize, String>) -> Recovered {
    recover_without(disks, &settings_of_all(), absent, SHARDS, Timestamp(super::model::NOW)).await.unwrap()
}

async fn start(disks: &[SimDisk], recovered: Recovered) -> Vec<Engine<SimDisk>> {
    let mut engines = Vec::new();
    for share in recovered.split(SHARDS, |identity| owner(identity.log_id.0[0])) {
        engines.push(Engine::start(disks.to_vec(), settings_of_all(), share).await.unwrap());
    }
    engines
}

async fn create(engines: &[Engine<SimDisk>], log: u8) {
    engines[owner(log)].create(identity(log), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
}

/// Where each log lies.
fn places(engines: &[Engine<SimDisk>]) -> BTreeMap<u8, usize> {
    let stored = engines.iter().flat_map(Engine::stored_logs);
    stored.map(|log| (log.identity.log_id.0[0], log.directory)).collect()
}

async fn append(engine: &Engine<SimDisk>, log: u8, value_bytes: usize) -> Result<i64, AppendError> {
    let append = Append { records: plain(value_bytes), zstd_allowed: true, origin: Origin::Client };
    let staged = engine.stage(LogId([log; 16]), &append, Timestamp(super::model::NOW)).await?;
    engine.durable(LogId([log; 16]), staged.offset_end).await?;
    Ok(staged.offset_end.as_i64())
}

/// Reads a log from its start to its end and checks every batch; the end.
async fn read_all(engine: &Engine<SimDisk>, log: u8) -> i64 {
    let mut offset = Offset::ZERO;
    loop {
        let read =
            Read { offset, bytes_max: 1 << 20, first_batch_whole: true, isolation: Isolation::Uncommitted };
        let found = engine.read(LogId([log; 16]), read).await.unwrap();
        let bytes = found.slices.concat();
        if bytes.is_empty() {
            assert_eq!(offset, found.bounds.high_watermark);
            return offset.as_i64();
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let header = BatchHeader::read(rest).unwrap();
            let (batch, after) = rest.split_at(header.batch_bytes());
            assert_eq!(header.base_offset, offset.as_i64());
            let told = u32::from_be_bytes(batch[17..21].try_into().unwrap());
            assert_eq!(crc32c::crc32c(&batch[21..]), told, "log {log}, offset {offset}");
            offset = offset.advance(header.last_offset_delta as u32 + 1);
            rest = after;
        }
    }
}

/// What a log's appends came to.
#[derive(Clone, Debug, Default)]
struct Promised {
    /// One past the last record that was acknowledged.
    end: i64,
    refused: Option<AppendError>,
}

/// Appends to all logs, several at a time to each, small and large.
async fn append_to_all(
    simulation: &Simulation,
    disk: &SimDisk,
    engines: &[Engine<SimDisk>],
    random: &mut Random,
) -> BTreeMap<u8, Promised> {
    let promised: Rc<RefCell<BTreeMap<u8, Promised>>> = Rc::default();
    let busy = Rc::new(());
    for log in 1..=LOGS {
        for _ in 0..3 {
            let engine = engines[owner(log)].clone();
            let (promised, busy, mut random) =
                (Rc::clone(&promised), Rc::clone(&busy), Random::new(random.next_u64()));
            simulation.spawn(async move {
                for _ in 0..8 {
                    let value_bytes = [100, 9_000, 100_000][random.below(3) as usize];
                    let outcome = append(&engine, log, value_bytes).await;
                    let mut promised = promised.borrow_mut();
                    let own = promised.entry(log).or_default();
                    match outcome {
                        Ok(end) => own.end = own.end.max(end),
                        Err(error) => own.refused = Some(error),
                    }
                }
                drop(busy);
            });
        }
    }
    while Rc::strong_count(&busy) > 1 {
        disk.sleep(Duration::from_millis(10)).await;
    }
    promised.take()
}

fn run(seed: u64, work: impl AsyncFnOnce(Simulation, Vec<SimDisk>) + 'static) -> Vec<SimDisk> {
    let simulation = Simulation::new(seed);
    let disks = disks(&simulation, seed);
    let (inner, own) = (simulation.clone(), disks.clone());
    simulation.run(async move { work(inner, own).await }).unwrap();
    disks
}

/// A life in which one disk's writes and syncs fail, a stop as orderly as it may be, a power cut, and a start with all well.
fn fail_one(seed: u64) {
    run(seed, async move |simulation, disks| {
        let mut random = Random::new(seed);
        let engines = start(&disks, recovered(&disks, BTreeMap::new()).await).await;
        for log in 1..=LOGS {
            create(&engines, log).await;
        }
        let places = places(&engines);
        assert!((0..DISKS).all(|disk| places.values().filter(|place| **place == disk).count() == 4));
        let failing = random.below(DISKS as u64) as usize;
        let (write_fails, sync_fails) = (1_000 + random.below(4_000), random.below(2_000));
        disks[failing].set_faults(Faults { write_fails, sync_fails, ..Faults::default() });
        let promised = append_to_all(&simulation, &disks[0], &engines, &mut random).await;
        let has_stopped = engines[0].directories_stopped().contains_key(&failing);
        for (log, own) in &promised {
            match &own.refused {
                None => assert!(!has_stopped || places[log] != failing || own.end == 24),
                Some(AppendError::Log(LogError::Offline { .. })) => {
                    assert!(has_stopped && places[log] == failing, "log {log} is on a disk that is well");
                }
                Some(error) => panic!("log {log}: {error}"),
            }
            assert_eq!(
                engines[owner(*log)].bounds(LogId([*log; 16])).is_err(),
                has_stopped && places[log] == failing
            );
        }
        // What is new goes where a disk works.
        create(&engines, 100).await;
        assert!(!has_stopped || self::places(&engines)[&100] != failing);
        for engine in &engines {
            assert_eq!(engine.stop().await.is_err(), engine.directories_stopped().contains_key(&failing));
        }
        drop(engines);
        for disk in &disks {
            disk.set_faults(Faults::default());
            disk.end_life(if random.per_mille(500) { End::PowerCut } else { End::Kill });
        }
        let engines = start(&disks, recovered(&disks, BTreeMap::new()).await).await;
        for (log, own) in promised {
            let end = read_all(&engines[owner(log)], log).await;
            assert!(end >= own.end, "log {log} ends at {end}, {} were acknowledged", own.end);
        }
        for engine in engines {
            engine.stop().await.unwrap();
        }
    });
}

#[test]
fn a_disk_that_fails_takes_down_its_own_logs_and_what_it_acknowledged_is_there_again() {
    super::for_each_seed(fail_one);
}

#[test]
fn a_directory_that_is_not_there_keeps_its_logs_and_is_left_alone() {
    run(3, async |simulation, disks| {
        let mut random = Random::new(3);
        let engines = start(&disks, recovered(&disks, BTreeMap::new()).await).await;
        for log in 1..=LOGS {
            create(&engines, log).await;
        }
        append_to_all(&simulation, &disks[0], &engines, &mut random).await;
        let before = places(&engines);
        for engine in &engines {
            engine.stop().await.unwrap();
        }
        let files = disks[1].files();
        let found = recovered(&disks, BTreeMap::from([(1, "it is gone".to_owned())])).await;
        assert!(!found.unclean && found.absent.len() == 1);
        let engines = start(&disks, found).await;
        let there = places(&engines);
        assert!(before.iter().all(|(log, place)| there.get(log).copied() == (*place != 1).then_some(*place)));
        assert_eq!(engines[0].stats().directories_stopped.load(std::sync::atomic::Ordering::Relaxed), 1);
        // Nobody can say that such a log is not there.
        let lost = *before.iter().find(|(_, place)| **place == 1).unwrap().0;
        let deleted = engines[owner(lost)].delete(LogId([lost; 16])).await;
        assert!(matches!(deleted, Err(LogError::Offline { .. })), "{deleted:?}");
        for log in 100..110 {
            create(&engines, log).await;
        }
        assert!((100..110).all(|log| places(&engines)[&log] != 1));
        for engine in &engines {
            engine.stop().await.unwrap();
        }
        assert_eq!(disks[1].files(), files);
        let engines = start(&disks, recovered(&disks, BTreeMap::new()).await).await;
        for log in 1..=LOGS {
            assert_eq!(read_all(&engines[owner(log)], log).await, 24);
        }
        for engine in engines {
            engine.stop().await.unwrap();
        }
    });
}

#[test]
fn a_directory_that_lacks_a_journal_file_is_left_out_and_none_is_refused_where_all_do() {
    run(4, async |_, disks| {
        let engines = start(&disks, recovered(&disks, BTreeMap::new()).await).await;
        for log in 1..=LOGS {
            create(&engines, log).await;
        }
        for engine in engines {
            engine.stop().await.unwrap();
        }
        let journal = |disk: &SimDisk| {
            let mut files = disk.files().into_iter().map(|(path, _)| path);
            files.find(|path| path.extension().is_some_and(|ending| ending == "journal")).unwrap()
        };
        disks[2].lose_file(&journal(&disks[2]));
        let found = recovered(&disks, BTreeMap::new()).await;
        assert!(found.absent[&2].contains("is missing or cut"), "{:?}", found.absent);
        assert_eq!(found.logs.len(), 8);
        for disk in &disks[..2] {
            disk.lose_file(&journal(disk));
        }
        let now = Timestamp(super::model::NOW);
        let refused = recover_without(&disks, &settings_of_all(), BTreeMap::new(), SHARDS, now).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("disk0")));
    });
}

#[test]
fn a_log_that_is_in_two_directories_is_served_from_neither() {
    run(6, async |_, disks| {
        // Each alone, as if the other were not there.
        for lone in 0..2 {
            let absent =
                (0..DISKS).filter(|disk| *disk != lone).map(|disk| (disk, "away".to_owned())).collect();
            let engines = start(&disks, recovered(&disks, absent).await).await;
            create(&engines, 1).await;
            create(&engines, 10 + lone as u8).await;
            for engine in engines {
                engine.stop().await.unwrap();
            }
        }
        let engines = start(&disks, recovered(&disks, BTreeMap::new()).await).await;
        let told = engines[owner(1)].bounds(LogId([1; 16])).unwrap_err().to_string();
        assert!(told.contains("it is in disk0 and in disk1"), "{told}");
        for log in [10, 11] {
            append(&engines[owner(log)], log, 100).await.unwrap();
        }
        for engine in engines {
            engine.stop().await.unwrap();
        }
    });
}

#[test]
fn a_full_disk_gets_no_new_log_while_another_has_room() {
    run(5, async |_, disks| {
        let engines = start(&disks, recovered(&disks, BTreeMap::new()).await).await;
        disks[0].leave_storage(1000);
        disks[1].leave_storage(1 << 30);
        for log in 1..=LOGS {
            create(&engines, log).await;
        }
        assert!(places(&engines).values().all(|place| *place != 0));
        // Where no disk has room, logs go to the emptiest one all the same: they may be made room for.
        disks.iter().for_each(|disk| disk.leave_storage(1000));
        disks[0].sleep(Duration::from_secs(2)).await;
        create(&engines, 100).await;
        assert_eq!(places(&engines)[&100], 0);
        let refused = append(&engines[owner(100)], 100, 100_000).await;
        assert_eq!(refused, Err(AppendError::Full { log_id: LogId([100; 16]) }));
        disks[0].leave_storage(1 << 30);
        append(&engines[owner(100)], 100, 100_000).await.unwrap();
        for engine in engines {
            engine.stop().await.unwrap();
        }
    });
}

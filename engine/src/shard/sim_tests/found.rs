//! What the random lives found, each as the shortest life that shows it.

use super::elders::{identity, plain, settings, stage};
use super::start_all;
use crate::batch::{BatchBuilder, Codec, ProducerFields};
use crate::io::sim::{End, SimDisk, Simulation};
use crate::log::LogSettings;
use crate::shard::{Engine, EngineSettings, Isolation, LogError, Read, ReadError, recover};
use crate::units::{LeaderEpoch, LogId, Offset, Timestamp};
use std::path::{Path, PathBuf};

async fn append(engine: &Engine<SimDisk>, log: u8, value_bytes: usize) {
    let staged = stage(engine, log, plain(value_bytes)).await;
    engine.durable(LogId([log; 16]), staged.offset_end).await.unwrap();
}

/// One life on one shard, cleanly stopped.
fn live<F: Future<Output = Engine<SimDisk>> + 'static>(
    simulation: &Simulation,
    disk: &SimDisk,
    life: impl FnOnce(Engine<SimDisk>) -> F + 'static,
) {
    let inner = disk.clone();
    let run = simulation.run(async move {
        let engine = start_all(&inner, &settings(), 1, |_| 0).await.0.remove(0);
        life(engine).await.stop().await.unwrap();
    });
    run.unwrap();
    disk.end_life(End::PowerCut);
}

fn is_offline(engine: &Engine<SimDisk>, log: u8) -> bool {
    matches!(engine.bounds(LogId([log; 16])), Err(LogError::Offline { .. }))
}

/// Log 2 never filled a block, so all its bytes were in the journal: it was served, and its clean stop wrote its last block
/// into log 1's segment and cut that to the length of its own.
#[test]
fn a_log_whose_bytes_are_in_the_journal_alone_writes_into_no_other_ones_directory() {
    let simulation = Simulation::new(1);
    let disk = SimDisk::new(&simulation, 1);
    live(&simulation, &disk, async |engine: Engine<SimDisk>| {
        for log in [1, 2] {
            engine.create(identity(log), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
        }
        append(&engine, 1, 50_000).await;
        append(&engine, 2, 10).await;
        engine
    });
    let swap = || {
        let names = [("t1-0", "aside"), ("t2-0", "t1-0"), ("aside", "t2-0")];
        names.iter().for_each(|(source, target)| disk.move_name(Path::new(source), Path::new(target)));
    };
    swap();
    live(&simulation, &disk, async |engine: Engine<SimDisk>| {
        assert!(is_offline(&engine, 1) && is_offline(&engine, 2));
        engine
    });
    swap();
    live(&simulation, &disk, async |engine: Engine<SimDisk>| {
        assert!(!is_offline(&engine, 1) && !is_offline(&engine, 2));
        engine
    });
    let content = disk.content(Path::new("t1-0/00000000000000000000.log"));
    assert!(content.len() > 50_000, "log 1 was cut to {} B", content.len());
}

/// Before the first partition has a directory, the manifest was all that told a lost one from a first start.
#[test]
fn a_directory_whose_manifest_is_lost_is_no_new_one() {
    let simulation = Simulation::new(2);
    let disk = SimDisk::new(&simulation, 2);
    live(&simulation, &disk, async |engine: Engine<SimDisk>| {
        engine.create(identity(1), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
        engine
    });
    disk.lose_file(Path::new("thalweg-journal/manifest"));
    let run = simulation.run(async move {
        let found = recover(std::slice::from_ref(&disk), &settings(), 1, Timestamp(0)).await;
        assert!(found.err().unwrap().to_string().contains("manifest is missing"));
    });
    run.unwrap();
}

/// Each directory of a shard had a signal of its own for memory that all of them share.
#[test]
fn who_waits_for_memory_in_one_directory_gets_what_another_one_frees() {
    let simulation = Simulation::new(3);
    let disks = [SimDisk::new(&simulation, 3), SimDisk::new(&simulation, 4)];
    let run = simulation.run(async move {
        let directories = vec![PathBuf::from("sim0"), PathBuf::from("sim1")];
        let settings = EngineSettings { directories, tail_memory_bytes: 1 << 20, ..settings() };
        let recovered = recover(&disks, &settings, 1, Timestamp(0)).await.unwrap();
        let share = recovered.split(1, |_| 0).remove(0);
        let engine = Engine::start(disks.to_vec(), settings, share).await.unwrap();
        for log in [1, 2] {
            engine.create(identity(log), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
        }
        let directory = |log: u8| {
            let stored = engine.stored_logs().into_iter();
            stored.filter(|stored| stored.identity.log_id == LogId([log; 16])).map(|log| log.directory).next()
        };
        assert_ne!(directory(1), directory(2));
        // The last one passes the bound and is let in; the next one has to wait.
        for _ in 0..8 {
            stage(&engine, 1, plain(200_000)).await;
        }
        append(&engine, 2, 10).await;
        assert_eq!(engine.bounds(LogId([2; 16])).unwrap().durable_end, Offset::new(1));
        engine.stop().await.unwrap();
    });
    run.unwrap();
}

/// The log started inside the batch, and the epoch of its first records was forgotten with them.
#[test]
fn the_epoch_of_a_batch_in_which_the_log_starts_is_checked_too() {
    let simulation = Simulation::new(4);
    let disk = SimDisk::new(&simulation, 4);
    live(&simulation, &disk, async |engine: Engine<SimDisk>| {
        engine.create(identity(1), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
        let mut batch = BatchBuilder::new(Codec::None);
        for _ in 0..3 {
            batch.push(Timestamp(super::model::NOW), None, Some(&[7; 5_000]), &[]);
        }
        let staged = stage(&engine, 1, batch.build(ProducerFields::NONE).unwrap()).await;
        engine.durable(LogId([1; 16]), staged.offset_end).await.unwrap();
        engine.raise_start(LogId([1; 16]), Offset::new(1)).await.unwrap();
        engine
    });
    disk.flip_bit(Path::new("t1-0/00000000000000000000.log"), 14, 3);
    live(&simulation, &disk, async |engine: Engine<SimDisk>| {
        let read = Read {
            offset: Offset::new(1),
            bytes_max: 1,
            first_batch_whole: true,
            isolation: Isolation::Uncommitted,
        };
        let found = engine.read(LogId([1; 16]), read).await;
        assert!(matches!(found, Err(ReadError::Corrupt { .. })), "{found:?}");
        engine
    });
}

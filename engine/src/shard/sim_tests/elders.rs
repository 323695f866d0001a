//! What a start still knows of the starts before it, while their journals are there and when they go.

use super::start_all;
use crate::batch::{BatchBuilder, Codec, Origin, ProducerFields};
use crate::io::Disk;
use crate::io::sim::{End, SimDisk, Simulation};
use crate::log::{LogIdentity, LogSettings};
use crate::shard::{Append, Engine, EngineSettings, Isolation, Read, Staged};
use crate::units::{LeaderEpoch, LogId, Offset, Timestamp};
use bytes::Bytes;
use std::path::PathBuf;

const VALUE_BYTES: usize = 9_000;

pub(super) fn settings() -> EngineSettings {
    EngineSettings {
        directories: vec![PathBuf::from("sim")],
        journal_file_bytes: 1 << 20,
        journal_files_max: 4,
        commit_bytes_max: 64 << 10,
        commit_entries_max: 64,
        state_bytes_max: 320 << 10,
        large_run_bytes: 1 << 20,
        tail_memory_bytes: 8 << 20,
        cache_bytes: 1 << 20,
        unpacked_bytes_max: 4 << 20,
        ..EngineSettings::default()
    }
}

pub(super) fn identity(number: u8) -> LogIdentity {
    let id = [number; 16];
    LogIdentity { log_id: LogId(id), topic_id: id, topic: format!("t{number}"), partition: 0 }
}

pub(super) fn plain(value_bytes: usize) -> Bytes {
    let builder = BatchBuilder::new(Codec::None).record(
        Timestamp(super::model::NOW),
        None,
        Some(&vec![7; value_bytes]),
    );
    builder.build(ProducerFields::NONE).unwrap()
}

pub(super) async fn stage(engine: &Engine<SimDisk>, log: u8, records: Bytes) -> Staged {
    let append = Append { records, zstd_allowed: true, origin: Origin::Client };
    engine.stage(LogId([log; 16]), &append, Timestamp(super::model::NOW)).await.unwrap()
}

async fn append(engine: &Engine<SimDisk>, log: u8) {
    let staged = stage(engine, log, plain(VALUE_BYTES)).await;
    engine.durable(LogId([log; 16]), staged.offset_end).await.unwrap();
}

async fn create(engine: &Engine<SimDisk>, log: u8) {
    engine.create(identity(log), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
}

/// One life that ends with a kill.
fn live<F: Future<Output = ()> + 'static>(
    simulation: &Simulation,
    disk: &SimDisk,
    life: impl FnOnce(SimDisk) -> F,
) {
    simulation.run(life(disk.clone())).unwrap();
    disk.end_life(End::Kill);
}

fn first_two(identity: &LogIdentity) -> usize {
    usize::from(identity.log_id != LogId([3; 16]))
}

fn only_second(identity: &LogIdentity) -> usize {
    usize::from(identity.log_id == LogId([2; 16]))
}

/// Log 1 lived on shard 1 and moved to shard 0, which deletes it and whose journal goes round, while shard 1 still holds
/// the journals of the start before. Found by thinking: the tables that shard 0 writes do not name log 1, but the journal
/// of shard 1's earlier start does.
#[test]
fn a_deletion_outlives_the_journal_of_an_earlier_start_on_another_shard() {
    let simulation = Simulation::new(5);
    let disk = SimDisk::new(&simulation, 5);
    live(&simulation, &disk, async |disk: SimDisk| {
        let (engines, ..) = start_all(&disk, &settings(), 2, first_two).await;
        for (log, shard) in [(1, 1), (2, 1), (3, 0)] {
            create(&engines[shard], log).await;
            append(&engines[shard], log).await;
        }
        // More than is copied forward when an old file is to go.
        for _ in 0..40 {
            append(&engines[1], 2).await;
        }
    });
    live(&simulation, &disk, async |disk: SimDisk| {
        let (engines, found, _) = start_all(&disk, &settings(), 2, only_second).await;
        assert_eq!(found.len(), 3);
        engines[1].hold_back(LogId([2; 16]));
        engines[0].delete(LogId([1; 16])).await.unwrap();
        let named = engines[0].journals();
        while named.iter().any(|path| engines[0].journals().contains(path)) {
            append(&engines[0], 3).await;
        }
        // Another shard uses them.
        for path in named {
            disk.put(&path, &vec![0; 1 << 20]).unwrap();
        }
    });
    for life in 0..2 {
        live(&simulation, &disk, async move |disk: SimDisk| {
            let (_, mut found, deleted) = start_all(&disk, &settings(), 2, only_second).await;
            found.sort();
            assert_eq!(found, [LogId([2; 16]), LogId([3; 16])], "log 1 is here again");
            // Later nobody tells of it any more, in either way.
            assert!(life > 0 || deleted.contains(&LogId([1; 16])));
        });
    }
}

/// The disk fills up under a broker that is killed, and killed again right behind each start.
#[test]
fn a_full_disk_forbids_no_restart_and_loses_nothing() {
    for seed in 0..20 {
        let simulation = Simulation::new(seed);
        let disk = SimDisk::new(&simulation, seed);
        live(&simulation, &disk, async |disk: SimDisk| {
            let (engines, ..) = start_all(&disk, &settings(), 1, |_| 0).await;
            for log in 1..4 {
                create(&engines[0], log).await;
                append(&engines[0], log).await;
            }
            let first = engines[0].journals().remove(0);
            while engines[0].journals().contains(&first) {
                append(&engines[0], 1).await;
            }
        });
        disk.leave_storage(100 << 10);
        for life in 0..6 {
            live(&simulation, &disk, async move |disk: SimDisk| {
                let (engines, ..) = start_all(&disk, &settings(), 1, |_| 0).await;
                for log in 1..4 {
                    let log_id = LogId([log; 16]);
                    let bounds = engines[0].bounds(log_id).unwrap();
                    let read = Read {
                        offset: Offset::ZERO,
                        bytes_max: 1,
                        first_batch_whole: true,
                        isolation: Isolation::Uncommitted,
                    };
                    assert!(bounds.high_watermark > Offset::ZERO);
                    assert!(engines[0].read(log_id, read).await.unwrap().bytes > VALUE_BYTES);
                }
                if life % 2 == 1 {
                    disk.sleep(std::time::Duration::from_secs(20)).await;
                }
                assert_eq!(engines[0].stopped(), None);
            });
        }
    }
}

/// Topics were added until the states of all logs were longer than a journal file.
#[test]
fn a_table_that_outgrows_its_file_gets_a_longer_one() {
    let simulation = Simulation::new(8);
    let disk = SimDisk::new(&simulation, 8);
    let longest = |number: u8| LogIdentity { topic: format!("{number:0>249}"), ..identity(number) };
    let settings = EngineSettings { journal_file_bytes: 608 << 10, ..settings() };
    let (first, second) = (settings.clone(), settings);
    live(&simulation, &disk, async move |disk: SimDisk| {
        let (engines, ..) = start_all(&disk, &first, 1, |_| 0).await;
        for number in 1..=250 {
            engines[0].create(longest(number), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
            // Producers, each remembered.
            for producer_id in 0..20 {
                let producer = ProducerFields { producer_id, producer_epoch: 0, base_sequence: 0 };
                let builder =
                    BatchBuilder::new(Codec::None).record(Timestamp(super::model::NOW), None, Some(b"v"));
                stage(&engines[0], number, builder.build(producer).unwrap()).await;
            }
        }
        for _ in 0..100 {
            append(&engines[0], 1).await;
        }
        assert_eq!(engines[0].stopped(), None);
    });
    assert!(
        disk.files().iter().any(|(path, bytes)| path.starts_with("thalweg-journal") && *bytes > 608 << 10)
    );
    live(&simulation, &disk, async move |disk: SimDisk| {
        let (engines, found, _) = start_all(&disk, &second, 1, |_| 0).await;
        assert_eq!(found.len(), 250);
        for number in 1..=250 {
            let bounds = engines[0].bounds(LogId([number; 16])).unwrap();
            assert_eq!(bounds.log_end.as_i64(), if number == 1 { 120 } else { 20 });
        }
    });
}

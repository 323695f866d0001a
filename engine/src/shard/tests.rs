//! The engine whole, on real files: what was acknowledged is there after every kind of end.

use super::*;
use crate::batch::{BatchBuilder, BatchHeader, Codec, Origin, ProducerFields};
use crate::io::DmaDisk;
use crate::log::{LogIdentity, LogSettings};
use crate::units::{LeaderEpoch, LogId, Offset, Timestamp};
use bytes::Bytes;
use std::future::Future;
use std::path::Path;

const NOW: i64 = 1_700_000_000_000;

pub(super) fn settings(path: &Path) -> EngineSettings {
    EngineSettings {
        directories: vec![path.to_owned()],
        journal_file_bytes: 16 << 20,
        journal_files_max: 4,
        tail_memory_bytes: 32 << 20,
        cache_bytes: 4 << 20,
        ..EngineSettings::default()
    }
}

pub(super) fn identity(number: u8) -> LogIdentity {
    let (log_id, topic_id) = (LogId([number; 16]), [number; 16]);
    LogIdentity { log_id, topic_id, topic: format!("topic{number}"), partition: 0 }
}

/// Runs one life of an engine on `path`, on one of `shard_count` shards' worth of journals.
pub(super) fn live<T: 'static, F: Future<Output = T> + 'static>(
    path: &Path,
    life: impl FnOnce(Engine, bool) -> F + 'static,
) -> T {
    let path = path.to_owned();
    let begun = std::time::Instant::now();
    let executor = glommio::LocalExecutorBuilder::default().make().unwrap();
    executor.run(async move {
        let settings = settings(&path);
        let disk = DmaDisk::new(path.clone());
        let recovered = recover(std::slice::from_ref(&disk), &settings, 1, Timestamp(NOW)).await.unwrap();
        let unclean = recovered.unclean;
        let share = recovered.split(1, |_| 0).pop().unwrap();
        let engine = Engine::start(vec![disk], settings, share).await.unwrap();
        eprintln!("ready after {:?}", begun.elapsed());
        let out = life(engine, unclean).await;
        eprintln!("ended after {:?}", begun.elapsed());
        out
    })
}

pub(super) fn batch(number: i64, value_bytes: usize) -> Bytes {
    let value: Vec<u8> = (0..value_bytes).map(|at| (at as i64 * 31 + number) as u8).collect();
    let builder = BatchBuilder::new(Codec::None).record(Timestamp(NOW + number), Some(b"k"), Some(&value));
    let producer = ProducerFields { producer_id: 7, producer_epoch: 0, base_sequence: number as i32 };
    builder.build(producer).unwrap()
}

pub(super) async fn append(engine: &Engine, log: u8, number: i64, value_bytes: usize) -> Staged {
    let append = Append { records: batch(number, value_bytes), zstd_allowed: true, origin: Origin::Client };
    let staged = engine.stage(LogId([log; 16]), &append, Timestamp(NOW)).await.unwrap();
    engine.durable(LogId([log; 16]), staged.offset_end).await.unwrap();
    staged
}

/// Reads a log whole and checks every batch against what `batch` makes; returns how many there are.
pub(super) async fn check_log(engine: &Engine, log: u8, value_bytes: impl Fn(i64) -> usize) -> i64 {
    let log_id = LogId([log; 16]);
    let mut offset = Offset::ZERO;
    let end = engine.bounds(log_id).unwrap().high_watermark;
    while offset < end {
        let read =
            Read { offset, bytes_max: 300_000, first_batch_whole: true, isolation: Isolation::Uncommitted };
        let found = engine.read(log_id, read).await.unwrap();
        assert!(found.bytes > 0, "nothing at {offset} of {end}");
        let bytes = found.slices.concat();
        let mut at = 0;
        while at < bytes.len() {
            let header = BatchHeader::read(&bytes[at..]).unwrap();
            assert_eq!(header.base_offset, offset.as_i64());
            let number = offset.as_i64();
            let length = header.batch_bytes();
            assert!(crate::batch::crc_matches(&bytes[at..at + length]), "batch {number}");
            let expected = batch(number, value_bytes(number));
            assert_eq!(bytes[at + 16..at + length], expected[16..], "batch {number}");
            offset = offset.advance(1);
            at += length;
        }
    }
    end.as_i64()
}

fn mixed(number: i64) -> usize {
    [10, 300, 5000, 70_000][(number % 4) as usize]
}

#[test]
fn what_was_acknowledged_is_there_after_a_clean_stop_and_after_none() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected = 0;
    for life in 0..6 {
        let clean = life % 2 == 0;
        let end = live(directory.path(), move |engine, unclean| async move {
            assert_eq!(unclean, life > 0 && life % 2 == 0, "life {life}");
            if life == 0 {
                engine.create(identity(1), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
            }
            assert_eq!(check_log(&engine, 1, mixed).await, expected);
            for number in expected..expected + 200 {
                let staged = append(&engine, 1, number, mixed(number)).await;
                assert_eq!((staged.base_offset.as_i64(), staged.duplicate), (number, false));
            }
            assert!(append(&engine, 1, expected + 197, mixed(expected + 197)).await.duplicate);
            assert_eq!(check_log(&engine, 1, mixed).await, expected + 200);
            if clean {
                engine.stop().await.unwrap();
            } else {
                engine.abandon().await;
            }
            expected + 200
        });
        expected = end;
        if clean {
            let file = directory.path().join("topic1-0/00000000000000000000.log");
            let bytes = std::fs::read(&file).unwrap();
            let data: usize = (0..expected).map(|number| batch(number, mixed(number)).len()).sum();
            assert_eq!(bytes.len(), data, "a clean stop cuts the file to its data");
        }
    }
}

#[test]
fn the_journal_goes_round_under_many_logs_and_every_life_finds_all() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected = 0;
    for life in 0..3 {
        expected = live(directory.path(), move |engine, _| async move {
            for log in 1..=20 {
                if life == 0 {
                    let settings = LogSettings { segment_bytes: 3 << 20, ..LogSettings::default() };
                    engine.create(identity(log), settings, LeaderEpoch(0)).await.unwrap();
                }
                engine
                    .configure(
                        LogId([log; 16]),
                        LogSettings { segment_bytes: 3 << 20, ..LogSettings::default() },
                    )
                    .unwrap();
                assert_eq!(check_log(&engine, log, |_| 30_000).await, expected);
            }
            for number in expected..expected + 150 {
                let all = (1..=20).map(|log| {
                    let engine = engine.clone();
                    glommio::spawn_local(async move { append(&engine, log, number, 30_000).await })
                });
                for task in all.collect::<Vec<_>>() {
                    assert_eq!(task.await.base_offset.as_i64(), number);
                }
            }
            for log in 1..=20 {
                assert_eq!(check_log(&engine, log, |_| 30_000).await, expected + 150);
            }
            if life == 1 {
                engine.stop().await.unwrap();
            } else {
                engine.abandon().await;
            }
            expected + 150
        });
    }
}

#[test]
fn a_time_is_found_in_the_tail_and_after_a_clean_start_in_the_segment() {
    let directory = tempfile::tempdir().unwrap();
    for life in 0..2 {
        live(directory.path(), move |engine, _| async move {
            if life == 0 {
                engine.create(identity(1), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
                for number in 0..100 {
                    append(&engine, 1, number, mixed(number)).await;
                }
            }
            for number in [0, 1, 50, 99] {
                let found =
                    engine.offset_for_time(LogId([1; 16]), Timestamp(NOW + number)).await.unwrap().unwrap();
                assert_eq!((found.offset.as_i64(), found.timestamp.0), (number, NOW + number));
            }
            assert_eq!(engine.offset_for_time(LogId([1; 16]), Timestamp(NOW + 100)).await, Ok(None));
            let greatest = engine.offset_of_max_timestamp(LogId([1; 16])).await.unwrap().unwrap();
            assert_eq!((greatest.offset.as_i64(), greatest.timestamp.0), (99, NOW + 99));
            engine.stop().await.unwrap();
        });
    }
}

/// Write-back of what was recovered and the first appends open the same files at the same time. Found when a broker that
/// had been killed did not get ready: each waited for the other's lock, ten seconds long, and then the log was refused.
#[test]
fn appends_right_after_an_unclean_start_do_not_wait_for_the_write_back_beside_them() {
    let directory = tempfile::tempdir().unwrap();
    for life in 0..4i64 {
        live(directory.path(), move |engine, _| async move {
            let begun = std::time::Instant::now();
            for log in 1..=10 {
                if life == 0 {
                    engine.create(identity(log), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
                }
                let staged = append(&engine, log, life, 9_000).await;
                assert_eq!(staged.base_offset.as_i64(), life);
            }
            assert!(begun.elapsed() < std::time::Duration::from_secs(8), "{:?}", begun.elapsed());
            engine.abandon().await;
        });
    }
}

/// Found by reading: a fetch whose room was almost used up got the small batch of the next segment, and its consumer went
/// on behind what it had never seen.
#[test]
fn a_batch_that_does_not_fit_is_not_stepped_over() {
    let directory = tempfile::tempdir().unwrap();
    for life in 0..2 {
        live(directory.path(), move |engine, _| async move {
            let settings = LogSettings { segment_bytes: 21_000, ..LogSettings::default() };
            if life == 0 {
                engine.create(identity(1), settings, LeaderEpoch(0)).await.unwrap();
                for (number, value_bytes) in [(0, 20_000), (1, 10), (2, 20_900), (3, 10)] {
                    append(&engine, 1, number, value_bytes).await;
                }
            }
            for (offset, first_batch_whole, found) in [(0, false, false), (2, false, false), (2, true, true)]
            {
                let isolation = Isolation::Uncommitted;
                let read =
                    Read { offset: Offset::new(offset), bytes_max: 1000, first_batch_whole, isolation };
                let outcome = engine.read(LogId([1; 16]), read).await.unwrap();
                assert_eq!(outcome.bytes > 0, found, "life {life}, offset {offset}");
                if let Some(bytes) = outcome.slices.first() {
                    assert_eq!(BatchHeader::read(bytes).unwrap().base_offset, offset);
                }
            }
            engine.stop().await.unwrap();
        });
    }
}

/// Old records are those that left memory: a backfill beside producers waits for its turns, and reads all the same.
#[test]
fn a_backfill_waits_for_its_turns_beside_appends_and_for_nothing_without_them() {
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;
    let directory = tempfile::tempdir().unwrap();
    live(directory.path(), |engine, _| async move {
        for log in [1, 2] {
            engine.create(identity(log), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
        }
        for number in 0..48 {
            append(&engine, 1, number, 1_000_000).await;
        }
        let waits = |engine: &Engine| engine.stats().cold_waits_total.load(Relaxed);
        let read_all = async |engine: &Engine, appending: bool| {
            let mut offset = 0;
            for number in 0.. {
                let read = Read {
                    offset: Offset::new(offset),
                    bytes_max: 2_500_000,
                    first_batch_whole: true,
                    isolation: Isolation::Uncommitted,
                };
                let outcome = engine.read(LogId([1; 16]), read).await.unwrap();
                let Some(first) = outcome.slices.first() else { break };
                assert_eq!(BatchHeader::read(first).unwrap().base_offset, offset);
                offset += (outcome.bytes / 1_000_000) as i64;
                if appending {
                    append(engine, 2, number + 1, 100).await;
                }
            }
            assert_eq!(offset, 48);
        };
        glommio::timer::sleep(Duration::from_secs(1)).await;
        read_all(&engine, false).await;
        assert_eq!(waits(&engine), 0);
        append(&engine, 2, 0, 100).await;
        read_all(&engine, true).await;
        assert!(waits(&engine) > 0);
        engine.stop().await.unwrap();
    });
}

#[test]
fn what_a_recovery_found_is_written_back_by_itself_and_leaves_memory() {
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;
    let directory = tempfile::tempdir().unwrap();
    live(directory.path(), |engine, _| async move {
        for log in 1..=100 {
            engine.create(identity(log), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
            for (number, bytes) in [300, 20_000, 300].into_iter().enumerate() {
                append(&engine, log, number as i64, bytes).await;
            }
        }
        engine.abandon().await;
    });
    live(directory.path(), |engine, _| async move {
        let stats = engine.stats();
        let told = || (stats.write_back_bytes_total.load(Relaxed), stats.tail_memory_bytes.load(Relaxed));
        for _ in 0..200 {
            glommio::timer::sleep(Duration::from_millis(50)).await;
            if told().0 >= 100 * 20_480 && told().1 < 100 * 5_000 {
                break;
            }
        }
        let (written, held) = told();
        assert!(written >= 100 * 20_480, "{written} B were written back");
        assert!(held > 0 && held < 100 * 5_000, "{held} B are still in memory");
        engine.stop().await.unwrap();
    });
}

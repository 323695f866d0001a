//! Rot, and files that are gone, on real files: exactly the logs concerned are fenced, and stay so; the rest serves.

use super::tests::{append, check_log, identity, live, settings};
use super::*;
use crate::io::DmaDisk;
use crate::log::LogSettings;
use crate::units::{LeaderEpoch, LogId, Offset, Timestamp};
use std::path::{Path, PathBuf};

const VALUE_BYTES: usize = 9_000;

fn journals(directory: &Path) -> Vec<PathBuf> {
    let files =
        std::fs::read_dir(directory.join("thalweg-journal")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|e| e == "journal")).collect();
    files.sort();
    files
}

/// Two logs with three batches each, in the journal only.
fn write_two_logs(directory: &Path) {
    live(directory, |engine, _| async move {
        for log in [1, 2] {
            engine.create(identity(log), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
            for number in 0..3 {
                append(&engine, log, number, VALUE_BYTES).await;
            }
        }
        engine.abandon().await;
    });
}

/// Flips a byte of the `number`th batch of `log` that stands in a journal.
fn rot(directory: &Path, log: u8, number: i64) {
    let wanted = super::tests::batch(number, VALUE_BYTES);
    let needle = &wanted[1000..1100];
    // Both logs hold the same batches: that of log 1 comes first.
    for path in journals(directory) {
        let mut bytes = std::fs::read(&path).unwrap();
        let found = (0..bytes.len() - needle.len()).filter(|at| bytes[*at..].starts_with(needle));
        if let Some(at) = found.take(log.into()).last() {
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            return;
        }
    }
    unreachable!("batch {number} is in no journal");
}

fn is_offline(engine: &Engine, log: u8) -> bool {
    matches!(engine.bounds(LogId([log; 16])), Err(LogError::Offline { .. }))
}

#[test]
fn rot_in_a_journal_fences_its_log_by_name_through_all_starts_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    write_two_logs(directory.path());
    rot(directory.path(), 1, 1);
    let mut counts = Vec::new();
    for life in 0..6 {
        live(directory.path(), move |engine, _| async move {
            assert!(is_offline(&engine, 1), "life {life}");
            assert_eq!(check_log(&engine, 2, |_| VALUE_BYTES).await, 3 + life);
            append(&engine, 2, 3 + life, VALUE_BYTES).await;
            if life % 2 == 0 {
                engine.stop().await.unwrap();
            } else {
                engine.abandon().await;
            }
        });
        counts.push(journals(directory.path()).len());
    }
    // Without a rescue each of the six lives would have kept one more, and the one at work.
    assert!(counts.iter().all(|count| *count <= 6), "the journals of earlier starts are freed: {counts:?}");
    live(directory.path(), |engine, _| async move {
        engine.delete(LogId([1; 16])).await.unwrap();
        engine.abandon().await;
    });
    for _ in 0..3 {
        live(directory.path(), |engine, _| async move {
            assert!(matches!(engine.bounds(LogId([1; 16])), Err(LogError::Unknown { .. })));
            engine.stop().await.unwrap();
        });
    }
}

#[test]
fn rot_in_what_is_in_the_segment_too_fences_nothing() {
    let directory = tempfile::tempdir().unwrap();
    live(directory.path(), |engine, _| async move {
        engine.create(identity(1), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
        for number in 0..3 {
            append(&engine, 1, number, VALUE_BYTES).await;
        }
        engine.stop().await.unwrap();
    });
    rot(directory.path(), 1, 1);
    live(directory.path(), |engine, unclean| async move {
        assert!(!unclean);
        assert_eq!(check_log(&engine, 1, |_| VALUE_BYTES).await, 3);
        engine.stop().await.unwrap();
    });
}

#[test]
fn a_log_whose_directory_is_missing_is_served_again_once_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    live(directory.path(), |engine, _| async move {
        for log in [1, 2] {
            engine.create(identity(log), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
            for number in 0..40 {
                append(&engine, log, number, VALUE_BYTES).await;
            }
        }
        engine.stop().await.unwrap();
    });
    live(directory.path(), |engine, _| async move {
        for number in 40..50 {
            append(&engine, 1, number, VALUE_BYTES).await;
        }
        engine.abandon().await;
    });
    let (here, away) = (directory.path().join("topic1-0"), directory.path().join("away"));
    std::fs::rename(&here, &away).unwrap();
    for life in 0..4 {
        live(directory.path(), move |engine, _| async move {
            assert!(is_offline(&engine, 1), "life {life}");
            append(&engine, 2, 40 + life, VALUE_BYTES).await;
            engine.stop().await.unwrap();
        });
    }
    std::fs::rename(&away, &here).unwrap();
    for life in 0..3 {
        live(directory.path(), move |engine, _| async move {
            assert_eq!(check_log(&engine, 1, |_| VALUE_BYTES).await, 50 + life);
            append(&engine, 1, 50 + life, VALUE_BYTES).await;
            engine.abandon().await;
        });
    }
}

#[test]
fn a_journal_file_that_is_missing_or_cut_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    write_two_logs(directory.path());
    // The last ones may have been made ahead, and not be listed yet.
    let file = journals(directory.path()).remove(0);
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(refusal(directory.path()).contains(&name));
    std::fs::remove_file(&file).unwrap();
    assert!(refusal(directory.path()).contains(&name));
    std::fs::write(&file, &whole).unwrap();
    live(directory.path(), |engine, _| async move {
        assert_eq!(check_log(&engine, 1, |_| VALUE_BYTES).await, 3);
        engine.abandon().await;
    });
}

fn refusal(path: &Path) -> String {
    let path = path.to_owned();
    let executor = glommio::LocalExecutorBuilder::default().make().unwrap();
    executor.run(async move {
        let settings = settings(&path);
        let disk = DmaDisk::new(path.clone());
        match recover(&[disk], &settings, 1, Timestamp(0)).await {
            Err(error) => error.to_string(),
            Ok(_) => unreachable!("it was not noticed"),
        }
    })
}

#[test]
fn a_deleted_log_leaves_nothing_however_long_its_name_and_whenever_the_broker_ends() {
    let directory = tempfile::tempdir().unwrap();
    live(directory.path(), |engine, _| async move {
        let longest = crate::log::LogIdentity { topic: "x".repeat(249), ..identity(1) };
        engine.create(longest, LogSettings::default(), LeaderEpoch(0)).await.unwrap();
        append(&engine, 1, 0, VALUE_BYTES).await;
        engine.delete(LogId([1; 16])).await.unwrap();
        engine.stop().await.unwrap();
    });
    let entries = || {
        let names = std::fs::read_dir(directory.path()).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(entries(), ["thalweg-journal"]);
    let left = directory.path().join(format!("{}.deleted", LogId([1; 16])));
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("00000000000000000000.log"), b"cut short").unwrap();
    live(directory.path(), |engine, _| async move { engine.stop().await.unwrap() });
    assert_eq!(entries(), ["thalweg-journal"]);
}

fn segments(directory: &Path, log: u8, ending: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory.join(format!("topic{log}-0"))).unwrap();
    let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == ending));
    files.sort();
    files
}

/// Logs 1 and 2 in several sealed segments, cleanly stopped.
fn write_segments(directory: &Path) {
    live(directory, |engine, _| async move {
        let settings = LogSettings { segment_bytes: 100_000, ..LogSettings::default() };
        for log in [1, 2] {
            engine.create(identity(log), settings.clone(), LeaderEpoch(0)).await.unwrap();
            for number in 0..50 {
                append(&engine, log, number, VALUE_BYTES).await;
            }
        }
        engine.stop().await.unwrap();
    });
    assert!(segments(directory, 1, "log").len() > 3);
}

async fn read_at(engine: &Engine, log: u8, offset: i64) -> Result<usize, ReadError> {
    let read = Read {
        offset: Offset::new(offset),
        bytes_max: 1,
        first_batch_whole: true,
        isolation: Isolation::Uncommitted,
    };
    engine.read(LogId([log; 16]), read).await.map(|found| found.bytes)
}

/// None of these fields is covered by a batch's checksum. A start does not walk segments: it serves the log until
/// somebody comes to the bad place, and again after it was repaired from a copy.
#[test]
fn bad_bytes_in_a_segment_fence_their_log_whenever_they_are_met_until_they_are_repaired() {
    let directory = tempfile::tempdir().unwrap();
    write_segments(directory.path());
    let file = segments(directory.path(), 1, "log").remove(1);
    let sound = std::fs::read(&file).unwrap();
    let length = super::tests::batch(0, VALUE_BYTES).len();
    let first: i64 = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let fields = [("base offset", 2), ("base offset", 7), ("length", 9), ("leader epoch", 15), ("magic", 16)];
    for (field, at) in fields {
        let mut bad = sound.clone();
        bad[3 * length + at] ^= 2;
        std::fs::write(&file, &bad).unwrap();
        for _ in 0..2 {
            live(directory.path(), move |engine, _| async move {
                assert!(read_at(&engine, 1, first + 1).await.unwrap() > VALUE_BYTES, "{field}");
                let found = read_at(&engine, 1, first + 3).await;
                assert!(matches!(found, Err(ReadError::Corrupt { .. })), "{field}: {found:?}");
                assert!(is_offline(&engine, 1));
                assert_eq!(check_log(&engine, 2, |_| VALUE_BYTES).await, 50);
                engine.stop().await.unwrap();
            });
        }
    }
    std::fs::write(&file, &sound).unwrap();
    live(directory.path(), |engine, _| async move {
        assert_eq!(check_log(&engine, 1, |_| VALUE_BYTES).await, 50);
        engine.stop().await.unwrap();
    });
}

/// Found by fuzzing: a batch that claimed records beyond the log's end was taken for the end of what is visible, and the
/// reader went on in the next segment, past every record between.
#[test]
fn a_batch_that_lies_about_its_last_offset_fences_its_log_and_makes_no_reader_miss_records() {
    let directory = tempfile::tempdir().unwrap();
    write_segments(directory.path());
    let file = segments(directory.path(), 1, "log").remove(1);
    let sound = std::fs::read(&file).unwrap();
    let length = super::tests::batch(0, VALUE_BYTES).len();
    let first: i64 = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    for batch in [0, 3] {
        let mut bad = sound.clone();
        bad[batch * length + 23] ^= 2;
        std::fs::write(&file, &bad).unwrap();
        live(directory.path(), move |engine, _| async move {
            let found = read_at(&engine, 1, first + batch as i64).await;
            assert!(matches!(found, Err(ReadError::Corrupt { .. })), "{batch}: {found:?}");
            assert!(is_offline(&engine, 1));
            engine.stop().await.unwrap();
        });
    }
}

#[test]
fn an_index_file_that_is_missing_damaged_or_another_ones_is_built_anew() {
    let directory = tempfile::tempdir().unwrap();
    write_segments(directory.path());
    let indexes = segments(directory.path(), 1, "twindex");
    assert!(indexes.len() > 3);
    std::fs::remove_file(&indexes[0]).unwrap();
    std::fs::write(&indexes[1], b"TWINDEX1 and then nothing that checks").unwrap();
    std::fs::write(&indexes[2], vec![7; 2 << 20]).unwrap();
    std::fs::copy(segments(directory.path(), 2, "twindex").pop().unwrap(), &indexes[3]).unwrap();
    live(directory.path(), |engine, _| async move {
        for number in (0..50).rev() {
            let time = Timestamp(1_700_000_000_000 + number);
            let found = engine.offset_for_time(LogId([1; 16]), time).await.unwrap().unwrap();
            assert_eq!((found.offset.as_i64(), found.timestamp), (number, time));
            assert!(read_at(&engine, 1, number).await.unwrap() > VALUE_BYTES);
        }
        assert_eq!(check_log(&engine, 1, |_| VALUE_BYTES).await, 50);
        engine.stop().await.unwrap();
    });
}

#[test]
fn a_log_with_another_ones_directory_or_without_a_file_is_offline_until_that_is_put_right() {
    let directory = tempfile::tempdir().unwrap();
    write_segments(directory.path());
    let place = |name: &str| directory.path().join(name);
    let swap = || {
        std::fs::rename(place("topic1-0"), place("away")).unwrap();
        std::fs::rename(place("topic2-0"), place("topic1-0")).unwrap();
        std::fs::rename(place("away"), place("topic2-0")).unwrap();
    };
    let expect = |offline: [bool; 2]| {
        live(directory.path(), move |engine, _| async move {
            for (log, offline) in [1, 2].into_iter().zip(offline) {
                assert_eq!(is_offline(&engine, log), offline, "log {log}");
                if !offline {
                    assert_eq!(check_log(&engine, log, |_| VALUE_BYTES).await, 50);
                }
            }
            engine.stop().await.unwrap();
        });
    };
    swap();
    expect([true, true]);
    swap();
    expect([false, false]);
    let file = segments(directory.path(), 2, "log").remove(2);
    std::fs::rename(&file, place("a-file")).unwrap();
    expect([false, true]);
    std::fs::rename(place("a-file"), &file).unwrap();
    expect([false, false]);
}

#[test]
fn what_a_crash_leaves_of_a_deleted_log_goes_and_what_nobody_knows_is_kept_out_of_a_new_logs_way() {
    let directory = tempfile::tempdir().unwrap();
    write_segments(directory.path());
    let (here, copy) = (directory.path().join("topic1-0"), directory.path().join("copy"));
    std::fs::create_dir(&copy).unwrap();
    for file in std::fs::read_dir(&here).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    live(directory.path(), |engine, _| async move {
        engine.delete(LogId([1; 16])).await.unwrap();
        engine.stop().await.unwrap();
    });
    std::fs::rename(&copy, &here).unwrap(); // as if the broker had ended in the middle
    let stranger = directory.path().join("topic3-0");
    std::fs::create_dir(&stranger).unwrap();
    std::fs::write(stranger.join("00000000000000000000.log"), b"records of another broker").unwrap();
    live(directory.path(), |engine, _| async move {
        engine.create(identity(3), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
        append(&engine, 3, 0, VALUE_BYTES).await;
        assert_eq!(check_log(&engine, 3, |_| VALUE_BYTES).await, 1);
        assert_eq!(check_log(&engine, 2, |_| VALUE_BYTES).await, 50);
        engine.stop().await.unwrap();
    });
    assert!(!here.exists(), "it was deleted");
    let kept = directory.path().join(format!("{}.kept", LogId([3; 16])));
    let bytes = std::fs::read(kept.join("00000000000000000000.log")).unwrap();
    assert_eq!(bytes, b"records of another broker");
}

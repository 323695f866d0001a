//! Rot, and files that are gone, on real files: exactly the logs concerned are fenced, and stay so; the rest serves.

use super::tests::{append, check_log, identity, live, settings};
use super::*;
use crate::io::DmaDisk;
use crate::log::LogSettings;
use crate::units::{LeaderEpoch, LogId, Timestamp};
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
    let file = journals(directory.path()).pop().unwrap();
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

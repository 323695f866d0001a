//! Lookups by time and what is remembered of producers, over several segments and a restart.

use super::elders::{identity, settings};
use super::start_all;
use crate::batch::{BatchBuilder, Codec, Origin, ProducerFields, TimestampType};
use crate::io::Disk;
use crate::io::sim::{End, Random, SimDisk, Simulation};
use crate::log::LogSettings;
use crate::shard::{Append, Engine, Staged};
use crate::units::{LeaderEpoch, LogId, Timestamp};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const LOG: LogId = LogId([1; 16]);
const NOW: i64 = super::model::NOW;

async fn stage(engine: &Engine<SimDisk>, batch: BatchBuilder, producer: ProducerFields, now: i64) -> Staged {
    let records = batch.build(producer).unwrap();
    let append = Append { records, zstd_allowed: true, origin: Origin::Client };
    let staged = engine.stage(LOG, &append, Timestamp(now)).await.unwrap();
    engine.durable(LOG, staged.offset_end).await.unwrap();
    staged
}

/// Offset and time of the first record that is as late as `time`, and of the first one of the latest.
async fn check_times(engine: &Engine<SimDisk>, times: &[i64]) {
    let wanted: Vec<i64> = times.iter().flat_map(|time| [time - 1, *time, time + 1]).collect();
    for time in wanted {
        let found = engine.offset_for_time(LOG, Timestamp(time)).await.unwrap();
        let found = found.map(|found| (found.offset.as_i64() as usize, found.timestamp.0));
        let expected = times.iter().position(|known| *known >= time).map(|at| (at, times[at]));
        assert_eq!(found, expected, "time {time}");
    }
    let greatest = times.iter().max().unwrap();
    let found = engine.offset_of_max_timestamp(LOG).await.unwrap().unwrap();
    let first = times.iter().position(|time| time == greatest).unwrap();
    assert_eq!((found.offset.as_i64() as usize, found.timestamp.0), (first, *greatest));
}

#[test]
fn a_time_is_found_in_whatever_order_timestamps_come_and_however_batches_are_packed() {
    for seed in 0..8 {
        let timestamp_type = if seed % 2 == 0 { TimestampType::Create } else { TimestampType::LogAppend };
        let simulation = Simulation::new(seed);
        let disk = SimDisk::new(&simulation, seed);
        let times = Rc::new(RefCell::new(Vec::new()));
        for life in 0..3 {
            let (inner, known) = (disk.clone(), Rc::clone(&times));
            let run = simulation.run(async move {
                let mut random = Random::new(seed);
                let engine = start_all(&inner, &settings(), 1, |_| 0).await.0.remove(0);
                let log_settings =
                    LogSettings { segment_bytes: 60_000, timestamp_type, ..LogSettings::default() };
                if life == 0 {
                    engine.create(identity(1), log_settings.clone(), LeaderEpoch(0)).await.unwrap();
                }
                engine.configure(LOG, log_settings).unwrap();
                if life > 0 {
                    let times = known.borrow().clone();
                    check_times(&engine, &times).await;
                }
                for _ in 0..60 {
                    let codec = [Codec::None, Codec::Gzip, Codec::Lz4, Codec::Zstd][random.below(4) as usize];
                    let mut batch = BatchBuilder::new(codec);
                    let now = NOW + 10 * known.borrow().len() as i64;
                    for _ in 0..=random.below(4) {
                        let time = NOW + random.below(100_000) as i64;
                        let value: Vec<u8> = (0..1500).map(|_| random.below(256) as u8).collect();
                        batch.push(Timestamp(time), None, Some(&value), &[]);
                        let is_create = timestamp_type == TimestampType::Create;
                        known.borrow_mut().push(if is_create { time } else { now });
                    }
                    stage(&engine, batch, ProducerFields::NONE, now).await;
                }
                let times = known.borrow().clone();
                check_times(&engine, &times).await;
            });
            assert!(run.is_some());
            disk.end_life(End::PowerCut);
        }
    }
}

#[test]
fn producers_are_forgotten_when_their_time_is_over_or_there_are_too_many_the_longest_idle_first() {
    let simulation = Simulation::new(4);
    let disk = SimDisk::new(&simulation, 4);
    let run = simulation.run(async move {
        let mut settings = settings();
        settings.producers_max = 50;
        settings.producer_expiration_ms = 60_000;
        let engine = start_all(&disk, &settings, 1, |_| 0).await.0.remove(0);
        engine.create(identity(1), LogSettings::default(), LeaderEpoch(0)).await.unwrap();
        let send = async |producer_id: i64, now: i64| {
            let producer = ProducerFields { producer_id, producer_epoch: 0, base_sequence: 0 };
            let batch = BatchBuilder::new(Codec::None).record(Timestamp(NOW), None, Some(b"v"));
            stage(&engine, batch, producer, now).await.duplicate
        };
        for producer_id in 0..51 {
            assert!(!send(producer_id, NOW + producer_id).await);
        }
        assert!(send(50, NOW + 100).await, "the newest is remembered");
        assert!(send(10, NOW + 101).await);
        assert!(!send(0, NOW + 102).await, "the longest idle was forgotten: its batch counts as new");
        disk.sleep(Duration::from_secs(70)).await;
        assert!(!send(50, NOW + 70_000).await, "its time was over");
    });
    assert!(run.is_some());
}

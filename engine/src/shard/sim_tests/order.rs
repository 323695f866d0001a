//! Batches that take long to look at: they hold up nobody else, keep their order, and come one at a time.

use super::elders::{identity, plain, settings, stage};
use super::start_all;
use crate::batch::{BatchBuilder, Codec, Origin, ProducerFields, TargetCompression};
use crate::io::Disk;
use crate::io::sim::{SimDisk, Simulation};
use crate::log::LogSettings;
use crate::shard::{Append, Engine, Isolation, Read};
use crate::units::{LeaderEpoch, LogId, Offset, Timestamp};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// Unfolds to more than is looked at on the spot.
const LARGE_BYTES: usize = 400_000;

fn packed(value_bytes: usize, producer: ProducerFields) -> Bytes {
    let builder = BatchBuilder::new(Codec::Gzip);
    let value: Vec<u8> = (0..value_bytes).map(|at| (at / 100) as u8).collect();
    builder.record(Timestamp(super::model::NOW), None, Some(&value)).build(producer).unwrap()
}

async fn one_shard(disk: &SimDisk) -> Engine<SimDisk> {
    start_all(disk, &settings(), 1, |_| 0).await.0.remove(0)
}

async fn create(engine: &Engine<SimDisk>, log: u8, compression: TargetCompression) {
    let settings = LogSettings { compression, ..LogSettings::default() };
    engine.create(identity(log), settings, LeaderEpoch(0)).await.unwrap();
}

#[test]
fn a_batch_that_is_unfolded_or_packed_anew_holds_up_nobody_else() {
    let simulation = Simulation::new(1);
    let disk = SimDisk::new(&simulation, 1);
    let compressions = [TargetCompression::Producer, TargetCompression::Codec(Codec::Zstd, None)];
    let inner = simulation.clone();
    simulation
        .run(async move {
            let engine = one_shard(&disk).await;
            create(&engine, 9, TargetCompression::Producer).await;
            for (log, compression) in (1..).zip(compressions) {
                create(&engine, log, compression).await;
                let waiting = Rc::new(Cell::new(5));
                for _ in 0..5 {
                    let (engine, waiting) = (engine.clone(), Rc::clone(&waiting));
                    inner.spawn(async move {
                        stage(&engine, log, packed(LARGE_BYTES, ProducerFields::NONE)).await;
                        waiting.set(waiting.get() - 1);
                    });
                }
                let staged = stage(&engine, 9, plain(100)).await;
                engine.durable(LogId([9; 16]), staged.offset_end).await.unwrap();
                assert!(waiting.get() > 0, "a small batch waited for all large ones");
                inner.sleep(Duration::from_secs(1)).await;
                assert_eq!(waiting.get(), 0);
            }
        })
        .unwrap();
}

#[test]
fn batches_of_one_log_keep_their_order_however_long_each_is_looked_at() {
    for seed in 0..20 {
        let simulation = Simulation::new(seed);
        let disk = SimDisk::new(&simulation, seed);
        let inner = simulation.clone();
        simulation
            .run(async move {
                let engine = one_shard(&disk).await;
                create(&engine, 1, TargetCompression::Producer).await;
                create(&engine, 2, TargetCompression::Codec(Codec::None, None)).await;
                let done = Rc::new(RefCell::new(Vec::new()));
                for log in [1, 2] {
                    // All polled first in their order, as a Produce request's owner does.
                    let stages = (0..30).map(|number| {
                        let producer =
                            ProducerFields { producer_id: 7, producer_epoch: 0, base_sequence: number };
                        let value_bytes = if number % 3 == 0 { LARGE_BYTES } else { 10 };
                        let append = Append {
                            records: packed(value_bytes, producer),
                            zstd_allowed: true,
                            origin: Origin::Client,
                        };
                        let (engine, done) = (engine.clone(), Rc::clone(&done));
                        async move {
                            let staged =
                                engine.stage(LogId([log; 16]), &append, Timestamp(super::model::NOW)).await;
                            let staged =
                                staged.unwrap_or_else(|error| panic!("seed {seed}, {number}: {error}"));
                            assert_eq!(staged.base_offset.as_i64(), i64::from(number));
                            done.borrow_mut().push((log, number));
                        }
                    });
                    let all = futures_util::future::join_all(stages.collect::<Vec<_>>());
                    inner.spawn(async move { drop(all.await) });
                }
                disk.sleep(Duration::from_secs(5)).await;
                assert_eq!(done.borrow().len(), 60);
            })
            .unwrap();
    }
}

/// A request names many partitions, each with a batch that unfolds to a hundred times its bytes.
#[test]
fn one_batch_is_packed_anew_at_a_time_whatever_waits_for_memory() {
    let simulation = Simulation::new(2);
    let disk = SimDisk::new(&simulation, 2);
    let inner = simulation.clone();
    let look = disk.clone();
    simulation
        .run(async move {
            let mut settings = settings();
            settings.tail_memory_bytes = 1 << 20;
            let engine = start_all(&disk, &settings, 1, |_| 0).await.0.remove(0);
            let done = Rc::new(Cell::new(0));
            for log in 1..=40 {
                create(&engine, log, TargetCompression::Codec(Codec::None, None)).await;
            }
            for log in 1..=40 {
                let (engine, done, disk) = (engine.clone(), Rc::clone(&done), disk.clone());
                inner.spawn(async move {
                    let staged = stage(&engine, log, packed(LARGE_BYTES, ProducerFields::NONE)).await;
                    engine.durable(LogId([log; 16]), staged.offset_end).await.unwrap();
                    done.set(done.get() + 1);
                    drop(disk);
                });
            }
            while done.get() < 40 {
                disk.sleep(Duration::from_millis(5)).await;
                let held = engine.stats().tail_memory_bytes.load(std::sync::atomic::Ordering::Relaxed);
                assert!(held < (1 << 20) + 2 * (1 << 20), "{held} B of tails");
            }
            let read = Read {
                offset: Offset::ZERO,
                bytes_max: 1,
                first_batch_whole: true,
                isolation: Isolation::Uncommitted,
            };
            assert!(engine.read(LogId([40; 16]), read).await.unwrap().bytes > LARGE_BYTES);
        })
        .unwrap();
    assert_eq!(look.computing_most(), 1);
}

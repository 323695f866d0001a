//! What is read ahead of somebody who goes through a log: as much as he takes at once, while there is room for it.

use super::*;
use crate::batch::{BatchBuilder, BatchHeader, Codec, Origin, ProducerFields};
use crate::io::Disk;
use crate::io::sim::{End, Random, SimDisk, Simulation};
use crate::log::{LogIdentity, LogSettings};
use crate::units::{LeaderEpoch, LogId, Offset, Timestamp};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

const NOW: i64 = 1_700_000_000_000;
const LOG: LogId = LogId([1; 16]);
const MIB: u64 = 1 << 20;
/// Of each batch, whose records hold this and little else.
const VALUE_BYTES: usize = 60_000;
const BATCHES: i64 = 220;
/// A page with the end of a batch that began in another one.
const SLACK_BYTES: u64 = 256 << 10;

async fn start(disk: SimDisk, cache_bytes: usize) -> Engine<SimDisk> {
    let directories = vec![PathBuf::from("sim")];
    let settings = EngineSettings { directories, cache_bytes, ..EngineSettings::default() };
    let recovered = recover(std::slice::from_ref(&disk), &settings, 1, Timestamp(NOW)).await.unwrap();
    Engine::start(vec![disk], settings, recovered.split(1, |_| 0).pop().unwrap()).await.unwrap()
}

/// Two reads in order of so many bytes of a log that is not in memory; bytes that the device gave until it was at rest.
fn read_twice(read_bytes: u64, cache_bytes: usize, seed: u64) -> u64 {
    let simulation = Simulation::new(seed);
    let disk = SimDisk::new(&simulation, seed);
    let inner = disk.clone();
    let filled = simulation.run(async move {
        let engine = start(inner, cache_bytes).await;
        let identity = LogIdentity { log_id: LOG, topic_id: [1; 16], topic: "t".to_owned(), partition: 0 };
        engine.create(identity, LogSettings::default(), LeaderEpoch(0)).await.unwrap();
        let mut random = Random::new(seed);
        for _ in 0..BATCHES {
            let value: Vec<u8> = (0..VALUE_BYTES).map(|_| random.below(256) as u8).collect();
            let batch = BatchBuilder::new(Codec::None).record(Timestamp(NOW), None, Some(&value));
            let records = batch.build(ProducerFields::NONE).unwrap();
            let append = Append { records, zstd_allowed: true, origin: Origin::Client };
            let staged = engine.stage(LOG, &append, Timestamp(NOW)).await.unwrap();
            engine.durable(LOG, staged.offset_end).await.unwrap();
        }
        engine.stop().await.unwrap();
    });
    assert!(filled.is_some());
    disk.end_life(End::Kill);
    let inner = disk.clone();
    let read = simulation.run(async move {
        let engine = start(inner.clone(), cache_bytes).await;
        let mut offset = Offset::ZERO;
        for _ in 0..2 {
            let bytes_max = read_bytes as usize;
            let read = Read { offset, bytes_max, first_batch_whole: true, isolation: Isolation::Uncommitted };
            let bytes = engine.read(LOG, read).await.unwrap().slices.concat();
            assert!(bytes.len() as u64 > read_bytes - SLACK_BYTES, "{} B", bytes.len());
            let mut at = 0;
            while at < bytes.len() {
                let header = BatchHeader::read(&bytes[at..]).unwrap();
                assert_eq!(header.base_offset, offset.as_i64());
                (offset, at) = (header.offset_end(), at + header.batch_bytes());
            }
        }
        inner.sleep(Duration::from_secs(1)).await;
        let given = engine.stats().read_bytes_total.load(Ordering::Relaxed);
        engine.stop().await.unwrap();
        given
    });
    read.unwrap()
}

#[test]
fn a_reader_in_order_has_as_much_fetched_ahead_as_it_takes_at_once() {
    for seed in 0..3 {
        let bytes = read_twice(4 * MIB, 64 << 20, seed);
        assert!(bytes.abs_diff(12 * MIB) <= SLACK_BYTES, "seed {seed}: {bytes} B");
    }
}

#[test]
fn nothing_is_fetched_ahead_that_would_leave_before_its_reader_comes() {
    for seed in 0..3 {
        // A quarter of it is there for pages that nobody has read.
        let bytes = read_twice(2 * MIB, 4 << 20, seed);
        assert!(bytes.abs_diff(5 * MIB) <= SLACK_BYTES, "seed {seed}: {bytes} B");
    }
}

//! A thousand partitions on one broker: made, written, found again after a kill, and none claims space or memory it does not use.

use harness::records::{self, Batch};
use harness::siege::alone;
use harness::verbs::{code, fetch_request, produce_request};
use harness::{Broker, Client, process, skip};
use kafka_protocol::messages::ProduceRequest;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

const PARTITIONS: i32 = 1000;
/// Partitions of one request.
const AT_ONCE: usize = 100;

/// One record to every partition, a hundred partitions a request.
fn write_all(client: &mut Client, number: usize) {
    let indexes: Vec<i32> = (0..PARTITIONS).collect();
    for indexes in indexes.chunks(AT_ONCE) {
        let mut request = produce_request("many", 0, -1, Batch::numbered(number, 1, 200).encode());
        let one = request.topic_data[0].partition_data[0].clone();
        request.topic_data[0].partition_data =
            indexes.iter().map(|&index| one.clone().with_index(index)).collect();
        let answer = client.call::<ProduceRequest>(9, &request);
        for part in &answer.responses[0].partition_responses {
            assert_eq!(
                (part.error_code, part.base_offset),
                (code::NONE, number as i64),
                "partition {}",
                part.index
            );
        }
    }
}

/// Records of every partition.
fn read_all(client: &mut Client) -> Vec<usize> {
    let mut counts = vec![0; PARTITIONS as usize];
    let indexes: Vec<i32> = (0..PARTITIONS).collect();
    for indexes in indexes.chunks(AT_ONCE) {
        let mut request = fetch_request("many", 0, 0);
        let one = request.topics[0].partitions[0].clone();
        request.topics[0].partitions =
            indexes.iter().map(|&index| one.clone().with_partition(index)).collect();
        for part in &client.call(11, &request).responses[0].partitions {
            let records = records::decode(&part.records.clone().unwrap_or_default());
            counts[part.partition_index as usize] = records.len();
        }
    }
    counts
}

/// Bytes that the partitions' own files occupy on the disk.
fn occupied_bytes(data: &Path) -> u64 {
    let partition = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("many-");
    let dirs = fs::read_dir(data).unwrap().flatten().filter(partition);
    let files = dirs.flat_map(|dir| fs::read_dir(dir.path()).unwrap().flatten().collect::<Vec<_>>());
    files.map(|file| file.metadata().unwrap().blocks() * 512).sum()
}

#[test]
fn a_thousand_partitions_are_written_read_and_found_again() {
    let _alone = alone();
    let mut broker = Broker::start();
    let mut client = broker.client();
    let begun = Instant::now();
    let (code, message) = client.try_create_topic("many", PARTITIONS, &[]);
    assert_eq!(code, code::NONE, "{message:?}");
    client.wait_for_topic("many", PARTITIONS);
    let made = begun.elapsed();
    write_all(&mut client, 0);
    assert_eq!(read_all(&mut client), vec![1; PARTITIONS as usize]);
    let (occupied, resident) =
        (occupied_bytes(&broker.data_dir()), process::resident_bytes(broker.pid()).unwrap());
    broker.kill();
    let killed = broker.start_again(None);
    let mut client = broker.client();
    client.wait_for_topic("many", PARTITIONS);
    assert_eq!(read_all(&mut client), vec![1; PARTITIONS as usize]);
    write_all(&mut client, 1);
    broker.stop();
    let stopped = broker.start_again(None);
    let mut client = broker.client();
    client.wait_for_topic("many", PARTITIONS);
    assert_eq!(read_all(&mut client), vec![2; PARTITIONS as usize]);
    skip::loud(&format!(
        "scene, {PARTITIONS} partitions: made in {} ms, {} MiB on disk, {} MiB resident, ready {} ms after a kill, {} ms after a stop",
        made.as_millis(),
        occupied >> 20,
        resident >> 20,
        killed.as_millis(),
        stopped.as_millis()
    ));
    if broker.against().is_thalweg() {
        assert!(occupied < 1 << 30, "{} MiB for a thousand small records", occupied >> 20);
    }
}

//! Bytes that turned on the disk are never answered: found by who reads them, or by the scrubber before anybody does; the
//! partition concerned says so, and every other one is served.

use harness::broker::{Against, free_port};
use harness::probe::Scrape;
use harness::records::Batch;
use harness::verbs::{code, fresh};
use harness::{Broker, Client};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// `KAFKA_STORAGE_ERROR`.
const STORAGE_ERROR: i16 = 56;
const FOUND_WITHIN: Duration = Duration::from_secs(60);
const BATCHES: usize = 15;
const BATCH_RECORDS: usize = 10;
const RECORDS: usize = BATCHES * BATCH_RECORDS;

/// A stopped broker whose topic has two partitions of several segments each; `None` where it is Kafka, which leaves flipped
/// bits to its clients.
fn stopped(settings: &[(&str, &str)]) -> Option<(Broker, String)> {
    if !Against::chosen().is_thalweg() {
        harness::skip::skip_test("integrity", "Kafka checks no batch that it sends");
        return None;
    }
    let mut broker = Broker::with(settings);
    let mut client = broker.client();
    let topic = fresh("kept-well");
    client.create_topic_with(&topic, 2, &[("segment.bytes", "1048576")]);
    for number in 0..BATCHES {
        for partition in 0..2 {
            let batch = Batch::numbered(number * BATCH_RECORDS, BATCH_RECORDS, 20_000);
            assert_eq!(client.produce(&topic, partition, &batch), (number * BATCH_RECORDS) as i64);
        }
    }
    broker.stop();
    assert!(broker.segments(&topic, 0).len() >= 3);
    Some((broker, topic))
}

/// Turns a bit in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn append(client: &mut Client, topic: &str, partition: i32) -> PartitionProduceResponse {
    client.try_produce(topic, partition, Batch::of(&["one more"]).encode())
}

/// Every record of partition 1, and an append to it.
fn assert_other_is_whole(client: &mut Client, topic: &str, appended: usize) {
    let read = client.read_from(topic, 1, 0);
    assert!(read.iter().map(|record| record.offset).eq(0..(RECORDS + appended) as i64));
    assert_eq!(append(client, topic, 1).error_code, code::NONE);
}

#[test]
fn a_turned_bit_is_answered_with_a_storage_error_by_its_partition_alone_until_it_is_repaired() {
    let Some((mut broker, topic)) = stopped(&[("thalweg.scrub.bytes.per.s", "0")]) else { return };
    let file = broker.segments(&topic, 0)[1].clone();
    let (name, base) = (file.file_name().unwrap().to_str().unwrap(), file.file_stem().unwrap());
    let base: i64 = base.to_str().unwrap().parse().unwrap();
    flip(&file);
    for life in 0..2 {
        broker.start_again(None);
        let mut client = broker.client();
        let mut next = 0;
        let refused = loop {
            let found = client.fetch(&topic, 0, next);
            if found.error_code != code::NONE {
                break found.error_code;
            }
            let records = harness::records::decode(&found.records.unwrap_or_default());
            assert!(!records.is_empty(), "nothing at {next}");
            for record in records {
                assert_eq!(record.offset, next);
                next += 1;
            }
        };
        assert_eq!(refused, STORAGE_ERROR);
        assert!(next >= base && next < RECORDS as i64, "all before the bad batch may be read: {next}");
        assert_eq!(client.fetch(&topic, 0, 0).error_code, STORAGE_ERROR, "it is fenced as a whole");
        assert_eq!(append(&mut client, &topic, 0).error_code, STORAGE_ERROR);
        assert_other_is_whole(&mut client, &topic, life);
        let told = broker.log_text();
        let line = told.lines().rfind(|line| line.contains("log fenced")).expect("it is told");
        assert!(line.contains(name) && line.contains("position") && line.contains("offset"), "{line}");
        broker.stop();
    }
    flip(&file);
    broker.start_again(None);
    let mut client = broker.client();
    client.wait_for_topic(&topic, 2);
    assert_eq!(client.read_from(&topic, 0, 0).len(), RECORDS);
}

#[test]
fn the_scrubber_finds_a_turned_bit_and_a_lost_index_though_nobody_reads() {
    let port = free_port();
    let listener = format!("127.0.0.1:{port}");
    let settings = [
        ("thalweg.http.listener", listener.as_str()),
        ("thalweg.scrub.bytes.per.s", "1000000000"),
        ("thalweg.scrub.interval.ms", "500"),
        ("log.initial.task.delay.ms", "0"),
    ];
    let Some((mut broker, topic)) = stopped(&settings) else { return };
    flip(&broker.segments(&topic, 0)[1]);
    let index = broker.segments(&topic, 1)[0].with_extension("twindex");
    let sound = fs::read(&index).unwrap();
    fs::remove_file(&index).unwrap();
    broker.start_again(None);
    let begun = Instant::now();
    let told = loop {
        let told = Scrape::of(port);
        // Two whole passes on every core: all was looked at.
        let is_through = told
            .samples
            .iter()
            .filter(|sample| sample.name == "thalweg_scrub_passes_total")
            .all(|sample| sample.value >= 2.0);
        if is_through && told.sum("thalweg_rot_found_total", &[]) > 0.0 {
            break told;
        }
        assert!(begun.elapsed() < FOUND_WITHIN, "it is not found");
        thread::sleep(Duration::from_millis(100));
    };
    for (name, expected) in [
        ("thalweg_rot_found_total", 1.0),
        ("thalweg_partitions_offline", 1.0),
        ("thalweg_indexes_rebuilt_total", 1.0),
        ("thalweg_scrub_failures_total", 0.0),
        ("thalweg_read_bytes_total", 0.0),
    ] {
        let is = told.sum(name, &[]);
        assert!((is - expected).abs() < 0.5, "{name} is {is}");
    }
    assert!(told.sum("thalweg_scrub_bytes_total", &[]) > 4e6, "both partitions were read");
    assert_eq!(fs::read(&index).unwrap(), sound);
    let mut client = broker.client();
    assert_eq!(client.fetch(&topic, 0, 0).error_code, STORAGE_ERROR);
    assert_other_is_whole(&mut client, &topic, 0);
    broker.stop();
}

//! What is kept: by age, by size, and not a record that somebody asked to be removed, across every kind of end.

use harness::records::{self, Batch};
use harness::verbs::{code, fresh, topic_name};
use harness::{Broker, Client};
use kafka_protocol::messages::DeleteRecordsRequest;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use std::thread;
use std::time::{Duration, Instant};

const HOUR_MS: i64 = 3_600_000;
const GONE_WITHIN: Duration = Duration::from_secs(60);
/// Offsets of a batch; five batches fill the smallest segment that Kafka allows.
const BATCH_RECORDS: usize = 10;
const SEGMENT_BYTES: &str = "1048576";

fn looking_often() -> Broker {
    Broker::with(&[
        ("log.retention.check.interval.ms", "300"),
        ("log.initial.task.delay.ms", "300"),
        ("log.segment.delete.delay.ms", "100"),
    ])
}

/// Batches of about 200 kB each, all of the same time.
fn fill(client: &mut Client, topic: &str, first: usize, batch_count: usize, time_ms: i64) {
    for number in first..first + batch_count {
        let batch = Batch::numbered(number * BATCH_RECORDS, BATCH_RECORDS, 20_000).at(time_ms);
        let base = client.produce(topic, 0, &batch);
        assert_eq!(base, (number * BATCH_RECORDS) as i64);
    }
}

fn earliest(client: &mut Client, topic: &str) -> i64 {
    client.list_offset(topic, 0, -2).offset
}

fn wait_for_start(client: &mut Client, topic: &str, is_right: impl Fn(i64) -> bool) -> i64 {
    let begun = Instant::now();
    loop {
        let start = earliest(client, topic);
        if is_right(start) {
            return start;
        }
        assert!(begun.elapsed() < GONE_WITHIN, "{topic} still starts at {start}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn delete_records(client: &mut Client, topic: &str, partition: i32, offset: i64) -> (i16, i64) {
    let partition = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(offset);
    let topic = DeleteRecordsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    let answer = client.call(2, &request);
    let partition = &answer.topics[0].partitions[0];
    (partition.error_code, partition.low_watermark)
}

/// Below the start nobody reads; from it on everything is there.
fn assert_starts_at(client: &mut Client, topic: &str, start: i64, end: i64) {
    if start > 0 {
        assert_eq!(client.fetch(topic, 0, start - 1).error_code, code::OFFSET_OUT_OF_RANGE);
    }
    let read = client.read_from(topic, 0, start);
    let offsets: Vec<i64> =
        read.iter().map(|record| record.offset).filter(|offset| *offset >= start).collect();
    assert_eq!(offsets, (start..end).collect::<Vec<_>>());
}

#[test]
fn what_is_older_than_the_limit_goes_with_its_files_and_the_rest_stays() {
    let broker = looking_often();
    let mut client = broker.client();
    let topic = fresh("aging");
    client.create_topic_with(&topic, 1, &[("segment.bytes", SEGMENT_BYTES), ("retention.ms", "1800000")]);
    let now = records::now_ms();
    fill(&mut client, &topic, 0, 2, now);
    fill(&mut client, &topic, 2, 20, now - HOUR_MS);
    fill(&mut client, &topic, 22, 3, now);
    thread::sleep(Duration::from_secs(2)); // time to do wrong: the first segment has a young record and shields the others
    assert_eq!(earliest(&mut client, &topic), 0);
    let files_before = broker.segments(&topic, 0).len();
    assert!(files_before >= 5, "{files_before} segments");

    assert_eq!(delete_records(&mut client, &topic, 0, 50), (code::NONE, 50));
    let start = wait_for_start(&mut client, &topic, |start| start > 50);
    assert!(start > 100 && start <= 220, "young records stay: {start}");
    assert_starts_at(&mut client, &topic, start, 250);
    let begun = Instant::now();
    while broker.segments(&topic, 0).len() > 2 {
        assert!(begun.elapsed() < GONE_WITHIN, "files stay: {:?}", broker.segments(&topic, 0));
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_log_is_no_larger_than_its_limit_and_a_segment() {
    let broker = looking_often();
    let mut client = broker.client();
    let topic = fresh("sized");
    client.create_topic_with(&topic, 1, &[("segment.bytes", SEGMENT_BYTES), ("retention.bytes", "2500000")]);
    fill(&mut client, &topic, 0, 25, records::now_ms());
    let start = wait_for_start(&mut client, &topic, |start| start > 0);
    let start = wait_for_start(&mut client, &topic, |now| now >= start.max(100));
    let kept_bytes = (250 - start) * 20_000;
    assert!((2_500_000..2_500_000 + 1_048_576 + 200_000).contains(&kept_bytes), "{kept_bytes} B are kept");
    assert_starts_at(&mut client, &topic, start, 250);
}

#[test]
fn a_log_whose_records_are_all_too_old_is_empty_and_goes_on_where_it_was() {
    let mut broker = looking_often();
    let mut client = broker.client();
    let topic = fresh("outdated");
    client.create_topic_with(&topic, 1, &[("segment.bytes", SEGMENT_BYTES), ("retention.ms", "1800000")]);
    fill(&mut client, &topic, 0, 7, records::now_ms() - HOUR_MS);
    wait_for_start(&mut client, &topic, |start| start == 70);
    assert_eq!(client.list_offset(&topic, 0, -1).offset, 70);
    assert_eq!(client.fetch(&topic, 0, 70).error_code, code::NONE);
    broker.kill();
    broker.start_again(None);
    let mut client = broker.client();
    client.wait_for_topic(&topic, 1);
    assert_eq!((earliest(&mut client, &topic), client.list_offset(&topic, 0, -1).offset), (70, 70));
    fill(&mut client, &topic, 7, 1, records::now_ms());
    assert_starts_at(&mut client, &topic, 70, 80);
}

#[test]
fn removed_records_stay_removed_after_a_kill_and_a_clean_stop() {
    let mut broker = Broker::start();
    let mut client = broker.client();
    let topic = fresh("removed");
    client.create_topic_with(&topic, 1, &[("segment.bytes", SEGMENT_BYTES)]);
    let time = records::now_ms() - HOUR_MS;
    fill(&mut client, &topic, 0, 12, time);
    assert_eq!(delete_records(&mut client, &topic, 0, 73), (code::NONE, 73));
    for end in 0..3 {
        assert_starts_at(&mut client, &topic, 73, 120);
        assert_eq!(earliest(&mut client, &topic), 73);
        // A batch that is half below the start: its first record that counts is the answer. Kafka finds nothing as long as
        // segments below the start wait for their removal.
        if broker.against().is_thalweg() {
            assert_eq!(client.list_offset(&topic, 0, 0).offset, 73);
        }
        assert_eq!(delete_records(&mut client, &topic, 0, 20), (code::NONE, 73), "the start never falls");
        // Kafka writes its starts down once a minute: a kill takes the last ones back.
        if end == 0 && broker.against().is_thalweg() {
            broker.kill();
        } else {
            broker.stop();
        }
        broker.start_again(None);
        client = broker.client();
        client.wait_for_topic(&topic, 1);
    }
    assert_eq!(delete_records(&mut client, &topic, 0, -1), (code::NONE, 120), "-1 is the high watermark");
    assert_eq!((earliest(&mut client, &topic), client.list_offset(&topic, 0, -1).offset), (120, 120));
    assert_eq!(client.list_offset(&topic, 0, 0).offset, -1, "no record is left to find");
}

#[test]
fn records_that_cannot_be_removed_are_refused_by_name() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("kept");
    client.create_topic(&topic, 1);
    fill(&mut client, &topic, 0, 1, records::now_ms());
    assert_eq!(delete_records(&mut client, &topic, 0, 11), (code::OFFSET_OUT_OF_RANGE, -1));
    assert_eq!(delete_records(&mut client, &topic, 0, -2), (code::OFFSET_OUT_OF_RANGE, -1));
    assert_eq!(delete_records(&mut client, &topic, 7, 0), (code::UNKNOWN_TOPIC_OR_PARTITION, -1));
    assert_eq!(
        delete_records(&mut client, "no-such-topic-here", 0, 0),
        (code::UNKNOWN_TOPIC_OR_PARTITION, -1)
    );
    let compacted = fresh("compacted");
    client.create_topic_with(&compacted, 1, &[("cleanup.policy", "compact")]);
    assert_eq!(delete_records(&mut client, &compacted, 0, 0), (code::POLICY_VIOLATION, -1));
    assert_starts_at(&mut client, &topic, 0, 10);
}

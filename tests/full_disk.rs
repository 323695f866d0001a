//! Full, read-only and failing disks, for real: small file systems of their own, ext4 and XFS.
#![expect(clippy::float_cmp, reason = "these numbers are counts, which are exact")]

use harness::broker::{Against, free_port};
use harness::disk::{FileSystem, LoopDisk};
use harness::probe::Scrape;
use harness::records::{self, Batch};
use harness::scratch::Scratch;
use harness::skip::skip_test;
use harness::verbs::{code, produce_request, text, topic_name};
use harness::{Broker, Client};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    DeleteRecordsRequest, FindCoordinatorRequest, GroupId, OffsetCommitRequest, ProduceRequest,
};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const DISK_MIB: u64 = 400;
/// Of one record.
const VALUE_BYTES: usize = 500_000;
const SEGMENT_BYTES: &str = "8388608";
/// What takes a while by design: the broker looks for room at times, and files go after a delay.
const BACK_WITHIN: Duration = Duration::from_secs(30);

fn broker_on(dirs: &[&Path]) -> (Broker, u16) {
    let http = free_port();
    let dirs: Vec<&str> = dirs.iter().map(|dir| dir.to_str().unwrap()).collect();
    let broker = Broker::with(&[
        ("log.dirs", &dirs.join(",")),
        ("log.segment.bytes", SEGMENT_BYTES),
        ("log.segment.delete.delay.ms", "0"),
        ("log.retention.check.interval.ms", "200"),
        ("log.initial.task.delay.ms", "200"),
        ("offsets.topic.num.partitions", "2"),
        ("thalweg.cores", "2"),
        ("thalweg.journal.files.max", "4"),
        ("thalweg.http.listener", &format!("127.0.0.1:{http}")),
    ]);
    (broker, http)
}

/// Runs a test on a fresh disk of each kind that can be had.
fn on_each_disk(test: &str, run: impl Fn(LoopDisk)) {
    if !Against::chosen().is_thalweg() {
        skip_test(test, "it is about our files");
        return;
    }
    for system in [FileSystem::Ext4, FileSystem::Xfs] {
        if let Some(disk) = LoopDisk::new(test, system, DISK_MIB) {
            eprintln!("on {system}");
            run(disk);
        }
    }
}

fn batch(number: usize) -> bytes::Bytes {
    Batch::numbered(number, 1, VALUE_BYTES).encode()
}

/// Produces numbered records until one is refused, which must be with the error of full disks; the next number.
fn produce_until_full(client: &mut Client, topic: &str, mut number: usize) -> usize {
    loop {
        let answer = client.try_produce(topic, 0, batch(number));
        match answer.error_code {
            code::NONE => assert_eq!(answer.base_offset, number as i64),
            refused => {
                assert_eq!(refused, code::KAFKA_STORAGE_ERROR);
                return number;
            }
        }
        number += 1;
    }
}

/// Tries as a client does that was refused with a retriable error.
fn produce_until_taken(disk: &LoopDisk, client: &mut Client, topic: &str, number: usize) {
    let start = Instant::now();
    while client.try_produce(topic, 0, batch(number)).error_code != code::NONE {
        let free_bytes = disk.free_bytes();
        assert!(start.elapsed() < BACK_WITHIN, "{free_bytes} B are free and it does not come back");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The numbers that a partition holds, which must follow one another.
fn numbers(client: &mut Client, topic: &str, start: i64) -> std::ops::Range<usize> {
    let read = client.read_from(topic, 0, start);
    let values = records::values(&read);
    let numbers: Vec<usize> =
        values.iter().map(|value| value.trim_start_matches('-').parse().unwrap()).collect();
    let (first, count) = (numbers.first().copied().unwrap_or(0), numbers.len());
    assert!(numbers.iter().copied().eq(first..first + count), "{numbers:?}");
    assert!(read.iter().all(|record| record.offset >= start));
    first..first + count
}

/// Commits an offset of a group; the error code.
fn commit(client: &mut Client, group: &str, topic: &str, offset: i64) -> i16 {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
    let topic =
        OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    client.call(8, &request).topics[0].partitions[0].error_code
}

fn commit_until_taken(client: &mut Client, group: &str, topic: &str, offset: i64) {
    // Whoever looks for the coordinator has its topic made.
    let find = FindCoordinatorRequest::default().with_key_type(0).with_coordinator_keys(vec![text(group)]);
    client.call(4, &find);
    let start = Instant::now();
    loop {
        let told = commit(client, group, topic, offset);
        if told == code::NONE {
            return;
        }
        assert!(code::COORDINATOR_COMES.contains(&told), "{told}");
        assert!(start.elapsed() < BACK_WITHIN);
        thread::sleep(Duration::from_millis(50));
    }
}

fn delete_records(client: &mut Client, topic: &str, offset: i64) {
    let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(offset);
    let topic = DeleteRecordsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    let answer = client.call(2, &request);
    assert_eq!(answer.topics[0].partitions[0].error_code, code::NONE);
}

#[test]
fn a_disk_that_is_full_refuses_producers_serves_everybody_else_and_comes_back_by_itself() {
    on_each_disk("a full disk", |disk| {
        let (mut broker, http) = broker_on(&[&disk.path().join("data")]);
        let mut client = broker.client();
        client.create_topic("fat", 1);
        client.create_topic("victim", 1);
        client.init_producer(); // the block of ids is there before the disk is full
        commit_until_taken(&mut client, "g", "fat", 1);
        for number in 0..40 {
            client.produce("victim", 0, &Batch::numbered(number, 1, VALUE_BYTES));
        }
        disk.fill_up(disk.free_bytes() - (60 << 20)); // of somebody else, who makes room later
        let mut next = produce_until_full(&mut client, "fat", 0);
        disk.fill_up(0);
        let mut told = Vec::new();
        for offset in 2..200 {
            told.push(commit(&mut client, "g", "fat", offset));
        }
        let fine = |code: &i16| *code == code::NONE || code::COORDINATOR_COMES.contains(code);
        assert!(told.iter().all(fine), "{told:?}");
        assert_eq!(numbers(&mut client, "fat", 0), 0..next);
        assert_eq!(
            Scrape::of(http).sum("thalweg_directories_stopped", &[]),
            0.0,
            "a full disk is not broken"
        );

        // Somebody else frees what they took.
        disk.make_room();
        disk.fill_up(30 << 20);
        produce_until_taken(&disk, &mut client, "fat", next);
        next = produce_until_full(&mut client, "fat", next + 1);
        disk.fill_up(0);

        // A topic is deleted.
        assert_eq!(client.delete_topic("victim"), code::NONE);
        produce_until_taken(&disk, &mut client, "fat", next);
        next = produce_until_full(&mut client, "fat", next + 1);
        disk.fill_up(0);

        // Records are deleted.
        let start = next as i64 / 2;
        delete_records(&mut client, "fat", start);
        produce_until_taken(&disk, &mut client, "fat", next);
        next = produce_until_full(&mut client, "fat", next + 1);
        disk.fill_up(0);

        // Retention.
        client.set_config("fat", "retention.bytes", "33554432");
        produce_until_taken(&disk, &mut client, "fat", next);
        next += 1;
        client.set_config("fat", "retention.bytes", "-1"); // the start stays where it is from now on
        thread::sleep(Duration::from_millis(500));
        assert_eq!(numbers(&mut client, "fat", client_start(&broker, "fat")).end, next);
        commit_until_taken(&mut client, "g", "fat", 1000);
        broker.stop();
        broker.start_again(None);
        let mut client = broker.client();
        assert_eq!(numbers(&mut client, "fat", client_start(&broker, "fat")).end, next);
        assert_eq!(client.committed("g", "fat", &[0])[0].0, 1000);
    });
}

fn client_start(broker: &Broker, topic: &str) -> i64 {
    broker.client().list_offset(topic, 0, -2).offset
}

#[test]
fn a_broker_killed_on_a_full_disk_starts_on_it_and_has_all_that_it_acknowledged() {
    on_each_disk("a kill on a full disk", |disk| {
        let (mut broker, _) = broker_on(&[&disk.path().join("data")]);
        let mut client = broker.client();
        client.create_topic("fat", 1);
        commit_until_taken(&mut client, "g", "fat", 7);
        let mut next = produce_until_full(&mut client, "fat", 0);
        for round in 0..3 {
            disk.fill_up(0);
            broker.kill();
            broker.start_again(None);
            let mut client = broker.client();
            let there = numbers(&mut client, "fat", 0);
            assert!(there.start == 0 && there.end >= next, "round {round}: {there:?}, {next} acknowledged");
            assert_eq!(client.committed("g", "fat", &[0])[0].0, 7);
            next = produce_until_full(&mut client, "fat", there.end);
        }
        disk.make_room();
        delete_records(&mut broker.client(), "fat", next as i64 / 2);
        produce_until_taken(&disk, &mut broker.client(), "fat", next);
    });
}

/// A broker that took twenty records into the topic `t` and was cleanly stopped.
fn stopped_broker_on(disk: &LoopDisk) -> Broker {
    let (mut broker, _) = broker_on(&[&disk.path().join("data")]);
    let mut client = broker.client();
    client.create_topic("t", 1);
    for number in 0..20 {
        client.produce("t", 0, &Batch::numbered(number, 1, VALUE_BYTES));
    }
    broker.stop();
    broker
}

#[test]
fn a_start_needs_no_free_block_after_a_clean_stop_either() {
    on_each_disk("a start without a free block", |disk| {
        let mut broker = stopped_broker_on(&disk);
        disk.fill_up(0);
        broker.start_again(None);
        assert_eq!(numbers(&mut broker.client(), "t", 0), 0..20);
        // Killed now, the next start has leader epochs to raise, which takes a record.
        broker.kill();
        broker.start_again(None);
        let mut client = broker.client();
        assert_eq!(numbers(&mut client, "t", 0), 0..20);
        assert_eq!(client.try_produce("t", 0, batch(20)).error_code, code::KAFKA_STORAGE_ERROR);
        assert_eq!(client.delete_topic("t"), code::NONE, "what frees room needs none");
        broker.stop();
        broker.start_again(None);
        disk.make_room();
        let mut client = broker.client();
        client.create_topic("t", 1);
        produce_until_taken(&disk, &mut client, "t", 0);
    });
}

#[test]
fn a_clean_stop_needs_no_free_block_either() {
    on_each_disk("a stop without a free block", |disk| {
        let mut broker = stopped_broker_on(&disk);
        let bytes = || disk.path().join("data/t-0/00000000000000000016.log").metadata().unwrap().len();
        let cut = bytes();
        for _ in 0..2 {
            disk.fill_up(0);
            broker.start_again(None);
            let mut client = broker.client();
            // Its blocks are asked for in vain, which changes the length of its file on ext4.
            assert_eq!(client.try_produce("t", 0, batch(20)).error_code, code::KAFKA_STORAGE_ERROR);
            assert_eq!(numbers(&mut client, "t", 0), 0..20);
            broker.stop();
            assert_eq!(bytes(), cut, "others read it to its end");
        }
        disk.make_room();
        broker.start_again(None);
        assert_eq!(numbers(&mut broker.client(), "t", 0), 0..20);
        produce_until_taken(&disk, &mut broker.client(), "t", 20);
    });
}

#[test]
fn with_one_of_two_disks_full_the_other_one_serves_and_takes_what_is_new() {
    on_each_disk("one full disk of two", |disk| {
        let scratch = Scratch::new("dirs");
        let (broker, _) = broker_on(&[&disk.path().join("data"), &scratch.path().join("roomy")]);
        let mut client = broker.client();
        client.create_topic("fat", 1);
        client.create_topic("fat2", 1);
        let (full, well) = match client.place_of("fat", 0) {
            0 => ("fat", "fat2"),
            _ => ("fat2", "fat"),
        };
        assert_eq!((client.place_of(full, 0), client.place_of(well, 0)), (0, 1));
        let next = produce_until_full(&mut client, full, 0);
        disk.fill_up(0);
        thread::sleep(Duration::from_millis(1500)); // longer than it is believed what a disk said of its room
        client.create_topic("new", 10);
        assert!((0..10).all(|partition| client.place_of("new", partition) == 1));
        for number in 0..20 {
            client.produce(well, 0, &Batch::numbered(number, 1, VALUE_BYTES));
        }
        produce_until_full(&mut client, full, next);
    });
}

/// Produces until the connection ends or an answer is an error; the records that were acknowledged.
fn produce_until_broken(client: &mut Client, topic: &str, stop: &AtomicBool) -> usize {
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        let request = produce_request(topic, 0, -1, Batch::numbered(number, 1, 10_000).encode());
        let Ok(answer) = client.try_call::<ProduceRequest>(9, &request) else { break };
        if answer.responses[0].partition_responses[0].error_code != code::NONE {
            break;
        }
        number += 1;
    }
    number
}

#[test]
fn a_disk_that_turns_read_only_ends_a_broker_that_has_no_other_and_nothing_acknowledged_is_lost() {
    on_each_disk("a disk that turns read-only", |disk| {
        let (mut broker, _) = broker_on(&[&disk.path().join("data")]);
        let topics: Vec<String> = (0..8).map(|number| format!("t{number}")).collect();
        for topic in &topics {
            broker.client().create_topic(topic, 1);
        }
        // Nobody can do it by hand while files are written.
        assert!(disk.remount_read_only().unwrap_err().contains("busy"));
        let stop = AtomicBool::new(false);
        let acknowledged: Vec<usize> = thread::scope(|scope| {
            let producers: Vec<_> = topics
                .iter()
                .map(|topic| {
                    let (mut client, stop) = (broker.client(), &stop);
                    scope.spawn(move || produce_until_broken(&mut client, topic, stop))
                })
                .collect();
            thread::sleep(Duration::from_millis(700));
            disk.break_down();
            producers.into_iter().map(|producer| producer.join().unwrap()).collect()
        });
        assert!(acknowledged.iter().all(|count| *count > 0), "{acknowledged:?}");
        assert_eq!(broker.wait_for_end().code(), Some(1));
        assert!(broker.log_text().contains("no log directory works any more"), "{}", broker.log_text());
        let log = broker.start_refused();
        assert!(log.contains("log directory"), "{log}");
        disk.unmount();
        disk.mount().unwrap();
        broker.start_again(None);
        let mut client = broker.client();
        for (topic, acknowledged) in topics.iter().zip(acknowledged) {
            let there = numbers(&mut client, topic, 0);
            assert!(
                there.start == 0 && there.end >= acknowledged,
                "{topic}: {there:?}, {acknowledged} acknowledged"
            );
            client.produce(topic, 0, &Batch::numbered(there.end, 1, 100));
        }
    });
}

#[test]
fn a_device_whose_writes_fail_stops_its_directory_and_loses_nothing() {
    if !Against::chosen().is_thalweg() {
        return skip_test("a failing device", "it is about our files");
    }
    for system in [FileSystem::Ext4, FileSystem::Xfs] {
        let Some(disk) = LoopDisk::failing_after("a failing device", system, 600, 300) else { continue };
        let (mut broker, _) = broker_on(&[&disk.path().join("data")]);
        broker.client().create_topic("t", 1);
        let mut client = broker.client();
        let acknowledged = produce_until_broken_large(&mut client, "t");
        assert!(acknowledged > 5, "{system}: {acknowledged}");
        eprintln!("{system}: {acknowledged} acknowledged");
        assert_eq!(broker.wait_for_end().code(), Some(1));
        disk.unmount();
        disk.mend_device(800);
        disk.mount().unwrap();
        broker.start_again(None);
        let there = numbers(&mut broker.client(), "t", 0);
        assert!(
            there.start == 0 && there.end >= acknowledged,
            "{system}: {there:?}, {acknowledged} acknowledged"
        );
    }
}

fn produce_until_broken_large(client: &mut Client, topic: &str) -> usize {
    let mut number = 0;
    loop {
        let request = produce_request(topic, 0, -1, batch(number));
        match client.try_call::<ProduceRequest>(9, &request) {
            Ok(answer) if answer.responses[0].partition_responses[0].error_code == code::NONE => number += 1,
            _ => return number,
        }
    }
}

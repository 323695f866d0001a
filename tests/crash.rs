//! Killed with -9: what was acknowledged is there, once, in order, and the broker is back soon.

use harness::records::{self, Batch, Codec};
use harness::verbs::{code, produce_request};
use harness::{Broker, Client};
use kafka_protocol::messages::ProduceRequest;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Produces numbered records until the broker goes away; returns the next number that was not acknowledged.
fn produce_until_gone(client: &mut Client, partition: i32, first: usize, acked: &Mutex<usize>) {
    let mut number = first;
    loop {
        let batch = Batch::numbered(number, 10, 500).encode();
        let request = produce_request("crashed", partition, -1, batch);
        let Ok(answer) = client.try_call::<ProduceRequest>(9, &request) else { return };
        assert_eq!(answer.responses[0].partition_responses[0].error_code, code::NONE);
        number += 10;
        *acked.lock().unwrap() = number;
    }
}

#[test]
fn what_was_acknowledged_survives_kills_in_the_middle_of_writing() {
    let mut broker = Broker::start();
    broker.client().create_topic("crashed", 2);
    let mut firsts = [0, 0];
    for round in 0..3 {
        let acked: Vec<_> = firsts.iter().map(|&first| Arc::new(Mutex::new(first))).collect();
        let producers: Vec<_> = (0..2)
            .map(|partition| {
                let (acked, first) = (Arc::clone(&acked[partition]), firsts[partition]);
                let mut client = broker.client();
                thread::spawn(move || produce_until_gone(&mut client, partition as i32, first, &acked))
            })
            .collect();
        thread::sleep(Duration::from_millis(700));
        broker.kill();
        for producer in producers {
            producer.join().unwrap();
        }
        broker.start_again(None);
        let mut client = broker.client();
        client.wait_for_topic("crashed", 2);
        for partition in 0..2 {
            let read = client.read_from("crashed", partition as i32, 0);
            let acked = *acked[partition].lock().unwrap();
            assert!(acked > firsts[partition], "round {round}: something was acknowledged");
            let numbers: Vec<usize> = records::values(&read)
                .iter()
                .map(|value| value.trim_start_matches('-').parse().unwrap())
                .collect();
            assert!(
                numbers.len() >= acked,
                "round {round}: {} of {acked} acknowledged records",
                numbers.len()
            );
            assert!(
                numbers.len() <= acked + 10,
                "round {round}: at most the batch in flight may be there beside them"
            );
            assert!(numbers.iter().copied().eq(0..numbers.len()), "round {round}: in order, each once");
            firsts[partition] = numbers.len();
        }
    }
}

#[test]
fn a_kill_while_idle_loses_nothing_in_any_codec() {
    let mut broker = Broker::start();
    let mut client = broker.client();
    client.create_topic("idle", 1);
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        client.produce("idle", 0, &Batch::numbered(0, 100, 1000).codec(codec));
    }
    for _ in 0..3 {
        broker.kill();
        broker.start_again(None);
        let mut client = broker.client();
        client.wait_for_topic("idle", 1);
        assert_eq!(client.read_from("idle", 0, 0).len(), 500);
        assert_eq!(client.list_offset("idle", 0, -1).offset, 500);
    }
}

#[test]
fn a_kill_right_behind_a_start_or_a_stop_is_no_harm() {
    let mut broker = Broker::start();
    let mut client = broker.client();
    client.create_topic("twice", 3);
    for partition in 0..3 {
        client.produce("twice", partition, &Batch::numbered(0, 50, 100));
    }
    for _ in 0..2 {
        broker.kill();
        broker.start_again(None);
        broker.kill();
        broker.start_again(None);
        broker.stop();
        broker.start_again(None);
    }
    let mut client = broker.client();
    client.wait_for_topic("twice", 3);
    for partition in 0..3 {
        assert_eq!(client.read_from("twice", partition, 0).len(), 50);
        assert_eq!(client.produce("twice", partition, &Batch::of(&["next"])), 50);
    }
}

#[test]
fn a_consumer_never_sees_what_a_kill_takes_away() {
    let mut broker = Broker::start();
    broker.client().create_topic("crashed", 1);
    let stop = Arc::new(AtomicBool::new(false));
    let acked = Arc::new(Mutex::new(0));
    let producer = {
        let (mut client, acked) = (broker.client(), Arc::clone(&acked));
        thread::spawn(move || produce_until_gone(&mut client, 0, 0, &acked))
    };
    let consumer = {
        let (mut client, stop) = (broker.client(), Arc::clone(&stop));
        thread::spawn(move || {
            let mut seen = 0;
            while !stop.load(Ordering::Relaxed) {
                let request = harness::verbs::fetch_request("crashed", 0, seen);
                let Ok(answer) = client.try_call(11, &request) else { return seen };
                let records = answer.responses[0].partitions[0].records.clone().unwrap_or_default();
                seen = records::decode(&records).last().map_or(seen, |record| record.offset + 1);
            }
            seen
        })
    };
    thread::sleep(Duration::from_millis(800));
    broker.kill();
    stop.store(true, Ordering::Relaxed);
    producer.join().unwrap();
    let seen = consumer.join().unwrap();
    broker.start_again(None);
    let mut client = broker.client();
    client.wait_for_topic("crashed", 1);
    let end = client.list_offset("crashed", 0, -1).offset;
    assert!(end >= seen, "a consumer saw {seen}, after the kill the log ends at {end}");
}

//! A clean stop and a start: everything is where it was, under the same names and ids.

use harness::records::{self, Batch, CODECS};
use harness::verbs::code;
use harness::{Broker, Client};
use kafka_protocol::messages::{DescribeClusterRequest, MetadataRequest};

fn cluster(client: &mut Client) -> (String, i32, i32) {
    let answer = client.call(0, &DescribeClusterRequest::default());
    assert_eq!(answer.brokers.len(), 1);
    (answer.cluster_id.to_string(), answer.brokers[0].broker_id.0, answer.brokers[0].port)
}

#[test]
fn records_offsets_and_identities_survive_clean_stops() {
    let mut broker = Broker::start();
    let mut client = broker.client();
    let identity = cluster(&mut client);
    let id = client.create_topic("kept", 4);
    let mut expected = vec![Vec::new(); 4];
    for round in 0..3 {
        let mut client = broker.client();
        assert_eq!(client.wait_for_topic("kept", 4), id);
        assert_eq!(cluster(&mut client), identity);
        for (number, codec) in CODECS.into_iter().enumerate() {
            for partition in 0..4 {
                let batch = Batch::numbered(round * 100 + number * 10, 10, 300).codec(codec);
                let base = client.produce("kept", partition, &batch);
                assert_eq!(base, expected[partition as usize].len() as i64);
                let values = batch
                    .records
                    .iter()
                    .map(|record| String::from_utf8(record.value.clone().unwrap()).unwrap());
                expected[partition as usize].extend(values);
            }
        }
        broker.stop();
        broker.start_again(None);
    }
    let mut client = broker.client();
    client.wait_for_topic("kept", 4);
    for partition in 0..4 {
        let read = client.read_from("kept", partition, 0);
        assert!(
            read.iter().enumerate().all(|(number, record)| record.offset == number as i64),
            "dense offsets"
        );
        assert_eq!(records::values(&read), expected[partition as usize]);
    }
}

#[test]
fn another_number_of_cores_serves_the_same_records() {
    let mut broker = Broker::start();
    let mut client = broker.client();
    client.create_topic("moved", 8);
    for partition in 0..8 {
        client.produce("moved", partition, &Batch::numbered(0, 20, 100));
    }
    for (round, cores) in ["1", "2", "1"].into_iter().enumerate() {
        broker.stop();
        broker.start_again(Some(cores));
        let mut client = broker.client();
        client.wait_for_topic("moved", 8);
        for partition in 0..8 {
            assert_eq!(
                client.read_from("moved", partition, 0).len(),
                20 + round * 20,
                "{cores} cores, partition {partition}"
            );
            client.produce("moved", partition, &Batch::numbered(0, 20, 100));
        }
    }
}

#[test]
fn a_clean_stop_leaves_segments_that_hold_batches_and_nothing_else() {
    let mut broker = Broker::with(&[("log.segment.bytes", "1048576")]);
    let mut client = broker.client();
    client.create_topic("segments", 1);
    let mut sent_bytes = 0;
    for number in 0..40 {
        let batch = Batch::numbered(number * 100, 100, 1000);
        sent_bytes += batch.encode().len() as u64;
        client.produce("segments", 0, &batch);
    }
    broker.stop();
    let segments = broker.segments("segments", 0);
    assert!(segments.len() >= 4, "{segments:?}");
    let mut next = 0;
    let mut stored_bytes = 0;
    for path in segments {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert_eq!(
            (name.len(), name.parse::<i64>().unwrap()),
            (20, next),
            "a segment is named by its first offset"
        );
        let bytes = bytes::Bytes::from(std::fs::read(&path).unwrap());
        assert!(bytes.len() <= 1_048_576, "{}", bytes.len());
        stored_bytes += bytes.len() as u64;
        let batches = records::batches(&bytes);
        assert_eq!(
            batches.iter().map(bytes::Bytes::len).sum::<usize>(),
            bytes.len(),
            "whole batches to the last byte"
        );
        for record in records::decode(&bytes) {
            assert_eq!(record.offset, next);
            next += 1;
        }
    }
    assert_eq!((next, stored_bytes), (4000, sent_bytes));
}

#[test]
fn the_leader_epoch_never_falls() {
    let mut broker = Broker::start();
    broker.client().create_topic("epochs", 1);
    let mut last = 0;
    for clean in [true, false, false, true] {
        if clean {
            broker.stop();
        } else {
            broker.kill();
        }
        broker.start_again(None);
        let mut client = broker.client();
        client.wait_for_topic("epochs", 1);
        let epoch = client.metadata("epochs").partitions[0].leader_epoch;
        assert!(if clean { epoch >= last } else { epoch > last }, "{last} -> {epoch}, clean: {clean}");
        last = epoch;
        client.produce("epochs", 0, &Batch::of(&["v"]));
        let stored = client.fetch("epochs", 0, 0).records.unwrap();
        let newest = records::batches(&stored).pop().unwrap();
        assert_eq!(
            i32::from_be_bytes(records::field(&newest, 12)),
            epoch,
            "a stored batch carries its leader's epoch"
        );
    }
}

#[test]
fn metadata_names_the_listener_that_was_asked() {
    let broker = Broker::shared();
    let answer = broker.client().call(12, &MetadataRequest::default().with_topics(Some(vec![])));
    assert_eq!(answer.brokers.len(), 1);
    assert_eq!(format!("{}:{}", answer.brokers[0].host.as_str(), answer.brokers[0].port), broker.address());
    assert_eq!(answer.controller_id, answer.brokers[0].node_id);
    assert!(answer.cluster_id.is_some_and(|id| !id.is_empty()));
    assert_eq!(answer.error_code, code::NONE);
}

#[test]
fn segments_roll_by_the_time_of_their_records() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = harness::verbs::fresh("rolled");
    client.create_topic_with(&topic, 1, &[("segment.ms", "60000")]);
    let start = records::now_ms() - 3_600_000;
    for (number, minutes) in [0, 0, 5, 5, 11].into_iter().enumerate() {
        client.produce(&topic, 0, &Batch::numbered(number, 1, 100).at(start + minutes * 60_000));
    }
    let bases: Vec<i64> = broker
        .segments(&topic, 0)
        .iter()
        .map(|path| path.file_stem().unwrap().to_string_lossy().parse().unwrap())
        .collect();
    assert_eq!(bases, [0, 2, 4]);
    assert_eq!(client.read_from(&topic, 0, 0).len(), 5);
}

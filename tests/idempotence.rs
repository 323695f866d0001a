//! Idempotent producers: each record once, in order, over retries, restarts and kills.

use harness::records::{self, Batch};
use harness::verbs::{code, fresh};
use harness::{Broker, Client};
use kafka_protocol::messages::{InitProducerIdRequest, ProducerId};

fn batch(producer: (i64, i16), sequence: i32, count: usize) -> bytes::Bytes {
    Batch::numbered(sequence.max(0) as usize, count, 10).from_producer(producer, sequence).encode()
}

/// Code and base offset of one batch.
fn send(client: &mut Client, topic: &str, producer: (i64, i16), sequence: i32, count: usize) -> (i16, i64) {
    let answer = client.try_produce(topic, 0, batch(producer, sequence, count));
    (answer.error_code, answer.base_offset)
}

fn prepared(broker: &Broker) -> (Client, String, (i64, i16)) {
    let mut client = broker.client();
    let topic = fresh("idem");
    client.create_topic(&topic, 1);
    let producer = client.init_producer();
    (client, topic, producer)
}

#[test]
fn producer_ids_are_never_given_twice() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let mut ids: Vec<i64> = (0..50)
        .map(|_| client.init_producer())
        .map(|(id, epoch)| {
            assert_eq!(epoch, 0);
            id
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 50);
}

#[test]
fn one_of_the_last_five_batches_is_answered_with_its_first_offset() {
    let broker = Broker::shared();
    let (mut client, topic, producer) = prepared(&broker);
    for number in 0..7 {
        assert_eq!(send(&mut client, &topic, producer, number * 2, 2), (code::NONE, i64::from(number) * 2));
    }
    for number in 2..7 {
        assert_eq!(
            send(&mut client, &topic, producer, number * 2, 2),
            (code::NONE, i64::from(number) * 2),
            "batch {number} again"
        );
    }
    assert_eq!(client.list_offset(&topic, 0, -1).offset, 14, "nothing was stored twice");
}

#[test]
fn an_older_duplicate_and_a_gap_are_out_of_order() {
    let broker = Broker::shared();
    let (mut client, topic, producer) = prepared(&broker);
    for number in 0..7 {
        send(&mut client, &topic, producer, number * 2, 2);
    }
    for (sequence, count) in [(0, 2), (2, 2), (15, 1), (20, 2), (12, 1), (13, 1), (12, 3)] {
        let (code, offset) = send(&mut client, &topic, producer, sequence, count);
        assert_eq!(
            (code, offset),
            (code::OUT_OF_ORDER_SEQUENCE_NUMBER, -1),
            "sequence {sequence}, {count} records"
        );
    }
    assert_eq!(send(&mut client, &topic, producer, 14, 1), (code::NONE, 14), "the right one is still taken");
}

#[test]
fn an_unknown_producer_may_begin_anywhere() {
    let broker = Broker::shared();
    let (mut client, topic, (id, _)) = prepared(&broker);
    assert_eq!(send(&mut client, &topic, (id, 0), 1000, 1), (code::NONE, 0));
    assert_eq!(send(&mut client, &topic, (id, 0), 1001, 1), (code::NONE, 1));
}

#[test]
fn a_new_epoch_begins_at_0_and_fences_the_old_one() {
    let broker = Broker::shared();
    let (mut client, topic, (id, epoch)) = prepared(&broker);
    assert_eq!(send(&mut client, &topic, (id, epoch), 0, 3), (code::NONE, 0));
    assert_eq!(send(&mut client, &topic, (id, epoch + 1), 3, 1).0, code::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(send(&mut client, &topic, (id, epoch + 1), 0, 1), (code::NONE, 3));
    assert_eq!(send(&mut client, &topic, (id, epoch), 3, 1).0, code::INVALID_PRODUCER_EPOCH);
}

#[test]
fn sequences_wrap_to_0_behind_the_largest() {
    let broker = Broker::shared();
    let (mut client, topic, producer) = prepared(&broker);
    assert_eq!(send(&mut client, &topic, producer, i32::MAX - 1, 2), (code::NONE, 0));
    assert_eq!(send(&mut client, &topic, producer, 0, 1), (code::NONE, 2));
    let (_, topic, producer) = prepared(&broker);
    assert_eq!(send(&mut client, &topic, producer, i32::MAX - 1, 4), (code::NONE, 0), "inside a batch too");
    assert_eq!(send(&mut client, &topic, producer, 2, 1), (code::NONE, 4));
    assert_eq!(
        send(&mut client, &topic, producer, i32::MAX - 1, 4),
        (code::NONE, 0),
        "and its duplicate is known"
    );
}

#[test]
fn each_partition_counts_for_itself() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("idem");
    client.create_topic(&topic, 2);
    let producer = client.init_producer();
    for partition in 0..2 {
        let answer = client.try_produce(&topic, partition, batch(producer, 0, 2));
        assert_eq!((answer.error_code, answer.base_offset), (code::NONE, 0));
    }
}

#[test]
fn transactional_batches_are_refused_without_a_transaction() {
    let broker = Broker::shared();
    let (mut client, topic, producer) = prepared(&broker);
    let mut transactional = Batch::of(&["t"]).from_producer(producer, 0);
    transactional.attributes = 0x10;
    let code = client.try_produce(&topic, 0, transactional.encode()).error_code;
    assert_eq!(code, 53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED: there is no transactional id");
}

#[test]
fn a_producer_id_is_asked_for_again_only_with_a_transactional_id() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let (id, epoch) = client.init_producer();
    let request = InitProducerIdRequest::default()
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(id))
        .with_producer_epoch(epoch);
    assert_eq!(client.call(4, &request).error_code, code::INVALID_REQUEST);
}

#[test]
fn sequences_survive_a_clean_stop_and_a_kill() {
    let mut broker = Broker::start();
    let (mut client, topic, producer) = prepared(&broker);
    for number in 0..6 {
        assert_eq!(send(&mut client, &topic, producer, number, 1), (code::NONE, i64::from(number)));
    }
    for round in 0..4 {
        let next = 6 + round;
        if round % 2 == 0 {
            broker.stop();
        } else {
            broker.kill();
        }
        broker.start_again(None);
        let mut client = broker.client();
        client.wait_for_topic(&topic, 1);
        assert_eq!(
            send(&mut client, &topic, producer, next - 1, 1),
            (code::NONE, i64::from(next) - 1),
            "a duplicate, round {round}"
        );
        assert_eq!(
            send(&mut client, &topic, producer, next + 1, 1).0,
            code::OUT_OF_ORDER_SEQUENCE_NUMBER,
            "a gap, round {round}"
        );
        assert_eq!(
            send(&mut client, &topic, producer, next, 1),
            (code::NONE, i64::from(next)),
            "the next one, round {round}"
        );
        let (id, _) = client.init_producer();
        assert_ne!(id, producer.0, "producer ids are not given again");
    }
    let records = broker.client().read_from(&topic, 0, 0);
    let numbers: Vec<i32> = records::values(&records)
        .iter()
        .map(|value| value.trim_start_matches('-').parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
}

//! Offsets by time and by name: -1 latest, -2 earliest, -3 largest timestamp, -4 earliest local, -5 last tiered, -6 earliest pending upload.

use harness::Broker;
use harness::records::{Batch, CODECS, Codec};
use harness::verbs::{code, fresh};

const HOUR_MS: i64 = 3_600_000;

#[test]
fn an_empty_partition_has_offsets_but_no_times() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("offsets");
    client.create_topic(&topic, 1);
    for (timestamp, expected) in
        [(-1, 0), (-2, 0), (-3, -1), (-4, 0), (-5, -1), (0, -1), (1_700_000_000_000, -1)]
    {
        let answer = client.list_offset(&topic, 0, timestamp);
        assert_eq!(
            (answer.error_code, answer.offset, answer.timestamp),
            (code::NONE, expected, -1),
            "time {timestamp}"
        );
    }
}

#[test]
fn a_time_is_found_to_the_record_in_every_codec() {
    let broker = Broker::shared();
    let mut client = broker.client();
    for codec in CODECS {
        let topic = fresh("times");
        client.create_topic(&topic, 1);
        let start = harness::records::now_ms() - HOUR_MS;
        for batch in 0..20 {
            client.produce(
                &topic,
                0,
                &Batch::numbered(batch * 10, 10, 100).codec(codec).at(start + batch as i64 * 1000),
            );
        }
        // Record n of batch b has time start + 1000 b + n.
        for (time, offset, found) in
            [(0, 0, 0), (5, 5, 5), (9, 9, 9), (10, 10, 1000), (7003, 73, 7003), (19_009, 199, 19_009)]
        {
            let answer = client.list_offset(&topic, 0, start + time);
            assert_eq!((answer.offset, answer.timestamp), (offset, start + found), "{codec:?}, time {time}");
        }
        assert_eq!(client.list_offset(&topic, 0, start + 19_010).offset, -1, "behind the last");
        assert_eq!(client.list_offset(&topic, 0, 0).offset, 0);
        let largest = client.list_offset(&topic, 0, -3);
        assert_eq!((largest.offset, largest.timestamp), (199, start + 19_009));
    }
}

#[test]
fn the_largest_timestamp_need_not_be_the_last_record() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("times");
    client.create_topic(&topic, 1);
    let start = harness::records::now_ms() - HOUR_MS;
    for (number, time) in [0, 5000, 1000, 2000].into_iter().enumerate() {
        client.produce(&topic, 0, &Batch::numbered(number, 1, 10).at(start + time));
    }
    let largest = client.list_offset(&topic, 0, -3);
    assert_eq!((largest.offset, largest.timestamp), (1, start + 5000));
    assert_eq!(
        client.list_offset(&topic, 0, start + 1000).offset,
        1,
        "the first record at or behind that time"
    );
    let latest = client.list_offset(&topic, 0, -1);
    assert_eq!((latest.offset, latest.timestamp), (4, -1));
}

#[test]
fn the_largest_timestamp_inside_a_compressed_batch_is_its_record() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("times");
    client.create_topic(&topic, 1);
    let start = harness::records::now_ms() - HOUR_MS;
    client.produce(&topic, 0, &Batch::numbered(0, 5, 10).codec(Codec::Lz4).at(start));
    client.produce(&topic, 0, &Batch::numbered(5, 5, 10).codec(Codec::Lz4).at(start - 10_000));
    let largest = client.list_offset(&topic, 0, -3);
    assert_eq!((largest.offset, largest.timestamp), (4, start + 4));
}

#[test]
fn special_times_without_tiers() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("offsets");
    client.create_topic(&topic, 1);
    client.produce(&topic, 0, &Batch::numbered(0, 5, 10));
    for (timestamp, expected) in [(-1, 5), (-2, 0), (-4, 0), (-5, -1)] {
        let answer = client.list_offset(&topic, 0, timestamp);
        assert_eq!((answer.error_code, answer.offset), (code::NONE, expected), "time {timestamp}");
    }
}

#[test]
fn every_version_answers() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("offsets");
    client.create_topic(&topic, 1);
    client.produce(&topic, 0, &Batch::numbered(0, 5, 10));
    for version in 1..=10 {
        let answer = client.list_offset_as(version, &topic, 0, -1);
        assert_eq!((answer.error_code, answer.offset), (code::NONE, 5), "version {version}");
        let answer = client.list_offset_as(version, &topic, 0, -2);
        assert_eq!((answer.error_code, answer.offset), (code::NONE, 0), "version {version}");
    }
    for (version, timestamp) in [(6, -3), (7, -4), (8, -5), (10, -9)] {
        let answer = client.list_offset_as(version, &topic, 0, timestamp);
        assert_eq!(
            (answer.error_code, answer.offset),
            (code::UNSUPPORTED_VERSION, -1),
            "time {timestamp} before its version {version}"
        );
    }
}

#[test]
fn unknown_partitions_and_wrong_epochs_are_named() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("offsets");
    client.create_topic(&topic, 1);
    assert_eq!(client.list_offset(&topic, 1, -1).error_code, code::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(client.list_offset("no-such-topic-here", 0, -1).error_code, code::UNKNOWN_TOPIC_OR_PARTITION);
}

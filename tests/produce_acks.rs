//! What a producer is promised, and what it is refused: acks, codecs, sizes, and every lie that a batch can tell.
//!
//! The expectations were taken from Apache Kafka 4.3.1 with these same tests (`THALWEG_TEST_AGAINST=kafka`).

use harness::records::{self, Batch, CODECS, Codec, altered};
use harness::verbs::{code, fresh, produce_request};
use harness::{Broker, Client};
use std::time::Duration;

fn topic_of(client: &mut Client, name: &str, configs: &[(&str, &str)]) -> String {
    let topic = fresh(name);
    client.create_topic_with(&topic, 1, configs);
    topic
}

#[test]
fn every_version_and_codec_is_stored_as_the_producer_made_it() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = topic_of(&mut client, "codecs", &[]);
    let mut expected = Vec::new();
    for version in 3..=12 {
        for codec in CODECS.into_iter().filter(|codec| version >= 7 || *codec != Codec::Zstd) {
            let batch = Batch::of(&[&format!("{version}-{codec:?}-a"), &format!("{version}-{codec:?}-b")])
                .codec(codec)
                .encode();
            let answer = client.produce_as(version, -1, &topic, 0, batch.clone());
            assert_eq!(answer.error_code, code::NONE, "version {version}, {codec:?}");
            assert_eq!(answer.base_offset, expected.len() as i64 * 2);
            expected.push(batch);
        }
    }
    let part = client.fetch(&topic, 0, 0);
    assert_eq!(part.high_watermark, expected.len() as i64 * 2);
    let stored = records::batches(&part.records.unwrap());
    assert_eq!(stored.len(), expected.len());
    for (number, (stored, sent)) in stored.iter().zip(&expected).enumerate() {
        assert_eq!(
            i64::from_be_bytes(records::field(stored, 0)),
            number as i64 * 2,
            "the base offset is the broker's"
        );
        assert_eq!(stored[16..], sent[16..], "all but base offset and leader epoch is the producer's");
    }
}

#[test]
fn acks_1_and_acks_all_are_answered_with_the_offset() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = topic_of(&mut client, "acks", &[]);
    for (number, acks) in [1, -1, 1].into_iter().enumerate() {
        let answer = client.produce_as(9, acks, &topic, 0, Batch::of(&["v"]).encode());
        assert_eq!((answer.error_code, answer.base_offset), (code::NONE, number as i64));
        assert_eq!((answer.log_append_time_ms, answer.log_start_offset), (-1, 0));
    }
}

#[test]
fn acks_0_has_no_answer_and_the_records_arrive() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = topic_of(&mut client, "acks0", &[]);
    for _ in 0..3 {
        client.send(9, &produce_request(&topic, 0, 0, Batch::of(&["quiet"]).encode())).unwrap();
    }
    let answer = client.produce_as(9, 1, &topic, 0, Batch::of(&["loud"]).encode());
    assert_eq!(answer.base_offset, 3, "the next answer on the connection is the next request's");
}

#[test]
fn a_failed_acks_0_closes_the_connection() {
    let broker = Broker::shared();
    let mut client = broker.client();
    client.send(9, &produce_request(&fresh("nowhere"), 0, 0, Batch::of(&["lost"]).encode())).unwrap();
    assert!(client.is_closed_within(Duration::from_secs(10)), "it is the only signal there is");
}

#[test]
fn other_acks_are_refused() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = topic_of(&mut client, "acks2", &[]);
    for acks in [2, -2, 100] {
        let answer = client.produce_as(9, acks, &topic, 0, Batch::of(&["v"]).encode());
        assert_eq!((answer.error_code, answer.base_offset), (code::INVALID_REQUIRED_ACKS, -1));
    }
    assert_eq!(client.list_offset(&topic, 0, -1).offset, 0);
}

#[test]
fn an_unknown_topic_or_partition_is_refused() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = topic_of(&mut client, "one", &[]);
    for (topic, partition) in [(topic.as_str(), 1), (topic.as_str(), -1), ("no-such-topic-here", 0)] {
        let answer = client.try_produce(topic, partition, Batch::of(&["v"]).encode());
        assert_eq!(
            (answer.error_code, answer.base_offset),
            (code::UNKNOWN_TOPIC_OR_PARTITION, -1),
            "{topic}-{partition}"
        );
    }
}

#[test]
fn internal_topics_are_closed_to_clients() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let answer = client.try_produce("__consumer_offsets", 0, Batch::of(&["v"]).encode());
    let refused = [code::INVALID_TOPIC_EXCEPTION, code::UNKNOWN_TOPIC_OR_PARTITION]; // the second while nobody has used a group
    assert!(refused.contains(&answer.error_code), "{}", answer.error_code);
}

/// Kafka's codecs throw what its validation does not expect, and it answers `UNKNOWN_SERVER_ERROR`: refused as well, but no model for us.
fn stumbles(broker: &Broker, code: i16) -> bool {
    !broker.against().is_thalweg() && code == code::UNKNOWN_SERVER_ERROR
}

/// A batch that lies, and the code Kafka answers with.
struct Lie {
    what: &'static str,
    records: bytes::Bytes,
    code: i16,
}

fn lies() -> Vec<Lie> {
    let good = Batch::of(&["a", "b", "c"]).encode();
    let lie = |what, records, code| Lie { what, records, code };
    let mut broken_crc = good.to_vec();
    broken_crc[20] ^= 1;
    let mut two = good.to_vec();
    two.extend_from_slice(&good);
    vec![
        lie("a wrong CRC", broken_crc.into(), code::CORRUPT_MESSAGE),
        lie("no records at all", bytes::Bytes::new(), code::INVALID_RECORD),
        lie("two batches in one", two.into(), code::INVALID_RECORD),
        lie("a count that is too large", altered(&good, 57, &4_i32.to_be_bytes()), code::INVALID_RECORD),
        lie("a count that is too small", altered(&good, 57, &2_i32.to_be_bytes()), code::INVALID_RECORD),
        lie("a count below zero", altered(&good, 57, &(-1_i32).to_be_bytes()), code::INVALID_RECORD),
        lie(
            "a last offset delta that does not fit",
            altered(&good, 23, &7_i32.to_be_bytes()),
            code::INVALID_RECORD,
        ),
        lie("a base offset", altered(&good, 0, &5_i64.to_be_bytes()), code::INVALID_RECORD),
        lie("magic 1", altered(&good, 16, &[1]), code::INVALID_RECORD),
        lie("magic 3", altered(&good, 16, &[3]), code::CORRUPT_MESSAGE),
        lie("the control bit", altered(&good, 21, &0x20_i16.to_be_bytes()), code::INVALID_RECORD),
        lie("a codec that does not exist", altered(&good, 21, &5_i16.to_be_bytes()), code::INVALID_RECORD),
        lie("a length beyond the bytes", altered(&good, 8, &5000_i32.to_be_bytes()), code::INVALID_RECORD),
        lie("a cut batch", good.slice(..good.len() - 2), code::INVALID_RECORD),
        lie("a header alone", good.slice(..61), code::INVALID_RECORD),
        lie("forty bytes", good.slice(..40), code::INVALID_RECORD),
    ]
}

#[test]
fn batches_that_lie_are_refused_and_nothing_is_stored() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = topic_of(&mut client, "lies", &[]);
    let mut wrong = Vec::new();
    for lie in lies() {
        let mut own = broker.client();
        match own.try_call(9, &produce_request(&topic, 0, -1, lie.records)) {
            Ok(answer) => {
                let part = &answer.responses[0].partition_responses[0];
                if part.error_code != lie.code && !stumbles(&broker, part.error_code) {
                    wrong.push(format!(
                        "{}: {} instead of {} ({:?})",
                        lie.what, part.error_code, lie.code, part.error_message
                    ));
                }
            }
            Err(error) => wrong.push(format!("{}: {error}", lie.what)),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(client.list_offset(&topic, 0, -1).offset, 0);
}

#[test]
fn garbage_in_the_compressed_part_is_refused() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = topic_of(&mut client, "garbage", &[]);
    let mut codes = Vec::new();
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let batch = Batch::of(&["a", "b"]).codec(codec);
        let garbage =
            client.try_produce(&topic, 0, batch.encode_around(b"these bytes are no frame of any codec"));
        let cut = records::compress(codec, &[7; 300]);
        let cut = client.try_produce(&topic, 0, batch.encode_around(&cut[..cut.len() / 2]));
        let nonsense =
            client.try_produce(&topic, 0, batch.encode_around(&records::compress(codec, &[0xff; 40])));
        codes.extend([garbage, cut, nonsense].map(|answer| (codec, answer.error_code)));
    }
    for (codec, code) in codes {
        assert!(code == code::INVALID_RECORD || stumbles(&broker, code), "{codec:?}: {code}");
    }
    assert_eq!(client.list_offset(&topic, 0, -1).offset, 0);
}

#[test]
fn zstd_needs_produce_7() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = topic_of(&mut client, "zstd", &[]);
    let batch = Batch::of(&["z"]).codec(Codec::Zstd).encode();
    assert_eq!(
        client.produce_as(6, -1, &topic, 0, batch.clone()).error_code,
        code::UNSUPPORTED_COMPRESSION_TYPE
    );
    assert_eq!(client.produce_as(7, -1, &topic, 0, batch).error_code, code::NONE);
}

#[test]
fn a_batch_may_be_as_large_as_the_topic_allows_and_not_a_byte_larger() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = topic_of(&mut client, "large", &[]);
    let one = |value_bytes: usize| Batch::numbered(0, 1, value_bytes).encode();
    let overhead = one(1_000_000).len() - 1_000_000;
    let largest = one(1_048_588 - overhead);
    assert_eq!(largest.len(), 1_048_588);
    assert_eq!(client.try_produce(&topic, 0, largest).error_code, code::NONE);
    assert_eq!(client.try_produce(&topic, 0, one(1_048_589 - overhead)).error_code, code::MESSAGE_TOO_LARGE);

    let small = topic_of(&mut client, "small", &[("max.message.bytes", "1000")]);
    assert_eq!(client.try_produce(&small, 0, one(1000)).error_code, code::MESSAGE_TOO_LARGE);
    assert_eq!(client.try_produce(&small, 0, one(900)).error_code, code::NONE);
}

#[test]
fn a_wrong_max_timestamp_is_corrected_with_its_crc() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = topic_of(&mut client, "maxts", &[]);
    let batch = Batch::of(&["a", "b", "c"]);
    let lying = altered(&batch.encode(), 35, &(batch.base_timestamp + 100_000).to_be_bytes());
    assert_eq!(client.try_produce(&topic, 0, lying).error_code, code::NONE);
    let stored = client.fetch(&topic, 0, 0).records.unwrap();
    assert_eq!(i64::from_be_bytes(records::field(&stored, 35)), batch.base_timestamp + 2);
    assert_eq!(records::decode(&stored).len(), 3, "the CRC is right");
}

#[test]
fn timestamps_too_far_ahead_are_refused() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = topic_of(&mut client, "future", &[]);
    let hour_ms = 3_600_000;
    let ahead = |ms| Batch::of(&["f"]).at(records::now_ms() + ms).encode();
    assert_eq!(client.try_produce(&topic, 0, ahead(hour_ms + 60_000)).error_code, code::INVALID_TIMESTAMP);
    assert_eq!(client.try_produce(&topic, 0, ahead(hour_ms - 60_000)).error_code, code::NONE);
    let old = Batch::of(&["o"]).at(1000).encode();
    assert_eq!(
        client.try_produce(&topic, 0, old).error_code,
        code::NONE,
        "the past is without end by default"
    );
}

#[test]
fn log_append_time_is_the_brokers() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = topic_of(&mut client, "appendtime", &[("message.timestamp.type", "LogAppendTime")]);
    for codec in [Codec::None, Codec::Gzip] {
        let before = records::now_ms();
        let answer = client.try_produce(&topic, 0, Batch::of(&["a", "b"]).codec(codec).at(5000).encode());
        assert_eq!(answer.error_code, code::NONE);
        assert!(
            (before..=records::now_ms()).contains(&answer.log_append_time_ms),
            "{}",
            answer.log_append_time_ms
        );
        let stored = client.fetch(&topic, 0, answer.base_offset).records.unwrap();
        let batch = records::batches(&stored).pop().unwrap();
        assert_eq!(i64::from_be_bytes(records::field(&batch, 35)), answer.log_append_time_ms);
        assert_eq!(batch[22] & 8, 8, "the header says so");
        assert_eq!(records::decode(&stored).len(), 2, "the CRC is right");
    }
}

#[test]
fn a_duplicate_is_answered_with_the_time_of_the_first() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = topic_of(&mut client, "appendtime", &[("message.timestamp.type", "LogAppendTime")]);
    let producer = client.init_producer();
    let batch = Batch::of(&["a", "b"]).from_producer(producer, 0).encode();
    let first = client.try_produce(&topic, 0, batch.clone());
    std::thread::sleep(Duration::from_millis(20));
    let again = client.try_produce(&topic, 0, batch);
    assert_eq!((again.error_code, again.base_offset), (code::NONE, 0));
    assert_eq!(again.log_append_time_ms, first.log_append_time_ms);
}

#[test]
fn what_batches_unfold_to_is_bounded_by_the_size_that_their_topic_allows() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let large = topic_of(&mut client, "large", &[("max.message.bytes", "4000000")]);
    let small = topic_of(&mut client, "small", &[]);
    let batch = records::zeros(Codec::Zstd, 100 << 20);
    assert_eq!(client.try_produce(&large, 0, batch.clone()).error_code, code::NONE);
    if broker.against().is_thalweg() {
        // Kafka has no bound.
        let refused = client.try_produce(&small, 0, batch);
        assert_eq!(refused.error_code, code::MESSAGE_TOO_LARGE, "clients then split what they sent");
        assert!(refused.error_message.unwrap().contains("unfolds"));
    }
    client.set_config(&large, "max.message.bytes", "1000000");
    assert_eq!(client.list_offset(&large, 0, 1).offset, 0, "what is stored is read, whatever is allowed now");
    assert_eq!(client.try_produce(&large, 0, Batch::of(&["v"]).encode()).error_code, code::NONE);
}

#[test]
fn a_topic_with_a_codec_of_its_own_stores_that_codec() {
    let broker = Broker::shared();
    let mut client = broker.client();
    for (name, codec) in [
        ("gzip", Codec::Gzip),
        ("snappy", Codec::Snappy),
        ("lz4", Codec::Lz4),
        ("zstd", Codec::Zstd),
        ("uncompressed", Codec::None),
    ] {
        let topic = topic_of(&mut client, "recompressed", &[("compression.type", name)]);
        let sent = if codec == Codec::None { Codec::Gzip } else { Codec::None };
        for codec in [sent, codec] {
            assert_eq!(
                client.try_produce(&topic, 0, Batch::of(&["x", "y"]).codec(codec).encode()).error_code,
                code::NONE
            );
        }
        let stored = client.fetch(&topic, 0, 0).records.unwrap();
        for batch in records::batches(&stored) {
            assert_eq!(i16::from(batch[22] & 7), codec as i16, "{name}");
        }
        assert_eq!(records::values(&records::decode(&stored)), ["x", "y", "x", "y"]);
    }
}

#[test]
fn a_compacted_topic_refuses_records_without_a_key() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = topic_of(&mut client, "compacted", &[("cleanup.policy", "compact")]);
    let refused = client.try_produce(&topic, 0, Batch::of(&["a", "b"]).encode());
    assert_eq!(refused.error_code, code::INVALID_RECORD);
    let indexes: Vec<i32> = refused.record_errors.iter().map(|error| error.batch_index).collect();
    assert_eq!(indexes, [0, 1], "each record is named");
    assert_eq!(client.try_produce(&topic, 0, Batch::of(&["a", "b"]).keyed().encode()).error_code, code::NONE);
}

#[test]
fn answers_leave_in_the_order_of_the_requests() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = topic_of(&mut client, "pipelined", &[]);
    let sent: Vec<i32> = (0..50)
        .map(|number| {
            let batch = Batch::numbered(number, 1, 200).encode();
            client.send(9, &produce_request(&topic, 0, -1, batch)).unwrap()
        })
        .collect();
    for (number, correlation_id) in sent.into_iter().enumerate() {
        let answer = client.receive::<kafka_protocol::messages::ProduceRequest>(9, correlation_id).unwrap();
        assert_eq!(answer.responses[0].partition_responses[0].base_offset, number as i64);
    }
}

#[test]
fn a_sequence_without_a_producer_is_nobodys() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = topic_of(&mut client, "sarama", &[]);
    for number in 0..3 {
        let batch = Batch::of(&["v"]).from_producer((-1, -1), 0); // as sarama without idempotence, and so Filebeat, writes its batches
        assert_eq!(client.produce(&topic, 0, &batch), number);
    }
}

#[test]
fn old_versions_of_produce_are_listed_and_refused() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let versions = client.api_versions();
    let produce = versions.api_keys.iter().find(|api| api.api_key == 0).unwrap();
    assert_eq!(
        produce.min_version, 0,
        "librdkafka takes a missing version 0 for a broker that cannot compress"
    );
    assert!(produce.max_version >= 12);
}

#[test]
fn produce_13_names_topics_by_id() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("by-id");
    let id = client.create_topic(&topic, 1);
    for (id, expected) in [(id, code::NONE), (uuid::Uuid::from_u128(7), code::UNKNOWN_TOPIC_ID)] {
        let mut request = produce_request("", 0, -1, Batch::of(&["v"]).encode());
        request.topic_data[0].topic_id = id;
        let answer = client.call(13, &request);
        assert_eq!(answer.responses[0].topic_id, id);
        assert_eq!(answer.responses[0].partition_responses[0].error_code, expected);
    }
    assert_eq!(client.list_offset(&topic, 0, -1).offset, 1);
}

#[test]
fn more_in_sync_replicas_than_replicas_are_as_many_as_there_are() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = topic_of(&mut client, "min-isr", &[("min.insync.replicas", "2")]);
    for acks in [-1, 1] {
        let answer = client.produce_as(9, acks, &topic, 0, Batch::of(&["v"]).encode());
        assert_eq!(answer.error_code, code::NONE, "Kafka 4 counts to the smaller of the two");
    }
}

#[test]
fn one_request_may_carry_many_partitions_and_each_has_its_own_answer() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("wide");
    client.create_topic(&topic, 20);
    let mut request = produce_request(&topic, 0, -1, Batch::of(&["v"]).encode());
    let one = request.topic_data[0].partition_data[0].clone();
    request.topic_data[0].partition_data = (0..22).map(|index| one.clone().with_index(index)).collect();
    let answer = client.call(9, &request);
    for part in &answer.responses[0].partition_responses {
        let expected = if part.index < 20 { (code::NONE, 0) } else { (code::UNKNOWN_TOPIC_OR_PARTITION, -1) };
        assert_eq!((part.error_code, part.base_offset), expected, "partition {}", part.index);
    }
    assert_eq!(answer.responses[0].partition_responses.len(), 22);
}

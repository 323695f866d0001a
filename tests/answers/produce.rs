//! Produce: every trap, in every version that answers it in its own way.

use bytes::Bytes;
use harness::Transcript;
use harness::records::{Batch, CODECS, Codec, altered, compress};
use harness::verbs::topic_name;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, TransactionalId};
use std::time::Duration;
use uuid::Uuid;

fn data(partition: i32, records: Option<Bytes>) -> PartitionProduceData {
    PartitionProduceData::default().with_index(partition).with_records(records)
}

fn to(topic: &str, id: Uuid, data: Vec<PartitionProduceData>) -> TopicProduceData {
    TopicProduceData::default().with_name(topic_name(topic)).with_topic_id(id).with_partition_data(data)
}

fn of(acks: i16, topics: Vec<TopicProduceData>) -> ProduceRequest {
    ProduceRequest::default().with_acks(acks).with_timeout_ms(20_000).with_topic_data(topics)
}

fn ask(transcript: &mut Transcript, what: &str, version: i16, request: &ProduceRequest) {
    transcript.ask_and(what, version, request, |answer| {
        answer.responses.sort_by_key(|topic| (topic.name.0.to_string(), topic.partition_responses.len()));
        for topic in &mut answer.responses {
            topic.partition_responses.sort_by_key(|partition| partition.index);
            for refused in topic.partition_responses.iter_mut().filter(|partition| partition.error_code != 0)
            {
                // Here a reason is always given, and a log's start never; Kafka gives it with some errors.
                refused.error_message =
                    refused.error_message.take().filter(|_| !refused.record_errors.is_empty());
                refused.log_start_offset = -1;
            }
        }
    });
}

/// One batch to partition 0 of a topic.
fn send(transcript: &mut Transcript, what: &str, version: i16, topic: &str, records: Bytes) {
    ask(transcript, what, version, &of(-1, vec![to(topic, Uuid::nil(), vec![data(0, Some(records))])]));
}

/// Batches that no producer should send, by what is wrong with them.
fn lies(base: &Batch) -> Vec<(&'static str, Bytes)> {
    let good = base.encode();
    let int = |at: usize, value: i32| altered(&good, at, &value.to_be_bytes());
    let cut = |bytes: usize| good.slice(..good.len() - bytes);
    let tail = |more: &[u8]| Bytes::from([&good[..], more].concat());
    let mut bad_crc = good.to_vec();
    bad_crc[20] ^= 1;
    let mut bad_crc_end = good.to_vec();
    *bad_crc_end.last_mut().unwrap() ^= 1;
    let long = altered(&good, 27, &i64::MAX.to_be_bytes());
    vec![
        ("as it should be", good.clone()),
        ("magic 0", altered(&good, 16, &[0])),
        ("magic 1", altered(&good, 16, &[1])),
        ("magic 3", altered(&good, 16, &[3])),
        ("magic -1", altered(&good, 16, &[255])),
        ("base offset 5", altered(&good, 0, &5_i64.to_be_bytes())),
        ("base offset -1", altered(&good, 0, &(-1_i64).to_be_bytes())),
        ("leader epoch 9", int(12, 9)),
        ("length 0", int(8, 0)),
        ("length -1", int(8, -1)),
        ("length too small", int(8, 48)),
        ("length too large by 1", int(8, good.len() as i32 - 11)),
        ("length far too large", int(8, i32::MAX)),
        ("wrong CRC", Bytes::from(bad_crc)),
        ("wrong last byte", Bytes::from(bad_crc_end)),
        ("one record more", int(57, 4)),
        ("one record less", int(57, 2)),
        ("no records", int(57, 0)),
        ("-1 records", int(57, -1)),
        ("many records", int(57, i32::MAX)),
        ("last offset delta too large", int(23, 5)),
        ("last offset delta too small", int(23, 1)),
        ("last offset delta -1", int(23, -1)),
        ("count and delta too large", altered(&int(57, 4), 23, &3_i32.to_be_bytes())),
        ("count and delta too small", altered(&int(57, 2), 23, &1_i32.to_be_bytes())),
        ("a control batch", altered(&good, 21, &(0x20_i16 | base.codec as i16).to_be_bytes())),
        ("a transactional batch", altered(&good, 21, &(0x10_i16 | base.codec as i16).to_be_bytes())),
        ("unknown attributes", altered(&good, 21, &(0x4000_i16 | base.codec as i16).to_be_bytes())),
        ("a delete horizon", altered(&good, 21, &(0x40_i16 | base.codec as i16).to_be_bytes())),
        ("log append time", altered(&good, 21, &(0x08_i16 | base.codec as i16).to_be_bytes())),
        ("codec 5", altered(&good, 21, &5_i16.to_be_bytes())),
        ("codec 7", altered(&good, 21, &7_i16.to_be_bytes())),
        ("max timestamp 0", altered(&good, 35, &0_i64.to_be_bytes())),
        ("max timestamp far ahead", altered(&good, 35, &i64::MAX.to_be_bytes())),
        ("base timestamp -1", altered(&good, 27, &(-1_i64).to_be_bytes())),
        ("base timestamp far ahead", long),
        ("base timestamp far behind", altered(&good, 27, &i64::MIN.to_be_bytes())),
        ("two batches", tail(&good)),
        ("one byte behind", tail(&[0])),
        ("12 bytes behind", tail(&[0; 12])),
        ("17 bytes behind", tail(&[0; 17])),
        ("half a batch behind", tail(&good[..good.len() / 2])),
        ("cut by 1", cut(1)),
        ("cut to the header", good.slice(..61)),
        ("cut to 17 bytes", good.slice(..17)),
        ("cut to 11 bytes", good.slice(..11)),
        ("nothing", Bytes::new()),
        ("a sequence without producer", altered(&good, 53, &7_i32.to_be_bytes())),
        ("an epoch without producer", altered(&good, 51, &7_i16.to_be_bytes())),
        (
            "a producer without sequence",
            altered(&altered(&good, 43, &7_i64.to_be_bytes()), 51, &0_i16.to_be_bytes()),
        ),
        ("producer -2", altered(&good, 43, &(-2_i64).to_be_bytes())),
        ("records that end early", base.encode_around(&compress(base.codec, &[6, 0, 0]))),
        ("records of zeros", base.encode_around(&compress(base.codec, &[0; 30]))),
        ("records of ones", base.encode_around(&compress(base.codec, &[0xff; 30]))),
        ("a record of -1 bytes", base.encode_around(&compress(base.codec, &[1, 0, 0]))),
        ("no bytes of records", base.encode_around(&[])),
    ]
}

/// Lies that make Kafka fail with an exception of its own (-1): here they are refused as the others.
fn stumbles(what: &str, codec: Codec) -> bool {
    let by_codec = if codec == Codec::None { "records of ones" } else { "no bytes of records" };
    ["length far too large", "codec 5", "codec 7"].contains(&what)
        || (what == by_codec && codec != Codec::Zstd)
}

fn lie(scenario: &'static str, codec: Codec) {
    let Some(mut transcript) = Transcript::begin(scenario, &[]) else { return };
    transcript.client().create_topic("t", 1);
    let base = Batch::numbered(0, 3, 20).codec(codec);
    for (what, bytes) in lies(&base) {
        if stumbles(what, codec) {
            transcript.differs("Kafka fails with an exception of its own");
        }
        send(&mut transcript, what, 9, "t", bytes);
    }
    transcript.close();
}

#[test]
fn batches_that_lie_are_answered_as_kafka_answers_them() {
    lie("produce_lies_plain", Codec::None);
}

#[test]
fn batches_that_lie_in_gzip_are_answered_as_kafka_answers_them() {
    lie("produce_lies_gzip", Codec::Gzip);
}

#[test]
fn batches_that_lie_in_zstd_are_answered_as_kafka_answers_them() {
    lie("produce_lies_zstd", Codec::Zstd);
}

#[test]
fn produce_is_answered_as_kafka_answers_it() {
    let Some(mut transcript) = Transcript::begin("produce", &[]) else { return };
    let id = transcript.client().create_topic("t", 2);
    let compacted = transcript.client().create_topic_with("compacted", 1, &[("cleanup.policy", "compact")]);
    let stamped =
        transcript.client().create_topic_with("stamped", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let small = transcript.client().create_topic_with("small", 1, &[("max.message.bytes", "200")]);
    let ids = [("t", id), ("compacted", compacted), ("stamped", stamped), ("small", small)];
    let good = || Batch::numbered(0, 3, 20).encode();
    let hour = 3_600_000;
    let now = harness::records::now_ms();
    for version in 3..=13 {
        let id_of = |topic: &str| {
            let known = ids.iter().find(|(known, _)| *known == topic);
            if version >= 13 { known.map_or(Uuid::from_u128(77), |(_, id)| *id) } else { Uuid::nil() }
        };
        let name_of = |topic: &str| if version >= 13 { String::new() } else { topic.to_string() };
        let topic = |topic: &str, data: Vec<PartitionProduceData>| to(&name_of(topic), id_of(topic), data);
        let v = |what: &str| format!("{what}, v{version}");
        let mut all = |what: &str, acks: i16, topics: Vec<TopicProduceData>| {
            ask(&mut transcript, &v(what), version, &of(acks, topics));
        };
        all("plain", -1, vec![topic("t", vec![data(0, Some(good()))])]);
        all("acks 1", 1, vec![topic("t", vec![data(0, Some(good()))])]);
        all("acks 2", 2, vec![topic("t", vec![data(0, Some(good()))])]);
        all("acks -2", -2, vec![topic("t", vec![data(0, Some(good())), data(9, None)])]);
        all("empty", -1, vec![topic("t", vec![data(0, Some(Bytes::new()))])]);
        all(
            "partition 9",
            -1,
            vec![topic("t", vec![data(9, Some(good())), data(-1, Some(good())), data(1, Some(good()))])],
        );
        all("unknown topic", -1, vec![topic("u", vec![data(0, Some(good()))])]);
        all("odd topic", -1, vec![topic("a/b", vec![data(0, Some(good()))])]);
        all("no topics", -1, vec![]);
        all("no partitions", -1, vec![topic("t", vec![])]);
        all("without keys", -1, vec![topic("compacted", vec![data(0, Some(good()))])]);
        let keyed = || Batch::numbered(0, 3, 20).keyed().encode();
        all("with keys", -1, vec![topic("compacted", vec![data(0, Some(keyed()))])]);
        all("stamped", -1, vec![topic("stamped", vec![data(0, Some(good()))])]);
        all("too large", -1, vec![topic("small", vec![data(0, Some(Batch::numbered(0, 3, 100).encode()))])]);
        let ahead = Batch::numbered(0, 3, 20).at(now + 2 * hour).encode();
        all("too far ahead", -1, vec![topic("t", vec![data(0, Some(ahead))])]);
        all(
            "several",
            -1,
            vec![
                topic("t", vec![data(0, Some(good())), data(1, Some(good()))]),
                topic("stamped", vec![data(0, Some(good()))]),
            ],
        );
        for codec in CODECS {
            let packed = Batch::numbered(0, 3, 20).codec(codec).encode();
            all(&format!("{codec:?}"), -1, vec![topic("t", vec![data(1, Some(packed))])]);
        }
    }
    transcript.close();
}

#[test]
fn odd_produces_are_answered_as_kafka_answers_them() {
    let Some(mut transcript) = Transcript::begin("produce_odd", &[]) else { return };
    transcript.client().create_topic("t", 2);
    let good = || Batch::numbered(0, 3, 20).encode();
    let nil = Uuid::nil();
    let why = "Kafka stores one of the two, and tells of one";
    transcript.differs(why);
    ask(
        &mut transcript,
        "one partition twice",
        9,
        &of(-1, vec![to("t", nil, vec![data(0, Some(good())), data(0, Some(good()))])]),
    );
    transcript.differs(why);
    ask(
        &mut transcript,
        "one topic twice",
        9,
        &of(-1, vec![to("t", nil, vec![data(0, Some(good()))]), to("t", nil, vec![data(1, Some(good()))])]),
    );
    transcript.differs(why);
    ask(
        &mut transcript,
        "one partition in one topic twice",
        9,
        &of(-1, vec![to("t", nil, vec![data(0, Some(good()))]), to("t", nil, vec![data(0, Some(good()))])]),
    );
    transcript.differs("Kafka fails and never answers");
    ask(&mut transcript, "null", 9, &of(-1, vec![to("t", nil, vec![data(0, None)])]));
    let offset = transcript.client().list_offset("t", 0, -1).offset;
    transcript.differs(why);
    transcript.note_text("then there are so many", offset.to_string());
    for topic in ["__consumer_offsets", "__transaction_state", "__cluster_metadata", "__share_group_state"] {
        send(&mut transcript, topic, 9, topic, good());
    }
    for timeout in [-1, 0, i32::MIN, i32::MAX] {
        let request = of(-1, vec![to("t", nil, vec![data(0, Some(good()))])]).with_timeout_ms(timeout);
        transcript.ask_and(&format!("timeout {timeout}"), 9, &request, |answer| {
            // Whether it was in time is not asked here.
            for partition in answer.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses) {
                if partition.error_code == 7 {
                    (partition.error_code, partition.base_offset) = (0, 0);
                }
                partition.base_offset = partition.base_offset.min(0);
                partition.log_start_offset = 0;
            }
        });
    }
    for (what, acks, records) in [
        ("a bad batch", 0, Batch::numbered(0, 3, 20).encode().slice(..70)),
        ("an unknown partition", 0, good()),
    ] {
        let partition = if what == "an unknown partition" { 9 } else { 0 };
        transcript
            .client()
            .send(9, &of(acks, vec![to("t", nil, vec![data(partition, Some(records))])]))
            .unwrap();
        let closed = transcript.client().is_closed_within(Duration::from_secs(5));
        transcript
            .note_text(&format!("{what} without acknowledgement closes the connection"), closed.to_string());
        transcript.reconnect();
    }
    transcript.close();
}

const DUPLICATE: &str = "Kafka tells the producer's own time as if it were the broker's";

#[test]
fn idempotence_is_answered_as_kafka_answers_it() {
    let Some(mut transcript) = Transcript::begin("produce_idempotence", &[]) else { return };
    transcript.client().create_topic("t", 1);
    let (id, _) = transcript.client().init_producer();
    let batch = |epoch: i16, sequence: i32, count: usize| {
        Batch::numbered(0, count, 20).from_producer((id, epoch), sequence).encode()
    };
    for (what, epoch, sequence, count) in [
        ("the first", 0, 0, 2),
        ("the second", 0, 2, 2),
        ("the first again", 0, 0, 2),
        ("the second again", 0, 2, 2),
        ("the first with more records", 0, 0, 4),
        ("an overlap", 0, 3, 2),
        ("a gap", 0, 5, 2),
        ("the third", 0, 4, 2),
        ("the fourth", 0, 6, 2),
        ("the fifth", 0, 8, 2),
        ("the sixth", 0, 10, 2),
        ("the first, too old", 0, 0, 2),
        ("the second, the oldest known", 0, 2, 2),
        ("sequence 0 once more with another count", 0, 0, 1),
        ("a new epoch that begins late", 1, 5, 1),
        ("a new epoch", 1, 0, 1),
        ("the new epoch again", 1, 0, 1),
        ("the old epoch", 0, 12, 2),
        ("the old epoch from 0", 0, 0, 2),
        ("the new epoch goes on", 1, 1, 1),
        ("two epochs ahead", 3, 0, 1),
        ("epoch -1", -1, 0, 1),
        ("sequence -1", 3, -1, 1),
        ("sequence at the end", 3, i32::MAX, 1),
    ] {
        if what.contains("again") || what.contains("the oldest known") {
            transcript.differs(DUPLICATE);
        } else if what == "epoch -1" {
            transcript.differs("a producer without epoch is refused as such");
        }
        send(&mut transcript, what, 9, "t", batch(epoch, sequence, count));
    }
    let stranger = |sequence: i32, epoch: i16| {
        Batch::numbered(0, 2, 20).from_producer((987_654, epoch), sequence).encode()
    };
    send(&mut transcript, "a stranger in the middle", 9, "t", stranger(7, 3));
    send(&mut transcript, "a stranger with a gap", 9, "t", stranger(17, 3));
    send(&mut transcript, "a stranger's next epoch", 9, "t", stranger(0, 4));
    let wrapping = |sequence: i32, count: usize| {
        Batch::numbered(0, count, 20).from_producer((987_655, 0), sequence).encode()
    };
    send(&mut transcript, "near the end of sequences", 9, "t", wrapping(i32::MAX - 1, 2));
    send(&mut transcript, "behind the end", 9, "t", wrapping(0, 2));
    transcript.differs(DUPLICATE);
    send(&mut transcript, "near the end again", 9, "t", wrapping(i32::MAX - 1, 2));
    let transactional = |records: Bytes| of(-1, vec![to("t", Uuid::nil(), vec![data(0, Some(records))])]);
    transcript.differs("transactions are not served");
    ask(
        &mut transcript,
        "a transactional id with a plain batch",
        9,
        &transactional(batch(4, 0, 1))
            .with_transactional_id(Some(TransactionalId(harness::verbs::text("x")))),
    );
    transcript.close();
}

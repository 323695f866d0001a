//! Versions that Kafka 4 dropped and old clients still speak, as Kafka 3.5.1 answered them; and the newest one of ListOffsets.

use harness::Transcript;
use harness::records::Batch;

const LIST_OFFSETS: i16 = 2;
const CREATE_TOPICS: i16 = 19;
const DELETE_TOPICS: i16 = 20;
const DESCRIBE_CONFIGS: i16 = 32;
const THEN: i64 = 1_700_000_000_000;

/// A request's bytes, written field by field.
#[derive(Default)]
struct Body(Vec<u8>);

impl Body {
    fn i8(mut self, value: i8) -> Self {
        self.0.push(value as u8);
        self
    }

    fn i16(mut self, value: i16) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn i32(mut self, value: i32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn i64(mut self, value: i64) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn text(self, value: &str) -> Self {
        let mut with = self.i16(value.len() as i16);
        with.0.extend_from_slice(value.as_bytes());
        with
    }
}

fn offsets(topic: &str, partition: i32, timestamp: i64, offsets_max: i32) -> Vec<u8> {
    let topics = Body::default().i32(-1).i32(1).text(topic).i32(1);
    topics.i32(partition).i64(timestamp).i32(offsets_max).0
}

#[test]
fn offsets_in_version_0_are_listed_as_kafka_listed_them() {
    let Some(mut transcript) = Transcript::begin_of("3.5.1", "old_list_offsets", &[]) else { return };
    transcript.client().create_topic("t", 2);
    for number in 0..3 {
        transcript.client().produce("t", 0, &Batch::numbered(0, 3, 20).at(THEN + 1000 * number));
    }
    for (topic, partition) in [("t", 0), ("t", 1), ("t", 9), ("u", 0)] {
        for timestamp in [-1, -2, -3] {
            for offsets_max in [0, 1, 5] {
                let what = format!("{topic}-{partition} at {timestamp}, {offsets_max} at most");
                let body = offsets(topic, partition, timestamp, offsets_max);
                transcript.ask_raw(&what, LIST_OFFSETS, 0, false, &body);
            }
        }
    }
    for timestamp in [0, THEN, THEN + 1500, i64::MAX] {
        if timestamp == THEN + 1500 {
            transcript.differs("Kafka looked at when files were last written; here it is the record");
        }
        transcript.ask_raw(
            &format!("at {timestamp}"),
            LIST_OFFSETS,
            0,
            false,
            &offsets("t", 0, timestamp, 5),
        );
    }
    transcript.close();
}

fn creation(name: &str, partitions: i32, replicas: i16, validate_only: Option<bool>) -> Vec<u8> {
    let topic = Body::default().i32(1).text(name).i32(partitions).i16(replicas).i32(0).i32(0).i32(10_000);
    match validate_only {
        Some(validate_only) => topic.i8(i8::from(validate_only)).0,
        None => topic.0,
    }
}

#[test]
fn topics_in_old_versions_are_made_and_deleted_as_kafka_did() {
    let Some(mut transcript) = Transcript::begin_of("3.5.1", "old_topics", &[]) else { return };
    for (what, name, partitions, replicas) in [
        ("made", "t", 2, 1),
        ("made again", "t", 2, 1),
        ("no partitions", "u", 0, 1),
        ("replication 3", "u", 1, 3),
        ("an odd name", "a/b", 1, 1),
    ] {
        transcript.ask_raw(what, CREATE_TOPICS, 0, false, &creation(name, partitions, replicas, None));
        transcript.settle();
    }
    transcript.ask_raw("validated", CREATE_TOPICS, 1, false, &creation("v", 2, 1, Some(true)));
    transcript.ask_raw("not validated", CREATE_TOPICS, 1, false, &creation("v", 2, 1, Some(false)));
    transcript.settle();
    for (what, name) in [("deleted", "t"), ("deleted again", "t"), ("deleted by an odd name", "a/b")] {
        let body = Body::default().i32(1).text(name).i32(10_000).0;
        transcript.ask_raw(what, DELETE_TOPICS, 0, false, &body);
        transcript.settle();
    }
    transcript.close();
}

#[test]
fn configs_in_version_0_are_described_as_kafka_did() {
    let Some(mut transcript) = Transcript::begin_of("3.5.1", "old_describe_configs", &[]) else { return };
    transcript.client().create_topic_with("t", 1, &[("segment.bytes", "2000000")]);
    let resource = |kind: i8, name: &str| Body::default().i32(1).i8(kind).text(name);
    let key = |name: &str| resource(2, "t").i32(1).text(name).0;
    transcript.ask_raw("a key of its own", DESCRIBE_CONFIGS, 0, false, &key("segment.bytes"));
    transcript.differs("Kafka forgot to say that it is a default");
    transcript.ask_raw("a default", DESCRIBE_CONFIGS, 0, false, &key("retention.ms"));
    transcript.ask_raw("an unknown key", DESCRIBE_CONFIGS, 0, false, &key("no.such.key"));
    let broker = resource(4, "1").i32(1).text("num.partitions").0;
    transcript.differs("Kafka forgot to say that it is a default");
    transcript.ask_raw("a broker's key", DESCRIBE_CONFIGS, 0, false, &broker);
    transcript.close();
}

#[test]
fn offsets_in_version_11_are_listed_as_kafka_lists_them() {
    let Some(mut transcript) = Transcript::begin("list_offsets_11", &[]) else { return };
    transcript.client().create_topic("t", 1);
    transcript.client().produce("t", 0, &Batch::numbered(0, 3, 20).at(THEN));
    for timestamp in [-1, -2, -3, -4, -5, -6, -7, 0, THEN + 1, THEN + 3] {
        // Compact forms: lengths and counts are one more than they are, tagged fields are none.
        let head = Body::default().i32(-1).i8(0).i8(2).i8(2);
        let mut topic = head;
        topic.0.extend_from_slice(b"t");
        let body = topic.i8(2).i32(0).i32(-1).i64(timestamp).i8(0).i8(0).i32(5_000).i8(0).0;
        transcript.ask_raw(&format!("at {timestamp}"), LIST_OFFSETS, 11, true, &body);
    }
    transcript.close();
}

//! Every key of a topic: what it takes, what it refuses.

use harness::Transcript;
use harness::verbs::text;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use std::collections::BTreeSet;

/// All that Kafka 4.3.1 lists.
pub(crate) const TOPIC_KEYS: &[&str] = &[
    "cleanup.policy",
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.type",
    "compression.zstd.level",
    "delete.retention.ms",
    "file.delete.delay.ms",
    "flush.messages",
    "flush.ms",
    "follower.replication.throttled.replicas",
    "index.interval.bytes",
    "leader.replication.throttled.replicas",
    "local.retention.bytes",
    "local.retention.ms",
    "max.compaction.lag.ms",
    "max.message.bytes",
    "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms",
    "message.timestamp.type",
    "min.cleanable.dirty.ratio",
    "min.compaction.lag.ms",
    "min.insync.replicas",
    "preallocate",
    "remote.log.copy.disable",
    "remote.log.delete.on.disable",
    "remote.storage.enable",
    "retention.bytes",
    "retention.ms",
    "segment.bytes",
    "segment.index.bytes",
    "segment.jitter.ms",
    "segment.ms",
    "unclean.leader.election.enable",
];

/// Keys of a topic that are described in another way here: they have a step of their own.
pub(crate) const SET_APART: &[&str] = &["local.retention.bytes", "local.retention.ms", "min.insync.replicas"];

/// Whether a key is compared with the others of a topic.
pub(crate) fn is_compared(key: &str) -> bool {
    TOPIC_KEYS.contains(&key) && !SET_APART.contains(&key)
}

/// Keys that take less here, or more, and why: as docs/compat.md says.
const DIFFERENT: &[(&str, &str)] = &[
    ("follower.replication.throttled.replicas", "there is one broker and no replication to throttle"),
    ("leader.replication.throttled.replicas", "there is one broker and no replication to throttle"),
    ("local.retention.bytes", "there is no remote storage"),
    ("local.retention.ms", "there is no remote storage"),
    ("min.cleanable.dirty.ratio", "NaN is no ratio"),
    ("remote.log.copy.disable", "there is no remote storage"),
    ("remote.log.delete.on.disable", "there is no remote storage"),
    ("segment.bytes", "Kafka 4 takes 1 MiB at least, Kafka 3.5 took 14 bytes: what both take is served"),
];

/// What is tried of every key.
const VALUES: &[&str] = &[
    "-3",
    "-2",
    "-1",
    "0",
    "1",
    "4",
    "5",
    " 7 ",
    "9",
    "10",
    "13",
    "14",
    "17",
    "18",
    "22",
    "23",
    "1048575",
    "1048576",
    "2147483647",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "+5",
    "05",
    "1.5",
    "0.5",
    "1.0",
    "1.01",
    "true",
    "FALSE",
    "yes",
    "",
    " ",
    "delete",
    "compact",
    "compact,delete",
    "delete, compact",
    "delete,delete",
    ",",
    "delete,",
    "DELETE",
    "none",
    "gzip",
    "GZIP",
    "snappy",
    "lz4",
    "zstd",
    "uncompressed",
    "producer",
    "CreateTime",
    "LogAppendTime",
    "createtime",
    "*",
    "0:1",
    "0:1,1:1",
    "0:x",
    "-131072",
    "-131073",
    "0x10",
    "1e3",
    "NaN",
    "Infinity",
];

fn set(transcript: &mut Transcript, key: &str, value: &str, validate_only: bool) -> i16 {
    let change = AlterableConfig::default()
        .with_name(text(key))
        .with_config_operation(0)
        .with_value(Some(text(value)));
    let resource = AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("t"))
        .with_configs(vec![change]);
    let request = IncrementalAlterConfigsRequest::default()
        .with_resources(vec![resource])
        .with_validate_only(validate_only);
    transcript.client().call(1, &request).responses[0].error_code
}

fn described(transcript: &mut Transcript, key: &str) -> Option<String> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("t"))
        .with_configuration_keys(Some(vec![text(key)]));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let answer = transcript.client().call(4, &request);
    answer.results[0].configs[0].value.as_ref().map(ToString::to_string)
}

#[test]
fn every_key_takes_the_values_that_kafka_takes() {
    let Some(mut transcript) = Transcript::begin("topic_keys", &[]) else { return };
    transcript.client().create_topic("t", 1);
    for key in TOPIC_KEYS.iter().chain(&[
        "message.format.version",
        "message.downconversion.enable",
        "message.timestamp.difference.max.ms",
        "no.such.key",
    ]) {
        let (mut taken, mut codes) = (Vec::new(), BTreeSet::new());
        for value in VALUES {
            match set(&mut transcript, key, value, true) {
                0 => taken.push(format!("{value:?}")),
                code => drop(codes.insert(code)),
            }
        }
        let lines: Vec<String> = taken.chunks(16).map(|chunk| chunk.join(" ")).collect();
        let text = format!("others {codes:?}, takes:\n{}", lines.join("\n"));
        if let Some((_, why)) = DIFFERENT.iter().find(|(known, _)| known == key) {
            transcript.differs(why);
        }
        transcript.note_text(key, text);
    }
    transcript.close();
}

#[test]
fn values_are_printed_as_kafka_prints_them() {
    let Some(mut transcript) = Transcript::begin("topic_values", &[]) else { return };
    transcript.client().create_topic("t", 1);
    for (key, value) in [
        ("retention.ms", " 7 "),
        ("retention.ms", "+5"),
        ("retention.ms", "05"),
        ("cleanup.policy", "delete, compact"),
        ("cleanup.policy", "delete,delete"),
        ("min.cleanable.dirty.ratio", "1"),
        ("min.cleanable.dirty.ratio", " 0.50"),
        ("preallocate", "TRUE"),
        ("compression.type", " gzip"),
        ("retention.bytes", "-1"),
        ("segment.bytes", " 1048576"),
    ] {
        let code = set(&mut transcript, key, value, false);
        transcript.settle();
        let now = described(&mut transcript, key);
        transcript.note_text(&format!("{key} set to {value:?}"), format!("{code} {now:?}"));
    }
    transcript.close();
}

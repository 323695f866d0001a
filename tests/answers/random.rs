//! Drawn requests with several faults at once: which of them a client is told of first is part of the behaviour.
//!
//! The draws are the same in every run; each step says what was asked.

use harness::Transcript;
use harness::verbs::{text, topic_name};
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, IncrementalAlterConfigsRequest,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use std::fmt::Write;

const SEED: u64 = 20_261_125;
const REQUESTS: usize = 150;
const NAMES: [&str; 8] = ["t", "u", "new", "a/b", "", "new.one", "new_one", "other"];
const CONFIGS: [(&str, Option<&str>); 12] = [
    ("retention.ms", Some("5000")),
    ("retention.ms", Some("soon")),
    ("retention.ms", None),
    ("cleanup.policy", Some("compact")),
    ("cleanup.policy", Some("shred")),
    ("no.such.key", Some("1")),
    ("no.such.key", None),
    ("compression.type", Some("gzip")),
    ("min.compaction.lag.ms", Some("900")),
    ("max.compaction.lag.ms", Some("800")),
    ("segment.bytes", Some("-1")),
    ("max.message.bytes", Some("100")),
];

fn draw<T: Copy>(random: &mut StdRng, from: &[T]) -> T {
    *from.choose(random).expect("there is something to draw from")
}

/// Brokers for a partition: mostly the one that is there.
fn brokers(random: &mut StdRng) -> Vec<i32> {
    draw(random, &[&[1][..], &[1], &[1], &[1], &[77], &[1, 1], &[]]).to_vec()
}

fn of_brokers(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().map(|id| BrokerId(*id)).collect()
}

#[test]
fn drawn_creations_are_answered_as_kafka_answers_them() {
    let Some(mut transcript) = Transcript::begin("random_create_topics", &[]) else { return };
    transcript.client().create_topic("t", 1);
    let random = &mut StdRng::seed_from_u64(SEED);
    for number in 0..REQUESTS {
        let mut topics = Vec::new();
        let mut asked = String::new();
        for _ in 0..draw(random, &[1, 1, 1, 2, 3]) {
            let name = draw(random, &NAMES);
            let (partitions, replicas) =
                (draw(random, &[-1, -1, 1, 3, 0, -2]), draw(random, &[-1, -1, 1, 0, 2]));
            let assignments: Vec<(i32, Vec<i32>)> = (0..draw(random, &[0, 0, 0, 1, 2]))
                .map(|index| (draw(random, &[index, index, index, 0, 5]), brokers(random)))
                .collect();
            let configs: Vec<(&str, Option<&str>)> =
                (0..draw(random, &[0, 0, 1, 2])).map(|_| draw(random, &CONFIGS)).collect();
            let _ = writeln!(asked, "{name:?} {partitions} x {replicas}, {assignments:?}, {configs:?}");
            let assignment = |(index, ids): &(i32, Vec<i32>)| {
                CreatableReplicaAssignment::default()
                    .with_partition_index(*index)
                    .with_broker_ids(of_brokers(ids))
            };
            let config = |(key, value): &(&str, Option<&str>)| {
                CreatableTopicConfig::default().with_name(text(key)).with_value(value.map(text))
            };
            let topic = CreatableTopic::default()
                .with_name(topic_name(name))
                .with_num_partitions(partitions)
                .with_replication_factor(replicas)
                .with_assignments(assignments.iter().map(assignment).collect())
                .with_configs(configs.iter().map(config).collect());
            topics.push(topic);
        }
        let request = CreateTopicsRequest::default()
            .with_timeout_ms(20_000)
            .with_validate_only(true)
            .with_topics(topics);
        let answer = transcript.client().call(draw(random, &[4, 5, 7]), &request);
        let mut told: Vec<String> =
            answer.topics.iter().map(|topic| format!("{:?}: {}", topic.name.0, topic.error_code)).collect();
        told.sort();
        transcript.note_text(&format!("creation {number}"), format!("{asked}-> {}", told.join(", ")));
    }
    transcript.close();
}

#[test]
fn drawn_growths_are_answered_as_kafka_answers_them() {
    let Some(mut transcript) = Transcript::begin("random_create_partitions", &[]) else { return };
    transcript.client().create_topic("t", 2);
    transcript.client().create_topic("u", 1);
    let random = &mut StdRng::seed_from_u64(SEED);
    for number in 0..REQUESTS {
        let mut topics = Vec::new();
        let mut asked = String::new();
        for _ in 0..draw(random, &[1, 1, 2, 3]) {
            let name = draw(random, &["t", "u", "none", "a/b"]);
            let count = draw(random, &[-1, 0, 1, 2, 3, 4]);
            let assignments: Option<Vec<Vec<i32>>> = random
                .random_bool(0.4)
                .then(|| (0..draw(random, &[0, 1, 2, 3])).map(|_| brokers(random)).collect());
            let _ = writeln!(asked, "{name:?} to {count}, {assignments:?}");
            let assignment =
                |ids: &Vec<i32>| CreatePartitionsAssignment::default().with_broker_ids(of_brokers(ids));
            let topic = CreatePartitionsTopic::default()
                .with_name(topic_name(name))
                .with_count(count)
                .with_assignments(assignments.as_ref().map(|all| all.iter().map(assignment).collect()));
            topics.push(topic);
        }
        let request = CreatePartitionsRequest::default()
            .with_timeout_ms(20_000)
            .with_validate_only(true)
            .with_topics(topics);
        let answer = transcript.client().call(3, &request);
        let mut told: Vec<String> =
            answer.results.iter().map(|topic| format!("{:?}: {}", topic.name.0, topic.error_code)).collect();
        told.sort();
        transcript.note_text(&format!("growth {number}"), format!("{asked}-> {}", told.join(", ")));
    }
    transcript.close();
}

#[test]
fn drawn_edits_are_answered_as_kafka_answers_them() {
    let Some(mut transcript) = Transcript::begin("random_alter_configs", &[]) else { return };
    transcript.client().create_topic("t", 1);
    transcript.client().create_topic("u", 1);
    let random = &mut StdRng::seed_from_u64(SEED);
    for number in 0..REQUESTS {
        let mut resources = Vec::new();
        let mut asked = String::new();
        for _ in 0..draw(random, &[1, 1, 2]) {
            let kind = draw(random, &[2, 2, 2, 2, 3, 0]);
            let name = draw(random, &["t", "t", "u", "none", "a/b", "", "77"]);
            let edits: Vec<(&str, i8, Option<&str>)> = (0..draw(random, &[0, 1, 1, 2, 3]))
                .map(|_| {
                    let (key, value) = draw(random, &CONFIGS);
                    (key, draw(random, &[0, 0, 0, 1, 2, 3]), value)
                })
                .collect();
            let _ = writeln!(asked, "{kind} {name:?}, {edits:?}");
            let edit = |(key, operation, value): &(&str, i8, Option<&str>)| {
                AlterableConfig::default()
                    .with_name(text(key))
                    .with_config_operation(*operation)
                    .with_value(value.map(text))
            };
            let resource = AlterConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(text(name))
                .with_configs(edits.iter().map(edit).collect());
            resources.push(resource);
        }
        let request =
            IncrementalAlterConfigsRequest::default().with_validate_only(true).with_resources(resources);
        let answer = transcript.client().call(1, &request);
        let mut told: Vec<String> = answer
            .responses
            .iter()
            .map(|one| format!("{} {:?}: {}", one.resource_type, one.resource_name, one.error_code))
            .collect();
        told.sort();
        transcript.note_text(&format!("edit {number}"), format!("{asked}-> {}", told.join(", ")));
    }
    transcript.close();
}

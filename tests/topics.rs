//! Topics: made, refused, grown, deleted, made again.

use harness::records::Batch;
use harness::verbs::{code, fresh, text, topic_name};
use harness::{Broker, Client};
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    MetadataRequest,
};
use std::thread;
use std::time::Duration;
use uuid::Uuid;

fn creatable(name: &str, partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(replication_factor)
}

fn create(client: &mut Client, topics: Vec<CreatableTopic>, validate_only: bool) -> CreateTopicsResponse {
    let request = CreateTopicsRequest::default()
        .with_timeout_ms(20_000)
        .with_validate_only(validate_only)
        .with_topics(topics);
    client.call(7, &request)
}

fn code_of(client: &mut Client, topic: CreatableTopic) -> i16 {
    create(client, vec![topic], false).topics[0].error_code
}

fn exists(client: &mut Client, name: &str) -> bool {
    client.metadata(name).error_code == code::NONE
}

#[test]
fn a_created_topic_says_what_it_became() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let name = fresh("made");
    let mut topic = creatable(&name, 3, 1);
    topic.configs = vec![
        CreatableTopicConfig::default().with_name(text("retention.ms")).with_value(Some(text("3600000"))),
    ];
    let answer = create(&mut client, vec![topic], false).topics.remove(0);
    assert_eq!((answer.error_code, answer.num_partitions, answer.replication_factor), (code::NONE, 3, 1));
    assert!(!answer.topic_id.is_nil());
    let configs = answer.configs.unwrap();
    let retention = configs.iter().find(|config| config.name.as_str() == "retention.ms").unwrap();
    assert_eq!(
        (retention.value.as_deref(), retention.config_source),
        (Some("3600000"), 1),
        "1: the topic's own"
    );
    let policy = configs.iter().find(|config| config.name.as_str() == "cleanup.policy").unwrap();
    assert_eq!((policy.value.as_deref(), policy.config_source), (Some("delete"), 5), "5: the default");
    client.wait_for_topic(&name, 3);
    let seen = client.metadata(&name);
    assert_eq!(seen.topic_id, answer.topic_id);
    let mut partitions: Vec<_> =
        seen.partitions.iter().map(|part| (part.partition_index, part.error_code)).collect();
    partitions.sort_unstable();
    assert_eq!(partitions, [(0, 0), (1, 0), (2, 0)]);
}

#[test]
fn defaults_are_the_brokers() {
    let broker = Broker::with(&[("num.partitions", "4")]);
    let mut client = broker.client();
    let answer = create(&mut client, vec![creatable("defaults", -1, -1)], false);
    assert_eq!((answer.topics[0].error_code, answer.topics[0].num_partitions), (code::NONE, 4));
    client.wait_for_topic("defaults", 4);
}

#[test]
fn validate_only_makes_nothing() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let name = fresh("validated");
    let answer = create(&mut client, vec![creatable(&name, 2, 1)], true).topics.remove(0);
    assert_eq!((answer.error_code, answer.num_partitions), (code::NONE, 2));
    assert_eq!(
        create(&mut client, vec![creatable(&name, 0, 1)], true).topics[0].error_code,
        code::INVALID_PARTITIONS
    );
    thread::sleep(Duration::from_millis(200));
    assert!(!exists(&mut client, &name));
}

#[test]
fn what_cannot_be_is_refused_with_its_own_code() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let name = fresh("refused");
    for (topic, expected, why) in [
        (creatable(&name, 0, 1), code::INVALID_PARTITIONS, "no partitions"),
        (creatable(&name, -2, 1), code::INVALID_PARTITIONS, "fewer than none"),
        (creatable(&name, 1, 0), code::INVALID_REPLICATION_FACTOR, "no replicas"),
        (creatable(&name, 1, 2), code::INVALID_REPLICATION_FACTOR, "more replicas than brokers"),
        (creatable("", 1, 1), code::INVALID_TOPIC_EXCEPTION, "no name"),
        (creatable(".", 1, 1), code::INVALID_TOPIC_EXCEPTION, "a dot"),
        (creatable("..", 1, 1), code::INVALID_TOPIC_EXCEPTION, "two dots"),
        (creatable("a/b", 1, 1), code::INVALID_TOPIC_EXCEPTION, "a slash"),
        (creatable("a b", 1, 1), code::INVALID_TOPIC_EXCEPTION, "a space"),
        (creatable("ä", 1, 1), code::INVALID_TOPIC_EXCEPTION, "a letter with dots"),
        (creatable(&"x".repeat(250), 1, 1), code::INVALID_TOPIC_EXCEPTION, "250 characters"),
    ] {
        assert_eq!(code_of(&mut client, topic), expected, "{why}");
    }
    assert!(!exists(&mut client, &name));
}

#[test]
fn the_longest_name_and_every_allowed_character_work() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let longest = format!("{:x<249}", fresh("A-z_0.9"));
    client.create_topic(&longest, 1);
    assert_eq!(client.produce(&longest, 0, &Batch::of(&["v"])), 0);
    assert_eq!(client.delete_topic(&longest), code::NONE);
}

#[test]
fn a_name_is_taken_once_and_dots_collide_with_underscores() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let name = fresh("taken.by");
    client.create_topic(&name, 1);
    assert_eq!(code_of(&mut client, creatable(&name, 1, 1)), code::TOPIC_ALREADY_EXISTS);
    let collides = name.replace("taken.by", "taken_by");
    assert_eq!(
        code_of(&mut client, creatable(&collides, 1, 1)),
        code::INVALID_TOPIC_EXCEPTION,
        "their metrics would be one"
    );
    let twice = fresh("twice");
    let answer = create(&mut client, vec![creatable(&twice, 1, 1), creatable(&twice, 1, 1)], false);
    let codes: Vec<_> = answer.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes, [code::INVALID_REQUEST]);
}

fn assigned(name: &str, assignments: &[(i32, &[i32])]) -> CreatableTopic {
    let assignment = |&(partition, brokers): &(i32, &[i32])| {
        CreatableReplicaAssignment::default()
            .with_partition_index(partition)
            .with_broker_ids(brokers.iter().map(|&id| BrokerId(id)).collect())
    };
    creatable(name, -1, -1).with_assignments(assignments.iter().map(assignment).collect())
}

#[test]
fn assignments_are_followed_or_refused() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let node = client.call(12, &MetadataRequest::default().with_topics(Some(vec![]))).brokers[0].node_id.0;
    let name = fresh("assigned");
    let mut refused = |why: &str, assignments: &[(i32, &[i32])]| {
        let code = code_of(&mut client, assigned(&name, assignments));
        assert_eq!(code, code::INVALID_REPLICA_ASSIGNMENT, "{why}");
    };
    refused("a gap", &[(0, &[node]), (2, &[node])]);
    refused("a broker twice", &[(0, &[node, node])]);
    refused("an unknown broker", &[(0, &[77])]);
    refused("no broker", &[(0, &[])]);
    let both = assigned(&name, &[(0, &[node])]).with_num_partitions(1);
    assert_eq!(code_of(&mut client, both), code::INVALID_REQUEST, "a count beside assignments");
    assert_eq!(code_of(&mut client, assigned(&name, &[(0, &[node]), (1, &[node])])), code::NONE);
    client.wait_for_topic(&name, 2);
}

#[test]
fn wrong_configs_are_refused() {
    let broker = Broker::shared();
    let mut client = broker.client();
    for (key, value) in [
        ("no.such.config", "1"),
        ("retention.ms", "soon"),
        ("retention.ms", "-2"),
        ("cleanup.policy", "shred"),
        ("compression.type", "rar"),
        ("segment.bytes", "1"),
        ("max.message.bytes", "-1"),
        ("message.timestamp.type", "Whenever"),
        ("min.insync.replicas", "0"),
    ] {
        let (code, message) = client.try_create_topic(&fresh("misconfigured"), 1, &[(key, value)]);
        assert_eq!(code, code::INVALID_CONFIG, "{key}={value}: {message:?}");
        assert!(message.is_some_and(|message| message.contains(key)), "the message names {key}");
    }
}

#[test]
fn a_deleted_topic_is_gone_with_its_records_and_comes_back_as_another() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let name = fresh("again");
    let first = client.create_topic(&name, 2);
    client.produce(&name, 0, &Batch::of(&["old"]));
    assert_eq!(client.delete_topic(&name), code::NONE);
    assert_eq!(client.delete_topic(&name), code::UNKNOWN_TOPIC_OR_PARTITION);
    let gone = client.try_produce(&name, 0, Batch::of(&["late"]).encode()).error_code;
    assert_eq!(gone, code::UNKNOWN_TOPIC_OR_PARTITION);
    let second = client.create_topic(&name, 1);
    assert_ne!(first, second, "a new topic has a new id");
    assert_eq!(client.read_from(&name, 0, 0).len(), 0, "and none of the old records");
    assert_eq!(client.produce(&name, 0, &Batch::of(&["new"])), 0);
}

#[test]
fn a_topic_can_be_deleted_by_its_id() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let name = fresh("by-id");
    let id = client.create_topic(&name, 1);
    let mut delete = |topic_id: Uuid| {
        let topic = DeleteTopicState::default().with_topic_id(topic_id);
        let request = DeleteTopicsRequest::default().with_timeout_ms(20_000).with_topics(vec![topic]);
        let answer = client.call(6, &request).responses.remove(0);
        (answer.error_code, answer.name.map(|name| name.0.to_string()))
    };
    assert_eq!(delete(id), (code::NONE, Some(name)));
    assert_eq!(delete(id), (code::UNKNOWN_TOPIC_ID, None));
}

fn grow(client: &mut Client, name: &str, count: i32, validate_only: bool) -> i16 {
    let topic =
        CreatePartitionsTopic::default().with_name(topic_name(name)).with_count(count).with_assignments(None);
    grow_as(client, topic, validate_only)
}

fn grow_as(client: &mut Client, topic: CreatePartitionsTopic, validate_only: bool) -> i16 {
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(20_000)
        .with_validate_only(validate_only);
    client.call(3, &request).results[0].error_code
}

#[test]
fn partitions_are_added_and_never_taken_away() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let name = fresh("growing");
    client.create_topic(&name, 2);
    client.produce(&name, 1, &Batch::of(&["kept"]));
    assert_eq!(grow(&mut client, &name, 5, true), code::NONE);
    assert_eq!(client.metadata(&name).partitions.len(), 2, "validate-only");
    for (count, expected) in
        [(2, code::INVALID_PARTITIONS), (1, code::INVALID_PARTITIONS), (0, code::INVALID_PARTITIONS)]
    {
        assert_eq!(grow(&mut client, &name, count, false), expected, "to {count}");
    }
    assert_eq!(grow(&mut client, "no-such-topic-here", 5, false), code::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(grow(&mut client, &name, 5, false), code::NONE);
    client.wait_for_topic(&name, 5);
    assert_eq!(client.produce(&name, 4, &Batch::of(&["v"])), 0);
    assert_eq!(client.read_from(&name, 1, 0).len(), 1);
    let wrong = CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(77)]);
    let topic = CreatePartitionsTopic::default()
        .with_name(topic_name(&name))
        .with_count(6)
        .with_assignments(Some(vec![wrong]));
    assert_eq!(grow_as(&mut client, topic, false), code::INVALID_REPLICA_ASSIGNMENT);
}

fn ask(client: &mut Client, name: &str, allow: bool) -> i16 {
    let topic = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    let request =
        MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(allow);
    client.call(12, &request).topics[0].error_code
}

#[test]
fn metadata_creates_a_topic_only_where_both_sides_allow_it() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let name = fresh("auto");
    assert_eq!(ask(&mut client, &name, false), code::UNKNOWN_TOPIC_OR_PARTITION);
    thread::sleep(Duration::from_millis(200));
    assert!(!exists(&mut client, &name));
    let code = ask(&mut client, &name, true);
    assert!(
        [code::NONE, code::UNKNOWN_TOPIC_OR_PARTITION, 5].contains(&code),
        "{code}: at once or on the next try"
    );
    client.wait_for_topic(&name, 1);
    assert_eq!(ask(&mut client, "bad/name", true), code::INVALID_TOPIC_EXCEPTION);
    let closed = Broker::with(&[("auto.create.topics.enable", "false")]);
    let mut client = closed.client();
    assert_eq!(ask(&mut client, &name, true), code::UNKNOWN_TOPIC_OR_PARTITION);
    thread::sleep(Duration::from_millis(200));
    assert!(!exists(&mut client, &name));
}

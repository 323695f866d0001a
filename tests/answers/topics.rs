//! CreateTopics, DeleteTopics, CreatePartitions.

use crate::answers::keys::is_compared;
use harness::Transcript;
use harness::verbs::{text, topic_name};
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest};
use uuid::Uuid;

pub(crate) fn topic(name: &str, partitions: i32, replicas: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(replicas)
}

fn assigned(name: &str, brokers: &[(i32, &[i32])]) -> CreatableTopic {
    let assignment = |(index, ids): &(i32, &[i32])| {
        CreatableReplicaAssignment::default()
            .with_partition_index(*index)
            .with_broker_ids(ids.iter().map(|id| BrokerId(*id)).collect())
    };
    topic(name, -1, -1).with_assignments(brokers.iter().map(assignment).collect())
}

fn configured(name: &str, configs: &[(&str, Option<&str>)]) -> CreatableTopic {
    let config = |(key, value): &(&str, Option<&str>)| {
        CreatableTopicConfig::default().with_name(text(key)).with_value(value.map(text))
    };
    topic(name, 1, 1).with_configs(configs.iter().map(config).collect())
}

fn create(
    transcript: &mut Transcript,
    what: &str,
    version: i16,
    topics: Vec<CreatableTopic>,
    validate_only: bool,
) {
    let request = CreateTopicsRequest::default()
        .with_timeout_ms(20_000)
        .with_validate_only(validate_only)
        .with_topics(topics);
    let is_whole = what.starts_with("validated");
    transcript.ask_and(what, version, &request, |answer| {
        answer.topics.sort_by(|a, b| (&a.name.0, a.error_code).cmp(&(&b.name.0, b.error_code)));
        for topic in &mut answer.topics {
            if validate_only {
                topic.topic_id = Uuid::nil(); // Kafka names one that no topic will have
            }
            if let Some(configs) = &mut topic.configs {
                // Once all of them, then a few: the rest is the same.
                let few =
                    ["cleanup.policy", "compression.type", "preallocate", "retention.ms", "segment.bytes"];
                let is_told = |key: &str| is_compared(key) && (is_whole || few.contains(&key));
                configs.retain(|config| is_told(config.name.as_str()));
                configs.sort_by(|a, b| a.name.cmp(&b.name));
            }
        }
    });
    transcript.settle();
}

/// Topics that are validated one by one.
fn odd_topics() -> Vec<(&'static str, CreatableTopic)> {
    vec![
        ("no partitions", topic("a", 0, 1)),
        ("-2 partitions", topic("a", -2, 1)),
        ("10001 partitions", topic("a", 10_001, 1)),
        ("replication 0", topic("a", 1, 0)),
        ("replication -2", topic("a", 1, -2)),
        ("replication 3", topic("a", 1, 3)),
        ("an empty name", topic("", 1, 1)),
        ("a dot", topic(".", 1, 1)),
        ("two dots", topic("..", 1, 1)),
        ("a slash", topic("a/b", 1, 1)),
        ("249 letters", topic(&"x".repeat(249), 1, 1)),
        ("250 letters", topic(&"x".repeat(250), 1, 1)),
        ("the metadata log", topic("__cluster_metadata", 1, 1)),
        ("group offsets", topic("__consumer_offsets", 1, 1)),
        ("assigned", assigned("a", &[(0, &[1]), (1, &[1])])),
        ("assigned backwards", assigned("a", &[(1, &[1]), (0, &[1])])),
        ("assigned with a hole", assigned("a", &[(0, &[1]), (2, &[1])])),
        ("assigned from 1", assigned("a", &[(1, &[1])])),
        ("assigned below 0", assigned("a", &[(-1, &[1]), (0, &[1])])),
        ("assigned twice", assigned("a", &[(0, &[1]), (0, &[1])])),
        ("assigned to one broker twice", assigned("a", &[(0, &[1, 1])])),
        ("assigned to a stranger", assigned("a", &[(0, &[77])])),
        ("assigned to a stranger too", assigned("a", &[(0, &[1, 77])])),
        ("assigned unevenly", assigned("a", &[(0, &[1]), (1, &[1, 77])])),
        ("assigned to nobody", assigned("a", &[(0, &[])])),
        ("assigned and counted", assigned("a", &[(0, &[1])]).with_num_partitions(1)),
        ("assigned and replicated", assigned("a", &[(0, &[1])]).with_replication_factor(1)),
        ("an unknown key", configured("a", &[("no.such.key", Some("1"))])),
        ("a null value", configured("a", &[("retention.ms", None)])),
        ("a bad value", configured("a", &[("retention.ms", Some("soon"))])),
        ("a key twice", configured("a", &[("retention.ms", Some("5")), ("retention.ms", Some("6"))])),
        (
            "blanks and capitals",
            configured(
                "a",
                &[
                    ("retention.ms", Some(" 5 ")),
                    ("preallocate", Some("FALSE")),
                    ("cleanup.policy", Some("compact, delete")),
                    ("min.cleanable.dirty.ratio", Some("1")),
                ],
            ),
        ),
        ("a broker's key", configured("a", &[("log.retention.ms", Some("5"))])),
        (
            "lags that cross",
            configured("a", &[("min.compaction.lag.ms", Some("5")), ("max.compaction.lag.ms", Some("4"))]),
        ),
    ]
}

#[test]
fn topics_are_created_as_kafka_creates_them() {
    let Some(mut transcript) = Transcript::begin("create_topics", &[("num.partitions", "3")]) else { return };
    for version in 2..=7 {
        let name = format!("v{version}");
        create(&mut transcript, &format!("validated, v{version}"), version, vec![topic(&name, 2, 1)], true);
        create(&mut transcript, &format!("created, v{version}"), version, vec![topic(&name, 2, 1)], false);
        create(&mut transcript, &format!("again, v{version}"), version, vec![topic(&name, 2, 1)], false);
        create(
            &mut transcript,
            &format!("again validated, v{version}"),
            version,
            vec![topic(&name, 2, 1)],
            true,
        );
        let defaults = vec![topic(&format!("defaults-v{version}"), -1, -1)];
        create(&mut transcript, &format!("defaults, v{version}"), version, defaults, false);
        let bad = vec![topic("bad", 0, 1), topic("worse", 1, 2), topic("fine", 1, 1)];
        create(&mut transcript, &format!("good and bad, v{version}"), version, bad, true);
    }
    for (what, one) in odd_topics() {
        create(&mut transcript, &format!("{what}, validated"), 7, vec![one.clone()], true);
    }
    create(&mut transcript, "a dot in the name", 7, vec![topic("dot.ted", 1, 1)], false);
    create(&mut transcript, "a name that collides", 7, vec![topic("dot_ted", 1, 1)], false);
    create(&mut transcript, "names that collide", 7, vec![topic("c.d", 1, 1), topic("c_d", 1, 1)], true);
    create(
        &mut transcript,
        "one name twice",
        7,
        vec![topic("twice", 1, 1), topic("twice", 2, 1), topic("once", 1, 1)],
        true,
    );
    create(&mut transcript, "an existing name twice", 7, vec![topic("v2", 1, 1), topic("v2", 2, 1)], true);
    create(&mut transcript, "nothing", 7, vec![], false);
    let configs = [
        ("cleanup.policy", Some("compact")),
        ("segment.bytes", Some("2000000")),
        ("compression.type", Some("lz4")),
    ];
    create(&mut transcript, "configs of its own", 7, vec![configured("own", &configs)], false);
    create(
        &mut transcript,
        "blanks and capitals",
        7,
        vec![configured(
            "blank",
            &[
                ("retention.ms", Some(" 5 ")),
                ("preallocate", Some("FALSE")),
                ("cleanup.policy", Some("compact, delete")),
            ],
        )],
        false,
    );
    transcript.close();
}

fn delete(transcript: &mut Transcript, what: &str, version: i16, names: &[&str]) {
    let mut request = DeleteTopicsRequest::default().with_timeout_ms(20_000);
    if version >= 6 {
        let state = |name: &&str| DeleteTopicState::default().with_name(Some(topic_name(name)));
        request = request.with_topics(names.iter().map(state).collect());
    } else {
        request = request.with_topic_names(names.iter().map(|name| topic_name(name)).collect());
    }
    delete_as(transcript, what, version, &request);
}

fn delete_as(transcript: &mut Transcript, what: &str, version: i16, request: &DeleteTopicsRequest) {
    transcript.ask_and(what, version, request, |answer| {
        answer
            .responses
            .sort_by_key(|one| (one.name.as_ref().map(|name| name.0.to_string()), one.error_code));
    });
    transcript.settle();
}

#[test]
fn topics_are_deleted_as_kafka_deletes_them() {
    let Some(mut transcript) = Transcript::begin("delete_topics", &[]) else { return };
    for version in 1..=6 {
        transcript.client().create_topic("gone", 1);
        delete(&mut transcript, &format!("deleted, v{version}"), version, &["gone"]);
        delete(&mut transcript, &format!("again, v{version}"), version, &["gone"]);
        delete(&mut transcript, &format!("odd names, v{version}"), version, &["", "a/b", "unknown"]);
        transcript.client().create_topic("kept", 1);
        delete(&mut transcript, &format!("twice in one request, v{version}"), version, &["kept", "kept"]);
        delete(&mut transcript, &format!("cleaned up, v{version}"), version, &["kept"]);
    }
    let first = transcript.client().create_topic("by-id", 1);
    let state = |name: Option<&str>, id| {
        DeleteTopicState::default().with_name(name.map(topic_name)).with_topic_id(id)
    };
    let of = |topics| DeleteTopicsRequest::default().with_timeout_ms(20_000).with_topics(topics);
    let (nil, unknown) = (Uuid::nil(), Uuid::from_u128(77));
    delete_as(&mut transcript, "name and id", 6, &of(vec![state(Some("by-id"), first)]));
    delete_as(&mut transcript, "neither", 6, &of(vec![state(None, nil)]));
    delete_as(&mut transcript, "an unknown id", 6, &of(vec![state(None, unknown)]));
    delete_as(&mut transcript, "an id twice", 6, &of(vec![state(None, first), state(None, first)]));
    delete_as(
        &mut transcript,
        "an unknown id twice",
        6,
        &of(vec![state(None, unknown), state(None, unknown)]),
    );
    delete_as(
        &mut transcript,
        "by name, then by id",
        6,
        &of(vec![state(Some("by-id"), nil), state(None, first)]),
    );
    delete_as(
        &mut transcript,
        "by id, then by name",
        6,
        &of(vec![state(None, first), state(Some("by-id"), nil)]),
    );
    delete_as(&mut transcript, "by its id", 6, &of(vec![state(None, first)]));
    delete_as(&mut transcript, "by its id again", 6, &of(vec![state(None, first)]));
    delete_as(&mut transcript, "nothing", 6, &of(vec![]));
    transcript.close();
}

#[test]
fn deletion_that_is_disabled_is_refused_as_kafka_refuses_it() {
    let Some(mut transcript) =
        Transcript::begin("delete_topics_disabled", &[("delete.topic.enable", "false")])
    else {
        return;
    };
    transcript.client().create_topic("kept", 1);
    for version in 1..=6 {
        delete(&mut transcript, &format!("v{version}"), version, &["kept", "unknown"]);
    }
    transcript.close();
}

fn grow(
    transcript: &mut Transcript,
    what: &str,
    version: i16,
    topics: &[(&str, i32, Option<&[&[i32]]>)],
    validate_only: bool,
) {
    let topic = |(name, count, assignments): &(&str, i32, Option<&[&[i32]]>)| {
        let assignment = |ids: &&[i32]| {
            CreatePartitionsAssignment::default()
                .with_broker_ids(ids.iter().map(|id| BrokerId(*id)).collect())
        };
        CreatePartitionsTopic::default()
            .with_name(topic_name(name))
            .with_count(*count)
            .with_assignments(assignments.map(|all| all.iter().map(assignment).collect()))
    };
    let request = CreatePartitionsRequest::default()
        .with_timeout_ms(20_000)
        .with_validate_only(validate_only)
        .with_topics(topics.iter().map(topic).collect());
    transcript.ask_and(what, version, &request, |answer| {
        answer.results.sort_by_key(|one| (one.name.0.to_string(), one.error_code));
    });
    transcript.settle();
}

#[test]
fn partitions_are_added_as_kafka_adds_them() {
    let Some(mut transcript) = Transcript::begin("create_partitions", &[]) else { return };
    transcript.client().create_topic("t", 1);
    for version in 0..=3 {
        let count = i32::from(version) + 2;
        grow(&mut transcript, &format!("validated, v{version}"), version, &[("t", count, None)], true);
        grow(&mut transcript, &format!("grown, v{version}"), version, &[("t", count, None)], false);
        grow(&mut transcript, &format!("as many, v{version}"), version, &[("t", count, None)], false);
        grow(&mut transcript, &format!("unknown, v{version}"), version, &[("u", count, None)], false);
    }
    for validate_only in [true, false] {
        let name = |what: &str| format!("{what}, validate only: {validate_only}");
        let mut ask = |what: &str, topics: &[(&str, i32, Option<&[&[i32]]>)]| {
            grow(&mut transcript, &name(what), 3, topics, validate_only);
        };
        ask("fewer", &[("t", 1, None)]);
        ask("none", &[("t", 0, None)]);
        ask("below none", &[("t", -1, None)]);
        ask("an empty name", &[("", 3, None)]);
        ask("an odd name", &[("a/b", 3, None)]);
        ask("twice", &[("t", 8, None), ("t", 9, None)]);
        ask("to nobody", &[("t", 6, Some(&[]))]);
        ask("to an empty list", &[("t", 6, Some(&[&[]]))]);
        ask("too few lists", &[("t", 7, Some(&[&[1]]))]);
        ask("too many lists", &[("t", 6, Some(&[&[1], &[1]]))]);
        ask("to a stranger", &[("t", 6, Some(&[&[77]]))]);
        ask("to two", &[("t", 6, Some(&[&[1, 77]]))]);
        ask("to one twice", &[("t", 6, Some(&[&[1, 1]]))]);
        ask("nothing", &[]);
    }
    transcript.differs("Kafka fails with an exception, behind which it may make them all the same");
    grow(&mut transcript, "10001 more", 3, &[("t", 10_006, None)], true);
    grow(&mut transcript, "to this broker", 3, &[("t", 7, Some(&[&[1], &[1]]))], false);
    transcript.close();
}

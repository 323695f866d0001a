//! Metadata, ApiVersions, DescribeCluster, FindCoordinator, InitProducerId, ListPartitionReassignments.

use harness::Transcript;
use harness::verbs::{text, topic_name};
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, DescribeClusterRequest, FindCoordinatorRequest, InitProducerIdRequest,
    ListPartitionReassignmentsRequest, MetadataRequest, ProducerId, TransactionalId,
};
use uuid::Uuid;

fn one(name: Option<&str>, id: Uuid) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(name.map(topic_name)).with_topic_id(id)
}

fn ask(
    transcript: &mut Transcript,
    what: &str,
    version: i16,
    topics: Option<Vec<MetadataRequestTopic>>,
    with: (bool, bool, bool),
) {
    let (create, cluster, operations) = with;
    let mut request = MetadataRequest::default().with_topics(topics);
    if version >= 4 {
        request = request.with_allow_auto_topic_creation(create);
    }
    if version >= 8 {
        request = request.with_include_topic_authorized_operations(operations);
    }
    if (8..=10).contains(&version) {
        request = request.with_include_cluster_authorized_operations(cluster);
    }
    transcript.ask_and(what, version, &request, |answer| {
        answer.topics.sort_by_key(|topic| {
            (topic.name.as_ref().map(|name| name.0.to_string()), topic.topic_id, topic.error_code)
        });
        for topic in &mut answer.topics {
            topic.partitions.sort_by_key(|partition| partition.partition_index);
        }
    });
}

/// Nothing is created and no operations are asked for.
const PLAIN: (bool, bool, bool) = (false, false, false);

fn by_name(transcript: &mut Transcript, version: i16) {
    let named = |name: &str| one(Some(name), Uuid::nil());
    let mut ask_of = |what: &str, topics: Option<Vec<MetadataRequestTopic>>, with: (bool, bool, bool)| {
        ask(transcript, &format!("{what}, v{version}"), version, topics, with);
    };
    ask_of("all", if version == 0 { Some(vec![]) } else { None }, PLAIN);
    if version > 0 {
        ask_of("none", Some(vec![]), PLAIN);
    }
    ask_of("known", Some(vec![named("t")]), (true, true, true));
    ask_of("known twice", Some(vec![named("t"), named("t")]), PLAIN);
    let odd = ["", "a/b", ".", "..", &"x".repeat(250)].map(named);
    ask_of("odd", Some(odd.to_vec()), PLAIN);
    if version >= 4 {
        ask_of("unknown", Some(vec![named("u"), named("t")]), (false, true, true));
    }
}

fn by_id(transcript: &mut Transcript, version: i16, id: Uuid) {
    let (nil, unknown) = (Uuid::nil(), Uuid::from_u128(77));
    for (what, topics, with) in [
        ("by id", vec![one(None, id)], PLAIN),
        ("by unknown id", vec![one(None, unknown), one(None, id)], (true, true, true)),
        ("by both", vec![one(Some("t"), id)], PLAIN),
        ("by another's id", vec![one(Some("u"), id)], PLAIN),
        ("by a name and an unknown id", vec![one(Some("t"), unknown)], PLAIN),
        ("by name and by id", vec![one(Some("t"), nil), one(None, id)], PLAIN),
        ("by nothing", vec![one(None, nil)], PLAIN),
    ] {
        if what == "by nothing" && version >= 12 {
            transcript.differs("Kafka fails with an exception of its own");
        }
        ask(transcript, &format!("{what}, v{version}"), version, Some(topics), with);
    }
}

#[test]
fn metadata_is_told_as_kafka_tells_it() {
    let Some(mut transcript) = Transcript::begin("metadata", &[("num.partitions", "2")]) else { return };
    let id = transcript.client().create_topic("t", 2);
    for version in 0..=13 {
        by_name(&mut transcript, version);
        if version >= 10 {
            by_id(&mut transcript, version, id);
        }
    }
    for version in [0, 1, 4, 9, 13] {
        // Kafka tells of a topic that it makes with its next answer; here it is there in the first.
        let name = format!("made-{version}");
        let topics = Some(vec![one(Some(&name), Uuid::nil())]);
        transcript.differs("the topic is there when the answer leaves");
        ask(&mut transcript, &format!("made, v{version}"), version, topics.clone(), (true, false, false));
        transcript.client().wait_for_topic(&name, 2);
        let what = format!("after it was made, v{version}");
        ask(&mut transcript, &what, version, topics, (true, false, false));
    }
    transcript.close();
}

#[test]
fn api_versions_are_answered_as_kafka_answers_them() {
    let Some(mut transcript) = Transcript::begin("api_versions", &[]) else { return };
    for (name, version) in [
        ("librdkafka", "2.10.0"),
        ("a", "1"),
        ("", "1"),
        ("a", ""),
        ("a b", "1"),
        ("a", "1 2"),
        ("-a", "1"),
        ("a-", "1"),
        (".a", "1"),
        ("a.b-c", "1.0-x"),
        ("a_b", "1"),
        ("a+b", "1"),
        ("ä", "1"),
        ("a", ".1"),
        ("a", "1."),
        ("a", "v1"),
        ("a/b", "1"),
        ("A9", "Z9"),
        ("apache-kafka-java", "4.3.1"),
        ("a..b", "1--2"),
    ] {
        for api in [3, 4] {
            let request = ApiVersionsRequest::default()
                .with_client_software_name(text(name))
                .with_client_software_version(text(version));
            let answer = transcript.client().call(api, &request);
            let told = format!(
                "error {}, APIs {}",
                answer.error_code,
                if answer.api_keys.is_empty() { "untold" } else { "told" }
            );
            transcript.note_text(&format!("{name:?} {version:?}, v{api}"), told);
        }
    }
    transcript.close();
}

#[test]
fn the_cluster_is_described_as_kafka_describes_it() {
    let Some(mut transcript) = Transcript::begin("describe_cluster", &[]) else { return };
    for version in 0..=2 {
        for (endpoint, operations, fenced) in
            [(1, false, false), (1, true, true), (2, false, false), (0, false, false), (3, false, false)]
        {
            let mut request =
                DescribeClusterRequest::default().with_include_cluster_authorized_operations(operations);
            if version >= 1 {
                request = request.with_endpoint_type(endpoint);
            } else if endpoint != 1 {
                continue;
            }
            if version >= 2 {
                request = request.with_include_fenced_brokers(fenced);
            }
            transcript.ask(
                &format!("endpoints {endpoint}, operations {operations}, v{version}"),
                version,
                &request,
            );
        }
    }
    transcript.close();
}

#[test]
fn reassignments_are_listed_as_kafka_lists_them() {
    let Some(mut transcript) = Transcript::begin("list_partition_reassignments", &[]) else { return };
    transcript.client().create_topic("t", 1);
    let of = |name: &str, indexes: &[i32]| {
        ListPartitionReassignmentsTopics::default()
            .with_name(topic_name(name))
            .with_partition_indexes(indexes.to_vec())
    };
    for (what, topics) in [
        ("all", None),
        ("none", Some(vec![])),
        ("one", Some(vec![of("t", &[0])])),
        ("unknown", Some(vec![of("t", &[5]), of("u", &[0])])),
        ("odd", Some(vec![of("a/b", &[0]), of("", &[-1])])),
    ] {
        let request = ListPartitionReassignmentsRequest::default().with_timeout_ms(5_000).with_topics(topics);
        transcript.ask(what, 0, &request);
    }
    transcript.close();
}

#[test]
fn coordinators_of_groups_are_found_as_kafka_finds_them() {
    let Some(mut transcript) = Transcript::begin("find_coordinator", &[]) else { return };
    let first = FindCoordinatorRequest::default().with_key(text("warm"));
    for _ in 0..100 {
        if transcript.client().call(0, &first).error_code == 0 {
            break; // the topic of the offsets is made by the first who asks
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    for version in 0..=6 {
        for (what, kind, keys) in [
            ("a group", 0, vec!["g"]),
            ("an empty name", 0, vec![""]),
            ("two groups", 0, vec!["g", "h"]),
            ("one group twice", 0, vec!["g", "g"]),
            ("no group", 0, vec![]),
            ("type 7", 7, vec!["g"]),
            ("type -1", -1, vec!["g"]),
        ] {
            let mut request = FindCoordinatorRequest::default();
            if version < 4 {
                if keys.len() != 1 {
                    continue;
                }
                request = request.with_key(text(keys[0]));
            } else {
                request = request.with_coordinator_keys(keys.iter().map(|key| text(key)).collect());
            }
            if version >= 1 {
                request = request.with_key_type(kind);
            } else if kind != 0 {
                continue;
            }
            transcript.ask(&format!("{what}, v{version}"), version, &request);
        }
    }
    transcript.close();
}

#[test]
fn producer_ids_are_given_as_kafka_gives_them() {
    let Some(mut transcript) = Transcript::begin("init_producer_id", &[]) else { return };
    transcript.client().init_producer();
    for version in 0..=5 {
        for (what, transactional_id, timeout, id, epoch) in [
            ("plain", None, 60_000, -1, -1),
            ("no time", None, 0, -1, -1),
            ("time below none", None, -1, -1, -1),
            ("too long a time", None, i32::MAX, -1, -1),
            ("empty transactional id", Some(""), 60_000, -1, -1),
            ("with id and epoch", None, 60_000, 5, 3),
            ("with id", None, 60_000, 5, -1),
            ("with epoch", None, 60_000, -1, 3),
            ("with id below -1", None, 60_000, -2, -1),
            ("with an epoch below -1", None, 60_000, -1, -2),
            ("with both below -1", None, 60_000, -7, -7),
        ] {
            let mut request = InitProducerIdRequest::default()
                .with_transactional_id(transactional_id.map(|id: &str| TransactionalId(text(id))))
                .with_transaction_timeout_ms(timeout);
            if version >= 3 {
                request = request.with_producer_id(ProducerId(id)).with_producer_epoch(epoch);
            } else if (id, epoch) != (-1, -1) {
                continue;
            }
            transcript.ask(&format!("{what}, v{version}"), version, &request);
        }
    }
    transcript.close();
}

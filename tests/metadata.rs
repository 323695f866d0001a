//! What a client learns first: served versions, brokers, topics.

use harness::Broker;
use harness::records::Batch;
use harness::verbs::{code, fresh, text, topic_name};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    ApiVersionsRequest, DescribeClusterRequest, MetadataRequest, OffsetForLeaderEpochRequest,
};
use uuid::Uuid;

/// Key, lowest and highest version of what a broker must serve for the clients that these tests run.
const NEEDED: [(i16, i16, i16); 23] = [
    (0, 0, 12),
    (1, 4, 17),
    (2, 1, 10),
    (3, 0, 13),
    (8, 2, 9),
    (9, 1, 9),
    (10, 0, 6),
    (11, 0, 9),
    (12, 0, 4),
    (13, 0, 5),
    (14, 0, 5),
    (18, 0, 4),
    (19, 2, 7),
    (20, 1, 6),
    (22, 0, 5),
    (23, 2, 4),
    (32, 1, 4),
    (33, 0, 2),
    (37, 0, 3),
    (44, 0, 1),
    (60, 0, 2),
    (0, 3, 13),
    (1, 4, 18),
];

#[test]
fn every_needed_version_is_served() {
    let broker = Broker::shared();
    let answer = broker.client().api_versions();
    assert_eq!(answer.error_code, code::NONE);
    for (key, lowest, highest) in NEEDED {
        let served = answer.api_keys.iter().find(|api| api.api_key == key);
        let served = served.unwrap_or_else(|| panic!("API {key} is not served"));
        assert!(served.min_version <= lowest && highest <= served.max_version, "{served:?}");
    }
    for version in 0..=4 {
        let request = ApiVersionsRequest::default();
        let request = if version < 3 {
            request
        } else {
            request.with_client_software_name(text("tests")).with_client_software_version(text("1"))
        };
        let again = broker.client().call(version, &request);
        assert_eq!(
            (again.error_code, again.api_keys.len()),
            (code::NONE, answer.api_keys.len()),
            "version {version}"
        );
    }
    if broker.against().is_thalweg() {
        assert!(
            answer.finalized_features.is_empty(),
            "a feature is named only once it works: {:?}",
            answer.finalized_features
        );
    }
}

#[test]
fn a_client_that_names_itself_badly_is_refused() {
    let broker = Broker::shared();
    let request = ApiVersionsRequest::default()
        .with_client_software_name(text("no spaces please"))
        .with_client_software_version(text("1"));
    assert_eq!(broker.client().call(3, &request).error_code, code::INVALID_REQUEST);
}

#[test]
fn every_version_of_metadata_names_the_topic() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("meta");
    let id = client.create_topic(&topic, 2);
    for version in 0..=13 {
        let named = MetadataRequestTopic::default().with_name(Some(topic_name(&topic)));
        let request = MetadataRequest::default().with_topics(Some(vec![named]));
        let answer = client.call(version, &request);
        let found = &answer.topics[0];
        assert_eq!((found.error_code, found.partitions.len()), (code::NONE, 2), "version {version}");
        assert_eq!(found.name.as_ref().map(|name| name.0.to_string()), Some(topic.clone()));
        let node = answer.brokers[0].node_id;
        for part in &found.partitions {
            assert_eq!((part.error_code, part.leader_id), (code::NONE, node), "version {version}");
            assert_eq!((&part.replica_nodes, &part.isr_nodes), (&vec![node], &vec![node]));
        }
        if version >= 10 {
            assert_eq!(found.topic_id, id, "version {version}");
        }
        assert!(!found.is_internal);
    }
}

#[test]
fn all_topics_or_none_can_be_asked_for() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("meta");
    client.create_topic(&topic, 1);
    for (version, topics, all) in [
        (0, Some(vec![]), true),
        (1, None, true),
        (1, Some(vec![]), false),
        (12, None, true),
        (12, Some(vec![]), false),
    ] {
        let answer = client.call(version, &MetadataRequest::default().with_topics(topics));
        let named = answer
            .topics
            .iter()
            .any(|found| found.name.as_ref().is_some_and(|name| name.0.as_str() == topic));
        assert_eq!((named, answer.topics.is_empty()), (all, !all), "version {version}");
    }
}

#[test]
fn a_topic_can_be_asked_for_by_its_id() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("meta");
    let id = client.create_topic(&topic, 1);
    let mut ask = |id: Uuid| {
        let named = MetadataRequestTopic::default().with_name(None).with_topic_id(id);
        client.call(12, &MetadataRequest::default().with_topics(Some(vec![named]))).topics.remove(0)
    };
    let found = ask(id);
    assert_eq!((found.error_code, found.name.map(|name| name.0.to_string())), (code::NONE, Some(topic)));
    assert_eq!(ask(Uuid::from_u128(99)).error_code, code::UNKNOWN_TOPIC_ID);
}

#[test]
fn authorized_operations_are_told_only_when_asked_for() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("meta");
    client.create_topic(&topic, 1);
    let mut ask = |include: bool| {
        let named = MetadataRequestTopic::default().with_name(Some(topic_name(&topic)));
        let request = MetadataRequest::default()
            .with_topics(Some(vec![named]))
            .with_include_topic_authorized_operations(include);
        client.call(12, &request).topics[0].topic_authorized_operations
    };
    let asked = ask(true);
    assert_eq!(
        (asked, ask(false)),
        (0b1_1101_1111_1000 & asked, i32::MIN),
        "without authorizer every operation on a topic"
    );
    assert!(asked > 0);
    let cluster = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
    assert!(client.call(0, &cluster).cluster_authorized_operations > 0);
}

#[test]
fn describe_cluster_and_metadata_agree() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let metadata = client.call(12, &MetadataRequest::default().with_topics(Some(vec![])));
    for version in 0..=2 {
        let request = DescribeClusterRequest::default();
        let request = if version >= 1 { request.with_endpoint_type(1) } else { request };
        let cluster = client.call(version, &request);
        assert_eq!(cluster.error_code, code::NONE, "version {version}");
        assert_eq!(Some(&cluster.cluster_id), metadata.cluster_id.as_ref());
        let addresses: Vec<_> =
            cluster.brokers.iter().map(|broker| format!("{}:{}", broker.host, broker.port)).collect();
        assert_eq!(addresses, [broker.address()]);
    }
}

#[test]
fn leader_epochs_end_where_the_next_one_began() {
    let mut broker = Broker::start();
    let mut client = broker.client();
    client.create_topic("epochs", 1);
    let mut ends = Vec::new();
    for round in 0..3 {
        let mut client = broker.client();
        client.wait_for_topic("epochs", 1);
        let epoch = client.metadata("epochs").partitions[0].leader_epoch;
        client.produce("epochs", 0, &Batch::numbered(0, 10, 10));
        ends.push((epoch, (round + 1) * 10));
        if round < 2 {
            broker.kill();
            broker.start_again(None);
        }
    }
    let mut client = broker.client();
    let mut ask = |version: i16, epoch: i32| {
        let part = OffsetForLeaderPartition::default().with_current_leader_epoch(-1).with_leader_epoch(epoch);
        let topic =
            OffsetForLeaderTopic::default().with_topic(topic_name("epochs")).with_partitions(vec![part]);
        let request =
            OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
        let answer = client.call(version, &request).topics[0].partitions[0].clone();
        (answer.error_code, answer.leader_epoch, answer.end_offset)
    };
    for version in 2..=4 {
        for &(epoch, end) in &ends {
            assert_eq!(ask(version, epoch), (code::NONE, epoch, end), "version {version}, all of {ends:?}");
        }
        let beyond = ends[2].0 + 5;
        assert_eq!(ask(version, beyond), (code::NONE, -1, -1), "an epoch that never was");
    }
}

#[test]
fn a_request_behind_a_probe_that_was_not_waited_for_is_answered_in_turn() {
    let broker = Broker::shared();
    let mut client = broker.client();
    // kafka-python 2.0.2 sends Metadata 0 right behind its ApiVersions 0.
    let probe = client.send(0, &ApiVersionsRequest::default()).unwrap();
    let request = MetadataRequest::default().with_topics(Some(vec![]));
    let metadata = client.send(0, &request).unwrap();
    assert_eq!(client.receive::<ApiVersionsRequest>(0, probe).unwrap().error_code, code::NONE);
    assert_eq!(client.receive::<MetadataRequest>(0, metadata).unwrap().brokers.len(), 1);
}

#[test]
fn bytes_that_come_one_by_one_are_a_request_in_the_end() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let request = MetadataRequest::default().with_topics(Some(vec![]));
    for byte in harness::client::encode_frame(12, 1, &request) {
        client.send_bytes(&[byte]).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(client.receive::<MetadataRequest>(12, 1).unwrap().brokers.len(), 1);
}

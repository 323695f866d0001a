//! One request of every API that the broker serves, with something in every array, in every version that `kafka-protocol` knows:
//! what the tests against hostile bytes begin from.

use crate::client::encode_frame;
use crate::records::Batch;
use crate::verbs::{fetch_request, produce_request, text, topic_name};
use bytes::Bytes;
use kafka_protocol::messages as m;
use kafka_protocol::protocol::Request;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A whole frame and what it is.
#[derive(Clone, Debug)]
pub struct Sample {
    /// API key.
    pub key: i16,
    /// Version.
    pub version: i16,
    /// Length, header and body.
    pub frame: Vec<u8>,
}

/// All of them.
pub fn samples(topic: &str) -> Vec<Sample> {
    let mut all = Vec::new();
    let found = &mut all;
    data_requests(topic, found);
    group_requests(topic, found);
    topic_requests(topic, found);
    all
}

/// Every version of one request. A field that a version does not have is a default there, or the version is left out.
fn every_version<R: Request>(found: &mut Vec<Sample>, request: impl Fn(i16) -> R) {
    for version in R::VERSIONS.min..=R::VERSIONS.max {
        let encoded = catch_unwind(AssertUnwindSafe(|| encode_frame(version, 7, &request(version))));
        if let Ok(frame) = encoded {
            found.push(Sample { key: R::KEY, version, frame });
        }
    }
}

fn data_requests(topic: &str, found: &mut Vec<Sample>) {
    let batch = || Batch::numbered(0, 3, 20).encode();
    every_version(found, |version| {
        let mut request = produce_request(topic, 0, -1, batch());
        if version >= 13 {
            request.topic_data[0].name = topic_name("");
        }
        request
    });
    every_version(found, |version| {
        let mut request = fetch_request(topic, 0, 0);
        if version >= 13 {
            request.topics[0].topic = topic_name("");
        }
        if version >= 7 {
            let forgotten = m::fetch_request::ForgottenTopic::default().with_partitions(vec![1, 2]);
            request.forgotten_topics_data =
                vec![if version >= 13 { forgotten } else { forgotten.with_topic(topic_name(topic)) }];
        }
        request
    });
    every_version(found, |_| {
        let part = m::list_offsets_request::ListOffsetsPartition::default().with_timestamp(-1);
        let topic = m::list_offsets_request::ListOffsetsTopic::default()
            .with_name(topic_name(topic))
            .with_partitions(vec![part]);
        m::ListOffsetsRequest::default().with_topics(vec![topic])
    });
    every_version(found, |_| {
        let part =
            m::offset_for_leader_epoch_request::OffsetForLeaderPartition::default().with_leader_epoch(0);
        let topic = m::offset_for_leader_epoch_request::OffsetForLeaderTopic::default()
            .with_topic(topic_name(topic))
            .with_partitions(vec![part]);
        m::OffsetForLeaderEpochRequest::default().with_topics(vec![topic])
    });
    every_version(found, |version| {
        let topic = m::metadata_request::MetadataRequestTopic::default().with_name(Some(topic_name(topic)));
        let allow = version < 4;
        m::MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(allow)
    });
    every_version(found, |version| {
        let named = m::ApiVersionsRequest::default();
        if version < 3 {
            named
        } else {
            named.with_client_software_name(text("n")).with_client_software_version(text("1"))
        }
    });
    every_version(found, |_| m::InitProducerIdRequest::default().with_transaction_timeout_ms(1000));
    every_version(found, |_| m::DescribeClusterRequest::default());
}

fn group_requests(topic: &str, found: &mut Vec<Sample>) {
    let group = || m::GroupId(text("hostile"));
    every_version(found, |version| {
        let request = m::FindCoordinatorRequest::default();
        if version < 4 {
            request.with_key(text("hostile"))
        } else {
            request.with_coordinator_keys(vec![text("hostile")])
        }
    });
    every_version(found, |_| {
        let protocol = m::join_group_request::JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff"));
        m::JoinGroupRequest::default()
            .with_group_id(group())
            .with_session_timeout_ms(6000)
            .with_member_id(text("stranger"))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol])
    });
    every_version(found, |_| {
        let assignment = m::sync_group_request::SyncGroupRequestAssignment::default()
            .with_member_id(text("m"))
            .with_assignment(Bytes::from_static(b"a"));
        let request = m::SyncGroupRequest::default().with_group_id(group()).with_member_id(text("stranger"));
        request.with_assignments(vec![assignment])
    });
    every_version(found, |_| {
        m::HeartbeatRequest::default().with_group_id(group()).with_member_id(text("stranger"))
    });
    every_version(found, |version| {
        let member = m::leave_group_request::MemberIdentity::default().with_member_id(text("stranger"));
        let request = m::LeaveGroupRequest::default().with_group_id(group());
        if version < 3 {
            request.with_member_id(text("stranger"))
        } else {
            request.with_members(vec![member])
        }
    });
    every_version(found, |_| {
        let part = m::offset_commit_request::OffsetCommitRequestPartition::default()
            .with_committed_offset(1)
            .with_committed_metadata(Some(text("note")));
        let topic = m::offset_commit_request::OffsetCommitRequestTopic::default()
            .with_name(topic_name(topic))
            .with_partitions(vec![part]);
        m::OffsetCommitRequest::default().with_group_id(group()).with_topics(vec![topic])
    });
    every_version(found, |version| {
        if version < 8 {
            let topic = m::offset_fetch_request::OffsetFetchRequestTopic::default()
                .with_name(topic_name(topic))
                .with_partition_indexes(vec![0, 1]);
            return m::OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![topic]));
        }
        let topic = m::offset_fetch_request::OffsetFetchRequestTopics::default()
            .with_name(topic_name(topic))
            .with_partition_indexes(vec![0, 1]);
        let one = m::offset_fetch_request::OffsetFetchRequestGroup::default().with_group_id(group());
        m::OffsetFetchRequest::default().with_groups(vec![one.with_topics(Some(vec![topic]))])
    });
}

fn topic_requests(topic: &str, found: &mut Vec<Sample>) {
    every_version(found, |_| {
        let assignment = m::create_topics_request::CreatableReplicaAssignment::default()
            .with_broker_ids(vec![m::BrokerId(77)]);
        let config = m::create_topics_request::CreatableTopicConfig::default()
            .with_name(text("retention.ms"))
            .with_value(Some(text("1")));
        let topic = m::create_topics_request::CreatableTopic::default()
            .with_name(topic_name("hostile/name"))
            .with_num_partitions(-1)
            .with_replication_factor(-1)
            .with_assignments(vec![assignment])
            .with_configs(vec![config]);
        m::CreateTopicsRequest::default().with_topics(vec![topic])
    });
    every_version(found, |version| {
        let named = m::delete_topics_request::DeleteTopicState::default()
            .with_name(Some(topic_name("no-such-topic")));
        let request = m::DeleteTopicsRequest::default();
        if version < 6 {
            request.with_topic_names(vec![topic_name("no-such-topic")])
        } else {
            request.with_topics(vec![named])
        }
    });
    every_version(found, |_| {
        let assignment = m::create_partitions_request::CreatePartitionsAssignment::default()
            .with_broker_ids(vec![m::BrokerId(77)]);
        let topic = m::create_partitions_request::CreatePartitionsTopic::default()
            .with_name(topic_name(topic))
            .with_count(2)
            .with_assignments(Some(vec![assignment]));
        m::CreatePartitionsRequest::default().with_topics(vec![topic])
    });
    every_version(found, |_| {
        let resource = m::describe_configs_request::DescribeConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text(topic))
            .with_configuration_keys(Some(vec![text("retention.ms")]));
        m::DescribeConfigsRequest::default().with_resources(vec![resource])
    });
    every_version(found, |_| {
        let config = m::alter_configs_request::AlterableConfig::default().with_name(text("no.such.key"));
        let resource = m::alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("no-such-topic"))
            .with_configs(vec![config]);
        m::AlterConfigsRequest::default().with_resources(vec![resource])
    });
    every_version(found, |_| {
        let config =
            m::incremental_alter_configs_request::AlterableConfig::default().with_name(text("no.such.key"));
        let resource = m::incremental_alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("no-such-topic"))
            .with_configs(vec![config]);
        m::IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
    });
}

//! Requests of group members and operators in any version: a field that a version does not have is left out.

use bytes::Bytes;
use harness::Broker;
use harness::conversation::Conversation;
use harness::verbs::{code, fresh, text, topic_name};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DeleteGroupsRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest,
    LeaveGroupRequest, OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Codes of a coordinator that is not there yet: asked again.
const LOADING: [i16; 3] = [14, 15, 16];

/// Held by tests that use the group of the empty id, which all of them would share; it is not there at first.
pub(super) fn empty_id(broker: &Broker) -> MutexGuard<'static, ()> {
    static USED: Mutex<()> = Mutex::new(());
    let guard = USED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut talk = Conversation::of(broker);
    ready_group(&mut talk, "any");
    let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id("")]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while LOADING.contains(&talk.client("waiter").call(2, &request).results[0].error_code) {
        assert!(Instant::now() < deadline, "no coordinator of the empty id");
    }
    guard
}

pub(super) fn group_id(name: &str) -> GroupId {
    GroupId(text(name))
}

/// A group id that no other test uses, whose coordinator answers; in the conversation it is `<name>`.
pub(super) fn ready_group(talk: &mut Conversation<'_>, name: &str) -> String {
    let group = fresh(name);
    talk.name(&group, name);
    let deadline = Instant::now() + Duration::from_secs(30);
    let client = talk.client("waiter");
    loop {
        let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(&group)]);
        if client.call(4, &request).coordinators[0].error_code == code::NONE {
            let answer = client.call(8, &offset_fetch(8, &group, None));
            if !LOADING.contains(&answer.groups[0].error_code) {
                return group;
            }
        }
        assert!(Instant::now() < deadline, "no coordinator of {group}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A `ConsumerProtocolSubscription` 0 of topics. (Kafka 4 looks into it: on other bytes its join never answers.)
pub(super) fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = vec![0, 0];
    bytes.extend_from_slice(&(topics.len() as i32).to_be_bytes());
    for topic in topics {
        bytes.extend_from_slice(&(topic.len() as i16).to_be_bytes());
        bytes.extend_from_slice(topic.as_bytes());
    }
    bytes.extend_from_slice(&[0xff; 4]); // no user data
    bytes.into()
}

/// What a member says when it joins.
#[derive(Clone, Debug)]
pub(super) struct Joining {
    pub(super) member: String,
    pub(super) instance: Option<&'static str>,
    pub(super) kind: &'static str,
    pub(super) protocols: Vec<(&'static str, Bytes)>,
    pub(super) session_ms: i32,
    pub(super) rebalance_ms: i32,
}

impl Joining {
    /// A consumer of topic `t` that nobody knows yet.
    pub(super) fn new() -> Self {
        Self {
            member: String::new(),
            instance: None,
            kind: "consumer",
            protocols: vec![("range", subscription(&["t"]))],
            session_ms: 10_000,
            rebalance_ms: 10_000,
        }
    }

    pub(super) fn member(member: &str) -> Self {
        Self { member: member.to_string(), ..Self::new() }
    }

    pub(super) fn instance(instance: &'static str) -> Self {
        Self { instance: Some(instance), ..Self::new() }
    }

    pub(super) fn request(&self, version: i16, group: &str) -> JoinGroupRequest {
        let protocol = |(name, metadata): &(&str, Bytes)| {
            JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(metadata.clone())
        };
        let mut request = JoinGroupRequest::default()
            .with_group_id(group_id(group))
            .with_member_id(text(&self.member))
            .with_session_timeout_ms(self.session_ms)
            .with_protocol_type(text(self.kind))
            .with_protocols(self.protocols.iter().map(protocol).collect());
        if version >= 1 {
            request.rebalance_timeout_ms = self.rebalance_ms;
        }
        if version >= 5 {
            request.group_instance_id = self.instance.map(text);
        }
        if version >= 8 {
            request.reason = Some(text("a reason"));
        }
        request
    }
}

/// Where a member believes to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) group: &'a str,
    pub(super) generation: i32,
    pub(super) member: &'a str,
    pub(super) instance: Option<&'a str>,
}

impl<'a> Place<'a> {
    pub(super) fn of(group: &'a str, generation: i32, member: &'a str) -> Self {
        Self { group, generation, member, instance: None }
    }

    pub(super) fn sync(&self, version: i16, shares: &[(&str, &str)]) -> SyncGroupRequest {
        let share = |&(member, bytes): &(&str, &str)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(member))
                .with_assignment(Bytes::copy_from_slice(bytes.as_bytes()))
        };
        let mut request = SyncGroupRequest::default()
            .with_group_id(group_id(self.group))
            .with_generation_id(self.generation)
            .with_member_id(text(self.member))
            .with_assignments(shares.iter().map(share).collect());
        if version >= 3 {
            request.group_instance_id = self.instance.map(text);
        }
        if version >= 5 {
            request.protocol_type = Some(text("consumer"));
            request.protocol_name = Some(text("range"));
        }
        request
    }

    pub(super) fn heartbeat(&self, version: i16) -> HeartbeatRequest {
        let mut request = HeartbeatRequest::default()
            .with_group_id(group_id(self.group))
            .with_generation_id(self.generation)
            .with_member_id(text(self.member));
        if version >= 3 {
            request.group_instance_id = self.instance.map(text);
        }
        request
    }

    /// Commits offset `offset` of partition 0, in versions 2 to 9.
    pub(super) fn commit(&self, version: i16, topic: &str, offset: i64) -> OffsetCommitRequest {
        let mut partition = OffsetCommitRequestPartition::default()
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("note")));
        if version >= 6 {
            partition.committed_leader_epoch = 0;
        }
        let topic =
            OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
        let mut request = OffsetCommitRequest::default()
            .with_group_id(group_id(self.group))
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(text(self.member))
            .with_topics(vec![topic]);
        if version >= 7 {
            request.group_instance_id = self.instance.map(text);
        }
        request
    }
}

/// Members that leave: by id, and by instance from version 3 on; before, only the first one.
pub(super) fn leave(version: i16, group: &str, members: &[(&str, Option<&str>)]) -> LeaveGroupRequest {
    let request = LeaveGroupRequest::default().with_group_id(group_id(group));
    if version < 3 {
        return request.with_member_id(text(members[0].0));
    }
    let member = |&(member, instance): &(&str, Option<&str>)| {
        let mut identity =
            MemberIdentity::default().with_member_id(text(member)).with_group_instance_id(instance.map(text));
        if version >= 5 {
            identity.reason = Some(text("a reason"));
        }
        identity
    };
    request.with_members(members.iter().map(member).collect())
}

/// Asks for one group's offsets in versions 1 to 9; `None` is all topics.
pub(super) fn offset_fetch(
    version: i16,
    group: &str,
    topics: Option<&[(&str, &[i32])]>,
) -> OffsetFetchRequest {
    if version < 8 {
        let topics = topics.map(|topics| {
            let topic = |&(name, partitions): &(&str, &[i32])| {
                OffsetFetchRequestTopic::default()
                    .with_name(topic_name(name))
                    .with_partition_indexes(partitions.to_vec())
            };
            topics.iter().map(topic).collect()
        });
        return OffsetFetchRequest::default().with_group_id(group_id(group)).with_topics(topics);
    }
    OffsetFetchRequest::default().with_groups(vec![group_of_fetch(group, topics)])
}

/// One group of an `OffsetFetch` 8 or 9.
pub(super) fn group_of_fetch(group: &str, topics: Option<&[(&str, &[i32])]>) -> OffsetFetchRequestGroup {
    let topics = topics.map(|topics| {
        let topic = |&(name, partitions): &(&str, &[i32])| {
            OffsetFetchRequestTopics::default()
                .with_name(topic_name(name))
                .with_partition_indexes(partitions.to_vec())
        };
        topics.iter().map(topic).collect()
    });
    OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_topics(topics)
}

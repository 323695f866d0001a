//! What members say to a coordinator, as messages of the codec: from a [`Want`] to a frame, from a frame to what it says.
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition as AssignedTopic;
use kafka_protocol::messages::consumer_protocol_subscription::TopicPartition as OwnedTopic;
use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, GroupId, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::{Decodable as _, Request, StrBytes};

use super::assign::{Assignor, Claim, assign};
use super::member::{Member, Want};
use crate::client::{ClientError, Versions, encode, topic_name};

const PROTOCOL_TYPE: StrBytes = StrBytes::from_static_str("consumer");
/// Of subscription and assignment; 2 brought the generation of what is owned.
const CONSUMER_PROTOCOL_VERSION: i16 = 2;
/// FindCoordinator v4 and OffsetFetch v8 ask for several groups at once.
const FIND_VERSION_MAX: i16 = 3;
const OFFSET_FETCH_VERSION_MAX: i16 = 7;

/// The versions of a run, chosen once.
#[derive(Clone, Copy, Debug)]
pub struct GroupVersions {
    pub(crate) find: i16,
    pub(crate) join: i16,
    pub(crate) sync: i16,
    pub(crate) heartbeat: i16,
    pub(crate) leave: i16,
    pub(crate) commit: i16,
    pub(crate) offsets: i16,
}

impl GroupVersions {
    /// The highest that broker and generator have in common.
    ///
    /// # Errors
    /// If the broker does not serve groups.
    pub fn choose(versions: &Versions) -> Result<Self, ClientError> {
        Ok(Self {
            find: versions.choose::<FindCoordinatorRequest>(FIND_VERSION_MAX)?,
            join: versions.choose::<JoinGroupRequest>(9)?,
            sync: versions.choose::<SyncGroupRequest>(5)?,
            heartbeat: versions.choose::<HeartbeatRequest>(4)?,
            leave: versions.choose::<LeaveGroupRequest>(5)?,
            commit: versions.choose::<OffsetCommitRequest>(9)?,
            offsets: versions.choose::<OffsetFetchRequest>(OFFSET_FETCH_VERSION_MAX)?,
        })
    }
}

/// What all members of a group say alike.
#[derive(Clone, Debug)]
pub struct Voice {
    pub(crate) versions: GroupVersions,
    pub(crate) client_id: String,
    pub(crate) topic: String,
    pub(crate) assignor: Assignor,
    pub(crate) session_timeout_ms: i32,
    pub(crate) rebalance_timeout_ms: i32,
}

/// Who speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speaker<'a> {
    pub(crate) group: &'a str,
    pub(crate) instance_id: Option<&'a str>,
    pub(crate) member: &'a Member,
}

impl Voice {
    /// The request for `want`; `shares` is what a leader hands out with its sync.
    pub(crate) fn frame(
        &self,
        speaker: Speaker<'_>,
        want: &Want,
        shares: Vec<(String, Vec<i32>)>,
        correlation_id: i32,
    ) -> Result<BytesMut, ClientError> {
        let id = correlation_id;
        let versions = self.versions;
        match want {
            Want::Find => {
                let request =
                    FindCoordinatorRequest::default().with_key(text(speaker.group)).with_key_type(0);
                self.write(&request, versions.find, id)
            }
            Want::Join(owned) => self.write(&self.join(speaker, owned)?, versions.join, id),
            Want::Sync => self.write(&self.sync(speaker, shares)?, versions.sync, id),
            Want::Offsets(partitions) => {
                let topic = OffsetFetchRequestTopic::default()
                    .with_name(topic_name(&self.topic))
                    .with_partition_indexes(partitions.clone());
                let request = OffsetFetchRequest::default()
                    .with_group_id(group_id(speaker.group))
                    .with_topics(Some(vec![topic]))
                    .with_require_stable(versions.offsets >= 7);
                self.write(&request, versions.offsets, id)
            }
            Want::Heartbeat => {
                let request = HeartbeatRequest::default()
                    .with_group_id(group_id(speaker.group))
                    .with_generation_id(speaker.member.generation())
                    .with_member_id(text(speaker.member.member_id()))
                    .with_group_instance_id(instance(speaker, versions.heartbeat, 3));
                self.write(&request, versions.heartbeat, id)
            }
            Want::Commit(offsets) => self.write(&self.commit(speaker, offsets), versions.commit, id),
            Want::Leave => self.write(&self.leave(speaker), versions.leave, id),
        }
    }

    fn write<R: Request>(&self, request: &R, version: i16, id: i32) -> Result<BytesMut, ClientError> {
        encode(request, version, id, &self.client_id)
    }

    fn join(&self, speaker: Speaker<'_>, owned: &[i32]) -> Result<JoinGroupRequest, ClientError> {
        let mut subscription = ConsumerProtocolSubscription::default().with_topics(vec![text(&self.topic)]);
        if self.assignor.is_cooperative() && !owned.is_empty() {
            let topic =
                OwnedTopic::default().with_topic(topic_name(&self.topic)).with_partitions(owned.to_vec());
            subscription = subscription.with_owned_partitions(vec![topic]);
        }
        let subscription = subscription.with_generation_id(speaker.member.generation());
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(StrBytes::from_static_str(self.assignor.name()))
            .with_metadata(versioned(&subscription)?);
        Ok(JoinGroupRequest::default()
            .with_group_id(group_id(speaker.group))
            .with_session_timeout_ms(self.session_timeout_ms)
            .with_rebalance_timeout_ms(self.rebalance_timeout_ms)
            .with_member_id(text(speaker.member.member_id()))
            .with_group_instance_id(instance(speaker, self.versions.join, 5))
            .with_protocol_type(PROTOCOL_TYPE)
            .with_protocols(vec![protocol]))
    }

    fn sync(
        &self,
        speaker: Speaker<'_>,
        shares: Vec<(String, Vec<i32>)>,
    ) -> Result<SyncGroupRequest, ClientError> {
        let mut assignments = Vec::with_capacity(shares.len());
        for (member_id, share) in shares {
            let topics = if share.is_empty() {
                Vec::new()
            } else {
                vec![AssignedTopic::default().with_topic(topic_name(&self.topic)).with_partitions(share)]
            };
            let assignment = ConsumerProtocolAssignment::default().with_assigned_partitions(topics);
            assignments.push(
                SyncGroupRequestAssignment::default()
                    .with_member_id(StrBytes::from_string(member_id))
                    .with_assignment(versioned(&assignment)?),
            );
        }
        let says_protocol = self.versions.sync >= 5;
        Ok(SyncGroupRequest::default()
            .with_group_id(group_id(speaker.group))
            .with_generation_id(speaker.member.generation())
            .with_member_id(text(speaker.member.member_id()))
            .with_group_instance_id(instance(speaker, self.versions.sync, 3))
            .with_protocol_type(says_protocol.then_some(PROTOCOL_TYPE))
            .with_protocol_name(says_protocol.then(|| StrBytes::from_static_str(self.assignor.name())))
            .with_assignments(assignments))
    }

    fn commit(&self, speaker: Speaker<'_>, offsets: &[(i32, i64)]) -> OffsetCommitRequest {
        let partitions = offsets
            .iter()
            .map(|(partition, offset)| {
                OffsetCommitRequestPartition::default()
                    .with_partition_index(*partition)
                    .with_committed_offset(*offset)
                    .with_committed_metadata(Some(StrBytes::from_static_str("")))
            })
            .collect();
        let topic = OffsetCommitRequestTopic::default()
            .with_name(topic_name(&self.topic))
            .with_partitions(partitions);
        OffsetCommitRequest::default()
            .with_group_id(group_id(speaker.group))
            .with_generation_id_or_member_epoch(speaker.member.generation())
            .with_member_id(text(speaker.member.member_id()))
            .with_group_instance_id(instance(speaker, self.versions.commit, 7))
            .with_topics(vec![topic])
    }

    fn leave(&self, speaker: Speaker<'_>) -> LeaveGroupRequest {
        let request = LeaveGroupRequest::default().with_group_id(group_id(speaker.group));
        let member_id = text(speaker.member.member_id());
        if self.versions.leave < 3 {
            return request.with_member_id(member_id);
        }
        let identity = MemberIdentity::default()
            .with_member_id(member_id)
            .with_group_instance_id(speaker.instance_id.map(text));
        request.with_members(vec![identity])
    }

    /// What the leader of a generation makes of the members it was told: the share of each.
    ///
    /// # Errors
    /// If a member's subscription cannot be read.
    pub(crate) fn shares(
        &self,
        answer: &JoinGroupResponse,
        partition_count: i32,
    ) -> Result<Vec<(String, Vec<i32>)>, ClientError> {
        let mut claims = Vec::with_capacity(answer.members.len());
        for member in &answer.members {
            let (owned, generation) = owned_in(member.metadata.clone())?;
            let name = member.group_instance_id.as_ref().unwrap_or(&member.member_id);
            claims.push(Claim { name: name.to_string(), owned, generation });
        }
        let shares = assign(self.assignor, &claims, partition_count);
        Ok(answer.members.iter().map(|member| member.member_id.to_string()).zip(shares).collect())
    }
}

/// Static membership is known to each API from a version of its own (KIP-345).
fn instance(speaker: Speaker<'_>, version: i16, since: i16) -> Option<StrBytes> {
    speaker.instance_id.filter(|_| version >= since).map(text)
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group_id(name: &str) -> GroupId {
    GroupId(text(name))
}

/// With its version before it, as subscriptions and assignments lie in the group's messages.
fn versioned<T: kafka_protocol::protocol::Encodable>(message: &T) -> Result<Bytes, ClientError> {
    let mut bytes = BytesMut::new();
    bytes.extend_from_slice(&CONSUMER_PROTOCOL_VERSION.to_be_bytes());
    message.encode(&mut bytes, CONSUMER_PROTOCOL_VERSION).map_err(|error| ClientError::Encode {
        api: "ConsumerProtocol",
        version: CONSUMER_PROTOCOL_VERSION,
        reason: error.to_string(),
    })?;
    Ok(bytes.freeze())
}

fn unreadable(version: i16, reason: impl ToString) -> ClientError {
    ClientError::Decode { api: "ConsumerProtocol", version, reason: reason.to_string() }
}

fn version_of(bytes: &mut Bytes) -> Result<i16, ClientError> {
    let version = bytes.first_chunk().map(|version| i16::from_be_bytes(*version));
    let version = version.ok_or_else(|| unreadable(0, "there is no version"))?;
    bytes::Buf::advance(bytes, 2);
    Ok(version.min(3))
}

fn owned_in(mut metadata: Bytes) -> Result<(Vec<i32>, i32), ClientError> {
    let version = version_of(&mut metadata)?;
    let subscription = ConsumerProtocolSubscription::decode(&mut metadata, version)
        .map_err(|error| unreadable(version, error))?;
    let owned = subscription.owned_partitions.iter().flat_map(|topic| topic.partitions.clone()).collect();
    Ok((owned, subscription.generation_id))
}

/// The partitions of an assignment; no bytes at all are a share of nothing.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn share_in(mut assignment: Bytes) -> Result<Vec<i32>, ClientError> {
    if assignment.is_empty() {
        return Ok(Vec::new());
    }
    let version = version_of(&mut assignment)?;
    let assignment = ConsumerProtocolAssignment::decode(&mut assignment, version)
        .map_err(|error| unreadable(version, error))?;
    Ok(assignment.assigned_partitions.iter().flat_map(|topic| topic.partitions.clone()).collect())
}

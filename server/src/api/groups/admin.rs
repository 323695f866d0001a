//! `DescribeGroups`, `ListGroups`, `DeleteGroups` and `OffsetDelete`: what operators and their tools ask.

use super::home::{self, ask};
use super::offsets::has_partition;
use crate::api::RequestContext;
use crate::cluster::Image;
use crate::group::{Answer, Command, CommitTopicAnswer, GroupDescription, MemberDescription};
use crate::shard::Shard;
use crate::wire::ErrorCode;
use crate::wire::messages::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, DescribedGroup, DescribedGroupMember, ListGroupsRequest, ListGroupsResponse,
    ListedGroup, OffsetDeleteRequest, OffsetDeleteRequestTopic, OffsetDeleteResponse,
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use futures_util::StreamExt;
use futures_util::stream::iter;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What everybody may do to a group where nobody is asked who they are: the bits that Kafka 4.3 answers.
const GROUP_OPERATIONS: i32 = 3400;
/// What this broker's groups are, beside KIP-848's `consumer` and others.
const GROUP_TYPE: &str = "classic";
/// The state of a group that is not there.
const DEAD: &str = "Dead";

/// `DescribeGroups` 0-6.
pub async fn describe_groups(
    shard: &Rc<Shard>,
    context: &RequestContext,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let version = context.header.api_version;
    let asks_operations = request.include_authorized_operations;
    // A group that is named twice is told once, or a small request could ask for any amount of bytes.
    let described = iter(each_once(request.groups)).map(|group_id| async move {
        let described = match ask(shard, &group_id, Command::Describe(group_id.clone())).await {
            Ok(Answer::Described(Some(group))) => describe(group),
            Ok(Answer::Described(None)) => nothing_there(version, &group_id),
            Ok(other) => unreachable!("a description was answered with {other:?}"),
            Err(error) => DescribedGroup { error_code: error.into(), ..DescribedGroup::default() },
        };
        let tells_operations = asks_operations && described.error_code == ErrorCode::None;
        let authorized_operations = if tells_operations { GROUP_OPERATIONS } else { i32::MIN };
        DescribedGroup { group_id, authorized_operations, ..described }
    });
    let groups = described.buffered(super::ASKED_AT_ONCE_MAX).collect().await;
    DescribeGroupsResponse { groups, ..DescribeGroupsResponse::default() }
}

fn each_once(mut group_ids: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    group_ids.retain(|group_id| seen.insert(group_id.clone()));
    group_ids
}

fn describe(group: GroupDescription) -> DescribedGroup {
    let member = |member: MemberDescription| DescribedGroupMember {
        member_id: member.member_id,
        group_instance_id: member.instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    };
    DescribedGroup {
        group_state: group.state.name().to_owned(),
        protocol_type: group.protocol_type,
        protocol_data: group.protocol,
        members: group.members.into_iter().map(member).collect(),
        ..DescribedGroup::default()
    }
}

/// KIP-1043: from v6 a group that is not there is an error; before, a dead group.
fn nothing_there(version: i16, group_id: &str) -> DescribedGroup {
    let dead = DescribedGroup { group_state: DEAD.to_owned(), ..DescribedGroup::default() };
    if version < 6 {
        return dead;
    }
    let error_message = Some(format!("Group {group_id} not found."));
    DescribedGroup { error_code: ErrorCode::GroupIdNotFound, error_message, ..dead }
}

/// `ListGroups` 0-5.
pub async fn list_groups(
    shard: &Rc<Shard>,
    _context: &RequestContext,
    request: ListGroupsRequest,
) -> ListGroupsResponse {
    let is_type_wanted = request.types_filter.is_empty()
        || request.types_filter.iter().any(|name| name.eq_ignore_ascii_case(GROUP_TYPE));
    if !is_type_wanted {
        return ListGroupsResponse::default();
    }
    let states = request.states_filter;
    let is_wanted = move |group: &crate::group::ListedGroup| {
        let name = group.state.name();
        states.is_empty() || states.iter().any(|state| state.trim().eq_ignore_ascii_case(name))
    };
    match home::list(shard, is_wanted).await {
        Ok(groups) => {
            let told = groups.into_iter().map(|group| ListedGroup {
                group_id: group.group_id,
                protocol_type: group.protocol_type,
                group_state: group.state.name().to_owned(),
                group_type: GROUP_TYPE.to_owned(),
            });
            ListGroupsResponse { groups: told.collect(), ..ListGroupsResponse::default() }
        }
        Err(error) => ListGroupsResponse { error_code: error.into(), ..ListGroupsResponse::default() },
    }
}

/// `DeleteGroups` 0-2.
pub async fn delete_groups(
    shard: &Rc<Shard>,
    _context: &RequestContext,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let deleted = iter(each_once(request.groups_names)).map(|group_id| async move {
        let error_code = match ask(shard, &group_id, Command::Delete(group_id.clone())).await {
            Ok(Answer::Deleted(Ok(()))) => ErrorCode::None,
            Ok(Answer::Deleted(Err(error))) => error.into(),
            Ok(other) => unreachable!("a deletion was answered with {other:?}"),
            Err(error) => error.into(),
        };
        DeletableGroupResult { group_id, error_code }
    });
    let results = deleted.buffered(super::ASKED_AT_ONCE_MAX).collect().await;
    DeleteGroupsResponse { results, ..DeleteGroupsResponse::default() }
}

/// `OffsetDelete` 0: the group is asked about partitions that exist; the answer begins with those that do not.
pub async fn offset_delete(
    shard: &Rc<Shard>,
    _context: &RequestContext,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let (known, unknown) = split(&shard.cluster.image(), request.topics);
    let command = Command::DeleteOffsets { group_id: request.group_id.clone(), topics: known };
    let outcome = match ask(shard, &request.group_id, command).await {
        Ok(Answer::OffsetsDeleted(Ok(deleted))) => Ok(deleted),
        Ok(Answer::OffsetsDeleted(Err(error))) => Err(error.into()),
        Ok(other) => unreachable!("a deletion of offsets was answered with {other:?}"),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(deleted) => {
            OffsetDeleteResponse { topics: merge(unknown, deleted), ..OffsetDeleteResponse::default() }
        }
        Err(error_code) => OffsetDeleteResponse { error_code, ..OffsetDeleteResponse::default() },
    }
}

/// Partitions that exist, for the group, and the answer for those that do not.
fn split(
    image: &Image,
    asked: Vec<OffsetDeleteRequestTopic>,
) -> (Vec<(String, Vec<i32>)>, Vec<OffsetDeleteResponseTopic>) {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for topic in asked {
        let there = image.topic(&topic.name);
        let indexes = topic.partitions.into_iter().map(|partition| partition.partition_index);
        let (found, missing): (Vec<i32>, Vec<i32>) =
            indexes.partition(|index| there.is_some_and(|topic| has_partition(topic, *index)));
        if !missing.is_empty() {
            let partitions = missing.into_iter().map(|partition_index| OffsetDeleteResponsePartition {
                partition_index,
                error_code: ErrorCode::UnknownTopicOrPartition,
            });
            let (name, partitions) = (topic.name.clone(), partitions.collect());
            unknown.push(OffsetDeleteResponseTopic { name, partitions });
        }
        if !found.is_empty() {
            known.push((topic.name, found));
        }
    }
    (known, unknown)
}

/// A topic is named once in the answer.
fn merge(
    mut topics: Vec<OffsetDeleteResponseTopic>,
    deleted: Vec<CommitTopicAnswer>,
) -> Vec<OffsetDeleteResponseTopic> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (place, topic) in topics.iter().enumerate() {
        places.entry(topic.name.clone()).or_insert(place);
    }
    for CommitTopicAnswer { name, partitions } in deleted {
        let mut partitions: Vec<_> = partitions
            .into_iter()
            .map(|(partition_index, error)| OffsetDeleteResponsePartition {
                partition_index,
                error_code: error.map_or(ErrorCode::None, ErrorCode::from),
            })
            .collect();
        match places.get(&name).and_then(|place| topics.get_mut(*place)) {
            Some(topic) => topic.partitions.append(&mut partitions),
            None => {
                places.insert(name.clone(), topics.len());
                topics.push(OffsetDeleteResponseTopic { name, partitions });
            }
        }
    }
    topics
}

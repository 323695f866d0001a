//! `OffsetCommit` and `OffsetFetch`: between the wire's versions, names and ids, and what a group stores.

use super::home::ask;
use crate::api::RequestContext;
use crate::cluster::{Image, Topic};
use crate::group::{
    Answer, Command, Commit, CommitPartition, CommitTopic, FetchOffsets, FetchedOffset, FetchedTopic,
};
use crate::shard::Shard;
use crate::wire::ErrorCode;
use crate::wire::messages::{
    OffsetCommitRequest, OffsetCommitRequestTopic, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic, OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use futures_util::StreamExt;
use futures_util::stream::iter;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use uuid::Uuid;

/// From this version topics go by their ids.
const TOPIC_ID_VERSION: i16 = 10;

/// One topic of a commit: what is wrong with it before the group is asked, and its place in what the group is asked.
struct Asked {
    topic: OffsetCommitResponseTopic,
    group_index: Option<usize>,
}

/// `OffsetCommit` 1-10.
pub async fn offset_commit(
    shard: &Rc<Shard>,
    context: &RequestContext,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let version = context.header.api_version;
    let image = shard.cluster.image();
    let mut topics = Vec::new();
    let mut asked = Vec::with_capacity(request.topics.len());
    // A topic without partitions is left out of the answer.
    for topic in request.topics.into_iter().filter(|topic| !topic.partitions.is_empty()) {
        asked.push(split(&image, version, topic, &mut topics));
    }
    let outcome = if topics.is_empty() {
        Ok(Vec::new())
    } else {
        let group_id = request.group_id.clone();
        let commit = Commit {
            group_id: request.group_id,
            generation: request.generation_id_or_member_epoch,
            member_id: request.member_id,
            instance_id: request.group_instance_id,
            knows_group_id_not_found: version >= 9,
            retention_ms: if (2..=4).contains(&version) { request.retention_time_ms } else { -1 },
            topics: topics.clone(),
        };
        match ask(shard, &group_id, Command::Commit(commit)).await {
            Ok(Answer::Commit(Ok(answers))) => Ok(answers),
            Ok(Answer::Commit(Err(error))) => Err(ErrorCode::from(error)),
            Ok(other) => unreachable!("a commit was answered with {other:?}"),
            Err(error) => Err(ErrorCode::from(error)),
        }
    };
    let finish = |asked: Asked| {
        let mut topic = asked.topic;
        let Some(index) = asked.group_index else { return topic };
        let error = |at: usize| match &outcome {
            Err(error) => *error,
            Ok(answers) => {
                let answer = answers.get(index).and_then(|answer| answer.partitions.get(at));
                answer.and_then(|(_, error)| *error).map_or(ErrorCode::None, ErrorCode::from)
            }
        };
        let partitions = topics.get(index).into_iter().flat_map(|asked| &asked.partitions).enumerate();
        topic.partitions.extend(partitions.map(|(at, partition)| OffsetCommitResponsePartition {
            partition_index: partition.partition,
            error_code: error(at),
        }));
        topic
    };
    OffsetCommitResponse {
        topics: asked.into_iter().map(finish).collect(),
        ..OffsetCommitResponse::default()
    }
}

/// Sorts out what does not exist; the rest of the topic goes to the group.
fn split(
    image: &Image,
    version: i16,
    topic: OffsetCommitRequestTopic,
    known: &mut Vec<CommitTopic>,
) -> Asked {
    let (found, missing) = match version {
        TOPIC_ID_VERSION.. => (image.topic_by_id(topic.topic_id), ErrorCode::UnknownTopicId),
        _ => (image.topic(&topic.name), ErrorCode::UnknownTopicOrPartition),
    };
    let mut answer = OffsetCommitResponseTopic {
        name: topic.name,
        topic_id: topic.topic_id,
        ..OffsetCommitResponseTopic::default()
    };
    let mut partitions = Vec::with_capacity(topic.partitions.len());
    for partition in topic.partitions {
        let index = partition.partition_index;
        let error_code = match found {
            None => missing,
            Some(found) if !has_partition(found, index) => ErrorCode::UnknownTopicOrPartition,
            Some(_) => {
                partitions.push(CommitPartition {
                    partition: index,
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata.unwrap_or_default(),
                    commit_timestamp: if version == 1 { partition.commit_timestamp } else { -1 },
                });
                continue;
            }
        };
        answer.partitions.push(OffsetCommitResponsePartition { partition_index: index, error_code });
    }
    let group_index = found.filter(|_| !partitions.is_empty()).map(|found| {
        known.push(CommitTopic { name: found.name.clone(), topic_id: found.id.into_bytes(), partitions });
        known.len() - 1
    });
    Asked { topic: answer, group_index }
}

/// Whether a topic has this partition.
pub(super) fn has_partition(topic: &Topic, index: i32) -> bool {
    usize::try_from(index).is_ok_and(|index| index < topic.partitions.len())
}

/// `OffsetFetch` 1-10: one group up to v7, several from v8.
pub async fn offset_fetch(
    shard: &Rc<Shard>,
    context: &RequestContext,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    let version = context.header.api_version;
    let image = shard.cluster.image();
    let require_stable = request.require_stable;
    if version >= 8 {
        let each = iter(each_offset_once(request.groups))
            .map(|group| fetch_group(shard, &image, version, group, require_stable))
            .buffered(super::ASKED_AT_ONCE_MAX);
        return OffsetFetchResponse { groups: each.collect().await, ..OffsetFetchResponse::default() };
    }
    let topics = request.topics.map(|topics| {
        let each = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            partition_indexes: topic.partition_indexes,
            ..OffsetFetchRequestTopics::default()
        });
        each.collect()
    });
    let group =
        OffsetFetchRequestGroup { group_id: request.group_id, topics, ..OffsetFetchRequestGroup::default() };
    let Some(group) = each_offset_once(vec![group]).pop() else { return OffsetFetchResponse::default() };
    single(version, fetch_group(shard, &image, version, group, require_stable).await)
}

/// What is asked for twice is answered once: four bytes of a request could otherwise ask for a note of four kilobytes,
/// any number of times.
fn each_offset_once(groups: Vec<OffsetFetchRequestGroup>) -> Vec<OffsetFetchRequestGroup> {
    let mut seen: BTreeMap<String, BTreeMap<(String, Uuid), BTreeSet<i32>>> = BTreeMap::new();
    let mut seen_whole = BTreeSet::new();
    let mut once = Vec::with_capacity(groups.len());
    for mut group in groups {
        let Some(topics) = &mut group.topics else {
            if seen_whole.insert(group.group_id.clone()) {
                once.push(group);
            }
            continue;
        };
        let is_first = !seen.contains_key(&group.group_id);
        let of_group = seen.entry(group.group_id.clone()).or_default();
        topics.retain_mut(|topic| {
            let of_topic = of_group.entry((topic.name.clone(), topic.topic_id)).or_default();
            let is_first = of_topic.is_empty();
            topic.partition_indexes.retain(|index| of_topic.insert(*index));
            is_first || !topic.partition_indexes.is_empty()
        });
        if is_first || !topics.is_empty() {
            once.push(group);
        }
    }
    once
}

/// Up to v7 the one group's answer is the whole answer; v1 has no place for an error but the partitions.
fn single(version: i16, group: OffsetFetchResponseGroup) -> OffsetFetchResponse {
    let error_code = group.error_code;
    let topics = group.topics.into_iter().map(|topic| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic
            .partitions
            .into_iter()
            .map(|partition| OffsetFetchResponsePartition {
                partition_index: partition.partition_index,
                committed_offset: partition.committed_offset,
                committed_leader_epoch: partition.committed_leader_epoch,
                metadata: partition.metadata,
                error_code: if version < 2 { error_code } else { partition.error_code },
            })
            .collect(),
    });
    OffsetFetchResponse { topics: topics.collect(), error_code, ..OffsetFetchResponse::default() }
}

/// A topic as it was asked for, by name or id, and its name if it can be told.
struct Wanted {
    topic: OffsetFetchRequestTopics,
    name: Option<String>,
}

async fn fetch_group(
    shard: &Rc<Shard>,
    image: &Arc<Image>,
    version: i16,
    group: OffsetFetchRequestGroup,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let by_id = version >= TOPIC_ID_VERSION;
    let wanted: Option<Vec<Wanted>> = group.topics.map(|topics| {
        let name = |topic: &OffsetFetchRequestTopics| {
            if by_id {
                image.topic_by_id(topic.topic_id).map(|known| known.name.clone())
            } else {
                Some(topic.name.clone())
            }
        };
        topics.into_iter().map(|topic| Wanted { name: name(&topic), topic }).collect()
    });
    let topics = wanted.as_ref().map(|wanted| {
        let named =
            wanted.iter().filter_map(|one| Some((one.name.clone()?, one.topic.partition_indexes.clone())));
        named.collect()
    });
    let fetch = FetchOffsets { group_id: group.group_id.clone(), topics, require_stable };
    let (fetched, error_code) = match ask(shard, &group.group_id, Command::Fetch(fetch)).await {
        Ok(Answer::Fetch(Ok(fetched))) => (of_this_topic(image, fetched, wanted.is_none()), ErrorCode::None),
        Ok(Answer::Fetch(Err(error))) => (Vec::new(), error.into()),
        Ok(other) => unreachable!("a fetch of offsets was answered with {other:?}"),
        Err(error) => (Vec::new(), error.into()),
    };
    let topics = match wanted {
        Some(wanted) if error_code == ErrorCode::None => in_order(wanted, fetched),
        Some(wanted) if version < 2 => wanted.into_iter().map(|one| unfetched(one, error_code)).collect(),
        Some(_) => Vec::new(),
        None => fetched.into_iter().filter_map(|topic| known(image, by_id, topic)).collect(),
    };
    OffsetFetchResponseGroup { group_id: group.group_id, topics, error_code }
}

/// Offsets that were committed for an earlier topic of the same name say nothing of this one: they are not told, also
/// before they are removed. `all` leaves them out; else they are answered as not there.
fn of_this_topic(image: &Image, mut fetched: Vec<FetchedTopic>, all: bool) -> Vec<FetchedTopic> {
    for topic in &mut fetched {
        let Some(known) = image.topic(&topic.name) else { continue };
        let id = known.id.into_bytes();
        let is_earlier = |stored: &FetchedOffset| stored.topic_id != [0; 16] && stored.topic_id != id;
        if all {
            topic.partitions.retain(|stored| !is_earlier(stored));
        }
        for stored in topic.partitions.iter_mut().filter(|stored| is_earlier(stored)) {
            *stored = FetchedOffset::none(stored.partition);
        }
    }
    fetched.retain(|topic| !all || !topic.partitions.is_empty());
    fetched
}

/// Puts the offsets in the order asked; what has no name is an unknown id, and those come last.
fn in_order(wanted: Vec<Wanted>, fetched: Vec<FetchedTopic>) -> Vec<OffsetFetchResponseTopics> {
    let (named, unknown): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|one| one.name.is_some());
    let found = named.into_iter().zip(fetched).map(|(one, topic)| OffsetFetchResponseTopics {
        name: one.topic.name,
        topic_id: one.topic.topic_id,
        partitions: found_partitions(topic),
    });
    let unknown = unknown.into_iter().map(|one| unfetched(one, ErrorCode::UnknownTopicId));
    found.chain(unknown).collect()
}

fn known(image: &Image, by_id: bool, topic: FetchedTopic) -> Option<OffsetFetchResponseTopics> {
    let topic_id = if by_id { image.topic(&topic.name)?.id } else { Uuid::nil() };
    let name = topic.name.clone();
    let partitions = found_partitions(topic);
    Some(OffsetFetchResponseTopics { name, topic_id, partitions })
}

fn found_partitions(topic: FetchedTopic) -> Vec<OffsetFetchResponsePartitions> {
    let each = topic.partitions.into_iter().map(|stored| OffsetFetchResponsePartitions {
        partition_index: stored.partition,
        committed_offset: stored.offset,
        committed_leader_epoch: stored.leader_epoch,
        metadata: Some(stored.metadata),
        error_code: ErrorCode::None,
    });
    each.collect()
}

fn unfetched(one: Wanted, error_code: ErrorCode) -> OffsetFetchResponseTopics {
    let each = one.topic.partition_indexes.into_iter().map(|partition_index| OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(String::new()),
        error_code,
    });
    OffsetFetchResponseTopics {
        name: one.topic.name,
        topic_id: one.topic.topic_id,
        partitions: each.collect(),
    }
}

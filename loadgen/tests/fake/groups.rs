//! A coordinator of a few lines: rounds of joins and syncs, commits that it may forget. Silence it does not notice.
use std::collections::{BTreeMap, HashMap};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponsePartition, OffsetFetchResponseTopic,
};
use kafka_protocol::messages::{
    FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, LeaveGroupResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest,
    OffsetFetchResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::{Decodable, StrBytes};

use super::Shared;
use super::answer::{topic_name, write};

const ILLEGAL_GENERATION: i16 = 22;
const UNKNOWN_MEMBER: i16 = 25;
const REBALANCING: i16 = 27;
const ID_REQUIRED: i16 = 79;
/// A round is over when all have joined and nobody came for so long, or when it took too long.
const QUIET: Duration = Duration::from_millis(30);
const ROUND_MAX: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Round {
    #[default]
    Joining,
    Syncing,
    Stable,
}

#[derive(Debug, Default)]
struct Group {
    round: Round,
    generation: i32,
    began: Option<Instant>,
    changed: Option<Instant>,
    id_next: u32,
    /// By member id: what it said, and whether it joined this round.
    members: BTreeMap<String, (Bytes, bool)>,
    shares: HashMap<String, Bytes>,
    offsets: HashMap<i32, i64>,
}

/// All groups, and what wakes those who wait.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: Mutex<HashMap<String, Group>>,
    changed: Condvar,
}

impl Group {
    fn begin_round(&mut self) {
        if self.round != Round::Joining {
            self.members.values_mut().for_each(|(_, joined)| *joined = false);
            (self.round, self.began) = (Round::Joining, Some(Instant::now()));
        }
        self.changed = Some(Instant::now());
    }

    fn may_end_round(&self) -> bool {
        let since = |at: Option<Instant>| at.map_or(Duration::ZERO, |at| at.elapsed());
        let all = self.members.values().all(|(_, joined)| *joined);
        self.round == Round::Joining
            && ((all && since(self.changed) > QUIET) || since(self.began) > ROUND_MAX)
    }
}

impl Groups {
    fn wait_until<'a>(
        &'a self,
        mut groups: MutexGuard<'a, HashMap<String, Group>>,
        name: &str,
        mut is_over: impl FnMut(&mut Group) -> bool,
    ) -> MutexGuard<'a, HashMap<String, Group>> {
        while !is_over(groups.get_mut(name).unwrap()) {
            groups = self.changed.wait_timeout(groups, Duration::from_millis(5)).unwrap().0;
        }
        self.changed.notify_all();
        groups
    }
}

/// As `answer::answer`, for the keys of groups.
pub(super) fn answer(key: i16, frame: &mut Bytes, version: i16, id: i32, shared: &Shared) -> Option<Vec<u8>> {
    Some(match key {
        8 => write(&commit(&OffsetCommitRequest::decode(frame, version).ok()?, shared), version, id),
        9 => write(&offsets(&OffsetFetchRequest::decode(frame, version).ok()?, shared), version, id),
        10 => {
            let told = FindCoordinatorResponse::default()
                .with_host(StrBytes::from_string(shared.address.ip().to_string()))
                .with_port(shared.address.port().into());
            write(&told, version, id)
        }
        11 => write(&join(&JoinGroupRequest::decode(frame, version).ok()?, shared), version, id),
        12 => write(&heartbeat(&HeartbeatRequest::decode(frame, version).ok()?, shared), version, id),
        13 => write(&leave(&LeaveGroupRequest::decode(frame, version).ok()?, shared), version, id),
        14 => write(&sync(&SyncGroupRequest::decode(frame, version).ok()?, shared), version, id),
        _ => return None,
    })
}

fn join(request: &JoinGroupRequest, shared: &Shared) -> JoinGroupResponse {
    let name = request.group_id.to_string();
    let mut groups = shared.groups.groups.lock().unwrap();
    let group = groups.entry(name.clone()).or_default();
    let member_id = request.member_id.to_string();
    let refused = |code| JoinGroupResponse::default().with_error_code(code);
    if member_id.is_empty() {
        group.id_next += 1;
        return refused(ID_REQUIRED).with_member_id(StrBytes::from_string(format!("m-{}", group.id_next)));
    }
    group.begin_round();
    group.members.insert(member_id.clone(), (request.protocols[0].metadata.clone(), true));
    let before = group.generation;
    let mut groups = shared.groups.wait_until(groups, &name, |group| {
        if group.generation == before && group.may_end_round() {
            group.members.retain(|_, (_, joined)| *joined);
            (group.generation, group.round) = (before + 1, Round::Syncing);
            group.shares.clear();
        }
        group.generation != before
    });
    let group = groups.get_mut(&name).unwrap();
    if !group.members.contains_key(&member_id) {
        return refused(UNKNOWN_MEMBER);
    }
    let leader = group.members.keys().next().unwrap().clone();
    let all = group.members.iter().map(|(id, (metadata, _))| {
        JoinGroupResponseMember::default()
            .with_member_id(StrBytes::from_string(id.clone()))
            .with_metadata(metadata.clone())
    });
    JoinGroupResponse::default()
        .with_generation_id(group.generation)
        .with_protocol_name(Some(request.protocols[0].name.clone()))
        .with_members(if leader == member_id { all.collect() } else { Vec::new() })
        .with_leader(StrBytes::from_string(leader))
        .with_member_id(StrBytes::from_string(member_id))
}

fn sync(request: &SyncGroupRequest, shared: &Shared) -> SyncGroupResponse {
    let (name, member_id) = (request.group_id.to_string(), request.member_id.to_string());
    let mut groups = shared.groups.groups.lock().unwrap();
    let refused = |code| SyncGroupResponse::default().with_error_code(code);
    let Some(group) = groups.get_mut(&name).filter(|group| group.members.contains_key(&member_id)) else {
        return refused(UNKNOWN_MEMBER);
    };
    if group.round == Round::Syncing && !request.assignments.is_empty() {
        let shares = request.assignments.iter();
        group.shares = shares.map(|one| (one.member_id.to_string(), one.assignment.clone())).collect();
        group.round = Round::Stable;
    }
    let groups = shared.groups.wait_until(groups, &name, |group| {
        group.round != Round::Syncing || group.generation != request.generation_id
    });
    let group = &groups[&name];
    if group.generation != request.generation_id || group.round != Round::Stable {
        return refused(REBALANCING);
    }
    SyncGroupResponse::default().with_assignment(group.shares.get(&member_id).cloned().unwrap_or_default())
}

fn standing(group: Option<&Group>, member_id: &str, generation: i32) -> i16 {
    match group.filter(|group| group.members.contains_key(member_id)) {
        None => UNKNOWN_MEMBER,
        Some(group) if group.generation != generation => ILLEGAL_GENERATION,
        Some(group) if group.round != Round::Stable => REBALANCING,
        Some(_) => 0,
    }
}

fn heartbeat(request: &HeartbeatRequest, shared: &Shared) -> HeartbeatResponse {
    let groups = shared.groups.groups.lock().unwrap();
    let code = standing(groups.get(request.group_id.as_str()), &request.member_id, request.generation_id);
    HeartbeatResponse::default().with_error_code(code)
}

fn leave(request: &LeaveGroupRequest, shared: &Shared) -> LeaveGroupResponse {
    let mut groups = shared.groups.groups.lock().unwrap();
    let mut left = Vec::new();
    for one in &request.members {
        let group = groups.get_mut(request.group_id.as_str());
        let was = group.is_some_and(|group| {
            let was = group.members.remove(one.member_id.as_str()).is_some();
            group.begin_round();
            was
        });
        let code = if was { 0 } else { UNKNOWN_MEMBER };
        left.push(MemberResponse::default().with_member_id(one.member_id.clone()).with_error_code(code));
    }
    LeaveGroupResponse::default().with_members(left)
}

fn commit(request: &OffsetCommitRequest, shared: &Shared) -> OffsetCommitResponse {
    let mut groups = shared.groups.groups.lock().unwrap();
    let group = groups.get_mut(request.group_id.as_str());
    let generation = request.generation_id_or_member_epoch;
    let code = match standing(group.as_deref(), &request.member_id, generation) {
        REBALANCING => 0, // what members read before is still theirs to say
        code => code,
    };
    let mut told = Vec::new();
    for one in &request.topics[0].partitions {
        if let Some(group) = groups.get_mut(request.group_id.as_str())
            && code == 0
            && !shared.faults.forget_commits
        {
            group.offsets.insert(one.partition_index, one.committed_offset + shared.faults.commits_ahead);
        }
        told.push(
            OffsetCommitResponsePartition::default()
                .with_partition_index(one.partition_index)
                .with_error_code(code),
        );
    }
    let topic = OffsetCommitResponseTopic::default().with_name(topic_name()).with_partitions(told);
    OffsetCommitResponse::default().with_topics(vec![topic])
}

fn offsets(request: &OffsetFetchRequest, shared: &Shared) -> OffsetFetchResponse {
    let groups = shared.groups.groups.lock().unwrap();
    let group = groups.get(request.group_id.as_str());
    let asked = request.topics.as_ref().unwrap()[0].partition_indexes.iter();
    let partitions = asked.map(|index| {
        let kept = group.and_then(|group| group.offsets.get(index).copied());
        OffsetFetchResponsePartition::default()
            .with_partition_index(*index)
            .with_committed_offset(kept.unwrap_or(-1))
    });
    let topic =
        OffsetFetchResponseTopic::default().with_name(topic_name()).with_partitions(partitions.collect());
    OffsetFetchResponse::default().with_topics(vec![topic])
}

//! What operators ask of groups: to see them, to forget them or their offsets.

use super::classic::{ClassicGroup, State};
use super::member::Member;
use super::messages::{
    Answer, CommitTopicAnswer, GroupDescription, GroupError, ListedGroup, MemberDescription,
};
use super::partition::{InFlight, Partition};
use super::records::GroupRecord;
use crate::coordinator::{Effects, Record, RequestId};
use std::rc::Rc;

impl State {
    /// As Kafka's tools print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

impl ClassicGroup {
    /// As operators see it.
    pub fn describe(&self) -> GroupDescription {
        let is_stable = self.state() == State::Stable;
        let protocol = self.protocol().filter(|_| is_stable);
        let describe = |member: &Member| MemberDescription {
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: member.metadata(protocol),
            assignment: if is_stable { member.assignment.clone() } else { bytes::Bytes::new() },
        };
        GroupDescription {
            state: self.state(),
            protocol_type: self.protocol_type().unwrap_or_default().to_owned(),
            protocol: protocol.unwrap_or_default().to_owned(),
            members: self.members().map(describe).collect(),
        }
    }
}

impl Partition {
    pub(super) fn describe(&self, group_id: &str) -> Option<GroupDescription> {
        self.groups.get(group_id).map(|entry| entry.group.describe())
    }

    pub(super) fn list(&self) -> Vec<ListedGroup> {
        let listed = self.groups.iter().map(|(group_id, entry)| ListedGroup {
            group_id: group_id.to_string(),
            state: entry.group.state(),
            protocol_type: entry.group.protocol_type().unwrap_or_default().to_owned(),
        });
        listed.collect()
    }

    /// Forgets a group that has no members; answered when its tombstones are durable.
    pub(super) fn delete(&mut self, request: RequestId, group_id: &str, effects: &mut Effects<Answer>) {
        let entry = match self.groups.get_key_value(group_id) {
            None => Err(GroupError::GroupIdNotFound),
            Some((_, entry)) if !entry.group.is_vacant() => Err(GroupError::NonEmptyGroup),
            Some((group_id, entry)) => Ok((Rc::clone(group_id), entry.offsets.places())),
        };
        match entry {
            Err(error) => effects.answer(request, Answer::Deleted(Err(error))),
            Ok((group_id, removed)) => {
                self.tombstone(request, &group_id, removed, true, Answer::Deleted(Ok(())), effects);
            }
        }
    }

    /// Forgets offsets that no member reads; answered when their tombstones are durable.
    pub(super) fn delete_offsets(
        &mut self,
        request: RequestId,
        group_id: &str,
        topics: Vec<(String, Vec<i32>)>,
        effects: &mut Effects<Answer>,
    ) {
        let Some((group_id, entry)) = self.groups.get_key_value(group_id).filter(|_| !group_id.is_empty())
        else {
            // Offsets of the empty id go with the whole group only.
            let is_empty = group_id.is_empty();
            let error = if is_empty { GroupError::InvalidGroupId } else { GroupError::GroupIdNotFound };
            effects.answer(request, Answer::OffsetsDeleted(Err(error)));
            return;
        };
        if entry.group.state() != State::Empty && entry.group.protocol_type() != Some("consumer") {
            effects.answer(request, Answer::OffsetsDeleted(Err(GroupError::NonEmptyGroup)));
            return;
        }
        let mut removed = Vec::new();
        let mut answer = Vec::with_capacity(topics.len());
        for (name, partitions) in topics {
            let error = entry.group.reads(&name).then_some(GroupError::SubscribedToTopic);
            if error.is_none() {
                let stored = partitions.iter().filter(|partition| entry.offsets.holds(&name, **partition));
                removed.extend(stored.map(|partition| (name.clone(), *partition)));
            }
            let partitions = partitions.into_iter().map(|partition| (partition, error)).collect();
            answer.push(CommitTopicAnswer { name, partitions });
        }
        let (group_id, answer) = (Rc::clone(group_id), Answer::OffsetsDeleted(Ok(answer)));
        if removed.is_empty() {
            effects.answer(request, answer);
        } else {
            self.tombstone(request, &group_id, removed, false, answer, effects);
        }
    }

    /// Tombstones in as many batches as it takes; the last one carries the answer.
    fn tombstone(
        &mut self,
        request: RequestId,
        group_id: &Rc<str>,
        mut removed: Vec<(String, i32)>,
        is_whole: bool,
        answer: Answer,
        effects: &mut Effects<Answer>,
    ) {
        while removed.len() > super::upkeep::TOMBSTONES_MAX {
            let some = removed.split_off(removed.len() - super::upkeep::TOMBSTONES_MAX);
            let deletion =
                Deletion { group_id: Rc::clone(group_id), removed: some, is_whole: false, answer: None };
            self.store_deletion(deletion, effects);
        }
        let answer = Some((request, answer));
        self.store_deletion(Deletion { group_id: Rc::clone(group_id), removed, is_whole, answer }, effects);
    }

    fn store_deletion(&mut self, deletion: Deletion, effects: &mut Effects<Answer>) {
        if let Some(entry) = self.groups.get_mut(&deletion.group_id) {
            entry.in_flight_count += 1;
        }
        let records = deletion.records();
        self.append(records, InFlight::Deleted(Box::new(deletion)), effects);
    }
}

impl Deletion {
    fn records(&self) -> Vec<Record> {
        let offsets = self.removed.iter();
        let offsets = offsets
            .map(|(topic, partition)| GroupRecord::encode_offset(&self.group_id, topic, *partition, None));
        offsets.chain(self.is_whole.then(|| GroupRecord::encode_group(&self.group_id, None))).collect()
    }
}

/// What an operator has forgotten, on its way to the log.
pub(super) struct Deletion {
    pub(super) group_id: Rc<str>,
    pub(super) removed: Vec<(String, i32)>,
    /// The group goes as well.
    pub(super) is_whole: bool,
    pub(super) answer: Option<(RequestId, Answer)>,
}

//! One partition of `__consumer_offsets`: its groups, their offsets, and what is being stored.
//!
//! The machine behind every group request. Membership lives in memory and changes at once; offsets and assignments
//! change when their record is durable, in the order of the log, which is what replaying it gives again.

use super::budget::Budget;
use super::classic::{ClassicGroup, Turn, Write};
use super::messages::{
    Answer, Command, Commit, CommitTopicAnswer, DeletedTopic, FetchOffsets, FetchedTopic, GroupError, Join,
    JoinAnswer,
};
use super::offsets::{Offsets, StoredOffset};
use super::operator::Deletion;
use super::records::GroupRecord;
use super::settings::GroupSettings;
use crate::coordinator::{AppendId, Effects, Machine, Now, Record, Refusal, ReplayError, RequestId, Timers};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

pub(super) struct Entry {
    pub(super) group: ClassicGroup,
    pub(super) offsets: Offsets,
    /// Appends of this group that are not durable yet.
    pub(super) in_flight_count: u32,
    /// What the budget was charged.
    bytes: usize,
    /// A record of the group itself may be in the log.
    is_stored: bool,
}

pub(super) enum InFlight {
    Group { group_id: Rc<str>, write: Write },
    Offsets { group_id: Rc<str>, commit: Box<CommitInFlight> },
    Deleted(Box<Deletion>),
    Tombstones,
}

pub(super) struct CommitInFlight {
    request: RequestId,
    stored: Vec<(String, i32, StoredOffset)>,
    answer: Vec<CommitTopicAnswer>,
}

/// The groups of one partition of the offsets topic. Owned by that partition's shard.
pub struct Partition {
    pub(super) settings: Rc<GroupSettings>,
    budget: Budget,
    pub(super) groups: FxHashMap<Rc<str>, Entry>,
    timers: Timers<Rc<str>>,
    in_flight: VecDeque<(AppendId, InFlight)>,
    append_next: u64,
    check_at: Duration,
    /// Deleted topics whose offsets could not all be removed yet.
    pub(super) gone: Vec<DeletedTopic>,
}

impl Partition {
    /// A partition with no groups.
    pub fn new(settings: Rc<GroupSettings>, budget: Budget) -> Self {
        Self {
            settings,
            budget,
            groups: FxHashMap::default(),
            timers: Timers::default(),
            in_flight: VecDeque::new(),
            append_next: 0,
            check_at: Duration::MAX,
            gone: Vec::new(),
        }
    }

    /// A group, for those who describe it.
    pub fn group(&self, group_id: &str) -> Option<&ClassicGroup> {
        self.groups.get(group_id).map(|entry| &entry.group)
    }

    /// Ids of all groups, in no order.
    pub fn group_ids(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(|group_id| &**group_id)
    }

    fn join(&mut self, request: RequestId, join: Join, now: Now, effects: &mut Effects<Answer>) {
        let timeouts = self.settings.session_timeout_ms_min..=self.settings.session_timeout_ms_max;
        let known = self.groups.contains_key(join.group_id.as_str());
        let refusal = if join.group_id.is_empty() {
            Some(GroupError::InvalidGroupId)
        } else if !timeouts.contains(&join.session_timeout_ms) {
            Some(GroupError::InvalidSessionTimeout)
        } else if !known && !join.member_id.is_empty() {
            Some(GroupError::UnknownMemberId)
        } else if self.budget.bytes() >= self.settings.bytes_max || (!known && !self.has_room_for_group()) {
            Some(GroupError::NotAvailable)
        } else {
            None
        };
        if let Some(error) = refusal {
            effects.answer(request, Answer::Join(JoinAnswer::refused(&join.member_id, error)));
            return;
        }
        let group_id = self.find_or_make(&join.group_id, now);
        self.turn(&group_id, now, effects, |group, turn| group.join(request, join, turn));
    }

    fn commit(&mut self, request: RequestId, commit: Commit, now: Now, effects: &mut Effects<Answer>) {
        if let Err(error) = self.check_commit(&commit, now, effects) {
            effects.answer(request, Answer::Commit(Err(error)));
            return;
        }
        let mut stored = Vec::new();
        let mut answer = Vec::with_capacity(commit.topics.len());
        for topic in commit.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in topic.partitions {
                let index = partition.partition;
                let error =
                    self.note_is_too_long(&partition.metadata).then_some(GroupError::OffsetMetadataTooLarge);
                partitions.push((index, error));
                if error.is_none() {
                    let value =
                        StoredOffset::requested(partition, topic.topic_id, commit.retention_ms, now.wall);
                    stored.push((topic.name.clone(), index, value));
                }
            }
            answer.push(CommitTopicAnswer { name: topic.name, partitions });
        }
        if stored.is_empty() {
            effects.answer(request, Answer::Commit(Ok(answer)));
            return;
        }
        let group_id = self.find_or_make(&commit.group_id, now);
        let record = |(topic, partition, value): &(String, i32, StoredOffset)| {
            GroupRecord::encode_offset(&group_id, topic, *partition, Some(value))
        };
        let records = stored.iter().map(record).collect();
        if let Some(entry) = self.groups.get_mut(&group_id) {
            entry.in_flight_count += 1;
        }
        let commit = Box::new(CommitInFlight { request, stored, answer });
        self.append(records, InFlight::Offsets { group_id, commit }, effects);
    }

    /// Who is no member may commit to a group without members, which need not exist: it is made for the offsets.
    fn check_commit(
        &mut self,
        commit: &Commit,
        now: Now,
        effects: &mut Effects<Answer>,
    ) -> Result<(), GroupError> {
        let known = self.groups.contains_key(commit.group_id.as_str());
        if !known && commit.generation >= 0 {
            let told = commit.knows_group_id_not_found;
            return Err(if told { GroupError::GroupIdNotFound } else { GroupError::IllegalGeneration });
        }
        if self.budget.bytes() >= self.settings.bytes_max || (!known && !self.has_room_for_group()) {
            return Err(GroupError::NotAvailable);
        }
        let group_id: Rc<str> = Rc::from(commit.group_id.as_str());
        self.turn(&group_id, now, effects, |group, turn| group.check_commit(commit, turn)).unwrap_or(Ok(()))
    }

    /// Kafka counts the note's UTF-16 units, not its bytes.
    fn note_is_too_long(&self, note: &str) -> bool {
        let units_max = self.settings.offset_metadata_bytes_max;
        note.len() > units_max && note.encode_utf16().count() > units_max
    }

    fn fetch(&self, fetch: FetchOffsets) -> Vec<FetchedTopic> {
        match self.groups.get(fetch.group_id.as_str()) {
            Some(entry) => entry.offsets.fetch(fetch.topics),
            None => Offsets::default().fetch(fetch.topics),
        }
    }

    fn has_room_for_group(&self) -> bool {
        self.budget.groups() < self.settings.groups_max
    }

    fn find_or_make(&mut self, group_id: &str, now: Now) -> Rc<str> {
        if let Some((known, _)) = self.groups.get_key_value(group_id) {
            return Rc::clone(known);
        }
        let group_id: Rc<str> = Rc::from(group_id);
        self.insert(Rc::clone(&group_id), ClassicGroup::new(now.wall), Offsets::default());
        group_id
    }

    fn insert(&mut self, group_id: Rc<str>, group: ClassicGroup, offsets: Offsets) {
        let bytes = group_id.len() + group.bytes() + offsets.bytes();
        let entry = Entry { group, offsets, in_flight_count: 0, bytes, is_stored: false };
        let before = self.groups.insert(group_id, entry);
        self.budget.count(usize::from(before.is_some()), 1);
        self.budget.weigh(before.map_or(0, |entry| entry.bytes), bytes);
    }

    pub(super) fn forget(&mut self, group_id: &str) {
        self.timers.cancel(&Rc::from(group_id));
        if let Some(entry) = self.groups.remove(group_id) {
            self.budget.count(1, 0);
            self.budget.weigh(entry.bytes, 0);
        }
    }

    /// Gives one group its turn, then carries what it decided into the effects.
    fn turn<T>(
        &mut self,
        group_id: &Rc<str>,
        now: Now,
        effects: &mut Effects<Answer>,
        act: impl FnOnce(&mut ClassicGroup, &mut Turn<'_>) -> T,
    ) -> Option<T> {
        let entry = self.groups.get_mut(group_id)?;
        let mut writes = Vec::new();
        let mut turn =
            Turn { settings: &self.settings, now, answers: &mut effects.answers, writes: &mut writes };
        let value = act(&mut entry.group, &mut turn);
        entry.in_flight_count += writes.len() as u32;
        entry.is_stored |= !writes.is_empty();
        for (metadata, write) in writes {
            let record = GroupRecord::encode_group(group_id, Some(&metadata));
            self.append(vec![record], InFlight::Group { group_id: Rc::clone(group_id), write }, effects);
        }
        self.settle(group_id);
        Some(value)
    }

    /// Brings a group's deadline and weight up to date, and forgets a group of which nothing came.
    pub(super) fn settle(&mut self, group_id: &Rc<str>) {
        let Some(entry) = self.groups.get_mut(group_id) else { return };
        let bytes = group_id.len() + entry.group.bytes() + entry.offsets.bytes();
        self.budget.weigh(entry.bytes, bytes);
        entry.bytes = bytes;
        let idle = entry.in_flight_count == 0 && entry.offsets.is_empty() && entry.group.is_vacant();
        if idle && !entry.is_stored {
            self.forget(group_id);
            return;
        }
        match entry.group.next_deadline() {
            Some(at) => self.timers.set(Rc::clone(group_id), at),
            None => self.timers.cancel(group_id),
        }
    }

    pub(super) fn append(&mut self, records: Vec<Record>, then: InFlight, effects: &mut Effects<Answer>) {
        let append = AppendId(self.append_next);
        self.append_next += 1;
        self.in_flight.push_back((append, then));
        effects.appends.push((append, records));
    }

    fn land(&mut self, then: InFlight, now: Now, effects: &mut Effects<Answer>) {
        match then {
            InFlight::Tombstones => {}
            InFlight::Deleted(deletion) => self.deleted(*deletion, effects),
            InFlight::Group { group_id, write } => {
                self.landed(&group_id);
                self.turn(&group_id, now, effects, |group, turn| group.durable(write, turn));
            }
            InFlight::Offsets { group_id, commit } => {
                self.landed(&group_id);
                let group_id = self.find_or_make(&group_id, now);
                if let Some(entry) = self.groups.get_mut(&group_id) {
                    for (topic, partition, stored) in commit.stored {
                        entry.offsets.put(&topic, partition, stored);
                    }
                }
                self.settle(&group_id);
                effects.answer(commit.request, Answer::Commit(Ok(commit.answer)));
            }
        }
    }

    fn deleted(&mut self, deletion: Deletion, effects: &mut Effects<Answer>) {
        self.landed(&deletion.group_id);
        if let Some(entry) = self.groups.get_mut(&deletion.group_id) {
            for (topic, partition) in &deletion.removed {
                entry.offsets.remove(topic, *partition);
            }
            // Members may have come meanwhile: their records follow the tombstone.
            entry.is_stored &= !deletion.is_whole || !entry.group.is_vacant();
        }
        self.settle(&deletion.group_id);
        if let Some((request, answer)) = deletion.answer {
            effects.answer(request, answer);
        }
    }

    fn landed(&mut self, group_id: &str) {
        if let Some(entry) = self.groups.get_mut(group_id) {
            entry.in_flight_count = entry.in_flight_count.saturating_sub(1);
        }
    }
}

/// Offsets may belong to the empty id, members may not.
fn named(group_id: &str) -> Result<Rc<str>, GroupError> {
    if group_id.is_empty() { Err(GroupError::InvalidGroupId) } else { Ok(Rc::from(group_id)) }
}

impl Machine for Partition {
    type Command = Command;
    type Answer = Answer;

    fn replay(&mut self, record: &Record) -> Result<(), ReplayError> {
        match GroupRecord::decode(record)? {
            GroupRecord::Offset { group_id, topic, partition, stored } => match stored {
                Some(stored) => {
                    let wall = stored.commit_timestamp;
                    let group_id = self.find_or_make(&group_id, Now { uptime: Duration::ZERO, wall });
                    if let Some(entry) = self.groups.get_mut(&group_id) {
                        entry.offsets.put(&topic, partition, stored);
                    }
                }
                None => {
                    if let Some(entry) = self.groups.get_mut(group_id.as_str()) {
                        entry.offsets.remove(&topic, partition);
                    }
                }
            },
            GroupRecord::Group { group_id, metadata: Some(metadata) } => {
                let group_id: Rc<str> = Rc::from(group_id);
                let offsets = self.groups.get_mut(&group_id).map(|entry| std::mem::take(&mut entry.offsets));
                self.insert(
                    Rc::clone(&group_id),
                    ClassicGroup::restore(metadata),
                    offsets.unwrap_or_default(),
                );
                if let Some(entry) = self.groups.get_mut(&group_id) {
                    entry.is_stored = true;
                }
            }
            GroupRecord::Group { group_id, metadata: None } => {
                let offsets =
                    self.groups.get_mut(group_id.as_str()).map(|entry| std::mem::take(&mut entry.offsets));
                self.forget(&group_id);
                if let Some(offsets) = offsets.filter(|offsets| !offsets.is_empty()) {
                    let wall = thalweg_engine::units::Timestamp::NONE;
                    self.insert(Rc::from(group_id), ClassicGroup::new(wall), offsets);
                }
            }
            GroupRecord::Other => {}
        }
        Ok(())
    }

    fn loaded(&mut self, now: Now, effects: &mut Effects<Answer>) {
        let group_ids: Vec<Rc<str>> = self.groups.keys().cloned().collect();
        for group_id in group_ids {
            self.turn(&group_id, now, effects, ClassicGroup::loaded);
        }
        self.check_at = now.uptime + Duration::from_millis(self.settings.offsets_check_interval_ms);
    }

    fn handle(&mut self, request: RequestId, command: Command, now: Now, effects: &mut Effects<Answer>) {
        match command {
            Command::Join(join) => self.join(request, join, now, effects),
            Command::Sync(sync) => {
                let named = named(&sync.group_id);
                let found = named
                    .map(|id| self.turn(&id, now, effects, |group, turn| group.sync(request, sync, turn)));
                let error = match found {
                    Ok(Some(())) => return,
                    Ok(None) => GroupError::UnknownMemberId,
                    Err(error) => error,
                };
                effects.answer(request, Answer::Sync(Err(error)));
            }
            Command::Heartbeat(heartbeat) => {
                let alive = named(&heartbeat.group_id).and_then(|id| {
                    let alive = self.turn(&id, now, effects, |group, turn| group.heartbeat(&heartbeat, turn));
                    alive.unwrap_or(Err(GroupError::UnknownMemberId))
                });
                effects.answer(request, Answer::Heartbeat(alive));
            }
            Command::Leave(leave) => {
                let left = named(&leave.group_id).and_then(|id| {
                    let left = self.turn(&id, now, effects, |group, turn| group.leave(leave, turn));
                    left.ok_or(GroupError::UnknownMemberId)
                });
                effects.answer(request, Answer::Leave(left));
            }
            Command::Commit(commit) => self.commit(request, commit, now, effects),
            Command::Fetch(fetch) => effects.answer(request, Answer::Fetch(Ok(self.fetch(fetch)))),
            Command::Describe(group_id) => {
                effects.answer(request, Answer::Described(self.describe(&group_id)));
            }
            Command::List => effects.answer(request, Answer::Listed(self.list())),
            Command::Delete(group_id) => self.delete(request, &group_id, effects),
            Command::DeleteOffsets { group_id, topics } => {
                self.delete_offsets(request, &group_id, topics, effects);
            }
            Command::StoredTopics => effects.answer(request, Answer::StoredTopics(self.stored_topics())),
            Command::TopicsDeleted(topics) => {
                self.gone.extend(topics);
                self.remove_gone(effects);
                effects.answer(request, Answer::Done);
            }
        }
    }

    fn durable(&mut self, append: AppendId, now: Now, effects: &mut Effects<Answer>) {
        while self.in_flight.front().is_some_and(|(first, _)| *first <= append) {
            let Some((_, then)) = self.in_flight.pop_front() else { return };
            self.land(then, now, effects);
        }
    }

    fn refused(&mut self, append: AppendId, refusal: Refusal, now: Now, effects: &mut Effects<Answer>) {
        let Some(at) = self.in_flight.iter().position(|(id, _)| *id == append) else { return };
        let Some((_, then)) = self.in_flight.remove(at) else { return };
        let too_large = refusal == Refusal::TooLarge;
        match then {
            InFlight::Tombstones => {}
            InFlight::Deleted(deletion) => {
                self.landed(&deletion.group_id);
                if let Some((request, answer)) = deletion.answer {
                    let error = GroupError::NotAvailable;
                    let is_group = matches!(answer, Answer::Deleted(_));
                    let answer = if is_group {
                        Answer::Deleted(Err(error))
                    } else {
                        Answer::OffsetsDeleted(Err(error))
                    };
                    effects.answer(request, answer);
                }
            }
            InFlight::Group { group_id, write } => {
                let error = if too_large { GroupError::MetadataTooLarge } else { GroupError::NotAvailable };
                self.landed(&group_id);
                self.turn(&group_id, now, effects, |group, turn| group.refused(write, error, turn));
            }
            InFlight::Offsets { group_id, commit } => {
                let error = if too_large { GroupError::CommitTooLarge } else { GroupError::NotAvailable };
                self.landed(&group_id);
                self.settle(&group_id);
                let mut answer = commit.answer;
                for (_, outcome) in answer.iter_mut().flat_map(|topic| &mut topic.partitions) {
                    outcome.get_or_insert(error);
                }
                effects.answer(commit.request, Answer::Commit(Ok(answer)));
            }
        }
    }

    fn tick(&mut self, now: Now, effects: &mut Effects<Answer>) {
        while let Some(group_id) = self.timers.pop(now.uptime) {
            self.turn(&group_id, now, effects, ClassicGroup::tick);
        }
        self.remove_gone(effects);
        if now.uptime >= self.check_at {
            self.check_at = now.uptime + Duration::from_millis(self.settings.offsets_check_interval_ms);
            self.check_expiry(now, effects);
        }
    }

    fn next_deadline(&mut self) -> Option<Duration> {
        let check_at = (self.check_at < Duration::MAX).then_some(self.check_at);
        [self.timers.first(), check_at].into_iter().flatten().min()
    }
}

#[cfg(test)]
impl Partition {
    /// The budget is what the groups weigh.
    pub(super) fn assert_consistent(&self) {
        let weigh = |(id, entry): (&Rc<str>, &Entry)| id.len() + entry.group.bytes() + entry.offsets.bytes();
        assert_eq!(self.budget.bytes(), self.groups.iter().map(weigh).sum::<usize>());
        assert_eq!(self.budget.groups(), self.groups.len());
    }
}

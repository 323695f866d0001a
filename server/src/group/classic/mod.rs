//! One group of the join / sync / heartbeat protocol.
//!
//! ```text
//!             a member joins                 all joined, or time is up
//!   Empty ───────────────────► Preparing ─────────────────────────► Completing
//!     ▲                        ▲   ▲  │                              │      │
//!     └────────────────────────┼───┼──┘ nobody joined                │      │ the leader's assignment
//!                              │   └─────────────────────────────────┘      ▼ is stored
//!                              └───────── joins, leaves, silence ───────── Stable
//! ```
//! Always: every request is answered once; a generation has one leader, who alone sees the members; an assignment is
//! handed out only when its record is durable. Clients bring the assignment, the group never looks into it.
//!
//! This file: the state and how members enter and leave it. `join`, `rebalance`, `membership`: the events.

mod join;
mod membership;
mod rebalance;

use super::member::Member;
use super::messages::{Answer, GroupError, JoinAnswer, JoinMember};
use super::settings::GroupSettings;
use crate::coordinator::{Now, RequestId, Timers};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use thalweg_engine::units::Timestamp;

/// Where a group is in its round. (Kafka's `Dead` is a group that is not in memory.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// No members; offsets may be there.
    Empty,
    /// Waits for members to join.
    PreparingRebalance,
    /// Waits for the leader's assignment.
    CompletingRebalance,
    /// Members work.
    Stable,
}

/// What is kept of a group in the log: the value of its metadata record, apart from its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// Its type, `None` for a group that never had members.
    pub protocol_type: Option<String>,
    /// Counts the rounds.
    pub generation: i32,
    /// The protocol chosen.
    pub protocol: Option<String>,
    /// Who assigned.
    pub leader: Option<String>,
    /// When the state was entered, wall clock; `None` in old records.
    pub state_since: Option<Timestamp>,
    /// Its members.
    pub members: Vec<MemberMetadata>,
}

/// What is kept of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberMetadata {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// Its client id.
    pub client_id: String,
    /// Where it comes from.
    pub client_host: String,
    /// How long a rebalance waits for it.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// What it said under the protocol chosen.
    pub subscription: Bytes,
    /// Its share.
    pub assignment: Bytes,
}

/// What follows once the group's metadata is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// The assignment of this generation is handed out.
    Assigned {
        /// The generation it is for.
        generation: i32,
        /// Every member's share.
        assignments: BTreeMap<String, Bytes>,
    },
    /// A static member came back under a new id, and nothing else changed: its join is answered.
    Replaced(Box<Replaced>),
    /// The last member left: nothing follows.
    Emptied,
}

/// A static member that came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The generation it came into.
    pub generation: i32,
    /// Its new id.
    pub member_id: String,
    /// As it was, with its old id.
    pub(crate) before: Member,
    /// Who led before it came.
    pub leader_before: Option<String>,
    /// The client understands `skip_assignment`.
    pub may_skip_assignment: bool,
}

/// One event's surroundings: the rules, the time, and where its effects go.
pub struct Turn<'a> {
    /// The rules.
    pub settings: &'a GroupSettings,
    /// The time.
    pub now: Now,
    /// Answers that may leave.
    pub answers: &'a mut Vec<(RequestId, Answer)>,
    /// The group's metadata to store, with what follows.
    pub writes: &'a mut Vec<(GroupMetadata, Write)>,
}

impl Turn<'_> {
    fn in_ms(&self, milliseconds: i32) -> Duration {
        self.now.uptime + Duration::from_millis(milliseconds.max(0) as u64)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    /// A member was silent too long, or an id given was not used.
    Session(String),
    /// The rebalance waited long enough for joins.
    Join,
    /// The generation waited long enough for syncs.
    Sync,
}

/// The first rebalance of an empty group: it waits for more members as long as more come.
#[derive(Clone, Copy, Debug)]
struct InitialDelay {
    step_ms: i32,
    left_ms: i32,
    member_added: bool,
}

/// A group. Owned by the shard of its offsets partition, made by its first member or offset.
pub struct ClassicGroup {
    state: State,
    state_since: Option<Timestamp>,
    initial: Option<InitialDelay>,
    protocol_type: Option<String>,
    protocol: Option<String>,
    generation: i32,
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    /// Instance id to member id.
    instances: BTreeMap<String, String>,
    /// Ids given that nobody has joined with yet.
    pending: BTreeSet<String>,
    /// How many members wait for the answer to their join.
    joined_count: usize,
    /// How many members support a protocol.
    supporters: BTreeMap<String, usize>,
    /// Members of this generation that have not synced.
    unsynced: BTreeSet<String>,
    subscribed: Option<BTreeSet<String>>,
    timers: Timers<Timer>,
    bytes: usize,
}

impl ClassicGroup {
    /// A group without members.
    pub fn new(wall: Timestamp) -> Self {
        Self {
            state: State::Empty,
            state_since: Some(wall),
            initial: None,
            protocol_type: None,
            protocol: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeSet::new(),
            joined_count: 0,
            supporters: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            subscribed: None,
            timers: Timers::default(),
            bytes: 0,
        }
    }

    /// A group as its newest record says; time begins with `loaded`.
    pub fn restore(metadata: GroupMetadata) -> Self {
        let mut group = Self::new(Timestamp::NONE);
        group.state_since = metadata.state_since;
        group.generation = metadata.generation;
        group.protocol_type = metadata.protocol_type.filter(|name| !name.is_empty());
        group.protocol = metadata.protocol;
        let protocol = group.protocol.clone().unwrap_or_default();
        for stored in metadata.members {
            group.put(Member::restore(stored, &protocol));
        }
        group.leader = metadata.leader.filter(|id| group.members.contains_key(id));
        if group.leader.is_none() {
            group.leader = group.members.keys().next().cloned();
        }
        group.state = if group.members.is_empty() { State::Empty } else { State::Stable };
        group.subscribed = group.subscriptions();
        group
    }

    /// Where the group is in its round.
    pub fn state(&self) -> State {
        self.state
    }

    /// Counts the rounds.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// `consumer`, `connect`; `None` for a group of offsets alone.
    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// The protocol chosen for this generation.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Who assigns.
    pub fn leader(&self) -> Option<&str> {
        self.leader.as_deref()
    }

    /// Members, by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Nobody is in it and nobody was told to come.
    pub fn is_vacant(&self) -> bool {
        self.state == State::Empty && self.members.is_empty() && self.pending.is_empty()
    }

    /// Memory held for members.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// When `tick` has something to do.
    pub fn next_deadline(&mut self) -> Option<Duration> {
        self.timers.first()
    }

    /// When the group became what it is, wall clock.
    pub fn state_since(&self) -> Option<Timestamp> {
        self.state_since
    }

    /// Topics its consumers read, when the group knows them.
    pub fn subscribed(&self) -> Option<&BTreeSet<String>> {
        self.subscribed.as_ref()
    }

    /// Whether offsets of this topic are in use. A consumer group that does not know its topics uses all.
    pub fn reads(&self, topic: &str) -> bool {
        let unknown = self.protocol_type.as_deref() == Some("consumer");
        self.subscribed.as_ref().map_or(unknown, |topics| topics.contains(topic))
    }

    /// What the log keeps of the group; `shares` in place of the members' own.
    fn metadata(&self, shares: Option<&BTreeMap<String, Bytes>>) -> GroupMetadata {
        let kept = |member: &Member| {
            let share = shares.map_or_else(|| member.assignment.clone(), |all| share_of(all, &member.id));
            member.metadata_record(self.protocol.as_deref(), share)
        };
        GroupMetadata {
            protocol_type: self.protocol_type.clone(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_since: self.state_since,
            members: self.members.values().map(kept).collect(),
        }
    }

    fn enter(&mut self, state: State, turn: &Turn<'_>) {
        self.state = state;
        self.state_since = Some(turn.now.wall);
    }

    fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    fn all_joined(&self) -> bool {
        self.members.len() == self.joined_count && self.pending.is_empty()
    }

    /// The longest time any member asks a rebalance to wait.
    fn rebalance_timeout_ms(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0)
    }

    /// Puts a member in; the first decides the type and leads.
    fn put(&mut self, member: Member) {
        if self.members.is_empty() && !member.protocol_type.is_empty() {
            self.protocol_type = Some(member.protocol_type.clone());
        }
        self.leader.get_or_insert_with(|| member.id.clone());
        if let Some(instance_id) = &member.instance_id {
            self.instances.insert(instance_id.clone(), member.id.clone());
        }
        for protocol in &member.protocols {
            *self.supporters.entry(protocol.name.clone()).or_default() += 1;
        }
        self.joined_count += usize::from(member.awaiting_join.is_some());
        self.bytes += member.bytes();
        self.discard_pending(&member.id);
        let replaced = self.members.insert(member.id.clone(), member);
        assert!(replaced.is_none(), "a member is put in once");
    }

    /// Takes a member out; whoever waits for an answer in it is the caller's to answer. The next in line leads.
    fn take(&mut self, member_id: &str) -> Option<Member> {
        let member = self.members.remove(member_id)?;
        for protocol in &member.protocols {
            if let Some(count) = self.supporters.get_mut(&protocol.name) {
                *count -= 1;
                if *count == 0 {
                    self.supporters.remove(&protocol.name);
                }
            }
        }
        self.joined_count -= usize::from(member.awaiting_join.is_some());
        self.bytes -= member.bytes();
        if let Some(instance_id) = &member.instance_id
            && self.instances.get(instance_id).map(String::as_str) == Some(member_id)
        {
            self.instances.remove(instance_id);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.unsynced.remove(member_id);
        self.timers.cancel(&Timer::Session(member_id.to_owned()));
        Some(member)
    }

    fn await_id(&mut self, member_id: String) {
        self.bytes += member_id.len();
        self.pending.insert(member_id);
    }

    fn discard_pending(&mut self, member_id: &str) -> bool {
        let was = self.pending.remove(member_id);
        if was {
            self.bytes -= member_id.len();
            self.timers.cancel(&Timer::Session(member_id.to_owned()));
        }
        was
    }

    /// Takes a member out for good and tells it so wherever it waits.
    fn dismiss(&mut self, member_id: &str, turn: &mut Turn<'_>) {
        let Some(mut member) = self.take(member_id) else { return };
        if let Some(request) = member.awaiting_join.take() {
            turn.answers.push((request, Answer::Join(JoinAnswer::refused("", GroupError::UnknownMemberId))));
        }
        if let Some(request) = member.awaiting_sync.take() {
            turn.answers.push((request, Answer::Sync(Err(GroupError::UnknownMemberId))));
        }
    }

    /// The deadline of a member moves on by its session timeout.
    fn hear(&mut self, member_id: &str, turn: &Turn<'_>) {
        if let Some(member) = self.members.get(member_id) {
            let at = turn.in_ms(member.session_timeout_ms);
            self.timers.set(Timer::Session(member_id.to_owned()), at);
        }
    }

    /// Whether this member may speak, and under this instance.
    fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            match self.instances.get(instance_id) {
                None => return Err(GroupError::UnknownMemberId),
                Some(known) if known != member_id => return Err(GroupError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(GroupError::UnknownMemberId) }
    }

    /// Everyone, as the leader sees them.
    fn roster(&self) -> Vec<JoinMember> {
        let seen = |member: &Member| JoinMember {
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(self.protocol.as_deref()),
        };
        self.members.values().map(seen).collect()
    }

    /// The answer that puts a member into the present generation.
    fn welcome(&self, member_id: &str) -> JoinAnswer {
        JoinAnswer {
            error: None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member_id: member_id.to_owned(),
            skip_assignment: false,
            members: if self.is_leader(member_id) { self.roster() } else { Vec::new() },
        }
    }

    /// Every protocol all members support gets the votes of those who like it best of these; most votes win.
    fn select_protocol(&self) -> Option<String> {
        let everyone = self.members.len();
        let common = |name: &str| self.supporters.get(name) == Some(&everyone);
        let mut votes: Vec<(&str, usize)> = Vec::new();
        for member in self.members.values() {
            let Some(liked) = member.protocols.iter().find(|protocol| common(&protocol.name)) else {
                continue;
            };
            match votes.iter_mut().find(|(name, _)| *name == liked.name) {
                Some((_, count)) => *count += 1,
                None => votes.push((&liked.name, 1)),
            }
        }
        // Of equals the first one voted for: max_by_key would take the last.
        votes.iter().rev().max_by_key(|(_, count)| *count).map(|(name, _)| (*name).to_owned())
    }

    /// Topics the members subscribe to; `None` where the group is of another type or a subscription does not parse.
    fn subscriptions(&self) -> Option<BTreeSet<String>> {
        if self.protocol_type.as_deref() != Some("consumer") {
            return None;
        }
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(super::member::subscription_topics(&member.metadata(self.protocol.as_deref()))?);
        }
        Some(topics)
    }
}

fn share_of(shares: &BTreeMap<String, Bytes>, member_id: &str) -> Bytes {
    shares.get(member_id).cloned().unwrap_or_default()
}

#[cfg(test)]
impl ClassicGroup {
    /// What is kept twice agrees.
    pub(super) fn assert_consistent(&self) {
        let awaiting = self.members.values().filter(|member| member.awaiting_join.is_some()).count();
        assert_eq!(self.joined_count, awaiting);
        let members: usize = self.members.values().map(Member::bytes).sum();
        assert_eq!(self.bytes, members + self.pending.iter().map(String::len).sum::<usize>());
        assert_eq!(self.leader.is_some(), !self.members.is_empty());
        assert!(self.leader.iter().all(|leader| self.members.contains_key(leader)));
        assert!(self.unsynced.iter().all(|id| self.members.contains_key(id)));
        assert!(self.pending.iter().all(|id| !self.members.contains_key(id)));
        for (instance_id, member_id) in &self.instances {
            assert_eq!(
                self.members.get(member_id).and_then(|member| member.instance_id.as_ref()),
                Some(instance_id)
            );
        }
        for member in self.members.values() {
            let heard = self.timers.deadline(&Timer::Session(member.id.clone())).is_some();
            assert!(heard || member.is_excused(), "{} could stay for ever", member.id);
            let waits = member.awaiting_sync.is_some();
            assert!(!waits || self.state == State::CompletingRebalance, "{} waits for nothing", member.id);
        }
        if self.state == State::PreparingRebalance {
            assert!(self.timers.deadline(&Timer::Join).is_some(), "a rebalance without an end");
        }
        assert!(self.state != State::Empty || self.members.is_empty());
    }
}

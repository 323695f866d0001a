//! A rebalance from its start to the new generation, and what time does to a group.

use super::super::messages::{Answer, GroupError};
use super::{ClassicGroup, InitialDelay, State, Timer, Turn, Write};
use bytes::Bytes;

impl ClassicGroup {
    /// Begins a rebalance, or goes on with the one that runs.
    pub(super) fn rebalance_or_complete(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::PreparingRebalance {
            self.complete_when_all_joined(turn);
        } else {
            self.prepare(turn);
        }
    }

    /// Begins a rebalance: members learn of it from their heartbeats and join again.
    pub(super) fn prepare(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::CompletingRebalance {
            self.drop_assignments(GroupError::RebalanceInProgress, turn);
        }
        self.unsynced.clear();
        self.timers.cancel(&Timer::Sync);
        self.initial = None;
        if self.state == State::Empty {
            let step_ms = turn.settings.initial_rebalance_delay_ms;
            let left_ms = (self.rebalance_timeout_ms() - step_ms).max(0);
            self.initial = Some(InitialDelay { step_ms, left_ms, member_added: false });
            self.timers.set(Timer::Join, turn.in_ms(step_ms));
            self.enter(State::PreparingRebalance, turn);
            return;
        }
        self.enter(State::PreparingRebalance, turn);
        if self.all_joined() {
            self.complete_join(turn);
        } else {
            self.timers.set(Timer::Join, turn.in_ms(self.rebalance_timeout_ms()));
        }
    }

    /// The first rebalance of an empty group waits its time even when all are there.
    pub(super) fn complete_when_all_joined(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::PreparingRebalance && self.initial.is_none() && self.all_joined() {
            self.complete_join(turn);
        }
    }

    /// Ends the wait for joins: who did not join is out (static members stay until their session ends), the others are
    /// in the next generation.
    pub(super) fn complete_join(&mut self, turn: &mut Turn<'_>) {
        self.timers.cancel(&Timer::Join);
        let absent = |member: &&super::Member| member.awaiting_join.is_none() && member.instance_id.is_none();
        let absent: Vec<String> =
            self.members.values().filter(absent).map(|member| member.id.clone()).collect();
        for member_id in absent {
            self.dismiss(&member_id, turn);
        }
        if !self.members.is_empty() && !self.elect_leader() {
            // Only static members that did not come: wait until their sessions end.
            self.timers.set(Timer::Join, turn.in_ms(self.rebalance_timeout_ms()));
            return;
        }
        self.initial = None;
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.protocol = None;
            self.subscribed = self.subscriptions();
            self.enter(State::Empty, turn);
            turn.writes.push((self.metadata(None), Write::Emptied));
        } else {
            self.open_generation(turn);
        }
    }

    /// The leader must be among those who joined.
    fn elect_leader(&mut self) -> bool {
        let joined = |id: &String| self.members.get(id).is_some_and(|member| member.awaiting_join.is_some());
        if !self.leader.as_ref().is_some_and(joined) {
            let Some(member) = self.members.values().find(|member| member.awaiting_join.is_some()) else {
                return false;
            };
            self.leader = Some(member.id.clone());
        }
        true
    }

    /// Tells everyone the new generation and waits for their syncs.
    fn open_generation(&mut self, turn: &mut Turn<'_>) {
        self.protocol = self.select_protocol();
        self.subscribed = self.subscriptions();
        self.enter(State::CompletingRebalance, turn);
        let everyone: Vec<String> = self.members.keys().cloned().collect();
        for member_id in everyone {
            let waits = self.members.get(&member_id).is_some_and(|member| member.awaiting_join.is_some());
            if waits {
                self.answer_join(&member_id, self.welcome(&member_id), turn);
            }
            if let Some(member) = self.members.get_mut(&member_id) {
                member.is_new = false;
            }
            self.hear(&member_id, turn);
            self.unsynced.insert(member_id);
        }
        self.timers.set(Timer::Sync, turn.in_ms(self.rebalance_timeout_ms()));
    }

    /// Forgets this generation's assignment and tells whoever waits for it.
    pub(super) fn drop_assignments(&mut self, error: GroupError, turn: &mut Turn<'_>) {
        let mut told = Vec::new();
        for member in self.members.values_mut() {
            self.bytes -= member.assignment.len();
            member.assignment = Bytes::new();
            if let Some(request) = member.awaiting_sync.take() {
                turn.answers.push((request, Answer::Sync(Err(error))));
                told.push(member.id.clone());
            }
        }
        // While a member waited, its session did not count: it starts anew.
        for member_id in &told {
            self.hear(member_id, turn);
        }
    }

    /// Acts on deadlines that have passed.
    pub fn tick(&mut self, turn: &mut Turn<'_>) {
        while let Some(timer) = self.timers.pop(turn.now.uptime) {
            match timer {
                Timer::Session(member_id) => self.expire(&member_id, turn),
                Timer::Join => self.join_time_is_up(turn),
                Timer::Sync => self.sync_time_is_up(turn),
            }
        }
    }

    fn expire(&mut self, member_id: &str, turn: &mut Turn<'_>) {
        if self.discard_pending(member_id) {
            if self.state == State::PreparingRebalance && self.all_joined() {
                self.complete_join(turn);
            }
        } else if self.members.get(member_id).is_some_and(|member| !member.is_excused()) {
            self.dismiss(member_id, turn);
            match self.state {
                State::Stable | State::CompletingRebalance => self.prepare(turn),
                State::PreparingRebalance if self.all_joined() => self.complete_join(turn),
                State::PreparingRebalance | State::Empty => {}
            }
        }
    }

    fn join_time_is_up(&mut self, turn: &mut Turn<'_>) {
        if self.state != State::PreparingRebalance {
            return;
        }
        if let Some(initial) = &mut self.initial
            && initial.member_added
            && initial.left_ms > 0
        {
            let next_ms = turn.settings.initial_rebalance_delay_ms.min(initial.left_ms);
            let left_ms = (initial.left_ms - initial.step_ms).max(0);
            *initial = InitialDelay { step_ms: next_ms, left_ms, member_added: false };
            self.timers.set(Timer::Join, turn.in_ms(next_ms));
            return;
        }
        self.complete_join(turn);
    }

    /// Members that joined a generation but never asked for their share hold partitions that nobody reads.
    fn sync_time_is_up(&mut self, turn: &mut Turn<'_>) {
        let settled = matches!(self.state, State::Empty | State::PreparingRebalance);
        if settled || self.unsynced.is_empty() {
            return;
        }
        for member_id in std::mem::take(&mut self.unsynced) {
            self.dismiss(&member_id, turn);
        }
        self.prepare(turn);
    }
}

//! `SyncGroup`, Heartbeat, `LeaveGroup`, who may commit offsets, and what the log says back.

use super::super::member::own;
use super::super::messages::{
    Answer, Commit, GroupError, Heartbeat, JoinAnswer, Leave, LeaveAnswer, LeaveMember, Sync, SyncAnswer,
};
use super::{ClassicGroup, State, Timer, Turn, Write, share_of};
use crate::coordinator::RequestId;
use bytes::Bytes;
use std::collections::BTreeMap;

impl ClassicGroup {
    /// A member wants its share; the leader brings everyone's.
    pub fn sync(&mut self, request: RequestId, sync: Sync, turn: &mut Turn<'_>) {
        if let Err(error) = self.check_sync(&sync) {
            turn.answers.push((request, Answer::Sync(Err(error))));
            return;
        }
        match self.state {
            State::Empty => turn.answers.push((request, Answer::Sync(Err(GroupError::UnknownMemberId)))),
            State::PreparingRebalance => {
                turn.answers.push((request, Answer::Sync(Err(GroupError::RebalanceInProgress))));
            }
            State::CompletingRebalance => {
                self.synced(&sync.member_id);
                if let Some(member) = self.members.get_mut(&sync.member_id)
                    && let Some(superseded) = member.awaiting_sync.replace(request)
                {
                    turn.answers.push((superseded, Answer::Sync(Err(GroupError::RebalanceInProgress))));
                }
                if self.is_leader(&sync.member_id) {
                    self.store_assignment(sync.assignments, turn);
                }
            }
            State::Stable => {
                self.synced(&sync.member_id);
                turn.answers.push((request, Answer::Sync(Ok(self.share(&sync.member_id)))));
            }
        }
    }

    fn check_sync(&self, sync: &Sync) -> Result<(), GroupError> {
        self.check_member(&sync.member_id, sync.instance_id.as_deref())?;
        if sync.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        let differs =
            |said: &Option<String>, is: &Option<String>| said.is_some() && is.is_some() && said != is;
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return Err(GroupError::InconsistentProtocol);
        }
        Ok(())
    }

    fn synced(&mut self, member_id: &str) {
        self.unsynced.remove(member_id);
        if self.unsynced.is_empty() {
            self.timers.cancel(&Timer::Sync);
        }
    }

    /// Members the leader forgot get an empty share; shares of strangers are dropped.
    fn store_assignment(&mut self, brought: Vec<(String, Bytes)>, turn: &mut Turn<'_>) {
        let known = brought.into_iter().filter(|(member_id, _)| self.members.contains_key(member_id));
        let mut assignments: BTreeMap<String, Bytes> =
            known.map(|(member_id, share)| (member_id, own(&share))).collect();
        for member_id in self.members.keys() {
            assignments.entry(member_id.clone()).or_default();
        }
        let metadata = self.metadata(Some(&assignments));
        turn.writes.push((metadata, Write::Assigned { generation: self.generation, assignments }));
    }

    fn share(&self, member_id: &str) -> SyncAnswer {
        SyncAnswer {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self
                .members
                .get(member_id)
                .map(|member| member.assignment.clone())
                .unwrap_or_default(),
        }
    }

    /// A member is alive.
    ///
    /// # Errors
    /// When it is not a member of this generation, or should join again.
    pub fn heartbeat(&mut self, heartbeat: &Heartbeat, turn: &Turn<'_>) -> Result<(), GroupError> {
        self.check_member(&heartbeat.member_id, heartbeat.instance_id.as_deref())?;
        if heartbeat.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        self.hear(&heartbeat.member_id, turn);
        match self.state {
            State::Empty => Err(GroupError::UnknownMemberId),
            State::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    /// Members go, or an operator takes them out; the rest rebalance once.
    pub fn leave(&mut self, leave: Leave, turn: &mut Turn<'_>) -> Vec<LeaveAnswer> {
        let mut answers = Vec::with_capacity(leave.members.len());
        for member in leave.members {
            let error = self.leave_one(&member, turn).err();
            answers.push(LeaveAnswer { member, error });
        }
        if answers.iter().any(|answer| answer.error.is_none()) {
            match self.state {
                State::Stable | State::CompletingRebalance => self.prepare(turn),
                State::PreparingRebalance => self.complete_when_all_joined(turn),
                State::Empty => {}
            }
        }
        answers
    }

    fn leave_one(&mut self, member: &LeaveMember, turn: &mut Turn<'_>) -> Result<(), GroupError> {
        if member.member_id.is_empty() {
            let known = member.instance_id.as_ref().and_then(|instance_id| self.instances.get(instance_id));
            let member_id = known.cloned().ok_or(GroupError::UnknownMemberId)?;
            self.dismiss(&member_id, turn);
        } else if !self.discard_pending(&member.member_id) {
            self.check_member(&member.member_id, member.instance_id.as_deref())?;
            self.dismiss(&member.member_id, turn);
        }
        Ok(())
    }

    /// Whether these offsets may be stored; a member that commits is alive.
    ///
    /// # Errors
    /// When the committer is not a member of this generation, or the group is assigning, or it is no member and the
    /// group has some.
    pub fn check_commit(&mut self, commit: &Commit, turn: &Turn<'_>) -> Result<(), GroupError> {
        if commit.generation < 0 && self.state == State::Empty {
            return Ok(()); // tools, and consumers that assign themselves
        }
        if commit.generation < 0 && commit.member_id.is_empty() && commit.instance_id.is_none() {
            return Err(GroupError::UnknownMemberId);
        }
        self.check_member(&commit.member_id, commit.instance_id.as_deref())?;
        if commit.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        if self.state == State::CompletingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        self.hear(&commit.member_id, turn);
        Ok(())
    }

    /// The whole log was read: sessions start anew, and a group above its limit rebalances down to it.
    pub fn loaded(&mut self, turn: &mut Turn<'_>) {
        let everyone: Vec<String> = self.members.keys().cloned().collect();
        for member_id in &everyone {
            self.hear(member_id, turn);
        }
        if self.members.len() > turn.settings.members_max {
            self.prepare(turn);
        }
    }

    /// The metadata that was handed out to be stored is durable.
    pub fn durable(&mut self, write: Write, turn: &mut Turn<'_>) {
        match write {
            Write::Assigned { generation, assignments } => self.assigned(generation, &assignments, turn),
            Write::Replaced(replaced) => self.replaced(&replaced, turn),
            Write::Emptied => {}
        }
    }

    /// The metadata that was handed out to be stored was not taken.
    pub fn refused(&mut self, write: Write, error: GroupError, turn: &mut Turn<'_>) {
        match write {
            Write::Assigned { generation, .. } => {
                if self.state == State::CompletingRebalance && self.generation == generation {
                    self.drop_assignments(error, turn);
                    self.prepare(turn);
                }
            }
            Write::Replaced(replaced) => self.unreplaced(*replaced, error, turn),
            Write::Emptied => {}
        }
    }

    /// A rebalance may have begun while the record was under way: then its assignment is void.
    fn assigned(&mut self, generation: i32, assignments: &BTreeMap<String, Bytes>, turn: &mut Turn<'_>) {
        if self.state != State::CompletingRebalance || self.generation != generation {
            return;
        }
        for member in self.members.values_mut() {
            self.bytes -= member.assignment.len();
            member.assignment = share_of(assignments, &member.id);
            self.bytes += member.assignment.len();
        }
        self.enter(State::Stable, turn);
        let everyone: Vec<String> = self.members.keys().cloned().collect();
        for member_id in everyone {
            let waiting = self.members.get_mut(&member_id).and_then(|member| member.awaiting_sync.take());
            if let Some(request) = waiting {
                turn.answers.push((request, Answer::Sync(Ok(self.share(&member_id)))));
                self.hear(&member_id, turn);
            }
        }
    }

    /// Answers everyone who waits, before the group is forgotten.
    pub fn close(&mut self, error: GroupError, turn: &mut Turn<'_>) {
        for member in self.members.values_mut() {
            if let Some(request) = member.awaiting_join.take() {
                self.joined_count -= 1;
                turn.answers.push((request, Answer::Join(JoinAnswer::refused(&member.id, error))));
            }
            if let Some(request) = member.awaiting_sync.take() {
                turn.answers.push((request, Answer::Sync(Err(error))));
            }
        }
    }
}

//! `JoinGroup`: who may come in, under which id, and what that starts.

use super::super::member::{Member, own_protocols};
use super::super::messages::{Answer, GroupError, Join, JoinAnswer, Protocol};
use super::{ClassicGroup, Replaced, State, Timer, Turn, Write};
use crate::coordinator::RequestId;

impl ClassicGroup {
    /// Someone wants to become or stay a member. The session timeout was checked.
    pub fn join(&mut self, request: RequestId, join: Join, turn: &mut Turn<'_>) {
        let refused = |member_id: &str, error| Answer::Join(JoinAnswer::refused(member_id, error));
        if !self.has_room_for(&join.member_id, turn.settings.members_max) {
            self.dismiss(&join.member_id, turn);
            self.discard_pending(&join.member_id);
            turn.answers.push((request, refused("", GroupError::GroupMaxSizeReached)));
        } else if !self.shares_protocol(&join.protocol_type, &join.protocols) {
            turn.answers.push((request, refused(&join.member_id, GroupError::InconsistentProtocol)));
        } else if join.member_id.is_empty() {
            self.join_new(request, join, turn);
        } else if self.pending.contains(&join.member_id) && join.instance_id.is_none() {
            let member_id = join.member_id.clone();
            self.add(member_id, request, join, turn);
        } else if let Err(error) = self.check_member(&join.member_id, join.instance_id.as_deref()) {
            turn.answers.push((request, refused(&join.member_id, error)));
        } else {
            self.rejoin(request, join, turn);
        }
    }

    /// `group.max.size` counts, during a rebalance, those who have joined it: so a limit that was lowered acts.
    fn has_room_for(&self, member_id: &str, members_max: usize) -> bool {
        let member = self.members.get(member_id);
        match self.state {
            State::Empty => self.pending.contains(member_id) || self.pending.len() < members_max,
            State::PreparingRebalance => {
                member.is_some_and(|known| known.awaiting_join.is_some()) || self.joined_count < members_max
            }
            State::CompletingRebalance | State::Stable => {
                member.is_some() || self.members.len() < members_max
            }
        }
    }

    fn shares_protocol(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let everyone = self.members.len();
        let supported = |name: &str| self.supporters.get(name).copied().unwrap_or(0) == everyone;
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|protocol| supported(&protocol.name))
    }

    fn join_new(&mut self, request: RequestId, join: Join, turn: &mut Turn<'_>) {
        let member_id = join.member_id_new.clone();
        let known =
            join.instance_id.as_ref().and_then(|instance_id| self.instances.get(instance_id).cloned());
        if let Some(before) = known {
            self.replace(&before, member_id, request, join, turn);
        } else if join.known_id_required && join.instance_id.is_none() {
            // KIP-394: a client that gives up and tries again must not leave a member behind each time.
            let at = turn.in_ms(join.session_timeout_ms);
            turn.answers
                .push((request, Answer::Join(JoinAnswer::refused(&member_id, GroupError::MemberIdRequired))));
            self.timers.set(Timer::Session(member_id.clone()), at);
            self.await_id(member_id);
        } else {
            self.add(member_id, request, join, turn);
        }
    }

    fn add(&mut self, member_id: String, request: RequestId, join: Join, turn: &mut Turn<'_>) {
        if let Some(initial) = &mut self.initial {
            initial.member_added = true;
        }
        self.put(Member::arriving(member_id.clone(), join, request));
        self.timers.set(Timer::Session(member_id), turn.in_ms(turn.settings.new_member_timeout_ms));
        self.rebalance_or_complete(turn);
    }

    fn rejoin(&mut self, request: RequestId, join: Join, turn: &mut Turn<'_>) {
        let unchanged =
            self.members.get(&join.member_id).is_some_and(|member| member.protocols == join.protocols);
        let starts_rebalance = match self.state {
            State::Empty | State::PreparingRebalance => true,
            // The answer to its join was lost: it gets the same again.
            State::CompletingRebalance => !unchanged,
            // The leader asks for a rebalance when something it assigns has changed, a partition count for instance.
            State::Stable => self.is_leader(&join.member_id) || !unchanged,
        };
        if starts_rebalance {
            self.update(request, join, turn);
            self.rebalance_or_complete(turn);
        } else {
            let mut answer = self.welcome(&join.member_id);
            if self.state == State::Stable {
                answer.members.clear();
            }
            turn.answers.push((request, Answer::Join(answer)));
        }
    }

    /// A member says anew what it supports and waits for the next generation.
    fn update(&mut self, request: RequestId, join: Join, turn: &mut Turn<'_>) {
        let was_leader = self.is_leader(&join.member_id);
        let was_unsynced = self.unsynced.contains(&join.member_id);
        let session = self.timers.deadline(&Timer::Session(join.member_id.clone()));
        let Some(mut member) = self.take(&join.member_id) else { return };
        if let Some(superseded) = member.awaiting_join.replace(request) {
            let late = JoinAnswer::refused(&join.member_id, GroupError::RebalanceInProgress);
            turn.answers.push((superseded, Answer::Join(late)));
        }
        member.protocols = own_protocols(join.protocols);
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.session_timeout_ms = join.session_timeout_ms;
        if was_leader {
            self.leader = Some(member.id.clone());
        }
        if was_unsynced {
            self.unsynced.insert(member.id.clone());
        }
        if let Some(at) = session {
            self.timers.set(Timer::Session(member.id.clone()), at);
        }
        self.put(member);
    }

    /// A static member is back with no id: it takes its old place under a new id, and the old id is fenced.
    fn replace(
        &mut self,
        before: &str,
        member_id: String,
        request: RequestId,
        join: Join,
        turn: &mut Turn<'_>,
    ) {
        let leader_before = self.leader.clone();
        let may_skip_assignment = join.may_skip_assignment;
        let Some(mut old) = self.take(before) else { return };
        if let Some(fenced) = old.awaiting_join.take() {
            let answer = JoinAnswer::refused(before, GroupError::FencedInstanceId);
            turn.answers.push((fenced, Answer::Join(answer)));
        }
        if let Some(fenced) = old.awaiting_sync.take() {
            turn.answers.push((fenced, Answer::Sync(Err(GroupError::FencedInstanceId))));
        }
        let mut member = Member::arriving(member_id.clone(), join, request);
        member.is_new = false;
        member.client_id.clone_from(&old.client_id);
        member.client_host.clone_from(&old.client_host);
        member.assignment = old.assignment.clone();
        if leader_before.as_deref() == Some(before) {
            self.leader = Some(member_id.clone());
        }
        self.put(member);
        self.hear(&member_id, turn);
        match self.state {
            State::Stable if self.select_protocol() == self.protocol => {
                let replaced = Replaced {
                    generation: self.generation,
                    member_id,
                    before: old,
                    leader_before,
                    may_skip_assignment,
                };
                turn.writes.push((self.metadata(None), Write::Replaced(Box::new(replaced))));
            }
            // The leader may have the old id in hand already: its assignment would miss the new one.
            State::Stable | State::CompletingRebalance => self.prepare(turn),
            State::Empty | State::PreparingRebalance => self.complete_when_all_joined(turn),
        }
    }

    /// The record that names a static member's new id is durable: the member may go on where it was.
    pub(super) fn replaced(&mut self, replaced: &Replaced, turn: &mut Turn<'_>) {
        if self.state != State::Stable || self.generation != replaced.generation {
            return; // a rebalance began meanwhile and answers the join
        }
        let mut answer = self.welcome(&replaced.member_id);
        if replaced.may_skip_assignment {
            answer.skip_assignment = self.is_leader(&replaced.member_id);
        } else {
            // Told of the old leader, an old client asks for its assignment instead of making one.
            answer.leader = replaced.leader_before.clone().unwrap_or_default();
            answer.members.clear();
        }
        self.answer_join(&replaced.member_id, answer, turn);
    }

    /// The record that names a static member's new id was not taken: everything is as before, unless a rebalance took
    /// the new member in meanwhile.
    pub(super) fn unreplaced(&mut self, replaced: Replaced, error: GroupError, turn: &mut Turn<'_>) {
        if self.state != State::Stable || self.generation != replaced.generation {
            return;
        }
        let leads = self.is_leader(&replaced.member_id);
        let Some(mut member) = self.take(&replaced.member_id) else { return };
        if let Some(request) = member.awaiting_join.take() {
            turn.answers.push((request, Answer::Join(JoinAnswer::refused("", error))));
        }
        if leads {
            self.leader = Some(replaced.before.id.clone());
        }
        let before = replaced.before.id.clone();
        self.put(replaced.before);
        self.hear(&before, turn);
    }

    /// Answers a member's join if it waits for one.
    pub(super) fn answer_join(&mut self, member_id: &str, answer: JoinAnswer, turn: &mut Turn<'_>) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        if let Some(request) = member.awaiting_join.take() {
            self.joined_count -= 1;
            turn.answers.push((request, Answer::Join(answer)));
        }
    }
}

//! One member of a group, as a client is one: what it asks next, and what an answer makes of it.
//!
//! A machine: no socket, no clock, no bytes. What becomes of its partitions it tells the group's [`Board`].
//! ```text
//!            found            answered         given          positions known
//!  Finding ────────► Joining ────────► Syncing ─────► Placing ───────────────► Stable
//!     ▲                 ▲                               │ (cooperative: something to give up)
//!     │ not coordinator ├───────────────────────────────┘                        │
//!     └─────────────────┴── rebalance in progress, unknown member, old generation ┘
//! ```
//! Eager members let go of everything before they join, cooperative ones of what they lost after the sync. Whoever lets go
//! of something it read commits first, on the same connection, so that the next owner begins where it ended.
use std::collections::BTreeMap;
use std::time::Duration;

use super::{Assignor, Board};
use crate::client::{code_name, is_retriable};
use crate::histogram::Latencies;

const ILLEGAL_GENERATION: i16 = 22;
const UNKNOWN_MEMBER_ID: i16 = 25;
const REBALANCE_IN_PROGRESS: i16 = 27;
const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const NOT_COORDINATOR: i16 = 16;
const MEMBER_ID_REQUIRED: i16 = 79;
const UNSTABLE_OFFSET_COMMIT: i16 = 88;
/// Pause before something that may pass is asked again; `retry.backoff.ms` of Kafka's clients.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// What members of a run have in common.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How partitions are shared.
    pub assignor: Assignor,
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// Between two commits of what was read; `None`: only when something is let go.
    pub commit_interval: Option<Duration>,
    /// Members fetch, so their commits say how far they came.
    pub reads: bool,
}

/// What a member wants to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// Where the coordinator is.
    Find,
    /// To be in the next generation; with what it owns.
    Join(Vec<i32>),
    /// Its share.
    Sync,
    /// How far these partitions were read.
    Offsets(Vec<i32>),
    /// To be counted as alive.
    Heartbeat,
    /// That these partitions were read so far.
    Commit(Vec<(i32, i64)>),
    /// To be out.
    Leave,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Out,
    Finding,
    Joining,
    Syncing,
    Placing,
    Stable,
    Leaving,
}

/// Where a member reports to, and when.
pub struct Turn<'a> {
    /// The rules.
    pub rules: &'a Rules,
    /// Its group.
    pub board: &'a mut Board,
    /// Time without a reader, by partition and rebalance.
    pub gaps: &'a mut Latencies,
    /// The time.
    pub now: Duration,
}

/// A member. Owned by its seat.
#[derive(Debug)]
pub struct Member {
    phase: Phase,
    id: String,
    generation: i32,
    /// The generation it counts as settled in.
    settled: Option<i32>,
    /// Its share, in order.
    assigned: Vec<i32>,
    /// The next offset of each partition it reads.
    positions: BTreeMap<i32, i64>,
    /// To be committed before anything else is asked.
    parting: Vec<(i32, i64)>,
    /// Something other than a heartbeat or a commit is under way.
    is_busy: bool,
    is_beating: bool,
    heartbeat_at: Duration,
    commit_at: Duration,
    hold_until: Duration,
}

impl Default for Member {
    fn default() -> Self {
        Self {
            phase: Phase::Out,
            id: String::new(),
            generation: -1,
            settled: None,
            assigned: Vec::new(),
            positions: BTreeMap::new(),
            parting: Vec::new(),
            is_busy: false,
            is_beating: false,
            heartbeat_at: Duration::ZERO,
            commit_at: Duration::ZERO,
            hold_until: Duration::ZERO,
        }
    }
}

impl Member {
    /// Neither in the group nor on its way in or out.
    pub fn is_out(&self) -> bool {
        self.phase == Phase::Out
    }

    /// In the group or on its way in.
    pub fn is_live(&self) -> bool {
        !matches!(self.phase, Phase::Out | Phase::Leaving)
    }

    /// It knows its share and where to begin.
    pub fn is_stable(&self) -> bool {
        self.phase == Phase::Stable
    }

    /// The id it was given.
    pub fn member_id(&self) -> &str {
        &self.id
    }

    /// The generation it is in.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// The next offset of each partition it reads.
    pub fn positions(&self) -> &BTreeMap<i32, i64> {
        &self.positions
    }

    /// It read up to here, if it still reads this partition.
    pub fn advance(&mut self, partition: i32, next: i64) {
        if let Some(position) = self.positions.get_mut(&partition) {
            *position = (*position).max(next);
        }
    }

    /// It comes, without an id.
    pub fn start(&mut self, turn: &mut Turn<'_>) {
        *self = Self { phase: Phase::Finding, ..Self::default() };
        turn.board.enter(turn.now);
    }

    /// It leaves: commits, says so, and is out when that is answered.
    pub fn leave(&mut self, turn: &mut Turn<'_>) {
        if !self.is_live() {
            return;
        }
        let knows_itself = !self.id.is_empty();
        self.let_go_of_all(true, turn);
        turn.board.exit();
        self.phase = if knows_itself { Phase::Leaving } else { Phase::Out };
        (self.is_busy, self.hold_until) = (false, Duration::ZERO);
    }

    /// It dies without a word.
    pub fn die(&mut self, turn: &mut Turn<'_>) {
        if self.is_live() {
            self.let_go_of_all(false, turn);
            turn.board.exit();
        }
        *self = Self::default();
    }

    /// What it asks now; it counts as asked.
    pub fn next(&mut self, rules: &Rules, now: Duration) -> Option<Want> {
        if !self.parting.is_empty() && self.phase != Phase::Finding {
            return Some(Want::Commit(std::mem::take(&mut self.parting)));
        }
        let may_ask = !self.is_busy && now >= self.hold_until;
        let want = match self.phase {
            Phase::Out => None,
            Phase::Finding => may_ask.then_some(Want::Find),
            Phase::Joining => may_ask.then(|| Want::Join(self.assigned.clone())),
            Phase::Syncing => may_ask.then_some(Want::Sync),
            Phase::Placing => may_ask.then(|| Want::Offsets(self.unplaced())),
            Phase::Leaving => may_ask.then_some(Want::Leave),
            Phase::Stable => None,
        };
        if want.is_some() {
            self.is_busy = true;
            return want;
        }
        if matches!(self.phase, Phase::Placing | Phase::Stable)
            && now >= self.heartbeat_at
            && !self.is_beating
        {
            self.is_beating = true;
            self.heartbeat_at = now + rules.heartbeat;
            return Some(Want::Heartbeat);
        }
        if let Some(interval) = rules.commit_interval
            && self.phase == Phase::Stable
            && rules.reads
            && now >= self.commit_at
        {
            self.commit_at = now + interval;
            return (!self.positions.is_empty()).then(|| Want::Commit(self.progress(usize::MAX)));
        }
        None
    }

    /// When [`Self::next`] may have something without an answer before.
    pub fn wake_at(&self, rules: &Rules) -> Option<Duration> {
        let beat = (!self.is_beating).then_some(self.heartbeat_at);
        match self.phase {
            Phase::Out => None,
            Phase::Stable if rules.reads && rules.commit_interval.is_some() => {
                Some(beat.map_or(self.commit_at, |beat| beat.min(self.commit_at)))
            }
            Phase::Stable => beat,
            _ if self.is_busy => None,
            _ => Some(self.hold_until),
        }
    }

    /// How far it came in at most `count` of its partitions.
    pub fn progress(&self, count: usize) -> Vec<(i32, i64)> {
        self.positions.iter().take(count).map(|(partition, next)| (*partition, *next)).collect()
    }

    /// The coordinator is known, or why not.
    ///
    /// # Errors
    /// If it will never be.
    pub fn on_found(&mut self, code: i16, now: Duration) -> Result<(), String> {
        self.is_busy = false;
        match code {
            0 => self.phase = Phase::Joining,
            code if is_retriable(code) => self.hold_until = now + REFUSED_PAUSE,
            code => return Err(format!("FindCoordinator: {}", code_name(code))),
        }
        Ok(())
    }

    /// Its join was answered. Returns whether it is in a new generation.
    ///
    /// # Errors
    /// If it can never be.
    pub fn on_joined(
        &mut self,
        code: i16,
        id: &str,
        generation: i32,
        turn: &mut Turn<'_>,
    ) -> Result<bool, String> {
        self.is_busy = false;
        if self.phase != Phase::Joining {
            return Ok(false); // it left meanwhile
        }
        match code {
            0 => {
                id.clone_into(&mut self.id);
                (self.generation, self.phase) = (generation, Phase::Syncing);
                return Ok(true);
            }
            MEMBER_ID_REQUIRED => id.clone_into(&mut self.id),
            code => self.on_fault("JoinGroup", code, turn)?,
        }
        Ok(false)
    }

    /// It has its share, or not.
    ///
    /// # Errors
    /// If it can never have one.
    pub fn on_synced(&mut self, code: i16, mut share: Vec<i32>, turn: &mut Turn<'_>) -> Result<(), String> {
        self.is_busy = false;
        if self.phase != Phase::Syncing {
            return Ok(());
        }
        if code != 0 {
            return self.on_fault("SyncGroup", code, turn);
        }
        share.sort_unstable();
        let lost: Vec<i32> =
            self.assigned.iter().copied().filter(|owned| share.binary_search(owned).is_err()).collect();
        for partition in &lost {
            self.let_go(*partition, true, turn);
        }
        for partition in &share {
            if self.assigned.binary_search(partition).is_err() {
                turn.board.assign(*partition);
            }
        }
        self.assigned = share;
        (self.heartbeat_at, self.commit_at) = (
            turn.now + turn.rules.heartbeat,
            turn.now + turn.rules.commit_interval.unwrap_or(Duration::ZERO),
        );
        if lost.is_empty() {
            turn.board.settle(self.generation);
            self.settled = Some(self.generation);
            self.phase = if self.unplaced().is_empty() { Phase::Stable } else { Phase::Placing };
        } else {
            // KIP-429: what was let go of is shared in a round of its own.
            self.phase = Phase::Joining;
        }
        Ok(())
    }

    /// Where its partitions were read to: it begins to read.
    ///
    /// # Errors
    /// If it can never know.
    pub fn on_offsets(
        &mut self,
        code: i16,
        offsets: &[(i32, i64)],
        turn: &mut Turn<'_>,
    ) -> Result<(), String> {
        self.is_busy = false;
        if self.phase != Phase::Placing {
            return Ok(());
        }
        match code {
            0 => {}
            UNSTABLE_OFFSET_COMMIT => {
                self.hold_until = turn.now + REFUSED_PAUSE;
                return Ok(());
            }
            code => return self.on_fault("OffsetFetch", code, turn),
        }
        for (partition, offset) in offsets {
            if self.assigned.binary_search(partition).is_ok()
                && self.positions.insert(*partition, *offset).is_none()
            {
                turn.board.begin_reading(*partition, turn.now, turn.gaps);
            }
        }
        if self.unplaced().is_empty() {
            self.phase = Phase::Stable;
        } else {
            self.hold_until = turn.now + REFUSED_PAUSE;
        }
        Ok(())
    }

    /// Its heartbeat was answered.
    ///
    /// # Errors
    /// If it can never be a member again.
    pub fn on_beat(&mut self, code: i16, turn: &mut Turn<'_>) -> Result<(), String> {
        self.is_beating = false;
        if code == 0 || !matches!(self.phase, Phase::Placing | Phase::Stable) {
            return Ok(());
        }
        self.on_fault("Heartbeat", code, turn)
    }

    /// Its commit was answered.
    ///
    /// # Errors
    /// If it can never be a member again.
    pub fn on_committed(&mut self, code: i16, turn: &mut Turn<'_>) -> Result<(), String> {
        // What cannot be committed is read again; what the code says of the member counts while it is one.
        let counts = matches!(
            code,
            UNKNOWN_MEMBER_ID
                | ILLEGAL_GENERATION
                | REBALANCE_IN_PROGRESS
                | COORDINATOR_NOT_AVAILABLE
                | NOT_COORDINATOR
        );
        if counts && matches!(self.phase, Phase::Placing | Phase::Stable) {
            return self.on_fault("OffsetCommit", code, turn);
        }
        let may_pass = code == 0 || counts || is_retriable(code);
        if may_pass { Ok(()) } else { Err(format!("OffsetCommit: {}", code_name(code))) }
    }

    /// Its leave was answered, whatever the answer: it is out.
    pub fn on_left(&mut self) {
        if self.phase == Phase::Leaving {
            *self = Self::default();
        }
    }

    /// The connection is gone with all that was asked over it; it finds its coordinator again and goes on where it was.
    pub fn on_link_lost(&mut self, turn: &mut Turn<'_>) {
        (self.is_busy, self.is_beating) = (false, false);
        match self.phase {
            // A member that loses its connection while it leaves is given up; its session ends it.
            Phase::Leaving => *self = Self::default(),
            Phase::Syncing => self.phase = Phase::Joining,
            _ => {}
        }
        self.hold_until = turn.now;
    }

    fn unplaced(&self) -> Vec<i32> {
        self.assigned.iter().copied().filter(|partition| !self.positions.contains_key(partition)).collect()
    }

    fn on_fault(&mut self, api: &str, code: i16, turn: &mut Turn<'_>) -> Result<(), String> {
        match code {
            REBALANCE_IN_PROGRESS => self.rejoin(turn),
            UNKNOWN_MEMBER_ID | ILLEGAL_GENERATION => {
                // It is not what it thought: others may read its partitions already, so it commits nothing.
                self.let_go_of_all(false, turn);
                if code == UNKNOWN_MEMBER_ID {
                    self.id.clear();
                }
                (self.generation, self.phase) = (-1, Phase::Joining);
            }
            COORDINATOR_NOT_AVAILABLE | NOT_COORDINATOR => {
                self.hold_until = turn.now + REFUSED_PAUSE;
                if !matches!(self.phase, Phase::Placing | Phase::Stable | Phase::Leaving) {
                    self.phase = Phase::Finding;
                }
            }
            code if is_retriable(code) => self.hold_until = turn.now + REFUSED_PAUSE,
            code => return Err(format!("{api}: {}", code_name(code))),
        }
        Ok(())
    }

    fn rejoin(&mut self, turn: &mut Turn<'_>) {
        if turn.rules.assignor.is_cooperative() {
            self.unsettle(turn);
        } else {
            self.let_go_of_all(true, turn);
        }
        self.phase = Phase::Joining;
    }

    fn unsettle(&mut self, turn: &mut Turn<'_>) {
        if let Some(generation) = self.settled.take() {
            turn.board.unsettle(generation);
        }
    }

    fn let_go_of_all(&mut self, commits: bool, turn: &mut Turn<'_>) {
        self.unsettle(turn);
        for partition in std::mem::take(&mut self.assigned) {
            self.let_go(partition, commits, turn);
        }
    }

    fn let_go(&mut self, partition: i32, commits: bool, turn: &mut Turn<'_>) {
        turn.board.unassign(partition);
        if let Some(next) = self.positions.remove(&partition) {
            turn.board.end_reading(partition, turn.now);
            if commits && turn.rules.reads {
                self.parting.push((partition, next));
            }
        }
    }
}

//! A member and its sockets: carries what it wants to the coordinator, and the answers back to it.
//!
//! One connection to the coordinator, because a broker holds back everything behind a JoinGroup on the same one, and one to
//! each leader it fetches from. A seat whose member is out can be given to another.
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{
    FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest,
    OffsetFetchRequest, SyncGroupRequest,
};

use super::coordinate::{Speaker, share_in};
use super::member::{Member, Turn, Want};
use super::reading::Reading;
use super::{Board, Committed, Delivered, Plan, Tally};
use crate::client::{Cause, ClientError, Frame, Link, LinkState, Poll, Ready, Reconnect, decode, resolve};

/// Answers of a coordinator are small, but a leader is told all members.
const FRAME_BYTES_MAX: usize = 64 << 20;
const READ_BYTES: usize = 4 * 1024;
/// Commits at a rate that one member has under way.
const COMMITS_IN_FLIGHT_MAX: usize = 5;
/// What is answered at once is given up after this time; joins and syncs wait for others.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// One group of a thread.
#[derive(Debug)]
pub struct Group {
    /// Its id.
    pub(crate) name: String,
    pub(crate) board: Board,
    pub(crate) delivered: Delivered,
    pub(crate) committed: Committed,
    /// Seats of live members, the longest-serving first.
    pub(crate) serving: VecDeque<usize>,
    /// Seats whose members are out.
    pub(crate) free: Vec<usize>,
    /// Number of the next new member.
    pub(crate) identity_next: u32,
}

/// What a seat needs of its thread.
pub(super) struct Context<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) poll: &'a Poll,
    pub(crate) tally: &'a mut Tally,
    pub(crate) group: &'a mut Group,
    pub(crate) now: Duration,
}

impl Context<'_> {
    fn turn(&mut self) -> Turn<'_> {
        Turn {
            rules: &self.plan.rules,
            board: &mut self.group.board,
            gaps: &mut self.tally.gaps,
            now: self.now,
        }
    }

    fn note(&mut self, api: &'static str, code: i16) {
        if code != 0 {
            self.tally.on_error(api, code, self.now);
        }
    }

    /// After members changed: which events of the script are over for this group?
    pub(crate) fn look(&mut self) {
        for (event, took) in self.group.board.look(self.now) {
            self.tally.events[event].settled.record(took);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Find,
    Join,
    Sync,
    Offsets,
    Heartbeat,
    Leave,
    Commit,
}

#[derive(Clone, Debug)]
struct Asked {
    id: i32,
    kind: Kind,
    at: Duration,
    /// Of a commit at a rate: when it was meant to leave, and of how many partitions it is.
    rated: Option<(Duration, usize)>,
    /// Of a commit: what it commits. Of the question for offsets: what had been answered before.
    offsets: Vec<(i32, i64)>,
}

/// One member's place.
#[derive(Debug)]
pub(super) struct Seat {
    /// Place of its group among those of its thread.
    pub(crate) group: usize,
    pub(crate) member: Member,
    instance_id: Option<String>,
    link: Link,
    reconnect: Reconnect,
    asked: VecDeque<Asked>,
    commits_in_flight: usize,
    correlation_id: i32,
    /// What it hands out with its sync, as the leader of a generation.
    shares: Vec<(String, Vec<i32>)>,
    readings: Vec<Reading>,
    /// It leaves only to come again.
    comes_back: bool,
}

impl Seat {
    /// An empty seat; `token` is that of its first socket, the others follow.
    pub(crate) fn new(group: usize, plan: &Plan, token: u64) -> Self {
        let leaders = if plan.rules.reads { &plan.leaders[..] } else { &[] };
        let reading = |(place, leader): (u64, &SocketAddr)| Reading::new(*leader, token + 1 + place);
        Self {
            group,
            member: Member::default(),
            instance_id: None,
            link: Link::new(plan.bootstrap, token, FRAME_BYTES_MAX).reading(READ_BYTES),
            reconnect: Reconnect::default(),
            asked: VecDeque::new(),
            commits_in_flight: 0,
            correlation_id: 0,
            shares: Vec::new(),
            readings: (0..).zip(leaders).map(reading).collect(),
            comes_back: false,
        }
    }

    /// Nothing is asked that matters to the figures.
    pub(crate) fn is_quiet(&self) -> bool {
        self.commits_in_flight == 0
    }

    /// A commit at a rate can be given to it.
    pub(crate) fn can_commit(&self) -> bool {
        self.member.is_stable()
            && !self.member.positions().is_empty()
            && self.commits_in_flight < COMMITS_IN_FLIGHT_MAX
            && self.link.state() == LinkState::Up
    }

    /// A new member comes; `instance_id` makes it a static one.
    pub(crate) fn start(&mut self, instance_id: Option<String>, context: &mut Context<'_>) {
        self.close();
        self.instance_id = instance_id;
        self.link.redirect(context.plan.bootstrap);
        self.member.start(&mut context.turn());
    }

    /// Leaves; then comes again as someone new if asked.
    pub(crate) fn leave(&mut self, comes_back: bool, context: &mut Context<'_>) {
        self.comes_back = comes_back;
        self.member.leave(&mut context.turn());
        self.follow_exit(context);
    }

    /// Vanishes.
    pub(crate) fn die(&mut self, context: &mut Context<'_>) {
        self.member.die(&mut context.turn());
        self.close();
    }

    /// A static member goes without a word and comes back under its name.
    pub(crate) fn restart(&mut self, context: &mut Context<'_>) {
        self.member.die(&mut context.turn());
        self.close();
        self.member.start(&mut context.turn());
    }

    /// It is static.
    pub(crate) fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    fn close(&mut self) {
        self.link.close();
        self.readings.iter_mut().for_each(Reading::close);
        self.asked.clear();
        self.shares.clear();
        (self.commits_in_flight, self.comes_back) = (0, false);
        self.reconnect = Reconnect::default();
    }

    /// The run is over.
    pub(crate) fn reset(&mut self) {
        self.link.reset();
        self.readings.iter_mut().for_each(Reading::reset);
    }

    /// Its member may have become one that is out: its sockets go, or it begins anew.
    fn follow_exit(&mut self, context: &mut Context<'_>) {
        if !self.member.is_out() {
            return;
        }
        let comes_back = self.comes_back;
        if comes_back || self.link.state() != LinkState::Down {
            self.close();
        }
        if comes_back {
            self.member.start(&mut context.turn());
        }
    }

    /// Does all that can be done now.
    pub(crate) fn step(&mut self, context: &mut Context<'_>) {
        if self.member.is_out() {
            return;
        }
        let now = context.now;
        if self.link.state() == LinkState::Down && now >= self.reconnect.at() {
            self.reconnect.on_attempt(now);
            if self.link.connect(context.poll).is_err() {
                self.lose_link(context);
            }
        }
        if self.link.state() == LinkState::Up {
            while let Some(want) = self.member.next(&context.plan.rules, now) {
                self.ask(&want, None, context);
            }
            if self.link.state() == LinkState::Up && self.link.flush(context.poll).is_err() {
                self.lose_link(context);
            }
        }
        self.read_on(context);
    }

    fn read_on(&mut self, context: &mut Context<'_>) {
        let mut lost = 0;
        let mut failure = None;
        for (place, reading) in self.readings.iter_mut().enumerate() {
            let of_leader =
                self.member.positions().iter().filter(|(partition, _)| {
                    context.plan.leader_of.get(**partition as usize) == Some(&place)
                });
            let positions: Vec<_> = of_leader.map(|(partition, next)| (*partition, *next)).collect();
            match reading.step(context.plan, &positions, context.poll, context.now) {
                Ok(broke) => lost += u64::from(broke),
                Err(error) => failure = Some(error.to_string()),
            }
        }
        context.tally.lost_links += lost;
        if let Some(failure) = failure {
            self.fail(context, &failure);
        }
    }

    /// When there will be something to do without an event.
    pub(crate) fn wake_at(&self, plan: &Plan) -> Option<Duration> {
        let own = match self.link.state() {
            _ if self.member.is_out() => return None,
            LinkState::Down => Some(self.reconnect.at()),
            LinkState::Connecting => None,
            LinkState::Up => self.member.wake_at(&plan.rules),
        };
        if self.member.positions().is_empty() {
            return own;
        }
        own.into_iter().chain(self.readings.iter().filter_map(Reading::wake_at)).min()
    }

    /// Gives it a commit at a rate; it has room for one.
    pub(crate) fn commit(&mut self, intended: Duration, context: &mut Context<'_>) {
        let offsets = self.member.progress(context.plan.commit_partition_count);
        if !context.plan.rules.reads {
            // Nobody reads: each commit says something new all the same, as commits of readers do.
            for (partition, next) in &offsets {
                self.member.advance(*partition, next + 1);
            }
        }
        self.commits_in_flight += 1;
        let rated = Some((intended, offsets.len()));
        self.ask(&Want::Commit(offsets), rated, context);
    }

    fn ask(&mut self, want: &Want, rated: Option<(Duration, usize)>, context: &mut Context<'_>) {
        let kind = match want {
            Want::Find => Kind::Find,
            Want::Join(_) => Kind::Join,
            Want::Sync => Kind::Sync,
            Want::Offsets(_) => Kind::Offsets,
            Want::Heartbeat => Kind::Heartbeat,
            Want::Commit(_) => Kind::Commit,
            Want::Leave => Kind::Leave,
        };
        self.correlation_id = (self.correlation_id + 1) & i32::MAX;
        let shares = if kind == Kind::Sync { std::mem::take(&mut self.shares) } else { Vec::new() };
        let speaker = Speaker {
            group: &context.group.name,
            instance_id: self.instance_id.as_deref(),
            member: &self.member,
        };
        let offsets = match want {
            Want::Commit(offsets) => offsets.clone(),
            Want::Offsets(_) => (0..).zip(context.group.committed.answered().iter().copied()).collect(),
            _ => Vec::new(),
        };
        match context.plan.voice.frame(speaker, want, shares, self.correlation_id) {
            Ok(head) => {
                self.link.send(Frame { head: head.into(), body: None, tail: &[] });
                let (id, at) = (self.correlation_id, context.now);
                self.asked.push_back(Asked { id, kind, at, rated, offsets });
            }
            Err(error) => self.fail(context, &error.to_string()),
        }
    }

    /// One of its sockets can go on; 0 is the coordinator's.
    pub(crate) fn on_ready(&mut self, link: usize, ready: Ready, context: &mut Context<'_>) {
        if let Some(place) = link.checked_sub(1) {
            return self.on_fetched(place, ready, context);
        }
        if ready.writable {
            match self.link.on_writable() {
                Ok(false) => {}
                Ok(true) => self.reconnect.on_up(),
                Err(_) => return self.lose_link(context),
            }
        }
        if !ready.readable || self.link.state() != LinkState::Up {
            return;
        }
        match self.link.receive() {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => return self.lose_link(context),
        }
        while self.link.state() == LinkState::Up {
            match self.link.take_frame() {
                Ok(Some(frame)) => {
                    let memory = frame.clone();
                    if let Err(told) = self.on_answer(frame, context) {
                        return self.fail(context, &told);
                    }
                    self.link.recycle(memory);
                    self.follow_exit(context);
                }
                Ok(None) => return,
                Err(error) => return self.fail(context, &error.to_string()),
            }
        }
    }

    fn on_answer(&mut self, frame: Bytes, context: &mut Context<'_>) -> Result<(), String> {
        let asked = self.asked.pop_front().ok_or("an answer came that nobody asked for")?;
        let versions = context.plan.voice.versions;
        let took = context.now.saturating_sub(asked.at);
        let text = |error: ClientError| error.to_string();
        match asked.kind {
            Kind::Find => {
                let answer =
                    decode::<FindCoordinatorRequest>(frame, versions.find, asked.id).map_err(text)?;
                context.note("FindCoordinator", answer.error_code);
                self.member.on_found(answer.error_code, context.now)?;
                if answer.error_code == 0 {
                    self.follow_coordinator(answer.host.as_str(), answer.port).map_err(text)?;
                }
                Ok(())
            }
            Kind::Join => self.on_joined(frame, asked, context),
            Kind::Sync => {
                let answer = decode::<SyncGroupRequest>(frame, versions.sync, asked.id).map_err(text)?;
                context.note("SyncGroup", answer.error_code);
                let share = share_in(answer.assignment).map_err(text)?;
                if answer.error_code == 0 {
                    context.tally.syncs.record(took);
                }
                self.member.on_synced(answer.error_code, share, &mut context.turn())
            }
            Kind::Offsets => {
                let answer = decode::<OffsetFetchRequest>(frame, versions.offsets, asked.id).map_err(text)?;
                let told = || answer.topics.iter().flat_map(|topic| &topic.partitions);
                let inner = told().map(|partition| partition.error_code).find(|code| *code != 0);
                let code = if answer.error_code != 0 { answer.error_code } else { inner.unwrap_or(0) };
                context.note("OffsetFetch", code);
                if code == 0 {
                    let Group { name, committed, .. } = &mut *context.group;
                    for told in told() {
                        let (partition, offset) = (told.partition_index, told.committed_offset);
                        let floor = asked.offsets.iter().find(|(floor, _)| *floor == partition);
                        committed.on_told(name, partition, offset, floor.map_or(-1, |(_, floor)| *floor));
                    }
                }
                let offsets: Vec<_> = told()
                    .map(|told| {
                        (
                            told.partition_index,
                            context.plan.begin(told.partition_index, told.committed_offset),
                        )
                    })
                    .collect();
                self.member.on_offsets(code, &offsets, &mut context.turn())
            }
            Kind::Heartbeat => {
                let answer = decode::<HeartbeatRequest>(frame, versions.heartbeat, asked.id).map_err(text)?;
                context.note("Heartbeat", answer.error_code);
                context.tally.beats.record(took);
                self.member.on_beat(answer.error_code, &mut context.turn())
            }
            Kind::Commit => self.on_committed(frame, asked, context),
            Kind::Leave => {
                let answer = decode::<LeaveGroupRequest>(frame, versions.leave, asked.id).map_err(text)?;
                let inner = answer.members.iter().map(|member| member.error_code).find(|code| *code != 0);
                let code = if answer.error_code != 0 { answer.error_code } else { inner.unwrap_or(0) };
                context.note("LeaveGroup", code);
                self.member.on_left();
                Ok(())
            }
        }
    }

    fn on_joined(&mut self, frame: Bytes, asked: Asked, context: &mut Context<'_>) -> Result<(), String> {
        const MEMBER_ID_REQUIRED: i16 = 79;
        let text = |error: ClientError| error.to_string();
        let version = context.plan.voice.versions.join;
        let answer = decode::<JoinGroupRequest>(frame, version, asked.id).map_err(text)?;
        let code = answer.error_code;
        if code != MEMBER_ID_REQUIRED {
            context.note("JoinGroup", code);
        }
        let joined = self.member.on_joined(
            code,
            answer.member_id.as_str(),
            answer.generation_id,
            &mut context.turn(),
        )?;
        if joined {
            context.tally.joins.record(context.now.saturating_sub(asked.at));
            if answer.leader == answer.member_id && !answer.skip_assignment {
                self.shares =
                    context.plan.voice.shares(&answer, context.plan.partition_count()).map_err(text)?;
            }
        }
        Ok(())
    }

    fn on_committed(&mut self, frame: Bytes, asked: Asked, context: &mut Context<'_>) -> Result<(), String> {
        let version = context.plan.voice.versions.commit;
        let answer =
            decode::<OffsetCommitRequest>(frame, version, asked.id).map_err(|error| error.to_string())?;
        let mut codes = answer.topics.iter().flat_map(|topic| &topic.partitions).map(|told| told.error_code);
        let code = codes.find(|code| *code != 0).unwrap_or(0);
        context.note("OffsetCommit", code);
        if code == 0 {
            context.group.committed.on_answered(&asked.offsets);
        }
        if let Some((intended, offsets)) = asked.rated {
            self.commits_in_flight -= 1;
            if code == 0 {
                context.tally.on_committed(intended, asked.at, offsets, context.now);
            }
        }
        self.member.on_committed(code, &mut context.turn())
    }

    fn on_fetched(&mut self, place: usize, ready: Ready, context: &mut Context<'_>) {
        let Some(reading) = self.readings.get_mut(place) else { return };
        let fetched = reading.on_ready(ready, context.plan, context.now);
        context.tally.lost_links += u64::from(fetched.lost);
        for code in &fetched.errors {
            context.note("Fetch", *code);
        }
        for brought in fetched.brought {
            // What came after the partition was let go of reaches nobody.
            let Some(next) = self.member.positions().get(&brought.partition) else { continue };
            if *next > brought.offsets.start {
                continue;
            }
            self.member.advance(brought.partition, brought.offsets.end);
            context.tally.progress.add(0, brought.bytes);
            context.group.delivered.add(brought.partition, brought.offsets);
        }
        if let Some(told) = fetched.failure {
            self.fail(context, &told);
        }
    }

    fn follow_coordinator(&mut self, host: &str, port: i32) -> Result<(), ClientError> {
        let told = format!("{host}:{port}");
        let address = match told.parse() {
            Ok(address) => Some(address),
            Err(_) => resolve(&told)?.first().copied(),
        };
        if let Some(address) = address
            && address != self.link.address()
        {
            self.link.redirect(address);
            self.link.close();
            self.asked.clear();
        }
        Ok(())
    }

    /// From time to time: nothing waits for ever.
    pub(crate) fn tick(&mut self, context: &mut Context<'_>) {
        if self.member.is_out() {
            return;
        }
        let now = context.now;
        let patience = |asked: &Asked| match asked.kind {
            Kind::Join | Kind::Sync => ANSWER_TIMEOUT + context.plan.rebalance_timeout,
            // What stands behind them waits as long.
            _ if self.asked.iter().any(|other| matches!(other.kind, Kind::Join | Kind::Sync)) => {
                ANSWER_TIMEOUT + context.plan.rebalance_timeout
            }
            _ => ANSWER_TIMEOUT,
        };
        let unanswered = self.asked.front().is_some_and(|asked| now > asked.at + patience(asked));
        let unconnected = self.link.state() == LinkState::Connecting && self.reconnect.is_overdue(now);
        if unanswered || unconnected {
            self.lose_link(context);
        }
        for reading in &mut self.readings {
            context.tally.lost_links += u64::from(reading.tick(context.plan, now));
        }
        let hopeless = self.reconnect.is_hopeless(now, context.plan.retry_time)
            || self.readings.iter().any(|reading| reading.is_hopeless(context.plan, now));
        if hopeless {
            let told = format!("the broker was away for {} s", context.plan.retry_time.as_secs_f64());
            self.fail(context, &told);
        }
    }

    fn lose_link(&mut self, context: &mut Context<'_>) {
        if self.link.state() == LinkState::Up {
            context.tally.lost_links += 1;
            context.tally.series.record_error(context.now, Cause::LinkLost);
        }
        context.tally.lost_commits += self.commits_in_flight as u64;
        self.commits_in_flight = 0;
        self.link.close();
        self.asked.clear();
        self.reconnect.on_lost(context.now);
        self.member.on_link_lost(&mut context.turn());
        self.follow_exit(context);
    }

    /// This member cannot go on: it counts as one that died.
    fn fail(&mut self, context: &mut Context<'_>, why: &str) {
        let at = context.now.as_secs_f64();
        context.tally.fail(format!("a member of {} gave up at {at:.1} s: {why}", context.group.name));
        self.die(context);
    }
}

//! One connection that reads: one fetch under way for all its partitions that are not at their end.
//!
//! A consumer of Kafka's does the same: the next fetch needs the positions after the one before. Fetches are full ones,
//! without a session. Times count from the start of the run.
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{FetchRequest, FetchResponse};

use super::{Plan, ReadTotals, Tally};
use crate::client::{
    ClientError, Frame, Leader, Link, LinkState, Poll, Ready, Reconnect, code_name, decode, encode,
    is_retriable, topic_name,
};
use crate::verify::FaultKind;

/// A fetch is given up this much later than the time the broker was told to wait.
const ANSWER_GRACE: Duration = Duration::from_secs(30);
/// Pause after an error that may pass.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// What a fetcher needs of its thread.
pub struct Context<'a> {
    /// The run.
    pub plan: &'a Plan,
    /// The thread's sockets.
    pub poll: &'a Poll,
    /// The thread's figures.
    pub tally: &'a mut Tally,
}

/// How far one partition is read.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// The partition.
    pub partition: i32,
    /// Where reading began.
    pub start: i64,
    /// The next offset to read.
    pub next: i64,
    /// Reading ends here; `None`: it does not.
    pub end: Option<i64>,
    /// It cannot be read any further.
    pub is_broken: bool,
}

impl Position {
    fn is_done(&self) -> bool {
        self.is_broken || self.end.is_some_and(|end| self.next >= end)
    }
}

/// One connection.
#[derive(Debug)]
pub struct Fetcher {
    link: Link,
    /// By partition.
    positions: Vec<Position>,
    /// The partition asked for first changes, so that a full answer starves none.
    rotation: usize,
    asked: Option<(i32, Duration)>,
    correlation_id: i32,
    hold_until: Duration,
    stopped: bool,
    reconnect: Reconnect,
    leader_asked: Duration,
}

impl Fetcher {
    /// A fetcher whose link is up.
    pub fn new(link: Link, mut positions: Vec<Position>) -> Self {
        positions.sort_by_key(|position| position.partition);
        Self {
            link,
            positions,
            rotation: 0,
            asked: None,
            correlation_id: 0,
            hold_until: Duration::ZERO,
            stopped: false,
            reconnect: Reconnect::default(),
            leader_asked: Duration::ZERO,
        }
    }

    /// Where each partition stands.
    pub fn positions(&self) -> &[Position] {
        &self.positions
    }

    /// Reading ends at these offsets.
    pub fn end_at(&mut self, end_of: impl Fn(i32) -> Option<i64>) {
        for position in &mut self.positions {
            position.end = end_of(position.partition).or(position.end);
        }
    }

    /// No more is asked for; an answer under way is forgotten.
    pub fn stop(&mut self) {
        self.stopped = true;
        self.link.close();
    }

    /// Begins again where it began; `false`: it was stopped, or there is nothing to read.
    pub fn rewind(&mut self) -> bool {
        let readable = |position: &Position| !position.is_broken && position.end > Some(position.start);
        if self.stopped || !self.positions.iter().any(readable) {
            return false;
        }
        self.positions.iter_mut().for_each(|position| position.next = position.start);
        true
    }

    /// Nothing is left to read.
    pub fn is_finished(&self) -> bool {
        self.stopped || self.positions.iter().all(Position::is_done)
    }

    /// Does all that can be done now.
    pub fn step(&mut self, context: &mut Context<'_>, now: Duration) {
        if self.is_finished() {
            return;
        }
        if self.link.state() == LinkState::Down && now >= self.reconnect.at() {
            if context.plan.directory.may_help() {
                self.follow_leader(context, now);
            }
            self.reconnect.on_attempt(now);
            if self.link.connect(context.poll).is_err() {
                self.lose_link(context, now);
            }
        }
        if self.link.state() == LinkState::Up {
            if self.asked.is_none() && now >= self.hold_until {
                self.ask(context, now);
            }
            if self.link.flush(context.poll).is_err() {
                self.lose_link(context, now);
            }
        }
    }

    /// When there will be something to do without an event.
    pub fn wake_at(&self) -> Option<Duration> {
        match self.link.state() {
            LinkState::Down => Some(self.reconnect.at()),
            LinkState::Up if self.asked.is_none() => Some(self.hold_until),
            _ => None,
        }
    }

    /// The socket can go on.
    pub fn on_ready(&mut self, ready: Ready, context: &mut Context<'_>, now: impl Fn() -> Duration) {
        if ready.writable {
            match self.link.on_writable() {
                Ok(false) => {}
                Ok(true) => self.reconnect.on_up(),
                Err(_) => return self.lose_link(context, now()),
            }
        }
        if !ready.readable || self.link.state() != LinkState::Up {
            return;
        }
        match self.link.receive() {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => return self.lose_link(context, now()),
        }
        match self.link.take_frame() {
            Ok(Some(frame)) => self.on_answer(frame, context, now()),
            Ok(None) => {}
            Err(error) => self.fail(context, now(), &error.to_string()),
        }
    }

    /// From time to time: nothing waits for ever.
    pub fn tick(&mut self, context: &mut Context<'_>, now: Duration) {
        let wait = context.plan.max_wait + ANSWER_GRACE;
        let unanswered = self.asked.is_some_and(|(_, sent)| now > sent + wait);
        let unconnected = self.link.state() == LinkState::Connecting && self.reconnect.is_overdue(now);
        if unanswered || unconnected {
            self.lose_link(context, now);
        }
        if self.reconnect.is_hopeless(now, context.plan.retry_time) && !self.is_finished() {
            let why = format!("the broker was away for {} s", context.plan.retry_time.as_secs_f64());
            self.fail(context, now, &why);
        }
    }

    fn ask(&mut self, context: &mut Context<'_>, now: Duration) {
        let plan = context.plan;
        let count = self.positions.len();
        self.rotation = (self.rotation + 1) % count;
        let partitions = (0..count)
            .map(|step| &self.positions[(self.rotation + step) % count])
            .filter(|position| !position.is_done())
            .map(|position| {
                FetchPartition::default()
                    .with_partition(position.partition)
                    .with_fetch_offset(position.next)
                    .with_partition_max_bytes(plan.partition_bytes)
            })
            .collect();
        let topic = FetchTopic::default().with_topic(topic_name(&plan.topic)).with_partitions(partitions);
        let request = FetchRequest::default()
            .with_replica_id((-1).into())
            .with_max_wait_ms(plan.max_wait.as_millis() as i32)
            .with_min_bytes(plan.min_bytes)
            .with_max_bytes(plan.fetch_bytes)
            .with_session_id(0)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        self.correlation_id = self.correlation_id.wrapping_add(1);
        match encode(&request, plan.version, self.correlation_id, &plan.client_id) {
            Ok(head) => {
                self.link.send(Frame { head: head.into(), body: None, tail: &[] });
                self.asked = Some((self.correlation_id, now));
            }
            Err(error) => self.fail(context, now, &error.to_string()),
        }
    }

    fn on_answer(&mut self, frame: Bytes, context: &mut Context<'_>, now: Duration) {
        let Some((correlation_id, sent)) = self.asked.take() else {
            return self.fail(context, now, "an answer came that nobody asked for");
        };
        let memory = frame.clone();
        match decode::<FetchRequest>(frame, context.plan.version, correlation_id) {
            Ok(answer) if answer.error_code == 0 => {
                let mut sums = ReadTotals::default();
                self.take(answer, &mut sums, context, now);
                context.tally.on_answer(&sums, now.saturating_sub(sent), now);
            }
            Ok(answer) => self.refused(answer.error_code, context, now),
            Err(error @ ClientError::Decode { .. }) => self.fail(context, now, &error.to_string()),
            Err(_) => self.lose_link(context, now),
        }
        self.link.recycle(memory);
    }

    fn take(
        &mut self,
        answer: FetchResponse,
        sums: &mut ReadTotals,
        context: &mut Context<'_>,
        now: Duration,
    ) {
        let mut moved = None;
        for data in answer.responses.into_iter().flat_map(|topic| topic.partitions) {
            let index = data.partition_index;
            let Ok(place) = self.positions.binary_search_by_key(&index, |position| position.partition) else {
                return self.fail(
                    context,
                    now,
                    &format!("told of partition {index}, which was not asked for"),
                );
            };
            let position = &mut self.positions[place];
            let broken = match data.error_code {
                0 => {
                    let records = data.records.unwrap_or_default();
                    match context.tally.take(index, position.next, records, sums, now) {
                        Ok(next) => {
                            position.next = next;
                            None
                        }
                        Err(told) => Some(told),
                    }
                }
                code if is_retriable(code) => {
                    context.tally.on_error(code, now);
                    self.hold_until = now + REFUSED_PAUSE;
                    moved = moved.or(context.plan.directory.may_have_moved(code).then_some(code));
                    None
                }
                code => {
                    context.tally.on_error(code, now);
                    Some(format!("partition {index} at offset {}: {}", position.next, code_name(code)))
                }
            };
            if let Some(told) = broken {
                position.is_broken = true;
                if let Some(checker) = &mut context.tally.checker {
                    checker.faults.add(FaultKind::Unreadable, 1, || told.clone());
                }
                context.tally.failures.push(told);
            }
        }
        if moved.is_some() {
            self.follow_leader(context, now);
        }
    }

    fn refused(&mut self, code: i16, context: &mut Context<'_>, now: Duration) {
        context.tally.on_error(code, now);
        if is_retriable(code) {
            self.hold_until = now + REFUSED_PAUSE;
        } else {
            self.fail(context, now, &format!("fetch: {}", code_name(code)));
        }
    }

    fn follow_leader(&mut self, context: &mut Context<'_>, now: Duration) {
        let own: Vec<i32> = self.positions.iter().map(|position| position.partition).collect();
        match context.plan.directory.leader(&own, &mut self.leader_asked, now) {
            Leader::At(leader) if leader != self.link.address() => {
                self.link.redirect(leader);
                if self.link.state() == LinkState::Up {
                    self.lose_link(context, now);
                }
            }
            Leader::At(_) | Leader::Unknown => {}
            Leader::Split => {
                self.fail(
                    context,
                    now,
                    "its partitions are led by different brokers now; start the run again",
                );
            }
        }
    }

    fn lose_link(&mut self, context: &mut Context<'_>, now: Duration) {
        if self.link.state() == LinkState::Up {
            context.tally.on_link_lost(now);
        }
        self.link.close();
        self.asked = None;
        self.reconnect.on_lost(now);
    }

    fn fail(&mut self, context: &mut Context<'_>, now: Duration, why: &str) {
        let at = now.as_secs_f64();
        context.tally.failures.push(format!("a reading connection gave up at {at:.1} s: {why}"));
        for position in self.positions.iter_mut().filter(|position| !position.is_done()) {
            position.is_broken = true;
            if let Some(checker) = &mut context.tally.checker {
                checker.faults.add(FaultKind::Unreadable, 1, || {
                    format!("partition {} at offset {}: {why}", position.partition, position.next)
                });
            }
        }
        self.stop();
    }
}

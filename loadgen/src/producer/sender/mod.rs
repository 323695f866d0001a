//! One connection that sends: keeps requests in flight, reads answers, connects again, repeats what may be repeated.
//!
//! The order inside of a partition is its [`Lane`]'s business, figures are the [`Recorder`]'s. All partitions of a sender
//! have the same leader. Times count from the start of the run.
mod reopen;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use reopen::Reopening;

use super::{Answered, Lane, Pending, Plan, Recorder, Source};
use crate::batch::{Stamp, Tag, Tags};
use crate::client::{Cause, ClientError, Leader, Link, LinkState, Poll, Ready, Reconnect, code_name};
use crate::run::RunError;
use crate::schedule::{Schedule, Step};

/// A request is given up this much later than the time the broker was given for it.
const ANSWER_GRACE: Duration = Duration::from_secs(5);
/// While many batches are made at once, those that are ready leave at least this often.
const FLUSH_PAUSE: Duration = Duration::from_micros(200);

/// What a sender needs of its thread.
pub struct Context<'a> {
    /// The run.
    pub plan: &'a Plan,
    /// The thread's sockets.
    pub poll: &'a Poll,
    /// The thread's figures.
    pub recorder: &'a mut Recorder,
    /// Wall clock at the start of the run, milliseconds since 1970.
    pub start_unix_ms: i64,
    /// Start of the run.
    pub start: Instant,
    /// An answer that is seen now may have been there since: earlier than now if the thread was busy with other things.
    pub answers_since: Duration,
}

impl Context<'_> {
    /// Time since the start of the run, at this instant.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// One connection.
#[derive(Debug)]
pub struct Sender {
    index: u32,
    link: Link,
    lanes: Vec<Lane>,
    lane_cursor: usize,
    /// Some lane has batches that must be sent again.
    repeats: bool,
    in_flight: VecDeque<InFlight>,
    schedule: Schedule,
    /// When last asked, it could not have sent another batch.
    is_held_back: bool,
    /// Since then it can.
    free_since: Duration,
    source: Source,
    /// Producer id and epoch; -1: not idempotent.
    identity: (i64, i16),
    correlation_id: i32,
    reconnect: Reconnect,
    leader_asked: Duration,
    reopening: Option<Reopening>,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    correlation_id: i32,
    lane: usize,
    sequence: u64,
    sent: Duration,
}

impl Sender {
    /// A sender whose link is up.
    ///
    /// # Panics
    /// If it has no lanes.
    pub fn new(
        index: u32,
        link: Link,
        lanes: Vec<Lane>,
        schedule: Schedule,
        source: Source,
        identity: (i64, i16),
    ) -> Self {
        assert!(!lanes.is_empty());
        Self {
            index,
            link,
            lanes,
            // Senders that share partitions begin at different ones.
            lane_cursor: index as usize,
            repeats: false,
            in_flight: VecDeque::new(),
            schedule,
            is_held_back: false,
            free_since: Duration::ZERO,
            source,
            identity,
            correlation_id: 0,
            reconnect: Reconnect::default(),
            leader_asked: Duration::ZERO,
            reopening: None,
        }
    }

    /// All is sent that ever was to be, and all of it is settled.
    pub fn is_finished(&self, now: Duration) -> bool {
        self.schedule.next(now) == Step::Done && self.lanes.iter().all(Lane::is_empty)
    }

    /// Does all that can be done now.
    ///
    /// # Errors
    /// If a batch cannot be compressed.
    pub fn step(&mut self, context: &mut Context<'_>, now: Duration) -> Result<(), RunError> {
        if self.link.state() == LinkState::Down && now >= self.reconnect.at() && !self.is_finished(now) {
            self.connect(context, now);
        }
        if self.reopening.is_some() {
            self.reopen(context, now);
        }
        if self.link.state() == LinkState::Up {
            if self.reopening.is_none() {
                self.fill(context, now)?;
            }
            self.flush(context, now);
        }
        Ok(())
    }

    /// When there will be something to do without an event, if that is known more exactly than "at the next tick".
    pub fn wake_at(&self, context: &Context<'_>, now: Duration) -> Option<Duration> {
        match self.link.state() {
            LinkState::Down => Some(self.reconnect.at()).filter(|_| !self.is_finished(now)),
            LinkState::Connecting => None,
            // The next answer is what to wait for.
            LinkState::Up if self.reopening.is_some() => None,
            // Without room the next answer is what to wait for.
            LinkState::Up if self.in_flight.len() >= context.plan.in_flight_max => None,
            LinkState::Up => {
                let repeat = self.lanes.iter().filter(|_| self.repeats).filter_map(Lane::wake_at).min();
                let due = match self.schedule.next(now) {
                    Step::Wait(until) => Some(until),
                    // What nobody answers makes room for the next by itself.
                    Step::Due(_) if !context.plan.has_answers => Some(now),
                    Step::Due(_) | Step::Done => None,
                };
                [repeat, due].into_iter().flatten().min()
            }
        }
    }

    /// The socket can go on.
    pub fn on_ready(&mut self, ready: Ready, context: &mut Context<'_>, now: Duration) {
        if ready.writable {
            match self.link.on_writable() {
                Ok(false) => {}
                Ok(true) => self.reconnect.on_up(),
                Err(_) => return self.lose_link(context, now),
            }
        }
        if ready.readable && self.link.state() == LinkState::Up {
            self.read_answers(context, now);
        }
    }

    /// From time to time: nothing waits for ever.
    pub fn tick(&mut self, context: &mut Context<'_>, now: Duration) {
        let plan = context.plan;
        let hello = self.reopening.and_then(|reopening| reopening.hello).map(|(_, sent)| sent);
        let oldest = hello.or_else(|| self.in_flight.front().map(|oldest| oldest.sent));
        let unanswered = oldest.is_some_and(|sent| now > sent + plan.timeout + ANSWER_GRACE);
        let unconnected = self.link.state() == LinkState::Connecting && self.reconnect.is_overdue(now);
        if unanswered || unconnected {
            self.lose_link(context, now);
        }
        let away = self.reconnect.is_hopeless(now, plan.retry_time);
        let stuck =
            self.lanes.iter().filter_map(Lane::oldest_sent).any(|since| now > since + plan.retry_time);
        if (away || stuck) && !self.is_finished(now) {
            let what = if away { "the broker was away" } else { "a batch was not acknowledged" };
            self.fail(context, now, &format!("{what} for {} s", plan.retry_time.as_secs_f64()));
        }
    }

    /// Nothing new is sent from now on.
    pub fn close(&mut self, context: &mut Context<'_>, now: Duration) {
        context.recorder.unsent_records += self.schedule.close(now);
    }

    /// Gives up all that is not settled: nobody will know what became of it.
    pub fn give_up(&mut self, context: &mut Context<'_>, now: Duration) {
        self.close(context, now);
        self.link.close();
        self.in_flight.clear();
        for lane in &mut self.lanes {
            for batch in lane.abandon() {
                context.recorder.on_unknown((self.index, lane.partition), &batch);
            }
        }
    }

    fn fail(&mut self, context: &mut Context<'_>, now: Duration, why: &str) {
        let at = now.as_secs_f64();
        context.recorder.failures.push(format!("connection {} gave up at {at:.1} s: {why}", self.index));
        self.give_up(context, now);
    }

    fn connect(&mut self, context: &mut Context<'_>, now: Duration) {
        if context.plan.directory.may_help() {
            self.follow_leader(context, now);
        }
        self.reconnect.on_attempt(now);
        if self.link.connect(context.poll).is_err() {
            self.lose_link(context, now);
        }
    }

    /// The connection is of no use any more.
    fn lose_link(&mut self, context: &mut Context<'_>, now: Duration) {
        if self.link.state() == LinkState::Up {
            context.recorder.lost_links += 1;
            context.recorder.series.record_error(now, Cause::LinkLost);
        }
        self.link.close();
        self.in_flight.clear();
        self.is_held_back = true;
        if let Some(reopening) = &mut self.reopening {
            (reopening.hello, reopening.is_closed) = (None, true);
        }
        for lane in &mut self.lanes {
            let on_wire = lane.on_wire_count();
            let unknown = lane.on_link_lost(now);
            context.recorder.on_retries(Cause::LinkLost, on_wire - unknown.len() as u64, now);
            for batch in unknown {
                context.recorder.on_unknown((self.index, lane.partition), &batch);
            }
        }
        self.repeats = true;
        self.reconnect.on_lost(now);
    }

    /// Asks where the leader of this sender's partitions is; the next connect goes there.
    fn follow_leader(&mut self, context: &mut Context<'_>, now: Duration) {
        let own: Vec<i32> = self.lanes.iter().map(|lane| lane.partition).collect();
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

    /// Puts batches on the wire while there is room: first again, then new.
    fn fill(&mut self, context: &mut Context<'_>, now: Duration) -> Result<(), RunError> {
        if self.is_held_back {
            self.free_since = context.answers_since;
            self.is_held_back = false;
        }
        if self.repeats {
            for lane in 0..self.lanes.len() {
                while self.in_flight.len() < context.plan.in_flight_max && self.send_next(lane, context, now)
                {
                }
            }
            self.repeats = self.lanes.iter().any(|lane| !lane.is_on_wire());
        }
        let mut flushed = now;
        loop {
            if self.in_flight.len() >= context.plan.in_flight_max {
                self.is_held_back = true;
                break;
            }
            let Step::Due(intended) = self.schedule.next(now) else { break };
            let count = self.lanes.len();
            let free = (0..count)
                .map(|step| (self.lane_cursor + step) % count)
                .find(|lane| self.lanes[*lane].has_room());
            let Some(lane) = free else {
                self.is_held_back = true;
                break;
            };
            self.lane_cursor = lane + 1;
            let ready = self.schedule.ready().unwrap_or(intended);
            let batch = self.make(lane, context, intended)?;
            self.schedule.take(batch.body.record_count());
            self.lanes[lane].push(batch);
            let sent = context.elapsed();
            self.send_next(lane, context, sent);
            if self.schedule.is_open() {
                context.recorder.on_sent(ready, self.free_since, sent);
            }
            if sent > flushed + FLUSH_PAUSE {
                flushed = sent;
                self.flush(context, sent);
                if self.link.state() != LinkState::Up {
                    break;
                }
            }
        }
        Ok(())
    }

    fn make(&mut self, lane: usize, context: &Context<'_>, intended: Duration) -> Result<Pending, RunError> {
        let plan = context.plan;
        let now = context.elapsed();
        let sequence = self.lanes[lane].next_sequence();
        let spacing = self.schedule.spacing();
        let tags = plan.tag_run.map(|run| Tags {
            first: Tag {
                run,
                producer: self.index,
                sequence,
                intended_nanos: intended.as_nanos() as u64,
                sent_nanos: now.as_nanos() as u64,
            },
            spacing_nanos: spacing.as_nanos() as u64,
        });
        let body = self.source.next(self.schedule.records_max(now), tags)?;
        let (producer_id, producer_epoch) = self.identity;
        // Kafka's sequences wrap after 2^31 - 1.
        let base_sequence = if producer_id < 0 { -1 } else { (sequence & 0x7fff_ffff) as i32 };
        let timestamp_ms = context.start_unix_ms + now.as_millis() as i64;
        let header = Stamp { timestamp_ms, producer_id, producer_epoch, base_sequence }.header_for(&body);
        Ok(Pending::new(sequence, body, header, intended, spacing))
    }

    /// Sends the next batch of a lane, if one may leave.
    fn send_next(&mut self, lane: usize, context: &mut Context<'_>, now: Duration) -> bool {
        let partition = self.lanes[lane].partition;
        let Some(batch) = self.lanes[lane].next_to_send(now) else { return false };
        if batch.sends > 1 {
            context.recorder.on_repeated();
        }
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let frame = context.plan.frames.frame(self.correlation_id, partition, &batch.header, &batch.body);
        let sequence = batch.sequence;
        self.in_flight.push_back(InFlight { correlation_id: self.correlation_id, lane, sequence, sent: now });
        self.link.send(frame);
        true
    }

    fn flush(&mut self, context: &mut Context<'_>, now: Duration) {
        let Ok(flushed) = self.link.flush(context.poll) else { return self.lose_link(context, now) };
        if !context.plan.has_answers {
            let now = context.elapsed();
            for _ in 0..flushed.frames {
                let Some(written) = self.in_flight.pop_front() else { break };
                let lane = &mut self.lanes[written.lane];
                let stream = (self.index, lane.partition);
                if let Some(batch) = lane.on_written(written.sequence) {
                    context.recorder.on_acknowledged(stream, &batch, -1, now);
                    self.source.give_back(batch.body);
                }
            }
        }
    }

    fn read_answers(&mut self, context: &mut Context<'_>, now: Duration) {
        match self.link.receive() {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => return self.lose_link(context, now),
        }
        loop {
            let answer = match self.link.frame() {
                Ok(Some(answer)) => answer,
                Ok(None) => return,
                Err(error) => return self.fail(context, now, &error.to_string()),
            };
            if let Some(Reopening { hello: Some((asked, _)), .. }) = self.reopening {
                let answer = Bytes::copy_from_slice(answer);
                self.on_hello(answer, asked, context, now);
                continue;
            }
            let Some(asked) = self.in_flight.pop_front() else {
                return self.fail(context, now, "an answer came that nobody asked for");
            };
            match context.plan.frames.acknowledgement(answer, asked.correlation_id) {
                Ok(told) if told.partition == self.lanes[asked.lane].partition => {
                    self.settle(asked, told.code, told.base_offset, told.message, context, now);
                }
                Ok(told) => {
                    let why = format!(
                        "asked of partition {}, told of {}",
                        self.lanes[asked.lane].partition, told.partition
                    );
                    return self.fail(context, now, &why);
                }
                Err(error @ ClientError::Decode { .. }) => {
                    return self.fail(context, now, &error.to_string());
                }
                Err(_) => return self.lose_link(context, now),
            }
            if self.link.state() != LinkState::Up {
                return;
            }
        }
    }

    fn settle(
        &mut self,
        asked: InFlight,
        code: i16,
        base_offset: i64,
        message: Option<String>,
        context: &mut Context<'_>,
        now: Duration,
    ) {
        let lane = &mut self.lanes[asked.lane];
        let stream = (self.index, lane.partition);
        if code != 0 {
            context.recorder.on_error(code, now);
        }
        match lane.on_answer(asked.sequence, code, now) {
            Answered::Acknowledged(batch) => {
                context.recorder.on_acknowledged(stream, &batch, base_offset, now);
                self.source.give_back(batch.body);
            }
            Answered::Again => {
                self.repeats = true;
                context.recorder.on_retries(Cause::Code(code), 1, now);
            }
            Answered::Refused(batch) => context.recorder.on_refused(stream, &batch),
            Answered::Unknown(batch) => context.recorder.on_unknown(stream, &batch),
            Answered::Fatal(batch) => {
                context.recorder.on_unknown(stream, &batch);
                let message = message.map(|message| format!(": {message}")).unwrap_or_default();
                let why = format!(
                    "partition {} answered {} to the batch of sequence {}, sent {} times{message}",
                    stream.1,
                    code_name(code),
                    batch.sequence,
                    batch.sends
                );
                self.fail(context, now, &why);
            }
        }
        if context.plan.directory.may_have_moved(code) {
            self.follow_leader(context, now);
        }
    }
}

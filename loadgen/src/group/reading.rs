//! The fetches of one member: a connection to each leader of partitions it reads, one fetch under way on each.
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{FetchRequest, FetchResponse};

use super::Plan;
use crate::batch::Batches;
use crate::client::{
    ClientError, Frame, Link, LinkState, Poll, Ready, Reconnect, code_name, decode, encode, is_retriable,
    topic_name,
};

const FETCH_BYTES: i32 = 50 << 20;
const PARTITION_BYTES: i32 = 1 << 20;
/// A first batch is served whole however small the limits.
const FRAME_BYTES_MAX: usize = FETCH_BYTES as usize + (128 << 20);
/// A fetch is given up this much later than the time the broker was told to wait.
const ANSWER_GRACE: Duration = Duration::from_secs(30);
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
/// Room for answers until their length is known.
const READ_BYTES: usize = 16 * 1024;

/// What a fetch brought of one partition.
#[derive(Debug)]
pub(crate) struct Brought {
    pub(crate) partition: i32,
    /// From the offset asked for to that after the last record.
    pub(crate) offsets: std::ops::Range<i64>,
    pub(crate) bytes: u64,
}

/// What came of an answer.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    pub(crate) brought: Vec<Brought>,
    pub(crate) errors: Vec<i16>,
    /// The connection broke.
    pub(crate) lost: bool,
    /// What cannot be read.
    pub(crate) failure: Option<String>,
}

/// One connection to one leader.
#[derive(Debug)]
pub(crate) struct Reading {
    link: Link,
    reconnect: Reconnect,
    asked: Option<(i32, Duration)>,
    /// Offsets asked for, by partition.
    asked_for: Vec<(i32, i64)>,
    correlation_id: i32,
    hold_until: Duration,
}

impl Reading {
    pub(crate) fn new(leader: SocketAddr, token: u64) -> Self {
        Self {
            link: Link::new(leader, token, FRAME_BYTES_MAX).reading(READ_BYTES),
            reconnect: Reconnect::default(),
            asked: None,
            asked_for: Vec::new(),
            correlation_id: 0,
            hold_until: Duration::ZERO,
        }
    }

    pub(crate) fn close(&mut self) {
        self.link.close();
        self.asked = None;
        (self.hold_until, self.reconnect) = (Duration::ZERO, Reconnect::default());
    }

    pub(crate) fn reset(&mut self) {
        self.link.reset();
    }

    /// Asks for these partitions if nothing is asked; connects if need be. Returns whether the connection broke.
    pub(crate) fn step(
        &mut self,
        plan: &Plan,
        positions: &[(i32, i64)],
        poll: &Poll,
        now: Duration,
    ) -> Result<bool, ClientError> {
        if positions.is_empty() && self.asked.is_none() {
            return Ok(false);
        }
        if self.link.state() == LinkState::Down && now >= self.reconnect.at() {
            self.reconnect.on_attempt(now);
            if self.link.connect(poll).is_err() {
                return Ok(self.lose(now));
            }
        }
        if self.link.state() != LinkState::Up {
            return Ok(false);
        }
        if self.asked.is_none() && now >= self.hold_until {
            self.ask(plan, positions, now)?;
        }
        Ok(self.link.flush(poll).is_err() && self.lose(now))
    }

    pub(crate) fn wake_at(&self) -> Option<Duration> {
        match self.link.state() {
            LinkState::Down => Some(self.reconnect.at()),
            LinkState::Up if self.asked.is_none() => Some(self.hold_until),
            _ => None,
        }
    }

    /// Gives up what takes too long; tells whether the connection broke.
    pub(crate) fn tick(&mut self, plan: &Plan, now: Duration) -> bool {
        let unanswered = self.asked.is_some_and(|(_, sent)| now > sent + plan.fetch_wait + ANSWER_GRACE);
        let unconnected = self.link.state() == LinkState::Connecting && self.reconnect.is_overdue(now);
        (unanswered || unconnected) && self.lose(now)
    }

    pub(crate) fn is_hopeless(&self, plan: &Plan, now: Duration) -> bool {
        self.reconnect.is_hopeless(now, plan.retry_time)
    }

    pub(crate) fn on_ready(&mut self, ready: Ready, plan: &Plan, now: Duration) -> Fetched {
        let mut fetched = Fetched::default();
        if ready.writable {
            match self.link.on_writable() {
                Ok(false) => {}
                Ok(true) => self.reconnect.on_up(),
                Err(_) => fetched.lost = self.lose(now),
            }
        }
        if !ready.readable || self.link.state() != LinkState::Up {
            return fetched;
        }
        match self.link.receive() {
            Ok(true) => {}
            Ok(false) => return fetched,
            Err(_) => {
                fetched.lost = self.lose(now);
                return fetched;
            }
        }
        match self.link.take_frame() {
            Ok(Some(frame)) => self.on_answer(frame, plan, &mut fetched, now),
            Ok(None) => {}
            Err(error) => fetched.failure = Some(error.to_string()),
        }
        fetched
    }

    fn ask(&mut self, plan: &Plan, positions: &[(i32, i64)], now: Duration) -> Result<(), ClientError> {
        self.asked_for = positions.to_vec();
        let partition = |(partition, next): &(i32, i64)| {
            FetchPartition::default()
                .with_partition(*partition)
                .with_fetch_offset(*next)
                .with_partition_max_bytes(PARTITION_BYTES)
        };
        // The partition asked for first changes, so that a full answer starves none.
        let turn = self.correlation_id as usize % positions.len().max(1);
        let partitions = positions[turn..].iter().chain(&positions[..turn]).map(partition).collect();
        let topic =
            FetchTopic::default().with_topic(topic_name(&plan.voice.topic)).with_partitions(partitions);
        let request = FetchRequest::default()
            .with_replica_id((-1).into())
            .with_max_wait_ms(plan.fetch_wait.as_millis() as i32)
            .with_min_bytes(plan.fetch_min_bytes)
            .with_max_bytes(FETCH_BYTES)
            .with_session_id(0)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        self.correlation_id = (self.correlation_id + 1) & i32::MAX;
        let head = encode(&request, plan.fetch_version, self.correlation_id, &plan.voice.client_id)?;
        self.link.send(Frame { head: head.into(), body: None, tail: &[] });
        self.asked = Some((self.correlation_id, now));
        Ok(())
    }

    fn on_answer(&mut self, frame: Bytes, plan: &Plan, fetched: &mut Fetched, now: Duration) {
        let Some((correlation_id, _)) = self.asked.take() else {
            fetched.failure = Some("an answer came that nobody asked for".to_owned());
            return;
        };
        let memory = frame.clone();
        match decode::<FetchRequest>(frame, plan.fetch_version, correlation_id) {
            Ok(answer) if answer.error_code == 0 => self.take(answer, fetched, now),
            Ok(answer) => self.refused(answer.error_code, fetched, now),
            Err(error) => fetched.failure = Some(error.to_string()),
        }
        self.link.recycle(memory);
    }

    fn refused(&mut self, code: i16, fetched: &mut Fetched, now: Duration) {
        fetched.errors.push(code);
        self.hold_until = now + REFUSED_PAUSE;
        if !is_retriable(code) {
            fetched.failure = Some(format!("Fetch: {}", code_name(code)));
        }
    }

    fn take(&mut self, answer: FetchResponse, fetched: &mut Fetched, now: Duration) {
        for data in answer.responses.into_iter().flat_map(|topic| topic.partitions) {
            let partition = data.partition_index;
            if data.error_code != 0 {
                self.refused(data.error_code, fetched, now);
                continue;
            }
            let Some((_, from)) = self.asked_for.iter().find(|(asked, _)| *asked == partition) else {
                fetched.failure = Some(format!("told of partition {partition}, which was not asked for"));
                continue;
            };
            let (mut next, mut bytes) = (*from, 0);
            for batch in Batches::new(data.records.unwrap_or_default()) {
                let batch = match batch {
                    Ok(batch) => batch,
                    Err(fault) => {
                        fetched.failure =
                            Some(format!("partition {partition}, after offset {next}: {fault}"));
                        break;
                    }
                };
                let header = batch.header();
                let (start, end) = (
                    header.base_offset(),
                    header.base_offset().saturating_add(header.last_offset_delta() + 1),
                );
                bytes += batch.batch_bytes() as u64;
                // A hole before a batch is a record that nobody was given: it stays open in what was delivered.
                let start = start.max(next);
                if end > start {
                    fetched.brought.push(Brought { partition, offsets: start..end, bytes });
                    (next, bytes) = (end, 0);
                }
            }
        }
    }

    /// Always `true`: what it tells is that the connection broke.
    fn lose(&mut self, now: Duration) -> bool {
        self.link.close();
        self.asked = None;
        self.reconnect.on_lost(now);
        true
    }
}

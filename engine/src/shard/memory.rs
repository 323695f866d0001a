//! A log per partition in memory: the interface's first form, replaced by the engine on the journal.

use super::api::{
    Append, AppendError, EpochEnd, Isolation, LogError, Read, ReadError, ReadOutcome, Staged, TimedOffset,
};
use crate::batch::BatchError;
use crate::log::{LogBounds, LogIdentity, LogSettings};
use crate::units::{LeaderEpoch, LogId, Offset, Timestamp};
use bytes::{Bytes, BytesMut};
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

struct MemoryLog {
    identity: LogIdentity,
    batches: Vec<(i64, i64, Bytes)>,
    bounds: LogBounds,
}

/// The logs of one shard. Cheap to clone; stays on its core.
#[derive(Clone)]
pub struct Engine(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    logs: FxHashMap<LogId, MemoryLog>,
    watchers: Vec<Waker>,
}

impl Engine {
    /// An engine with no logs.
    pub fn in_memory() -> Self {
        Self(Rc::new(RefCell::new(State::default())))
    }

    /// Every log of this shard.
    pub fn logs(&self) -> Vec<(LogIdentity, LogBounds)> {
        self.0.borrow().logs.values().map(|log| (log.identity.clone(), log.bounds)).collect()
    }

    /// Makes a log; durable when it returns.
    ///
    /// # Errors
    /// `Offline` if its directory cannot be made.
    pub async fn create(
        &self,
        identity: LogIdentity,
        _settings: LogSettings,
        leader_epoch: LeaderEpoch,
    ) -> Result<(), LogError> {
        let bounds = LogBounds { leader_epoch, ..LogBounds::default() };
        let log = MemoryLog { identity: identity.clone(), batches: Vec::new(), bounds };
        self.0.borrow_mut().logs.insert(identity.log_id, log);
        Ok(())
    }

    /// Forgets a log and its bytes, durably.
    ///
    /// # Errors
    /// `Unknown` when this shard has no such log.
    pub async fn delete(&self, log_id: LogId) -> Result<(), LogError> {
        let gone = self.0.borrow_mut().logs.remove(&log_id);
        self.wake();
        gone.map(|_| ()).ok_or(LogError::Unknown { log_id })
    }

    /// Takes new settings for a log.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn configure(&self, log_id: LogId, _settings: LogSettings) -> Result<(), LogError> {
        self.bounds(log_id).map(|_| ())
    }

    /// Sets the leader epoch that the next batches are stamped with; it never falls.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn lead(&self, log_id: LogId, leader_epoch: LeaderEpoch) -> Result<(), LogError> {
        let mut state = self.0.borrow_mut();
        let log = state.logs.get_mut(&log_id).ok_or(LogError::Unknown { log_id })?;
        log.bounds.leader_epoch = log.bounds.leader_epoch.max(leader_epoch);
        Ok(())
    }

    /// The log's bounds now.
    ///
    /// # Errors
    /// `Unknown`, `Offline`.
    pub fn bounds(&self, log_id: LogId) -> Result<LogBounds, LogError> {
        self.0.borrow().logs.get(&log_id).map(|log| log.bounds).ok_or(LogError::Unknown { log_id })
    }

    /// Checks one batch, gives it offsets and stages it, in memory. Never waits: appends are ordered by their calls.
    ///
    /// # Errors
    /// See `AppendError`; nothing was stored.
    pub fn stage(&self, log_id: LogId, append: &Append, _now: Timestamp) -> Result<Staged, AppendError> {
        let mut state = self.0.borrow_mut();
        let log = state.logs.get_mut(&log_id).ok_or(LogError::Unknown { log_id })?;
        let cut = || BatchError::Truncated { bytes: append.records.len() };
        let delta = append.records.get(23..27).and_then(|b| b.try_into().ok()).map(i32::from_be_bytes);
        let count = delta.filter(|_| append.records.len() >= 61).ok_or_else(cut)? + 1;
        let base = log.bounds.log_end;
        let mut stored = BytesMut::from(&append.records[..]);
        stored[..8].copy_from_slice(&base.as_i64().to_be_bytes());
        stored[12..16].copy_from_slice(&log.bounds.leader_epoch.0.to_be_bytes());
        let end = base.advance(count as u32);
        log.batches.push((base.as_i64(), end.as_i64(), stored.freeze()));
        log.bounds.log_end = end;
        log.bounds.durable_end = end;
        log.bounds.high_watermark = end;
        log.bounds.last_stable = end;
        let log_start = log.bounds.log_start;
        drop(state);
        self.wake();
        Ok(Staged {
            base_offset: base,
            offset_end: end,
            append_time: Timestamp::NONE,
            log_start,
            duplicate: false,
        })
    }

    /// Resolves when everything below `end` is on the device and synced.
    ///
    /// # Errors
    /// `Offline` when the log's directory stopped: the outcome is unknown, no answer may claim success.
    pub fn durable(
        &self,
        log_id: LogId,
        _end: Offset,
    ) -> impl Future<Output = Result<(), LogError>> + 'static {
        let known = self.bounds(log_id).map(|_| ());
        async move { known }
    }

    /// Reads whole batches from `read.offset` on. Reading at the end gives no slices.
    ///
    /// # Errors
    /// See `ReadError`.
    pub async fn read(&self, log_id: LogId, read: Read) -> Result<ReadOutcome, ReadError> {
        let state = self.0.borrow();
        let log = state.logs.get(&log_id).ok_or(LogError::Unknown { log_id })?;
        let bounds = log.bounds;
        let at = read.offset.as_i64();
        if read.offset < bounds.log_start || read.offset > bounds.log_end {
            return Err(ReadError::OutOfRange {
                offset: read.offset,
                log_start: bounds.log_start,
                log_end: bounds.log_end,
            });
        }
        let mut outcome = ReadOutcome { slices: Vec::new(), bytes: 0, bounds };
        for (_, _, bytes) in log.batches.iter().filter(|(_, end, _)| *end > at) {
            let first = outcome.slices.is_empty() && read.first_batch_whole;
            if outcome.bytes + bytes.len() > read.bytes_max && !first {
                break;
            }
            outcome.bytes += bytes.len();
            outcome.slices.push(bytes.clone());
        }
        Ok(outcome)
    }

    /// Bytes a reader at `offset` could get now, an estimate from above: for `min_bytes`.
    ///
    /// # Errors
    /// As `read`.
    pub fn readable_bytes(
        &self,
        log_id: LogId,
        offset: Offset,
        _isolation: Isolation,
    ) -> Result<u64, ReadError> {
        let state = self.0.borrow();
        let log = state.logs.get(&log_id).ok_or(LogError::Unknown { log_id })?;
        Ok(log
            .batches
            .iter()
            .filter(|(_, end, _)| *end > offset.as_i64())
            .map(|(_, _, b)| b.len() as u64)
            .sum())
    }

    /// Resolves when one of these logs may show more than up to the offset beside it, or is gone.
    pub fn watch(&self, logs: Vec<(LogId, Offset)>) -> impl Future<Output = ()> + 'static {
        Watch { engine: self.clone(), logs }
    }

    /// The first record at or after a time.
    ///
    /// # Errors
    /// As `read`.
    pub async fn offset_for_time(
        &self,
        log_id: LogId,
        _time: Timestamp,
    ) -> Result<Option<TimedOffset>, ReadError> {
        self.bounds(log_id)?;
        Ok(None)
    }

    /// The record with the greatest timestamp (the first such).
    ///
    /// # Errors
    /// As `read`.
    pub async fn offset_of_max_timestamp(&self, log_id: LogId) -> Result<Option<TimedOffset>, ReadError> {
        self.bounds(log_id)?;
        Ok(None)
    }

    /// Leader epoch of the record at `offset`, or of the last one at the log's end; `None` for an empty log.
    ///
    /// # Errors
    /// `Unknown`, `Offline`.
    pub fn epoch_at(&self, log_id: LogId, _offset: Offset) -> Result<Option<LeaderEpoch>, LogError> {
        self.bounds(log_id).map(|bounds| Some(bounds.leader_epoch))
    }

    /// Where an epoch ended: for `OffsetForLeaderEpoch`. `None` for an epoch above the current one or below all known.
    ///
    /// # Errors
    /// `Unknown`, `Offline`.
    pub fn epoch_end(&self, log_id: LogId, leader_epoch: LeaderEpoch) -> Result<Option<EpochEnd>, LogError> {
        let bounds = self.bounds(log_id)?;
        Ok((leader_epoch <= bounds.leader_epoch).then_some(EpochEnd { leader_epoch, end: bounds.log_end }))
    }

    /// A clean stop: everything staged becomes durable, files get their exact length, the stop is marked.
    ///
    /// # Errors
    /// When a log directory had stopped.
    pub async fn stop(&self) -> Result<(), LogError> {
        Ok(())
    }

    fn wake(&self) {
        let wakers = std::mem::take(&mut self.0.borrow_mut().watchers);
        wakers.into_iter().for_each(Waker::wake);
    }
}

struct Watch {
    engine: Engine,
    logs: Vec<(LogId, Offset)>,
}

impl Future for Watch {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let grown = |(log_id, seen): &(LogId, Offset)| {
            self.engine.bounds(*log_id).map_or(true, |bounds| bounds.high_watermark > *seen)
        };
        if self.logs.iter().any(grown) {
            return Poll::Ready(());
        }
        self.engine.0.borrow_mut().watchers.push(context.waker().clone());
        Poll::Pending
    }
}

//! Appends: check, take a turn, stage; and waiting for durability.

use super::api::{Append, AppendError, LogError, Staged};
use super::directory::{Directory, SharedLog};
use super::signal::Pass;
use super::stats::EngineStats;
use crate::batch::{BatchError, CheckRules, CheckedBatch, UNPACKED_BYTES_MAX, check, is_packed, is_remade};
use crate::io::{Disk, is_full, is_own_limit};
use crate::log::{Admission, Verdict};
use crate::units::{Offset, Timestamp};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// What a batch may unfold to without giving up the core: under a millisecond with the slowest codec.
pub(super) const UNFOLDED_AT_ONCE_MAX: usize = 128 << 10;
/// The same where it is packed anew, which takes several times as long.
const REMADE_AT_ONCE_MAX: usize = 32 << 10;
/// Text unfolds tenfold, logs that repeat themselves fiftyfold: what unfolds to more than this is meant to.
const UNPACKED_FACTOR: usize = 64;
/// How often it is logged that batches are refused for the same reason.
const REFUSALS_TOLD_EVERY: Duration = Duration::from_secs(10);

/// A place in the order of one log's appends; given up when dropped.
struct Turn {
    log: SharedLog,
    number: u64,
}

impl Turn {
    fn take(log: &SharedLog) -> Self {
        let mut borrowed = log.borrow_mut();
        let number = borrowed.turns.back().map_or(0, |(number, _)| number + 1);
        borrowed.turns.push_back((number, None));
        Self { log: Rc::clone(log), number }
    }

    /// Resolves when every earlier append of this log has been staged or given up.
    async fn come(&self) {
        poll_fn(|context| {
            let mut log = self.log.borrow_mut();
            if log.turns.front().is_none_or(|(number, _)| *number == self.number) {
                return Poll::Ready(());
            }
            if let Some(turn) = log.turns.iter_mut().find(|(number, _)| *number == self.number) {
                turn.1 = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut log = self.log.borrow_mut();
        log.turns.retain(|(number, _)| *number != self.number);
        if let Some((_, Some(waker))) = log.turns.front() {
            waker.wake_by_ref();
        }
    }
}

impl<D: Disk> Directory<D> {
    /// Checks a batch, gives it offsets, puts it into the tail and queues the log for the next commit.
    pub(crate) async fn append(
        self: &Rc<Self>,
        log: &SharedLog,
        append: &Append,
        now: Timestamp,
    ) -> Result<Staged, AppendError> {
        let log_id = log.borrow().identity.log_id;
        let turn = Turn::take(log);
        let (batch, remaking) = self.checked(&turn, append, now).await?;
        if batch.header().is_transactional() && append.origin == crate::batch::Origin::Client {
            return Err(AppendError::Transactional);
        }
        turn.come().await;
        loop {
            self.refuse_fault(log)?;
            match log.borrow().judge(&batch) {
                Verdict::New => {}
                Verdict::Duplicate { base, offset_end } => {
                    return Ok(staged(log, base, offset_end, true, &batch));
                }
                Verdict::OutOfOrder { expected } => {
                    let (producer_id, sequence) = (batch.header().producer_id, batch.header().base_sequence);
                    return Err(AppendError::OutOfOrderSequence { producer_id, sequence, expected });
                }
                Verdict::OldEpoch { known } => {
                    let (producer_id, epoch) = (batch.header().producer_id, batch.header().producer_epoch);
                    return Err(AppendError::InvalidProducerEpoch { producer_id, epoch, known });
                }
            }
            if self.memory.bytes.get() > self.settings.tail_memory_bytes {
                while self.release_memory() {}
            }
            if self.memory.bytes.get() > self.settings.tail_memory_bytes {
                self.queue_early();
                self.memory.laps.borrow().iter().for_each(|lap| lap.set());
                self.memory.freed.wait().await;
                continue;
            }
            let admission = log.borrow_mut().admit(&batch, now, || self.segment_number());
            if let Admission::Reserve { base, end } = admission {
                if let Err(error) = Box::pin(self.reserve(log, base, end)).await {
                    return Err(self.not_reserved(log, &error));
                }
                continue;
            }
            // Only now: a log with a ceiling has a directory, whatever becomes of what was to follow.
            if !self.holds_back(log, &batch) {
                break;
            }
            self.progress(log).await;
        }
        let stored = {
            let mut log = log.borrow_mut();
            let before = log.unanswered_bytes();
            let stored = log.stage(&batch, now);
            if log.is_weak() {
                log.answer_early(self.disk.now(), self.disk.wall_ms());
            }
            if log.unanswered_bytes() > before {
                self.count_staged(log.unanswered_bytes() - before, self.disk.wall_ms());
            }
            self.want_commit(log_id, &mut log);
            stored
        };
        drop(remaking);
        if stored.new_producer {
            self.count_producer();
        }
        self.count_memory(stored.bytes, 0);
        self.cold.appended(self.disk.now());
        EngineStats::add(&self.stats.batches_total, 1);
        EngineStats::add(&self.stats.batch_bytes_total, batch.batch_bytes() as u64);
        self.reserve_ahead(log);
        Ok(staged(log, stored.base, stored.offset_end, false, &batch))
    }

    fn holds_back(&self, log: &SharedLog, batch: &CheckedBatch) -> bool {
        let mut log = log.borrow_mut();
        log.is_weak() && log.holds_back(batch.batch_bytes() as u64, batch.offset_span(), self.disk.now())
    }

    /// The batch, checked; with the pass that is held until it is staged if its bytes were made anew.
    async fn checked(
        &self,
        turn: &Turn,
        append: &Append,
        now: Timestamp,
    ) -> Result<(CheckedBatch, Option<Pass>), BatchError> {
        let rules = self.rules(&turn.log, append, now);
        let mut remaking = None;
        let mut at_once_max = UNFOLDED_AT_ONCE_MAX;
        if is_remade(&append.records, &rules) {
            // Only who stages next makes bytes that no budget holds, and only one log at a time.
            turn.come().await;
            remaking = Some(self.gates.remake.enter().await);
            at_once_max = REMADE_AT_ONCE_MAX;
        } else if !is_packed(&append.records) {
            return Ok((check(&append.records, &rules)?, None));
        }
        let (records, bytes_max) = (append.records.clone(), rules.unpacked_bytes_max);
        let checking =
            move |unpacked_bytes_max| check(&records, &CheckRules { unpacked_bytes_max, ..rules.clone() });
        let batch = self.unfold(append.records.len(), at_once_max, bytes_max, checking).await?;
        Ok((batch, remaking))
    }

    /// Work on a batch of so many bytes that may unfold to far more: done at once as long as that is little, otherwise on
    /// a thread beside the executor, one batch at a time. `work` is told how much may be unfolded.
    pub(crate) async fn unfold<T: Send + 'static>(
        &self,
        packed_bytes: usize,
        at_once_max: usize,
        unpacked_bytes_max: usize,
        work: impl Fn(usize) -> Result<T, BatchError> + Send + 'static,
    ) -> Result<T, BatchError> {
        let at_once_max = at_once_max.min(unpacked_bytes_max);
        if packed_bytes <= at_once_max {
            match work(at_once_max) {
                Err(BatchError::Bomb { .. }) if at_once_max < unpacked_bytes_max => {}
                outcome => return outcome,
            }
        }
        let _pass = self.gates.unfold.enter().await;
        self.disk.compute(move || work(unpacked_bytes_max)).await
    }

    fn rules(&self, log: &SharedLog, append: &Append, now: Timestamp) -> CheckRules {
        let log = log.borrow();
        CheckRules {
            batch_bytes_max: log.settings.batch_bytes_max,
            timestamp_type: log.settings.timestamp_type,
            timestamp_before_max_ms: log.settings.timestamp_before_max_ms,
            timestamp_after_max_ms: log.settings.timestamp_after_max_ms,
            compacted: log.settings.compacted,
            compression: log.settings.compression,
            unpacked_bytes_max: self.unpacked_bytes_max(log.settings.batch_bytes_max),
            zstd_allowed: append.zstd_allowed,
            origin: append.origin,
            now,
        }
    }

    /// What a batch may unfold to in a log of batches of that size.
    fn unpacked_bytes_max(&self, batch_bytes_max: usize) -> usize {
        let by_topic = batch_bytes_max.saturating_mul(UNPACKED_FACTOR);
        self.settings.unpacked_bytes_max.max(by_topic).min(UNPACKED_BYTES_MAX)
    }

    /// Reserves the next blocks before they are needed, off the produce path.
    fn reserve_ahead(self: &Rc<Self>, log: &SharedLog) {
        let Some((base, end)) = log.borrow_mut().begin_reserve_ahead() else { return };
        let (directory, log) = (Rc::clone(self), Rc::clone(log));
        self.spawn_counted(true, async move {
            // A full disk shows again, with an answer, when the blocks are needed.
            if let Err(error) = directory.reserve(&log, base, end).await
                && !is_full(&error)
            {
                let refused = directory.not_reserved(&log, &error);
                tracing::warn!(%refused, "blocks could not be reserved ahead");
            }
            log.borrow_mut().reserving = false;
        });
    }

    /// Nothing was accepted yet: a full disk, and a process that has no descriptor left, refuse this batch and stop
    /// nothing. Whatever else forbids to make files would forbid to write them as well.
    fn not_reserved(&self, log: &SharedLog, error: &io::Error) -> AppendError {
        let log_id = log.borrow().identity.log_id;
        if is_full(error) {
            self.now_and_then(&self.full_told, || {
                tracing::error!(%error, "the disk is full: batches are refused until there is room");
            });
            return AppendError::Full { log_id };
        }
        let is_gone = log.borrow().is_detached;
        if !is_gone && !is_own_limit(error) {
            self.fail("making room in a segment", error);
        }
        match self.refuse_fault(log) {
            Err(refusal) => refusal.into(),
            Ok(()) => {
                self.now_and_then(&self.limit_told, || {
                    tracing::error!(%log_id, %error, "no blocks for a segment: batches are refused that need some");
                });
                LogError::Offline { log_id, reason: format!("no blocks for its segment: {error}") }.into()
            }
        }
    }

    /// Tells it once in a while: every batch that is refused would fill what is left of the disk with lines.
    fn now_and_then(&self, told: &Cell<Option<Instant>>, tell: impl FnOnce()) {
        let now = self.disk.now();
        if told.get().is_none_or(|told| now - told >= REFUSALS_TOLD_EVERY) {
            told.set(Some(now));
            tell();
        }
    }

    pub(crate) fn refuse_fault(&self, log: &SharedLog) -> Result<(), LogError> {
        if let Some(reason) = self.keeper.stopped() {
            return Err(LogError::Offline { log_id: log.borrow().identity.log_id, reason });
        }
        let log = log.borrow();
        match &log.fault {
            Some(reason) => Err(LogError::Offline { log_id: log.identity.log_id, reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Resolves when everything below `end` is durable; with `answerable` when its answers may go, which the log's mode
    /// may allow before.
    pub(crate) fn reached(
        self: &Rc<Self>,
        log: SharedLog,
        end: Offset,
        answerable: bool,
    ) -> impl Future<Output = Result<(), LogError>> + 'static + use<D> {
        let directory = Rc::clone(self);
        let start = self.disk.now();
        async move {
            poll_fn(|context| {
                if let Err(error) = directory.refuse_fault(&log) {
                    return Poll::Ready(Err(error));
                }
                let mut log = log.borrow_mut();
                let bounds = log.bounds();
                if end <= if answerable { bounds.high_watermark } else { bounds.durable_end } {
                    return Poll::Ready(Ok(()));
                }
                let waiters = if answerable { &mut log.answer_waiters } else { &mut log.durable_waiters };
                waiters.push((end, context.waker().clone()));
                Poll::Pending
            })
            .await?;
            if log.borrow().bounds().durable_end >= end {
                directory.stats.commit_latency.record(directory.disk.now() - start);
            }
            Ok(())
        }
    }
}

fn staged(
    log: &SharedLog,
    base_offset: Offset,
    offset_end: Offset,
    duplicate: bool,
    batch: &CheckedBatch,
) -> Staged {
    let log = log.borrow();
    Staged {
        base_offset,
        offset_end,
        append_time: batch.append_time(),
        log_start: log.bounds().log_start,
        duplicate,
    }
}

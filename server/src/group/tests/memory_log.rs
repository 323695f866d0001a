//! A log in memory, for hosts under test.

use crate::coordinator::Store;
use bytes::{Bytes, BytesMut};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use thalweg_engine::batch::{BatchError, BatchHeader};
use thalweg_engine::log::LogBounds;
use thalweg_engine::shard::{AppendError, LogError, ReadError};
use thalweg_engine::units::{LeaderEpoch, LogId, Offset, Timestamp};

/// One log under every id.
#[derive(Clone, Default)]
pub(super) struct MemoryLog(Rc<Inner>);

#[derive(Default)]
struct Inner {
    /// Batches with the offset after their last record.
    batches: RefCell<Vec<(i64, Bytes)>>,
    is_held: Cell<bool>,
    is_offline: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl MemoryLog {
    /// Appends are taken but do not become durable until released.
    pub(super) fn hold(&self) {
        self.0.is_held.set(true);
    }

    pub(super) fn release(&self) {
        self.0.is_held.set(false);
        self.0.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// The device is gone.
    pub(super) fn fail(&self) {
        self.0.is_offline.set(true);
        self.release();
    }

    fn online(&self, log_id: LogId) -> Result<(), LogError> {
        let reason = || "the device is gone".to_owned();
        if self.0.is_offline.get() { Err(LogError::Offline { log_id, reason: reason() }) } else { Ok(()) }
    }

    fn end(&self) -> i64 {
        self.0.batches.borrow().last().map_or(0, |(end, _)| *end)
    }
}

impl Store for MemoryLog {
    fn bounds(&self, log_id: LogId) -> Result<LogBounds, LogError> {
        self.online(log_id)?;
        let end = Offset::new(self.end());
        Ok(LogBounds {
            log_start: Offset::ZERO,
            last_stable: end,
            high_watermark: end,
            durable_end: end,
            log_end: end,
            leader_epoch: LeaderEpoch(0),
        })
    }

    fn durable(&self, log_id: LogId, _end: Offset) -> impl Future<Output = Result<(), LogError>> + 'static {
        let online = self.online(log_id);
        async move { online }
    }

    fn append(
        &self,
        log_id: LogId,
        batch: Bytes,
        _now: Timestamp,
    ) -> impl Future<Output = Result<(), AppendError>> + 'static {
        let log = self.clone();
        async move {
            log.online(log_id)?;
            if batch.len() > 100_000 {
                return Err(BatchError::TooLarge { bytes: batch.len(), limit: 100_000 }.into());
            }
            let base = log.end();
            let count = i64::from(BatchHeader::read(&batch)?.last_offset_delta) + 1;
            let mut stored = BytesMut::from(&batch[..]);
            stored[..8].copy_from_slice(&base.to_be_bytes());
            log.0.batches.borrow_mut().push((base + count, stored.freeze()));
            let durable = poll_fn(|context| {
                if log.0.is_held.get() {
                    log.0.waiting.borrow_mut().push(context.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(())
            });
            durable.await;
            Ok(log.online(log_id)?)
        }
    }

    fn read(
        &self,
        log_id: LogId,
        offset: Offset,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Bytes, ReadError>> + 'static {
        let log = self.clone();
        async move {
            log.online(log_id)?;
            let mut found = BytesMut::new();
            for (_, batch) in log.0.batches.borrow().iter().filter(|(end, _)| *end > offset.as_i64()) {
                if !found.is_empty() && found.len() + batch.len() > bytes_max {
                    break;
                }
                found.extend_from_slice(batch);
            }
            Ok(found.freeze())
        }
    }
}

//! The way back of one piece of work: a slot that is filled once, on any core.

use futures_util::task::AtomicWaker;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// The core that owns what was asked for has stopped, or the work panicked: the outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the owning core is gone")]
pub struct ShardGone;

struct Slot<R> {
    outcome: Mutex<Option<Result<R, ShardGone>>>,
    waker: AtomicWaker,
}

/// Fills the slot; dropped unfilled, it says `ShardGone`.
pub(super) struct Reply<R, K: Fn(Waker)> {
    slot: Arc<Slot<R>>,
    /// How the one who waits is woken on its own core.
    wake: K,
}

/// Waits for the slot.
pub(super) struct Answer<R>(Arc<Slot<R>>);

impl<R, K: Fn(Waker)> Reply<R, K> {
    pub(super) fn new(wake: K) -> (Self, Answer<R>) {
        let slot = Arc::new(Slot { outcome: Mutex::new(None), waker: AtomicWaker::new() });
        (Self { slot: Arc::clone(&slot), wake }, Answer(slot))
    }

    pub(super) fn send(self, value: R) {
        self.fill(Ok(value));
    }

    fn fill(&self, outcome: Result<R, ShardGone>) {
        {
            let mut slot = self.slot.outcome.lock().unwrap_or_else(PoisonError::into_inner);
            if slot.is_some() {
                return;
            }
            *slot = Some(outcome);
        }
        if let Some(waker) = self.slot.waker.take() {
            (self.wake)(waker);
        }
    }
}

impl<R, K: Fn(Waker)> Drop for Reply<R, K> {
    fn drop(&mut self) {
        self.fill(Err(ShardGone));
    }
}

impl<R> Future for Answer<R> {
    type Output = Result<R, ShardGone>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.waker.register(context.waker());
        let outcome = self.0.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        outcome.map_or(Poll::Pending, Poll::Ready)
    }
}

//! Bytes that the requests of one shard may hold. Full means: stop reading from that socket.
//!
//! A small frame always passes: connections are limited, and so are those. Of what is larger, the shard holds a limit;
//! who finds it reached waits in line. The first in line gets what it needs as soon as nobody else holds any, so that
//! even a frame as large as the whole limit comes through, one at a time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Frames up to this never wait.
pub const SMALL_BYTES: usize = 32 << 10;

#[derive(Default)]
struct Inner {
    bytes_max: Cell<usize>,
    held: Cell<usize>,
    /// Grants that are alive.
    holders: Cell<usize>,
    line: RefCell<VecDeque<(u64, Option<Waker>)>>,
    number_next: Cell<u64>,
}

/// The budget of one shard. Cheap to clone; stays on its core.
#[derive(Clone, Default)]
pub struct Budget(Rc<Inner>);

/// Bytes that were granted; given back when dropped.
pub struct Grant {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    /// A budget of `bytes_max`.
    pub fn new(bytes_max: usize) -> Self {
        let budget = Self::default();
        budget.0.bytes_max.set(bytes_max);
        budget
    }

    /// Bytes held now.
    pub fn held(&self) -> usize {
        self.0.held.get()
    }

    /// A grant of nothing yet.
    pub fn grant(&self) -> Grant {
        Grant { budget: self.clone(), bytes: 0 }
    }

    fn wake_first(&self) {
        if let Some((_, waker)) = self.0.line.borrow().front() {
            if let Some(waker) = waker {
                waker.wake_by_ref();
            }
        }
    }
}

impl Grant {
    /// Grows to `bytes`; waits in line while the shard's limit is reached.
    pub fn grow(&mut self, bytes: usize) -> impl Future<Output = ()> + '_ {
        let number = self.budget.0.number_next.replace(self.budget.0.number_next.get() + 1);
        let mut place = Place { budget: self.budget.clone(), number, in_line: false };
        poll_fn(move |context| {
            let inner = &self.budget.0;
            let more = bytes.saturating_sub(self.bytes);
            let fits = bytes <= SMALL_BYTES
                || inner.held.get() + more <= inner.bytes_max.get()
                || (inner.holders.get() == usize::from(self.bytes > SMALL_BYTES));
            let mut line = inner.line.borrow_mut();
            let first = bytes <= SMALL_BYTES || line.front().is_none_or(|(first, _)| *first == number);
            if fits && first {
                drop(line);
                place.leave();
                if bytes > SMALL_BYTES && self.bytes <= SMALL_BYTES {
                    inner.holders.set(inner.holders.get() + 1);
                }
                inner.held.set(inner.held.get() + more);
                self.bytes += more;
                self.budget.wake_first();
                return Poll::Ready(());
            }
            match line.iter_mut().find(|(known, _)| *known == number) {
                Some(own) => own.1 = Some(context.waker().clone()),
                None => line.push_back((number, Some(context.waker().clone()))),
            }
            place.in_line = true;
            Poll::Pending
        })
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        let inner = &self.budget.0;
        inner.held.set(inner.held.get() - self.bytes);
        if self.bytes > SMALL_BYTES {
            inner.holders.set(inner.holders.get() - 1);
        }
        self.budget.wake_first();
    }
}

/// A place in the line, given up when its owner goes away.
struct Place {
    budget: Budget,
    number: u64,
    in_line: bool,
}

impl Place {
    fn leave(&mut self) {
        if std::mem::take(&mut self.in_line) {
            self.budget.0.line.borrow_mut().retain(|(number, _)| *number != self.number);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
        self.budget.wake_first();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    #[test]
    fn what_is_over_the_limit_waits_its_turn_and_small_frames_pass() {
        block_on(async {
            let budget = Budget::new(300_000);
            let (mut first, mut second, mut small) = (budget.grant(), budget.grant(), budget.grant());
            first.grow(200_000).await;
            let mut waiting = Box::pin(second.grow(200_000));
            assert!(poll_once(&mut waiting).await.is_none());
            small.grow(SMALL_BYTES).await;
            drop(first);
            waiting.await;
            assert_eq!(budget.held(), 200_000 + SMALL_BYTES);
        });
    }

    #[test]
    fn one_frame_larger_than_the_limit_comes_through_alone() {
        block_on(async {
            let budget = Budget::new(100_000);
            let (mut huge, mut other) = (budget.grant(), budget.grant());
            huge.grow(90_000).await;
            huge.grow(500_000).await;
            let mut waiting = Box::pin(other.grow(50_000));
            assert!(poll_once(&mut waiting).await.is_none());
            drop(huge);
            waiting.await;
        });
    }
}

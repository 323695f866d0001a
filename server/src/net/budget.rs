//! How much memory the requests of one core may hold; full means: that connection stops reading, others go on.
//!
//! ```text
//! |<-------- shared buffers of small frames -------->|<------------- frames of their own ------------->|  + express
//!   small ones pass here even when large ones wait      first come, first served, in steps as they grow
//! ```
//! When a frame that has begun finds no room, the first in the line goes express: it gets whatever the rest of it needs,
//! beyond the limit, alone. So one large frame at a time always comes to its end, and the most that is ever held is the
//! limit and one frame. A sender who holds memory, sends nothing and keeps others waiting is closed by `sweep`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// The part of the limit that is for shared buffers of small frames.
const SMALL_PART: usize = 4;

/// Who gets memory, in which order: the machine.
#[derive(Debug)]
pub(super) struct Ledger {
    limit: usize,
    small_limit: usize,
    large_bytes: usize,
    small_bytes: usize,
    /// The connection whose frame passes the limit.
    express: Option<u64>,
    /// Connections that wait, with what they want.
    waiting: VecDeque<(u64, usize)>,
}

impl Ledger {
    /// A budget of `limit` bytes, shared buffers included.
    pub(super) fn new(limit: usize) -> Self {
        let small_limit = limit / SMALL_PART;
        let (large_bytes, small_bytes) = (0, 0);
        Self { limit, small_limit, large_bytes, small_bytes, express: None, waiting: VecDeque::new() }
    }

    /// Takes memory for a shared buffer.
    pub(super) fn take_small(&mut self, bytes: usize) -> bool {
        let fits = self.small_bytes + bytes <= self.small_limit;
        if fits {
            self.small_bytes += bytes;
        }
        fits
    }

    /// Takes memory for a frame of its own; refused, the connection is in the line once.
    pub(super) fn take_large(&mut self, connection: u64, bytes: usize) -> bool {
        let is_express = self.express == Some(connection);
        let is_first = self.waiting.front().is_none_or(|(first, _)| *first == connection);
        let fits = self.large_bytes + bytes <= self.limit - self.small_limit;
        if is_express || (is_first && (fits || self.express.is_none())) {
            if !is_express && !fits {
                self.express = Some(connection);
            }
            self.waiting.retain(|(waiting, _)| *waiting != connection);
            self.large_bytes += bytes;
            return true;
        }
        if !self.waiting.iter().any(|(waiting, _)| *waiting == connection) {
            self.waiting.push_back((connection, bytes));
        }
        false
    }

    /// Gives memory of a shared buffer back.
    pub(super) fn release_small(&mut self, bytes: usize) {
        self.small_bytes -= bytes;
    }

    /// Gives memory of a frame back; the connection's express ends with it.
    pub(super) fn release_large(&mut self, connection: u64, bytes: usize) {
        self.large_bytes -= bytes;
        if self.express == Some(connection) {
            self.express = None;
        }
    }

    /// A connection that ends wants nothing more.
    pub(super) fn leave(&mut self, connection: u64) {
        self.waiting.retain(|(waiting, _)| *waiting != connection);
        if self.express == Some(connection) {
            self.express = None;
        }
    }

    /// Whether somebody waits.
    pub(super) fn is_short(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.large_bytes + self.small_bytes
    }
}

/// The budget of one core, shared by its connections.
#[derive(Clone)]
pub struct Budget(Rc<Inner>);

struct Inner {
    ledger: RefCell<Ledger>,
    wakers: RefCell<Vec<Waker>>,
    held: Rc<dyn Fn(usize)>,
}

/// Memory that a frame or a shared buffer holds; given back when dropped.
pub(super) struct Charge {
    budget: Budget,
    connection: Option<u64>,
    bytes: usize,
}

impl Budget {
    /// A budget of `limit` bytes; `held` is told how many are held whenever that changes.
    pub fn new(limit: usize, held: impl Fn(usize) + 'static) -> Self {
        let (ledger, wakers) = (RefCell::new(Ledger::new(limit)), RefCell::default());
        Self(Rc::new(Inner { ledger, wakers, held: Rc::new(held) }))
    }

    /// Waits for memory for a shared buffer.
    pub(super) async fn small(&self, bytes: usize) -> Charge {
        self.wait(|ledger| ledger.take_small(bytes)).await;
        Charge { budget: self.clone(), connection: None, bytes }
    }

    /// A charge of no bytes.
    pub(super) fn nothing(&self) -> Charge {
        Charge { budget: self.clone(), connection: None, bytes: 0 }
    }

    /// Waits for memory for a connection's frame, in addition to what `charge` holds.
    pub(super) async fn large(&self, connection: u64, bytes: usize, charge: Option<Charge>) -> Charge {
        self.wait(|ledger| ledger.take_large(connection, bytes)).await;
        let mut charge =
            charge.unwrap_or_else(|| Charge { budget: self.clone(), connection: Some(connection), bytes: 0 });
        charge.bytes += bytes;
        charge
    }

    async fn wait(&self, mut take: impl FnMut(&mut Ledger) -> bool) {
        poll_fn(|context| {
            if take(&mut self.0.ledger.borrow_mut()) {
                return Poll::Ready(());
            }
            self.0.wakers.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
        (self.0.held)(self.bytes());
    }

    /// A connection ends: it is out of the line.
    pub(super) fn leave(&self, connection: u64) {
        self.0.ledger.borrow_mut().leave(connection);
        self.wake();
    }

    /// Whether somebody waits for memory.
    pub(super) fn is_short(&self) -> bool {
        self.0.ledger.borrow().is_short()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.0.ledger.borrow().bytes()
    }

    fn wake(&self) {
        // All of them look again, in the line's order as the ledger keeps it: rare, and few wait.
        let wakers = std::mem::take(&mut *self.0.wakers.borrow_mut());
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        {
            let mut ledger = self.budget.0.ledger.borrow_mut();
            match self.connection {
                Some(connection) => ledger.release_large(connection, self.bytes),
                None => ledger.release_small(self.bytes),
            }
        }
        self.budget.wake();
        (self.budget.0.held)(self.budget.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_frames_pass_while_large_ones_wait() {
        let mut ledger = Ledger::new(400);
        assert!(ledger.take_large(1, 300));
        assert!(ledger.take_large(2, 50), "the first beyond the limit goes express");
        assert!(!ledger.take_large(3, 1));
        assert!(ledger.is_short());
        assert!(ledger.take_small(100));
        assert!(!ledger.take_small(1));
    }

    #[test]
    fn one_frame_at_a_time_comes_to_its_end_beyond_the_limit() {
        let mut ledger = Ledger::new(400);
        for connection in 0..3 {
            assert!(ledger.take_large(connection, 100));
        }
        assert!(ledger.take_large(1, 1000), "express");
        assert!(ledger.take_large(1, 1000), "to its end");
        assert!(!ledger.take_large(0, 1));
        assert!(!ledger.take_large(2, 1));
        ledger.release_large(1, 2100);
        assert!(!ledger.take_large(2, 100), "0 came first");
        assert!(ledger.take_large(0, 100));
        assert!(ledger.take_large(2, 100));
        assert!(!ledger.is_short());
        assert_eq!(ledger.bytes(), 400);
    }

    #[test]
    fn who_leaves_gives_up_place_and_express() {
        let mut ledger = Ledger::new(400);
        assert!(ledger.take_large(1, 300));
        assert!(ledger.take_large(1, 300));
        assert!(!ledger.take_large(2, 10));
        assert!(!ledger.take_large(3, 10));
        ledger.leave(2);
        ledger.leave(1);
        ledger.release_large(1, 600);
        assert!(ledger.take_large(3, 10));
        assert_eq!(ledger.bytes(), 10);
    }

    #[test]
    fn charges_come_back_when_dropped() {
        let budget = Budget::new(1000, |_| {});
        futures_lite::future::block_on(async {
            let first = budget.large(1, 700, None).await;
            let first = budget.large(1, 500, Some(first)).await;
            let small = budget.small(100).await;
            assert_eq!(budget.bytes(), 1300);
            drop((first, small));
            assert_eq!(budget.bytes(), 0);
        });
    }
}

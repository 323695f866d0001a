//! What of a case counts: the calls through [`Meter::count`] and the polls through [`Meter::poll`], nothing else.
//!
//! Under callgrind the counter runs from the entry of [`counted`] to its exit (`--toggle-collect`), so that what a case
//! prepares and throws away is not in its figure. On the clock the same stretches are added up.

use std::cell::Cell;
use std::future::poll_fn;
use std::hint::black_box;
use std::pin::pin;
use std::time::{Duration, Instant};

/// How much of a case is done, and what it took.
pub(crate) struct Meter {
    is_full: bool,
    operations: Cell<u64>,
    elapsed: Cell<Duration>,
}

impl Meter {
    /// With `is_full` cases do enough to be told apart; without, each does what it does once or twice.
    pub(crate) fn new(is_full: bool) -> Self {
        Self { is_full, operations: Cell::new(0), elapsed: Cell::default() }
    }

    /// Rounds to make: `full`, or few.
    pub(crate) fn rounds(&self, full: u64) -> u64 {
        if self.is_full { full } else { full.min(2) }
    }

    /// What was done, and how long the counted stretches took together.
    pub(crate) fn done(&self) -> (u64, Duration) {
        (self.operations.get(), self.elapsed.get())
    }

    /// Does work that counts, as so many operations.
    pub(crate) fn count<T>(&self, operations: u64, work: impl FnOnce() -> T) -> T {
        self.operations.set(self.operations.get() + operations);
        self.timed(work)
    }

    /// Awaits one operation of which only its own polls count: what other tasks do meanwhile does not.
    pub(crate) async fn poll<T>(&self, operation: impl Future<Output = T>) -> T {
        let mut operation = pin!(operation);
        self.operations.set(self.operations.get() + 1);
        poll_fn(|context| self.timed(|| operation.as_mut().poll(context))).await
    }

    fn timed<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let outcome = counted(work);
        self.elapsed.set(self.elapsed.get() + start.elapsed());
        outcome
    }
}

/// The name that callgrind is told: never inlined, and nothing else is called so.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

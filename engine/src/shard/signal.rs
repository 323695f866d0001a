//! Waking tasks of one core: a flag that somebody waits for.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Set by any task; wakes all that wait. With nobody waiting it is kept for the next who comes, once.
#[derive(Default)]
pub(crate) struct Signal {
    set: Cell<bool>,
    /// How often it was set: whoever waited before a setting goes on, though another may have taken the flag.
    count: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Signal {
    /// Wakes everybody who waits; the next who comes to wait goes on at once.
    pub(crate) fn set(&self) {
        self.set.set(true);
        self.count.set(self.count.get() + 1);
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Waits until the signal is set, and takes it.
    pub(crate) async fn wait(&self) {
        let before = self.count.get();
        poll_fn(|context| {
            if self.set.take() || self.count.get() != before {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Done once, waited for by any number of tasks.
#[derive(Default)]
pub(crate) struct Done {
    done: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Done {
    pub(crate) fn set(&self) {
        self.done.set(true);
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done.get()
    }

    pub(crate) async fn wait(&self) {
        poll_fn(|context| {
            if self.done.get() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::sim::Simulation;
    use std::rc::Rc;
    use std::time::Duration;

    /// Three appends waited for memory, one went on, and the others slept beside memory that was free.
    #[test]
    fn a_signal_wakes_all_that_wait_for_it_and_one_that_comes_later() {
        let simulation = Simulation::new(1);
        let (signal, done) = (Rc::new(Signal::default()), Rc::new(Cell::new(0)));
        let (inner, count) = (simulation.clone(), Rc::clone(&done));
        simulation.run(async move {
            for _ in 0..3 {
                let (signal, count) = (Rc::clone(&signal), Rc::clone(&count));
                inner.spawn(async move {
                    signal.wait().await;
                    count.set(count.get() + 1);
                });
            }
            inner.sleep(Duration::from_millis(1)).await;
            signal.set();
            inner.sleep(Duration::from_millis(1)).await;
            signal.set();
            signal.wait().await;
        });
        assert_eq!(done.get(), 3);
    }
}

//! Waking tasks of one core: a flag that somebody waits for.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
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

    /// Waits until the signal is set anew, and leaves it to others.
    pub(crate) async fn next(&self) {
        let before = self.count.get();
        poll_fn(|context| {
            if self.count.get() != before {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
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

/// Lets one in at a time, in the order they come.
#[derive(Default)]
pub(crate) struct Gate {
    number: Cell<u64>,
    /// Who is in, then who waits.
    queue: RefCell<VecDeque<(u64, Option<Waker>)>>,
}

/// A place in a gate's queue; given up when dropped.
pub(crate) struct Pass {
    gate: Rc<Gate>,
    number: u64,
}

impl Gate {
    /// Resolves when everybody who came before has left.
    pub(crate) async fn enter(self: &Rc<Self>) -> Pass {
        let number = self.number.get() + 1;
        self.number.set(number);
        self.queue.borrow_mut().push_back((number, None));
        let pass = Pass { gate: Rc::clone(self), number };
        poll_fn(|context| {
            let mut queue = self.queue.borrow_mut();
            if queue.front().is_none_or(|(first, _)| *first == number) {
                return Poll::Ready(());
            }
            if let Some(own) = queue.iter_mut().find(|(known, _)| *known == number) {
                own.1 = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
        pass
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut queue = self.gate.queue.borrow_mut();
        queue.retain(|(number, _)| *number != self.number);
        if let Some((_, Some(waker))) = queue.front() {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_lets_one_in_at_a_time_in_order_and_forgets_who_gave_up() {
        let simulation = Simulation::new(3);
        let (gate, order) = (Rc::new(Gate::default()), Rc::new(RefCell::new(Vec::new())));
        let (inner, seen) = (simulation.clone(), Rc::clone(&order));
        simulation.run(async move {
            let first = gate.enter().await;
            for number in 0..4 {
                let (gate, seen, clock) = (Rc::clone(&gate), Rc::clone(&seen), inner.clone());
                inner.spawn(async move {
                    clock.sleep(Duration::from_millis(number)).await;
                    let wait = gate.enter();
                    if number == 1 {
                        let soon = clock.sleep(Duration::from_millis(5));
                        return futures_lite::future::or(async { drop(wait.await) }, soon).await;
                    }
                    let pass = wait.await;
                    seen.borrow_mut().push(number);
                    clock.sleep(Duration::from_millis(7)).await;
                    seen.borrow_mut().push(number);
                    drop(pass);
                });
            }
            inner.sleep(Duration::from_millis(50)).await;
            assert!(seen.borrow().is_empty(), "the first is still in");
            drop(first);
            inner.sleep(Duration::from_millis(100)).await;
        });
        assert_eq!(*order.borrow(), [0, 0, 2, 2, 3, 3]);
    }
    use crate::io::sim::Simulation;
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

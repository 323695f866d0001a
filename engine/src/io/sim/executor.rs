//! Runs tasks on one thread with a clock of its own: the same seed gives the same order of everything.
//!
//! Which of the ready tasks goes on is chosen at random. Time stands still while a task is ready and jumps to the next
//! timer when none is, so that hours of waiting cost nothing. A run ends when its main task does, or is cut: then all
//! tasks are dropped where they stand, as those of a killed process are.

use super::random::Random;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// A run that takes longer on its own clock waits for something that will never come.
const RUN_MAX: Duration = Duration::from_secs(1200);

/// Turns of tasks without any time going by: more are a loop that waits for nothing.
const TURNS_MAX: u64 = 1_000_000;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Tasks that may go on. Behind a lock only since wakers may be sent; nobody ever waits for it.
#[derive(Default)]
struct Ready(Mutex<Vec<u64>>);

impl Ready {
    fn push(&self, task: u64) {
        let mut ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !ready.contains(&task) {
            ready.push(task);
        }
    }
}

struct TaskWaker {
    task: u64,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.push(self.task);
    }
}

/// The executor and its clock; clones are the same one.
#[derive(Clone)]
pub struct Simulation(Rc<Inner>);

struct Inner {
    random: RefCell<Random>,
    ready: Arc<Ready>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    number: Cell<u64>,
    clock: Cell<Duration>,
    timers: RefCell<BTreeMap<(Duration, u64), Waker>>,
    cut: Cell<bool>,
}

impl Simulation {
    /// An executor whose choices come from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Rc::new(Inner {
            random: RefCell::new(Random::new(seed)),
            ready: Arc::default(),
            tasks: RefCell::default(),
            number: Cell::new(0),
            clock: Cell::default(),
            timers: RefCell::default(),
            cut: Cell::new(false),
        }))
    }

    /// Time since the simulation was made; it goes on from run to run.
    pub fn clock(&self) -> Duration {
        self.0.clock.get()
    }

    /// The next random number below `end`.
    pub fn below(&self, end: u64) -> u64 {
        self.0.random.borrow_mut().below(end)
    }

    /// True so many times in a thousand.
    pub fn per_mille(&self, chance: u64) -> bool {
        self.0.random.borrow_mut().per_mille(chance)
    }

    fn number_next(&self) -> u64 {
        self.0.number.set(self.0.number.get() + 1);
        self.0.number.get()
    }

    /// Starts a task beside those that run.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let number = self.number_next();
        self.0.tasks.borrow_mut().insert(number, Box::pin(task));
        self.0.ready.push(number);
    }

    /// Ends the run before anybody takes another step.
    pub fn cut(&self) {
        self.0.cut.set(true);
    }

    /// The run was cut; what was asked of the disk since has no effect.
    pub fn is_cut(&self) -> bool {
        self.0.cut.get()
    }

    /// Waits on the simulation's clock.
    pub async fn sleep(&self, duration: Duration) {
        let due = (self.clock() + duration, self.number_next());
        let timer = Timer { simulation: self.clone(), due };
        poll_fn(|context| {
            if timer.simulation.clock() >= due.0 {
                return Poll::Ready(());
            }
            timer.simulation.0.timers.borrow_mut().insert(due, context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Lets the others go on.
    pub async fn yield_now(&self) {
        let mut asked = false;
        poll_fn(|context| {
            if std::mem::replace(&mut asked, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Runs `main`, and what it spawns, until it ends; `None` when the run was cut before.
    ///
    /// # Panics
    /// When nothing can go on, or all only wait for time to pass: somebody was forgotten.
    pub fn run<T: 'static>(&self, main: impl Future<Output = T> + 'static) -> Option<T> {
        self.0.cut.set(false);
        let outcome = Rc::new(RefCell::new(None));
        let target = Rc::clone(&outcome);
        self.spawn(async move {
            let value = main.await;
            *target.borrow_mut() = Some(value);
        });
        let end = self.clock() + RUN_MAX;
        let mut turns = 0;
        while outcome.borrow().is_none() && !self.is_cut() {
            turns += 1;
            assert!(turns < TURNS_MAX, "tasks go round without waiting for anything");
            if !self.step() {
                turns = 0;
                self.advance();
                assert!(self.clock() < end, "after {RUN_MAX:?} the run still waits");
            }
        }
        let left = std::mem::take(&mut *self.0.tasks.borrow_mut());
        drop(left);
        self.0.timers.borrow_mut().clear();
        self.0.ready.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let value = outcome.borrow_mut().take();
        value.filter(|_| !self.is_cut())
    }

    /// Lets one ready task go on; false when there is none.
    fn step(&self) -> bool {
        let task = {
            let mut ready = self.0.ready.0.lock().unwrap_or_else(PoisonError::into_inner);
            if ready.is_empty() {
                return false;
            }
            let at = self.below(ready.len() as u64) as usize;
            ready.swap_remove(at)
        };
        let Some(mut future) = self.0.tasks.borrow_mut().remove(&task) else { return true };
        let waker = Waker::from(Arc::new(TaskWaker { task, ready: Arc::clone(&self.0.ready) }));
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            self.0.tasks.borrow_mut().insert(task, future);
        }
        true
    }

    fn advance(&self) {
        let first = self.0.timers.borrow_mut().pop_first();
        let Some(((due, _), waker)) = first else { panic!("nothing can go on, and no timer runs") };
        self.0.clock.set(due.max(self.clock()));
        waker.wake();
    }
}

struct Timer {
    simulation: Simulation,
    due: (Duration, u64),
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.simulation.0.timers.borrow_mut().remove(&self.due);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_pass_at_once_and_tasks_wake_in_the_order_of_their_timers() {
        let simulation = Simulation::new(1);
        let order = Rc::new(RefCell::new(Vec::new()));
        let (inner, seen) = (simulation.clone(), Rc::clone(&order));
        let ended = simulation.run(async move {
            for minutes in [3, 1, 2] {
                let (sleeper, seen) = (inner.clone(), Rc::clone(&seen));
                inner.spawn(async move {
                    sleeper.sleep(Duration::from_mins(minutes)).await;
                    seen.borrow_mut().push(minutes);
                });
            }
            inner.sleep(Duration::from_mins(10)).await;
        });
        assert_eq!((ended, &order.borrow()[..]), (Some(()), &[1, 2, 3][..]));
        assert_eq!(simulation.clock(), Duration::from_mins(10));
    }

    #[test]
    #[should_panic(expected = "nothing can go on")]
    fn who_waits_for_nobody_is_named() {
        Simulation::new(1).run(std::future::pending::<()>());
    }
}

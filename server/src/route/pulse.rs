//! A thread that wakes every executor a hundred times a second.
//!
//! An executor can sleep on runnable tasks when its preempt timer fires at the wrong moment; a wake-up from outside ends that
//! (measured: every 5-10 ms ended all stalls that were provoked). A waker of a task does not do: the task may be the very
//! one that is runnable already, and before its first task has run there is none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use thalweg_engine::io::Rouser;

/// Time between two beats.
const BEAT: Duration = Duration::from_millis(8);

/// Wakes the executors that follow it. One per process.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Beating>);

#[derive(Debug, Default)]
struct Beating {
    rousers: Mutex<Vec<Arc<Rouser>>>,
    is_over: AtomicBool,
}

/// An executor's place among those that are woken, until it is dropped.
pub(super) struct Follower {
    pulse: Pulse,
    rouser: Arc<Rouser>,
}

impl Pulse {
    /// Starts the thread; it beats until `end`.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start() -> std::io::Result<Self> {
        let pulse = Self::default();
        let beating = pulse.clone();
        std::thread::Builder::new().name("pulse".to_owned()).spawn(move || {
            while !beating.0.is_over.load(Ordering::Relaxed) {
                std::thread::sleep(BEAT);
                beating.beat();
            }
        })?;
        Ok(pulse)
    }

    /// Ends the thread.
    pub fn end(&self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }

    fn beat(&self) {
        self.0
            .rousers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .for_each(|rouser| rouser.rouse());
    }

    pub(super) fn follow(&self, rouser: Rouser) -> Follower {
        let rouser = Arc::new(rouser);
        self.0.rousers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&rouser));
        Follower { pulse: self.clone(), rouser }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut rousers = self.pulse.0.rousers.lock().unwrap_or_else(PoisonError::into_inner);
        rousers.retain(|known| !Arc::ptr_eq(known, &self.rouser));
    }
}

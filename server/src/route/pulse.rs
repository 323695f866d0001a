//! A thread that wakes every executor a hundred times a second while it works, and twice a second while it rests.
//!
//! An executor can sleep on runnable tasks when its preempt timer fires at the wrong moment; a wake-up from outside ends that
//! (measured: every 5-10 ms ended all stalls that were provoked). A waker of a task does not do: the task may be the very
//! one that is runnable already, and before its first task has run there is none. Whether it worked, the kernel's count of its
//! turns on a CPU tells: one that only ever ran because it was woken from here has nothing to sleep on.

use super::account::Account;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use thalweg_engine::io::Rouser;

/// Time between two beats while an executor works, and while all of them rest.
const BEAT: Duration = Duration::from_millis(8);
const BEAT_AT_REST: Duration = Duration::from_millis(32);
/// Beats that an executor gets after it last worked.
const BEATS_AFTER_WORK: u32 = 3;
/// Every so many beats it gets one though it rests: whatever was overlooked is found within half a second.
const BEATS_BETWEEN: u32 = 16;

/// Wakes the executors that follow it. One per process.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Beating>);

#[derive(Debug, Default)]
struct Beating {
    followers: Mutex<Vec<Arc<Mutex<Followed>>>>,
    is_over: AtomicBool,
}

/// An executor's place among those that are woken, until it is dropped.
pub(super) struct Follower {
    pulse: Pulse,
    followed: Arc<Mutex<Followed>>,
}

#[derive(Debug)]
struct Followed {
    rouser: Rouser,
    /// The kernel's account of the executor's thread; without it, it gets every beat.
    account: Option<Account>,
    rest: Rest,
}

/// How long an executor has rested.
#[derive(Debug, Default)]
struct Rest {
    /// Its turns on a CPU at the last look.
    turns: u64,
    /// Looks since it last did more than to be woken.
    look_count: u32,
}

impl Rest {
    /// Whether an executor that has had so many turns by now gets this beat.
    fn look(&mut self, turns: u64) -> bool {
        let own_turn = u64::from(self.gets_beat()); // the last beat gave it one
        let has_worked = turns.saturating_sub(self.turns) > own_turn;
        self.turns = turns;
        self.look_count = if has_worked { 0 } else { self.look_count.saturating_add(1) };
        self.gets_beat()
    }

    fn gets_beat(&self) -> bool {
        self.look_count < BEATS_AFTER_WORK || self.look_count.is_multiple_of(BEATS_BETWEEN)
    }
}

impl Followed {
    /// Wakes it if it may need that; says whether it works.
    fn beat(&mut self) -> bool {
        let turns = self.account.as_ref().and_then(Account::read).map(|entry| entry.turns);
        if turns.is_none_or(|turns| self.rest.look(turns)) {
            self.rouser.rouse();
        }
        turns.is_none() || self.rest.look_count < BEATS_AFTER_WORK
    }
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
            let mut pause = BEAT;
            while !beating.0.is_over.load(Ordering::Relaxed) {
                std::thread::sleep(pause);
                pause = if beating.beat() { BEAT } else { BEAT_AT_REST };
            }
        })?;
        Ok(pulse)
    }

    /// Ends the thread.
    pub fn end(&self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }

    fn followers(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Mutex<Followed>>>> {
        self.0.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether any of them works.
    fn beat(&self) -> bool {
        let mut works = false;
        for followed in self.followers().iter() {
            works |= followed.lock().unwrap_or_else(PoisonError::into_inner).beat();
        }
        works
    }

    /// The executor of the calling thread is woken from now on.
    pub(super) fn follow(&self, rouser: Rouser) -> Follower {
        let account = Account::of_this_thread();
        let followed = Arc::new(Mutex::new(Followed { rouser, account, rest: Rest::default() }));
        self.followers().push(Arc::clone(&followed));
        Follower { pulse: self.clone(), followed }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.pulse.followers().retain(|known| !Arc::ptr_eq(known, &self.followed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at an executor that gets a turn from each beat, and `work` more between two looks.
    fn beats(rest: &mut Rest, turns: &mut u64, looks: u32, work: impl Fn(u32) -> u64) -> u32 {
        let mut count = 0;
        for look in 0..looks {
            *turns += work(look);
            let is_due = rest.look(*turns);
            *turns += u64::from(is_due);
            count += u32::from(is_due);
        }
        count
    }

    #[test]
    fn an_executor_that_rests_is_woken_seldom_and_one_that_works_at_every_beat() {
        let (mut rest, mut turns) = (Rest::default(), 0);
        assert_eq!(beats(&mut rest, &mut turns, 100, |_| 3), 100);
        let resting = beats(&mut rest, &mut turns, 640, |_| 0);
        assert!((3..=3 + 40).contains(&resting), "{resting} beats in 640 looks");
        // One short piece of work after a long rest is enough.
        let woken = beats(&mut rest, &mut turns, 20, |look| u64::from(look == 5));
        assert!((3..=4).contains(&woken), "{woken} beats after a turn of its own");
        assert_eq!(beats(&mut rest, &mut turns, 50, |look| u64::from(look % 3 == 0)), 50);
    }
}

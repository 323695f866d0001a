//! Deadlines as data: set, moved and cancelled by key, taken out when due.
//!
//! Heartbeats move a deadline thousands of times before it is ever due, so a later deadline only changes the map; the
//! queue keeps the earlier entry, which is put back at its true time when it comes up.

use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::Hash;
use std::time::Duration;

/// Entries of the queue beyond twice the live keys that are tolerated before it is built anew.
const STALE_MAX: usize = 64;

struct Deadline {
    at: Duration,
    queued_at: Duration,
}

/// Deadlines by key; one per key.
pub struct Timers<K> {
    deadlines: FxHashMap<K, Deadline>,
    queue: BinaryHeap<Reverse<(Duration, K)>>,
}

impl<K: Clone + Ord + Hash> Default for Timers<K> {
    fn default() -> Self {
        Self { deadlines: FxHashMap::default(), queue: BinaryHeap::new() }
    }
}

impl<K: Clone + Ord + Hash> Timers<K> {
    /// Sets or moves the deadline of a key.
    pub fn set(&mut self, key: K, at: Duration) {
        match self.deadlines.get_mut(&key) {
            Some(deadline) if deadline.queued_at <= at => deadline.at = at,
            _ => {
                self.deadlines.insert(key.clone(), Deadline { at, queued_at: at });
                self.queue.push(Reverse((at, key)));
                self.drop_stale();
            }
        }
    }

    /// Forgets a key's deadline.
    pub fn cancel(&mut self, key: &K) {
        self.deadlines.remove(key);
        if self.deadlines.is_empty() {
            self.queue.clear();
        }
    }

    /// The deadline of a key.
    pub fn deadline(&self, key: &K) -> Option<Duration> {
        self.deadlines.get(key).map(|deadline| deadline.at)
    }

    /// When something is due next, exactly.
    pub fn first(&mut self) -> Option<Duration> {
        self.settle();
        self.queue.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes out one key that is due at `now`, the earliest first.
    pub fn pop(&mut self, now: Duration) -> Option<K> {
        if self.first()? > now {
            return None;
        }
        let Reverse((_, key)) = self.queue.pop()?;
        self.deadlines.remove(&key);
        Some(key)
    }

    /// Makes the head of the queue a true deadline: drops what was cancelled, puts back what was moved.
    fn settle(&mut self) {
        while let Some(Reverse((queued_at, key))) = self.queue.peek() {
            let queued_at = *queued_at;
            match self.deadlines.get_mut(key) {
                Some(deadline) if deadline.queued_at == queued_at => {
                    if deadline.at == queued_at {
                        return;
                    }
                    deadline.queued_at = deadline.at;
                    let (at, key) = (deadline.at, key.clone());
                    self.queue.pop();
                    self.queue.push(Reverse((at, key)));
                }
                _ => {
                    self.queue.pop();
                }
            }
        }
    }

    fn drop_stale(&mut self) {
        if self.queue.len() > 2 * self.deadlines.len() + STALE_MAX {
            let entry = |(key, deadline): (&K, &mut Deadline)| {
                deadline.queued_at = deadline.at;
                Reverse((deadline.at, key.clone()))
            };
            self.queue = self.deadlines.iter_mut().map(entry).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn deadlines_come_up_in_order_and_once() {
        let mut timers = Timers::default();
        timers.set("late", s(9));
        timers.set("early", s(3));
        assert_eq!(timers.first(), Some(s(3)));
        assert_eq!(timers.pop(s(2)), None);
        assert_eq!(timers.pop(s(9)), Some("early"));
        assert_eq!(timers.pop(s(9)), Some("late"));
        assert_eq!(timers.pop(s(99)), None);
    }

    #[test]
    fn a_deadline_moved_either_way_counts_only_at_its_new_time() {
        let mut timers = Timers::default();
        timers.set("a", s(5));
        timers.set("a", s(8));
        assert_eq!(timers.pop(s(7)), None);
        timers.set("a", s(6));
        assert_eq!(timers.pop(s(7)), Some("a"));
        assert_eq!(timers.pop(s(99)), None);
    }

    #[test]
    fn a_cancelled_key_never_comes_up_even_when_set_again_later() {
        let mut timers = Timers::default();
        timers.set("a", s(5));
        timers.set("b", s(50));
        timers.cancel(&"a");
        assert_eq!(timers.pop(s(9)), None);
        timers.set("a", s(20));
        assert_eq!(timers.deadline(&"a"), Some(s(20)));
        assert_eq!(timers.pop(s(19)), None);
        assert_eq!(timers.pop(s(20)), Some("a"));
        assert_eq!(timers.pop(s(20)), None);
    }

    #[test]
    fn keys_that_come_and_go_do_not_make_the_queue_grow() {
        let mut timers = Timers::default();
        timers.set(0, s(1_000_000));
        for turn in 0..10_000_u64 {
            timers.set(1, s(500_000 - turn));
            timers.cancel(&1);
        }
        assert!(timers.queue.len() <= 2 + STALE_MAX);
    }
}

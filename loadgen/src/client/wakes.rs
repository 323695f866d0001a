//! Who of one thread wants to be woken, soonest first.
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Connections that want to be woken; each at most once at its soonest time.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    heap: BinaryHeap<Reverse<(Duration, usize)>>,
    soonest: Vec<Option<Duration>>,
}

impl Wakes {
    /// Nobody of `count` yet.
    pub(crate) fn new(count: usize) -> Self {
        Self { heap: BinaryHeap::new(), soonest: vec![None; count] }
    }

    /// Wakes `index` at `at`. A time that is over already counts as the next instant: whoever asks has just been served.
    pub(crate) fn ask(&mut self, index: usize, at: Duration, now: Duration) {
        let at = at.max(now + Duration::from_nanos(1));
        if self.soonest.len() <= index {
            self.soonest.resize(index + 1, None);
        }
        if self.soonest[index].is_none_or(|soonest| at < soonest) {
            self.soonest[index] = Some(at);
            self.heap.push(Reverse((at, index)));
        }
    }

    /// The soonest time.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Someone whose time has come.
    pub(crate) fn take_due(&mut self, now: Duration) -> Option<usize> {
        let Reverse((at, index)) = *self.heap.peek().filter(|Reverse((at, _))| *at <= now)?;
        self.heap.pop();
        if self.soonest[index] == Some(at) {
            self.soonest[index] = None;
        }
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn each_is_woken_at_its_soonest_time_and_never_twice_in_one_instant() {
        let mut wakes = Wakes::new(2);
        wakes.ask(0, MS(30), MS(0));
        wakes.ask(1, MS(20), MS(0));
        wakes.ask(0, MS(10), MS(0));
        assert_eq!(wakes.next(), Some(MS(10)));
        assert_eq!(wakes.take_due(MS(5)), None);
        assert_eq!(wakes.take_due(MS(20)), Some(0));
        // It asks again for a time that is over: not now, or the loop would never end.
        wakes.ask(0, MS(10), MS(20));
        assert_eq!(wakes.take_due(MS(20)), Some(1));
        assert_eq!(wakes.take_due(MS(20)), None);
        assert_eq!(wakes.take_due(MS(21)), Some(0));
    }
}

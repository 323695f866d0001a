//! One thread's event loop over its senders.
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Context, Plan, Recorder, Sender};
use crate::client::Poll;
use crate::run::{RunError, Stop};

/// How often timeouts and the wish to stop are looked at; what is due earlier wakes the loop by itself.
const TICK: Duration = Duration::from_millis(50);

/// Senders of one thread, with their sockets and figures.
pub struct Worker {
    /// The run.
    pub plan: Arc<Plan>,
    /// The sockets; a sender's token is its place in `senders`.
    pub poll: Poll,
    /// The connections.
    pub senders: Vec<Sender>,
    /// The figures.
    pub recorder: Recorder,
}

/// Senders that want to be woken, soonest first; each at most once at its soonest time.
#[derive(Default)]
struct Wakes {
    heap: BinaryHeap<Reverse<(Duration, usize)>>,
    soonest: Vec<Option<Duration>>,
}

impl Wakes {
    /// A time that is over already counts as the next instant: whoever asks has just been served.
    fn ask(&mut self, sender: usize, at: Duration, now: Duration) {
        let at = at.max(now + Duration::from_nanos(1));
        if self.soonest[sender].is_none_or(|soonest| at < soonest) {
            self.soonest[sender] = Some(at);
            self.heap.push(Reverse((at, sender)));
        }
    }

    fn next(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    fn take_due(&mut self, now: Duration) -> Option<usize> {
        let Reverse((at, sender)) = *self.heap.peek().filter(|Reverse((at, _))| *at <= now)?;
        self.heap.pop();
        if self.soonest[sender] == Some(at) {
            self.soonest[sender] = None;
        }
        Some(sender)
    }
}

impl Worker {
    /// Sends until all senders are finished; returns the figures.
    ///
    /// # Errors
    /// If this machine or a codec fails. What a broker does wrong is in the figures.
    pub fn run(mut self, start: Instant, start_unix_ms: i64, stop: &Stop) -> Result<Recorder, RunError> {
        let mut wakes = Wakes { soonest: vec![None; self.senders.len()], ..Wakes::default() };
        let mut ready = Vec::new();
        let mut next_tick = Duration::ZERO;
        let mut drain_end = self.plan.end.map(|end| end + self.plan.drain);
        loop {
            let now = start.elapsed();
            let mut context =
                Context { plan: &self.plan, poll: &self.poll, recorder: &mut self.recorder, start_unix_ms };
            if now >= next_tick {
                next_tick = now + TICK;
                if stop.is_asked() && drain_end.is_none_or(|end| now + self.plan.drain < end) {
                    drain_end = Some(now + self.plan.drain);
                    self.senders.iter_mut().for_each(|sender| sender.close(&mut context, now));
                }
                let is_over = drain_end.is_some_and(|end| now >= end);
                let mut finished = true;
                for (index, sender) in self.senders.iter_mut().enumerate() {
                    sender.tick(&mut context, now);
                    if is_over {
                        sender.give_up(&mut context, now);
                    }
                    sender.step(&mut context, now)?;
                    sender.wake_at(&context, now).inspect(|at| wakes.ask(index, *at, now));
                    finished &= sender.is_finished(now);
                }
                if finished {
                    return Ok(self.recorder);
                }
            }
            while let Some(index) = wakes.take_due(now) {
                self.senders[index].step(&mut context, now)?;
                self.senders[index].wake_at(&context, now).inspect(|at| wakes.ask(index, *at, now));
            }
            let next = wakes.next().map_or(next_tick, |wake| wake.min(next_tick));
            self.poll
                .wait(next.saturating_sub(start.elapsed()), &mut ready)
                .map_err(|source| RunError::System { what: "waiting for sockets", source })?;
            let now = start.elapsed();
            let mut context =
                Context { plan: &self.plan, poll: &self.poll, recorder: &mut self.recorder, start_unix_ms };
            for event in &ready {
                let index = event.token as usize;
                let sender = &mut self.senders[index];
                sender.on_ready(*event, &mut context, now);
                sender.step(&mut context, now)?;
                sender.wake_at(&context, now).inspect(|at| wakes.ask(index, *at, now));
                if sender.is_finished(now) {
                    next_tick = now;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn each_sender_is_woken_at_its_soonest_time_and_never_twice_in_one_instant() {
        let mut wakes = Wakes { soonest: vec![None; 2], ..Wakes::default() };
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

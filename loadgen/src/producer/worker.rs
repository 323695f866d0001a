//! One thread's event loop over its senders.
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Context, Plan, Recorder, Sender};
use crate::client::{Poll, Wakes};
use crate::run::{RunError, Stop};
use crate::schedule::{Schedule, Step};

/// How often timeouts and the wish to stop are looked at; what is due earlier wakes the loop by itself.
const TICK: Duration = Duration::from_millis(50);

/// A wait that took longer did sleep: what it woke for has just come.
const SLEPT_MIN: Duration = Duration::from_micros(50);

/// Senders of one thread, with their sockets and figures.
pub struct Worker {
    /// The run.
    pub plan: Arc<Plan>,
    /// The sockets; a sender's token is its place in `senders`.
    pub poll: Poll,
    /// The connections.
    pub senders: Vec<Sender>,
    /// When a connection is to be closed and opened again, one after the other.
    pub reopens: Option<Schedule>,
    /// The figures.
    pub recorder: Recorder,
}

impl Worker {
    /// Sends until all senders are finished; returns the figures.
    ///
    /// # Errors
    /// If this machine or a codec fails. What a broker does wrong is in the figures.
    pub fn run(mut self, start: Instant, start_unix_ms: i64, stop: &Stop) -> Result<Recorder, RunError> {
        let mut wakes = Wakes::new(self.senders.len());
        let mut ready = Vec::new();
        let mut next_tick = Duration::ZERO;
        let mut drain_end = self.plan.end.map(|end| end + self.plan.drain);
        let mut woken = Duration::ZERO;
        let mut reopen_cursor = 0;
        loop {
            let now = start.elapsed();
            let mut context = Context {
                plan: &self.plan,
                poll: &self.poll,
                recorder: &mut self.recorder,
                start_unix_ms,
                start,
                answers_since: now,
            };
            if now >= next_tick {
                next_tick = now + TICK;
                if stop.is_asked() && drain_end.is_none_or(|end| now + self.plan.drain < end) {
                    drain_end = Some(now + self.plan.drain);
                    self.senders.iter_mut().for_each(|sender| sender.close(&mut context, now));
                    self.reopens = None;
                }
                let is_over = drain_end.is_some_and(|end| now >= end);
                if tick_all(&mut self.senders, is_over, &mut context, &mut wakes, now)? {
                    return Ok(self.recorder);
                }
            }
            let reopens = self.reopens.as_mut();
            reopen_due(&mut self.senders, reopens, &mut reopen_cursor, &mut context, &mut wakes, now)?;
            while let Some(index) = wakes.take_due(now) {
                self.senders[index].step(&mut context, now)?;
                self.senders[index].wake_at(&context, now).inspect(|at| wakes.ask(index, *at, now));
            }
            let mut next = wakes.next().map_or(next_tick, |wake| wake.min(next_tick));
            if let Some(Step::Wait(until)) = self.reopens.as_ref().map(|plan| plan.next(now)) {
                next = next.min(until);
            }
            let waits = start.elapsed();
            self.poll
                .wait(next.saturating_sub(waits), &mut ready)
                .map_err(|source| RunError::System { what: "waiting for sockets", source })?;
            let now = start.elapsed();
            let slept = now.saturating_sub(waits) > SLEPT_MIN;
            let mut context = Context {
                plan: &self.plan,
                poll: &self.poll,
                recorder: &mut self.recorder,
                start_unix_ms,
                start,
                answers_since: if slept { now } else { woken },
            };
            woken = now;
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

/// Looks after all senders; `is_over`: what is not settled is given up. Returns whether all are finished.
fn tick_all(
    senders: &mut [Sender],
    is_over: bool,
    context: &mut Context<'_>,
    wakes: &mut Wakes,
    now: Duration,
) -> Result<bool, RunError> {
    let mut finished = true;
    for (index, sender) in senders.iter_mut().enumerate() {
        sender.tick(context, now);
        if is_over {
            sender.give_up(context, now);
        }
        sender.step(context, now)?;
        sender.wake_at(context, now).inspect(|at| wakes.ask(index, *at, now));
        finished &= sender.is_finished(now);
    }
    Ok(finished)
}

/// Asks one sender after the other to open its connection again, as often as that is due.
fn reopen_due(
    senders: &mut [Sender],
    mut reopens: Option<&mut Schedule>,
    cursor: &mut usize,
    context: &mut Context<'_>,
    wakes: &mut Wakes,
    now: Duration,
) -> Result<(), RunError> {
    while let Some(plan) = reopens.as_mut()
        && let Step::Due(intended) = plan.next(now)
    {
        plan.take(1);
        *cursor = (*cursor + 1) % senders.len();
        let sender = &mut senders[*cursor];
        sender.ask_reopen(intended, now);
        sender.step(context, now)?;
        sender.wake_at(context, now).inspect(|at| wakes.ask(*cursor, *at, now));
    }
    Ok(())
}

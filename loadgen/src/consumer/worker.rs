//! One thread's event loop over its fetchers.
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::{Context, Fetcher, Plan, Tally};
use crate::client::Poll;
use crate::run::{Progress, RunError, Stop};

/// How often timeouts, pauses and the wish to stop are looked at.
const TICK: Duration = Duration::from_millis(20);

/// When reading is to end, besides at the positions' ends; shared by all threads of a run.
#[derive(Debug)]
pub struct Goal {
    /// At this time.
    pub end: Option<Duration>,
    /// After so many records of all threads together, and what is under way then.
    pub record_count: Option<u64>,
    /// At these offsets, once they are known.
    pub ends: OnceLock<BTreeMap<i32, i64>>,
    /// Whoever is at the end begins again where it began.
    pub repeats: bool,
    /// All threads' records.
    pub progress: Arc<Progress>,
}

/// Fetchers of one thread, with their sockets and figures.
pub struct Worker {
    /// The run.
    pub plan: Arc<Plan>,
    /// The sockets; a fetcher's token is its place in `fetchers`.
    pub poll: Poll,
    /// The connections.
    pub fetchers: Vec<Fetcher>,
    /// The figures.
    pub tally: Tally,
}

impl Worker {
    /// Reads until the goal is reached, all positions are at their ends, or someone asks to stop; returns the figures.
    ///
    /// # Errors
    /// If this machine fails. What a broker does wrong is in the figures.
    pub fn run(mut self, start: Instant, goal: &Goal, stop: &Stop) -> Result<Tally, RunError> {
        let mut ready = Vec::new();
        let mut next_tick = Duration::ZERO;
        let mut knows_ends = false;
        loop {
            let now = start.elapsed();
            let mut context = Context { plan: &self.plan, poll: &self.poll, tally: &mut self.tally };
            if now >= next_tick {
                next_tick = now + TICK;
                if let Some(ends) = goal.ends.get().filter(|_| !knows_ends) {
                    knows_ends = true;
                    self.fetchers
                        .iter_mut()
                        .for_each(|fetcher| fetcher.end_at(|index| ends.get(&index).copied()));
                }
                let is_over = stop.is_asked() || goal.end.is_some_and(|end| now >= end);
                let is_enough = goal.record_count.is_some_and(|count| goal.progress.records() >= count);
                for fetcher in &mut self.fetchers {
                    if is_over || is_enough {
                        fetcher.stop();
                    }
                    if goal.repeats && fetcher.is_finished() && fetcher.rewind() {
                        context.tally.laps += 1;
                    }
                    fetcher.tick(&mut context, now);
                    fetcher.step(&mut context, now);
                }
                if self.fetchers.iter().all(Fetcher::is_finished) {
                    return Ok(self.tally);
                }
            }
            let due = |fetcher: &&mut Fetcher| fetcher.wake_at().is_some_and(|at| at <= now);
            self.fetchers.iter_mut().filter(due).for_each(|fetcher| fetcher.step(&mut context, now));
            let wake = self
                .fetchers
                .iter()
                .filter(|fetcher| !fetcher.is_finished())
                .filter_map(Fetcher::wake_at)
                .min();
            let next = wake.map_or(next_tick, |wake| wake.max(now).min(next_tick));
            self.poll
                .wait(next.saturating_sub(start.elapsed()), &mut ready)
                .map_err(|source| RunError::System { what: "waiting for sockets", source })?;
            let mut context = Context { plan: &self.plan, poll: &self.poll, tally: &mut self.tally };
            for event in &ready {
                let fetcher = &mut self.fetchers[event.token as usize];
                fetcher.on_ready(*event, &mut context, || start.elapsed());
                let is_enough = goal.record_count.is_some_and(|count| goal.progress.records() >= count);
                if is_enough || fetcher.is_finished() {
                    next_tick = Duration::ZERO; // nothing more is asked for before it is looked at
                    break;
                }
                fetcher.step(&mut context, start.elapsed());
            }
        }
    }
}

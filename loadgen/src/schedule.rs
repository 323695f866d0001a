//! Say when each batch of one producer is meant to leave: an open loop, or as fast as answers come.
//!
//! A machine: time is an argument, counted from the start of the run. In the open loop the plan does not know about the
//! broker: a batch that could not leave when it was due keeps its intended time, and its latency counts from there.
//! ```text
//!  records  0        4        8        12        one producer of several, rate shared evenly
//!  due      phase    +4/rate  +8/rate  +12/rate  a batch is due with its first record, all of them being there
//! ```
//! With a linger records come one by one: a batch is due when as many as it holds are there or the first one has waited so
//! long, and takes those that are there. Each record has an intended time of its own then: its waiting for others is in its latency.
use std::time::Duration;

const NANOS_PER_S: u128 = 1_000_000_000;

/// What one producer is to send, and when. One per connection; lives as long as the run.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Records per second of this producer as a fraction (records, producers that share them); `None`: closed loop.
    rate: Option<(u64, u64)>,
    phase: Duration,
    records_taken: u64,
    records_left: u64,
    end: Option<Duration>,
    batch_records: u32,
    linger: Option<Duration>,
}

/// The whole run's offered load, before it is shared among its producers.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Records per second of all producers together; 0: as fast as answers allow.
    pub rate_per_s: u64,
    /// Records of all producers together; `None`: no limit.
    pub record_count: Option<u64>,
    /// No batch is due at or after this time; `None`: no limit.
    pub end: Option<Duration>,
    /// How many producers share the load.
    pub producer_count: u32,
    /// About how many records a batch holds: spreads the producers' first batches over one interval.
    pub batch_records: u32,
    /// How long a record waits for others, as long as fewer than `batch_records` are there; `None`: those of a batch come at
    /// once. A closed loop has no use for it.
    pub linger: Option<Duration>,
}

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A batch is due; it was meant to leave at this time.
    Due(Duration),
    /// Nothing to do before this time.
    Wait(Duration),
    /// Nothing will ever be due again.
    Done,
}

impl Schedule {
    /// The share of producer `index` in `load`.
    ///
    /// # Panics
    /// If `index` is not below `load.producer_count`.
    pub fn new(load: &Load, index: u32) -> Self {
        assert!(index < load.producer_count);
        let producers = u64::from(load.producer_count);
        let records_left = load
            .record_count
            .map_or(u64::MAX, |total| total / producers + u64::from(u64::from(index) < total % producers));
        let phase = if load.rate_per_s == 0 {
            Duration::ZERO
        } else {
            let interval_nanos = u128::from(load.batch_records) * NANOS_PER_S / u128::from(load.rate_per_s);
            Duration::from_nanos((interval_nanos * u128::from(index)).try_into().unwrap_or(u64::MAX))
        };
        Self {
            rate: (load.rate_per_s > 0).then_some((load.rate_per_s, producers)),
            phase,
            records_taken: 0,
            records_left,
            end: load.end,
            batch_records: load.batch_records.max(1),
            linger: load.linger.filter(|_| load.rate_per_s > 0),
        }
    }

    /// Batches are due at times of a plan, whatever the broker does.
    pub fn is_open(&self) -> bool {
        self.rate.is_some()
    }

    /// What is to be done at `elapsed`.
    pub fn next(&self, elapsed: Duration) -> Step {
        if self.records_left == 0 {
            return Step::Done;
        }
        let due = self.due();
        match self.rate {
            _ if self.end.is_some_and(|end| due.unwrap_or(elapsed) >= end) => Step::Done,
            Some(_) => match due {
                Some(due) => match self.ready_after(due) {
                    ready if ready > elapsed => Step::Wait(ready),
                    _ => Step::Due(due),
                },
                None => Step::Done,
            },
            None => Step::Due(elapsed),
        }
    }

    /// When the next batch may leave: with its first record, or when it has lingered. `None` as [`Self::due`].
    pub fn ready(&self) -> Option<Duration> {
        self.due().map(|first| self.ready_after(first))
    }

    fn ready_after(&self, first: Duration) -> Duration {
        let Some(linger) = self.linger else { return first };
        let full = self.records_taken + u64::from(self.records_max_left(self.batch_records)) - 1;
        let full = self.due_of(full).unwrap_or(Duration::MAX);
        // What is there at the end does not wait for what will not come.
        let latest = self.end.map_or(Duration::MAX, |end| end.max(first));
        full.min(first.saturating_add(linger)).min(latest)
    }

    /// At most how many records the next batch may hold, if it is made at `elapsed`.
    pub fn records_max(&self, elapsed: Duration) -> u32 {
        if self.linger.is_none() {
            return self.records_max_left(u32::MAX);
        }
        let there = self.end.map_or(elapsed, |end| elapsed.min(end.saturating_sub(Duration::from_nanos(1))));
        let there = self.come_by(there).saturating_sub(self.records_taken);
        self.records_max_left(self.batch_records).min(u32::try_from(there).unwrap_or(u32::MAX)).max(1)
    }

    /// How much later than the one before it each record of a batch is meant to leave: nothing where all of them come at once.
    pub fn spacing(&self) -> Duration {
        let (Some((rate, producers)), Some(_)) = (self.rate, self.linger) else { return Duration::ZERO };
        Duration::from_nanos(
            u64::try_from(u128::from(producers) * NANOS_PER_S / u128::from(rate)).unwrap_or(u64::MAX),
        )
    }

    fn records_max_left(&self, wanted: u32) -> u32 {
        u32::try_from(self.records_left).map_or(wanted, |left| left.min(wanted))
    }

    /// How many records are due at `elapsed` or before.
    fn come_by(&self, elapsed: Duration) -> u64 {
        let (Some((rate, producers)), Some(span)) = (self.rate, elapsed.checked_sub(self.phase)) else {
            return 0;
        };
        let count = ((span.as_nanos() + 1) * u128::from(rate)).div_ceil(u128::from(producers) * NANOS_PER_S);
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// A batch of `records` was made; the next is due that much later.
    ///
    /// # Panics
    /// If more are taken than were left.
    pub fn take(&mut self, records: u32) {
        assert!(u64::from(records) <= self.records_left);
        if self.records_left != u64::MAX {
            self.records_left -= u64::from(records);
        }
        self.records_taken += u64::from(records);
    }

    /// Nothing is due any more; returns how many records were due before `elapsed` and were never taken.
    pub fn close(&mut self, elapsed: Duration) -> u64 {
        let until = self.end.map_or(elapsed, |end| end.min(elapsed));
        let overdue = match (self.rate, until.checked_sub(self.phase)) {
            (Some((rate, producers)), Some(span)) => {
                let due = span.as_nanos() * u128::from(rate) / u128::from(producers) / NANOS_PER_S;
                u64::try_from(due)
                    .unwrap_or(u64::MAX)
                    .saturating_sub(self.records_taken)
                    .min(self.records_left)
            }
            _ => 0,
        };
        self.records_left = 0;
        overdue
    }

    /// When the next record is due; `None` in a closed loop or after some centuries.
    fn due(&self) -> Option<Duration> {
        self.due_of(self.records_taken)
    }

    fn due_of(&self, record: u64) -> Option<Duration> {
        let (rate, producers) = self.rate?;
        // Computed from the start each time: no rounding error adds up.
        let nanos = u128::from(record) * u128::from(producers) * NANOS_PER_S / u128::from(rate);
        Some(self.phase + Duration::from_nanos(u64::try_from(nanos).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn load() -> Load {
        Load {
            rate_per_s: 1000,
            record_count: None,
            end: None,
            producer_count: 1,
            batch_records: 10,
            linger: None,
        }
    }

    #[test]
    fn a_batch_keeps_its_intended_time_however_late_it_leaves() {
        let mut schedule = Schedule::new(&load(), 0);
        assert_eq!(schedule.next(MS(0)), Step::Due(MS(0)));
        schedule.take(10);
        assert_eq!(schedule.next(MS(3)), Step::Wait(MS(10)));
        // The broker stalls for five seconds: the batches of that time are due at their own times.
        assert_eq!(schedule.next(MS(5000)), Step::Due(MS(10)));
        schedule.take(10);
        assert_eq!(schedule.next(MS(5000)), Step::Due(MS(20)));
    }

    #[test]
    fn odd_rates_do_not_drift() {
        let mut schedule = Schedule::new(&Load { rate_per_s: 3, ..load() }, 0);
        for _ in 0..3_000_000 {
            schedule.take(1);
        }
        assert_eq!(schedule.next(MS(0)), Step::Wait(Duration::from_secs(1_000_000)));
    }

    #[test]
    fn producers_share_the_rate_and_start_spread_over_one_interval() {
        let load = Load { producer_count: 4, ..load() };
        let firsts: Vec<_> = (0..4).map(|index| Schedule::new(&load, index).next(MS(100))).collect();
        assert_eq!(firsts, [0, 10, 20, 30].map(|at| Step::Due(MS(at))));
        let mut schedule = Schedule::new(&load, 1);
        schedule.take(10);
        assert_eq!(schedule.next(MS(0)), Step::Wait(MS(50)));
    }

    #[test]
    fn counts_are_shared_to_the_last_record() {
        let load = Load { record_count: Some(10), producer_count: 4, rate_per_s: 0, ..load() };
        let shares: Vec<_> = (0..4).map(|index| Schedule::new(&load, index).records_max(MS(0))).collect();
        assert_eq!(shares, [3, 3, 2, 2]);
        let mut schedule = Schedule::new(&load, 3);
        schedule.take(2);
        assert_eq!(schedule.next(MS(0)), Step::Done);
    }

    #[test]
    fn a_closed_loop_is_always_due_until_its_end() {
        let schedule = Schedule::new(&Load { rate_per_s: 0, end: Some(MS(50)), ..load() }, 0);
        assert_eq!(schedule.next(MS(49)), Step::Due(MS(49)));
        assert_eq!(schedule.next(MS(50)), Step::Done);
    }

    #[test]
    fn what_was_due_before_the_end_stays_due_after_it() {
        let mut schedule = Schedule::new(&Load { end: Some(MS(30)), ..load() }, 0);
        for at in [0, 10, 20] {
            assert_eq!(schedule.next(MS(500)), Step::Due(MS(at)));
            schedule.take(10);
        }
        assert_eq!(schedule.next(MS(500)), Step::Done);
    }

    #[test]
    fn a_batch_that_lingers_leaves_when_it_is_full_or_its_first_record_has_waited_long_enough() {
        let lingering = |ms| Schedule::new(&Load { linger: Some(MS(ms)), ..load() }, 0);
        // A record a millisecond, ten to a batch: full after nine.
        for (linger_ms, ready_ms, records) in [(0, 0, 1), (5, 5, 6), (9, 9, 10), (50, 9, 10)] {
            let mut schedule = lingering(linger_ms);
            assert_eq!((schedule.ready(), schedule.spacing()), (Some(MS(ready_ms)), MS(1)));
            if ready_ms > 0 {
                assert_eq!(schedule.next(MS(ready_ms - 1)), Step::Wait(MS(ready_ms)));
            }
            assert_eq!(schedule.next(MS(ready_ms)), Step::Due(MS(0)), "its first record's time");
            assert_eq!(schedule.records_max(MS(ready_ms)), records);
            schedule.take(records);
            assert_eq!(schedule.ready(), Some(MS(u64::from(records) + ready_ms)));
        }
        // Behind a broker that stalls it fills up, as a client's does.
        assert_eq!(lingering(0).records_max(MS(3)), 4);
        assert_eq!(lingering(0).records_max(MS(500)), 10);
    }

    #[test]
    fn what_lingers_at_the_end_leaves_there() {
        let mut schedule = Schedule::new(&Load { linger: Some(MS(500)), end: Some(MS(13)), ..load() }, 0);
        schedule.take(10);
        assert_eq!(schedule.next(MS(12)), Step::Wait(MS(13)));
        assert_eq!((schedule.next(MS(14)), schedule.records_max(MS(14))), (Step::Due(MS(10)), 3));
        schedule.take(3);
        assert_eq!((schedule.next(MS(14)), schedule.close(MS(14))), (Step::Done, 0));
    }

    /// Found by thinking: times are rounded down to nanoseconds, and a record that has come must be counted at its own time.
    #[test]
    fn a_record_is_there_at_its_time_and_not_a_nanosecond_before() {
        let schedule =
            Schedule::new(&Load { rate_per_s: 7, producer_count: 3, linger: Some(MS(1)), ..load() }, 2);
        for record in 0..2000 {
            let due = schedule.due_of(record).unwrap();
            assert_eq!(schedule.come_by(due), record + 1);
            assert_eq!(schedule.come_by(due.saturating_sub(Duration::from_nanos(1))), record);
        }
    }

    #[test]
    fn closing_tells_how_many_records_were_due_and_never_left() {
        let mut schedule = Schedule::new(&Load { end: Some(MS(2000)), ..load() }, 0);
        schedule.take(100);
        assert_eq!(schedule.close(MS(9000)), 1900);
        assert_eq!(schedule.next(MS(9000)), Step::Done);
    }
}

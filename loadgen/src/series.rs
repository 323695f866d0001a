//! What happened second by second, so that a stall shows which a total hides.
//!
//! Each thread fills a [`Series`] of its own; they are merged once, after the run. Seconds count from the run's start.
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::client::Cause;
use crate::histogram::Latencies;

/// Names of the latencies of a series. The first one's percentiles are in the seconds, all of them in the interval log.
pub type Kinds = &'static [&'static str];

/// Throughput and latencies of each second of one thread.
#[derive(Clone, Debug, Default)]
pub struct Series {
    kinds: Kinds,
    current: Option<(u64, Counts)>,
    latencies: Vec<Latencies>,
    done: BTreeMap<u64, (Counts, Vec<Vec<u8>>)>,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    records: u64,
    bytes: u64,
    batches: u64,
    errors: BTreeMap<Cause, u64>,
    retries: BTreeMap<Cause, u64>,
}

/// One second, all threads together.
#[derive(Clone, Debug, Serialize)]
pub struct Second {
    /// From the start of the run; the second begins here.
    pub at_s: u64,
    /// Records that ended in it.
    pub records: u64,
    /// Bytes of their batches as sent.
    pub bytes: u64,
    /// Their batches, or the fetches that brought them.
    pub batches: u64,
    /// Batches refused, retried or without an answer.
    pub errors: u64,
    /// The same by cause.
    pub errors_by_cause: BTreeMap<String, u64>,
    /// Batches that were put back to be sent again, by the cause.
    pub retries_by_cause: BTreeMap<String, u64>,
    /// Median latency, microseconds; of the requests that ended in this second.
    pub p50_us: f64,
    /// 99th percentile, microseconds.
    pub p99_us: f64,
    /// The worst, microseconds.
    pub max_us: f64,
}

/// The latencies of one kind that ended in one second, all threads together: a line of the interval log.
#[derive(Clone, Debug)]
pub struct Interval {
    /// From the start of the run; the second begins here.
    pub at_s: u64,
    /// What was measured.
    pub kind: &'static str,
    /// As [`Latencies::packed`].
    pub packed: Vec<u8>,
}

/// All threads' seconds from the first to the last.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    /// Those in which nothing happened included.
    pub seconds: Vec<Second>,
    /// Those in which something was measured, by second, then by kind.
    pub intervals: Vec<Interval>,
}

impl Series {
    /// Nothing yet.
    ///
    /// # Panics
    /// If there are no kinds.
    pub fn new(kinds: Kinds) -> Self {
        assert!(!kinds.is_empty());
        Self { kinds, latencies: vec![Latencies::new(); kinds.len()], ..Self::default() }
    }

    /// A request ended at `elapsed`, well; what it took is told apart.
    pub fn record(&mut self, elapsed: Duration, records: u64, bytes: u64) {
        let counts = self.at(elapsed);
        counts.records += records;
        counts.bytes += bytes;
        counts.batches += 1;
    }

    /// `count` records took this long, all of which ended at `elapsed`. `kind`: place in the names.
    pub fn record_latency(&mut self, elapsed: Duration, kind: usize, latency: Duration, count: u64) {
        self.at(elapsed);
        self.latencies[kind].record_many(latency, count);
    }

    /// A request went wrong at `elapsed`.
    pub fn record_error(&mut self, elapsed: Duration, cause: Cause) {
        *self.at(elapsed).errors.entry(cause).or_default() += 1;
    }

    /// So many batches were put back at `elapsed`, to be sent again.
    pub fn record_retries(&mut self, elapsed: Duration, cause: Cause, count: u64) {
        if count > 0 {
            *self.at(elapsed).retries.entry(cause).or_default() += count;
        }
    }

    /// The second that `elapsed` is in; closes the one before.
    fn at(&mut self, elapsed: Duration) -> &mut Counts {
        let second = elapsed.as_secs();
        if self.current.as_ref().is_none_or(|(current, _)| *current < second) {
            self.close();
        }
        // A thread's clock may be read a little earlier than the last time told: that belongs to the second at hand.
        &mut self.current.get_or_insert_with(|| (second, Counts::default())).1
    }

    fn close(&mut self) {
        if let Some((second, counts)) = self.current.take() {
            let packed = |latencies: &mut Latencies| {
                let bytes = if latencies.count() == 0 { Vec::new() } else { latencies.packed() };
                latencies.clear();
                bytes
            };
            self.done.insert(second, (counts, self.latencies.iter_mut().map(packed).collect()));
        }
    }

    /// All threads' seconds as one.
    pub fn merged(parts: impl IntoIterator<Item = Self>) -> Merged {
        let mut kinds: Kinds = &[];
        let mut seconds: BTreeMap<u64, (Counts, Vec<Latencies>)> = BTreeMap::new();
        for mut part in parts {
            part.close();
            kinds = part.kinds;
            for (at, (counts, packed)) in part.done {
                let (sum, latencies) = seconds
                    .entry(at)
                    .or_insert_with(|| (Counts::default(), vec![Latencies::new(); kinds.len()]));
                sum.add(&counts);
                for (kind, packed) in packed.iter().enumerate().filter(|(_, packed)| !packed.is_empty()) {
                    latencies[kind].merge_packed(packed);
                }
            }
        }
        let end = seconds.last_key_value().map_or(0, |(last, _)| last + 1);
        let mut merged = Merged::default();
        for at_s in 0..end {
            let (counts, latencies) = seconds.remove(&at_s).unwrap_or_default();
            for (kind, latencies) in kinds.iter().zip(&latencies).filter(|(_, found)| found.count() > 0) {
                merged.intervals.push(Interval { at_s, kind, packed: latencies.packed() });
            }
            merged.seconds.push(Second::new(at_s, &counts, latencies.first()));
        }
        merged
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.batches += other.batches;
        for (cause, count) in &other.errors {
            *self.errors.entry(*cause).or_default() += count;
        }
        for (cause, count) in &other.retries {
            *self.retries.entry(*cause).or_default() += count;
        }
    }
}

impl Second {
    fn new(at_s: u64, counts: &Counts, latencies: Option<&Latencies>) -> Self {
        let us = |latency: Option<Duration>| latency.map_or(0.0, |latency| latency.as_nanos() as f64 / 1e3);
        Self {
            at_s,
            records: counts.records,
            bytes: counts.bytes,
            batches: counts.batches,
            errors: counts.errors.values().sum(),
            errors_by_cause: by_name(&counts.errors),
            retries_by_cause: by_name(&counts.retries),
            p50_us: us(latencies.map(|latencies| latencies.at(0.5))),
            p99_us: us(latencies.map(|latencies| latencies.at(0.99))),
            max_us: us(latencies.map(Latencies::max)),
        }
    }
}

/// Counts by the causes' names.
pub fn by_name(counts: &BTreeMap<Cause, u64>) -> BTreeMap<String, u64> {
    counts.iter().map(|(cause, count)| (cause.name(), *count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn request(series: &mut Series, at: Duration, latency: Duration) {
        series.record(at, 10, 1000);
        series.record_latency(at, 0, latency, 1);
    }

    #[test]
    fn a_second_without_an_answer_is_in_the_series_as_nothing() {
        let mut series = Series::new(&["produce"]);
        request(&mut series, MS(100), MS(1));
        request(&mut series, MS(2500), MS(2400));
        let seconds = Series::merged([series]).seconds;
        assert_eq!(seconds.iter().map(|second| second.records).collect::<Vec<_>>(), [10, 0, 10]);
        assert!(seconds[0].max_us < 1_010.0 && seconds[1].max_us < 0.1 && seconds[2].max_us >= 2_400_000.0);
    }

    #[test]
    fn threads_are_merged_second_by_second_with_their_latencies_and_causes() {
        let (mut one, mut other) = (Series::new(&["produce"]), Series::new(&["produce"]));
        for _ in 0..99 {
            request(&mut one, MS(1500), MS(1));
        }
        request(&mut other, MS(1700), MS(700));
        other.record_error(MS(1800), Cause::Code(6));
        other.record_error(MS(1800), Cause::LinkLost);
        one.record_error(MS(1800), Cause::LinkLost);
        other.record_retries(MS(1800), Cause::LinkLost, 3);
        let seconds = Series::merged([one, other]).seconds;
        let second = &seconds[1];
        assert_eq!((second.records, second.batches, second.errors), (1000, 100, 3));
        assert_eq!(second.errors_by_cause["connection lost"], 2);
        assert_eq!(second.errors_by_cause["NotLeaderOrFollower (6)"], 1);
        assert_eq!(second.retries_by_cause["connection lost"], 3);
        assert!(second.p99_us < 1_010.0 && second.max_us >= 700_000.0);
    }

    #[test]
    fn every_kind_has_its_intervals_and_only_the_first_is_in_the_seconds() {
        let mut series = Series::new(&["latency", "service"]);
        series.record_latency(MS(100), 0, MS(10), 1);
        series.record_latency(MS(100), 1, MS(1), 1);
        series.record_latency(MS(2100), 1, MS(2), 1);
        let merged = Series::merged([series]);
        let found: Vec<_> = merged.intervals.iter().map(|interval| (interval.at_s, interval.kind)).collect();
        assert_eq!(found, [(0, "latency"), (0, "service"), (2, "service")]);
        assert!(merged.seconds[0].p50_us >= 10_000.0 && merged.seconds[2].max_us < 0.1);
    }

    #[test]
    fn what_is_told_with_an_earlier_time_stays_in_the_second_at_hand() {
        let mut series = Series::new(&["produce"]);
        request(&mut series, MS(1001), MS(1));
        request(&mut series, MS(999), MS(1));
        request(&mut series, MS(1002), MS(1));
        let seconds = Series::merged([series]).seconds;
        assert_eq!(seconds.iter().map(|second| second.records).collect::<Vec<_>>(), [0, 30]);
    }
}

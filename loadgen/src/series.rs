//! What happened second by second, so that a stall shows which a total hides.
//!
//! Each thread fills a [`Series`] of its own; they are merged once, after the run. Seconds count from the run's start.
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::histogram::Latencies;

/// Throughput and latencies of each second of one thread.
#[derive(Clone, Debug, Default)]
pub struct Series {
    current: Option<(u64, Counts)>,
    latencies: Latencies,
    done: BTreeMap<u64, (Counts, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    records: u64,
    bytes: u64,
    batches: u64,
    errors: u64,
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
    /// Median latency, microseconds; of the requests that ended in this second.
    pub p50_us: f64,
    /// 99th percentile, microseconds.
    pub p99_us: f64,
    /// The worst, microseconds.
    pub max_us: f64,
}

impl Series {
    /// A request ended at `elapsed`.
    pub fn record(&mut self, elapsed: Duration, records: u64, bytes: u64, latency: Option<Duration>) {
        let counts = self.at(elapsed);
        counts.records += records;
        counts.bytes += bytes;
        counts.batches += 1;
        if let Some(latency) = latency {
            self.latencies.record(latency);
        }
    }

    /// Something took this long and ended at `elapsed`; what it was is counted elsewhere.
    pub fn record_latency(&mut self, elapsed: Duration, latency: Duration) {
        self.at(elapsed);
        self.latencies.record(latency);
    }

    /// A request went wrong at `elapsed`.
    pub fn record_error(&mut self, elapsed: Duration) {
        self.at(elapsed).errors += 1;
    }

    /// The second that `elapsed` is in; closes the one before.
    fn at(&mut self, elapsed: Duration) -> &mut Counts {
        let second = elapsed.as_secs();
        if self.current.is_none_or(|(current, _)| current != second) {
            self.close();
        }
        &mut self.current.get_or_insert((second, Counts::default())).1
    }

    fn close(&mut self) {
        if let Some((second, counts)) = self.current.take() {
            self.done.insert(second, (counts, self.latencies.packed()));
            self.latencies.clear();
        }
    }

    /// All threads' seconds from the first to the last, those in which nothing happened included.
    pub fn merged(parts: impl IntoIterator<Item = Self>) -> Vec<Second> {
        let mut seconds: BTreeMap<u64, (Counts, Latencies)> = BTreeMap::new();
        for mut part in parts {
            part.close();
            for (at, (counts, packed)) in part.done {
                let (sum, latencies) = seconds.entry(at).or_default();
                sum.records += counts.records;
                sum.bytes += counts.bytes;
                sum.batches += counts.batches;
                sum.errors += counts.errors;
                latencies.merge_packed(&packed);
            }
        }
        let end = seconds.last_key_value().map_or(0, |(last, _)| last + 1);
        let nothing = (Counts::default(), Latencies::new());
        (0..end)
            .map(|at_s| {
                let (counts, latencies) = seconds.get(&at_s).unwrap_or(&nothing);
                let us = |latency: Duration| latency.as_nanos() as f64 / 1e3;
                Second {
                    at_s,
                    records: counts.records,
                    bytes: counts.bytes,
                    batches: counts.batches,
                    errors: counts.errors,
                    p50_us: us(latencies.at(0.5)),
                    p99_us: us(latencies.at(0.99)),
                    max_us: us(latencies.max()),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_second_without_an_answer_is_in_the_series_as_nothing() {
        let mut series = Series::default();
        series.record(MS(100), 10, 1000, Some(MS(1)));
        series.record(MS(2500), 10, 1000, Some(MS(2400)));
        let seconds = Series::merged([series]);
        assert_eq!(seconds.iter().map(|second| second.records).collect::<Vec<_>>(), [10, 0, 10]);
        assert!(seconds[0].max_us < 1_010.0 && seconds[1].max_us < 0.1 && seconds[2].max_us >= 2_400_000.0);
    }

    #[test]
    fn threads_are_merged_second_by_second_with_their_latencies() {
        let (mut one, mut other) = (Series::default(), Series::default());
        for _ in 0..99 {
            one.record(MS(1500), 1, 10, Some(MS(1)));
        }
        other.record(MS(1700), 1, 10, Some(MS(700)));
        other.record_error(MS(1800));
        let seconds = Series::merged([one, other]);
        let second = &seconds[1];
        assert_eq!((second.records, second.batches, second.errors), (100, 100, 1));
        assert!(second.p99_us < 1_010.0 && second.max_us >= 700_000.0);
    }
}

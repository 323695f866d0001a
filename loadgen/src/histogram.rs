//! Latencies, kept so that the rarest still show: HDR histograms, merged and never averaged.
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};
use serde::Serialize;

/// Finest step: 1 us. Nothing over a network is faster in a way that matters.
const LOWEST_NANOS: u64 = 1_000;
/// What takes longer counts as this long.
const HIGHEST_NANOS: u64 = 3_600_000_000_000;
/// Digits that are exact.
const DIGITS: u8 = 3;

/// Name and quantile of each percentile a report gives.
const PERCENTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("p99.999", 0.99999)];

/// Latencies of one thread, or of several merged.
#[derive(Clone, Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
    /// How often something was measured: records of one batch share what was measured once.
    measurements: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Latencies {
    /// None yet.
    ///
    /// # Panics
    /// Never: the bounds are right.
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(LOWEST_NANOS, HIGHEST_NANOS, DIGITS);
        Self { histogram: histogram.expect("bounds of a histogram"), measurements: 0 }
    }

    /// Counts one; above an hour it counts as an hour.
    pub fn record(&mut self, latency: Duration) {
        self.record_many(latency, 1);
    }

    /// Counts one for each of `count` records that share it: it was measured once.
    pub fn record_many(&mut self, latency: Duration, count: u64) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.histogram.saturating_record_n(nanos, count);
        self.measurements += u64::from(count > 0);
    }

    /// Counts all of `other` as well.
    pub fn merge(&mut self, other: &Self) {
        self.histogram += &other.histogram;
        self.measurements += other.measurements;
    }

    /// Empties it for the next second.
    pub fn clear(&mut self) {
        self.histogram.reset();
        self.measurements = 0;
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The latency that a share of `quantile` did not exceed.
    pub fn at(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.histogram.value_at_quantile(quantile))
    }

    /// The worst.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.histogram.max())
    }

    /// A short form in memory, for one second of a long run.
    pub fn packed(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing into a Vec cannot fail, and the histogram was made with bounds that the form can hold.
        let _ = V2Serializer::new().serialize(&self.histogram, &mut bytes);
        bytes
    }

    /// The histogram itself; values are nanoseconds.
    pub(crate) fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// Counts what [`Self::packed`] packed; how often it was measured is not in there, so each one counts as such.
    pub fn merge_packed(&mut self, packed: &[u8]) {
        if let Ok(unpacked) = Deserializer::new().deserialize::<u64, _>(&mut &packed[..]) {
            self.measurements += unpacked.len();
            self.histogram += unpacked;
        }
    }

    /// The figures for a report.
    pub fn summary(&self) -> LatencySummary {
        let count = self.count();
        let percentiles = PERCENTILES.map(|(name, quantile)| Percentile {
            name,
            us: supports(self.measurements, quantile).then(|| micros(self.at(quantile))),
        });
        LatencySummary {
            samples: count,
            measurements: self.measurements,
            min_us: if count == 0 { 0.0 } else { micros(Duration::from_nanos(self.histogram.min())) },
            mean_us: self.histogram.mean() / 1e3,
            percentiles: percentiles.to_vec(),
            max_us: micros(self.max()),
        }
    }
}

/// Whether so many measurements can tell this percentile: at least one of them must lie beyond it.
fn supports(count: u64, quantile: f64) -> bool {
    count as f64 * (1.0 - quantile) >= 1.0 - 1e-6
}

fn micros(latency: Duration) -> f64 {
    latency.as_nanos() as f64 / 1e3
}

/// Latencies as a report gives them.
#[derive(Clone, Debug, Serialize)]
pub struct LatencySummary {
    /// How many were counted: records of a latency that is told per record.
    pub samples: u64,
    /// How often it was measured: records of one batch share what was measured once, and tell no more percentiles than one.
    pub measurements: u64,
    /// The best, microseconds.
    pub min_us: f64,
    /// Mean, microseconds: for comparing with tools that give nothing better.
    pub mean_us: f64,
    /// The percentiles, lowest first.
    pub percentiles: Vec<Percentile>,
    /// The worst, microseconds.
    pub max_us: f64,
}

/// One percentile.
#[derive(Clone, Debug, Serialize)]
pub struct Percentile {
    /// Such as `p99.9`.
    pub name: &'static str,
    /// Microseconds; `null`: there are too few measurements to tell.
    pub us: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn one_stall_in_a_thousand_shows_in_the_worst_and_not_in_the_median() {
        let mut latencies = Latencies::new();
        latencies.record_many(MS(1), 999);
        latencies.record(MS(5000));
        assert!(latencies.at(0.5) < Duration::from_micros(1010));
        assert!(latencies.max() >= MS(5000) && latencies.max() < MS(5010));
    }

    #[test]
    fn merging_keeps_every_sample_also_through_the_packed_form() {
        let (mut one, mut other) = (Latencies::new(), Latencies::new());
        one.record_many(MS(1), 50);
        other.record_many(MS(100), 50);
        let mut merged = Latencies::new();
        merged.merge(&one);
        merged.merge_packed(&other.packed());
        assert_eq!(merged.count(), 100);
        assert!(merged.at(0.5) < MS(2) && merged.at(0.51) > MS(99));
    }

    #[test]
    fn percentiles_that_the_samples_cannot_tell_are_left_open() {
        let told = |count| {
            let mut latencies = Latencies::new();
            for _ in 0..count {
                latencies.record(MS(1));
            }
            latencies.summary().percentiles.into_iter().filter(|percentile| percentile.us.is_some()).count()
        };
        assert_eq!([told(0), told(10), told(99), told(100), told(99_999), told(100_000)], [0, 2, 2, 3, 5, 6]);
    }

    #[test]
    fn records_of_one_batch_count_each_and_tell_no_more_than_one() {
        let mut latencies = Latencies::new();
        latencies.record_many(MS(1), 900);
        latencies.record_many(MS(50), 100);
        let summary = latencies.summary();
        assert_eq!((summary.samples, summary.measurements), (1000, 2));
        assert!(latencies.at(0.9) < MS(2) && latencies.at(0.91) > MS(49));
        let told = summary.percentiles.iter().filter_map(|percentile| percentile.us.map(|_| percentile.name));
        assert_eq!(told.collect::<Vec<_>>(), ["p50"]);
    }

    #[test]
    fn what_takes_hours_is_counted_and_not_lost() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::from_secs(100_000));
        assert_eq!(latencies.count(), 1);
        assert!(latencies.max() >= Duration::from_hours(1));
    }
}

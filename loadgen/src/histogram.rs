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
pub struct Latencies(Histogram<u64>);

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
        Self(Histogram::new_with_bounds(LOWEST_NANOS, HIGHEST_NANOS, DIGITS).expect("bounds of a histogram"))
    }

    /// Counts one; above an hour it counts as an hour.
    pub fn record(&mut self, latency: Duration) {
        self.record_many(latency, 1);
    }

    /// Counts the same latency several times.
    pub fn record_many(&mut self, latency: Duration, count: u64) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record_n(nanos, count);
    }

    /// Counts all of `other` as well.
    pub fn merge(&mut self, other: &Self) {
        self.0 += &other.0;
    }

    /// Empties it for the next second.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that a share of `quantile` did not exceed.
    pub fn at(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(quantile))
    }

    /// The worst.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }

    /// A short form in memory, for one second of a long run.
    pub fn packed(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing into a Vec cannot fail, and the histogram was made with bounds that the form can hold.
        let _ = V2Serializer::new().serialize(&self.0, &mut bytes);
        bytes
    }

    /// The histogram itself; values are nanoseconds.
    pub(crate) fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }

    /// Counts what [`Self::packed`] packed.
    pub fn merge_packed(&mut self, packed: &[u8]) {
        if let Ok(unpacked) = Deserializer::new().deserialize::<u64, _>(&mut &packed[..]) {
            self.0 += unpacked;
        }
    }

    /// The figures for a report.
    pub fn summary(&self) -> LatencySummary {
        let count = self.count();
        let percentiles = PERCENTILES.map(|(name, quantile)| Percentile {
            name,
            us: supports(count, quantile).then(|| micros(self.at(quantile))),
        });
        LatencySummary {
            samples: count,
            min_us: if count == 0 { 0.0 } else { micros(Duration::from_nanos(self.0.min())) },
            mean_us: self.0.mean() / 1e3,
            percentiles: percentiles.to_vec(),
            max_us: micros(self.max()),
        }
    }
}

/// Whether so many samples can tell this percentile: at least one of them must lie beyond it.
fn supports(count: u64, quantile: f64) -> bool {
    count as f64 * (1.0 - quantile) >= 1.0 - 1e-6
}

fn micros(latency: Duration) -> f64 {
    latency.as_nanos() as f64 / 1e3
}

/// Latencies as a report gives them.
#[derive(Clone, Debug, Serialize)]
pub struct LatencySummary {
    /// How many were measured.
    pub samples: u64,
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
    /// Microseconds; `null`: there are too few samples to tell.
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
            latencies.record_many(MS(1), count);
            latencies.summary().percentiles.into_iter().filter(|percentile| percentile.us.is_some()).count()
        };
        assert_eq!([told(0), told(10), told(99), told(100), told(99_999), told(100_000)], [0, 2, 2, 3, 5, 6]);
    }

    #[test]
    fn what_takes_hours_is_counted_and_not_lost() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::from_secs(100_000));
        assert_eq!(latencies.count(), 1);
        assert!(latencies.max() >= Duration::from_hours(1));
    }
}

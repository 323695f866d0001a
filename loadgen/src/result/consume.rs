//! What was read.
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{Rates, named};
use crate::consumer::{ReadTotals, Tally};
use crate::histogram::LatencySummary;
use crate::verify::Verdict;

/// The reading half.
#[derive(Clone, Debug, Serialize)]
pub struct ConsumeFigures {
    /// Partitions read.
    pub partition_count: usize,
    /// Inside of the measured window.
    pub rates: Rates,
    /// All that was read, warm-up included.
    pub read_records: u64,
    /// Answers with records in the window.
    pub fetches: u64,
    /// Answers without.
    pub empty_fetches: u64,
    /// How often reading began again at the start.
    pub laps: u64,
    /// Mean bytes of an answer's batches.
    pub fetch_bytes_mean: f64,
    /// From asking to the last byte of an answer, per record read; includes the broker's waiting for new ones.
    pub fetch_latency: LatencySummary,
    /// Answers with an error, by Kafka's name.
    pub errors: BTreeMap<String, u64>,
    /// Connections that broke.
    pub lost_links: u64,
}

impl ConsumeFigures {
    /// From the merged tally of all threads.
    pub fn new(tally: &Tally, partition_count: usize, warm_up: Duration, end: Option<Duration>) -> Self {
        let until = end.map_or(tally.last_read, |end| end.min(tally.last_read));
        let ReadTotals { records, batches, batch_bytes, fetches, empty_fetches } = tally.measured;
        Self {
            partition_count,
            rates: Rates::new(until.saturating_sub(warm_up), records, batches, batch_bytes),
            read_records: tally.all.records,
            fetches,
            empty_fetches,
            laps: tally.laps,
            fetch_bytes_mean: if fetches == 0 { 0.0 } else { batch_bytes as f64 / fetches as f64 },
            fetch_latency: tally.fetches.summary(),
            errors: named(&tally.errors),
            lost_links: tally.lost_links,
        }
    }
}

/// One of several readers, each of which reads everything.
#[derive(Clone, Debug, Serialize)]
pub struct ReaderFigures {
    /// What it read.
    pub consume: ConsumeFigures,
    /// From the intended send time to this reader, per record.
    pub end_to_end_latency: LatencySummary,
    /// From the sending of its batch to this reader, per record.
    pub end_to_end_service: LatencySummary,
    /// Whether all of it arrived here.
    pub verdict: Verdict,
}

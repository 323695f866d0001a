//! What was sent, and what became of it.
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{Rates, named};
use crate::histogram::{Latencies, LatencySummary};
use crate::producer::{Recorder, Totals};
use crate::series::by_name;

/// A generator whose batches wait for itself alone, longer than this in more than one case of a hundred, does not keep its
/// plan: its p99 is then partly its own. Where latencies are long, a small part of them is no matter.
const OWN_WAIT_MAX: Duration = Duration::from_millis(1);
const OWN_SHARE_MAX: u32 = 10;
const OWN_WAIT_QUANTILE: f64 = 0.99;

/// The sending half.
#[derive(Clone, Debug, Serialize)]
pub struct ProduceFigures {
    /// Number of the run, as in the records' tags.
    pub run: String,
    /// Batches left at the times of a plan; else as fast as answers came.
    pub open_loop: bool,
    /// Records were made before the run and sent again and again; else each batch was made when it was due.
    pub prebuilt_batches: bool,
    /// Partitions written to.
    pub partition_count: usize,
    /// Inside of the measured window.
    pub rates: Rates,
    /// All that was acknowledged, warm-up and end included.
    pub acknowledged_records: u64,
    /// Mean bytes of a batch.
    pub batch_bytes_mean: f64,
    /// Bytes of keys and values divided by bytes of batches.
    pub payload_ratio: f64,
    /// From the intended time to the acknowledgement, per record.
    pub latency: LatencySummary,
    /// Part of it before the batch was given to the connection.
    pub wait: LatencySummary,
    /// From the first sending to the acknowledgement, per record: what a tool sees that starts its clock when it sends.
    pub service: LatencySummary,
    /// Whether this generator kept its own plan; `null`: a closed loop has none.
    pub schedule: Option<ScheduleFigures>,
    /// Answers with an error, by Kafka's name.
    pub errors: BTreeMap<String, u64>,
    /// Connections closed and opened again by plan, from the time of the plan to the broker's first answer on the new one.
    pub reopen: LatencySummary,
    /// Batches sent again.
    pub repeated_batches: u64,
    /// Batches that were put back to be sent again, by cause.
    pub retries: BTreeMap<String, u64>,
    /// Connections that broke.
    pub lost_links: u64,
    /// Records whose outcome nobody knows.
    pub unknown_records: u64,
    /// Records the broker refused.
    pub refused_records: u64,
    /// Records that were due and never sent.
    pub unsent_records: u64,
}

impl ProduceFigures {
    /// From the merged recorder of all threads.
    pub fn new(recorder: &Recorder, run: u64, facts: &ProduceFacts) -> Self {
        let end = facts
            .end
            .map_or(recorder.last_acknowledged, |end| end.min(recorder.last_acknowledged.max(facts.stopped)));
        let Totals { records, batches, batch_bytes, payload_bytes } = recorder.measured;
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        Self {
            run: format!("{run:016x}"),
            open_loop: facts.open_loop,
            prebuilt_batches: facts.prebuilt_batches,
            partition_count: facts.partition_count,
            rates: Rates::new(end.saturating_sub(facts.warm_up), records, batches, batch_bytes),
            acknowledged_records: recorder.acknowledged.records,
            batch_bytes_mean: share(batch_bytes, batches),
            payload_ratio: share(payload_bytes, batch_bytes),
            latency: recorder.latencies.summary(),
            wait: recorder.waits.summary(),
            service: recorder.services.summary(),
            schedule: facts.open_loop.then(|| ScheduleFigures::new(&recorder.own_waits, &recorder.latencies)),
            reopen: recorder.reopens.summary(),
            errors: named(&recorder.errors),
            repeated_batches: recorder.repeated_batches,
            retries: by_name(&recorder.retries),
            lost_links: recorder.lost_links,
            unknown_records: recorder.unknown_records,
            refused_records: recorder.refused_records,
            unsent_records: recorder.unsent_records,
        }
    }
}

/// What a recorder does not know of its run.
#[derive(Clone, Copy, Debug)]
pub struct ProduceFacts {
    /// The load had a plan.
    pub open_loop: bool,
    /// Batches came from a ring.
    pub prebuilt_batches: bool,
    /// Partitions of the topic.
    pub partition_count: usize,
    /// Not measured before.
    pub warm_up: Duration,
    /// The load was to end here.
    pub end: Option<Duration>,
    /// When the last thread ended.
    pub stopped: Duration,
}

/// How well the generator kept its own plan, whatever the broker did.
#[derive(Clone, Debug, Serialize)]
pub struct ScheduleFigures {
    /// At most one batch of a hundred waited longer than `limit_us` for this generator alone.
    pub kept: bool,
    /// What counts as kept, microseconds: 1 ms, or a tenth of the latency's p99 if that is more.
    pub limit_us: f64,
    /// How long batches waited for this generator alone: they were due, and their connection had room.
    pub own_wait: LatencySummary,
}

impl ScheduleFigures {
    /// From how long batches waited for the generator, and how long they took in all.
    pub fn new(own_waits: &Latencies, latencies: &Latencies) -> Self {
        let limit = OWN_WAIT_MAX.max(latencies.at(OWN_WAIT_QUANTILE) / OWN_SHARE_MAX);
        Self {
            kept: own_waits.at(OWN_WAIT_QUANTILE) <= limit,
            limit_us: limit.as_nanos() as f64 / 1e3,
            own_wait: own_waits.summary(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_late_batch_in_a_hundred_is_no_broken_plan_and_two_are() {
        let kept = |late, latency_ms| {
            let (mut own_waits, mut latencies) = (Latencies::new(), Latencies::new());
            own_waits.record_many(Duration::from_micros(30), 100 - late);
            own_waits.record_many(Duration::from_millis(5), late);
            latencies.record_many(Duration::from_millis(latency_ms), 100);
            ScheduleFigures::new(&own_waits, &latencies).kept
        };
        assert_eq!([kept(0, 8), kept(1, 8), kept(2, 8)], [true, true, false]);
        assert!(kept(2, 80), "five of eighty milliseconds are no matter");
        assert!(ScheduleFigures::new(&Latencies::new(), &Latencies::new()).kept, "nothing was due");
    }
}

//! What an engine counts: written by its shard, read by anybody.

use super::lazy::EarlyLogs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Durations in buckets that double from 1 us: bucket `n` counts those below `2^n` us.
#[derive(Debug, Default)]
pub struct Latency {
    buckets: [AtomicU64; 32],
    sum_us: AtomicU64,
}

impl Latency {
    /// Counts one.
    pub fn record(&self, duration: Duration) {
        let us = duration.as_micros() as u64;
        let bucket = (64 - us.leading_zeros()).min(31) as usize;
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// The count of each bucket, and the sum of all in microseconds.
    pub fn snapshot(&self) -> ([u64; 32], u64) {
        (
            std::array::from_fn(|at| self.buckets[at].load(Ordering::Relaxed)),
            self.sum_us.load(Ordering::Relaxed),
        )
    }
}

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters and gauges of one shard's engine.
        #[derive(Debug, Default)]
        pub struct EngineStats {
            $($(#[$doc])* pub $name: AtomicU64,)*
            /// From staging a batch to its durability.
            pub commit_latency: Latency,
            /// A commit's write and sync.
            pub device_latency: Latency,
            /// Logs whose answers come before their sync.
            pub early: EarlyLogs,
        }
    };
}

stats! {
    /// Commits written.
    commits_total,
    /// Bytes of commits written.
    commit_bytes_total,
    /// Batches appended.
    batches_total,
    /// Bytes of batches appended.
    batch_bytes_total,
    /// Bytes that large runs wrote straight to segments.
    run_bytes_total,
    /// Bytes that write-back wrote to segments.
    write_back_bytes_total,
    /// Laps of write-back.
    laps_total,
    /// Segments that expired or lay below a raised log start.
    segments_removed_total,
    /// Their bytes.
    removed_bytes_total,
    /// Bytes read from segments.
    read_bytes_total,
    /// Reads of old records that waited for their turn beside appends.
    cold_waits_total,
    /// How long they waited, in microseconds.
    cold_wait_us_total,
    /// Gauge: bytes a second that such reads had last.
    cold_bytes_per_s,
    /// Places of segments that did not check and were read a second time.
    reads_repeated_total,
    /// Logs that were fenced because stored bytes did not check the second time either.
    rot_found_total,
    /// Indexes of sealed segments that were missing or wrong, built anew.
    indexes_rebuilt_total,
    /// Bytes that the scrubber read.
    scrub_bytes_total,
    /// Batches that the scrubber found right.
    scrub_batches_total,
    /// Passes of the scrubber through all logs of a directory.
    scrub_passes_total,
    /// Segments that the scrubber could not read.
    scrub_failures_total,
    /// Gauge: milliseconds since 1970 at which the scrubber had gone through every directory; 0 before that.
    scrub_passed_ms,
    /// Pages found in the cache.
    cache_hits_total,
    /// Pages not found in the cache.
    cache_misses_total,
    /// Gauge: bytes staged, neither synced nor answered.
    unsynced_bytes,
    /// Gauge: milliseconds since 1970 at which the oldest of them was staged; 0 when there is none.
    unsynced_since_ms,
    /// Gauge: memory of the tails.
    tail_memory_bytes,
    /// Gauge: memory of the page cache.
    cache_bytes,
    /// Gauge: logs served.
    logs_online,
    /// Gauge: logs fenced or offline.
    logs_offline,
    /// Gauge: journal files in use.
    journal_files_used,
    /// Gauge: log directories that stopped.
    directories_stopped,
}

impl EngineStats {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn set(gauge: &AtomicU64, value: u64) {
        gauge.store(value, Ordering::Relaxed);
    }
}

//! A line a second for people who wait.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What all threads together did so far.
#[derive(Debug)]
pub struct Progress {
    prints: bool,
    verb: &'static str,
    records: AtomicU64,
    bytes: AtomicU64,
}

impl Progress {
    /// Nothing yet. `prints`: a line a second goes to stderr.
    pub fn new(prints: bool, verb: &'static str) -> Self {
        Self { prints, verb, records: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    /// So much more is done.
    pub fn add(&self, records: u64, bytes: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Records so far.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns once `is_done`.
    pub(super) fn watch(&self, is_done: impl Fn() -> bool) {
        let start = Instant::now();
        let (mut second, mut records_before, mut bytes_before) = (0, 0, 0);
        while !is_done() {
            std::thread::sleep(Duration::from_millis(20));
            let now = start.elapsed().as_secs();
            if self.prints && now > second {
                let (records, bytes) = (self.records(), self.bytes.load(Ordering::Relaxed));
                let per_s = |before: u64, after: u64| (after - before) as f64 / (now - second) as f64;
                eprintln!(
                    "{now:>5} s  {records:>12} records {}  {:>10.0}/s  {:>8.1} MB/s",
                    self.verb,
                    per_s(records_before, records),
                    per_s(bytes_before, bytes) / 1e6
                );
                (second, records_before, bytes_before) = (now, records, bytes);
            }
        }
    }
}

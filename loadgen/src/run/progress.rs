//! A line a second for people who wait: what the last second brought, and how long it still takes.
//!
//! Threads that measure count into atomics here, nothing else; one thread looks once a second. On a terminal the line rewrites itself.
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::quantity::{grouped, number, time};

/// How often `is_done` is asked.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Finest latency that is told apart, as a power of two of nanoseconds: half a microsecond.
const LEAST_BITS: u32 = 9;
/// Steps within a factor of two: a latency is told to 3 %.
const STEP_BITS: u32 = 5;
/// Factors of two from there to more than an hour.
const DOUBLINGS: usize = 34;
const BUCKETS: usize = DOUBLINGS << STEP_BITS;

/// What all threads together did so far.
#[derive(Debug)]
pub struct Progress {
    prints: bool,
    /// What is counted, as in "records".
    things: &'static str,
    end: Option<Duration>,
    count: Option<u64>,
    records: AtomicU64,
    bytes: AtomicU64,
    errors: Arc<AtomicU64>,
    latencies: Box<[AtomicU64]>,
    line: Mutex<Line>,
}

/// What was printed last.
#[derive(Debug)]
struct Line {
    start: Option<Instant>,
    second: u64,
    before: Seen,
}

/// All counters at one time.
#[derive(Clone, Debug)]
struct Seen {
    records: u64,
    bytes: u64,
    errors: u64,
    latencies: Vec<u64>,
}

impl Progress {
    /// Nothing yet. `prints`: a line a second goes to stderr. `things`: what is counted.
    pub fn new(prints: bool, things: &'static str) -> Self {
        let nothing = Seen { records: 0, bytes: 0, errors: 0, latencies: vec![0; BUCKETS] };
        Self {
            prints,
            things,
            end: None,
            count: None,
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            errors: Arc::default(),
            latencies: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            line: Mutex::new(Line { start: None, second: 0, before: nothing }),
        }
    }

    /// The run ends at this time, or with so many records.
    #[must_use]
    pub fn until(mut self, end: Option<Duration>, count: Option<u64>) -> Self {
        (self.end, self.count) = (end, count);
        self
    }

    /// Errors of `other` count here, and those of this there.
    #[must_use]
    pub fn beside(mut self, other: &Self) -> Self {
        self.errors = Arc::clone(&other.errors);
        self
    }

    /// So much more is done.
    pub fn add(&self, records: u64, bytes: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many records took so long.
    pub fn took(&self, latency: Duration, count: u64) {
        if self.prints {
            self.latencies[bucket(latency)].fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Something went wrong.
    pub fn failed(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Records so far.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns once `is_done`, and prints meanwhile. Seconds count from the first call.
    pub(super) fn watch(&self, is_done: impl Fn() -> bool) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let start = *line.start.get_or_insert_with(Instant::now);
        let stderr = std::io::stderr();
        let rewrites = stderr.is_terminal();
        while !is_done() {
            std::thread::sleep(LOOK_EVERY);
            let elapsed = start.elapsed();
            if self.prints && elapsed.as_secs() > line.second {
                let now = self.seen();
                let passed = elapsed.as_secs() - line.second;
                let text = self.line(elapsed, passed, &line.before, &now);
                // Nobody who cannot be told loses the run for it.
                let _ = if rewrites {
                    let columns = rustix::termios::tcgetwinsize(&stderr).map_or(80, |size| size.ws_col);
                    let cut: String = text.chars().take(usize::from(columns.max(2)) - 1).collect();
                    write!(&stderr, "\r{cut}\x1b[K")
                } else {
                    writeln!(&stderr, "{text}")
                };
                (line.second, line.before) = (elapsed.as_secs(), now);
            }
        }
        if self.prints && rewrites && line.second > 0 {
            let _ = write!(&stderr, "\r\x1b[K");
        }
    }

    fn seen(&self) -> Seen {
        Seen {
            records: self.records(),
            bytes: self.bytes.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            latencies: self.latencies.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
        }
    }

    /// The line for `passed` seconds that end at `elapsed`.
    fn line(&self, elapsed: Duration, passed: u64, before: &Seen, now: &Seen) -> String {
        let per_s = |before: u64, now: u64| now.saturating_sub(before) as f64 / passed.max(1) as f64;
        let fresh: Vec<u64> =
            now.latencies.iter().zip(&before.latencies).map(|(now, before)| now - before).collect();
        let at = |share| quantile(&fresh, share).map_or("-".to_owned(), time);
        let mut text = format!(
            "{:>5} s  {:>9} {}/s",
            elapsed.as_secs(),
            grouped(per_s(before.records, now.records)),
            self.things
        );
        // Writing into a String cannot fail, so what `write!` returns says nothing.
        if now.bytes > 0 {
            let _ = write!(text, "  {:>6} MB/s", number(per_s(before.bytes, now.bytes) / 1e6));
        }
        let _ = write!(text, "  p50 {:>7}  p99 {:>7}", at(0.5), at(0.99));
        let _ = write!(text, "  errors {}", grouped(now.errors as f64));
        if let Some(left) = self.left(elapsed, now.records) {
            let _ = write!(text, "  {} left", clock(left));
        }
        text
    }

    /// What is left, by the end's time or at the pace so far; `None`: nobody knows.
    fn left(&self, elapsed: Duration, records: u64) -> Option<Duration> {
        let by_time = self.end.map(|end| end.saturating_sub(elapsed));
        let by_count = self.count.filter(|_| records > 0).and_then(|count| {
            let share = count.saturating_sub(records) as f64 / records as f64;
            // Of a count that is out of reach nothing is told.
            Duration::try_from_secs_f64(elapsed.as_secs_f64() * share).ok()
        });
        by_time.into_iter().chain(by_count).min()
    }
}

/// Minutes and seconds, or seconds alone.
fn clock(left: Duration) -> String {
    let seconds = left.as_secs_f64().ceil() as u64;
    if seconds < 100 { format!("{seconds} s") } else { format!("{}:{:02} min", seconds / 60, seconds % 60) }
}

/// Which counter a latency belongs to: by its highest bit and the five below it.
fn bucket(latency: Duration) -> usize {
    let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX).max(1 << LEAST_BITS);
    let bits = nanos.ilog2();
    let step = (nanos >> (bits - STEP_BITS)) as usize & ((1 << STEP_BITS) - 1);
    ((((bits - LEAST_BITS) as usize) << STEP_BITS) + step).min(BUCKETS - 1)
}

/// Microseconds in the middle of the bucket that this share of all lies below; `None` of nothing.
fn quantile(counts: &[u64], share: f64) -> Option<f64> {
    let wanted = (counts.iter().sum::<u64>() as f64 * share).ceil().max(1.0) as u64;
    let mut below = 0;
    let found = counts.iter().position(|count| {
        below += count;
        below >= wanted
    })?;
    let doubled = 2_f64.powi((found >> STEP_BITS) as i32 + LEAST_BITS as i32);
    let step = (found & ((1 << STEP_BITS) - 1)) as f64 + 0.5;
    Some(doubled * (1.0 + step / f64::from(1 << STEP_BITS)) / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        text.replace(['\u{202f}', '\u{a0}'], " ")
    }

    #[test]
    fn latencies_are_told_to_three_percent_from_a_microsecond_to_an_hour() {
        for us in [1.0, 1.9, 10.0, 999.0, 1e4, 1e6, 3.6e9] {
            let mut counts = vec![0; BUCKETS];
            counts[bucket(Duration::from_secs_f64(us / 1e6))] += 1;
            let told = quantile(&counts, 0.5).unwrap();
            assert!((told / us - 1.0).abs() < 0.035, "{us} us is told as {told}");
        }
        assert_eq!((bucket(Duration::ZERO), bucket(Duration::MAX)), (0, BUCKETS - 1));
        assert_eq!(quantile(&[0; BUCKETS], 0.5), None);
    }

    #[test]
    fn the_line_tells_of_the_last_second_alone_and_of_all_errors() {
        let progress = Progress::new(true, "records").until(Some(Duration::from_secs(60)), None);
        progress.add(5_000_000, 1_000_000_000);
        progress.took(Duration::from_secs(10), 1);
        progress.failed();
        let before = progress.seen();
        progress.add(20_000, 26_000_000);
        progress.took(Duration::from_micros(500), 98);
        progress.took(Duration::from_millis(20), 2);
        let line = progress.line(Duration::from_secs(12), 1, &before, &progress.seen());
        assert_eq!(
            plain(&line),
            "   12 s     20 000 records/s    26.0 MB/s  p50  504 µs  p99 20.2 ms  errors 1  48 s left"
        );
    }

    #[test]
    fn what_is_left_is_what_comes_first() {
        let left = |end: Option<u64>, count| {
            let progress = Progress::new(false, "").until(end.map(Duration::from_secs), count);
            progress.left(Duration::from_secs(10), 1000).map(clock)
        };
        assert_eq!(left(None, None), None);
        assert_eq!(left(Some(300), None).unwrap(), "4:50 min");
        assert_eq!(left(Some(300), Some(3000)).unwrap(), "20 s");
        assert_eq!(left(Some(5), None).unwrap(), "0 s");
        assert_eq!(left(None, Some(u64::MAX)).map(|told| told.is_empty()), Some(false));
    }

    #[test]
    fn errors_of_both_halves_are_counted_together() {
        let sent = Progress::new(false, "sent");
        let read = Progress::new(false, "read").beside(&sent);
        sent.failed();
        read.failed();
        assert_eq!(read.seen().errors, 2);
    }
}

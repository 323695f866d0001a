//! What the raw loops share: arguments, executor, file, the time that counts.

use clap::Args;
use glommio::io::{DmaFile, OpenOptions};
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement, PoolPlacement};
use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// As long as the answer to a produce of one partition.
pub const ANSWER_BYTES: usize = 64;
/// What is written at once where a file is filled.
const FILL_BYTES: usize = 1 << 20;
/// The longest time that is told apart, in microseconds.
const LATENCY_MAX_US: u64 = 60_000_000;

/// Where a loop runs and for how long.
#[derive(Clone, Debug, Args)]
pub struct LoopArguments {
    /// Where the file is made; it is removed at the end.
    #[arg(long)]
    pub directory: PathBuf,
    /// Seconds to measure.
    #[arg(long, default_value_t = 10.0)]
    pub time_s: f64,
    /// Seconds before that.
    #[arg(long, default_value_t = 1.0)]
    pub warm_up_s: f64,
    /// CPU of the loop.
    #[arg(long, default_value_t = 0)]
    pub cpu: usize,
}

impl LoopArguments {
    /// An executor as the broker's, on the loop's CPU.
    ///
    /// # Errors
    /// When the system refuses one.
    pub fn executor(&self) -> io::Result<LocalExecutor> {
        LocalExecutorBuilder::new(Placement::Fixed(self.cpu))
            .io_memory(16 << 20)
            .preempt_timer(Duration::from_millis(10))
            .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
            .make()
            .map_err(io::Error::other)
    }

    /// Works with a fresh file that is gone afterwards.
    ///
    /// # Errors
    /// Those of the file system and of the work.
    pub async fn with_file<T>(
        &self,
        name: &str,
        work: impl AsyncFnOnce(Rc<DmaFile>) -> io::Result<T>,
    ) -> io::Result<T> {
        let path = self.directory.join(format!("{name}.{}", std::process::id()));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).dma_open(&path).await?;
        let outcome = work(Rc::new(file)).await;
        std::fs::remove_file(&path)?;
        outcome
    }
}

/// Fills a file with real zeros, synced: what the broker's journal files are made of. Returns its length, in whole
/// mebibytes.
///
/// # Errors
/// Those of the file system.
pub async fn fill_with_zeros(file: &DmaFile, bytes: u64) -> io::Result<u64> {
    let bytes = bytes.next_multiple_of(FILL_BYTES as u64);
    for at in (0..bytes).step_by(FILL_BYTES) {
        let mut zeros = file.alloc_dma_buffer(FILL_BYTES);
        zeros.as_bytes_mut().fill(0);
        file.write_at(zeros, at).await?;
    }
    file.fdatasync().await?;
    Ok(bytes)
}

/// Where a turn of a loop stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It does not count.
    WarmsUp,
    /// The warm-up ended with it: what comes from now on counts.
    Begins,
    /// It counts.
    Counts,
    /// It counts, and is the last one.
    Ends,
}

/// The time that counts, on the clock and on the thread's own CPU.
#[derive(Debug)]
pub struct Window {
    start: Instant,
    cpu_start_s: f64,
    warm_up: Duration,
    time: Duration,
    is_warm: bool,
}

impl Window {
    /// Begins the warm-up.
    #[must_use]
    pub fn new(arguments: &LoopArguments) -> Self {
        Self {
            start: Instant::now(),
            cpu_start_s: thread_cpu_s(),
            warm_up: Duration::from_secs_f64(arguments.warm_up_s),
            time: Duration::from_secs_f64(arguments.time_s),
            is_warm: false,
        }
    }

    /// Whether what is done now counts.
    #[must_use]
    pub fn is_warm(&self) -> bool {
        self.is_warm
    }

    /// To be asked at the end of each turn.
    pub fn turn(&mut self) -> Turn {
        let passed = self.start.elapsed();
        match self.is_warm {
            false if passed < self.warm_up => Turn::WarmsUp,
            false => {
                (self.is_warm, self.start, self.cpu_start_s) = (true, Instant::now(), thread_cpu_s());
                Turn::Begins
            }
            true if passed < self.time => Turn::Counts,
            true => Turn::Ends,
        }
    }

    /// Seconds that count so far.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// Processor time of this thread in them, seconds.
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        thread_cpu_s() - self.cpu_start_s
    }
}

fn thread_cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Times of single turns.
#[derive(Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    ///
    /// # Errors
    /// None with these bounds.
    pub fn new() -> io::Result<Self> {
        Histogram::new_with_max(LATENCY_MAX_US, 3).map(Self).map_err(io::Error::other)
    }

    /// One more.
    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record(time.as_micros() as u64);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// As they are reported.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        let us = |quantile: f64| self.0.value_at_quantile(quantile) as f64;
        Percentiles { p50_us: us(0.5), p99_us: us(0.99), p999_us: us(0.999), max_us: self.0.max() as f64 }
    }
}

/// Microseconds.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the names are those of the report")]
pub struct Percentiles {
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_warms_up_then_counts_then_ends() {
        let arguments = LoopArguments { directory: PathBuf::new(), time_s: 0.02, warm_up_s: 0.01, cpu: 0 };
        let mut window = Window::new(&arguments);
        let mut turns = vec![window.turn()];
        while turns.last() != Some(&Turn::Ends) {
            assert_eq!(window.is_warm(), turns.last() != Some(&Turn::WarmsUp));
            turns.push(window.turn());
        }
        turns.dedup();
        assert!(
            turns.ends_with(&[Turn::Begins, Turn::Counts, Turn::Ends])
                || turns.ends_with(&[Turn::Begins, Turn::Ends])
        );
        assert!(window.seconds() >= 0.02);
    }
}

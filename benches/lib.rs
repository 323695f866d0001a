//! Benchmarks beside raw loops and rivals.
//!
//! `figures.sh` runs them: `raw_stream`, `raw_journal`, `raw_answers`, `raw_round_trip` and `raw_fetch` are what the machine
//! gives to loops that do nothing else, `figures` runs them in turn with the broker and writes the tables of PERF.md; its cases groups,
//! recovery and upkeep, have Kafka beside them instead. `batch_check` times one function, `integrity` what it costs to
//! check what comes from disk. `rivals/run` has brokers do the same work side by side.

pub mod batches;
pub mod brokers;
pub mod machine;
pub mod numbers;
pub mod raw;

use rustix::thread::{CpuSet, sched_setaffinity};
use serde::Serialize;
use std::io::{self, Write};

/// Keeps the calling thread on one CPU.
///
/// # Errors
/// When there is no such CPU for this process.
pub fn on_cpu(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).map_err(io::Error::from)
}

/// Prints figures as one line of JSON on standard output.
pub fn report(figures: &impl Serialize) {
    let mut line = serde_json::to_vec(figures).unwrap_or_default();
    line.push(b'\n');
    // Nobody reads any more: then nobody is to be told either.
    let _ = io::stdout().write_all(&line);
}

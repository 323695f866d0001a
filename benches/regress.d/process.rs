//! What the whole broker does for a fixed number of records: system calls, allocations, bytes written, processor time.
//!
//! One life of a broker, on one core, with the load generator as its only client: one connection, one request in flight, so
//! that nothing is shared with anybody and the numbers of two lives are alike. Warm before it counts: files are made,
//! buffers are there. Processor time is taken of the plain build only, and without strace, which changes it.

use crate::broker::Broker;
use crate::figures::Figures;
use crate::strace::{Strace, of_requests};
use clap::Args;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is counted.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The broker.
    #[arg(long)]
    broker: PathBuf,
    /// The same with the feature `count`.
    #[arg(long)]
    counting: Option<PathBuf>,
    /// The load generator; the same one for both builds that are judged.
    #[arg(long)]
    loadgen: PathBuf,
    /// Data goes here, and is removed.
    #[arg(long)]
    directory: PathBuf,
    /// The broker's port; the next one is taken, too.
    #[arg(long, default_value_t = 19_660)]
    port: u16,
    /// Times as many records for processor time as for the counts.
    #[arg(long, default_value_t = 10)]
    cpu_scale: u64,
    /// Without the life on the clock.
    #[arg(long)]
    without_cpu: bool,
    /// Where the figures go.
    #[arg(long)]
    pub(crate) output: PathBuf,
}

/// One load: its name, its records, its flags.
struct Load {
    name: &'static str,
    record_count: u64,
    command: &'static str,
    flags: &'static [&'static str],
}

const TOPIC: &str = "regress";

/// In this order: what is fetched was produced before.
const LOADS: [Load; 3] = [
    Load {
        name: "produce-tiny",
        record_count: 4_000,
        command: "produce",
        flags: &["--batch-records", "1", "--record-bytes", "100", "--in-flight", "1"],
    },
    Load {
        name: "produce-batched",
        record_count: 32_000,
        command: "produce",
        flags: &["--batch-bytes", "65536", "--record-bytes", "1000", "--in-flight", "1"],
    },
    Load {
        name: "fetch",
        record_count: 32_000,
        command: "consume",
        flags: &["--fetch-bytes", "65536", "--partition-bytes", "65536"],
    },
];

/// Counts in two lives: one of the counting build under strace, one of the plain build on the clock.
pub(crate) fn count(options: &Options) -> io::Result<Figures> {
    let mut figures = Figures::default();
    let mut is_traced = true;
    if options.counting.is_none() {
        println!("SKIPPED regress: allocations: no build with the feature `count`");
    }
    let counting = options.counting.as_deref().unwrap_or(&options.broker);
    life(options, counting, |broker, load| {
        let records = load.record_count as f64;
        let before = broker.done()?;
        let strace =
            if is_traced { Strace::attach(broker.pid(), &options.directory).map(Some) } else { Ok(None) };
        let strace = strace.unwrap_or_else(|error| {
            println!("SKIPPED regress: system calls: {error}");
            is_traced = false;
            None
        });
        generate(options, broker.port, load, load.record_count)?;
        if let Some(strace) = strace {
            figures.set("syscalls", load.name, of_requests(&strace.detach()?) as f64 / records);
        }
        let after = broker.done()?;
        if let Some((before, after)) = before.allocated.zip(after.allocated) {
            figures.set("allocations", load.name, (after.0 - before.0) / records);
            figures.set("allocated_bytes", load.name, (after.1 - before.1) / records);
        }
        if load.command == "produce" {
            figures.set("written_bytes", load.name, (after.written_bytes - before.written_bytes) / records);
        }
        Ok(())
    })?;
    if options.without_cpu {
        return Ok(figures);
    }
    life(options, &options.broker, |broker, load| {
        let count = load.record_count * options.cpu_scale;
        let before = broker.done()?;
        generate(options, broker.port, load, count)?;
        let after = broker.done()?;
        figures.set("cpu_ns", load.name, (after.cpu_ns - before.cpu_ns) / count as f64);
        Ok(())
    })?;
    Ok(figures)
}

/// Runs every load on one broker.
fn life(
    options: &Options,
    binary: &Path,
    mut each: impl FnMut(&Broker, &Load) -> io::Result<()>,
) -> io::Result<()> {
    let broker = Broker::start(binary, &options.directory.join("broker"), options.port)?;
    let [tiny, batched, _] = &LOADS;
    generate(options, broker.port, tiny, 500)?;
    generate(options, broker.port, batched, 2_000)?;
    LOADS.iter().try_for_each(|load| each(&broker, load))
}

fn generate(options: &Options, port: u16, load: &Load, record_count: u64) -> io::Result<()> {
    let mut command = Command::new(&options.loadgen);
    command.args([load.command, "--brokers", &format!("127.0.0.1:{port}"), "--topic", TOPIC]);
    command.args(load.flags).args(["--count", &record_count.to_string()]);
    if load.command == "produce" {
        command.args(["--partitions", "1", "--seed", "7"]);
    }
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{}: the load generator failed: {}: {told}", load.name, output.status)))
}

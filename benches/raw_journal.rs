//! The raw loop beside many small producers: what waits is written as one aligned run, synced once, and all are answered.
//!
//! ```text
//! client 0 ─┐                 one write of k blocks            ┌─► client 0: next batch
//! client 1 ─┼─► waiting ─► at the end of the last one, ─► sync ─┼─► client 1: next batch
//! client N ─┘                 in a file of zeros               └─► ...
//! ```
//! No socket, no checksum, no log: the price of durability alone. `cargo run --release -p thalweg-benches --bin raw_journal
//! -- --help`; `figures.sh` runs it in turn with the broker.

use clap::Parser;
use glommio::io::{DmaFile, OpenOptions};
use glommio::{LocalExecutorBuilder, Placement, PoolPlacement};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use thalweg_benches::report;

/// A batch.
const BLOCK_BYTES: usize = 4096;
const FILL_BYTES: usize = 1 << 20;

/// Commits the batches of N clients, each with one in flight; prints batches a second and their latency as JSON.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the file is made; it is removed at the end.
    #[arg(long)]
    directory: PathBuf,
    /// Clients, each with one batch of 4 KiB in flight.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Seconds to measure.
    #[arg(long, default_value_t = 10.0)]
    time_s: f64,
    /// Seconds at the start that do not count.
    #[arg(long, default_value_t = 1.0)]
    warm_up_s: f64,
    /// CPU of the loop.
    #[arg(long, default_value_t = 0)]
    cpu: usize,
    /// Bytes of the file, filled with zeros before: written over and over.
    #[arg(long, default_value_t = 256 << 20)]
    file_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Figures {
    batches_per_s: f64,
    commits_per_s: f64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let executor = LocalExecutorBuilder::new(Placement::Fixed(arguments.cpu))
        .io_memory(16 << 20)
        .preempt_timer(Duration::from_millis(10))
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
        .make()?;
    let figures = executor.run(measure(&arguments))?;
    report(&figures);
    Ok(())
}

async fn measure(arguments: &Arguments) -> io::Result<Figures> {
    let path = arguments.directory.join(format!("raw_journal.{}", std::process::id()));
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).dma_open(&path).await?;
    let outcome = commit_for(arguments, &file).await;
    std::fs::remove_file(&path)?;
    outcome
}

/// Real zeros, synced: what the broker's journal files are made of.
async fn fill(file: &DmaFile, bytes: u64) -> io::Result<()> {
    for at in (0..bytes).step_by(FILL_BYTES) {
        let mut zeros = file.alloc_dma_buffer(FILL_BYTES);
        zeros.as_bytes_mut().fill(0);
        file.write_at(zeros, at).await?;
    }
    file.fdatasync().await?;
    Ok(())
}

async fn commit_for(arguments: &Arguments, file: &DmaFile) -> io::Result<Figures> {
    let file_bytes = arguments.file_bytes.next_multiple_of(FILL_BYTES as u64);
    fill(file, file_bytes).await?;
    let (warm_up, time) =
        (Duration::from_secs_f64(arguments.warm_up_s), Duration::from_secs_f64(arguments.time_s));
    let mut latencies = Histogram::<u64>::new_with_max(60_000_000, 3).map_err(io::Error::other)?;
    let payload = vec![0x5a; BLOCK_BYTES];
    // Each client's batch waits since it was answered: closed loop. Nothing lies between answer and next batch, so all
    // clients ride on each commit: the most that can be shared.
    let now = Instant::now();
    let mut waiting: Vec<Instant> = vec![now; arguments.clients];
    let (mut at, mut commits, mut batches) = (0, 0_u64, 0_u64);
    let mut start = now;
    let mut is_warm = false;
    loop {
        let carried = std::mem::take(&mut waiting);
        let bytes = carried.len() * BLOCK_BYTES;
        if at + bytes as u64 > file_bytes {
            at = 0;
        }
        let mut run = file.alloc_dma_buffer(bytes);
        run.as_bytes_mut().chunks_exact_mut(BLOCK_BYTES).for_each(|block| block.copy_from_slice(&payload));
        file.write_at(run, at).await?;
        file.fdatasync().await?;
        at += bytes as u64;
        let done = Instant::now();
        for since in carried {
            if is_warm {
                latencies.saturating_record((done - since).as_micros() as u64);
            }
            waiting.push(done);
        }
        if is_warm {
            commits += 1;
            batches += waiting.len() as u64;
            if start.elapsed() >= time {
                break;
            }
        } else if start.elapsed() >= warm_up {
            (is_warm, start) = (true, Instant::now());
        }
    }
    let window_s = start.elapsed().as_secs_f64();
    let us = |quantile: f64| latencies.value_at_quantile(quantile) as f64;
    Ok(Figures {
        batches_per_s: batches as f64 / window_s,
        commits_per_s: commits as f64 / window_s,
        p50_us: us(0.5),
        p99_us: us(0.99),
        p999_us: us(0.999),
        max_us: latencies.max() as f64,
    })
}

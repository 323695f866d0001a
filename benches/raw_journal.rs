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
use glommio::io::DmaFile;
use serde::Serialize;
use std::io;
use std::time::Instant;
use thalweg_benches::raw::{Latencies, LoopArguments, Percentiles, Turn, Window, fill_with_zeros};
use thalweg_benches::report;

/// A batch.
const BLOCK_BYTES: usize = 4096;

/// Commits the batches of N clients, each with one in flight; prints batches a second and their latency as JSON.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    common: LoopArguments,
    /// Clients, each with one batch of 4 KiB in flight.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Bytes of the file, filled with zeros before: written over and over.
    #[arg(long, default_value_t = 256 << 20)]
    file_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Figures {
    batches_per_s: f64,
    commits_per_s: f64,
    #[serde(flatten)]
    latency: Percentiles,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let executor = arguments.common.executor()?;
    let figures = executor
        .run(arguments.common.with_file("raw_journal", async |file| commit_for(&arguments, &file).await))?;
    report(&figures);
    Ok(())
}

async fn commit_for(arguments: &Arguments, file: &DmaFile) -> io::Result<Figures> {
    let file_bytes = fill_with_zeros(file, arguments.file_bytes).await?;
    let mut latencies = Latencies::new()?;
    let payload = vec![0x5a; BLOCK_BYTES];
    // Each client's batch waits since it was answered: closed loop. Nothing lies between answer and next batch, so all
    // clients ride on each commit: the most that can be shared.
    let mut window = Window::new(&arguments.common);
    let mut waiting: Vec<Instant> = vec![Instant::now(); arguments.clients];
    let (mut at, mut commits) = (0, 0_u64);
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
        if window.is_warm() {
            carried.iter().for_each(|since| latencies.record(done - *since));
            commits += 1;
        }
        waiting.resize(carried.len(), done);
        if window.turn() == Turn::Ends {
            break;
        }
    }
    Ok(Figures {
        batches_per_s: latencies.count() as f64 / window.seconds(),
        commits_per_s: commits as f64 / window.seconds(),
        latency: latencies.percentiles(),
    })
}

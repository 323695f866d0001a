//! The raw loop beside many small producers: whatever is in flight goes out in one write and one sync.

use super::Run;
use glommio::io::OpenOptions;
use glommio::{LocalExecutorBuilder, Placement};
use hdrhistogram::Histogram;
use std::io;
use std::time::{Duration, Instant};

/// The file is written over and over, as journal files are.
const FILE_BYTES: u64 = 64 << 20;
const FILL_BYTES: usize = 1 << 20;
const WARM_UP: Duration = Duration::from_secs(1);

/// Writes and syncs for the run's time; every batch in flight waits for its write and sync, then the next ones go.
pub(super) fn measure(run: &Run, clients: usize, batch_bytes: usize) -> io::Result<serde_json::Value> {
    let executor = LocalExecutorBuilder::new(Placement::Fixed(run.cpu)).io_memory(16 << 20).make();
    executor.map_err(io::Error::other)?.run(write(run, clients, batch_bytes))
}

async fn write(run: &Run, clients: usize, batch_bytes: usize) -> io::Result<serde_json::Value> {
    let commit_bytes = (clients * batch_bytes).next_multiple_of(4096);
    let mut options = OpenOptions::new();
    let opened = options.read(true).write(true).create(true).dma_open(&run.path).await;
    let file = opened.map_err(io::Error::from)?;
    for at in (0..FILE_BYTES).step_by(FILL_BYTES) {
        let mut zeros = file.alloc_dma_buffer(FILL_BYTES);
        zeros.as_bytes_mut().fill(0);
        file.write_at(zeros, at).await.map_err(io::Error::from)?;
    }
    file.fdatasync().await.map_err(io::Error::from)?;
    let batch = vec![0x5A; commit_bytes];
    let mut latency = Histogram::<u64>::new(3).map_err(io::Error::other)?;
    let (begun, mut counted, mut at) = (Instant::now(), None, 0);
    while begun.elapsed() < WARM_UP + Duration::from_secs(run.seconds) {
        let start = Instant::now();
        let mut buffer = file.alloc_dma_buffer(commit_bytes);
        buffer.as_bytes_mut().copy_from_slice(&batch);
        let written = file.write_at(buffer, at).await.map_err(io::Error::from)?;
        if written != commit_bytes {
            return Err(io::ErrorKind::WriteZero.into());
        }
        file.fdatasync().await.map_err(io::Error::from)?;
        at += commit_bytes as u64;
        if at + commit_bytes as u64 > FILE_BYTES {
            at = 0;
        }
        if begun.elapsed() < WARM_UP {
            continue;
        }
        counted.get_or_insert(start);
        latency.record(start.elapsed().as_micros() as u64).map_err(io::Error::other)?;
    }
    let elapsed_s = counted.map_or(0.0, |from| from.elapsed().as_secs_f64());
    let ms = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1e3;
    Ok(serde_json::json!({
        "batches_per_s": (latency.len() * clients as u64) as f64 / elapsed_s,
        "syncs_per_s": latency.len() as f64 / elapsed_s,
        "p50_ms": ms(0.5), "p99_ms": ms(0.99), "p999_ms": ms(0.999),
    }))
}

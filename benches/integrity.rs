//! What it costs to check what comes from disk: the checksum alone, fetches with and without it, a scrub.
//!
//! ```text
//! checksum   over pages that the CPU's caches hold, and over more memory than they do
//! send       1 MiB of cached pages into a socket, as a fetch does: as it is, and with the checksum each time
//! raw read   pages from the device into memory that other cores may keep, with and without the checksum
//! fetch      the engine's own reads of 1 MiB: from the device, checked, and again from the cache, where it is known
//! scrub      a pass of the scrubber without a limit
//! ```
//! `cargo bench -p thalweg-benches --bench integrity`; inside `cargo test` each case runs once on little.
//! CPU is that of the measuring thread. Files are made in `TMPDIR` and removed at the end.
#![expect(clippy::print_stdout, reason = "the report of a bench is what it prints")]

use bytes::Bytes;
use glommio::LocalExecutorBuilder;
use glommio::io::DmaFile;
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use thalweg_engine::batch::{BatchBuilder, Codec, Origin, ProducerFields};
use thalweg_engine::io::DmaDisk;
use thalweg_engine::log::{LogIdentity, LogSettings};
use thalweg_engine::shard::{Append, Engine, EngineSettings, Isolation, Read, recover};
use thalweg_engine::units::{LeaderEpoch, LogId, Offset, Timestamp};

const PAGE_BYTES: usize = 256 << 10;
const FETCH_BYTES: usize = 1 << 20;

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How much is done.
#[derive(Clone, Copy)]
struct Effort {
    /// Bytes that no cache of a CPU holds.
    pool_bytes: usize,
    /// Bytes that each case goes through.
    case_bytes: usize,
}

/// CPU, elapsed time and bytes of one case.
fn measure(name: &str, bytes: usize, work: impl FnOnce()) -> f64 {
    let (cpu_start, start) = (cpu(), Instant::now());
    work();
    report(name, bytes, cpu().saturating_sub(cpu_start), start.elapsed())
}

fn report(name: &str, bytes: usize, cpu: Duration, elapsed: Duration) -> f64 {
    let megabytes = bytes as f64 / 1e6;
    let us_per_mb = cpu.as_secs_f64() * 1e6 / megabytes;
    println!("{name:58} {us_per_mb:>8.1} us of CPU per MB  {:>8.0} MB/s", megabytes / elapsed.as_secs_f64());
    us_per_mb
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1u64;
    (0..bytes)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect()
}

fn checksums(pool: &[u8], effort: Effort) {
    let hot = &pool[..PAGE_BYTES];
    measure("checksum of a page in the CPU's caches", effort.case_bytes, || {
        for _ in 0..effort.case_bytes / PAGE_BYTES {
            black_box(crc32c::crc32c(black_box(hot)));
        }
    });
    measure("checksum of pages in memory", effort.case_bytes, || {
        for page in pool.chunks(PAGE_BYTES).cycle().take(effort.case_bytes / PAGE_BYTES) {
            black_box(crc32c::crc32c(black_box(page)));
        }
    });
}

fn sends(pool: &[u8], effort: Effort) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut socket = TcpStream::connect(listener.local_addr()?)?;
    let (mut client, _) = listener.accept()?;
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; FETCH_BYTES];
        while client.read(&mut buffer).is_ok_and(|count| count > 0) {}
    });
    let mut send = |name: &str, checked: bool| {
        let mut outcome = Ok(());
        measure(name, effort.case_bytes, || {
            for fetch in pool.chunks(FETCH_BYTES).cycle().take(effort.case_bytes / FETCH_BYTES) {
                if checked {
                    let crc = fetch.chunks(PAGE_BYTES).fold(0, crc32c::crc32c_append);
                    black_box(crc);
                }
                outcome = send_whole(&mut socket, fetch);
                if outcome.is_err() {
                    return;
                }
            }
        });
        outcome
    };
    send("send of cached pages, warming up", false)?;
    send("send of cached pages", false)?;
    send("send of cached pages, each time with their checksum", true)?;
    drop(socket);
    reader.join().map_err(|_| io::Error::other("the reader panicked"))
}

fn send_whole(socket: &mut TcpStream, fetch: &[u8]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = fetch.chunks(PAGE_BYTES).map(IoSlice::new).collect();
    let mut left = &mut slices[..];
    while !left.is_empty() {
        let count = socket.write_vectored(left)?;
        IoSlice::advance_slices(&mut left, count);
    }
    Ok(())
}

const LOG: LogId = LogId([1; 16]);
const NOW: i64 = 1_700_000_000_000;
/// Of a thousand bytes each: the batch fits the default limit.
const BATCH_RECORDS: usize = 1000;

/// A log directory that is gone when this is.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nobody depends on it: a directory that cannot be removed is left to whoever looks after TMPDIR.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One life of an engine on a directory.
fn live<T: 'static, F: Future<Output = io::Result<T>> + 'static>(
    path: &Path,
    settings: EngineSettings,
    life: impl FnOnce(Engine) -> F + 'static,
) -> io::Result<T> {
    let path = path.to_owned();
    let executor = LocalExecutorBuilder::default().make()?;
    executor.run(async move {
        let settings = EngineSettings { directories: vec![path.clone()], ..settings };
        let disk = DmaDisk::new(path);
        let now = Timestamp(NOW);
        let recovered =
            recover(std::slice::from_ref(&disk), &settings, 1, now).await.map_err(io::Error::other)?;
        let share = recovered.split(1, |_| 0).pop().ok_or_else(|| io::Error::other("no share"))?;
        let engine = Engine::start(vec![disk], settings, share).await.map_err(io::Error::other)?;
        let outcome = life(engine.clone()).await;
        engine.stop().await.map_err(io::Error::other)?;
        outcome
    })
}

async fn fill(engine: Engine, bytes: usize) -> io::Result<()> {
    let identity = LogIdentity { log_id: LOG, topic_id: [1; 16], topic: "bench".to_owned(), partition: 0 };
    let settings = LogSettings { segment_bytes: 64 << 20, ..LogSettings::default() };
    engine.create(identity, settings, LeaderEpoch(0)).await.map_err(io::Error::other)?;
    let mut builder = BatchBuilder::new(Codec::None);
    noise(BATCH_RECORDS * 1000)
        .chunks(1000)
        .for_each(|value| builder.push(Timestamp(NOW), None, Some(value), &[]));
    let records = builder.build(ProducerFields::NONE).map_err(io::Error::other)?;
    for _ in 0..bytes / records.len() {
        let append = Append { records: records.clone(), zstd_allowed: true, origin: Origin::Client };
        let staged = engine.stage(LOG, &append, Timestamp(NOW)).await.map_err(io::Error::other)?;
        engine.durable(LOG, staged.offset_end).await.map_err(io::Error::other)?;
    }
    Ok(())
}

/// Reads the log whole, a fetch of 1 MiB after the other.
async fn fetch_all(engine: &Engine, name: &str) -> io::Result<()> {
    let (cpu_start, start, mut bytes) = (cpu(), Instant::now(), 0);
    let end = engine.bounds(LOG).map_err(io::Error::other)?.high_watermark;
    let mut offset = Offset::ZERO;
    while offset < end {
        let read = Read {
            offset,
            bytes_max: FETCH_BYTES,
            first_batch_whole: true,
            isolation: Isolation::Uncommitted,
        };
        let found = engine.read(LOG, read).await.map_err(io::Error::other)?;
        bytes += found.bytes;
        offset = offset.advance(BATCH_RECORDS as u32); // one batch fits a fetch
    }
    report(name, bytes, cpu().saturating_sub(cpu_start), start.elapsed());
    Ok(())
}

async fn scrub(engine: Engine) -> io::Result<()> {
    let stats = engine.stats();
    let (cpu_start, start) = (cpu(), Instant::now());
    while stats.scrub_passes_total.load(Ordering::Relaxed) == 0 {
        glommio::timer::sleep(Duration::from_millis(5)).await;
    }
    let bytes = stats.scrub_bytes_total.load(Ordering::Relaxed) as usize;
    let us_per_mb = report("scrub", bytes, cpu().saturating_sub(cpu_start), start.elapsed());
    println!("scrub: {:.3} s of CPU for each GB", us_per_mb / 1e3);
    Ok(())
}

/// Pages of a file as the broker reads them, one after the other.
fn raw_reads(path: &Path, checked: bool) -> io::Result<()> {
    let name = if checked { "raw read of pages, with their checksum" } else { "raw read of pages" };
    let path = path.to_owned();
    LocalExecutorBuilder::default().make()?.run(async move {
        let file = DmaFile::open(&path).await?;
        let bytes = file.file_size().await?;
        let (cpu_start, start) = (cpu(), Instant::now());
        for at in (0..bytes).step_by(PAGE_BYTES) {
            let found = file.read_at_aligned(at, PAGE_BYTES).await?;
            let page = Bytes::copy_from_slice(&found);
            if checked {
                black_box(crc32c::crc32c(&page));
            }
            black_box(page);
        }
        report(name, bytes as usize, cpu().saturating_sub(cpu_start), start.elapsed());
        file.close().await.map_err(io::Error::from)
    })
}

fn stored(bytes: usize) -> io::Result<()> {
    let scratch = Scratch(std::env::temp_dir().join(format!("thalweg-integrity-{}", std::process::id())));
    std::fs::create_dir_all(&scratch.0)?;
    let settings = |scrub_bytes_per_s, cache_bytes| EngineSettings {
        scrub_bytes_per_s,
        cache_bytes,
        retention_delay_ms: 0,
        ..EngineSettings::default()
    };
    live(&scratch.0, settings(0, 1 << 20), move |engine| fill(engine, bytes))?;
    let segment = scratch.0.join("bench-0/00000000000000000000.log");
    for checked in [false, true, false, true] {
        raw_reads(&segment, checked)?;
    }
    // Room for all of it: the second time everything is in the cache.
    live(&scratch.0, settings(0, 4 * bytes), async |engine: Engine| {
        fetch_all(&engine, "fetch from the device, checked").await?;
        fetch_all(&engine, "fetch from the cache, checked before").await
    })?;
    live(&scratch.0, settings(u64::MAX, 1 << 20), scrub)
}

fn main() -> io::Result<()> {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let effort = if is_bench {
        Effort { pool_bytes: 256 << 20, case_bytes: 2 << 30 }
    } else {
        Effort { pool_bytes: 4 << 20, case_bytes: 4 << 20 }
    };
    let pool = noise(effort.pool_bytes);
    checksums(&pool, effort);
    sends(&pool, effort)?;
    stored(if is_bench { 512 << 20 } else { 8 << 20 })
}

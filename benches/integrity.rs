//! What it costs to check what comes from disk: the checksum alone, fetches with and without it, a scrub.
//!
//! ```text
//! checksum   over pages that the CPU's caches hold, and over more memory than they do
//! send       1 MiB of cached pages into a socket, as a fetch does: as it is, and with the checksum each time
//! ```
//! `cargo bench -p thalweg-benches --bench integrity`; inside `cargo test` each case runs once on little.
//! CPU is that of the measuring thread.
#![expect(clippy::print_stdout, reason = "the report of a bench is what it prints")]

use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

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
    report(name, bytes, cpu() - cpu_start, start.elapsed())
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

fn main() -> io::Result<()> {
    let effort = if std::env::args().any(|argument| argument == "--bench") {
        Effort { pool_bytes: 256 << 20, case_bytes: 2 << 30 }
    } else {
        Effort { pool_bytes: 4 << 20, case_bytes: 4 << 20 }
    };
    let pool = noise(effort.pool_bytes);
    checksums(&pool, effort);
    sends(&pool, effort)
}

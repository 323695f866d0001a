//! The raw loop beside a lone producer: a record comes over a socket from another core, is written, synced, answered.
//!
//! ```text
//! client thread, last CPU ──TCP──► executor, first CPU: recv ─► write_at of one block ─► fdatasync ─► send ──TCP──► client
//! ```
//! One in flight. No protocol, no checksum, no log: the price of a loopback, two wake-ups and the device. `cargo run
//! --release -p thalweg-benches --bin raw_round_trip -- --help`; `figures.sh --only lonely` runs it in turn with the broker.

use clap::Parser;
use glommio::io::{DmaFile, OpenOptions, PollableFd};
use glommio::{LocalExecutorBuilder, Placement, PoolPlacement};
use hdrhistogram::Histogram;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use serde::Serialize;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thalweg_benches::{on_cpu, report};

const BLOCK_BYTES: usize = 4096;
/// As long as the answer to a produce of one partition.
const ANSWER_BYTES: usize = 64;
const FILL_BYTES: usize = 1 << 20;

/// Answers a client on another core after one write and one sync each; prints the round trip's time as JSON.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the file is made; it is removed at the end.
    #[arg(long)]
    directory: PathBuf,
    /// Seconds to measure.
    #[arg(long, default_value_t = 10.0)]
    time_s: f64,
    /// Seconds at the start that do not count.
    #[arg(long, default_value_t = 1.0)]
    warm_up_s: f64,
    /// CPU of the loop.
    #[arg(long, default_value_t = 0)]
    cpu: usize,
    /// CPU of the client.
    #[arg(long, default_value_t = 1)]
    client_cpu: usize,
    /// Bytes of a request.
    #[arg(long, default_value_t = 1024)]
    request_bytes: usize,
    /// Bytes of the file, filled with zeros before: written over and over.
    #[arg(long, default_value_t = 64 << 20)]
    file_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Figures {
    per_s: f64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (socket, _) = listener.accept()?;
    socket.set_nodelay(true)?;
    let executor = LocalExecutorBuilder::new(Placement::Fixed(arguments.cpu))
        .io_memory(16 << 20)
        .preempt_timer(Duration::from_millis(10))
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
        .make()?;
    let figures = executor.run(serve(&arguments, socket, client))?;
    report(&figures);
    Ok(())
}

async fn serve(arguments: &Arguments, socket: TcpStream, client: TcpStream) -> io::Result<Figures> {
    let path = arguments.directory.join(format!("raw_round_trip.{}", std::process::id()));
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).dma_open(&path).await?;
    let file_bytes = arguments.file_bytes.next_multiple_of(FILL_BYTES as u64);
    for at in (0..file_bytes).step_by(FILL_BYTES) {
        let mut zeros = file.alloc_dma_buffer(FILL_BYTES);
        zeros.as_bytes_mut().fill(0);
        file.write_at(zeros, at).await?;
    }
    file.fdatasync().await?;
    // Not before the file is there: the client's clock runs from its first request.
    let asking = ask(arguments, client);
    let served = answer(arguments, &PollableFd::new(socket)?, &file, file_bytes).await;
    std::fs::remove_file(&path)?;
    served?;
    asking.join().map_err(|_| io::Error::other("the client panicked"))?
}

/// Answers until the client is gone.
async fn answer(
    arguments: &Arguments,
    socket: &PollableFd<TcpStream>,
    file: &DmaFile,
    file_bytes: u64,
) -> io::Result<()> {
    socket.get_ref().set_nonblocking(true)?;
    let mut request = vec![0; arguments.request_bytes];
    let mut at = 0;
    loop {
        let mut filled = 0;
        while filled < request.len() {
            match rustix::net::recv(socket.get_ref(), &mut request[filled..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Ok(()),
                Ok((count, _)) => filled += count,
                Err(Errno::AGAIN | Errno::INTR) => socket.readable().await?,
                Err(error) => return Err(error.into()),
            }
        }
        let blocks = request.len().next_multiple_of(BLOCK_BYTES);
        let mut run = file.alloc_dma_buffer(blocks);
        run.as_bytes_mut()[..request.len()].copy_from_slice(&request);
        run.as_bytes_mut()[request.len()..].fill(0);
        if at + blocks as u64 > file_bytes {
            at = 0;
        }
        file.write_at(run, at).await?;
        file.fdatasync().await?;
        at += blocks as u64;
        let mut socket = socket.get_ref();
        socket.write_all(&[0; ANSWER_BYTES])?; // far less than the socket's buffer: never waits
    }
}

/// Asks, one request in flight, until the time is over.
fn ask(arguments: &Arguments, mut socket: TcpStream) -> JoinHandle<io::Result<Figures>> {
    let (cpu, bytes) = (arguments.client_cpu, arguments.request_bytes);
    let warm_up = Duration::from_secs_f64(arguments.warm_up_s);
    let time = Duration::from_secs_f64(arguments.time_s);
    std::thread::spawn(move || {
        on_cpu(cpu)?;
        socket.set_nodelay(true)?;
        let (request, mut reply) = (vec![0x5a; bytes], [0; ANSWER_BYTES]);
        let mut latencies = Histogram::<u64>::new_with_max(60_000_000, 3).map_err(io::Error::other)?;
        let mut start = Instant::now();
        let mut is_warm = false;
        while !is_warm || start.elapsed() < time {
            let since = Instant::now();
            socket.write_all(&request)?;
            socket.read_exact(&mut reply)?;
            if is_warm {
                latencies.saturating_record(since.elapsed().as_micros() as u64);
            } else if start.elapsed() >= warm_up {
                (is_warm, start) = (true, Instant::now());
            }
        }
        let us = |quantile: f64| latencies.value_at_quantile(quantile) as f64;
        Ok(Figures {
            per_s: latencies.len() as f64 / start.elapsed().as_secs_f64(),
            p50_us: us(0.5),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: latencies.max() as f64,
        })
    })
}

//! The raw loop beside a lone producer: a record comes over a socket from another core, is written, synced, answered.
//!
//! ```text
//! client thread, last CPU ──TCP──► executor, first CPU: recv ─► write_at of one block ─► fdatasync ─► send ──TCP──► client
//! ```
//! One in flight, the next at once or at a rate. No protocol, no checksum, no log: the price of a loopback, two wake-ups and the device. `cargo run
//! --release -p thalweg-benches --bin raw_round_trip -- --help`; `figures.sh --only lonely` runs it in turn with the broker.

use clap::Parser;
use glommio::io::{DmaFile, PollableFd};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use serde::Serialize;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thalweg_benches::raw::{
    ANSWER_BYTES, Latencies, LoopArguments, Percentiles, Turn, Window, fill_with_zeros,
};
use thalweg_benches::{on_cpu, report};

const BLOCK_BYTES: usize = 4096;

/// Answers a client on another core after one write and one sync each; prints the round trip's time as JSON.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    common: LoopArguments,
    /// CPU of the client.
    #[arg(long, default_value_t = 1)]
    client_cpu: usize,
    /// Bytes of a request.
    #[arg(long, default_value_t = 1024)]
    request_bytes: usize,
    /// Requests a second, each timed from when it was due; without it the next follows the answer.
    #[arg(long)]
    rate_per_s: Option<f64>,
    /// Bytes of the file, filled with zeros before: written over and over.
    #[arg(long, default_value_t = 64 << 20)]
    file_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Figures {
    per_s: f64,
    #[serde(flatten)]
    latency: Percentiles,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (socket, _) = listener.accept()?;
    socket.set_nodelay(true)?;
    let executor = arguments.common.executor()?;
    let serving = arguments
        .common
        .with_file("raw_round_trip", async |file| serve(&arguments, &file, socket, client).await);
    let figures = executor.run(serving)?;
    report(&figures);
    Ok(())
}

async fn serve(
    arguments: &Arguments,
    file: &DmaFile,
    socket: TcpStream,
    client: TcpStream,
) -> io::Result<Figures> {
    let file_bytes = fill_with_zeros(file, arguments.file_bytes).await?;
    // Not before the file is there: the client's clock runs from its first request.
    let asking = ask(arguments, client);
    answer(arguments, &PollableFd::new(socket)?, file, file_bytes).await?;
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
    let (cpu, bytes, common) = (arguments.client_cpu, arguments.request_bytes, arguments.common.clone());
    let pause = arguments.rate_per_s.map(|rate| Duration::from_secs_f64(1.0 / rate));
    std::thread::spawn(move || {
        on_cpu(cpu)?;
        socket.set_nodelay(true)?;
        let (request, mut reply) = (vec![0x5a; bytes], [0; ANSWER_BYTES]);
        let mut latencies = Latencies::new()?;
        let mut window = Window::new(&common);
        let mut due = Instant::now();
        loop {
            let since = match pause {
                Some(pause) => {
                    due += pause;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    due
                }
                None => Instant::now(),
            };
            socket.write_all(&request)?;
            socket.read_exact(&mut reply)?;
            if window.is_warm() {
                latencies.record(since.elapsed());
            }
            if window.turn() == Turn::Ends {
                break;
            }
        }
        let per_s = latencies.count() as f64 / window.seconds();
        Ok(Figures { per_s, latency: latencies.percentiles() })
    })
}

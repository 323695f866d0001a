//! The raw loops beside readers: a gathered socket write of what lies in memory, and direct reads of what lies in a file.
//!
//! ```text
//! memory: sender, first CPU: sendmsg of 8 x 1 MiB ──TCP──► reader, last CPU: recv, looked at by nobody
//! disk:   executor, first CPU: read_at, 1 MiB each, 4 under way, from the file's start to its end and again
//! ```
//! No request, no log, no index: what the machine gives to whoever only moves bytes. `cargo run --release -p
//! thalweg-benches --bin raw_fetch -- --help`; `figures.sh --only fetch` runs it in turn with the broker.

use clap::{Parser, ValueEnum};
use glommio::io::{DmaFile, OpenOptions};
use glommio::{LocalExecutorBuilder, Placement};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thalweg_benches::{on_cpu, report};

/// One piece: as long as the broker's.
const PIECE_BYTES: usize = 1 << 20;
/// Pieces of one gathered write.
const GATHERED: usize = 8;
/// Reads under way at once.
const READS_MAX: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum From {
    Memory,
    Disk,
}

/// Sends what lies in memory, or reads what lies in a file, as fast as it goes; prints megabytes a second as JSON.
#[derive(Debug, Parser)]
struct Arguments {
    /// What is moved.
    #[arg(long)]
    from: From,
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
    /// CPU of the reader of the socket.
    #[arg(long, default_value_t = 1)]
    reader_cpu: usize,
    /// Bytes that lie in memory, or in the file.
    #[arg(long, default_value_t = 256 << 20)]
    bytes: usize,
}

#[derive(Debug, Serialize)]
struct Figures {
    mb_per_s: f64,
    /// For each second of the loop's own processor time.
    mb_per_cpu_s: f64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let figures = match arguments.from {
        From::Memory => send(&arguments)?,
        From::Disk => {
            let executor = LocalExecutorBuilder::new(Placement::Fixed(arguments.cpu))
                .io_memory(16 << 20)
                .preempt_timer(Duration::from_millis(10))
                .make()?;
            executor.run(read(&arguments))?
        }
    };
    report(&figures);
    Ok(())
}

/// Counts bytes once the warm-up is over.
struct Window {
    start: Instant,
    cpu_start_s: f64,
    warm_up: Duration,
    time: Duration,
    is_warm: bool,
    bytes: u64,
}

impl Window {
    fn new(arguments: &Arguments) -> Self {
        Self {
            start: Instant::now(),
            cpu_start_s: thread_cpu_s(),
            warm_up: Duration::from_secs_f64(arguments.warm_up_s),
            time: Duration::from_secs_f64(arguments.time_s),
            is_warm: false,
            bytes: 0,
        }
    }

    /// `true` when it is over.
    fn count(&mut self, bytes: usize) -> bool {
        self.bytes += bytes as u64;
        let passed = self.start.elapsed();
        if !self.is_warm && passed >= self.warm_up {
            (self.is_warm, self.start, self.cpu_start_s, self.bytes) =
                (true, Instant::now(), thread_cpu_s(), 0);
            return false;
        }
        self.is_warm && passed >= self.time
    }

    fn figures(&self) -> Figures {
        let mb = self.bytes as f64 / 1e6;
        Figures {
            mb_per_s: mb / self.start.elapsed().as_secs_f64(),
            mb_per_cpu_s: mb / (thread_cpu_s() - self.cpu_start_s),
        }
    }
}

fn thread_cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn send(arguments: &Arguments) -> io::Result<Figures> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let reader = drain(arguments.reader_cpu, TcpStream::connect(listener.local_addr()?)?);
    let (mut socket, _) = listener.accept()?;
    on_cpu(arguments.cpu)?;
    let count = (arguments.bytes / PIECE_BYTES).max(GATHERED);
    let pieces: Vec<Vec<u8>> = (0..count).map(|piece| vec![piece as u8; PIECE_BYTES]).collect();
    let mut window = Window::new(arguments);
    for first in (0..=count - GATHERED).step_by(GATHERED).cycle() {
        let mut slices: Vec<IoSlice<'_>> =
            pieces[first..first + GATHERED].iter().map(|piece| IoSlice::new(piece)).collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            let sent = socket.write_vectored(rest)?;
            IoSlice::advance_slices(&mut rest, sent);
        }
        if window.count(GATHERED * PIECE_BYTES) {
            break;
        }
    }
    let figures = window.figures();
    drop(socket);
    reader.join().map_err(|_| io::Error::other("the reader panicked"))??;
    Ok(figures)
}

fn drain(cpu: usize, mut socket: TcpStream) -> JoinHandle<io::Result<()>> {
    std::thread::spawn(move || {
        on_cpu(cpu)?;
        let mut buffer = vec![0; PIECE_BYTES];
        while socket.read(&mut buffer)? > 0 {}
        Ok(())
    })
}

async fn read(arguments: &Arguments) -> io::Result<Figures> {
    let path = arguments.directory.join(format!("raw_fetch.{}", std::process::id()));
    let mut options = OpenOptions::new();
    let file = Rc::new(options.read(true).write(true).create_new(true).dma_open(&path).await?);
    let outcome = read_for(arguments, &file).await;
    std::fs::remove_file(&path)?;
    outcome
}

async fn read_for(arguments: &Arguments, file: &Rc<DmaFile>) -> io::Result<Figures> {
    let bytes = arguments.bytes.next_multiple_of(PIECE_BYTES) as u64;
    for at in (0..bytes).step_by(PIECE_BYTES) {
        let mut piece = file.alloc_dma_buffer(PIECE_BYTES);
        piece.as_bytes_mut().fill(at as u8);
        file.write_at(piece, at).await?;
    }
    file.fdatasync().await?;
    let mut window = Window::new(arguments);
    let mut under_way: VecDeque<glommio::Task<io::Result<usize>>> = VecDeque::new();
    for at in (0..bytes).step_by(PIECE_BYTES).cycle() {
        let file = Rc::clone(file);
        under_way.push_back(glommio::spawn_local(async move {
            Ok(file.read_at_aligned(at, PIECE_BYTES).await?.len())
        }));
        if under_way.len() < READS_MAX {
            continue;
        }
        let Some(oldest) = under_way.pop_front() else { continue };
        if window.count(oldest.await?) {
            break;
        }
    }
    let figures = window.figures();
    for rest in under_way {
        rest.await?;
    }
    Ok(figures)
}

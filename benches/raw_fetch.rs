//! The raw loops beside readers: a gathered socket write of what lies in memory, and direct reads of what lies in a file.
//!
//! ```text
//! memory: sender, first CPU: sendmsg of 8 x 1 MiB ──TCP──► reader, last CPU: recv, looked at by nobody
//! disk:   executor, first CPU: read_at, 1 MiB each, 4 under way, from the first file's start to the last one's end and again
//! ```
//! No request, no log, no index: what the machine gives to whoever only moves bytes. `cargo run --release -p
//! thalweg-benches --bin raw_fetch -- --help`; `figures.sh --only fetch` runs it in turn with the broker.

use clap::{Parser, ValueEnum};
use glommio::io::OpenOptions;
use serde::Serialize;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::rc::Rc;
use std::thread::JoinHandle;
use thalweg_benches::raw::{LoopArguments, Turn, Window};
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
    #[command(flatten)]
    common: LoopArguments,
    /// CPU of the reader of the socket.
    #[arg(long, default_value_t = 1)]
    reader_cpu: usize,
    /// Bytes that lie in memory.
    #[arg(long, default_value_t = 256 << 20)]
    bytes: usize,
    /// A file on the disk, of whole mebibytes that are read and a rest that is not; several in this order.
    #[arg(long, required_if_eq("from", "disk"))]
    file: Vec<PathBuf>,
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
        From::Disk => arguments.common.executor()?.run(read(&arguments))?,
    };
    report(&figures);
    Ok(())
}

/// Bytes of the time that counts.
struct Moved {
    window: Window,
    bytes: u64,
}

impl Moved {
    fn new(arguments: &Arguments) -> Self {
        Self { window: Window::new(&arguments.common), bytes: 0 }
    }

    /// `true` when it is over.
    fn count(&mut self, bytes: usize) -> bool {
        self.bytes += bytes as u64;
        let turn = self.window.turn();
        if turn == Turn::Begins {
            self.bytes = 0;
        }
        turn == Turn::Ends
    }

    fn figures(&self) -> Figures {
        let mb = self.bytes as f64 / 1e6;
        Figures { mb_per_s: mb / self.window.seconds(), mb_per_cpu_s: mb / self.window.cpu_seconds() }
    }
}

fn send(arguments: &Arguments) -> io::Result<Figures> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let reader = drain(arguments.reader_cpu, TcpStream::connect(listener.local_addr()?)?);
    let (mut socket, _) = listener.accept()?;
    on_cpu(arguments.common.cpu)?;
    let count = (arguments.bytes / PIECE_BYTES).max(GATHERED);
    let pieces: Vec<Vec<u8>> = (0..count).map(|piece| vec![piece as u8; PIECE_BYTES]).collect();
    let mut moved = Moved::new(arguments);
    for first in (0..=count - GATHERED).step_by(GATHERED).cycle() {
        let mut slices: Vec<IoSlice<'_>> =
            pieces[first..first + GATHERED].iter().map(|piece| IoSlice::new(piece)).collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            let sent = socket.write_vectored(rest)?;
            IoSlice::advance_slices(&mut rest, sent);
        }
        if moved.count(GATHERED * PIECE_BYTES) {
            break;
        }
    }
    let figures = moved.figures();
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
    let mut pieces = Vec::new();
    for path in &arguments.file {
        let file = Rc::new(OpenOptions::new().read(true).dma_open(path).await?);
        let piece_count = file.file_size().await? / PIECE_BYTES as u64;
        pieces.extend((0..piece_count).map(|piece| (Rc::clone(&file), piece * PIECE_BYTES as u64)));
    }
    if pieces.is_empty() {
        return Err(io::Error::other(format!("no file holds {PIECE_BYTES} B: give larger ones")));
    }
    let mut moved = Moved::new(arguments);
    let mut under_way: VecDeque<glommio::Task<io::Result<usize>>> = VecDeque::new();
    for (file, at) in pieces.iter().cycle() {
        let (file, at) = (Rc::clone(file), *at);
        under_way.push_back(glommio::spawn_local(async move {
            Ok(file.read_at_aligned(at, PIECE_BYTES).await?.len())
        }));
        if under_way.len() < READS_MAX {
            continue;
        }
        let Some(oldest) = under_way.pop_front() else { continue };
        if moved.count(oldest.await?) {
            break;
        }
    }
    let figures = moved.figures();
    for rest in under_way {
        rest.await?;
    }
    Ok(figures)
}

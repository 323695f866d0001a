//! The raw loop beside one fat producer: receive, checksum, write directly, sync each 10 ms. Nothing else.
//!
//! ```text
//! sender thread, last CPU ──TCP──► executor, first CPU: recv into aligned memory ─► CRC-32C ─► write_at ─► fdatasync
//! ```
//! The bytes are those that a produce of batches of 1 000 000 B brings; the sender is not answered, so nothing bounds what
//! is in flight but the socket. `cargo run --release -p thalweg-benches --bin raw_stream -- --help`; `figures.sh` runs it
//! in turn with the broker.

use clap::Parser;
use glommio::io::{DmaBuffer, DmaFile, PollableFd};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thalweg_benches::raw::{LoopArguments, Turn, Window};
use thalweg_benches::{on_cpu, report};

/// One write: the largest that the broker makes, too.
const PIECE_BYTES: usize = 1 << 20;
/// Writes under way at once.
const WRITES_MAX: usize = 4;
/// Blocks are reserved in steps of this, as the broker's segments are.
const STEP_BYTES: u64 = 16 << 20;
/// The file begins again here, as a segment would roll.
const FILE_BYTES_MAX: u64 = 1 << 30;
const SYNC_INTERVAL: Duration = Duration::from_millis(10);

/// Receives a stream, checksums it, writes it directly with a sync each 10 ms; prints megabytes a second as JSON.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    common: LoopArguments,
    /// CPU of the sender.
    #[arg(long, default_value_t = 1)]
    sender_cpu: usize,
    /// Bytes of what is sent at once: a batch.
    #[arg(long, default_value_t = 1_000_000)]
    batch_bytes: usize,
}

#[derive(Debug, Serialize)]
struct Figures {
    mb_per_s: f64,
    bytes: u64,
    window_s: f64,
    syncs: u64,
    /// Keeps the checksum from being left out, and tells two runs apart.
    crc: u32,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let sender = send(&arguments, TcpStream::connect(listener.local_addr()?)?);
    let (socket, _) = listener.accept()?;
    let executor = arguments.common.executor()?;
    let receiving =
        arguments.common.with_file("raw_stream", async |file| receive(&arguments, file, socket).await);
    let figures = executor.run(receiving)?;
    sender.join().map_err(|_| io::Error::other("the sender panicked"))??;
    report(&figures);
    Ok(())
}

/// Sends batches until the time is over, then closes.
fn send(arguments: &Arguments, mut socket: TcpStream) -> JoinHandle<io::Result<()>> {
    let (bytes, cpu) = (arguments.batch_bytes, arguments.sender_cpu);
    let time = Duration::from_secs_f64(arguments.common.warm_up_s + arguments.common.time_s);
    std::thread::spawn(move || {
        on_cpu(cpu)?;
        socket.set_nodelay(true)?;
        let batch: Vec<u8> = (0..bytes).map(|at| (at * 131 % 251) as u8).collect();
        let start = Instant::now();
        while start.elapsed() < time {
            socket.write_all(&batch)?;
        }
        Ok(())
    })
}

/// The file being written, and what is under way to it.
struct Output {
    file: Rc<DmaFile>,
    at: Cell<u64>,
    reserved: Cell<u64>,
    in_flight: RefCell<VecDeque<glommio::Task<io::Result<()>>>>,
    syncs: Cell<u64>,
    is_over: Cell<bool>,
}

async fn receive(arguments: &Arguments, file: Rc<DmaFile>, socket: TcpStream) -> io::Result<Figures> {
    let output = Rc::new(Output {
        file,
        at: Cell::new(0),
        reserved: Cell::new(0),
        in_flight: RefCell::default(),
        syncs: Cell::new(0),
        is_over: Cell::new(false),
    });
    let syncing = glommio::spawn_local(Rc::clone(&output).sync_often());
    let outcome = drain(arguments, socket, &output).await;
    output.is_over.set(true);
    syncing.await?;
    let (bytes, window_s, crc) = outcome?;
    Ok(Figures { mb_per_s: bytes as f64 / 1e6 / window_s, bytes, window_s, syncs: output.syncs.get(), crc })
}

/// Receives to the end of the stream; the bytes and the seconds after the warm-up, and the checksum of all.
async fn drain(arguments: &Arguments, socket: TcpStream, output: &Rc<Output>) -> io::Result<(u64, f64, u32)> {
    socket.set_nonblocking(true)?;
    let socket = PollableFd::new(socket)?;
    let mut window = Window::new(&arguments.common);
    let (mut total, mut before, mut crc) = (0_u64, 0_u64, 0_u32);
    loop {
        let mut piece = output.file.alloc_dma_buffer(PIECE_BYTES);
        let filled = fill(&socket, piece.as_bytes_mut()).await?;
        if filled < PIECE_BYTES {
            break; // the end; a part of a piece is not counted
        }
        crc = crc32c::crc32c_append(crc, piece.as_bytes());
        output.write(piece).await?;
        total += PIECE_BYTES as u64;
        if window.turn() == Turn::Begins {
            before = total;
        }
        glommio::yield_if_needed().await;
    }
    output.finish().await?;
    Ok((total - before, window.seconds(), crc))
}

/// Fills the target; less only at the end of the stream.
async fn fill(socket: &PollableFd<TcpStream>, target: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < target.len() {
        match rustix::net::recv(socket.get_ref(), &mut target[filled..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => break,
            Ok((count, _)) => filled += count,
            Err(Errno::AGAIN | Errno::INTR) => socket.readable().await?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}

impl Output {
    /// Hands a piece to the device; waits while too many are there.
    async fn write(self: &Rc<Self>, piece: DmaBuffer) -> io::Result<()> {
        if self.at.get() == FILE_BYTES_MAX {
            self.finish().await?;
            self.file.truncate(0).await?;
            self.at.set(0);
            self.reserved.set(0);
        }
        let at = self.at.replace(self.at.get() + PIECE_BYTES as u64);
        if at + PIECE_BYTES as u64 > self.reserved.get() {
            self.reserved.set(self.reserved.get() + STEP_BYTES);
            self.file.pre_allocate(self.reserved.get(), false).await?;
        }
        let output = Rc::clone(self);
        let write = glommio::spawn_local(async move {
            let written = output.file.write_at(piece, at).await?;
            if written == PIECE_BYTES { Ok(()) } else { Err(io::Error::other("a short write")) }
        });
        let oldest = {
            let mut in_flight = self.in_flight.borrow_mut();
            in_flight.push_back(write);
            if in_flight.len() >= WRITES_MAX { in_flight.pop_front() } else { None }
        };
        match oldest {
            Some(oldest) => oldest.await,
            None => Ok(()),
        }
    }

    /// All that was written is synced.
    async fn finish(&self) -> io::Result<()> {
        loop {
            let Some(write) = self.in_flight.borrow_mut().pop_front() else { break };
            write.await?;
        }
        self.file.fdatasync().await?;
        Ok(())
    }

    async fn sync_often(self: Rc<Self>) -> io::Result<()> {
        while !self.is_over.get() {
            glommio::timer::sleep(SYNC_INTERVAL).await;
            self.file.fdatasync().await?;
            self.syncs.set(self.syncs.get() + 1);
        }
        Ok(())
    }
}

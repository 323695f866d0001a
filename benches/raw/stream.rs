//! The raw loop beside one fat producer: the same bytes, without protocol, offsets, journal, answers.

use super::Run;
use glommio::io::{DmaFile, OpenOptions, PollableFd};
use glommio::{LocalExecutorBuilder, Placement};
use rustix::net::RecvFlags;
use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const WRITE_BYTES: usize = 1 << 20;
/// Blocks are reserved in such steps, as the broker does.
const RESERVE_BYTES: u64 = 16 << 20;
/// A new file begins here, as segments do.
const FILE_BYTES: u64 = 1 << 30;
const WRITES_IN_FLIGHT: usize = 8;
const SYNC_INTERVAL: Duration = Duration::from_millis(10);
const WARM_UP: Duration = Duration::from_secs(1);

/// What the loop's tasks share.
#[derive(Default)]
struct Shared {
    in_flight: Cell<usize>,
    failed: Cell<bool>,
    over: Cell<bool>,
    syncs: Cell<u64>,
    /// Files that the next sync covers.
    files: RefCell<Vec<Rc<DmaFile>>>,
}

/// Receives for the run's time what a sender on another CPU sends as fast as it can.
pub(super) fn measure(run: &Run, batch_bytes: usize, sender_cpu: usize) -> io::Result<serde_json::Value> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let over = Arc::new(AtomicBool::new(false));
    let sender = {
        let over = Arc::clone(&over);
        std::thread::spawn(move || send(address, batch_bytes, sender_cpu, &over))
    };
    let (socket, _) = listener.accept()?;
    let executor = LocalExecutorBuilder::new(Placement::Fixed(run.cpu)).io_memory(16 << 20).make();
    let executor = executor.map_err(io::Error::other)?;
    let figures = executor.run(receive(socket, run));
    over.store(true, Ordering::Relaxed);
    let sent = sender.join().map_err(|_| io::Error::other("the sender panicked"))?;
    drop(sent); // it ends with the socket's error
    figures
}

fn send(address: std::net::SocketAddr, batch_bytes: usize, cpu: usize, over: &AtomicBool) -> io::Result<()> {
    let mut cpus = rustix::thread::CpuSet::new();
    cpus.set(cpu);
    rustix::thread::sched_setaffinity(None, &cpus)?;
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let mut noise = 1u64;
    let frame: Vec<u8> = (0..batch_bytes)
        .map(|_| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (noise >> 56) as u8
        })
        .collect();
    while !over.load(Ordering::Relaxed) {
        socket.write_all(&frame)?;
    }
    Ok(())
}

async fn receive(socket: TcpStream, run: &Run) -> io::Result<serde_json::Value> {
    socket.set_nonblocking(true)?;
    let socket = PollableFd::new(socket).map_err(io::Error::from)?;
    std::fs::create_dir(&run.path)?;
    let shared = Rc::new(Shared::default());
    let mut file_count = 0;
    let mut file = open(run, file_count, &shared).await?;
    let syncing = glommio::spawn_local(sync_all_along(Rc::clone(&shared)));
    let (begun, mut counted) = (Instant::now(), None);
    let (mut at, mut reserved, mut bytes, mut checksum) = (0, 0, 0u64, 0u32);
    loop {
        if at >= FILE_BYTES {
            file_count += 1;
            file = open(run, file_count, &shared).await?;
            (at, reserved) = (0, 0);
        }
        if at + WRITE_BYTES as u64 > reserved {
            reserved = at + RESERVE_BYTES;
            file.pre_allocate(reserved, false).await.map_err(io::Error::from)?;
        }
        let mut buffer = file.alloc_dma_buffer(WRITE_BYTES);
        fill(&socket, buffer.as_bytes_mut()).await?;
        checksum ^= crc32c::crc32c(buffer.as_bytes());
        while shared.in_flight.get() >= WRITES_IN_FLIGHT {
            glommio::timer::sleep(Duration::from_micros(20)).await;
        }
        shared.in_flight.set(shared.in_flight.get() + 1);
        let (writing, counts) = (Rc::clone(&file), Rc::clone(&shared));
        glommio::spawn_local(async move {
            let written = writing.write_at(buffer, at).await;
            counts.failed.set(counts.failed.get() || written.map_or(true, |count| count != WRITE_BYTES));
            counts.in_flight.set(counts.in_flight.get() - 1);
        })
        .detach();
        at += WRITE_BYTES as u64;
        bytes += WRITE_BYTES as u64;
        if counted.is_none() && begun.elapsed() >= WARM_UP {
            counted = Some((Instant::now(), bytes, shared.syncs.get()));
        }
        if begun.elapsed() >= WARM_UP + Duration::from_secs(run.seconds) {
            break;
        }
        glommio::yield_if_needed().await;
    }
    let (from, before, syncs_before) = counted.unwrap_or((begun, 0, 0));
    let (elapsed_s, syncs) = (from.elapsed().as_secs_f64(), shared.syncs.get() - syncs_before);
    shared.over.set(true);
    syncing.await?;
    while shared.in_flight.get() > 0 {
        glommio::timer::sleep(Duration::from_millis(1)).await;
    }
    if shared.failed.get() {
        return Err(io::Error::other("a write failed"));
    }
    let mb_per_s = (bytes - before) as f64 / elapsed_s / 1e6;
    Ok(
        serde_json::json!({ "mb_per_s": mb_per_s, "syncs": syncs, "seconds": elapsed_s, "checksum": checksum }),
    )
}

async fn fill(socket: &PollableFd<TcpStream>, target: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < target.len() {
        match rustix::net::recv(socket.get_ref(), &mut target[filled..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((count, _)) => filled += count,
            Err(rustix::io::Errno::AGAIN) => socket.readable().await.map_err(io::Error::from)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The next file; the one before is synced whole with the next sync.
async fn open(run: &Run, number: u32, shared: &Shared) -> io::Result<Rc<DmaFile>> {
    let mut options = OpenOptions::new();
    let opened = options.read(true).write(true).create(true);
    let file = opened.dma_open(run.path.join(format!("{number}.log"))).await.map_err(io::Error::from)?;
    let file = Rc::new(file);
    shared.files.borrow_mut().push(Rc::clone(&file));
    Ok(file)
}

async fn sync_all_along(shared: Rc<Shared>) -> io::Result<()> {
    while !shared.over.get() {
        glommio::timer::sleep(SYNC_INTERVAL).await;
        let files = shared.files.borrow().clone();
        for file in &files {
            file.fdatasync().await.map_err(io::Error::from)?;
        }
        shared.files.borrow_mut().drain(..files.len() - 1);
        shared.syncs.set(shared.syncs.get() + 1);
    }
    Ok(())
}

//! The raw loop beside many small producers: requests come over many sockets from another core, and each is answered.
//!
//! ```text
//! client thread, last CPU: epoll, send, recv ──TCP──► thread, first CPU: epoll ─► recv ─► send ──TCP──► client
//! ```
//! One in flight on each connection. No disk, no protocol, no checksum, no log: no broker over sockets answers more on one
//! core of this machine, however fast its disk is. `cargo run --release -p thalweg-benches --bin raw_answers -- --help`;
//! `figures.sh --only batches` runs it in turn with the broker.

use clap::Parser;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use serde::Serialize;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;
use thalweg_benches::raw::{ANSWER_BYTES, LoopArguments, Turn, Window};
use thalweg_benches::{on_cpu, report};

/// Sockets that are told of at once.
const EVENTS_MAX: usize = 256;

/// Answers clients on another core; prints how many answers a second as JSON.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    common: LoopArguments,
    /// CPU of the clients.
    #[arg(long, default_value_t = 1)]
    client_cpu: usize,
    /// Connections, each with one request in flight.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Bytes of a request: a batch of 4 KiB with what stands around it.
    #[arg(long, default_value_t = 4200)]
    request_bytes: usize,
}

#[derive(Debug, Serialize)]
struct Figures {
    answers_per_s: f64,
    /// The answering thread's own processor time.
    us_per_answer: f64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (mut clients, mut sockets) = (Vec::new(), Vec::new());
    for _ in 0..arguments.clients {
        clients.push(TcpStream::connect(listener.local_addr()?)?);
        sockets.push(listener.accept()?.0);
    }
    for socket in clients.iter().chain(&sockets) {
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
    }
    let client = ask(&arguments, clients);
    on_cpu(arguments.common.cpu)?;
    let figures = answer(&arguments, sockets)?;
    client.join().map_err(|_| io::Error::other("the client panicked"))??;
    report(&figures);
    Ok(())
}

/// Sockets of which epoll tells that they can be read.
struct Readable {
    epoll: OwnedFd,
    ready: Vec<epoll::Event>,
}

impl Readable {
    fn new(sockets: &[TcpStream]) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (at, socket) in sockets.iter().enumerate() {
            epoll::add(&epoll, socket, epoll::EventData::new_u64(at as u64), epoll::EventFlags::IN)?;
        }
        Ok(Self { epoll, ready: Vec::with_capacity(EVENTS_MAX) })
    }

    /// Their places, at least one.
    fn next(&mut self) -> io::Result<impl Iterator<Item = usize> + '_> {
        self.ready.clear();
        epoll::wait(&self.epoll, spare_capacity(&mut self.ready), None)?;
        Ok(self.ready.iter().map(|event| event.data.u64() as usize))
    }
}

/// Bytes of one message that came so far.
struct Coming {
    socket: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

impl Coming {
    fn new(socket: TcpStream, bytes: usize) -> Self {
        Self { socket, buffer: vec![0; bytes], filled: 0 }
    }

    /// `Some(true)` once all of it is there, `None` when the other side has closed.
    fn read(&mut self) -> io::Result<Option<bool>> {
        let Some(rest) = self.buffer.get_mut(self.filled..) else { return Ok(Some(false)) };
        match self.socket.read(rest) {
            Ok(0) => return Ok(None),
            Ok(count) => self.filled += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let is_whole = self.filled == self.buffer.len();
        if is_whole {
            self.filled = 0;
        }
        Ok(Some(is_whole))
    }
}

fn answer(arguments: &Arguments, sockets: Vec<TcpStream>) -> io::Result<Figures> {
    let mut readable = Readable::new(&sockets)?;
    let mut coming: Vec<Coming> =
        sockets.into_iter().map(|socket| Coming::new(socket, arguments.request_bytes)).collect();
    let mut window = Window::new(&arguments.common);
    let mut answers = 0_u64;
    loop {
        for place in readable.next()? {
            let Some(one) = coming.get_mut(place) else { continue };
            match one.read()? {
                Some(true) => {
                    one.socket.write_all(&[0; ANSWER_BYTES])?;
                    answers += 1;
                }
                Some(false) => {}
                None => return Err(io::Error::other("a client has gone")),
            }
        }
        match window.turn() {
            Turn::Begins => answers = 0,
            Turn::Ends => break,
            Turn::WarmsUp | Turn::Counts => {}
        }
    }
    let count = answers as f64;
    Ok(Figures { answers_per_s: count / window.seconds(), us_per_answer: window.cpu_seconds() * 1e6 / count })
}

/// Asks on all connections, and again on each that was answered, until the other side closes.
fn ask(arguments: &Arguments, sockets: Vec<TcpStream>) -> JoinHandle<io::Result<()>> {
    let (cpu, request) = (arguments.client_cpu, vec![1; arguments.request_bytes]);
    std::thread::spawn(move || {
        on_cpu(cpu)?;
        let mut readable = Readable::new(&sockets)?;
        let mut coming: Vec<Coming> =
            sockets.into_iter().map(|socket| Coming::new(socket, ANSWER_BYTES)).collect();
        for one in &mut coming {
            one.socket.write_all(&request)?;
        }
        loop {
            for place in readable.next()? {
                let Some(one) = coming.get_mut(place) else { continue };
                match one.read() {
                    Ok(Some(true)) => match one.socket.write_all(&request) {
                        Ok(()) => {}
                        Err(_) => return Ok(()),
                    },
                    Ok(Some(false)) => {}
                    Ok(None) | Err(_) => return Ok(()),
                }
            }
        }
    })
}

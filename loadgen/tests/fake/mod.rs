//! A broker of a few lines, in memory, that breaks its promises when told to: what a verification must notice.
//!
//! It knows one topic, speaks one version of each API the generator needs, and keeps Kafka's rule of the last five sequences.
mod answer;
mod groups;

use std::collections::{HashMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The topic it serves.
pub(crate) const TOPIC: &str = "events";

/// What it does wrong. Produce requests are counted from 1, over all connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Every so many requests it stores the batch and closes the connection without an answer.
    pub(crate) hang_up_every: Option<u64>,
    /// This request it acknowledges and forgets.
    pub(crate) forget: Option<u64>,
    /// This request it stores twice.
    pub(crate) double: Option<u64>,
    /// This request it stores with its last byte changed.
    pub(crate) spoil: Option<u64>,
    /// Every so many requests it refuses as not the leader.
    pub(crate) refuse_every: Option<u64>,
    /// Before this request it stalls for so many milliseconds, all connections with it.
    pub(crate) stall: Option<(u64, u64)>,
    /// Each request takes it so long, one at a time.
    pub(crate) slow_ms: u64,
    /// Commits are acknowledged and forgotten.
    pub(crate) forget_commits: bool,
    /// Commits are kept so many records further than they said.
    pub(crate) commits_ahead: i64,
    /// From this request on it is gone: closes every connection, accepts none.
    pub(crate) die: Option<u64>,
}

/// Partitions in memory.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) batches: Vec<Vec<u8>>,
    pub(crate) end: i64,
    /// By producer id: base sequence, record count and base offset of the last five batches.
    pub(crate) producers: HashMap<i64, VecDeque<(i32, i32, i64)>>,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) address: SocketAddr,
    pub(crate) faults: Faults,
    pub(crate) logs: Mutex<Vec<Log>>,
    pub(crate) produce_count: AtomicU64,
    pub(crate) producer_ids: AtomicU64,
    pub(crate) groups: groups::Groups,
}

impl Shared {
    pub(crate) fn is_dead(&self) -> bool {
        self.faults.die.is_some_and(|at| self.produce_count.load(Ordering::SeqCst) >= at)
    }
}

/// Starts a broker with so many partitions; it ends with the process.
pub(crate) fn start(partition_count: usize, faults: Faults) -> Arc<Shared> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let shared = Arc::new(Shared {
        address: listener.local_addr().unwrap(),
        faults,
        logs: Mutex::new((0..partition_count).map(|_| Log::default()).collect()),
        produce_count: AtomicU64::new(0),
        producer_ids: AtomicU64::new(1000),
        groups: groups::Groups::default(),
    });
    let accepting = Arc::clone(&shared);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = Arc::clone(&accepting);
            if !shared.is_dead() {
                std::thread::spawn(move || serve(stream, &shared));
            }
        }
    });
    shared
}

/// One connection, until the client leaves or a fault ends it.
fn serve(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    stream.set_nodelay(true).unwrap();
    // A dead broker's connections end, also those that nobody writes to.
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut frame = Vec::new();
    loop {
        let mut length = [0; 4];
        read_all(&mut stream, &mut length, shared)?;
        frame.resize(u32::from_be_bytes(length) as usize, 0);
        read_all(&mut stream, &mut frame, shared)?;
        let reply = answer::answer(&frame, shared)?;
        if !reply.is_empty() {
            stream.write_all(&(reply.len() as u32).to_be_bytes()).ok()?;
            stream.write_all(&reply).ok()?;
        }
    }
}

fn read_all(stream: &mut TcpStream, mut room: &mut [u8], shared: &Shared) -> Option<()> {
    while !room.is_empty() {
        match stream.read(room) {
            Ok(0) => return None,
            Ok(count) => room = &mut room[count..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && !shared.is_dead() => {}
            Err(_) => return None,
        }
    }
    Some(())
}

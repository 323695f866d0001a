//! One acceptor per listener hands sockets to the shards by load.
//!
//! The kernel's own spreading by hash puts a few fat connections on one core and none on another.

use super::connection::Arrival;
use crate::metrics::add;
use crate::route::ShardId;
use crate::shard::Shard;
use glommio::io::PollableFd;
use rustc_hash::FxHashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Request memory that weighs as much as a connection when a shard is chosen.
const LOAD_BYTES: usize = 256 << 10;
/// Pause after an error of the system: out of descriptors, most likely, and waiting lets connections end.
const ERROR_PAUSE: Duration = Duration::from_millis(50);
/// Accepted sockets in a row before other tasks of the core get their turn.
const ACCEPTS_IN_A_ROW: usize = 64;

/// How busy one shard is, as far as its connections go.
#[derive(Debug, Default)]
pub struct Load {
    pub(super) connections: AtomicUsize,
    /// Memory that its requests hold.
    pub request_bytes: AtomicUsize,
    /// How much of the last second its executor worked, in thousandths.
    pub(super) busy_permille: AtomicU32,
    /// Connections of other shards that may move here in this second, and of its own that are to move away.
    pub(super) welcome: AtomicU32,
    pub(super) leaving: AtomicUsize,
}

impl Load {
    fn weight(&self) -> usize {
        self.connections.load(Ordering::Relaxed) + self.request_bytes.load(Ordering::Relaxed) / LOAD_BYTES
    }
}

/// What all acceptors and connections of the broker share. A broker view.
#[derive(Debug, Default)]
pub struct Doors {
    loads: Vec<Arc<Load>>,
    /// Connections of each address.
    addresses: Mutex<FxHashMap<IpAddr, usize>>,
    id_next: AtomicU64,
    is_closed: AtomicBool,
}

/// A connection's place among the limits; given up when dropped, on any core.
#[derive(Debug)]
pub struct Place {
    doors: Arc<Doors>,
    /// The shard that serves it.
    shard: usize,
    address: IpAddr,
}

impl Doors {
    /// Doors to so many shards.
    pub fn new(shard_count: usize) -> Arc<Self> {
        let loads = (0..shard_count).map(|_| Arc::default()).collect();
        Arc::new(Self { loads, ..Self::default() })
    }

    /// The load of one shard.
    ///
    /// # Panics
    /// When there is no such shard.
    pub fn load(&self, shard: ShardId) -> Arc<Load> {
        Arc::clone(&self.loads[shard.0])
    }

    pub(super) fn of(&self, shard: ShardId) -> &Load {
        &self.loads[shard.0]
    }

    /// The shard that worked least in the last second.
    pub(super) fn least_busy(&self) -> Option<ShardId> {
        let busy = |(_, load): &(usize, &Arc<Load>)| load.busy_permille.load(Ordering::Relaxed);
        self.loads.iter().enumerate().min_by_key(busy).map(|(shard, _)| ShardId(shard))
    }

    /// Nobody is let in any more.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    /// A place on the shard that has least to do, unless a limit is reached.
    pub fn enter(self: &Arc<Self>, address: IpAddr, max: usize, max_per_address: usize) -> Option<Place> {
        if self.is_closed.load(Ordering::SeqCst) {
            return None;
        }
        let total: usize = self.loads.iter().map(|load| load.connections.load(Ordering::Relaxed)).sum();
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = addresses.get(&address).copied().unwrap_or(0);
        if total >= max || of_address >= max_per_address {
            return None;
        }
        addresses.insert(address, of_address + 1);
        let (shard, load) = self.loads.iter().enumerate().min_by_key(|(_, load)| load.weight())?;
        load.connections.fetch_add(1, Ordering::Relaxed);
        Some(Place { doors: Arc::clone(self), shard, address })
    }
}

impl Place {
    /// Of all connections.
    pub(super) fn doors(&self) -> &Arc<Doors> {
        &self.doors
    }

    /// The connection is served by another shard from now on.
    pub(super) fn move_to(&mut self, shard: ShardId) {
        self.doors.of(shard).connections.fetch_add(1, Ordering::Relaxed);
        self.doors.loads[self.shard].connections.fetch_sub(1, Ordering::Relaxed);
        self.shard = shard.0;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.doors.loads[self.shard].connections.fetch_sub(1, Ordering::Relaxed);
        let mut addresses = self.doors.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

/// Accepts for one listener.
pub struct Acceptor {
    /// Its place in the configuration.
    pub listener: usize,
    /// Bound.
    pub socket: TcpListener,
    /// Shared by all.
    pub doors: Arc<Doors>,
}

impl Acceptor {
    /// Accepts until `stop` ends; then the port is closed, and who comes is refused by the kernel.
    ///
    /// # Errors
    /// When the ring does not take the socket.
    pub async fn run(self, shard: Rc<Shard>, stop: impl Future<Output = ()>) -> io::Result<()> {
        let Self { listener, socket, doors } = self;
        let socket = PollableFd::new(socket)?;
        let mut stop = pin!(stop);
        loop {
            let stopped = async {
                stop.as_mut().await;
                None
            };
            let readable = async { Some(socket.readable().await) };
            match futures_lite::future::or(stopped, readable).await {
                None => return Ok(()),
                Some(readable) => readable?,
            }
            for _ in 0..ACCEPTS_IN_A_ROW {
                match socket.get_ref().accept() {
                    Ok((stream, peer)) => {
                        hand_over(&shard, &doors, listener, stream, peer.ip().to_canonical());
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        shard.router.sleep(ERROR_PAUSE).await;
                        break;
                    }
                }
            }
            shard.router.yield_if_needed().await;
        }
    }
}

fn hand_over(shard: &Rc<Shard>, doors: &Arc<Doors>, listener: usize, stream: TcpStream, address: IpAddr) {
    let (max, max_per_address) = (shard.config.max_connections, shard.config.max_connections_per_ip);
    let Some(place) = doors.enter(address, max as usize, max_per_address as usize) else {
        add(&shard.metrics.connections_refused, 1);
        tracing::debug!(%address, "a connection is refused: a limit is reached");
        return; // dropped: the client sees it closed
    };
    let id = doors.id_next.fetch_add(1, Ordering::Relaxed);
    let arrival = Arrival { id, listener, address };
    // A shard that has stopped drops socket and place.
    shard.router.tell(ShardId(place.shard), move |shard: Rc<Shard>| async move {
        add(&shard.metrics.connections_total, 1);
        shard.connections.clone().adopt(&shard, stream, arrival, place, Vec::new());
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn connections_go_where_least_is_to_do() {
        let doors = Doors::new(3);
        let mut places: Vec<Place> = (0..6).filter_map(|_| doors.enter(HERE, 100, 100)).collect();
        let mut shards: Vec<usize> = places.iter().map(|place| place.shard).collect();
        shards.sort_unstable();
        assert_eq!(shards, [0, 0, 1, 1, 2, 2]);
        places.retain(|place| place.shard != 1);
        doors.load(ShardId(1)).request_bytes.store(64 * LOAD_BYTES, Ordering::Relaxed);
        let next = doors.enter(HERE, 100, 100).unwrap();
        assert_ne!(next.shard, 1, "few connections, but they hold much");
    }

    #[test]
    fn limits_hold_in_all_and_for_each_address_until_places_are_given_up() {
        let doors = Doors::new(2);
        let other = IpAddr::from([10, 0, 0, 1]);
        let first = doors.enter(HERE, 3, 2).unwrap();
        let _second = doors.enter(HERE, 3, 2).unwrap();
        assert!(doors.enter(HERE, 3, 2).is_none(), "two of this address");
        let _third = doors.enter(other, 3, 2).unwrap();
        assert!(doors.enter(other, 3, 2).is_none(), "three in all");
        drop(first);
        assert!(doors.enter(other, 3, 2).is_some());
        doors.close();
        assert!(doors.enter(HERE, 3, 2).is_none());
    }
}

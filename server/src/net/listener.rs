//! One acceptor for each listener, on shard 0; it hands sockets to the shards by load.
//!
//! The kernel's own spreading by hash puts a few fat connections on one core and none on another.

use super::connection::serve_connection;
use crate::metrics::add;
use crate::route::ShardId;
use crate::shard::Shard;
use glommio::net::TcpListener;
use rustc_hash::FxHashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What all acceptors and connections of the broker share.
#[derive(Default)]
pub struct Doors {
    /// Connections of each shard.
    pub loads: Vec<AtomicUsize>,
    /// Connections of each address.
    addresses: Mutex<FxHashMap<IpAddr, usize>>,
    /// No new connections, no new requests.
    pub closing: AtomicBool,
}

impl Doors {
    /// Doors to so many shards.
    pub fn new(shard_count: usize) -> Self {
        Self { loads: (0..shard_count).map(|_| AtomicUsize::new(0)).collect(), ..Self::default() }
    }

    fn enter(&self, address: IpAddr, max: usize, max_per_address: usize) -> Option<usize> {
        let total: usize = self.loads.iter().map(|load| load.load(Ordering::Relaxed)).sum();
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = addresses.entry(address).or_insert(0);
        if total >= max || *of_address >= max_per_address {
            return None;
        }
        *of_address += 1;
        let loads = self.loads.iter().enumerate();
        let (shard, load) = loads.min_by_key(|(_, load)| load.load(Ordering::Relaxed))?;
        load.fetch_add(1, Ordering::Relaxed);
        Some(shard)
    }

    pub(super) fn leave(&self, shard: usize, address: IpAddr) {
        self.loads[shard].fetch_sub(1, Ordering::Relaxed);
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address);
            }
        }
    }
}

/// Binds an address, failing when another process has it: the runtime's own bind would share the port silently.
///
/// # Errors
/// Those of the system, with the address.
pub fn bind(host: &str, port: u16) -> io::Result<TcpListener> {
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let told = |error: io::Error| io::Error::new(error.kind(), format!("{host}:{port}: {error}"));
    let address: SocketAddr = (host, port)
        .to_socket_addrs()
        .map_err(told)?
        .next()
        .ok_or_else(|| told(io::Error::from(io::ErrorKind::AddrNotAvailable)))?;
    if let Err(error) = std::net::TcpListener::bind(address) {
        // Connections of a broker that ended a moment ago still hold the port, which is no reason to wait for them:
        // only another listener is in the way.
        let in_use = error.kind() == io::ErrorKind::AddrInUse;
        if !in_use || TcpStream::connect(reachable(address)).is_ok() {
            return Err(told(error));
        }
    }
    TcpListener::bind(address).map_err(|error| told(error.into()))
}

/// Where a listener on this address can be reached from this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
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
    /// Accepts until the executor ends.
    pub async fn run(self, shard: Rc<Shard>) {
        loop {
            let accepted = match self.socket.shared_accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: waiting lets connections end.
                    tracing::warn!(%error, "a connection could not be accepted");
                    shard.router.sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (listener, doors) = (self.listener, Arc::clone(&self.doors));
            let peer = accepted.peer_addr();
            let address = peer.map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip());
            let limits = (shard.config.max_connections as usize, shard.config.max_connections_per_ip as usize);
            let entered = if doors.closing.load(Ordering::Relaxed) { None } else { doors.enter(address, limits.0, limits.1) };
            let Some(owner) = entered else {
                add(&shard.metrics.connections_refused, 1);
                drop(accepted.bind_to_executor());
                continue;
            };
            let handed = shard.router.call(ShardId(owner), move |shard: Rc<Shard>| async move {
                let stream = accepted.bind_to_executor();
                let own = Rc::clone(&shard);
                shard.router.spawn("a connection", async move {
                    serve_connection(&own, stream, listener, address, &doors).await;
                    doors.leave(own.id.0, address);
                });
            });
            // Local calls start when polled; a shard that has stopped drops the socket.
            let _ = handed.await;
        }
    }
}

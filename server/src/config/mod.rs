//! What may be set, and what it is set to.
//!
//! One field per key, named as Kafka names the key, dots as underscores.

use std::path::PathBuf;

/// An address that clients are told, or one that is listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// One entry of `listeners` with its `advertised.listeners` entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `PLAINTEXT` or a name of the operator's.
    pub name: String,
    /// Where it listens.
    pub bind: Endpoint,
    /// What clients are told.
    pub advertised: Endpoint,
}

/// Everything that was set, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// `listeners` and `advertised.listeners`.
    pub listeners: Vec<Listener>,
    /// `node.id`.
    pub node_id: i32,
    /// `log.dirs`.
    pub log_dirs: Vec<PathBuf>,
    /// CPUs to run one executor on, each.
    pub cpus: Vec<usize>,
    /// `socket.request.max.bytes`.
    pub socket_request_max_bytes: usize,
    /// `connections.max.idle.ms`; negative: never.
    pub connections_max_idle_ms: i64,
    /// `max.connections`.
    pub max_connections: usize,
    /// `max.connections.per.ip`.
    pub max_connections_per_ip: usize,
    /// `max.incremental.fetch.session.cache.slots`.
    pub max_incremental_fetch_session_cache_slots: usize,
    /// `fetch.max.bytes`.
    pub fetch_max_bytes: i32,
    /// Memory for requests, all cores together.
    pub queued_max_request_bytes: usize,
}

impl Config {
    /// The address that clients of a listener are told.
    ///
    /// # Panics
    /// When there is no such listener.
    pub fn advertised(&self, listener: usize) -> &Endpoint {
        &self.listeners[listener].advertised
    }
}

impl Default for Config {
    fn default() -> Self {
        let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port: 9092 };
        Self {
            listeners: vec![Listener {
                name: "PLAINTEXT".to_owned(),
                bind: endpoint.clone(),
                advertised: endpoint,
            }],
            node_id: 1,
            log_dirs: vec![PathBuf::from("./data")],
            cpus: vec![0, 1],
            socket_request_max_bytes: 100 << 20,
            connections_max_idle_ms: 600_000,
            max_connections: usize::MAX,
            max_connections_per_ip: usize::MAX,
            max_incremental_fetch_session_cache_slots: 1000,
            fetch_max_bytes: 55 << 20,
            queued_max_request_bytes: 512 << 20,
        }
    }
}

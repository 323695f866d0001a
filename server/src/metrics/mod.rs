//! What is happening?
//!
//! Each shard counts for itself; a scrape on any core adds up and prints.

mod http;
mod render;

pub use http::{Health, respond};

use crate::wire::{ApiKey, ErrorCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use thalweg_engine::shard::{EngineStats, Latency};

/// APIs by their place in `ApiKey::ALL`.
const APIS_MAX: usize = 32;
/// Error codes -1 to 126.
const ERRORS_MAX: usize = 128;

/// Counters of one shard. Written by it alone, read by anybody.
pub struct ShardMetrics {
    requests: [AtomicU64; APIS_MAX],
    latency: [Latency; APIS_MAX],
    errors: [AtomicU64; ERRORS_MAX],
    /// From a frame's arrival to the start of its work.
    pub queue: Latency,
    /// From an answer's readiness to its last byte in the socket.
    pub answer: Latency,
    /// Bytes read from clients.
    pub request_bytes: AtomicU64,
    /// Bytes written to clients.
    pub response_bytes: AtomicU64,
    /// Reads of sockets that brought bytes.
    pub socket_reads: AtomicU64,
    /// Writes of sockets that took bytes.
    pub socket_writes: AtomicU64,
    /// Connections open now.
    pub connections: AtomicI64,
    /// Connections taken since the start.
    pub connections_total: AtomicU64,
    /// Connections refused for a limit.
    pub connections_refused: AtomicU64,
    /// Connections closed for something wrong.
    pub connections_failed: AtomicU64,
    /// Panics caught.
    pub panics: AtomicU64,
    /// Memory that requests hold.
    pub request_memory: AtomicI64,
    /// Fetch sessions kept.
    pub fetch_sessions: AtomicI64,
    /// What the engine counts.
    pub engine: Arc<EngineStats>,
}

impl ShardMetrics {
    /// All zero.
    pub fn new(engine: Arc<EngineStats>) -> Self {
        Self {
            requests: std::array::from_fn(|_| AtomicU64::new(0)),
            latency: std::array::from_fn(|_| Latency::default()),
            errors: std::array::from_fn(|_| AtomicU64::new(0)),
            queue: Latency::default(),
            answer: Latency::default(),
            request_bytes: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            socket_reads: AtomicU64::new(0),
            socket_writes: AtomicU64::new(0),
            connections: AtomicI64::new(0),
            connections_total: AtomicU64::new(0),
            connections_refused: AtomicU64::new(0),
            connections_failed: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            request_memory: AtomicI64::new(0),
            fetch_sessions: AtomicI64::new(0),
            engine,
        }
    }

    /// Counts a request that was answered.
    pub fn request(&self, api: ApiKey, duration: Duration) {
        if let Some(at) = ApiKey::ALL.iter().position(|known| *known == api) {
            self.requests[at].fetch_add(1, Ordering::Relaxed);
            self.latency[at].record(duration);
        }
    }

    /// Counts an error that was answered.
    pub fn error(&self, code: ErrorCode) {
        if code != ErrorCode::None {
            if let Some(counter) = self.errors.get((code as i16 + 1) as usize) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Adds to a counter.
pub fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

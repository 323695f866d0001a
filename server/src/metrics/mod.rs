//! What is happening?
//!
//! Each shard counts for itself, in plain atomics that it alone writes; a scrape on any core reads and prints them.
//! ```text
//! names    every metric: name, kind, help, where its numbers are
//! render   Prometheus' text format
//! http     /metrics, /health and /ready: request bytes in, answer bytes out
//! ```

mod http;
mod names;
mod render;

pub use http::{Health, respond};
pub use names::{Kind, Metric, metrics, reference};

use crate::wire::{ApiKey, ErrorCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use thalweg_engine::shard::{EngineStats, Latency};

/// Versions of one API that are told apart; higher ones count as the last.
const VERSIONS_MAX: usize = 32;
/// Numbers that requests have.
const API_CODES_MAX: usize = 128;
/// Error codes -1 to 254.
const ERRORS_MAX: usize = 256;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The client closed it between two requests.
    Ended,
    /// The client closed it within a request.
    Cut,
    /// The socket failed.
    Broken,
    /// Its bytes are no requests.
    Malformed,
    /// A request that has no answer.
    Refused,
    /// No request for `connections.max.idle.ms`.
    Idle,
    /// Answers were not read.
    Unread,
    /// A frame did not go on while others waited for memory.
    Stalled,
    /// The broker stops.
    Stopping,
    /// A request panicked.
    Panicked,
}

impl Closed {
    /// All reasons with their names in metrics.
    const ALL: [(Self, &str); 10] = [
        (Self::Ended, "ended"),
        (Self::Cut, "cut"),
        (Self::Broken, "broken"),
        (Self::Malformed, "malformed"),
        (Self::Refused, "refused"),
        (Self::Idle, "idle"),
        (Self::Unread, "unread"),
        (Self::Stalled, "stalled"),
        (Self::Stopping, "stopping"),
        (Self::Panicked, "panicked"),
    ];
}

/// What a shard may use, printed beside what it uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShardLimits {
    /// Memory of requests.
    pub request_bytes: usize,
    /// Memory of tails.
    pub tail_bytes: usize,
    /// Memory of pages read from segments.
    pub cache_bytes: usize,
    /// Memory of groups' members and offsets.
    pub group_bytes: usize,
    /// Length of a journal file.
    pub journal_file_bytes: u64,
    /// Journal files in all its directories.
    pub journal_files: usize,
}

/// Requests of one API.
struct ApiMetrics {
    versions: [AtomicU64; VERSIONS_MAX],
    latency: Latency,
}

/// Counters of one shard. Written by it alone, read by anybody.
pub struct ShardMetrics {
    /// By place in `ApiKey::ALL`.
    apis: Vec<ApiMetrics>,
    /// Place in `ApiKey::ALL` by number.
    places: [u8; API_CODES_MAX],
    errors: [AtomicU64; ERRORS_MAX],
    closed: [AtomicU64; Closed::ALL.len()],
    limits: ShardLimits,
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
    /// Connections that moved here from another core.
    pub connections_moved: AtomicU64,
    /// Connections refused for a limit.
    pub connections_refused: AtomicU64,
    /// Connections closed for something wrong.
    pub connections_failed: AtomicU64,
    /// Panics caught.
    pub panics: AtomicU64,
    /// Memory that requests hold.
    pub request_memory: AtomicI64,
    /// Memory that groups hold.
    pub group_memory: AtomicI64,
    /// Fetch sessions kept.
    pub fetch_sessions: AtomicI64,
    /// What the engine counts.
    pub engine: Arc<EngineStats>,
}

impl ShardMetrics {
    /// All zero.
    pub fn new(engine: Arc<EngineStats>, limits: ShardLimits) -> Self {
        let mut places = [u8::MAX; API_CODES_MAX];
        for (at, api) in ApiKey::ALL.iter().enumerate() {
            if let Some(place) = places.get_mut(api.code() as usize) {
                *place = at as u8;
            }
        }
        let api = || ApiMetrics {
            versions: std::array::from_fn(|_| AtomicU64::new(0)),
            latency: Latency::default(),
        };
        Self {
            apis: ApiKey::ALL.iter().map(|_| api()).collect(),
            places,
            errors: std::array::from_fn(|_| AtomicU64::new(0)),
            closed: std::array::from_fn(|_| AtomicU64::new(0)),
            limits,
            queue: Latency::default(),
            answer: Latency::default(),
            request_bytes: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            socket_reads: AtomicU64::new(0),
            socket_writes: AtomicU64::new(0),
            connections: AtomicI64::new(0),
            connections_total: AtomicU64::new(0),
            connections_moved: AtomicU64::new(0),
            connections_refused: AtomicU64::new(0),
            connections_failed: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            request_memory: AtomicI64::new(0),
            group_memory: AtomicI64::new(0),
            fetch_sessions: AtomicI64::new(0),
            engine,
        }
    }

    /// Counts a request that was answered, `duration` after its last byte had come.
    pub fn request(&self, api: ApiKey, version: i16, duration: Duration) {
        let place = self.places.get(api.code() as usize).copied().map_or(usize::MAX, usize::from);
        if let Some(api) = self.apis.get(place) {
            let version = usize::try_from(version).unwrap_or(0).min(VERSIONS_MAX - 1);
            add(&api.versions[version], 1);
            api.latency.record(duration);
        }
    }

    /// Counts an error that was answered.
    pub fn error(&self, code: ErrorCode) {
        if code != ErrorCode::None {
            if let Some(counter) = self.errors.get((code as i16 + 1) as usize) {
                add(counter, 1);
            }
        }
    }

    /// Counts a connection that ended.
    pub fn closed(&self, reason: Closed) {
        add(&self.closed[reason as usize], 1);
    }
}

/// Adds to a counter.
pub fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_api_error_and_reason_has_a_place() {
        let metrics = ShardMetrics::new(Arc::default(), ShardLimits::default());
        for api in ApiKey::ALL {
            for version in [-1, 0, 31, i16::MAX] {
                metrics.request(*api, version, Duration::ZERO);
            }
        }
        assert!(metrics.apis.iter().all(|api| api.versions[0].load(Ordering::Relaxed) == 2));
        for code in ErrorCode::ALL {
            metrics.error(*code);
        }
        let counted: u64 = metrics.errors.iter().map(|counter| counter.load(Ordering::Relaxed)).sum();
        assert_eq!(counted as usize, ErrorCode::ALL.len() - 1);
        for (at, (reason, _)) in Closed::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
            metrics.closed(reason);
        }
    }
}

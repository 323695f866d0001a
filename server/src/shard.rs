//! What does one core have?

use crate::config::Config;
use crate::route::{Router, ShardId};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use thalweg_engine::shard::Engine;
use thalweg_engine::units::Timestamp;

/// Everything that belongs to one core: its logs, its connections' state, its way to the other cores.
///
/// One `Rc` per executor, made at its start, dropped after its stop; never leaves it. Other cores reach it by
/// `Router::call` only.
pub struct Shard {
    /// Which one it is.
    pub id: ShardId,
    /// How many there are.
    pub shard_count: usize,
    /// What was set. A broker view.
    pub config: Arc<Config>,
    /// The logs of this shard.
    pub engine: Engine,
    /// The way to the other shards.
    pub router: Router,
    /// When the broker started: the same on all shards.
    pub start: Instant,
}

impl Shard {
    /// Milliseconds since 1970, as records and answers carry them.
    pub fn now(&self) -> Timestamp {
        Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as i64))
    }
}

//! What one core has at hand to answer requests.

use crate::api::fetch_sessions::FetchSessions;
use crate::api::groups::Groups;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::metrics::ShardMetrics;
use crate::net::Connections;
use crate::route::{Router, ShardId};
use std::cell::RefCell;
use std::sync::Arc;
use thalweg_engine::shard::Engine;
use thalweg_engine::units::Timestamp;

/// Everything of one shard. Owned by its executor, never leaves it.
pub struct Shard {
    /// Its number.
    pub id: ShardId,
    /// How many there are.
    pub shard_count: usize,
    /// The broker's configuration.
    pub config: Arc<Config>,
    /// Its logs.
    pub engine: Engine,
    /// Topics and partitions.
    pub cluster: Cluster,
    /// Groups whose partition it owns.
    pub groups: Groups,
    /// Fetch sessions of its connections.
    pub sessions: RefCell<FetchSessions>,
    /// The way to other shards.
    pub router: Router,
    /// What it counts.
    pub metrics: Arc<ShardMetrics>,
    /// Its connections and the memory their requests may hold.
    pub connections: Connections,
    /// Identity of the cluster, kept in the log directories.
    pub cluster_id: String,
}

impl Shard {
    /// The wall clock.
    pub fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp(since.map_or(0, |since| since.as_millis() as i64))
    }
}

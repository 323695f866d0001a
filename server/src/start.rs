//! Starting and stopping: recover the directories once, one executor per core, rooms in order; the reverse to stop.

use crate::api::fetch_sessions::FetchSessions;
use crate::api::groups::Groups;
use crate::cluster::{Cluster, View};
use crate::config::Config;
use crate::coordinator::Clock;
use crate::group::GroupSettings;
use crate::metrics::{Health, ShardLimits, ShardMetrics};
use crate::net::{Budget, Connections, Doors};
use crate::route::{Paths, Router, ShardId};
use crate::shard::Shard;
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use thalweg_engine::batch::Codec;
use thalweg_engine::shard::{Engine, EngineSettings};

/// With less, one core's requests and tails have no room for a few large batches.
const EACH_BYTES_MIN: usize = 32 << 20;

/// Memory of the broker by purpose, each for one core.
#[derive(Clone, Copy, Debug)]
pub struct MemoryPlan {
    /// Requests on their way in.
    pub requests: usize,
    /// The logs' tails.
    pub tails: usize,
    /// Pages read from segments.
    pub cache: usize,
}

impl MemoryPlan {
    /// Shares out `thalweg.memory.bytes`: a quarter of the machine's when it is 0, between 256 MiB and 4 GiB.
    ///
    /// # Errors
    /// When a core's part is too small to work with.
    pub fn of(config: &Config, machine_bytes: u64, shard_count: usize) -> Result<Self, String> {
        let chosen = match config.thalweg_memory_bytes {
            0 => (machine_bytes / 4).clamp(256 << 20, 4 << 30),
            bytes => bytes as u64,
        };
        let each = (chosen / shard_count.max(1) as u64) as usize;
        if each < EACH_BYTES_MIN {
            return Err(format!(
                "thalweg.memory.bytes comes to {} MiB, {} MiB for each of {shard_count} cores, and {} are needed: raise it, or run on fewer with --cores",
                chosen >> 20,
                each >> 20,
                EACH_BYTES_MIN >> 20
            ));
        }
        let requests = match config.queued_max_request_bytes {
            bytes if bytes > 0 => bytes as usize,
            _ => each / 4,
        };
        Ok(Self { requests, tails: each / 2, cache: each / 4 })
    }
}

/// What the engine is told.
pub fn engine_settings(config: &Config, memory: MemoryPlan, files_max: u64) -> EngineSettings {
    EngineSettings {
        directories: config.log_dirs.iter().map(PathBuf::from).collect(),
        journal_file_bytes: config.thalweg_journal_file_bytes,
        journal_files_max: config.thalweg_journal_files_max,
        commit_bytes_max: config.thalweg_commit_bytes_max,
        large_run_bytes: config.thalweg_large_run_bytes,
        write_back_bytes_per_s: config.thalweg_write_back_bytes_per_s,
        tail_memory_bytes: memory.tails,
        cache_bytes: memory.cache,
        producer_expiration_ms: i64::from(config.producer_id_expiration_ms),
        retention_delay_ms: config.log_initial_task_delay_ms as u64,
        retention_check_ms: config.log_retention_check_interval_ms as u64,
        cold_bytes_per_s_min: config.thalweg_cold_read_min_bytes_per_s,
        scrub_bytes_per_s: config.thalweg_scrub_bytes_per_s,
        scrub_interval_ms: config.thalweg_scrub_interval_ms,
        open_files_max: (files_max / 2 / config.thalweg_cores.count().max(1) as u64).clamp(256, 50_000)
            as usize,
        ..EngineSettings::default()
    }
}

fn group_settings(config: &Config) -> GroupSettings {
    GroupSettings {
        session_timeout_ms_min: config.group_min_session_timeout_ms,
        session_timeout_ms_max: config.group_max_session_timeout_ms,
        initial_rebalance_delay_ms: config.group_initial_rebalance_delay_ms,
        members_max: config.group_max_size as usize,
        offset_metadata_bytes_max: config.offset_metadata_max_bytes.max(0) as usize,
        offsets_retention_ms: i64::from(config.offsets_retention_minutes) * 60_000,
        offsets_check_interval_ms: config.offsets_retention_check_interval_ms as u64,
        groups_max: config.thalweg_groups_max,
        bytes_max: config.thalweg_groups_bytes_max,
        ..GroupSettings::default()
    }
}

fn offsets_codec(config: &Config) -> Codec {
    Codec::from_number(config.offsets_topic_compression_codec).unwrap_or(Codec::None)
}

/// What all shards are made of.
#[derive(Clone)]
pub struct Parts {
    /// Checked.
    pub config: Arc<Config>,
    /// Of `meta.properties`.
    pub cluster_id: String,
    /// Memory of each shard.
    pub memory: MemoryPlan,
    /// Between the shards.
    pub paths: Paths,
    /// What connections share.
    pub doors: Arc<Doors>,
    /// Where the image is published.
    pub view: View,
    /// The broker's start.
    pub start: Instant,
    /// What probes are told.
    pub health: Arc<Health>,
}

/// Makes a shard around its engine.
pub fn make_shard(id: ShardId, engine: Engine, parts: &Parts) -> Rc<Shard> {
    let router = Router::new(id, parts.paths.clone());
    let shard_count = parts.paths.shard_count();
    let sessions_max =
        (parts.config.max_incremental_fetch_session_cache_slots as usize).div_ceil(shard_count);
    let groups = group_settings(&parts.config);
    let limits = ShardLimits {
        request_bytes: parts.memory.requests,
        tail_bytes: parts.memory.tails,
        cache_bytes: parts.memory.cache,
        group_bytes: groups.bytes_max,
        journal_file_bytes: parts.config.thalweg_journal_file_bytes,
        journal_files: parts.config.thalweg_journal_files_max * parts.config.log_dirs.len(),
    };
    let metrics = Arc::new(ShardMetrics::new(engine.stats(), limits));
    let (load, held) = (parts.doors.load(id), Arc::clone(&metrics));
    let budget = Budget::new(parts.memory.requests, move |bytes| {
        load.request_bytes.store(bytes, Ordering::Relaxed);
        held.request_memory.store(bytes as i64, Ordering::Relaxed);
    });
    let shard = Rc::new(Shard {
        id,
        shard_count,
        config: Arc::clone(&parts.config),
        metrics,
        cluster: Cluster::new(parts.view.clone()),
        groups: Groups::new(engine.clone(), Clock::since(parts.start), groups, offsets_codec(&parts.config)),
        sessions: RefCell::new(FetchSessions::new(sessions_max)),
        router: router.clone(),
        connections: Connections::new(budget),
        cluster_id: parts.cluster_id.clone(),
        engine,
    });
    router.attach(&shard);
    shard
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shared_out_to_the_cores_until_one_has_too_little() {
        let config = Config::of(std::collections::BTreeMap::new()).unwrap();
        let plan = MemoryPlan::of(&config, 8 << 30, 2).unwrap();
        assert_eq!((plan.requests, plan.tails, plan.cache), (256 << 20, 512 << 20, 256 << 20));
        assert!(MemoryPlan::of(&config, 64 << 30, 128).is_ok());
        let refused = MemoryPlan::of(&config, 64 << 30, 300).unwrap_err();
        assert!(refused.contains("13 MiB for each of 300 cores, and 32 are needed"), "{refused}");
    }
}

//! What an engine is given at start.

use std::path::PathBuf;

/// Limits and sizes of one shard's engine; the same on every shard.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// The log directories, each with its own journals.
    pub directories: Vec<PathBuf>,
    /// Length of a journal file. At least 16 MiB.
    pub journal_file_bytes: u64,
    /// Journal files per shard and directory, at most. At least 4.
    pub journal_files_max: usize,
    /// Payload of one commit, at most.
    pub commit_bytes_max: usize,
    /// Entries of one commit, at most: their table stays below a quarter of the largest commit.
    pub commit_entries_max: usize,
    /// What one log's state and its copied tail may add to a commit: kept free at the end of each journal file.
    pub state_bytes_max: usize,
    /// A log that staged more than this writes its blocks straight to its segment.
    pub large_run_bytes: u64,
    /// Bound of write-back while the journal is not short of space; 0 is none.
    pub write_back_bytes_per_s: u64,
    /// Memory of the logs' tails on one shard.
    pub tail_memory_bytes: usize,
    /// Memory for pages read from segments on one shard.
    pub cache_bytes: usize,
    /// What one compressed batch may unfold to; more where its topic allows batches of which that is no 64 times.
    pub unpacked_bytes_max: usize,
    /// `producer.id.expiration.ms`.
    pub producer_expiration_ms: i64,
    /// Idempotent producers that the logs of one shard and directory remember, at most.
    pub producers_max: usize,
    /// `log.retention.check.interval.ms`: pause between looks for segments that have expired.
    pub retention_check_ms: u64,
    /// `log.initial.task.delay.ms`: the first look comes that long after the start.
    pub retention_delay_ms: u64,
    /// Bytes that one shard's scrubber reads of its segments in a second; 0 turns it off.
    pub scrub_bytes_per_s: u64,
    /// From the start of one pass of the scrubber to that of the next. The first one begins after `retention_delay_ms`.
    pub scrub_interval_ms: u64,
    /// Bytes a second that readers of old records get on one shard whatever appends need.
    pub cold_bytes_per_s_min: u64,
    /// Open files of segments on one shard, at most.
    pub open_files_max: usize,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            directories: Vec::new(),
            journal_file_bytes: 64 << 20,
            journal_files_max: 8,
            commit_bytes_max: 4 << 20,
            commit_entries_max: 8192,
            state_bytes_max: 4 << 20,
            large_run_bytes: 256 << 10,
            write_back_bytes_per_s: 256 << 20,
            tail_memory_bytes: 256 << 20,
            cache_bytes: 128 << 20,
            unpacked_bytes_max: 64 << 20,
            producer_expiration_ms: 86_400_000,
            producers_max: 250_000,
            retention_check_ms: 300_000,
            retention_delay_ms: 30_000,
            scrub_bytes_per_s: 16 << 20,
            scrub_interval_ms: 7 * 86_400_000,
            cold_bytes_per_s_min: 32 << 20,
            open_files_max: 4096,
        }
    }
}

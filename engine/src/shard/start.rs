//! From files to engines: recover every directory once, split what was found among the shards, start each.

use super::directory::{Directory, Gates, Journal, OpenFiles};
use super::engine::Engine;
use super::keeper::Keeper;
use super::recovery::{RecoveryError, recover_directory};
use super::scrub::{Scrub, ScrubPace};
use super::settings::EngineSettings;
use super::signal::{Done, Signal};
use super::stats::EngineStats;
use super::upkeep::Upkeep;
use crate::io::{Disk, PageCache, keep_spare_chunks};
use crate::journal::{CommitHead, FileSeq, JournalEnd, RecoveredLog, StartId};
use crate::log::{LogIdentity, LogSettings, PartitionLog};
use crate::units::{LogId, Timestamp};
use rustc_hash::FxHashMap;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

/// Memory of tails that a shard keeps for the next ones.
const SPARE_BYTES_MAX: usize = 64 << 20;

/// Why a shard could not start on what was recovered.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The first commit of the start could not be written.
    #[error("the journal of {directory} cannot be written: {source}")]
    Journal {
        /// The log directory.
        directory: String,
        /// The system's word.
        #[source]
        source: io::Error,
    },
}

/// Everything the log directories hold, in memory, before it is split.
pub struct Recovered {
    /// The last stop was not clean: leader epochs must rise before the first append.
    pub unclean: bool,
    /// Logs that are known.
    pub logs: Vec<LogIdentity>,
    /// Ids of logs that were deleted, as far as the journals still say.
    pub deleted: Vec<LogId>,
    /// Ids of logs of which the journals hold bytes but no longer the state: damaged, and never to be made anew.
    pub nameless: Vec<LogId>,
    /// Directories of partitions that no journal knows: kept aside, never touched.
    pub unknown: Vec<String>,
    directories: Vec<DirectoryShare>,
}

struct DirectoryShare {
    keeper: Arc<Keeper>,
    logs: Vec<RecoveredLog>,
    older: Vec<(StartId, u32, u64)>,
    /// Those of `older` that stay.
    rescues: Vec<(StartId, u32, u64)>,
}

/// One shard's part of what was recovered.
pub struct Share {
    shard: usize,
    shard_count: usize,
    directories: Vec<DirectoryShare>,
}

/// Reads the journals of every directory; `disks` are the directories of `settings`, in order.
///
/// # Errors
/// `RecoveryError` says which directory, why, and what to do.
pub async fn recover<D: Disk>(
    disks: &[D],
    settings: &EngineSettings,
    shard_count: usize,
    now: Timestamp,
) -> Result<Recovered, RecoveryError> {
    let mut recovered = Recovered {
        unclean: false,
        logs: Vec::new(),
        deleted: Vec::new(),
        nameless: Vec::new(),
        unknown: Vec::new(),
        directories: Vec::new(),
    };
    for (disk, path) in disks.iter().zip(&settings.directories) {
        let name = path.display().to_string();
        let found = recover_directory(disk, &name, settings, shard_count, now).await?;
        recovered.unclean |= found.unclean;
        recovered.logs.extend(found.logs.iter().map(|log| log.state.identity.clone()));
        recovered.deleted.extend(found.deleted);
        recovered.nameless.extend(found.nameless);
        recovered.unknown.extend(found.unknown.iter().map(|unknown| format!("{name}/{unknown}")));
        let name_ends =
            |ends: &[JournalEnd]| ends.iter().map(|end| (end.start, end.shard, end.sequence)).collect();
        let older = name_ends(&found.ends);
        let rescues = name_ends(found.rescue.as_slice());
        recovered.directories.push(DirectoryShare { keeper: found.keeper, logs: found.logs, older, rescues });
    }
    Ok(recovered)
}

impl Recovered {
    /// Gives each log to its owner.
    pub fn split(self, shard_count: usize, owner: impl Fn(&LogIdentity) -> usize) -> Vec<Share> {
        let mut shares: Vec<Share> =
            (0..shard_count).map(|shard| Share { shard, shard_count, directories: Vec::new() }).collect();
        for directory in self.directories {
            for share in &mut shares {
                share.directories.push(DirectoryShare {
                    keeper: Arc::clone(&directory.keeper),
                    logs: Vec::new(),
                    older: directory.older.clone(),
                    rescues: directory.rescues.clone(),
                });
            }
            for log in directory.logs {
                let shard = owner(&log.state.identity).min(shard_count - 1);
                if let Some(own) = shares[shard].directories.last_mut() {
                    own.logs.push(log);
                }
            }
        }
        shares
    }
}

impl<D: Disk> Engine<D> {
    /// Starts a shard: its logs are served as soon as its journals hold their first tables, synced.
    ///
    /// `disks` are this executor's own, in the order of `settings.directories`.
    ///
    /// # Errors
    /// When a journal cannot be written.
    pub async fn start(disks: Vec<D>, settings: EngineSettings, share: Share) -> Result<Self, StartError> {
        let settings = Rc::new(settings);
        keep_spare_chunks((settings.tail_memory_bytes / 8).min(SPARE_BYTES_MAX));
        let stats = Arc::new(EngineStats::default());
        let cache = Rc::new(RefCell::new(PageCache::new(settings.cache_bytes)));
        let tail_memory = Rc::new(Cell::new(0));
        let segment_number = Rc::new(Cell::new(0));
        let gates = Rc::new(Gates::default());
        let pace = ScrubPace::new(share.directories.len());
        let mut directories = Vec::new();
        for (disk, own) in disks.into_iter().zip(share.directories) {
            let upkeep = Upkeep::begin(disk.now(), &settings);
            let scrub = Scrub::begin(disk.now(), &settings, directories.len(), &pace);
            let directory = Rc::new(Directory {
                disk,
                settings: Rc::clone(&settings),
                journal: RefCell::new(first_journal(own.keeper.start, share.shard, own.older, own.rescues)),
                keeper: own.keeper,
                shard_count: share.shard_count as u64,
                logs: RefCell::default(),
                queue: RefCell::default(),
                commit_wanted: Signal::default(),
                lap_wanted: Signal::default(),
                space_freed: Signal::default(),
                memory_freed: Signal::default(),
                closing: Cell::new(false),
                runs: Cell::new(0),
                tasks: Rc::default(),
                commit_loop_done: Done::default(),
                lap_loop_done: Done::default(),
                open_files: RefCell::new(OpenFiles::new(settings.open_files_max)),
                unsynced: Cell::new(0),
                tail_memory: Rc::clone(&tail_memory),
                cache: Rc::clone(&cache),
                pages_coming: RefCell::default(),
                stats: Arc::clone(&stats),
                gates: Rc::clone(&gates),
                root_changes: Cell::new(0),
                root_synced: Cell::new(0),
                indexes: RefCell::default(),
                producers: Cell::new(0),
                releasable: RefCell::default(),
                upkeep,
                scrub,
                segment_number: Rc::clone(&segment_number),
            });
            adopt(&directory, own.logs);
            let first = directory.begin_file().await.and_then(|begun| match begun {
                true => Ok(()),
                false => Err(io::ErrorKind::StorageFull.into()),
            });
            let name = settings.directories.get(directories.len());
            first.map_err(|source| StartError::Journal {
                directory: name.map(|path| path.display().to_string()).unwrap_or_default(),
                source,
            })?;
            directory.disk.spawn(false, guarded(Rc::clone(&directory), Rc::clone(&directory).commit_loop()));
            directory
                .disk
                .spawn(true, guarded(Rc::clone(&directory), Rc::clone(&directory).write_back_loop()));
            directory.lap_wanted.set();
            directories.push(directory);
        }
        Ok(Self::of(directories, settings, stats))
    }
}

/// A journal of which nothing is written yet.
fn first_journal<D: Disk>(
    start: StartId,
    shard: usize,
    older: Vec<(StartId, u32, u64)>,
    rescues: Vec<(StartId, u32, u64)>,
) -> Journal<D> {
    Journal {
        current: None,
        used: VecDeque::new(),
        head: CommitHead { start, shard: shard as u32, sequence: 1, known_synced: 0 },
        file_seq_next: 1,
        needs_old: !older.is_empty(),
        older,
        rescues,
        deleted: Vec::new(),
    }
}

/// A panic in a loop stops the directory: an append that nobody will answer must not wait for ever.
pub(super) async fn guarded<D: Disk>(directory: Rc<Directory<D>>, work: impl Future<Output = ()>) {
    use futures_lite::FutureExt;
    if std::panic::AssertUnwindSafe(work).catch_unwind().await.is_err() {
        directory.fail("a loop of the engine panicked", &io::Error::other("see the log"));
        directory.commit_loop_done.set();
        directory.lap_loop_done.set();
    }
}

fn adopt<D: Disk>(directory: &Rc<Directory<D>>, recovered: Vec<RecoveredLog>) {
    let (mut memory, mut producers) = (0, 0);
    let mut logs: FxHashMap<LogId, _> = FxHashMap::default();
    for found in recovered {
        let log_id = found.state.identity.log_id;
        if let Some(fault) = &found.fault {
            let identity = &found.state.identity;
            tracing::error!(
                topic = identity.topic,
                partition = identity.partition,
                fault,
                "log fenced: it stays offline"
            );
        }
        let mut log = PartitionLog::new(found, LogSettings::default(), || directory.segment_number());
        let now = Timestamp(directory.disk.wall_ms() as i64);
        log.segments.iter_mut().for_each(|segment| segment.touched = now);
        log.is_older = true;
        producers += log.producer_count();
        for at in 0..log.segments.len() {
            let tail = &log.segments[at].tail;
            memory += tail.memory_bytes();
            if tail.written_end() < tail.staged_end() {
                log.pins.add(FileSeq(0), log.segments[at].base, tail.staged_end());
            }
        }
        logs.insert(log_id, Rc::new(RefCell::new(log)));
    }
    directory.producers.set(producers);
    *directory.logs.borrow_mut() = logs;
    directory.count_memory(memory, 0);
    directory.upkeep.look_at(directory.logs.borrow().keys());
}

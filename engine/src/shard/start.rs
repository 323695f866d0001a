//! From files to engines: recover every directory once, split what was found among the shards, start each.

use super::cold::ColdShare;
use super::directory::{Directory, Gates, Journal, Memory, OpenFiles};
use super::engine::Engine;
use super::keeper::Keeper;
use super::lazy::Timetable;
use super::new_files::WantedFiles;
use super::recovery::{RecoveredDirectory, RecoveryError, recover_directory};
use super::roster::{Roster, found_twice};
use super::scrub::{Scrub, ScrubPace};
use super::settings::EngineSettings;
use super::signal::{Done, Signal};
use super::states::StatesAhead;
use super::stats::EngineStats;
use super::upkeep::Upkeep;
use crate::io::{Disk, PageCache, is_full, keep_spare_chunks};
use crate::journal::{CommitHead, FileSeq, JournalEnd, RecoveredLog, StartId};
use crate::log::{LogIdentity, LogSettings, PartitionLog};
use crate::units::{LogId, Timestamp};
use rustc_hash::FxHashMap;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
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
    /// There is no free journal file, and no room to make one.
    #[error(
        "the disk of {directory} is full: {} MiB are needed for the first journals. Make room and start again, or start on as many cores as before",
        bytes_needed.div_ceil(1 << 20)
    )]
    Full {
        /// The log directory.
        directory: String,
        /// A journal file for each shard.
        bytes_needed: u64,
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
    /// Log directories that cannot be used, by their place in `EngineSettings::directories`, and why.
    pub absent: BTreeMap<usize, String>,
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
    roster: Arc<Roster>,
}

/// Reads the journals of every directory; `disks` are the directories of `settings`, in order. One that cannot be used is
/// left out as long as another can: nothing is made in it, its logs are unknown to this start.
///
/// # Errors
/// `RecoveryError` says which directory, why, and what to do: that of the first one, when none can be used.
pub async fn recover<D: Disk>(
    disks: &[D],
    settings: &EngineSettings,
    shard_count: usize,
    now: Timestamp,
) -> Result<Recovered, RecoveryError> {
    recover_without(disks, settings, BTreeMap::new(), shard_count, now).await
}

/// The same, where some directories are known not to be usable, by their place, and why: they are not touched.
///
/// # Errors
/// As `recover`.
pub async fn recover_without<D: Disk>(
    disks: &[D],
    settings: &EngineSettings,
    absent: BTreeMap<usize, String>,
    shard_count: usize,
    now: Timestamp,
) -> Result<Recovered, RecoveryError> {
    let mut recovered = Recovered {
        unclean: false,
        logs: Vec::new(),
        deleted: Vec::new(),
        nameless: Vec::new(),
        unknown: Vec::new(),
        absent,
        directories: Vec::new(),
    };
    let mut first_error = None;
    for (at, (disk, path)) in disks.iter().zip(&settings.directories).enumerate() {
        let name = path.display().to_string();
        if let Some(reason) = recovered.absent.get(&at) {
            recovered.directories.push(DirectoryShare::absent(reason, shard_count));
            continue;
        }
        let found = match recover_directory(disk, &name, settings, shard_count, now).await {
            Ok(found) => found,
            Err(error) => {
                let reason = error.to_string();
                recovered.directories.push(DirectoryShare::absent(&reason, shard_count));
                recovered.absent.insert(at, reason);
                first_error.get_or_insert(error);
                continue;
            }
        };
        recovered.take(&name, found);
    }
    match first_error {
        Some(error) if recovered.absent.len() == disks.len() => return Err(error),
        _ => recovered.fence_found_twice(settings),
    }
    Ok(recovered)
}

impl Recovered {
    fn take(&mut self, name: &str, found: RecoveredDirectory) {
        let recovered = self;
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

    /// All that a second recovery must find again. Not what was deleted: the first one has removed what was left of it.
    #[cfg(test)]
    pub(crate) fn describe(&self) -> std::collections::BTreeSet<String> {
        let logs = self.directories.iter().flat_map(|directory| &directory.logs).map(|log| {
            let tails: usize = log.open.iter().map(|segment| segment.tail.len()).sum();
            format!("{:?}, {tails} B in memory, fault {:?}", log.state, log.fault)
        });
        let nameless = self.nameless.iter().map(|id| format!("nameless {id}"));
        let unknown = self.unknown.iter().map(|name| format!("unknown {name}"));
        logs.chain(nameless).chain(unknown).collect()
    }

    /// A log is served from one directory or from none.
    fn fence_found_twice(&mut self, settings: &EngineSettings) {
        let each = self.directories.iter().enumerate();
        let logs =
            each.flat_map(|(at, own)| own.logs.iter().map(move |log| (at, &log.state.identity.log_id)));
        let names: Vec<String> = settings.directories.iter().map(|path| path.display().to_string()).collect();
        let twice = found_twice(logs, &names);
        for log in self.directories.iter_mut().flat_map(|own| &mut own.logs) {
            if let Some(fault) = twice.get(&log.state.identity.log_id) {
                log.fault.get_or_insert_with(|| fault.clone());
            }
        }
    }

    /// Gives each log to its owner.
    pub fn split(self, shard_count: usize, owner: impl Fn(&LogIdentity) -> usize) -> Vec<Share> {
        let roster = Roster::new(self.directories.iter().map(|directory| directory.logs.len()).collect());
        let share =
            |shard| Share { shard, shard_count, directories: Vec::new(), roster: Arc::clone(&roster) };
        let mut shares: Vec<Share> = (0..shard_count).map(share).collect();
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
        let memory = Rc::new(Memory::default());
        let segment_number = Rc::new(Cell::new(0));
        let gates = Rc::new(Gates::default());
        let cold = ColdShare::new(settings.cold_bytes_per_s_min);
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
                states_ahead: StatesAhead::default(),
                gathers: Cell::new(false),
                queue: RefCell::default(),
                timetable: Timetable::default(),
                commit_wanted: Signal::default(),
                lap_wanted: Rc::default(),
                space_freed: Signal::default(),
                closing: Cell::new(false),
                runs: Cell::new(0),
                tasks: Rc::default(),
                commit_loop_done: Done::default(),
                lap_loop_done: Done::default(),
                open_files: RefCell::new(OpenFiles::new(settings.open_files_max)),
                unsynced: Cell::new(0),
                memory: Rc::clone(&memory),
                memory_given_up: Cell::new(false),
                cache: Rc::clone(&cache),
                pages_coming: RefCell::default(),
                stats: Arc::clone(&stats),
                gates: Rc::clone(&gates),
                new_files: WantedFiles::default(),
                root_changes: Cell::new(0),
                root_synced: Cell::new(0),
                indexes: RefCell::default(),
                producers: Cell::new(0),
                producers_come: Cell::new(0),
                releasable: RefCell::default(),
                upkeep,
                scrub,
                cold: Rc::clone(&cold),
                read_ends: RefCell::default(),
                known_room: Cell::default(),
                full_told: Cell::default(),
                limit_told: Cell::default(),
                is_fenced: Cell::default(),
                segment_number: Rc::clone(&segment_number),
            });
            memory.laps.borrow_mut().push(Rc::clone(&directory.lap_wanted));
            adopt(&directory, own.logs);
            directories.push(directory);
        }
        begin_all(&directories, &settings).await?;
        Ok(Self::of(directories, settings, stats, share.roster))
    }
}

/// One that cannot begin stops; only when all have, the shard does not start.
async fn begin_all<D: Disk>(
    directories: &[Rc<Directory<D>>],
    settings: &EngineSettings,
) -> Result<(), StartError> {
    let mut failed = None;
    for (at, directory) in directories.iter().enumerate() {
        if let Err(error) = directory.begin(settings, at).await {
            failed.get_or_insert(error);
        }
    }
    match failed {
        Some(error) if directories.iter().all(|own| own.keeper.stopped().is_some()) => Err(error),
        _ => Ok(()),
    }
}

impl<D: Disk> Directory<D> {
    /// Writes the first table and starts the loops. A directory where that fails stops; so does one that had stopped
    /// already, here or on another shard.
    async fn begin(self: &Rc<Self>, settings: &EngineSettings, at: usize) -> Result<(), StartError> {
        let name = || settings.directories.get(at).map(|path| path.display().to_string()).unwrap_or_default();
        let begun = match self.keeper.stopped() {
            Some(_) => Ok(false),
            None => self.begin_file().await.and_then(|begun| match begun {
                true => Ok(true),
                false => Err(io::ErrorKind::StorageFull.into()),
            }),
        };
        match begun {
            Ok(true) => {
                self.disk.spawn(false, guarded(Rc::clone(self), Rc::clone(self).commit_loop()));
                self.disk.spawn(true, guarded(Rc::clone(self), Rc::clone(self).write_back_loop()));
                self.lap_wanted.set();
                return Ok(());
            }
            Ok(false) => self.fence_all(),
            Err(ref source) => self.fail("the first journal", source),
        }
        self.commit_loop_done.set();
        self.lap_loop_done.set();
        let bytes_needed = self.first_file_bytes() * self.shard_count;
        begun.map(drop).map_err(|source| match is_full(&source) {
            true => StartError::Full { directory: name(), bytes_needed },
            false => StartError::Journal { directory: name(), source },
        })
    }
}

impl DirectoryShare {
    fn absent(reason: &str, shard_count: usize) -> Self {
        let keeper = Keeper::absent(reason, shard_count);
        Self { keeper, logs: Vec::new(), older: Vec::new(), rescues: Vec::new() }
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

/// A panic in work that others wait for stops the directory: an append that nobody will answer must not wait for ever.
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
        tell_gap(&log);
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
        logs.insert(log_id, directory.states_ahead.own(log));
    }
    directory.producers.set(producers);
    *directory.logs.borrow_mut() = logs;
    directory.count_memory(memory, 0);
    directory.upkeep.look_at(directory.logs.borrow().keys());
}

/// A crash under a weaker durability mode: what may be missing is told by name.
fn tell_gap(log: &PartitionLog) {
    let std::ops::Range { start, end } = *log.gap();
    if start < end && log.fault.is_none() {
        let (topic, partition) = (&log.identity.topic, log.identity.partition);
        tracing::warn!(
            topic, partition, records_end = %start, goes_on_at = %end,
            "records that were answered before their sync may be lost: their offsets are not given out again"
        );
    }
}

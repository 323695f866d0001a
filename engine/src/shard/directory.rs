//! One log directory as one shard sees it: its logs, its journal, its open files.

use super::cold::ColdShare;
use super::ends::ReadEnds;
use super::keeper::Keeper;
use super::lazy::Timetable;
use super::new_files::WantedFiles;
use super::pages::PageRead;
use super::roster::KnownRoom;
use super::scrub::Scrub;
use super::settings::EngineSettings;
use super::signal::{Done, Gate, Signal};
use super::states::{OwnedLog, StatesAhead};
use super::stats::EngineStats;
use super::upkeep::Upkeep;
use crate::io::{Disk, DiskFile, OpenMode, PageCache, PageKey, aligned_down, has_no_descriptor, is_full};
use crate::journal::{CommitHead, FileSeq, JournalFile, StartId};
use crate::log::PartitionLog;
use crate::segment::Stage;
use crate::units::{FilePos, LogId, Offset};
use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A log that tasks of its owner hold on to.
pub(crate) type SharedLog = Rc<OwnedLog>;

/// What waits for the next commit, in order.
pub(crate) enum Item {
    /// A log with batches or a state to carry.
    Log(LogId),
    /// Creation or deletion of a log.
    Control { entry: crate::journal::Entry, payload: Vec<u8>, done: Rc<Done> },
    /// Everything before it has been carried.
    Barrier(Rc<Done>),
}

/// A journal file that is being written.
pub(crate) struct Current<D: Disk> {
    pub(crate) file: Rc<D::File>,
    pub(crate) position: u64,
    pub(crate) bytes: u64,
    pub(crate) seq: FileSeq,
}

/// A journal file that is not free.
#[derive(Debug)]
pub(crate) struct UsedFile {
    pub(crate) seq: FileSeq,
    pub(crate) file: JournalFile,
    /// Sequence of its first commit.
    pub(crate) first: u64,
}

/// The shard's own journal.
pub(crate) struct Journal<D: Disk> {
    pub(crate) current: Option<Current<D>>,
    /// Files in use, oldest first; the last one is the current.
    pub(crate) used: VecDeque<UsedFile>,
    pub(crate) head: CommitHead,
    pub(crate) file_seq_next: u64,
    /// This shard may still need files of earlier starts: of these journals, accepted up to these sequences.
    pub(crate) needs_old: bool,
    pub(crate) older: Vec<(StartId, u32, u64)>,
    /// Rescues: journals of earlier starts that stay while this start lasts.
    pub(crate) rescues: Vec<(StartId, u32, u64)>,
    /// Logs that were deleted: every table says so as long as their directories last, and as long as anybody may read
    /// journals of earlier starts that tell of them, wherever the log lived then.
    pub(crate) deleted: Vec<DeletedLog>,
}

/// A log that is gone, as long as somebody might take it for one that is there.
pub(crate) struct DeletedLog {
    pub(crate) log_id: LogId,
    /// Journals of earlier starts tell of it.
    pub(crate) is_older: bool,
    /// A rescue tells of it, and rescues stay while this start lasts.
    pub(crate) is_rescued: bool,
    /// Its directory is there, or would be after a power cut.
    pub(crate) has_directory: bool,
}

/// What of a shard's work goes one at a time.
#[derive(Default)]
pub(crate) struct Gates {
    /// Unfolding what is large, on a thread beside the executor: its memory is there once.
    pub(crate) unfold: Rc<Gate>,
    /// From packing a batch anew until it is staged: no budget holds the bytes that this makes.
    pub(crate) remake: Rc<Gate>,
    /// Giving directories to logs and taking them away: names are used again.
    pub(crate) names: Rc<Gate>,
    /// Syncing the log directory's own names.
    pub(crate) root: Rc<Gate>,
}

/// Memory of tails, which all directories of a shard share: who waits for it may wait for another directory's.
#[derive(Default)]
pub(crate) struct Memory {
    /// Taken now.
    pub(crate) bytes: Cell<usize>,
    /// Some became free.
    pub(crate) freed: Signal,
    /// Wakes the laps of all directories.
    pub(crate) laps: RefCell<Vec<Rc<Signal>>>,
}

/// Open segment files, the least recently used closed first.
pub(crate) struct OpenFiles<D: Disk> {
    /// By log, segment and whether it is written; each with when it was last used.
    #[expect(clippy::type_complexity, reason = "a key and a value of this one map")]
    files: FxHashMap<(LogId, Offset, bool), (Rc<D::File>, u64)>,
    /// Those that some task is opening now.
    opening: FxHashSet<(LogId, Offset, bool)>,
    clock: u64,
    files_max: usize,
}

/// Logs whose memory is let go of at once, in less than 50 us.
const RELEASED_AT_ONCE: usize = 64;
/// Logs that are looked at between two tasks that wait, in less than 50 us.
pub(super) const LOOKED_AT_ONCE: usize = 128;
/// Pause between two pieces of work on many logs.
const STEP_BACK: Duration = Duration::from_micros(50);
/// Pause between looks whether the last tasks are done.
const TASK_PAUSE: Duration = Duration::from_millis(1);
/// Pause of a task that waits for another one's open.
const OPENING_PAUSE: Duration = Duration::from_millis(1);

/// The one task that opens a file, until this is dropped.
struct Opening<'a, D: Disk> {
    open_files: &'a RefCell<OpenFiles<D>>,
    key: (LogId, Offset, bool),
}

impl<'a, D: Disk> Opening<'a, D> {
    /// `None` while another task opens the file.
    fn begin(open_files: &'a RefCell<OpenFiles<D>>, key: (LogId, Offset, bool)) -> Option<Self> {
        let is_first = open_files.borrow_mut().opening.insert(key);
        is_first.then(|| Self { open_files, key })
    }
}

impl<D: Disk> Drop for Opening<'_, D> {
    fn drop(&mut self) {
        self.open_files.borrow_mut().opening.remove(&self.key);
    }
}

/// See the file's header.
pub(crate) struct Directory<D: Disk> {
    pub(crate) disk: D,
    pub(crate) settings: Rc<EngineSettings>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) shard_count: u64,
    pub(crate) logs: RefCell<FxHashMap<LogId, SharedLog>>,
    pub(crate) states_ahead: StatesAhead,
    pub(crate) queue: RefCell<VecDeque<Item>>,
    /// Logs that can wait, each with when it must be in the queue.
    pub(crate) timetable: Timetable,
    pub(crate) journal: RefCell<Journal<D>>,
    pub(crate) commit_wanted: Signal,
    pub(crate) lap_wanted: Rc<Signal>,
    pub(crate) space_freed: Signal,
    pub(crate) closing: Cell<bool>,
    /// Laps wait until there is more of each log.
    pub(crate) gathers: Cell<bool>,
    pub(crate) runs: Cell<usize>,
    /// Held by tasks with a file open that neither loop waits for.
    pub(crate) tasks: Rc<()>,
    pub(crate) commit_loop_done: Done,
    pub(crate) lap_loop_done: Done,
    pub(crate) open_files: RefCell<OpenFiles<D>>,
    pub(crate) unsynced: Cell<u64>,
    pub(crate) memory: Rc<Memory>,
    /// It stopped, and what its logs hold is no longer counted.
    pub(crate) memory_given_up: Cell<bool>,
    pub(crate) cache: Rc<RefCell<PageCache>>,
    pub(crate) pages_coming: RefCell<FxHashMap<PageKey, Rc<PageRead>>>,
    pub(crate) stats: Arc<EngineStats>,
    pub(crate) gates: Rc<Gates>,
    pub(super) new_files: WantedFiles,
    /// Changes of names in the log directory itself, and how many of them are known to be synced.
    pub(crate) root_changes: Cell<u64>,
    pub(crate) root_synced: Cell<u64>,
    /// Sealed segments whose index is in memory, the one read first in front.
    pub(crate) indexes: RefCell<VecDeque<(LogId, Offset)>>,
    /// Producers that the logs remember; somewhat more than there are, since forgetting is counted later.
    pub(crate) producers: Cell<usize>,
    /// Of these, since the last look at all logs began.
    pub(crate) producers_come: Cell<usize>,
    /// Logs with memory that may be let go, the one written back first in front.
    pub(crate) releasable: RefCell<VecDeque<LogId>>,
    pub(crate) upkeep: Upkeep,
    pub(crate) scrub: Scrub,
    pub(crate) cold: Rc<ColdShare>,
    pub(crate) read_ends: RefCell<ReadEnds>,
    /// What the file system said of its room.
    pub(super) known_room: Cell<Option<KnownRoom>>,
    /// When it was last told that the disk is full.
    pub(super) full_told: Cell<Option<Instant>>,
    /// The same of what the process may have open, or its memory.
    pub(super) limit_told: Cell<Option<Instant>>,
    /// It stopped, and its logs here know it.
    pub(crate) is_fenced: Cell<bool>,
    /// The number that a segment of this shard was given last.
    pub(crate) segment_number: Rc<Cell<u64>>,
}

impl<D: Disk> OpenFiles<D> {
    pub(crate) fn new(files_max: usize) -> Self {
        Self { files: FxHashMap::default(), opening: FxHashSet::default(), clock: 0, files_max }
    }
}

impl<D: Disk> Directory<D> {
    pub(crate) fn log(&self, log_id: LogId) -> Option<SharedLog> {
        self.logs.borrow().get(&log_id).cloned()
    }

    /// Journal files that could be begun now. As many free ones as there are shards are kept for the next start, which
    /// must be possible on a full disk; but a shard that has one file alone could free nothing without a second.
    pub(crate) fn available(&self) -> usize {
        self.keeper.available().saturating_sub(self.free_kept())
    }

    /// Free journal files that this shard leaves alone.
    pub(crate) fn free_kept(&self) -> usize {
        if self.journal.borrow().used.len() > 1 { self.shard_count as usize } else { 0 }
    }

    /// Files of its own that this shard keeps though no log needs their bytes: the one at work, and the one before it for
    /// its table's sake, unless there is no other to begin next.
    pub(crate) fn files_kept(&self) -> usize {
        if self.available() == 0 { 1 } else { 2 }
    }

    /// Puts a log into the queue for the next commit, once.
    pub(crate) fn enqueue(&self, log_id: LogId, log: &mut PartitionLog) {
        if !log.queued {
            log.queued = true;
            self.queue.borrow_mut().push_back(Item::Log(log_id));
            self.commit_wanted.set();
        }
    }

    /// The whole directory stopped: everybody who waits learns it.
    pub(crate) fn fail(&self, what: &str, error: &io::Error) {
        self.keeper.stop(&format!("{what}: {error}"));
        self.fence_all();
    }

    /// Fences every log after the directory stopped, here or on another shard.
    pub(crate) fn fence_all(&self) {
        if !self.is_fenced.replace(true) {
            EngineStats::add(&self.stats.directories_stopped, 1);
        }
        let reason = self.keeper.stopped().unwrap_or_default();
        self.tell_lost();
        for log in self.logs.borrow().values() {
            log.borrow_mut().detach(format!("its log directory stopped: {reason}"));
        }
        for item in self.queue.borrow_mut().drain(..) {
            match item {
                Item::Log(_) => {}
                Item::Control { done, .. } | Item::Barrier(done) => done.set(),
            }
        }
        self.give_up_memory();
        self.memory.freed.set();
        self.space_freed.set();
    }

    /// Opens a segment's file, or finds it open. Writing takes the file's lock and keeps it until it is closed.
    pub(crate) async fn segment_file(
        &self,
        log: &SharedLog,
        base: Offset,
        write: bool,
    ) -> io::Result<Rc<D::File>> {
        let (log_id, path) = {
            let log = log.borrow();
            let path = log.segment(base).map(|segment| segment.path(&log.directory_name));
            (log.identity.log_id, path.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?)
        };
        // Two tasks that open a file for writing at once would wait for each other's lock.
        let _opening = loop {
            if let Some(file) = self.find_open(log_id, base, write) {
                return Ok(file);
            }
            match Opening::begin(&self.open_files, (log_id, base, write)) {
                Some(opening) => break opening,
                None => self.disk.sleep(OPENING_PAUSE).await,
            }
        };
        let mode = if write { OpenMode::Write } else { OpenMode::Read };
        let file = Rc::new(self.disk.open(&path, mode).await?);
        if !write {
            still_there(log)?; // a deletion waits for writers, not for readers
        }
        Ok(self.keep_open((log_id, base, write), file))
    }

    fn find_open(&self, log_id: LogId, base: Offset, write: bool) -> Option<Rc<D::File>> {
        let mut open = self.open_files.borrow_mut();
        open.clock += 1;
        let now = open.clock;
        let key = if open.files.contains_key(&(log_id, base, true)) { true } else { write };
        let (file, used) = open.files.get_mut(&(log_id, base, key))?;
        *used = now;
        Some(Rc::clone(file))
    }

    fn keep_open(&self, key: (LogId, Offset, bool), file: Rc<D::File>) -> Rc<D::File> {
        let mut open = self.open_files.borrow_mut();
        if let Some((found, _)) = open.files.get(&key) {
            return Rc::clone(found); // opened by two tasks at once: one descriptor is enough
        }
        while open.files.len() >= open.files_max {
            let unused = open.files.iter().filter(|(_, (file, _))| Rc::strong_count(file) == 1);
            let Some(oldest) = unused.min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key) else { break };
            open.files.remove(&oldest);
        }
        let now = open.clock;
        open.files.insert(key, (Rc::clone(&file), now));
        file
    }

    /// Starts a task that the directory's end waits for.
    pub(crate) fn spawn_counted(&self, background: bool, task: impl Future<Output = ()> + 'static) {
        let counted = Rc::clone(&self.tasks);
        self.disk.spawn(background, async move {
            task.await;
            drop(counted);
        });
    }

    /// Closes everything, and with it gives up the locks, once nothing is under way any more.
    pub(crate) async fn close_all(&self) {
        while Rc::strong_count(&self.tasks) > 1 {
            self.disk.sleep(TASK_PAUSE).await;
        }
        let journal = self.journal.borrow_mut().current.take().map(|current| current.file);
        let segments = std::mem::take(&mut self.open_files.borrow_mut().files);
        for file in segments.into_values().map(|(file, _)| file).chain(journal) {
            // One that a reader still holds is closed when the reader lets go of it.
            if let Ok(file) = Rc::try_unwrap(file)
                && let Err(error) = file.close().await
            {
                tracing::warn!(%error, "a file could not be closed");
            }
        }
    }

    /// Closes the files of a log.
    pub(crate) fn close_files(&self, log_id: LogId) {
        self.open_files.borrow_mut().files.retain(|(known, _, _), _| *known != log_id);
    }

    /// Closes the writing descriptor of a segment that is sealed, and with it gives up its lock.
    pub(crate) fn close_sealed(&self, log_id: LogId, base: Offset) {
        self.open_files.borrow_mut().files.remove(&(log_id, base, true));
    }

    /// Closes the descriptors of a segment that is gone; who still reads from one keeps it open.
    pub(crate) fn close_segment(&self, log_id: LogId, base: Offset) {
        let mut open = self.open_files.borrow_mut();
        open.files.retain(|(known, known_base, _), _| (*known, *known_base) != (log_id, base));
    }

    /// A failed sync stops the directory, here as everywhere: it may have lost what a commit in flight wrote. Where there was no
    /// descriptor for it none was tried.
    pub(crate) async fn sync_names(&self, path: &Path) -> io::Result<()> {
        let outcome = self.disk.sync_directory(path).await;
        outcome.inspect_err(|error| {
            if !has_no_descriptor(error) {
                self.fail("syncing names", error);
            }
        })
    }

    /// Makes the names in the log directory durable that were changed before; whoever comes while a sync is under way
    /// shares the next one.
    pub(crate) async fn sync_root(&self) -> io::Result<()> {
        let change = self.root_changes.get() + 1;
        self.root_changes.set(change);
        let _pass = self.gates.root.enter().await;
        if self.root_synced.get() >= change {
            return Ok(());
        }
        let covered = self.root_changes.get();
        self.sync_names(Path::new("")).await?;
        self.root_synced.set(covered);
        Ok(())
    }

    /// Reserves a segment's blocks up to `end`; makes the file, and the log's directory, the first time.
    pub(crate) async fn reserve(
        self: &Rc<Self>,
        log: &SharedLog,
        base: Offset,
        end: FilePos,
    ) -> io::Result<()> {
        still_there(log)?;
        let _reservation = Reservation::begin(log);
        let (log_id, fresh) = {
            let log = log.borrow();
            let Some(segment) = log.segment(base) else { return Ok(()) };
            let fresh = segment.reserved_end == FilePos::ZERO && segment.tail.written_end() == FilePos::ZERO;
            (log.identity.log_id, fresh)
        };
        let known = self.open_files.borrow().files.contains_key(&(log_id, base, true));
        let making =
            if fresh && !known { Opening::begin(&self.open_files, (log_id, base, true)) } else { None };
        if let Some(making) = making {
            self.make_file(log, base).await?;
            still_there(log)?;
            drop(making);
        }
        let file = self.segment_file(log, base, true).await?;
        if file_is_shorter(&*file, end).await?
            && let Err(error) = file.reserve(end.as_u64()).await
        {
            // What an earlier start reserved, or this time in part, may do for the next batch: the caller looks again.
            let there = FilePos::new(aligned_down(file.bytes().await?));
            let known = log.borrow().segment(base).map_or(FilePos::ZERO, |segment| segment.reserved_end);
            if !is_full(&error) || there <= known {
                return Err(error);
            }
            log.borrow_mut().on_reserved(base, there);
            return Ok(());
        }
        log.borrow_mut().on_reserved(base, end);
        Ok(())
    }

    /// What the logs of a directory that stopped hold is never freed: the other directories must not wait for it.
    fn give_up_memory(&self) {
        if !self.memory_given_up.replace(true) {
            let logs = self.logs.borrow();
            let held = |log: &SharedLog| -> usize {
                log.borrow().segments.iter().map(|segment| segment.tail.memory_bytes()).sum()
            };
            let bytes: usize = logs.values().map(held).sum();
            self.memory.bytes.set(self.memory.bytes.get().saturating_sub(bytes));
        }
    }

    /// Counts memory of tails, taken or given back.
    pub(crate) fn count_memory(&self, taken: usize, freed: usize) {
        if self.memory_given_up.get() {
            return;
        }
        let bytes = (self.memory.bytes.get() + taken).saturating_sub(freed);
        self.memory.bytes.set(bytes);
        EngineStats::set(&self.stats.tail_memory_bytes, bytes as u64);
        if freed > 0 {
            self.memory.freed.set();
        }
        if taken > 0 && bytes > self.memory_kept_max() {
            self.release_memory();
            if self.memory.bytes.get() > self.settings.tail_memory_bytes / 2 {
                self.queue_early();
            }
            if self.memory.bytes.get() > self.settings.tail_memory_bytes / 4 * 3 {
                self.lap_wanted.set();
            }
        }
    }

    /// Memory of tails up to here is kept for readers, although its bytes are in the segments. The rest of the budget is
    /// for what is not written back yet: memory that is used again costs less than memory touched for the first time.
    fn memory_kept_max(&self) -> usize {
        self.settings.tail_memory_bytes / 4
    }

    /// Looks at every log that is there all the time, a few at a time: with thousands of them all at once would keep
    /// producers waiting for milliseconds.
    pub(crate) async fn look_at_logs(&self, mut look: impl FnMut(LogId, &PartitionLog)) {
        self.each_log(|log_id, log| look(log_id, &log.borrow())).await;
    }

    /// As `look_at_logs`, for who may change some of them.
    pub(crate) async fn each_log(&self, mut visit: impl FnMut(LogId, &SharedLog)) {
        let log_ids: Vec<LogId> = self.logs.borrow().keys().copied().collect();
        for at_once in log_ids.chunks(LOOKED_AT_ONCE) {
            for log_id in at_once {
                if let Some(log) = self.log(*log_id) {
                    visit(*log_id, &log);
                }
            }
            self.step_back().await;
        }
    }

    /// Between two pieces of work on many logs: until what completed meanwhile was seen. Yielding is not enough, since the
    /// executor looks at its rings only when nothing is runnable, or after a whole turn.
    pub(crate) async fn step_back(&self) {
        self.disk.sleep(STEP_BACK).await;
    }

    /// Bytes of this log came to its segment: their memory may be let go.
    pub(crate) fn note_releasable(&self, log: &mut PartitionLog) {
        if !std::mem::replace(&mut log.releasable, true) {
            self.releasable.borrow_mut().push_back(log.identity.log_id);
        }
    }

    /// Lets go of written-back memory above what is kept for readers: as much as came in, not more, and of a few logs at
    /// once, since giving a lot of memory back takes long. Whether there may be more.
    pub(crate) fn release_memory(&self) -> bool {
        for _ in 0..RELEASED_AT_ONCE {
            if self.memory.bytes.get() <= self.memory_kept_max() {
                return false;
            }
            let Some(log_id) = self.releasable.borrow_mut().pop_front() else { return false };
            let Some(log) = self.log(log_id) else { continue };
            let mut log = log.borrow_mut();
            log.releasable = false;
            let open = log.segments.iter_mut().rev().take_while(|segment| segment.stage != Stage::Sealed);
            let mut tails = open.map(|segment| &mut segment.tail);
            let freed = tails.find_map(|tail| tail.release_piece().or_else(|| tail.shrink()));
            if let Some(freed) = freed {
                self.note_releasable(&mut log);
                drop(log);
                self.count_memory(0, freed);
            }
        }
        true
    }
}

/// Counts as a writer of the log while it lives: a deletion waits for it.
pub(super) struct Reservation(SharedLog);

impl Reservation {
    pub(super) fn begin(log: &SharedLog) -> Self {
        log.borrow_mut().reservations += 1;
        Self(Rc::clone(log))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.borrow_mut().reservations -= 1;
    }
}

/// A log that was deleted while one of its files was opened: its name may be another log's by now, and the file, too.
fn still_there(log: &SharedLog) -> io::Result<()> {
    if log.borrow().is_detached { Err(io::ErrorKind::NotFound.into()) } else { Ok(()) }
}

async fn file_is_shorter<F: DiskFile>(file: &F, end: FilePos) -> io::Result<bool> {
    Ok(file.bytes().await? < end.as_u64())
}

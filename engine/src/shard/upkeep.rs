//! What a shard does about time while nobody asks: expired segments go, the files of segments that are gone are removed.
//!
//! ```text
//! look: expired? ─► cut in memory ─► states in a commit, synced ─► delay ─► files removed, names synced
//!          └ not sealed yet: a lap seals it, the next look comes soon
//! ```
//! Readers of a segment that goes keep what they have, and then learn that their offset is out of range.

use super::api::ReadError;
use super::directory::{Directory, LOOKED_AT_ONCE, SharedLog};
use super::settings::EngineSettings;
use super::stats::EngineStats;
use crate::io::{Disk, Names};
use crate::segment::Segment;
use crate::units::{LogId, Offset, Timestamp};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Pause until the next look when a segment has to be sealed before it can go.
const SEAL_PAUSE: Duration = Duration::from_secs(5);
/// Pause between looks whether an index that is being written is there, or files that are being removed are gone.
pub(super) const INDEXING_PAUSE: Duration = Duration::from_millis(1);

/// Directories that are looked into at once for files that no state names.
const TIDIED_AT_ONCE: usize = 64;

/// Files of a segment that is no longer part of its log. The queue of them is in memory: who forgets it finds them anew.
pub(crate) struct Leaving {
    log_id: LogId,
    base: Offset,
    /// The log's directory; in it the segment's file and its index.
    directory: String,
    files: [PathBuf; 2],
    /// Not removed before.
    due: Instant,
}

/// A round of upkeep; however it ends, a commit loop that is to end no longer waits for it.
struct Round<D: Disk>(Rc<Directory<D>>);

impl<D: Disk> Drop for Round<D> {
    fn drop(&mut self) {
        self.0.upkeep.under_way.set(false);
        self.0.commit_wanted.set();
    }
}

/// What upkeep of one directory remembers between its rounds.
pub(crate) struct Upkeep {
    /// Files of segments that are gone; removed when they are due.
    leaving: RefCell<VecDeque<Leaving>>,
    /// Segments that were cut in memory while no durable commit says so: their files are no strays.
    cut: RefCell<BTreeSet<(LogId, Offset)>>,
    /// Logs whose directories may hold files that no state names, each with the end from which on it is looked at.
    untidy: RefCell<VecDeque<(LogId, Offset)>>,
    /// When retention looks again.
    retention_due: Cell<Instant>,
    /// A round is under way.
    under_way: Cell<bool>,
}

impl Upkeep {
    /// Of a directory that starts now.
    pub(crate) fn begin(now: Instant, settings: &EngineSettings) -> Self {
        Self {
            leaving: RefCell::default(),
            cut: RefCell::default(),
            untidy: RefCell::default(),
            retention_due: Cell::new(now + Duration::from_millis(settings.retention_delay_ms)),
            under_way: Cell::new(false),
        }
    }

    /// The directories of these logs were written by an earlier start.
    pub(crate) fn look_at<'a>(&self, log_ids: impl Iterator<Item = &'a LogId>) {
        self.untidy.borrow_mut().extend(log_ids.map(|log_id| (*log_id, Offset::ZERO)));
    }

    /// Whether the commit loop must go on for a round's sake.
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.get()
    }

    fn is_due(&self, now: Instant) -> bool {
        now >= self.retention_due.get()
            || !self.untidy.borrow().is_empty()
            || self.leaving.borrow().iter().any(|file| file.due <= now)
    }
}

impl<D: Disk> Directory<D> {
    /// Starts a round of upkeep in the background if something is due and none is under way.
    pub(crate) fn upkeep_if_due(self: &Rc<Self>) {
        if !self.upkeep.is_due(self.disk.now()) || self.upkeep.under_way.replace(true) {
            return;
        }
        let directory = Rc::clone(self);
        let round = Round(directory);
        self.spawn_counted(true, async move { round.0.upkeep_once().await });
    }

    pub(super) fn is_ending(&self) -> bool {
        self.closing.get() || self.keeper.stopped().is_some()
    }

    async fn upkeep_once(self: &Rc<Self>) {
        if self.disk.now() >= self.upkeep.retention_due.get() {
            let unsealed = self.retain().await;
            let interval = Duration::from_millis(self.settings.retention_check_ms);
            let pause = if unsealed { interval.min(SEAL_PAUSE) } else { interval };
            self.upkeep.retention_due.set(self.disk.now() + pause);
        }
        let removed = match self.remove_leaving().await {
            Ok(()) => self.tidy().await,
            failed => failed,
        };
        if let Err(error) = removed {
            // Nobody names them any more: the next start removes them.
            tracing::warn!(%error, "files of expired segments could not be removed");
        }
    }

    /// Cuts what has expired off all logs; says whether something must be sealed first.
    async fn retain(self: &Rc<Self>) -> bool {
        let now = Timestamp(self.disk.wall_ms() as i64);
        let log_ids: Vec<LogId> = self.logs.borrow().keys().copied().collect();
        let (mut unsealed, mut gone) = (false, Vec::new());
        for (at, log_id) in log_ids.into_iter().enumerate() {
            if at % LOOKED_AT_ONCE == LOOKED_AT_ONCE - 1 {
                self.step_back().await;
            }
            if self.is_ending() {
                return false;
            }
            let Some(log) = self.log(log_id) else { continue };
            // Not borrowed to change it for a mere look: its state would be encoded anew.
            let is_concerned = {
                let log = log.borrow();
                !log.is_detached && log.fault.is_none() && log.has_expired(now)
            };
            if !is_concerned {
                continue;
            }
            let expired = log.borrow_mut().expire(now, || self.segment_number());
            if expired.unsealed {
                unsealed = true;
                let mut log = log.borrow_mut();
                log.state_wanted = true; // carries the roll, too
                self.enqueue(log.identity.log_id, &mut log);
            }
            if let Some(start) = expired.start {
                gone.extend(self.cut(&log, start));
                self.step_back().await;
            }
        }
        if unsealed {
            self.lap_wanted.set();
        }
        if !gone.is_empty() {
            self.barrier().await;
            self.let_leave(gone);
        }
        unsealed
    }

    /// Moves a log's start up to `start`, at most to the high watermark; durable when it returns. The start now.
    pub(crate) async fn raise_start(
        self: &Rc<Self>,
        log: &SharedLog,
        start: Offset,
    ) -> Result<Offset, ReadError> {
        let bounds = log.borrow().bounds();
        if start > bounds.high_watermark {
            let (log_start, log_end) = (bounds.log_start, bounds.log_end);
            return Err(ReadError::OutOfRange { offset: start, log_start, log_end });
        }
        let gone = if start > bounds.log_start { self.cut(log, start) } else { Vec::new() };
        let log_start = log.borrow().bounds().log_start;
        // Also when nothing was to be done: the cut before may be on its way still.
        self.barrier().await;
        self.refuse_fault(log)?;
        self.let_leave(gone);
        Ok(log_start)
    }

    /// In memory, and on its way into the next commit.
    fn cut(&self, log: &SharedLog, start: Offset) -> Vec<Leaving> {
        let mut log = log.borrow_mut();
        let segments = log.cut(start);
        log.state_wanted = true;
        let log_id = log.identity.log_id;
        self.enqueue(log_id, &mut log);
        let (topic, partition) = (&log.identity.topic, log.identity.partition);
        tracing::info!(topic, partition, %start, segments = segments.len(), "the log starts here now");
        let bytes: u64 = segments.iter().map(Segment::bytes).sum();
        EngineStats::add(&self.stats.segments_removed_total, segments.len() as u64);
        EngineStats::add(&self.stats.removed_bytes_total, bytes);
        self.upkeep.cut.borrow_mut().extend(segments.iter().map(|segment| (log_id, segment.base)));
        let due = self.disk.now() + Duration::from_millis(log.settings.file_delete_delay_ms);
        segments.iter().map(|segment| Leaving::of(log_id, &log.directory_name, segment, due)).collect()
    }

    /// The commit that says so is durable: the files may go when their time has come.
    fn let_leave(&self, gone: Vec<Leaving>) {
        if self.keeper.stopped().is_none() {
            let mut cut = self.upkeep.cut.borrow_mut();
            for file in &gone {
                cut.remove(&(file.log_id, file.base));
            }
            self.upkeep.leaving.borrow_mut().extend(gone);
        }
    }

    /// Removes the files that are due, those of one log after those of another.
    async fn remove_leaving(self: &Rc<Self>) -> io::Result<()> {
        let now = self.disk.now();
        while !self.is_ending() {
            let group: VecDeque<Leaving> = {
                let mut leaving = self.upkeep.leaving.borrow_mut();
                let Some(first) = leaving.iter().find(|file| file.due <= now) else { return Ok(()) };
                let log_id = first.log_id;
                let is_in_group = |file: &Leaving| file.log_id == log_id && file.due <= now;
                let (group, rest) = leaving.drain(..).partition(is_in_group);
                *leaving = rest;
                group
            };
            self.remove_group(&group).await?;
            self.disk.yield_now().await;
        }
        Ok(())
    }

    async fn remove_group(self: &Rc<Self>, group: &VecDeque<Leaving>) -> io::Result<()> {
        let Some(first) = group.front() else { return Ok(()) };
        // Of a deleted log the whole directory goes, and another log may have its name by now.
        let Some(log) = self.log(first.log_id).filter(|log| !log.borrow().is_detached) else { return Ok(()) };
        self.begin_removing(&log).await;
        let outcome = self.remove_files(group, &first.directory).await;
        log.borrow_mut().removing = false;
        outcome
    }

    /// From now on nobody makes files of the log's segments that are gone.
    async fn begin_removing(&self, log: &SharedLog) {
        log.borrow_mut().removing = true;
        while log.borrow().indexing {
            self.disk.sleep(INDEXING_PAUSE).await;
        }
    }

    async fn remove_files(&self, group: &VecDeque<Leaving>, directory: &str) -> io::Result<()> {
        for leaving in group {
            self.close_segment(leaving.log_id, leaving.base);
            for path in &leaving.files {
                self.remove_file(path).await?;
            }
        }
        self.sync_names(Path::new(directory)).await
    }

    /// Removes files that no state names: of segments that were cut before the start, or made for a roll that no commit
    /// carried.
    async fn tidy(self: &Rc<Self>) -> io::Result<()> {
        let mut count = self.upkeep.untidy.borrow().len();
        while count > 0 && !self.is_ending() {
            let group = self.tidy_group(count.min(TIDIED_AT_ONCE));
            count -= count.min(TIDIED_AT_ONCE);
            let paths = group.iter().map(|(log, _)| PathBuf::from(&log.borrow().directory_name)).collect();
            for (log, _) in &group {
                self.begin_removing(log).await;
            }
            let lists = self.disk.list_all(paths).await;
            let mut outcome = Ok(());
            for ((log, log_id), names) in group.iter().zip(lists) {
                let removed = match (&outcome, names) {
                    (Err(_), _) => break,
                    (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    (_, Err(error)) => Err(error),
                    (_, Ok(names)) => self.remove_strays(log, names).await,
                };
                outcome = removed.map(|above| {
                    self.upkeep.untidy.borrow_mut().extend(above.map(|above| (*log_id, above)));
                });
            }
            group.iter().for_each(|(log, _)| log.borrow_mut().removing = false);
            outcome?;
            self.disk.yield_now().await;
        }
        Ok(())
    }

    /// The next logs whose directories are worth a look, of the first `count` in the queue.
    fn tidy_group(&self, count: usize) -> Vec<(SharedLog, LogId)> {
        let mut untidy = self.upkeep.untidy.borrow_mut();
        let mut group = Vec::new();
        for _ in 0..count {
            let Some((log_id, from)) = untidy.pop_front() else { break };
            let Some(log) = self.log(log_id).filter(|log| !log.borrow().is_detached) else { continue };
            if log.borrow().bounds().log_end < from {
                untidy.push_back((log_id, from));
            } else {
                group.push((log, log_id));
            }
        }
        group
    }

    /// Returns the end from which on another look is worth it. A file above the log's end stays until the end has passed
    /// it: the log may roll there any moment, and then it is in use.
    async fn remove_strays(&self, log: &SharedLog, names: Names) -> io::Result<Option<Offset>> {
        let directory = log.borrow().directory_name.clone();
        let (mut above, mut removed) = (None, false);
        for (name, _) in names {
            let Some(base) = segment_base(&name) else { continue };
            let (log_id, is_known, log_end) = {
                let log = log.borrow();
                (log.identity.log_id, log.segment(base).is_some(), log.bounds().log_end)
            };
            let waits = || {
                self.upkeep.cut.borrow().contains(&(log_id, base))
                    || self
                        .upkeep
                        .leaving
                        .borrow()
                        .iter()
                        .any(|file| (file.log_id, file.base) == (log_id, base))
            };
            if is_known || waits() {
                continue;
            }
            if base >= log_end {
                above = Some(above.map_or(base, |known: Offset| known.min(base)));
                continue;
            }
            self.close_segment(log_id, base);
            self.remove_file(&Path::new(&directory).join(name)).await?;
            removed = true;
        }
        if removed {
            self.sync_names(Path::new(&directory)).await?;
        }
        Ok(above.map(|base| base.advance(1)))
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        match self.disk.remove(path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    /// A number for a new segment.
    pub(crate) fn segment_number(&self) -> u64 {
        self.segment_number.set(self.segment_number.get() + 1);
        self.segment_number.get()
    }
}

impl Leaving {
    fn of(log_id: LogId, directory: &str, segment: &Segment, due: Instant) -> Self {
        let files = [segment.path(directory), segment.index_path(directory)];
        Self { log_id, base: segment.base, directory: directory.to_owned(), files, due }
    }
}

/// The segment that a file of a log's directory belongs to.
fn segment_base(name: &str) -> Option<Offset> {
    let digits = name.strip_suffix(".log").or_else(|| name.strip_suffix(".twindex"))?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Offset::from_wire(digits.parse().ok()?)
}

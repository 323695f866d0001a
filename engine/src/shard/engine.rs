//! The door: every question the server may ask of a shard's logs.

use super::api::{
    Append, AppendError, EpochEnd, Isolation, LogError, Read, ReadError, ReadOutcome, Staged, StoredLog,
    TimedOffset,
};
use super::directory::{DeletedLog, Directory, SharedLog};
use super::recovery::directory_name;
use super::roster::{Roster, candidates};
use super::settings::EngineSettings;
use super::stats::EngineStats;
use crate::io::{Disk, DmaDisk};
use crate::journal::{Entry, EntryKind, LogState, RecoveredLog};
use crate::log::{LogBounds, LogIdentity, LogSettings, PartitionLog};
use crate::segment::Segment;
use crate::units::{LeaderEpoch, LogId, Offset, Timestamp};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

/// The logs of one shard. Cheap to clone; stays on its core.
pub struct Engine<D: Disk = DmaDisk>(Rc<Inner<D>>);

struct Inner<D: Disk> {
    directories: Vec<Rc<Directory<D>>>,
    settings: Rc<EngineSettings>,
    stats: Arc<EngineStats>,
    roster: Arc<Roster>,
}

impl<D: Disk> Clone for Engine<D> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<D: Disk> Engine<D> {
    pub(crate) fn of(
        directories: Vec<Rc<Directory<D>>>,
        settings: Rc<EngineSettings>,
        stats: Arc<EngineStats>,
        roster: Arc<Roster>,
    ) -> Self {
        let engine = Self(Rc::new(Inner { directories, settings, stats, roster }));
        engine.count_logs();
        engine
    }

    pub(super) fn find(&self, log_id: LogId) -> Result<(&Rc<Directory<D>>, SharedLog), LogError> {
        let found = self.0.directories.iter().find_map(|directory| Some((directory, directory.log(log_id)?)));
        found.ok_or(LogError::Unknown { log_id })
    }

    /// A log that may be asked: neither fenced nor on a directory that stopped.
    fn online(&self, log_id: LogId) -> Result<(&Rc<Directory<D>>, SharedLog), LogError> {
        let (directory, log) = self.find(log_id)?;
        directory.refuse_fault(&log)?;
        Ok((directory, log))
    }

    fn count_logs(&self) {
        let mut counts = [0u64; 2];
        for directory in &self.0.directories {
            for log in directory.logs.borrow().values() {
                counts[usize::from(log.borrow().fault.is_some())] += 1;
            }
        }
        EngineStats::set(&self.0.stats.logs_online, counts[0]);
        EngineStats::set(&self.0.stats.logs_offline, counts[1]);
    }

    /// What this shard counts; may be read on any core.
    pub fn stats(&self) -> Arc<EngineStats> {
        Arc::clone(&self.0.stats)
    }

    /// Every log of this shard, with why it is offline if it is.
    pub fn logs(&self) -> Vec<(LogIdentity, Result<LogBounds, LogError>)> {
        let mut found = Vec::new();
        for directory in &self.0.directories {
            for log in directory.logs.borrow().values() {
                let state = directory.refuse_fault(log).map(|()| log.borrow().bounds());
                found.push((log.borrow().identity.clone(), state));
            }
        }
        found
    }

    /// What every log of this shard holds, in which directory (its place in `EngineSettings::directories`).
    pub fn stored_logs(&self) -> Vec<StoredLog> {
        let mut found = Vec::new();
        for (directory, own) in self.0.directories.iter().enumerate() {
            for log in own.logs.borrow().values() {
                let log = log.borrow();
                let bytes = log.segments.iter().map(Segment::bytes).sum();
                found.push(StoredLog { identity: log.identity.clone(), directory, bytes });
            }
        }
        found
    }

    /// Why log directories stopped, if any did.
    pub fn stopped(&self) -> Option<String> {
        self.0.directories.iter().find_map(|directory| directory.keeper.stopped())
    }

    /// Which directories have stopped, on whichever shard, or could not be used from the start, by their place in
    /// `EngineSettings::directories`, and why. Whoever waits here for a log of theirs is told now.
    pub fn directories_stopped(&self) -> BTreeMap<usize, String> {
        let each = self.0.directories.iter().enumerate();
        let stopped: BTreeMap<usize, String> =
            each.filter_map(|(at, directory)| Some((at, directory.keeper.stopped()?))).collect();
        for at in stopped.keys() {
            if !self.0.directories[*at].is_fenced.get() {
                self.0.directories[*at].fence_all();
            }
        }
        stopped
    }

    /// Makes a log in the directory with the fewest, over all shards, of those that work and have room; durable when it
    /// returns. Its files come with its first batch.
    ///
    /// # Errors
    /// `Offline` when no log directory works.
    pub async fn create(
        &self,
        identity: LogIdentity,
        settings: LogSettings,
        leader_epoch: LeaderEpoch,
    ) -> Result<(), LogError> {
        let log_id = identity.log_id;
        if self.find(log_id).is_ok() {
            return Ok(());
        }
        let candidates = candidates(&self.0.directories).await;
        if self.find(log_id).is_ok() {
            return Ok(()); // somebody else made it meanwhile
        }
        let offline = || LogError::Offline { log_id, reason: "no log directory works".to_owned() };
        let chosen = self.0.roster.choose(&candidates).ok_or_else(offline)?;
        let directory = &self.0.directories[chosen];
        let state = LogState::empty(identity, leader_epoch);
        let payload = state.encode();
        let recovered = RecoveredLog { state, open: Vec::new(), fault: None, pieces: Vec::new() };
        let mut log = PartitionLog::new(recovered, settings, || directory.segment_number());
        directory.note_mode(&mut log);
        directory.logs.borrow_mut().insert(log_id, directory.states_ahead.own(log));
        let entry = Entry { log_id, ..Entry::control(EntryKind::Create) };
        let committed = directory.commit_control(entry, payload).await;
        self.count_logs();
        committed?;
        self.online(log_id).map(|_| ())
    }

    /// Forgets a log and removes its files; the deletion is durable before the first file goes.
    ///
    /// # Errors
    /// `Unknown` when this shard has no such log; `Offline` when its directory stopped, or a directory that cannot be used
    /// may hold it: the next start may know it.
    pub async fn delete(&self, log_id: LogId) -> Result<(), LogError> {
        let absent = self.0.directories.iter().find(|directory| directory.keeper.is_absent());
        let (directory, log) = match (self.find(log_id), absent) {
            (Err(LogError::Unknown { .. }), Some(absent)) => {
                let reason = absent.keeper.stopped().unwrap_or_default();
                return Err(LogError::Offline { log_id, reason: format!("it may be where {reason}") });
            }
            (found, _) => found?,
        };
        let (is_older, is_rescued) = (log.borrow().is_older, log.borrow().fault.is_some());
        log.borrow_mut().detach("it was deleted".to_owned());
        let deleted = DeletedLog { log_id, is_older, is_rescued, has_directory: true };
        directory.journal.borrow_mut().deleted.push(deleted);
        let entry = Entry { log_id, ..Entry::control(EntryKind::Delete) };
        // Files go only after the entry that says so is durable: otherwise the next start misses them.
        directory.commit_control(entry, Vec::new()).await?;
        // A write-back or large run that began before finds its file gone or not; its outcome no longer matters.
        let is_written = || {
            let log = log.borrow();
            log.writing || log.removing || log.indexing || log.reservations > 0 || log.has_run_in_flight()
        };
        while is_written() && directory.keeper.stopped().is_none() {
            directory.disk.sleep(std::time::Duration::from_millis(5)).await;
        }
        let at = self.0.directories.iter().position(|own| Rc::ptr_eq(own, directory));
        if directory.logs.borrow_mut().remove(&log_id).is_some()
            && let Some(at) = at
        {
            self.0.roster.leave(at);
        }
        directory.stats.early.leave(log_id);
        directory.unschedule(log_id, &mut log.borrow_mut());
        directory.close_files(log_id);
        let (name, memory) = {
            let log = log.borrow();
            let memory = log.segments.iter().map(|segment| segment.tail.memory_bytes()).sum();
            (directory_name(&log.identity), memory)
        };
        directory.count_memory(0, memory);
        self.count_logs();
        let removed = directory.remove_own_directory(&name, log_id).await;
        removed.map_err(|error| LogError::Offline {
            log_id,
            reason: format!("its files cannot be removed: {error}"),
        })?;
        for deleted in directory.journal.borrow_mut().deleted.iter_mut().filter(|one| one.log_id == log_id) {
            deleted.has_directory = false;
        }
        Ok(())
    }

    /// Takes new settings for a log.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn configure(&self, log_id: LogId, settings: LogSettings) -> Result<(), LogError> {
        let (directory, log) = self.find(log_id)?;
        directory.configure(&log, settings);
        Ok(())
    }

    /// Sets the leader epoch that the next batches are stamped with; it never falls.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn lead(&self, log_id: LogId, leader_epoch: LeaderEpoch) -> Result<(), LogError> {
        let (_, log) = self.find(log_id)?;
        log.borrow_mut().lead(leader_epoch);
        Ok(())
    }

    /// The log's bounds now.
    ///
    /// # Errors
    /// `Unknown`, `Offline`.
    pub fn bounds(&self, log_id: LogId) -> Result<LogBounds, LogError> {
        self.online(log_id).map(|(_, log)| log.borrow().bounds())
    }

    /// Checks one batch, gives it offsets and stages it, in memory. Appends to one log take effect in the order of
    /// the first polls; it waits only for memory and for the segment's blocks.
    ///
    /// # Errors
    /// See `AppendError`; nothing was stored.
    pub async fn stage(&self, log_id: LogId, append: &Append, now: Timestamp) -> Result<Staged, AppendError> {
        let (directory, log) = self.online(log_id)?;
        directory.append(&log, append, now).await
    }

    /// Resolves when everything below `end` is on the device and synced.
    ///
    /// # Errors
    /// `Offline` when the log's directory stopped: the outcome is unknown, no answer may claim success.
    pub fn durable(
        &self,
        log_id: LogId,
        end: Offset,
    ) -> impl Future<Output = Result<(), LogError>> + 'static + use<D> {
        let found = self.find(log_id).map(|(directory, log)| directory.reached(log, end, false));
        async move { found?.await }
    }

    /// Resolves when a producer may be answered whose records end at `end`: under `media` once they are durable, in the
    /// weaker modes as soon as they are staged.
    ///
    /// # Errors
    /// As `durable`.
    pub fn answerable(
        &self,
        log_id: LogId,
        end: Offset,
    ) -> impl Future<Output = Result<(), LogError>> + 'static + use<D> {
        let found = self.find(log_id).map(|(directory, log)| directory.reached(log, end, true));
        async move { found?.await }
    }

    /// Reads whole batches from `read.offset` on. Reading at the end gives no slices.
    ///
    /// # Errors
    /// See `ReadError`.
    pub async fn read(&self, log_id: LogId, read: Read) -> Result<ReadOutcome, ReadError> {
        let (directory, log) = self.online(log_id)?;
        let bounds = log.borrow().bounds();
        let (log_start, log_end) = (bounds.log_start, bounds.log_end);
        if read.offset < log_start || read.offset > log_end {
            return Err(ReadError::OutOfRange { offset: read.offset, log_start, log_end });
        }
        directory.read(&log, read, visible_end(&bounds, read.isolation)).await
    }

    /// Moves the log's start up to `start`: records below it are gone for every reader, their segments' files follow. The
    /// start never falls. Returns it once that is durable.
    ///
    /// # Errors
    /// `OutOfRange` above the high watermark; else as `read`.
    pub async fn raise_start(&self, log_id: LogId, start: Offset) -> Result<Offset, ReadError> {
        let (directory, log) = self.online(log_id)?;
        directory.raise_start(&log, start).await
    }

    /// Bytes a reader at `offset` could get now, an estimate from above: for `min_bytes`.
    ///
    /// # Errors
    /// As `read`.
    pub fn readable_bytes(
        &self,
        log_id: LogId,
        offset: Offset,
        isolation: Isolation,
    ) -> Result<u64, ReadError> {
        let (_, log) = self.online(log_id)?;
        let log = log.borrow();
        let end = visible_end(&log.bounds(), isolation);
        if offset >= end {
            return Ok(0);
        }
        let mut bytes = 0;
        // What ends below the offset lies before a gap.
        for segment in log.segments.iter().rev().take_while(|segment| segment.offset_end > offset) {
            let start = if segment.base >= offset {
                0
            } else {
                let known = segment.tail.batches_at(offset).next().filter(|batch| batch.base <= offset);
                known.map_or(0, |batch| batch.start.as_u64())
            };
            bytes += log.readable_end(segment).as_u64().saturating_sub(start);
            if segment.base <= offset {
                break;
            }
        }
        Ok(bytes)
    }

    /// Resolves when one of these logs may show more than up to the offset beside it, or is gone.
    pub fn watch(&self, logs: Vec<(LogId, Offset)>) -> impl Future<Output = ()> + 'static + use<D> {
        let mut watch = Watch { engine: self.clone(), logs, waker: None };
        poll_fn(move |context| watch.poll(context))
    }

    /// The first record at or after a time, below the high watermark.
    ///
    /// # Errors
    /// As `read`.
    pub async fn offset_for_time(
        &self,
        log_id: LogId,
        time: Timestamp,
    ) -> Result<Option<TimedOffset>, ReadError> {
        let (directory, log) = self.online(log_id)?;
        directory.find_time(&log, time, false).await
    }

    /// The record with the greatest timestamp (the first such).
    ///
    /// # Errors
    /// As `read`.
    pub async fn offset_of_max_timestamp(&self, log_id: LogId) -> Result<Option<TimedOffset>, ReadError> {
        let (directory, log) = self.online(log_id)?;
        directory.find_time(&log, Timestamp::NONE, true).await
    }

    /// Leader epoch of the record at `offset`, or of the last one at the log's end; `None` for an empty log.
    ///
    /// # Errors
    /// `Unknown`, `Offline`.
    pub fn epoch_at(&self, log_id: LogId, offset: Offset) -> Result<Option<LeaderEpoch>, LogError> {
        self.online(log_id).map(|(_, log)| log.borrow().epochs().at(offset))
    }

    /// Where an epoch ended: for `OffsetForLeaderEpoch`. `None` for an epoch above the current one or below all known.
    ///
    /// # Errors
    /// `Unknown`, `Offline`.
    pub fn epoch_end(&self, log_id: LogId, leader_epoch: LeaderEpoch) -> Result<Option<EpochEnd>, LogError> {
        let (_, log) = self.online(log_id)?;
        let log = log.borrow();
        let bounds = log.bounds();
        let found = log.epochs().end_of(leader_epoch, bounds.leader_epoch, bounds.high_watermark);
        Ok(found.map(|(leader_epoch, end)| EpochEnd { leader_epoch, end }))
    }

    /// A clean stop: everything staged becomes durable, segment files get their exact length, the stop is marked.
    /// Nothing may be appended meanwhile.
    ///
    /// # Errors
    /// When a log directory had stopped or stops now: the next start recovers.
    pub async fn stop(&self) -> Result<(), String> {
        let mut outcome = Ok(());
        for directory in self.0.directories.iter().filter(|directory| !directory.keeper.is_absent()) {
            let stopped = directory.stop().await;
            outcome = outcome.and(stopped);
        }
        outcome
    }

    /// Ends as a killed process does: nothing more is written, nobody is answered.
    #[cfg(test)]
    pub(crate) async fn abandon(&self) {
        for directory in &self.0.directories {
            directory.keeper.stop("the test ended it");
            directory.commit_wanted.set();
            directory.lap_wanted.set();
            directory.space_freed.set();
            directory.commit_loop_done.wait().await;
            directory.lap_loop_done.wait().await;
            directory.logs.borrow_mut().clear();
            directory.close_all().await;
        }
    }

    /// As a fault of ours would.
    #[cfg(test)]
    pub(crate) fn panic_in_a_loop(&self) {
        for directory in &self.0.directories {
            let work = async { unreachable!("the test wants a panic") };
            directory.disk.spawn(false, super::start::guarded(Rc::clone(directory), work));
        }
    }

    /// Keeps write-back away from a log, and with it the journals that hold its bytes.
    #[cfg(test)]
    pub(crate) fn hold_back(&self, log_id: LogId) {
        let (_, log) = self.find(log_id).unwrap();
        log.borrow_mut().writing = true;
    }

    /// Write-back may come to a log again that was held back.
    #[cfg(test)]
    pub(crate) fn let_go(&self, log_id: LogId) {
        let (directory, log) = self.find(log_id).unwrap();
        log.borrow_mut().writing = false;
        directory.lap_wanted.set();
    }

    /// Where the last record ends that the log holds; `None` when it holds none. Behind it may be a gap.
    #[cfg(test)]
    pub(crate) fn records_end(&self, log_id: LogId) -> Option<Offset> {
        let (_, log) = self.find(log_id).unwrap();
        let log = log.borrow();
        log.segments.iter().rev().find(|segment| segment.bytes() > 0).map(|segment| segment.offset_end)
    }

    /// The epoch of this producer and the sequence that its next batch must have, if it is known.
    #[cfg(test)]
    pub(crate) fn newest_sequence(&self, log_id: LogId, producer_id: i64) -> Option<(i16, i32)> {
        let (_, log) = self.find(log_id).unwrap();
        let log = log.borrow();
        log.newest_sequence(producer_id)
    }

    /// The journal files in use, oldest first.
    #[cfg(test)]
    pub(crate) fn journals(&self) -> Vec<std::path::PathBuf> {
        let journal = self.0.directories[0].journal.borrow();
        journal.used.iter().map(|used| super::keeper::journal_path(used.file)).collect()
    }

    /// Where everybody stands, for a test that ended badly.
    #[cfg(test)]
    pub(crate) fn describe(&self) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        for directory in &self.0.directories {
            let journal = directory.journal.borrow();
            let _ = write!(
                text,
                "\n tail memory {}, available {}, used {:?}, needs old {}, queue {}, runs {}, at {:?}",
                directory.memory.bytes.get(),
                directory.keeper.available(),
                journal.used,
                journal.needs_old,
                directory.queue.borrow().len(),
                directory.runs.get(),
                journal.current.as_ref().map(|current| current.position),
            );
            for log in directory.logs.borrow().values() {
                text += &log.borrow().describe();
            }
        }
        text
    }

    /// The settings this engine was started with.
    pub fn settings(&self) -> &EngineSettings {
        &self.0.settings
    }

    /// Batches appended so far on this shard: for tests.
    pub fn batches_appended(&self) -> u64 {
        self.0.stats.batches_total.load(Ordering::Relaxed)
    }
}

fn visible_end(bounds: &LogBounds, isolation: Isolation) -> Offset {
    match isolation {
        Isolation::Uncommitted => bounds.high_watermark,
        Isolation::Committed => bounds.last_stable,
    }
}

/// Waits for growth; when it ends, for whatever reason, no log keeps its waker: a log that never grows would collect
/// those of every fetch that named it.
struct Watch<D: Disk> {
    engine: Engine<D>,
    logs: Vec<(LogId, Offset)>,
    /// What the logs hold of this watch.
    waker: Option<Waker>,
}

impl<D: Disk> Watch<D> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let grown = |(log_id, seen): &(LogId, Offset)| {
            self.engine.bounds(*log_id).map_or(true, |bounds| bounds.high_watermark > *seen)
        };
        if self.logs.iter().any(grown) {
            return Poll::Ready(());
        }
        if self.waker.as_ref().is_none_or(|known| !known.will_wake(context.waker())) {
            self.forget();
            self.waker = Some(context.waker().clone());
        }
        for (log_id, _) in &self.logs {
            if let Ok((_, log)) = self.engine.find(*log_id) {
                let watchers = &mut log.borrow_mut().watchers;
                if !watchers.iter().any(|known| known.will_wake(context.waker())) {
                    watchers.push(context.waker().clone());
                }
            }
        }
        Poll::Pending
    }

    fn forget(&mut self) {
        let Some(waker) = self.waker.take() else { return };
        for (log_id, _) in &self.logs {
            if let Ok((_, log)) = self.engine.find(*log_id) {
                log.borrow_mut().watchers.retain(|known| !known.will_wake(&waker));
            }
        }
    }
}

impl<D: Disk> Drop for Watch<D> {
    fn drop(&mut self) {
        self.forget();
    }
}

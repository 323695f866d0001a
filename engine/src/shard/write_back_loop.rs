//! Laps: what the journal holds goes to the segments in large pieces, is synced, and only then a checkpoint says so
//! and journal files are free again.
//!
//! A lap serves the logs that need the oldest files, oldest first, a few at a time, slowly while there is room and as
//! fast as the disk goes when there is none.

use super::api::LogError;
use super::directory::{Directory, Item, SharedLog, UsedFile};
use super::signal::Done;
use super::stats::EngineStats;
use crate::io::{BLOCK_BYTES, Disk, DiskFile, IO_BYTES_MAX, aligned_up, is_full};
use crate::journal::{Entry, EntryKind, FileSeq, encode_older};
use crate::log::WriteBack;
use crate::segment::Stage;
use crate::units::{FilePos, LogId, Timestamp};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// Logs written back at once.
const WORKERS: usize = 4;
/// The same where there is little of each log, while no more than a quarter of the journal's files could be begun: a device
/// carries out several syncs in the time of one. On two CPUs and more a ring has at least eight workers for what blocks (four a
/// CPU), and a commit's sync needs one.
const HURRIED_WORKERS: usize = 7;
/// Bytes of one write while write-back goes at its rate, one at a time for each worker and begun while no commit is under way: it
/// would wait at the device for what was handed to that before.
const PACED_BYTES: u64 = 64 << 10;
/// It waits for a commit no longer than one such write may take at its rate, and never longer than this.
const PACED_WAIT_MAX: Duration = Duration::from_millis(10);
/// A smaller write holds up nobody, and there may be ten thousand of them in a lap.
const SMALL_BYTES: u64 = 32 << 10;
/// Logs whose states a lap hands to the next commit at once: with what is left of their tails less than 300 KiB.
const CHECKPOINTED_AT_ONCE: usize = 64;
/// Where there is less of each log than this on average, laps begin later and find more: a write and a sync of a few
/// KiB for each of thousands of logs cost a core half of its time.
const GATHERED_BYTES: u64 = 32 << 10;
/// Pause after a lap that freed nothing.
const LAP_PAUSE: Duration = Duration::from_millis(1);
/// How often sealed segments and expired producers are looked for.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Retention that is asked for more often than this would do nothing but look.
const RETENTION_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// A lap under way, shared by its workers.
struct Lap {
    waiting: RefCell<VecDeque<LogId>>,
    workers: Cell<usize>,
    outcome: RefCell<io::Result<()>>,
    done: Done,
}

impl<D: Disk> Directory<D> {
    /// The loop; ends when the directory closes or stops.
    pub(crate) async fn write_back_loop(self: Rc<Self>) {
        let mut looked = self.disk.now();
        loop {
            let retention =
                Duration::from_millis(self.settings.retention_check_ms).max(RETENTION_INTERVAL_MIN);
            let scrub = Duration::from_millis(self.settings.scrub_interval_ms).max(RETENTION_INTERVAL_MIN);
            let upkeep = self.disk.sleep(UPKEEP_INTERVAL.min(retention).min(scrub));
            futures_lite::future::or(self.lap_wanted.wait(), upkeep).await;
            if self.closing.get() || self.keeper.stopped().is_some() {
                break;
            }
            if self.disk.now() - looked >= UPKEEP_INTERVAL {
                looked = self.disk.now();
                self.keeper.look_for_room();
                self.expire_producers().await;
            }
            self.upkeep_if_due();
            self.scrub_if_due();
            match self.lap_if_needed().await {
                Ok(true) => {}
                // Whoever wants space asks again at once, and something else has to happen first.
                Ok(false) => self.disk.sleep(LAP_PAUSE).await,
                Err(error) => {
                    self.fail("write-back", &error);
                    break;
                }
            }
        }
        self.lap_loop_done.set();
    }

    async fn expire_producers(&self) {
        let horizon = Timestamp(self.disk.wall_ms() as i64 - self.settings.producer_expiration_ms);
        self.producers_come.set(0);
        let mut count = 0;
        self.each_log(|_, log| count += Self::forget_producers_of(log, horizon)).await;
        // Who came meanwhile may be counted twice, until the next look: never too few.
        self.producers.set(count + self.producers_come.get());
    }

    fn forget_producers(&self, horizon: Timestamp) {
        self.producers
            .set(self.logs.borrow().values().map(|log| Self::forget_producers_of(log, horizon)).sum());
    }

    /// How many it remembers now. Only a log that forgets one is borrowed to change it: its state would be encoded anew.
    fn forget_producers_of(log: &SharedLog, horizon: Timestamp) -> usize {
        if log.borrow().has_expired_producers(horizon) {
            log.borrow_mut().expire_producers(horizon);
        }
        log.borrow().producer_count()
    }

    /// A log remembers one producer more. Past the bound of the shard the tenth that is idle for longest is forgotten,
    /// wherever it wrote: what all logs remember has to fit the table at the head of a journal file.
    pub(crate) fn count_producer(&self) {
        self.producers.set(self.producers.get() + 1);
        self.producers_come.set(self.producers_come.get() + 1);
        let producers_max = self.settings.producers_max;
        if self.producers.get() <= producers_max {
            return;
        }
        let mut seen: Vec<Timestamp> = Vec::with_capacity(self.producers.get());
        self.logs.borrow().values().for_each(|log| log.borrow().producers_seen(&mut seen));
        let excess = seen.len().saturating_sub(producers_max - producers_max / 10);
        if excess > 0 {
            let (_, newest_forgotten, _) = seen.select_nth_unstable(excess - 1);
            let horizon = Timestamp(newest_forgotten.0 + 1);
            tracing::warn!(
                excess,
                "more idempotent producers than a shard remembers: the longest idle are forgotten"
            );
            self.forget_producers(horizon);
        } else {
            self.producers.set(seen.len());
        }
    }

    /// `false` when the last lap freed nothing.
    async fn lap_if_needed(self: &Rc<Self>) -> io::Result<bool> {
        loop {
            let (dirty_bytes, dirty_logs) = self.look_at_dirty().await;
            self.gathers.set(dirty_bytes < dirty_logs * GATHERED_BYTES);
            let short =
                self.available() <= self.settings.journal_files_max / if self.gathers.get() { 4 } else { 2 };
            let dirty_max = self.settings.tail_memory_bytes as u64 / 2;
            let dirty = self.memory.bytes.get() > self.settings.tail_memory_bytes || dirty_bytes > dirty_max;
            let (cut, may_free) = {
                let journal = self.journal.borrow();
                let may_free = journal.needs_old || journal.used.len() > self.files_kept();
                let half = journal.used.len() / 2;
                let cut = match journal.used.get(half.saturating_sub(1)) {
                    _ if journal.needs_old => Some(FileSeq(0)),
                    _ if dirty => journal.used.back().map(|used| used.seq),
                    Some(used) if short && journal.used.len() > 1 => Some(used.seq),
                    _ => None,
                };
                (cut, may_free)
            };
            // Early enough: what no log needs any more can go as soon as another file is begun.
            let mut logs = match cut {
                Some(cut) => self.logs_pinning(cut).await,
                None => Vec::new(),
            };
            if logs.is_empty() && (cut.is_none() || !may_free) {
                logs = self.logs_to_seal().await;
                if logs.is_empty() {
                    return Ok(true);
                }
            }
            let before = (self.available(), self.journal.borrow().needs_old);
            self.lap(logs, cut).await?;
            if (self.available(), self.journal.borrow().needs_old) == before {
                return Ok(false); // what is left is below a block each, or was staged meanwhile
            }
        }
    }

    /// Logs with bytes in files up to `cut` that are in no segment yet, the oldest first.
    async fn logs_pinning(&self, cut: FileSeq) -> Vec<LogId> {
        let mut pinning: Vec<(FileSeq, LogId)> = Vec::new();
        self.look_at_logs(|log_id, log| {
            pinning.extend(log.pins.oldest().filter(|seq| *seq <= cut).map(|seq| (seq, log_id)));
        })
        .await;
        pinning.sort_unstable();
        pinning.into_iter().map(|(_, log_id)| log_id).collect()
    }

    async fn logs_to_seal(&self) -> Vec<LogId> {
        let mut sealing = Vec::new();
        self.look_at_logs(|log_id, log| {
            let has_sealing = || log.segments.iter().any(|segment| segment.stage == Stage::Sealing);
            sealing.extend((!log.is_detached && has_sealing()).then_some(log_id));
        })
        .await;
        sealing
    }

    /// Bytes of all tails that are in no segment yet, and how many logs have some.
    async fn look_at_dirty(&self) -> (u64, u64) {
        let (mut bytes, mut logs) = (0, 0);
        self.look_at_logs(|_, log| {
            let of_log = log.dirty_bytes();
            bytes += of_log;
            logs += u64::from(of_log > 0);
        })
        .await;
        (bytes, logs)
    }

    /// Writes these logs back, checkpoints them, and frees the journal files that nobody needs then.
    pub(crate) async fn lap(self: &Rc<Self>, logs: Vec<LogId>, cut: Option<FileSeq>) -> io::Result<()> {
        EngineStats::add(&self.stats.laps_total, 1);
        let lap = Rc::new(Lap {
            waiting: RefCell::new(VecDeque::from(logs.clone())),
            workers: Cell::new(0),
            outcome: RefCell::new(Ok(())),
            done: Done::default(),
        });
        for _ in 0..logs.len().clamp(1, WORKERS) {
            self.add_lap_worker(&lap);
        }
        lap.done.wait().await;
        lap.outcome.replace(Ok(()))?;
        self.wait_for_runs(&logs).await;
        self.checkpoint(&logs, cut).await;
        self.free_files().await;
        while self.release_memory() {
            self.step_back().await;
        }
        Ok(())
    }

    /// Without a free file, until the runs of these logs are carried. A run holds its log's oldest file, and no state can
    /// tell of it before: checkpoints meanwhile would free nothing, and fill the room that is left for it.
    async fn wait_for_runs(&self, logs: &[LogId]) {
        let has_run = |log_id: &LogId| {
            self.log(*log_id).is_some_and(|log| {
                let log = log.borrow();
                log.has_run() && !log.is_detached
            })
        };
        while self.available() == 0 && self.keeper.stopped().is_none() && logs.iter().any(has_run) {
            self.disk.sleep(LAP_PAUSE).await;
        }
    }

    fn add_lap_worker(self: &Rc<Self>, lap: &Rc<Lap>) {
        lap.workers.set(lap.workers.get() + 1);
        let (directory, lap) = (Rc::clone(self), Rc::clone(lap));
        // On a busy core the background gets a tenth: too little when appends wait for its end.
        self.disk.spawn(!self.is_pressed(), async move {
            let result = directory.lap_worker(&lap).await;
            if result.is_err() {
                lap.waiting.borrow_mut().clear();
                *lap.outcome.borrow_mut() = result;
            }
            lap.workers.set(lap.workers.get() - 1);
            if lap.workers.get() == 0 {
                lap.done.set();
            }
        });
    }

    async fn lap_worker(self: &Rc<Self>, lap: &Rc<Lap>) -> io::Result<()> {
        loop {
            let Some(log_id) = lap.waiting.borrow_mut().pop_front() else { return Ok(()) };
            let Some(log) = self.log(log_id) else { continue };
            if self.is_hurried()
                && lap.workers.get() < self.hurried_workers()
                && !lap.waiting.borrow().is_empty()
            {
                self.add_lap_worker(lap);
            }
            self.write_back(&log, lap.workers.get() as u64).await?;
            self.disk.yield_now().await;
        }
    }

    /// Writes the full blocks that a log has now to its segments, completes those that are to be sealed. What is
    /// appended meanwhile is for the next lap, or for a large run: a lap ends whatever comes in.
    pub(crate) async fn write_back(self: &Rc<Self>, log: &SharedLog, workers: u64) -> io::Result<()> {
        let open = log.borrow().segments.iter().filter(|segment| segment.stage != Stage::Sealed).count();
        for _ in 0..=open {
            let Some(planned) = log.borrow_mut().plan_write_back() else { return Ok(()) };
            if let Err(error) = self.write_planned(log, &planned, workers).await {
                // At once, before the other workers are done: no commit may be answered after a failed sync.
                self.fail("write-back", &error);
                log.borrow_mut().writing = false;
                return Err(error);
            }
            let (log_id, freed) = {
                let mut log = log.borrow_mut();
                self.note_releasable(&mut log);
                (log.identity.log_id, log.on_written_back(&planned))
            };
            if planned.seal {
                self.close_sealed(log_id, planned.base);
                self.note_index(log_id, planned.base);
            }
            self.count_memory(0, freed);
            self.commit_wanted.set(); // a large run of this log may have waited
            EngineStats::add(
                &self.stats.write_back_bytes_total,
                planned.range.end.as_u64() - planned.range.start.as_u64(),
            );
        }
        Ok(())
    }

    /// The journal's space gets short: what frees it must not wait.
    fn is_pressed(&self) -> bool {
        let pressed_at = if self.gathers.get() { 0 } else { self.settings.journal_files_max / 4 };
        self.closing.get() || self.available() <= pressed_at
    }

    /// Log directories of a core share its ring.
    fn hurried_workers(&self) -> usize {
        (HURRIED_WORKERS / self.settings.directories.len().max(1)).max(WORKERS)
    }

    /// A lap whose time goes into syncs may come too late.
    fn is_hurried(&self) -> bool {
        self.gathers.get() && self.available() <= self.settings.journal_files_max / 4
    }

    async fn write_planned(&self, log: &SharedLog, planned: &WriteBack, workers: u64) -> io::Result<()> {
        self.write_segment(log, planned, Some(workers)).await?;
        if planned.seal { self.complete_segment(log, planned).await } else { Ok(()) }
    }

    /// Writes a stretch of a tail to the segment's file and syncs it. The last block is padded with zeros. With `workers`
    /// it is one of so many writes that share the rate of write-back.
    pub(crate) async fn write_segment(
        &self,
        log: &SharedLog,
        planned: &WriteBack,
        workers: Option<u64>,
    ) -> io::Result<()> {
        if planned.range.start == planned.range.end {
            return Ok(());
        }
        let file = self.segment_file(log, planned.base, true).await?;
        let mut at = planned.range.start.as_u64();
        let end = planned.range.end.as_u64();
        let share = workers.map_or(0, |workers| self.settings.write_back_bytes_per_s / workers.max(1));
        let start = self.disk.now();
        let mut in_flight: VecDeque<Rc<Done>> = VecDeque::new();
        let failed: Rc<RefCell<Option<io::Error>>> = Rc::default();
        while at < end {
            let is_paced = share > 0 && !self.is_pressed();
            let (piece_bytes, in_flight_max) =
                if is_paced { (PACED_BYTES, 1) } else { (IO_BYTES_MAX as u64, 4) };
            let piece_end = end.min(at + piece_bytes);
            if is_paced && piece_end - at > SMALL_BYTES {
                let longest = Duration::from_micros(piece_bytes * 1_000_000 / share).min(PACED_WAIT_MAX);
                self.cold.calm_for(&self.disk, longest).await;
            }
            let mut blocks = file.buffer((aligned_up(piece_end) - at) as usize);
            Self::fill_blocks(log, planned, at, piece_end, blocks.as_mut());
            let done = Rc::new(Done::default());
            in_flight.push_back(Rc::clone(&done));
            let (file, failed, position) = (Rc::clone(&file), Rc::clone(&failed), at);
            self.disk.spawn(false, async move {
                if let Err(error) = file.write(position, blocks).await {
                    failed.borrow_mut().get_or_insert(error);
                }
                done.set();
            });
            at = piece_end;
            if in_flight.len() >= in_flight_max
                && let Some(first) = in_flight.pop_front()
            {
                first.wait().await;
            }
            let written = at - planned.range.start.as_u64();
            if let Some(due_us) = (written * 1_000_000).checked_div(share)
                && !self.is_pressed()
            {
                let ahead = Duration::from_micros(due_us).saturating_sub(self.disk.now() - start);
                if ahead > Duration::from_millis(1) {
                    self.disk.sleep(ahead.min(Duration::from_millis(100))).await;
                }
            }
        }
        for done in in_flight {
            done.wait().await;
        }
        // An earlier life cut it to its length, which comes after all of it was synced, and ended before a commit said so.
        let found_no_room = failed.borrow().as_ref().is_some_and(is_full);
        if found_no_room && planned.seal && ends_in_last_block(file.bytes().await?, end) {
            failed.take();
        }
        if let Some(error) = failed.borrow_mut().take() {
            return Err(error);
        }
        file.sync().await
    }

    fn fill_blocks(log: &SharedLog, planned: &WriteBack, at: u64, end: u64, blocks: &mut [u8]) {
        let log = log.borrow();
        let Some(segment) = log.segment(planned.base) else { unreachable!("a segment being written stays") };
        let (data, padding) = blocks.split_at_mut((end - at) as usize);
        debug_assert!(padding.len() < BLOCK_BYTES);
        segment.tail.copy_to(FilePos::new(at)..FilePos::new(end), data);
        padding.fill(0);
    }

    /// Cuts a complete segment to its length and writes its index beside it.
    async fn complete_segment(&self, log: &SharedLog, planned: &WriteBack) -> io::Result<()> {
        let file = self.segment_file(log, planned.base, true).await?;
        file.cut(planned.range.end.as_u64()).await?;
        file.sync().await?;
        let index = {
            let log = log.borrow();
            let segment = log.segment(planned.base);
            segment.and_then(|segment| {
                let bytes = segment.index.as_ref()?.encode(planned.range.end.as_u64());
                Some((segment.index_path(&log.directory_name), bytes))
            })
        };
        match index {
            // Not synced: an index that does not check is built again, as is one that a full disk had no room for.
            Some((path, bytes)) => match self.disk.replace_small(&path, bytes, false).await {
                Err(error) if is_full(&error) => Ok(()),
                outcome => outcome,
            },
            None => Ok(()),
        }
    }

    /// Puts the logs' states into the journal, and what is left of tails that old files still hold. A few at a time
    /// while there is room: what is produced meanwhile stands in the queue behind them.
    pub(crate) async fn checkpoint(self: &Rc<Self>, logs: &[LogId], cut: Option<FileSeq>) {
        let mut rest = logs;
        loop {
            let at_once = if self.is_pressed() { rest.len() } else { rest.len().min(CHECKPOINTED_AT_ONCE) };
            let (next, later) = rest.split_at(at_once);
            for log_id in next {
                let Some(log) = self.log(*log_id) else { continue };
                let mut log = log.borrow_mut();
                log.state_wanted = true;
                log.copy_wanted =
                    cut.is_some_and(|cut| log.pins.oldest().is_some_and(|oldest| oldest <= cut));
                self.enqueue(*log_id, &mut log);
            }
            self.barrier().await;
            rest = later;
            if rest.is_empty() {
                return;
            }
        }
    }

    /// Resolves when all that is queued now has been carried once, or the directory has stopped.
    pub(crate) async fn barrier(&self) {
        self.queue_and_wait(Item::Barrier).await;
    }

    /// Resolves when the entry is durable.
    ///
    /// # Errors
    /// `Offline` when the directory stopped: whether the entry is there, the next start says.
    pub(crate) async fn commit_control(&self, entry: Entry, payload: Vec<u8>) -> Result<(), LogError> {
        let log_id = entry.log_id;
        self.queue_and_wait(|done| Item::Control { entry, payload, done }).await;
        match self.keeper.stopped() {
            Some(reason) => Err(LogError::Offline { log_id, reason }),
            None => Ok(()),
        }
    }

    async fn queue_and_wait(&self, item: impl FnOnce(Rc<Done>) -> Item) {
        // Nobody looks into the queue of a directory that has stopped.
        if self.keeper.stopped().is_some() {
            return;
        }
        let done = Rc::new(Done::default());
        self.queue.borrow_mut().push_back(item(Rc::clone(&done)));
        self.commit_wanted.set();
        done.wait().await;
    }

    /// Gives back the journal files that no log needs.
    async fn free_files(self: &Rc<Self>) {
        // A log that was looked at may get bytes into a file that is begun meanwhile, or into the current one.
        let mut oldest = self.journal.borrow().used.back().map(|used| used.seq);
        self.look_at_logs(|_, log| oldest = oldest.into_iter().chain(log.pins.oldest()).min()).await;
        if self.journal.borrow().needs_old && oldest.is_none_or(|oldest| oldest > FileSeq(0)) {
            // Durable before a file of an earlier start is used again: a later recovery must not read what is left.
            let rescues = {
                let mut journal = self.journal.borrow_mut();
                journal.needs_old = false;
                journal.older.clear();
                encode_older(&journal.rescues)
            };
            let entry = Entry { position: self.shard_count, ..Entry::control(EntryKind::OldDone) };
            // Twice: who cannot read it would ask for files that are in other use by then.
            let (first, second) =
                (self.commit_control(entry, rescues.clone()), self.commit_control(entry, rescues));
            if let (Ok(()), Ok(())) = futures_lite::future::zip(first, second).await {
                self.keeper.old_done();
            }
        }
        while self.journal.borrow().used.len() > self.files_kept() {
            let mut journal = self.journal.borrow_mut();
            let is_free = |used: &mut UsedFile| oldest.is_none_or(|oldest| oldest > used.seq);
            let Some(freed) = journal.used.pop_front_if(is_free) else { break };
            EngineStats::set(&self.stats.journal_files_used, journal.used.len() as u64);
            self.keeper.free(freed.file);
        }
        self.space_freed.set();
        self.commit_wanted.set();
    }
}

impl<D: Disk> Directory<D> {
    /// The last lap of a clean stop: everything durable, full blocks written back, the last blocks padded, files cut
    /// to their data, a checkpoint of all logs, the mark.
    pub(crate) async fn stop(self: &Rc<Self>) -> Result<(), String> {
        self.stop_early_answers();
        self.barrier_until_empty().await;
        let logs: Vec<LogId> = self.logs.borrow().keys().copied().collect();
        // Of a directory that stopped the fate of the last commit is unknown: what it says of runs beyond the logs' ends in
        // memory must stay as it is, or the next start finds the commit and not the bytes.
        let outcome = if self.keeper.stopped().is_some() { Ok(()) } else { self.stop_orderly(&logs).await };
        if let Err(error) = &outcome {
            self.fail("the stop", error); // the other shards are told before they commit more
        }
        self.closing.set(true);
        self.lap_wanted.set();
        // A lap under way still has its checkpoint to commit.
        self.lap_loop_done.wait().await;
        self.commit_wanted.set();
        self.commit_loop_done.wait().await;
        if let Some(reason) = self.keeper.stopped() {
            return Err(reason);
        }
        outcome.map_err(|error| error.to_string())?;
        let marked =
            self.write_clean_stop().await.inspect_err(|error| self.fail("the mark of the stop", error));
        marked.map_err(|error| error.to_string())?;
        self.close_all().await;
        Ok(())
    }

    async fn barrier_until_empty(self: &Rc<Self>) {
        while self.keeper.stopped().is_none() && (!self.queue.borrow().is_empty() || self.runs.get() > 0) {
            self.barrier().await;
            self.disk.sleep(Duration::from_millis(1)).await;
        }
    }

    async fn stop_orderly(self: &Rc<Self>, logs: &[LogId]) -> io::Result<()> {
        self.lap(logs.to_vec(), None).await?;
        for log_id in logs {
            let Some(log) = self.log(*log_id) else { continue };
            while log.borrow().writing && self.keeper.stopped().is_none() {
                self.disk.sleep(Duration::from_millis(1)).await;
            }
            // A lap under way must not seal the segment meanwhile: its memory would go.
            log.borrow_mut().writing = true;
            let outcome = self.write_last_block(&log).await;
            log.borrow_mut().writing = false;
            outcome?;
        }
        self.checkpoint(logs, None).await;
        Ok(())
    }

    /// Writes the padded last block of the active segment and cuts the file to its data, so that others can read it
    /// to the end. The journal still holds those bytes: the next start counts on them, not on this.
    async fn write_last_block(self: &Rc<Self>, log: &SharedLog) -> io::Result<()> {
        let (planned, keeps_blocks) = {
            let log = log.borrow();
            let active = log
                .segments
                .last()
                .filter(|segment| !log.is_detached && segment.tail.durable_end() > FilePos::ZERO);
            let planned = active.map(|active| WriteBack {
                base: active.base,
                range: active.tail.plan_write_back(true),
                seal: false,
            });
            (planned, log.settings.keeps_blocks)
        };
        let Some(planned) = planned else { return Ok(()) };
        // Not held on: if it is closed meanwhile, to make room for others, whoever opens it anew waits for its lock.
        let file_bytes = self.segment_file(log, planned.base, true).await?.bytes().await?;
        let end = planned.range.end.as_u64();
        let is_cut = ends_in_last_block(file_bytes, end);
        if is_cut && file_bytes == end {
            return Ok(()); // an earlier stop has done it, and nothing came since
        }
        if !is_cut {
            self.write_segment(log, &planned, None).await?;
        }
        if keeps_blocks {
            return Ok(());
        }
        let file = self.segment_file(log, planned.base, true).await?;
        file.cut(end).await?;
        file.sync().await
    }
}

/// Whether a file of so many bytes was cut to `end`, behind its last batch: whatever is written is as long as whole blocks.
/// Where those of the file system are smaller than ours, the rest of the last one was given away with that, and a full disk
/// refuses to write it. A reservation that failed since may have made the file longer, up to the end of the file system's block.
fn ends_in_last_block(file_bytes: u64, end: u64) -> bool {
    (end..aligned_up(end)).contains(&file_bytes)
}

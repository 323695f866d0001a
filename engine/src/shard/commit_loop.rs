//! Carries out what the logs want made durable: one write, one sync, everybody is answered.
//!
//! One commit is in flight; while it is at the device the next one fills by itself. A commit is never raced, timed
//! out or dropped: the outcome of a cancelled write is unknown.

use super::directory::{Current, Directory, Item, SharedLog};
use super::signal::{Done, Signal};
use super::states::States;
use super::stats::EngineStats;
use crate::io::{Disk, DiskFile};
use crate::journal::{COMMIT_BYTES_MAX, Entry, EntryKind, FileSeq, Planned, commit_bytes, encode_commit};
use crate::log::{Part, PartitionLog, Urgency, WriteBack};
use crate::units::{LogId, Offset};
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Logs whose large runs may be under way at once.
const RUNS_MAX: usize = 4;
/// A journal that was idle this long writes one empty commit: witness that the last one was synced.
const WITNESS_DELAY: Duration = Duration::from_millis(200);
/// The next file's table is encoded ahead when only this part of a file is left: late, since what changes meanwhile is
/// encoded again.
const AHEAD_PART: u64 = 16;
/// How often a journal without space looks whether another shard freed some.
const SPACE_PAUSE: Duration = Duration::from_millis(100);

/// One entry of the commit that is being made.
pub(super) struct Carried {
    pub(super) entry: Entry,
    pub(super) source: Source,
}

pub(super) enum Source {
    /// Bytes of a log's tail.
    Log {
        log: SharedLog,
        part: Part,
    },
    Owned(Vec<u8>),
    /// The state of a log, one of many.
    State {
        states: Rc<States>,
        range: Range<usize>,
    },
}

/// How much of the current journal file a commit may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// As much as a commit ever takes.
    Whole,
    /// So many bytes, until a file becomes free: for what frees files only.
    Rest(u64),
}

/// All that the next commit carries.
#[derive(Default)]
struct Load {
    carried: Vec<Carried>,
    payload_bytes: usize,
    dones: Vec<Rc<Done>>,
}

/// However a commit ends, who waits for it goes on, and asks whether the directory stopped.
impl Drop for Load {
    fn drop(&mut self) {
        self.dones.iter().for_each(|done| done.set());
    }
}

impl<D: Disk> Directory<D> {
    /// The loop; ends when the directory closes or stops.
    pub(crate) async fn commit_loop(self: Rc<Self>) {
        let mut witness_at: Option<Instant> = None;
        loop {
            self.queue_due();
            let idle = self.queue.borrow().is_empty();
            let witness = idle && witness_at.is_some_and(|at| at <= self.disk.now());
            if idle {
                let rests =
                    self.runs.get() == 0 && !self.upkeep.is_under_way() && self.lap_loop_done.is_done();
                if self.closing.get() && rests {
                    break;
                }
            }
            if self.keeper.stopped().is_some() {
                self.fence_all();
                break;
            }
            if idle && !witness {
                self.rest_until(witness_at.into_iter().chain(self.timetable.first()).min()).await;
                continue;
            }
            if let Err(error) = self.commit_once(witness).await {
                self.fail("journal", &error);
                break;
            }
            // A commit of nothing but a witness needs no further witness.
            witness_at = (!witness).then(|| self.disk.now() + WITNESS_DELAY);
            self.disk.yield_now().await;
        }
        self.commit_loop_done.set();
    }

    /// Until something is queued, or it is time.
    async fn rest_until(&self, time: Option<Instant>) {
        let wanted = self.commit_wanted.wait();
        let Some(time) = time else { return wanted.await };
        let pause = time.saturating_duration_since(self.disk.now());
        futures_lite::future::or(wanted, self.disk.sleep(pause)).await;
    }

    async fn commit_once(self: &Rc<Self>, witness: bool) -> io::Result<()> {
        let room = self.make_room().await?;
        let load = self.load(room);
        if load.carried.is_empty() && !(witness && room == Room::Whole) {
            drop(load);
            if !self.queue.borrow().is_empty() {
                // What is queued waits for space, for a run, or for a write-back of its own log.
                if self.starved() {
                    self.lap_wanted.set();
                }
                self.wait_for_space(&self.commit_wanted).await;
            }
            return Ok(());
        }
        let start_ms = self.disk.wall_ms();
        let file = self.write(&load.carried, load.payload_bytes).await?;
        let mut has_batches = false;
        for carried in &load.carried {
            if let Source::Log { log, part } = &carried.source {
                let mut borrowed = log.borrow_mut();
                if !borrowed.is_detached {
                    has_batches |= matches!(part, Part::Data { .. } | Part::Run { .. });
                    let before = borrowed.unanswered_bytes();
                    borrowed.on_durable(part, file);
                    self.note_mode(&mut borrowed);
                    if matches!(part, Part::Run { .. }) {
                        self.note_releasable(&mut borrowed);
                    }
                    if matches!(part, Part::Roll { .. }) {
                        self.lap_wanted.set(); // the segment before it can be completed and read by others
                    }
                    self.count_synced(before - borrowed.unanswered_bytes(), start_ms);
                    let log_id = borrowed.identity.log_id;
                    self.want_commit(log_id, &mut borrowed);
                }
            }
        }
        if has_batches && self.memory.bytes.get() > self.settings.tail_memory_bytes {
            self.lap_wanted.set(); // what waits for memory asked before this was synced
        }
        Ok(())
    }

    /// Waits for a signal, and looks again at times: files are also freed and made by other shards, which signal nobody.
    async fn wait_for_space(&self, signal: &Signal) {
        futures_lite::future::or(signal.wait(), self.disk.sleep(SPACE_PAUSE)).await;
    }

    /// Whether only what frees space may be committed now: no file could follow the current one. The half of a first
    /// file is used all the same.
    fn starved(&self) -> bool {
        let journal = self.journal.borrow();
        let is_first = journal.used.len() == 1;
        let has_half = journal.current.as_ref().is_some_and(|current| current.position < current.bytes / 2);
        drop(journal);
        self.available() == 0 && !(is_first && has_half)
    }

    /// Empties the queue's front into a load, as far as a commit reaches. Logs take turns.
    fn load(self: &Rc<Self>, room: Room) -> Load {
        let mut load = Load::default();
        let waiting = self.queue.borrow().len();
        let starved = self.starved() || room != Room::Whole;
        for _ in 0..waiting {
            let limit = self.settings.commit_bytes_max;
            if load.payload_bytes >= limit || load.carried.len() >= self.settings.commit_entries_max {
                break;
            }
            if let Room::Rest(bytes) = room
                && commit_bytes(load.carried.len() + 2, load.payload_bytes + self.next_bytes_max()) as u64
                    > bytes
            {
                break;
            }
            let Some(item) = self.queue.borrow_mut().pop_front() else { break };
            match item {
                Item::Control { entry, payload, done } => {
                    load.payload_bytes += payload.len();
                    load.carried.push(Carried::control(entry, payload));
                    load.dones.push(done);
                }
                Item::Barrier(done) => load.dones.push(done),
                Item::Log(log_id) => self.load_log(log_id, starved, &mut load),
            }
        }
        load
    }

    /// What the queue's front adds to a commit at most, when no batches are carried: no bound of what it might at other
    /// times, or logs that have nothing to carry would hold up for ever what frees space.
    fn next_bytes_max(&self) -> usize {
        match self.queue.borrow().front() {
            Some(Item::Control { payload, .. }) => payload.len(),
            Some(Item::Log(log_id)) => self.log(*log_id).map_or(0, |log| log.borrow().freeing_bytes_max()),
            Some(Item::Barrier(_)) | None => 0,
        }
    }

    fn load_log(self: &Rc<Self>, log_id: LogId, starved: bool, load: &mut Load) {
        let Some(log) = self.log(log_id) else { return };
        let mut borrowed = log.borrow_mut();
        borrowed.queued = false;
        self.unschedule(log_id, &mut borrowed);
        if borrowed.is_detached {
            return;
        }
        let mut run = None;
        if !starved && self.runs.get() < RUNS_MAX {
            let largest = self.settings.large_run_bytes.min(self.settings.commit_bytes_max as u64 / 2);
            run = borrowed.begin_run(largest);
        }
        let room = if starved { 0 } else { (self.settings.commit_bytes_max - load.payload_bytes) as u64 };
        for part in borrowed.plan(room) {
            let (entry, payload_bytes) = entry_of(log_id, &part);
            load.payload_bytes += payload_bytes;
            load.carried.push(Carried { entry, source: Source::Log { log: Rc::clone(&log), part } });
        }
        match borrowed.urgency(self.settings.commit_bytes_max as u64) {
            Some(Urgency::At(due)) if due > self.disk.now() => self.schedule(log_id, &mut borrowed, due),
            Some(_) => {
                borrowed.queued = true;
                self.queue.borrow_mut().push_back(Item::Log(log_id));
            }
            None => {}
        }
        drop(borrowed);
        if let Some(run) = run {
            self.runs.set(self.runs.get() + 1);
            // The executor may begin a spawned task at once, and this one borrows the log.
            self.spawn_counted(false, Rc::clone(self).large_run(log, run));
        }
    }

    /// Writes and syncs one commit; returns the file it stands in.
    pub(super) async fn write(&self, carried: &[Carried], payload_bytes: usize) -> io::Result<FileSeq> {
        let (file, position, file_bytes, seq, head) = {
            let journal = self.journal.borrow();
            let current =
                journal.current.as_ref().ok_or_else(|| io::Error::other("no journal file is open"))?;
            (Rc::clone(&current.file), current.position, current.bytes, current.seq, journal.head)
        };
        let bytes = commit_bytes(carried.len(), payload_bytes);
        assert!(bytes <= COMMIT_BYTES_MAX, "a commit of {bytes} B");
        let planned: Vec<Planned> = carried
            .iter()
            .map(|carried| Planned { entry: carried.entry, payload_bytes: carried.payload_bytes() })
            .collect();
        if position + bytes as u64 > file_bytes {
            // Nobody would ever read it.
            return Err(io::Error::other("a commit passes the end of its journal file"));
        }
        let mut blocks = file.buffer(bytes);
        encode_commit(blocks.as_mut(), head, &planned, |number, target| carried[number].fill(target));
        let start = self.disk.now();
        let under_way = self.cold.committing(start);
        file.write(position, blocks).await?;
        file.sync().await?;
        if let Some(reason) = self.keeper.stopped() {
            // Another sync that failed meanwhile may have lost this commit: one that followed it would prove that it was
            // there, and the next start would fence every log of the journal.
            return Err(io::Error::other(reason));
        }
        let took = self.disk.now() - start;
        under_way.ended(took);
        self.stats.device_latency.record(took);
        EngineStats::add(&self.stats.commits_total, 1);
        EngineStats::add(&self.stats.commit_bytes_total, bytes as u64);
        let mut journal = self.journal.borrow_mut();
        journal.head.known_synced = head.sequence;
        journal.head.sequence += 1;
        if let Some(current) = journal.current.as_mut() {
            current.position += bytes as u64;
        }
        Ok(seq)
    }

    /// Begins the next journal file when the current one might not hold the next commit.
    async fn make_room(self: &Rc<Self>) -> io::Result<Room> {
        let worst = self.commit_bytes_worst();
        let (rest, bytes) = {
            let journal = self.journal.borrow();
            let rest_of = |current: &Current<D>| current.bytes.saturating_sub(current.position);
            journal.current.as_ref().map_or((0, 0), |current| (rest_of(current), current.bytes))
        };
        if rest >= worst {
            if rest < worst + bytes / AHEAD_PART {
                self.encode_ahead();
            }
            return Ok(Room::Whole);
        }
        if self.available() > 0 && self.begin_file().await? {
            return Ok(Room::Whole);
        }
        // Only what frees space goes into the rest of this file; the next file that is freed ends it.
        self.lap_wanted.set();
        Ok(Room::Rest(rest.saturating_sub(commit_bytes(1, 0) as u64))) // the mark of a clean stop fits always
    }

    pub(super) fn commit_bytes_worst(&self) -> u64 {
        let settings = &self.settings;
        let payload_bytes = settings.commit_bytes_max + settings.state_bytes_max;
        commit_bytes(settings.commit_entries_max, payload_bytes) as u64
    }

    /// The mark of a clean stop, the journal's last entry.
    pub(crate) async fn write_clean_stop(&self) -> io::Result<()> {
        let carried = Carried::control(Entry::control(EntryKind::CleanStop), Vec::new());
        self.write(&[carried], 0).await.map(|_| ())
    }

    /// Writes a run's blocks to the segment and syncs it; the next commit then carries the run.
    async fn large_run(self: Rc<Self>, log: SharedLog, run: WriteBack) {
        let outcome = self.write_segment(&log, &run, None).await;
        self.runs.set(self.runs.get() - 1);
        match outcome {
            Ok(()) => {
                EngineStats::add(
                    &self.stats.run_bytes_total,
                    run.range.end.as_u64() - run.range.start.as_u64(),
                );
                let mut borrowed = log.borrow_mut();
                borrowed.run_synced();
                let log_id = borrowed.identity.log_id;
                self.enqueue(log_id, &mut borrowed);
            }
            Err(error) => self.fail("segment", &error),
        }
        self.commit_wanted.set();
    }

    /// Gauges of what is staged and not synced: what is left was staged after the commit before began.
    fn count_synced(&self, bytes: u64, start_ms: u64) {
        let left = self.unsynced.get().saturating_sub(bytes);
        self.unsynced.set(left);
        EngineStats::set(&self.stats.unsynced_bytes, left);
        EngineStats::set(&self.stats.unsynced_since_ms, if left == 0 { 0 } else { start_ms });
    }

    /// Counts bytes that were just staged.
    pub(crate) fn count_staged(&self, bytes: u64, now_ms: u64) {
        if self.unsynced.replace(self.unsynced.get() + bytes) == 0 {
            EngineStats::set(&self.stats.unsynced_since_ms, now_ms);
        }
        EngineStats::set(&self.stats.unsynced_bytes, self.unsynced.get());
    }
}

impl Carried {
    pub(super) fn control(entry: Entry, payload: Vec<u8>) -> Self {
        Self { entry, source: Source::Owned(payload) }
    }

    pub(super) fn payload_bytes(&self) -> usize {
        match &self.source {
            Source::Owned(bytes) => bytes.len(),
            Source::State { range, .. } => range.len(),
            Source::Log { part, .. } => part_bytes(part),
        }
    }

    fn fill(&self, target: &mut [u8]) {
        match &self.source {
            Source::Owned(bytes) => target.copy_from_slice(bytes),
            Source::State { states, range } => target.copy_from_slice(&states.bytes[range.clone()]),
            Source::Log { log, part } => fill_part(&log.borrow(), part, target),
        }
    }
}

fn part_bytes(part: &Part) -> usize {
    match part {
        Part::Data { range, .. } => (range.end.as_u64() - range.start.as_u64()) as usize,
        Part::Rest { range, .. } => 8 + (range.end.as_u64() - range.start.as_u64()) as usize,
        Part::Run { list, .. } => list.len(),
        Part::State(state) => state.len(),
        Part::Roll { .. } | Part::Ceiling { .. } => 0,
    }
}

fn fill_part(log: &PartitionLog, part: &Part, target: &mut [u8]) {
    match part {
        Part::Data { base, range, .. } => copy(log, *base, range, target),
        Part::Rest { base, range, first_batch, .. } => {
            let (head, rest) = target.split_at_mut(8);
            head.copy_from_slice(&first_batch.as_u64().to_le_bytes());
            copy(log, *base, range, rest);
        }
        Part::Run { list, .. } => target.copy_from_slice(list),
        Part::State(state) => target.copy_from_slice(state),
        Part::Roll { .. } | Part::Ceiling { .. } => {}
    }
}

fn copy(log: &PartitionLog, base: Offset, range: &std::ops::Range<crate::units::FilePos>, target: &mut [u8]) {
    let Some(segment) = log.segment(base) else { unreachable!("a planned segment stays") };
    segment.tail.copy_to(range.clone(), target);
}

fn entry_of(log_id: LogId, part: &Part) -> (Entry, usize) {
    let (kind, base, position, offset_end) = match part {
        Part::Data { base, range, offset_end } => (EntryKind::Data, *base, range.start.as_u64(), *offset_end),
        Part::Run { base, written_end, offset_end, .. } => {
            (EntryKind::Run, *base, written_end.as_u64(), *offset_end)
        }
        Part::Rest { base, range, .. } => (EntryKind::Rest, *base, range.start.as_u64(), Offset::ZERO),
        Part::Roll { base, end, next } => (EntryKind::Roll, *base, end.as_u64(), *next),
        Part::State(_) => (EntryKind::State, Offset::ZERO, 0, Offset::ZERO),
        Part::Ceiling { end } => (EntryKind::Ceiling, Offset::ZERO, 0, *end),
    };
    let entry =
        Entry { kind, log_id, segment_base: base.as_i64(), position, offset_end: offset_end.as_i64() };
    (entry, part_bytes(part))
}

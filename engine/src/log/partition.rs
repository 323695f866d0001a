//! One partition's log: where batches, segments, bounds, epochs and producers meet.
//!
//! A machine: `shard` reads and writes the files, this says what and learns the outcome. One shard owns it.
//! ```text
//! admit -> stage -> plan (a commit) -> on_durable -> plan_write_back -> on_written_back
//!                   begin_run -> run_synced --^
//! ```

use super::early::{Early, go_on_above};
use super::producers::{Claim, Producers, Verdict};
use super::{Epochs, LogBounds, LogIdentity, LogSettings};
use crate::batch::{CheckedBatch, HEADER_BYTES};
use crate::io::{BLOCK_BYTES, aligned_up};
use crate::journal::{FileSeq, LogState, Pins, RecoveredLog, SegmentState};
use crate::segment::{Index, IndexEntry, Segment, Stage, Staging, Tail};
use crate::units::{FilePos, LeaderEpoch, Offset, Timestamp};
use std::ops::Range;
use std::task::Waker;

/// The first and the largest step by which a segment's blocks are reserved.
const RESERVE_BYTES_MIN: u64 = 64 << 10;
const RESERVE_BYTES_MAX: u64 = 16 << 20;
/// A segment's offsets span at most this: Kafka's indexes hold them in 31 bits.
const SEGMENT_OFFSETS_MAX: i64 = i32::MAX as i64;
/// From so many segments on none is made for its age, or below this size.
const SEGMENTS_SMALL_MAX: usize = 16_384;
const SEGMENT_BYTES_CROWDED: u64 = 1 << 30;
/// A large run is made only of batches this large on average, since its entry names each.
const RUN_BATCH_BYTES_MIN: u64 = 2048;
/// A large run is about this long at most, so that its list of batches fits a commit.
const RUN_BYTES_MAX: u64 = 16 << 20;
/// A run also writes what is in the journal and in no segment yet; with more of that than this it would take too long.
const RUN_DIRTY_BYTES_MAX: u64 = 64 << 20;
/// A tail longer than this is not copied forward: the next lap writes it back instead.
const COPY_BYTES_MAX: u64 = 256 << 10;

/// Whether a batch may be staged now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Yes, without waiting.
    Ready,
    /// First the active segment's file needs its blocks up to here.
    Reserve { base: Offset, end: FilePos },
}

/// Whether a `Rest` says something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copied {
    No,
    /// All that the log has in no segment yet stands in this commit again; this is its first part.
    First,
    /// A part behind it.
    Further,
}

/// One thing a commit carries for a log.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// Whole batches.
    Data { base: Offset, range: Range<FilePos>, offset_end: Offset },
    /// A large run's list of batches, encoded; its blocks end at `written_end`.
    Run { base: Offset, written_end: FilePos, offset_end: Offset, list: Vec<u8> },
    /// Bytes that begin inside a batch: behind a run, or copied forward so that an old file can go.
    Rest { base: Offset, range: Range<FilePos>, first_batch: FilePos, copied: Copied },
    /// The segment at `base` ends.
    Roll { base: Offset, end: FilePos, next: Offset },
    /// The whole state, encoded.
    State(Vec<u8>),
    /// Offsets below `end` may be given out before their sync.
    Ceiling { end: Offset },
}

/// A stretch of a segment to write to its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WriteBack {
    pub(crate) base: Offset,
    pub(crate) range: Range<FilePos>,
    /// Cut the file to `range.end` afterwards: the segment is complete.
    pub(crate) seal: bool,
}

struct Run {
    base: Offset,
    blocks: Range<FilePos>,
    end: FilePos,
    offset_end: Offset,
    synced: bool,
}

/// What `stage` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) base: Offset,
    pub(crate) offset_end: Offset,
    pub(crate) duplicate: bool,
    /// Memory that was taken.
    pub(crate) bytes: usize,
    /// It is a producer's first batch here.
    pub(crate) new_producer: bool,
}

/// See the file's header.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says what one loop of the shard is doing with the log"
)]
pub(crate) struct PartitionLog {
    pub(crate) identity: LogIdentity,
    pub(crate) directory_name: String,
    pub(crate) settings: LogSettings,
    pub(crate) segments: Vec<Segment>,
    pub(crate) pins: Pins,
    /// Why it is not served.
    pub(crate) fault: Option<String>,
    /// Nothing of it may be written any more: what is in memory is not whole, or it is gone.
    pub(crate) is_detached: bool,
    /// Blocks are being reserved, and files made for them, so many times at once.
    pub(crate) reservations: u32,
    /// Journals of earlier starts tell of it.
    pub(crate) is_older: bool,
    /// In the queue of logs with something to commit.
    pub(crate) queued: bool,
    /// In the timetable of those that can wait, until then.
    pub(crate) due: Option<std::time::Instant>,
    /// A write-back of it is under way.
    pub(crate) writing: bool,
    /// Files of segments that are gone are being removed.
    pub(crate) removing: bool,
    /// An index of a segment of it is being written anew.
    pub(crate) indexing: bool,
    /// In the queue of logs with memory that may be let go.
    pub(crate) releasable: bool,
    /// Blocks are being reserved ahead.
    pub(crate) reserving: bool,
    /// Its state goes into the next commit, with a copy of its tail if that is set too.
    pub(crate) state_wanted: bool,
    pub(crate) copy_wanted: bool,
    /// Who waits for `durable_end` to reach an offset.
    pub(crate) durable_waiters: Vec<(Offset, Waker)>,
    /// Who waits for the high watermark to reach one.
    pub(crate) answer_waiters: Vec<(Offset, Waker)>,
    /// Who waits for any growth.
    pub(crate) watchers: Vec<Waker>,
    /// Who waits for its turn to stage; the first is served next.
    pub(crate) turns: std::collections::VecDeque<(u64, Option<Waker>)>,
    bounds: LogBounds,
    pub(super) epochs: Epochs,
    producers: Producers,
    run: Option<Run>,
    pub(super) early: Early,
}

impl PartitionLog {
    /// A log from what recovery or creation knows. `number` gives each segment its process-wide number.
    pub(crate) fn new(
        recovered: RecoveredLog,
        settings: LogSettings,
        mut number: impl FnMut() -> u64,
    ) -> Self {
        let RecoveredLog { state, open, fault, .. } = recovered;
        let log_end = state.segments.last().map_or(state.log_start, |segment| segment.offset_end);
        let mut open = open.into_iter().peekable();
        let mut segments: Vec<Segment> = Vec::with_capacity(state.segments.len().max(1));
        for known in &state.segments {
            let mut segment = Segment::new(known.base, number());
            segment.stage = known.stage;
            segment.offset_end = known.offset_end;
            segment.max_timestamp = known.max_timestamp;
            segment.planned_max_timestamp = known.max_timestamp;
            segment.first_timestamp = known.first_timestamp;
            segment.first_crc = known.first_crc;
            segment.announced = true;
            segment.index = None;
            segment.tail = Tail::at(known.end);
            if let Some(found) = open.next_if(|found| found.state.base == known.base) {
                segment.index = Some(found.index);
                segment.tail = Tail::recovered(found.state.written_end, &found.tail, found.batches);
            }
            segments.push(segment);
        }
        let records_end = log_end;
        let log_end = go_on_above(state.ceiling, records_end, &mut segments, number);
        let bounds = LogBounds {
            log_start: state.log_start,
            last_stable: log_end,
            high_watermark: log_end,
            durable_end: log_end,
            log_end,
            leader_epoch: state.leader_epoch,
        };
        Self {
            directory_name: format!("{}-{}", state.identity.topic, state.identity.partition),
            identity: state.identity,
            settings,
            segments,
            pins: Pins::default(),
            is_detached: fault.is_some(),
            reservations: 0,
            is_older: false,
            fault,
            queued: false,
            due: None,
            writing: false,
            removing: false,
            indexing: false,
            releasable: false,
            reserving: false,
            state_wanted: false,
            copy_wanted: false,
            durable_waiters: Vec::new(),
            answer_waiters: Vec::new(),
            watchers: Vec::new(),
            turns: std::collections::VecDeque::new(),
            bounds,
            epochs: state.epochs,
            producers: state.producers,
            run: None,
            early: Early::recovered(state.ceiling, records_end..log_end),
        }
    }

    pub(crate) fn bounds(&self) -> LogBounds {
        self.bounds
    }

    pub(crate) fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    /// The one setter of the bounds.
    pub(super) fn set_bounds(&mut self, bounds: LogBounds) {
        assert!(bounds.log_start <= bounds.last_stable, "{bounds:?}");
        assert!(bounds.last_stable <= bounds.high_watermark, "{bounds:?}");
        assert!(bounds.high_watermark <= bounds.log_end, "{bounds:?}");
        assert!(bounds.durable_end <= bounds.log_end, "{bounds:?}");
        assert!(self.bounds.log_start <= bounds.log_start, "the log start never falls: {bounds:?}");
        assert!(self.bounds.durable_end <= bounds.durable_end, "the durable end never falls: {bounds:?}");
        assert!(self.bounds.high_watermark <= bounds.high_watermark, "nor what was seen: {bounds:?}");
        self.bounds = bounds;
    }

    /// The epoch that the next batches are stamped with. It never falls.
    pub(crate) fn lead(&mut self, leader_epoch: LeaderEpoch) {
        let leader_epoch = self.bounds.leader_epoch.max(leader_epoch);
        self.set_bounds(LogBounds { leader_epoch, ..self.bounds });
    }

    /// Forgets producers not seen since `horizon`.
    pub(crate) fn expire_producers(&mut self, horizon: Timestamp) {
        if !self.producers.is_empty() {
            self.producers.expire(horizon);
        }
    }

    /// Whether there is one that `expire_producers` would forget.
    pub(crate) fn has_expired_producers(&self, horizon: Timestamp) -> bool {
        self.producers.has_expired(horizon)
    }

    /// Producers that it remembers.
    pub(crate) fn producer_count(&self) -> usize {
        self.producers.count()
    }

    /// When each of them was last seen.
    pub(crate) fn producers_seen(&self, seen: &mut Vec<Timestamp>) {
        self.producers.seen(seen);
    }

    /// What a batch's producer fields say against what is known.
    pub(crate) fn judge(&self, batch: &CheckedBatch) -> Verdict {
        Claim::of(batch.header()).map_or(Verdict::New, |claim| self.producers.judge(&claim))
    }

    /// Rolls if this batch must go to a new segment; says whether it may be staged.
    pub(crate) fn admit(
        &mut self,
        batch: &CheckedBatch,
        now: Timestamp,
        mut number: impl FnMut() -> u64,
    ) -> Admission {
        let bytes = batch.batch_bytes() as u64;
        if self.segments.is_empty() || self.must_roll(batch, now) {
            self.roll(&mut number);
        }
        let Some(active) = self.segments.last() else { unreachable!("a segment was just made") };
        let end = active.tail.staged_end().advance(bytes);
        if end <= active.reserved_end {
            return Admission::Ready;
        }
        Admission::Reserve { base: active.base, end: self.reserve_target(end) }
    }

    /// The active segment ends here; the next one takes what comes.
    pub(super) fn roll(&mut self, mut number: impl FnMut() -> u64) {
        let base = self.bounds.log_end;
        if let Some(last) = self.segments.last_mut() {
            last.stage = Stage::Sealing;
        }
        self.segments.push(Segment::new(base, number()));
    }

    fn must_roll(&self, batch: &CheckedBatch, now: Timestamp) -> bool {
        let Some(active) = self.segments.last().filter(|segment| segment.bytes() > 0) else { return false };
        // A log of very many segments gets large ones only: its state has to fit a commit.
        let is_crowded = self.segments.len() >= SEGMENTS_SMALL_MAX;
        let segment_bytes =
            self.settings.segment_bytes.max(if is_crowded { SEGMENT_BYTES_CROWDED } else { 0 });
        let full = active.bytes() + batch.batch_bytes() as u64 > segment_bytes;
        let span = self.bounds.log_end.as_i64() + i64::from(batch.record_count()) - active.base.as_i64();
        let time = if batch.max_timestamp() == Timestamp::NONE { now } else { batch.max_timestamp() };
        let age_ms = time.0.saturating_sub(active.first_timestamp.0);
        let jitter_ms = match self.settings.segment_jitter_ms {
            0 => 0,
            jitter => {
                u64::from(crc32c::crc32c(&self.identity.log_id.0))
                    % jitter.min(self.settings.segment_ms.max(1))
            }
        };
        let old = active.first_timestamp.0 >= 0
            && age_ms > self.settings.segment_ms.saturating_sub(jitter_ms).min(i64::MAX as u64) as i64;
        full || (old && !is_crowded) || span > SEGMENT_OFFSETS_MAX
    }

    /// Where a reservation that must reach `needed` should end: what is there doubles, within bounds.
    fn reserve_target(&self, needed: FilePos) -> FilePos {
        let step = needed.as_u64().clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX);
        let limit = aligned_up(self.settings.segment_bytes.max(needed.as_u64()));
        FilePos::new(aligned_up(needed.as_u64() + step).min(limit))
    }

    /// A reservation worth making before it is needed; the caller clears `reserving` when it is made.
    pub(crate) fn begin_reserve_ahead(&mut self) -> Option<(Offset, FilePos)> {
        let active = self.segments.last().filter(|_| !self.reserving)?;
        let staged = active.tail.staged_end().as_u64();
        let step = staged.clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX);
        let target = self.reserve_target(active.tail.staged_end());
        let low = active.reserved_end.as_u64().saturating_sub(staged) < step / 2;
        let found = (low && target > active.reserved_end).then_some((active.base, target))?;
        self.reserving = true;
        Some(found)
    }

    /// The blocks of the segment at `base` are reserved up to `end`.
    pub(crate) fn on_reserved(&mut self, base: Offset, end: FilePos) {
        if let Some(segment) = self.segment_mut(base) {
            segment.reserved_end = segment.reserved_end.max(end);
        }
    }

    /// Gives a batch its offsets and puts it into the tail. `admit` said `Ready` just before.
    pub(crate) fn stage(&mut self, batch: &CheckedBatch, now: Timestamp) -> Stored {
        let base = self.bounds.log_end;
        let offset_end = base.advance(batch.offset_span());
        let planned_end = self.planned_offset_end();
        let leader_epoch = self.bounds.leader_epoch;
        let interval = self.settings.index_interval_bytes;
        let Some(active) = self.segments.last_mut() else { unreachable!("admit made a segment") };
        let start = active.tail.staged_end();
        assert!(
            start.advance(batch.batch_bytes() as u64) <= active.reserved_end,
            "staged beyond what is reserved"
        );
        let stamped = batch.stamped_header(base, leader_epoch);
        let entry = IndexEntry { offset: base, position: start, max_timestamp_before: active.max_timestamp };
        if let Some(index) = active.index.as_mut() {
            index.note(entry, interval);
        }
        let max_timestamp = batch.max_timestamp();
        let rest = batch.bytes().get(HEADER_BYTES..).unwrap_or_default();
        let bytes =
            active.tail.stage(&Staging { base, offset_end, max_timestamp, pieces: [&stamped[..], rest] });
        if start == FilePos::ZERO {
            active.first_timestamp = if max_timestamp == Timestamp::NONE { now } else { max_timestamp };
            active.first_crc = batch.header().crc;
        }
        active.touched = now;
        active.max_timestamp = active.max_timestamp.max(max_timestamp);
        active.offset_end = offset_end;
        self.epochs.note(leader_epoch, base);
        let known = self.producers.count();
        if let Some(claim) = Claim::of(batch.header()) {
            self.producers.note(&claim, base, offset_end, now, planned_end);
        }
        let new_producer = self.producers.count() > known;
        self.early.note_staged(batch.batch_bytes() as u64);
        self.set_bounds(LogBounds { log_end: offset_end, ..self.bounds });
        Stored { base, offset_end, duplicate: false, bytes, new_producer }
    }

    /// Where the records end that a commit, written or under way, carries.
    pub(super) fn planned_offset_end(&self) -> Offset {
        let waiting = |segment: &&Segment| segment.tail.planned_end() < segment.tail.staged_end();
        let first = self.segments.iter().find(waiting);
        let batch = first.and_then(|segment| segment.tail.batches_from(segment.tail.planned_end()).next());
        batch.map_or(self.bounds.log_end, |batch| batch.base)
    }

    /// Bytes that wait for a commit.
    pub(crate) fn staged_bytes(&self) -> u64 {
        let waiting = |s: &Segment| s.tail.staged_end().as_u64() - s.tail.planned_end().as_u64();
        self.segments.iter().rev().take_while(|segment| segment.stage != Stage::Sealed).map(waiting).sum()
    }

    /// Something waits for a commit and may go into the next one.
    pub(crate) fn wants_commit(&self) -> bool {
        let run_ready = self.run.as_ref().is_none_or(|run| run.synced);
        !self.is_detached
            && ((run_ready && self.staged_bytes() > 0) || self.state_wanted || self.wants_ceiling())
    }

    /// Takes what waits into a commit: at most `bytes_max` of batches; with 0 only what frees space.
    pub(crate) fn plan(&mut self, bytes_max: u64) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut run = None;
        if self.run.as_ref().is_some_and(|run| run.synced) {
            run = self.plan_run_parts(&mut parts);
        } else if self.run.is_none() && bytes_max > 0 {
            self.plan_data(bytes_max, &mut parts);
        }
        self.plan_ceiling(bytes_max > 0, &mut parts);
        if self.state_wanted {
            self.state_wanted = false;
            let mut state = self.state();
            if let Some((base, written_end)) = run
                && let Some(segment) = state.segments.iter_mut().find(|segment| segment.base == base)
            {
                // The run stands in the same commit: without this the state would take it back.
                segment.written_end = segment.written_end.max(written_end);
            }
            parts.push(Part::State(state.encode()));
            if std::mem::take(&mut self.copy_wanted) && self.run.is_none() {
                self.plan_copy(&mut parts);
            }
        }
        parts
    }

    fn plan_data(&mut self, mut room: u64, parts: &mut Vec<Part>) {
        for at in 0..self.segments.len() {
            let next = self.segments.get(at + 1).map(|segment| (segment.base, segment.announced));
            let Some(segment) = self.segments.get_mut(at).filter(|segment| segment.stage != Stage::Sealed)
            else {
                continue;
            };
            if let Some((range, offset_end)) = segment.tail.plan(room) {
                segment.note_planned(range.start);
                room = room.saturating_sub(range.end.as_u64() - range.start.as_u64());
                parts.push(Part::Data { base: segment.base, range, offset_end });
            }
            if segment.tail.planned_end() < segment.tail.staged_end() {
                return;
            }
            if let Some((next, false)) = next {
                parts.push(Part::Roll { base: segment.base, end: segment.tail.staged_end(), next });
                if let Some(segment) = self.segments.get_mut(at + 1) {
                    segment.announced = true;
                }
            }
        }
    }

    /// Returns the segment of the run that is carried, and where its blocks end.
    fn plan_run_parts(&mut self, parts: &mut Vec<Part>) -> Option<(Offset, FilePos)> {
        let run = self.run.take()?;
        let Some(segment) = self.segments.iter_mut().find(|segment| segment.base == run.base) else {
            unreachable!("a segment with a run stays")
        };
        let mut list = Vec::new();
        let start = segment.tail.planned_end();
        for batch in segment.tail.batches_from(start).take_while(|batch| batch.end <= run.end) {
            list.extend_from_slice(&batch.start.as_u64().to_le_bytes());
            let mut header = [0; HEADER_BYTES];
            segment.tail.copy_to(batch.start..batch.start.advance(HEADER_BYTES as u64), &mut header);
            list.extend_from_slice(&header);
        }
        segment.tail.plan_to(run.end);
        segment.note_planned(start);
        let (base, written_end) = (run.base, run.blocks.end);
        parts.push(Part::Run { base, written_end, offset_end: run.offset_end, list });
        if written_end < run.end {
            let first_batch = segment.tail.first_batch_from(written_end).min(run.end);
            parts.push(Part::Rest { base, range: written_end..run.end, first_batch, copied: Copied::No });
        }
        Some((base, written_end))
    }

    /// What of the open segments is not in their files, once more, so that the journal files that hold it can go. A roll
    /// may have to wait until one is free: so the segment before it counts too.
    fn plan_copy(&self, parts: &mut Vec<Part>) {
        let open = self.segments.iter().filter(|segment| segment.stage != Stage::Sealed);
        let ranges: Vec<(&Segment, Range<FilePos>)> = open
            .map(|segment| (segment, segment.tail.written_end()..segment.tail.planned_end()))
            .filter(|(_, range)| range.start < range.end)
            .collect();
        let bytes: u64 = ranges.iter().map(|(_, range)| range.end.as_u64() - range.start.as_u64()).sum();
        if bytes > COPY_BYTES_MAX {
            return;
        }
        for (number, (segment, range)) in ranges.into_iter().enumerate() {
            let first_batch = segment.tail.first_batch_from(range.start).min(range.end);
            let copied = if number == 0 { Copied::First } else { Copied::Further };
            parts.push(Part::Rest { base: segment.base, range, first_batch, copied });
        }
    }

    /// What its state and the copy of its tail add to a commit at most.
    pub(crate) fn state_bytes_max(&self) -> usize {
        let milestones: usize = self
            .segments
            .iter()
            .filter_map(|segment| segment.index.as_ref())
            .map(Index::milestones_max)
            .sum();
        let parts = [
            256 + self.identity.topic.len() + COPY_BYTES_MAX as usize,
            self.epochs.bytes_max(),
            self.producers.bytes_max(),
            (self.segments.len() + milestones) * 60,
        ];
        parts.into_iter().sum()
    }

    /// What it adds at most to a commit that carries only what frees space: a run that is synced, and its state where that
    /// is wanted.
    pub(crate) fn freeing_bytes_max(&self) -> usize {
        let of_run = |run: &Run| {
            let segment = self.segment(run.base)?;
            let batches = segment.tail.batches_from(segment.tail.planned_end());
            let listed = batches.take_while(|batch| batch.end <= run.end).count();
            Some(listed * (8 + HEADER_BYTES) + 8 + BLOCK_BYTES)
        };
        let run_bytes = self.run.as_ref().filter(|run| run.synced).and_then(of_run).unwrap_or(0);
        let is_copied = self.copy_wanted && self.run.is_none();
        let state_bytes = match self.state_wanted {
            true if is_copied => self.state_bytes_max(),
            true => self.state_bytes_max() - COPY_BYTES_MAX as usize,
            false => 0,
        };
        run_bytes + state_bytes
    }

    /// The log as a commit planned now knows it.
    pub(crate) fn state(&self) -> LogState {
        let end = self.planned_offset_end();
        let known = self.segments.iter().enumerate().filter(|(at, segment)| *at == 0 || segment.announced);
        let segments = known.map(|(_, segment)| SegmentState {
            base: segment.base,
            stage: segment.stage,
            offset_end: segment.offset_end.min(end).max(segment.base),
            end: segment.tail.planned_end(),
            written_end: segment.tail.written_end(),
            max_timestamp: segment.planned_max_timestamp,
            first_timestamp: segment.first_timestamp,
            first_crc: segment.first_crc,
            milestones: match (&segment.index, segment.stage) {
                (Some(index), Stage::Active | Stage::Sealing) => index.milestones(segment.tail.planned_end()),
                _ => Vec::new(),
            },
        });
        let mut segments: Vec<SegmentState> = segments.collect();
        // A roll that no commit carries yet: its segment still is the active one.
        if let Some(last) = segments.last_mut().filter(|last| last.stage == Stage::Sealing) {
            last.stage = Stage::Active;
        }
        LogState {
            identity: self.identity.clone(),
            log_start: self.bounds.log_start,
            leader_epoch: self.bounds.leader_epoch,
            epochs: self.epochs.below(end),
            producers: self.producers.below(end),
            ceiling: self.early.ceiling_planned(),
            segments,
        }
    }

    /// A commit with this part is synced; it stands in `file`.
    pub(crate) fn on_durable(&mut self, part: &Part, file: FileSeq) {
        let before = self.unsynced_bytes();
        self.on_durable_part(part, file);
        self.note_synced(before - self.unsynced_bytes());
    }

    fn on_durable_part(&mut self, part: &Part, file: FileSeq) {
        match part {
            Part::Data { base, range, offset_end } => {
                self.on_durable_to(*base, range.end, *offset_end);
                self.pins.add(file, *base, range.end);
            }
            Part::Run { base, written_end, .. } => {
                // The bytes behind the run follow in a `Rest`; with none, the run's end is the durable end.
                if let Some(segment) = self.segment_mut(*base) {
                    segment.tail.on_durable(*written_end);
                    segment.tail.on_written(*written_end);
                }
                self.pins.on_written(*base, *written_end);
                self.durable_offset_from_positions();
            }
            Part::Rest { base, range, copied, .. } => match copied {
                Copied::First => self.pins.move_to(file, *base, range.end),
                Copied::Further => self.pins.add(file, *base, range.end),
                Copied::No => {
                    if let Some(segment) = self.segment_mut(*base) {
                        segment.tail.on_durable(range.end);
                    }
                    self.pins.add(file, *base, range.end);
                    self.durable_offset_from_positions();
                }
            },
            Part::Ceiling { end } => self.on_ceiling(*end),
            Part::Roll { .. } | Part::State(_) => {}
        }
    }

    fn on_durable_to(&mut self, base: Offset, end: FilePos, offset_end: Offset) {
        if let Some(segment) = self.segment_mut(base) {
            segment.tail.on_durable(end);
        }
        self.advance_durable(offset_end);
    }

    fn durable_offset_from_positions(&mut self) {
        let Some(active) =
            self.segments.iter().rev().find(|segment| segment.tail.durable_end() > FilePos::ZERO)
        else {
            return;
        };
        let durable_end = active.tail.durable_end();
        let next = active.tail.batches_from(durable_end).next().map(|batch| batch.base);
        let inside = active
            .tail
            .batches_from(FilePos::ZERO)
            .find(|batch| batch.start < durable_end && batch.end > durable_end);
        let offset = inside.map(|batch| batch.base).or(next).unwrap_or(active.offset_end);
        self.advance_durable(offset.max(self.bounds.durable_end));
    }

    fn advance_durable(&mut self, end: Offset) {
        // In a weaker mode readers may have been shown more already.
        let seen = self.bounds.high_watermark.max(end);
        self.set_bounds(LogBounds {
            durable_end: end,
            high_watermark: seen,
            last_stable: seen,
            ..self.bounds
        });
        wake_up_to(&mut self.durable_waiters, end);
        wake_up_to(&mut self.answer_waiters, seen);
        self.watchers.drain(..).for_each(Waker::wake);
    }

    /// Starts a large run if enough waits: blocks to write and sync now, then `run_synced`.
    pub(crate) fn begin_run(&mut self, bytes_min: u64) -> Option<WriteBack> {
        if self.run.is_some() || self.writing || self.is_detached {
            return None;
        }
        let waits = |segment: &Segment| segment.tail.planned_end() < segment.tail.staged_end();
        let at = self.segments.iter().position(waits)?;
        let segment = self.segments.get_mut(at)?;
        let planned_end = segment.tail.planned_end();
        let bytes = segment.tail.staged_end().as_u64() - planned_end.as_u64();
        let count = segment.tail.batches_from(planned_end).count() as u64;
        // A roll to this segment must be carried before its bytes are.
        let announced = segment.announced || at == 0;
        let dirty = planned_end.as_u64().saturating_sub(segment.tail.write_start().as_u64());
        let is_short = bytes < bytes_min || dirty > RUN_DIRTY_BYTES_MAX;
        if is_short || bytes / count.max(1) < RUN_BATCH_BYTES_MIN || !announced {
            return None;
        }
        let base = segment.base;
        let (blocks, end, offset_end) = segment.tail.plan_run(RUN_BYTES_MAX)?;
        self.run = Some(Run { base, blocks: blocks.clone(), end, offset_end, synced: false });
        Some(WriteBack { base, range: blocks, seal: false })
    }

    /// The run's blocks are in the file, synced.
    pub(crate) fn run_synced(&mut self) {
        if let Some(run) = self.run.as_mut() {
            run.synced = true;
        }
    }

    /// A large run was begun that no commit carries yet.
    pub(crate) fn has_run(&self) -> bool {
        self.run.is_some()
    }

    /// The blocks of a large run are on their way to the file.
    pub(crate) fn has_run_in_flight(&self) -> bool {
        self.run.as_ref().is_some_and(|run| !run.synced)
    }

    /// The next stretch to write back, oldest segment first; `None` when nothing may be written now.
    pub(crate) fn plan_write_back(&mut self) -> Option<WriteBack> {
        if self.writing || self.run.is_some() || self.is_detached {
            return None;
        }
        for (at, segment) in
            self.segments.iter().enumerate().filter(|(_, segment)| segment.stage != Stage::Sealed)
        {
            // The roll comes before the seal: a sealed segment is never the last one that the journal knows.
            let rolled = self.segments.get(at + 1).is_some_and(|next| next.announced);
            let complete = segment.tail.durable_end() == segment.tail.staged_end();
            let seal = segment.stage == Stage::Sealing && complete && rolled;
            let range = segment.tail.plan_write_back(seal);
            if range.start < range.end || seal {
                self.writing = true;
                return Some(WriteBack { base: segment.base, range, seal });
            }
        }
        None
    }

    /// A planned stretch is in its file, synced, and the file cut if it was to be sealed. Returns freed memory.
    pub(crate) fn on_written_back(&mut self, done: &WriteBack) -> usize {
        self.writing = false;
        let mut freed = 0;
        if let Some(segment) = self.segment_mut(done.base) {
            segment.tail.on_written(done.range.end);
            if done.seal {
                segment.stage = Stage::Sealed;
                freed = segment.tail.release_all();
            } else {
                freed = segment.tail.release_recovered();
            }
        }
        self.pins.on_written(done.base, done.range.end);
        freed
    }

    /// Bytes that are staged and in no segment's file.
    pub(crate) fn dirty_bytes(&self) -> u64 {
        let dirty =
            |segment: &Segment| segment.tail.staged_end().as_u64() - segment.tail.written_end().as_u64();
        self.segments.iter().rev().take_while(|segment| segment.stage != Stage::Sealed).map(dirty).sum()
    }

    /// Bytes that are staged and not durable.
    pub(crate) fn unsynced_bytes(&self) -> u64 {
        let unsynced =
            |segment: &Segment| segment.tail.staged_end().as_u64() - segment.tail.durable_end().as_u64();
        self.segments.iter().rev().take_while(|segment| segment.stage != Stage::Sealed).map(unsynced).sum()
    }

    /// The segment that starts at `base`.
    pub(crate) fn segment_mut(&mut self, base: Offset) -> Option<&mut Segment> {
        let at = self.segments.binary_search_by_key(&base, |segment| segment.base).ok()?;
        self.segments.get_mut(at)
    }

    /// The segment that starts at `base`.
    pub(crate) fn segment(&self, base: Offset) -> Option<&Segment> {
        let at = self.segments.binary_search_by_key(&base, |segment| segment.base).ok()?;
        self.segments.get(at)
    }

    /// The segment whose offsets include `offset`; below all of them the first one, since a log may begin with a gap.
    #[inline]
    pub(crate) fn segment_at(&self, offset: Offset) -> Option<&Segment> {
        let after = self.segments.partition_point(|segment| segment.base <= offset);
        self.segments.get(after.saturating_sub(1))
    }

    /// Fences the log, and writes nothing of it any more.
    pub(crate) fn detach(&mut self, reason: String) {
        self.is_detached = true;
        self.fence(reason);
    }

    /// Fences the log: it answers no one from now on. What it holds in memory is still written where it belongs.
    pub(crate) fn fence(&mut self, reason: String) {
        self.fault.get_or_insert(reason);
        let waiters = self.durable_waiters.drain(..).chain(self.answer_waiters.drain(..));
        waiters.for_each(|(_, waker)| waker.wake());
        self.early.go_on();
        self.watchers.drain(..).for_each(Waker::wake);
        self.turns.iter_mut().filter_map(|(_, waker)| waker.take()).for_each(Waker::wake);
    }
}

fn wake_up_to(waiters: &mut Vec<(Offset, Waker)>, end: Offset) {
    waiters.extract_if(.., |(wanted, _)| *wanted <= end).for_each(|(_, waker)| waker.wake());
}

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;

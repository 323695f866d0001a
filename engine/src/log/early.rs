//! Answers before the sync: what the weaker durability modes promise, and the offsets that they reserve.
//!
//! ```text
//!            durable_end      high_watermark = log_end                 ceiling
//! -- synced -----|-- answered, read, not synced --|-- given out next -----|
//!                 '-- what a crash takes back --' '-- a gap after a crash -'
//! ```
//! A batch of a weaker mode is answered as soon as it is staged, and readers see it: the high watermark passes the durable
//! end. Two things are held against a crash. The window: a batch waits while too much that was answered is not synced, or
//! something that was answered too long ago. The ceiling: offsets are given out below one that the journal holds already,
//! so that a start that finds less than that goes on above it, and an offset that somebody saw is never given to another
//! record.
//!
//! Always: what lies between `durable_end` and `high_watermark` was staged in a weaker mode, below a durable ceiling. Time is
//! an argument; when a commit is due is told to `shard::lazy`, which sees to it.

use super::{DurabilityMode, LogBounds, Part, PartitionLog};
use crate::segment::{Segment, Stage};
use crate::units::{FilePos, Offset};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

/// Offsets reserved at first, and at most: each step is twice as large as the one before.
const CEILING_STEP_MIN: u32 = 1 << 10;
const CEILING_STEP_MAX: u32 = 1 << 18;
/// In `memory` mode a record is synced when it is so old, if nothing else syncs it before.
const MEMORY_SYNC_AFTER: Duration = Duration::from_secs(5);
/// However long the window, what was answered is synced after half a day at the latest.
const SYNC_AFTER_MAX: Duration = Duration::from_secs(12 * 3600);
/// Batches whose ages differ by less than this part of the window, or of a second, count as of the oldest's age.
const MARKS_PER_WINDOW: u32 = 32;

/// What of one log is answered and not synced, for whoever asks from another core.
#[derive(Debug, Default)]
pub struct EarlyGauge {
    /// Bytes of batches.
    pub bytes: AtomicU64,
    /// Milliseconds since 1970 at which the oldest of them was answered; 0 when there is none.
    pub since_ms: AtomicU64,
}

/// When a log should be carried by a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// By the next one.
    Now,
    /// By one that begins then.
    At(Instant),
}

/// Batches that were answered at about one time.
struct Mark {
    /// Bytes staged since the start, up to the last of them.
    end_bytes: u64,
    answered: Instant,
    answered_ms: u64,
}

/// A log's answers before their sync.
pub(super) struct Early {
    /// Offsets below it may be given out before their sync: the journal holds it. 0 is none.
    ceiling: Offset,
    /// The same of what a commit carries, written or under way.
    ceiling_planned: Offset,
    /// Where it should be.
    ceiling_wanted: Offset,
    ceiling_step: u32,
    /// Bytes of batches since the start: staged, answered before their sync, synced.
    staged_bytes: u64,
    answered_bytes: u64,
    durable_bytes: u64,
    marks: VecDeque<Mark>,
    /// Where the last batch ends that was answered before its sync: its segment, and the place in it.
    end: (Offset, FilePos),
    /// The broker stops: nothing is answered early any more.
    is_stopping: bool,
    /// How often something came that an append may have waited for.
    progress_count: u64,
    waiters: Vec<Waker>,
    gauge: Option<Arc<EarlyGauge>>,
    /// Offsets that the start left out: they may have been given out before.
    gap: Range<Offset>,
}

impl Early {
    pub(super) fn recovered(ceiling: Offset, gap: Range<Offset>) -> Self {
        Self {
            gap,
            ceiling,
            ceiling_planned: ceiling,
            ceiling_wanted: Offset::ZERO,
            ceiling_step: CEILING_STEP_MIN,
            staged_bytes: 0,
            answered_bytes: 0,
            durable_bytes: 0,
            marks: VecDeque::new(),
            end: (Offset::ZERO, FilePos::ZERO),
            is_stopping: false,
            progress_count: 0,
            waiters: Vec::new(),
            gauge: None,
        }
    }

    /// The ceiling as a commit planned now knows it.
    pub(super) fn ceiling_planned(&self) -> Offset {
        self.ceiling_planned
    }

    pub(super) fn note_staged(&mut self, bytes: u64) {
        self.staged_bytes += bytes;
    }

    /// Whoever waits to stage looks again.
    pub(super) fn go_on(&mut self) {
        self.progress_count += 1;
        self.waiters.drain(..).for_each(Waker::wake);
    }

    fn unsynced_bytes(&self) -> u64 {
        self.answered_bytes.saturating_sub(self.durable_bytes)
    }

    fn tell(&self) {
        if let Some(gauge) = &self.gauge {
            let bytes = self.unsynced_bytes();
            let since_ms = self.marks.front().filter(|_| bytes > 0).map_or(0, |mark| mark.answered_ms);
            gauge.bytes.store(bytes, Ordering::Relaxed);
            gauge.since_ms.store(since_ms, Ordering::Relaxed);
        }
    }
}

/// Where a log goes on that may have given out offsets below `ceiling`: at its end, or at the ceiling in a segment of its
/// own, behind a gap. The segments are as their owner knows them; what it says of the new one stands in its first table.
pub(super) fn go_on_above(
    ceiling: Offset,
    log_end: Offset,
    segments: &mut Vec<Segment>,
    number: impl FnOnce() -> u64,
) -> Offset {
    if ceiling <= log_end {
        return log_end;
    }
    // One without a byte may have no file to be sealed: what there is of it is removed as a stray.
    segments.pop_if(|last| last.bytes() == 0);
    if let Some(last) = segments.last_mut().filter(|last| last.stage == Stage::Active) {
        last.stage = Stage::Sealing;
    }
    let mut next = Segment::new(ceiling, number());
    next.announced = true;
    segments.push(next);
    ceiling
}

impl PartitionLog {
    /// Answers of it come before their sync.
    pub(crate) fn is_weak(&self) -> bool {
        !self.early.is_stopping && self.settings.durability.mode != DurabilityMode::Media
    }

    /// Where the records end that the start found, and where the log goes on.
    pub(crate) fn gap(&self) -> &Range<Offset> {
        &self.early.gap
    }

    /// From now on nothing is answered before its sync, and offsets that are reserved are given back.
    pub(crate) fn stop_early_answers(&mut self) {
        self.early.is_stopping = true;
        self.early.go_on();
    }

    /// Bytes answered and not synced.
    pub(crate) fn answered_unsynced_bytes(&self) -> u64 {
        self.early.unsynced_bytes()
    }

    /// Bytes staged, neither answered nor synced.
    pub(crate) fn unanswered_bytes(&self) -> u64 {
        self.early.staged_bytes - self.early.answered_bytes.max(self.early.durable_bytes)
    }

    /// Whether a batch must wait before it is staged, since it would be answered before its sync; what it waits for is in
    /// the next commits.
    pub(crate) fn holds_back(&mut self, batch_bytes: u64, offset_span: u32, now: Instant) -> bool {
        if !self.is_weak() {
            return false;
        }
        let bounds = self.bounds();
        // What was staged under the stronger promise is answered by its own sync.
        if bounds.high_watermark < bounds.log_end {
            return true;
        }
        let end = bounds.log_end.advance(offset_span);
        if end > self.early.ceiling {
            self.want_ceiling(end);
            return true;
        }
        let durability = &self.settings.durability;
        let unsynced_bytes = self.early.unsynced_bytes();
        let is_full = unsynced_bytes + batch_bytes > durability.window_bytes;
        let oldest = self.early.marks.front();
        let is_old = oldest.is_some_and(|mark| now.duration_since(mark.answered) >= durability.window);
        durability.mode == DurabilityMode::Window && unsynced_bytes > 0 && (is_full || is_old)
    }

    fn want_ceiling(&mut self, end: Offset) {
        if end > self.early.ceiling_planned.max(self.early.ceiling_wanted) {
            self.early.ceiling_wanted = end.advance(self.early.ceiling_step);
            self.early.ceiling_step = (self.early.ceiling_step * 2).min(CEILING_STEP_MAX);
        }
    }

    /// What was just staged may be answered and read, if the log's mode says so. `holds_back` said no just before.
    pub(crate) fn answer_early(&mut self, now: Instant, now_ms: u64) {
        if !self.is_weak() {
            return;
        }
        let bounds = self.bounds();
        assert!(bounds.log_end <= self.early.ceiling, "offsets given out above the ceiling: {bounds:?}");
        let end = bounds.log_end;
        self.set_bounds(LogBounds { high_watermark: end, last_stable: end, ..bounds });
        let end = self.segments.last().map(|active| (active.base, active.tail.staged_end()));
        self.early.end = end.unwrap_or(self.early.end);
        self.early.answered_bytes = self.early.staged_bytes;
        let step = match self.settings.durability.mode {
            DurabilityMode::Window => self.settings.durability.window.min(Duration::from_secs(1)),
            DurabilityMode::Memory | DurabilityMode::Media => Duration::from_secs(1),
        } / MARKS_PER_WINDOW;
        let end_bytes = self.early.staged_bytes;
        match self.early.marks.back_mut() {
            Some(last) if now.duration_since(last.answered) < step => last.end_bytes = end_bytes,
            _ => self.early.marks.push_back(Mark { end_bytes, answered: now, answered_ms: now_ms }),
        }
        // Ahead of need, so that appends seldom wait for it.
        self.want_ceiling(bounds.log_end.advance(self.early.ceiling_step / 4));
        self.early.tell();
        self.watchers.drain(..).for_each(Waker::wake);
    }

    /// So many bytes more are synced.
    pub(super) fn note_synced(&mut self, bytes: u64) {
        let early = &mut self.early;
        early.durable_bytes += bytes;
        while early.marks.front().is_some_and(|mark| mark.end_bytes <= early.durable_bytes) {
            early.marks.pop_front();
        }
        early.tell();
        early.go_on();
    }

    /// The journal holds this ceiling.
    pub(super) fn on_ceiling(&mut self, end: Offset) {
        self.early.ceiling = end;
    }

    /// A ceiling has to be written down, or can be taken back: all that was given out below it is in a commit, and the
    /// journal knows where the log goes on.
    pub(super) fn wants_ceiling(&self) -> bool {
        if self.is_weak() {
            return self.early.ceiling_wanted > self.early.ceiling_planned;
        }
        self.early.ceiling_planned > Offset::ZERO && self.planned_offset_end() >= self.bounds().high_watermark
    }

    /// Puts the ceiling into a commit. Where the whole state is carried and `has_room` is false it is taken back at most,
    /// which takes no entry.
    pub(super) fn plan_ceiling(&mut self, has_room: bool, parts: &mut Vec<Part>) {
        if !(has_room || self.state_wanted) || !self.wants_ceiling() {
            return;
        }
        if !self.is_weak() {
            (self.early.ceiling, self.early.ceiling_planned) = (Offset::ZERO, Offset::ZERO);
            self.early.ceiling_wanted = Offset::ZERO;
        } else if has_room {
            self.early.ceiling_planned = self.early.ceiling_wanted;
        }
        if has_room {
            parts.push(Part::Ceiling { end: self.early.ceiling_planned });
        }
    }

    /// When a commit should carry what waits; `None` when nothing does.
    pub(crate) fn urgency(&self, commit_bytes_max: u64) -> Option<Urgency> {
        if !self.wants_commit() {
            return None;
        }
        let waiting_bytes = self.staged_bytes();
        let has_run = self.has_run();
        if !self.is_weak() || self.state_wanted || has_run || waiting_bytes == 0 || self.wants_ceiling() {
            return Some(Urgency::Now);
        }
        let durability = &self.settings.durability;
        let (bytes_max, age) = match durability.mode {
            DurabilityMode::Window => (durability.window_bytes / 2, durability.window / 2),
            DurabilityMode::Memory | DurabilityMode::Media => (commit_bytes_max, MEMORY_SYNC_AFTER),
        };
        let is_flushed = durability.flush_messages < i64::MAX as u64 && {
            let records = self.bounds().log_end.as_i64() - self.planned_offset_end().as_i64();
            records as u64 >= durability.flush_messages
        };
        let planned_bytes = self.early.staged_bytes.saturating_sub(waiting_bytes);
        let oldest = self.early.marks.iter().find(|mark| mark.end_bytes > planned_bytes);
        let due =
            oldest.and_then(|mark| mark.answered.checked_add(age.min(durability.flush).min(SYNC_AFTER_MAX)));
        match due {
            Some(due) if waiting_bytes < bytes_max.max(1) && !is_flushed => Some(Urgency::At(due)),
            _ => Some(Urgency::Now),
        }
    }

    /// Where in a segment readers must stop.
    pub(crate) fn readable_end(&self, segment: &Segment) -> FilePos {
        let durable_end = segment.tail.durable_end();
        let (base, end) = self.early.end;
        match segment.base.cmp(&base) {
            std::cmp::Ordering::Less => segment.tail.staged_end(),
            std::cmp::Ordering::Equal => durable_end.max(end),
            std::cmp::Ordering::Greater => durable_end,
        }
    }

    /// How often something came that an append may have waited for.
    pub(crate) fn progress_count(&self) -> u64 {
        self.early.progress_count
    }

    /// Wakes once something came that an append may wait for.
    pub(crate) fn wake_on_progress(&mut self, waker: Waker) {
        self.early.waiters.push(waker);
    }

    /// The settings changed: whoever waits for what they said looks again.
    pub(crate) fn settings_changed(&mut self) {
        self.early.go_on();
    }

    /// Whether somebody looks at what is answered and not synced, and whether anybody should.
    pub(crate) fn gauge_state(&self) -> (bool, bool) {
        (self.early.gauge.is_some(), self.is_weak() || self.early.unsynced_bytes() > 0)
    }

    /// Tells this gauge from now on.
    pub(crate) fn set_gauge(&mut self, gauge: Option<Arc<EarlyGauge>>) {
        self.early.gauge = gauge;
        self.early.tell();
    }
}

#[cfg(test)]
#[path = "early_tests.rs"]
mod tests;

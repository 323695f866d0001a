//! Reads every segment file from time to time and checks it, so that rot is found before a reader comes to it.
//!
//! ```text
//! a pass: every log of a directory, from a random one on
//!   a segment: length ─► all batches, as `segment::Walk` ─► where it ends ─► its index, held against the batches
//! ```
//! In the background's share of the core, at a bounded rate, past the page cache, with one piece of a file in memory. Looks
//! only at bytes that are written and synced, below what is durable; the rest is in memory, and in the journal. What does
//! not check is read once more, as in a fetch (`read`), then its log is fenced. A segment that goes meanwhile is no rot.

use super::cursor::Trouble;
use super::directory::{Directory, SharedLog};
use super::settings::EngineSettings;
use super::signal::Done;
use super::stats::EngineStats;
use crate::io::{Disk, DiskFile, OpenMode, aligned_down};
use crate::segment::{Index, IndexEntry, Located, Segment, Stage, Step, Walk};
use crate::units::{FilePos, LogId, Offset};
use std::cell::{Cell, RefCell};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Read at once.
const PIECE_BYTES: u64 = 256 << 10;
/// What a segment counts at least: opening one costs as much, and there may be very many small ones.
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// The longest sleep: whoever closes the directory waits for it.
const SLEEP_MAX: Duration = Duration::from_millis(20);

/// What the directories of one shard share: the rate, and when each was last gone through whole.
pub(crate) struct ScrubPace {
    /// From then on the next bytes may be read.
    free_at: Cell<Option<Instant>>,
    /// Milliseconds since 1970; 0 before the first time.
    passed_ms: RefCell<Vec<u64>>,
}

impl ScrubPace {
    pub(crate) fn new(directory_count: usize) -> Rc<Self> {
        Rc::new(Self { free_at: Cell::new(None), passed_ms: RefCell::new(vec![0; directory_count]) })
    }
}

/// What the scrubber of one directory remembers between its passes.
pub(crate) struct Scrub {
    place: usize,
    pace: Rc<ScrubPace>,
    due: Cell<Instant>,
    under_way: Cell<bool>,
}

impl Scrub {
    /// Of a directory that starts now, the one at `place` among those that the engine was given.
    pub(crate) fn begin(now: Instant, settings: &EngineSettings, place: usize, pace: &Rc<ScrubPace>) -> Self {
        let due = now + Duration::from_millis(settings.retention_delay_ms);
        Self { place, pace: Rc::clone(pace), due: Cell::new(due), under_way: Cell::new(false) }
    }

    /// The directory's place among those that the engine was given.
    pub(crate) fn place(&self) -> usize {
        self.place
    }
}

/// A pass; however it ends, another may begin.
struct Pass<D: Disk>(Rc<Directory<D>>);

impl<D: Disk> Drop for Pass<D> {
    fn drop(&mut self) {
        self.0.scrub.under_way.set(false);
    }
}

/// A segment as it was when the scrubber came to it.
struct Extent {
    base: Offset,
    /// Names it in this process: another one may take its place.
    number: u64,
    path: PathBuf,
    sealed: bool,
    /// What is in the file and synced: all of a sealed segment, whole blocks of another one.
    end: FilePos,
    durable_end: FilePos,
    offset_end: Offset,
    /// Checksum of the batch that it begins with.
    first_crc: u32,
    /// The next segment begins here.
    next: Option<Offset>,
}

/// How a walk through a segment goes on.
enum Went {
    /// To its end; the index that was made on the way, and whether that in the file says the same.
    Through(Index, bool),
    /// What was wrong there.
    Wrong(IndexEntry, String),
    /// The directory closes.
    Ended,
}

impl<D: Disk> Directory<D> {
    /// Starts a pass in the background if one is due and none is under way.
    pub(crate) fn scrub_if_due(self: &Rc<Self>) {
        let now = self.disk.now();
        let is_off = self.settings.scrub_bytes_per_s == 0;
        if is_off || now < self.scrub.due.get() || self.scrub.under_way.replace(true) {
            return;
        }
        // Counted from its start: a pass that takes longer is followed by the next one.
        self.scrub.due.set(now + Duration::from_millis(self.settings.scrub_interval_ms));
        let pass = Pass(Rc::clone(self));
        self.spawn_counted(true, async move { pass.0.scrub_pass().await });
    }

    async fn scrub_pass(self: &Rc<Self>) {
        let mut log_ids: Vec<LogId> = self.logs.borrow().keys().copied().collect();
        log_ids.sort_unstable();
        if !log_ids.is_empty() {
            // Not always from the same one on: a broker that never runs for a whole pass would never read the others.
            let chance = crc32c::crc32c(&self.disk.wall_ms().to_le_bytes()) as usize;
            let first = chance % log_ids.len();
            log_ids.rotate_left(first);
        }
        for log_id in log_ids {
            if let Some(log) = self.log(log_id) {
                self.scrub_log(&log).await;
            }
            if self.is_ending() {
                return;
            }
            self.disk.yield_now().await;
        }
        let passed_ms = {
            let mut passed = self.scrub.pace.passed_ms.borrow_mut();
            if let Some(own) = passed.get_mut(self.scrub.place) {
                *own = self.disk.wall_ms();
            }
            passed.iter().copied().min().unwrap_or(0)
        };
        EngineStats::set(&self.stats.scrub_passed_ms, passed_ms);
        EngineStats::add(&self.stats.scrub_passes_total, 1);
    }

    async fn scrub_log(self: &Rc<Self>, log: &SharedLog) {
        let mut from = Offset::ZERO;
        while let Some(extent) = Extent::at(log, from).filter(|_| !self.is_ending()) {
            let outcome = self.scrub_segment(log, &extent).await;
            // What was read of a segment that went meanwhile, or of a log that did, says nothing.
            let is_there = !self.is_ending() && self.is_there(log, &extent);
            match outcome {
                Err(Trouble::Corrupt(rot)) if is_there => self.rot_found(log, &rot),
                Err(Trouble::Io(error)) if is_there => {
                    let log = log.borrow();
                    let (topic, partition) = (&log.identity.topic, log.identity.partition);
                    let file = extent.path.display();
                    tracing::error!(topic, partition, %file, %error, "a segment cannot be read");
                    EngineStats::add(&self.stats.scrub_failures_total, 1);
                }
                _ => {}
            }
            from = extent.base.advance(1);
        }
    }

    fn is_there(&self, log: &SharedLog, extent: &Extent) -> bool {
        let is_known = self.log(log.borrow().identity.log_id).is_some_and(|known| Rc::ptr_eq(&known, log));
        let log = log.borrow();
        let is_served = !log.is_detached && log.fault.is_none();
        let same = |segment: &Segment| segment.number == extent.number;
        is_known && is_served && log.segment(extent.base).is_some_and(same)
    }

    async fn scrub_segment(self: &Rc<Self>, log: &SharedLog, extent: &Extent) -> Result<(), Trouble> {
        // Without a full block it may have no file yet.
        if extent.end == FilePos::ZERO {
            return Ok(());
        }
        if !self.scrub_pace(SEGMENT_BYTES_MIN.saturating_sub(extent.end.as_u64())).await {
            return Ok(());
        }
        let rot = |what: &str| extent.rot(extent.end, extent.offset_end, what);
        let file = match self.disk.open(&extent.path, OpenMode::Read).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(rot("the file is missing")),
            file => file.map_err(Trouble::Io)?,
        };
        let bytes = file.bytes().await.map_err(Trouble::Io)?;
        if bytes < extent.end.as_u64() {
            return Err(rot("the file is shorter than what was written to it"));
        }
        if extent.sealed && bytes > extent.end.as_u64() {
            // The journal says where a segment ends: what lies behind it means nothing.
            tracing::warn!(file = %extent.path.display(), bytes, end = %extent.end, "a sealed segment's file is too long");
        }
        let outcome = self.scrub_file(log, extent, &file).await;
        if let Err(error) = file.close().await {
            tracing::warn!(%error, "a file could not be closed");
        }
        outcome
    }

    /// Goes through the batches, from that on where the log starts if an index knows a place; a place that is wrong is
    /// read once more.
    async fn scrub_file(
        self: &Rc<Self>,
        log: &SharedLog,
        extent: &Extent,
        file: &D::File,
    ) -> Result<(), Trouble> {
        let known = if extent.sealed { self.index_in_file(log, extent.base).await } else { None };
        let log_start = log.borrow().bounds().log_start;
        // Nobody reads what lies before it any more.
        let mut start = known.as_ref().and_then(|index| index.floor(log_start));
        let mut again_from: Option<FilePos> = None;
        loop {
            match self.walk(log, extent, file, start, known.as_ref()).await.map_err(Trouble::Io)? {
                Went::Ended => return Ok(()),
                Went::Through(_, true) => return Ok(()),
                Went::Through(built, false) if start.is_none() => {
                    if self.is_there(log, extent) {
                        self.take_index(log, extent.base, built).await;
                    }
                    return Ok(());
                }
                // The index is wrong, and only all batches make a new one.
                Went::Through(..) => start = None,
                Went::Wrong(place, what) if again_from.is_some_and(|again| again >= place.position) => {
                    return Err(extent.rot(place.position, place.offset, &what));
                }
                Went::Wrong(place, what) => {
                    let (file, position, offset) = (extent.path.display(), place.position, place.offset);
                    tracing::warn!(%file, %position, %offset, what, "stored bytes do not check: read again");
                    EngineStats::add(&self.stats.reads_repeated_total, 1);
                    again_from = Some(place.position);
                    // An entry of the index that no batch stands behind is no rot.
                    if start.is_some_and(|start| start.position == place.position) {
                        (start, again_from) = (None, None);
                    }
                }
            }
        }
    }

    /// One walk from `from` on, or from the start.
    async fn walk(
        self: &Rc<Self>,
        log: &SharedLog,
        extent: &Extent,
        file: &D::File,
        from: Option<IndexEntry>,
        known: Option<&Index>,
    ) -> io::Result<Went> {
        let mut index = Index::default();
        let interval = log.borrow().settings.index_interval_bytes;
        let mut walk = Walk::from(extent.base, from, extent.first_crc);
        let mut unmet = known.map_or(0, |known| known.count_from(walk.here().position));
        let mut is_right = !extent.sealed || known.is_some();
        let mut at = walk.here().position;
        while at < extent.end {
            let block = aligned_down(at.as_u64());
            let count = (extent.end.as_u64() - block).min(PIECE_BYTES);
            if !self.scrub_pace(count).await {
                return Ok(Went::Ended);
            }
            let piece = self.read_aside(file, block, count as usize, &Done::default()).await?;
            EngineStats::add(&self.stats.scrub_bytes_total, piece.len() as u64);
            let Some(mut left) = piece.get((at.as_u64() - block) as usize..).filter(|left| !left.is_empty())
            else {
                return Ok(Went::Wrong(walk.here(), "the file ends before its data".to_owned()));
            };
            at = at.advance(left.len() as u64);
            loop {
                match walk.step(&mut left) {
                    Step::Short => break,
                    Step::Header(located) if located.end > extent.end => {
                        return Ok(match extent.passes(log, &located) {
                            Some(what) => Went::Wrong(walk.here(), what.to_owned()),
                            None => Went::Through(index, true),
                        });
                    }
                    Step::Header(located) if !Self::is_of_its_epoch(log, &located) => {
                        let what = "a batch has another leader epoch than its place";
                        return Ok(Went::Wrong(walk.here(), what.to_owned()));
                    }
                    Step::Header(_) => {}
                    Step::Batch(place) => {
                        EngineStats::add(&self.stats.scrub_batches_total, 1);
                        if let Some(entry) = known.and_then(|known| known.at(place.position)) {
                            unmet -= 1;
                            is_right &= entry == place;
                        }
                        index.note(place, interval);
                    }
                    Step::Wrong(what) => return Ok(Went::Wrong(walk.here(), what.to_owned())),
                }
            }
            self.disk.yield_now().await;
        }
        if let Some(what) = extent.ends_wrong(&walk.here()) {
            return Ok(Went::Wrong(walk.here(), what));
        }
        Ok(Went::Through(index, is_right && unmet == 0))
    }

    /// Waits until so many bytes may be read. `false` when the directory closes.
    async fn scrub_pace(&self, bytes: u64) -> bool {
        let pace = &self.scrub.pace;
        let now = self.disk.now();
        let start = pace.free_at.get().map_or(now, |free_at| free_at.max(now));
        let ns = u128::from(bytes) * 1_000_000_000 / u128::from(self.settings.scrub_bytes_per_s.max(1));
        pace.free_at.set(start.checked_add(Duration::from_nanos(ns.min(u128::from(u64::MAX)) as u64)));
        while !self.is_ending() {
            let left = start.saturating_duration_since(self.disk.now());
            if left.is_zero() {
                return true;
            }
            self.disk.sleep(left.min(SLEEP_MAX)).await;
        }
        false
    }
}

impl Extent {
    /// The first segment from `from` on of a log that is served.
    fn at(log: &SharedLog, from: Offset) -> Option<Self> {
        let log = log.borrow();
        if log.is_detached || log.fault.is_some() {
            return None;
        }
        let at = log.segments.partition_point(|segment| segment.base < from);
        let segment = log.segments.get(at)?;
        let sealed = segment.stage == Stage::Sealed;
        let in_file = segment.tail.written_end().min(segment.tail.durable_end()).as_u64();
        Some(Self {
            base: segment.base,
            number: segment.number,
            path: segment.path(&log.directory_name),
            sealed,
            end: FilePos::new(if sealed { in_file } else { aligned_down(in_file) }),
            durable_end: segment.tail.durable_end(),
            offset_end: segment.offset_end,
            first_crc: segment.first_crc,
            next: log.segments.get(at + 1).map(|next| next.base),
        })
    }

    fn rot(&self, at: FilePos, offset: Offset, what: &str) -> Trouble {
        Trouble::rot(what.to_owned(), self.base, at, offset)
    }

    /// What is wrong with a batch that ends behind what is in the file: nothing, if the rest of it is in memory.
    fn passes(&self, log: &SharedLog, located: &Located) -> Option<&'static str> {
        let durable_end = match log.borrow().segment(self.base) {
            Some(segment) if !self.sealed => segment.tail.durable_end(),
            _ => self.durable_end,
        };
        (self.sealed || located.end > durable_end).then_some("a batch passes the durable end")
    }

    /// What is wrong with a segment whose walk ended here.
    fn ends_wrong(&self, here: &IndexEntry) -> Option<String> {
        if !self.sealed {
            return None; // the last batch may lie in memory in part
        }
        if here.position != self.end {
            return Some("the segment ends inside a batch".to_owned());
        }
        if here.offset != self.offset_end {
            return Some(format!("the segment ends, and its offsets end at {}", self.offset_end));
        }
        let next = self.next.filter(|next| *next < self.offset_end)?;
        Some(format!("the next segment begins at {next}, inside this one"))
    }
}

//! Commits in the order they were written -> every log's tail and bounds, in memory.
//!
//! No file is touched: `shard::recovery` reads the journals and hands commits in; what comes out is handed to the
//! logs' present owners. Nothing is ever skipped silently: what does not fit together fences the log by name.

use super::codec::Take;
use super::commit::{Commit, Entry, EntryKind, StartId};
use super::state::{LogState, OFFSET_MAX, POSITION_MAX, SegmentState};
use crate::batch::{BatchHeader, HEADER_BYTES};
use crate::io::aligned_down;
use crate::log::Claim;
use crate::segment::{Index, IndexEntry, Stage, TailBatch};
use crate::units::{FilePos, LeaderEpoch, LogId, Offset, Timestamp};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};

/// Where one journal of one start ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalEnd {
    pub(crate) start: StartId,
    pub(crate) shard: u32,
    pub(crate) sequence: u64,
    /// Its last entry is the mark of a clean stop.
    pub(crate) clean: bool,
}

/// A segment whose bytes are not all in its file, or the active one.
pub(crate) struct RecoveredSegment {
    pub(crate) state: SegmentState,
    pub(crate) index: Index,
    /// From the last block border at or before `state.written_end`... to `state.end`.
    pub(crate) tail: Vec<u8>,
    pub(crate) batches: Vec<TailBatch>,
}

/// One log as the journals know it.
pub(crate) struct RecoveredLog {
    pub(crate) state: LogState,
    /// Those of `state.segments` that are not sealed, in order.
    pub(crate) open: Vec<RecoveredSegment>,
    /// Why it must not be served.
    pub(crate) fault: Option<String>,
    /// Of a log with a fault: all its bytes that the journals hold.
    pub(crate) pieces: Vec<RecoveredPiece>,
}

/// Bytes of a log that stand in a journal, as they came.
pub(crate) struct RecoveredPiece {
    pub(crate) base: Offset,
    pub(crate) start: FilePos,
    pub(crate) first_batch: FilePos,
    pub(crate) bytes: Vec<u8>,
}

/// Bytes of a log whose state no journal holds.
pub(crate) struct Stray {
    pub(crate) log_id: LogId,
    pub(crate) fault: String,
    pub(crate) pieces: Vec<RecoveredPiece>,
}

/// What came of all commits.
pub(crate) struct Outcome {
    pub(crate) logs: Vec<RecoveredLog>,
    pub(crate) deleted: Vec<LogId>,
    pub(crate) strays: Vec<Stray>,
    /// Numbers of the journal files that hold bytes of logs which are in no segment yet.
    pub(crate) files: BTreeSet<usize>,
}

/// Bytes of a segment that stand in a journal.
struct Piece {
    bytes: Vec<u8>,
    /// Position of the first batch that begins in them.
    first_batch: FilePos,
    /// Number of the journal file that holds them.
    file: usize,
}

#[derive(Default)]
struct Recovering {
    state: Option<LogState>,
    pieces: BTreeMap<(Offset, FilePos), Piece>,
    indexes: FxHashMap<Offset, Index>,
    deleted: bool,
    fault: Option<String>,
    journal: (StartId, u32),
    /// The file of the entry that is applied.
    file: usize,
    /// The commit of that journal with its last whole state.
    state_sequence: u64,
}

/// The commit with which a journal file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileHead {
    There,
    /// It does not read, and what it may have said is known, or said again behind it.
    Covered,
    Lost,
}

/// The machine.
pub(crate) struct Replay {
    logs: FxHashMap<LogId, Recovering>,
    now: Timestamp,
    /// Sequence of the commit with which the table of the present file begins, while nothing of it was lost.
    table_start: Option<u64>,
    /// Number of the present file.
    file: usize,
}

impl Replay {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { logs: FxHashMap::default(), now, table_start: None, file: 0 }
    }

    /// The next commits are those of one file, whose table begins with commit `sequence` unless its head is lost.
    pub(crate) fn begin_file(&mut self, number: usize, sequence: u64, head: FileHead) {
        self.file = number;
        self.table_start = (head == FileHead::There).then_some(sequence);
        if head == FileHead::Lost {
            // Any log may have had something in there.
            self.logs.values_mut().for_each(|log| log.fail("the head of a journal file is lost"));
        }
    }

    /// A whole table names all logs of its journal: one that is not in it was deleted.
    fn table_ends(&mut self, journal: (StartId, u32)) {
        let Some(table_start) = self.table_start.take() else { return };
        for log in self.logs.values_mut() {
            if log.journal == journal && log.state_sequence < table_start {
                *log = Recovering { deleted: true, journal, ..Recovering::default() };
            }
        }
    }

    /// Applies one commit; `bytes` are the commit's own.
    pub(crate) fn apply(&mut self, commit: &Commit, bytes: &[u8]) {
        for (entry, payload) in &commit.entries {
            let is_log = !matches!(
                entry.kind,
                EntryKind::TableEnd | EntryKind::Older | EntryKind::CleanStop | EntryKind::OldDone
            );
            let journal = (commit.head.start, commit.head.shard);
            if entry.kind == EntryKind::TableEnd {
                self.table_ends(journal);
            }
            if !is_log {
                continue;
            }
            let log = self.logs.entry(entry.log_id).or_default();
            let is_repeated =
                entry.kind == EntryKind::TableState && log.state.is_some() && log.journal == journal;
            log.journal = journal;
            if matches!(entry.kind, EntryKind::State | EntryKind::Create | EntryKind::TableState) {
                log.state_sequence = commit.head.sequence;
            }
            let payload = payload.clone().and_then(|range| bytes.get(range));
            match payload {
                Some(payload) => {
                    log.file = self.file;
                    if let Err(reason) = log.apply(entry, payload, self.now) {
                        log.fail(&format!("{reason} in commit {}", commit.head.sequence));
                        log.keep_bytes(entry, payload);
                    }
                }
                // The journal said the same before; what was wrong with the log stays wrong.
                None if is_repeated => {}
                None => log.fail(&format!("its entry in commit {} does not check", commit.head.sequence)),
            }
        }
    }

    /// A commit of this journal that was once synced is gone: no log of the journal can be trusted, unless a later state
    /// of it covers what was in there.
    pub(crate) fn journal_lost(&mut self, start: StartId, shard: u32, sequence: u64) {
        self.table_start = None;
        for log in self.logs.values_mut().filter(|log| log.journal == (start, shard)) {
            log.fail(&format!("commit {sequence} of its journal is lost"));
        }
    }

    /// A commit of the table that the present file begins with is gone, and what stood before says the same: but who was
    /// named in it is not known.
    pub(crate) fn table_lost(&mut self) {
        self.table_start = None;
    }

    /// What is known of every log.
    pub(crate) fn finish(self) -> Outcome {
        let mut outcome =
            Outcome { logs: Vec::new(), deleted: Vec::new(), strays: Vec::new(), files: BTreeSet::new() };
        for (log_id, log) in self.logs {
            outcome.files.extend(log.pieces.values().map(|piece| piece.file));
            if log.deleted {
                outcome.deleted.push(log_id);
            } else if log.state.is_some() {
                outcome.logs.extend(log.finish());
            } else {
                let fault = log.fault.unwrap_or_else(|| "no journal holds its state".to_owned());
                outcome.strays.push(Stray { log_id, fault, pieces: recovered_pieces(log.pieces) });
            }
        }
        outcome
    }
}

impl Recovering {
    fn fail(&mut self, reason: &str) {
        if self.fault.is_none() {
            self.fault = Some(reason.to_owned());
        }
    }

    fn apply(&mut self, entry: &Entry, payload: &[u8], now: Timestamp) -> Result<(), String> {
        if entry.position > POSITION_MAX {
            return Err(format!("its entry at {} lies beyond any file", entry.position));
        }
        match entry.kind {
            EntryKind::Create | EntryKind::State | EntryKind::TableState => {
                let state = LogState::decode(entry.log_id, payload).ok_or("its state does not read")?;
                self.take_state(state);
                Ok(())
            }
            EntryKind::Delete => {
                *self = Self { deleted: true, journal: self.journal, ..Self::default() };
                Ok(())
            }
            EntryKind::Data => self.data(entry, payload, now),
            EntryKind::Run => self.run(entry, payload, now),
            EntryKind::Rest => self.rest(entry, payload),
            EntryKind::Roll => self.roll(entry),
            EntryKind::Fence => {
                self.fail(&String::from_utf8_lossy(payload));
                Ok(())
            }
            EntryKind::Ceiling => {
                let end = Offset::from_wire(entry.offset_end).filter(|end| end.as_i64() <= OFFSET_MAX);
                let end = end.ok_or("a ceiling is no offset of a log")?;
                self.state.as_mut().ok_or("a ceiling comes before its state")?.ceiling = end;
                Ok(())
            }
            EntryKind::TableEnd | EntryKind::Older | EntryKind::CleanStop | EntryKind::OldDone => Ok(()),
        }
    }

    /// Bytes that do not fit what is known are kept all the same: for a rescue, or until a state makes sense of them.
    fn keep_bytes(&mut self, entry: &Entry, payload: &[u8]) {
        let Some(base) = Offset::from_wire(entry.segment_base) else { return };
        if entry.position > POSITION_MAX {
            return;
        }
        let (start, mut take) = (FilePos::new(entry.position), Take(payload));
        let first_batch = match entry.kind {
            EntryKind::Data => Some(start),
            EntryKind::Rest => take.u64().map(FilePos::new),
            _ => None,
        };
        if let Some(first_batch) = first_batch {
            let known = self.pieces.get(&(base, start)).map_or(0, |piece| piece.bytes.len());
            if known < take.0.len() {
                let piece = Piece { bytes: take.0.to_vec(), first_batch, file: self.file };
                self.pieces.insert((base, start), piece);
            }
        }
    }

    /// A state stands in place of all that was said before, faults included: whether the bytes that it counts on are
    /// there is seen at the end.
    fn take_state(&mut self, state: LogState) {
        if self.fault.take().is_some() {
            self.indexes.clear();
        }
        let open =
            |base: &Offset| state.segments.iter().find(|s| s.base == *base && s.stage != Stage::Sealed);
        self.pieces.retain(|(base, start), piece| {
            open(base).is_some_and(|s| start.advance(piece.bytes.len() as u64) > s.written_end)
        });
        self.indexes.retain(|base, _| open(base).is_some());
        for segment in state.segments.iter().filter(|segment| segment.stage != Stage::Sealed) {
            self.indexes.entry(segment.base).or_insert_with(|| Index::of(segment.milestones.clone()));
        }
        self.deleted = false;
        // What went wrong before no longer counts: bytes that this state needs and that are gone are missed at the end.
        self.fault = None;
        self.state = Some(state);
    }

    /// The segment that an entry continues; the log's first one is made by its first bytes.
    fn segment(&mut self, entry: &Entry) -> Result<&mut SegmentState, String> {
        let base = Offset::from_wire(entry.segment_base).ok_or("a segment's base is negative")?;
        let state = self.state.as_mut().ok_or("bytes come before its state")?;
        if state.segments.is_empty() {
            state.segments.push(fresh_segment(base));
            self.indexes.insert(base, Index::default());
        }
        let last = state.segments.last_mut().filter(|segment| segment.base == base);
        last.ok_or_else(|| format!("segment {base} is not the active one"))
    }

    fn data(&mut self, entry: &Entry, payload: &[u8], now: Timestamp) -> Result<(), String> {
        let position = FilePos::new(entry.position);
        let segment = self.segment(entry)?;
        if segment.end != position {
            return Err(format!("bytes at {position} do not follow {}", segment.end));
        }
        let base = segment.base;
        self.note_batches(payload, position, now)?;
        let offset_end = Offset::from_wire(entry.offset_end).ok_or("an offset is negative")?;
        let segment = self.segment(entry)?;
        if segment.offset_end != offset_end {
            return Err(format!(
                "batches end with offset {}, their entry with {offset_end}",
                segment.offset_end
            ));
        }
        segment.end = position.advance(payload.len() as u64);
        let piece = Piece { bytes: payload.to_vec(), first_batch: position, file: self.file };
        self.pieces.insert((base, position), piece);
        Ok(())
    }

    /// Notes every batch of bytes that begin with one.
    fn note_batches(&mut self, bytes: &[u8], position: FilePos, now: Timestamp) -> Result<(), String> {
        let mut at = 0;
        while let Some(header) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let header = BatchHeader::read(header).map_err(|error| format!("{error} at {position}+{at}"))?;
            self.note_batch(&header, position.advance(at as u64), now)?;
            at += header.batch_bytes();
        }
        if at == bytes.len() { Ok(()) } else { Err(format!("a batch at {position} is cut")) }
    }

    fn note_batch(&mut self, header: &BatchHeader, start: FilePos, now: Timestamp) -> Result<(), String> {
        let state = self.state.as_mut().ok_or("bytes come before its state")?;
        let segment = state.segments.last_mut().ok_or("bytes come before a segment")?;
        if header.base_offset != segment.offset_end.as_i64() || header.last_offset_delta < 0 {
            return Err(format!(
                "a batch at {start} has offset {}, not {}",
                header.base_offset, segment.offset_end
            ));
        }
        let base = segment.offset_end;
        let entry = IndexEntry { offset: base, position: start, max_timestamp_before: segment.max_timestamp };
        if let Some(index) = self.indexes.get_mut(&segment.base) {
            index.note(entry, 4096);
        }
        segment.offset_end = base.advance(header.last_offset_delta as u32 + 1);
        segment.max_timestamp = segment.max_timestamp.max(Timestamp(header.max_timestamp));
        if start == FilePos::ZERO {
            // Without a time of its own, as far as anybody knows it came now.
            segment.first_timestamp = match Timestamp(header.max_timestamp) {
                Timestamp::NONE => now,
                time => time,
            };
            segment.first_crc = header.crc;
        }
        state.epochs.note(LeaderEpoch(header.partition_leader_epoch), base);
        if let Some(claim) = Claim::of(header) {
            state.producers.note(&claim, base, segment.offset_end, now, segment.offset_end);
        }
        Ok(())
    }

    /// The payload: for each new batch its position (8) and header (61). Their bytes are in the segment up to
    /// `entry.position`; what lies beyond follows in a `Rest`.
    fn run(&mut self, entry: &Entry, payload: &[u8], now: Timestamp) -> Result<(), String> {
        self.segment(entry)?;
        let mut take = Take(payload);
        while !take.0.is_empty() {
            let start = take.u64().filter(|start| *start <= POSITION_MAX).ok_or("a run's list is cut")?;
            let header = take.bytes(HEADER_BYTES).ok_or("a run's list is cut")?;
            let header = BatchHeader::read(header).map_err(|error| error.to_string())?;
            self.note_batch(&header, FilePos::new(start), now)?;
        }
        let position = FilePos::new(entry.position);
        let segment = self.segment(entry)?;
        segment.written_end = position;
        segment.end = position;
        let base = segment.base;
        self.pieces.retain(|(known, start), piece| {
            *known != base || start.advance(piece.bytes.len() as u64) > position
        });
        Ok(())
    }

    fn rest(&mut self, entry: &Entry, payload: &[u8]) -> Result<(), String> {
        let mut take = Take(payload);
        let first_batch = FilePos::new(take.u64().ok_or("a rest is cut")?);
        let base = Offset::from_wire(entry.segment_base).ok_or("a segment's base is negative")?;
        let state = self.state.as_mut().ok_or("bytes come before its state")?;
        let segment = state.segments.iter_mut().find(|segment| segment.base == base);
        let segment = segment.ok_or("a rest of an unknown segment")?;
        let position = FilePos::new(entry.position);
        if position > segment.end {
            return Err(format!("a rest at {position} does not follow {}", segment.end));
        }
        let end = position.advance(take.0.len() as u64);
        segment.end = segment.end.max(end);
        // A copy stands in place of what it was copied from.
        let is_all = segment.written_end >= position;
        self.pieces.retain(|(known, start), piece| {
            let is_covered = start.advance(piece.bytes.len() as u64) <= end && (*start >= position || is_all);
            *known != base || !is_covered
        });
        let piece = Piece { bytes: take.0.to_vec(), first_batch, file: self.file };
        self.pieces.insert((base, position), piece);
        Ok(())
    }

    fn roll(&mut self, entry: &Entry) -> Result<(), String> {
        let next = Offset::from_wire(entry.offset_end).ok_or("an offset is negative")?;
        let segment = self.segment(entry)?;
        if segment.end.as_u64() != entry.position || segment.offset_end != next {
            return Err(format!(
                "it rolls at {} and {next}, known are {} and {}",
                entry.position, segment.end, segment.offset_end
            ));
        }
        segment.stage = Stage::Sealing;
        if let Some(state) = self.state.as_mut() {
            state.segments.push(fresh_segment(next));
        }
        self.indexes.insert(next, Index::default());
        Ok(())
    }

    fn finish(mut self) -> Option<RecoveredLog> {
        let state = self.state.take()?;
        let log_end = state.segments.last().map_or(state.log_start, |segment| segment.offset_end);
        // It goes on at its ceiling, below which a start may have been raised to records that were never synced.
        let log_end = log_end.max(state.ceiling);
        if state.log_start > log_end {
            self.fail(&format!("it starts at {} and ends at {log_end}", state.log_start));
        }
        let mut open = Vec::new();
        let unsealed: Vec<SegmentState> =
            state.segments.iter().filter(|segment| segment.stage != Stage::Sealed).cloned().collect();
        for segment in unsealed {
            match self.open_segment(&segment) {
                Ok(recovered) => open.push(recovered),
                Err(reason) => self.fail(&reason),
            }
        }
        let pieces = if self.fault.is_some() { recovered_pieces(self.pieces) } else { Vec::new() };
        Some(RecoveredLog { state, open, fault: self.fault, pieces })
    }

    fn open_segment(&mut self, segment: &SegmentState) -> Result<RecoveredSegment, String> {
        let start = FilePos::new(aligned_down(segment.written_end.as_u64()));
        let whole = segment.written_end == segment.end;
        let start = if whole { segment.end } else { start };
        let mut tail = Vec::new();
        let mut first_batch = None;
        let pieces = || {
            let upper = self.pieces.range((segment.base, FilePos::ZERO)..);
            upper.take_while(|((base, _), _)| *base == segment.base)
        };
        // What a state claims is no reason to take memory: what pieces hold is.
        let known_bytes: usize = pieces().map(|(_, piece)| piece.bytes.len()).sum();
        tail.reserve_exact(known_bytes.min((segment.end.as_u64() - start.as_u64()) as usize));
        for ((_, piece_start), piece) in pieces() {
            let at = start.advance(tail.len() as u64);
            let piece_end = piece_start.advance(piece.bytes.len() as u64);
            if *piece_start > at || piece_end <= at {
                continue;
            }
            let skip = (at.as_u64() - piece_start.as_u64()) as usize;
            // No further than to the end: nothing is copied that is cut again.
            let wanted = (segment.end.as_u64() - at.as_u64()) as usize;
            let found = piece.bytes.get(skip..).unwrap_or_default();
            tail.extend_from_slice(found.get(..wanted).unwrap_or(found));
            if first_batch.is_none() {
                first_batch = first_batch_at_or_after(piece, *piece_start, start);
            }
        }
        let reached = start.advance(tail.len() as u64);
        if reached != segment.end {
            return Err(format!(
                "segment {} ends at {}, the journal holds it to {reached}",
                segment.base, segment.end
            ));
        }
        let batches = tail_batches(&tail, start, first_batch.unwrap_or(segment.end))?;
        let index = self.indexes.remove(&segment.base).unwrap_or_default();
        let mut state = segment.clone();
        state.written_end = start;
        Ok(RecoveredSegment { state, index, tail, batches })
    }
}

fn recovered_pieces(pieces: BTreeMap<(Offset, FilePos), Piece>) -> Vec<RecoveredPiece> {
    let recovered = |((base, start), piece): ((Offset, FilePos), Piece)| RecoveredPiece {
        base,
        start,
        first_batch: piece.first_batch,
        bytes: piece.bytes,
    };
    pieces.into_iter().map(recovered).collect()
}

fn fresh_segment(base: Offset) -> SegmentState {
    SegmentState {
        base,
        stage: Stage::Active,
        offset_end: base,
        end: FilePos::ZERO,
        written_end: FilePos::ZERO,
        max_timestamp: Timestamp::NONE,
        first_timestamp: Timestamp::NONE,
        first_crc: 0,
        milestones: Vec::new(),
    }
}

fn first_batch_at_or_after(piece: &Piece, piece_start: FilePos, start: FilePos) -> Option<FilePos> {
    let mut at = piece.first_batch;
    while at < start {
        let skip = at.as_u64().checked_sub(piece_start.as_u64())? as usize;
        let header = BatchHeader::read(piece.bytes.get(skip..)?).ok()?;
        at = at.advance(header.batch_bytes() as u64);
    }
    Some(at)
}

fn tail_batches(tail: &[u8], start: FilePos, first_batch: FilePos) -> Result<Vec<TailBatch>, String> {
    let mut batches = Vec::new();
    let mut at = first_batch.as_u64().saturating_sub(start.as_u64()) as usize;
    while let Some(rest) = tail.get(at..).filter(|rest| !rest.is_empty()) {
        let header = BatchHeader::read(rest).map_err(|error| format!("{error} at {start}+{at}"))?;
        let base = Offset::from_wire(header.base_offset).filter(|base| base.as_i64() <= OFFSET_MAX);
        let base = base.filter(|_| header.last_offset_delta >= 0).ok_or("a batch has impossible offsets")?;
        let end = at + header.batch_bytes();
        batches.push(TailBatch {
            base,
            offset_end: base.advance(header.last_offset_delta as u32 + 1),
            start: start.advance(at as u64),
            end: start.advance(end as u64),
            max_timestamp: Timestamp(header.max_timestamp),
        });
        at = end;
    }
    if at > tail.len() && !tail.is_empty() && !batches.is_empty() {
        return Err(format!("the last batch of a tail at {start} is cut"));
    }
    Ok(batches)
}

//! The bytes of one segment that are still in memory: staged, planned into a commit, durable, written back.
//!
//! ```text
//! 0 ....... memory_start ....... written_end ....... durable_end ....... planned_end ....... staged_end
//!  in the    in both, kept for     in memory and       in a commit at      waits for the
//!  file only readers of the tail   in the journal      the device          next commit
//! ```
//! Always: `memory_start <= written_end`, `durable_end <= planned_end <= staged_end`; `memory_start` and `written_end`
//! lie on blocks except at a sealed segment's end. `written_end` passes `durable_end` only between a large run's sync
//! and its commit. No await, no clock, no file: `shard` carries out what this says.

use super::piece::Piece;
use crate::io::{BLOCK_BYTES, SPARE_CHUNK_BYTES, aligned_down};
use crate::units::{FilePos, Offset, Timestamp};
use bytes::Bytes;
use std::collections::VecDeque;
use std::ops::Range;

/// A tail's first chunk; each next one is four times as large.
const CHUNK_BYTES_FIRST: usize = BLOCK_BYTES;
/// The largest chunk.
const CHUNK_BYTES_MAX: usize = SPARE_CHUNK_BYTES;

/// One batch in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TailBatch {
    pub(crate) base: Offset,
    pub(crate) offset_end: Offset,
    pub(crate) start: FilePos,
    pub(crate) end: FilePos,
    pub(crate) max_timestamp: Timestamp,
}

/// What `stage` needs to know of a batch.
pub(crate) struct Staging<'a> {
    pub(crate) base: Offset,
    pub(crate) offset_end: Offset,
    pub(crate) max_timestamp: Timestamp,
    /// The batch's bytes in order, as pieces: a stamped header and the untouched rest.
    pub(crate) pieces: [&'a [u8]; 2],
}

/// See the file's header.
pub(crate) struct Tail {
    pieces: VecDeque<Piece>,
    batches: VecDeque<TailBatch>,
    memory_start: FilePos,
    written_end: FilePos,
    run_end: FilePos,
    durable_end: FilePos,
    planned_end: FilePos,
    staged_end: FilePos,
    chunk_bytes_next: usize,
}

impl Tail {
    /// An empty tail whose segment holds `end` bytes, all of them synced.
    pub(crate) fn at(end: FilePos) -> Self {
        Self {
            pieces: VecDeque::new(),
            batches: VecDeque::new(),
            memory_start: end,
            written_end: end,
            run_end: end,
            durable_end: end,
            planned_end: end,
            staged_end: end,
            chunk_bytes_next: CHUNK_BYTES_FIRST,
        }
    }

    /// A tail read back from the journal: `bytes` begin at `written_end`, which lies on a block; `batches` are those
    /// that start in them.
    pub(crate) fn recovered(written_end: FilePos, bytes: &[u8], batches: Vec<TailBatch>) -> Self {
        let mut tail = Self::at(written_end);
        tail.push_packed(bytes);
        tail.batches = batches.into();
        tail.batches.shrink_to_fit();
        tail.durable_end = tail.staged_end;
        tail.planned_end = tail.staged_end;
        tail
    }

    pub(crate) fn memory_start(&self) -> FilePos {
        self.memory_start
    }
    pub(crate) fn written_end(&self) -> FilePos {
        self.written_end
    }
    pub(crate) fn durable_end(&self) -> FilePos {
        self.durable_end
    }
    pub(crate) fn planned_end(&self) -> FilePos {
        self.planned_end
    }
    pub(crate) fn staged_end(&self) -> FilePos {
        self.staged_end
    }

    /// Where the next write to the file begins: behind a run whose commit is still to come.
    pub(crate) fn write_start(&self) -> FilePos {
        self.written_end.max(self.run_end)
    }

    /// Bytes of memory it holds, capacity included.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.pieces.iter().map(Piece::memory_bytes).sum::<usize>()
            + self.batches.len() * size_of::<TailBatch>()
    }

    /// Copies a batch in: the one copy of the produce path. Returns the bytes of memory that were taken for it.
    pub(crate) fn stage(&mut self, staging: &Staging<'_>) -> usize {
        let start = self.staged_end;
        let taken: usize = staging.pieces.iter().map(|piece| self.push_bytes(piece)).sum();
        self.batches.push_back(TailBatch {
            base: staging.base,
            offset_end: staging.offset_end,
            start,
            end: self.staged_end,
            max_timestamp: staging.max_timestamp,
        });
        taken + size_of::<TailBatch>()
    }

    fn push_bytes(&mut self, mut bytes: &[u8]) -> usize {
        let mut taken = 0;
        self.staged_end = self.staged_end.advance(bytes.len() as u64);
        while !bytes.is_empty() {
            if let Some(piece) = self.pieces.back_mut() {
                let (filled, unpacked) = piece.fill(bytes);
                let (_, rest) = bytes.split_at(filled);
                bytes = rest;
                taken += unpacked;
            }
            if !bytes.is_empty() {
                let capacity = self.chunk_bytes_next;
                self.chunk_bytes_next = (capacity * 4).min(CHUNK_BYTES_MAX);
                self.pieces.push_back(Piece::with_capacity(capacity));
                taken += capacity;
            }
        }
        taken
    }

    /// Takes over bytes that begin a tail, in no more memory than they need: nobody may ever append to them. What is less
    /// than a block stands alone, since it is copied when somebody does.
    fn push_packed(&mut self, bytes: &[u8]) {
        let (blocks, rest) = bytes.split_at(aligned_down(bytes.len() as u64) as usize);
        let pieces = blocks.chunks(CHUNK_BYTES_MAX).chain(Some(rest).filter(|rest| !rest.is_empty()));
        self.pieces = pieces.map(Piece::packed).collect();
        self.staged_end = self.staged_end.advance(bytes.len() as u64);
    }

    /// The batches from `position` on, which must be the start of one or the end of all.
    pub(crate) fn batches_from(&self, position: FilePos) -> impl Iterator<Item = &TailBatch> {
        let first = self.batches.partition_point(|batch| batch.start < position);
        self.batches.range(first..)
    }

    /// The batch that holds `offset` or the next one after it, if it lies in memory whole.
    pub(crate) fn batches_at(&self, offset: Offset) -> impl Iterator<Item = &TailBatch> {
        let first = self.batches.partition_point(|batch| batch.offset_end <= offset);
        self.batches.range(first..)
    }

    /// Position of the first batch that starts at or after `position`; the staged end when there is none.
    pub(crate) fn first_batch_from(&self, position: FilePos) -> FilePos {
        self.batches_from(position).next().map_or(self.staged_end, |batch| batch.start)
    }

    /// Takes whole batches from what is staged into the next commit: as many as fit `bytes_max`. `None` when nothing
    /// waits or fits.
    pub(crate) fn plan(&mut self, bytes_max: u64) -> Option<(Range<FilePos>, Offset)> {
        let start = self.planned_end;
        let mut last = None;
        for batch in self.batches_from(start) {
            if batch.end.as_u64() - start.as_u64() > bytes_max {
                break;
            }
            last = Some((batch.end, batch.offset_end));
        }
        let (end, offset_end) = last?;
        self.planned_end = end;
        Some((start..end, offset_end))
    }

    /// Takes whole batches, about `bytes_max` of them, as a large run: the full blocks go to the file now (from
    /// `write_start`), the rest into the commit that follows. Returns the blocks' range, and where the batches end.
    pub(crate) fn plan_run(&mut self, bytes_max: u64) -> Option<(Range<FilePos>, FilePos, Offset)> {
        let limit = self.planned_end.advance(bytes_max);
        let mut last = None;
        for batch in self.batches_from(self.planned_end) {
            if last.is_some() && batch.end > limit {
                break;
            }
            last = Some((batch.end, batch.offset_end));
        }
        let (end, offset_end) = last?;
        let start = self.write_start();
        let blocks_end = FilePos::new(aligned_down(end.as_u64()));
        if blocks_end <= start {
            return None;
        }
        self.run_end = blocks_end;
        Some((start..blocks_end, end, offset_end))
    }

    /// A run's blocks are synced: its batches up to `end` are part of the commit being planned.
    pub(crate) fn plan_to(&mut self, end: FilePos) {
        assert!(self.planned_end <= end && end <= self.staged_end, "run to {end} of {}", self.staged_end);
        self.planned_end = end;
    }

    /// The commit that carried everything below `end` is synced.
    pub(crate) fn on_durable(&mut self, end: FilePos) {
        assert!(
            self.durable_end <= end && end <= self.planned_end,
            "durable {end}, planned {}",
            self.planned_end
        );
        self.durable_end = end;
    }

    /// Everything below `end` is in the file and synced.
    pub(crate) fn on_written(&mut self, end: FilePos) {
        assert!(
            self.written_end <= end && end <= self.durable_end,
            "written {end}, durable {}",
            self.durable_end
        );
        self.written_end = end;
        self.run_end = self.run_end.max(end);
    }

    /// Full blocks that may be written back now; with `whole` (sealing, clean stop) the last, partial one too.
    pub(crate) fn plan_write_back(&self, whole: bool) -> Range<FilePos> {
        let start = self.write_start();
        let end =
            if whole { self.durable_end } else { FilePos::new(aligned_down(self.durable_end.as_u64())) };
        start..end.max(start)
    }

    /// Copies a range out, for a write to the device.
    pub(crate) fn copy_to(&self, range: Range<FilePos>, target: &mut [u8]) {
        let mut filled = 0;
        self.each_part(range, |piece, part| {
            let bytes = piece.bytes(part);
            target[filled..filled + bytes.len()].copy_from_slice(bytes);
            filled += bytes.len();
        });
    }

    /// Shared slices of a range: no copy.
    pub(crate) fn share(&self, range: Range<FilePos>, slices: &mut Vec<Bytes>) {
        self.each_part(range, |piece, part| slices.push(piece.share(part)));
    }

    fn each_part(&self, range: Range<FilePos>, mut visit: impl FnMut(&Piece, Range<usize>)) {
        assert!(
            self.memory_start <= range.start && range.end <= self.staged_end,
            "{range:?} is not in memory {}..{}",
            self.memory_start,
            self.staged_end
        );
        let mut piece_start = self.memory_start.as_u64();
        let mut at = range.start.as_u64();
        for piece in &self.pieces {
            let piece_end = piece_start + piece.span() as u64;
            if at < piece_end && at < range.end.as_u64() {
                let end = range.end.as_u64().min(piece_end);
                visit(piece, (at - piece_start) as usize..(end - piece_start) as usize);
                at = end;
            }
            piece_start = piece_end;
        }
        assert_eq!(at, range.end.as_u64().max(range.start.as_u64()), "pieces end before the range does");
    }

    /// Lets go of the first piece if all of it is written back. Returns the bytes of memory that became free.
    pub(crate) fn release_piece(&mut self) -> Option<usize> {
        let end = self.memory_start.advance(self.pieces.front()?.span() as u64);
        if end > self.written_end {
            return None;
        }
        let before = self.memory_bytes();
        self.pieces.pop_front();
        self.memory_start = end;
        while self.batches.front().is_some_and(|batch| batch.start < end) {
            self.batches.pop_front();
        }
        if self.pieces.is_empty() {
            self.chunk_bytes_next = CHUNK_BYTES_FIRST;
        }
        Some(before - self.memory_bytes())
    }

    /// Lets go of what recovery brought, as far as it is written back: it is kept for no reader, since none has asked for
    /// it since the start. Returns the bytes of memory that became free.
    pub(crate) fn release_recovered(&mut self) -> usize {
        let mut freed = 0;
        while self.pieces.front().is_some_and(Piece::is_packed)
            && let Some(bytes) = self.release_piece()
        {
            freed += bytes;
        }
        if freed > 0 {
            self.pieces.shrink_to_fit();
            self.batches.shrink_to_fit();
        }
        freed
    }

    /// Moves what is not written back into memory of its own size, when that frees most of what is held. Returns the
    /// bytes of memory that became free.
    pub(crate) fn shrink(&mut self) -> Option<usize> {
        let start = FilePos::new(aligned_down(self.written_end.as_u64()));
        let left = self.staged_end.as_u64().checked_sub(start.as_u64())? as usize;
        let before = self.memory_bytes();
        let bytes: usize = self.pieces.iter().map(Piece::memory_bytes).sum();
        let small = bytes <= CHUNK_BYTES_FIRST.max(left * 4);
        if start < self.memory_start || self.write_start() > self.written_end || small {
            return None;
        }
        let mut bytes = vec![0; left];
        self.copy_to(start..self.staged_end, &mut bytes);
        self.pieces.clear();
        self.chunk_bytes_next = CHUNK_BYTES_FIRST;
        self.memory_start = start;
        self.staged_end = start;
        self.push_packed(&bytes);
        while self.batches.front().is_some_and(|batch| batch.start < start) {
            self.batches.pop_front();
        }
        Some(before.saturating_sub(self.memory_bytes())).filter(|freed| *freed > 0)
    }

    /// Lets go of all memory of a segment that is sealed.
    pub(crate) fn release_all(&mut self) -> usize {
        assert_eq!(self.written_end, self.staged_end, "a sealed segment is written whole");
        let freed = self.memory_bytes();
        *self = Self::at(self.staged_end);
        freed
    }
}

#[cfg(test)]
#[path = "tail_tests.rs"]
mod tests;

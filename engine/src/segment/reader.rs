//! Whole batches out of stored bytes: from an offset or a time on, up to a limit.
//!
//! The bytes come as shared slices of pages and chunks, in order and without gaps; a batch may span several. Nothing is
//! copied but the 61 bytes of a header that lies across two slices. What does not look like a batch is an error, and
//! what a page brought is not to leave before its batch's checksum was found right: once for each page that is in memory.

use crate::batch::{BatchCrc, BatchHeader, HEADER_BYTES};
use crate::io::{Checked, Page};
use crate::units::{FilePos, Offset, Timestamp};
use bytes::Bytes;
use std::ops::Range;
use std::rc::Rc;

/// Consecutive stored bytes of one segment.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(crate) start: FilePos,
    pieces: Vec<Piece>,
    pub(crate) bytes: usize,
}

/// A slice, and what is known of it.
#[derive(Clone)]
struct Piece {
    bytes: Bytes,
    /// Where it comes from: what was checked of that page, and its place in it. `None` for a tail's memory, whose bytes
    /// were checked when they came in.
    page: Option<(Rc<Checked>, usize)>,
}

impl Piece {
    fn part(&self, range: Range<usize>) -> Self {
        let page = self.page.as_ref().map(|(checked, at)| (Rc::clone(checked), at + range.start));
        Self { bytes: self.bytes.slice(range), page }
    }
}

/// One batch found in gathered bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    pub(crate) header: BatchHeader,
    pub(crate) start: FilePos,
    pub(crate) end: FilePos,
}

/// What stands at a position of gathered bytes.
pub(crate) enum View {
    /// A header; the batch itself may reach past what was gathered.
    Batch(Located),
    /// Too few bytes were gathered to tell.
    Short,
    /// No batch of this log.
    Corrupt,
}

impl Gathered {
    /// Nothing yet, to be gathered from `start` on.
    pub(crate) fn from(start: FilePos) -> Self {
        Self { start, ..Self::default() }
    }

    pub(crate) fn end(&self) -> FilePos {
        self.start.advance(self.bytes as u64)
    }

    /// Adds bytes of a tail.
    pub(crate) fn push(&mut self, slice: Bytes) {
        self.push_piece(Piece { bytes: slice, page: None });
    }

    /// Adds a range of a page.
    pub(crate) fn push_page(&mut self, page: &Page, range: Range<usize>) {
        let origin = (Rc::clone(&page.checked), range.start);
        self.push_piece(Piece { bytes: page.bytes.slice(range), page: Some(origin) });
    }

    fn push_piece(&mut self, piece: Piece) {
        if !piece.bytes.is_empty() {
            self.bytes += piece.bytes.len();
            self.pieces.push(piece);
        }
    }

    /// Copies `target.len()` bytes from `at` on; false when they are not all there.
    fn copy(&self, at: FilePos, target: &mut [u8]) -> bool {
        let Some(mut skip) = at.as_u64().checked_sub(self.start.as_u64()) else { return false };
        let mut filled = 0;
        for Piece { bytes: slice, .. } in &self.pieces {
            let length = slice.len() as u64;
            if skip >= length {
                skip -= length;
                continue;
            }
            let Some(part) = slice.get(skip as usize..) else { return false };
            skip = 0;
            let count = part.len().min(target.len() - filled);
            let (Some(place), Some(bytes)) = (target.get_mut(filled..filled + count), part.get(..count))
            else {
                return false;
            };
            place.copy_from_slice(bytes);
            filled += count;
            if filled == target.len() {
                return true;
            }
        }
        filled == target.len()
    }

    /// The batch at `at`, whose first offset is `base`: no checksum covers that field.
    pub(crate) fn view(&self, at: FilePos, base: Offset) -> View {
        let mut bytes = [0; HEADER_BYTES];
        if !self.copy(at, &mut bytes) {
            return View::Short;
        }
        Located::read(&bytes, at, base).map_or(View::Corrupt, View::Batch)
    }

    /// The bytes of a range in one piece: shared when they lie in one slice, copied when they do not.
    pub(crate) fn contiguous(&self, range: Range<FilePos>) -> Option<Bytes> {
        let slices = trim(self, range);
        match slices.len() {
            0 => None,
            1 => slices.into_iter().next(),
            _ => Some(slices.concat().into()),
        }
    }

    /// Forgets what lies before `position`.
    pub(crate) fn skip_to(&mut self, position: FilePos) {
        self.keep(position..self.end());
    }

    /// Forgets what lies from `position` on.
    pub(crate) fn cut(&mut self, position: FilePos) {
        self.keep(self.start..position.min(self.end()));
    }

    fn keep(&mut self, range: Range<FilePos>) {
        self.pieces = self.parts(range.clone()).collect();
        self.bytes = self.pieces.iter().map(|piece| piece.bytes.len()).sum();
        self.start = range.start;
    }

    /// Whether all of a range was checked since it came from the device.
    pub(crate) fn is_checked(&self, range: Range<FilePos>) -> bool {
        self.spans(range).all(|(piece, span)| {
            let covers =
                |(checked, at): &(Rc<Checked>, usize)| checked.covers(&(at + span.start..at + span.end));
            piece.page.as_ref().is_none_or(covers)
        })
    }

    /// All of a range was checked: it was part of a batch whose checksum is right.
    pub(crate) fn note_checked(&self, range: Range<FilePos>) {
        for (piece, span) in self.spans(range) {
            if let Some((checked, at)) = &piece.page {
                checked.add(at + span.start..at + span.end);
            }
        }
    }

    /// Adds a range to a batch's checksum.
    pub(crate) fn add_to(&self, crc: &mut BatchCrc, range: Range<FilePos>) {
        for (piece, span) in self.spans(range) {
            crc.add(piece.bytes.get(span).unwrap_or_default());
        }
    }

    fn parts(&self, range: Range<FilePos>) -> impl Iterator<Item = Piece> {
        self.spans(range).map(|(piece, span)| piece.part(span))
    }

    /// The pieces that a range touches, each with what of it lies within.
    fn spans(&self, range: Range<FilePos>) -> impl Iterator<Item = (&Piece, Range<usize>)> {
        let mut piece_start = self.start.as_u64();
        self.pieces.iter().filter_map(move |piece| {
            let piece_end = piece_start + piece.bytes.len() as u64;
            let start = range.start.as_u64().max(piece_start);
            let end = range.end.as_u64().min(piece_end);
            let span = (start - piece_start) as usize..end.saturating_sub(piece_start) as usize;
            piece_start = piece_end;
            (start < end).then_some((piece, span))
        })
    }
}

/// The slices of a range of gathered bytes, without a copy.
pub(crate) fn trim(gathered: &Gathered, range: Range<FilePos>) -> Vec<Bytes> {
    gathered.parts(range).map(|part| part.bytes).collect()
}

impl Located {
    pub(crate) fn offset_end(&self) -> Offset {
        Offset::new(self.header.base_offset + i64::from(self.header.last_offset_delta) + 1)
    }

    pub(crate) fn base_offset(&self) -> Offset {
        Offset::new(self.header.base_offset)
    }

    pub(crate) fn max_timestamp(&self) -> Timestamp {
        Timestamp(self.header.max_timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Codec, ProducerFields};

    /// Found with a million events and a page's end 13 bytes into a header: the rest of the header read as zeros.
    #[test]
    fn a_header_across_two_pages_is_read_whole_wherever_the_border_lies() {
        let builder = BatchBuilder::new(Codec::None).record(Timestamp(77), Some(b"key"), Some(b"value"));
        let batch = builder.build(ProducerFields::default()).unwrap();
        for border in 1..batch.len() {
            let mut gathered = Gathered::from(FilePos::new(4096));
            gathered.push(batch.slice(..border));
            if border < HEADER_BYTES {
                assert!(
                    matches!(gathered.view(FilePos::new(4096), Offset::ZERO), View::Short),
                    "border {border}"
                );
            }
            gathered.push(batch.slice(border..));
            let View::Batch(located) = gathered.view(FilePos::new(4096), Offset::ZERO) else {
                panic!("no batch with a border at {border}");
            };
            assert_eq!((located.header.max_timestamp, located.end), (77, gathered.end()));
            assert_eq!(gathered.contiguous(located.start..located.end).unwrap(), batch);
        }
    }
    #[test]
    fn a_batch_over_two_pages_is_checked_once_for_each_reading_of_either() {
        let batch = Bytes::from(vec![7; 300]);
        let pages = |first: &Page, second: &Page| {
            let mut gathered = Gathered::from(FilePos::new(0));
            gathered.push_page(first, 50..200);
            gathered.push_page(second, 0..100);
            gathered.push(batch.slice(..50)); // what follows is in memory
            gathered
        };
        let page = || Page::unchecked(Bytes::from(vec![7; 200]));
        let (first, second) = (page(), page());
        let whole = FilePos::new(0)..FilePos::new(300);
        assert!(!pages(&first, &second).is_checked(whole.clone()));
        pages(&first, &second).note_checked(whole.clone());
        assert!(pages(&first, &second).is_checked(whole.clone()));
        assert!(!pages(&first, &page()).is_checked(whole.clone()), "the second one was read again");
        assert!(!pages(&page(), &second).is_checked(whole.clone()));
        let mut skipped = pages(&page(), &second);
        skipped.skip_to(FilePos::new(160));
        assert!(skipped.is_checked(FilePos::new(160)..FilePos::new(300)));
        skipped.cut(FilePos::new(170));
        assert_eq!((skipped.start, skipped.end()), (FilePos::new(160), FilePos::new(170)));
    }
}

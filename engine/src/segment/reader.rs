//! Whole batches out of stored bytes: from an offset or a time on, up to a limit.
//!
//! The bytes come as shared slices of pages and chunks, in order and without gaps; a batch may span several. Nothing is
//! copied but the 61 bytes of a header that lies across two slices. What does not look like a batch is an error.

use crate::batch::{BatchHeader, HEADER_BYTES};
use crate::units::{FilePos, Offset, Timestamp};
use bytes::Bytes;
use std::ops::Range;

/// Consecutive stored bytes of one segment.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(crate) start: FilePos,
    pub(crate) slices: Vec<Bytes>,
    pub(crate) bytes: usize,
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
    pub(crate) fn end(&self) -> FilePos {
        self.start.advance(self.bytes as u64)
    }

    pub(crate) fn push(&mut self, slice: Bytes) {
        if !slice.is_empty() {
            self.bytes += slice.len();
            self.slices.push(slice);
        }
    }

    /// Copies `target.len()` bytes from `at` on; false when they are not all there.
    fn copy(&self, at: FilePos, target: &mut [u8]) -> bool {
        let Some(mut skip) = at.as_u64().checked_sub(self.start.as_u64()) else { return false };
        let mut filled = 0;
        for slice in &self.slices {
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
        match BatchHeader::read(&bytes) {
            Ok(header) if header.base_offset == base.as_i64() && header.last_offset_delta >= 0 => {
                View::Batch(Located { header, start: at, end: at.advance(header.batch_bytes() as u64) })
            }
            _ => View::Corrupt,
        }
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
        let end = self.end();
        self.slices = trim(self, position..end);
        self.bytes = self.slices.iter().map(Bytes::len).sum();
        self.start = position;
    }
}

/// The slices of a range of gathered bytes, without a copy.
pub(crate) fn trim(gathered: &Gathered, range: Range<FilePos>) -> Vec<Bytes> {
    let mut found = Vec::with_capacity(gathered.slices.len());
    let mut slice_start = gathered.start.as_u64();
    for slice in &gathered.slices {
        let slice_end = slice_start + slice.len() as u64;
        let start = range.start.as_u64().max(slice_start);
        let end = range.end.as_u64().min(slice_end);
        if start < end {
            found.push(slice.slice((start - slice_start) as usize..(end - slice_start) as usize));
        }
        slice_start = slice_end;
    }
    found
}

impl Located {
    pub(crate) fn offset_end(&self) -> Offset {
        Offset::new(self.header.base_offset + i64::from(self.header.last_offset_delta) + 1)
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
            let mut gathered = Gathered { start: FilePos::new(4096), ..Gathered::default() };
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
}

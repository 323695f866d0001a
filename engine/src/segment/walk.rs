//! All batches of a segment as its bytes come, in order, in pieces of any length; none of them is held.
//!
//! ```text
//! | head | records ...... | head | records ...
//!   61 B   into the checksum, then forgotten
//! ```
//! A machine: who reads the file feeds it, and asks after each step. What it calls a batch is whole, stands where it
//! should, and its checksum is right. No await, no file.

use super::index::IndexEntry;
use super::reader::Located;
use crate::batch::{BatchCrc, BatchHeader, HEADER_BYTES};
use crate::units::{FilePos, Offset, Timestamp};

/// See the file's header.
pub(crate) struct Walk {
    /// Where the next batch starts, its offset, and the greatest timestamp of all before it.
    at: FilePos,
    offset: Offset,
    max_timestamp: Timestamp,
    head: [u8; HEADER_BYTES],
    head_bytes: usize,
    under_way: Option<UnderWay>,
    /// Checksum of the batch that the segment begins with.
    first_crc: u32,
}

struct UnderWay {
    located: Located,
    crc: BatchCrc,
    left: usize,
}

/// What the bytes fed last came to.
pub(crate) enum Step {
    /// All of them were used.
    Short,
    /// A header: whether the batch may reach as far as it says is for the caller to judge.
    Header(Located),
    /// A whole batch, checked: its place, as an index notes it.
    Batch(IndexEntry),
    /// What is wrong at the place where `here` says.
    Wrong(&'static str),
}

/// What is wrong with a file of the right name that was put in the place of another.
pub(crate) const OTHERS: &str = "a batch that the segment does not begin with stands at its start";

impl Walk {
    /// From the place of an index entry on, or from the start of the segment at `base`.
    pub(crate) fn from(base: Offset, start: Option<IndexEntry>, first_crc: u32) -> Self {
        let first =
            IndexEntry { offset: base, position: FilePos::ZERO, max_timestamp_before: Timestamp::NONE };
        let start = start.unwrap_or(first);
        Self {
            at: start.position,
            offset: start.offset,
            max_timestamp: start.max_timestamp_before,
            head: [0; HEADER_BYTES],
            head_bytes: 0,
            under_way: None,
            first_crc,
        }
    }

    /// Before the batch that is under way: where it stands, its offset, and the greatest timestamp before it.
    pub(crate) fn here(&self) -> IndexEntry {
        IndexEntry { offset: self.offset, position: self.at, max_timestamp_before: self.max_timestamp }
    }

    /// Takes bytes off the front of `bytes`, which follow those taken before.
    pub(crate) fn step(&mut self, bytes: &mut &[u8]) -> Step {
        let Some(under_way) = self.under_way.as_mut() else { return self.step_head(bytes) };
        let (piece, rest) = bytes.split_at(under_way.left.min(bytes.len()));
        *bytes = rest;
        under_way.crc.add(piece);
        under_way.left -= piece.len();
        if under_way.left > 0 {
            return Step::Short;
        }
        let (located, crc) = (under_way.located, under_way.crc);
        if !crc.matches(&located.header) {
            return Step::Wrong("a batch's checksum does not fit its bytes");
        }
        let here = self.here();
        if here.position == FilePos::ZERO && located.header.crc != self.first_crc {
            return Step::Wrong(OTHERS);
        }
        self.at = located.end;
        self.offset = located.offset_end();
        self.max_timestamp = self.max_timestamp.max(located.max_timestamp());
        (self.head_bytes, self.under_way) = (0, None);
        Step::Batch(here)
    }

    fn step_head(&mut self, bytes: &mut &[u8]) -> Step {
        let free = self.head.get_mut(self.head_bytes..).unwrap_or_default();
        let (piece, rest) = bytes.split_at(free.len().min(bytes.len()));
        *bytes = rest;
        free.iter_mut().zip(piece).for_each(|(place, byte)| *place = *byte);
        self.head_bytes += piece.len();
        if self.head_bytes < HEADER_BYTES {
            return Step::Short;
        }
        let Some(located) = Located::read(&self.head, self.at, self.offset) else {
            return Step::Wrong("no batch with this offset stands here");
        };
        let mut crc = BatchCrc::default();
        crc.add(&self.head);
        self.under_way = Some(UnderWay { located, crc, left: located.header.batch_bytes() - HEADER_BYTES });
        Step::Header(located)
    }
}

impl Located {
    /// The batch whose header this is; `None` unless it is one that stands at `at` and begins with `base`.
    pub(super) fn read(header: &[u8; HEADER_BYTES], at: FilePos, base: Offset) -> Option<Self> {
        let header = BatchHeader::read(header).ok()?;
        let is_right = header.base_offset == base.as_i64() && header.last_offset_delta >= 0;
        is_right.then(|| Self { header, start: at, end: at.advance(header.batch_bytes() as u64) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Codec, ProducerFields};

    /// Three batches of one, two and three records, at offsets 0, 1 and 3.
    fn segment() -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut starts, mut base) = (Vec::new(), Vec::new(), 0i64);
        for count in 1..=3 {
            let mut builder = BatchBuilder::new(Codec::None);
            (0..count).for_each(|at| builder.push(Timestamp(100 * count + at), None, Some(&[9; 50]), &[]));
            let mut batch = builder.build(ProducerFields::default()).unwrap().to_vec();
            batch[..8].copy_from_slice(&base.to_be_bytes());
            starts.push(bytes.len());
            bytes.extend(batch);
            base += count;
        }
        (bytes, starts)
    }

    /// Offsets of the whole batches, and what was wrong behind them.
    fn walk(bytes: &[u8], piece_bytes: usize) -> (Vec<(i64, i64)>, Option<(i64, u64)>) {
        let first_crc = BatchHeader::read(&segment().0).unwrap().crc;
        let (mut walk, mut found) = (Walk::from(Offset::ZERO, None, first_crc), Vec::new());
        for piece in bytes.chunks(piece_bytes) {
            let mut left = piece;
            loop {
                match walk.step(&mut left) {
                    Step::Short => break,
                    Step::Header(_) => {}
                    Step::Batch(place) => found.push((place.offset.as_i64(), place.max_timestamp_before.0)),
                    Step::Wrong(_) => {
                        let here = walk.here();
                        return (found, Some((here.offset.as_i64(), here.position.as_u64())));
                    }
                }
            }
        }
        (found, None)
    }

    #[test]
    fn batches_are_the_same_in_whatever_pieces_their_bytes_come() {
        let (bytes, _) = segment();
        for piece_bytes in 1..=bytes.len() {
            assert_eq!(walk(&bytes, piece_bytes), (vec![(0, -1), (1, 100), (3, 201)], None), "{piece_bytes}");
        }
    }

    #[test]
    fn each_turned_bit_is_met_at_its_batch_unless_only_epoch_or_length_bear_it() {
        let (bytes, starts) = segment();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 4;
            let number = starts.partition_point(|start| *start <= at) - 1;
            let (found, wrong) = walk(&bad, 77);
            let field = at - starts[number];
            match field {
                // Held against what is known of the offset, not by the walk.
                12..16 => assert_eq!((found.len(), wrong), (3, None), "byte {at}"),
                // May reach past the end: the caller knows where that is.
                8..12 => assert!(found.len() == number, "byte {at}"),
                _ => {
                    let place = ([0, 1, 3][number], starts[number] as u64);
                    assert_eq!((found.len(), wrong), (number, Some(place)), "byte {at}");
                }
            }
        }
    }

    #[test]
    fn a_sound_segment_that_begins_with_another_batch_is_another_ones() {
        let (bytes, _) = segment();
        let mut walk = Walk::from(Offset::ZERO, None, 7);
        let mut left = &bytes[..];
        assert!(matches!(walk.step(&mut left), Step::Header(_)));
        assert!(matches!(walk.step(&mut left), Step::Wrong(OTHERS)));
    }
}

//! Sparse places of a segment's batches, by offset and by time.
//!
//! One entry each `interval_bytes`; when there are too many, every second one goes and the interval doubles, so an
//! index never passes `ENTRIES_MAX` however large its segment is. A sealed segment's index is kept in a file of ours,
//! checksummed; it may always be thrown away and built again by walking the batches.

use crate::units::{FilePos, Offset, Timestamp};
use std::ops::Range;

/// The most entries an index holds: 96 KiB of memory, and one entry for each page of the largest common segment.
const ENTRIES_MAX: usize = 4096;
/// Spacing of the few entries that checkpoints carry for an active segment.
const MILESTONE_BYTES: u64 = 8 << 20;
const MAGIC: &[u8; 8] = b"TWINDEX1";
const ENTRY_BYTES: usize = 24;
const HEAD_BYTES: usize = 24;

/// A batch's place, and the greatest timestamp of all batches before it in the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) offset: Offset,
    pub(crate) position: FilePos,
    pub(crate) max_timestamp_before: Timestamp,
}

/// Entries in order of position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    entries: Vec<IndexEntry>,
    interval_bytes: u64,
}

impl Index {
    /// Notes a batch if it lies an interval or more behind the last entry.
    pub(crate) fn note(&mut self, entry: IndexEntry, interval_bytes: u64) {
        self.interval_bytes = self.interval_bytes.max(interval_bytes.max(1));
        let at = self.entries.partition_point(|known| known.position <= entry.position);
        let before =
            at.checked_sub(1).and_then(|at| self.entries.get(at)).map_or(0, |known| known.position.as_u64());
        if entry.position.as_u64() < before + self.interval_bytes {
            return;
        }
        self.entries.insert(at, entry);
        if self.entries.len() >= ENTRIES_MAX {
            let mut position = 0;
            self.entries.retain(|_| {
                position += 1;
                position % 2 == 0
            });
            self.interval_bytes *= 2;
        }
    }

    /// Where to begin to look for `offset`: the last entry at or before it. `None` is the segment's start.
    pub(crate) fn floor(&self, offset: Offset) -> Option<IndexEntry> {
        let at = self.entries.partition_point(|entry| entry.offset <= offset);
        at.checked_sub(1).and_then(|at| self.entries.get(at)).copied()
    }

    /// Where to begin to look for the first batch with a record at or after `time`. `None` is the segment's start.
    pub(crate) fn floor_time(&self, time: Timestamp) -> Option<IndexEntry> {
        let at = self.entries.partition_point(|entry| entry.max_timestamp_before < time);
        at.checked_sub(1).and_then(|at| self.entries.get(at)).copied()
    }

    /// Entries below `end`, about `MILESTONE_BYTES` apart.
    pub(crate) fn milestones(&self, end: FilePos) -> Vec<IndexEntry> {
        let mut found = Vec::new();
        let mut next = FilePos::new(MILESTONE_BYTES);
        // By halving: there are thousands of entries, and every state of the log asks for the few.
        let at = |position| self.entries.partition_point(|entry| entry.position < position);
        while next < end
            && let Some(entry) = self.entries.get(at(next)).filter(|entry| entry.position < end)
        {
            found.push(*entry);
            next = entry.position.advance(MILESTONE_BYTES);
        }
        found
    }

    /// How many milestones there are at most.
    pub(crate) fn milestones_max(&self) -> usize {
        self.entries.last().map_or(0, |entry| (entry.position.as_u64() / MILESTONE_BYTES) as usize + 1)
    }

    /// The file's bytes: magic, length of the data it describes, count, entries, checksum.
    pub(crate) fn encode(&self, segment_bytes: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES + self.entries.len() * ENTRY_BYTES + 4);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&segment_bytes.to_le_bytes());
        out.extend_from_slice(&(self.entries.len() as u64).to_le_bytes());
        for entry in &self.entries {
            out.extend_from_slice(&entry.offset.as_i64().to_le_bytes());
            out.extend_from_slice(&entry.position.as_u64().to_le_bytes());
            out.extend_from_slice(&entry.max_timestamp_before.0.to_le_bytes());
        }
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }

    /// `None` for anything but what `encode` wrote for a segment of that length.
    pub(crate) fn decode(bytes: &[u8], segment_bytes: u64) -> Option<Self> {
        let (content, checksum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        let sound = u32::from_le_bytes(checksum.try_into().ok()?) == crc32c::crc32c(content);
        let head = content.get(..HEAD_BYTES).filter(|_| sound)?;
        let number =
            |bytes: &[u8], at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        if head.get(..8)? != MAGIC || number(head, 8)? != segment_bytes {
            return None;
        }
        let mut entries = Vec::new();
        for entry in content.get(HEAD_BYTES..)?.chunks_exact(ENTRY_BYTES) {
            entries.push(IndexEntry {
                offset: Offset::from_wire(number(entry, 0)? as i64)?,
                position: FilePos::new(number(entry, 8)?),
                max_timestamp_before: Timestamp(number(entry, 16)? as i64),
            });
        }
        // All of it, and in order: an entry out of order would lead a reader past the batch that it looks for.
        let bytes_expected = HEAD_BYTES + entries.len() * ENTRY_BYTES;
        let is_whole = entries.len() as u64 == number(head, 16)? && content.len() == bytes_expected;
        let is_in_order = entries.windows(2).all(|pair| match pair {
            [first, next] => {
                first.offset < next.offset
                    && first.position < next.position
                    && first.max_timestamp_before <= next.max_timestamp_before
            }
            _ => true,
        });
        let is_inside = entries.last().is_none_or(|last| last.position.as_u64() < segment_bytes);
        (is_whole && is_in_order && is_inside).then_some(Self { entries, interval_bytes: 0 })
    }

    /// Whether all entries may be places of a segment of `bytes` bytes that holds these offsets: what an index of other
    /// bytes of the same length is not.
    pub(crate) fn lies_within(&self, offsets: Range<Offset>, bytes: u64) -> bool {
        let rises = |pair: &[IndexEntry]| match pair {
            [one, other] => one.offset < other.offset && one.position < other.position,
            _ => true,
        };
        let inside = |entry: &IndexEntry| offsets.contains(&entry.offset) && entry.position.as_u64() < bytes;
        self.entries.iter().all(inside) && self.entries.windows(2).all(rises)
    }

    /// The entry for the batch at `position`, if there is one.
    pub(crate) fn at(&self, position: FilePos) -> Option<IndexEntry> {
        let at = self.entries.partition_point(|entry| entry.position < position);
        self.entries.get(at).filter(|entry| entry.position == position).copied()
    }

    /// How many entries lie from `position` on.
    pub(crate) fn count_from(&self, position: FilePos) -> usize {
        self.entries.len() - self.entries.partition_point(|entry| entry.position < position)
    }

    #[cfg(test)]
    pub(crate) fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// An index of these entries, in order.
    pub(crate) fn of(entries: Vec<IndexEntry>) -> Self {
        Self { entries, interval_bytes: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: u64) -> IndexEntry {
        IndexEntry {
            offset: Offset::new(at as i64 / 100),
            position: FilePos::new(at),
            max_timestamp_before: Timestamp(at as i64 / 10),
        }
    }

    #[test]
    fn an_index_stays_bounded_and_still_finds_a_place_before_every_offset() {
        let mut index = Index::default();
        (1..200_000).for_each(|batch| index.note(entry(batch * 5000), 4096));
        assert!(index.entries.len() < ENTRIES_MAX);
        for offset in [0, 49, 50, 1234, 9_999_949] {
            let floor = index.floor(Offset::new(offset)).map_or(FilePos::ZERO, |entry| entry.position);
            assert!(floor.as_u64() / 100 <= offset as u64);
            assert!(offset as u64 - floor.as_u64() / 100 < 200_000, "{floor} is far before {offset}");
        }
    }

    #[test]
    fn a_time_is_looked_for_from_a_batch_before_which_all_is_older() {
        let mut index = Index::default();
        (1..100).for_each(|batch| index.note(entry(batch * 5000), 4096));
        let floor = index.floor_time(Timestamp(5000)).map(|entry| entry.position);
        assert_eq!(floor, Some(FilePos::new(45_000)), "records before it are at most 4500");
        assert_eq!(index.floor_time(Timestamp(0)), None);
    }

    #[test]
    fn milestones_lie_apart_and_below_the_end_that_is_asked_for() {
        let mut index = Index::default();
        assert_eq!(index.milestones(FilePos::new(u64::MAX)), []);
        (1..6000).for_each(|batch| index.note(entry(batch * 5000), 4096));
        let of_end =
            |end| index.milestones(FilePos::new(end)).iter().map(|entry| entry.position.as_u64()).collect();
        let found: Vec<u64> = of_end(u64::MAX);
        assert_eq!(found.len(), 3);
        for (at, position) in found.iter().enumerate() {
            let before = at.checked_sub(1).map_or(0, |before| found[before]);
            assert!((MILESTONE_BYTES..MILESTONE_BYTES + 10_000).contains(&(position - before)), "{found:?}");
        }
        assert_eq!(of_end(found[1] + 1), found[..2]);
        assert_eq!(of_end(found[1]), found[..1]);
        assert_eq!(of_end(MILESTONE_BYTES), [0_u64; 0]);
    }

    #[test]
    fn a_file_that_does_not_check_or_belongs_to_other_bytes_is_no_index() {
        let mut index = Index::default();
        (1..100).for_each(|batch| index.note(entry(batch * 5000), 4096));
        let bytes = index.encode(777_000);
        assert_eq!(Index::decode(&bytes, 777_000).map(|index| index.entries), Some(index.entries));
        assert_eq!(Index::decode(&bytes, 778_000), None);
        for at in 0..bytes.len() {
            let mut torn = bytes.clone();
            torn[at] ^= 1;
            assert_eq!(Index::decode(&torn, 777_000), None, "byte {at}");
            assert_eq!(Index::decode(&bytes[..at], 777_000), None, "cut at {at}");
        }
    }

    /// With a right checksum they led readers past what they looked for, and bytes behind the last entry were passed over.
    #[test]
    fn entries_out_of_order_or_beyond_their_segment_and_bytes_left_over_are_no_index() {
        let of = |batches: &[u64]| Index::of(batches.iter().map(|batch| entry(*batch * 100)).collect());
        let is_taken = |bytes: &[u8]| Index::decode(bytes, 1 << 30).is_some();
        assert!(is_taken(&of(&[5, 7, 9]).encode(1 << 30)));
        assert!(!is_taken(&of(&[7, 5, 9]).encode(1 << 30)));
        assert!(!is_taken(&of(&[5, 5]).encode(1 << 30)));
        assert!(Index::decode(&of(&[5]).encode(10), 10).is_none(), "the segment ends before the entry");
        let mut longer = of(&[5]).encode(1 << 30);
        longer.truncate(longer.len() - 4);
        longer.push(0);
        let checksum = crc32c::crc32c(&longer).to_le_bytes();
        assert!(!is_taken(&[&longer[..], &checksum].concat()));
    }

    #[test]
    fn an_index_of_other_bytes_of_the_same_length_is_known_by_its_places() {
        let mut index = Index::default();
        (1..100).for_each(|batch| index.note(entry(batch * 5000), 4096));
        let within = |start, end, bytes| index.lies_within(Offset::new(start)..Offset::new(end), bytes);
        assert!(within(0, 4951, 495_001));
        assert!(!within(51, 4951, 495_001) && !within(0, 4950, 495_001) && !within(0, 4951, 495_000));
        let twice = Index::of(vec![entry(5000), entry(5000)]);
        assert!(!twice.lies_within(Offset::ZERO..Offset::new(9999), 999_999));
        assert_eq!(index.at(FilePos::new(10_000)), Some(entry(10_000)));
        assert_eq!((index.at(FilePos::new(10_001)), index.count_from(FilePos::new(10_001))), (None, 97));
    }
}

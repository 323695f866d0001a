//! Where reads of old records ended: whoever reads a log in order asks next for the batch that stands there.
//!
//! An index of a large segment has an entry for each quarter of a megabyte. With small batches, to step from there to where a
//! reader was cost more than what it came for.

use crate::units::{FilePos, Offset};

/// Ends that are remembered: each reader has one for each partition that it reads behind the others. Two that fall on one place
/// cost the first its walk.
const PLACES: usize = 1024;

/// A read of the segment with this number ended before this offset, whose batch stands at this position.
#[derive(Clone, Copy)]
struct End {
    segment_number: u64,
    offset: Offset,
    position: FilePos,
}

/// See the file's header.
#[derive(Default)]
pub(crate) struct ReadEnds {
    /// Empty until the first read of old records.
    places: Vec<Option<End>>,
}

impl ReadEnds {
    /// The batch with this first offset stands at `position`; the segment's file holds it there for as long as it lives.
    pub(crate) fn note(&mut self, segment_number: u64, offset: Offset, position: FilePos) {
        if self.places.is_empty() {
            self.places.resize(PLACES, None);
        }
        if let Some(place) = self.places.get_mut(place(segment_number, offset)) {
            *place = Some(End { segment_number, offset, position });
        }
    }

    /// Where the batch with this first offset stands, if a read ended before it.
    pub(crate) fn find(&self, segment_number: u64, offset: Offset) -> Option<FilePos> {
        let end = self.places.get(place(segment_number, offset)).copied().flatten()?;
        (end.segment_number == segment_number && end.offset == offset).then_some(end.position)
    }
}

/// Spread by multiplication (Knuth's): the highest bits depend on all of both numbers.
fn place(segment_number: u64, offset: Offset) -> usize {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = segment_number.wrapping_mul(FACTOR) ^ offset.as_i64() as u64;
    (mixed.wrapping_mul(FACTOR) >> (u64::BITS - PLACES.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_known_until_another_takes_its_place_and_never_another_ones() {
        let mut ends = ReadEnds::default();
        assert_eq!(ends.find(7, Offset::new(0)), None);
        let keys: Vec<(u64, i64)> =
            (0..40).flat_map(|number| (0..100).map(move |at| (number, at * 16))).collect();
        let position = |(number, offset): (u64, i64)| FilePos::new(number * 1_000_000 + offset as u64);
        let mut known = 0;
        for (count, key) in keys.iter().enumerate() {
            ends.note(key.0, Offset::new(key.1), position(*key));
            assert_eq!(ends.find(key.0, Offset::new(key.1)), Some(position(*key)));
            let found = |key: &&(u64, i64)| match ends.find(key.0, Offset::new(key.1)) {
                Some(found) => {
                    assert_eq!(found, position(**key));
                    true
                }
                None => false,
            };
            if count == 255 {
                known = keys[..=count].iter().filter(found).count();
            }
            assert!(count % 500 > 0 || keys[..=count].iter().filter(found).count() > 0);
        }
        assert!(known > 200, "{known} of 256 are known: they are spread badly");
        assert_eq!(ends.find(41, Offset::new(0)), None);
    }
}

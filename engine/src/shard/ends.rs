//! Where reads of old records ended: whoever reads a log in order asks next for the batch that stands there.
//!
//! An index of a large segment has an entry for each quarter of a megabyte. With small batches, to step from there to where a
//! reader was cost more than what it came for.

use crate::units::{FilePos, Offset};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Ends that are remembered: each reader has one for each partition that it reads behind the others.
const ENDS_MAX: usize = 1024;

/// A segment by its number, and the first offset that a read left.
type Key = (u64, Offset);

/// See the file's header.
#[derive(Default)]
pub(crate) struct ReadEnds {
    positions: FxHashMap<Key, FilePos>,
    /// The one noted first in front.
    order: VecDeque<Key>,
}

impl ReadEnds {
    /// The batch with this first offset stands at `position`; the segment's file holds it there for as long as it lives.
    pub(crate) fn note(&mut self, segment_number: u64, offset: Offset, position: FilePos) {
        let key = (segment_number, offset);
        if self.positions.insert(key, position).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > ENDS_MAX
            && let Some(first) = self.order.pop_front()
        {
            self.positions.remove(&first);
        }
    }

    /// Where the batch with this first offset stands, if a read ended before it.
    pub(crate) fn find(&self, segment_number: u64, offset: Offset) -> Option<FilePos> {
        self.positions.get(&(segment_number, offset)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_noted_last_are_known_each_of_its_segment() {
        let mut ends = ReadEnds::default();
        let at = |number: usize| (Offset::new(number as i64), FilePos::new(number as u64 * 100));
        for number in 0..=ENDS_MAX {
            let (offset, position) = at(number);
            ends.note(7, offset, position);
            ends.note(7, offset, position);
        }
        assert_eq!(ends.find(7, at(0).0), None, "the first one went");
        assert!((1..=ENDS_MAX).all(|number| ends.find(7, at(number).0) == Some(at(number).1)));
        assert_eq!(ends.find(8, at(1).0), None);
        assert_eq!((ends.positions.len(), ends.order.len()), (ENDS_MAX, ENDS_MAX));
    }
}

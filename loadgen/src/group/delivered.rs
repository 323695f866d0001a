//! Which offsets of a group's partitions reached a member: once, again, or never.
use std::ops::Range;

use serde::Serialize;

use crate::verify::Ranges;

const EXAMPLES_MAX: usize = 5;

/// What reached the members of one group, by partition.
#[derive(Clone, Debug, Default)]
pub struct Delivered {
    partitions: Vec<Ranges>,
    /// Records that reached members.
    pub records: u64,
    /// Records that reached a member after they had reached one before.
    pub doubled: u64,
}

/// Records that never reached a member.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Missed {
    /// How many.
    pub records: u64,
    /// The first few, in words.
    pub examples: Vec<String>,
}

impl Delivered {
    /// Nothing of so many partitions.
    pub fn new(partition_count: usize) -> Self {
        Self { partitions: vec![Ranges::default(); partition_count], records: 0, doubled: 0 }
    }

    /// A member was given these offsets.
    pub fn add(&mut self, partition: i32, offsets: Range<i64>) {
        let Some(seen) = self.partitions.get_mut(partition as usize) else { return };
        let Range { start, end } = offsets;
        if start < 0 || end <= start {
            return;
        }
        let offsets = start as u64..end as u64;
        let new: u64 = seen.missing_in(offsets.clone()).iter().map(|range| range.end - range.start).sum();
        let count = offsets.end - offsets.start;
        self.records += count;
        self.doubled += count - new;
        seen.add(offsets);
    }

    /// Everything below `end` reached a member.
    pub fn has_reached(&self, partition: i32, end: i64) -> bool {
        self.partitions.get(partition as usize).is_some_and(|seen| seen.end() as i64 >= end)
    }

    /// What is missing of `bounds`, or, if the group may not have been there at the end, of what lies before the last
    /// offset that reached it.
    pub fn missed(&self, group: &str, bounds: &[Range<i64>], is_whole: bool, missed: &mut Missed) {
        for (partition, (seen, bounds)) in self.partitions.iter().zip(bounds).enumerate() {
            let end = if is_whole { bounds.end as u64 } else { seen.end().min(bounds.end as u64) };
            for hole in seen.missing_in(bounds.start as u64..end.max(bounds.start as u64)) {
                missed.records += hole.end - hole.start;
                if missed.examples.len() < EXAMPLES_MAX {
                    missed.examples.push(format!(
                        "group {group}, partition {partition}: offsets {}..{}",
                        hole.start, hole.end
                    ));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_twice_is_doubled_and_what_is_skipped_is_missed() {
        let mut delivered = Delivered::new(2);
        delivered.add(0, 0..10);
        delivered.add(0, 5..15);
        delivered.add(0, 18..20);
        delivered.add(1, 0..3);
        assert_eq!((delivered.records, delivered.doubled), (25, 5));
        let mut missed = Missed::default();
        delivered.missed("g", &[0..20, 0..5], true, &mut missed);
        assert_eq!(missed.records, 3 + 2);
        assert_eq!(missed.examples[0], "group g, partition 0: offsets 15..18");
        let mut missed = Missed::default();
        delivered.missed("g", &[0..20, 0..5], false, &mut missed);
        assert_eq!(missed.records, 3, "a group that was gone at the end may have left the end unread");
        assert!(delivered.has_reached(0, 20) && !delivered.has_reached(1, 4));
    }
}

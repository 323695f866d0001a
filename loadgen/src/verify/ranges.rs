//! A set of sequence numbers, kept as ranges: dense streams take a few bytes however long they are.
use std::collections::BTreeMap;
use std::ops::Range;

/// Disjoint, never adjacent, half-open ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds one number; `false` if it was there.
    pub fn insert(&mut self, number: u64) -> bool {
        if self.contains(number) {
            return false;
        }
        self.add(number..number + 1);
        true
    }

    /// Adds all numbers of `range`.
    pub fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        // All that overlaps or touches becomes one.
        while let Some((&other_start, &other_end)) = self.0.range(..=end).next_back() {
            if other_end < start {
                break;
            }
            start = start.min(other_start);
            end = end.max(other_end);
            self.0.remove(&other_start);
        }
        self.0.insert(start, end);
    }

    /// Whether `number` is there.
    pub fn contains(&self, number: u64) -> bool {
        self.0.range(..=number).next_back().is_some_and(|(_, end)| number < *end)
    }

    /// The parts of `range` that are not there.
    pub fn missing_in(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut missing = Vec::new();
        let mut at = range.start;
        let before = self.0.range(..=range.start).next_back();
        for (&start, &end) in before.into_iter().chain(self.0.range(range.start + 1..)) {
            if start >= range.end {
                break;
            }
            if start > at {
                missing.push(at..start);
            }
            at = at.max(end);
        }
        if at < range.end {
            missing.push(at..range.end);
        }
        missing
    }

    /// The ranges, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.0.iter().map(|(&start, &end)| start..end)
    }

    /// How many numbers.
    pub fn count(&self) -> u64 {
        self.iter().map(|range| range.end - range.start).sum()
    }

    /// The lowest number.
    pub fn first(&self) -> Option<u64> {
        self.0.first_key_value().map(|(start, _)| *start)
    }

    /// The number after the highest; 0 if empty.
    pub fn end(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(_, end)| *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    proptest::proptest! {
        #[test]
        fn ranges_are_the_set_they_stand_for(
            added in proptest::collection::vec((0..60_u64, 0..8_u64), 0..30),
            single in proptest::collection::vec(0..70_u64, 0..10),
            asked in (0..70_u64, 0..30_u64),
        ) {
            let (mut ranges, mut model) = (Ranges::default(), BTreeSet::new());
            for (start, count) in added {
                ranges.add(start..start + count);
                model.extend(start..start + count);
            }
            for number in single {
                assert_eq!(ranges.insert(number), model.insert(number));
            }
            assert_eq!(ranges.iter().flatten().collect::<BTreeSet<_>>(), model);
            assert_eq!(ranges.count(), model.len() as u64);
            assert_eq!((ranges.first(), ranges.end()), (model.first().copied(), model.last().map_or(0, |last| last + 1)));
            assert!(ranges.iter().zip(ranges.iter().skip(1)).all(|(one, next)| one.end < next.start));
            let asked = asked.0..asked.0 + asked.1;
            let missing: Vec<_> = ranges.missing_in(asked.clone()).into_iter().flatten().collect();
            assert_eq!(missing, asked.filter(|number| !model.contains(number)).collect::<Vec<_>>());
        }
    }
}

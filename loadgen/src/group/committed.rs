//! What a group's commits promised: an offset whose commit was answered is there from then on, or a later one.
//!
//! A machine, fed with answers. What the coordinator tells is held against what had been answered when it was asked.
const EXAMPLES_MAX: usize = 5;

/// The commits of one group, by partition.
#[derive(Clone, Debug, Default)]
pub struct Committed {
    /// Highest offset of an answered commit; -1: none.
    answered: Vec<i64>,
    /// Offsets that were told and are lower than what had been answered before the question.
    pub gone_back: u64,
    /// The first few, in words.
    pub examples: Vec<String>,
}

impl Committed {
    /// Nothing of so many partitions.
    pub fn new(partition_count: usize) -> Self {
        Self { answered: vec![-1; partition_count], ..Self::default() }
    }

    /// What was answered up to now, by partition; -1: nothing.
    pub fn answered(&self) -> &[i64] {
        &self.answered
    }

    /// The commit of these offsets was answered without an error.
    pub fn on_answered(&mut self, offsets: &[(i32, i64)]) {
        for (partition, offset) in offsets {
            if let Some(answered) = self.answered.get_mut(*partition as usize) {
                *answered = (*answered).max(*offset);
            }
        }
    }

    /// The coordinator tells this offset; `floor` is what was answered when it was asked.
    pub fn on_told(&mut self, group: &str, partition: i32, told: i64, floor: i64) {
        if told >= floor {
            return;
        }
        self.gone_back += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(format!(
                "group {group}, partition {partition}: told {told}, a commit of {floor} was answered before"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_below_one_that_was_answered_has_gone_back() {
        let mut committed = Committed::new(2);
        committed.on_answered(&[(0, 7), (0, 5), (1, 0)]);
        assert_eq!(committed.answered(), [7, 0]);
        for (partition, told, floor) in [(0, 7, 7), (0, 9, 7), (1, 0, 0), (1, -1, -1)] {
            committed.on_told("g", partition, told, floor);
        }
        assert_eq!(committed.gone_back, 0);
        committed.on_told("g", 0, 6, 7);
        committed.on_told("g", 1, -1, 0);
        assert_eq!(committed.gone_back, 2);
        assert_eq!(committed.examples[0], "group g, partition 0: told 6, a commit of 7 was answered before");
    }
}

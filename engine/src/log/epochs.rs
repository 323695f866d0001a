//! Where each leader epoch began.

use crate::journal::{Put, Take};
use crate::units::{LeaderEpoch, Offset};

/// More epochs than this are never kept: the oldest go.
const EPOCHS_MAX: usize = 4096;

/// Epochs of the records in a log, in order, each with the offset of its first record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Epochs {
    starts: Vec<(LeaderEpoch, Offset)>,
}

impl Epochs {
    /// A batch of `epoch` stands at `offset`.
    pub(crate) fn note(&mut self, epoch: LeaderEpoch, offset: Offset) {
        if self.starts.last().is_none_or(|(known, _)| *known < epoch) {
            self.starts.push((epoch, offset));
            if self.starts.len() > EPOCHS_MAX {
                self.starts.remove(0);
            }
        }
    }

    /// Epoch of the record at `offset`; of the last record for the end; `None` for an empty log.
    pub(crate) fn at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.starts.partition_point(|(_, start)| *start <= offset);
        let at = after.checked_sub(1)?;
        self.starts.get(at).map(|(epoch, _)| *epoch)
    }

    /// The largest known epoch not above `epoch`, and where it ended (KIP-101, KIP-279).
    pub(crate) fn end_of(
        &self,
        epoch: LeaderEpoch,
        current: LeaderEpoch,
        log_end: Offset,
    ) -> Option<(LeaderEpoch, Offset)> {
        if epoch > current {
            return None;
        }
        if epoch == current {
            return Some((current, log_end));
        }
        let after = self.starts.partition_point(|(known, _)| *known <= epoch);
        let found = after.checked_sub(1).and_then(|at| self.starts.get(at));
        let end = self.starts.get(after).map_or(log_end, |(_, start)| *start);
        match found {
            Some((known, _)) => Some((*known, end)),
            // Older than all that is known: Kafka answers the epoch asked for and the first known start.
            None => self.starts.first().map(|(_, start)| (epoch, *start)),
        }
    }

    /// The log starts here now: the epoch of its first record begins with it, those before it are forgotten.
    pub(crate) fn cut(&mut self, start: Offset) {
        let after = self.starts.partition_point(|(_, known)| *known <= start);
        self.starts.drain(..after.saturating_sub(1));
        if let Some(first) = self.starts.first_mut() {
            first.1 = first.1.max(start);
        }
    }

    /// Without what begins at or after `end`: the state as a commit that ends there knows it.
    pub(crate) fn below(&self, end: Offset) -> Self {
        Self { starts: self.starts.iter().copied().filter(|(_, start)| *start < end).collect() }
    }

    pub(crate) fn encode(&self, out: &mut Put) {
        out.u32(self.starts.len() as u32);
        for (epoch, start) in &self.starts {
            out.i32(epoch.0).i64(start.as_i64());
        }
    }

    pub(crate) fn decode(take: &mut Take<'_>) -> Option<Self> {
        let count = take.count(12)?;
        let one = |take: &mut Take<'_>| Some((LeaderEpoch(take.i32()?), Offset::from_wire(take.i64()?)?));
        Some(Self { starts: (0..count).map(|_| one(take)).collect::<Option<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_ends_where_the_next_known_one_begins() {
        let mut epochs = Epochs::default();
        for (epoch, at) in [(0, 0), (0, 5), (2, 10), (5, 30)] {
            epochs.note(LeaderEpoch(epoch), Offset::new(at));
        }
        let end = |epoch| epochs.end_of(LeaderEpoch(epoch), LeaderEpoch(6), Offset::new(40));
        assert_eq!(end(0), Some((LeaderEpoch(0), Offset::new(10))));
        assert_eq!(end(1), Some((LeaderEpoch(0), Offset::new(10))));
        assert_eq!(end(3), Some((LeaderEpoch(2), Offset::new(30))));
        assert_eq!(end(5), Some((LeaderEpoch(5), Offset::new(40))));
        assert_eq!(end(6), Some((LeaderEpoch(6), Offset::new(40))));
        assert_eq!(end(7), None);
        assert_eq!(epochs.at(Offset::new(29)), Some(LeaderEpoch(2)));
        assert_eq!(epochs.below(Offset::new(30)).at(Offset::new(99)), Some(LeaderEpoch(2)));
    }
}

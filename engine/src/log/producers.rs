//! Idempotence: each producer's epoch and its last five batches (KIP-98, KIP-679).
//!
//! What a log remembers here decides whether a batch that comes again is stored again. A batch that is staged and not
//! yet in a commit can still be lost; the state that goes into the journal therefore never mentions it (`below`), and
//! enough older batches are kept until a commit carries the newer ones.

use crate::batch::BatchHeader;
use crate::journal::{Put, Take};
use crate::units::{Offset, Timestamp};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Kafka keeps five batches a producer, since a client has five requests in flight at most.
const BATCHES_KEPT: usize = 5;
/// Batches of one producer that may be staged beyond those before the oldest are forgotten all the same.
const BATCHES_MAX: usize = 64;
/// More producers than this in one log: the one idle for longest is forgotten.
const PRODUCERS_MAX: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KnownBatch {
    sequence_first: i32,
    sequence_end: i32,
    base: Offset,
    offset_end: Offset,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    seen: Timestamp,
    batches: VecDeque<KnownBatch>,
    /// Epochs before, the newest last, with their batches: while no commit carries a batch of the present one, that may
    /// still be lost.
    before: Vec<(i16, VecDeque<KnownBatch>)>,
}

/// A batch's producer fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    pub(crate) sequence_first: i32,
    pub(crate) record_count: u32,
}

impl Claim {
    /// `None` for a batch without a producer id.
    pub(crate) fn of(header: &BatchHeader) -> Option<Self> {
        (header.producer_id >= 0).then_some(Self {
            producer_id: header.producer_id,
            epoch: header.producer_epoch,
            sequence_first: header.base_sequence,
            record_count: header.record_count.max(0) as u32,
        })
    }

    fn sequence_end(&self) -> i32 {
        sequence_after(self.sequence_first, self.record_count)
    }
}

/// Sequences wrap to 0 after 2^31-1.
fn sequence_after(first: i32, count: u32) -> i32 {
    ((i64::from(first) + i64::from(count)) % (i64::from(i32::MAX) + 1)) as i32
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Store it.
    New,
    /// One of the last five came again: answer where it went.
    Duplicate { base: Offset, offset_end: Offset },
    /// A gap, an older duplicate, or a new epoch that does not begin at 0.
    OutOfOrder { expected: i32 },
    /// An epoch below the one known.
    OldEpoch { known: i16 },
}

/// The producers of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers {
    by_id: FxHashMap<i64, Producer>,
}

impl Producers {
    /// Judges a batch; changes nothing.
    pub(crate) fn judge(&self, claim: &Claim) -> Verdict {
        let Some(known) = self.by_id.get(&claim.producer_id) else { return Verdict::New };
        if claim.epoch < known.epoch {
            return Verdict::OldEpoch { known: known.epoch };
        }
        if claim.epoch > known.epoch {
            return if claim.sequence_first == 0 {
                Verdict::New
            } else {
                Verdict::OutOfOrder { expected: 0 }
            };
        }
        let end = claim.sequence_end();
        let recent = known.batches.iter().rev().take(BATCHES_KEPT);
        let same =
            |batch: &&KnownBatch| batch.sequence_first == claim.sequence_first && batch.sequence_end == end;
        if let Some(batch) = recent.into_iter().find(same) {
            return Verdict::Duplicate { base: batch.base, offset_end: batch.offset_end };
        }
        match known.batches.back() {
            Some(last) if last.sequence_end != claim.sequence_first => {
                Verdict::OutOfOrder { expected: last.sequence_end }
            }
            _ => Verdict::New,
        }
    }

    /// Notes a batch that is stored at `base`; `planned_end` is where the newest commit's records end.
    pub(crate) fn note(
        &mut self,
        claim: &Claim,
        base: Offset,
        offset_end: Offset,
        seen: Timestamp,
        planned_end: Offset,
    ) {
        let producer = self.by_id.entry(claim.producer_id).or_insert_with(|| Producer {
            epoch: claim.epoch,
            seen,
            batches: VecDeque::new(),
            before: Vec::new(),
        });
        if producer.batches.iter().any(|batch| batch.offset_end <= planned_end) {
            producer.before.clear();
        }
        if claim.epoch > producer.epoch {
            producer.before.push((producer.epoch, std::mem::take(&mut producer.batches)));
            if producer.before.len() > BATCHES_MAX {
                producer.before.remove(0);
            }
            producer.epoch = claim.epoch;
        }
        producer.seen = seen;
        let sequence_end = claim.sequence_end();
        producer.batches.push_back(KnownBatch {
            sequence_first: claim.sequence_first,
            sequence_end,
            base,
            offset_end,
        });
        while producer.batches.len() > BATCHES_MAX
            || producer.batches.iter().filter(|batch| batch.offset_end <= planned_end).count() > BATCHES_KEPT
        {
            producer.batches.pop_front();
        }
        if self.by_id.len() > PRODUCERS_MAX {
            let oldest = self.by_id.iter().min_by_key(|(_, producer)| producer.seen).map(|(id, _)| *id);
            oldest.map(|id| self.by_id.remove(&id));
        }
    }

    /// Forgets producers last seen before `horizon`.
    pub(crate) fn expire(&mut self, horizon: Timestamp) {
        self.by_id.retain(|_, producer| producer.seen >= horizon);
    }

    /// Whether `expire` would forget one.
    pub(crate) fn has_expired(&self, horizon: Timestamp) -> bool {
        self.by_id.values().any(|producer| producer.seen < horizon)
    }

    /// A producer's epoch and the sequence that its next batch must have.
    #[cfg(test)]
    pub(crate) fn newest(&self, producer_id: i64) -> Option<(i16, i32)> {
        let producer = self.by_id.get(&producer_id)?;
        Some((producer.epoch, producer.batches.back()?.sequence_end))
    }

    pub(crate) fn count(&self) -> usize {
        self.by_id.len()
    }

    /// When each producer was last seen.
    pub(crate) fn seen(&self, seen: &mut Vec<Timestamp>) {
        seen.extend(self.by_id.values().map(|producer| producer.seen));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// As a commit that ends at `end` knows them.
    pub(crate) fn below(&self, end: Offset) -> Self {
        let mut by_id = self.by_id.clone();
        by_id.retain(|_, producer| {
            producer.batches.retain(|batch| batch.offset_end <= end);
            while producer.batches.is_empty()
                && let Some(before) = producer.before.pop()
            {
                (producer.epoch, producer.batches) = before;
                producer.batches.retain(|batch| batch.offset_end <= end);
            }
            producer.before.clear();
            !producer.batches.is_empty()
        });
        Self { by_id }
    }

    /// What `encode` writes at most.
    pub(crate) fn bytes_max(&self) -> usize {
        4 + self.by_id.len() * (19 + BATCHES_KEPT * 24)
    }

    pub(crate) fn encode(&self, out: &mut Put) {
        out.u32(self.by_id.len() as u32);
        for (id, producer) in &self.by_id {
            let skipped = producer.batches.len().saturating_sub(BATCHES_KEPT);
            out.i64(*id).u16(producer.epoch as u16).i64(producer.seen.0);
            out.u8((producer.batches.len() - skipped) as u8);
            for batch in producer.batches.iter().skip(skipped) {
                out.i32(batch.sequence_first).i32(batch.sequence_end);
                out.i64(batch.base.as_i64()).i64(batch.offset_end.as_i64());
            }
        }
    }

    pub(crate) fn decode(take: &mut Take<'_>) -> Option<Self> {
        let count = take.count(19)?;
        let mut by_id = FxHashMap::default();
        for _ in 0..count {
            let (id, epoch, seen) = (take.i64()?, take.u16()? as i16, Timestamp(take.i64()?));
            let batches = take.u8().filter(|batches| usize::from(*batches) <= BATCHES_KEPT)?;
            let batches = (0..batches).map(|_| decode_batch(take)).collect::<Option<_>>()?;
            if by_id.insert(id, Producer { epoch, seen, batches, before: Vec::new() }).is_some() {
                return None;
            }
        }
        Some(Self { by_id })
    }
}

fn decode_batch(take: &mut Take<'_>) -> Option<KnownBatch> {
    let (sequence_first, sequence_end) = (take.i32()?, take.i32()?);
    let (base, offset_end) = (Offset::from_wire(take.i64()?)?, Offset::from_wire(take.i64()?)?);
    Some(KnownBatch { sequence_first, sequence_end, base, offset_end })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(epoch: i16, sequence_first: i32) -> Claim {
        Claim { producer_id: 9, epoch, sequence_first, record_count: 10 }
    }

    fn fed(count: i32) -> Producers {
        let mut producers = Producers::default();
        for number in 0..count {
            let base = Offset::new(i64::from(number) * 10);
            let planned = base;
            producers.note(&claim(1, number * 10), base, base.advance(10), Timestamp(0), planned);
        }
        producers
    }

    #[test]
    fn one_of_the_last_five_batches_is_answered_with_its_first_place_and_an_older_one_is_refused() {
        let producers = fed(8);
        for number in 3..8 {
            let base = Offset::new(number * 10);
            let expected = Verdict::Duplicate { base, offset_end: base.advance(10) };
            assert_eq!(producers.judge(&claim(1, number as i32 * 10)), expected);
        }
        assert_eq!(producers.judge(&claim(1, 20)), Verdict::OutOfOrder { expected: 80 });
        assert_eq!(producers.judge(&claim(1, 80)), Verdict::New);
        assert_eq!(producers.judge(&claim(1, 90)), Verdict::OutOfOrder { expected: 80 });
    }

    #[test]
    fn a_new_epoch_begins_at_zero_and_an_old_one_is_refused() {
        let producers = fed(3);
        assert_eq!(producers.judge(&claim(2, 0)), Verdict::New);
        assert_eq!(producers.judge(&claim(2, 30)), Verdict::OutOfOrder { expected: 0 });
        assert_eq!(producers.judge(&claim(0, 30)), Verdict::OldEpoch { known: 1 });
        let stranger = Claim { producer_id: 77, ..claim(0, 1234) };
        assert_eq!(producers.judge(&stranger), Verdict::New);
    }

    #[test]
    fn sequences_wrap_to_zero_after_the_largest() {
        let mut producers = Producers::default();
        let last = claim(1, i32::MAX - 9);
        producers.note(&last, Offset::ZERO, Offset::new(10), Timestamp(0), Offset::ZERO);
        assert_eq!(producers.judge(&claim(1, 0)), Verdict::New);
        let across = claim(1, i32::MAX - 4);
        assert_eq!(across.sequence_end(), 5);
    }

    /// Found by a seed: the state forgot the producer, the new epoch's batch was lost in a crash, and a batch of the old
    /// epoch that came again was stored twice.
    #[test]
    fn a_new_epoch_that_no_commit_carries_hides_none_of_the_epoch_before() {
        let mut producers = fed(3);
        let (base, planned) = (Offset::new(30), Offset::new(30));
        producers.note(&claim(2, 0), base, base.advance(10), Timestamp(0), planned);
        producers.note(&claim(3, 0), base.advance(10), base.advance(20), Timestamp(0), planned);
        assert_eq!(producers.judge(&claim(1, 20)), Verdict::OldEpoch { known: 3 });
        let known = producers.below(planned);
        assert!(matches!(known.judge(&claim(1, 20)), Verdict::Duplicate { .. }));
        assert_eq!(known.judge(&claim(1, 30)), Verdict::New);
        let known = producers.below(Offset::new(40));
        assert_eq!(known.judge(&claim(1, 20)), Verdict::OldEpoch { known: 2 });
    }

    #[test]
    fn what_a_commit_does_not_carry_is_not_remembered_by_it() {
        let mut producers = fed(5);
        for number in 5..11 {
            let base = Offset::new(number * 10);
            producers.note(
                &claim(1, number as i32 * 10),
                base,
                base.advance(10),
                Timestamp(0),
                Offset::new(50),
            );
        }
        let known = producers.below(Offset::new(50));
        assert_eq!(known.judge(&claim(1, 50)), Verdict::New);
        assert!(
            matches!(known.judge(&claim(1, 0)), Verdict::Duplicate { .. }),
            "all five committed ones are kept"
        );
        let mut out = Put::default();
        known.encode(&mut out);
        assert_eq!(Producers::decode(&mut Take(&out.0)), Some(known));
    }
}

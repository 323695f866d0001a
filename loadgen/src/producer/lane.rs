//! What one producer has under way in one partition: order, sequences, and what to do after a failure.
//!
//! A machine: no socket, no clock; times count from the start of the run.
//! ```text
//!  acknowledged | on the wire ...... | waiting to be sent (again) ...... | not made yet
//!               front of `pending`     in order behind it                  next_sequence
//! ```
//! After a failure that may pass, nothing more is sent until every answer still under way has come; then all that is left
//! goes again in its old order with its old sequences, so that an idempotent broker sees either the next batch or one it has.
use std::collections::VecDeque;
use std::time::Duration;

use crate::batch::{Body, HEADER_BYTES};
use crate::client::is_retriable;

const OUT_OF_ORDER_SEQUENCE: i16 = 45;
const DUPLICATE_SEQUENCE: i16 = 46;
const CORRUPT_MESSAGE: i16 = 2;
/// Errors after which the batch may be in the log all the same: request timed out, network, not enough replicas after
/// the append, storage, unknown.
const MAYBE_APPENDED: [i16; 5] = [7, 13, 20, 56, -1];
/// Pause before a batch that a broker could not take yet is sent again.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// How often the same batch may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Idempotent: until it is acknowledged. The broker drops what it has already.
    Always,
    /// So many times after the first; a batch may then be in the log twice.
    Times(u32),
}

/// A batch that is made and not settled.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Of its first record, among those of this producer in this partition.
    pub sequence: u64,
    /// Its records.
    pub body: Body,
    /// Its header; the same each time it is sent.
    pub header: [u8; HEADER_BYTES],
    /// When its first record was meant to leave.
    pub intended: Duration,
    /// How much later each further record was meant to: nothing, unless records come one by one.
    pub spacing: Duration,
    /// When it was first given to the connection.
    pub first_sent: Option<Duration>,
    /// How often it was sent.
    pub sends: u32,
    on_wire: bool,
}

impl Pending {
    /// A batch that has not been sent.
    pub fn new(
        sequence: u64,
        body: Body,
        header: [u8; HEADER_BYTES],
        intended: Duration,
        spacing: Duration,
    ) -> Self {
        Self { sequence, body, header, intended, spacing, first_sent: None, sends: 0, on_wire: false }
    }

    /// When its records were meant to leave: times, and how many records share each.
    pub fn intended_times(&self) -> impl Iterator<Item = (Duration, u64)> + use<> {
        let (intended, spacing, records) = (self.intended, self.spacing, self.body.record_count());
        let (times, each) = if spacing.is_zero() { (1, u64::from(records)) } else { (records, 1) };
        (0..times).map(move |place| (intended + spacing * place, each))
    }

    /// Sequence after its last record.
    pub fn sequence_end(&self) -> u64 {
        self.sequence + u64::from(self.body.record_count())
    }
}

/// What an answer did to its batch.
#[derive(Debug)]
pub enum Answered {
    /// In the log.
    Acknowledged(Pending),
    /// Will be sent again.
    Again,
    /// Not in the log, and not sent again.
    Refused(Pending),
    /// Perhaps in the log, and not sent again.
    Unknown(Pending),
    /// The broker broke a promise or refuses an idempotent batch for good: this lane cannot go on.
    Fatal(Pending),
}

/// One producer in one partition. Owned by that producer.
#[derive(Debug)]
pub struct Lane {
    /// The partition.
    pub partition: i32,
    retry: Retry,
    pending_max: usize,
    next_sequence: u64,
    pending: VecDeque<Pending>,
    hold_until: Duration,
    /// Waits for all answers under way before it sends again.
    rewinding: bool,
    /// Batches that may be under way now. Of an idempotent producer that the broker does not know it takes any sequence for
    /// the first: were the first batch refused, the second would take its place, so the second waits for the first one's answer.
    open_max: usize,
}

impl Lane {
    /// An empty lane with at most `pending_max` batches that are not settled.
    ///
    /// # Panics
    /// If that is none.
    pub fn new(partition: i32, retry: Retry, pending_max: usize) -> Self {
        assert!(pending_max > 0);
        Self {
            partition,
            retry,
            pending_max,
            next_sequence: 0,
            pending: VecDeque::new(),
            hold_until: Duration::ZERO,
            rewinding: false,
            open_max: if retry == Retry::Always { 1 } else { pending_max },
        }
    }

    /// Sequence of the next record.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// All batches are settled.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Nothing waits to be sent.
    pub fn is_on_wire(&self) -> bool {
        self.pending.iter().all(|batch| batch.on_wire)
    }

    /// A new batch may be made: none waits to be sent, there are not too many under way, and the oldest of an idempotent
    /// producer is not being repeated. A broker knows its last five batches again: were more stored behind one that is
    /// repeated, that would be out of order for good.
    pub fn has_room(&self) -> bool {
        let repeats =
            self.retry == Retry::Always && self.pending.front().is_some_and(|batch| batch.sends > 1);
        !self.rewinding && !repeats && self.pending.len() < self.open_max && self.is_on_wire()
    }

    /// Takes a new batch; its sequence must be the next.
    ///
    /// # Panics
    /// If it is not: the stream would have a hole.
    pub fn push(&mut self, batch: Pending) {
        assert_eq!(batch.sequence, self.next_sequence);
        self.next_sequence = batch.sequence_end();
        self.pending.push_back(batch);
    }

    /// The next batch to put on the wire, if one may leave now; it counts as sent.
    pub fn next_to_send(&mut self, now: Duration) -> Option<&Pending> {
        if self.rewinding {
            if self.pending.iter().any(|batch| batch.on_wire) || now < self.hold_until {
                return None;
            }
            self.rewinding = false;
        }
        let batch = self.pending.iter_mut().find(|batch| !batch.on_wire)?;
        batch.on_wire = true;
        batch.sends += 1;
        batch.first_sent.get_or_insert(now);
        Some(batch)
    }

    /// When [`Self::next_to_send`] may have something again, if that is known.
    pub fn wake_at(&self) -> Option<Duration> {
        let waits = self.rewinding && !self.pending.iter().any(|batch| batch.on_wire);
        (waits && !self.pending.is_empty()).then_some(self.hold_until)
    }

    /// Since when the oldest batch tries to get through.
    pub fn oldest_sent(&self) -> Option<Duration> {
        self.pending.front()?.first_sent
    }

    /// A broker answered the batch of this sequence.
    ///
    /// # Panics
    /// If no such batch is on the wire.
    pub fn on_answer(&mut self, sequence: u64, code: i16, now: Duration) -> Answered {
        let place = self.pending.iter().position(|batch| batch.sequence == sequence && batch.on_wire);
        let place = place.expect("an answer belongs to a batch on the wire");
        let idempotent = self.retry == Retry::Always;
        let sends = self.pending[place].sends;
        let again = match (code, self.retry) {
            // Behind a batch that failed, an idempotent broker refuses the ones that followed it.
            (OUT_OF_ORDER_SEQUENCE, Retry::Always) => place > 0,
            (CORRUPT_MESSAGE, _) => false,
            (code, Retry::Always) => is_retriable(code),
            (code, Retry::Times(times)) => is_retriable(code) && sends <= times,
        };
        if again {
            self.pending[place].on_wire = false;
            self.rewinding = true;
            self.hold_until = now + REFUSED_PAUSE;
            return Answered::Again;
        }
        let batch = self.pending.remove(place).expect("its place was just found");
        match code {
            0 | DUPLICATE_SEQUENCE => {
                self.open_max = self.pending_max;
                Answered::Acknowledged(batch)
            }
            _ if idempotent => Answered::Fatal(batch),
            code if MAYBE_APPENDED.contains(&code) => Answered::Unknown(batch),
            _ => Answered::Refused(batch),
        }
    }

    /// The request of this sequence went to the kernel and no answer will come (`acks=0`).
    pub fn on_written(&mut self, sequence: u64) -> Option<Pending> {
        let place = self.pending.iter().position(|batch| batch.sequence == sequence && batch.on_wire)?;
        self.pending.remove(place)
    }

    /// The connection is gone. What was on the wire is sent again if the retries allow it; the rest is returned: nobody
    /// knows whether it is in the log.
    pub fn on_link_lost(&mut self, now: Duration) -> Vec<Pending> {
        let mut unknown = Vec::new();
        for mut batch in std::mem::take(&mut self.pending) {
            let may_repeat = match self.retry {
                Retry::Always => true,
                Retry::Times(times) => batch.sends <= times,
            };
            if batch.on_wire && !may_repeat {
                unknown.push(batch);
            } else {
                batch.on_wire = false;
                self.pending.push_back(batch);
            }
        }
        self.rewinding = !self.pending.is_empty();
        self.hold_until = now;
        unknown
    }

    /// Batches on the wire.
    pub fn on_wire_count(&self) -> u64 {
        self.pending.iter().filter(|batch| batch.on_wire).count() as u64
    }

    /// Gives up all that is not settled.
    pub fn abandon(&mut self) -> Vec<Pending> {
        std::mem::take(&mut self.pending).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BodyMaker, BodyShape, Codec};
    use crate::payload::{Keys, Payload};

    const NOT_LEADER: i16 = 6;
    const TOO_LARGE: i16 = 10;
    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// A lane with batches of ten records each, of which the first `sent` are on the wire.
    fn lane(retry: Retry, batches: u64, sent: u64) -> Lane {
        let shape = BodyShape { records_max: 10, batch_bytes_max: 1 << 20, codec: Codec::None };
        let body = BodyMaker::new(Payload::filler(1, 0, Keys::own(0), 1, 1), shape)
            .make(10, None, Vec::new(), true)
            .unwrap();
        let mut lane = Lane::new(0, retry, 5);
        for number in 0..batches {
            lane.push(Pending::new(number * 10, body.clone(), [0; HEADER_BYTES], MS(number), MS(0)));
        }
        assert_eq!(wire(&mut lane, MS(0), sent), (0..sent).map(|number| number * 10).collect::<Vec<_>>());
        lane
    }

    /// Sends at most `count` and tells their sequences.
    fn wire(lane: &mut Lane, now: Duration, count: u64) -> Vec<u64> {
        (0..count).map_while(|_| lane.next_to_send(now).map(|batch| batch.sequence)).collect()
    }

    #[test]
    fn acknowledged_batches_leave_the_lane_in_any_number() {
        let mut lane = lane(Retry::Always, 3, 3);
        for sequence in [0, 10, 20] {
            assert!(
                matches!(lane.on_answer(sequence, 0, MS(1)), Answered::Acknowledged(batch) if batch.sequence == sequence)
            );
        }
        assert!(lane.is_empty());
        assert_eq!(lane.next_sequence(), 30);
    }

    /// Found with a broker that refused a producer's first batch: it took the second for the first, and the first never again.
    #[test]
    fn an_idempotent_producer_has_one_batch_under_way_until_the_broker_knows_it() {
        let mut known = lane(Retry::Always, 1, 1);
        assert!(!known.has_room(), "the first answer is under way");
        assert!(matches!(known.on_answer(0, NOT_LEADER, MS(1)), Answered::Again));
        assert_eq!(wire(&mut known, MS(500), 9), [0]);
        assert!(!known.has_room());
        assert!(matches!(known.on_answer(0, 0, MS(501)), Answered::Acknowledged(_)));
        assert!(known.has_room());
        assert!(lane(Retry::Times(0), 1, 1).has_room(), "a plain producer has no sequence to lose");
    }

    #[test]
    fn records_that_come_one_by_one_have_a_time_each() {
        let mut batch = lane(Retry::Times(0), 1, 0).pending.remove(0).unwrap();
        batch.intended = MS(5);
        assert_eq!(batch.intended_times().collect::<Vec<_>>(), [(MS(5), 10)]);
        batch.spacing = MS(2);
        let times: Vec<_> = batch.intended_times().collect();
        assert_eq!((times.len(), times[0], times[9]), (10, (MS(5), 1), (MS(23), 1)));
    }

    #[test]
    fn nothing_new_goes_behind_a_batch_that_is_repeated() {
        let mut lane = lane(Retry::Always, 1, 1);
        lane.on_answer(0, 0, MS(1));
        assert!(lane.has_room());
        lane.on_link_lost(MS(2));
        let shape = BodyShape { records_max: 10, batch_bytes_max: 1 << 20, codec: Codec::None };
        let maker =
            BodyMaker::new(Payload::filler(1, 0, Keys::own(0), 1, 1), shape).make(10, None, Vec::new(), true);
        lane.push(Pending::new(10, maker.unwrap(), [0; HEADER_BYTES], MS(2), MS(0)));
        assert_eq!(wire(&mut lane, MS(3), 9), [10]);
        assert!(lane.has_room(), "it is on its first way");
        lane.on_link_lost(MS(4));
        assert_eq!(wire(&mut lane, MS(5), 9), [10]);
        assert!(!lane.has_room());
        lane.on_answer(10, DUPLICATE_SEQUENCE, MS(6));
        assert!(lane.has_room());
    }

    #[test]
    fn after_a_failure_that_may_pass_all_goes_again_in_its_order_once_every_answer_is_there() {
        let mut lane = lane(Retry::Always, 3, 3);
        assert!(matches!(lane.on_answer(0, NOT_LEADER, MS(1)), Answered::Again));
        assert!(wire(&mut lane, MS(500), 9).is_empty(), "answers are still under way");
        assert!(matches!(lane.on_answer(10, OUT_OF_ORDER_SEQUENCE, MS(2)), Answered::Again));
        assert!(matches!(lane.on_answer(20, OUT_OF_ORDER_SEQUENCE, MS(3)), Answered::Again));
        assert!(wire(&mut lane, MS(4), 9).is_empty(), "a refused batch waits a little");
        assert_eq!(lane.wake_at(), Some(MS(103)));
        assert_eq!(wire(&mut lane, MS(103), 9), [0, 10, 20]);
    }

    #[test]
    fn a_gap_before_the_oldest_batch_is_a_broken_promise() {
        let mut lane = lane(Retry::Always, 2, 2);
        assert!(
            matches!(lane.on_answer(0, OUT_OF_ORDER_SEQUENCE, MS(1)), Answered::Fatal(batch) if batch.sequence == 0)
        );
    }

    #[test]
    fn after_a_lost_connection_an_idempotent_lane_repeats_all_of_it() {
        let mut lane = lane(Retry::Always, 4, 3);
        assert!(lane.on_link_lost(MS(7)).is_empty());
        assert!(!lane.has_room(), "nothing new before the old is through");
        assert_eq!(wire(&mut lane, MS(7), 9), [0, 10, 20, 30]);
        assert!(matches!(lane.on_answer(0, DUPLICATE_SEQUENCE, MS(9)), Answered::Acknowledged(_)));
        assert_eq!(lane.oldest_sent(), Some(MS(0)), "time counts from the first sending");
    }

    #[test]
    fn a_plain_lane_never_repeats_unless_told_to() {
        let mut never = lane(Retry::Times(0), 3, 2);
        let unknown: Vec<_> = never.on_link_lost(MS(7)).iter().map(|batch| batch.sequence).collect();
        assert_eq!(unknown, [0, 10]);
        assert_eq!(wire(&mut never, MS(7), 9), [20], "what was never sent is no repetition");
        let mut once = lane(Retry::Times(1), 1, 1);
        assert!(once.on_link_lost(MS(7)).is_empty());
        assert_eq!(wire(&mut once, MS(7), 9), [0]);
        assert_eq!(once.on_link_lost(MS(8)).len(), 1);
        assert!(once.is_empty());
    }

    #[test]
    fn a_plain_lane_tells_refused_from_perhaps_written() {
        let mut lane = lane(Retry::Times(0), 3, 3);
        assert!(matches!(lane.on_answer(0, TOO_LARGE, MS(1)), Answered::Refused(_)));
        assert!(matches!(lane.on_answer(10, 7, MS(1)), Answered::Unknown(_)));
        assert!(matches!(lane.on_answer(20, NOT_LEADER, MS(1)), Answered::Refused(_)));
    }

    #[test]
    fn a_lane_takes_no_more_than_it_may_have_under_way() {
        let mut lane = lane(Retry::Always, 5, 5);
        assert!(!lane.has_room());
        lane.on_answer(0, 0, MS(1));
        assert!(lane.has_room());
    }
}

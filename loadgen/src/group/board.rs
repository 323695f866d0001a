//! Watch one group from outside of the broker: is its assignment stable, who reads each partition, and since when nobody?
//!
//! A machine: members report to it, time is an argument. Owned by the thread that drives the group's members.
//! ```text
//!  stable: all live members are in one generation, and every partition is assigned exactly once
//!  gap:    from the moment its reader lets go of a partition to the moment the next one can read it
//! ```
use std::time::Duration;

use crate::histogram::Latencies;

#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    /// Members it is assigned to.
    assigned_count: u32,
    /// Members that read it.
    reader_count: u32,
    /// Since when nobody reads it; `None` before its first reader.
    free_since: Option<Duration>,
}

/// One group.
#[derive(Debug)]
pub struct Board {
    partitions: Vec<Watched>,
    live_count: usize,
    generation: i32,
    /// Live members that have their share of `generation`.
    settled_count: usize,
    /// Partitions assigned to exactly one member.
    single_count: usize,
    /// Events after which the group has not been stable yet, and when each was.
    open_events: Vec<(usize, Duration)>,
    stable_since: Option<Duration>,
    stable_time: Duration,
    first_live: Option<Duration>,
    generation_count: u64,
    overlap_count: u64,
}

impl Board {
    /// A group without members on a topic of so many partitions.
    pub fn new(partition_count: usize) -> Self {
        Self {
            partitions: vec![Watched::default(); partition_count],
            live_count: 0,
            generation: -1,
            settled_count: 0,
            single_count: 0,
            open_events: Vec::new(),
            stable_since: None,
            stable_time: Duration::ZERO,
            first_live: None,
            generation_count: 0,
            overlap_count: 0,
        }
    }

    /// Members that came and neither left nor died.
    pub fn live_count(&self) -> usize {
        self.live_count
    }

    /// Generations that a member reached.
    pub fn generation_count(&self) -> u64 {
        self.generation_count
    }

    /// How often a partition got a reader while it had another.
    pub fn overlap_count(&self) -> u64 {
        self.overlap_count
    }

    /// How long the assignment was stable, of how long the group has had members.
    pub fn stable_of(&self, now: Duration) -> (Duration, Duration) {
        let running = self.stable_since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        let whole = self.first_live.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        (self.stable_time + running, whole)
    }

    /// Events after which it never became stable.
    pub fn open_events(&self) -> impl Iterator<Item = usize> + '_ {
        self.open_events.iter().map(|(event, _)| *event)
    }

    /// A member comes; it is not in a generation yet.
    pub fn enter(&mut self, now: Duration) {
        self.live_count += 1;
        self.first_live.get_or_insert(now);
    }

    /// A member left or died, its share let go before.
    pub fn exit(&mut self) {
        self.live_count -= 1;
    }

    /// A member has its share of this generation.
    pub fn settle(&mut self, generation: i32) {
        // A group that was forgotten begins anew with low numbers; its members then left the old one first.
        if generation > self.generation || self.settled_count == 0 {
            if generation != self.generation {
                self.generation_count += 1;
            }
            (self.generation, self.settled_count) = (generation, 0);
        }
        self.settled_count += usize::from(generation == self.generation);
    }

    /// A member that settled in this generation is not in it any more, or left.
    pub fn unsettle(&mut self, generation: i32) {
        if generation == self.generation {
            self.settled_count = self.settled_count.saturating_sub(1);
        }
    }

    /// A member was given this partition.
    pub fn assign(&mut self, partition: i32) {
        let Some(watched) = self.partitions.get_mut(partition as usize) else { return };
        watched.assigned_count += 1;
        match watched.assigned_count {
            1 => self.single_count += 1,
            2 => self.single_count -= 1,
            _ => {}
        }
    }

    /// A member gave this partition up.
    pub fn unassign(&mut self, partition: i32) {
        let Some(watched) = self.partitions.get_mut(partition as usize) else { return };
        watched.assigned_count -= 1;
        match watched.assigned_count {
            0 => self.single_count -= 1,
            1 => self.single_count += 1,
            _ => {}
        }
    }

    /// A member begins to read this partition; what nobody read until now is a gap.
    pub fn begin_reading(&mut self, partition: i32, now: Duration, gaps: &mut Latencies) {
        let Some(watched) = self.partitions.get_mut(partition as usize) else { return };
        watched.reader_count += 1;
        if watched.reader_count > 1 {
            self.overlap_count += 1;
        } else if let Some(since) = watched.free_since.take() {
            gaps.record(now.saturating_sub(since));
        }
    }

    /// A member reads this partition no more.
    pub fn end_reading(&mut self, partition: i32, now: Duration) {
        let Some(watched) = self.partitions.get_mut(partition as usize) else { return };
        watched.reader_count -= 1;
        if watched.reader_count == 0 {
            watched.free_since = Some(now);
        }
    }

    /// Something of the script happened to the group; the next stable assignment ends its measure.
    pub fn await_stable(&mut self, event: usize, now: Duration) {
        self.open_events.push((event, now));
    }

    /// After any change: notes when the assignment becomes stable or ceases to be, and tells which events it ended and
    /// how long that took.
    pub fn look(&mut self, now: Duration) -> Vec<(usize, Duration)> {
        let is_stable = self.live_count > 0
            && self.settled_count == self.live_count
            && self.single_count == self.partitions.len();
        if !is_stable {
            self.stable_time +=
                self.stable_since.take().map_or(Duration::ZERO, |since| now.saturating_sub(since));
            return Vec::new();
        }
        self.stable_since.get_or_insert(now);
        std::mem::take(&mut self.open_events)
            .into_iter()
            .map(|(event, since)| (event, now.saturating_sub(since)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn stable_means_one_generation_and_every_partition_once() {
        let mut board = Board::new(2);
        board.enter(MS(0));
        board.enter(MS(0));
        board.await_stable(0, MS(0));
        board.settle(1);
        board.assign(0);
        board.assign(1);
        assert!(board.look(MS(10)).is_empty(), "the other member is missing");
        // The other one comes in the next generation, and one partition moves to it.
        board.unsettle(1);
        board.unassign(1);
        board.settle(2);
        assert!(board.look(MS(20)).is_empty());
        board.settle(2);
        assert!(board.look(MS(25)).is_empty(), "partition 1 is assigned to nobody");
        board.assign(1);
        assert_eq!(board.look(MS(30)), [(0, MS(30))]);
        assert_eq!((board.generation_count(), board.stable_of(MS(40))), (2, (MS(10), MS(40))));
        board.assign(1);
        assert!(board.look(MS(50)).is_empty());
        assert_eq!(board.stable_of(MS(90)), (MS(20), MS(90)), "assigned twice is not stable");
    }

    #[test]
    fn a_gap_is_from_the_last_reader_to_the_next_and_two_readers_are_counted() {
        let (mut board, mut gaps) = (Board::new(1), Latencies::new());
        board.begin_reading(0, MS(5), &mut gaps);
        assert_eq!(gaps.count(), 0, "before its first reader nothing stood still");
        board.end_reading(0, MS(10));
        board.begin_reading(0, MS(25), &mut gaps);
        assert!(gaps.count() == 1 && gaps.max() >= MS(15) && gaps.max() < MS(16));
        board.begin_reading(0, MS(30), &mut gaps);
        assert_eq!(board.overlap_count(), 1);
        board.end_reading(0, MS(31));
        board.end_reading(0, MS(32));
        board.begin_reading(0, MS(33), &mut gaps);
        assert_eq!(gaps.count(), 2);
    }
}

//! Verbs of a group: members come, go, die and come back. Every partition has one owner, every record is read.
//!
//! Records are written in phases. Before the membership changes, all that was written is read and committed (the broker is asked), so a
//! record that comes twice has no excuse; only what is written while a group rebalances may come twice, since at-least-once allows that.

use super::cells::{Shown, Trial};
use harness::driver::{Driver, PATIENCE};
use harness::verbs::fresh;
use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

/// Records of one phase, in all partitions together.
const PHASE: usize = 60;

/// A group on one topic, its members, and what was written for it.
struct Group<'a> {
    trial: &'a Trial,
    topic: String,
    id: String,
    partitions: i32,
    members: Vec<Driver>,
    gone: Vec<Driver>,
    /// Value of each record, by its place.
    written: BTreeMap<(String, i64), String>,
    ends: Vec<i64>,
    /// Records that may come twice.
    in_motion: BTreeSet<(String, i64)>,
}

impl<'a> Group<'a> {
    fn new(trial: &'a Trial, partitions: i32) -> Self {
        Self {
            trial,
            topic: trial.topic(partitions),
            id: fresh("group"),
            partitions,
            members: Vec::new(),
            gone: Vec::new(),
            written: BTreeMap::new(),
            ends: vec![0; partitions as usize],
            in_motion: BTreeSet::new(),
        }
    }

    fn join(&mut self, more: &[(&str, &str)]) {
        let member = self.member(more);
        self.members.push(member);
    }

    fn member(&self, more: &[(&str, &str)]) -> Driver {
        let mut keys = vec![("topics", self.topic.as_str()), ("group", self.id.as_str()), ("commit", "each")];
        keys.extend(more);
        self.trial.consume(&keys)
    }

    /// Lets a member stop and leave.
    fn leave(&mut self, index: usize) {
        let mut member = self.members.remove(index);
        member.end();
        self.gone.push(member);
    }

    /// Writes a phase of records over all partitions, and waits until all of it is read and committed.
    fn phase(&mut self) {
        self.write(false);
        self.caught_up();
    }

    /// Writes a phase of records; those written while the group is `moving` may come twice.
    fn write(&mut self, moving: bool) {
        let first = self.written.len();
        for partition in 0..self.partitions {
            let step = self.partitions as usize;
            let numbers: Vec<usize> = (first + partition as usize..first + PHASE).step_by(step).collect();
            self.trial.write(&self.topic, partition, numbers.iter().copied());
            for number in numbers {
                let end = &mut self.ends[partition as usize];
                let place = (format!("{}:{partition}", self.topic), *end);
                if moving {
                    self.in_motion.insert(place.clone());
                }
                self.written.insert(place, format!("value-{number}"));
                *end += 1;
            }
        }
    }

    /// Waits until each partition has one owner and each member a partition.
    fn settle(&mut self) {
        let all: BTreeSet<String> =
            (0..self.partitions).map(|index| format!("{}:{index}", self.topic)).collect();
        self.until("every partition has one owner and every member a partition", |group| {
            let owned: Vec<&String> = group.members.iter().flat_map(|member| &member.seen.owned).collect();
            let distinct: BTreeSet<&String> = owned.iter().copied().collect();
            owned.len() == distinct.len()
                && distinct.into_iter().eq(&all)
                && group.members.iter().all(|member| !member.seen.owned.is_empty())
        });
    }

    /// Waits until all that was written is read by somebody and committed for the group.
    fn caught_up(&mut self) {
        self.until("all is read", |group| {
            let read: BTreeSet<_> = group.read().into_iter().map(|(place, _)| place).collect();
            group.written.keys().all(|place| read.contains(place))
        });
        let indexes: Vec<i32> = (0..self.partitions).collect();
        self.until("all is committed", |group| {
            let committed = group.trial.raw().committed(&group.id, &group.topic, &indexes);
            let committed = committed.into_iter().map(|(offset, _)| offset);
            committed.zip(&group.ends).all(|(offset, end)| offset == *end || *end == 0)
        });
    }

    fn read(&self) -> Vec<((String, i64), &str)> {
        let drivers = self.members.iter().chain(&self.gone);
        let records = drivers.flat_map(|driver| &driver.seen.records);
        records.map(|record| ((record.at.clone(), record.offset), record.value.as_str())).collect()
    }

    fn until(&mut self, what: &str, mut enough: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for member in &mut self.members {
                member.look();
                assert!(member.runs(), "{} has ended before: {what}", member.name);
            }
            if enough(self) {
                return;
            }
            let owned: Vec<_> = self.members.iter().map(|member| member.seen.owned.len()).collect();
            assert!(
                Instant::now() < deadline,
                "not within {PATIENCE:?}: {what}; the members own {owned:?} of {}, {} of {} records are read",
                self.partitions,
                self.read().len(),
                self.written.len()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends all members and compares: every record that was written was read, and only those in motion twice.
    fn end(mut self) -> Shown {
        while !self.members.is_empty() {
            self.leave(0);
        }
        let mut times: BTreeMap<(String, i64), usize> = BTreeMap::new();
        for (place, value) in self.read() {
            assert_eq!(self.written.get(&place).map(String::as_str), Some(value), "{place:?}");
            *times.entry(place).or_default() += 1;
        }
        let errors: Vec<&String> = self.gone.iter().flat_map(|member| &member.seen.errors).collect();
        let doubled: Vec<_> =
            times.iter().filter(|(place, times)| **times > 1 && !self.in_motion.contains(*place)).collect();
        assert!(doubled.is_empty(), "committed, and read again: {doubled:?}; {errors:?}");
        assert_eq!(times.len(), self.written.len(), "nothing is lost");
        Shown { records: self.written.len(), without: Vec::new() }
    }
}

pub(super) fn one_member(trial: &Trial) -> Shown {
    let mut group = Group::new(trial, 3);
    group.write(false);
    group.join(&[]);
    group.settle();
    group.caught_up();
    group.phase();
    group.end()
}

pub(super) fn two_members(trial: &Trial) -> Shown {
    let mut group = Group::new(trial, 6);
    group.join(&[]);
    group.settle();
    group.phase();
    group.join(&[]);
    group.write(true);
    group.settle();
    group.caught_up();
    group.phase();
    group.leave(0);
    group.settle();
    group.phase();
    group.end()
}

pub(super) fn five_members(trial: &Trial) -> Shown {
    let mut group = Group::new(trial, 10);
    for _ in 0..5 {
        group.join(&[]);
        group.settle();
        group.phase();
    }
    for _ in 0..3 {
        group.leave(0);
        group.write(true);
        group.settle();
        group.caught_up();
        group.phase();
    }
    group.end()
}

pub(super) fn one_killed(trial: &Trial) -> Shown {
    let mut group = Group::new(trial, 4);
    for _ in 0..2 {
        group.join(&[("session_ms", "6000")]);
        group.settle();
    }
    group.phase();
    let mut killed = group.members.remove(0); // the older one, which leads the group
    killed.kill();
    group.gone.push(killed);
    group.write(true);
    group.settle();
    group.caught_up();
    group.phase();
    group.end()
}

pub(super) fn static_members_restart(trial: &Trial) -> Shown {
    let differs = trial.client.differs("static restart");
    let mut group = Group::new(trial, 4);
    let names = [fresh("first"), fresh("second")];
    for name in &names {
        group.join(&[("instance", name), ("session_ms", "60000")]);
        group.settle();
    }
    group.phase();
    // The follower first, then the leader; a killed process is what a deployment does that does not wait.
    for index in [1, 0] {
        let other = 1 - index;
        let (before, rebalances) =
            (group.members[index].seen.owned.clone(), group.members[other].seen.rebalances);
        group.members[index].kill();
        let again = group.member(&[("instance", &names[index]), ("session_ms", "60000")]);
        let old = std::mem::replace(&mut group.members[index], again);
        group.gone.push(old);
        group.settle();
        group.phase();
        assert_eq!(group.members[index].seen.owned, before, "the same assignment after the restart");
        if differs.is_some() {
            continue;
        }
        assert_eq!(group.members[other].seen.rebalances, rebalances, "no rebalance for the other");
    }
    let shown = group.end();
    Shown { without: differs.into_iter().collect(), ..shown }
}

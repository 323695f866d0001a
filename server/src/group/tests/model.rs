//! Random orders of joins, syncs, heartbeats, leaves, crashes, delays and restarts: what must hold in all of them.

use super::bench::{Bench, protocol};
use crate::group::{Answer, Command, DeletedTopic, GroupError, GroupSettings};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const NAMES: [&str; 6] = ["a", "b", "c", "d", "s", "t"];

/// `s` and `t` are static.
#[derive(Clone, Debug)]
enum Step {
    Join(usize),
    Sync(usize),
    Heartbeat(usize),
    Leave(usize),
    /// The client starts again and remembers nothing.
    Crash(usize),
    Resubscribe(usize, u8),
    Commit(usize, i64),
    Wait(u64),
    /// An operator forgets the group, an offset, or the topic.
    Forget(u8),
    Hold,
    Release,
    Restart,
    /// Every client does what a good client does next.
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..NAMES.len();
    prop_oneof![
        6 => who.clone().prop_map(Step::Join),
        6 => who.clone().prop_map(Step::Sync),
        4 => who.clone().prop_map(Step::Heartbeat),
        1 => who.clone().prop_map(Step::Leave),
        1 => who.clone().prop_map(Step::Crash),
        1 => (who.clone(), 0..3_u8).prop_map(|(who, what)| Step::Resubscribe(who, what)),
        2 => (who, 0..1000_i64).prop_map(|(who, offset)| Step::Commit(who, offset)),
        4 => (0..12_000_u64).prop_map(Step::Wait),
        1 => (0..3_u8).prop_map(Step::Forget),
        1 => Just(Step::Hold),
        2 => Just(Step::Release),
        1 => Just(Step::Restart),
        2 => Just(Step::Settle),
    ]
}

/// What was seen so far, to hold new answers against.
#[derive(Default)]
struct Seen {
    /// Generation to the one that was shown the members.
    leaders: BTreeMap<i32, String>,
    /// Generation and member to the share its leader gave; several where the leader's sync came twice.
    shares: BTreeMap<(i32, String), Vec<Bytes>>,
    offsets: BTreeMap<i32, i64>,
    generation_max: i32,
    share_next: u64,
}

struct Run {
    bench: Bench,
    seen: Seen,
}

impl Run {
    fn new() -> Self {
        let settings =
            GroupSettings { initial_rebalance_delay_ms: 500, members_max: 5, ..GroupSettings::default() };
        let mut bench = Bench::new(settings);
        for (index, name) in NAMES.iter().enumerate() {
            let client = bench.client(name);
            client.version = if index % 2 == 0 { 9 } else { 3 };
            client.rebalance_ms = 5_000 + 1_000 * index as i32;
            client.instance_id = matches!(*name, "s" | "t").then(|| format!("i-{name}"));
        }
        Self { bench, seen: Seen::default() }
    }

    fn waits(&self, who: &str) -> bool {
        self.bench.waiting.values().any(|asked| asked.who == who)
    }

    fn sync(&mut self, who: &str) {
        let generation = self.bench.client(who).generation;
        let leads = self.seen.leaders.get(&generation) == Some(&self.bench.client(who).member_id);
        let mut assignments = Vec::new();
        if leads {
            let members: Vec<String> = match self.bench.partition.group(super::bench::GROUP) {
                Some(group) => group.members().map(|member| member.id.clone()).collect(),
                None => Vec::new(),
            };
            for member_id in members {
                self.seen.share_next += 1;
                let share = Bytes::from(format!("share {}", self.seen.share_next));
                self.seen.shares.entry((generation, member_id.clone())).or_default().push(share.clone());
                assignments.push((member_id, share));
            }
        }
        self.bench.sync(who, assignments);
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Join(who) => self.bench.join(NAMES[*who]),
            Step::Sync(who) => self.sync(NAMES[*who]),
            Step::Heartbeat(who) => self.bench.heartbeat(NAMES[*who]),
            Step::Leave(who) => {
                let members = vec![self.bench.leaving(NAMES[*who])];
                self.bench.leave(NAMES[*who], members);
            }
            Step::Crash(who) => {
                let client = self.bench.client(NAMES[*who]);
                client.member_id.clear();
                client.generation = -1;
                let lost = self.bench.waiting.values_mut().filter(|asked| asked.who == NAMES[*who]);
                lost.for_each(|asked| asked.who = "nobody".to_owned());
            }
            Step::Resubscribe(who, what) => {
                let metadata = what.to_string();
                self.bench.client(NAMES[*who]).protocols =
                    vec![protocol("range", &metadata), protocol("sticky", "")];
            }
            Step::Commit(who, offset) => self.bench.commit(NAMES[*who], "t", *who as i32, *offset),
            Step::Wait(ms) => self.bench.wait(Duration::from_millis(*ms)),
            Step::Forget(what) => {
                let group_id = super::bench::GROUP.to_owned();
                let topics = vec![("t".to_owned(), vec![0, 1, 2])];
                let gone = DeletedTopic { name: "t".to_owned(), topic_id: super::bench::TOPIC_ID };
                let command = match what {
                    0 => Command::Delete(group_id),
                    1 => Command::DeleteOffsets { group_id, topics },
                    _ => Command::TopicsDeleted(vec![gone]),
                };
                self.bench.send("operator", "forget", command);
            }
            Step::Hold => self.bench.is_held = true,
            Step::Release => self.release(),
            Step::Restart => {
                self.bench.restart();
                // What was never stored may come again under the same number, with another leader.
                let generation = self
                    .bench
                    .partition
                    .group(super::bench::GROUP)
                    .map_or(0, super::super::classic::ClassicGroup::generation);
                self.seen.generation_max = generation;
                self.seen.leaders.retain(|known, _| *known <= generation);
                self.seen.offsets = self.stored_offsets();
            }
            Step::Settle => NAMES.iter().for_each(|name| self.behave(name)),
        }
        self.judge();
    }

    fn release(&mut self) {
        self.bench.is_held = false;
        self.bench.release();
    }

    /// One step of a good client: joins when it is no member, syncs when it joined, beats otherwise.
    fn behave(&mut self, who: &str) {
        if self.waits(who) {
            return;
        }
        self.judge();
        let before = self.bench.answered.len();
        self.bench.heartbeat(who);
        let Some((_, Answer::Heartbeat(alive))) = self.bench.answered.get(before).cloned() else {
            panic!("a heartbeat is answered at once");
        };
        match alive {
            Ok(()) => self.sync(who),
            Err(GroupError::RebalanceInProgress | GroupError::IllegalGeneration) => self.bench.join(who),
            Err(_) => {
                self.bench.client(who).member_id.clear();
                self.bench.join(who);
            }
        }
        self.judge();
    }

    fn stored_offsets(&mut self) -> BTreeMap<i32, i64> {
        let before = self.bench.answered.len();
        self.bench.fetch("tool");
        let (_, answer) = self.bench.answered.remove(before);
        let Answer::Fetch(Ok(topics)) = answer else { panic!("offsets can be read at any time") };
        topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|stored| (stored.partition, stored.offset))
            .collect()
    }

    fn judge(&mut self) {
        for (asked, answer) in std::mem::take(&mut self.bench.answered) {
            let who = asked.who;
            match answer {
                Answer::Join(join) if join.error.is_none() => {
                    assert!(join.generation >= 1, "{who}");
                    self.seen.generation_max = self.seen.generation_max.max(join.generation);
                    if !join.members.is_empty() {
                        assert_eq!(join.leader, join.member_id, "only the leader sees the members");
                        let known = self.seen.leaders.insert(join.generation, join.member_id.clone());
                        let is_static = self.bench.client(&who).instance_id.is_some();
                        let is_same = known.as_ref().is_none_or(|known| *known == join.member_id);
                        assert!(is_same || is_static, "two leaders in generation {}", join.generation);
                    }
                }
                Answer::Sync(Ok(sync)) if !sync.assignment.is_empty() => {
                    let given = self
                        .seen
                        .shares
                        .iter()
                        .filter(|((generation, _), _)| *generation == asked.generation);
                    let mut given = given.flat_map(|(_, shares)| shares);
                    assert!(
                        given.any(|share| *share == sync.assignment),
                        "{who} got a share of another generation"
                    );
                }
                _ => {}
            }
        }
        if let Some(group) = self.bench.partition.group(super::bench::GROUP) {
            group.assert_consistent();
            assert!(group.generation() >= self.seen.generation_max, "the generation fell");
        } else {
            // Whoever comes next begins a new group of the same name.
            self.seen.generation_max = 0;
            self.seen.leaders.clear();
        }
        self.bench.partition.assert_consistent();
    }

    /// However it went: once clients behave and records land, the group becomes stable and nobody waits.
    fn ends_well(&mut self) {
        self.release();
        for _ in 0..40 {
            self.bench.wait(Duration::from_millis(2_500));
            for name in NAMES {
                self.behave(name);
            }
        }
        assert!(self.bench.waiting.len() <= 1, "these were never answered: {:?}", self.bench.waiting);
        self.bench.wait(Duration::from_mins(10));
        self.judge();
        assert!(self.bench.waiting.is_empty(), "these were never answered: {:?}", self.bench.waiting);
        let before = self.stored_offsets();
        self.bench.restart();
        assert_eq!(self.stored_offsets(), before, "replay gives what was in memory");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_order_of_events_every_request_is_answered_and_a_generation_has_one_leader(
        steps in proptest::collection::vec(step(), 1..120)
    ) {
        let mut run = Run::new();
        for step in &steps {
            run.take(step);
        }
        run.ends_well();
    }
}

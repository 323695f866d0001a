//! A group's script through its machine: members join and share, beat, commit and leave; what the log stores is durable at once.

use crate::meter::Meter;
use bytes::Bytes;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use thalweg_engine::units::Timestamp;
use thalweg_server::coordinator::{Effects, Machine, Now, RequestId};
use thalweg_server::group::{
    Answer, Budget, Command, Commit, CommitPartition, CommitTopic, GroupSettings, Heartbeat, Join, Leave,
    LeaveMember, Partition, Protocol, Sync,
};

const GROUP: &str = "g";
const MEMBERS: usize = 20;
const WALL_START_MS: i64 = 1_700_000_000_000;

/// A member, as far as it knows itself.
struct Member {
    id: String,
    generation: i32,
    is_leader: bool,
}

/// The machine, its clock and the answers that have come.
struct Script {
    partition: Partition,
    uptime: Duration,
    request_next: u64,
    answers: Vec<(RequestId, Answer)>,
}

impl Script {
    fn new() -> Self {
        let settings = GroupSettings { initial_rebalance_delay_ms: 0, ..GroupSettings::default() };
        let partition = Partition::new(Rc::new(settings), Budget::default());
        let mut script = Self { partition, uptime: Duration::ZERO, request_next: 0, answers: Vec::new() };
        script.act(Machine::loaded);
        script
    }

    fn act(&mut self, event: impl FnOnce(&mut Partition, Now, &mut Effects<Answer>)) {
        let now =
            Now { uptime: self.uptime, wall: Timestamp(WALL_START_MS + self.uptime.as_millis() as i64) };
        let mut effects = Effects::default();
        event(&mut self.partition, now, &mut effects);
        // In their order; what is durable may ask for more to be stored.
        let mut appends = VecDeque::from(std::mem::take(&mut effects.appends));
        while let Some((append, _)) = appends.pop_front() {
            self.partition.durable(append, now, &mut effects);
            appends.extend(effects.appends.drain(..));
        }
        self.answers.append(&mut effects.answers);
    }

    fn send(&mut self, command: Command) -> RequestId {
        let request = RequestId(self.request_next);
        self.request_next += 1;
        self.act(|partition, now, effects| partition.handle(request, command, now, effects));
        request
    }

    /// Time passes until nothing is due within `time`.
    fn wait(&mut self, time: Duration) {
        let end = self.uptime + time;
        while let Some(at) = self.partition.next_deadline().filter(|at| *at <= end) {
            self.uptime = self.uptime.max(at);
            self.act(Machine::tick);
        }
        self.uptime = end;
    }

    fn join(&mut self, number: usize, member_id: String) -> RequestId {
        let metadata = Bytes::from_static(&[7; 64]);
        let protocol = |name: &str| Protocol { name: name.to_owned(), metadata: metadata.clone() };
        self.send(Command::Join(Join {
            group_id: GROUP.to_owned(),
            member_id,
            member_id_new: format!("member-{number}"),
            instance_id: None,
            client_id: "loops".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            protocol_type: "consumer".to_owned(),
            protocols: vec![protocol("range"), protocol("roundrobin")],
            session_timeout_ms: 45_000,
            rebalance_timeout_ms: 60_000,
            known_id_required: false,
            may_skip_assignment: true,
        }))
    }

    fn beat(&mut self, member: &Member) -> RequestId {
        self.send(Command::Heartbeat(Heartbeat {
            group_id: GROUP.to_owned(),
            generation: member.generation,
            member_id: member.id.clone(),
            instance_id: None,
        }))
    }

    fn commit(&mut self, member: &Member, offset: i64) -> RequestId {
        let stored = |partition| CommitPartition {
            partition,
            offset,
            leader_epoch: 0,
            metadata: String::new(),
            commit_timestamp: -1,
        };
        let partitions = (0..4).map(stored).collect();
        let topic = CommitTopic { name: "loops".to_owned(), topic_id: [7; 16], partitions };
        self.send(Command::Commit(Commit {
            group_id: GROUP.to_owned(),
            generation: member.generation,
            member_id: member.id.clone(),
            instance_id: None,
            knows_group_id_not_found: false,
            retention_ms: -1,
            topics: vec![topic],
        }))
    }

    /// Everybody joins and is given a share: a generation.
    fn rebalance(&mut self, ids: &[String]) -> Vec<Member> {
        self.answers.clear();
        for (number, id) in ids.iter().enumerate() {
            self.join(number, id.clone());
        }
        // A group's first generation waits for nobody else after its delay; a later one not at all.
        self.wait(Duration::from_millis(1));
        let members: Vec<Member> = self
            .answers
            .drain(..)
            .filter_map(|(_, answer)| match answer {
                Answer::Join(join) if join.error.is_none() => Some(Member {
                    is_leader: join.leader == join.member_id,
                    id: join.member_id,
                    generation: join.generation,
                }),
                _ => None,
            })
            .collect();
        self.share(members, ids.len())
    }

    fn share(&mut self, mut members: Vec<Member>, count: usize) -> Vec<Member> {
        // Who joined a generation that another one took the place of asks again; the last answer of each counts.
        let newest = members.iter().map(|member| member.generation).max().unwrap_or(-1);
        members.retain(|member| member.generation == newest);
        assert_eq!(members.len(), count, "all are in one generation");
        let shares: Vec<(String, Bytes)> =
            members.iter().map(|member| (member.id.clone(), Bytes::from_static(&[9; 40]))).collect();
        for member in &members {
            let assignments = if member.is_leader { shares.clone() } else { Vec::new() };
            self.send(Command::Sync(Sync {
                group_id: GROUP.to_owned(),
                generation: member.generation,
                member_id: member.id.clone(),
                instance_id: None,
                protocol_type: Some("consumer".to_owned()),
                protocol: None,
                assignments,
            }));
        }
        let synced =
            self.answers.drain(..).filter(|(_, answer)| matches!(answer, Answer::Sync(Ok(_)))).count();
        assert_eq!(synced, count, "everybody has a share");
        members
    }

    fn expect_good(&mut self, count: usize) {
        let is_good = |answer: &Answer| {
            matches!(answer, Answer::Heartbeat(Ok(())) | Answer::Commit(Ok(_)) | Answer::Leave(Ok(_)))
        };
        let good = self.answers.drain(..).filter(|(_, answer)| is_good(answer)).count();
        assert_eq!(good, count);
    }
}

fn ids(members: &[Member]) -> Vec<String> {
    members.iter().map(|member| member.id.clone()).collect()
}

/// A group of twenty with its first generation.
fn stable() -> (Script, Vec<Member>) {
    let mut script = Script::new();
    let members = script.rebalance(&vec![String::new(); MEMBERS]);
    (script, members)
}

/// All join again and share: the most work that a group makes.
pub(crate) fn rebalances(meter: &Meter) {
    let (mut script, mut members) = stable();
    let rounds = meter.rounds(20);
    meter.count(rounds, || {
        for _ in 0..rounds {
            members = script.rebalance(&ids(&members));
        }
    });
}

pub(crate) fn heartbeats(meter: &Meter) {
    let (mut script, members) = stable();
    let rounds = meter.rounds(50);
    meter.count(rounds * MEMBERS as u64, || {
        for _ in 0..rounds {
            members.iter().for_each(|member| {
                script.beat(member);
            });
            script.wait(Duration::from_secs(3));
            script.expect_good(MEMBERS);
        }
    });
}

pub(crate) fn commits(meter: &Meter) {
    let (mut script, members) = stable();
    let rounds = meter.rounds(50);
    meter.count(rounds * MEMBERS as u64, || {
        for round in 0..rounds {
            members.iter().for_each(|member| {
                script.commit(member, round as i64);
            });
            script.expect_good(MEMBERS);
        }
    });
}

/// One group's whole life: it comes, beats, commits and goes.
pub(crate) fn lives(meter: &Meter) {
    let rounds = meter.rounds(10);
    meter.count(rounds, || {
        for _ in 0..rounds {
            let (mut script, members) = stable();
            for member in &members {
                script.beat(member);
                script.commit(member, 1);
            }
            script.expect_good(2 * MEMBERS);
            let leaving =
                members.iter().map(|member| LeaveMember { member_id: member.id.clone(), instance_id: None });
            let leaving = leaving.collect();
            script.send(Command::Leave(Leave { group_id: GROUP.to_owned(), members: leaving }));
            script.expect_good(1);
        }
    });
}

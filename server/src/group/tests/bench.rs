//! A partition of groups with a log, a clock and clients that remember what they were told.

use crate::coordinator::{AppendId, Effects, Machine, Now, Record, Refusal, RequestId};
use crate::group::{
    Answer, Budget, Command, Commit, CommitPartition, CommitTopic, FetchOffsets, GroupSettings, Heartbeat,
    Join, Leave, LeaveMember, Partition, Protocol, Sync,
};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use thalweg_engine::units::Timestamp;

pub(super) const GROUP: &str = "g";
pub(super) const TOPIC_ID: [u8; 16] = [7; 16];
const WALL_START_MS: i64 = 1_700_000_000_000;

/// What a client knows of itself.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) member_id: String,
    pub(super) generation: i32,
    pub(super) instance_id: Option<String>,
    pub(super) protocols: Vec<Protocol>,
    pub(super) version: i16,
    pub(super) session_ms: i32,
    pub(super) rebalance_ms: i32,
}

impl Client {
    pub(super) fn new() -> Self {
        Self {
            member_id: String::new(),
            generation: -1,
            instance_id: None,
            protocols: vec![protocol("range", "x")],
            version: 9,
            session_ms: 10_000,
            rebalance_ms: 60_000,
        }
    }
}

pub(super) fn protocol(name: &str, metadata: &str) -> Protocol {
    Protocol { name: name.to_owned(), metadata: Bytes::copy_from_slice(metadata.as_bytes()) }
}

/// A request on its way.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) who: String,
    pub(super) verb: &'static str,
    /// Where the client believed to be.
    pub(super) generation: i32,
}

pub(super) struct Bench {
    pub(super) settings: Rc<GroupSettings>,
    pub(super) budget: Budget,
    pub(super) partition: Partition,
    pub(super) uptime: Duration,
    pub(super) clients: BTreeMap<String, Client>,
    /// Requests without an answer.
    pub(super) waiting: BTreeMap<RequestId, Asked>,
    pub(super) log: Vec<Record>,
    pub(super) undurable: VecDeque<(AppendId, Vec<Record>)>,
    /// Records stay on their way until released.
    pub(super) is_held: bool,
    /// The log takes nothing.
    pub(super) refusal: Option<Refusal>,
    pub(super) answered: Vec<(Asked, Answer)>,
    ids_given: u64,
    request_next: u64,
}

impl Bench {
    pub(super) fn new(settings: GroupSettings) -> Self {
        let settings = Rc::new(settings);
        let budget = Budget::default();
        let mut bench = Self {
            partition: Partition::new(Rc::clone(&settings), budget.clone()),
            settings,
            budget,
            uptime: Duration::ZERO,
            clients: BTreeMap::new(),
            waiting: BTreeMap::new(),
            log: Vec::new(),
            undurable: VecDeque::new(),
            is_held: false,
            refusal: None,
            answered: Vec::new(),
            ids_given: 0,
            request_next: 0,
        };
        bench.act(crate::coordinator::Machine::loaded);
        bench
    }

    pub(super) fn now(&self) -> Now {
        let wall = Timestamp(WALL_START_MS + self.uptime.as_millis() as i64);
        Now { uptime: self.uptime, wall }
    }

    pub(super) fn client(&mut self, name: &str) -> &mut Client {
        self.clients.entry(name.to_owned()).or_insert_with(Client::new)
    }

    /// Sends a request and lets everything happen that follows at once.
    pub(super) fn send(&mut self, who: &str, verb: &'static str, command: Command) {
        let request = RequestId(self.request_next);
        self.request_next += 1;
        let generation = self.clients.get(who).map_or(-1, |client| client.generation);
        self.waiting.insert(request, Asked { who: who.to_owned(), verb, generation });
        self.act(|partition, now, effects| partition.handle(request, command, now, effects));
    }

    fn act(&mut self, event: impl FnOnce(&mut Partition, Now, &mut Effects<Answer>)) {
        let mut effects = Effects::default();
        let now = self.now();
        event(&mut self.partition, now, &mut effects);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Effects<Answer>) {
        for (request, answer) in effects.answers {
            let asked = self.waiting.remove(&request).expect("a request is answered once");
            if let Answer::Join(join) = &answer {
                let client = self.client(&asked.who);
                if join.error.is_none() {
                    client.generation = join.generation;
                }
                if !join.member_id.is_empty() {
                    client.member_id.clone_from(&join.member_id);
                }
            }
            self.answered.push((asked, answer));
        }
        for (append, records) in effects.appends {
            match self.refusal {
                Some(refusal) => {
                    self.act(|partition, now, effects| partition.refused(append, refusal, now, effects));
                }
                None => self.undurable.push_back((append, records)),
            }
        }
        if !self.is_held {
            self.release();
        }
    }

    /// Everything staged becomes durable.
    pub(super) fn release(&mut self) {
        while let Some((append, records)) = self.undurable.pop_front() {
            self.log.extend(records);
            self.act(|partition, now, effects| partition.durable(append, now, effects));
        }
    }

    /// Time passes, deadline by deadline.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.uptime + time;
        while let Some(at) = self.partition.next_deadline().filter(|at| *at <= end) {
            self.uptime = self.uptime.max(at);
            self.act(Machine::tick);
        }
        self.uptime = end;
    }

    /// The broker dies and starts again: what is not durable is lost, who waited is cut off.
    pub(super) fn restart(&mut self) {
        self.undurable.clear();
        self.waiting.clear();
        self.budget = Budget::default();
        self.partition = Partition::new(Rc::clone(&self.settings), self.budget.clone());
        for record in &self.log {
            self.partition.replay(record).expect("our own records are readable");
        }
        self.act(crate::coordinator::Machine::loaded);
    }

    pub(super) fn join(&mut self, who: &str) {
        self.ids_given += 1;
        let ids_given = self.ids_given;
        let client = self.client(who).clone();
        let join = Join {
            group_id: GROUP.to_owned(),
            member_id: client.member_id,
            member_id_new: format!("{who}-{ids_given}"),
            instance_id: client.instance_id,
            client_id: who.to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            protocol_type: "consumer".to_owned(),
            protocols: client.protocols,
            session_timeout_ms: client.session_ms,
            rebalance_timeout_ms: client.rebalance_ms,
            known_id_required: client.version >= 4,
            may_skip_assignment: client.version >= 9,
        };
        self.send(who, "join", Command::Join(join));
    }

    pub(super) fn sync(&mut self, who: &str, assignments: Vec<(String, Bytes)>) {
        let client = self.client(who).clone();
        let sync = Sync {
            group_id: GROUP.to_owned(),
            generation: client.generation,
            member_id: client.member_id,
            instance_id: client.instance_id,
            protocol_type: Some("consumer".to_owned()),
            protocol: None,
            assignments,
        };
        self.send(who, "sync", Command::Sync(sync));
    }

    pub(super) fn heartbeat(&mut self, who: &str) {
        let client = self.client(who).clone();
        let heartbeat = Heartbeat {
            group_id: GROUP.to_owned(),
            generation: client.generation,
            member_id: client.member_id,
            instance_id: client.instance_id,
        };
        self.send(who, "heartbeat", Command::Heartbeat(heartbeat));
    }

    pub(super) fn leave(&mut self, who: &str, members: Vec<LeaveMember>) {
        self.send(who, "leave", Command::Leave(Leave { group_id: GROUP.to_owned(), members }));
    }

    pub(super) fn leaving(&mut self, who: &str) -> LeaveMember {
        let client = self.client(who);
        LeaveMember { member_id: client.member_id.clone(), instance_id: client.instance_id.clone() }
    }

    pub(super) fn commit(&mut self, who: &str, topic: &str, partition: i32, offset: i64) {
        let client = self.clients.get(who).cloned().unwrap_or_else(Client::new);
        let stored = CommitPartition {
            partition,
            offset,
            leader_epoch: 0,
            metadata: String::new(),
            commit_timestamp: -1,
        };
        let topic = CommitTopic { name: topic.to_owned(), topic_id: TOPIC_ID, partitions: vec![stored] };
        let commit = Commit {
            group_id: GROUP.to_owned(),
            generation: client.generation,
            member_id: client.member_id,
            instance_id: client.instance_id,
            knows_group_id_not_found: false,
            retention_ms: -1,
            topics: vec![topic],
        };
        self.send(who, "commit", Command::Commit(commit));
    }

    pub(super) fn fetch(&mut self, who: &str) {
        let fetch = FetchOffsets { group_id: GROUP.to_owned(), topics: None, require_stable: true };
        self.send(who, "fetch", Command::Fetch(fetch));
    }

    /// The group in one line.
    pub(super) fn summary(&self) -> String {
        let Some(group) = self.partition.group(GROUP) else { return "none".to_owned() };
        let members: Vec<&str> = group.members().map(|member| member.id.as_str()).collect();
        let (state, generation) = (group.state(), group.generation());
        format!(
            "{state:?} generation={generation} leader={} members=[{}]",
            group.leader().unwrap_or("-"),
            members.join(" ")
        )
    }
}

/// An answer in one line.
pub(super) fn shown(answer: &Answer) -> String {
    match answer {
        Answer::Join(join) => {
            if let Some(error) = join.error {
                format!("{error:?} id={}", join.member_id)
            } else {
                let seen: Vec<&str> = join.members.iter().map(|member| member.member_id.as_str()).collect();
                let skip = if join.skip_assignment { " skip" } else { "" };
                format!(
                    "generation={} id={} protocol={} leader={} sees=[{}]{skip}",
                    join.generation,
                    join.member_id,
                    join.protocol.as_deref().unwrap_or("-"),
                    join.leader,
                    seen.join(" ")
                )
            }
        }
        Answer::Sync(Ok(sync)) => format!("share={}", String::from_utf8_lossy(&sync.assignment)),
        Answer::Heartbeat(Ok(())) | Answer::Deleted(Ok(())) | Answer::Done => "ok".to_owned(),
        Answer::Sync(Err(error))
        | Answer::Heartbeat(Err(error))
        | Answer::Leave(Err(error))
        | Answer::Commit(Err(error))
        | Answer::Fetch(Err(error))
        | Answer::Deleted(Err(error))
        | Answer::OffsetsDeleted(Err(error)) => format!("{error:?}"),
        Answer::Leave(Ok(left)) => {
            let each = left.iter().map(|one| match one.error {
                Some(error) => format!("{error:?}"),
                None => "ok".to_owned(),
            });
            each.collect::<Vec<_>>().join(" ")
        }
        Answer::Commit(Ok(topics)) | Answer::OffsetsDeleted(Ok(topics)) => {
            let each = topics.iter().flat_map(|topic| &topic.partitions).map(|(_, error)| match error {
                Some(error) => format!("{error:?}"),
                None => "ok".to_owned(),
            });
            each.collect::<Vec<_>>().join(" ")
        }
        Answer::Fetch(Ok(topics)) => {
            let each = topics.iter().flat_map(|topic| {
                topic
                    .partitions
                    .iter()
                    .map(|stored| format!("{}/{}@{}", topic.name, stored.partition, stored.offset))
            });
            format!("[{}]", each.collect::<Vec<_>>().join(" "))
        }
        Answer::Described(None) => "no such group".to_owned(),
        Answer::Described(Some(group)) => {
            let each = group.members.iter().map(|member| {
                format!("{}:{}", member.member_id, String::from_utf8_lossy(&member.assignment))
            });
            let members = each.collect::<Vec<_>>().join(" ");
            format!("{} {} {} [{members}]", group.state.name(), group.protocol_type, group.protocol)
        }
        Answer::Listed(groups) => {
            let each = groups.iter().map(|group| format!("{}:{}", group.group_id, group.state.name()));
            format!("[{}]", each.collect::<Vec<_>>().join(" "))
        }
        Answer::StoredTopics(topics) => {
            topics.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ")
        }
    }
}

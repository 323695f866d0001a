//! Fetch: limits, offsets, epochs, ids and sessions.

use bytes::Bytes;
use harness::Transcript;
use harness::records::{self, Batch, Codec};
use harness::verbs::topic_name;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse};
use uuid::Uuid;

/// Kafka 4.3.1's answers to a follower that is none are not compared: replication is not served.
const CONSUMER: BrokerId = BrokerId(-1);

fn part(partition: i32, offset: i64) -> FetchPartition {
    FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20)
        .with_current_leader_epoch(-1)
}

fn topic(name: &str, id: Uuid, partitions: Vec<FetchPartition>) -> FetchTopic {
    FetchTopic::default().with_topic(topic_name(name)).with_topic_id(id).with_partitions(partitions)
}

fn request(topics: Vec<FetchTopic>) -> FetchRequest {
    FetchRequest::default()
        .with_replica_id(CONSUMER)
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(1 << 24)
        .with_session_id(0)
        .with_session_epoch(-1)
        .with_topics(topics)
}

/// Records by the offsets of their batches.
fn arranged(answer: &mut FetchResponse, is_sorted: bool) {
    for topic in &mut answer.responses {
        for partition in &mut topic.partitions {
            let Some(bytes) = partition.records.take() else { continue };
            let batches: Vec<String> = records::batches(&bytes)
                .iter()
                .map(|batch| {
                    let base = i64::from_be_bytes(records::field(batch, 0));
                    let delta = i32::from_be_bytes(records::field(batch, 23));
                    let epoch = i32::from_be_bytes(records::field(batch, 12));
                    format!("{base}-{} epoch {epoch}", base + i64::from(delta))
                })
                .collect();
            let whole: usize = records::batches(&bytes).iter().map(Bytes::len).sum();
            let cut = if whole < bytes.len() { ", and a part" } else { "" };
            partition.records = Some(Bytes::from(format!("[{}]{cut}", batches.join(", "))));
        }
        if is_sorted {
            topic.partitions.sort_by_key(|partition| (partition.partition_index, partition.error_code));
        }
    }
    if is_sorted {
        answer.responses.sort_by_key(|topic| (topic.topic.0.to_string(), topic.topic_id));
    }
}

fn ask(transcript: &mut Transcript, what: &str, version: i16, request: &FetchRequest) {
    transcript.ask_and(what, version, request, |answer| arranged(answer, true));
}

/// A topic of three partitions: three batches of three records, one batch in gzip, nothing.
fn filled(transcript: &mut Transcript) -> Uuid {
    let client = transcript.client();
    let id = client.create_topic("t", 3);
    for number in 0..3 {
        client.produce("t", 0, &Batch::numbered(number * 3, 3, 50));
    }
    client.produce("t", 1, &Batch::numbered(0, 5, 50).codec(Codec::Gzip));
    id
}

/// Partitions of the topic as a version names it.
fn of(version: i16, id: Uuid, partitions: Vec<FetchPartition>) -> Vec<FetchTopic> {
    vec![if version >= 13 { topic("", id, partitions) } else { topic("t", Uuid::nil(), partitions) }]
}

fn offsets_and_waits(transcript: &mut Transcript, version: i16, id: Uuid) {
    let of = |partitions| of(version, id, partitions);
    let mut ask_of = |what: &str, request: FetchRequest| {
        ask(transcript, &format!("{what}, v{version}"), version, &request);
    };
    for offset in [-1, 0, 1, 3, 8, 9, 10, i64::MAX, i64::MIN] {
        ask_of(&format!("offset {offset}"), request(of(vec![part(0, offset)])));
    }
    let all = || vec![part(0, 0), part(1, 0), part(2, 0)];
    ask_of("three", request(of(all())));
    for (what, wait, min) in [("waits", 10, i32::MAX), ("never waits", -5, i32::MAX), ("no minimum", 10, -5)]
    {
        ask_of(what, request(of(all())).with_max_wait_ms(wait).with_min_bytes(min));
    }
    for isolation in [1, 7, -1] {
        let request = request(of(vec![part(0, 0), part(2, 0)])).with_isolation_level(isolation);
        ask_of(&format!("isolation {isolation}"), request);
    }
    ask_of("partition 9", request(of(vec![part(9, 0), part(-1, 0), part(0, 9)])));
    ask_of("nothing", request(vec![]));
    ask_of("no partitions", request(of(vec![])));
}

fn strangers_and_epochs(transcript: &mut Transcript, version: i16, id: Uuid) {
    let of = |partitions| of(version, id, partitions);
    let mut ask_of = |what: &str, topics: Vec<FetchTopic>| {
        ask(transcript, &format!("{what}, v{version}"), version, &request(topics));
    };
    if version < 13 {
        for name in ["u", "a/b", "", "__cluster_metadata"] {
            ask_of(&format!("topic {name:?}"), vec![topic(name, Uuid::nil(), vec![part(0, 0)])]);
        }
    } else {
        for number in [0, 1, 77] {
            let mut topics = vec![topic("", Uuid::from_u128(number), vec![part(0, 0)])];
            topics.extend(of(vec![part(0, 6)]));
            ask_of(&format!("id {number}"), topics);
        }
    }
    if version >= 9 {
        for epoch in [-2, 0, 1, i32::MAX] {
            let one = part(0, 0).with_current_leader_epoch(epoch);
            ask_of(&format!("epoch {epoch}"), of(vec![one, part(1, 0)]));
        }
        ask_of("a wrong epoch and offset", of(vec![part(0, 99).with_current_leader_epoch(9)]));
    }
    if version >= 12 {
        for (epoch, offset) in [(0, 0), (0, 9), (0, 10), (1, 9), (-2, 0), (9, 0)] {
            let one = part(0, offset).with_last_fetched_epoch(epoch);
            ask_of(&format!("last epoch {epoch} at {offset}"), of(vec![one]));
        }
    }
}

#[test]
fn fetches_are_answered_as_kafka_answers_them() {
    let Some(mut transcript) = Transcript::begin("fetch", &[]) else { return };
    let id = filled(&mut transcript);
    for version in 4..=18 {
        offsets_and_waits(&mut transcript, version, id);
        for what in LIMITS {
            sized(&mut transcript, what, version, id, 0);
            sized(&mut transcript, what, version, id, 1);
        }
        strangers_and_epochs(&mut transcript, version, id);
    }
    for (bytes, why) in [
        (-1, "Kafka fails with an exception of its own; here it is 0"),
        (400, "an answer holds whole batches only"),
        (600, "an answer holds whole batches only"),
    ] {
        for what in LIMITS {
            transcript.differs(why);
            sized(&mut transcript, what, 11, id, bytes);
        }
    }
    transcript.differs("Kafka reads the last of the two only");
    ask(&mut transcript, "twice", 11, &request(of(11, id, vec![part(0, 0), part(0, 3)])));
    transcript.close();
}

/// What a number of bytes limits.
const LIMITS: [&str; 3] = ["the answer", "the only partition", "the second partition"];

fn sized(transcript: &mut Transcript, what: &str, version: i16, id: Uuid, bytes: i32) {
    let small = part(0, 0).with_partition_max_bytes(bytes);
    let of = |partitions| of(version, id, partitions);
    let request = match what {
        "the answer" => request(of(vec![part(0, 0), part(1, 0), part(2, 0)])).with_max_bytes(bytes),
        "the only partition" => request(of(vec![small])),
        _ => request(of(vec![part(1, 0), small])),
    };
    ask(transcript, &format!("{bytes} bytes for {what}, v{version}"), version, &request);
}

/// A session's id is drawn: the transcript calls it by what it is.
fn in_session(transcript: &mut Transcript, what: &str, version: i16, request: &FetchRequest) -> i32 {
    let mut session = 0;
    transcript.ask_and(what, version, request, |answer| {
        session = answer.session_id;
        arranged(answer, false);
    });
    session
}

fn session(id: i32, epoch: i32, topics: Vec<FetchTopic>) -> FetchRequest {
    request(topics).with_session_id(id).with_session_epoch(epoch)
}

/// Asks in sessions of one version, as `what` and the version.
struct Sessions<'a> {
    transcript: &'a mut Transcript,
    version: i16,
    id: Uuid,
}

impl Sessions<'_> {
    fn of(&self, partitions: Vec<FetchPartition>) -> Vec<FetchTopic> {
        of(self.version, self.id, partitions)
    }

    fn ask(&mut self, what: &str, id: i32, epoch: i32, partitions: &[(i32, i64)]) -> i32 {
        self.ask_and_forget(what, id, epoch, partitions, &[])
    }

    fn ask_and_forget(
        &mut self,
        what: &str,
        id: i32,
        epoch: i32,
        partitions: &[(i32, i64)],
        forgotten: &[i32],
    ) -> i32 {
        let parts = partitions.iter().map(|(partition, offset)| part(*partition, *offset)).collect();
        let topics = if partitions.is_empty() { Vec::new() } else { self.of(parts) };
        let mut request = session(id, epoch, topics);
        if !forgotten.is_empty() {
            let topic = self.of(Vec::new()).remove(0);
            let forgotten = ForgottenTopic::default()
                .with_topic(topic.topic)
                .with_topic_id(topic.topic_id)
                .with_partitions(forgotten.to_vec());
            request = request.with_forgotten_topics_data(vec![forgotten]);
        }
        in_session(self.transcript, &format!("{what}, v{}", self.version), self.version, &request)
    }

    fn lives(&mut self) {
        let all = [(0, 9), (1, 5), (2, 0)];
        let one = self.ask("full", 0, 0, &all);
        self.ask("nothing new", one, 1, &[]);
        self.ask("epoch again", one, 1, &[]);
        self.ask("epoch ahead", one, 5, &[]);
        self.ask("unknown session", one.wrapping_add(1), 2, &[]);
        self.ask("session 0", 0, 2, &[]);
        self.ask("epoch below -1", one, -2, &[]);
        let one = self.ask("full again", 0, 0, &all);
        self.ask("an older offset", one, 1, &[(0, 6)]);
        self.ask("the same records again", one, 2, &[]);
        self.ask("an offset out of range", one, 3, &[(1, 99)]);
        self.ask("still out of range", one, 4, &[(0, 9)]);
        self.ask("in range", one, 5, &[(1, 5)]);
        self.ask("quiet", one, 6, &[]);
        self.ask("an unknown partition", one, 7, &[(9, 0)]);
        self.ask("still unknown", one, 8, &[]);
        self.ask_and_forget("forgotten", one, 9, &[], &[9, 1]);
        self.ask_and_forget("forgotten and asked for", one, 10, &[(1, 0)], &[1]);
        self.ask("quiet once more", one, 11, &[]);
        self.ask_and_forget("all forgotten", one, 12, &[], &[0, 1, 2]);
        self.ask("behind the end", one, 13, &[]);
    }

    fn ends(&mut self) {
        self.ask("an empty session", 0, 0, &[]);
        let two = self.ask("with two", 0, 0, &[(0, 0), (1, 0)]);
        self.ask("closed", two, -1, &[(2, 0)]);
        self.ask("after it was closed", two, 1, &[]);
        let three = self.ask("with three", 0, 0, &[(0, 9)]);
        self.ask("begun anew", three, 0, &[(1, 5)]);
        self.ask("the old one", three, 1, &[]);
        self.transcript.differs("Kafka reads the last of the two only");
        self.ask("a full session of one partition twice", 0, 0, &[(0, 9), (0, 6)]);
    }
}

#[test]
fn sessions_are_kept_as_kafka_keeps_them() {
    let Some(mut transcript) = Transcript::begin("fetch_sessions", &[]) else { return };
    let id = filled(&mut transcript);
    for version in [7, 11, 12, 13, 18] {
        let mut sessions = Sessions { transcript: &mut transcript, version, id };
        sessions.lives();
        sessions.ends();
    }
    let named = vec![topic("t", Uuid::nil(), vec![part(0, 9)])];
    let with_ids = vec![topic("", id, vec![part(0, 9)])];
    let one = in_session(&mut transcript, "with names", 12, &session(0, 0, named.clone()));
    in_session(&mut transcript, "then with ids", 13, &session(one, 1, with_ids.clone()));
    in_session(&mut transcript, "then with names again", 12, &session(one, 1, vec![]));
    let two = in_session(&mut transcript, "with ids", 13, &session(0, 0, with_ids));
    in_session(&mut transcript, "then with names", 12, &session(two, 1, named));
    let strange = vec![topic("", Uuid::from_u128(77), vec![part(0, 0)])];
    let three = in_session(&mut transcript, "with a strange id", 13, &session(0, 0, strange));
    in_session(&mut transcript, "the strange id again", 13, &session(three, 1, vec![]));
    transcript.close();
}

#[test]
fn a_full_cache_of_sessions_answers_without_one_as_kafka_does() {
    let settings = [("max.incremental.fetch.session.cache.slots", "0")];
    let Some(mut transcript) = Transcript::begin("fetch_sessions_full", &settings) else { return };
    filled(&mut transcript);
    let all = vec![topic("t", Uuid::nil(), vec![part(0, 9), part(1, 5)])];
    in_session(&mut transcript, "full", 11, &session(0, 0, all.clone()));
    in_session(&mut transcript, "in no session", 11, &session(0, 1, vec![]));
    in_session(&mut transcript, "in a session that never was", 11, &session(5, 1, all));
    transcript.close();
}

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

#[test]
fn fetches_are_answered_as_kafka_answers_them() {
    let Some(mut transcript) = Transcript::begin("fetch", &[]) else { return };
    let id = filled(&mut transcript);
    for version in 4..=18 {
        let of = |partitions: Vec<FetchPartition>| {
            vec![if version >= 13 { topic("", id, partitions) } else { topic("t", Uuid::nil(), partitions) }]
        };
        let v = |what: &str| format!("{what}, v{version}");
        for offset in [-1, 0, 1, 3, 8, 9, 10, i64::MAX, i64::MIN] {
            ask(
                &mut transcript,
                &v(&format!("offset {offset}")),
                version,
                &request(of(vec![part(0, offset)])),
            );
        }
        let all = || vec![part(0, 0), part(1, 0), part(2, 0)];
        ask(&mut transcript, &v("three"), version, &request(of(all())));
        for bytes in [0, 1] {
            sized(&mut transcript, &v(""), version, &of, bytes);
        }
        for (what, wait, min) in
            [("waits", 10, i32::MAX), ("never waits", -5, i32::MAX), ("no minimum", 10, -5)]
        {
            let request = request(of(all())).with_max_wait_ms(wait).with_min_bytes(min);
            ask(&mut transcript, &v(what), version, &request);
        }
        for isolation in [1, 7, -1] {
            let request = request(of(vec![part(0, 0), part(2, 0)])).with_isolation_level(isolation);
            ask(&mut transcript, &v(&format!("isolation {isolation}")), version, &request);
        }
        ask(
            &mut transcript,
            &v("partition 9"),
            version,
            &request(of(vec![part(9, 0), part(-1, 0), part(0, 9)])),
        );
        ask(&mut transcript, &v("nothing"), version, &request(vec![]));
        ask(&mut transcript, &v("no partitions"), version, &request(of(vec![])));
        if version < 13 {
            for name in ["u", "a/b", "", "__cluster_metadata"] {
                let topics = vec![topic(name, Uuid::nil(), vec![part(0, 0)])];
                ask(&mut transcript, &v(&format!("topic {name:?}")), version, &request(topics));
            }
        } else {
            for number in [0, 1, 77] {
                let topics = vec![
                    topic("", Uuid::from_u128(number), vec![part(0, 0)]),
                    of(vec![part(0, 6)]).remove(0),
                ];
                ask(&mut transcript, &v(&format!("id {number}")), version, &request(topics));
            }
        }
        if version >= 9 {
            for epoch in [-2, 0, 1, i32::MAX] {
                let one = part(0, 0).with_current_leader_epoch(epoch);
                ask(
                    &mut transcript,
                    &v(&format!("epoch {epoch}")),
                    version,
                    &request(of(vec![one, part(1, 0)])),
                );
            }
            let bad = part(0, 99).with_current_leader_epoch(9);
            ask(&mut transcript, &v("a wrong epoch and offset"), version, &request(of(vec![bad])));
        }
        if version >= 12 {
            for (epoch, offset) in [(0, 0), (0, 9), (0, 10), (1, 9), (-2, 0), (9, 0)] {
                let one = part(0, offset).with_last_fetched_epoch(epoch);
                ask(
                    &mut transcript,
                    &v(&format!("last epoch {epoch} at {offset}")),
                    version,
                    &request(of(vec![one])),
                );
            }
        }
    }
    let of = |partitions: Vec<FetchPartition>| vec![topic("t", Uuid::nil(), partitions)];
    for (bytes, why) in [
        (-1, "Kafka fails with an exception of its own; here it is 0"),
        (400, "an answer holds whole batches only"),
        (600, "an answer holds whole batches only"),
    ] {
        for what in LIMITS {
            transcript.differs(why);
            sized_as(&mut transcript, what, "", 11, &of, bytes);
        }
    }
    transcript.differs("Kafka reads the last of the two only");
    ask(&mut transcript, "twice", 11, &request(of(vec![part(0, 0), part(0, 3)])));
    transcript.close();
}

/// What a number of bytes limits.
const LIMITS: [&str; 3] = ["the answer", "the only partition", "the second partition"];

fn sized(
    transcript: &mut Transcript,
    version_text: &str,
    version: i16,
    of: &impl Fn(Vec<FetchPartition>) -> Vec<FetchTopic>,
    bytes: i32,
) {
    for what in LIMITS {
        sized_as(transcript, what, version_text, version, of, bytes);
    }
}

fn sized_as(
    transcript: &mut Transcript,
    what: &str,
    version_text: &str,
    version: i16,
    of: &impl Fn(Vec<FetchPartition>) -> Vec<FetchTopic>,
    bytes: i32,
) {
    let small = part(0, 0).with_partition_max_bytes(bytes);
    let request = match what {
        "the answer" => request(of(vec![part(0, 0), part(1, 0), part(2, 0)])).with_max_bytes(bytes),
        "the only partition" => request(of(vec![small])),
        _ => request(of(vec![part(1, 0), small])),
    };
    ask(transcript, &format!("{bytes} bytes for {what}{version_text}"), version, &request);
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

#[test]
fn sessions_are_kept_as_kafka_keeps_them() {
    let Some(mut transcript) = Transcript::begin("fetch_sessions", &[]) else { return };
    let id = filled(&mut transcript);
    for version in [7, 11, 12, 13, 18] {
        let of = |partitions: Vec<FetchPartition>| {
            vec![if version >= 13 { topic("", id, partitions) } else { topic("t", Uuid::nil(), partitions) }]
        };
        let forget = |partitions: &[i32]| {
            let name = if version >= 13 { "" } else { "t" };
            let topic_id = if version >= 13 { id } else { Uuid::nil() };
            vec![
                ForgottenTopic::default()
                    .with_topic(topic_name(name))
                    .with_topic_id(topic_id)
                    .with_partitions(partitions.to_vec()),
            ]
        };
        let v = |what: &str| format!("{what}, v{version}");
        let t = &mut transcript;
        let one =
            in_session(t, &v("full"), version, &session(0, 0, of(vec![part(0, 9), part(1, 5), part(2, 0)])));
        in_session(t, &v("nothing new"), version, &session(one, 1, vec![]));
        in_session(t, &v("epoch again"), version, &session(one, 1, vec![]));
        in_session(t, &v("epoch ahead"), version, &session(one, 5, vec![]));
        in_session(t, &v("unknown session"), version, &session(one.wrapping_add(1), 2, vec![]));
        in_session(t, &v("session 0"), version, &session(0, 2, vec![]));
        in_session(t, &v("epoch below -1"), version, &session(one, -2, vec![]));
        let one = in_session(
            t,
            &v("full again"),
            version,
            &session(0, 0, of(vec![part(0, 9), part(1, 5), part(2, 0)])),
        );
        in_session(t, &v("an older offset"), version, &session(one, 1, of(vec![part(0, 6)])));
        in_session(t, &v("the same records again"), version, &session(one, 2, vec![]));
        in_session(t, &v("an offset out of range"), version, &session(one, 3, of(vec![part(1, 99)])));
        in_session(t, &v("still out of range"), version, &session(one, 4, of(vec![part(0, 9)])));
        in_session(t, &v("in range"), version, &session(one, 5, of(vec![part(1, 5)])));
        in_session(t, &v("quiet"), version, &session(one, 6, vec![]));
        in_session(t, &v("an unknown partition"), version, &session(one, 7, of(vec![part(9, 0)])));
        in_session(t, &v("still unknown"), version, &session(one, 8, vec![]));
        in_session(
            t,
            &v("forgotten"),
            version,
            &session(one, 9, vec![]).with_forgotten_topics_data(forget(&[9, 1])),
        );
        in_session(
            t,
            &v("forgotten and asked for"),
            version,
            &session(one, 10, of(vec![part(1, 0)])).with_forgotten_topics_data(forget(&[1])),
        );
        in_session(t, &v("quiet once more"), version, &session(one, 11, vec![]));
        in_session(
            t,
            &v("all forgotten"),
            version,
            &session(one, 12, vec![]).with_forgotten_topics_data(forget(&[0, 1, 2])),
        );
        in_session(t, &v("behind the end"), version, &session(one, 13, vec![]));
        in_session(t, &v("an empty session"), version, &session(0, 0, vec![]));
        let two = in_session(t, &v("with two"), version, &session(0, 0, of(vec![part(0, 0), part(1, 0)])));
        in_session(t, &v("closed"), version, &session(two, -1, of(vec![part(2, 0)])));
        in_session(t, &v("after it was closed"), version, &session(two, 1, vec![]));
        let three = in_session(t, &v("with three"), version, &session(0, 0, of(vec![part(0, 9)])));
        in_session(t, &v("begun anew"), version, &session(three, 0, of(vec![part(1, 5)])));
        in_session(t, &v("the old one"), version, &session(three, 1, vec![]));
        t.differs("Kafka reads the last of the two only");
        in_session(
            t,
            &v("a full session of one partition twice"),
            version,
            &session(0, 0, of(vec![part(0, 9), part(0, 6)])),
        );
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

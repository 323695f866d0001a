//! Offsets: committed and fetched in every version, by whom, and what is wrong with them.

use super::requests::{Joining, Place, empty_id, group_id, group_of_fetch, leave, offset_fetch, ready_group};
use harness::client::frame;
use harness::conversation::Conversation;
use harness::verbs::text;
use harness::{Against, Broker, Client, skip};
use kafka_protocol::messages::{DescribeGroupsRequest, OffsetCommitRequest, OffsetFetchRequest};
use uuid::Uuid;

const COMMIT: i16 = 8;
const FETCH: i16 = 9;

/// Sends a request in the bytes of a version that `kafka-protocol` does not know; the answer is its bytes.
fn send_raw(client: &mut Client, key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut bytes = [key.to_be_bytes(), version.to_be_bytes()].concat();
    bytes.extend_from_slice(&[0, 0, 0, 7, 0xff, 0xff]); // correlation id, no client id
    let is_flexible = version >= if key == COMMIT { 8 } else { 6 };
    bytes.extend(is_flexible.then_some(0));
    bytes.extend_from_slice(body);
    client.send_bytes(&frame(&bytes)).unwrap();
    client.receive_frame().unwrap()
}

fn raw(talk: &mut Conversation<'_>, key: i16, version: i16, what: &str, body: &[u8]) {
    let answer = send_raw(talk.client("raw"), key, version, body);
    talk.note(&format!("API {key} version {version}, {what}"), &hex(&answer));
}

/// `OffsetCommit` 1 of one partition.
fn commit_1(group: &str, topic: &str, offset: i64, time: i64) -> Vec<u8> {
    let mut body = short_text(group);
    body.extend_from_slice(&(-1_i32).to_be_bytes());
    body.extend(short_text(""));
    body.extend_from_slice(&1_i32.to_be_bytes());
    body.extend(short_text(topic));
    body.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0]);
    body.extend_from_slice(&offset.to_be_bytes());
    body.extend_from_slice(&time.to_be_bytes());
    body.extend(short_text("note"));
    body
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"))
}

fn short_text(value: &str) -> Vec<u8> {
    [&(value.len() as i16).to_be_bytes()[..], value.as_bytes()].concat()
}

fn compact_text(value: &str) -> Vec<u8> {
    [&[value.len() as u8 + 1], value.as_bytes()].concat()
}

/// `OffsetCommit` 10 of partitions of one topic.
fn commit_10(group: &str, place: (i32, &str), topic: Uuid, offsets: &[(i32, i64)]) -> Vec<u8> {
    let mut body = compact_text(group);
    body.extend_from_slice(&place.0.to_be_bytes());
    body.extend(compact_text(place.1));
    body.extend_from_slice(&[0, 2]); // no instance, one topic
    body.extend_from_slice(topic.as_bytes());
    body.push(offsets.len() as u8 + 1);
    for (index, offset) in offsets {
        body.extend_from_slice(&index.to_be_bytes());
        body.extend_from_slice(&offset.to_be_bytes());
        body.extend_from_slice(&3_i32.to_be_bytes());
        body.extend(compact_text("ten"));
        body.push(0);
    }
    body.extend_from_slice(&[0, 0]);
    body
}

/// `OffsetFetch` 10 of one group; no topics are all topics.
fn fetch_10(group: &str, place: (i32, Option<&str>), topics: &[(Uuid, &[i32])]) -> Vec<u8> {
    let mut body = vec![2];
    body.extend(compact_text(group));
    body.extend(place.1.map_or_else(|| vec![0], compact_text));
    body.extend_from_slice(&place.0.to_be_bytes());
    body.push(if topics.is_empty() { 0 } else { topics.len() as u8 + 1 });
    for (topic, partitions) in topics {
        body.extend_from_slice(topic.as_bytes());
        body.push(partitions.len() as u8 + 1);
        body.extend(partitions.iter().flat_map(|index| index.to_be_bytes()));
        body.push(0);
    }
    body.extend_from_slice(&[0, 1, 0]); // the group's tags, stable, the request's tags
    body
}

#[test]
fn offsets_are_committed_and_fetched_alike_in_every_version() {
    let broker = Broker::shared();
    let mut talk = Conversation::of(&broker);
    let id = broker.client().create_topic("t-offsets", 3);
    let empty_id = broker.client().create_topic("t-untouched", 1);
    for id in [id, empty_id] {
        talk.name(&id.simple().to_string(), "topic id");
    }
    let group = ready_group(&mut talk, "g");
    talk.name(&hex(&compact_text(&group)), "g");
    talk.heading("nothing is stored");
    let asked: &[(&str, &[i32])] = &[("t-offsets", &[0, 2]), ("t-untouched", &[0]), ("t-absent", &[0, 5])];
    for version in 1..=9 {
        talk.ask("a", version, "", &offset_fetch(version, &group, Some(asked)));
        if version >= 2 {
            talk.ask("a", version, "all", &offset_fetch(version, &group, None));
        }
        talk.ask("a", version, "no topics", &offset_fetch(version, &group, Some(&[])));
    }
    talk.heading("each version commits, every version fetches");
    for version in 2..=9 {
        talk.ask(
            "a",
            version,
            "",
            &Place::of(&group, -1, "").commit(version, "t-offsets", i64::from(version)),
        );
        for fetching in 1..=9 {
            talk.ask("a", fetching, "", &offset_fetch(fetching, &group, Some(&[("t-offsets", &[0])])));
        }
    }
    raw(&mut talk, COMMIT, 10, "", &commit_10(&group, (-1, ""), id, &[(0, 10), (1, 11), (7, 1)]));
    raw(&mut talk, COMMIT, 10, "no such id", &commit_10(&group, (-1, ""), Uuid::from_u128(1), &[(0, 1)]));
    raw(&mut talk, COMMIT, 10, "no id", &commit_10(&group, (-1, ""), Uuid::nil(), &[(0, 1)]));
    raw(&mut talk, FETCH, 10, "", &fetch_10(&group, (-1, None), &[(id, &[1, 0, 2, 9]), (empty_id, &[0])]));
    raw(
        &mut talk,
        FETCH,
        10,
        "no such id",
        &fetch_10(&group, (-1, None), &[(Uuid::from_u128(1), &[0]), (id, &[0])]),
    );
    raw(&mut talk, FETCH, 10, "all", &fetch_10(&group, (-1, None), &[]));
    raw(&mut talk, FETCH, 10, "no such group", &fetch_10("absent", (-1, None), &[(id, &[0])]));
    talk.ask("a", 9, "all", &offset_fetch(9, &group, None));
    talk.matches("groups/offset_versions");
}

#[test]
fn the_oldest_version_of_a_commit_is_taken_as_kafka_3_takes_it() {
    let broker = Broker::shared();
    if *broker.against() == Against::Kafka("4.3.1".to_string()) {
        skip::skip_test("OffsetCommit 1", "Kafka 4 has dropped it");
        return;
    }
    let mut talk = Conversation::of(&broker);
    broker.client().create_topic("t-oldest", 1);
    let group = ready_group(&mut talk, "g");
    let client = talk.client("raw");
    for (topic, offset, time, code) in
        [("t-oldest", 1, -1, 0), ("t-oldest", 2, 1_700_000_000_000, 0), ("t-absent", 3, -1, 3)]
    {
        let answer = send_raw(client, COMMIT, 1, &commit_1(&group, topic, offset, time));
        let expected =
            [&[0, 0, 0, 7, 0, 0, 0, 1][..], &short_text(topic), &[0, 0, 0, 1, 0, 0, 0, 0, 0, code]];
        assert_eq!(answer, expected.concat());
    }
    let fetched = client.call(7, &offset_fetch(7, &group, None));
    let stored = &fetched.topics[0].partitions[0];
    assert_eq!((stored.committed_offset, stored.metadata.as_deref()), (2, Some("note")));
}

#[test]
fn what_is_asked_for_a_thousand_times_is_answered_once() {
    let broker = Broker::shared();
    if !broker.against().is_thalweg() {
        skip::skip_test("answers that outgrow their requests", "Kafka answers as often as it is asked");
        return;
    }
    let mut talk = Conversation::of(&broker);
    broker.client().create_topic("t-repeated", 2);
    let group = ready_group(&mut talk, "g");
    let request = noted(&Place::of(&group, -1, "").commit(8, "t-repeated", 1), &"x".repeat(4096));
    assert_eq!(talk.client("a").call(8, &request).topics[0].partitions[0].error_code, 0);
    let topic = ("t-repeated", &[0; 1000][..]);
    let request = offset_fetch(7, &group, Some(&[topic, topic, ("t-repeated", &[1])]));
    let answer = talk.client("a").call(7, &request);
    let partitions: Vec<usize> = answer.topics.iter().map(|topic| topic.partitions.len()).collect();
    assert_eq!(partitions, [1, 1], "partition 0 once, and 1, which was asked for once");
    let groups = vec![group_of_fetch(&group, None); 1000];
    let answer = talk.client("a").call(8, &OffsetFetchRequest::default().with_groups(groups));
    assert_eq!(answer.groups.len(), 1);
    let described = DescribeGroupsRequest::default().with_groups(vec![group_id(&group); 1000]);
    assert_eq!(talk.client("a").call(5, &described).groups.len(), 1);
}

/// Changes a request that commits one partition.
fn changed(
    mut request: OffsetCommitRequest,
    change: impl FnOnce(&mut OffsetCommitRequest),
) -> OffsetCommitRequest {
    change(&mut request);
    request
}

#[test]
fn what_is_wrong_with_a_commit_is_told_in_every_version() {
    let broker = Broker::shared();
    let mut talk = Conversation::of(&broker);
    let _empty_id = empty_id(&broker);
    broker.client().create_topic("t-wrong", 2);
    let group = ready_group(&mut talk, "g");
    let absent = ready_group(&mut talk, "absent");
    let joined = talk.ask("a", 5, "", &Joining::instance("i1").request(5, &group)).unwrap();
    let a = joined.member_id.to_string();
    talk.name(&a, "a");
    talk.ask("a", 3, "", &Place::of(&group, 1, &a).sync(3, &[(&a, "share")]));
    for version in 2..=9_i16 {
        talk.heading(&format!("OffsetCommit {version}"));
        commit_from(&mut talk, version, [&group, &absent], &a);
        commit_what(&mut talk, version, &group, &a);
        talk.ask("b", 8, "what is stored", &offset_fetch(8, &group, None));
    }
    for (retention_ms, version) in [(0, 2), (1_000_000, 3), (-1, 4)] {
        let request = Place::of(&group, 1, &a).commit(version, "t-wrong", 7);
        talk.ask("b", version, "with a retention", &request.with_retention_time_ms(retention_ms));
    }
    talk.heading("a group whose members have left");
    talk.ask("a", 3, "", &leave(3, &group, &[(&a, Some("i1"))]));
    talk.ask("b", 7, "with the old generation", &Place::of(&group, 1, &a).commit(7, "t-wrong", 8));
    talk.ask("b", 7, "with the new generation", &Place::of(&group, 2, "").commit(7, "t-wrong", 8));
    talk.ask("b", 7, "no member", &Place::of(&group, -1, "").commit(7, "t-wrong", 8));
    talk.ask("b", 7, "a stranger without generation", &Place::of(&group, -1, "x").commit(7, "t-wrong", 8));
    talk.matches("groups/wrong_commits");
}

/// Commits of who is a member, who was, and who is none.
fn commit_from(talk: &mut Conversation<'_>, version: i16, [group, absent]: [&str; 2], a: &str) {
    let places = [
        ("no such group, a generation", Place::of(absent, 1, "x")),
        ("no such group, a member without generation", Place::of(absent, -1, "x")),
        ("a stranger", Place::of(group, 1, "x")),
        ("no member id", Place::of(group, 1, "")),
        ("no member of a group that has some", Place::of(group, -1, "")),
        ("a stranger without generation", Place::of(group, -1, "x")),
        ("its id without generation", Place::of(group, -1, a)),
        ("an old generation", Place::of(group, 0, a)),
        ("a later generation", Place::of(group, 2, a)),
        ("an unknown instance", Place { instance: Some("i9"), ..Place::of(group, 1, a) }),
        ("its instance, another id", Place { instance: Some("i1"), ..Place::of(group, 1, "x") }),
        ("its instance without generation", Place { instance: Some("i1"), ..Place::of(group, -1, "") }),
        ("empty group id", Place::of("", -1, "")),
        ("empty group id, a generation", Place::of("", 1, "x")),
        ("as it should be", Place { instance: Some("i1"), ..Place::of(group, 1, a) }),
    ];
    for (what, place) in places {
        talk.ask("b", version, what, &place.commit(version, "t-wrong", 7));
    }
}

/// Commits of a member, with all that may be wrong in them.
fn commit_what(talk: &mut Conversation<'_>, version: i16, group: &str, a: &str) {
    let good = Place::of(group, 1, a).commit(version, "t-wrong", 7);
    talk.ask("b", version, "no such topic", &Place::of(group, 1, a).commit(version, "t-absent", 7));
    let wrong = [
        ("no topics", changed(good.clone(), |request| request.topics.clear())),
        ("no partitions", changed(good.clone(), |request| request.topics[0].partitions.clear())),
        (
            "a negative offset",
            changed(good.clone(), |request| request.topics[0].partitions[0].committed_offset = -5),
        ),
        (
            "no note",
            changed(good.clone(), |request| request.topics[0].partitions[0].committed_metadata = None),
        ),
        ("the longest note", noted(&good, &"x".repeat(4096))),
        ("too long a note", noted(&good, &"x".repeat(4097))),
        ("the longest note of two bytes a letter", noted(&good, &"ä".repeat(4096))),
        (
            "partitions that are and are not there",
            changed(good.clone(), |request| {
                let one = request.topics[0].partitions[0].clone();
                let at = |index| one.clone().with_partition_index(index);
                request.topics[0].partitions = vec![at(5), at(1), at(-1), at(0)];
            }),
        ),
        (
            "topics that are and are not there",
            changed(good.clone(), |request| {
                let one = request.topics[0].clone();
                let absent = Place::of(group, 1, a).commit(version, "t-absent", 7).topics.remove(0);
                request.topics = vec![absent, one];
            }),
        ),
        ("nothing that is there, and a stranger", Place::of(group, 1, "x").commit(version, "t-absent", 7)),
    ];
    for (what, request) in wrong {
        talk.ask("b", version, what, &request);
    }
}

fn noted(request: &OffsetCommitRequest, note: &str) -> OffsetCommitRequest {
    changed(request.clone(), |request| request.topics[0].partitions[0].committed_metadata = Some(text(note)))
}

#[test]
fn offsets_of_many_groups_are_fetched_at_once_and_members_say_where_they_are() {
    let broker = Broker::shared();
    let mut talk = Conversation::of(&broker);
    let _empty_id = empty_id(&broker);
    broker.client().create_topic("t-many", 2);
    let one = ready_group(&mut talk, "one");
    let two = ready_group(&mut talk, "two");
    let absent = ready_group(&mut talk, "absent");
    talk.ask("a", 8, "", &Place::of(&one, -1, "").commit(8, "t-many", 1));
    talk.ask("a", 8, "", &Place::of(&two, -1, "").commit(8, "t-many", 2));
    for version in [8, 9] {
        let groups = vec![
            group_of_fetch(&one, None),
            group_of_fetch(&absent, Some(&[("t-many", &[0])])),
            group_of_fetch(&two, Some(&[("t-many", &[1, 0]), ("t-absent", &[0])])),
            group_of_fetch("", None),
        ];
        for stable in [false, true] {
            let request =
                OffsetFetchRequest::default().with_groups(groups.clone()).with_require_stable(stable);
            let mut answer = talk.client("a").call(version, &request);
            answer.groups.sort_by(|one, other| one.group_id.0.cmp(&other.group_id.0));
            talk.note(&format!("OffsetFetch {version}, four groups, stable: {stable}"), &answer);
        }
        talk.ask("a", version, "no groups", &OffsetFetchRequest::default());
    }
    talk.heading("a member with its epoch: of a classic group its generation");
    let joined = talk.ask("m", 3, "", &Joining::new().request(3, &two)).unwrap();
    let m = joined.member_id.to_string();
    talk.name(&m, "m");
    talk.ask("m", 3, "", &Place::of(&two, 1, &m).sync(3, &[(&m, "share")]));
    for (what, member, epoch) in [
        ("its own", &*m, 1),
        ("an old one", &m, 0),
        ("none", &m, -1),
        ("a stranger", "x", 1),
        ("a stranger's none", "x", -1),
    ] {
        let group = group_of_fetch(&two, Some(&[("t-many", &[0])]))
            .with_member_id(Some(text(member)))
            .with_member_epoch(epoch);
        talk.ask("a", 9, what, &OffsetFetchRequest::default().with_groups(vec![group]));
    }
    for (what, member) in [("no such group, a member", Some("x")), ("no such group", None)] {
        let group = group_of_fetch(&absent, None).with_member_id(member.map(text)).with_member_epoch(3);
        talk.ask("a", 9, what, &OffsetFetchRequest::default().with_groups(vec![group]));
    }
    talk.matches("groups/many_groups");
}

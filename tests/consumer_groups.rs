//! Classic consumer groups as plain subscribers use them, and the offsets they leave.

use harness::records::{self, Batch};
use harness::verbs::{code, fresh, text, topic_name};
use harness::{Broker, Client};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest, SyncGroupResponse,
};
use std::thread;
use std::time::{Duration, Instant};

fn group_id(name: &str) -> GroupId {
    GroupId(text(name))
}

/// Asks until the group's coordinator is known and has loaded.
fn find_coordinator(client: &mut Client, group: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let request =
            FindCoordinatorRequest::default().with_key_type(0).with_coordinator_keys(vec![text(group)]);
        let found = client.call(4, &request).coordinators.remove(0);
        if found.error_code == code::NONE {
            // Offsets, since a heartbeat is answered kindly while the group's log is still read.
            let probe = OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_topics(None);
            let answer = client.call(8, &OffsetFetchRequest::default().with_groups(vec![probe]));
            if !code::COORDINATOR_COMES.contains(&answer.groups[0].error_code) {
                return;
            }
        }
        assert!(Instant::now() < deadline, "no coordinator: {}", found.error_code);
        thread::sleep(Duration::from_millis(100));
    }
}

/// A `ConsumerProtocolSubscription` 0: one topic, user data. (Kafka 4 looks into it: on other bytes its join never answers.)
fn subscription(user_data: &str) -> bytes::Bytes {
    let mut bytes = vec![0, 0, 0, 0, 0, 1, 0, 1, b't'];
    bytes.extend_from_slice(&(user_data.len() as i32).to_be_bytes());
    bytes.extend_from_slice(user_data.as_bytes());
    bytes.into()
}

fn join_request(group: &str, member: &str, protocols: &[&str]) -> JoinGroupRequest {
    let protocol = |name: &&str| {
        JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(subscription(name))
    };
    JoinGroupRequest::default()
        .with_group_id(group_id(group))
        .with_member_id(text(member))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(protocols.iter().map(protocol).collect())
}

/// A first member in a stable group of its own.
fn join_alone(client: &mut Client, group: &str) -> JoinGroupResponse {
    let asked = client.call(5, &join_request(group, "", &["range"]));
    assert_eq!(asked.error_code, code::MEMBER_ID_REQUIRED, "KIP-394: a new member is given an id first");
    assert!(!asked.member_id.is_empty());
    let joined = client.call(5, &join_request(group, &asked.member_id, &["range"]));
    assert_eq!(joined.error_code, code::NONE);
    joined
}

fn sync(
    client: &mut Client,
    group: &str,
    joined: &JoinGroupResponse,
    plan: &[(&str, &str)],
) -> SyncGroupResponse {
    let assignment = |&(member, bytes): &(&str, &str)| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(member))
            .with_assignment(bytes::Bytes::copy_from_slice(bytes.as_bytes()))
    };
    let request = SyncGroupRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_assignments(plan.iter().map(assignment).collect());
    client.call(3, &request)
}

fn heartbeat(client: &mut Client, group: &str, generation: i32, member: &str) -> i16 {
    let request = HeartbeatRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id(generation)
        .with_member_id(text(member));
    client.call(3, &request).error_code
}

fn commit(
    client: &mut Client,
    group: &str,
    member: (i32, &str),
    topic: &str,
    offsets: &[(i32, i64)],
) -> Vec<i16> {
    let partition = |&(index, offset): &(i32, i64)| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(-1)
            .with_committed_metadata(Some(text("note")))
    };
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(offsets.iter().map(partition).collect());
    let request = OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id_or_member_epoch(member.0)
        .with_member_id(text(member.1))
        .with_topics(vec![topic]);
    let answer = client.call(8, &request);
    answer.topics[0].partitions.iter().map(|part| part.error_code).collect()
}

#[test]
fn a_member_joins_syncs_beats_and_leaves() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let group = fresh("group");
    find_coordinator(&mut client, &group);
    let joined = join_alone(&mut client, &group);
    assert_eq!((joined.generation_id, joined.leader.as_str()), (1, joined.member_id.as_str()));
    assert_eq!(joined.protocol_name.as_deref(), Some("range"));
    assert_eq!(joined.members.len(), 1);
    assert_eq!(joined.members[0].metadata, subscription("range"));
    let synced = sync(&mut client, &group, &joined, &[(&joined.member_id, "all of it")]);
    assert_eq!((synced.error_code, &synced.assignment[..]), (code::NONE, &b"all of it"[..]));
    assert_eq!(heartbeat(&mut client, &group, 1, &joined.member_id), code::NONE);
    assert_eq!(heartbeat(&mut client, &group, 2, &joined.member_id), code::ILLEGAL_GENERATION);
    assert_eq!(heartbeat(&mut client, &group, 1, "stranger"), code::UNKNOWN_MEMBER_ID);
    let member = MemberIdentity::default().with_member_id(joined.member_id.clone());
    let leave = LeaveGroupRequest::default().with_group_id(group_id(&group)).with_members(vec![member]);
    let left = client.call(3, &leave);
    assert_eq!((left.error_code, left.members[0].error_code), (code::NONE, code::NONE));
    assert_eq!(heartbeat(&mut client, &group, 1, &joined.member_id), code::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_second_member_makes_the_first_rejoin_and_the_leader_assigns() {
    let broker = Broker::shared();
    let mut first = broker.client();
    let group = fresh("group");
    find_coordinator(&mut first, &group);
    let alone = join_alone(&mut first, &group);
    sync(&mut first, &group, &alone, &[(&alone.member_id, "everything")]);

    let mut second = broker.client();
    let id = second.call(5, &join_request(&group, "", &["range", "roundrobin"])).member_id;
    let waiting = second.send(5, &join_request(&group, &id, &["range", "roundrobin"])).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while heartbeat(&mut first, &group, 1, &alone.member_id) != 27 {
        assert!(Instant::now() < deadline, "REBALANCE_IN_PROGRESS is due");
        thread::sleep(Duration::from_millis(20));
    }
    let leader = first.call(5, &join_request(&group, &alone.member_id, &["range"]));
    let follower = second.receive::<JoinGroupRequest>(5, waiting).unwrap();
    assert_eq!((leader.generation_id, follower.generation_id), (2, 2));
    assert_eq!((leader.members.len(), follower.members.len()), (2, 0), "only the leader sees the members");
    assert_eq!(follower.leader, leader.member_id);

    let request = SyncGroupRequest::default()
        .with_group_id(group_id(&group))
        .with_generation_id(2)
        .with_member_id(follower.member_id.clone());
    let waiting = second.send(3, &request).unwrap();
    let plan = [(leader.member_id.as_str(), "one half"), (follower.member_id.as_str(), "the other half")];
    assert_eq!(&sync(&mut first, &group, &leader, &plan).assignment[..], b"one half");
    let synced = second.receive::<SyncGroupRequest>(3, waiting).unwrap();
    assert_eq!(&synced.assignment[..], b"the other half");
}

#[test]
fn wrong_joins_are_refused() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let group = fresh("group");
    find_coordinator(&mut client, &group);
    assert_eq!(
        client.call(5, &join_request(&group, "stranger", &["range"])).error_code,
        code::UNKNOWN_MEMBER_ID
    );
    let short = join_request(&group, "", &["range"]).with_session_timeout_ms(10);
    assert_eq!(client.call(5, &short).error_code, code::INVALID_SESSION_TIMEOUT);
    let long = join_request(&group, "", &["range"]).with_session_timeout_ms(10_000_000);
    assert_eq!(client.call(5, &long).error_code, code::INVALID_SESSION_TIMEOUT);
    assert_eq!(client.call(5, &join_request("", "", &["range"])).error_code, 24, "INVALID_GROUP_ID");
    let joined = join_alone(&mut client, &group);
    sync(&mut client, &group, &joined, &[(&joined.member_id, "x")]);
    let other_kind = join_request(&group, "", &["range"]).with_protocol_type(text("connect"));
    assert_eq!(client.call(5, &other_kind).error_code, 23, "INCONSISTENT_GROUP_PROTOCOL");
    assert_eq!(client.call(5, &join_request(&group, "", &["other"])).error_code, 23, "no protocol in common");
}

#[test]
fn a_member_that_falls_silent_is_put_out() {
    let broker = Broker::with(&[("group.min.session.timeout.ms", "500")]);
    let mut client = broker.client();
    find_coordinator(&mut client, "silent");
    let asked = client.call(5, &join_request("silent", "", &["range"]).with_session_timeout_ms(3000));
    let joined =
        client.call(5, &join_request("silent", &asked.member_id, &["range"]).with_session_timeout_ms(3000));
    sync(&mut client, "silent", &joined, &[(&joined.member_id, "x")]);
    assert_eq!(heartbeat(&mut client, "silent", joined.generation_id, &joined.member_id), code::NONE);
    thread::sleep(Duration::from_secs(6));
    assert_eq!(
        heartbeat(&mut client, "silent", joined.generation_id, &joined.member_id),
        code::UNKNOWN_MEMBER_ID
    );
}

#[test]
fn offsets_are_kept_by_group_and_partition() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let (group, topic) = (fresh("group"), fresh("offsets"));
    client.create_topic(&topic, 3);
    client.produce(&topic, 0, &Batch::numbered(0, 10, 10));
    find_coordinator(&mut client, &group);
    assert_eq!(client.committed(&group, &topic, &[0, 1]), [(-1, String::new()), (-1, String::new())]);
    assert_eq!(
        commit(&mut client, &group, (-1, ""), &topic, &[(0, 4), (2, 0)]),
        [code::NONE, code::NONE],
        "a plain consumer"
    );
    let note = || "note".to_string();
    assert_eq!(client.committed(&group, &topic, &[0, 1, 2]), [(4, note()), (-1, String::new()), (0, note())]);
    assert_eq!(commit(&mut client, &group, (-1, ""), &topic, &[(0, 2)]), [code::NONE], "back is allowed");
    assert_eq!(client.committed(&group, &topic, &[0]), [(2, note())]);
    assert_eq!(client.committed(&fresh("other"), &topic, &[0]), [(-1, String::new())]);
    assert_eq!(commit(&mut client, &group, (-1, ""), &topic, &[(9, 1)]), [code::UNKNOWN_TOPIC_OR_PARTITION]);
}

#[test]
fn only_members_of_the_generation_commit_to_an_active_group() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let (group, topic) = (fresh("group"), fresh("offsets"));
    client.create_topic(&topic, 1);
    find_coordinator(&mut client, &group);
    let joined = join_alone(&mut client, &group);
    sync(&mut client, &group, &joined, &[(&joined.member_id, "x")]);
    assert_eq!(commit(&mut client, &group, (1, &joined.member_id), &topic, &[(0, 7)]), [code::NONE]);
    assert_eq!(
        commit(&mut client, &group, (9, &joined.member_id), &topic, &[(0, 8)]),
        [code::ILLEGAL_GENERATION]
    );
    assert_eq!(commit(&mut client, &group, (1, "stranger"), &topic, &[(0, 8)]), [code::UNKNOWN_MEMBER_ID]);
    assert_eq!(commit(&mut client, &group, (-1, ""), &topic, &[(0, 8)]), [code::UNKNOWN_MEMBER_ID]);
    assert_eq!(client.committed(&group, &topic, &[0])[0].0, 7);
}

#[test]
fn committed_offsets_survive_a_stop_and_a_kill() {
    let mut broker = Broker::start();
    let mut client = broker.client();
    client.create_topic("read", 2);
    client.produce("read", 0, &Batch::numbered(0, 10, 10));
    find_coordinator(&mut client, "readers");
    for (round, clean) in [true, false, false].into_iter().enumerate() {
        let offset = round as i64 + 1;
        let mut client = broker.client();
        assert_eq!(
            commit(&mut client, "readers", (-1, ""), "read", &[(0, offset), (1, 0)]),
            [code::NONE, code::NONE]
        );
        if clean {
            broker.stop();
        } else {
            broker.kill();
        }
        broker.start_again(None);
        let mut client = broker.client();
        find_coordinator(&mut client, "readers");
        let kept: Vec<i64> =
            client.committed("readers", "read", &[0, 1]).into_iter().map(|(offset, _)| offset).collect();
        assert_eq!(kept, [offset, 0], "round {round}");
    }
}

/// Commits rising offsets until the broker is gone; the last one acknowledged and the last one sent.
fn commit_until_gone(client: &mut Client, group: &str, start: i64) -> (i64, i64) {
    let mut acknowledged = start;
    loop {
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(acknowledged + 1);
        let topic = OffsetCommitRequestTopic::default()
            .with_name(topic_name("read"))
            .with_partitions(vec![partition.with_committed_metadata(Some(text("note")))]);
        let request = OffsetCommitRequest::default().with_group_id(group_id(group)).with_topics(vec![topic]);
        match client.try_call(7, &request) {
            Ok(answer) => {
                assert_eq!(answer.topics[0].partitions[0].error_code, code::NONE);
                acknowledged += 1;
            }
            Err(_) => return (acknowledged, acknowledged + 1),
        }
    }
}

#[test]
fn offsets_acknowledged_are_neither_lost_nor_set_back_by_kills_under_load() {
    let mut broker = Broker::start();
    broker.client().create_topic("read", 1);
    let groups: Vec<String> = (0..6).map(|number| format!("reader-{number}")).collect();
    let mut known = vec![0; groups.len()];
    for group in &groups {
        find_coordinator(&mut broker.client(), group);
    }
    for round in 0..4_u64 {
        let committers: Vec<_> = groups
            .iter()
            .zip(&known)
            .map(|(group, start)| {
                let (mut client, group, start) = (broker.client(), group.clone(), *start);
                thread::spawn(move || commit_until_gone(&mut client, &group, start))
            })
            .collect();
        thread::sleep(Duration::from_millis(300 + 217 * round));
        broker.kill();
        let bounds: Vec<(i64, i64)> = committers.into_iter().map(|one| one.join().unwrap()).collect();
        broker.start_again(None);
        let mut client = broker.client();
        for ((group, (acknowledged, sent)), before) in groups.iter().zip(&bounds).zip(&mut known) {
            let kept = client.committed(group, "read", &[0])[0].0;
            assert!((*acknowledged..=*sent).contains(&kept), "{group}: {kept}, acknowledged {acknowledged}");
            assert!(*acknowledged > *before, "{group} committed nothing in round {round}");
            *before = kept;
        }
    }
}

#[test]
fn more_groups_than_the_operator_allows_are_refused_and_the_others_go_on() {
    let broker = Broker::with(&[("thalweg.groups.max", "1")]); // on each core
    if !broker.against().is_thalweg() {
        harness::skip::skip_test("thalweg.groups.max", "Kafka has no limit of groups");
        return;
    }
    let mut client = broker.client();
    client.create_topic("read", 1);
    find_coordinator(&mut client, "first");
    let mut codes = Vec::new();
    for number in 0..200 {
        codes.extend(commit(&mut client, &format!("group-{number}"), (-1, ""), "read", &[(0, 1)]));
    }
    let taken = codes.iter().filter(|code| **code == code::NONE).count();
    assert!(taken >= 1 && codes.iter().all(|code| [code::NONE, 15].contains(code)), "{codes:?}");
    assert!(codes[100..].iter().all(|code| *code == 15), "every core has its group: {codes:?}");
    let first = codes.iter().position(|code| *code == code::NONE).unwrap();
    assert_eq!(commit(&mut client, &format!("group-{first}"), (-1, ""), "read", &[(0, 2)]), [code::NONE]);
}

#[test]
fn groups_store_compressed_where_the_operator_wants_it() {
    let mut broker = Broker::with(&[("offsets.topic.compression.codec", "4")]);
    let mut client = broker.client();
    client.create_topic("read", 1);
    find_coordinator(&mut client, "g"); // hash code 103: partition 3
    let joined = join_alone(&mut client, "g");
    sync(&mut client, "g", &joined, &[(&joined.member_id, "share")]);
    assert_eq!(commit(&mut client, "g", (1, &joined.member_id), "read", &[(0, 7)]), [code::NONE]);
    let stored = client.fetch("__consumer_offsets", 3, 0).records.unwrap();
    let codec = |batch: &bytes::Bytes| i16::from_be_bytes(records::field(batch, 21)) & 7;
    assert!(records::batches(&stored).iter().all(|batch| codec(batch) == 4), "zstd");
    broker.kill();
    broker.start_again(None);
    let mut client = broker.client();
    assert_eq!(client.committed("g", "read", &[0])[0].0, 7);
    assert_eq!(heartbeat(&mut client, "g", 1, &joined.member_id), code::NONE);
}

#[test]
fn groups_that_load_a_long_log_say_so_and_then_know_everything() {
    const COMMITS: i64 = 3_000;
    let mut broker = Broker::start();
    let mut client = broker.client();
    client.create_topic("read", 1);
    let group = "long";
    find_coordinator(&mut client, group);
    let joined = join_alone(&mut client, group);
    sync(&mut client, group, &joined, &[(&joined.member_id, "share")]);
    for offset in 1..=COMMITS {
        assert_eq!(commit(&mut client, group, (1, &joined.member_id), "read", &[(0, offset)]), [code::NONE]);
    }
    broker.kill();
    broker.start_again(None);
    let mut client = broker.client();
    assert_eq!(client.committed(group, "read", &[0])[0].0, COMMITS);
    assert_eq!(heartbeat(&mut client, group, 1, &joined.member_id), code::NONE, "nobody has to join again");
    assert_eq!(&sync(&mut client, group, &joined, &[]).assignment[..], b"share");
    let refused = client.try_produce("__consumer_offsets", 0, Batch::of(&["v"]).encode());
    assert_eq!(refused.error_code, code::INVALID_TOPIC_EXCEPTION);
}

#[test]
fn members_live_on_through_a_kill_and_another_number_of_cores() {
    let mut broker = Broker::start();
    let mut client = broker.client();
    let groups: Vec<String> = (0..8).map(|number| format!("service-{number}")).collect();
    let mut members = Vec::new();
    for group in &groups {
        find_coordinator(&mut client, group);
        let joined = join_alone(&mut client, group);
        let share = format!("share of {group}");
        sync(&mut client, group, &joined, &[(&joined.member_id, &share)]);
        members.push((group, joined, share));
    }
    for cores in [None, Some("1"), None] {
        broker.kill();
        broker.start_again(cores);
        let mut client = broker.client();
        for (group, joined, share) in &members {
            find_coordinator(&mut client, group);
            assert_eq!(
                heartbeat(&mut client, group, 1, &joined.member_id),
                code::NONE,
                "{group} on {cores:?}"
            );
            let synced = sync(&mut client, group, joined, &[]);
            assert_eq!((synced.error_code, &synced.assignment[..]), (code::NONE, share.as_bytes()));
        }
    }
}

#[test]
fn offsets_of_a_deleted_topic_go_with_it_even_where_the_name_is_used_again() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let (kept, gone, group) = (fresh("kept"), fresh("gone"), fresh("group"));
    client.create_topic(&kept, 1);
    client.create_topic(&gone, 1);
    find_coordinator(&mut client, &group);
    for topic in [&kept, &gone] {
        assert_eq!(commit(&mut client, &group, (-1, ""), topic, &[(0, 7)]), [code::NONE]);
    }
    assert_eq!(client.delete_topic(&gone), code::NONE);
    let deadline = Instant::now() + Duration::from_secs(30);
    while client.committed(&group, &gone, &[0])[0].0 != -1 {
        assert!(Instant::now() < deadline, "the offset of a deleted topic stays");
        thread::sleep(Duration::from_millis(50));
    }
    client.create_topic(&gone, 1);
    assert_eq!(client.committed(&group, &gone, &[0])[0].0, -1);
    assert_eq!(client.committed(&group, &kept, &[0])[0].0, 7);
}

/// The crash campaign found groups that read on where they had been in the topic before. Offsets are removed behind a
/// deletion, and a kill in between leaves them for a while.
#[test]
fn offsets_of_an_earlier_topic_are_never_told_for_the_one_that_has_its_name_now() {
    let mut broker = Broker::start();
    let mut client = broker.client();
    let (topic, group) = (fresh("again"), fresh("group"));
    for round in 0..4 {
        client.create_topic(&topic, 1);
        find_coordinator(&mut client, &group);
        assert_eq!(client.committed(&group, &topic, &[0])[0].0, -1, "round {round}");
        assert_eq!(commit(&mut client, &group, (-1, ""), &topic, &[(0, 7)]), [code::NONE]);
        assert_eq!(client.committed(&group, &topic, &[0])[0].0, 7);
        assert_eq!(client.delete_topic(&topic), code::NONE);
        if round % 2 == 1 {
            broker.kill();
            broker.start_again(None);
            client = broker.client();
        }
    }
}

#[test]
fn every_version_of_the_group_calls_is_answered() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let group = fresh("group");
    find_coordinator(&mut client, &group);
    for version in 0..=6 {
        let mut request = FindCoordinatorRequest::default().with_key_type(0);
        if version >= 4 {
            request.coordinator_keys = vec![text(&group)];
        } else {
            request.key = text(&group);
        }
        let answer = client.call(version, &request);
        let (code, port) = answer
            .coordinators
            .first()
            .map_or((answer.error_code, answer.port), |one| (one.error_code, one.port));
        assert_eq!((code, format!("127.0.0.1:{port}")), (code::NONE, broker.address()), "version {version}");
    }
    for version in 0..=9 {
        let member = fresh("group");
        let answer = client.call(version, &join_request(&member, "", &["range"]));
        let expected = if version >= 4 { code::MEMBER_ID_REQUIRED } else { code::NONE };
        assert_eq!(answer.error_code, expected, "JoinGroup {version}");
    }
    for version in 0..=4 {
        let request =
            HeartbeatRequest::default().with_group_id(group_id(&group)).with_member_id(text("stranger"));
        assert_eq!(client.call(version, &request).error_code, code::UNKNOWN_MEMBER_ID, "Heartbeat {version}");
    }
    for version in 0..=5 {
        let request =
            SyncGroupRequest::default().with_group_id(group_id(&group)).with_member_id(text("stranger"));
        let protocol = if version >= 5 { Some(text("range")) } else { None };
        let request = request
            .with_protocol_name(protocol.clone())
            .with_protocol_type(protocol.map(|_| text("consumer")));
        assert_eq!(client.call(version, &request).error_code, code::UNKNOWN_MEMBER_ID, "SyncGroup {version}");
    }
}

#[test]
fn the_offsets_topic_is_internal_and_holds_fifty_partitions() {
    let broker = Broker::shared();
    let mut client = broker.client();
    find_coordinator(&mut client, &fresh("group"));
    let found = client.metadata("__consumer_offsets");
    assert_eq!((found.error_code, found.is_internal, found.partitions.len()), (code::NONE, true, 50));
    let refused = client.try_produce("__consumer_offsets", 0, Batch::of(&["v"]).encode());
    assert_eq!(refused.error_code, code::INVALID_TOPIC_EXCEPTION);
}

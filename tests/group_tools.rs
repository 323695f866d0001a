//! Kafka's tools for groups, of the release that is replaced (3.5.1) and of the newest one (4.3.1): list, describe, reset, delete.

use bytes::Bytes;
use harness::records::Batch;
use harness::tool_shell::{Said, ToolShell};
use harness::verbs::{code, text, topic_name};
use harness::{Against, Broker, Client};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    FindCoordinatorRequest, GroupId, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest,
    OffsetFetchRequest, SyncGroupRequest,
};
use std::time::{Duration, Instant};

const TOPIC: &str = "events";
/// Headings and remarks of `kafka-consumer-groups`.
const HEADINGS: [&str; 3] = ["GROUP", "Consumer", "TOPIC"];

fn group_id(name: &str) -> GroupId {
    GroupId(text(name))
}

/// Waits for the coordinator of a group.
fn find(client: &mut Client, group: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]);
    while client.call(4, &request).coordinators[0].error_code != code::NONE
        || stored_answer(client, group).is_none()
    {
        assert!(Instant::now() < deadline, "no coordinator of {group}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn commit(client: &mut Client, group: &str, member: (i32, &str), topic: &str, offsets: &[(i32, i64)]) {
    let partition = |&(index, offset): &(i32, i64)| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("")))
    };
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(offsets.iter().map(partition).collect());
    let request = OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id_or_member_epoch(member.0)
        .with_member_id(text(member.1))
        .with_topics(vec![topic]);
    let answer = client.call(7, &request);
    assert!(answer.topics[0].partitions.iter().all(|part| part.error_code == code::NONE), "{answer:?}");
}

fn stored_answer(client: &mut Client, group: &str) -> Option<Vec<(String, i32, i64)>> {
    let group = OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_topics(None);
    let answer = client.call(8, &OffsetFetchRequest::default().with_groups(vec![group])).groups.remove(0);
    if answer.error_code != code::NONE {
        return None;
    }
    let each = answer.topics.iter().flat_map(|topic| {
        topic
            .partitions
            .iter()
            .map(|part| (topic.name.0.to_string(), part.partition_index, part.committed_offset))
    });
    let mut stored: Vec<_> = each.collect();
    stored.sort();
    Some(stored)
}

/// Offsets of a group by topic and partition.
fn stored(client: &mut Client, group: &str) -> Vec<(String, i32, i64)> {
    stored_answer(client, group).expect("the coordinator is there")
}

fn on(topic: &str, offsets: &[(i32, i64)]) -> Vec<(String, i32, i64)> {
    offsets.iter().map(|&(partition, offset)| (topic.to_string(), partition, offset)).collect()
}

/// A consumer that reads partitions 0 and 1 of the topic, alone in a stable group, with half an hour until it must be heard again.
fn join(client: &mut Client, group: &str, instance: Option<&str>) -> String {
    let name = [&[0, TOPIC.len() as u8], TOPIC.as_bytes()].concat();
    let subscription = [&[0, 0, 0, 0, 0, 1][..], &name, &[0xff; 4]].concat();
    let share = [&[0, 0, 0, 0, 0, 1][..], &name, &[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1], &[0xff; 4]].concat();
    let protocol =
        JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(subscription.into());
    let request = JoinGroupRequest::default()
        .with_group_id(group_id(group))
        .with_group_instance_id(instance.map(text))
        .with_session_timeout_ms(1_800_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    let mut joined = client.call(5, &request);
    if joined.error_code == code::MEMBER_ID_REQUIRED {
        joined = client.call(5, &request.with_member_id(joined.member_id));
    }
    assert_eq!((joined.error_code, joined.generation_id), (code::NONE, 1));
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(joined.member_id.clone())
        .with_assignment(Bytes::from(share));
    let request = SyncGroupRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id(1)
        .with_member_id(joined.member_id.clone())
        .with_group_instance_id(instance.map(text))
        .with_assignments(vec![assignment]);
    assert_eq!(client.call(3, &request).error_code, code::NONE);
    joined.member_id.to_string()
}

/// Ten records in partition 0, five in 1, none in 2; group `idle` has read 4 and 5 of them and has no members, group `busy` has one.
fn scene(broker: &Broker) -> (Client, String) {
    let mut client = broker.client();
    client.create_topic(TOPIC, 3);
    client.produce(TOPIC, 0, &Batch::numbered(0, 10, 10));
    client.produce(TOPIC, 1, &Batch::numbered(0, 5, 10));
    for group in ["idle", "busy"] {
        find(&mut client, group);
    }
    commit(&mut client, "idle", (-1, ""), TOPIC, &[(0, 4), (1, 5)]);
    let member = join(&mut client, "busy", Some("instance-7"));
    commit(&mut client, "busy", (1, &member), TOPIC, &[(0, 2)]);
    (client, member)
}

fn groups_are_listed_and_described(release: &str) {
    let broker = Broker::start();
    let Some(mut tools) = ToolShell::start(release, &broker.address()) else { return };
    assert_eq!(tools.run("consumer-groups", &["--list"]).lines, [""; 0]);
    let (_client, member) = scene(&broker);
    let mut groups = |arguments: &[&str]| tools.run("consumer-groups", arguments);
    assert_eq!(groups(&["--list"]).rows(), [["busy"], ["idle"]]);
    let listed = groups(&["--list", "--state"]);
    assert_eq!(listed.rows_without(&HEADINGS), [["busy", "Stable"], ["idle", "Empty"]]);
    let listed = groups(&["--list", "--state", "Stable,PreparingRebalance"]);
    assert_eq!(listed.rows_without(&HEADINGS), [["busy", "Stable"]]);

    let described = groups(&["--describe", "--group", "idle"]);
    assert!(described.tells("Consumer group 'idle' has no active members."), "{described:?}");
    let idle = [
        ["idle", TOPIC, "0", "4", "10", "6", "-", "-", "-"],
        ["idle", TOPIC, "1", "5", "5", "0", "-", "-", "-"],
    ];
    assert_eq!(described.rows_without(&HEADINGS), idle);
    let described = groups(&["--describe", "--group", "busy", "--offsets"]);
    let host = "/127.0.0.1";
    let busy = [
        ["busy", TOPIC, "0", "2", "10", "8", &member, host, "thalweg-tests"],
        ["busy", TOPIC, "1", "-", "5", "-", &member, host, "thalweg-tests"],
    ];
    assert_eq!(described.rows_without(&HEADINGS), busy);
    let described = groups(&["--describe", "--group", "busy", "--state"]);
    let state = described.rows_without(&HEADINGS);
    let state: Vec<&str> = state[0].iter().copied().filter(|word| *word != "-").collect();
    assert_eq!(state, ["busy", &broker.address(), "(1)", "range", "Stable", "1"]);
    let described = groups(&["--describe", "--group", "busy", "--members"]);
    assert_eq!(
        described.rows_without(&HEADINGS),
        [["busy", &member, "instance-7", host, "thalweg-tests", "2"]]
    );
    let described = groups(&["--describe", "--group", "busy", "--members", "--verbose"]);
    assert!(
        described.tells(&format!("{TOPIC}(0,1)")) || described.tells(&format!("{TOPIC}:0,1")),
        "{described:?}"
    );

    let all = groups(&["--describe", "--all-groups"]);
    assert_eq!(all.rows_without(&HEADINGS), [busy, idle].concat());
    let all = groups(&["--describe", "--all-groups", "--state"]);
    assert!(all.tells("Stable") && all.tells("Empty"), "{all:?}");
    let all = groups(&["--describe", "--all-groups", "--members"]);
    assert_eq!(all.rows_without(&HEADINGS).len(), 1, "{all:?}");
    let absent = tools.try_run("consumer-groups", &["--describe", "--group", "absent"]);
    assert!(absent.tells("does not exist") || absent.tells("Group absent not found"), "{absent:?}");
    let knows_types = *broker.against() != Against::Kafka("3.5.1".to_string());
    if release != "3.5.1" && knows_types {
        newer_tools_know_types(&mut tools);
    }
}

/// What came after 3.5: types of groups, and a tool for all of them.
fn newer_tools_know_types(tools: &mut ToolShell) {
    let rows = |said: &Said| -> Vec<String> {
        said.rows_without(&HEADINGS).iter().map(|row| row.join(" ")).collect()
    };
    let listed = tools.run("consumer-groups", &["--list", "--type"]);
    assert_eq!(rows(&listed), ["busy Classic", "idle Classic"]);
    let listed = tools.run("consumer-groups", &["--list", "--type", "classic", "--state", "Empty"]);
    assert_eq!(rows(&listed), ["idle Classic Empty"]);
    let listed = tools.run("consumer-groups", &["--list", "--type", "consumer"]);
    assert_eq!(rows(&listed), [""; 0]);
    assert_eq!(rows(&tools.run("groups", &["--list"])), ["busy Classic consumer", "idle Classic"]);
    assert_eq!(
        rows(&tools.run("groups", &["--list", "--consumer"])),
        ["busy Classic consumer", "idle Classic"]
    );
    let listed = tools.run("groups", &["--list", "--group-type", "classic", "--protocol", "consumer"]);
    assert_eq!(rows(&listed), ["busy Classic consumer"]);
    for none in [
        &["--list", "--group-type", "consumer"][..],
        &["--list", "--share"],
        &["--list", "--protocol", "connect"],
    ] {
        assert_eq!(rows(&tools.run("groups", none)), [""; 0], "{none:?}");
    }
}

fn offsets_are_reset_in_every_form(release: &str) {
    let broker = Broker::start();
    let Some(mut tools) = ToolShell::start(release, &broker.address()) else { return };
    let (mut client, _) = scene(&broker);
    client.create_topic("other", 1);
    client.produce("other", 0, &Batch::numbered(0, 3, 10));
    commit(&mut client, "idle", (-1, ""), "other", &[(0, 1)]);
    let old = Batch::of(&["old"]).at(1_000_000_000_000);
    client.create_topic("dated", 1);
    client.produce("dated", 0, &old);
    client.produce("dated", 0, &Batch::of(&["new"]));

    let reset = |tools: &mut ToolShell, how: &[&str]| -> Vec<String> {
        let arguments = [&["--reset-offsets", "--group", "idle"], how].concat();
        let said = tools.run("consumer-groups", &arguments);
        said.rows_without(&HEADINGS).iter().map(|row| row.join(" ")).collect()
    };
    let topic = ["--topic", TOPIC];
    let planned = reset(&mut tools, &[&topic[..], &["--to-earliest", "--dry-run"]].concat());
    assert_eq!(planned, ["idle events 0 0", "idle events 1 0", "idle events 2 0"]);
    let before = [on(TOPIC, &[(0, 4), (1, 5)]), on("other", &[(0, 1)])].concat();
    assert_eq!(stored(&mut client, "idle"), before, "only planned");
    let mut execute = |what: &[&str], expected: &[(i32, i64)]| {
        let _ = reset(&mut tools, &[what, &["--execute"]].concat());
        let now: Vec<_> =
            stored(&mut client, "idle").into_iter().filter(|(topic, ..)| topic == TOPIC).collect();
        assert_eq!(now, on(TOPIC, expected), "{what:?}");
    };
    execute(&["--topic", TOPIC, "--to-earliest"], &[(0, 0), (1, 0), (2, 0)]);
    execute(&["--topic", TOPIC, "--to-latest"], &[(0, 10), (1, 5), (2, 0)]);
    execute(&["--topic", "events:0,1", "--to-offset", "3"], &[(0, 3), (1, 3), (2, 0)]);
    execute(&["--topic", "events:0", "--shift-by", "4"], &[(0, 7), (1, 3), (2, 0)]);
    execute(&["--topic", "events:0,1", "--shift-by", "-5"], &[(0, 2), (1, 0), (2, 0)]);
    execute(&["--topic", "events:1", "--shift-by", "99"], &[(0, 2), (1, 5), (2, 0)]);
    execute(&["--topic", TOPIC, "--to-current"], &[(0, 2), (1, 5), (2, 0)]);
    execute(&["--topic", TOPIC, "--to-datetime", "2001-01-01T00:00:00.000"], &[(0, 0), (1, 0), (2, 0)]);
    execute(&["--topic", TOPIC, "--by-duration", "PT0S"], &[(0, 10), (1, 5), (2, 0)]);
    let dated =
        reset(&mut tools, &["--topic", "dated", "--to-datetime", "2010-01-01T00:00:00.000", "--dry-run"]);
    assert_eq!(dated, ["idle dated 0 1"], "the first record at or after that time");
    let dated = reset(&mut tools, &["--topic", "dated", "--by-duration", "P18000D", "--dry-run"]);
    assert_eq!(dated, ["idle dated 0 0"]);
    let all = reset(&mut tools, &["--all-topics", "--to-earliest", "--execute"]);
    assert_eq!(all, ["idle events 0 0", "idle events 1 0", "idle events 2 0", "idle other 0 0"]);
    exported_offsets_are_imported(&mut tools, &mut client);

    let busy = ["--reset-offsets", "--group", "busy", "--topic", TOPIC, "--to-earliest", "--execute"];
    let refused = tools.try_run("consumer-groups", &busy);
    assert!(refused.tells("Assignments can only be reset if the group 'busy' is inactive"), "{refused:?}");
    assert_eq!(stored(&mut client, "busy"), on(TOPIC, &[(0, 2)]));
    let made = ["--reset-offsets", "--group", "made", "--topic", TOPIC, "--to-latest", "--execute"];
    let _ = tools.run("consumer-groups", &made);
    assert_eq!(
        stored(&mut client, "made"),
        on(TOPIC, &[(0, 10), (1, 5), (2, 0)]),
        "a group that was not there"
    );
}

/// A plan is a file of lines `topic,partition,offset`, of one group or of several with their names in front.
fn exported_offsets_are_imported(tools: &mut ToolShell, client: &mut Client) {
    let scratch = harness::scratch::Scratch::new("plan");
    let plan = scratch.path().join("plan.csv");
    let path = plan.display().to_string();
    let exported = tools.run(
        "consumer-groups",
        &["--reset-offsets", "--group", "idle", "--topic", TOPIC, "--to-latest", "--export", "--dry-run"],
    );
    let lines: Vec<String> = exported.lines.iter().filter(|line| line.starts_with(TOPIC)).cloned().collect();
    let mut sorted = lines.clone();
    sorted.sort();
    assert_eq!(sorted, ["events,0,10", "events,1,5", "events,2,0"]);
    std::fs::write(&plan, lines.join("\n") + "\n").unwrap();
    let _ = tools
        .run("consumer-groups", &["--reset-offsets", "--group", "idle", "--from-file", &path, "--execute"]);
    let expected = [on(TOPIC, &[(0, 10), (1, 5), (2, 0)]), on("other", &[(0, 0)])].concat();
    assert_eq!(stored(client, "idle"), expected);
    std::fs::write(&plan, "idle,events,0,6\nsecond,events,1,2\n").unwrap();
    let both = ["--reset-offsets", "--group", "idle", "--group", "second", "--from-file", &path, "--execute"];
    let _ = tools.run("consumer-groups", &both);
    assert_eq!(stored(client, "idle")[0], (TOPIC.to_string(), 0, 6));
    assert_eq!(stored(client, "second"), on(TOPIC, &[(1, 2)]));
}

fn groups_and_offsets_are_deleted(release: &str) {
    let broker = Broker::start();
    let Some(mut tools) = ToolShell::start(release, &broker.address()) else { return };
    let (mut client, member) = scene(&broker);
    client.create_topic("unread", 1);
    commit(&mut client, "busy", (1, &member), "unread", &[(0, 1)]);
    let deleted =
        tools.run("consumer-groups", &["--delete-offsets", "--group", "idle", "--topic", "events:0"]);
    assert!(deleted.tells("Successful"), "{deleted:?}");
    assert_eq!(stored(&mut client, "idle"), on(TOPIC, &[(1, 5)]));
    let refused = tools.try_run(
        "consumer-groups",
        &["--delete-offsets", "--group", "busy", "--topic", TOPIC, "--topic", "unread"],
    );
    assert!(refused.tells("Error") && refused.tells("actively subscribed"), "{refused:?}");
    assert_eq!(stored(&mut client, "busy"), on(TOPIC, &[(0, 2)]), "what is read stays, what is not goes");

    let refused = tools
        .try_run("consumer-groups", &["--delete", "--group", "busy", "--group", "absent", "--group", "idle"]);
    assert!(
        refused.tells("The group is not empty") && refused.tells("The group id does not exist"),
        "{refused:?}"
    );
    assert!(refused.tells("deleted successfully: 'idle'"), "{refused:?}");
    assert_eq!(tools.run("consumer-groups", &["--list"]).rows(), [["busy"]]);
    assert_eq!(stored(&mut client, "idle"), []);
    let member = kafka_protocol::messages::leave_group_request::MemberIdentity::default()
        .with_member_id(text(&member));
    let leave = LeaveGroupRequest::default().with_group_id(group_id("busy")).with_members(vec![member]);
    assert_eq!(client.call(3, &leave).members[0].error_code, code::NONE);
    commit(&mut client, "another", (-1, ""), TOPIC, &[(0, 1)]);
    let all = tools.run("consumer-groups", &["--delete", "--all-groups"]);
    assert!(all.tells("'busy'") && all.tells("'another'"), "{all:?}");
    assert_eq!(tools.run("consumer-groups", &["--list"]).lines, [""; 0]);
}

/// Which partition of fifty holds a group: `String.hashCode` of its id.
fn partition_of(group: &str) -> i32 {
    let hash = group.bytes().fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
    (hash & i32::MAX) % 50
}

/// (The formatter of offsets is shown in `kafka_tools`.)
fn group_metadata_is_read_by_its_formatter(release: &str) {
    let broker = Broker::start();
    let Some(mut tools) = ToolShell::start(release, &broker.address()) else { return };
    let (mut client, member) = scene(&broker);
    let partition = partition_of("busy");
    let end = client.list_offset("__consumer_offsets", partition, -1).offset.to_string();
    let formatter = if release == "3.5.1" {
        "kafka.coordinator.group.GroupMetadataManager$GroupMetadataMessageFormatter"
    } else {
        "org.apache.kafka.tools.consumer.GroupMetadataMessageFormatter"
    };
    let partition = partition.to_string();
    let place = ["--topic", "__consumer_offsets", "--partition", &partition, "--offset", "earliest"];
    let how = ["--max-messages", &end, "--formatter", formatter];
    let said = tools.run("console-consumer", &[&place[..], &how].concat());
    let group = said.lines.iter().rfind(|line| line.contains("busy")).unwrap_or_else(|| panic!("{said:?}"));
    let parts = if release == "3.5.1" {
        ["busy::GroupMetadata(groupId=busy, generation=1", "currentState=Stable", &member]
    } else {
        ["\"generation\":1,\"protocol\":\"range\"", "\"groupInstanceId\":\"instance-7\"", &member]
    };
    for part in parts {
        assert!(group.contains(part), "{part} in {group}");
    }
}

macro_rules! for_both_releases {
    ($($scenario:ident),* $(,)?) => {
        mod release_3_5_1 { $(#[test] fn $scenario() { super::$scenario("3.5.1"); })* }
        mod release_4_3_1 { $(#[test] fn $scenario() { super::$scenario("4.3.1"); })* }
    };
}

for_both_releases!(
    groups_are_listed_and_described,
    offsets_are_reset_in_every_form,
    groups_and_offsets_are_deleted,
    group_metadata_is_read_by_its_formatter,
);

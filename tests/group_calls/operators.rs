//! What operators and their tools ask: describe, list, delete.

use super::requests::{Joining, Place, empty_id, group_id, leave, ready_group};
use harness::Broker;
use harness::conversation::Conversation;
use harness::verbs::{text, topic_name};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest, OffsetDeleteRequest,
};

fn describe(version: i16, groups: &[&str]) -> DescribeGroupsRequest {
    let request =
        DescribeGroupsRequest::default().with_groups(groups.iter().map(|group| group_id(group)).collect());
    request.with_include_authorized_operations(version >= 3)
}

fn delete(groups: &[&str]) -> DeleteGroupsRequest {
    DeleteGroupsRequest::default().with_groups_names(groups.iter().map(|group| group_id(group)).collect())
}

fn delete_offsets(group: &str, topics: &[(&str, &[i32])]) -> OffsetDeleteRequest {
    let topic = |&(name, partitions): &(&str, &[i32])| {
        let partition = |index: &i32| OffsetDeleteRequestPartition::default().with_partition_index(*index);
        OffsetDeleteRequestTopic::default()
            .with_name(topic_name(name))
            .with_partitions(partitions.iter().map(partition).collect())
    };
    OffsetDeleteRequest::default()
        .with_group_id(group_id(group))
        .with_topics(topics.iter().map(topic).collect())
}

/// Lists what passes the filters and is named in this test.
fn list(talk: &mut Conversation<'_>, version: i16, states: &[&str], types: &[&str], of_test: &[&str]) {
    let mut request = ListGroupsRequest::default();
    if version >= 4 {
        request.states_filter = states.iter().map(|name| text(name)).collect();
    }
    if version >= 5 {
        request.types_filter = types.iter().map(|name| text(name)).collect();
    }
    let mut answer = talk.client("operator").call(version, &request);
    answer.groups.retain(|group| of_test.contains(&group.group_id.0.as_str()));
    answer.groups.sort_by(|one, other| one.group_id.0.cmp(&other.group_id.0));
    talk.note(&format!("ListGroups {version} {states:?} {types:?}"), &answer);
}

/// A group that has offsets only, one whose members have left, one that assigns, one that rebalances, one that is stable, and one of
/// another type. Their members stay connected to the conversation.
fn one_in_each_state(talk: &mut Conversation<'_>) -> [String; 6] {
    let simple = ready_group(talk, "b-simple");
    talk.ask("s", 7, "no member", &Place::of(&simple, -1, "").commit(7, "t-operators", 5));
    let empty = ready_group(talk, "c-empty");
    let joined = talk.ask("e", 3, "", &Joining::new().request(3, &empty)).unwrap();
    talk.name(&joined.member_id, "e");
    talk.ask("e", 3, "", &Place::of(&empty, 1, &joined.member_id).sync(3, &[]));
    talk.ask("e", 7, "", &Place::of(&empty, 1, &joined.member_id).commit(7, "t-operators", 6));
    talk.ask("e", 3, "", &leave(3, &empty, &[(&joined.member_id, None)]));
    let completing = ready_group(talk, "d-completing");
    let joined = talk.ask("c", 3, "", &Joining::new().request(3, &completing)).unwrap();
    talk.name(&joined.member_id, "c");
    let preparing = ready_group(talk, "e-preparing");
    let joined = talk.ask("p", 3, "", &Joining::new().request(3, &preparing)).unwrap();
    let p = joined.member_id.to_string();
    talk.name(&p, "p");
    talk.ask("p", 3, "", &Place::of(&preparing, 1, &p).sync(3, &[(&p, "share")]));
    talk.send("q", 3, "", &Joining::new().request(3, &preparing));
    while talk.client("p").call(3, &Place::of(&preparing, 1, &p).heartbeat(3)).error_code == 0 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let stable = ready_group(talk, "f-stable");
    let joined = talk.ask("m", 5, "", &Joining::instance("i1").request(5, &stable)).unwrap();
    let m = joined.member_id.to_string();
    talk.name(&m, "m");
    talk.ask("m", 3, "", &Place::of(&stable, 1, &m).sync(3, &[(&m, "share")]));
    let worker = Joining { kind: "connect", ..Joining::new() };
    let connect = ready_group(talk, "g-connect");
    let joined = talk.ask("w", 3, "", &worker.request(3, &connect)).unwrap();
    talk.name(&joined.member_id, "w");
    talk.ask("w", 3, "", &Place::of(&connect, 1, &joined.member_id).sync(3, &[(&joined.member_id, "tasks")]));
    [simple, empty, completing, preparing, stable, connect]
}

#[test]
fn groups_are_described_listed_and_deleted_in_every_version_and_state() {
    let broker = Broker::shared();
    let mut talk = Conversation::of(&broker);
    let _empty_id = empty_id(&broker);
    broker.client().create_topic("t-operators", 2);
    let absent = ready_group(&mut talk, "absent");
    let groups = one_in_each_state(&mut talk);
    let [simple, empty, completing, preparing, stable, connect] = groups.each_ref().map(String::as_str);
    let known = [simple, empty, completing, stable, connect];
    for version in 0..=6 {
        talk.heading(&format!("DescribeGroups {version}"));
        for group in [&absent, simple, empty, completing, stable, connect, ""] {
            talk.ask("operator", version, group_name(group, &absent), &describe(version, &[group]));
        }
        let mut answer = talk.client("operator").call(version, &describe(version, &[preparing]));
        let members = answer.groups[0].members.len(); // the second one's id is not known here
        answer.groups[0].members.clear();
        talk.note(&format!("DescribeGroups {version} preparing, {members} members"), &answer);
        let mut several =
            talk.client("operator").call(version, &describe(version, &[stable, &absent, simple]));
        several.groups.sort_by(|one, other| one.group_id.0.cmp(&other.group_id.0));
        talk.note(&format!("DescribeGroups {version} three"), &several);
    }
    talk.ask("operator", 5, "operations not asked for", &describe(2, &[stable]));
    talk.heading("ListGroups");
    let all: Vec<&str> = known.iter().copied().chain([preparing, &*absent]).collect();
    for version in 0..=5 {
        list(&mut talk, version, &[], &[], &all);
    }
    for states in
        [&["Stable"][..], &["stable", "EMPTY"], &["PreparingRebalance"], &["Dead"], &["no such"], &[""]]
    {
        list(&mut talk, 4, states, &[], &all);
        list(&mut talk, 5, states, &[], &all);
    }
    for types in [&["classic"][..], &["Classic"], &["consumer"], &["share", "classic"], &["no such"], &[""]] {
        list(&mut talk, 5, &[], types, &all);
        list(&mut talk, 5, &["Stable", "Empty"], types, &all);
    }
    for version in 0..=2 {
        talk.heading(&format!("DeleteGroups {version}"));
        for group in [&absent, completing, preparing, stable, connect] {
            talk.ask("operator", version, "", &delete(&[group]));
        }
        let mut several = talk.client("operator").call(version, &delete(&[stable, &absent, stable, ""]));
        several.results.sort_by(|one, other| one.group_id.0.cmp(&other.group_id.0));
        talk.note(&format!("DeleteGroups {version} several"), &several);
    }
    talk.ask("operator", 2, "", &delete(&[simple]));
    talk.ask("operator", 2, "again", &delete(&[simple]));
    talk.ask("operator", 2, "", &delete(&[empty]));
    list(&mut talk, 5, &[], &[], &all);
    talk.ask("e", 6, "deleted", &describe(6, &[empty]));
    talk.matches("groups/operators");
}

fn group_name<'a>(group: &str, absent: &str) -> &'a str {
    if group == absent { "absent" } else { "" }
}

#[test]
fn offsets_that_members_read_are_not_deleted() {
    let broker = Broker::shared();
    let mut talk = Conversation::of(&broker);
    let (read, unread) = ("t-read", "t-unread");
    broker.client().create_topic(read, 2);
    broker.client().create_topic(unread, 2);
    let absent = ready_group(&mut talk, "absent");
    let group = ready_group(&mut talk, "g");
    let reader =
        Joining { protocols: vec![("range", super::requests::subscription(&[read]))], ..Joining::new() };
    let joined = talk.ask("m", 3, "", &reader.request(3, &group)).unwrap();
    let m = joined.member_id.to_string();
    talk.name(&m, "m");
    talk.ask("m", 3, "", &Place::of(&group, 1, &m).sync(3, &[(&m, "share")]));
    for topic in [read, unread] {
        talk.ask("m", 7, "", &Place::of(&group, 1, &m).commit(7, topic, 5));
    }
    talk.heading("OffsetDelete");
    let cases: [(&str, &str, &[(&str, &[i32])]); 10] = [
        ("no such group", &absent, &[(read, &[0])]),
        ("empty group id", "", &[(read, &[0])]),
        ("no topics", &group, &[]),
        ("no topics, no such group", &absent, &[]),
        ("no such topic", &group, &[("t-absent", &[0, 1])]),
        ("no such topic, no such group", &absent, &[("t-absent", &[0])]),
        ("no such partition", &group, &[(unread, &[0, 7])]),
        ("read by a member", &group, &[(read, &[0, 1])]),
        ("some of both", &group, &[(read, &[0]), (unread, &[0, 1, 9]), ("t-absent", &[0])]),
        ("nothing is stored any more", &group, &[(unread, &[0, 1])]),
    ];
    for (what, group, topics) in cases {
        talk.ask("operator", 0, what, &delete_offsets(group, topics));
    }
    talk.ask("m", 8, "what is left", &super::requests::offset_fetch(8, &group, None));
    talk.heading("nobody reads");
    talk.ask("m", 3, "", &leave(3, &group, &[(&m, None)]));
    talk.ask("operator", 0, "", &delete_offsets(&group, &[(read, &[0, 1])]));
    talk.ask("m", 8, "what is left", &super::requests::offset_fetch(8, &group, None));
    talk.heading("members of another type");
    let connect = ready_group(&mut talk, "connect");
    let worker = Joining { kind: "connect", ..Joining::new() };
    let joined = talk.ask("w", 3, "", &worker.request(3, &connect)).unwrap();
    talk.name(&joined.member_id, "w");
    talk.ask("operator", 0, "", &delete_offsets(&connect, &[(read, &[0])]));
    talk.matches("groups/offset_delete");
}

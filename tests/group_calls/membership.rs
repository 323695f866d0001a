//! Joining, syncing, beating and leaving.

use super::requests::{Joining, Place, group_id, leave, offset_fetch, ready_group, subscription};
use bytes::Bytes;
use harness::Broker;
use harness::conversation::Conversation;
use harness::verbs::text;
use kafka_protocol::messages::{
    FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, SyncGroupRequest,
};

/// A member alone in a stable group; its id is written as `<who>`.
fn join_alone(talk: &mut Conversation<'_>, who: &'static str, version: i16, group: &str) -> String {
    let asked = talk.ask(who, version, "new", &Joining::new().request(version, group)).unwrap();
    if version < 4 {
        talk.name(&asked.member_id, who);
        return asked.member_id.to_string();
    }
    let id = asked.member_id.to_string();
    talk.name(&id, who);
    let joined =
        talk.ask(who, version, "with its id", &Joining::member(&id).request(version, group)).unwrap();
    joined.member_id.to_string()
}

#[test]
fn a_members_life_is_answered_in_every_version() {
    let broker = Broker::shared();
    let mut talk = Conversation::of(&broker);
    broker.client().create_topic("t-life", 1);
    for version in 0..=9_i16 {
        talk.heading(&format!("JoinGroup {version}"));
        let group = ready_group(&mut talk, "g");
        let id = join_alone(&mut talk, "a", version, &group);
        assert!(id.starts_with("thalweg-tests-") && id.len() == "thalweg-tests-".len() + 36, "{id}");
        let place = Place::of(&group, 1, &id);
        let (sync, beat, leaving) = (version.min(5), version.min(4), version.min(5));
        talk.ask("a", sync, "before the leader's", &Place::of(&group, 0, &id).sync(sync, &[]));
        talk.ask("a", sync, "the leader", &place.sync(sync, &[(&id, "share"), ("stranger", "lost")]));
        talk.ask("a", beat, "", &place.heartbeat(beat));
        talk.ask("a", version.clamp(2, 9), "", &place.commit(version.clamp(2, 9), "t-life", 3));
        talk.ask("a", version, "the leader again", &Joining::member(&id).request(version, &group));
        talk.ask("a", beat, "while it assigns", &Place::of(&group, 2, &id).heartbeat(beat));
        talk.ask("a", 7, "while it assigns", &Place::of(&group, 2, &id).commit(7, "t-life", 4));
        talk.ask("a", sync, "nothing for itself", &Place::of(&group, 2, &id).sync(sync, &[]));
        talk.ask("a", leaving, "", &leave(leaving, &group, &[(&id, None)]));
        talk.ask("a", beat, "when it has left", &Place::of(&group, 2, &id).heartbeat(beat));
    }
    talk.matches("groups/life");
}

#[test]
fn what_is_wrong_with_a_membership_is_told_in_every_version() {
    let broker = Broker::shared();
    let mut talk = Conversation::of(&broker);
    let group = ready_group(&mut talk, "g");
    let absent = ready_group(&mut talk, "absent");
    talk.heading("a stable group of one");
    let id = join_alone(&mut talk, "a", 3, &group);
    talk.ask("a", 3, "", &Place::of(&group, 1, &id).sync(3, &[(&id, "share")]));
    for version in [0, 1, 2, 4, 5, 7, 9] {
        join_wrongly(&mut talk, version, [&group, &absent]);
    }
    for version in 0..=5 {
        talk.heading(&format!("SyncGroup, Heartbeat, LeaveGroup {version}"));
        sync_wrongly(&mut talk, version, [&group, &absent], &id);
        leave_wrongly(&mut talk, version, [&group, &absent]);
    }
    talk.heading("the group is as it was");
    talk.ask("a", 3, "", &Place::of(&group, 1, &id).heartbeat(3));
    talk.matches("groups/wrong_membership");
}

fn join_wrongly(talk: &mut Conversation<'_>, version: i16, [group, absent]: [&str; 2]) {
    talk.heading(&format!("JoinGroup {version}"));
    let new = Joining::new();
    let wrong = [
        ("empty group id", "", new.clone()),
        ("a stranger's id", group, Joining::member("stranger")),
        ("a stranger's id, no such group", absent, Joining::member("stranger")),
        ("too short a session", group, Joining { session_ms: 10, ..new.clone() }),
        ("too long a session", group, Joining { session_ms: 10_000_000, ..new.clone() }),
        ("no protocol type", absent, Joining { kind: "", ..new.clone() }),
        ("no protocols", absent, Joining { protocols: vec![], ..new.clone() }),
        ("another type", group, Joining { kind: "connect", ..new.clone() }),
        (
            "nothing in common",
            group,
            Joining { protocols: vec![("other", subscription(&["t"]))], ..new.clone() },
        ),
        ("an unknown instance with an id", group, Joining { instance: Some("i"), ..Joining::member("x") }),
    ];
    for (what, group, joining) in wrong {
        if let Some(answer) = talk.ask("b", version, what, &joining.request(version, group)) {
            assert_ne!(answer.error_code, 0, "{what}");
        }
    }
}

fn sync_wrongly(talk: &mut Conversation<'_>, version: i16, [group, absent]: [&str; 2], id: &str) {
    let places = [
        ("empty group id", Place::of("", 1, id)),
        ("no such group", Place::of(absent, 1, id)),
        ("a stranger", Place::of(group, 1, "stranger")),
        ("no member id", Place::of(group, 1, "")),
        ("an old generation", Place::of(group, 0, id)),
        ("a later generation", Place::of(group, 2, id)),
        ("no generation", Place::of(group, -1, id)),
        ("an unknown instance", Place { instance: Some("i"), ..Place::of(group, 1, id) }),
    ];
    for (what, place) in places {
        talk.ask("b", version, what, &place.sync(version, &[]));
        talk.ask("b", version.min(4), what, &place.heartbeat(version.min(4)));
    }
    let mut other_protocol = Place::of(group, 1, id).sync(version, &[]);
    if version >= 5 {
        other_protocol.protocol_name = Some(text("sticky"));
        talk.ask("b", version, "another protocol", &other_protocol);
        other_protocol.protocol_type = Some(text("connect"));
        other_protocol.protocol_name = Some(text("range"));
        talk.ask("b", version, "another type", &other_protocol);
        other_protocol.protocol_type = None;
        talk.ask("b", version, "no type", &other_protocol);
        other_protocol.protocol_type = Some(text("consumer"));
        other_protocol.protocol_name = None;
        talk.ask("b", version, "no protocol", &other_protocol);
    }
}

fn leave_wrongly(talk: &mut Conversation<'_>, version: i16, [group, absent]: [&str; 2]) {
    let leaving: [(&str, &str, &[(&str, Option<&str>)]); 6] = [
        ("empty group id", "", &[("x", None)]),
        ("no such group", absent, &[("x", None)]),
        ("a stranger", group, &[("stranger", None)]),
        ("no id", group, &[("", None)]),
        ("an unknown instance", group, &[("", Some("i"))]),
        ("an unknown instance and a stranger", group, &[("stranger", Some("i"))]),
    ];
    for (what, group, members) in leaving {
        talk.ask("b", version, what, &leave(version, group, members));
    }
    if version >= 3 {
        talk.ask("b", version, "nobody", &leave(version, group, &[]));
        talk.ask(
            "b",
            version,
            "several",
            &leave(version, group, &[("x", None), ("", Some("i")), ("y", None)]),
        );
    }
}

#[test]
fn a_rebalance_of_two_is_answered_step_by_step() {
    let broker = Broker::shared();
    let mut talk = Conversation::of(&broker);
    broker.client().create_topic("t-rebalance", 1);
    let group = ready_group(&mut talk, "g");
    let both = |first: &'static str, second: &'static str| Joining {
        protocols: vec![(first, subscription(&["t"])), (second, subscription(&["t", "u"]))],
        ..Joining::new()
    };
    let a = join_alone(&mut talk, "a", 5, &group);
    talk.ask("a", 3, "", &Place::of(&group, 1, &a).sync(3, &[(&a, "all")]));
    talk.heading("b comes");
    let asked = talk.ask("b", 5, "new", &both("range", "sticky").request(5, &group)).unwrap();
    let b = asked.member_id.to_string();
    talk.name(&b, "b");
    talk.ask("a", 3, "an id was given only", &Place::of(&group, 1, &a).heartbeat(3));
    let joining_b = Joining { member: b.clone(), ..both("range", "sticky") };
    talk.send("b", 5, "with its id", &joining_b.request(5, &group));
    while talk.client("a").call(3, &Place::of(&group, 1, &a).heartbeat(3)).error_code == 0 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    talk.ask("a", 3, "b waits", &Place::of(&group, 1, &a).heartbeat(3));
    talk.ask("a", 3, "b waits", &Place::of(&group, 1, &a).sync(3, &[(&a, "all")]));
    talk.ask("a", 7, "b waits", &Place::of(&group, 1, &a).commit(7, "t-rebalance", 4));
    let joining_a = Joining { member: a.clone(), ..both("range", "sticky") };
    let joined = talk.ask("a", 5, "comes again", &joining_a.request(5, &group)).unwrap();
    assert_eq!(joined.generation_id, 2);
    let _ = talk.hear::<JoinGroupRequest>("b");
    talk.heading("they sync");
    talk.send("b", 3, "", &Place::of(&group, 2, &b).sync(3, &[(&b, "from one who does not lead")]));
    talk.ask("a", 3, "", &Place::of(&group, 2, &a).sync(3, &[(&a, "a's"), (&b, "b's")]));
    let _ = talk.hear::<SyncGroupRequest>("b");
    talk.ask("b", 3, "again", &Place::of(&group, 2, &b).sync(3, &[]));
    talk.ask("b", 5, "joins as before", &joining_b.request(5, &group));
    talk.heading("b subscribes to something else");
    let changed = Joining { protocols: vec![("range", subscription(&["other"]))], ..joining_b.clone() };
    talk.send("b", 5, "otherwise", &changed.request(5, &group));
    while talk.client("a").call(3, &Place::of(&group, 2, &a).heartbeat(3)).error_code == 0 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    talk.ask("a", 5, "comes again", &joining_a.request(5, &group));
    let _ = talk.hear::<JoinGroupRequest>("b");
    talk.heading("b leaves before the leader assigned");
    talk.ask("c", 3, "b", &leave(3, &group, &[(&b, None)]));
    talk.ask("b", 3, "is out", &Place::of(&group, 3, &b).sync(3, &[]));
    talk.ask("a", 3, "to the old generation", &Place::of(&group, 3, &a).sync(3, &[(&a, "all")]));
    talk.ask("a", 5, "alone again", &joining_a.request(5, &group));
    talk.ask("a", 3, "", &Place::of(&group, 4, &a).sync(3, &[(&a, "all")]));
    talk.heading("another type of group");
    let connect = ready_group(&mut talk, "connect");
    let worker = Joining {
        kind: "connect",
        protocols: vec![
            ("sessioned", Bytes::from_static(b"any bytes")),
            ("default", Bytes::from_static(b"x")),
        ],
        ..Joining::new()
    };
    let joined = talk.ask("w", 3, "worker", &worker.request(3, &connect)).unwrap();
    let w = joined.member_id.to_string();
    talk.name(&w, "w");
    talk.ask("w", 3, "", &Place::of(&connect, 1, &w).sync(3, &[(&w, "tasks")]));
    talk.ask("w", 8, "", &offset_fetch(8, &connect, None));
    talk.matches("groups/rebalance");
}

#[test]
fn coordinators_are_found_in_every_version() {
    let broker = Broker::shared();
    let mut talk = Conversation::of(&broker);
    let group = ready_group(&mut talk, "g");
    for version in 0..=6_i16 {
        for (what, kind) in [("a group", 0), ("no such kind", 9)] {
            if version == 0 && kind != 0 {
                continue;
            }
            let mut request = FindCoordinatorRequest::default();
            if version >= 1 {
                request.key_type = kind;
            }
            if version >= 4 {
                request.coordinator_keys = vec![text(&group), text("other"), text("")];
            } else {
                request.key = text(&group);
            }
            talk.ask("a", version, what, &request);
        }
    }
    let none = FindCoordinatorRequest::default();
    talk.ask("a", 4, "no keys", &none);
    talk.ask("a", 3, "empty key", &none);
    let request = HeartbeatRequest::default().with_group_id(group_id("never seen"));
    talk.ask("a", 0, "no such group", &request);
    talk.matches("groups/coordinators");
}

//! What time and limits do to groups: delays, timeouts, sizes, expiry. Nothing here measures time, everything waits for what must come.

use super::requests::{Joining, Place, leave, offset_fetch, ready_group};
use harness::Broker;
use harness::conversation::Conversation;
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponseTopics;
use kafka_protocol::messages::{JoinGroupRequest, SyncGroupRequest};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(40);

/// Beats until the answer is another one than `code`; that one is written down.
fn beat_while(talk: &mut Conversation<'_>, who: &'static str, what: &str, place: Place<'_>, code: i16) {
    let deadline = Instant::now() + PATIENCE;
    while talk.client(who).call(3, &place.heartbeat(3)).error_code == code {
        assert!(Instant::now() < deadline, "{who} is still answered {code}");
        thread::sleep(Duration::from_millis(50));
    }
    talk.ask(who, 3, what, &place.heartbeat(3));
}

#[test]
fn an_empty_group_waits_for_more_members_and_takes_them_into_one_generation() {
    let broker = Broker::with(&[("group.initial.rebalance.delay.ms", "2000")]);
    let mut talk = Conversation::of(&broker);
    let group = ready_group(&mut talk, "g");
    let everyone = ["a", "b", "c"];
    for who in everyone {
        talk.send(who, 3, "", &Joining::new().request(3, &group));
    }
    let mut leaders = 0;
    for who in everyone {
        // Which of them leads is open: the answer is not written down.
        let answer = talk.client(who).receive::<JoinGroupRequest>(3, 1).unwrap();
        assert_eq!((answer.error_code, answer.generation_id), (0, 1), "one generation for all");
        leaders += usize::from(answer.members.len() == everyone.len());
    }
    assert_eq!(leaders, 1);
}

#[test]
fn a_full_group_refuses_and_lets_in_again_when_somebody_left() {
    let broker = Broker::with(&[("group.max.size", "2")]);
    let mut talk = Conversation::of(&broker);
    let group = ready_group(&mut talk, "g");
    let joined = talk.ask("a", 3, "", &Joining::new().request(3, &group)).unwrap();
    let a = joined.member_id.to_string();
    talk.name(&a, "a");
    talk.ask("a", 3, "", &Place::of(&group, 1, &a).sync(3, &[(&a, "all")]));
    talk.send("b", 3, "", &Joining::new().request(3, &group));
    beat_while(&mut talk, "a", "b has come", Place::of(&group, 1, &a), 0);
    talk.ask("a", 3, "again", &Joining::member(&a).request(3, &group));
    let b = talk.hear::<JoinGroupRequest>("b").member_id.to_string();
    talk.name(&b, "b");
    for version in [0, 3, 4, 5, 9] {
        talk.ask("c", version, "a third one", &Joining::new().request(version, &group));
    }
    talk.ask("c", 5, "a third one, static", &Joining::instance("i").request(5, &group));
    talk.ask("a", 3, "", &Place::of(&group, 2, &a).sync(3, &[(&a, "half"), (&b, "half")]));
    for version in [0, 4, 9] {
        talk.ask("c", version, "a third one", &Joining::new().request(version, &group));
    }
    talk.ask("b", 3, "", &leave(3, &group, &[(&b, None)]));
    let asked = talk.ask("c", 4, "in its place", &Joining::new().request(4, &group)).unwrap();
    talk.name(&asked.member_id, "c");
    talk.matches("groups/full");
}

#[test]
fn who_does_not_come_to_a_rebalance_in_time_is_out() {
    let broker = Broker::with(&[("group.min.session.timeout.ms", "1000")]);
    let mut talk = Conversation::of(&broker);
    let group = ready_group(&mut talk, "g");
    let soon = Joining { rebalance_ms: 2_000, session_ms: 60_000, ..Joining::new() };
    let joined = talk.ask("a", 3, "", &soon.request(3, &group)).unwrap();
    let a = joined.member_id.to_string();
    talk.name(&a, "a");
    talk.ask("a", 3, "", &Place::of(&group, 1, &a).sync(3, &[(&a, "all")]));
    talk.send("b", 3, "waits until a's time is up", &soon.request(3, &group));
    let joined = talk.hear::<JoinGroupRequest>("b");
    let b = joined.member_id.to_string();
    talk.name(&b, "b");
    talk.ask("a", 3, "too late", &Place::of(&group, 1, &a).heartbeat(3));
    talk.ask("a", 3, "too late", &Joining::member(&a).request(3, &group));

    talk.heading("a leader that never brings the assignment");
    talk.send("c", 3, "", &soon.request(3, &group));
    beat_while(&mut talk, "b", "c has come", Place::of(&group, 2, &b), 0);
    talk.ask("b", 3, "again", &Joining { member: b.clone(), ..soon.clone() }.request(3, &group));
    let c = talk.hear::<JoinGroupRequest>("c").member_id.to_string();
    talk.name(&c, "c");
    talk.send("c", 3, "waits for the leader", &Place::of(&group, 3, &c).sync(3, &[]));
    let _ = talk.hear::<SyncGroupRequest>("c");
    talk.ask("b", 3, "too late", &Place::of(&group, 3, &b).sync(3, &[(&b, "half"), (&c, "half")]));
    talk.ask("c", 3, "again", &Joining { member: c.clone(), ..soon.clone() }.request(3, &group));

    talk.heading("a static member that falls silent keeps its place until its session ends");
    let group = ready_group(&mut talk, "h");
    let brief = Joining { session_ms: 3_000, rebalance_ms: 1_000, ..Joining::instance("i1") };
    let joined = talk.ask("d", 5, "i1", &brief.request(5, &group)).unwrap();
    let d = joined.member_id.to_string();
    talk.name(&d, "d");
    let place = Place { instance: Some("i1"), ..Place::of(&group, 1, &d) };
    talk.ask("d", 3, "", &place.sync(3, &[(&d, "all")]));
    thread::sleep(Duration::from_secs(6));
    talk.ask("d", 3, "after its session", &place.heartbeat(3));
    talk.matches("groups/timeouts");
}

#[test]
fn offsets_expire_when_nobody_is_there_to_read_on() {
    let broker = Broker::with(&[("offsets.retention.check.interval.ms", "300")]);
    let mut talk = Conversation::of(&broker);
    broker.client().create_topic("t-expiry", 1);
    let simple = ready_group(&mut talk, "simple");
    let busy = ready_group(&mut talk, "busy");
    let joined = talk.ask("a", 3, "", &Joining::new().request(3, &busy)).unwrap();
    let a = joined.member_id.to_string();
    talk.name(&a, "a");
    talk.ask("a", 3, "", &Place::of(&busy, 1, &a).sync(3, &[(&a, "all")]));
    let topic = [("t-expiry", &[0][..])];
    // Versions 2 to 4 of a commit say how long it is kept; the broker's own rule counts in minutes.
    for (group, generation, member) in [(&simple, -1, ""), (&busy, 1, &*a)] {
        let request = Place::of(group, generation, member).commit(3, "t-expiry", 7);
        talk.ask("a", 3, "kept for a moment", &request.with_retention_time_ms(1));
    }
    // A topic that the members do read: kept, whatever the commit said.
    broker.client().create_topic("t", 1);
    let read = Place::of(&busy, 1, &a).commit(3, "t", 8).with_retention_time_ms(1);
    talk.ask("a", 3, "kept for a moment", &read);
    let deadline = Instant::now() + PATIENCE;
    for group in [&simple, &busy] {
        let is_there = |topic: &OffsetFetchResponseTopics| topic.name.0.as_str() == "t-expiry";
        while talk.client("b").call(8, &offset_fetch(8, group, None)).groups[0].topics.iter().any(is_there) {
            assert!(Instant::now() < deadline, "the offset does not expire");
            thread::sleep(Duration::from_millis(50));
        }
    }
    talk.ask("b", 8, "of a group that never had members", &offset_fetch(8, &simple, Some(&topic)));
    talk.ask("b", 8, "of topics that its members do not read", &offset_fetch(8, &busy, Some(&topic)));
    talk.ask("b", 8, "of topics that its members read", &offset_fetch(8, &busy, Some(&[("t", &[0])])));
    talk.matches("groups/expiry");
}

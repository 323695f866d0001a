//! Members with a `group.instance.id`: they come back, take their place again, and fence who they were.

use super::requests::{Joining, Place, leave, ready_group, subscription};
use harness::Broker;
use harness::conversation::Conversation;
use kafka_protocol::messages::JoinGroupRequest;

const TOPIC: &str = "t-static";

/// A topic to commit for, whichever test comes first.
fn with_topic(broker: &Broker) {
    let mut client = broker.client();
    let _ = client.try_create_topic(TOPIC, 1, &[]);
    client.wait_for_topic(TOPIC, 1);
}

/// Two static members, `i1` leading and `i2`, in a stable generation 2; returns their ids.
fn stable_pair(talk: &mut Conversation<'_>, version: i16, group: &str) -> (String, String) {
    let first = talk.ask("one", version, "i1", &Joining::instance("i1").request(version, group)).unwrap();
    let one = first.member_id.to_string();
    assert!(one.starts_with("i1-"), "a static member's id names its instance: {one}");
    talk.name(&one, "one");
    talk.ask("one", 5, "i1", &Place::of(group, 1, &one).sync(5, &[(&one, "all")]));
    talk.send("two", version, "i2", &Joining::instance("i2").request(version, group));
    while talk.client("one").call(3, &Place::of(group, 1, &one).heartbeat(3)).error_code == 0 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let again = Joining { instance: Some("i1"), ..Joining::member(&one) };
    talk.client("one").call(version, &again.request(version, group));
    let two = talk.hear::<JoinGroupRequest>("two").member_id.to_string();
    talk.name(&two, "two");
    let shares = [(one.as_str(), "first half"), (two.as_str(), "second half")];
    talk.ask("one", 5, "i1", &Place::of(group, 2, &one).sync(5, &shares));
    talk.ask("two", 5, "i2", &Place::of(group, 2, &two).sync(5, &[]));
    (one, two)
}

fn back(
    talk: &mut Conversation<'_>,
    who: &'static str,
    version: i16,
    group: &str,
    instance: &'static str,
) -> String {
    let request = Joining::instance(instance).request(version, group);
    let answer = talk.client(who).call(version, &request);
    let id = answer.member_id.to_string();
    talk.name(&id, &format!("{who} anew"));
    talk.note(&format!("JoinGroup {version} {who}, comes back as {instance}"), &answer);
    id
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_its_old_id() {
    let broker = Broker::shared();
    with_topic(&broker);
    let mut talk = Conversation::of(&broker);
    for version in [5, 6, 7, 8, 9_i16] {
        talk.heading(&format!("JoinGroup {version}: a follower comes back"));
        let group = ready_group(&mut talk, "g");
        let (one, two) = stable_pair(&mut talk, version, &group);
        let anew = back(&mut talk, "two", version, &group, "i2");
        let old = Place { instance: Some("i2"), ..Place::of(&group, 2, &two) };
        talk.ask("old", 3, "its old id", &old.heartbeat(3));
        talk.ask("old", 3, "its old id without the instance", &Place::of(&group, 2, &two).heartbeat(3));
        talk.ask("old", 5, "its old id", &old.sync(5, &[]));
        talk.ask("old", 7, "its old id", &old.commit(7, TOPIC, 1));
        let rejoin = Joining { instance: Some("i2"), ..Joining::member(&two) };
        talk.ask("old", version, "its old id", &rejoin.request(version, &group));
        talk.ask("old", 3, "its old id", &leave(3, &group, &[(&two, Some("i2"))]));
        let place = Place { instance: Some("i2"), ..Place::of(&group, 2, &anew) };
        talk.ask("two", 5, "its new id", &place.sync(5, &[]));
        talk.ask("two", 3, "its new id", &place.heartbeat(3));
        talk.ask("one", 3, "undisturbed", &Place::of(&group, 2, &one).heartbeat(3));

        talk.heading(&format!("JoinGroup {version}: the leader comes back"));
        let anew = back(&mut talk, "one", version, &group, "i1");
        let place = Place { instance: Some("i1"), ..Place::of(&group, 2, &anew) };
        talk.ask("one", 5, "its new id", &place.sync(5, &[]));
        talk.ask("one", 3, "its new id", &place.heartbeat(3));
        talk.heading("an operator takes both out by their instances");
        talk.ask(
            "operator",
            3,
            "",
            &leave(3, &group, &[("", Some("i1")), ("", Some("i2")), ("", Some("i3"))]),
        );
        talk.ask("one", 3, "is out", &place.heartbeat(3));
    }
    talk.matches("groups/static");
}

#[test]
fn a_static_member_that_comes_back_otherwise_starts_a_rebalance() {
    let broker = Broker::shared();
    with_topic(&broker);
    let mut talk = Conversation::of(&broker);
    let group = ready_group(&mut talk, "g");
    let (one, _) = stable_pair(&mut talk, 9, &group);
    let changed =
        Joining { protocols: vec![("range", subscription(&["t", "more"]))], ..Joining::instance("i2") };
    talk.send("two", 9, "i2 with another subscription", &changed.request(9, &group));
    // Kafka answers at once where the same protocol is chosen: then nobody else learns of it.
    let answer = talk.client("one").call(3, &Place::of(&group, 2, &one).heartbeat(3));
    talk.note("the leader's heartbeat", &answer);
    if answer.error_code == 27 {
        let again = Joining { instance: Some("i1"), ..Joining::member(&one) };
        talk.ask("one", 9, "comes again", &again.request(9, &group));
    }
    let joined = talk.hear::<JoinGroupRequest>("two");
    assert_eq!(joined.error_code, 0);
    talk.name(&joined.member_id, "two anew");

    talk.heading("another protocol is chosen");
    let group = ready_group(&mut talk, "h");
    let (one, _) = stable_pair(&mut talk, 9, &group);
    let changed = Joining { protocols: vec![("sticky", subscription(&["t"]))], ..Joining::instance("i2") };
    talk.ask("two", 9, "i2 with nothing in common", &changed.request(9, &group));
    talk.ask("one", 3, "", &Place::of(&group, 2, &one).heartbeat(3));
    talk.heading("an instance and an id that do not belong together");
    let stolen = Joining { instance: Some("i2"), ..Joining::member(&one) };
    talk.ask("thief", 9, "i2 with the id of i1", &stolen.request(9, &group));
    let place = Place { instance: Some("i2"), ..Place::of(&group, 2, &one) };
    talk.ask("thief", 3, "i2 with the id of i1", &place.heartbeat(3));
    talk.ask("thief", 5, "i2 with the id of i1", &place.sync(5, &[]));
    talk.ask("thief", 8, "i2 with the id of i1", &place.commit(8, TOPIC, 1));
    talk.ask("thief", 4, "i2 with the id of i1", &leave(4, &group, &[(&one, Some("i2"))]));
    talk.matches("groups/static_changed");
}

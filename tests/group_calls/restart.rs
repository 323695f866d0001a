//! What a killed broker knows of groups when it is back.

use super::requests::{Joining, Place, group_id, offset_fetch, ready_group};
use harness::Broker;
use harness::conversation::Conversation;
use harness::verbs::topic_name;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{DeleteGroupsRequest, DescribeGroupsRequest, OffsetDeleteRequest};

#[test]
fn static_members_are_known_after_a_kill_and_still_fence() {
    let mut broker = Broker::start();
    let group = "static";
    let mut before = Conversation::of(&broker);
    let _ = ready_group(&mut before, "any");
    let joined = before.ask("a", 5, "i1", &Joining::instance("i1").request(5, group)).unwrap();
    let old = joined.member_id.to_string();
    assert_eq!(joined.error_code, 0);
    let synced = before.ask("a", 3, "", &Place::of(group, 1, &old).sync(3, &[(&old, "share")])).unwrap();
    assert_eq!(synced.error_code, 0);
    drop(before);
    broker.kill();
    broker.start_again(None);
    let mut talk = Conversation::of(&broker);
    let _ = ready_group(&mut talk, "any");
    let place = |member| Place { instance: Some("i1"), ..Place::of(group, 1, member) };
    let answer = loop {
        // While the group's log is read the code is 14.
        let answer = talk.client("a").call(3, &place(&old).sync(3, &[]));
        if answer.error_code != 14 {
            break answer;
        }
    };
    assert_eq!(
        (answer.error_code, &answer.assignment[..]),
        (0, &b"share"[..]),
        "it works on as if nothing was"
    );
    let back = talk.client("b").call(5, &Joining::instance("i1").request(5, group));
    assert_eq!((back.error_code, back.generation_id), (0, 1), "no rebalance for one that comes back");
    assert_eq!(talk.client("a").call(3, &place(&old).heartbeat(3)).error_code, 82, "its old id is fenced");
    let answer = talk.client("b").call(3, &place(&back.member_id).sync(3, &[]));
    assert_eq!((answer.error_code, &answer.assignment[..]), (0, &b"share"[..]));
}

#[test]
fn what_operators_deleted_stays_deleted_after_a_kill() {
    let mut broker = Broker::start();
    broker.client().create_topic("t", 2);
    let (kept, gone, part) = {
        let mut talk = Conversation::of(&broker);
        let groups = ["kept", "gone", "part"].map(|name| ready_group(&mut talk, name));
        for group in &groups {
            for topic_offset in [3, 4] {
                let commit = Place::of(group, -1, "").commit(7, "t", topic_offset);
                assert_eq!(talk.client("a").call(7, &commit).topics[0].partitions[0].error_code, 0);
            }
        }
        let [kept, gone, part] = groups;
        let delete = DeleteGroupsRequest::default().with_groups_names(vec![group_id(&gone)]);
        assert_eq!(talk.client("a").call(2, &delete).results[0].error_code, 0);
        let topic = OffsetDeleteRequestTopic::default()
            .with_name(topic_name("t"))
            .with_partitions(vec![OffsetDeleteRequestPartition::default()]);
        let delete = OffsetDeleteRequest::default().with_group_id(group_id(&part)).with_topics(vec![topic]);
        assert_eq!(talk.client("a").call(0, &delete).topics[0].partitions[0].error_code, 0);
        (kept, gone, part)
    };
    broker.kill();
    broker.start_again(None);
    let mut client = broker.client();
    for (group, offset) in [(&kept, Some(4)), (&gone, None), (&part, None)] {
        let answer = loop {
            let answer = client.call(7, &offset_fetch(7, group, None));
            if answer.error_code == 0 {
                break answer;
            }
            assert!([14, 15, 16].contains(&answer.error_code), "{}", answer.error_code);
        };
        let stored = answer.topics.first().map(|topic| topic.partitions[0].committed_offset);
        assert_eq!(stored, offset, "{group}");
    }
    let described = DescribeGroupsRequest::default().with_groups(vec![group_id(&gone)]);
    assert_eq!(client.call(6, &described).groups[0].error_code, 69, "GROUP_ID_NOT_FOUND");
}

//! Many members, many groups, and the limits that hold them.

use super::bench::Bench;
use crate::group::{Answer, GroupError, GroupSettings, State};
use bytes::Bytes;
use std::time::Duration;

fn member(number: usize) -> String {
    format!("m{number:04}")
}

#[test]
fn a_thousand_members_that_join_at_once_are_one_generation_and_each_gets_its_share() {
    let mut bench = Bench::new(GroupSettings::default());
    let count = 1000;
    for number in 0..count {
        bench.join(&member(number)); // learns its id
        bench.join(&member(number));
    }
    bench.wait(Duration::from_secs(7));
    assert_eq!(bench.waiting.len(), 0);
    assert!(bench.clients.values().all(|client| client.generation == 1));
    let shares: Vec<(String, Bytes)> = bench
        .clients
        .iter()
        .map(|(name, client)| (client.member_id.clone(), Bytes::from(name.clone())))
        .collect();
    for number in 1..count {
        bench.sync(&member(number), Vec::new());
    }
    bench.answered.clear();
    bench.sync(&member(0), shares);
    assert_eq!(bench.answered.len(), count);
    for (asked, answer) in &bench.answered {
        let Answer::Sync(Ok(sync)) = answer else { panic!("{} got no share", asked.who) };
        assert_eq!(sync.assignment, asked.who.as_bytes());
    }
    assert_eq!(bench.partition.group("g").unwrap().state(), State::Stable);
    bench.restart();
    assert_eq!(bench.partition.group("g").unwrap().members().count(), count);
}

#[test]
fn a_shard_that_holds_all_the_bytes_it_may_takes_no_more_until_some_go() {
    let mut bench = Bench::new(GroupSettings { bytes_max: 4_000, ..GroupSettings::default() });
    for partition in 0..60 {
        bench.commit("tool", "t", partition, 1);
    }
    let refused = |bench: &Bench| {
        bench
            .answered
            .iter()
            .filter(|(_, answer)| *answer == Answer::Commit(Err(GroupError::NotAvailable)))
            .count()
    };
    assert!(bench.budget.bytes() < 4_200, "one commit may pass the limit, not two");
    let refused_count = refused(&bench);
    assert!(refused_count > 0 && refused_count < 60);
    bench.join("a");
    assert!(matches!(&bench.answered.last().unwrap().1, Answer::Join(join) if join.error.is_some()));
    bench.wait(Duration::from_hours(24 * 8));
    assert_eq!((bench.budget.bytes(), bench.budget.groups()), (0, 0), "everything expired");
    bench.commit("tool", "t", 0, 1);
    assert_eq!(refused(&bench), refused_count);
}

#[test]
fn offsets_of_topics_a_consumer_no_longer_reads_expire_while_it_lives() {
    let mut bench = Bench::new(GroupSettings { initial_rebalance_delay_ms: 0, ..GroupSettings::default() });
    let subscription = Bytes::from_static(&[0, 0, 0, 0, 0, 1, 0, 1, b't']); // topic t
    let client = bench.client("a");
    client.protocols[0].metadata = subscription;
    (client.version, client.session_ms) = (3, 1_800_000);
    bench.join("a");
    bench.wait(Duration::ZERO);
    bench.sync("a", Vec::new());
    bench.commit("a", "t", 0, 1);
    bench.commit("a", "gone", 0, 1);
    for _ in 0..8 * 24 * 4 {
        bench.wait(Duration::from_mins(15));
        bench.heartbeat("a");
    }
    bench.answered.clear();
    bench.fetch("a");
    let Answer::Fetch(Ok(topics)) = &bench.answered[0].1 else { panic!("offsets can be read") };
    assert_eq!(topics.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>(), ["t"]);
}

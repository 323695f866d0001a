//! Verbs about where a consumer stands: commits, pauses, seeks, topics that come later.

use super::cells::{Shown, Trial, numbered};
use harness::records::now_ms;
use harness::verbs::fresh;
use std::thread;
use std::time::Duration;

/// How long a paused consumer is watched.
const WATCHED: Duration = Duration::from_secs(2);

pub(super) fn commit_and_resume(trial: &Trial) -> Shown {
    let topic = trial.topic(1);
    trial.write(&topic, 0, 0..300);
    let group = fresh("group");
    let half = [("topics", topic.as_str()), ("group", &group), ("max", "150"), ("commit", "auto")];
    for offsets in [0..150, 150..300] {
        let read: Vec<i64> =
            trial.consume(&half).ended().records.iter().map(|record| record.offset).collect();
        assert!(read.iter().copied().eq(offsets.clone()), "{offsets:?} were due, {read:?} were read");
        assert_eq!(
            trial.raw().committed(&group, &topic, &[0])[0].0,
            offsets.end,
            "committed when it stopped"
        );
    }
    let group = fresh("group");
    let by_hand = [("topics", topic.as_str()), ("group", &group), ("commit", "none")];
    let mut consumer = trial.consume(&by_hand);
    consumer.until("300 records", |seen| seen.records.len() == 300);
    consumer.tell_until("commit", "committed");
    assert_eq!(consumer.seen.committed.get(&format!("{topic}:0")), Some(&300));
    assert_eq!(trial.raw().committed(&group, &topic, &[0])[0].0, 300);
    trial.write(&topic, 0, 300..350);
    consumer.until("50 more", |seen| seen.records.len() == 350);
    consumer.end();
    assert_eq!(
        trial.raw().committed(&group, &topic, &[0])[0].0,
        300,
        "nothing is committed that was not asked for"
    );
    let mut again = trial.consume(&by_hand);
    again.until("50 records", |seen| seen.records.len() >= 50);
    let read: Vec<i64> = again.end().records.iter().map(|record| record.offset).collect();
    assert!(read.iter().copied().eq(300..350), "from what was committed: {read:?}");
    Shown { records: 300 + 350 + 50, without: Vec::new() }
}

pub(super) fn pause_and_seek(trial: &Trial) -> Shown {
    let topic = trial.topic(2);
    let write = |numbers: std::ops::Range<usize>| {
        trial.write(&topic, 0, numbers.clone().step_by(2));
        trial.write(&topic, 1, numbers.skip(1).step_by(2));
    };
    write(0..40);
    let assign = format!("{topic}:0,{topic}:1");
    let group = fresh("group");
    let keys = match trial.client.lacks.get("group") {
        Some(_) => [("assign", assign.as_str()), ("commit", "none"), ("from", "earliest")],
        None => [("topics", topic.as_str()), ("commit", "none"), ("group", &group)],
    };
    let mut consumer = trial.consume(&keys);
    consumer.until("40 records", |seen| seen.records.len() == 40);
    consumer.tell_until("pause", "paused");
    write(40..80);
    thread::sleep(WATCHED);
    assert_eq!(consumer.look().records.len(), 40, "a paused consumer reads nothing");
    consumer.tell_until("resume", "resumed");
    consumer.until("all 80 records", |seen| seen.records.len() == 80);
    let (first, second) = (format!("{topic}:0"), format!("{topic}:1"));
    for (at, offset) in [(&first, 5), (&second, 17), (&first, 39)] {
        let before = consumer.look().records.len();
        consumer.tell_until(&format!("seek {at} {offset}"), "sought");
        let due: Vec<i64> = (offset..40).collect();
        consumer.until("the end again", |seen| seen.records.len() >= before + due.len());
        let read = consumer.seen.records[before..].iter();
        let read: Vec<i64> = read.filter(|record| record.at == *at).map(|record| record.offset).collect();
        assert_eq!(read, due, "from {offset} after a seek in {at}");
    }
    let records = consumer.end().records.len();
    assert_eq!(records, 80 + 35 + 23 + 1, "and nothing else");
    Shown { records, without: Vec::new() }
}

pub(super) fn seek_by_time(trial: &Trial) -> Shown {
    let topic = trial.topic(2);
    let begun = now_ms() - 1_000_000;
    let write = |partition: i32, first: usize, at: i64| {
        trial.raw().produce(&topic, partition, &numbered(first..first + 5).at(at)); // one millisecond apart
    };
    for batch in 0..4 {
        write(0, batch * 5, begun + batch as i64 * 10_000);
    }
    write(1, 0, begun);
    let assign = format!("{topic}:0,{topic}:1");
    let group = fresh("group");
    let keys = match trial.client.lacks.get("group") {
        Some(_) => [("assign", assign.as_str()), ("commit", "none"), ("from", "earliest")],
        None => [("topics", topic.as_str()), ("commit", "none"), ("group", &group)],
    };
    let mut consumer = trial.consume(&keys);
    consumer.until("25 records", |seen| seen.records.len() == 25);
    let oldest = consumer.seen.records.iter().map(|record| record.timestamp).min();
    assert_eq!(oldest, Some(begun), "timestamps are the producer's");
    // The third record of the third batch; nothing of the other partition is as young, so that one goes to its end.
    consumer.tell_until(&format!("seek_time {}", begun + 20_002), "sought");
    consumer.until("8 records again", |seen| seen.records.len() >= 33);
    write(1, 5, begun + 90_000);
    consumer.until("5 new records", |seen| seen.records.len() >= 38);
    let read: Vec<_> =
        consumer.end().records[25..].iter().map(|record| (record.at.clone(), record.offset)).collect();
    let due = (12..20).map(|offset| (format!("{topic}:0"), offset));
    let due: Vec<_> = due.chain((5..10).map(|offset| (format!("{topic}:1"), offset))).collect();
    assert_eq!(read, due, "from the first record that is as young");
    Shown { records: 38, without: Vec::new() }
}

pub(super) fn a_topic_that_comes_later(trial: &Trial) -> Shown {
    let prefix = fresh("wild");
    let create = |name: &str| {
        let topic = format!("{prefix}.{name}");
        trial.raw().create_topic(&topic, 2);
        topic
    };
    let write = |topic: &str| {
        trial.write(topic, 0, 0..20);
        trial.write(topic, 1, 20..40);
    };
    let (early, other) = (create("a"), create("other"));
    write(&early);
    write(&other);
    let (pattern, group) = (format!("^{}\\.[a-z]$", prefix.replace('.', "\\.")), fresh("group"));
    let mut consumer = trial.consume(&[("pattern", &pattern), ("group", &group), ("commit", "each")]);
    consumer.until("the topic that is there", |seen| seen.records.len() >= 40);
    let late = create("b");
    write(&late);
    consumer.until("the topic that came later", |seen| seen.records.len() >= 80);
    let mut read: Vec<_> =
        consumer.end().records.iter().map(|record| (record.at.clone(), record.offset)).collect();
    read.sort();
    let due = [&early, &late].into_iter().flat_map(|topic| {
        (0..2).flat_map(move |partition| (0..20).map(move |offset| (format!("{topic}:{partition}"), offset)))
    });
    assert_eq!(read, due.collect::<Vec<_>>(), "both topics, each record once, and nothing of a third");
    Shown { records: 80, without: Vec::new() }
}

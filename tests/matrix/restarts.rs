//! The broker stops or is killed under a producer and a consumer of each client. Nothing acknowledged is lost, order is kept, and both go
//! on by themselves.

use super::cells::{Shown, Trial};
use harness::Broker;
use harness::driver::Taken;
use harness::verbs::fresh;
use std::collections::{BTreeMap, BTreeSet};

const COUNT: usize = 600;
/// Slow enough that the broker goes away in the middle.
const PER_S: &str = "100";
const PARTITIONS: i32 = 2;

pub(super) fn stop_and_start(broker: &mut Broker) {
    broker.stop();
    broker.start_again(None);
}

pub(super) fn kill_and_start(broker: &mut Broker) {
    broker.kill();
    broker.start_again(None);
}

/// Produces and consumes; `interrupted` returns when the broker is back.
pub(super) fn keeps_going(trial: &Trial, interrupted: &dyn Fn()) -> Shown {
    let (topic, group, count) = (trial.topic(PARTITIONS), fresh("group"), COUNT.to_string());
    let idempotent = !trial.client.lacks.contains_key("idempotent");
    let assign = format!("{topic}:0,{topic}:1");
    let keys = match trial.client.lacks.get("group") {
        Some(_) => [("assign", assign.as_str()), ("commit", "none")],
        None => [("topics", topic.as_str()), ("group", group.as_str())],
    };
    let mut consumer = trial.consume(&keys);
    consumer.until("its partitions", |seen| seen.owned.len() == PARTITIONS as usize);
    let mut producer = trial.client.start(
        "produce",
        &[
            ("bootstrap", &trial.address),
            ("topic", &topic),
            ("count", &count),
            ("rate_per_s", PER_S),
            ("idempotent", if idempotent { "true" } else { "false" }),
        ],
    );
    producer.until("the first acknowledgements", |seen| seen.acked > 0);
    consumer.until("the first records", |seen| !seen.records.is_empty());
    assert_eq!(producer.look().count("produced"), 0, "it is still under way");
    interrupted();
    let seen = producer.ended();
    let gives_up = trial.client.differs("broker restarted");
    assert_eq!(seen.acked + seen.failed, COUNT as u64, "{:?}", seen.errors);
    assert!(seen.failed == 0 || gives_up.is_some(), "{} were given up: {:?}", seen.failed, seen.errors);
    let acked = seen.acked as usize;
    let stored = stored(trial, &topic, acked, idempotent);
    consumer.until("every record", |seen| {
        seen.records.iter().map(|record| (&record.at, record.offset)).collect::<BTreeSet<_>>().len()
            >= stored.len()
    });
    // Commits go on too. A client that is told to stop while it still looks for its coordinator is another story.
    if !trial.client.lacks.contains_key("group") {
        let mut ends = [0; PARTITIONS as usize];
        for (at, offset) in stored.keys() {
            let partition: usize = at.rsplit(':').next().and_then(|index| index.parse().ok()).unwrap_or(0);
            ends[partition] = ends[partition].max(offset + 1);
        }
        consumer.until("its own commits reach the end", |_| {
            let committed = trial.raw().committed(&group, &topic, &[0, 1]);
            committed.iter().map(|(offset, _)| *offset).eq(ends)
        });
    }
    in_order(&consumer.end().records, &stored);
    let without = trial.client.lacks.get("idempotent").map(|why| format!("each record once: {why}"));
    Shown { records: acked, without: without.into_iter().chain(gives_up).collect() }
}

/// Values by place, as the broker has them: as many as were acknowledged at least; of an idempotent producer once and in order.
fn stored(trial: &Trial, topic: &str, acked: usize, idempotent: bool) -> BTreeMap<(String, i64), String> {
    let mut stored = BTreeMap::new();
    let mut numbers = Vec::new();
    for partition in 0..PARTITIONS {
        let first = numbers.len();
        for record in trial.raw().read_from(topic, partition, 0) {
            let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
            let number: usize = value.trim_start_matches("value-").parse().expect("the drivers' values");
            numbers.push(number);
            stored.insert((format!("{topic}:{partition}"), record.offset), value);
        }
        let ascending = numbers[first..].is_sorted();
        assert!(ascending || !idempotent, "an idempotent producer's order: {:?}", &numbers[first..]);
    }
    let distinct: BTreeSet<usize> = numbers.iter().copied().collect();
    assert!(distinct.len() >= acked, "{} of {acked} acknowledged records are there", distinct.len());
    assert!(distinct.iter().all(|number| *number < COUNT), "nothing else is there");
    assert!(
        !idempotent || numbers.len() == COUNT,
        "{} records of {COUNT}, from an idempotent producer",
        numbers.len()
    );
    stored
}

/// Each partition was read without a gap and in order; going back to what was not committed yet is allowed.
fn in_order(read: &[Taken], stored: &BTreeMap<(String, i64), String>) {
    let mut next: BTreeMap<&str, i64> = BTreeMap::new();
    for record in read {
        let due = next.entry(&record.at).or_default();
        assert!(record.offset <= *due, "{}: {} came where {due} was due", record.at, record.offset);
        *due = (*due).max(record.offset + 1);
        assert_eq!(stored.get(&(record.at.clone(), record.offset)), Some(&record.value));
    }
}

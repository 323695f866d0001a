//! Verbs about the records themselves: codecs, sizes, partitions.

use super::cells::{Shown, Trial};
use harness::driver::Taken;
use harness::records;
use harness::verbs::fresh;
use std::collections::BTreeMap;

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const OF_EACH: usize = 200;
/// A value that still fits librdkafka's default limit of 1 000 000 bytes for the whole message.
const MEGABYTE: usize = 999_000;

/// What the raw client reads of one partition: key, value without its dots, length.
fn stored(trial: &Trial, topic: &str, partition: i32) -> Vec<(String, String, usize)> {
    let text = |bytes: &Option<bytes::Bytes>| {
        String::from_utf8(bytes.as_deref().unwrap_or_default().to_vec()).expect("the drivers write text")
    };
    let record = |record: &kafka_protocol::records::Record| {
        let value = text(&record.value);
        (text(&record.key), value.trim_end_matches('.').to_string(), value.len())
    };
    trial.raw().read_from(topic, partition, 0).iter().map(record).collect()
}

/// The codecs of the stored batches, each once, in order; without plain batches, since a client may leave a batch as it is where
/// compression would make it longer.
fn stored_codecs(trial: &Trial, topic: &str) -> Vec<usize> {
    let (mut client, mut codecs, mut offset) = (trial.raw(), Vec::new(), 0);
    loop {
        let part = client.fetch(topic, 0, offset);
        let batches = records::batches(&part.records.unwrap_or_default());
        let Some(end) = batches.last() else { break };
        codecs.extend(batches.iter().map(|batch| i16::from_be_bytes(records::field(batch, 21)) as usize & 7));
        let last_delta = i32::from_be_bytes(records::field(end, 23));
        offset = i64::from_be_bytes(records::field(end, 0)) + i64::from(last_delta) + 1;
    }
    codecs.retain(|codec| *codec != 0);
    codecs.dedup();
    codecs
}

/// What the client itself reads of a whole topic, `count` records in all.
fn read_by_client(trial: &Trial, topic: &str, count: usize) -> Vec<Taken> {
    let (group, max) = (fresh("readers"), count.to_string());
    let mut keys = vec![("max", max.as_str()), ("commit", "none")];
    let one = format!("{topic}:0");
    if trial.client.lacks.contains_key("group") {
        keys.push(("assign", &one));
    } else {
        keys.extend([("topics", topic), ("group", group.as_str())]);
    }
    let mut consumer = trial.consume(&keys);
    consumer.ended().records.clone()
}

pub(super) fn every_codec(trial: &Trial) -> Shown {
    let topic = trial.topic(1);
    let (mut without, mut used, mut next) = (Vec::new(), Vec::new(), 0);
    for (number, codec) in CODECS.into_iter().enumerate() {
        if let Some(why) = trial.client.lacks.get(codec) {
            without.push(format!("{codec}: {why}"));
            continue;
        }
        let acks = if number % 2 == 0 { "all" } else { "1" };
        trial.produce(&topic, next..next + OF_EACH, &[("codec", codec), ("acks", acks)]);
        used.extend((number > 0).then_some(number));
        next += OF_EACH;
    }
    match trial.client.lacks.get("idempotent") {
        Some(why) => without.push(format!("idempotence: {why}")),
        None => {
            let keys = [("codec", CODECS[used.last().copied().unwrap_or(0)]), ("idempotent", "true")];
            trial.produce(&topic, next..next + OF_EACH, &keys);
            next += OF_EACH;
        }
    }
    let expected: Vec<_> =
        (0..next).map(|number| (format!("key-{number}"), format!("value-{number}"))).collect();
    let raw: Vec<_> = stored(trial, &topic, 0).into_iter().map(|(key, value, _)| (key, value)).collect();
    assert_eq!(raw, expected, "as stored");
    assert_eq!(stored_codecs(trial, &topic), used, "batches lie in the codec that was asked for");
    let read = read_by_client(trial, &topic, next);
    let read: Vec<_> = read.into_iter().map(|one| (one.key.unwrap_or_default(), one.value)).collect();
    assert_eq!(read, expected, "as the client reads it");
    Shown { records: next, without }
}

pub(super) fn a_megabyte_each(trial: &Trial) -> Shown {
    const COUNT: usize = 8;
    let topic = trial.topic(1);
    trial.produce(&topic, 0..COUNT, &[("value_bytes", &MEGABYTE.to_string())]);
    let expected: Vec<_> = (0..COUNT).map(|number| (format!("value-{number}"), MEGABYTE)).collect();
    let raw: Vec<_> =
        stored(trial, &topic, 0).into_iter().map(|(_, value, length)| (value, length)).collect();
    assert_eq!(raw, expected, "as stored");
    let read = read_by_client(trial, &topic, COUNT);
    let read: Vec<_> = read.into_iter().map(|one| (one.value, one.bytes as usize)).collect();
    assert_eq!(read, expected, "as the client reads it");
    Shown { records: COUNT, without: Vec::new() }
}

pub(super) fn two_hundred_partitions(trial: &Trial) -> Shown {
    const PARTITIONS: i32 = 200;
    const COUNT: usize = 2000;
    let topic = trial.topic(PARTITIONS);
    trial.produce(&topic, 0..COUNT, &[]);
    let mut expected = BTreeMap::new();
    for partition in 0..PARTITIONS {
        for (offset, (_, value, _)) in stored(trial, &topic, partition).into_iter().enumerate() {
            expected.insert((format!("{topic}:{partition}"), offset as i64), value);
        }
    }
    assert_eq!(expected.len(), COUNT, "every record is stored once");
    let all: Vec<String> = (0..PARTITIONS).map(|partition| format!("{topic}:{partition}")).collect();
    let (assign, group) = (all.join(","), fresh("readers"));
    let keys = match trial.client.lacks.get("group") {
        Some(_) => vec![("assign", assign.as_str())],
        None => vec![("topics", topic.as_str()), ("group", group.as_str())],
    };
    let mut consumer = trial.consume(&keys);
    consumer.until("every record of 200 partitions", |seen| seen.records.len() >= COUNT);
    if keys.len() == 2 {
        assert!(
            consumer.seen.owned.iter().eq(all.iter().collect::<std::collections::BTreeSet<_>>()),
            "all are assigned"
        );
    }
    let read: Vec<_> = consumer.end().records.clone();
    let mut next: BTreeMap<String, i64> = BTreeMap::new();
    for record in &read {
        let due = next.entry(record.at.clone()).or_default();
        assert_eq!(record.offset, *due, "{}: in order and without a gap", record.at);
        *due += 1;
        assert_eq!(expected.get(&(record.at.clone(), record.offset)), Some(&record.value));
    }
    assert_eq!(read.len(), COUNT, "each once");
    trial.raw().delete_topic(&topic);
    Shown { records: COUNT, without: Vec::new() }
}

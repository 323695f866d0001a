//! Bytes and values that Kafka's own classes wrote: `tests/golden/wire/README.md` says how.
//!
//! Read, compared field by field with Kafka's JSON of the same value, and written again.

use super::probe::Probe;
use super::{call_for_both, decoded, each_api, each_message, encoded};
use crate::wire::{Message, form};
use bytes::Bytes;
use serde_json::Value;
use std::fmt::Debug;

const GOLDEN: [&str; 2] = [
    include_str!("../../../../tests/golden/wire/kafka-4.3.1.txt"),
    include_str!("../../../../tests/golden/wire/kafka-3.5.1.txt"),
];

/// One line of a golden file: which message, its bytes and, where Kafka can tell, its value.
struct Line {
    message: &'static str,
    version: i16,
    bytes: Bytes,
    value: Option<Value>,
}

fn lines() -> impl Iterator<Item = Line> {
    GOLDEN.iter().flat_map(|file| file.lines()).map(|line| {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap();
        Line {
            message: word(),
            version: word().parse().unwrap(),
            bytes: from_hex(word()),
            value: Some(word()).filter(|json| *json != "-").map(|json| serde_json::from_str(json).unwrap()),
        }
    })
}

fn from_hex(text: &str) -> Bytes {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// A value as both sides tell it: where our names differ from Kafka's, and without the bytes of records, for which
/// Kafka's JSON has an empty text.
fn common(message: &str, value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let each = fields.into_iter().map(|(name, value)| {
                let name = match (message, name.as_str()) {
                    ("OffsetCommitRequest", "generationId") => "generationIdOrMemberEpoch".to_owned(),
                    _ => name,
                };
                let is_records = name == "records" && value.is_string();
                (name, if is_records { Value::from("") } else { common(message, value) })
            });
            Value::Object(each.collect())
        }
        Value::Array(elements) => elements.into_iter().map(|element| common(message, element)).collect(),
        other => other,
    }
}

fn agrees_with_kafka<M: Message + Probe + PartialEq + Debug>() {
    let mut versions = Vec::new();
    for line in lines().filter(|line| line.message == M::NAME) {
        let Line { message, version, bytes, value } = line;
        if !M::VERSIONS.contains(&version) {
            continue; // what Kafka calls version 0 of a key is known here by the number in front of it
        }
        versions.push(version);
        let read: M =
            decoded(&bytes, version).unwrap_or_else(|error| panic!("{message} v{version}: {error}"));
        if let Some(value) = value {
            let ours = common(message, read.json(form::<M>(version)));
            assert_eq!(ours, common(message, value), "{message} v{version}");
        }
        assert_eq!(encoded(&read, version), bytes, "{message} v{version}");
    }
    let missing: Vec<i16> = M::VERSIONS.filter(|version| !versions.contains(version)).collect();
    assert!(missing.is_empty(), "{}: no golden bytes for {missing:?}", M::NAME);
}

#[test]
fn every_version_of_every_message_is_what_kafka_makes_of_it() {
    each_message!(agrees_with_kafka);
}

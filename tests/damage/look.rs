//! Start a broker on damaged data and look at everything in it.

use super::data::Master;
use harness::records::{self, Batch};
use harness::verbs::{code, fetch_request, text, topic_name};
use harness::{Broker, Client};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest};
use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

const STORAGE_ERROR: i16 = 56;
/// A partition of a topic of which it does not matter which one.
const ANY: i32 = -1;
const LOG_PAUSE: Duration = Duration::from_millis(200);

/// What a start on damaged data led to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// Everything is there and right.
    Whole,
    /// It does not start, and says this.
    Refused(String),
    /// These partitions answer KAFKA_STORAGE_ERROR; the rest is there and right.
    Offline(BTreeSet<(String, i32)>),
    /// What must not be.
    Wrong(Vec<String>),
}

/// Starts a broker on the data and looks at everything.
pub(super) fn outcome(broker: &mut Broker, master: &Master) -> Outcome {
    let log_at = broker.log_text().len();
    let begun = broker.begin(Some("1"));
    if let Err(ended) = broker.ready_or_ended(begun) {
        thread::sleep(LOG_PAUSE);
        let text = broker.log_text()[log_at..].to_owned();
        let lines: Vec<_> =
            text.lines().filter(|line| line.contains("ERROR") || line.starts_with("thalweg:")).collect();
        let said = lines.last().map_or_else(|| text.clone(), |line| (*line).to_owned());
        if text.contains("panicked") || ended.code() != Some(1) || lines.is_empty() {
            return Outcome::Wrong(vec![format!("ended with {ended:?}: {text}")]);
        }
        return Outcome::Refused(said);
    }
    let mut wrong = Vec::new();
    let mut offline = BTreeSet::new();
    let mut client = broker.client();
    for ((topic, partition), values) in &master.expected {
        match look(&mut client, topic, *partition, values) {
            Ok(true) => {}
            Ok(false) => drop(offline.insert(((*topic).to_owned(), *partition))),
            Err(what) => wrong.push(format!("{topic}-{partition}: {what}")),
        }
    }
    match committed(&mut client) {
        Some(committed) if committed != master.committed => {
            wrong.push(format!("committed {committed:?}, expected {:?}", master.committed));
        }
        Some(_) => {}
        None => drop(offline.insert(("__consumer_offsets".to_owned(), ANY))),
    }
    thread::sleep(LOG_PAUSE); // the log comes through a pipe
    let text = broker.log_text()[log_at..].to_owned();
    if text.contains("panicked") {
        wrong.push(text.lines().find(|line| line.contains("panicked")).unwrap_or_default().to_owned());
    }
    for (topic, partition) in &offline {
        let number = if *partition == ANY { String::new() } else { format!("partition={partition}") };
        let names =
            |line: &str| line.contains("ERROR") && line.contains(topic.as_str()) && line.contains(&number);
        if !text.lines().any(names) {
            wrong.push(format!("{topic}-{partition} is offline and the log does not say why"));
        }
    }
    if !wrong.is_empty() {
        return Outcome::Wrong(wrong);
    }
    if offline.is_empty() { Outcome::Whole } else { Outcome::Offline(offline) }
}

/// Whether a partition holds exactly these records, or is offline: then to everybody who asks.
fn look(client: &mut Client, topic: &str, partition: i32, expected: &[String]) -> Result<bool, String> {
    let mut found: Vec<String> = Vec::new();
    let mut offline = false;
    while found.len() < expected.len() && !offline {
        let answer = client.try_call(11, &fetch_request(topic, partition, found.len() as i64));
        let mut answer = answer.map_err(|error| format!("fetch: {error}"))?;
        let part = answer.responses.remove(0).partitions.remove(0);
        match part.error_code {
            code::NONE => {}
            STORAGE_ERROR => offline = true,
            other => return Err(format!("a fetch at {} is answered with {other}", found.len())),
        }
        let bytes = part.records.unwrap_or_default();
        // The checksum as every client checks it: wrong bytes must not leave the broker at all.
        for batch in records::batches(&bytes) {
            let stored = u32::from_be_bytes(records::field(&batch, 17));
            if crc32c::crc32c(&batch[21..]) != stored {
                return Err(format!("a batch behind {} was served whose checksum is wrong", found.len()));
            }
        }
        let new: Vec<_> = records::values(&records::decode(&bytes));
        if new.is_empty() && !offline {
            return Err(format!("{} of {} records are there", found.len(), expected.len()));
        }
        found.extend(new);
    }
    if !expected.starts_with(&found) {
        return Err("other records than were written".to_owned());
    }
    if !offline {
        let end = client.list_offset(topic, partition, -1);
        return if end.offset == expected.len() as i64 {
            Ok(true)
        } else {
            Err(format!("ends at {}", end.offset))
        };
    }
    let end = client.list_offset(topic, partition, -1).error_code;
    let produced = client.try_produce(topic, partition, Batch::of(&["more"]).encode()).error_code;
    if (end, produced) == (STORAGE_ERROR, STORAGE_ERROR) {
        Ok(false)
    } else {
        Err(format!("offline to a fetch, but ListOffsets is answered with {end} and Produce with {produced}"))
    }
}

/// What the group has committed; `None` if its coordinator is not available.
fn committed(client: &mut Client) -> Option<Vec<(i64, String)>> {
    let topic = OffsetFetchRequestTopics::default()
        .with_name(topic_name("sealed"))
        .with_partition_indexes(vec![0, 1]);
    let group =
        OffsetFetchRequestGroup::default().with_group_id(GroupId(text("g"))).with_topics(Some(vec![topic]));
    let request = OffsetFetchRequest::default().with_groups(vec![group]);
    // Loading passes, an offline log does not.
    for _ in 0..40 {
        let answer = client.call(8, &request).groups.remove(0);
        if answer.error_code == code::NONE {
            let parts = answer.topics[0].partitions.iter();
            return Some(
                parts
                    .map(|part| {
                        (part.committed_offset, part.metadata.clone().unwrap_or_default().to_string())
                    })
                    .collect(),
            );
        }
        thread::sleep(Duration::from_millis(50));
    }
    None
}

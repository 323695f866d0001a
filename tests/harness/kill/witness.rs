//! A consumer that reads along and remembers what it was given: none of it may ever change or go away.

use crate::Client;
use crate::verbs::{code, topic_name};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{BrokerId, FetchRequest};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use thalweg_loadgen::batch::Batches;

const PAUSE: Duration = Duration::from_millis(15);
const PARTITION_BYTES: i32 = 256 * 1024;
const FETCH_BYTES: i32 = 4 * 1024 * 1024;

/// A batch as it was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) end: i64,
    pub(super) crc: u32,
}

/// What was seen of one partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    pub(super) batches: BTreeMap<i64, Seen>,
    pub(super) high_watermark: i64,
    pub(super) log_start: i64,
}

/// Everything that the witness saw, by topic and partition, and what was wrong at once.
#[derive(Debug, Default)]
pub(super) struct Testimony {
    pub(super) sights: BTreeMap<(&'static str, i32), Sight>,
    pub(super) violations: Vec<String>,
}

/// The witness at work.
pub(super) struct Witness {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Testimony>,
}

impl Witness {
    /// Reads these topics, each partition from the offset given, until it is ended.
    pub(super) fn begin(address: String, positions: BTreeMap<(&'static str, i32), i64>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let thread = thread::spawn(move || watch(&address, positions, &ended));
        Self { stop, thread }
    }

    pub(super) fn end(self) -> Testimony {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the witness does not panic")
    }
}

fn watch(address: &str, mut positions: BTreeMap<(&'static str, i32), i64>, stop: &AtomicBool) -> Testimony {
    let mut testimony = Testimony::default();
    let mut client = None;
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(PAUSE);
        let mut connected = match client.take() {
            Some(client) => client,
            None => match Client::connect_within(address, Duration::from_secs(1)) {
                Ok(client) => client,
                Err(_) => continue,
            },
        };
        // The partition asked for first changes, so that a full answer starves none.
        turn = (turn + 7) % positions.len().max(1);
        let order = positions.iter().skip(turn).chain(positions.iter().take(turn));
        let request = fetch(order, PARTITION_BYTES, FETCH_BYTES);
        let Ok(answer) = connected.try_call(11, &request) else { continue };
        client = Some(connected);
        for topic in answer.responses {
            for part in topic.partitions {
                let entry = positions.iter_mut().find(|((name, index), _)| {
                    *name == topic.topic.as_str() && *index == part.partition_index
                });
                let Some((key, position)) = entry else { continue };
                if part.error_code == code::OFFSET_OUT_OF_RANGE {
                    *position = part.log_start_offset.max(0);
                    continue;
                }
                if part.error_code != code::NONE {
                    continue; // starting: the audit tells whether it ever serves again
                }
                let sight = testimony.sights.entry(*key).or_default();
                sight.high_watermark = sight.high_watermark.max(part.high_watermark);
                sight.log_start = sight.log_start.max(part.log_start_offset);
                for batch in Batches::new(part.records.unwrap_or_default()) {
                    match batch.and_then(|batch| batch.check_crc().map(|()| batch)) {
                        Ok(batch) => {
                            let header = batch.header();
                            let end = header.base_offset() + header.last_offset_delta() + 1;
                            sight.batches.insert(header.base_offset(), Seen { end, crc: header.crc() });
                            *position = (*position).max(end);
                        }
                        Err(fault) => testimony.violations.push(format!(
                            "a consumer of {key:?} at {position} was given a bad batch: {fault}"
                        )),
                    }
                }
            }
        }
    }
    testimony
}

/// A Fetch request of these partitions in this order, by name, without waiting.
pub(super) fn fetch<'a>(
    positions: impl Iterator<Item = (&'a (&'static str, i32), &'a i64)>,
    partition_bytes: i32,
    fetch_bytes: i32,
) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for ((name, index), offset) in positions {
        let part = FetchPartition::default()
            .with_partition(*index)
            .with_fetch_offset(*offset)
            .with_partition_max_bytes(partition_bytes);
        match topics.last_mut() {
            Some(topic) if topic.topic.as_str() == *name => topic.partitions.push(part),
            _ => topics.push(FetchTopic::default().with_topic(topic_name(name)).with_partitions(vec![part])),
        }
    }
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(fetch_bytes)
        .with_session_id(0)
        .with_session_epoch(-1)
        .with_topics(topics)
}

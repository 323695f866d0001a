//! Reads as a group's member, or given partitions alone.

use crate::contract::{self, Command, Keys, at, emit, failed, place};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

pub const KEYS: [(&str, &str); 14] = [
    ("bootstrap", ""),
    ("topics", ""),
    ("pattern", ""),
    ("assign", ""),
    ("group", ""),
    ("instance", ""),
    ("assignor", ""),
    ("from", "earliest"),
    ("session_ms", "10000"),
    ("heartbeat_ms", "1000"),
    ("metadata_max_age_ms", "2000"),
    ("commit", "auto"),
    ("max", "0"),
    ("client_id", ""),
];

const PATIENCE: Duration = Duration::from_secs(30);

/// Records handed out before they are committed together, where each batch is committed.
const BATCH_RECORDS_MAX: usize = 500;

/// Where each partition is read on: after the last record that was told.
#[derive(Default)]
struct Reader {
    commit_each: bool,
    positions: Mutex<BTreeMap<(String, i32), i64>>,
}

type Client = BaseConsumer<Reader>;

impl ClientContext for Reader {}

impl ConsumerContext for Reader {
    fn pre_rebalance(&self, consumer: &Client, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(gone) = rebalance else { return };
        if self.commit_each && !consumer.assignment_lost() {
            self.commit(consumer);
        }
        let mut positions = self.positions.lock().expect("nobody panics with the positions");
        for partition in gone.elements() {
            positions.remove(&(partition.topic().to_string(), partition.partition()));
        }
        if gone.count() > 0 {
            emit(&json!({"event": "revoked", "partitions": names(gone)}));
        }
    }

    fn post_rebalance(&self, consumer: &Client, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(_) => tell_assignment(consumer),
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => failed(&error.to_string(), false),
        }
    }
}

impl Reader {
    fn moved(&self, topic: &str, partition: i32, offset: i64) {
        let mut positions = self.positions.lock().expect("nobody panics with the positions");
        positions.insert((topic.to_string(), partition), offset);
    }

    fn commit(&self, consumer: &Client) {
        let positions = self.positions.lock().expect("nobody panics with the positions").clone();
        let mut list = TopicPartitionList::new();
        let mut told = BTreeMap::new();
        for ((topic, partition), offset) in positions {
            told.insert(at(&topic, partition), offset);
            list.add_partition_offset(&topic, partition, Offset::Offset(offset)).expect("an offset");
        }
        if list.count() > 0
            && let Err(error) = consumer.commit(&list, CommitMode::Sync)
        {
            return failed(&error.to_string(), false);
        }
        emit(&json!({"event": "committed", "offsets": told}));
    }
}

pub fn consume(keys: &Keys) -> KafkaResult<()> {
    let commit = keys.one("commit", &["auto", "none", "each"]);
    let reader = Reader { commit_each: commit == "each", ..Reader::default() };
    let consumer: Client = settings(keys, commit).create_with_context(reader)?;
    if keys.text("assign").is_empty() && !keys.text("group").is_empty() {
        let pattern = keys.text("pattern"); // what begins with ^ is a pattern
        consumer.subscribe(&if pattern.is_empty() { keys.list("topics") } else { vec![pattern] })?;
    } else {
        consumer.assign(&given(&consumer, keys)?)?;
        tell_assignment(&consumer);
    }
    let (commands, max) = (contract::commands(), keys.number("max"));
    let (mut read, mut open) = (0, 0);
    while max == 0 || read < max {
        match commands.try_recv() {
            Ok(Command::Stop) => break,
            Ok(command) => obey(&consumer, command).unwrap_or_else(|error| failed(&error.to_string(), false)),
            Err(_) => {}
        }
        let wait = if open > 0 { Duration::ZERO } else { Duration::from_millis(100) };
        match consumer.poll(wait) {
            Some(Ok(message)) => {
                tell(&consumer, &message);
                if commit == "auto" {
                    consumer.store_offset_from_message(&message)?;
                }
                (read, open) = (read + 1, open + 1);
            }
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
            Some(Err(error)) => failed(&error.to_string(), false),
            None if commit == "each" && open > 0 => {
                consumer.context().commit(&consumer);
                open = 0;
            }
            None => open = 0,
        }
        if commit == "each" && open == BATCH_RECORDS_MAX {
            consumer.context().commit(&consumer);
            open = 0;
        }
    }
    if commit == "each" && open > 0 {
        consumer.context().commit(&consumer);
    }
    drop(consumer); // closes: commits what its own commits have left, leaves the group
    emit(&json!({"event": "stopped", "read": read}));
    Ok(())
}

fn settings(keys: &Keys, commit: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.extend(crate::CONNECT.map(|(key, value)| (key.to_string(), value.to_string())));
    let alone = keys.text("group").is_empty();
    config
        .set("bootstrap.servers", keys.text("bootstrap"))
        // librdkafka wants a group's name even where partitions are given; nothing is committed in it.
        .set("group.id", if alone { "alone" } else { keys.text("group") })
        .set("auto.offset.reset", keys.one("from", &["earliest", "latest"]))
        .set("session.timeout.ms", keys.text("session_ms"))
        .set("heartbeat.interval.ms", keys.text("heartbeat_ms"))
        .set("topic.metadata.refresh.interval.ms", keys.text("metadata_max_age_ms"))
        .set("enable.auto.commit", if commit == "auto" && !alone { "true" } else { "false" })
        .set("auto.commit.interval.ms", "1000")
        // Dropping a consumer polls what was fetched ahead and throws it away: that must not count as read.
        .set("enable.auto.offset.store", "false")
        .set_log_level(RDKafkaLogLevel::Warning);
    let optional = [
        ("instance", "group.instance.id"),
        ("assignor", "partition.assignment.strategy"),
        ("client_id", "client.id"),
    ];
    for (key, name) in optional {
        if !keys.text(key).is_empty() {
            config.set(name, keys.text(key));
        }
    }
    config
}

/// The partitions that are given, or all of the topics where there is no group.
fn given(consumer: &Client, keys: &Keys) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in keys.list("assign").into_iter().map(place) {
        list.add_partition(&topic, partition);
    }
    for topic in keys.list("topics") {
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            list.add_partition(topic, partition.id());
        }
    }
    Ok(list)
}

fn obey(consumer: &Client, command: Command) -> KafkaResult<()> {
    match command {
        Command::Pause => {
            consumer.pause(&consumer.assignment()?)?;
            emit(&json!({"event": "paused"}));
        }
        Command::Resume => {
            consumer.resume(&consumer.assignment()?)?;
            emit(&json!({"event": "resumed"}));
        }
        Command::Commit => consumer.context().commit(consumer),
        Command::Seek(topic, partition, offset) => {
            consumer.seek(&topic, partition, Offset::Offset(offset), PATIENCE)?;
            consumer.context().moved(&topic, partition, offset);
            emit(&json!({"event": "sought"}));
        }
        Command::SeekTime(time) => {
            let mut places = TopicPartitionList::new();
            for place in consumer.offsets_for_timestamp(time, PATIENCE)?.elements() {
                let offset = match place.offset() {
                    Offset::Offset(offset) => offset,
                    _ => consumer.fetch_watermarks(place.topic(), place.partition(), PATIENCE)?.1, // nothing is that late
                };
                places.add_partition_offset(place.topic(), place.partition(), Offset::Offset(offset))?;
                consumer.context().moved(place.topic(), place.partition(), offset);
            }
            for place in consumer.seek_partitions(places, PATIENCE)?.elements() {
                place.error()?;
            }
            emit(&json!({"event": "sought"}));
        }
        Command::Stop => unreachable!("the loop ends with it"),
    }
    Ok(())
}

fn tell(consumer: &Client, message: &BorrowedMessage<'_>) {
    let value = String::from_utf8_lossy(message.payload().unwrap_or_default());
    consumer.context().moved(message.topic(), message.partition(), message.offset() + 1);
    emit(&json!({
        "event": "record", "at": at(message.topic(), message.partition()), "offset": message.offset(),
        "timestamp": message.timestamp().to_millis(), "key": String::from_utf8_lossy(message.key().unwrap_or_default()),
        "value": value.trim_end_matches('.'), "bytes": value.len(),
    }));
}

fn tell_assignment(consumer: &Client) {
    match consumer.assignment() {
        Ok(whole) => emit(&json!({"event": "assigned", "partitions": names(&whole)})),
        Err(error) => failed(&error.to_string(), false),
    }
}

fn names(list: &TopicPartitionList) -> Vec<String> {
    let mut places: Vec<_> =
        list.elements().iter().map(|place| (place.topic().to_string(), place.partition())).collect();
    places.sort();
    places.iter().map(|(topic, partition)| at(topic, *partition)).collect()
}

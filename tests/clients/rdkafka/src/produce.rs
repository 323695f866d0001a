//! Writes numbered records.

use crate::contract::{Keys, emit};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::util::Timeout;
use rdkafka::{ClientContext, error::KafkaResult};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub const KEYS: [(&str, &str); 10] = [
    ("bootstrap", ""),
    ("topic", ""),
    ("first", "0"),
    ("count", "0"),
    ("codec", "none"),
    ("acks", "all"),
    ("idempotent", "false"),
    ("partition", "-1"),
    ("value_bytes", "0"),
    ("rate_per_s", "0"),
];

/// What became of the records.
#[derive(Default)]
struct Tally {
    acked: u64,
    failed: u64,
    errors: BTreeSet<String>,
    told: bool, // the last word was said
}

#[derive(Clone, Default)]
struct Outcome(Arc<Mutex<Tally>>);

impl ClientContext for Outcome {}

impl ProducerContext for Outcome {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        let mut tally = self.0.lock().expect("nobody panics with the tally");
        match delivered {
            Ok(_) => tally.acked += 1,
            Err((error, _)) => {
                tally.failed += 1;
                tally.errors.insert(error.to_string());
            }
        }
    }
}

pub fn produce(keys: &Keys) -> KafkaResult<()> {
    let value_bytes = keys.number("value_bytes") as usize;
    let mut config = ClientConfig::new();
    config.extend(crate::CONNECT.map(|(key, value)| (key.to_string(), value.to_string())));
    config
        .set("bootstrap.servers", keys.text("bootstrap"))
        .set("compression.type", keys.one("codec", &["none", "gzip", "snappy", "lz4", "zstd"]))
        .set("acks", keys.one("acks", &["all", "1", "0"]))
        .set("enable.idempotence", keys.one("idempotent", &["true", "false"]))
        .set("message.timeout.ms", "60000")
        .set("message.max.bytes", value_bytes.saturating_add(10_000).max(1_000_000).to_string());
    let outcome = Outcome::default();
    let producer: ThreadedProducer<Outcome> = config.create_with_context(outcome.clone())?;
    let (first, count, rate) = (keys.number("first"), keys.number("count"), keys.number("rate_per_s"));
    if rate > 0 {
        let outcome = outcome.clone();
        thread::spawn(move || {
            loop {
                thread::sleep(Duration::from_secs(1));
                let tally = outcome.0.lock().expect("nobody panics with the tally");
                if tally.told {
                    return;
                }
                emit(&json!({"event": "progress", "acked": tally.acked}));
            }
        });
    }
    let began = Instant::now();
    for number in first..first + count {
        if rate > 0 {
            let due = Duration::from_secs_f64((number - first) as f64 / rate as f64);
            thread::sleep(due.saturating_sub(began.elapsed()));
        }
        let (key, mut value) = (format!("key-{number}"), format!("value-{number}"));
        value += &".".repeat(value_bytes.saturating_sub(value.len()));
        let mut record = BaseRecord::to(keys.text("topic")).key(&key).payload(&value);
        if keys.number("partition") >= 0 {
            record = record.partition(keys.number("partition") as i32);
        }
        while let Err((error, back)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(10));
            record = back;
        }
    }
    producer.flush(Timeout::Never)?;
    let mut tally = outcome.0.lock().expect("nobody panics with the tally");
    tally.told = true;
    emit(&json!({"event": "produced", "acked": tally.acked, "failed": tally.failed, "errors": tally.errors}));
    Ok(())
}

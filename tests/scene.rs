//! The scene this broker is built for, in a minute: a million web-server events go into `iis_log` while it is stopped, killed and
//! started again, also on another number of cores. What was acknowledged is there, each event once, and the tools count the same.

use harness::broker::loadgen_binary;
use harness::kafka_tools::Kafka;
use harness::scratch::Scratch;
use harness::siege::alone;
use harness::{Broker, process, skip};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const EVENTS: u64 = 1_000_000;
const PARTITIONS: i32 = 4;
const ALL_WITHIN: Duration = Duration::from_mins(10);

/// What happens to the broker, and the number of cores it is started on again.
const INTERRUPTIONS: [(&str, Option<&str>); 7] = [
    ("stop", None),
    ("kill", None),
    ("kill", Some("1")),
    ("stop", Some("2")),
    ("kill", None),
    ("stop", Some("1")),
    ("kill", Some("2")),
];

/// Four connections of idempotent producers that send until everything is acknowledged.
fn begin_producing(broker: &Broker, dir: &Path) -> Child {
    let mut command = Command::new(loadgen_binary());
    command.args([
        "produce",
        "--brokers",
        &broker.address(),
        "--topic",
        "iis_log",
        "--profile",
        "iis",
        "--idempotent",
    ]);
    command.args(["--partitions", "4", "--connections", "4", "--batch-bytes", "65536", "--codec", "lz4"]);
    command.args(["--count", &EVENTS.to_string(), "--retry-time", "120", "--drain", "120"]);
    command.arg("--acked").arg(dir.join("acked")).arg("--json").arg(dir.join("produced.json"));
    process::spawn(&command).unwrap()
}

/// The verifying consumer: ends with 0 only if every acknowledged event is there once and in order.
fn verify(broker: &Broker, dir: &Path, when: &str) {
    broker.client().wait_for_topic("iis_log", PARTITIONS);
    let mut command = Command::new(loadgen_binary());
    command.args([
        "consume",
        "--brokers",
        &broker.address(),
        "--topic",
        "iis_log",
        "--connections",
        "4",
        "--verify",
    ]);
    command.arg("--acked").arg(dir.join("acked")).arg("--json").arg(dir.join("verified.json"));
    let output = process::run(&command, b"", ALL_WITHIN).succeeded(&format!("the verifying consumer {when}"));
    let result: Value = serde_json::from_slice(&fs::read(dir.join("verified.json")).unwrap()).unwrap();
    let acknowledged = find(&result, "acknowledged_records").and_then(Value::as_u64);
    assert_eq!(acknowledged, Some(EVENTS), "{when}: {result}\n{}{}", output.stdout, output.stderr);
}

/// A key anywhere in a JSON document.
fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(key).or_else(|| map.values().find_map(|inner| find(inner, key))),
        Value::Array(items) => items.iter().find_map(|inner| find(inner, key)),
        _ => None,
    }
}

/// Events in all partitions; 0 while the broker or the topic is not there.
fn stored(broker: &Broker) -> u64 {
    let mut client = broker.client();
    let offsets =
        (0..PARTITIONS).map(|partition| client.list_offset("iis_log", partition, -1).offset.max(0) as u64);
    offsets.sum()
}

/// Interrupts the broker each time another eighth of the events is there; returns how long each start took.
///
/// Returns early when the load generator has ended; the caller then says why.
fn interrupt(broker: &mut Broker, producing: &mut Child, deadline: Instant) -> Vec<Duration> {
    let mut starts = Vec::new();
    for (number, (how, cores)) in INTERRUPTIONS.into_iter().enumerate() {
        let due = EVENTS * (number as u64 + 1) / 8;
        while stored(broker) < due {
            assert!(Instant::now() < deadline, "{} events are there, {due} are due", stored(broker));
            if producing.try_wait().unwrap().is_some() {
                return starts;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        match how {
            "stop" => broker.stop(),
            _ => broker.kill(),
        }
        starts.push(broker.start_again(cores));
    }
    starts
}

#[test]
fn a_million_events_survive_stops_kills_and_other_numbers_of_cores() {
    let _alone = alone();
    let begun = Instant::now();
    let scratch = Scratch::new("scene");
    let mut broker = Broker::start();
    let mut client = broker.client();
    client.create_topic("iis_log", PARTITIONS);
    client.init_producer(); // a fresh Kafka hands out producer ids only after a while
    let mut producing = begin_producing(&broker, scratch.path());
    let stderr = producing.stderr.take().unwrap();
    let said = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default());
    let deadline = begun + ALL_WITHIN;
    let starts = interrupt(&mut broker, &mut producing, deadline);
    let ended = process::wait(&mut producing, deadline.saturating_duration_since(Instant::now()));
    if ended.is_none() {
        let _ = producing.kill();
    }
    assert!(
        ended.is_some_and(|status| status.success()),
        "the load generator: {ended:?}\n{}",
        said.join().unwrap()
    );

    assert_eq!(starts.len(), INTERRUPTIONS.len(), "all interruptions came while it produced");
    assert_eq!(stored(&broker), EVENTS, "each idempotent record once");
    if let Some(kafka) = Kafka::installed("3.5.1") {
        let output = kafka.run(
            "get-offsets",
            &["--bootstrap-server", &broker.address(), "--topic", "iis_log", "--time", "-1"],
        );
        let counts =
            output.lines().into_iter().map(|line| line.rsplit(':').next().unwrap().parse::<u64>().unwrap());
        assert_eq!(counts.sum::<u64>(), EVENTS, "{}", output.stdout);
    }
    verify(&broker, scratch.path(), "after the interruptions");
    broker.stop();
    broker.start_again(Some("1"));
    verify(&broker, scratch.path(), "after a last clean stop, on one core");
    let starts: Vec<_> = starts.iter().map(Duration::as_millis).collect();
    skip::loud(&format!(
        "scene: {EVENTS} events over {} interruptions in {} s; ready again after {starts:?} ms",
        INTERRUPTIONS.len(),
        begun.elapsed().as_secs()
    ));
}

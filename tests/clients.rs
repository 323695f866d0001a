//! Real clients as their users run them: Filebeat and the sarama inside it, kcat (librdkafka), the Java producer and consumer.
//!
//! A client that this machine cannot have is skipped in one loud line (`harness::skip`).

use harness::driver::{Driver, Seen};
use harness::kafka_tools::RELEASES;
use harness::process::{self, Output};
use harness::programs;
use harness::scratch::Scratch;
use harness::verbs::fresh;
use harness::{Against, Broker, records};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// All values of a topic with one partition, through the raw client.
fn values(broker: &Broker, topic: &str) -> Vec<String> {
    records::values(&broker.client().read_from(topic, 0, 0))
}

fn numbered(first: usize, count: usize) -> Vec<String> {
    (first..first + count).map(|number| format!("value-{number}")).collect()
}

/// The values of what a driver has read.
fn told(seen: &Seen) -> Vec<String> {
    seen.records.iter().map(|record| record.value.clone()).collect()
}

#[test]
fn sarama_without_negotiation_writes_and_reads_every_codec() {
    let broker = Broker::shared();
    let Some(sarama) = programs::sarama() else { return };
    for protocol in ["1.0.0", "2.1.0"] {
        let (topic, address) = (fresh("sarama"), broker.address());
        broker.client().create_topic(&topic, 1);
        let base = [("bootstrap", address.as_str()), ("protocol", protocol)];
        let run = |verb: &str, more: &[(&str, &str)]| {
            Driver::start(&sarama, protocol, verb, &[&base, more].concat()).ended().clone()
        };
        let mut codecs = vec!["none", "gzip", "snappy", "lz4"];
        if protocol == "2.1.0" {
            codecs.push("zstd");
        }
        for (number, codec) in codecs.iter().enumerate() {
            let (first, acks) = ((number * 2000).to_string(), if number % 2 == 0 { "1" } else { "all" });
            let keys = [("first", first.as_str()), ("count", "2000"), ("codec", *codec), ("acks", acks)];
            let sent = run("produce", &[&[("topic", topic.as_str())], &keys[..]].concat());
            assert_eq!(sent.acked, 2000, "protocol {protocol}, {codec}");
        }
        let total = codecs.len() * 2000;
        assert_eq!(values(&broker, &topic), numbered(0, total));
        let read = run("consume", &[("topics", &topic), ("max", &total.to_string())]);
        assert_eq!(told(&read), numbered(0, total), "protocol {protocol}");
        if *broker.against() == Against::Kafka("4.3.1".to_string()) {
            continue; // Kafka 4 has dropped OffsetCommit 1, the only version that this sarama sends
        }
        let group = fresh("sarama");
        let keys = [("topics", topic.as_str()), ("group", &group), ("max", "1500")];
        assert_eq!(told(&run("consume", &keys)), numbered(0, 1500));
        assert_eq!(told(&run("consume", &keys)), numbered(1500, 1500), "the group's offsets were kept");
    }
}

/// A Filebeat that ships one file and is stopped when its events are there.
struct Filebeat {
    scratch: Scratch,
    binary: PathBuf,
}

impl Filebeat {
    fn ship(&self, broker: &Broker, topic: &str, compression: &str, lines: usize) -> Vec<String> {
        let dir = self.scratch.path().display().to_string();
        let line = |number| format!("2023-08-11 10:10:10 GET /api/v1/items/{number} 200 0 0 {number}\n");
        let log = (0..lines).map(line).collect::<Vec<_>>().concat();
        fs::write(format!("{dir}/iis.log"), log).unwrap();
        let config = format!(
            "filebeat.inputs:\n- type: filestream\n  id: iis\n  paths: [{dir}/iis.log]\n\
             output.kafka:\n  hosts: [\"{}\"]\n  topic: {topic}\n  version: 1.0.0\n  compression: {compression}\n  required_acks: 1\n\
             path.data: {dir}/data-{compression}\npath.logs: {dir}/logs\nlogging.to_stderr: true\nprocessors:\n- add_host_metadata: ~\n",
            broker.address()
        );
        let path = format!("{dir}/filebeat-{compression}.yml");
        fs::write(&path, config).unwrap();
        let mut command = Command::new(&self.binary);
        command.args(["-e", "--strict.perms=false", "-c", &path]).current_dir(&dir);
        let mut child = process::spawn(&command).unwrap();
        let stderr = child.stderr.take().unwrap();
        let said = thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default());
        let deadline = Instant::now() + Duration::from_mins(1);
        let count = || broker.client().list_offset(topic, 0, -1).offset;
        while count() < lines as i64
            && Instant::now() < deadline
            && child.try_wait().is_ok_and(|end| end.is_none())
        {
            thread::sleep(Duration::from_millis(100));
        }
        let arrived = count();
        let _ = child.kill();
        let _ = child.wait();
        let said = said.join().unwrap();
        assert_eq!(arrived, lines as i64, "{compression}\n{said}");
        values(broker, topic)
    }
}

#[test]
fn filebeat_ships_its_events_plain_and_compressed() {
    let broker = Broker::shared();
    let Some(binary) = programs::filebeat() else { return };
    for compression in ["none", "gzip", "snappy", "lz4"] {
        let topic = fresh("iis_log");
        broker.client().create_topic(&topic, 1);
        let filebeat = Filebeat { scratch: Scratch::new("filebeat"), binary: binary.clone() };
        let events = filebeat.ship(&broker, &topic, compression, 3000);
        for (number, event) in events.iter().enumerate() {
            let event: Value = serde_json::from_str(event).unwrap();
            let expected = format!("2023-08-11 10:10:10 GET /api/v1/items/{number} 200 0 0 {number}");
            assert_eq!(event["message"], json!(expected), "{compression}: in order, each once");
        }
    }
}

struct Kcat(PathBuf, String);

impl Kcat {
    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(&self.0);
        command.args(["-b", &self.1]).args(arguments);
        process::run(&command, input.as_bytes(), Duration::from_mins(1))
            .succeeded(&format!("kcat {arguments:?}"))
    }
}

#[test]
fn kcat_writes_and_reads_every_codec() {
    let broker = Broker::shared();
    let Some(kcat) = programs::kcat().map(|path| Kcat(path, broker.address())) else { return };
    let topic = fresh("kcat");
    broker.client().create_topic(&topic, 1);
    let mut expected = Vec::new();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        for (idempotent, acks) in [("false", "1"), ("true", "-1")] {
            let events: Vec<String> =
                (0..300).map(|number| format!("{codec}-{idempotent}-{number}")).collect();
            let settings = [format!("enable.idempotence={idempotent}"), format!("acks={acks}")];
            kcat.run(
                &["-P", "-t", &topic, "-z", codec, "-X", &settings[0], "-X", &settings[1]],
                &(events.join("\n") + "\n"),
            );
            expected.extend(events);
        }
    }
    let read = kcat.run(&["-C", "-t", &topic, "-o", "beginning", "-e", "-q"], "");
    assert_eq!(read.lines(), expected);
    let tail = kcat.run(&["-C", "-t", &topic, "-p", "0", "-o", "-5", "-e", "-q", "-f", "%o %s\\n"], "");
    assert_eq!(tail.lines()[0], "2995 zstd-true-295");
}

#[test]
fn kcat_lists_and_asks_for_offsets() {
    let broker = Broker::shared();
    let Some(kcat) = programs::kcat().map(|path| Kcat(path, broker.address())) else { return };
    let topic = fresh("kcat");
    broker.client().create_topic(&topic, 3);
    kcat.run(&["-P", "-t", &topic, "-p", "1", "-K", ":"], "key:a\nkey:b\n");
    let listed: Value = serde_json::from_str(&kcat.run(&["-L", "-J", "-t", &topic], "").stdout).unwrap();
    assert_eq!(listed["brokers"][0]["name"], json!(broker.address()));
    assert_eq!(listed["topics"][0]["partitions"].as_array().map(Vec::len), Some(3));
    let asked = |time: &str| kcat.run(&["-Q", "-t", &format!("{topic}:1:{time}")], "").stdout;
    assert!(asked("-1").contains("offset 2"), "{}", asked("-1"));
    assert!(asked("-2").contains("offset 0"), "{}", asked("-2"));
    assert!(asked("1000").contains("offset 0"), "{}", asked("1000"));
}

#[test]
fn kcat_reads_as_a_group_and_goes_on_where_it_stopped() {
    let broker = Broker::shared();
    let Some(kcat) = programs::kcat().map(|path| Kcat(path, broker.address())) else { return };
    let (topic, group) = (fresh("kcat"), fresh("kcat"));
    broker.client().create_topic(&topic, 2);
    let events: Vec<String> = (0..200).map(|number| format!("e{number}")).collect();
    for (partition, events) in [("0", &events[..100]), ("1", &events[100..])] {
        kcat.run(&["-P", "-t", &topic, "-p", partition], &(events.join("\n") + "\n"));
    }
    let read = |count: &str| {
        let arguments = ["-G", &group, "-c", count, "-q", "-X", "auto.offset.reset=earliest", &topic];
        kcat.run(&arguments, "").lines().into_iter().map(str::to_string).collect::<Vec<_>>()
    };
    let mut all = read("120");
    assert_eq!(all.len(), 120);
    all.extend(read("80"));
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), 200, "each event once over both readers");
}

#[test]
fn the_java_clients_work_with_their_defaults() {
    let broker = Broker::shared();
    let address = broker.address();
    for release in RELEASES {
        let Some(program) = programs::java_driver(release) else { continue };
        let (topic, group) = (fresh("java"), fresh("java"));
        broker.client().create_topic(&topic, 1);
        let here = [("bootstrap", address.as_str()), ("topic", &topic)];
        for (number, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
            let first = (number * 1000).to_string();
            // The producer's defaults: idempotent, acknowledged by all.
            let keys =
                [("first", first.as_str()), ("count", "1000"), ("codec", codec), ("idempotent", "true")];
            let mut producer = Driver::start(&program, release, "produce", &[&here[..], &keys].concat());
            assert_eq!(producer.ended().acked, 1000, "{release}, {codec}");
            assert_eq!(values(&broker, &topic), numbered(0, (number + 1) * 1000), "{release}, {codec}");
        }
        let mut all = Vec::new();
        for max in ["2000", "3000"] {
            let keys = [("bootstrap", address.as_str()), ("topics", &topic), ("group", &group), ("max", max)];
            let mut consumer = Driver::start(&program, release, "consume", &keys);
            all.extend(told(consumer.ended()));
        }
        assert_eq!(all, numbered(0, 5000), "{release}: committed and resumed without a gap");
    }
}

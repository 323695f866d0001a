//! Where settings come from: Kafka's own file or TOML, then the environment, then the flags, each over the one before.

use harness::broker::{Against, Sources};
use harness::verbs::text;
use harness::{Broker, Client};
use kafka_protocol::messages::DescribeConfigsRequest;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use std::collections::BTreeMap;

/// The keys and values that Kafka 3.5 ships for a node with ZooKeeper.
const KAFKAS_FILE: &str = "# The server\nbroker.id=0\n\nnum.network.threads=3\nnum.io.threads=8\nsocket.send.buffer.bytes=102400\n\
    socket.receive.buffer.bytes=102400\nsocket.request.max.bytes=104857600\nlog.dirs=/tmp/kafka-logs\nnum.partitions=1\n\
    num.recovery.threads.per.data.dir=1\noffsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\n\
    transaction.state.log.min.isr=1\nlog.retention.hours=168\nlog.retention.check.interval.ms=300000\n\
    zookeeper.connect=localhost:2181\nzookeeper.connection.timeout.ms=18000\ngroup.initial.rebalance.delay.ms=0\n";

/// What the broker says of its own settings, as `kafka-configs --describe --entity-type brokers` asks.
fn described(client: &mut Client, node: &str) -> BTreeMap<String, String> {
    let resource = DescribeConfigsResource::default().with_resource_type(4).with_resource_name(text(node));
    let answer = client.call(4, &DescribeConfigsRequest::default().with_resources(vec![resource]));
    let result = &answer.results[0];
    assert_eq!(result.error_code, 0, "{:?}", result.error_message);
    let values = result.configs.iter();
    values
        .map(|config| (config.name.to_string(), config.value.as_ref().map(ToString::to_string)))
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// The lines of the log that speak of settings.
fn told(broker: &Broker) -> Vec<String> {
    let log = broker.log_text();
    log.lines()
        .filter(|line| line.contains("settings") || line.contains("variables"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn kafkas_file_with_zookeeper_is_taken_as_it_is() {
    if !Against::chosen().is_thalweg() {
        return harness::skip::skip_test("Kafka's own file", "it is read by a broker of ours");
    }
    let sources = Sources { file: Some(("server.properties", KAFKAS_FILE)), environment: &[] };
    let broker = Broker::with_sources(&[], sources);
    let lines = told(&broker);
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("INFO settings without a meaning here"), "{lines:#?}");
    for key in
        ["num.io.threads", "num.network.threads", "zookeeper.connect", "zookeeper.connection.timeout.ms"]
    {
        assert!(lines[0].contains(key), "{key} in {lines:#?}");
    }
    assert!(lines[1].contains("WARN settings that are not acted on yet"), "{lines:#?}");
    assert!(lines[1].contains("transaction.state.log.min.isr"), "{lines:#?}");
    let mut client = broker.client();
    let values = described(&mut client, "0");
    assert_eq!((values["node.id"].as_str(), values["socket.request.max.bytes"].as_str()), ("0", "104857600"));
    client.create_topic("iis_log", 1);
    assert_eq!(client.produce("iis_log", 0, &harness::records::Batch::of(&["an event"])), 0);
}

#[test]
fn flags_stand_over_the_environment_over_the_file_over_the_defaults() {
    if !Against::chosen().is_thalweg() {
        return harness::skip::skip_test("priorities", "they are of a broker of ours");
    }
    let file = "\"num.partitions\" = 2\n\"log.segment.bytes\" = 2000000\n\"message.max.bytes\" = 200000\n";
    let environment = &[
        ("THALWEG_LOG_SEGMENT_BYTES", "3000000"),
        ("THALWEG_MESSAGE_MAX_BYTES", "300000"),
        ("THALWEG_LOGDIRS", "x"),
    ];
    let sources = Sources { file: Some(("broker.toml", file)), environment };
    let broker = Broker::with_sources(&[("message.max.bytes", "400000")], sources);
    let values = described(&mut broker.client(), "1");
    let chosen = ["log.retention.hours", "num.partitions", "log.segment.bytes", "message.max.bytes"];
    assert_eq!(chosen.map(|key| values[key].as_str()), ["168", "2", "3000000", "400000"]);
    let lines = told(&broker);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("WARN variables that name no setting") && lines[0].contains("THALWEG_LOGDIRS"));
}

//! Configs of topics and of the broker: described, altered, refused, and what a change does.

use harness::records::Batch;
use harness::verbs::{code, fresh, text};
use harness::{Broker, Client};
use kafka_protocol::messages::alter_configs_request::{
    AlterConfigsResource, AlterableConfig as ReplacingConfig,
};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource as Resource, AlterableConfig,
};
use kafka_protocol::messages::{AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

fn describe(client: &mut Client, kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResult {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(keys.map(|keys| keys.iter().map(|key| text(key)).collect()));
    let request =
        DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
    client.call(4, &request).results.remove(0)
}

fn config(client: &mut Client, topic: &str, key: &str) -> DescribeConfigsResourceResult {
    let mut result = describe(client, TOPIC, topic, Some(&[key]));
    assert_eq!((result.error_code, result.configs.len()), (code::NONE, 1), "{key}");
    result.configs.remove(0)
}

/// Code of one incremental change.
fn alter(client: &mut Client, topic: &str, changes: &[(&str, i8, Option<&str>)], validate_only: bool) -> i16 {
    let change = |&(key, operation, value): &(&str, i8, Option<&str>)| {
        AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(operation)
            .with_value(value.map(text))
    };
    let resource = Resource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(topic))
        .with_configs(changes.iter().map(change).collect());
    let request = IncrementalAlterConfigsRequest::default()
        .with_resources(vec![resource])
        .with_validate_only(validate_only);
    client.call(1, &request).responses[0].error_code
}

/// Waits until a config has the value; Kafka's own change reaches its broker with a delay.
fn wait_for(client: &mut Client, topic: &str, key: &str, value: &str) -> DescribeConfigsResourceResult {
    for _ in 0..100 {
        let found = config(client, topic, key);
        if found.value.as_deref() == Some(value) {
            return found;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{key} of {topic} did not become {value}: {:?}", config(client, topic, key));
}

#[test]
fn a_topics_configs_say_where_each_comes_from() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("configs");
    client.create_topic_with(&topic, 1, &[("segment.bytes", "2000000")]);
    let own = config(&mut client, &topic, "segment.bytes");
    assert_eq!(
        (own.value.as_deref(), own.config_source, own.read_only, own.is_sensitive),
        (Some("2000000"), 1, false, false)
    );
    assert_eq!(own.config_type, 3, "INT");
    let synonyms: Vec<_> =
        own.synonyms.iter().map(|synonym| (synonym.name.to_string(), synonym.source)).collect();
    assert_eq!(synonyms, [("segment.bytes".to_string(), 1), ("log.segment.bytes".to_string(), 5)]);
    let default = config(&mut client, &topic, "max.message.bytes");
    assert_eq!((default.value.as_deref(), default.config_source), (Some("1048588"), 5));
    let all = describe(&mut client, TOPIC, &topic, None).configs;
    for key in [
        "cleanup.policy",
        "compression.type",
        "retention.ms",
        "retention.bytes",
        "segment.bytes",
        "segment.ms",
        "max.message.bytes",
        "message.timestamp.type",
        "min.insync.replicas",
        "delete.retention.ms",
        "flush.messages",
        "message.timestamp.after.max.ms",
        "message.timestamp.before.max.ms",
        "index.interval.bytes",
        "file.delete.delay.ms",
    ] {
        assert!(all.iter().any(|config| config.name.as_str() == key), "{key}");
    }
}

#[test]
fn defaults_are_those_of_kafka_4() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("configs");
    client.create_topic(&topic, 1);
    for (key, value) in [
        ("cleanup.policy", "delete"),
        ("compression.type", "producer"),
        ("delete.retention.ms", "86400000"),
        ("file.delete.delay.ms", "60000"),
        ("flush.messages", "9223372036854775807"),
        ("index.interval.bytes", "4096"),
        ("max.compaction.lag.ms", "9223372036854775807"),
        ("max.message.bytes", "1048588"),
        ("message.timestamp.after.max.ms", "3600000"),
        ("message.timestamp.before.max.ms", "9223372036854775807"),
        ("message.timestamp.type", "CreateTime"),
        ("min.cleanable.dirty.ratio", "0.5"),
        ("min.insync.replicas", "1"),
        ("retention.bytes", "-1"),
        ("retention.ms", "604800000"),
        ("segment.bytes", "1073741824"),
        ("segment.ms", "604800000"),
    ] {
        assert_eq!(config(&mut client, &topic, key).value.as_deref(), Some(value), "{key}");
    }
}

#[test]
fn an_unknown_topic_or_key_is_said_so() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("configs");
    client.create_topic(&topic, 1);
    assert_eq!(
        describe(&mut client, TOPIC, "no-such-topic-here", None).error_code,
        code::UNKNOWN_TOPIC_OR_PARTITION
    );
    assert_eq!(describe(&mut client, TOPIC, "a/b", None).error_code, code::INVALID_TOPIC_EXCEPTION);
    let none = describe(&mut client, TOPIC, &topic, Some(&["no.such.key"]));
    assert_eq!((none.error_code, none.configs.len()), (code::NONE, 0));
    assert_eq!(
        alter(&mut client, "no-such-topic-here", &[("retention.ms", SET, Some("1"))], false),
        code::UNKNOWN_TOPIC_OR_PARTITION
    );
}

#[test]
fn a_change_acts_at_once_and_its_deletion_restores_the_default() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("configs");
    client.create_topic(&topic, 1);
    let batch = || Batch::numbered(0, 1, 2000).encode();
    assert_eq!(client.try_produce(&topic, 0, batch()).error_code, code::NONE);
    assert_eq!(alter(&mut client, &topic, &[("max.message.bytes", SET, Some("1000"))], false), code::NONE);
    assert_eq!(wait_for(&mut client, &topic, "max.message.bytes", "1000").config_source, 1);
    assert_eq!(client.try_produce(&topic, 0, batch()).error_code, code::MESSAGE_TOO_LARGE);
    assert_eq!(alter(&mut client, &topic, &[("max.message.bytes", DELETE, None)], false), code::NONE);
    assert_eq!(wait_for(&mut client, &topic, "max.message.bytes", "1048588").config_source, 5);
    assert_eq!(client.try_produce(&topic, 0, batch()).error_code, code::NONE);
}

#[test]
fn lists_grow_and_shrink() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("configs");
    client.create_topic(&topic, 1);
    assert_eq!(alter(&mut client, &topic, &[("cleanup.policy", APPEND, Some("compact"))], false), code::NONE);
    wait_for(&mut client, &topic, "cleanup.policy", "delete,compact");
    assert_eq!(
        alter(&mut client, &topic, &[("cleanup.policy", SUBTRACT, Some("delete"))], false),
        code::NONE
    );
    wait_for(&mut client, &topic, "cleanup.policy", "compact");
    assert_eq!(
        alter(&mut client, &topic, &[("retention.ms", APPEND, Some("5"))], false),
        code::INVALID_CONFIG,
        "no list"
    );
}

#[test]
fn wrong_changes_are_refused_whole() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("configs");
    client.create_topic(&topic, 1);
    for (changes, expected) in [
        (vec![("retention.ms", SET, Some("soon"))], code::INVALID_CONFIG),
        (vec![("no.such.key", SET, Some("1"))], code::INVALID_CONFIG),
        (
            vec![("segment.bytes", SET, Some("3000000")), ("cleanup.policy", SET, Some("shred"))],
            code::INVALID_CONFIG,
        ),
        (vec![("retention.ms", SET, None)], code::INVALID_REQUEST),
        (vec![("retention.ms", SET, Some("1")), ("retention.ms", SET, Some("2"))], code::INVALID_REQUEST),
    ] {
        assert_eq!(alter(&mut client, &topic, &changes, false), expected, "{changes:?}");
    }
    assert_eq!(
        config(&mut client, &topic, "segment.bytes").config_source,
        5,
        "nothing of a refused change stays"
    );
    assert_eq!(
        alter(&mut client, &topic, &[("retention.ms", SET, Some("5000"))], true),
        code::NONE,
        "validate-only"
    );
    assert_eq!(config(&mut client, &topic, "retention.ms").config_source, 5);
}

#[test]
fn the_older_alter_replaces_all_of_a_topics_configs() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("configs");
    client.create_topic_with(&topic, 1, &[("retention.ms", "1000000"), ("segment.bytes", "2000000")]);
    let replacing =
        ReplacingConfig::default().with_name(text("retention.ms")).with_value(Some(text("2000000")));
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(&topic))
        .with_configs(vec![replacing]);
    let answer = client.call(2, &AlterConfigsRequest::default().with_resources(vec![resource]));
    assert_eq!(answer.responses[0].error_code, code::NONE);
    wait_for(&mut client, &topic, "retention.ms", "2000000");
    assert_eq!(config(&mut client, &topic, "segment.bytes").config_source, 5, "what was not named is gone");
}

#[test]
fn the_brokers_own_settings_can_be_read() {
    let broker = Broker::with(&[("message.max.bytes", "2000000")]);
    let mut client = broker.client();
    let request = kafka_protocol::messages::DescribeClusterRequest::default();
    let node = client.call(0, &request).brokers[0].broker_id.0.to_string();
    let settings =
        describe(&mut client, BROKER, &node, Some(&["message.max.bytes", "log.dirs", "num.partitions"]));
    assert_eq!(settings.error_code, code::NONE);
    let value = |key: &str| settings.configs.iter().find(|config| config.name.as_str() == key).unwrap();
    assert_eq!(
        (value("message.max.bytes").value.as_deref(), value("message.max.bytes").config_source),
        (Some("2000000"), 4)
    );
    assert!(value("log.dirs").read_only);
    assert_eq!(
        (value("num.partitions").value.as_deref(), value("num.partitions").config_source),
        (Some("1"), 5)
    );
    let topic = "inherits";
    client.create_topic(topic, 1);
    let inherited = config(&mut client, topic, "max.message.bytes");
    assert_eq!(
        (inherited.value.as_deref(), inherited.config_source),
        (Some("2000000"), 4),
        "4: the broker's file"
    );
    assert_eq!(describe(&mut client, BROKER, "77", None).error_code, code::INVALID_REQUEST);
}

#[test]
fn topics_and_their_configs_survive_a_restart() {
    let mut broker = Broker::start();
    let mut client = broker.client();
    let id = client.create_topic_with("kept", 3, &[("retention.ms", "1234567")]);
    assert_eq!(alter(&mut client, "kept", &[("segment.bytes", SET, Some("3000000"))], false), code::NONE);
    wait_for(&mut client, "kept", "segment.bytes", "3000000");
    for clean in [true, false] {
        if clean {
            broker.stop();
        } else {
            broker.kill();
        }
        broker.start_again(None);
        let mut client = broker.client();
        assert_eq!(client.wait_for_topic("kept", 3), id, "the topic id stays");
        assert_eq!(config(&mut client, "kept", "retention.ms").value.as_deref(), Some("1234567"));
        assert_eq!(config(&mut client, "kept", "segment.bytes").value.as_deref(), Some("3000000"));
    }
}

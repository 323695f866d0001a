//! DescribeConfigs, IncrementalAlterConfigs, AlterConfigs.

use crate::answers::keys::{SET_APART, is_compared};
use harness::Transcript;
use harness::verbs::text;
use kafka_protocol::messages::alter_configs_request as replacing;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request as editing;
use kafka_protocol::messages::{AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// What to ask for beside the values.
#[derive(Clone, Copy)]
struct With {
    synonyms: bool,
    documentation: bool,
}

const BARE: With = With { synonyms: false, documentation: false };
const ALL: With = With { synonyms: true, documentation: true };

fn resource(kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResource {
    DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(keys.map(|keys| keys.iter().map(|key| text(key)).collect()))
}

fn describe(
    transcript: &mut Transcript,
    what: &str,
    version: i16,
    resources: Vec<DescribeConfigsResource>,
    with: With,
) {
    let mut request =
        DescribeConfigsRequest::default().with_resources(resources).with_include_synonyms(with.synonyms);
    if version >= 3 {
        request = request.with_include_documentation(with.documentation);
    }
    transcript.ask_and(what, version, &request, |answer| {
        answer.results.sort_by_key(|one| (one.resource_type, one.resource_name.to_string()));
        for result in &mut answer.results {
            result.configs.sort_by(|a, b| a.name.cmp(&b.name));
            let is_topic = result.resource_type == TOPIC && result.configs.len() > SET_APART.len();
            result.configs.retain(|config| !is_topic || is_compared(config.name.as_str()));
        }
    });
}

/// What has no configuration.
const ODD_RESOURCES: &[(&str, i8, &str)] = &[
    ("an unknown topic", TOPIC, "u"),
    ("a topic without a name", TOPIC, ""),
    ("an odd topic", TOPIC, "a/b"),
    ("another broker", BROKER, "77"),
    ("a broker that is no number", BROKER, "abc"),
    ("another broker's loggers", BROKER_LOGGER, "77"),
    ("nobody's loggers", BROKER_LOGGER, ""),
    ("loggers of no number", BROKER_LOGGER, "abc"),
    ("type 0", 0, "x"),
    ("type 1", 1, "x"),
    ("type 3", 3, "x"),
    ("type 99", 99, "x"),
];

#[test]
fn configs_are_described_as_kafka_describes_them() {
    let settings =
        [("message.max.bytes", "2000000"), ("log.retention.hours", "24"), ("log.roll.ms", "90000000")];
    let Some(mut transcript) = Transcript::begin("describe_configs", &settings) else { return };
    let own = [("segment.bytes", "2000000"), ("cleanup.policy", "compact"), ("compression.type", "zstd")];
    transcript.client().create_topic_with("t", 1, &own);
    for version in 1..=4 {
        describe(
            &mut transcript,
            &format!("all of a topic, v{version}"),
            version,
            vec![resource(TOPIC, "t", None)],
            BARE,
        );
        let some: &[&str] =
            &["segment.bytes", "max.message.bytes", "no.such.key", "retention.ms", "cleanup.policy"];
        let name = format!("some of a topic with all that is told, v{version}");
        describe(&mut transcript, &name, version, vec![resource(TOPIC, "t", Some(some))], ALL);
    }
    describe(&mut transcript, "all of a topic with synonyms", 4, vec![resource(TOPIC, "t", None)], ALL);
    describe(&mut transcript, "no keys of a topic", 4, vec![resource(TOPIC, "t", Some(&[]))], BARE);
    let keys: &[&str] = &[
        "message.max.bytes",
        "num.partitions",
        "log.retention.ms",
        "log.retention.hours",
        "compression.type",
        "auto.create.topics.enable",
        "log.cleanup.policy",
        "log.roll.ms",
        "no.such.key",
    ];
    transcript.differs("the broker's keys are read at its start: none can be changed later");
    describe(&mut transcript, "some of the broker", 4, vec![resource(BROKER, "1", Some(keys))], ALL);
    transcript.differs("the broker's keys are read at its start: none can be changed later");
    describe(&mut transcript, "some of the broker, v1", 1, vec![resource(BROKER, "1", Some(keys))], BARE);
    for (what, kind, name) in ODD_RESOURCES {
        describe(&mut transcript, what, 4, vec![resource(*kind, name, None)], BARE);
    }
    transcript.differs("a fresh Kafka 4.3 sets the one for all brokers, and there is no remote storage here");
    describe(&mut transcript, "keys that are set apart", 4, vec![resource(TOPIC, "t", Some(SET_APART))], ALL);
    transcript.differs("a fresh Kafka 4.3 sets min.insync.replicas for all brokers");
    describe(&mut transcript, "all brokers", 4, vec![resource(BROKER, "", None)], BARE);
    describe(&mut transcript, "nothing", 4, vec![], BARE);
    describe(
        &mut transcript,
        "good and bad",
        4,
        vec![
            resource(TOPIC, "t", Some(&["segment.ms"])),
            resource(TOPIC, "u", None),
            resource(BROKER, "77", None),
        ],
        BARE,
    );
    describe(
        &mut transcript,
        "one topic twice",
        4,
        vec![resource(TOPIC, "t", Some(&["segment.ms"])), resource(TOPIC, "t", Some(&["segment.bytes"]))],
        BARE,
    );
    transcript.close();
}

type Edit<'a> = (&'a str, i8, Option<&'a str>);

fn edit_request(
    resources: &[(i8, &str, &[Edit<'_>])],
    validate_only: bool,
) -> IncrementalAlterConfigsRequest {
    let config = |(key, operation, value): &Edit<'_>| {
        editing::AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(*operation)
            .with_value(value.map(text))
    };
    let resource = |(kind, name, edits): &(i8, &str, &[Edit<'_>])| {
        editing::AlterConfigsResource::default()
            .with_resource_type(*kind)
            .with_resource_name(text(name))
            .with_configs(edits.iter().map(config).collect())
    };
    IncrementalAlterConfigsRequest::default()
        .with_validate_only(validate_only)
        .with_resources(resources.iter().map(resource).collect())
}

fn edit(
    transcript: &mut Transcript,
    what: &str,
    version: i16,
    resources: &[(i8, &str, &[Edit<'_>])],
    validate_only: bool,
) {
    transcript.ask_and(what, version, &edit_request(resources, validate_only), |answer| {
        answer
            .responses
            .sort_by_key(|one| (one.resource_type, one.resource_name.to_string(), one.error_code));
    });
    transcript.settle();
}

/// What `t` sets itself now.
fn own(transcript: &mut Transcript, what: &str) {
    let request = DescribeConfigsRequest::default().with_resources(vec![resource(TOPIC, "t", None)]);
    let answer = transcript.client().call(4, &request);
    let mut own: Vec<String> = Vec::new();
    for config in answer.results[0].configs.iter().filter(|config| config.config_source == 1) {
        own.push(format!("{} = {:?}", config.name, config.value.as_deref()));
    }
    own.sort();
    transcript.note_text(what, own.join("\n"));
}

/// Changes of lists, one after the other.
const LISTS: &[Edit<'static>] = &[
    ("cleanup.policy", APPEND, Some("compact")),
    ("cleanup.policy", APPEND, Some("compact")),
    ("cleanup.policy", SUBTRACT, Some("delete")),
    ("cleanup.policy", SUBTRACT, Some("delete")),
    ("cleanup.policy", SUBTRACT, Some("compact")),
    ("cleanup.policy", APPEND, Some("delete")),
    ("cleanup.policy", APPEND, Some("delete,compact")),
    ("cleanup.policy", APPEND, Some("")),
    ("cleanup.policy", SUBTRACT, Some("")),
    ("cleanup.policy", SUBTRACT, Some("delete,compact")),
    ("cleanup.policy", DELETE, Some("ignored")),
    ("cleanup.policy", SUBTRACT, Some("delete")),
    ("cleanup.policy", APPEND, Some(" compact")),
    ("cleanup.policy", SET, Some("")),
    ("cleanup.policy", DELETE, None),
    ("leader.replication.throttled.replicas", APPEND, Some("")),
    ("leader.replication.throttled.replicas", SUBTRACT, Some("0:1")),
];

/// What is wrong with most of them is their name.
const ODD_EDITS: &[(&str, &[(i8, &str, &[Edit<'static>])])] = &[
    ("no list appended", &[(TOPIC, "t", &[("retention.ms", APPEND, Some("5"))])]),
    ("no list subtracted", &[(TOPIC, "t", &[("retention.ms", SUBTRACT, Some("5"))])]),
    ("unknown key", &[(TOPIC, "t", &[("no.such.key", SET, Some("5"))])]),
    ("unknown key deleted", &[(TOPIC, "t", &[("no.such.key", DELETE, None)])]),
    ("unknown key appended", &[(TOPIC, "t", &[("no.such.key", APPEND, Some("5"))])]),
    ("unknown key subtracted", &[(TOPIC, "t", &[("no.such.key", SUBTRACT, Some("5"))])]),
    ("null set", &[(TOPIC, "t", &[("retention.ms", SET, None)])]),
    ("null appended", &[(TOPIC, "t", &[("cleanup.policy", APPEND, None)])]),
    ("operation 4", &[(TOPIC, "t", &[("retention.ms", 4, Some("5"))])]),
    ("operation -1", &[(TOPIC, "t", &[("retention.ms", -1, Some("5"))])]),
    ("a key twice", &[(TOPIC, "t", &[("retention.ms", SET, Some("5")), ("retention.ms", SET, Some("6"))])]),
    (
        "a key set and deleted",
        &[(TOPIC, "t", &[("retention.ms", SET, Some("5")), ("retention.ms", DELETE, None)])],
    ),
    ("an empty key", &[(TOPIC, "t", &[("", SET, Some("5"))])]),
    ("nothing", &[(TOPIC, "t", &[])]),
    ("nobody", &[]),
    ("an unknown topic", &[(TOPIC, "none", &[("retention.ms", SET, Some("5"))])]),
    ("an unknown topic and a bad value", &[(TOPIC, "none", &[("retention.ms", SET, Some("x"))])]),
    ("a topic without a name", &[(TOPIC, "", &[("retention.ms", SET, Some("5"))])]),
    ("an odd topic", &[(TOPIC, "a/b", &[("retention.ms", SET, Some("5"))])]),
    (
        "a topic twice",
        &[(TOPIC, "t", &[("retention.ms", SET, Some("5"))]), (TOPIC, "t", &[("segment.ms", SET, Some("5"))])],
    ),
    (
        "a topic twice and another",
        &[(TOPIC, "t", &[]), (TOPIC, "t", &[]), (TOPIC, "u", &[("segment.ms", SET, Some("5"))])],
    ),
    (
        "good and bad",
        &[(TOPIC, "u", &[("segment.ms", SET, Some("7"))]), (TOPIC, "t", &[("segment.ms", SET, Some("x"))])],
    ),
    (
        "good and bad in one",
        &[(TOPIC, "t", &[("segment.ms", SET, Some("7")), ("cleanup.policy", SET, Some("shred"))])],
    ),
    ("another broker", &[(BROKER, "77", &[("log.retention.ms", SET, Some("5"))])]),
    ("a broker that is no number", &[(BROKER, "abc", &[("log.retention.ms", SET, Some("5"))])]),
    ("a broker's key for its start", &[(BROKER, "1", &[("node.id", SET, Some("5"))])]),
    ("type 0", &[(0, "x", &[("a", SET, Some("5"))])]),
    ("type 1", &[(1, "x", &[("a", SET, Some("5"))])]),
    ("type 99", &[(99, "x", &[("a", SET, Some("5"))])]),
];

#[test]
fn configs_are_edited_as_kafka_edits_them() {
    let Some(mut transcript) = Transcript::begin("incremental_alter_configs", &[]) else { return };
    transcript.client().create_topic("t", 1);
    transcript.client().create_topic("u", 1);
    for version in 0..=1 {
        edit(
            &mut transcript,
            &format!("set, v{version}"),
            version,
            &[(TOPIC, "t", &[("retention.ms", SET, Some("5000"))])],
            false,
        );
        edit(
            &mut transcript,
            &format!("refused, v{version}"),
            version,
            &[(TOPIC, "t", &[("retention.ms", SET, Some("soon"))])],
            false,
        );
        edit(
            &mut transcript,
            &format!("deleted, v{version}"),
            version,
            &[(TOPIC, "t", &[("retention.ms", DELETE, None)])],
            false,
        );
    }
    for (number, change) in LISTS.iter().enumerate() {
        let what = format!("list {number}: {change:?}");
        edit(&mut transcript, &what, 1, &[(TOPIC, "t", &[*change])], false);
        own(&mut transcript, &format!("then ({number})"));
    }
    for validate_only in [true, false] {
        for (what, resources) in ODD_EDITS {
            if what.starts_with("operation") {
                transcript.differs("Kafka fails with an exception of its own");
            }
            let what = format!("{what}, validate only: {validate_only}");
            edit(&mut transcript, &what, 1, resources, validate_only);
        }
        own(&mut transcript, &format!("after all that, validate only: {validate_only}"));
    }
    transcript.close();
}

type Entry<'a> = (&'a str, Option<&'a str>);

fn replace(
    transcript: &mut Transcript,
    what: &str,
    version: i16,
    resources: &[(i8, &str, &[Entry<'_>])],
    validate_only: bool,
) {
    let config = |(key, value): &Entry<'_>| {
        replacing::AlterableConfig::default().with_name(text(key)).with_value(value.map(text))
    };
    let resource = |(kind, name, entries): &(i8, &str, &[Entry<'_>])| {
        replacing::AlterConfigsResource::default()
            .with_resource_type(*kind)
            .with_resource_name(text(name))
            .with_configs(entries.iter().map(config).collect())
    };
    let request = AlterConfigsRequest::default()
        .with_validate_only(validate_only)
        .with_resources(resources.iter().map(resource).collect());
    transcript.ask_and(what, version, &request, |answer| {
        answer
            .responses
            .sort_by_key(|one| (one.resource_type, one.resource_name.to_string(), one.error_code));
    });
    transcript.settle();
}

/// What is wrong with most of them is their name.
const ODD_ENTRIES: &[(&str, &[(i8, &str, &[Entry<'static>])])] = &[
    ("a null", &[(TOPIC, "t", &[("retention.ms", None)])]),
    ("a null and a bad one", &[(TOPIC, "t", &[("retention.ms", None), ("segment.ms", Some("x"))])]),
    ("a key twice", &[(TOPIC, "t", &[("retention.ms", Some("5")), ("retention.ms", Some("6"))])]),
    ("an unknown key", &[(TOPIC, "t", &[("no.such.key", Some("5"))])]),
    ("a bad value", &[(TOPIC, "t", &[("retention.ms", Some("soon"))])]),
    ("an unknown topic", &[(TOPIC, "none", &[("retention.ms", Some("5"))])]),
    ("a topic without a name", &[(TOPIC, "", &[])]),
    ("an odd topic", &[(TOPIC, "a/b", &[])]),
    ("a topic twice", &[(TOPIC, "t", &[]), (TOPIC, "t", &[])]),
    (
        "good and bad",
        &[(TOPIC, "u", &[("segment.ms", Some("7"))]), (TOPIC, "t", &[("segment.ms", Some("x"))])],
    ),
    ("another broker", &[(BROKER, "77", &[("log.retention.ms", Some("5"))])]),
    ("a broker that is no number", &[(BROKER, "abc", &[("log.retention.ms", Some("5"))])]),
    ("a broker's key for its start", &[(BROKER, "1", &[("node.id", Some("5"))])]),
    ("loggers", &[(BROKER_LOGGER, "1", &[("root", Some("INFO"))])]),
    ("type 0", &[(0, "x", &[])]),
    ("type 99", &[(99, "x", &[])]),
];

#[test]
fn configs_are_replaced_as_kafka_replaces_them() {
    let Some(mut transcript) = Transcript::begin("alter_configs", &[]) else { return };
    transcript.client().create_topic("t", 1);
    transcript.client().create_topic("u", 1);
    for version in 0..=2 {
        let both: &[Entry<'_>] = &[("retention.ms", Some("5000")), ("segment.bytes", Some("2000000"))];
        replace(&mut transcript, &format!("both, v{version}"), version, &[(TOPIC, "t", both)], false);
        own(&mut transcript, &format!("then both, v{version}"));
        replace(&mut transcript, &format!("validated, v{version}"), version, &[(TOPIC, "t", &[])], true);
        replace(
            &mut transcript,
            &format!("one, v{version}"),
            version,
            &[(TOPIC, "t", &[("retention.ms", Some("6000"))])],
            false,
        );
        own(&mut transcript, &format!("then one, v{version}"));
        replace(&mut transcript, &format!("none, v{version}"), version, &[(TOPIC, "t", &[])], false);
        own(&mut transcript, &format!("then none, v{version}"));
    }
    for validate_only in [true, false] {
        for (what, resources) in ODD_ENTRIES {
            if *what == "a topic twice" {
                transcript.differs("Kafka fails and never answers");
            }
            let what = format!("{what}, validate only: {validate_only}");
            replace(&mut transcript, &what, 2, resources, validate_only);
        }
        own(&mut transcript, &format!("after all that, validate only: {validate_only}"));
    }
    transcript.close();
}

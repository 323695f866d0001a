//! `DescribeConfigs` 0-4.

use super::resource;
use crate::api::refusal::Refusal;
use crate::api::{RequestContext, counted};
use crate::cluster::{Image, validate_name};
use crate::config::{Config, ConfigSource, Described, TopicKey, topic_keys};
use crate::shard::Shard;
use crate::wire::ErrorCode;
use crate::wire::messages::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};
use std::rc::Rc;

/// Entries of one answer: about 12 000 topics whole, a hundred megabytes while it is made.
const ENTRIES_MAX: usize = 400_000;
/// Topics that are described between two looks at what else waits.
const TOPICS_PER_TURN: usize = 64;
/// Type of a key that the broker cannot type, as the wire numbers it.
const UNKNOWN_TYPE: i8 = 0;

/// What the answer should hold beside the values.
#[derive(Clone, Copy)]
struct Wanted {
    synonyms: bool,
    documentation: bool,
}

/// `DescribeConfigs` 0-4.
pub(in crate::api) async fn describe_configs(
    shard: &Rc<Shard>,
    _context: &RequestContext,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let wanted = Wanted { synonyms: request.include_synonyms, documentation: request.include_documentation };
    let image = shard.cluster.image();
    let mut results = Vec::with_capacity(request.resources.len());
    let mut entry_count = 0;
    for (number, asked) in request.resources.into_iter().enumerate() {
        if number % TOPICS_PER_TURN == TOPICS_PER_TURN - 1 {
            futures_lite::future::yield_now().await;
        }
        let described = if entry_count > ENTRIES_MAX {
            let text =
                format!("One answer holds {ENTRIES_MAX} configurations at most: ask for fewer at a time.");
            Err(Refusal::new(ErrorCode::PolicyViolation, text))
        } else {
            describe(&shard.config, &image, &asked, wanted)
        };
        // Kafka's text of "no error" is empty here, not null.
        let (configs, code, text) = match described {
            Ok(configs) => (configs, ErrorCode::None, String::new()),
            Err(refusal) => (Vec::new(), refusal.code, refusal.text),
        };
        entry_count += configs.len();
        results.push(DescribeConfigsResult {
            error_code: counted(shard, code),
            error_message: Some(text),
            resource_type: asked.resource_type,
            resource_name: asked.resource_name,
            configs,
        });
    }
    DescribeConfigsResponse { results, ..DescribeConfigsResponse::default() }
}

fn describe(
    config: &Config,
    image: &Image,
    asked: &DescribeConfigsResource,
    wanted: Wanted,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let name = asked.resource_name.as_str();
    match asked.resource_type {
        resource::TOPIC => {
            let invalid = |error: crate::cluster::NameError| {
                Refusal::new(ErrorCode::InvalidTopicException, error.to_string())
            };
            validate_name(name).map_err(invalid)?;
            let topic = image
                .topic(name)
                .ok_or_else(|| Refusal::new(ErrorCode::UnknownTopicOrPartition, String::new()))?;
            let keys = topic_keys().iter().filter(|key| is_asked(asked, key.name));
            let describe = if topic.internal { TopicKey::describe_internal } else { TopicKey::describe };
            Ok(keys.map(|key| entry(describe(key, config, &topic.overrides), wanted)).collect())
        }
        resource::BROKER => {
            if name.is_empty() {
                return Ok(Vec::new()); // defaults of all brokers: they are never set at run time
            }
            check_broker(config, name, " or empty string,")?;
            let keys = config.describe().filter(|key| is_asked(asked, key.name));
            Ok(keys.map(|key| entry(key, wanted)).collect())
        }
        resource::BROKER_LOGGER => {
            if name.is_empty() {
                return Err(Refusal::request("Broker id must not be empty"));
            }
            check_broker(config, name, "")?;
            Ok(is_asked(asked, "root").then(|| root_logger(config)).into_iter().collect())
        }
        resource::CLIENT_METRICS => Err(Refusal::request("Client metrics are not served by this broker.")),
        resource::GROUP => Err(Refusal::request("Groups have no configuration of their own here.")),
        other => Err(Refusal::request(format!("Unexpected resource type {other}."))),
    }
}

fn check_broker(config: &Config, name: &str, or_else: &str) -> Result<(), Refusal> {
    let id: i32 = name
        .parse()
        .map_err(|_| Refusal::request(format!("Broker id must be an integer, but it is: {name}")))?;
    if id != config.node_id {
        let text = format!("Unexpected broker id, expected {}{or_else} but received {name}", config.node_id);
        return Err(Refusal::request(text));
    }
    Ok(())
}

fn is_asked(asked: &DescribeConfigsResource, name: &str) -> bool {
    let keys = asked.configuration_keys.as_deref().unwrap_or_default();
    keys.is_empty() || keys.iter().any(|key| key == name)
}

fn entry(described: Described, wanted: Wanted) -> DescribeConfigsResourceResult {
    let synonyms = if wanted.synonyms { described.synonyms } else { Vec::new() };
    let synonym = |place: crate::config::Synonym| DescribeConfigsSynonym {
        name: place.name.to_owned(),
        value: place.value,
        source: place.source as i8,
    };
    DescribeConfigsResourceResult {
        name: described.name.to_owned(),
        value: described.value,
        read_only: described.read_only,
        is_default: described.source == ConfigSource::Default,
        config_source: described.source as i8,
        is_sensitive: false,
        synonyms: synonyms.into_iter().map(synonym).collect(),
        config_type: described.kind as i8,
        documentation: wanted.documentation.then(|| described.doc.to_owned()),
    }
}

/// The one logger that there is: its level, where `thalweg.log.level` is one for all.
fn root_logger(config: &Config) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult {
        name: "root".to_owned(),
        value: Some(config.thalweg_log_level.to_ascii_uppercase()),
        read_only: true,
        is_default: false,
        config_source: ConfigSource::BrokerLogger as i8,
        is_sensitive: false,
        synonyms: Vec::new(),
        config_type: UNKNOWN_TYPE,
        documentation: Some(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::image_of;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn described(
        set: &[(&str, &str)],
        kind: i8,
        name: &str,
        keys: &[&str],
    ) -> Result<Vec<DescribeConfigsResourceResult>, (i16, String)> {
        let set: BTreeMap<String, String> =
            set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let config = Arc::new(Config::of(set).unwrap());
        let image = image_of(&config, &[("t", 1, &[("segment.bytes", "2000000")])]);
        let asked = DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.to_owned(),
            configuration_keys: Some(keys.iter().map(|key| (*key).to_owned()).collect()),
        };
        let wanted = Wanted { synonyms: true, documentation: false };
        describe(&config, &image, &asked, wanted).map_err(|refusal| (refusal.code as i16, refusal.text))
    }

    /// Value, source, and synonyms as `name=value/source`.
    fn one(set: &[(&str, &str)], kind: i8, name: &str, key: &str) -> (Option<String>, i8, Vec<String>) {
        let found = described(set, kind, name, &[key]).unwrap().remove(0);
        let text = |known: DescribeConfigsSynonym| {
            format!("{}={}/{}", known.name, known.value.unwrap_or_default(), known.source)
        };
        (found.value, found.config_source, found.synonyms.into_iter().map(text).collect())
    }

    #[test]
    fn a_topics_value_names_all_that_it_could_have_been() {
        let set = [("message.max.bytes", "2000000"), ("log.retention.hours", "5")];
        let text = |value: &str| Some(value.to_owned());
        assert_eq!(
            one(&set, resource::TOPIC, "t", "segment.bytes"),
            (
                text("2000000"),
                1,
                vec!["segment.bytes=2000000/1".into(), "log.segment.bytes=1073741824/5".into()]
            )
        );
        assert_eq!(
            one(&set, resource::TOPIC, "t", "max.message.bytes"),
            (
                text("2000000"),
                4,
                vec!["message.max.bytes=2000000/4".into(), "message.max.bytes=1048588/5".into()]
            )
        );
        assert_eq!(one(&set, resource::TOPIC, "t", "retention.ms"), (text("18000000"), 5, vec![]));
    }

    #[test]
    fn the_brokers_values_are_shown_and_cannot_be_changed() {
        let set = [("message.max.bytes", "2000000")];
        let (value, source, synonyms) = one(&set, resource::BROKER, "1", "message.max.bytes");
        assert_eq!((value.as_deref(), source, synonyms.len()), (Some("2000000"), 4, 2));
        assert_eq!(one(&set, resource::BROKER, "1", "log.retention.ms"), (None, 5, vec![]));
        let all = described(&set, resource::BROKER, "1", &[]).unwrap();
        assert!(all.len() > 50 && all.iter().all(|entry| entry.read_only));
        assert_eq!(described(&set, resource::BROKER, "", &[]), Ok(Vec::new()));
    }

    #[test]
    fn what_has_no_configuration_is_refused_as_kafka_does() {
        for (kind, name, code, text) in [
            (resource::TOPIC, "u", 3, ""),
            (resource::TOPIC, "a/b", 17, "Topic name is invalid"),
            (resource::TOPIC, "", 17, "empty string"),
            (resource::BROKER, "77", 42, "expected 1 or empty string, but received 77"),
            (resource::BROKER, "abc", 42, "Broker id must be an integer, but it is: abc"),
            (resource::BROKER_LOGGER, "", 42, "Broker id must not be empty"),
            (resource::BROKER_LOGGER, "7", 42, "expected 1 but received 7"),
            (resource::GROUP, "g", 42, "Groups"),
            (0, "x", 42, "resource type 0"),
        ] {
            let (seen, words) = described(&[], kind, name, &[]).unwrap_err();
            assert_eq!(seen, code, "{words}");
            assert!(words.contains(text), "{words}");
        }
        assert_eq!(described(&[], resource::TOPIC, "t", &["no.such"]), Ok(Vec::new()));
    }
}

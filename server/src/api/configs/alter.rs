//! `AlterConfigs` 0-2 and `IncrementalAlterConfigs` 0-1.

use super::resource;
use crate::api::refusal::Refusal;
use crate::api::{RequestContext, codes, counted};
use crate::cluster::{AlterConfigsError, NameError, Topic, validate_name};
use crate::config::{Config, KeyType, TopicSettings, topic_key};
use crate::shard::Shard;
use crate::wire::ErrorCode;
use crate::wire::messages::{
    AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse, AlterableConfig,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
    IncrementalAlterableConfig,
};
use futures_util::StreamExt;
use futures_util::stream::iter;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

/// Resources of one request that are changed at a time: enough to share commits of the journal.
const RESOURCES_IN_FLIGHT_MAX: usize = 64;

mod operation {
    pub(super) const SET: i8 = 0;
    pub(super) const DELETE: i8 = 1;
    pub(super) const APPEND: i8 = 2;
    pub(super) const SUBTRACT: i8 = 3;
}

/// What is asked of one resource.
#[derive(Clone)]
enum Change {
    /// All that it sets from now on.
    Replace(Vec<AlterableConfig>),
    /// Changes to what it sets.
    Edit(Vec<IncrementalAlterableConfig>),
}

/// A resource: its kind and its name.
type Resource = (i8, String);

/// `AlterConfigs` 0-2: replaces all that a resource sets.
pub(in crate::api) async fn alter_configs(
    shard: &Rc<Shard>,
    _context: &RequestContext,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let resources = request.resources.into_iter();
    let asked = resources.map(|one| ((one.resource_type, one.resource_name), Change::Replace(one.configs)));
    let outcomes = alter_all(shard, asked.collect(), request.validate_only).await;
    let response = |((resource_type, resource_name), code, error_message)| AlterConfigsResourceResponse {
        error_code: code,
        error_message,
        resource_type,
        resource_name,
    };
    let responses = outcomes.into_iter().map(response).collect();
    AlterConfigsResponse { responses, ..AlterConfigsResponse::default() }
}

/// `IncrementalAlterConfigs` 0-1.
pub(in crate::api) async fn incremental_alter_configs(
    shard: &Rc<Shard>,
    _context: &RequestContext,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let resources = request.resources.into_iter();
    let asked = resources.map(|one| ((one.resource_type, one.resource_name), Change::Edit(one.configs)));
    let outcomes = alter_all(shard, asked.collect(), request.validate_only).await;
    let response =
        |((resource_type, resource_name), code, error_message)| IncrementalAlterConfigsResourceResponse {
            error_code: code,
            error_message,
            resource_type,
            resource_name,
        };
    let responses = outcomes.into_iter().map(response).collect();
    IncrementalAlterConfigsResponse { responses, ..IncrementalAlterConfigsResponse::default() }
}

/// Does many resources at a time, each by itself.
async fn alter_all(
    shard: &Rc<Shard>,
    asked: Vec<(Resource, Change)>,
    validate_only: bool,
) -> Vec<(Resource, ErrorCode, Option<String>)> {
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<Resource> =
        asked.iter().map(|(resource, _)| resource).filter(|one| !seen.insert(*one)).cloned().collect();
    let twice = &twice;
    let each = asked.into_iter().map(|(resource, change)| async move {
        let refused = if twice.contains(&resource) {
            Some(Refusal::request("Each resource must appear at most once."))
        } else {
            alter(shard, &resource, change, validate_only).await.err()
        };
        let (code, text) = Refusal::parts(refused);
        (resource, counted(shard, code), text)
    });
    iter(each).buffered(RESOURCES_IN_FLIGHT_MAX).collect().await
}

async fn alter(
    shard: &Rc<Shard>,
    (kind, name): &Resource,
    change: Change,
    validate_only: bool,
) -> Result<(), Refusal> {
    check_keys(&change)?;
    match *kind {
        resource::TOPIC => alter_topic(shard, name, change, validate_only).await,
        resource::BROKER => alter_broker(&shard.config, name, &change),
        resource::BROKER_LOGGER if matches!(change, Change::Edit(_)) => {
            Err(Refusal::request("Log levels are set by thalweg.log.level at the start of the broker."))
        }
        resource::CLIENT_METRICS => Err(Refusal::request("Client metrics are not served by this broker.")),
        resource::GROUP => Err(Refusal::request("Groups have no configuration of their own here.")),
        other => Err(Refusal::request(format!("Unknown resource type {other}"))),
    }
}

/// Each key once, and with a value where one is needed.
fn check_keys(change: &Change) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    let is_fresh = match change {
        Change::Replace(entries) => entries.iter().all(|entry| seen.insert(entry.name.as_str())),
        Change::Edit(edits) => edits.iter().all(|edit| seen.insert(edit.name.as_str())),
    };
    if !is_fresh {
        return Err(Refusal::request("Error due to duplicate config keys"));
    }
    let nulls: Vec<&str> = match change {
        Change::Replace(entries) => {
            let nulls = entries.iter().filter(|entry| entry.value.is_none());
            nulls.map(|entry| entry.name.as_str()).collect()
        }
        Change::Edit(edits) => {
            let nulls = edits.iter();
            let nulls =
                nulls.filter(|edit| edit.config_operation != operation::DELETE && edit.value.is_none());
            nulls.map(|edit| edit.name.as_str()).collect()
        }
    };
    if nulls.is_empty() {
        return Ok(());
    }
    Err(Refusal::request(format!("Null value not supported for : {}", nulls.join(","))))
}

/// The broker's configuration is read at its start.
fn alter_broker(config: &Config, name: &str, change: &Change) -> Result<(), Refusal> {
    if !name.is_empty() {
        let id: i32 = name
            .parse()
            .map_err(|_| Refusal::request(format!("Node id must be an integer, but it is: {name}")))?;
        if id != config.node_id {
            let text = format!("Unexpected broker id, expected {}, but received {name}", config.node_id);
            return Err(Refusal::request(text));
        }
    }
    let keys: Vec<&str> = match change {
        Change::Replace(entries) => entries.iter().map(|entry| entry.name.as_str()).collect(),
        Change::Edit(edits) => edits.iter().map(|edit| edit.name.as_str()).collect(),
    };
    if keys.is_empty() {
        return Ok(());
    }
    Err(Refusal::request(format!("Cannot update these configs dynamically: [{}]", keys.join(", "))))
}

async fn alter_topic(
    shard: &Rc<Shard>,
    name: &str,
    change: Change,
    validate_only: bool,
) -> Result<(), Refusal> {
    if shard.cluster.look().topic(name).is_none() {
        // As Kafka tells it: lists that are none, then the name, then the values, and only then that no such topic is there.
        let after = applied(&shard.config, &BTreeMap::new(), change.clone())?;
        if name.is_empty() {
            return Err(Refusal::request("Default topic resources are not allowed."));
        }
        let invalid = |error: NameError| Refusal::new(ErrorCode::InvalidTopicException, error.to_string());
        validate_name(name).map_err(invalid)?;
        TopicSettings::from_overrides(&shard.config, &after)?;
    }
    let config = Arc::clone(&shard.config);
    let changed = move |topic: &Topic| changed(&config, topic.internal, &topic.overrides, change);
    if validate_only {
        let unknown = || Refusal::new(ErrorCode::UnknownTopicOrPartition, unknown_text(name));
        let topic = shard.cluster.image().topic(name).cloned().ok_or_else(unknown)?;
        return changed(&topic).map(drop);
    }
    let outcome = shard.cluster.alter_configs(shard, name.to_owned(), changed).await;
    outcome.map_err(|error| match error {
        AlterConfigsError::Unknown { name } => {
            Refusal::new(ErrorCode::UnknownTopicOrPartition, unknown_text(&name))
        }
        AlterConfigsError::Invalid(refusal) => refusal,
        AlterConfigsError::Store(error) => Refusal::new(codes::of_store(&error), error.to_string()),
    })
}

fn unknown_text(name: &str) -> String {
    format!("The topic '{name}' does not exist.")
}

/// What a topic sets after a change; all of it is valid.
fn changed(
    config: &Config,
    is_internal: bool,
    overrides: &BTreeMap<String, String>,
    change: Change,
) -> Result<BTreeMap<String, String>, Refusal> {
    let after = applied(config, overrides, change)?;
    if is_internal {
        TopicSettings::of_internal(config, &after)?;
    } else {
        TopicSettings::from_overrides(config, &after)?;
    }
    Ok(after)
}

/// The same before its values were looked at.
fn applied(
    config: &Config,
    overrides: &BTreeMap<String, String>,
    change: Change,
) -> Result<BTreeMap<String, String>, Refusal> {
    match change {
        Change::Replace(entries) => {
            Ok(entries.into_iter().map(|entry| (entry.name, entry.value.unwrap_or_default())).collect())
        }
        Change::Edit(edits) => {
            let mut after = overrides.clone();
            for edit in edits {
                apply(config, &mut after, edit)?;
            }
            Ok(after)
        }
    }
}

fn apply(
    config: &Config,
    overrides: &mut BTreeMap<String, String>,
    edit: IncrementalAlterableConfig,
) -> Result<(), Refusal> {
    let (name, value) = (edit.name, edit.value.unwrap_or_default());
    match edit.config_operation {
        operation::SET => drop(overrides.insert(name, value)),
        operation::DELETE => drop(overrides.remove(&name)),
        operation::APPEND => {
            let mut parts = list(config, overrides, &name, "APPEND")?;
            // Nothing is a word, too, and no list takes it.
            for part in value.split(',').map(str::trim) {
                if !parts.iter().any(|known| known == part) {
                    parts.push(part.to_owned());
                }
            }
            overrides.insert(name, parts.join(","));
        }
        operation::SUBTRACT => {
            let mut parts = list(config, overrides, &name, "SUBTRACT")?;
            parts.retain(|part| !value.split(',').any(|gone| gone.trim() == part));
            overrides.insert(name, parts.join(","));
        }
        other => return Err(Refusal::request(format!("Unknown operation type {other}"))),
    }
    Ok(())
}

/// The parts of a list now: the topic's own, or the default that they take the place of.
fn list(
    config: &Config,
    overrides: &BTreeMap<String, String>,
    name: &str,
    operation: &str,
) -> Result<Vec<String>, Refusal> {
    let Some(key) = topic_key(name).filter(|key| key.kind == KeyType::List) else {
        let text = format!("Can't {operation} to key {name} because its type is not LIST.");
        return Err(Refusal::config(text));
    };
    let text = overrides.get(name).cloned().unwrap_or_else(|| key.default_text(config));
    Ok(text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use operation::{APPEND, DELETE, SET, SUBTRACT};

    fn config() -> Config {
        Config::of(BTreeMap::new()).unwrap()
    }

    /// What a topic sets after these edits, as `key=value`; before, it sets `segment.bytes`.
    fn edited(edits: &[(&str, i8, Option<&str>)]) -> Result<Vec<String>, (i16, String)> {
        let edit = |(name, config_operation, value): &(&str, i8, Option<&str>)| IncrementalAlterableConfig {
            name: (*name).to_owned(),
            config_operation: *config_operation,
            value: value.map(str::to_owned),
        };
        after(Change::Edit(edits.iter().map(edit).collect()))
    }

    fn replaced(entries: &[(&str, Option<&str>)]) -> Result<Vec<String>, (i16, String)> {
        let entry = |(name, value): &(&str, Option<&str>)| AlterableConfig {
            name: (*name).to_owned(),
            value: value.map(str::to_owned),
        };
        after(Change::Replace(entries.iter().map(entry).collect()))
    }

    fn after(change: Change) -> Result<Vec<String>, (i16, String)> {
        let before = BTreeMap::from([("segment.bytes".to_owned(), "2000000".to_owned())]);
        let after = check_keys(&change).and_then(|()| changed(&config(), false, &before, change));
        let after = after.map_err(|refusal| (refusal.code as i16, refusal.text))?;
        Ok(after.into_iter().map(|(key, value)| format!("{key}={value}")).collect())
    }

    #[test]
    fn edits_leave_the_rest_and_a_replacement_does_not() {
        assert_eq!(
            edited(&[("retention.ms", SET, Some("5"))]).unwrap(),
            ["retention.ms=5", "segment.bytes=2000000"]
        );
        assert!(edited(&[("segment.bytes", DELETE, None)]).unwrap().is_empty());
        assert_eq!(edited(&[("no.such", DELETE, None)]).unwrap(), ["segment.bytes=2000000"]);
        assert_eq!(replaced(&[("retention.ms", Some("5"))]).unwrap(), ["retention.ms=5"]);
        assert!(replaced(&[]).unwrap().is_empty());
    }

    #[test]
    fn lists_grow_from_their_default_and_shrink() {
        let policy =
            |operation, value| edited(&[("cleanup.policy", operation, Some(value))]).unwrap().remove(0);
        assert_eq!(policy(APPEND, "compact"), "cleanup.policy=delete,compact");
        assert_eq!(policy(APPEND, "delete"), "cleanup.policy=delete");
        assert_eq!(policy(SUBTRACT, "compact"), "cleanup.policy=delete");
        assert_eq!(
            policy(SUBTRACT, "delete"),
            "cleanup.policy=",
            "nothing is a policy: nothing is cleaned up"
        );
    }

    #[test]
    fn each_refusal_has_kafkas_code_and_text() {
        for (outcome, code, text) in [
            (edited(&[("retention.ms", APPEND, Some("5"))]), 40, "Can't APPEND to key retention.ms"),
            (edited(&[("retention.ms", SUBTRACT, Some("5"))]), 40, "Can't SUBTRACT to key retention.ms"),
            (edited(&[("retention.ms", SET, None)]), 42, "Null value not supported for : retention.ms"),
            (edited(&[("cleanup.policy", APPEND, None)]), 42, "Null value not supported"),
            (
                edited(&[("retention.ms", SET, Some("1")), ("retention.ms", DELETE, None)]),
                42,
                "duplicate config keys",
            ),
            (edited(&[("no.such", SET, Some("1"))]), 40, "Unknown topic config name: no.such"),
            (edited(&[("retention.ms", SET, Some("soon"))]), 40, "Invalid value soon for configuration"),
            (edited(&[("cleanup.policy", APPEND, Some("shred"))]), 40, "cleanup.policy"),
            (edited(&[("cleanup.policy", APPEND, Some(""))]), 40, "cleanup.policy"),
            (edited(&[("retention.ms", 9, Some("5"))]), 42, "Unknown operation type 9"),
            (replaced(&[("retention.ms", None)]), 42, "Null value not supported for : retention.ms"),
            (
                replaced(&[("retention.ms", Some("1")), ("retention.ms", Some("2"))]),
                42,
                "duplicate config keys",
            ),
        ] {
            let (seen, words) = outcome.unwrap_err();
            assert_eq!(seen, code, "{words}");
            assert!(words.contains(text), "{words}");
        }
    }

    #[test]
    fn the_brokers_own_topics_take_no_weaker_durability() {
        let edit = |operation, value: &str| {
            let name = "thalweg.durability.mode".to_owned();
            let value = Some(value.to_owned());
            Change::Edit(vec![IncrementalAlterableConfig { name, config_operation: operation, value }])
        };
        for mode in ["window", "memory"] {
            let refusal = changed(&config(), true, &BTreeMap::new(), edit(SET, mode)).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::InvalidConfig);
            assert!(refusal.text.contains("always media"), "{}", refusal.text);
            assert!(changed(&config(), false, &BTreeMap::new(), edit(SET, mode)).is_ok());
        }
        assert!(changed(&config(), true, &BTreeMap::new(), edit(SET, "media")).is_ok());
    }

    #[test]
    fn the_brokers_configuration_cannot_be_changed_at_run_time() {
        let edit = |name: &str| {
            let name = name.to_owned();
            let value = Some("1".to_owned());
            Change::Edit(vec![IncrementalAlterableConfig { name, config_operation: SET, value }])
        };
        for (broker, text) in [
            ("1", "Cannot update these configs dynamically: [log.dirs]"),
            ("", "Cannot update these configs dynamically: [log.dirs]"),
            ("77", "Unexpected broker id, expected 1, but received 77"),
            ("abc", "Node id must be an integer, but it is: abc"),
        ] {
            let refusal = alter_broker(&config(), broker, &edit("log.dirs")).unwrap_err();
            assert_eq!((refusal.code, refusal.text.as_str()), (ErrorCode::InvalidRequest, text));
        }
    }
}

//! DescribeConfigs, AlterConfigs, IncrementalAlterConfigs.

use super::{RequestContext, counted};
use crate::cluster::{AlterConfigsError, Topic};
use crate::config::{
    ConfigError, ConfigSource, Described, KeyType, Synonym, TopicKey, TopicSettings, topic_key,
};
use crate::shard::Shard;
use crate::wire::ErrorCode;
use crate::wire::messages::{
    AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse, DescribeConfigsRequest,
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
    DescribeConfigsSynonym, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResourceResponse,
    IncrementalAlterConfigsResponse, IncrementalAlterableConfig,
};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

const OPERATION_SET: i8 = 0;
const OPERATION_DELETE: i8 = 1;
const OPERATION_APPEND: i8 = 2;
const OPERATION_SUBTRACT: i8 = 3;

type Refused = (ErrorCode, String);

/// DescribeConfigs 0-4.
pub(super) async fn describe_configs(
    shard: &Rc<Shard>,
    _context: &RequestContext,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let (synonyms, docs) = (request.include_synonyms, request.include_documentation);
    let describe = |resource: DescribeConfigsResource| {
        let found = match resource.resource_type {
            TOPIC => describe_topic(shard, &resource, synonyms, docs),
            BROKER => describe_broker(shard, &resource, synonyms, docs),
            other => Err((
                ErrorCode::InvalidRequest,
                format!("Resources of type {other} have no configuration here."),
            )),
        };
        let (configs, code, text) = match found {
            Ok(configs) => (configs, ErrorCode::None, None),
            Err((code, text)) => (Vec::new(), code, Some(text)),
        };
        DescribeConfigsResult {
            error_code: counted(shard, code),
            error_message: text,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
            configs,
        }
    };
    let results = request.resources.into_iter().map(describe).collect();
    DescribeConfigsResponse { results, ..DescribeConfigsResponse::default() }
}

fn is_asked(resource: &DescribeConfigsResource, name: &str) -> bool {
    resource
        .configuration_keys
        .as_ref()
        .is_none_or(|keys| keys.is_empty() || keys.iter().any(|key| key == name))
}

fn find_topic(shard: &Shard, name: &str) -> Result<Arc<Topic>, Refused> {
    crate::cluster::validate_name(name)
        .map_err(|error| (ErrorCode::InvalidTopicException, error.to_string()))?;
    let unknown = || (ErrorCode::UnknownTopicOrPartition, format!("The topic '{name}' does not exist."));
    shard.cluster.image().topic(name).cloned().ok_or_else(unknown)
}

fn describe_topic(
    shard: &Shard,
    resource: &DescribeConfigsResource,
    synonyms: bool,
    docs: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, Refused> {
    let topic = find_topic(shard, &resource.resource_name)?;
    let keys = topic.settings.describe(&shard.config, &topic.overrides).into_iter();
    Ok(keys.filter(|key| is_asked(resource, key.name)).map(|key| entry(key, synonyms, docs)).collect())
}

/// A key as the wire tells it.
fn entry(key: Described, synonyms: bool, docs: bool) -> DescribeConfigsResourceResult {
    let synonym = |place: Synonym| DescribeConfigsSynonym {
        name: place.name.to_owned(),
        value: place.value,
        source: place.source as i8,
    };
    DescribeConfigsResourceResult {
        name: key.name.to_owned(),
        value: key.value,
        read_only: key.read_only,
        is_default: key.source == ConfigSource::Default,
        config_source: key.source as i8,
        is_sensitive: false,
        synonyms: if synonyms { key.synonyms.into_iter().map(synonym).collect() } else { Vec::new() },
        config_type: key.kind as i8,
        documentation: docs.then(|| key.doc.to_owned()),
    }
}

fn describe_broker(
    shard: &Shard,
    resource: &DescribeConfigsResource,
    synonyms: bool,
    docs: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, Refused> {
    if resource.resource_name.is_empty() {
        return Ok(Vec::new()); // defaults of the whole cluster: none are set dynamically
    }
    if resource.resource_name != shard.config.node_id.to_string() {
        let text = format!(
            "Unexpected broker id, expected {} or empty string, but received {}",
            shard.config.node_id, resource.resource_name
        );
        return Err((ErrorCode::InvalidRequest, text));
    }
    let keys = shard.config.describe().into_iter();
    Ok(keys.filter(|key| is_asked(resource, key.name)).map(|key| entry(key, synonyms, docs)).collect())
}

/// AlterConfigs 0-2: replaces all that a topic sets.
pub(super) async fn alter_configs(
    shard: &Rc<Shard>,
    _context: &RequestContext,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let changes = resource.configs.into_iter().map(|config| IncrementalAlterableConfig {
            name: config.name,
            config_operation: OPERATION_SET,
            value: config.value,
        });
        let changes: Vec<IncrementalAlterableConfig> = changes.collect();
        let (kind, name) = (resource.resource_type, resource.resource_name);
        let refused = alter(shard, kind, &name, changes, true, request.validate_only).await.err();
        let (code, text) = refused.map_or((ErrorCode::None, None), |(code, text)| (code, Some(text)));
        responses.push(AlterConfigsResourceResponse {
            error_code: counted(shard, code),
            error_message: text,
            resource_type: kind,
            resource_name: name,
        });
    }
    AlterConfigsResponse { responses, ..AlterConfigsResponse::default() }
}

/// IncrementalAlterConfigs 0-1.
pub(super) async fn incremental_alter_configs(
    shard: &Rc<Shard>,
    _context: &RequestContext,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let (kind, name) = (resource.resource_type, resource.resource_name);
        let refused = alter(shard, kind, &name, resource.configs, false, request.validate_only).await.err();
        let (code, text) = refused.map_or((ErrorCode::None, None), |(code, text)| (code, Some(text)));
        responses.push(IncrementalAlterConfigsResourceResponse {
            error_code: counted(shard, code),
            error_message: text,
            resource_type: kind,
            resource_name: name,
        });
    }
    IncrementalAlterConfigsResponse { responses, ..IncrementalAlterConfigsResponse::default() }
}

async fn alter(
    shard: &Rc<Shard>,
    kind: i8,
    name: &str,
    changes: Vec<IncrementalAlterableConfig>,
    replace: bool,
    validate_only: bool,
) -> Result<(), Refused> {
    match kind {
        TOPIC => {}
        BROKER => {
            let text =
                "Broker settings are read from the configuration at start; set them there and restart.";
            return Err((ErrorCode::InvalidRequest, text.to_owned()));
        }
        other => {
            return Err((
                ErrorCode::InvalidRequest,
                format!("Resources of type {other} cannot be altered here."),
            ));
        }
    }
    let topic = find_topic(shard, name)?;
    let mut names: Vec<&str> = changes.iter().map(|change| change.name.as_str()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err((ErrorCode::InvalidRequest, "Error due to duplicate config keys".to_owned()));
    }
    let config = Arc::clone(&shard.config);
    let change = move |topic: &Topic| -> Result<BTreeMap<String, String>, Refused> {
        let mut overrides = if replace { BTreeMap::new() } else { topic.overrides.clone() };
        for change in changes {
            let key = topic_key(&change.name).ok_or_else(|| {
                (ErrorCode::InvalidConfig, format!("Unknown topic config name: {}", change.name))
            })?;
            let default = key.default_text(&config);
            apply(&mut overrides, key, change, default)?;
        }
        let invalid = |error: ConfigError| (ErrorCode::InvalidConfig, error.to_string());
        TopicSettings::from_overrides(&config, &overrides).map_err(invalid)?;
        Ok(overrides)
    };
    if validate_only {
        return change(&topic).map(drop);
    }
    shard.cluster.alter_configs(shard, name.to_owned(), change).await.map_err(|error| match error {
        AlterConfigsError::Unknown { name } => {
            (ErrorCode::UnknownTopicOrPartition, format!("The topic '{name}' does not exist."))
        }
        AlterConfigsError::Invalid(refused) => refused,
        AlterConfigsError::Store(error) => (ErrorCode::KafkaStorageError, error.to_string()),
    })
}

fn apply(
    overrides: &mut BTreeMap<String, String>,
    key: &TopicKey,
    change: IncrementalAlterableConfig,
    default: String,
) -> Result<(), Refused> {
    let name = change.name;
    let value = || {
        change
            .value
            .clone()
            .ok_or_else(|| (ErrorCode::InvalidRequest, format!("Null value not supported for : {name}")))
    };
    let list_only = || match key.kind {
        KeyType::List => Ok(()),
        _ => Err((
            ErrorCode::InvalidConfig,
            format!("Can't APPEND or SUBTRACT to key {name} because its type is not LIST."),
        )),
    };
    let known = overrides.get(&name).cloned().unwrap_or(default);
    let mut parts: Vec<String> =
        known.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    match change.config_operation {
        OPERATION_SET => {
            let value = value()?;
            overrides.insert(name, value);
        }
        OPERATION_DELETE => drop(overrides.remove(&name)),
        OPERATION_APPEND => {
            list_only()?;
            for part in value()?.split(',').map(str::trim) {
                if !parts.iter().any(|known| known == part) {
                    parts.push(part.to_owned());
                }
            }
            overrides.insert(name, parts.join(","));
        }
        OPERATION_SUBTRACT => {
            list_only()?;
            let gone = value()?;
            parts.retain(|part| !gone.split(',').any(|gone| gone.trim() == part));
            overrides.insert(name, parts.join(","));
        }
        other => return Err((ErrorCode::InvalidRequest, format!("Unknown operation type {other}"))),
    }
    Ok(())
}

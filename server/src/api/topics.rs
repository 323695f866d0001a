//! CreateTopics, DeleteTopics, CreatePartitions, ListPartitionReassignments.

use super::{RequestContext, counted};
use crate::cluster::{
    AddPartitionsError, CreateTopicError, DeleteTopicError, NewTopic, Topic, validate_name,
};
use crate::config::{TopicSettings, topic_keys};
use crate::shard::Shard;
use crate::wire::ErrorCode;
use crate::wire::messages::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreatePartitionsRequest,
    CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult, CreateTopicsRequest,
    CreateTopicsResponse, DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use uuid::Uuid;

/// An error with the text that goes with it.
type Refused = (ErrorCode, String);

/// CreateTopics 0-7.
pub(super) async fn create_topics(
    shard: &Rc<Shard>,
    context: &RequestContext,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let version = context.header.api_version;
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<String> = request
        .topics
        .iter()
        .filter(|topic| !seen.insert(topic.name.clone()))
        .map(|topic| topic.name.clone())
        .collect();
    let mut results = Vec::new();
    let mut wanted = Vec::new();
    let mut told = BTreeSet::new();
    for topic in request.topics {
        if !told.insert(topic.name.clone()) {
            continue;
        }
        let checked = if twice.contains(&topic.name) {
            Err((ErrorCode::InvalidRequest, "Duplicate topic name.".to_owned()))
        } else {
            new_topic(shard, version, &topic)
        };
        match checked {
            Ok(new) => wanted.push(new),
            Err(refused) => results.push(refuse_create(shard, topic.name, refused)),
        }
    }
    let names: Vec<NewTopic> = wanted.clone();
    if request.validate_only {
        let checked = shard.cluster.check_create_topics(shard, wanted).await;
        for (new, outcome) in names.into_iter().zip(checked) {
            results.push(match outcome {
                Ok(()) => created(shard, &new.name, Uuid::nil(), new.partition_count, &new.overrides),
                Err(error) => refuse_create(shard, new.name, of_create(&error)),
            });
        }
    } else {
        let made = shard.cluster.create_topics(shard, wanted).await;
        for (new, outcome) in names.into_iter().zip(made) {
            results.push(match outcome {
                Ok(topic) => created(shard, &new.name, topic.id, topic.partitions.len(), &topic.overrides),
                Err(error) => refuse_create(shard, new.name, of_create(&error)),
            });
        }
    }
    CreateTopicsResponse { topics: results, ..CreateTopicsResponse::default() }
}

fn new_topic(shard: &Shard, version: i16, topic: &CreatableTopic) -> Result<NewTopic, Refused> {
    validate_name(&topic.name).map_err(|error| (ErrorCode::InvalidTopicException, error.to_string()))?;
    let mut overrides = BTreeMap::new();
    for config in &topic.configs {
        let Some(value) = &config.value else {
            return Err((
                ErrorCode::InvalidConfig,
                format!("Null value not supported for topic configs: {}", config.name),
            ));
        };
        overrides.insert(config.name.clone(), value.clone());
    }
    let partition_count =
        if topic.assignments.is_empty() { count_of(shard, version, topic)? } else { assigned(shard, topic)? };
    TopicSettings::from_overrides(&shard.config, &overrides)
        .map_err(|error| (ErrorCode::InvalidConfig, error.to_string()))?;
    Ok(NewTopic { name: topic.name.clone(), partition_count, overrides })
}

fn count_of(shard: &Shard, version: i16, topic: &CreatableTopic) -> Result<usize, Refused> {
    // KIP-464: -1 is the broker's default from version 4 on.
    let defaults = version >= 4;
    if topic.replication_factor != 1 && !(defaults && topic.replication_factor == -1) {
        let text = match topic.replication_factor {
            factor if factor < 1 => {
                "Replication factor must be larger than 0, or -1 to use the default value.".to_owned()
            }
            factor => format!(
                "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot be reached because only 1 broker(s) are registered."
            ),
        };
        return Err((ErrorCode::InvalidReplicationFactor, text));
    }
    match topic.num_partitions {
        -1 if defaults => Ok(shard.config.num_partitions as usize),
        count if count > 0 => Ok(count as usize),
        _ => Err((
            ErrorCode::InvalidPartitions,
            "Number of partitions was set to an invalid non-positive value.".to_owned(),
        )),
    }
}

fn assigned(shard: &Shard, topic: &CreatableTopic) -> Result<usize, Refused> {
    let wrong = |text: String| Err((ErrorCode::InvalidReplicaAssignment, text));
    if topic.num_partitions != -1 || topic.replication_factor != -1 {
        let text = "A manual partition assignment was specified, but numPartitions or replicationFactor was not set to -1.";
        return Err((ErrorCode::InvalidRequest, text.to_owned()));
    }
    let indexes: BTreeSet<i32> =
        topic.assignments.iter().map(|assignment| assignment.partition_index).collect();
    let count = topic.assignments.len();
    if indexes.len() != count || indexes != (0..count as i32).collect() {
        return wrong("partitions should be a consecutive 0-based integer sequence".to_owned());
    }
    for assignment in &topic.assignments {
        if assignment.broker_ids != [shard.config.node_id] {
            return wrong(format!(
                "Partition {} is assigned to {:?}; this broker, {}, is the only one.",
                assignment.partition_index, assignment.broker_ids, shard.config.node_id
            ));
        }
    }
    Ok(count)
}

fn of_create(error: &CreateTopicError) -> Refused {
    let code = match error {
        CreateTopicError::Name(_) | CreateTopicError::Collides { .. } => ErrorCode::InvalidTopicException,
        CreateTopicError::Exists { .. } => ErrorCode::TopicAlreadyExists,
        CreateTopicError::TooManyPartitions { .. } => ErrorCode::PolicyViolation,
        CreateTopicError::Logs { .. } | CreateTopicError::Store(_) => ErrorCode::KafkaStorageError,
    };
    (code, error.to_string())
}

fn refuse_create(shard: &Shard, name: String, (code, text): Refused) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code: counted(shard, code),
        error_message: Some(text),
        configs: None,
        ..CreatableTopicResult::default()
    }
}

fn created(
    shard: &Shard,
    name: &str,
    topic_id: Uuid,
    partition_count: usize,
    overrides: &BTreeMap<String, String>,
) -> CreatableTopicResult {
    const TOPIC_CONFIG: i8 = 1;
    const DEFAULT_CONFIG: i8 = 5;
    let config = |key: &crate::config::TopicKey| CreatableTopicConfigs {
        name: key.name.to_owned(),
        value: Some(overrides.get(key.name).cloned().unwrap_or_else(|| key.default_text(&shard.config))),
        read_only: false,
        config_source: if overrides.contains_key(key.name) { TOPIC_CONFIG } else { DEFAULT_CONFIG },
        is_sensitive: false,
    };
    CreatableTopicResult {
        name: name.to_owned(),
        topic_id,
        error_code: ErrorCode::None,
        error_message: None,
        num_partitions: partition_count as i32,
        replication_factor: 1,
        configs: Some(topic_keys().iter().map(config).collect()),
        ..CreatableTopicResult::default()
    }
}

/// DeleteTopics 0-6.
pub(super) async fn delete_topics(
    shard: &Rc<Shard>,
    context: &RequestContext,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let version = context.header.api_version;
    let by_name = request
        .topic_names
        .into_iter()
        .map(|name| DeleteTopicState { name: Some(name), topic_id: Uuid::nil() });
    let asked: Vec<DeleteTopicState> = by_name.chain(request.topics).collect();
    let mut results = Vec::with_capacity(asked.len());
    let mut found = Vec::new();
    for state in asked {
        match find_deletable(shard, version, &state) {
            Ok(topic) => found.push(topic),
            Err((code, text)) => results.push(DeletableTopicResult {
                name: state.name,
                topic_id: state.topic_id,
                error_code: counted(shard, code),
                error_message: Some(text),
            }),
        }
    }
    let ids = found.iter().map(|topic| topic.id).collect();
    let deleted = shard.cluster.delete_topics(shard, ids).await;
    for (topic, outcome) in found.into_iter().zip(deleted) {
        let error = outcome.err();
        let error_code = match &error {
            None => ErrorCode::None,
            Some(DeleteTopicError::Unknown) => ErrorCode::UnknownTopicOrPartition,
            Some(DeleteTopicError::Store(_)) => ErrorCode::KafkaStorageError,
        };
        results.push(DeletableTopicResult {
            name: Some(topic.name.clone()),
            topic_id: topic.id,
            error_code: counted(shard, error_code),
            error_message: error.map(|error| error.to_string()),
        });
    }
    DeleteTopicsResponse { responses: results, ..DeleteTopicsResponse::default() }
}

fn find_deletable(
    shard: &Shard,
    version: i16,
    state: &DeleteTopicState,
) -> Result<std::sync::Arc<Topic>, Refused> {
    if !shard.config.delete_topic_enable {
        let code = if version < 3 { ErrorCode::InvalidRequest } else { ErrorCode::TopicDeletionDisabled };
        return Err((code, "Topic deletion is disabled.".to_owned()));
    }
    let image = shard.cluster.image();
    match (&state.name, state.topic_id.is_nil()) {
        (Some(_), false) => {
            Err((ErrorCode::InvalidRequest, "You may not specify both topic name and topic id.".to_owned()))
        }
        (None, true) => {
            Err((ErrorCode::InvalidRequest, "Neither topic name nor id were specified.".to_owned()))
        }
        (Some(name), true) => image.topic(name).cloned().ok_or_else(|| {
            (ErrorCode::UnknownTopicOrPartition, "This server does not host this topic-partition.".to_owned())
        }),
        (None, false) => image.topic_by_id(state.topic_id).cloned().ok_or_else(|| {
            (ErrorCode::UnknownTopicId, "This server does not host this topic ID.".to_owned())
        }),
    }
}

/// CreatePartitions 0-3.
pub(super) async fn create_partitions(
    shard: &Rc<Shard>,
    _context: &RequestContext,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let mut results = Vec::new();
    let mut wanted = Vec::new();
    let mut seen = BTreeSet::new();
    for topic in request.topics {
        let fresh = seen.insert(topic.name.clone());
        let checked = if fresh {
            growth(shard, &topic)
        } else {
            Err((ErrorCode::InvalidRequest, "Duplicate topic name.".to_owned()))
        };
        match checked {
            Ok(count) => wanted.push((topic.name, count)),
            Err(refused) => results.push(partitions_result(shard, topic.name, Some(refused))),
        }
    }
    let names: Vec<String> = wanted.iter().map(|(name, _)| name.clone()).collect();
    let added = shard.cluster.add_partitions(shard, wanted, request.validate_only).await;
    for (name, outcome) in names.into_iter().zip(added) {
        let refused = outcome.err().map(|error| {
            let code = match &error {
                AddPartitionsError::Unknown => ErrorCode::UnknownTopicOrPartition,
                AddPartitionsError::Count { .. } => ErrorCode::InvalidPartitions,
                AddPartitionsError::TooManyPartitions { .. } => ErrorCode::PolicyViolation,
                AddPartitionsError::Logs { .. } | AddPartitionsError::Store(_) => {
                    ErrorCode::KafkaStorageError
                }
            };
            (code, error.to_string())
        });
        results.push(partitions_result(shard, name, refused));
    }
    CreatePartitionsResponse { results, ..CreatePartitionsResponse::default() }
}

fn growth(shard: &Shard, topic: &CreatePartitionsTopic) -> Result<usize, Refused> {
    let image = shard.cluster.image();
    let unknown =
        || (ErrorCode::UnknownTopicOrPartition, "This server does not host this topic-partition.".to_owned());
    let known = image.topic(&topic.name).ok_or_else(unknown)?.partitions.len();
    let count = usize::try_from(topic.count).ok().filter(|count| *count > 0);
    let count = count.ok_or_else(|| {
        (
            ErrorCode::InvalidPartitions,
            format!(
                "The topic {} currently has {known} partition(s); {} would not be an increase.",
                topic.name, topic.count
            ),
        )
    })?;
    if let Some(assignments) = &topic.assignments {
        let added = count.saturating_sub(known);
        if count > known && assignments.len() != added {
            let text = format!(
                "Attempted to add {added} additional partition(s), but only {} assignment(s) were specified.",
                assignments.len()
            );
            return Err((ErrorCode::InvalidReplicaAssignment, text));
        }
        if assignments.iter().any(|assignment| assignment.broker_ids != [shard.config.node_id]) {
            let text = format!(
                "Partitions may be assigned to broker {} only: there is no other.",
                shard.config.node_id
            );
            return Err((ErrorCode::InvalidReplicaAssignment, text));
        }
    }
    Ok(count)
}

fn partitions_result(shard: &Shard, name: String, refused: Option<Refused>) -> CreatePartitionsTopicResult {
    let (code, text) = refused.map_or((ErrorCode::None, None), |(code, text)| (code, Some(text)));
    CreatePartitionsTopicResult { name, error_code: counted(shard, code), error_message: text }
}

/// ListPartitionReassignments 0: with one broker, partitions never move.
pub(super) async fn list_partition_reassignments(
    _shard: &Rc<Shard>,
    _context: &RequestContext,
    _request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse {
        error_code: ErrorCode::None,
        error_message: None,
        ..ListPartitionReassignmentsResponse::default()
    }
}

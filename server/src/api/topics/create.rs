//! `CreateTopics` 0-7.

use super::{PARTITIONS_PER_REQUEST_MAX, check_replicas, too_many_partitions, twice};
use crate::api::refusal::Refusal;
use crate::api::{RequestContext, counted};
use crate::cluster::{CreateTopicError, Image, METADATA_TOPIC, NewTopic, is_internal, validate_name};
use crate::config::{Config, TopicKey, TopicSettings, topic_keys};
use crate::shard::Shard;
use crate::wire::ErrorCode;
use crate::wire::messages::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use uuid::Uuid;

/// `CreateTopics` 0-7.
pub(in crate::api) async fn create_topics(
    shard: &Rc<Shard>,
    _context: &RequestContext,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let duplicates = twice(request.topics.iter().map(|topic| topic.name.as_str()));
    let asked = request.topics.into_iter().filter(|topic| !duplicates.contains(&topic.name));
    let (mut wanted, mut results) = (Vec::new(), Vec::new());
    {
        let image = shard.cluster.look();
        for topic in asked {
            match check(&shard.config, &image, &topic) {
                Ok(new) => wanted.push(new),
                Err(refusal) => results.push(refused(shard, topic.name, refusal)),
            }
        }
    }
    if wanted.iter().map(|new| new.partition_count).sum::<usize>() > PARTITIONS_PER_REQUEST_MAX {
        results.extend(wanted.drain(..).map(|new| refused(shard, new.name, too_many_partitions())));
    }
    let asked = wanted.clone();
    if request.validate_only {
        let checked = shard.cluster.check_create_topics(shard, wanted).await;
        let ids = checked.into_iter().map(|checked| checked.map(|()| Uuid::nil()));
        results.extend(asked.into_iter().zip(ids).map(|(new, id)| result(shard, new, id)));
    } else {
        let created = shard.cluster.create_topics(shard, wanted).await;
        let ids = created.into_iter().map(|created| created.map(|topic| topic.id));
        results.extend(asked.into_iter().zip(ids).map(|(new, id)| result(shard, new, id)));
    }
    let duplicate = |name| refused(shard, name, Refusal::request("Duplicate topic name."));
    results.extend(duplicates.into_iter().map(duplicate));
    CreateTopicsResponse { topics: results, ..CreateTopicsResponse::default() }
}

fn result(shard: &Shard, new: NewTopic, outcome: Result<Uuid, CreateTopicError>) -> CreatableTopicResult {
    match outcome {
        Ok(topic_id) => described(&shard.config, new, topic_id),
        Err(error) => refused(shard, new.name, error.into()),
    }
}

fn refused(shard: &Shard, name: String, refusal: Refusal) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code: counted(shard, refusal.code),
        error_message: Some(refusal.text),
        configs: Some(Vec::new()),
        ..CreatableTopicResult::default()
    }
}

fn described(config: &Config, new: NewTopic, topic_id: Uuid) -> CreatableTopicResult {
    let entry = |key: &TopicKey| {
        let describe = if is_internal(&new.name) { TopicKey::describe_internal } else { TopicKey::describe };
        let described = describe(key, config, &new.overrides);
        CreatableTopicConfigs {
            name: key.name.to_owned(),
            // As it was sent: Kafka, too, puts it into its own form only where it describes it.
            value: new.overrides.get(key.name).cloned().or(described.value),
            read_only: described.read_only,
            config_source: described.source as i8,
            is_sensitive: false,
        }
    };
    CreatableTopicResult {
        topic_id,
        error_code: ErrorCode::None,
        error_message: None,
        num_partitions: new.partition_count as i32,
        replication_factor: 1,
        configs: Some(topic_keys().iter().map(entry).collect()),
        name: new.name,
        ..CreatableTopicResult::default()
    }
}

/// What can be said of a topic before shard 0 is asked, in the order in which Kafka 4.3 looks.
fn check(config: &Config, image: &Image, topic: &CreatableTopic) -> Result<NewTopic, Refusal> {
    if topic.name == METADATA_TOPIC {
        return Err(CreateTopicError::Prohibited { name: topic.name.clone() }.into());
    }
    validate_name(&topic.name).map_err(CreateTopicError::from)?;
    if image.topic(&topic.name).is_some() {
        return Err(CreateTopicError::Exists { name: topic.name.clone() }.into());
    }
    let mut overrides = BTreeMap::new();
    for entry in &topic.configs {
        let Some(value) = &entry.value else {
            return Err(Refusal::config(format!(
                "Null value not supported for topic configs: {}",
                entry.name
            )));
        };
        overrides.insert(entry.name.clone(), value.clone());
    }
    if is_internal(&topic.name) {
        TopicSettings::of_internal(config, &overrides)?;
    } else {
        TopicSettings::from_overrides(config, &overrides)?;
    }
    let partition_count =
        if topic.assignments.is_empty() { count(config, topic)? } else { assigned(config, topic)? };
    Ok(NewTopic { name: topic.name.clone(), partition_count, overrides })
}

fn count(config: &Config, topic: &CreatableTopic) -> Result<usize, Refusal> {
    let factor = topic.replication_factor;
    if factor == 0 || factor < -1 {
        let text = "Replication factor must be larger than 0, or -1 to use the default value.";
        return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, text));
    }
    // KIP-464: -1 is the broker's default; Kafka 4.3 takes it in older versions too.
    let partition_count = match topic.num_partitions {
        -1 => config.num_partitions,
        count if count > 0 => count,
        _ => {
            let text = "Number of partitions was set to an invalid non-positive value.";
            return Err(Refusal::new(ErrorCode::InvalidPartitions, text));
        }
    };
    if factor > 1 {
        let text = format!(
            "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot be reached because only 1 broker(s) are registered."
        );
        return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, text));
    }
    Ok(partition_count as usize)
}

fn assigned(config: &Config, topic: &CreatableTopic) -> Result<usize, Refusal> {
    if topic.replication_factor != -1 {
        let text = "A manual partition assignment was specified, but replication factor was not set to -1.";
        return Err(Refusal::request(text));
    }
    if topic.num_partitions != -1 {
        let text = "A manual partition assignment was specified, but numPartitions was not set to -1.";
        return Err(Refusal::request(text));
    }
    let refuse = |text: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, text));
    let mut indexes = BTreeSet::new();
    for assignment in &topic.assignments {
        if !indexes.insert(assignment.partition_index) {
            let index = assignment.partition_index;
            return refuse(format!("Found multiple manual partition assignments for partition {index}"));
        }
        check_replicas(&assignment.broker_ids, config.node_id)?;
    }
    let count = indexes.len();
    if indexes.first() != Some(&0) || indexes.last() != Some(&(count as i32 - 1)) {
        return refuse("partitions should be a consecutive 0-based integer sequence".to_owned());
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::image_of;
    use crate::wire::messages::{CreatableReplicaAssignment, CreatableTopicConfig};
    use std::sync::Arc;

    fn config() -> Arc<Config> {
        Arc::new(Config::of(BTreeMap::from([("num.partitions".to_owned(), "4".to_owned())])).unwrap())
    }

    fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
        CreatableTopic {
            name: name.to_owned(),
            num_partitions,
            replication_factor,
            ..CreatableTopic::default()
        }
    }

    fn assigned_to(brokers: &[(i32, &[i32])]) -> CreatableTopic {
        let assignment = |(partition_index, broker_ids): &(i32, &[i32])| CreatableReplicaAssignment {
            partition_index: *partition_index,
            broker_ids: broker_ids.to_vec(),
        };
        CreatableTopic { assignments: brokers.iter().map(assignment).collect(), ..topic("t", -1, -1) }
    }

    fn configured(pairs: &[(&str, Option<&str>)]) -> CreatableTopic {
        let entry = |(name, value): &(&str, Option<&str>)| CreatableTopicConfig {
            name: (*name).to_owned(),
            value: value.map(str::to_owned),
        };
        CreatableTopic { configs: pairs.iter().map(entry).collect(), ..topic("t", 1, 1) }
    }

    fn refusal(topic: &CreatableTopic) -> (ErrorCode, String) {
        let config = config();
        let image = image_of(&config, &[("known", 1, &[])]);
        let refusal = check(&config, &image, topic).unwrap_err();
        (refusal.code, refusal.text)
    }

    fn partition_count(topic: &CreatableTopic) -> usize {
        check(&config(), &Image::default(), topic).unwrap().partition_count
    }

    #[test]
    fn counts_are_the_requests_or_the_brokers() {
        assert_eq!(partition_count(&topic("t", 3, 1)), 3);
        assert_eq!(partition_count(&topic("t", -1, -1)), 4);
        assert_eq!(partition_count(&assigned_to(&[(1, &[1]), (0, &[1])])), 2);
    }

    #[test]
    fn each_refusal_has_kafkas_code_and_text() {
        use ErrorCode as Code;
        for (topic, code, text) in [
            (topic("known", 0, 0), Code::TopicAlreadyExists, "Topic 'known' already exists."),
            (topic("a/b", 1, 1), Code::InvalidTopicException, "contains one or more characters"),
            (topic("__cluster_metadata", 1, 1), Code::InvalidRequest, "is prohibited"),
            (topic("t", 0, 1), Code::InvalidPartitions, "non-positive"),
            (topic("t", -2, 1), Code::InvalidPartitions, "non-positive"),
            (topic("t", 0, 0), Code::InvalidReplicationFactor, "larger than 0, or -1"),
            (topic("t", 1, 2), Code::InvalidReplicationFactor, "only 1 broker(s)"),
            (assigned_to(&[(0, &[1]), (2, &[1])]), Code::InvalidReplicaAssignment, "consecutive 0-based"),
            (assigned_to(&[(1, &[1])]), Code::InvalidReplicaAssignment, "consecutive 0-based"),
            (assigned_to(&[(-1, &[1]), (0, &[1])]), Code::InvalidReplicaAssignment, "consecutive 0-based"),
            (assigned_to(&[(0, &[1]), (0, &[1])]), Code::InvalidReplicaAssignment, "multiple manual"),
            (assigned_to(&[(0, &[1, 1])]), Code::InvalidReplicaAssignment, "the broker 1 more than once"),
            (assigned_to(&[(0, &[77])]), Code::InvalidReplicaAssignment, "broker 77, but no such"),
            (assigned_to(&[(0, &[])]), Code::InvalidReplicaAssignment, "empty replica list"),
            (
                CreatableTopic { num_partitions: 1, ..assigned_to(&[(0, &[1])]) },
                Code::InvalidRequest,
                "numPartitions was not set",
            ),
            (
                CreatableTopic { replication_factor: 1, ..assigned_to(&[(0, &[1])]) },
                Code::InvalidRequest,
                "replication factor was not set",
            ),
            (
                configured(&[("no.such", Some("1"))]),
                Code::InvalidConfig,
                "Unknown topic config name: no.such",
            ),
            (
                configured(&[("retention.ms", Some("soon"))]),
                Code::InvalidConfig,
                "Invalid value soon for configuration retention.ms: ",
            ),
            (configured(&[("retention.ms", None)]), Code::InvalidConfig, "Null value not supported"),
        ] {
            let (seen, words) = refusal(&topic);
            assert_eq!(seen, code, "{words}");
            assert!(words.contains(text), "{words}");
        }
    }
}

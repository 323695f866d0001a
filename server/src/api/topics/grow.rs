//! `CreatePartitions` 0-3.

use super::{PARTITIONS_PER_REQUEST_MAX, check_replicas, too_many_partitions, twice};
use crate::api::refusal::Refusal;
use crate::api::{RequestContext, counted};
use crate::cluster::{AddPartitionsError, Image};
use crate::config::Config;
use crate::shard::Shard;
use crate::wire::ErrorCode;
use crate::wire::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
};
use std::rc::Rc;

/// `CreatePartitions` 0-3.
pub(in crate::api) async fn create_partitions(
    shard: &Rc<Shard>,
    _context: &RequestContext,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let duplicates = twice(request.topics.iter().map(|topic| topic.name.as_str()));
    let asked = request.topics.into_iter().filter(|topic| !duplicates.contains(&topic.name));
    let (mut wanted, mut answered, mut added) = (Vec::new(), Vec::new(), 0);
    {
        let image = shard.cluster.look();
        for topic in asked {
            match check(&shard.config, &image, &topic) {
                Ok(growth) => {
                    added += growth.added;
                    wanted.push((topic.name, growth.count));
                }
                Err(refusal) => answered.push((topic.name, Some(refusal))),
            }
        }
    }
    if added > PARTITIONS_PER_REQUEST_MAX {
        answered.extend(wanted.drain(..).map(|(name, _)| (name, Some(too_many_partitions()))));
    }
    let names: Vec<String> = wanted.iter().map(|(name, _)| name.clone()).collect();
    let outcomes = shard.cluster.add_partitions(shard, wanted, request.validate_only).await;
    let outcomes = outcomes.into_iter().map(|outcome| outcome.err().map(Refusal::from));
    answered.extend(names.into_iter().zip(outcomes));
    let duplicate = |name| (name, Some(Refusal::request("Duplicate topic name.")));
    answered.extend(duplicates.into_iter().map(duplicate));
    let result = |(name, refusal)| {
        let (code, error_message) = Refusal::parts(refusal);
        CreatePartitionsTopicResult { name, error_code: counted(shard, code), error_message }
    };
    let results = answered.into_iter().map(result).collect();
    CreatePartitionsResponse { results, ..CreatePartitionsResponse::default() }
}

/// How far a topic grows.
#[derive(Debug, PartialEq, Eq)]
struct Growth {
    count: usize,
    added: usize,
}

fn check(config: &Config, image: &Image, topic: &CreatePartitionsTopic) -> Result<Growth, Refusal> {
    let known = image.topic(&topic.name).ok_or(AddPartitionsError::Unknown)?.partitions.len();
    let count = usize::try_from(topic.count).ok().filter(|count| *count > 0);
    let Some(count) = count else {
        let text = format!(
            "The topic {} currently has {known} partition(s); {} would not be an increase.",
            topic.name, topic.count
        );
        return Err(Refusal::new(ErrorCode::InvalidPartitions, text));
    };
    if count <= known {
        let name = topic.name.clone();
        return Err(AddPartitionsError::Count { name, count: known, wanted: count }.into());
    }
    let added = count - known;
    if let Some(assignments) = &topic.assignments {
        if assignments.len() != added {
            let text = format!(
                "Attempted to add {added} additional partition(s), but only {} assignment(s) were specified.",
                assignments.len()
            );
            return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, text));
        }
        assignments.iter().try_for_each(|one| check_replicas(&one.broker_ids, config.node_id))?;
    }
    Ok(Growth { count, added })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::image_of;
    use crate::wire::messages::CreatePartitionsAssignment;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn checked(name: &str, count: i32, assignments: Option<&[&[i32]]>) -> Result<Growth, (i16, String)> {
        let config = Arc::new(Config::of(BTreeMap::new()).unwrap());
        let image = image_of(&config, &[("t", 5, &[])]);
        let assignment = |ids: &&[i32]| CreatePartitionsAssignment { broker_ids: ids.to_vec() };
        let assignments = assignments.map(|all| all.iter().map(assignment).collect());
        let topic = CreatePartitionsTopic { name: name.to_owned(), count, assignments };
        check(&config, &image, &topic).map_err(|refusal| (refusal.code as i16, refusal.text))
    }

    #[test]
    fn a_topic_grows_by_what_is_missing() {
        assert_eq!(checked("t", 7, None), Ok(Growth { count: 7, added: 2 }));
        assert_eq!(checked("t", 7, Some(&[&[1], &[1]])), Ok(Growth { count: 7, added: 2 }));
    }

    #[test]
    fn each_refusal_has_kafkas_code_and_text() {
        for (outcome, code, text) in [
            (checked("u", 7, None), 3, ""),
            (checked("t", 5, None), 37, "Topic already has 5 partition(s)."),
            (
                checked("t", 2, None),
                37,
                "The topic t currently has 5 partition(s); 2 would not be an increase.",
            ),
            (checked("t", -1, None), 37, "-1 would not be an increase"),
            (checked("t", 7, Some(&[&[1]])), 39, "Attempted to add 2 additional partition(s), but only 1"),
            (checked("t", 6, Some(&[])), 39, "but only 0 assignment(s)"),
            (checked("t", 6, Some(&[&[77]])), 39, "broker 77"),
            (checked("t", 6, Some(&[&[]])), 39, "empty replica list"),
        ] {
            let (seen, words) = outcome.unwrap_err();
            assert_eq!(seen, code, "{words}");
            assert!(words.contains(text), "{words}");
        }
    }
}

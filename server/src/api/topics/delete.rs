//! `DeleteTopics` 0-6.

use super::twice;
use crate::api::refusal::Refusal;
use crate::api::{RequestContext, counted};
use crate::cluster::{DeleteTopicError, Image, Topic};
use crate::shard::Shard;
use crate::wire::ErrorCode;
use crate::wire::messages::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use uuid::Uuid;

/// A topic as the request names it, and why it is not deleted.
type Answered = (Option<String>, Uuid, Refusal);

/// `DeleteTopics` 0-6.
pub(in crate::api) async fn delete_topics(
    shard: &Rc<Shard>,
    context: &RequestContext,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let by_name = request.topic_names.into_iter();
    let by_name = by_name.map(|name| DeleteTopicState { name: Some(name), topic_id: Uuid::nil() });
    let asked: Vec<DeleteTopicState> = by_name.chain(request.topics).collect();
    let (found, answered) = if shard.config.delete_topic_enable {
        resolve(&shard.cluster.look(), asked)
    } else {
        let refusal = disabled(context.header.api_version);
        (Vec::new(), asked.into_iter().map(|one| (one.name, one.topic_id, refusal.clone())).collect())
    };
    let ids = found.iter().map(|topic| topic.id).collect();
    let deleted = shard.cluster.delete_topics(shard, ids).await;
    let answered = answered.into_iter().map(|(name, id, refusal)| (name, id, Some(refusal)));
    let deleted = found.iter().zip(deleted).map(|(topic, outcome)| {
        let refusal = outcome.err().map(|error| match error {
            DeleteTopicError::Unknown => unknown_name(), // somebody was faster
            error @ DeleteTopicError::Store(_) => error.into(),
        });
        (Some(topic.name.clone()), topic.id, refusal)
    });
    let result = |(name, topic_id, refusal)| {
        let (code, error_message) = Refusal::parts(refusal);
        DeletableTopicResult { name, topic_id, error_code: counted(shard, code), error_message }
    };
    let responses = answered.chain(deleted).map(result).collect();
    DeleteTopicsResponse { responses, ..DeleteTopicsResponse::default() }
}

fn disabled(version: i16) -> Refusal {
    let code = if version < 3 { ErrorCode::InvalidRequest } else { ErrorCode::TopicDeletionDisabled };
    Refusal::bare(code)
}

fn unknown_name() -> Refusal {
    Refusal::new(ErrorCode::UnknownTopicOrPartition, "This server does not host this topic-partition.")
}

/// The topics that are meant, and an answer for all that means none.
fn resolve(image: &Image, asked: Vec<DeleteTopicState>) -> (Vec<Arc<Topic>>, Vec<Answered>) {
    let names_twice = twice(asked.iter().filter_map(named));
    let mut ids_seen = BTreeSet::new();
    let by_id = asked.iter().filter(|one| one.name.is_none() && !one.topic_id.is_nil());
    let ids_twice: BTreeSet<Uuid> =
        by_id.map(|one| one.topic_id).filter(|id| !ids_seen.insert(*id)).collect();
    let mut answered: Vec<Answered> = Vec::new();
    let mut found = Vec::new();
    for one in asked {
        let refuse = |text: &str| Refusal::request(text);
        let outcome = match (&one.name, one.topic_id.is_nil()) {
            (None, true) => Err(refuse("Neither topic name nor id were specified.")),
            (Some(_), false) => Err(refuse("You may not specify both topic name and topic id.")),
            (Some(name), true) if names_twice.contains(name) => continue,
            (None, false) if ids_twice.contains(&one.topic_id) => continue,
            (Some(name), true) => match image.topic(name) {
                Some(topic) if ids_seen.contains(&topic.id) => {
                    let text = "The provided topic name maps to an ID that was already supplied.";
                    answered.push((one.name, topic.id, refuse(text)));
                    continue;
                }
                found => found.ok_or_else(unknown_name),
            },
            (None, false) => image.topic_by_id(one.topic_id).ok_or_else(|| DeleteTopicError::Unknown.into()),
        };
        match outcome {
            Ok(topic) => found.push(Arc::clone(topic)),
            Err(refusal) => answered.push((one.name, one.topic_id, refusal)),
        }
    }
    // A topic that is named and whose id is given is deleted by neither.
    let refused: BTreeSet<Uuid> = answered.iter().map(|(_, id, _)| *id).collect();
    found.retain(|topic| !refused.contains(&topic.id));
    let names = names_twice.into_iter();
    answered.extend(names.map(|name| (Some(name), Uuid::nil(), Refusal::request("Duplicate topic name."))));
    let ids = ids_twice.into_iter();
    answered.extend(ids.map(|id| (None, id, Refusal::request("Duplicate topic id."))));
    (found, answered)
}

fn named(one: &DeleteTopicState) -> Option<&str> {
    one.name.as_deref().filter(|_| one.topic_id.is_nil())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::image_of;
    use crate::config::Config;
    use std::collections::BTreeMap;

    fn one(name: Option<&str>, id: u128) -> DeleteTopicState {
        DeleteTopicState { name: name.map(str::to_owned), topic_id: Uuid::from_u128(id) }
    }

    /// Names of the topics found, codes and texts of the rest; `a` has id 10, `b` has id 11.
    fn resolved(asked: Vec<DeleteTopicState>) -> (Vec<String>, Vec<(i16, String)>) {
        let config = Arc::new(Config::of(BTreeMap::new()).unwrap());
        let image = image_of(&config, &[("a", 1, &[]), ("b", 1, &[])]);
        let (found, answered) = resolve(&image, asked);
        let answered = answered.into_iter().map(|(_, _, refusal)| (refusal.code as i16, refusal.text));
        (found.iter().map(|topic| topic.name.clone()).collect(), answered.collect())
    }

    #[test]
    fn topics_are_found_by_name_and_by_id() {
        assert_eq!(resolved(vec![one(Some("a"), 0), one(None, 11)]), (vec!["a".into(), "b".into()], vec![]));
    }

    #[test]
    fn what_means_no_topic_is_told_why() {
        for (asked, code, text) in [
            (vec![one(None, 0)], 42, "Neither topic name nor id"),
            (vec![one(Some("a"), 10)], 42, "You may not specify both"),
            (vec![one(Some("a"), 0), one(Some("a"), 0), one(Some("a"), 0)], 42, "Duplicate topic name."),
            (vec![one(None, 10), one(None, 10)], 42, "Duplicate topic id."),
            (vec![one(Some("a"), 0), one(None, 10)], 42, "maps to an ID that was already supplied"),
            (vec![one(None, 10), one(Some("a"), 0)], 42, "maps to an ID that was already supplied"),
            (vec![one(Some("c"), 0)], 3, "does not host this topic-partition"),
            (vec![one(None, 99)], 100, "does not host this topic ID"),
        ] {
            let (found, answered) = resolved(asked);
            assert!(found.is_empty(), "{text}: {found:?}");
            assert_eq!(answered.len(), 1, "{answered:?}");
            assert_eq!(answered[0].0, code);
            assert!(answered[0].1.contains(text), "{answered:?}");
        }
    }
}

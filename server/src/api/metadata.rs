//! Metadata and `DescribeCluster`.

use super::{RequestContext, codes, counted};
use crate::cluster::{CreateTopicError, Image, Topic, validate_name};
use crate::shard::Shard;
use crate::wire::ErrorCode;
use crate::wire::messages::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse, MetadataRequest,
    MetadataRequestTopic, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use futures_util::StreamExt;
use futures_util::stream::iter;
use std::collections::BTreeSet;
use std::rc::Rc;
use uuid::Uuid;

/// What everybody may do to the cluster where nobody is asked who they are: the bits that Kafka 4.3 answers.
const CLUSTER_OPERATIONS: i32 = 8096;
/// The same for a topic.
const TOPIC_OPERATIONS: i32 = 3576;
/// Not asked for.
const NO_OPERATIONS: i32 = i32::MIN;
/// Topics of one request that are made at a time.
const CREATIONS_IN_FLIGHT_MAX: usize = 64;
/// Topics that are looked up between two looks at what else waits.
const TOPICS_PER_TURN: usize = 256;
/// What `DescribeCluster` calls brokers and controllers.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// Metadata 0-13.
pub(super) async fn metadata(
    shard: &Rc<Shard>,
    context: &RequestContext,
    request: MetadataRequest,
) -> MetadataResponse {
    let version = context.header.api_version;
    // Version 0 has no null: there an empty list asks for all.
    let asked = request.topics.filter(|topics| version > 0 || !topics.is_empty());
    let topics = match asked {
        None => all(shard, &shard.cluster.image()).await,
        Some(asked) => {
            if let Some(code) = unaskable(version, &asked) {
                return refused(shard, code, &asked);
            }
            let may_create = version < 4 || request.allow_auto_topic_creation;
            named(shard, asked, may_create && shard.config.auto_create_topics_enable).await
        }
    };
    let topic_operations =
        if request.include_topic_authorized_operations { TOPIC_OPERATIONS } else { NO_OPERATIONS };
    let topics = topics.into_iter().map(|topic| {
        counted(shard, topic.error_code);
        // What is not there could be made: who asks by name is told what it might do with it.
        let topic_authorized_operations = if topic.name.is_some() { topic_operations } else { NO_OPERATIONS };
        MetadataResponseTopic { topic_authorized_operations, ..topic }
    });
    let own = shard.config.advertised(context.listener);
    let broker = MetadataResponseBroker {
        node_id: shard.config.node_id,
        host: own.host.clone(),
        port: i32::from(own.port),
        rack: None,
    };
    let asks_cluster = request.include_cluster_authorized_operations;
    MetadataResponse {
        brokers: vec![broker],
        cluster_id: Some(shard.cluster_id.clone()),
        controller_id: shard.config.node_id,
        topics: topics.collect(),
        cluster_authorized_operations: if asks_cluster { CLUSTER_OPERATIONS } else { NO_OPERATIONS },
        ..MetadataResponse::default()
    }
}

/// Why nothing of a request can be answered. Metadata 10 and 11 have the field for ids, and brokers that serve them
/// refuse ids and null names; from 12 on a topic has the one or the other.
fn unaskable(version: i16, asked: &[MetadataRequestTopic]) -> Option<ErrorCode> {
    let is_wrong = |topic: &MetadataRequestTopic| match version {
        ..=9 => topic.name.is_none(),
        10 | 11 => topic.name.is_none() || !topic.topic_id.is_nil(),
        _ => topic.name.is_none() && topic.topic_id.is_nil(),
    };
    asked.iter().any(is_wrong).then_some(ErrorCode::InvalidRequest)
}

/// The whole request is refused: every topic carries the error, nothing else is told.
fn refused(shard: &Shard, code: ErrorCode, asked: &[MetadataRequestTopic]) -> MetadataResponse {
    counted(shard, code);
    let topic = |topic: &MetadataRequestTopic| MetadataResponseTopic {
        error_code: code,
        name: Some(topic.name.clone().unwrap_or_default()),
        topic_id: topic.topic_id,
        topic_authorized_operations: NO_OPERATIONS,
        ..MetadataResponseTopic::default()
    };
    MetadataResponse {
        topics: asked.iter().map(topic).collect(),
        controller_id: -1,
        cluster_authorized_operations: NO_OPERATIONS,
        ..MetadataResponse::default()
    }
}

async fn all(shard: &Shard, image: &Image) -> Vec<MetadataResponseTopic> {
    let mut topics = Vec::with_capacity(image.topics().len());
    for (number, topic) in image.topics().enumerate() {
        if number % TOPICS_PER_TURN == TOPICS_PER_TURN - 1 {
            futures_lite::future::yield_now().await;
        }
        topics.push(describe(shard.config.node_id, topic));
    }
    topics
}

/// Each topic that is asked for, once, in the order of asking; those that are to be made come last.
async fn named(
    shard: &Rc<Shard>,
    asked: Vec<MetadataRequestTopic>,
    may_create: bool,
) -> Vec<MetadataResponseTopic> {
    let image = shard.cluster.image();
    let (mut topics, mut absent) = (Vec::with_capacity(asked.len()), Vec::new());
    let (mut seen, mut told) = (BTreeSet::new(), BTreeSet::new());
    for (number, one) in asked.into_iter().enumerate() {
        if number % TOPICS_PER_TURN == TOPICS_PER_TURN - 1 {
            futures_lite::future::yield_now().await;
        }
        // From version 12 on an id counts before a name.
        let name = one.name.filter(|_| one.topic_id.is_nil());
        if !seen.insert((name.clone(), one.topic_id)) {
            continue;
        }
        match look_up(&image, shard.config.node_id, name, one.topic_id) {
            // By its name and by its id it is one topic.
            Ok(topic) if !told.insert(topic.topic_id) => {}
            Ok(topic) | Err(Absent::Told(topic)) => topics.push(topic),
            Err(Absent::Name(name)) => absent.push(name),
        }
    }
    if may_create {
        let created = iter(absent).map(|name| create(shard, name)).buffered(CREATIONS_IN_FLIGHT_MAX);
        topics.extend(created.collect::<Vec<_>>().await);
    } else {
        topics.extend(absent.into_iter().map(|name| error(Some(name), ErrorCode::UnknownTopicOrPartition)));
    }
    topics
}

/// A topic that is not there.
enum Absent {
    /// And never will be by this request.
    Told(MetadataResponseTopic),
    /// It could be made.
    Name(String),
}

fn look_up(
    image: &Image,
    node_id: i32,
    name: Option<String>,
    topic_id: Uuid,
) -> Result<MetadataResponseTopic, Absent> {
    let Some(name) = name else {
        let unknown = MetadataResponseTopic { topic_id, ..error(None, ErrorCode::UnknownTopicId) };
        return image
            .topic_by_id(topic_id)
            .map(|topic| describe(node_id, topic))
            .ok_or(Absent::Told(unknown));
    };
    if let Some(topic) = image.topic(&name) {
        return Ok(describe(node_id, topic));
    }
    Err(match validate_name(&name) {
        Ok(()) => Absent::Name(name),
        Err(_) => Absent::Told(error(Some(name), ErrorCode::InvalidTopicException)),
    })
}

/// Kafka makes the topic behind its answer and lets the client ask again; here it is there in a moment, and so is the
/// answer: clients that give up after few attempts (sarama) never see an error.
async fn create(shard: &Rc<Shard>, name: String) -> MetadataResponseTopic {
    match shard.cluster.auto_create(shard, &name).await {
        Ok(topic) => describe(shard.config.node_id, &topic),
        Err(failure) => {
            tracing::warn!(%failure, name, "a topic could not be made for a client that asked for it");
            let code = match failure {
                CreateTopicError::Prohibited { .. } => ErrorCode::UnknownTopicOrPartition,
                CreateTopicError::Logs { .. } | CreateTopicError::Store(_) => ErrorCode::LeaderNotAvailable,
                other => codes::of_create(&other),
            };
            error(Some(name), code)
        }
    }
}

fn error(name: Option<String>, error_code: ErrorCode) -> MetadataResponseTopic {
    let is_internal = name.as_deref().is_some_and(crate::cluster::is_internal);
    MetadataResponseTopic { error_code, name, is_internal, ..MetadataResponseTopic::default() }
}

fn describe(node_id: i32, topic: &Topic) -> MetadataResponseTopic {
    // An offline partition has no leader, as in Kafka when a log directory has failed.
    let partition = |partition: &crate::cluster::Partition| MetadataResponsePartition {
        error_code: if partition.online { ErrorCode::None } else { ErrorCode::LeaderNotAvailable },
        partition_index: partition.index,
        leader_id: if partition.online { node_id } else { -1 },
        leader_epoch: partition.leader_epoch,
        replica_nodes: vec![node_id],
        isr_nodes: vec![node_id],
        offline_replicas: if partition.online { Vec::new() } else { vec![node_id] },
    };
    MetadataResponseTopic {
        error_code: ErrorCode::None,
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: topic.internal,
        partitions: topic.partitions.iter().map(partition).collect(),
        ..MetadataResponseTopic::default()
    }
}

/// `DescribeCluster` 0-2.
pub(super) async fn describe_cluster(
    shard: &Rc<Shard>,
    context: &RequestContext,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let refuse = |code, text: String| DescribeClusterResponse {
        error_code: counted(shard, code),
        error_message: Some(text),
        controller_id: -1,
        cluster_authorized_operations: NO_OPERATIONS,
        ..DescribeClusterResponse::default()
    };
    match request.endpoint_type {
        BROKERS => {}
        CONTROLLERS => {
            let text = "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER";
            return refuse(ErrorCode::MismatchedEndpointType, text.to_owned());
        }
        other => {
            return refuse(ErrorCode::UnsupportedEndpointType, format!("Unsupported endpoint type {other}"));
        }
    }
    let own = shard.config.advertised(context.listener);
    let broker = DescribeClusterBroker {
        broker_id: shard.config.node_id,
        host: own.host.clone(),
        port: i32::from(own.port),
        rack: None,
        is_fenced: false,
    };
    let asks_cluster = request.include_cluster_authorized_operations;
    DescribeClusterResponse {
        cluster_id: shard.cluster_id.clone(),
        controller_id: shard.config.node_id,
        brokers: vec![broker],
        cluster_authorized_operations: if asks_cluster { CLUSTER_OPERATIONS } else { NO_OPERATIONS },
        ..DescribeClusterResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::image_of;
    use crate::config::Config;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn one(name: Option<&str>, id: u128) -> MetadataRequestTopic {
        MetadataRequestTopic { name: name.map(str::to_owned), topic_id: Uuid::from_u128(id) }
    }

    #[test]
    fn ids_and_null_names_are_taken_from_version_12_on() {
        let refusal = Some(ErrorCode::InvalidRequest);
        for (version, topic, expected) in [
            (9, one(Some("t"), 0), None),
            (11, one(Some("t"), 0), None),
            (10, one(Some("t"), 9), refusal),
            (11, one(None, 9), refusal),
            (12, one(None, 9), None),
            (12, one(Some("t"), 9), None),
            (13, one(None, 0), refusal),
        ] {
            assert_eq!(unaskable(version, std::slice::from_ref(&topic)), expected, "{version} {topic:?}");
        }
    }

    #[test]
    fn a_topic_is_found_or_named_with_its_error() {
        let config = Arc::new(Config::of(BTreeMap::new()).unwrap());
        let image = image_of(&config, &[("t", 2, &[]), ("__consumer_offsets", 1, &[])]);
        let seen = |name: Option<&str>, id: u128| match look_up(
            &image,
            7,
            name.map(str::to_owned),
            Uuid::from_u128(id),
        ) {
            Ok(topic) | Err(Absent::Told(topic)) => Some((topic.error_code as i16, topic.name)),
            Err(Absent::Name(_)) => None,
        };
        assert_eq!(seen(Some("t"), 0), Some((0, Some("t".into()))));
        assert_eq!(seen(None, 10), Some((0, Some("t".into()))));
        assert_eq!(seen(None, 99), Some((100, None)));
        assert_eq!(seen(Some("a/b"), 0), Some((17, Some("a/b".into()))));
        assert_eq!(seen(Some("new"), 0), None);
        let topic = describe(7, image.topic("t").unwrap());
        assert_eq!(topic.partitions.len(), 2);
        assert!(
            topic.partitions.iter().all(|part| (part.leader_id, part.error_code) == (7, ErrorCode::None))
        );
        assert!(describe(7, image.topic("__consumer_offsets").unwrap()).is_internal);
    }
}

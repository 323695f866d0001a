//! Metadata and DescribeCluster.

use super::{RequestContext, counted};
use crate::cluster::{CreateTopicError, Topic};
use crate::shard::Shard;
use crate::wire::ErrorCode;
use crate::wire::messages::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse, MetadataRequest,
    MetadataRequestTopic, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use std::rc::Rc;
use std::sync::Arc;

/// What everybody may do to the cluster where nobody is asked who they are: the bits that Kafka 4.3 answers.
const CLUSTER_OPERATIONS: i32 = 8096;
/// The same for a topic.
const TOPIC_OPERATIONS: i32 = 3576;

/// Metadata 0-13.
pub(super) async fn metadata(
    shard: &Rc<Shard>,
    context: &RequestContext,
    request: MetadataRequest,
) -> MetadataResponse {
    let version = context.header.api_version;
    // Version 0 has no null: there an empty list asks for all.
    let asked = request.topics.filter(|topics| version > 0 || !topics.is_empty());
    let operations = request.include_topic_authorized_operations;
    let topics = match asked {
        None => shard.cluster.image().topics().map(|topic| describe(shard, topic, operations)).collect(),
        Some(asked) => {
            let create =
                (version < 4 || request.allow_auto_topic_creation) && shard.config.auto_create_topics_enable;
            let mut topics = Vec::with_capacity(asked.len());
            for topic in asked {
                topics.push(one(shard, version, topic, create, operations).await);
            }
            topics
        }
    };
    let own = shard.config.advertised(context.listener);
    let broker = MetadataResponseBroker {
        node_id: shard.config.node_id,
        host: own.host.clone(),
        port: i32::from(own.port),
        rack: None,
    };
    MetadataResponse {
        brokers: vec![broker],
        cluster_id: Some(shard.cluster_id.clone()),
        controller_id: shard.config.node_id,
        topics,
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            CLUSTER_OPERATIONS
        } else {
            i32::MIN
        },
        ..MetadataResponse::default()
    }
}

async fn one(
    shard: &Rc<Shard>,
    version: i16,
    asked: MetadataRequestTopic,
    create: bool,
    operations: bool,
) -> MetadataResponseTopic {
    let image = shard.cluster.image();
    let refuse = |name: Option<String>, topic_id, code| MetadataResponseTopic {
        error_code: counted(shard, code),
        name: name.or_else(|| (version < 12).then(String::new)),
        topic_id,
        ..MetadataResponseTopic::default()
    };
    let Some(name) = asked.name else {
        return match image.topic_by_id(asked.topic_id) {
            Some(topic) => describe(shard, topic, operations),
            None => refuse(None, asked.topic_id, ErrorCode::UnknownTopicId),
        };
    };
    if let Some(topic) = image.topic(&name) {
        return describe(shard, topic, operations);
    }
    if let Err(error) = crate::cluster::validate_name(&name) {
        tracing::debug!(%error, name, "a topic that cannot be");
        return refuse(Some(name), uuid::Uuid::nil(), ErrorCode::InvalidTopicException);
    }
    if !create {
        return refuse(Some(name), uuid::Uuid::nil(), ErrorCode::UnknownTopicOrPartition);
    }
    match shard.cluster.auto_create(shard, &name).await {
        Ok(topic) => describe(shard, &topic, operations),
        Err(error) => {
            tracing::warn!(%error, name, "a topic could not be made for a client that asked for it");
            let code = match error {
                CreateTopicError::Name(_) | CreateTopicError::Collides { .. } => {
                    ErrorCode::InvalidTopicException
                }
                _ => ErrorCode::LeaderNotAvailable,
            };
            refuse(Some(name), uuid::Uuid::nil(), code)
        }
    }
}

fn describe(shard: &Shard, topic: &Arc<Topic>, operations: bool) -> MetadataResponseTopic {
    let node = shard.config.node_id;
    let partition = |partition: &crate::cluster::Partition| MetadataResponsePartition {
        error_code: if partition.online { ErrorCode::None } else { ErrorCode::LeaderNotAvailable },
        partition_index: partition.index,
        leader_id: if partition.online { node } else { -1 },
        leader_epoch: partition.leader_epoch,
        replica_nodes: vec![node],
        isr_nodes: if partition.online { vec![node] } else { Vec::new() },
        offline_replicas: if partition.online { Vec::new() } else { vec![node] },
    };
    MetadataResponseTopic {
        error_code: ErrorCode::None,
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: topic.internal,
        partitions: topic.partitions.iter().map(partition).collect(),
        topic_authorized_operations: if operations { TOPIC_OPERATIONS } else { i32::MIN },
    }
}

/// DescribeCluster 0-2.
pub(super) async fn describe_cluster(
    shard: &Rc<Shard>,
    context: &RequestContext,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    const BROKERS: i8 = 1;
    if request.endpoint_type != BROKERS {
        return DescribeClusterResponse {
            error_code: counted(shard, ErrorCode::MismatchedEndpointType),
            error_message: Some("The request was sent to an endpoint of the wrong type.".to_owned()),
            ..DescribeClusterResponse::default()
        };
    }
    let own = shard.config.advertised(context.listener);
    let broker = DescribeClusterBroker {
        broker_id: shard.config.node_id,
        host: own.host.clone(),
        port: i32::from(own.port),
        rack: None,
        is_fenced: false,
    };
    DescribeClusterResponse {
        cluster_id: shard.cluster_id.clone(),
        controller_id: shard.config.node_id,
        brokers: vec![broker],
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            CLUSTER_OPERATIONS
        } else {
            i32::MIN
        },
        ..DescribeClusterResponse::default()
    }
}

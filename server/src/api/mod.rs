//! What does each request do?
//!
//! One file per family; each function takes a decoded request and gives an answer. Here: the way from an API's number
//! to its function.

pub mod codes;
pub mod configs;
pub mod fetch;
pub mod fetch_sessions;
pub mod groups;
pub mod metadata;
pub mod offsets;
pub mod produce;
pub mod producer_ids;
mod records;
mod refusal;
pub mod topics;
mod versions;

use crate::net::{Class, Reach};
use crate::shard::Shard;
use crate::wire::produce::NodeEndpoint;
use crate::wire::{Answer, ApiKey, Decode, ErrorCode, Reader, RequestHeader};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

/// Who asks, by which way.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Of the request.
    pub header: RequestHeader,
    /// The listener it came by: its place in `config.listeners_parsed`.
    pub listener: usize,
    /// The client's address.
    pub client_host: IpAddr,
    /// When its last byte had come.
    pub received: Instant,
    /// Its connection: different for every connection of the broker's life.
    pub connection_id: u64,
    /// Is told which cores the connection's requests lie with.
    pub reach: Rc<Reach>,
}

/// What came of a request.
#[derive(Debug)]
pub enum Handled {
    /// An answer.
    Answer(Answer),
    /// Nothing is sent (acks=0).
    Silent,
    /// There is no answer to this: the connection closes, for this reason.
    Close(String),
}

/// How a request gets along with others of its connection.
pub fn class(header: &RequestHeader) -> Class {
    match header.api_key {
        ApiKey::Produce => Class::Overlapping,
        _ => Class::Alone,
    }
}

macro_rules! dispatch {
    ($shard:ident, $context:ident, $body:ident; $($api:ident => $function:path,)*; $(special $special:ident => $handler:path,)*) => {
        match $context.header.api_key {
            $(ApiKey::$api => match read($context, $body) {
                Ok(request) => Handled::Answer(Answer::of(&$context.header, &$function($shard, $context, request).await)),
                Err(reason) => Handled::Close(reason),
            },)*
            $(ApiKey::$special => match read($context, $body) {
                Ok(request) => $handler($shard, $context, request).await,
                Err(reason) => Handled::Close(reason),
            },)*
        }
    };
}

fn read<T: Decode>(context: &RequestContext, mut body: Reader) -> Result<T, String> {
    // Kafka takes bytes behind the last field, too: some old clients send them.
    T::decode(&mut body, context.header.api_version).map_err(|error| error.to_string())
}

/// Decodes a request, acts on it, and lays out its answer.
pub async fn handle(shard: &Rc<Shard>, context: &RequestContext, body: Reader) -> Handled {
    let header = &context.header;
    if !header.api_key.is_served(header.api_version) {
        return match header.api_key {
            ApiKey::ApiVersions => Handled::Answer(versions::unsupported(header)),
            _ => Handled::Close("this version is not served".to_owned()),
        };
    }
    dispatch! {
        shard, context, body;
        ListOffsets => offsets::list_offsets,
        OffsetForLeaderEpoch => offsets::offset_for_leader_epoch,
        Metadata => metadata::metadata,
        DescribeCluster => metadata::describe_cluster,
        FindCoordinator => groups::find_coordinator,
        JoinGroup => groups::join_group,
        SyncGroup => groups::sync_group,
        Heartbeat => groups::heartbeat,
        LeaveGroup => groups::leave_group,
        OffsetCommit => groups::offset_commit,
        OffsetFetch => groups::offset_fetch,
        DescribeGroups => groups::describe_groups,
        ListGroups => groups::list_groups,
        DeleteGroups => groups::delete_groups,
        OffsetDelete => groups::offset_delete,
        ApiVersions => versions::api_versions,
        CreateTopics => topics::create_topics,
        DeleteTopics => topics::delete_topics,
        CreatePartitions => topics::create_partitions,
        ListPartitionReassignments => topics::list_partition_reassignments,
        DescribeConfigs => configs::describe_configs,
        AlterConfigs => configs::alter_configs,
        IncrementalAlterConfigs => configs::incremental_alter_configs,
        DeleteRecords => records::delete_records,
        DescribeLogDirs => records::describe_log_dirs,
        InitProducerId => producer_ids::init_producer_id,
        ;
        special Produce => produce::produce,
        special Fetch => fetch::fetch,
    }
}

/// Where this broker is, for who came by the request's listener (KIP-951).
pub(crate) fn own_endpoint(shard: &Shard, context: &RequestContext) -> NodeEndpoint {
    let told = shard.config.advertised(context.listener);
    NodeEndpoint {
        node_id: shard.config.node_id,
        host: told.host.clone(),
        port: i32::from(told.port),
        rack: None,
    }
}

/// Counts an error and gives it back.
pub(crate) fn counted(shard: &Shard, code: ErrorCode) -> ErrorCode {
    shard.metrics.error(code);
    code
}

//! The wire room against Kafka's own bytes, against another implementation, and against bytes that lie.
#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a test that panics has found something")]

mod answer;
mod golden;
mod hostile;
mod oracle;
pub(super) mod probe;
mod round_trip;
mod versions;

use super::{Decode, Encode, Message, Reader, WireError, Writer};
use bytes::Bytes;

/// Runs a macro with every API: the name of its key, its request and its response.
macro_rules! each_api {
    ($check:ident $(, $argument:ident)?) => {
        $check! {
            $($argument;)?
            Produce ProduceRequest ProduceResponse,
            Fetch FetchRequest FetchResponse,
            ListOffsets ListOffsetsRequest ListOffsetsResponse,
            Metadata MetadataRequest MetadataResponse,
            OffsetCommit OffsetCommitRequest OffsetCommitResponse,
            OffsetFetch OffsetFetchRequest OffsetFetchResponse,
            FindCoordinator FindCoordinatorRequest FindCoordinatorResponse,
            JoinGroup JoinGroupRequest JoinGroupResponse,
            Heartbeat HeartbeatRequest HeartbeatResponse,
            LeaveGroup LeaveGroupRequest LeaveGroupResponse,
            SyncGroup SyncGroupRequest SyncGroupResponse,
            DescribeGroups DescribeGroupsRequest DescribeGroupsResponse,
            ListGroups ListGroupsRequest ListGroupsResponse,
            ApiVersions ApiVersionsRequest ApiVersionsResponse,
            CreateTopics CreateTopicsRequest CreateTopicsResponse,
            DeleteTopics DeleteTopicsRequest DeleteTopicsResponse,
            DeleteRecords DeleteRecordsRequest DeleteRecordsResponse,
            InitProducerId InitProducerIdRequest InitProducerIdResponse,
            OffsetForLeaderEpoch OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse,
            DescribeConfigs DescribeConfigsRequest DescribeConfigsResponse,
            AlterConfigs AlterConfigsRequest AlterConfigsResponse,
            DescribeLogDirs DescribeLogDirsRequest DescribeLogDirsResponse,
            CreatePartitions CreatePartitionsRequest CreatePartitionsResponse,
            DeleteGroups DeleteGroupsRequest DeleteGroupsResponse,
            IncrementalAlterConfigs IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse,
            ListPartitionReassignments ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse,
            DescribeCluster DescribeClusterRequest DescribeClusterResponse,
        }
    };
}
use each_api;

/// Calls a function that is generic over messages once for each of them.
macro_rules! each_message {
    ($function:ident) => {{
        use crate::wire::{fetch::*, messages::internal::*, messages::*};
        each_api!(call_for_both, $function);
        $function::<OffsetCommitKey>();
        $function::<OffsetCommitValue>();
        $function::<GroupMetadataKey>();
        $function::<GroupMetadataValue>();
    }};
}
use each_message;

macro_rules! call_for_both {
    ($function:ident; $($api:ident $request:ident $response:ident,)*) => {
        $( $function::<$request>(); $function::<$response>(); )*
    };
}
use call_for_both;

fn encoded<M: Message + Encode>(message: &M, version: i16) -> Bytes {
    let mut writer = Writer::with_capacity(message.encoded_bytes(version));
    message.encode(&mut writer, version);
    writer.into_bytes()
}

/// Decodes the whole of `bytes`.
fn decoded<M: Message + Decode>(bytes: &Bytes, version: i16) -> Result<M, WireError> {
    let mut reader = Reader::new(bytes.clone());
    let message = M::decode(&mut reader, version)?;
    assert_eq!(reader.remaining_bytes(), 0, "{} v{version} left bytes unread", M::NAME);
    Ok(message)
}

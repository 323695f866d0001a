//! Requests as they come from sockets: header and body in every API and version.
//!
//! Promises: no panic; memory within a multiple of the frame; what is decoded can be written and read again, in exactly
//! the bytes that were measured.
#![no_main]

use bytes::Bytes;
use std::hash::{DefaultHasher, Hash, Hasher};
use thalweg_server::wire::messages::internal::{
    GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue,
};
use thalweg_server::wire::{
    ApiKey, Decode, Encode, Reader, RequestHeader, WireError, Writer, messages, stored,
};

/// Calls `$check` with the request type of the API at hand.
macro_rules! request_of {
    ($key:expr, $check:ident $arguments:tt, $($api:ident $request:ident,)*) => {
        match $key { $(ApiKey::$api => $check::<messages::$request> $arguments,)* }
    };
}

thalweg_fuzz::target!(check, memory_bytes_max, seeds);

/// The decoder's allowance, what it read a second time, and what was written.
fn memory_bytes_max(input_bytes: usize) -> usize {
    let decoded_bytes = 64 * 1024 + 16 * input_bytes;
    2 * decoded_bytes + 8 * input_bytes + 16 * 1024
}

fn check(input: &[u8]) -> u64 {
    let mut way = DefaultHasher::new();
    let frame = Bytes::copy_from_slice(input);
    let mut reader = Reader::new(frame.clone());
    match RequestHeader::read(&mut reader) {
        Ok(header) => {
            (header.api_key, header.api_version, header.client_id.is_some()).hash(&mut way);
            let body = frame.slice(reader.position()..);
            kind(&one(header.api_key, &body, header.api_version)).hash(&mut way);
        }
        Err(error) => kind(&Err(error)).hash(&mut way),
    }
    // The same bytes as records of `__consumer_offsets`.
    for result in [
        record::<OffsetCommitKey>(&frame),
        record::<OffsetCommitValue>(&frame),
        record::<GroupMetadataKey>(&frame),
        record::<GroupMetadataValue>(&frame),
    ] {
        kind(&result).hash(&mut way);
    }
    way.finish()
}

/// What came of it: which error in which field.
fn kind(result: &Result<(), WireError>) -> (u8, &'static str) {
    match result {
        Ok(()) => (0, ""),
        Err(WireError::Truncated { field, .. }) => (1, field),
        Err(WireError::Length { field, .. }) => (2, field),
        Err(WireError::Count { field, .. }) => (3, field),
        Err(WireError::Null { field, .. }) => (4, field),
        Err(WireError::Varint { field, .. }) => (5, field),
        Err(WireError::UnknownErrorCode { field, .. }) => (6, field),
        Err(WireError::TaggedField { .. }) => (7, ""),
        Err(WireError::Memory { field, .. }) => (8, field),
        Err(WireError::UnsupportedVersion { message, .. }) => (9, message),
        Err(WireError::UnknownApi { .. }) => (10, ""),
    }
}

fn one(key: ApiKey, body: &Bytes, version: i16) -> Result<(), WireError> {
    request_of! { key, holds_still(body, version),
        Produce ProduceRequest,
        Fetch FetchRequest,
        ListOffsets ListOffsetsRequest,
        Metadata MetadataRequest,
        OffsetCommit OffsetCommitRequest,
        OffsetFetch OffsetFetchRequest,
        FindCoordinator FindCoordinatorRequest,
        JoinGroup JoinGroupRequest,
        Heartbeat HeartbeatRequest,
        LeaveGroup LeaveGroupRequest,
        SyncGroup SyncGroupRequest,
        DescribeGroups DescribeGroupsRequest,
        ListGroups ListGroupsRequest,
        ApiVersions ApiVersionsRequest,
        CreateTopics CreateTopicsRequest,
        DeleteTopics DeleteTopicsRequest,
        DeleteRecords DeleteRecordsRequest,
        InitProducerId InitProducerIdRequest,
        OffsetForLeaderEpoch OffsetForLeaderEpochRequest,
        DescribeConfigs DescribeConfigsRequest,
        AlterConfigs AlterConfigsRequest,
        DescribeLogDirs DescribeLogDirsRequest,
        CreatePartitions CreatePartitionsRequest,
        DeleteGroups DeleteGroupsRequest,
        IncrementalAlterConfigs IncrementalAlterConfigsRequest,
        ListPartitionReassignments ListPartitionReassignmentsRequest,
        OffsetDelete OffsetDeleteRequest,
        DescribeCluster DescribeClusterRequest,
    }
}

/// Decodes, writes, and does both again: the second time nothing may change.
fn holds_still<M: Decode + Encode + PartialEq + std::fmt::Debug>(
    body: &Bytes,
    version: i16,
) -> Result<(), WireError> {
    let first = M::decode(&mut Reader::new(body.clone()), version)?;
    let written = write(&first, version);
    drop(first);
    // What was not UTF-8 may have grown beyond the protocol's limit for texts and is written shorter: compare after that.
    let second = M::decode(&mut Reader::new(written.clone()), version).expect("what was written can be read");
    assert_eq!(write(&second, version), written);
    Ok(())
}

fn write(message: &impl Encode, version: i16) -> Bytes {
    let mut writer = Writer::with_capacity(message.encoded_bytes(version));
    message.encode(&mut writer, version);
    let bytes = writer.into_bytes();
    assert_eq!(bytes.len(), message.encoded_bytes(version), "measured wrongly");
    bytes
}

fn record<M: Decode + Encode + PartialEq + std::fmt::Debug>(bytes: &Bytes) -> Result<(), WireError> {
    let version = stored::version(&mut Reader::new(bytes.clone()))?;
    let value: M = stored::decode(bytes)?;
    let again: M = stored::decode(&stored::encode(&value, version)).expect("what was written can be read");
    assert_eq!(stored::encode(&again, version), stored::encode(&value, version));
    Ok(())
}

/// What Kafka's own classes write, behind a header; records behind their version.
fn seeds() -> Vec<Vec<u8>> {
    let files = [
        include_str!("../../../tests/golden/wire/kafka-4.3.1.txt"),
        include_str!("../../../tests/golden/wire/kafka-3.5.1.txt"),
    ];
    files.iter().flat_map(|file| file.lines()).filter_map(seed).collect()
}

fn seed(line: &str) -> Option<Vec<u8>> {
    let mut words = line.split(' ');
    let (name, version, hex) = (words.next()?, words.next()?.parse::<i16>().ok()?, words.next()?);
    let body = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"));
    let mut bytes = if let Some(api) = name.strip_suffix("Request") {
        let api_key = *ApiKey::ALL.iter().find(|key| key.name() == api)?;
        let header =
            RequestHeader { api_key, api_version: version, correlation_id: 1, client_id: Some("c".into()) };
        let mut writer = Writer::new();
        header.write(&mut writer);
        writer.into_bytes().to_vec()
    } else if name.ends_with("Response") {
        return None;
    } else {
        version.to_be_bytes().to_vec()
    };
    bytes.extend(body);
    Some(bytes)
}

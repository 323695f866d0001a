//! Our codec against the crate `kafka-protocol`, which shares no line with it, and against hostile bytes.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

use super::messages::*;
use super::*;
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as oracle;
use kafka_protocol::protocol::{Decodable, Encodable, VersionRange};

/// Decodes what the other one encoded, encodes it again: the bytes must be the same.
fn agree<Ours: Field, Theirs: Encodable + Decodable>(theirs: &Theirs, key: ApiKey, known: VersionRange) {
    for version in key.listed() {
        if version < known.min || version > known.max || !key.is_served(version) {
            continue;
        }
        let mut bytes = BytesMut::new();
        if theirs.encode(&mut bytes, version).is_err() {
            continue; // a field is set that this version lacks
        }
        let bytes = bytes.freeze();
        let context = Context { version, flexible: key.is_flexible(version) };
        let mut reader = Reader::new(bytes.clone());
        let ours = Ours::read(&mut reader, context)
            .unwrap_or_else(|error| panic!("{} {version}: {error}", key.name()));
        reader.finish().unwrap_or_else(|error| panic!("{} {version}: {error}", key.name()));
        let mut writer = Writer::default();
        ours.write(&mut writer, context);
        assert_eq!(writer.bytes, bytes, "{} {version}", key.name());
        hostile::<Ours>(&bytes, context);
    }
}

/// A value that differs from its neighbours', so that two fields in the wrong order show.
pub(crate) trait Sample {
    fn sample(number: &mut u64) -> Self;
}

macro_rules! sample {
    ($($type:ty: |$number:ident| $value:expr;)*) => {$(
        impl Sample for $type {
            fn sample(number: &mut u64) -> Self {
                *number += 1;
                let $number = *number;
                $value
            }
        }
    )*};
}

sample! {
    bool: |number| number % 2 == 0;
    ErrorCode: |number| if number % 2 == 0 { ErrorCode::NotCoordinator } else { ErrorCode::InvalidRecord };
    i8: |number| (number % 100) as i8;
    i16: |number| (number % 30_000) as i16;
    i32: |number| number as i32 * 1000;
    i64: |number| number as i64 * 1_000_000;
    f64: |number| number as f64;
    String: |number| format!("text {number}");
    Option<String>: |number| (number % 3 != 0).then(|| format!("text {number}"));
    Bytes: |number| Bytes::from(vec![number as u8; 3]);
    Option<Bytes>: |number| (number % 3 != 0).then(|| Bytes::from(vec![number as u8; 3]));
    uuid::Uuid: |number| uuid::Uuid::from_u128(u128::from(number) << 64 | 7);
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(number: &mut u64) -> Self {
        (0..2).map(|_| T::sample(number)).collect()
    }
}

impl<T: Sample> Sample for Option<Vec<T>> {
    fn sample(number: &mut u64) -> Self {
        *number += 1;
        (*number % 4 != 0).then(|| Vec::sample(number))
    }
}

/// What we encode of full messages, the other one decodes and encodes to the same bytes; what we read back encodes
/// to them again.
fn full<Ours: Field + Sample + PartialEq, Theirs: Encodable + Decodable>(key: ApiKey, known: VersionRange) {
    for version in key.served().filter(|version| (known.min..=known.max).contains(version)) {
        let mut checked = 0;
        for seed in 0..60 {
            let context = Context { version, flexible: key.is_flexible(version) };
            let ours = Ours::sample(&mut (seed * 1000));
            let mut writer = Writer::default();
            ours.write(&mut writer, context);
            let bytes = writer.bytes.freeze();
            let mut reader = Reader::new(bytes.clone());
            let again = Ours::read(&mut reader, context);
            let Ok(again) = again else { continue }; // a null where this version has none
            reader.finish().unwrap();
            let mut writer = Writer::default();
            again.write(&mut writer, context);
            assert_eq!(writer.bytes, bytes, "{} {version}", key.name());
            let Ok(theirs) = Theirs::decode(&mut bytes.clone(), version) else { continue };
            let mut encoded = BytesMut::new();
            if theirs.encode(&mut encoded, version).is_err() {
                continue;
            }
            assert_eq!(encoded, bytes, "{} {version}", key.name());
            checked += 1;
            if seed == 0 {
                hostile::<Ours>(&bytes, context);
            }
        }
        assert!(checked > 0, "{} {version} was never compared", key.name());
    }
}

/// Cut and changed bytes are errors or other messages, never a panic.
fn hostile<Ours: Field>(bytes: &Bytes, context: Context) {
    for at in 0..bytes.len() {
        let _ = Ours::read(&mut Reader::new(bytes.slice(..at)), context);
        for value in [0x00, 0x7f, 0x80, 0xff] {
            let mut changed = bytes.to_vec();
            changed[at] = value;
            let _ = Ours::read(&mut Reader::new(changed.into()), context);
        }
    }
}

macro_rules! default_agrees {
    ($($key:ident: $request:ident $response:ident;)*) => {
        #[test]
        fn full_messages_of_every_version_agree_with_the_other_codec() {
            $(
                full::<$request, oracle::$request>(ApiKey::$key, <oracle::$request as kafka_protocol::protocol::Message>::VERSIONS);
                full::<$response, oracle::$response>(ApiKey::$key, <oracle::$response as kafka_protocol::protocol::Message>::VERSIONS);
            )*
        }

        #[test]
        fn empty_messages_of_every_version_agree_with_the_other_codec() {
            $(
                agree::<$request, _>(&oracle::$request::default(), ApiKey::$key, <oracle::$request as kafka_protocol::protocol::Message>::VERSIONS);
                agree::<$response, _>(&oracle::$response::default(), ApiKey::$key, <oracle::$response as kafka_protocol::protocol::Message>::VERSIONS);
            )*
        }
    };
}

default_agrees! {
    Produce: ProduceRequest ProduceResponse;
    ListOffsets: ListOffsetsRequest ListOffsetsResponse;
    Metadata: MetadataRequest MetadataResponse;
    OffsetCommit: OffsetCommitRequest OffsetCommitResponse;
    OffsetFetch: OffsetFetchRequest OffsetFetchResponse;
    FindCoordinator: FindCoordinatorRequest FindCoordinatorResponse;
    JoinGroup: JoinGroupRequest JoinGroupResponse;
    Heartbeat: HeartbeatRequest HeartbeatResponse;
    LeaveGroup: LeaveGroupRequest LeaveGroupResponse;
    SyncGroup: SyncGroupRequest SyncGroupResponse;
    ApiVersions: ApiVersionsRequest ApiVersionsResponse;
    CreateTopics: CreateTopicsRequest CreateTopicsResponse;
    DeleteTopics: DeleteTopicsRequest DeleteTopicsResponse;
    InitProducerId: InitProducerIdRequest InitProducerIdResponse;
    OffsetForLeaderEpoch: OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse;
    DescribeConfigs: DescribeConfigsRequest DescribeConfigsResponse;
    AlterConfigs: AlterConfigsRequest AlterConfigsResponse;
    CreatePartitions: CreatePartitionsRequest CreatePartitionsResponse;
    IncrementalAlterConfigs: IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse;
    ListPartitionReassignments: ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse;
    DescribeCluster: DescribeClusterRequest DescribeClusterResponse;
}

#[test]
fn fetch_requests_agree_with_the_other_codec() {
    let known = <oracle::FetchRequest as kafka_protocol::protocol::Message>::VERSIONS;
    agree::<FetchRequest, _>(&oracle::FetchRequest::default(), ApiKey::Fetch, known);
    full::<FetchRequest, oracle::FetchRequest>(ApiKey::Fetch, known);
}

#[test]
fn a_fetch_answer_around_record_slices_reads_as_the_other_codec_reads_it() {
    for version in 4..=17 {
        let header = RequestHeader {
            api_key: ApiKey::Fetch,
            api_version: version,
            correlation_id: 5,
            client_id: None,
        };
        let records = vec![Bytes::from_static(b"first "), Bytes::from_static(b"second")];
        let first = fetch::PartitionData {
            partition_index: 3,
            high_watermark: 20,
            last_stable_offset: 19,
            log_start_offset: 1,
            diverging_epoch: Some((4, 44)),
            current_leader: Some(LeaderIdAndEpoch { leader_id: 8, leader_epoch: 9 }),
            records,
            records_bytes: 12,
            ..fetch::PartitionData::error(3, ErrorCode::None)
        };
        let topic_id = uuid::Uuid::from_u128(77);
        let partitions = vec![first, fetch::PartitionData::error(4, ErrorCode::UnknownTopicOrPartition)];
        let topics = vec![fetch::TopicData { topic: "t".to_owned(), topic_id, partitions }];
        let answer = fetch::answer(&header, fetch::FetchResponse { error_code: ErrorCode::None, session_id: 6, topics });
        let bytes = Bytes::from(answer.concat());
        assert_eq!(answer.bytes, bytes.len());
        assert_eq!(bytes[..4], (bytes.len() as i32 - 4).to_be_bytes());
        let mut rest = bytes.slice(if version >= 12 { 9 } else { 8 }..);
        let theirs = oracle::FetchResponse::decode(&mut rest, version).unwrap();
        assert!(rest.is_empty(), "{version}");
        let partition = &theirs.responses[0].partitions[0];
        assert_eq!((partition.partition_index, partition.high_watermark), (3, 20));
        assert_eq!(partition.records.as_deref(), Some(&b"first second"[..]));
        assert_eq!(theirs.responses[0].partitions[1].error_code, 3);
        if version >= 12 {
            assert_eq!((partition.diverging_epoch.epoch, partition.current_leader.leader_epoch), (4, 9));
        }
    }
}

#[test]
fn a_count_that_lies_takes_no_memory() {
    for (version, flexible, bytes) in
        [(1i16, false, &[0x7f, 0xff, 0xff, 0xff][..]), (12, true, &[0xff, 0xff, 0xff, 0xff, 0x0f][..])]
    {
        let context = Context { version, flexible };
        let outcome = MetadataRequest::read(&mut Reader::new(Bytes::copy_from_slice(bytes)), context);
        assert!(matches!(outcome, Err(WireError::Length { what: "array", .. })), "{outcome:?}");
    }
    // A count that the bytes back, of elements far larger in memory than on the wire.
    let mut many = 4_000_000i32.to_be_bytes().to_vec();
    many.resize(4 + 4_000_000, 0);
    let context = Context { version: 0, flexible: false };
    let outcome = CreateTopicsRequest::read(&mut Reader::new(many.into()), context);
    assert!(matches!(outcome, Err(WireError::Memory { .. })), "{outcome:?}");
}

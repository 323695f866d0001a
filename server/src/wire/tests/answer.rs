//! Answers as they go to the socket.

use super::decoded;
use crate::wire::fetch::{AbortedTransaction, FetchResponse, FetchableTopicResponse, PartitionData};
use crate::wire::messages::{HeartbeatResponse, MetadataResponse};
use crate::wire::{Answer, ApiKey, Encode, ErrorCode, Reader, RequestHeader, ResponseHeader, versions};
use bytes::Bytes;

fn asked(api_key: ApiKey, api_version: i16, correlation_id: i32) -> RequestHeader {
    RequestHeader { api_key, api_version, correlation_id, client_id: None }
}

fn partition(index: i32, records: Vec<Bytes>) -> PartitionData {
    PartitionData { partition_index: index, high_watermark: 9, records, ..PartitionData::default() }
}

fn fetched(partitions: Vec<PartitionData>) -> FetchResponse {
    let topic = FetchableTopicResponse { topic: "iis_log".into(), partitions, ..Default::default() };
    FetchResponse { responses: vec![topic], ..FetchResponse::default() }
}

#[test]
fn record_slices_leave_as_they_are_between_the_owned_pieces() {
    let stored: [Bytes; 3] = [vec![1; 4096].into(), vec![2; 300].into(), vec![3; 70].into()];
    let response = fetched(vec![
        partition(0, vec![stored[0].clone(), stored[1].clone()]),
        partition(1, vec![]),
        partition(2, vec![Bytes::new(), stored[2].clone()]),
    ]);
    for version in 4..=18 {
        let answer = Answer::of(&asked(ApiKey::Fetch, version, 77), &response);
        assert_eq!(answer.bytes, answer.parts.iter().map(Bytes::len).sum::<usize>());
        assert!(answer.parts.iter().all(|part| !part.is_empty()));
        let slices =
            answer.parts.iter().filter(|part| stored.iter().any(|slice| slice.as_ptr() == part.as_ptr()));
        assert_eq!(slices.count(), 3, "v{version}: each slice is a part, not copied");
        // The owned parts lie behind each other in one allocation.
        let owned: Vec<_> = answer
            .parts
            .iter()
            .filter(|part| stored.iter().all(|slice| slice.as_ptr() != part.as_ptr()))
            .collect();
        assert!(owned.windows(2).all(|pair| pair[0].as_ptr_range().end == pair[1].as_ptr()), "v{version}");

        let whole = Bytes::from(answer.parts.concat());
        assert_eq!(whole[..4], (answer.bytes as i32 - 4).to_be_bytes());
        let mut reader = Reader::new(whole.slice(4..));
        let header = ResponseHeader::read(&mut reader, ApiKey::Fetch, version).unwrap();
        assert_eq!(header.correlation_id, 77);
        let read: FetchResponse = decoded(&whole.slice(4 + reader.position()..), version).unwrap();
        let records = |at: usize| read.responses[0].partitions[at].records.concat();
        assert_eq!(records(0), stored[..2].concat());
        assert!(records(1).is_empty());
        assert_eq!(records(2), stored[2]);
    }
}

#[test]
fn a_fetch_answer_tells_aborted_transactions_or_that_there_is_no_such_list() {
    let aborted = AbortedTransaction { producer_id: 5, first_offset: 8 };
    for list in [None, Some(vec![]), Some(vec![aborted])] {
        let part = PartitionData { aborted_transactions: list.clone(), ..PartitionData::default() };
        let answer = Answer::of(&asked(ApiKey::Fetch, 12, 1), &fetched(vec![part]));
        let body = Bytes::from(answer.parts.concat()).slice(9..);
        let read: FetchResponse = decoded(&body, 12).unwrap();
        assert_eq!(read.responses[0].partitions[0].aborted_transactions, list);
    }
}

#[test]
fn an_answer_without_records_is_one_part_of_exactly_its_size() {
    let response = HeartbeatResponse { error_code: ErrorCode::RebalanceInProgress, ..Default::default() };
    let answer = Answer::of(&asked(ApiKey::Heartbeat, 4, 3), &response);
    assert_eq!(answer.parts, [&b"\0\0\0\x0c\0\0\0\x03\0\0\0\0\0\0\x1b\0"[..]]);
    assert_eq!(answer.bytes, 16);
    let answer = Answer::of(&asked(ApiKey::Metadata, 13, 3), &MetadataResponse::default());
    assert_eq!(answer.parts.len(), 1);
    assert_eq!(answer.bytes, 4 + 5 + MetadataResponse::default().encoded_bytes(13));
}

#[test]
fn api_versions_is_answered_behind_the_oldest_header_in_every_version() {
    for version in 0..=4 {
        let answer = Answer::of(&asked(ApiKey::ApiVersions, version, 7), &versions::api_versions());
        assert_eq!(answer.parts[0][4..10], [0, 0, 0, 7, 0, 0], "v{version}: correlation id, error code");
    }
    // As Kafka 4.3.1 answers ApiVersions v99.
    let answer = Answer::of(&asked(ApiKey::ApiVersions, 0, 7), &versions::api_versions_unsupported());
    assert_eq!(&answer.parts[0][..], b"\0\0\0\x10\0\0\0\x07\0\x23\0\0\0\x01\0\x12\0\0\0\x04");
}

//! The wire: bytes of a socket into frames, frames into requests, answers into bytes, bytes into gathered writes.

use crate::batches::plain;
use crate::meter::Meter;
use bytes::Bytes;
use std::hint::black_box;
use std::io::IoSlice;
use thalweg_server::net::{Frames, Outbox, PARTS_MAX, Target};
use thalweg_server::wire::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, FetchableTopicResponse, PartitionData,
};
use thalweg_server::wire::messages::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use thalweg_server::wire::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
    TopicProduceResponse,
};
use thalweg_server::wire::{Answer, ApiKey, Decode, Encode, Reader, RequestHeader, Writer};

const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 12;
const COMMIT_VERSION: i16 = 8;

fn header(api_key: ApiKey, api_version: i16) -> RequestHeader {
    RequestHeader { api_key, api_version, correlation_id: 7, client_id: Some("loops".to_owned()) }
}

/// A request as the socket delivers it, without its length.
fn request(api_key: ApiKey, api_version: i16, body: &impl Encode) -> Bytes {
    let mut writer = Writer::default();
    header(api_key, api_version).write(&mut writer);
    body.encode(&mut writer, api_version);
    Bytes::from(writer.into_parts().concat())
}

fn prefixed(frame: &[u8]) -> Vec<u8> {
    [&(frame.len() as i32).to_be_bytes()[..], frame].concat()
}

/// Feeds a socket's bytes, as much at a time as there is room for; returns how many frames came out.
fn cut(frames: &mut Frames, mut stream: &[u8]) -> u64 {
    let mut count = 0;
    loop {
        while let Some(frame) = frames.cut().expect("sound frames") {
            black_box(frame);
            count += 1;
        }
        if stream.is_empty() {
            return count;
        }
        frames.grow();
        let taken = match frames.target() {
            Target::Slice(slice) => {
                let taken = slice.len().min(stream.len());
                slice[..taken].copy_from_slice(&stream[..taken]);
                taken
            }
            Target::Spare(vector) => {
                let taken = (vector.capacity() - vector.len()).min(stream.len());
                vector.extend_from_slice(&stream[..taken]);
                taken
            }
        };
        frames.received(taken);
        stream = &stream[taken..];
    }
}

fn frames(meter: &Meter, frame_bytes: usize, at_once: usize, rounds: u64) {
    let stream = prefixed(&vec![7; frame_bytes]).repeat(at_once);
    let mut frames = Frames::new(100 << 20);
    cut(&mut frames, &stream); // the first one shows what this connection sends
    let rounds = meter.rounds(rounds);
    let mut count = 0;
    meter.count(rounds * at_once as u64, || {
        for _ in 0..rounds {
            count += cut(&mut frames, black_box(&stream));
        }
    });
    assert_eq!(count, rounds * at_once as u64);
}

pub(crate) fn frames_200(meter: &Meter) {
    frames(meter, 200, 1, 2000);
}

pub(crate) fn frames_200_by_eight(meter: &Meter) {
    frames(meter, 200, 8, 300);
}

pub(crate) fn frames_1m(meter: &Meter) {
    frames(meter, 1_000_000, 1, 10);
}

fn decode<T: Decode>(meter: &Meter, rounds: u64, frame: &Bytes) {
    let rounds = meter.rounds(rounds);
    meter.count(rounds, || {
        for _ in 0..rounds {
            let mut reader = Reader::new(black_box(frame).clone());
            let header = RequestHeader::read(&mut reader).expect("a sound header");
            black_box(T::decode(&mut reader, header.api_version)).expect("a sound body");
        }
    });
}

fn answer(meter: &Meter, rounds: u64, header: &RequestHeader, body: &impl Encode) {
    let rounds = meter.rounds(rounds);
    meter.count(rounds, || {
        for _ in 0..rounds {
            let mut outbox = Outbox::default();
            outbox.push(Answer::of(header, black_box(body)));
            while !outbox.is_empty() {
                let mut slices = [IoSlice::new(&[]); PARTS_MAX];
                let count = outbox.gather(&mut slices);
                let bytes = slices.iter().take(count).map(|slice| slice.len()).sum();
                outbox.advance(black_box(bytes));
            }
        }
    });
}

pub(crate) fn produce_request(meter: &Meter) {
    let partition = PartitionProduceData { index: 0, records: Some(plain(100, 1)) };
    let topic = TopicProduceData {
        name: "loops".to_owned(),
        partition_data: vec![partition],
        ..TopicProduceData::default()
    };
    let body =
        ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic], ..ProduceRequest::default() };
    decode::<ProduceRequest>(meter, 2000, &request(ApiKey::Produce, PRODUCE_VERSION, &body));
}

pub(crate) fn produce_answer(meter: &Meter) {
    let partition =
        PartitionProduceResponse { base_offset: 1_000_000, ..PartitionProduceResponse::default() };
    let topic = TopicProduceResponse {
        name: "loops".to_owned(),
        partition_responses: vec![partition],
        ..TopicProduceResponse::default()
    };
    let body = ProduceResponse { responses: vec![topic], ..ProduceResponse::default() };
    answer(meter, 2000, &header(ApiKey::Produce, PRODUCE_VERSION), &body);
}

fn fetch_partitions(count: i32) -> FetchRequest {
    let partition = |partition| FetchPartition {
        partition,
        fetch_offset: 1_000_000,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    let partitions = (0..count).map(partition).collect();
    let topic = FetchTopic { topic: "loops".to_owned(), partitions, ..FetchTopic::default() };
    FetchRequest {
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: 50 << 20,
        topics: vec![topic],
        ..FetchRequest::default()
    }
}

pub(crate) fn fetch_request_1(meter: &Meter) {
    decode::<FetchRequest>(meter, 2000, &request(ApiKey::Fetch, FETCH_VERSION, &fetch_partitions(1)));
}

pub(crate) fn fetch_request_100(meter: &Meter) {
    decode::<FetchRequest>(meter, 200, &request(ApiKey::Fetch, FETCH_VERSION, &fetch_partitions(100)));
}

fn fetch_answer(meter: &Meter, rounds: u64, count: i32) {
    let slice = plain(1_000, 16);
    let partition = |partition_index| PartitionData {
        partition_index,
        high_watermark: 1_000_000,
        last_stable_offset: 1_000_000,
        log_start_offset: 0,
        records: vec![slice.clone(), slice.clone()],
        ..PartitionData::default()
    };
    let partitions = (0..count).map(partition).collect();
    let topic =
        FetchableTopicResponse { topic: "loops".to_owned(), partitions, ..FetchableTopicResponse::default() };
    let body = FetchResponse { responses: vec![topic], ..FetchResponse::default() };
    answer(meter, rounds, &header(ApiKey::Fetch, FETCH_VERSION), &body);
}

pub(crate) fn fetch_answer_1(meter: &Meter) {
    fetch_answer(meter, 2000, 1);
}

pub(crate) fn fetch_answer_100(meter: &Meter) {
    fetch_answer(meter, 100, 100);
}

pub(crate) fn commit_request(meter: &Meter) {
    let partition = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: 1_000_000,
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: "loops".to_owned(),
        partitions: (0..10).map(partition).collect(),
        ..OffsetCommitRequestTopic::default()
    };
    let body = OffsetCommitRequest {
        group_id: "g".to_owned(),
        member_id: "consumer-1".to_owned(),
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    };
    decode::<OffsetCommitRequest>(meter, 500, &request(ApiKey::OffsetCommit, COMMIT_VERSION, &body));
}

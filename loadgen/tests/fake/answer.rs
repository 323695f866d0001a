//! Read a request, change the logs, write the answer; versions are the highest that the generator asks for.
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    ApiVersionsResponse, FetchRequest, FetchResponse, InitProducerIdResponse, ListOffsetsRequest,
    ListOffsetsResponse, MetadataResponse, ProduceRequest, ProduceResponse, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, StrBytes, decode_request_header_from_buffer,
};

use super::{Log, Shared, TOPIC, groups};

/// API key and the range of versions.
const VERSIONS: [(i16, i16, i16); 13] = [
    (0, 0, 9),
    (1, 4, 12),
    (2, 1, 6),
    (3, 0, 9),
    (8, 2, 7),
    (9, 1, 5),
    (10, 0, 2),
    (11, 0, 5),
    (12, 0, 3),
    (13, 0, 3),
    (14, 0, 3),
    (18, 0, 3),
    (22, 0, 4),
];
const NOT_LEADER: i16 = 6;
const OUT_OF_ORDER: i16 = 45;

/// The answer without its length, empty if none is wanted; `None`: the connection ends.
pub(crate) fn answer(frame: &[u8], shared: &Shared) -> Option<Vec<u8>> {
    let mut frame = Bytes::copy_from_slice(frame);
    let header = decode_request_header_from_buffer(&mut frame).ok()?;
    let (version, id) = (header.request_api_version, header.correlation_id);
    match header.request_api_key {
        0 => produce(&ProduceRequest::decode(&mut frame, version).ok()?, shared)
            .map(|told| told.map_or_else(Vec::new, |told| write(&told, version, id))),
        1 => Some(write(&fetch(&FetchRequest::decode(&mut frame, version).ok()?, shared), version, id)),
        2 => {
            Some(write(&offsets(&ListOffsetsRequest::decode(&mut frame, version).ok()?, shared), version, id))
        }
        3 => Some(write(&metadata(shared), version, id)),
        18 => Some(write(&versions(), version, id)),
        22 => {
            let producer_id = shared.producer_ids.fetch_add(1, Ordering::SeqCst) as i64;
            Some(write(&InitProducerIdResponse::default().with_producer_id(producer_id.into()), version, id))
        }
        key => groups::answer(key, &mut frame, version, id, shared),
    }
}

pub(super) fn write<R: Encodable + HeaderVersion>(told: &R, version: i16, correlation_id: i32) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    header.encode(&mut bytes, R::header_version(version)).unwrap();
    told.encode(&mut bytes, version).unwrap();
    bytes.into()
}

fn versions() -> ApiVersionsResponse {
    let keys = VERSIONS.map(|(key, min, max)| {
        ApiVersion::default().with_api_key(key).with_min_version(min).with_max_version(max)
    });
    ApiVersionsResponse::default().with_api_keys(keys.to_vec())
}

pub(super) fn topic_name() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

fn metadata(shared: &Shared) -> MetadataResponse {
    let broker = MetadataResponseBroker::default()
        .with_node_id(1.into())
        .with_host(StrBytes::from_string(shared.address.ip().to_string()))
        .with_port(shared.address.port().into());
    let partitions = (0..shared.logs.lock().unwrap().len())
        .map(|index| {
            MetadataResponsePartition::default().with_partition_index(index as i32).with_leader_id(1.into())
        })
        .collect();
    let topic = MetadataResponseTopic::default().with_name(Some(topic_name())).with_partitions(partitions);
    MetadataResponse::default().with_brokers(vec![broker]).with_topics(vec![topic])
}

fn offsets(request: &ListOffsetsRequest, shared: &Shared) -> ListOffsetsResponse {
    let logs = shared.logs.lock().unwrap();
    let partitions = request.topics[0]
        .partitions
        .iter()
        .map(|asked| {
            let end = logs[asked.partition_index as usize].end;
            ListOffsetsPartitionResponse::default()
                .with_partition_index(asked.partition_index)
                .with_offset(if asked.timestamp == -1 { end } else { 0 })
        })
        .collect();
    let topic = ListOffsetsTopicResponse::default().with_name(topic_name()).with_partitions(partitions);
    ListOffsetsResponse::default().with_topics(vec![topic])
}

/// The outer `None` ends the connection, the inner one is `acks=0`.
#[expect(clippy::option_option, reason = "two different silences")]
fn produce(request: &ProduceRequest, shared: &Shared) -> Option<Option<ProduceResponse>> {
    let number = shared.produce_count.fetch_add(1, Ordering::SeqCst) + 1;
    let faults = shared.faults;
    let data = &request.topic_data[0].partition_data[0];
    let every = |period: Option<u64>| period.is_some_and(|period| number.is_multiple_of(period));
    if shared.is_dead() {
        return None;
    }
    let mut logs = shared.logs.lock().unwrap();
    if let Some((at, stall_ms)) = faults.stall
        && at == number
    {
        std::thread::sleep(Duration::from_millis(stall_ms)); // while it holds the lock
    }
    if faults.slow_ms > 0 {
        std::thread::sleep(Duration::from_millis(faults.slow_ms));
    }
    let log = &mut logs[data.index as usize];
    let mut batch = data.records.as_ref()?.to_vec();
    if faults.spoil == Some(number) {
        *batch.last_mut()? ^= 1;
    }
    let (code, base_offset) = if every(faults.refuse_every) {
        (NOT_LEADER, -1)
    } else if faults.forget == Some(number) {
        (0, log.end)
    } else {
        let told = append(log, &batch);
        if faults.double == Some(number) {
            store(log, &batch);
        }
        told
    };
    if every(faults.hang_up_every) {
        return None;
    }
    let partition = PartitionProduceResponse::default()
        .with_index(data.index)
        .with_error_code(code)
        .with_base_offset(base_offset);
    let topic =
        TopicProduceResponse::default().with_name(topic_name()).with_partition_responses(vec![partition]);
    Some((request.acks != 0).then(|| ProduceResponse::default().with_responses(vec![topic])))
}

/// Kafka's rule: one of the last five batches is answered again, the next is stored, a gap is refused.
fn append(log: &mut Log, batch: &[u8]) -> (i16, i64) {
    let producer_id = i64::from_be_bytes(batch[43..51].try_into().unwrap());
    let base_sequence = i32::from_be_bytes(batch[53..57].try_into().unwrap());
    let count = i32::from_be_bytes(batch[57..61].try_into().unwrap());
    if producer_id < 0 {
        return (0, store(log, batch));
    }
    let recent = log.producers.entry(producer_id).or_default();
    if let Some((.., base_offset)) = recent.iter().find(|(sequence, ..)| *sequence == base_sequence) {
        return (0, *base_offset);
    }
    if recent.back().is_some_and(|(sequence, count, _)| sequence + count != base_sequence) {
        return (OUT_OF_ORDER, -1);
    }
    let base_offset = store(log, batch);
    let recent = log.producers.entry(producer_id).or_default();
    recent.push_back((base_sequence, count, base_offset));
    if recent.len() > 5 {
        recent.pop_front();
    }
    (0, base_offset)
}

fn store(log: &mut Log, batch: &[u8]) -> i64 {
    let base_offset = log.end;
    let mut batch = batch.to_vec();
    batch[..8].copy_from_slice(&base_offset.to_be_bytes());
    log.end += i64::from(i32::from_be_bytes(batch[57..61].try_into().unwrap()));
    log.batches.push(batch);
    base_offset
}

fn fetch(request: &FetchRequest, shared: &Shared) -> FetchResponse {
    let found = |logs: &[Log]| -> Vec<PartitionData> {
        let asked = request.topics.iter().flat_map(|topic| &topic.partitions);
        asked
            .map(|asked| {
                let log = &logs[asked.partition as usize];
                let base_offset = |batch: &[u8]| i64::from_be_bytes(batch[..8].try_into().unwrap());
                // From the batch that holds the offset on.
                let start = log.batches.partition_point(|batch| base_offset(batch) <= asked.fetch_offset);
                let start =
                    if asked.fetch_offset >= log.end { log.batches.len() } else { start.saturating_sub(1) };
                let mut records = Vec::new();
                for batch in &log.batches[start..] {
                    if !records.is_empty() && records.len() + batch.len() > asked.partition_max_bytes as usize
                    {
                        break;
                    }
                    records.extend_from_slice(batch);
                }
                PartitionData::default()
                    .with_partition_index(asked.partition)
                    .with_high_watermark(log.end)
                    .with_records(Some(records.into()))
            })
            .collect()
    };
    let mut partitions = found(&shared.logs.lock().unwrap());
    for _ in 0..request.max_wait_ms.min(50) {
        if partitions.iter().any(|data| data.records.as_ref().is_some_and(|records| !records.is_empty())) {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
        partitions = found(&shared.logs.lock().unwrap());
    }
    let topic = FetchableTopicResponse::default().with_topic(topic_name()).with_partitions(partitions);
    FetchResponse::default().with_responses(vec![topic])
}

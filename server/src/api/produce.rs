//! Produce: split by owner, stage in order, answer when it is durable.

use super::{Handled, RequestContext, codes, counted};
use crate::cluster::Partition;
use crate::route::ShardId;
use crate::shard::Shard;
use crate::wire::messages::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
    TopicProduceResponse,
};
use crate::wire::{Answer, ErrorCode};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::rc::Rc;
use thalweg_engine::batch::{BatchError, Origin};
use thalweg_engine::shard::{Append, AppendError, Staged};
use thalweg_engine::units::LogId;

/// One partition's records on their way to their owner: `place` says where the answer belongs.
struct Part {
    place: (usize, usize),
    log_id: LogId,
    append: Append,
}

/// What an owner says of a part.
type PartDone = ((usize, usize), Result<Staged, AppendError>);

/// Produce 3-13.
pub(super) async fn produce(shard: &Rc<Shard>, context: &RequestContext, request: ProduceRequest) -> Handled {
    let acks = request.acks;
    let mut response = blank(&request.topic_data);
    if !matches!(acks, -1..=1) {
        fail_all(&mut response, ErrorCode::InvalidRequiredAcks);
    } else if request.transactional_id.is_some() {
        // Transactions are not served: the same answer that a principal without the right to the id gets.
        fail_all(&mut response, ErrorCode::TransactionalIdAuthorizationFailed);
    } else {
        store(shard, context, request.topic_data, &mut response).await;
    }
    let mut failed = false;
    for partition in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
        failed |= counted(shard, partition.error_code) != ErrorCode::None;
    }
    match (acks, failed) {
        // The only signal that a client without acknowledgements gets.
        (0, true) => Handled::Close("a produce without acknowledgement failed".to_owned()),
        (0, false) => Handled::Silent,
        _ => Handled::Answer(Answer::of(&context.header, &response)),
    }
}

fn blank(topics: &[TopicProduceData]) -> ProduceResponse {
    let partition = |index: i32| PartitionProduceResponse {
        index,
        base_offset: -1,
        ..PartitionProduceResponse::default()
    };
    let topic = |topic: &TopicProduceData| TopicProduceResponse {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partition_responses: topic.partition_data.iter().map(|data| partition(data.index)).collect(),
    };
    ProduceResponse { responses: topics.iter().map(topic).collect(), ..ProduceResponse::default() }
}

fn fail_all(response: &mut ProduceResponse, code: ErrorCode) {
    for partition in response.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses) {
        partition.error_code = code;
    }
}

async fn store(
    shard: &Rc<Shard>,
    context: &RequestContext,
    topics: Vec<TopicProduceData>,
    response: &mut ProduceResponse,
) {
    let version = context.header.api_version;
    let mut parts: BTreeMap<ShardId, Vec<Part>> = BTreeMap::new();
    for (at, topic) in topics.into_iter().enumerate() {
        for (number, data) in topic.partition_data.into_iter().enumerate() {
            let found = find(shard, version, &topic.name, topic.topic_id, data.index);
            match (found, data.records) {
                (Ok(partition), Some(records)) => {
                    let append = Append { records, zstd_allowed: version >= 7, origin: Origin::Client };
                    let part = Part { place: (at, number), log_id: partition.log_id, append };
                    parts.entry(partition.owner).or_default().push(part);
                }
                (Ok(_), None) => set_error(response, (at, number), ErrorCode::InvalidRecord),
                (Err(code), _) => set_error(response, (at, number), code),
            }
        }
    }
    // All owners start before the first is waited for.
    let asked = parts.into_iter().map(|(owner, parts)| {
        let places: Vec<(usize, usize)> = parts.iter().map(|part| part.place).collect();
        let asked = shard.router.call(owner, move |shard: Rc<Shard>| append(shard, parts));
        async move { (places, asked.await) }
    });
    for (places, done) in join_all(asked).await {
        match done {
            Ok(done) => done.into_iter().for_each(|(place, outcome)| answer(response, place, outcome)),
            Err(_) => places
                .into_iter()
                .for_each(|place| set_error(response, place, ErrorCode::NotLeaderOrFollower)),
        }
    }
}

fn find(
    shard: &Shard,
    version: i16,
    name: &str,
    topic_id: uuid::Uuid,
    index: i32,
) -> Result<Partition, ErrorCode> {
    let image = shard.cluster.image();
    let by_id = version >= 13;
    let topic = if by_id { image.topic_by_id(topic_id) } else { image.topic(name) };
    let topic =
        topic.ok_or(if by_id { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition })?;
    if topic.internal {
        return Err(ErrorCode::InvalidTopicException);
    }
    let partition = topic.partition(index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if partition.online { Ok(partition.clone()) } else { Err(ErrorCode::KafkaStorageError) }
}

/// On the owner: stages the parts in order, then waits until all of them are durable.
async fn append(shard: Rc<Shard>, parts: Vec<Part>) -> Vec<PartDone> {
    let now = shard.now();
    let mut waiting = Vec::with_capacity(parts.len());
    for part in parts {
        let staged = shard.engine.stage(part.log_id, &part.append, now).await;
        let durable = staged.as_ref().ok().map(|staged| shard.engine.durable(part.log_id, staged.offset_end));
        waiting.push((part.place, staged, durable));
    }
    let mut done = Vec::with_capacity(waiting.len());
    for (place, staged, durable) in waiting {
        let outcome = match (staged, durable) {
            (Ok(staged), Some(durable)) => durable.await.map(|()| staged).map_err(AppendError::from),
            (staged, _) => staged,
        };
        done.push((place, outcome));
    }
    done
}

fn partition(
    response: &mut ProduceResponse,
    (topic, number): (usize, usize),
) -> Option<&mut PartitionProduceResponse> {
    response.responses.get_mut(topic)?.partition_responses.get_mut(number)
}

fn set_error(response: &mut ProduceResponse, place: (usize, usize), code: ErrorCode) {
    if let Some(partition) = partition(response, place) {
        partition.error_code = code;
    }
}

fn answer(response: &mut ProduceResponse, place: (usize, usize), outcome: Result<Staged, AppendError>) {
    let Some(partition) = partition(response, place) else { return };
    match outcome {
        Ok(staged) => {
            partition.base_offset = staged.base_offset.as_i64();
            partition.log_append_time_ms = staged.append_time.0;
            partition.log_start_offset = staged.log_start.as_i64();
        }
        Err(error) => {
            partition.error_code = codes::of_append(&error);
            partition.error_message = Some(error.to_string());
            if let AppendError::Batch(
                BatchError::Invalid { records, .. } | BatchError::Timestamp { records, .. },
            ) = error
            {
                partition.record_errors = records
                    .into_iter()
                    .map(|record| BatchIndexAndErrorMessage {
                        batch_index: record.index,
                        batch_index_error_message: Some(record.message),
                    })
                    .collect();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    #[test]
    fn records_stay_slices_of_the_frame() {
        use crate::wire::messages::{PartitionProduceData, ProduceRequest, TopicProduceData};
        use crate::wire::{Decode, Encode, Reader, Writer};
        let partition = PartitionProduceData { index: 1, records: Some(Bytes::from_static(b"a batch")) };
        let topic = TopicProduceData { partition_data: vec![partition], ..TopicProduceData::default() };
        let request = ProduceRequest { topic_data: vec![topic], ..ProduceRequest::default() };
        let mut writer = Writer::new();
        request.encode(&mut writer, 9);
        let frame = writer.into_bytes();
        let mut read = ProduceRequest::decode(&mut Reader::new(frame.clone()), 9).unwrap();
        let read = read.topic_data.remove(0).partition_data.remove(0);
        let slice = read.records.unwrap();
        let start = slice.as_ptr() as usize - frame.as_ptr() as usize;
        assert_eq!(&frame[start..start + 7], b"a batch");
    }
}

//! Produce: split by owner, stage in order, answer when it is durable, or as soon as the topic's mode says.
//!
//! ```text
//! request ─► parts by owner ──call──► stage all, in order ─► answerable ─► answer
//!             each a slice of the frame   the one copy: into the tail
//! ```
//! Parts of one partition are staged in the order of their requests: a request reaches its owners before it waits for
//! anything, owners start work in the order it comes, and a log takes appends in the order of their first polls.

use super::{Handled, RequestContext, codes, counted};
use crate::cluster::{Image, Partition};
use crate::route::ShardId;
use crate::shard::Shard;
use crate::wire::messages::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
    TopicProduceResponse,
};
use crate::wire::produce::LeaderIdAndEpoch;
use crate::wire::{Answer, ErrorCode};
use futures_util::future::{Either, join_all, select};
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use thalweg_engine::batch::{BatchError, BatchHeader, Origin};
use thalweg_engine::shard::{Append, AppendError, Isolation, Read, Staged};
use thalweg_engine::units::{LogId, Timestamp};

const ACKS_NONE: i16 = 0;
const ACKS_ALL: i16 = -1;
/// The first versions that may carry zstd, that are told of a new leader (KIP-951), and that name topics by id.
const ZSTD_SINCE: i16 = 7;
const LEADERS_SINCE: i16 = 10;
const IDS_SINCE: i16 = 13;

/// One partition's records on their way to their owner.
struct Part {
    place: Place,
    log_id: LogId,
    append: Append,
}

/// Where the answer of a part belongs: topic and partition, as the request counts them.
#[derive(Clone, Copy, Debug)]
struct Place {
    topic: usize,
    partition: usize,
}

/// When a part is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    /// Once staged: nobody is told.
    Staged,
    /// Once the topic's mode says: under `media` once durable.
    Answerable,
    /// The same, or when the time is over: then the outcome is unknown.
    AnswerableWithin(Duration),
}

/// What an owner says of a part.
enum Outcome {
    Done(Staged),
    Refused(AppendError),
    TimedOut,
}

/// Produce 3-13.
pub(super) async fn produce(
    shard: &Rc<Shard>,
    context: &RequestContext,
    mut request: ProduceRequest,
) -> Handled {
    // A topic of which nothing is stored is not answered, as in Kafka.
    request.topic_data.retain(|topic| !topic.partition_data.is_empty());
    let promise = match request.acks {
        ACKS_NONE => Promise::Staged,
        ACKS_ALL if request.timeout_ms >= 0 => {
            Promise::AnswerableWithin(Duration::from_millis(request.timeout_ms as u64))
        }
        _ => Promise::Answerable,
    };
    let mut response = blank(&request.topic_data);
    if !matches!(request.acks, -1..=1) {
        fail_all(&mut response, ErrorCode::InvalidRequiredAcks);
        name_unknown(shard, context.header.api_version, &mut response);
    } else if request.transactional_id.is_some() {
        // Transactions are not served: the same answer that a principal without the right to the id gets.
        fail_all(&mut response, ErrorCode::TransactionalIdAuthorizationFailed);
    } else {
        store(shard, context, request.topic_data, promise, &mut response).await;
    }
    let mut is_failed = false;
    for partition in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
        is_failed |= counted(shard, partition.error_code) != ErrorCode::None;
    }
    match (request.acks, is_failed) {
        // The only signal that a client without acknowledgements gets.
        (ACKS_NONE, true) => Handled::Close("a produce without acknowledgement failed".to_owned()),
        (ACKS_NONE, false) => Handled::Silent,
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

/// What is not there is told before anything else that is wrong.
fn name_unknown(shard: &Shard, version: i16, response: &mut ProduceResponse) {
    let image = shard.cluster.look();
    for topic in &mut response.responses {
        for partition in &mut topic.partition_responses {
            let found = find(&image, version, &topic.name, topic.topic_id, partition.index);
            partition.error_code = found.err().unwrap_or(partition.error_code);
        }
    }
}

async fn store(
    shard: &Rc<Shard>,
    context: &RequestContext,
    topics: Vec<TopicProduceData>,
    promise: Promise,
    response: &mut ProduceResponse,
) {
    let parts = split(shard, context, topics, response);
    context.reach.touch(parts.keys().copied());
    // All owners are asked before the first is waited for.
    let asked = parts.into_iter().map(|(owner, parts)| {
        let places: Vec<Place> = parts.iter().map(|part| part.place).collect();
        let asked = shard.router.call(owner, move |shard: Rc<Shard>| append(shard, parts, promise));
        async move { (places, asked.await) }
    });
    for (places, outcomes) in join_all(asked).await {
        let mut outcomes = outcomes.unwrap_or_default().into_iter();
        for place in places {
            let Some(partition) = partition_of(response, place) else { continue };
            match outcomes.next() {
                Some(outcome) => answer(partition, outcome),
                None => partition.error_code = ErrorCode::NotLeaderOrFollower,
            }
        }
    }
    name_leaders(shard, context, response);
}

/// Gives each partition's records to the part for its owner, or its error to the response.
fn split(
    shard: &Shard,
    context: &RequestContext,
    topics: Vec<TopicProduceData>,
    response: &mut ProduceResponse,
) -> BTreeMap<ShardId, Vec<Part>> {
    let version = context.header.api_version;
    let image = shard.cluster.look();
    let mut parts: BTreeMap<ShardId, Vec<Part>> = BTreeMap::new();
    for (at, topic) in topics.into_iter().enumerate() {
        for (number, data) in topic.partition_data.into_iter().enumerate() {
            let place = Place { topic: at, partition: number };
            let found = find(&image, version, &topic.name, topic.topic_id, data.index);
            let found = found.and_then(|found| Ok((found, data.records.ok_or(ErrorCode::InvalidRecord)?)));
            match found {
                Ok((partition, records)) => {
                    let zstd_allowed = version >= ZSTD_SINCE;
                    let append = Append { records, zstd_allowed, origin: Origin::Client };
                    let part = Part { place, log_id: partition.log_id, append };
                    parts.entry(partition.owner).or_default().push(part);
                }
                Err(error_code) => {
                    if let Some(partition) = partition_of(response, place) {
                        partition.error_code = error_code;
                    }
                }
            }
        }
    }
    parts
}

fn find<'a>(
    image: &'a Image,
    version: i16,
    name: &str,
    topic_id: uuid::Uuid,
    index: i32,
) -> Result<&'a Partition, ErrorCode> {
    let topic = if version >= IDS_SINCE {
        image.topic_by_id(topic_id).ok_or(ErrorCode::UnknownTopicId)?
    } else {
        image.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)?
    };
    if topic.internal {
        return Err(ErrorCode::InvalidTopicException);
    }
    let partition = topic.partition(index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if partition.online { Ok(partition) } else { Err(ErrorCode::KafkaStorageError) }
}

/// On the owner: stages the parts, each in its turn, then keeps the promise. Outcomes are in the order of the parts.
async fn append(shard: Rc<Shard>, parts: Vec<Part>, promise: Promise) -> Vec<Outcome> {
    let now = shard.now();
    let stage = |part: Part| {
        let engine = &shard.engine;
        // The records are dropped, and the frame with them, as soon as they are staged.
        async move { (part.log_id, engine.stage(part.log_id, &part.append, now).await) }
    };
    // Polled first in their order, all before any is waited for: that is the order in their logs.
    let staged = join_all(parts.into_iter().map(stage)).await;
    if promise == Promise::Staged {
        return staged
            .into_iter()
            .map(|(_, staged)| staged.map_or_else(Outcome::Refused, Outcome::Done))
            .collect();
    }
    let answerable = |(log_id, staged): (LogId, Result<Staged, AppendError>)| {
        let end = staged.as_ref().ok().map(|staged| staged.offset_end);
        (log_id, staged, end.map(|end| shard.engine.answerable(log_id, end)))
    };
    let waiting: Vec<_> = staged.into_iter().map(answerable).collect();
    let mut over = match promise {
        Promise::AnswerableWithin(time) => Either::Left(pin!(shard.router.sleep(time))),
        Promise::Answerable | Promise::Staged => Either::Right(std::future::pending()),
    };
    let mut outcomes = Vec::with_capacity(waiting.len());
    let mut is_over = false;
    for (log_id, staged, answerable) in waiting {
        outcomes.push(match (staged, answerable) {
            (Err(error), _) => Outcome::Refused(error),
            (Ok(_), _) if is_over => Outcome::TimedOut,
            (Ok(staged), None) => Outcome::Done(staged),
            (Ok(staged), Some(answerable)) => match select(pin!(answerable), &mut over).await {
                Either::Left((Ok(()), _)) => Outcome::Done(first_time(&shard, log_id, staged).await),
                Either::Left((Err(error), _)) => Outcome::Refused(error.into()),
                Either::Right(_) => {
                    is_over = true;
                    Outcome::TimedOut
                }
            },
        });
    }
    outcomes
}

/// A duplicate is answered with the time at which it was first stored, where that is the broker's to say.
async fn first_time(shard: &Shard, log_id: LogId, staged: Staged) -> Staged {
    if !staged.duplicate || staged.append_time == Timestamp::NONE {
        return staged;
    }
    let offset = staged.base_offset;
    let read = Read { offset, bytes_max: 0, first_batch_whole: true, isolation: Isolation::Uncommitted };
    let stored = shard.engine.read(log_id, read).await.ok();
    let head: Option<Vec<u8>> = stored.map(|stored| stored.slices.concat());
    let header = head.and_then(|head| BatchHeader::read(&head).ok());
    // Deleted meanwhile: nobody knows its time any more.
    let append_time = header.map_or(Timestamp::NONE, |header| Timestamp(header.max_timestamp));
    Staged { append_time, ..staged }
}

fn partition_of(response: &mut ProduceResponse, place: Place) -> Option<&mut PartitionProduceResponse> {
    response.responses.get_mut(place.topic)?.partition_responses.get_mut(place.partition)
}

fn answer(partition: &mut PartitionProduceResponse, outcome: Outcome) {
    match outcome {
        Outcome::Done(staged) => {
            partition.base_offset = staged.base_offset.as_i64();
            partition.log_append_time_ms = staged.append_time.0;
            partition.log_start_offset = staged.log_start.as_i64();
        }
        Outcome::TimedOut => partition.error_code = ErrorCode::RequestTimedOut,
        Outcome::Refused(error) => {
            partition.error_code = codes::of_append(&error);
            partition.error_message = Some(error.to_string());
            if let AppendError::Batch(
                BatchError::Invalid { records, .. } | BatchError::Timestamp { records, .. },
            ) = error
            {
                let told = records.into_iter().map(|record| BatchIndexAndErrorMessage {
                    batch_index: record.index,
                    batch_index_error_message: Some(record.message),
                });
                partition.record_errors = told.collect();
            }
        }
    }
}

/// KIP-951: with the error that asks for the leader, who it is and where.
fn name_leaders(shard: &Shard, context: &RequestContext, response: &mut ProduceResponse) {
    let version = context.header.api_version;
    let mut is_named = false;
    for topic in &mut response.responses {
        for partition in &mut topic.partition_responses {
            if version < LEADERS_SINCE || partition.error_code != ErrorCode::NotLeaderOrFollower {
                continue;
            }
            let image = shard.cluster.look();
            let known = find(&image, version, &topic.name, topic.topic_id, partition.index);
            let leader_epoch = known.map_or(-1, |known| known.leader_epoch);
            partition.current_leader = LeaderIdAndEpoch { leader_id: shard.config.node_id, leader_epoch };
            is_named = true;
        }
    }
    if is_named {
        response.node_endpoints = vec![super::own_endpoint(shard, context)];
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

//! ListOffsets and OffsetForLeaderEpoch.

use super::{RequestContext, codes, counted};
use crate::cluster::Partition;
use crate::shard::Shard;
use crate::wire::ErrorCode;
use crate::wire::messages::{
    EpochEndOffset, ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest,
    ListOffsetsResponse, ListOffsetsTopic, ListOffsetsTopicResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse, OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::rc::Rc;
use thalweg_engine::shard::{Isolation, ReadError};
use thalweg_engine::units::{LeaderEpoch, LogId, Timestamp};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;
/// A leader epoch that the client does not know. Any other below 0 is an old one.
const NO_EPOCH: i32 = -1;

/// An offset with its record's timestamp and leader epoch; -1 is unknown.
#[derive(Clone, Copy)]
struct Place {
    offset: i64,
    timestamp: i64,
    leader_epoch: i32,
}

const NOWHERE: Place = Place { offset: -1, timestamp: -1, leader_epoch: -1 };

/// ListOffsets 0-11.
pub(super) async fn list_offsets(
    shard: &Rc<Shard>,
    context: &RequestContext,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let version = context.header.api_version;
    let isolation = match request.isolation_level {
        0 => Ok(Isolation::Uncommitted),
        1 => Ok(Isolation::Committed),
        _ => Err(ErrorCode::UnknownServerError), // Kafka's own answer
    };
    // Version 0 looks at each by itself.
    let twice = if version > 0 { twice(&request.topics) } else { BTreeSet::new() };
    let twice = &twice;
    let asked = request.topics.into_iter().filter(|topic| !topic.partitions.is_empty());
    let topics = asked.map(|mut topic| async move {
        let mut seen = BTreeSet::new();
        let name = topic.name.clone();
        let is_twice = |index: i32| !twice.is_empty() && twice.contains(&(name.clone(), index));
        topic
            .partitions
            .retain(|asked| !is_twice(asked.partition_index) || seen.insert(asked.partition_index));
        let partitions = topic.partitions.iter().map(|asked| {
            let refused = is_twice(asked.partition_index).then_some(ErrorCode::InvalidRequest);
            one(shard, version, &topic.name, asked, refused.map_or(isolation, Err))
        });
        let partitions = join_all(partitions).await;
        ListOffsetsTopicResponse { name: topic.name.clone(), partitions }
    });
    ListOffsetsResponse { topics: join_all(topics).await, ..ListOffsetsResponse::default() }
}

/// Partitions that a request asks for more than once: they are refused.
fn twice(topics: &[ListOffsetsTopic]) -> BTreeSet<(String, i32)> {
    let all = topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|asked| (topic.name.as_str(), asked.partition_index)));
    let mut seen = BTreeSet::new();
    all.filter(|one| !seen.insert(*one)).map(|(name, index)| (name.to_owned(), index)).collect()
}

async fn one(
    shard: &Rc<Shard>,
    version: i16,
    topic: &str,
    asked: &ListOffsetsPartition,
    isolation: Result<Isolation, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let blank = ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        ..ListOffsetsPartitionResponse::default()
    };
    let located = locate(shard, topic, asked.partition_index, asked.current_leader_epoch);
    let found = match isolation.and_then(|isolation| Ok((isolation, located?))) {
        Ok(_) if !is_known(asked.timestamp, version) => Err(ErrorCode::UnsupportedVersion),
        Ok((isolation, partition)) => {
            let (log_id, timestamp, max) = (partition.log_id, asked.timestamp, asked.max_num_offsets);
            let call = shard.router.call(partition.owner, move |shard: Rc<Shard>| async move {
                if version == 0 {
                    return before(&shard, log_id, timestamp, max).await;
                }
                place(&shard, log_id, timestamp, isolation).await.map(|place| vec![place])
            });
            match call.await {
                Ok(Ok(places)) => Ok(places),
                Ok(Err(error)) => Err(codes::of_read(&error)),
                Err(_) => Err(ErrorCode::NotLeaderOrFollower),
            }
        }
        Err(code) => Err(code),
    };
    match found {
        Err(error_code) => ListOffsetsPartitionResponse { error_code: counted(shard, error_code), ..blank },
        Ok(places) if version == 0 => {
            let old_style_offsets = places.iter().map(|place| place.offset).collect();
            ListOffsetsPartitionResponse { old_style_offsets, ..blank }
        }
        Ok(places) => {
            let place = places.first().copied().unwrap_or(NOWHERE);
            ListOffsetsPartitionResponse {
                timestamp: place.timestamp,
                offset: place.offset,
                leader_epoch: place.leader_epoch,
                ..blank
            }
        }
    }
}

/// Which times a version knows. Version 0 answers none of the later special ones with an error: it finds nothing.
fn is_known(timestamp: i64, version: i16) -> bool {
    match timestamp {
        _ if version == 0 => true,
        LATEST | EARLIEST => true,
        MAX_TIMESTAMP => version >= 7,
        EARLIEST_LOCAL => version >= 8,
        LATEST_TIERED => version >= 9,
        EARLIEST_PENDING_UPLOAD => version >= 11,
        other => other >= 0,
    }
}

fn locate(shard: &Shard, topic: &str, index: i32, epoch: i32) -> Result<Partition, ErrorCode> {
    let image = shard.cluster.image();
    let partition = image.topic(topic).and_then(|topic| topic.partition(index));
    let partition = partition.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    match epoch {
        NO_EPOCH => {}
        epoch if epoch < partition.leader_epoch => return Err(ErrorCode::FencedLeaderEpoch),
        epoch if epoch > partition.leader_epoch => return Err(ErrorCode::UnknownLeaderEpoch),
        _ => {}
    }
    if partition.online { Ok(partition.clone()) } else { Err(ErrorCode::KafkaStorageError) }
}

/// On the owner: where a time lies.
async fn place(
    shard: &Shard,
    log_id: LogId,
    timestamp: i64,
    isolation: Isolation,
) -> Result<Place, ReadError> {
    let bounds = shard.engine.bounds(log_id)?;
    let at = |offset: thalweg_engine::units::Offset| -> Result<Place, ReadError> {
        let epoch = shard.engine.epoch_at(log_id, offset)?;
        // Where nothing is stored the current epoch begins.
        let epoch = epoch.unwrap_or(bounds.leader_epoch);
        Ok(Place { offset: offset.as_i64(), timestamp: -1, leader_epoch: epoch.0 })
    };
    let found = match timestamp {
        LATEST => {
            let end = match isolation {
                Isolation::Committed => bounds.last_stable,
                Isolation::Uncommitted => bounds.high_watermark,
            };
            return Ok(Place { leader_epoch: bounds.leader_epoch.0, ..at(end)? });
        }
        // Without tiers all that is there is local, and nothing waits for upload.
        EARLIEST | EARLIEST_LOCAL => return at(bounds.log_start),
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => return Ok(NOWHERE),
        MAX_TIMESTAMP => shard.engine.offset_of_max_timestamp(log_id).await?,
        time => shard.engine.offset_for_time(log_id, Timestamp(time)).await?,
    };
    Ok(found.map_or(NOWHERE, |found| Place {
        offset: found.offset.as_i64(),
        timestamp: found.timestamp.0,
        leader_epoch: found.leader_epoch.0,
    }))
}

/// On the owner, for version 0: where to start in order to read what is newer than a time, the newest place first.
///
/// Kafka 3.5 answered beginnings of segments that were last written before the time; here it is the record itself.
async fn before(shard: &Shard, log_id: LogId, timestamp: i64, max: i32) -> Result<Vec<Place>, ReadError> {
    let bounds = shard.engine.bounds(log_id)?;
    let of = |offset: i64| Place { offset, ..NOWHERE };
    let (start, end) = (bounds.log_start.as_i64(), bounds.high_watermark.as_i64());
    let mut places = match timestamp {
        LATEST => vec![of(end), of(start)],
        EARLIEST | EARLIEST_LOCAL => vec![of(start)],
        time if time < 0 => Vec::new(),
        time => match shard.engine.offset_for_time(log_id, Timestamp(time)).await? {
            Some(found) if found.offset == bounds.log_start => Vec::new(),
            Some(found) => vec![of(found.offset.as_i64()), of(start)],
            None => vec![of(end), of(start)],
        },
    };
    places.dedup_by_key(|place| place.offset);
    places.truncate(max.max(0) as usize);
    Ok(places)
}

/// OffsetForLeaderEpoch 2-4.
pub(super) async fn offset_for_leader_epoch(
    shard: &Rc<Shard>,
    _context: &RequestContext,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| async move {
        let partitions = topic.partitions.iter().map(|partition| epoch_end(shard, &topic.topic, partition));
        let partitions = join_all(partitions).await;
        OffsetForLeaderTopicResult { topic: topic.topic.clone(), partitions }
    });
    OffsetForLeaderEpochResponse { topics: join_all(topics).await, ..OffsetForLeaderEpochResponse::default() }
}

async fn epoch_end(shard: &Rc<Shard>, topic: &str, asked: &OffsetForLeaderPartition) -> EpochEndOffset {
    let blank = EpochEndOffset { partition: asked.partition, ..EpochEndOffset::default() };
    let found = match locate(shard, topic, asked.partition, asked.current_leader_epoch) {
        Ok(partition) => {
            let (log_id, epoch) = (partition.log_id, LeaderEpoch(asked.leader_epoch));
            // No epoch has no end.
            let ask = move |shard: Rc<Shard>| async move {
                shard.engine.epoch_end(log_id, epoch).map(|end| end.filter(|_| epoch.0 != NO_EPOCH))
            };
            match shard.router.call(partition.owner, ask).await {
                Ok(Ok(found)) => Ok(found),
                Ok(Err(error)) => Err(codes::of_log(&error)),
                Err(_) => Err(ErrorCode::NotLeaderOrFollower),
            }
        }
        Err(code) => Err(code),
    };
    match found {
        Ok(Some(end)) => {
            EpochEndOffset { leader_epoch: end.leader_epoch.0, end_offset: end.end.as_i64(), ..blank }
        }
        Ok(None) => blank,
        Err(error_code) => EpochEndOffset { error_code: counted(shard, error_code), ..blank },
    }
}

//! `DeleteRecords` and `DescribeLogDirs`: what is kept of partitions, and where.

use super::{RequestContext, codes, counted};
use crate::cluster::Partition;
use crate::shard::Shard;
use crate::wire::ErrorCode;
use crate::wire::messages::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult, DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use thalweg_engine::shard::StoredLog;
use thalweg_engine::units::Offset;

/// The offset that stands for the high watermark.
const HIGH_WATERMARK: i64 = -1;

/// `DeleteRecords` 0-2: durable when it is answered.
pub(super) async fn delete_records(
    shard: &Rc<Shard>,
    _context: &RequestContext,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|topic| async move {
        let partitions = topic.partitions.iter().map(|partition| one(shard, &topic.name, partition));
        let partitions = join_all(partitions).await;
        DeleteRecordsTopicResult { name: topic.name.clone(), partitions }
    });
    DeleteRecordsResponse { topics: join_all(topics).await, ..DeleteRecordsResponse::default() }
}

async fn one(shard: &Rc<Shard>, topic: &str, asked: &DeleteRecordsPartition) -> DeleteRecordsPartitionResult {
    let partition_index = asked.partition_index;
    let outcome = match locate(shard, topic, partition_index) {
        Ok(partition) => raise_start(shard, &partition, asked.offset).await,
        Err(code) => Err(code),
    };
    match outcome {
        Ok(start) => DeleteRecordsPartitionResult {
            partition_index,
            low_watermark: start.as_i64(),
            error_code: ErrorCode::None,
        },
        Err(code) => DeleteRecordsPartitionResult {
            partition_index,
            low_watermark: -1,
            error_code: counted(shard, code),
        },
    }
}

fn locate(shard: &Shard, topic: &str, index: i32) -> Result<Partition, ErrorCode> {
    let image = shard.cluster.image();
    let topic = image.topic(topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if topic.internal {
        return Err(ErrorCode::InvalidTopicException);
    }
    let partition = topic.partition(index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    // Of a topic that is only compacted, each key's newest record is a promise.
    if !topic.settings.texts["cleanup.policy"].split(',').any(|policy| policy.trim() == "delete") {
        return Err(ErrorCode::PolicyViolation);
    }
    if partition.online { Ok(partition.clone()) } else { Err(ErrorCode::KafkaStorageError) }
}

async fn raise_start(shard: &Rc<Shard>, partition: &Partition, offset: i64) -> Result<Offset, ErrorCode> {
    let log_id = partition.log_id;
    let start = match offset {
        HIGH_WATERMARK => None,
        offset => Some(Offset::from_wire(offset).ok_or(ErrorCode::OffsetOutOfRange)?),
    };
    let raise = move |shard: Rc<Shard>| async move {
        let start = match start {
            Some(start) => start,
            None => shard.engine.bounds(log_id)?.high_watermark,
        };
        shard.engine.raise_start(log_id, start).await
    };
    match shard.router.call(partition.owner, raise).await {
        Ok(outcome) => outcome.map_err(|error| codes::of_read(&error)),
        Err(_) => Err(ErrorCode::NotLeaderOrFollower),
    }
}

/// `DescribeLogDirs` 1-5.
pub(super) async fn describe_log_dirs(
    shard: &Rc<Shard>,
    _context: &RequestContext,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let wanted: Option<BTreeSet<(String, i32)>> = request.topics.map(|topics| {
        let each = topics.into_iter();
        each.flat_map(|topic| topic.partitions.into_iter().map(move |index| (topic.topic.clone(), index)))
            .collect()
    });
    let asked = shard.router.shards().map(|owner| {
        shard.router.call(owner, |shard: Rc<Shard>| async move {
            (shard.engine.stored_logs(), shard.engine.directories_stopped().into_keys())
        })
    });
    let (mut logs, mut stopped) = (Vec::new(), BTreeSet::new());
    for (found, stops) in join_all(asked).await.into_iter().flatten() {
        logs.extend(found);
        stopped.extend(stops);
    }
    let is_topic = |log: &StoredLog| log.identity.topic != crate::cluster::METADATA_TOPIC;
    let is_wanted = |log: &StoredLog| {
        let place = (log.identity.topic.clone(), log.identity.partition);
        wanted.as_ref().is_none_or(|wanted| wanted.contains(&place))
    };
    logs.retain(|log| is_topic(log) && is_wanted(log));
    let directories = shard.config.log_dirs.iter().enumerate().map(|(at, path)| {
        if stopped.contains(&at) {
            let error_code = counted(shard, ErrorCode::KafkaStorageError);
            return DescribeLogDirsResult {
                error_code,
                log_dir: path.clone(),
                ..DescribeLogDirsResult::default()
            };
        }
        let (total_bytes, usable_bytes) = space(path).unwrap_or((-1, -1));
        let topics = topics_of(logs.iter().filter(|log| log.directory == at));
        DescribeLogDirsResult {
            log_dir: path.clone(),
            topics,
            total_bytes,
            usable_bytes,
            ..DescribeLogDirsResult::default()
        }
    });
    DescribeLogDirsResponse { results: directories.collect(), ..DescribeLogDirsResponse::default() }
}

fn topics_of<'a>(logs: impl Iterator<Item = &'a StoredLog>) -> Vec<DescribeLogDirsTopic> {
    let mut topics: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for log in logs {
        topics.entry(&log.identity.topic).or_default().push(DescribeLogDirsPartition {
            partition_index: log.identity.partition,
            partition_size: log.bytes as i64,
            ..DescribeLogDirsPartition::default()
        });
    }
    let each = topics.into_iter().map(|(name, mut partitions)| {
        partitions.sort_unstable_by_key(|partition| partition.partition_index);
        DescribeLogDirsTopic { name: name.to_owned(), partitions }
    });
    each.collect()
}

/// Bytes of a directory's file system, and those of them that may be used.
fn space(path: &str) -> Option<(i64, i64)> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(((found.f_blocks * found.f_frsize) as i64, (found.f_bavail * found.f_frsize) as i64))
}

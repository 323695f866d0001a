//! Fetch: split by owner, read, wait for enough or long enough, answer with the bytes as they are stored.

use super::fetch_sessions::{Plan, SessionError, Told, Wanted};
use super::{Handled, RequestContext, codes, counted};
use crate::cluster::Partition;
use crate::route::ShardId;
use crate::shard::Shard;
use crate::wire::fetch::{EpochEndOffset, FetchResponse, FetchableTopicResponse, PartitionData};
use crate::wire::messages::{FetchPartition, FetchRequest, LeaderIdAndEpoch};
use crate::wire::{Answer, ErrorCode};
use futures_util::future::{join_all, select_all};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};
use thalweg_engine::log::LogBounds;
use thalweg_engine::shard::{EpochEnd, Isolation, Read, ReadError, ReadOutcome};
use thalweg_engine::units::{LeaderEpoch, LogId, Offset};
use uuid::Uuid;

/// A wait is never longer, whatever the client asks.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// One partition of a fetch, ready to be read on its owner.
#[derive(Clone)]
struct Part {
    place: usize,
    log_id: LogId,
    offset: i64,
    bytes_max: usize,
    last_fetched_epoch: i32,
}

/// What an owner found.
enum Found {
    Read(ReadOutcome),
    Diverged(EpochEnd, LogBounds),
    Failed(ReadError),
}

/// Limits of a whole request.
#[derive(Clone, Copy)]
struct Limits {
    bytes_max: usize,
    bytes_min: usize,
    isolation: Isolation,
    end: Instant,
}

/// One partition as the request names it.
struct Target {
    wanted: Wanted,
    found: Result<Partition, ErrorCode>,
    fetch: FetchPartition,
}

/// Fetch 4-18.
pub(super) async fn fetch(shard: &Rc<Shard>, context: &RequestContext, request: FetchRequest) -> Handled {
    let version = context.header.api_version;
    let now = Instant::now();
    let planned = {
        let mut sessions = shard.sessions.borrow_mut();
        let planned = sessions.plan(&request, version, now, || (rand::random::<u32>() >> 1) as i32);
        shard.metrics.fetch_sessions.store(sessions.len() as i64, std::sync::atomic::Ordering::Relaxed);
        planned
    };
    let plan = match planned {
        Ok(plan) => plan,
        Err(error) => {
            let error_code = counted(
                shard,
                match error {
                    SessionError::NotFound => ErrorCode::FetchSessionIdNotFound,
                    SessionError::Epoch => ErrorCode::InvalidFetchSessionEpoch,
                    SessionError::TopicIds => ErrorCode::FetchSessionTopicIdError,
                },
            );
            let response = FetchResponse { error_code, ..FetchResponse::default() };
            return Handled::Answer(Answer::of(&context.header, &response));
        }
    };
    let limits = Limits {
        bytes_max: request.max_bytes.clamp(0, shard.config.fetch_max_bytes) as usize,
        bytes_min: request.min_bytes.clamp(0, shard.config.fetch_max_bytes) as usize,
        isolation: if request.isolation_level == 1 { Isolation::Committed } else { Isolation::Uncommitted },
        end: now + Duration::from_millis(request.max_wait_ms.max(0) as u64).min(WAIT_MAX),
    };
    let Plan { partitions, session_id, incremental } = plan;
    let targets = resolve(shard, version, partitions);
    let data = read_until_enough(shard, &targets, limits).await;
    let responses = gather(shard, targets, data, session_id, incremental);
    let response = FetchResponse { session_id, responses, ..FetchResponse::default() };
    Handled::Answer(Answer::of(&context.header, &response))
}

fn resolve(shard: &Shard, version: i16, partitions: Vec<(Wanted, FetchPartition)>) -> Vec<Target> {
    let image = shard.cluster.image();
    let by_id = version >= 13;
    let find = |wanted: &Wanted, fetch: &FetchPartition| {
        let topic = if by_id { image.topic_by_id(wanted.topic_id) } else { image.topic(&wanted.topic) };
        let unknown = if by_id { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
        let partition =
            topic.ok_or(unknown)?.partition(wanted.partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let epoch = fetch.current_leader_epoch;
        if epoch >= 0 && epoch < partition.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if epoch > partition.leader_epoch {
            return Err(ErrorCode::UnknownLeaderEpoch);
        }
        if partition.online { Ok(partition.clone()) } else { Err(ErrorCode::KafkaStorageError) }
    };
    let target =
        |(wanted, fetch): (Wanted, FetchPartition)| Target { found: find(&wanted, &fetch), wanted, fetch };
    partitions.into_iter().map(target).collect()
}

type Watch = Pin<Box<dyn Future<Output = ShardId>>>;

async fn read_until_enough(shard: &Rc<Shard>, targets: &[Target], limits: Limits) -> Vec<PartitionData> {
    let parts = parts_of(targets);
    let mut watches: BTreeMap<ShardId, Watch> = BTreeMap::new();
    loop {
        let data = read_all(shard, targets, &parts, limits).await;
        let bytes: usize = data.iter().map(|partition| partition.records_bytes()).sum();
        let settled = data.iter().any(|data| data.error_code != ErrorCode::None || data.diverging_epoch != EpochEndOffset::default());
        let left = limits.end.saturating_duration_since(Instant::now());
        if bytes >= limits.bytes_min || settled || left.is_zero() || parts.is_empty() {
            return data;
        }
        for (owner, parts) in &parts {
            if !watches.contains_key(owner) {
                watches.insert(*owner, watch(shard, *owner, parts, &data, left));
            }
        }
        let any = async { Some(select_all(watches.values_mut()).await.0) };
        let timer = async {
            shard.router.sleep(left).await;
            None
        };
        if let Some(owner) = futures_lite::future::or(any, timer).await {
            watches.remove(&owner);
        }
    }
}

/// Resolves when a log on `owner` shows more than was read, or the time is over.
fn watch(shard: &Rc<Shard>, owner: ShardId, parts: &[Part], data: &[PartitionData], left: Duration) -> Watch {
    let seen: Vec<(LogId, Offset)> = parts
        .iter()
        .filter_map(|part| Some((part.log_id, Offset::from_wire(data.get(part.place)?.high_watermark)?)))
        .collect();
    let asked = shard.router.call(owner, move |shard: Rc<Shard>| async move {
        futures_lite::future::or(shard.engine.watch(seen), shard.router.sleep(left)).await;
    });
    Box::pin(async move {
        // A shard that stopped: the next read says so.
        let _ = asked.await;
        owner
    })
}

fn parts_of(targets: &[Target]) -> BTreeMap<ShardId, Vec<Part>> {
    let mut parts: BTreeMap<ShardId, Vec<Part>> = BTreeMap::new();
    for (place, target) in targets.iter().enumerate() {
        if let Ok(partition) = &target.found {
            parts.entry(partition.owner).or_default().push(Part {
                place,
                log_id: partition.log_id,
                offset: target.fetch.fetch_offset,
                bytes_max: target.fetch.partition_max_bytes.max(0) as usize,
                last_fetched_epoch: target.fetch.last_fetched_epoch,
            });
        }
    }
    parts
}

async fn read_all(
    shard: &Rc<Shard>,
    targets: &[Target],
    parts: &BTreeMap<ShardId, Vec<Part>>,
    limits: Limits,
) -> Vec<PartitionData> {
    let asked = parts.iter().map(|(owner, parts)| {
        let parts = parts.clone();
        shard.router.call(*owner, move |shard: Rc<Shard>| read_here(shard, parts, limits))
    });
    let mut found: BTreeMap<usize, Found> = BTreeMap::new();
    for answered in join_all(asked).await.into_iter().flatten() {
        found.extend(answered);
    }
    let mut left = limits.bytes_max;
    let mut any = false;
    let mut data = Vec::with_capacity(targets.len());
    for (place, target) in targets.iter().enumerate() {
        let index = target.wanted.partition;
        let mut partition = match (&target.found, found.remove(&place)) {
            (Err(code), _) => PartitionData::error(index, *code),
            (Ok(_), None) => PartitionData::error(index, ErrorCode::NotLeaderOrFollower),
            (Ok(_), Some(found)) => of_found(index, found),
        };
        if let (Ok(known), ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch) = (&target.found, partition.error_code) {
            let leader = LeaderIdAndEpoch { leader_id: shard.config.node_id, leader_epoch: known.leader_epoch };
            partition.current_leader = leader;
        }
        // Owners read side by side, each up to the whole limit: what is over it in all waits for the next fetch.
        if partition.records_bytes() > left && any {
            partition.records.clear();
        }
        any |= partition.records_bytes() > 0;
        left = left.saturating_sub(partition.records_bytes());
        data.push(partition);
    }
    data
}

/// On the owner: one read after the other, within the request's limit.
async fn read_here(shard: Rc<Shard>, parts: Vec<Part>, limits: Limits) -> Vec<(usize, Found)> {
    let mut left = limits.bytes_max;
    let mut any = false;
    let mut done = Vec::with_capacity(parts.len());
    for part in parts {
        let found = read_one(&shard, &part, left, !any, limits.isolation).await;
        if let Found::Read(outcome) = &found {
            any |= outcome.bytes > 0;
            left = left.saturating_sub(outcome.bytes);
        }
        done.push((part.place, found));
    }
    done
}

async fn read_one(shard: &Shard, part: &Part, left: usize, first: bool, isolation: Isolation) -> Found {
    if part.last_fetched_epoch >= 0 {
        // KIP-595: a fetcher whose last epoch ended elsewhere is told where to cut its log.
        let ended = shard.engine.epoch_end(part.log_id, LeaderEpoch(part.last_fetched_epoch));
        if let (Ok(Some(end)), Ok(bounds)) = (ended, shard.engine.bounds(part.log_id)) {
            if end.leader_epoch.0 < part.last_fetched_epoch || end.end.as_i64() < part.offset {
                return Found::Diverged(end, bounds);
            }
        }
    }
    let Some(offset) = Offset::from_wire(part.offset) else {
        let bounds = shard.engine.bounds(part.log_id);
        return Found::Failed(bounds.map_or_else(ReadError::from, |bounds| ReadError::OutOfRange {
            offset: Offset::ZERO,
            log_start: bounds.log_start,
            log_end: bounds.log_end,
        }));
    };
    let read = Read { offset, bytes_max: part.bytes_max.min(left), first_batch_whole: first, isolation };
    match shard.engine.read(part.log_id, read).await {
        Ok(outcome) => Found::Read(outcome),
        Err(error) => Found::Failed(error),
    }
}

fn of_found(index: i32, found: Found) -> PartitionData {
    let with_bounds = |bounds: &LogBounds| PartitionData {
        high_watermark: bounds.high_watermark.as_i64(),
        last_stable_offset: bounds.last_stable.as_i64(),
        log_start_offset: bounds.log_start.as_i64(),
        ..PartitionData::error(index, ErrorCode::None)
    };
    match found {
        Found::Read(outcome) => PartitionData {
            records: outcome.slices,
            ..with_bounds(&outcome.bounds)
        },
        Found::Diverged(end, bounds) => {
            let diverging_epoch = EpochEndOffset { epoch: end.leader_epoch.0, end_offset: end.end.as_i64() };
            PartitionData { diverging_epoch, ..with_bounds(&bounds) }
        }
        Found::Failed(error) => PartitionData::error(index, codes::of_read(&error)),
    }
}

fn gather(
    shard: &Shard,
    targets: Vec<Target>,
    data: Vec<PartitionData>,
    session_id: i32,
    incremental: bool,
) -> Vec<FetchableTopicResponse> {
    let mut topics: Vec<FetchableTopicResponse> = Vec::new();
    let mut places: BTreeMap<(String, Uuid), usize> = BTreeMap::new();
    for (target, data) in targets.into_iter().zip(data) {
        counted(shard, data.error_code);
        if session_id != 0 {
            let told = Told { high_watermark: data.high_watermark, log_start: data.log_start_offset };
            let failed = data.error_code != ErrorCode::None || data.diverging_epoch != EpochEndOffset::default();
            let new = shard.sessions.borrow_mut().tell(session_id, &target.wanted, told, data.records_bytes() > 0, failed);
            if incremental && !new {
                continue;
            }
        }
        let (topic, topic_id) = (target.wanted.topic, target.wanted.topic_id);
        let place = *places.entry((topic.clone(), topic_id)).or_insert_with(|| {
            topics.push(FetchableTopicResponse { topic, topic_id, partitions: Vec::new() });
            topics.len() - 1
        });
        if let Some(topic) = topics.get_mut(place) {
            topic.partitions.push(data);
        }
    }
    topics
}

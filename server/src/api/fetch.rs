//! Fetch: split by owner, read, wait for enough or long enough, answer with the bytes as they are stored.
//!
//! ```text
//! session ─► asked ─► targets ─► parts by owner ──call──► read ─ enough? ─► answer around the slices
//!                                       one owner: it waits there, too ◄─┘ no: until a log grows or time is over
//! ```
//! Records pass here as slices of the owner's memory: nothing of them is copied, decoded or encoded.

use super::fetch_sessions::{Asked, SessionError};
use super::{Handled, RequestContext, codes, counted};
use crate::cluster::Image;
use crate::route::ShardId;
use crate::shard::Shard;
use crate::wire::fetch::{
    EpochEndOffset, FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData,
};
use crate::wire::produce::{LeaderIdAndEpoch, NodeEndpoint};
use crate::wire::{Answer, ErrorCode};
use futures_lite::future::or;
use futures_util::future::{join_all, select_all};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use thalweg_engine::log::LogBounds;
use thalweg_engine::shard::{Isolation, Read};
use thalweg_engine::units::{LeaderEpoch, LogId, Offset};

/// A wait is never longer, whatever the client asks.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// How often a waiting owner looks whether anybody still wants its answer.
const WANTED_INTERVAL: Duration = Duration::from_secs(1);
/// The first version that names topics by id, and the first that is told of a new leader (KIP-951).
const IDS_SINCE: i16 = 13;
const LEADERS_SINCE: i16 = 16;

/// One partition of a fetch, ready to be read on its owner.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Its place in the request.
    place: usize,
    index: i32,
    log_id: LogId,
    offset: i64,
    bytes_max: usize,
    last_fetched_epoch: i32,
}

/// What a request asks of all its partitions together.
#[derive(Clone, Copy, Debug)]
struct Limits {
    bytes_max: usize,
    bytes_min: usize,
    isolation: Isolation,
    end: Instant,
}

/// What one owner found, by places.
type Found = Vec<(usize, PartitionData)>;

/// Fetch 4-18.
pub(super) async fn fetch(shard: &Rc<Shard>, context: &RequestContext, request: FetchRequest) -> Handled {
    let version = context.header.api_version;
    let now = Instant::now();
    let isolation = match request.isolation_level {
        0 => Isolation::Uncommitted,
        1 => Isolation::Committed,
        _ => return fail_all(shard, context, &request, ErrorCode::UnknownServerError), // Kafka's own answer
    };
    let is_follower = request.replica_id >= 0 || request.replica_state.replica_id >= 0;
    let bytes_max = request.max_bytes.clamp(0, shard.config.fetch_max_bytes);
    let limits = Limits {
        bytes_max: bytes_max as usize,
        bytes_min: request.min_bytes.clamp(0, bytes_max) as usize,
        isolation,
        end: now + Duration::from_millis(request.max_wait_ms.max(0) as u64).min(WAIT_MAX),
    };
    let plan = match shard.sessions.borrow_mut().begin(&request, version, now) {
        Ok(plan) => plan,
        Err(error) => return fail(shard, context, error),
    };
    let mut data: Vec<PartitionData> = Vec::with_capacity(plan.asked.len());
    let mut parts: BTreeMap<ShardId, Vec<Part>> = BTreeMap::new();
    {
        let image = shard.cluster.look();
        for (place, asked) in plan.asked.iter().enumerate() {
            let index = asked.wanted.partition;
            match locate(&image, asked, version, place, is_follower) {
                Ok((owner, part)) => {
                    parts.entry(owner).or_default().push(part);
                    data.push(PartitionData::error(index, ErrorCode::NotLeaderOrFollower));
                }
                Err(error_code) => data.push(unread(index, error_code)),
            }
        }
    }
    context.reach.touch(parts.keys().copied());
    if !parts.is_empty() {
        read_until_enough(shard, parts, limits, &mut data).await;
    }
    let mut keep = Vec::with_capacity(data.len());
    let finished = {
        let mut sessions = shard.sessions.borrow_mut();
        let draw = || (rand::random::<u32>() >> 1) as i32;
        let finished = sessions.finish(&plan, &data, &mut keep, Instant::now(), draw);
        shard.metrics.fetch_sessions.store(sessions.len() as i64, Ordering::Relaxed);
        finished
    };
    match finished {
        Ok(session_id) => {
            if session_id != 0 {
                context.reach.bind();
            }
            answer(shard, context, session_id, plan.asked, data, &keep)
        }
        Err(error) => fail(shard, context, error),
    }
}

fn fail(shard: &Shard, context: &RequestContext, error: SessionError) -> Handled {
    let error_code = counted(
        shard,
        match error {
            SessionError::NotFound => ErrorCode::FetchSessionIdNotFound,
            SessionError::Epoch => ErrorCode::InvalidFetchSessionEpoch,
            SessionError::TopicIds => ErrorCode::FetchSessionTopicIdError,
        },
    );
    Handled::Answer(Answer::of(&context.header, &FetchResponse { error_code, ..FetchResponse::default() }))
}

/// Nothing of a request is served. Up to version 12 each partition says so, too.
fn fail_all(
    shard: &Shard,
    context: &RequestContext,
    request: &FetchRequest,
    error_code: ErrorCode,
) -> Handled {
    counted(shard, error_code);
    let topic = |topic: &crate::wire::fetch::FetchTopic| FetchableTopicResponse {
        topic: topic.topic.clone(),
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|one| PartitionData::error(one.partition, error_code))
            .collect(),
    };
    let responses = match context.header.api_version {
        IDS_SINCE.. => Vec::new(),
        _ => request.topics.iter().map(topic).collect(),
    };
    let response = FetchResponse { error_code, responses, ..FetchResponse::default() };
    Handled::Answer(Answer::of(&context.header, &response))
}

/// Finds a partition's log. Errors here do not end a fetch's wait for its other partitions, as in Kafka.
fn locate(
    image: &Image,
    asked: &Asked,
    version: i16,
    place: usize,
    is_follower: bool,
) -> Result<(ShardId, Part), ErrorCode> {
    let wanted = &asked.wanted;
    let topic = if version >= IDS_SINCE {
        image.topic_by_id(wanted.topic_id).ok_or(ErrorCode::UnknownTopicId)?
    } else {
        image.topic(&wanted.topic).ok_or(ErrorCode::UnknownTopicOrPartition)?
    };
    let partition = topic.partition(wanted.partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if !partition.online {
        return Err(ErrorCode::KafkaStorageError);
    }
    let known = asked.current_leader_epoch;
    let part = Part {
        place,
        index: wanted.partition,
        log_id: partition.log_id,
        offset: asked.fetch_offset,
        bytes_max: asked.bytes_max.max(0) as usize,
        last_fetched_epoch: asked.last_fetched_epoch,
    };
    match known {
        epoch if epoch >= 0 && epoch < partition.leader_epoch => Err(ErrorCode::FencedLeaderEpoch),
        epoch if epoch > partition.leader_epoch => Err(ErrorCode::UnknownLeaderEpoch),
        // There is one broker: whoever claims to be another is none of the partition's replicas.
        epoch if is_follower && epoch >= 0 => Err(ErrorCode::UnknownLeaderEpoch),
        _ if is_follower => Err(ErrorCode::NotLeaderOrFollower),
        _ => Ok((partition.owner, part)),
    }
}

type Watch = Pin<Box<dyn Future<Output = ShardId>>>;

/// Reads all parts into `data`, again when one grows, until there is enough, something failed or the time is over.
async fn read_until_enough(
    shard: &Rc<Shard>,
    parts: BTreeMap<ShardId, Vec<Part>>,
    limits: Limits,
    data: &mut [PartitionData],
) {
    // Kafka answers at once when a partition that it has cannot be read; unknown ones wait with the others.
    let fenced = |data: &PartitionData| {
        matches!(
            data.error_code,
            ErrorCode::FencedLeaderEpoch | ErrorCode::UnknownLeaderEpoch | ErrorCode::KafkaStorageError
        )
    };
    let limits = if data.iter().any(fenced) { Limits { end: Instant::now(), ..limits } } else { limits };
    // While it lives, owners wait for this fetch.
    let wanted = Arc::new(());
    let parts: BTreeMap<ShardId, Arc<[Part]>> =
        parts.into_iter().map(|(owner, parts)| (owner, Arc::from(parts))).collect();
    if let (1, Some((owner, parts))) = (parts.len(), parts.first_key_value()) {
        let (parts, waits) = (Arc::clone(parts), Arc::downgrade(&wanted));
        let asked = shard.router.call(*owner, move |shard| wait_here(shard, parts, limits, waits));
        if let Ok(found) = asked.await {
            take(data, found, limits.bytes_max, |_| usize::MAX); // one owner held each to its limit
        }
        return;
    }
    let mut watches: BTreeMap<ShardId, Watch> = BTreeMap::new();
    loop {
        let asked = parts.iter().map(|(owner, parts)| {
            let parts = Arc::clone(parts);
            shard.router.call(*owner, move |shard| async move { read_here(&shard, &parts, limits).await })
        });
        let found: Found = join_all(asked).await.into_iter().flatten().flatten().collect();
        let done = is_enough(&found, limits);
        let part =
            |place: usize| parts.values().flat_map(|parts| parts.iter()).find(|part| part.place == place);
        take(data, found, limits.bytes_max, |place| part(place).map_or(0, |part| part.bytes_max));
        if done || limits.end <= Instant::now() {
            return;
        }
        for (owner, parts) in &parts {
            watches.entry(*owner).or_insert_with(|| watch(shard, *owner, parts, data, limits, &wanted));
        }
        let left = limits.end.saturating_duration_since(Instant::now());
        let grown = async { Some(select_all(watches.values_mut()).await.0) };
        let timer = async {
            shard.router.sleep(left).await;
            None
        };
        if let Some(owner) = or(grown, timer).await {
            watches.remove(&owner);
        }
    }
}

/// Resolves when a log on `owner` shows more than was read, or the time is over.
fn watch(
    shard: &Rc<Shard>,
    owner: ShardId,
    parts: &[Part],
    data: &[PartitionData],
    limits: Limits,
    wanted: &Arc<()>,
) -> Watch {
    let seen = parts.iter().filter_map(|part| seen(part, data.get(part.place)?)).collect();
    let waits = Arc::downgrade(wanted);
    let asked = shard.router.call(owner, move |shard| async move {
        grow(&shard, seen, limits.end, &waits).await;
    });
    Box::pin(async move {
        // A shard that stopped: the next read says so.
        let _ = asked.await;
        owner
    })
}

fn seen(part: &Part, data: &PartitionData) -> Option<(LogId, Offset)> {
    Some((part.log_id, Offset::from_wire(data.high_watermark)?))
}

/// On the owner: reads, and waits there until there is enough.
async fn wait_here(shard: Rc<Shard>, parts: Arc<[Part]>, limits: Limits, wanted: Weak<()>) -> Found {
    loop {
        let found = read_here(&shard, &parts, limits).await;
        if is_enough(&found, limits) || limits.end <= Instant::now() || wanted.strong_count() == 0 {
            return found;
        }
        let mut seen: Vec<(LogId, Offset)> =
            parts.iter().zip(&found).filter_map(|(part, (_, data))| seen(part, data)).collect();
        loop {
            grow(&shard, seen, limits.end, &wanted).await;
            let over = limits.end <= Instant::now() || wanted.strong_count() == 0;
            if over || is_readable(&shard, &parts, limits) {
                break;
            }
            // More came, not enough yet: what is there now is known.
            let bounds = parts.iter().filter_map(|part| {
                let bounds = shard.engine.bounds(part.log_id).ok()?;
                Some((part.log_id, bounds.high_watermark))
            });
            seen = bounds.collect();
        }
    }
}

/// Waits until one of these logs grows, the time is over or nobody waits for it any more.
async fn grow(shard: &Shard, seen: Vec<(LogId, Offset)>, end: Instant, wanted: &Weak<()>) {
    let timer = async {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || wanted.strong_count() == 0 {
                return;
            }
            shard.router.sleep(left.min(WANTED_INTERVAL)).await;
        }
    };
    or(shard.engine.watch(seen), timer).await;
}

/// Whether reading would give enough, or an error.
fn is_readable(shard: &Shard, parts: &[Part], limits: Limits) -> bool {
    let mut bytes = 0;
    for part in parts {
        let offset = Offset::from_wire(part.offset).unwrap_or_default();
        match shard.engine.readable_bytes(part.log_id, offset, limits.isolation) {
            Ok(readable) => bytes += part.bytes_max.min(readable as usize),
            Err(_) => return true,
        }
    }
    bytes >= limits.bytes_min
}

fn is_enough(found: &Found, limits: Limits) -> bool {
    let is_settled = |data: &PartitionData| data.error_code != ErrorCode::None || is_diverging(data);
    let bytes: usize = found.iter().map(|(_, data)| data.records_bytes()).sum();
    bytes >= limits.bytes_min || found.iter().any(|(_, data)| is_settled(data))
}

fn is_diverging(data: &PartitionData) -> bool {
    data.diverging_epoch.epoch >= 0
}

/// Puts what owners found into its places. They read side by side, each up to the whole limit, and each gave its first
/// batch whole: what is over a limit and not the first of all waits for the next fetch.
fn take(
    data: &mut [PartitionData],
    mut found: Found,
    bytes_max: usize,
    part_bytes_max: impl Fn(usize) -> usize,
) {
    found.sort_unstable_by_key(|(place, _)| *place);
    let (mut left, mut is_first) = (bytes_max, true);
    for (place, mut partition) in found {
        let bytes = partition.records_bytes();
        if bytes > 0 && !is_first && bytes > left.min(part_bytes_max(place)) {
            partition.records.clear();
        } else if bytes > 0 {
            is_first = false;
            left = left.saturating_sub(bytes);
        }
        if let Some(data) = data.get_mut(place) {
            *data = partition;
        }
    }
}

/// On the owner: one read after the other, within the request's limit.
async fn read_here(shard: &Shard, parts: &[Part], limits: Limits) -> Found {
    let (mut left, mut is_first) = (limits.bytes_max, true);
    let mut found = Vec::with_capacity(parts.len());
    for part in parts {
        let data = match read_one(shard, part, left, is_first, limits.isolation).await {
            Ok(data) => data,
            Err(error_code) => unread(part.index, error_code),
        };
        let bytes = data.records_bytes();
        is_first &= bytes == 0;
        left = left.saturating_sub(bytes);
        found.push((part.place, data));
    }
    found
}

async fn read_one(
    shard: &Shard,
    part: &Part,
    left: usize,
    is_first: bool,
    isolation: Isolation,
) -> Result<PartitionData, ErrorCode> {
    if let Some(diverging) = diverging(shard, part, isolation)? {
        return Ok(diverging);
    }
    let offset = Offset::from_wire(part.offset).ok_or(ErrorCode::OffsetOutOfRange)?;
    let read = Read { offset, bytes_max: part.bytes_max.min(left), first_batch_whole: is_first, isolation };
    let outcome = shard.engine.read(part.log_id, read).await.map_err(|error| codes::of_read(&error))?;
    Ok(PartitionData { records: outcome.slices, ..quiet(part, &outcome.bounds, isolation) })
}

/// A partition that was not read. Where it is there, nobody looked for transactions: null says so, as in Kafka.
fn unread(index: i32, error_code: ErrorCode) -> PartitionData {
    let is_unknown = matches!(error_code, ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition);
    let aborted_transactions = is_unknown.then(Vec::new);
    PartitionData { aborted_transactions, ..PartitionData::error(index, error_code) }
}

/// KIP-595: a fetcher whose last epoch ended elsewhere is told where to cut its log.
fn diverging(shard: &Shard, part: &Part, isolation: Isolation) -> Result<Option<PartitionData>, ErrorCode> {
    if part.last_fetched_epoch < 0 {
        return Ok(None);
    }
    let epoch = LeaderEpoch(part.last_fetched_epoch);
    let end = shard.engine.epoch_end(part.log_id, epoch).map_err(|error| codes::of_log(&error))?;
    let end = end.ok_or(ErrorCode::OffsetOutOfRange)?;
    if end.leader_epoch >= epoch && end.end.as_i64() >= part.offset {
        return Ok(None);
    }
    let bounds = shard.engine.bounds(part.log_id).map_err(|error| codes::of_log(&error))?;
    let diverging_epoch = EpochEndOffset { epoch: end.leader_epoch.0, end_offset: end.end.as_i64() };
    Ok(Some(PartitionData { diverging_epoch, ..quiet(part, &bounds, isolation) }))
}

fn quiet(part: &Part, bounds: &LogBounds, isolation: Isolation) -> PartitionData {
    PartitionData {
        // Null says that nobody looked for transactions; who asked for committed records is told that there are none.
        aborted_transactions: (isolation == Isolation::Committed).then(Vec::new),
        high_watermark: bounds.high_watermark.as_i64(),
        last_stable_offset: bounds.last_stable.as_i64(),
        log_start_offset: bounds.log_start.as_i64(),
        ..PartitionData::error(part.index, ErrorCode::None)
    }
}

/// Lays the answer out: partitions that the client is told of, neighbours of one topic together.
fn answer(
    shard: &Shard,
    context: &RequestContext,
    session_id: i32,
    asked: Vec<Asked>,
    data: Vec<PartitionData>,
    keep: &[bool],
) -> Handled {
    let mut response = FetchResponse { session_id, ..FetchResponse::default() };
    let told = asked.into_iter().zip(data).zip(keep).filter(|(_, keep)| **keep);
    for ((asked, mut partition), _) in told {
        counted(shard, partition.error_code);
        name_leader(shard, context, &asked, &mut partition, &mut response.node_endpoints);
        let wanted = asked.wanted;
        let last = response.responses.last_mut();
        let is_same = |topic: &&mut FetchableTopicResponse| {
            topic.topic_id == wanted.topic_id && *topic.topic == *wanted.topic
        };
        match last.filter(is_same) {
            Some(topic) => topic.partitions.push(partition),
            None => response.responses.push(FetchableTopicResponse {
                topic: wanted.topic.as_ref().to_owned(),
                topic_id: wanted.topic_id,
                partitions: vec![partition],
            }),
        }
    }
    Handled::Answer(Answer::of(&context.header, &response))
}

/// KIP-951: with an error that asks for the leader, who it is and where.
fn name_leader(
    shard: &Shard,
    context: &RequestContext,
    asked: &Asked,
    partition: &mut PartitionData,
    endpoints: &mut Vec<NodeEndpoint>,
) {
    let asks = matches!(partition.error_code, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
    if context.header.api_version < LEADERS_SINCE || !asks {
        return;
    }
    let image = shard.cluster.look();
    let known =
        image.topic_by_id(asked.wanted.topic_id).and_then(|topic| topic.partition(partition.partition_index));
    let Some(known) = known else { return };
    partition.current_leader =
        LeaderIdAndEpoch { leader_id: shard.config.node_id, leader_epoch: known.leader_epoch };
    if endpoints.is_empty() {
        endpoints.push(super::own_endpoint(shard, context));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn with_bytes(index: i32, bytes: usize) -> PartitionData {
        let records = if bytes > 0 { vec![Bytes::from(vec![0; bytes])] } else { Vec::new() };
        PartitionData { records, ..PartitionData::error(index, ErrorCode::None) }
    }

    fn taken(found: &[(usize, usize)], bytes_max: usize) -> Vec<usize> {
        let mut data: Vec<PartitionData> =
            (0..found.len()).map(|index| with_bytes(index as i32, 0)).collect();
        let found = found.iter().map(|(place, bytes)| (*place, with_bytes(*place as i32, *bytes)));
        take(&mut data, found.collect(), bytes_max, |place| if place == 3 { 10 } else { usize::MAX });
        data.iter().map(PartitionData::records_bytes).collect()
    }

    #[test]
    fn what_owners_read_side_by_side_is_held_to_the_limit_in_the_order_asked() {
        assert_eq!(taken(&[(1, 60), (0, 50), (2, 40)], 100), [50, 0, 40]);
    }

    #[test]
    fn the_first_batch_is_answered_however_small_the_limit_is_and_only_the_first() {
        assert_eq!(taken(&[(0, 0), (1, 500), (2, 1)], 10), [0, 500, 0]);
    }

    #[test]
    fn a_partitions_own_limit_holds_for_all_but_the_first_batch() {
        assert_eq!(taken(&[(0, 5), (1, 0), (2, 5), (3, 11)], 100), [5, 0, 5, 0]);
        assert_eq!(taken(&[(0, 0), (1, 0), (2, 0), (3, 11)], 100), [0, 0, 0, 11]);
    }

    #[test]
    fn errors_and_enough_bytes_end_the_wait() {
        let limits =
            Limits { bytes_max: 100, bytes_min: 10, isolation: Isolation::Uncommitted, end: Instant::now() };
        assert!(!is_enough(&vec![(0, with_bytes(0, 9))], limits));
        assert!(is_enough(&vec![(0, with_bytes(0, 4)), (1, with_bytes(1, 6))], limits));
        assert!(is_enough(&vec![(0, PartitionData::error(0, ErrorCode::OffsetOutOfRange))], limits));
    }
}

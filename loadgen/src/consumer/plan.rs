//! From settings to fetchers: topic, bounds, where to begin and end, partitions dealt to connections, sockets.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::FetchRequest;

use super::{Fetcher, Position, Tally, Worker};
use crate::client::{ClientError, Control, Directory, Link, Partition, Poll, Topic};
use crate::machine::Peer;
use crate::run::{Progress, RunError};
use crate::spec::{Common, Consume, Partitions, ReadFrom};

/// Fetch v13 names topics by id; the generator names them.
const FETCH_VERSION_MAX: i16 = 12;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A first batch is served whole however small the limits: an answer may be larger than asked by that much.
const ANSWER_ROOM_BYTES: usize = 128 << 20;

/// What all fetchers of a run share.
#[derive(Debug)]
pub struct Plan {
    /// Version of the fetches.
    pub version: i16,
    /// Client id in them.
    pub client_id: String,
    /// The topic.
    pub topic: String,
    /// Most bytes of an answer.
    pub fetch_bytes: i32,
    /// Most bytes of a partition in it.
    pub partition_bytes: i32,
    /// Bytes the broker waits for.
    pub min_bytes: i32,
    /// How long it waits.
    pub max_wait: Duration,
    /// How long a broker may be away.
    pub retry_time: Duration,
    /// Where leaders are after a failure.
    pub directory: Directory,
}

/// All that is ready to read.
pub struct Reading {
    /// The threads' work.
    pub workers: Vec<Worker>,
    /// The topic.
    pub topic: Topic,
    /// Start and end of each partition that will be read, before it is read.
    pub bounds: BTreeMap<i32, Range<i64>>,
    /// The broker asked first.
    pub peer: Option<Peer>,
}

/// Makes everything ready: when this returns, all connections are open and positions are known.
/// `measured_run`: the age of its records is measured.
///
/// # Errors
/// If a broker cannot be reached or refuses, or there is no such topic or partition.
pub fn prepare(
    common: &Common,
    consume: &Consume,
    measured_run: Option<u64>,
    progress: &Arc<Progress>,
) -> Result<Reading, RunError> {
    let mut control = Control::connect(&common.brokers, &common.client_id)?;
    let mut topic = Topic::ensure(&mut control, &common.topic, None, -1, &[])?;
    let peer = control.peer();
    if let Partitions::Some(wanted) = &consume.partitions {
        if let Some(missing) =
            wanted.iter().find(|index| topic.partitions.iter().all(|found| found.index != **index))
        {
            return Err(RunError::NoPartition { topic: topic.name, partition: *missing });
        }
        topic.partitions.retain(|partition| wanted.contains(&partition.index));
    }
    let bounds = topic.bounds(&common.client_id)?;
    let version = control.versions().choose::<FetchRequest>(FETCH_VERSION_MAX)?;
    let plan = Arc::new(Plan {
        version,
        client_id: common.client_id.clone(),
        topic: common.topic.clone(),
        fetch_bytes: consume.fetch_bytes as i32,
        partition_bytes: consume.partition_bytes as i32,
        min_bytes: consume.min_bytes as i32,
        max_wait: Duration::from_millis(consume.max_wait_ms.into()),
        retry_time: common.retry_time(),
        directory: Directory::new(control, &topic, &common.brokers),
    });
    let dealt = deal(&topic.partitions, consume.connection_count);
    let thread_count = (common.thread_count as usize).min(dealt.len());
    let mut workers = Vec::new();
    for _ in 0..thread_count {
        let poll = Poll::new().map_err(|source| RunError::System { what: "making an event loop", source })?;
        let end = consume.time_s.map(Duration::from_secs_f64);
        let tally = Tally::new(common.warm_up(), end, consume.verify, measured_run, Arc::clone(progress));
        workers.push(Worker { plan: Arc::clone(&plan), poll, fetchers: Vec::new(), tally });
    }
    for (number, (leader, partitions)) in dealt.into_iter().enumerate() {
        let worker = &mut workers[number % thread_count];
        let mut link =
            Link::new(leader, worker.fetchers.len() as u64, consume.fetch_bytes as usize + ANSWER_ROOM_BYTES);
        link.connect_and_wait(&worker.poll, CONNECT_TIMEOUT)
            .map_err(|source| ClientError::Unreachable { addresses: vec![leader], source })?;
        let positions: Vec<_> =
            partitions.iter().map(|index| position(consume, *index, &bounds[index])).collect();
        for position in &positions {
            worker.tally.begin(position.partition, position.next);
        }
        worker.fetchers.push(Fetcher::new(link, positions));
    }
    Ok(Reading { workers, topic, bounds, peer })
}

fn position(consume: &Consume, partition: i32, bounds: &Range<i64>) -> Position {
    let next = match consume.from {
        ReadFrom::Earliest => bounds.start,
        ReadFrom::Latest => bounds.end,
        ReadFrom::Offset(offset) => offset,
    };
    Position { partition, start: next, next, end: consume.until_end.then_some(bounds.end), is_broken: false }
}

/// Deals partitions to connections: each has partitions of one leader, none is read twice. There are at least as many
/// connections as leaders and at most as many as partitions, whatever was asked for.
fn deal(partitions: &[Partition], connection_count: u32) -> Vec<(SocketAddr, Vec<i32>)> {
    let mut by_leader: BTreeMap<SocketAddr, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        by_leader.entry(partition.leader).or_default().push(partition.index);
    }
    let per_leader = (connection_count as usize / by_leader.len().max(1)).max(1);
    let mut dealt = Vec::new();
    for (leader, led) in by_leader {
        let connections = per_leader.min(led.len());
        for place in 0..connections {
            dealt.push((leader, led.iter().skip(place).step_by(connections).copied().collect()));
        }
    }
    dealt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_is_read_by_exactly_one_connection() {
        let leader = |index: i32| SocketAddr::from(([127, 0, 0, 1], 9000 + index as u16 % 3));
        let partitions: Vec<_> = (0..20).map(|index| Partition { index, leader: leader(index) }).collect();
        for connections in 1..30 {
            let dealt = deal(&partitions, connections);
            let mut all: Vec<i32> = dealt.iter().flat_map(|(_, own)| own.clone()).collect();
            all.sort_unstable();
            assert_eq!(all, (0..20).collect::<Vec<_>>(), "{connections} connections");
            assert!(dealt.iter().all(|(at, own)| own.iter().all(|index| leader(*index) == *at)));
        }
    }
}

//! From settings to senders: topic, leaders, partitions dealt to connections, producer ids, sockets, batches made ahead.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::{ApiVersionsRequest, ProduceRequest};

use super::{Lane, Recorder, Retry, Sender, Source, Worker};
use crate::batch::BodyMaker;
use crate::client::{
    ClientError, Control, Directory, Link, PRODUCE_VERSION_MAX, Partition, Poll, ProduceFrames, Topic,
};
use crate::machine::Peer;
use crate::run::{Progress, RunError, files};
use crate::schedule::{Load, Schedule};
use crate::spec::{Common, Produce};

/// Kafka remembers the last five batches of an idempotent producer in a partition: more under way could not be repeated.
const IDEMPOTENT_BATCHES_MAX: usize = 5;
/// Answers to produce requests are short.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// What Kafka's clients have asked for since 2.4.
const HELLO_VERSION_MAX: i16 = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What all senders of a run share.
#[derive(Debug)]
pub struct Plan {
    /// Requests and answers.
    pub frames: ProduceFrames,
    /// Client id in requests of other kinds.
    pub client_id: String,
    /// The run's number in every record's tag; `None`: records carry none.
    pub tag_run: Option<u64>,
    /// `false`: `acks=0`, the broker never answers.
    pub has_answers: bool,
    /// Requests in flight on a connection.
    pub in_flight_max: usize,
    /// What the broker is given for a request.
    pub timeout: Duration,
    /// How long a broker may be away, or a batch unacknowledged.
    pub retry_time: Duration,
    /// Nothing is due from here on.
    pub end: Option<Duration>,
    /// How long answers are awaited after the end.
    pub drain: Duration,
    /// Version in which a connection that was opened again asks for the broker's versions, as clients do.
    pub hello_version: i16,
    /// Where leaders are after a failure.
    pub directory: Directory,
}

/// All that is ready to send.
pub struct Sending {
    /// The threads' work.
    pub workers: Vec<Worker>,
    /// The topic.
    pub topic: Topic,
    /// The broker asked first.
    pub peer: Option<Peer>,
}

/// Makes everything ready: when this returns, all connections are open and nothing remains but to send.
///
/// # Errors
/// If a broker cannot be reached or refuses, or the topic is not as asked for.
pub fn prepare(
    common: &Common,
    produce: &Produce,
    run: u64,
    progress: &Arc<Progress>,
) -> Result<Sending, RunError> {
    let mut control = Control::connect(&common.brokers, &common.client_id)?;
    let topic = Topic::ensure(
        &mut control,
        &common.topic,
        produce.partition_count,
        produce.replica_count,
        &produce.topic_configs,
    )?;
    let peer = control.peer();
    files::may_open(produce.connection_count.into())?;
    let dealt = deal(&topic.partitions, produce.connection_count)?;
    let identities: Vec<_> = (0..produce.connection_count)
        .map(|_| if produce.idempotent { control.producer_id() } else { Ok((-1, -1)) })
        .collect::<Result<_, _>>()?;
    let plan = Arc::new(plan(common, produce, run, &topic, control)?);
    let thread_count = common.thread_count.min(produce.connection_count);
    let mut workers = Vec::new();
    for thread in 0..thread_count {
        let poll = Poll::new().map_err(|source| RunError::System { what: "making an event loop", source })?;
        let recorder = Recorder::new(common.warm_up(), plan.end, produce.verifiable, Arc::clone(progress));
        let reopens = (produce.reopens_per_s > 0).then(|| {
            let load = reopening(produce.reopens_per_s, plan.end, thread_count);
            Schedule::new(&load, thread)
        });
        workers.push(Worker { plan: Arc::clone(&plan), poll, senders: Vec::new(), reopens, recorder });
    }
    let ring = if produce.prebuilds_batches() {
        let mut maker = BodyMaker::new(produce.payload(0), produce.shape());
        Some(Source::ring(&mut maker, produce.batch_record_count, produce.batch_bytes)?)
    } else {
        None
    };
    for (index, ((leader, partitions), identity)) in (0..).zip(dealt.into_iter().zip(identities)) {
        let worker = &mut workers[(index % thread_count) as usize];
        let mut link = Link::new(leader, worker.senders.len() as u64, ANSWER_BYTES_MAX);
        link.connect_and_wait(&worker.poll, CONNECT_TIMEOUT)
            .map_err(|source| ClientError::Unreachable { addresses: vec![leader], source })?;
        let maker = BodyMaker::new(produce.payload(u64::from(index)), produce.shape());
        let source = match &ring {
            Some(ring) => Source::from_ring(maker, Arc::clone(ring), index as usize),
            None => Source::fresh(maker),
        };
        let load = Load {
            rate_per_s: produce.rate_records_per_s,
            record_count: produce.record_count,
            end: plan.end,
            producer_count: produce.connection_count,
            batch_records: source.records_mean(),
            linger: produce.linger_ms.map(|ms| Duration::from_secs_f64(ms / 1e3)),
        };
        let lanes = partitions.into_iter().map(|partition| lane(produce, partition)).collect();
        worker.senders.push(Sender::new(index, link, lanes, Schedule::new(&load, index), source, identity));
    }
    Ok(Sending { workers, topic, peer })
}

fn plan(
    common: &Common,
    produce: &Produce,
    run: u64,
    topic: &Topic,
    control: Control,
) -> Result<Plan, RunError> {
    let version = control.versions().choose::<ProduceRequest>(PRODUCE_VERSION_MAX)?;
    let drain = Duration::from_secs_f64(produce.drain_s);
    Ok(Plan {
        frames: ProduceFrames::new(
            version,
            &common.client_id,
            &common.topic,
            produce.acks.wire(),
            produce.timeout_ms as i32,
        ),
        client_id: common.client_id.clone(),
        tag_run: produce.verifiable.then_some(run),
        has_answers: produce.acks.wire() != 0,
        in_flight_max: produce.in_flight_count as usize,
        timeout: Duration::from_millis(produce.timeout_ms.into()),
        retry_time: common.retry_time(),
        end: produce.time_s.map(Duration::from_secs_f64),
        // An idempotent run ends when all is acknowledged, however long the broker is away.
        drain: if produce.idempotent { drain.max(common.retry_time()) } else { drain },
        hello_version: control.versions().choose::<ApiVersionsRequest>(HELLO_VERSION_MAX)?,
        directory: Directory::new(control, topic, &common.brokers),
    })
}

/// The plan of closing and opening connections: its records are connections.
fn reopening(rate_per_s: u64, end: Option<Duration>, producer_count: u32) -> Load {
    Load { rate_per_s, record_count: None, end, producer_count, batch_records: 1, linger: None }
}

fn lane(produce: &Produce, partition: i32) -> Lane {
    let in_flight = produce.in_flight_count as usize;
    if produce.idempotent {
        Lane::new(partition, Retry::Always, in_flight.min(IDEMPOTENT_BATCHES_MAX))
    } else {
        Lane::new(partition, Retry::Times(produce.retry_count), in_flight)
    }
}

/// Deals partitions to connections: each connection gets partitions of one leader; while there are fewer connections than
/// partitions none is shared, and else none is without.
fn deal(partitions: &[Partition], connection_count: u32) -> Result<Vec<(SocketAddr, Vec<i32>)>, RunError> {
    let mut leaders: Vec<_> = partitions.iter().map(|partition| partition.leader).collect();
    leaders.sort_unstable();
    leaders.dedup();
    if (connection_count as usize) < leaders.len() {
        return Err(RunError::TooFewConnections { leaders: leaders.len(), connections: connection_count });
    }
    let dealt = (0..connection_count as usize).map(|connection| {
        let group = connection % leaders.len();
        let place = connection / leaders.len();
        let group_connections = (connection_count as usize - group).div_ceil(leaders.len());
        let led: Vec<_> = partitions.iter().filter(|partition| partition.leader == leaders[group]).collect();
        let own = if led.len() >= group_connections {
            led.iter().skip(place).step_by(group_connections).map(|partition| partition.index).collect()
        } else {
            vec![led[place % led.len()].index]
        };
        (leaders[group], own)
    });
    Ok(dealt.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions(count: i32, brokers: u16) -> Vec<Partition> {
        let leader = |index: i32| SocketAddr::from(([127, 0, 0, 1], 9000 + index as u16 % brokers));
        (0..count).map(|index| Partition { index, leader: leader(index) }).collect()
    }

    fn shares(count: i32, brokers: u16, connections: u32) -> Vec<Vec<i32>> {
        deal(&partitions(count, brokers), connections).unwrap().into_iter().map(|(_, own)| own).collect()
    }

    #[test]
    fn partitions_are_shared_only_when_connections_outnumber_them() {
        assert_eq!(shares(5, 1, 2), [vec![0, 2, 4], vec![1, 3]]);
        assert_eq!(shares(2, 1, 3), [vec![0], vec![1], vec![0]]);
        assert_eq!(shares(1, 1, 64), vec![vec![0]; 64]);
        assert_eq!(shares(1000, 1, 64).concat().len(), 1000);
    }

    #[test]
    fn a_connection_has_partitions_of_one_leader_and_all_are_dealt() {
        for connections in 3..12 {
            let dealt = deal(&partitions(20, 3), connections).unwrap();
            let mut all: Vec<i32> = dealt.iter().flat_map(|(_, own)| own.clone()).collect();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all, (0..20).collect::<Vec<_>>(), "{connections} connections");
            for (leader, own) in dealt {
                assert!(own.iter().all(|index| leader.port() == 9000 + *index as u16 % 3));
            }
        }
        assert!(matches!(deal(&partitions(20, 3), 2), Err(RunError::TooFewConnections { leaders: 3, .. })));
    }
}

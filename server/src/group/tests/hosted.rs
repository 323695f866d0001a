//! Groups on a log of the engine, driven by the coordinator's host.

use crate::coordinator::{Clock, Host, HostError};
use crate::group::{
    Answer, Budget, Command, Commit, CommitPartition, CommitTopic, FetchOffsets, GroupSettings, Heartbeat,
    Join, Partition, Protocol, Sync,
};
use bytes::Bytes;
use futures_lite::future::{block_on, or, poll_fn, zip};
use std::future::Future;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};
use thalweg_engine::log::{LogIdentity, LogSettings};
use thalweg_engine::shard::Engine;
use thalweg_engine::units::{LeaderEpoch, LogId};

const LOG_ID: LogId = LogId([9; 16]);
const PARTITION: i32 = 4;

fn sleep(time: Duration) -> impl Future<Output = ()> {
    let end = Instant::now() + time;
    poll_fn(move |context| {
        if Instant::now() >= end {
            return Poll::Ready(());
        }
        std::thread::sleep(Duration::from_millis(1));
        context.waker().wake_by_ref();
        Poll::Pending
    })
}

async fn engine() -> Engine {
    let engine = Engine::in_memory();
    let identity = LogIdentity {
        log_id: LOG_ID,
        topic_id: [3; 16],
        topic: "__consumer_offsets".to_owned(),
        partition: PARTITION,
    };
    engine.create(identity, LogSettings::default(), LeaderEpoch(0)).await.unwrap();
    engine
}

fn host(engine: &Engine) -> Host<Partition> {
    let settings = Rc::new(GroupSettings { initial_rebalance_delay_ms: 20, ..GroupSettings::default() });
    let budget = Budget::default();
    let make = move || Partition::new(Rc::clone(&settings), budget.clone());
    Host::new("groups", engine.clone(), Clock::since(Instant::now()), make)
}

fn join() -> Command {
    Command::Join(Join {
        group_id: "g".to_owned(),
        member_id: String::new(),
        member_id_new: "a-1".to_owned(),
        instance_id: None,
        client_id: "a".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![Protocol { name: "range".to_owned(), metadata: Bytes::from_static(b"x") }],
        session_timeout_ms: 6_000,
        rebalance_timeout_ms: 6_000,
        known_id_required: false,
        may_skip_assignment: false,
    })
}

fn sync() -> Command {
    Command::Sync(Sync {
        group_id: "g".to_owned(),
        generation: 1,
        member_id: "a-1".to_owned(),
        instance_id: None,
        protocol_type: None,
        protocol: None,
        assignments: vec![("a-1".to_owned(), Bytes::from_static(b"all"))],
    })
}

fn heartbeat() -> Command {
    let (group_id, member_id) = ("g".to_owned(), "a-1".to_owned());
    Command::Heartbeat(Heartbeat { group_id, generation: 1, member_id, instance_id: None })
}

fn commit() -> Command {
    let stored = CommitPartition {
        partition: 0,
        offset: 5,
        leader_epoch: 0,
        metadata: String::new(),
        commit_timestamp: -1,
    };
    Command::Commit(Commit {
        group_id: "g".to_owned(),
        generation: 1,
        member_id: "a-1".to_owned(),
        instance_id: None,
        knows_group_id_not_found: false,
        retention_ms: -1,
        topics: vec![CommitTopic { name: "t".to_owned(), topic_id: [7; 16], partitions: vec![stored] }],
    })
}

async fn first_life(host: &Host<Partition>) {
    assert_eq!(host.ask(PARTITION, heartbeat()).await, Err(HostError::NotHere));
    host.open(PARTITION, LOG_ID);
    let Ok(Answer::Join(joined)) = host.ask(PARTITION, join()).await else { panic!("a join is answered") };
    assert_eq!((joined.error, joined.generation, joined.leader.as_str()), (None, 1, "a-1"));
    let Ok(Answer::Sync(Ok(synced))) = host.ask(PARTITION, sync()).await else {
        panic!("a sync is answered")
    };
    assert_eq!(&synced.assignment[..], b"all");
    assert!(matches!(host.ask(PARTITION, commit()).await, Ok(Answer::Commit(Ok(_)))));
    host.stop();
}

async fn second_life(host: &Host<Partition>) {
    host.open(PARTITION, LOG_ID);
    assert_eq!(host.ask(PARTITION, heartbeat()).await, Err(HostError::Loading));
    while host.ready_partitions().is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(
        host.ask(PARTITION, heartbeat()).await,
        Ok(Answer::Heartbeat(Ok(()))),
        "nobody has to join again"
    );
    let fetch = FetchOffsets { group_id: "g".to_owned(), topics: None, require_stable: true };
    let Ok(Answer::Fetch(Ok(topics))) = host.ask(PARTITION, Command::Fetch(fetch)).await else {
        panic!("offsets can be read")
    };
    assert_eq!(topics[0].partitions[0].offset, 5);
    host.close(PARTITION);
    assert_eq!(host.ask(PARTITION, heartbeat()).await, Err(HostError::NotHere));
    host.stop();
}

#[test]
fn a_group_lives_on_its_log_and_goes_on_after_a_restart() {
    block_on(async {
        let engine = engine().await;
        let host_first = host(&engine);
        let life = first_life(&host_first);
        zip(life, host_first.run(sleep)).await;
        let host_second = host(&engine);
        let life = second_life(&host_second);
        zip(life, host_second.run(sleep)).await;
    });
}

#[test]
fn whoever_waits_on_a_partition_that_closes_is_told() {
    block_on(async {
        let engine = engine().await;
        let host = host(&engine);
        host.open(PARTITION, LOG_ID);
        let waiting = host.ask(PARTITION, join());
        host.close(PARTITION);
        let late = async {
            sleep(Duration::from_secs(5)).await;
            panic!("nobody told it")
        };
        assert_eq!(or(waiting, late).await, Err(HostError::NotHere));
    });
}

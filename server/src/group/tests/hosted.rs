//! Groups on a log of the engine, driven by the coordinator's host.

use super::memory_log::MemoryLog;
use crate::coordinator::{Clock, Host, HostError};
use crate::group::{
    Answer, Budget, Command, Commit, CommitPartition, CommitTopic, FetchOffsets, GroupError, GroupSettings,
    Heartbeat, Join, Partition, Protocol, Sync,
};
use bytes::Bytes;
use futures_lite::future::{block_on, or, poll_fn, zip};
use std::future::Future;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};
use thalweg_engine::units::LogId;

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

fn host(log: &MemoryLog) -> Host<Partition, MemoryLog> {
    let settings = Rc::new(GroupSettings { initial_rebalance_delay_ms: 20, ..GroupSettings::default() });
    let budget = Budget::default();
    let make = move || Partition::new(Rc::clone(&settings), budget.clone());
    Host::new("groups", log.clone(), Clock::since(Instant::now()), make)
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

fn sync(share: &[u8]) -> Command {
    Command::Sync(Sync {
        group_id: "g".to_owned(),
        generation: 1,
        member_id: "a-1".to_owned(),
        instance_id: None,
        protocol_type: None,
        protocol: None,
        assignments: vec![("a-1".to_owned(), Bytes::copy_from_slice(share))],
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

async fn first_life(host: &Host<Partition, MemoryLog>) {
    assert_eq!(host.ask(PARTITION, heartbeat()).await, Err(HostError::NotHere));
    host.open(PARTITION, LOG_ID);
    let Ok(Answer::Join(joined)) = host.ask(PARTITION, join()).await else { panic!("a join is answered") };
    assert_eq!((joined.error, joined.generation, joined.leader.as_str()), (None, 1, "a-1"));
    let Ok(Answer::Sync(Ok(synced))) = host.ask(PARTITION, sync(b"all")).await else {
        panic!("a sync is answered")
    };
    assert_eq!(&synced.assignment[..], b"all");
    assert!(matches!(host.ask(PARTITION, commit()).await, Ok(Answer::Commit(Ok(_)))));
    host.stop();
}

async fn second_life(host: &Host<Partition, MemoryLog>) {
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
        let log = MemoryLog::default();
        let first = host(&log);
        zip(first_life(&first), first.run(sleep)).await;
        let second = host(&log);
        zip(second_life(&second), second.run(sleep)).await;
    });
}

/// Joins and syncs, so that offsets can be committed.
async fn become_member(host: &Host<Partition, MemoryLog>) {
    host.open(PARTITION, LOG_ID);
    assert!(matches!(host.ask(PARTITION, join()).await, Ok(Answer::Join(joined)) if joined.error.is_none()));
    assert!(matches!(host.ask(PARTITION, sync(b"all")).await, Ok(Answer::Sync(Ok(_)))));
}

#[test]
fn nothing_is_answered_before_its_record_is_durable() {
    block_on(async {
        let log = MemoryLog::default();
        let host = host(&log);
        let life = async {
            become_member(&host).await;
            log.hold();
            let committed = async {
                let answer = host.ask(PARTITION, commit()).await;
                assert!(matches!(answer, Ok(Answer::Commit(Ok(_)))));
                "committed"
            };
            let released = async {
                sleep(Duration::from_millis(30)).await;
                log.release();
                std::future::pending().await
            };
            let held = async {
                sleep(Duration::from_millis(20)).await;
                "still waiting"
            };
            let mut committed = std::pin::pin!(committed);
            assert_eq!(or(committed.as_mut(), held).await, "still waiting");
            let first = or(committed, released).await;
            assert_eq!(first, "committed");
            host.stop();
        };
        zip(life, host.run(sleep)).await;
    });
}

#[test]
fn an_assignment_too_large_for_a_batch_is_refused_and_the_group_goes_on() {
    block_on(async {
        let log = MemoryLog::default();
        let host = host(&log);
        let life = async {
            host.open(PARTITION, LOG_ID);
            assert!(matches!(host.ask(PARTITION, join()).await, Ok(Answer::Join(_))));
            let much = vec![b'x'; 200_000];
            let answer = host.ask(PARTITION, sync(&much)).await;
            assert_eq!(answer, Ok(Answer::Sync(Err(GroupError::MetadataTooLarge))));
            assert_eq!(
                host.ask(PARTITION, heartbeat()).await,
                Ok(Answer::Heartbeat(Err(GroupError::RebalanceInProgress)))
            );
            host.stop();
        };
        zip(life, host.run(sleep)).await;
    });
}

#[test]
fn when_the_device_is_gone_nobody_is_told_that_it_was_stored() {
    block_on(async {
        let log = MemoryLog::default();
        let host = host(&log);
        let life = async {
            become_member(&host).await;
            log.hold();
            let failed = async {
                sleep(Duration::from_millis(20)).await;
                log.fail();
            };
            let (answer, ()) = zip(host.ask(PARTITION, commit()), failed).await;
            assert_eq!(answer, Err(HostError::NotHere));
            assert_eq!(host.ask(PARTITION, heartbeat()).await, Err(HostError::NotHere));
            host.stop();
        };
        zip(life, host.run(sleep)).await;
    });
}

#[test]
fn whoever_waits_on_a_partition_that_closes_is_told() {
    block_on(async {
        let host = host(&MemoryLog::default());
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

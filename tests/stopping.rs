//! SIGTERM and SIGINT: what has begun is finished, what waits is let go, the stop is clean; a second signal ends at once.

use harness::broker::{Against, free_port};
use harness::probe::get;
use harness::records::Batch;
use harness::verbs::{code, fetch_request, fresh, text};
use harness::{Broker, Client};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{FindCoordinatorRequest, GroupId, JoinGroupRequest, OffsetFetchRequest};
use rustix::process::Signal;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than two signals in one breath, which count as one.
const ANOTHER_BREATH: Duration = Duration::from_millis(300);

fn is_thalweg() -> bool {
    let is_thalweg = Against::chosen().is_thalweg();
    if !is_thalweg {
        harness::skip::skip_test("stopping", "the log and the exit code are those of a broker of ours");
    }
    is_thalweg
}

/// Waits until joins of a group are taken.
fn wait_for_coordinator(client: &mut Client, group: &str) {
    let start = Instant::now();
    loop {
        let request =
            FindCoordinatorRequest::default().with_key_type(0).with_coordinator_keys(vec![text(group)]);
        let found = client.call(4, &request).coordinators.remove(0).error_code;
        let probe = OffsetFetchRequestGroup::default().with_group_id(GroupId(text(group))).with_topics(None);
        let answer = client.call(8, &OffsetFetchRequest::default().with_groups(vec![probe]));
        if found == code::NONE && answer.groups[0].error_code == code::NONE {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "no coordinator: {found}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn assert_clean(broker: &mut Broker) {
    let log = broker.log_text();
    assert!(log.contains("stopped cleanly") && !log.contains("cut off"), "{log}");
    broker.start_again(None);
    let last = broker.log_text().lines().rfind(|line| line.contains(" ready ")).unwrap().to_string();
    assert!(last.contains("unclean=false"), "{last}");
}

#[test]
fn idle_connections_and_requests_that_wait_do_not_hold_a_stop() {
    if !is_thalweg() {
        return;
    }
    let mut broker = Broker::with(&[("group.initial.rebalance.delay.ms", "60000")]);
    let mut client = broker.client();
    let topic = fresh("waiting");
    client.create_topic(&topic, 1);
    let mut idle: Vec<Client> = (0..50).map(|_| broker.client()).collect();
    let mut half = broker.client();
    half.send_bytes(&[0, 0, 4, 0, 0, 1]).unwrap(); // the beginning of a request
    let mut reader = broker.client();
    reader.send(11, &fetch_request(&topic, 0, 0).with_min_bytes(1).with_max_wait_ms(60_000)).unwrap();
    let mut pipelined = broker.client();
    for _ in 0..3 {
        let wait = fetch_request(&topic, 0, 0).with_min_bytes(1).with_max_wait_ms(60_000);
        pipelined.send(11, &wait).unwrap();
    }
    let mut member = broker.client();
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    let join = JoinGroupRequest::default()
        .with_group_id(GroupId(text("waiting")))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(60_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    wait_for_coordinator(&mut client, "waiting");
    member.send(2, &join).unwrap(); // version 2: members are not sent away for an id first
    thread::sleep(ANOTHER_BREATH);
    broker.signal(Signal::TERM);
    assert_eq!(broker.wait_for_end().code(), Some(0), "{}", broker.log_text());
    for client in idle.iter_mut().chain([&mut half, &mut reader, &mut pipelined, &mut member]) {
        assert!(client.is_closed_within(Duration::from_secs(5)));
    }
    assert_clean(&mut broker);
}

/// Sends numbered batches, several in flight, until the connection ends; returns how many were answered.
fn produce_until_the_end(client: &mut Client, topic: &str, partition: i32, sent: &AtomicUsize) -> usize {
    let mut waiting = std::collections::VecDeque::new();
    let mut answered = 0;
    for number in 0.. {
        let batch = Batch::numbered(number, 1, 20_000).encode();
        let request = harness::verbs::produce_request(topic, partition, -1, batch);
        let Ok(id) = client.send(9, &request) else { break };
        sent.fetch_add(1, Ordering::Relaxed);
        waiting.push_back(id);
        if waiting.len() == 5 {
            let id = waiting.pop_front().unwrap();
            match client.receive::<kafka_protocol::messages::ProduceRequest>(9, id) {
                Ok(answer) => {
                    assert_eq!(answer.responses[0].partition_responses[0].error_code, code::NONE);
                    answered += 1;
                }
                Err(_) => return answered,
            }
        }
    }
    for id in waiting {
        match client.receive::<kafka_protocol::messages::ProduceRequest>(9, id) {
            Ok(_) => answered += 1,
            Err(_) => break,
        }
    }
    answered
}

#[test]
fn under_load_a_stop_is_clean_and_loses_nothing_that_was_answered() {
    if !is_thalweg() {
        return;
    }
    let mut broker = Broker::start();
    for (round, signal) in [Signal::TERM, Signal::INT, Signal::TERM].into_iter().enumerate() {
        let topic = fresh("load");
        broker.client().create_topic(&topic, 4);
        let mut clients: Vec<Client> = (0..4).map(|_| broker.client()).collect();
        let sent = AtomicUsize::new(0);
        let answered: Vec<usize> = thread::scope(|scope| {
            let producers: Vec<_> = clients
                .iter_mut()
                .enumerate()
                .map(|(partition, client)| {
                    let (topic, sent) = (&topic, &sent);
                    scope.spawn(move || produce_until_the_end(client, topic, partition as i32, sent))
                })
                .collect();
            while sent.load(Ordering::Relaxed) < 200 {
                thread::sleep(Duration::from_millis(1));
            }
            broker.signal(signal);
            assert_eq!(broker.wait_for_end().code(), Some(0), "round {round}: {}", broker.log_text());
            producers.into_iter().map(|producer| producer.join().unwrap()).collect()
        });
        assert_clean(&mut broker);
        let mut client = broker.client();
        for (partition, answered) in answered.into_iter().enumerate() {
            let stored = client.read_from(&topic, partition as i32, 0);
            assert!(stored.len() >= answered, "round {round}: {answered} answered, {} there", stored.len());
            assert!(stored.iter().enumerate().all(|(at, record)| record.offset == at as i64));
        }
    }
}

/// A client that asks for more than its socket holds and reads nothing: its answers hold the stop.
fn unread(broker: &Broker, topic: &str) -> Client {
    let mut client = broker.client();
    for _ in 0..4 {
        client.send(11, &fetch_request(topic, 0, 0)).unwrap();
    }
    client
}

#[test]
fn a_second_signal_ends_a_stop_that_takes_too_long() {
    if !is_thalweg() {
        return;
    }
    let http = free_port();
    let mut broker = Broker::with(&[("thalweg.http.listener", &format!("127.0.0.1:{http}"))]);
    let mut client = broker.client();
    let topic = fresh("unread");
    client.create_topic(&topic, 1);
    for number in 0..20 {
        client.produce(&topic, 0, &Batch::numbered(number, 1, 900_000));
    }
    let _unread = unread(&broker, &topic);
    thread::sleep(ANOTHER_BREATH); // so that the answer is under way
    broker.signal(Signal::TERM);
    broker.wait_for_line("asked to stop");
    // Who asks is told that no new work is taken, and new connections are refused.
    assert_eq!(get(http, "/ready").0, 503);
    assert_eq!(get(http, "/health").0, 200);
    assert!(Client::connect_within(&broker.address(), Duration::from_secs(5)).is_err());
    thread::sleep(ANOTHER_BREATH);
    broker.signal(Signal::INT);
    let status = broker.wait_for_end();
    let log = broker.log_text();
    assert_eq!(status.code(), Some(128 + 2), "{log}");
    assert!(log.contains("asked again: ending at once") && !log.contains("stopped cleanly"), "{log}");
    broker.start_again(None);
    assert!(broker.log_text().contains("unclean=true"));
    assert_eq!(broker.client().read_from(&topic, 0, 0).len(), 20);
}

#[test]
fn two_signals_in_one_breath_are_one() {
    if !is_thalweg() {
        return;
    }
    let mut broker = Broker::start();
    // `timeout` sends one to its child and one to its child's group; Ctrl-C reaches everybody in the group.
    broker.signal(Signal::TERM);
    broker.signal(Signal::INT);
    assert_eq!(broker.wait_for_end().code(), Some(0), "{}", broker.log_text());
    assert_clean(&mut broker);
}

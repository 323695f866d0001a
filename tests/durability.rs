//! The durability modes of topics: what an answer promises in each, what a kill takes back, and what never happens.
#![expect(clippy::float_cmp, reason = "these numbers are counts, which are exact")]

use harness::broker::{Against, free_port};
use harness::probe::Scrape;
use harness::records::{self, Batch};
use harness::tool_shell::ToolShell;
use harness::verbs::{code, fresh, produce_request, text};
use harness::{Broker, Client};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{DescribeConfigsRequest, FindCoordinatorRequest, ProduceRequest};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const MODE: &str = "thalweg.durability.mode";
const WINDOW_MS: &str = "thalweg.durability.window.ms";
const WINDOW_BYTES: &str = "thalweg.durability.window.bytes";
/// Longer than any test: what is not asked for is not synced.
const HOUR_MS: &str = "3600000";
const WITHIN: Duration = Duration::from_secs(30);

fn is_ours(what: &str) -> bool {
    let is_thalweg = Against::chosen().is_thalweg();
    if !is_thalweg {
        harness::skip::skip_test(what, "durability modes are of a broker of ours");
    }
    is_thalweg
}

/// A broker with a port for probes.
fn probed(settings: &[(&str, &str)]) -> (Broker, u16) {
    let port = free_port();
    let listener = format!("127.0.0.1:{port}");
    let all = [settings, &[("thalweg.http.listener", &*listener)]].concat();
    (Broker::with(&all), port)
}

fn described(client: &mut Client, topic: &str, key: &str) -> String {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(topic))
        .with_configuration_keys(Some(vec![text(key)]));
    let answer = client.call(4, &DescribeConfigsRequest::default().with_resources(vec![resource]));
    answer.results[0].configs[0].value.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} does not come");
        thread::sleep(Duration::from_millis(20));
    }
}

fn unsynced_bytes(port: u16, topic: &str) -> f64 {
    Scrape::of(port).sum("thalweg_answered_unsynced_bytes", &[("topic", topic)])
}

fn commits(port: u16) -> f64 {
    Scrape::of(port).sum("thalweg_commits_total", &[])
}

/// Batches of ten records that were answered, in order.
struct Answered {
    end: i64,
    bytes: Vec<usize>,
}

/// Produces numbered records until the broker goes away.
fn produce_until_gone(client: &mut Client, topic: &str, first: usize, count: &AtomicUsize) -> Answered {
    let mut answered = Answered { end: 0, bytes: Vec::new() };
    for number in (first..).step_by(10) {
        let batch = Batch::numbered(number, 10, 400).encode();
        let bytes = batch.len();
        let request = produce_request(topic, 0, -1, batch);
        let Ok(answer) = client.try_call::<ProduceRequest>(9, &request) else { break };
        let answer = &answer.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, code::NONE);
        answered.end = answer.base_offset + 10;
        answered.bytes.push(bytes);
        count.fetch_add(1, Ordering::Relaxed);
    }
    answered
}

fn number_of(value: &str) -> usize {
    value.trim_start_matches('-').parse().unwrap()
}

#[test]
fn a_kill_takes_back_no_more_than_the_window_and_no_offset_comes_again() {
    if !is_ours("the window") {
        return;
    }
    let window_bytes = 50_000;
    let mut broker = Broker::start();
    let configs = [(MODE, "window"), (WINDOW_MS, HOUR_MS), (WINDOW_BYTES, "50000")];
    broker.client().create_topic_with("windowed", 1, &configs);
    let (mut first, mut offset) = (0, 0);
    for round in 0..3 {
        let count = Arc::new(AtomicUsize::new(0));
        let producer = {
            let (mut client, count) = (broker.client(), Arc::clone(&count));
            thread::spawn(move || produce_until_gone(&mut client, "windowed", first, &count))
        };
        let consumer = {
            let mut client = broker.client();
            thread::spawn(move || {
                let mut seen = offset;
                loop {
                    let request = harness::verbs::fetch_request("windowed", 0, seen);
                    let Ok(answer) = client.try_call(11, &request) else { return seen };
                    let records = answer.responses[0].partitions[0].records.clone().unwrap_or_default();
                    seen = records::decode(&records).last().map_or(seen, |record| record.offset + 1);
                }
            })
        };
        // Several windows full.
        until("enough answers", || count.load(Ordering::Relaxed) >= 60);
        broker.kill();
        let (answered, seen) = (producer.join().unwrap(), consumer.join().unwrap());
        broker.start_again(None);
        let mut client = broker.client();
        client.wait_for_topic("windowed", 1);
        let read = client.read_from("windowed", 0, 0);
        let numbers: Vec<usize> = records::values(&read).iter().map(|value| number_of(value)).collect();
        assert!(
            numbers.is_sorted() && numbers.windows(2).all(|pair| pair[0] < pair[1]),
            "each once, in order"
        );
        // Of this round: a prefix, and what is missing of it fits the window.
        let kept = numbers.iter().filter(|number| **number >= first).count();
        assert!(
            numbers[numbers.len() - kept..].iter().copied().eq(first..first + kept),
            "only a suffix is gone"
        );
        let lost: usize = answered.bytes.iter().skip(kept / 10).sum();
        assert!(lost <= window_bytes, "round {round}: {lost} B of answered batches are gone");
        let end = client.list_offset("windowed", 0, -1).offset;
        assert!(
            end >= answered.end && end >= seen,
            "answered to {}, seen to {seen}, goes on at {end}",
            answered.end
        );
        first += answered.bytes.len() * 10 + 10;
        offset = client.produce("windowed", 0, &Batch::numbered(first, 10, 400));
        assert_eq!(offset, end);
        // Who had read so far before the kill goes on behind the gap.
        let next = client.read_from("windowed", 0, seen);
        assert_eq!(number_of(records::values(&next).last().unwrap()), first + 9);
        assert!(next.iter().all(|record| record.offset >= seen));
        offset += 10;
        first += 10;
    }
}

#[test]
fn a_clean_stop_loses_nothing_in_any_mode_and_leaves_no_gap() {
    if !is_ours("clean stops") {
        return;
    }
    let mut broker = Broker::start();
    for mode in ["window", "memory"] {
        broker.client().create_topic_with(mode, 1, &[(MODE, mode), (WINDOW_MS, HOUR_MS)]);
    }
    for round in 0..2 {
        let mut client = broker.client();
        for mode in ["window", "memory"] {
            client.wait_for_topic(mode, 1);
            assert_eq!(client.list_offset(mode, 0, -1).offset, round * 50, "{mode}");
            for number in (0..50).step_by(10) {
                let base = client.produce(mode, 0, &Batch::numbered(number, 10, 300));
                assert_eq!(base, round * 50 + number as i64, "{mode}");
            }
            assert_eq!(client.read_from(mode, 0, 0).len() as i64, (round + 1) * 50);
        }
        broker.stop();
        broker.start_again(None);
    }
}

#[test]
fn the_weaker_modes_sync_less_often_and_tell_what_is_not_synced() {
    if !is_ours("syncs") {
        return;
    }
    let (broker, port) = probed(&[]);
    let mut client = broker.client();
    client.create_topic("media", 1);
    client.create_topic_with("window", 1, &[(MODE, "window"), (WINDOW_MS, HOUR_MS)]);
    let mut synced = Vec::new();
    for topic in ["media", "window"] {
        client.produce(topic, 0, &Batch::numbered(0, 1, 100));
        let before = commits(port);
        for number in 1..100 {
            client.produce(topic, 0, &Batch::numbered(number, 1, 100));
        }
        synced.push(commits(port) - before);
    }
    assert!(synced[0] >= 99.0, "each answer of one producer waits for a sync of its own: {synced:?}");
    assert!(synced[1] <= 10.0, "a window that has room syncs for nobody: {synced:?}");
    let batch_bytes = Batch::numbered(1, 1, 100).encode().len() as f64;
    assert!(unsynced_bytes(port, "window") >= 90.0 * batch_bytes);
    let scrape = Scrape::of(port);
    assert!(scrape.sum("thalweg_answered_unsynced_age_seconds", &[("topic", "window")]) > 0.0);
    let topics = scrape.samples.iter().filter(|sample| sample.name == "thalweg_answered_unsynced_bytes");
    assert!(
        topics.clone().all(|sample| sample.labels["topic"] == "window"),
        "{:?}",
        topics.collect::<Vec<_>>()
    );
    assert_eq!(scrape.sum("thalweg_unsynced_bytes", &[]), 0.0, "nobody waits");
    // Forced, by the number of records.
    client.set_config("window", "flush.messages", "10");
    for number in 0..10 {
        client.produce("window", 0, &Batch::numbered(number, 1, 100));
    }
    until("a sync after ten records", || unsynced_bytes(port, "window") < 10.0 * batch_bytes);
    // By their age.
    client.set_config("window", "flush.messages", "1000000");
    client.set_config("window", "flush.ms", "50");
    client.produce("window", 0, &Batch::numbered(0, 1, 100));
    until("a sync after 50 ms", || unsynced_bytes(port, "window") == 0.0);
}

#[test]
fn a_topic_that_is_switched_promises_what_its_mode_says_from_then_on() {
    if !is_ours("switched modes") {
        return;
    }
    let (mut broker, port) = probed(&[]);
    let mut client = broker.client();
    client.create_topic("switched", 1);
    let send =
        |client: &mut Client, number: usize| client.produce("switched", 0, &Batch::numbered(number, 10, 300));
    send(&mut client, 0);
    client.set_config("switched", MODE, "memory");
    send(&mut client, 10);
    assert!(unsynced_bytes(port, "switched") > 0.0, "answered before its sync");
    client.set_config("switched", MODE, "media");
    send(&mut client, 20);
    assert_eq!(unsynced_bytes(port, "switched"), 0.0, "what came before is synced, too");
    broker.kill();
    broker.start_again(None);
    let mut client = broker.client();
    client.wait_for_topic("switched", 1);
    assert_eq!(client.read_from("switched", 0, 0).len(), 30);
    assert_eq!(send(&mut client, 30), 30, "a log that is synced before it answers has no gaps");
    client.set_config("switched", MODE, "memory");
    let seen = send(&mut client, 40) + 10;
    broker.kill();
    broker.start_again(None);
    let mut client = broker.client();
    client.wait_for_topic("switched", 1);
    assert_eq!(described(&mut client, "switched", MODE), "memory", "the next start knows");
    assert!(client.read_from("switched", 0, 0).len() >= 40);
    assert!(send(&mut client, 50) >= seen);
}

#[test]
fn the_brokers_own_topics_are_always_synced_whatever_the_default_says() {
    if !is_ours("internal topics") {
        return;
    }
    let (broker, _) = probed(&[(MODE, "memory"), ("offsets.topic.num.partitions", "3")]);
    let mut client = broker.client();
    client.create_topic("plain", 1);
    assert_eq!(described(&mut client, "plain", MODE), "memory");
    let offsets = "__consumer_offsets";
    until("the topic of offsets", || {
        // Who looks for a group's coordinator has the topic made.
        let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("a-group")]);
        client.call(4, &request).coordinators[0].error_code == code::NONE
    });
    assert_eq!(described(&mut client, offsets, MODE), "media");
    for mode in ["window", "memory"] {
        let (code, text) = client.try_set_config(offsets, MODE, mode);
        assert_eq!(code, code::INVALID_CONFIG, "{text}");
        assert!(text.contains("the broker's own topics are always media"), "{text}");
    }
    assert_eq!(client.try_set_config(offsets, "retention.ms", "1000000").0, code::NONE);
    assert_eq!(described(&mut client, offsets, MODE), "media");
    let (code, text) = client.try_create_topic("__transaction_state", 1, &[(MODE, "window")]);
    assert_eq!(code, code::INVALID_CONFIG, "{text:?}");
}

#[test]
fn values_that_make_no_sense_are_refused() {
    if !is_ours("values") {
        return;
    }
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("values");
    client.create_topic(&topic, 1);
    for (key, value) in
        [(MODE, "disk"), (MODE, ""), (WINDOW_MS, "-1"), (WINDOW_MS, "soon"), (WINDOW_BYTES, "0")]
    {
        let (code, text) = client.try_set_config(&topic, key, value);
        assert_eq!(code, code::INVALID_CONFIG, "{key}={value}: {text}");
        assert!(text.contains(key), "{text}");
    }
    assert_eq!(described(&mut client, &topic, MODE), "media");
    assert_eq!(described(&mut client, &topic, WINDOW_MS), "1000");
    assert_eq!(described(&mut client, &topic, WINDOW_BYTES), "16777216");
}

#[test]
fn kafkas_own_tool_sets_and_shows_the_modes() {
    if !is_ours("kafka-configs") {
        return;
    }
    let (broker, port) = probed(&[]);
    let Some(mut shell) = ToolShell::start("4.3.1", &broker.address()) else { return };
    let mut client = broker.client();
    client.create_topic("tooled", 1);
    let change = |shell: &mut ToolShell, config: &str| {
        let words = ["--alter", "--entity-type", "topics", "--entity-name", "tooled", "--add-config", config];
        shell.try_run("configs", &words)
    };
    let said = change(&mut shell, &format!("{MODE}=window,{WINDOW_MS}={HOUR_MS}"));
    assert_eq!(said.status, 0, "{:#?}", said.lines);
    let said = shell.run("configs", &["--describe", "--entity-type", "topics", "--entity-name", "tooled"]);
    assert!(said.tells(&format!("{MODE}=window")), "{:#?}", said.lines);
    client.produce("tooled", 0, &Batch::numbered(0, 10, 100));
    assert!(unsynced_bytes(port, "tooled") > 0.0, "the running log has the mode");
    let said = change(&mut shell, &format!("{MODE}=tape"));
    assert!(said.status != 0 && said.tells("must be one of: media, window, memory"), "{:#?}", said.lines);
}

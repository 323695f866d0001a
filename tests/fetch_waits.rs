//! When a fetch answers, with how much, and what a fetch session remembers (KIP-227).

use harness::records::{self, Batch, Codec};
use harness::verbs::{code, fetch_request, fresh, topic_name};
use harness::{Broker, Client};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A topic of one partition with `count` batches of one record of about 1000 bytes.
fn filled(client: &mut Client, count: usize) -> String {
    let topic = fresh("fetch");
    client.create_topic(&topic, 1);
    for number in 0..count {
        client.produce(&topic, 0, &Batch::numbered(number, 1, 1000));
    }
    topic
}

fn offsets(answer: &FetchResponse) -> Vec<i64> {
    let records = answer.responses[0].partitions[0].records.clone().unwrap_or_default();
    records::decode(&records).iter().map(|record| record.offset).collect()
}

#[test]
fn the_first_batch_is_whole_however_small_the_limits() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = filled(&mut client, 3);
    for (max_bytes, partition_max_bytes) in [(1, 1), (1, 1 << 20), (1 << 20, 1), (0, 0)] {
        let mut request = fetch_request(&topic, 0, 1).with_max_bytes(max_bytes);
        request.topics[0].partitions[0].partition_max_bytes = partition_max_bytes;
        assert_eq!(offsets(&client.call(11, &request)), [1], "limits {max_bytes} and {partition_max_bytes}");
    }
}

#[test]
fn only_the_first_partition_with_data_gets_a_batch_beyond_the_limit() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("fetch");
    client.create_topic(&topic, 3);
    for partition in 1..3 {
        client.produce(&topic, partition, &Batch::numbered(0, 1, 1000));
    }
    let mut request = fetch_request(&topic, 0, 0).with_max_bytes(10);
    let partition = |index| request.topics[0].partitions[0].clone().with_partition(index);
    request.topics[0].partitions = vec![partition(0), partition(1), partition(2)];
    let answer = client.call(11, &request);
    let mut sizes: Vec<(i32, usize)> = Vec::new();
    for part in &answer.responses[0].partitions {
        sizes.push((part.partition_index, part.records.as_ref().map_or(0, bytes::Bytes::len)));
    }
    sizes.sort_unstable();
    assert_eq!((sizes[0], sizes[2]), ((0, 0), (2, 0)));
    assert!(sizes[1].1 > 1000, "{sizes:?}");
}

#[test]
fn a_partition_limit_holds_back_further_batches() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = filled(&mut client, 10);
    let batch_bytes = Batch::numbered(0, 1, 1000).encode().len() as i32;
    let mut request = fetch_request(&topic, 0, 0);
    request.topics[0].partitions[0].partition_max_bytes = batch_bytes * 3;
    assert_eq!(offsets(&client.call(11, &request)), [0, 1, 2]);
    let request = fetch_request(&topic, 0, 4).with_max_bytes(batch_bytes * 2);
    assert_eq!(offsets(&client.call(11, &request)), [4, 5]);
}

#[test]
fn an_offset_inside_a_batch_answers_the_whole_batch() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("fetch");
    client.create_topic(&topic, 1);
    client.produce(&topic, 0, &Batch::numbered(0, 5, 10).codec(Codec::Gzip));
    client.produce(&topic, 0, &Batch::numbered(5, 5, 10));
    let answer = client.call(11, &fetch_request(&topic, 0, 3));
    assert_eq!(offsets(&answer), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(offsets(&client.call(11, &fetch_request(&topic, 0, 9))), [5, 6, 7, 8, 9]);
}

#[test]
fn an_empty_fetch_waits_for_its_time_and_no_longer() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = filled(&mut client, 1);
    let begun = Instant::now();
    let answer = client.call(11, &fetch_request(&topic, 0, 1).with_min_bytes(1).with_max_wait_ms(700));
    assert!(begun.elapsed() >= Duration::from_millis(650), "answered after {:?}", begun.elapsed());
    assert_eq!(offsets(&answer), [0; 0]);
    let begun = Instant::now();
    client.call(11, &fetch_request(&topic, 0, 1).with_min_bytes(0).with_max_wait_ms(20_000));
    assert!(begun.elapsed() < Duration::from_secs(10), "with min_bytes 0 nothing is waited for");
}

#[test]
fn a_waiting_fetch_is_answered_by_the_record_that_arrives() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = filled(&mut client, 1);
    let request = fetch_request(&topic, 0, 1).with_min_bytes(1).with_max_wait_ms(25_000);
    let begun = Instant::now();
    let waiting = client.send(11, &request).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    broker.client().produce(&topic, 0, &Batch::of(&["news"]));
    let answer = client.receive::<FetchRequest>(11, waiting).unwrap();
    assert_eq!(offsets(&answer), [1]);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn min_bytes_counts_over_all_partitions() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("fetch");
    client.create_topic(&topic, 2);
    let mut request = fetch_request(&topic, 0, 0).with_min_bytes(1500).with_max_wait_ms(25_000);
    let second = request.topics[0].partitions[0].clone().with_partition(1);
    request.topics[0].partitions.push(second);
    let waiting = client.send(11, &request).unwrap();
    let mut producer = broker.client();
    producer.produce(&topic, 0, &Batch::numbered(0, 1, 1000));
    std::thread::sleep(Duration::from_millis(300));
    producer.produce(&topic, 1, &Batch::numbered(0, 1, 1000));
    let answer = client.receive::<FetchRequest>(11, waiting).unwrap();
    let bytes =
        |index: usize| answer.responses[0].partitions[index].records.as_ref().map_or(0, bytes::Bytes::len);
    assert!(bytes(0) + bytes(1) >= 1500, "{} and {}", bytes(0), bytes(1));
}

#[test]
fn a_fetch_that_must_fail_does_not_wait() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = filled(&mut client, 2);
    for (topic, offset, expected) in [
        (topic.as_str(), 3, code::OFFSET_OUT_OF_RANGE),
        (topic.as_str(), -5, code::OFFSET_OUT_OF_RANGE),
        ("no-such-topic-here", 0, code::UNKNOWN_TOPIC_OR_PARTITION),
    ] {
        let begun = Instant::now();
        let answer =
            client.call(11, &fetch_request(topic, 0, offset).with_min_bytes(1).with_max_wait_ms(20_000));
        let part = &answer.responses[0].partitions[0];
        assert_eq!(part.error_code, expected, "{topic} from {offset}");
        assert_eq!(part.high_watermark, -1);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn the_leader_epoch_of_a_fetch_is_checked() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = filled(&mut client, 1);
    let epoch = client.metadata(&topic).partitions[0].leader_epoch;
    let mut asked = |epoch: i32| {
        let mut request = fetch_request(&topic, 0, 0);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        client.call(11, &request).responses[0].partitions[0].error_code
    };
    assert_eq!(
        (asked(-1), asked(epoch), asked(epoch + 1)),
        (code::NONE, code::NONE, code::UNKNOWN_LEADER_EPOCH)
    );
    if epoch > 0 {
        assert_eq!(asked(epoch - 1), code::FENCED_LEADER_EPOCH);
    }
}

#[test]
fn every_version_answers_the_same_records() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = filled(&mut client, 3);
    let topic_id = client.metadata(&topic).topic_id;
    for version in 4..=18 {
        let mut request = fetch_request(&topic, 0, 1);
        if version >= 13 {
            request.topics[0].topic = topic_name("");
            request.topics[0].topic_id = topic_id;
        }
        if version >= 15 {
            request.replica_id = (-1).into();
        }
        let answer = client.call(version, &request);
        assert_eq!(answer.error_code, code::NONE, "version {version}");
        assert_eq!(offsets(&answer), [1, 2], "version {version}");
        let part = &answer.responses[0].partitions[0];
        assert_eq!((part.high_watermark, part.last_stable_offset), (3, 3), "version {version}");
    }
    let mut unknown = fetch_request("", 0, 0);
    unknown.topics[0].topic_id = Uuid::from_u128(77);
    let answer = client.call(13, &unknown);
    assert_eq!(answer.responses[0].partitions[0].error_code, code::UNKNOWN_TOPIC_ID);
}

/// A session request: `epoch` 0 opens, -1 closes, others go on.
fn session(session_id: i32, epoch: i32, topics: Vec<FetchTopic>) -> FetchRequest {
    let mut request = fetch_request("", 0, 0).with_session_id(session_id).with_session_epoch(epoch);
    request.topics = topics;
    request
}

fn from(topic: &str, partitions: &[(i32, i64)]) -> Vec<FetchTopic> {
    let part = |&(index, offset): &(i32, i64)| {
        FetchPartition::default()
            .with_partition(index)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(1 << 20)
    };
    let partitions = partitions.iter().map(part).collect();
    vec![FetchTopic::default().with_topic(topic_name(topic)).with_partitions(partitions)]
}

/// Partition and record count of each partition that an answer mentions.
fn mentioned(answer: &FetchResponse) -> Vec<(i32, usize)> {
    let parts = answer.responses.iter().flat_map(|topic| &topic.partitions);
    parts
        .map(|part| (part.partition_index, records::decode(&part.records.clone().unwrap_or_default()).len()))
        .collect()
}

#[test]
fn a_session_answers_only_what_changed() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("session");
    client.create_topic(&topic, 3);
    client.produce(&topic, 1, &Batch::of(&["a"]));
    let opened = client.call(11, &session(0, 0, from(&topic, &[(0, 0), (1, 0), (2, 0)])));
    assert_ne!(opened.session_id, 0, "a session was opened");
    let mut all = mentioned(&opened);
    all.sort_unstable();
    assert_eq!(all, [(0, 0), (1, 1), (2, 0)], "the first answer names every partition");

    let quiet = client.call(11, &session(opened.session_id, 1, from(&topic, &[(1, 1)])));
    assert_eq!((quiet.session_id, mentioned(&quiet)), (opened.session_id, vec![]));
    client.produce(&topic, 2, &Batch::of(&["b", "c"]));
    let news = client.call(11, &session(opened.session_id, 2, vec![]));
    assert_eq!(mentioned(&news), [(2, 2)]);

    let mut forgetting = session(opened.session_id, 3, vec![]);
    forgetting.forgotten_topics_data =
        vec![ForgottenTopic::default().with_topic(topic_name(&topic)).with_partitions(vec![2])];
    assert_eq!(mentioned(&client.call(11, &forgetting)), []);
    client.produce(&topic, 2, &Batch::of(&["d"]));
    client.produce(&topic, 0, &Batch::of(&["e"]));
    assert_eq!(mentioned(&client.call(11, &session(opened.session_id, 4, vec![]))), [(0, 1)]);
}

#[test]
fn a_wrong_session_or_epoch_is_an_error_of_the_whole_answer() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = filled(&mut client, 1);
    let opened = client.call(11, &session(0, 0, from(&topic, &[(0, 0)]))).session_id;
    let wrong = client.call(11, &session(opened, 5, vec![]));
    assert_eq!((wrong.error_code, wrong.responses.len()), (code::INVALID_FETCH_SESSION_EPOCH, 0));
    let unknown = client.call(11, &session(opened.wrapping_add(77) & 0x7fff_ffff, 1, vec![]));
    assert_eq!((unknown.error_code, unknown.responses.len()), (code::FETCH_SESSION_ID_NOT_FOUND, 0));
    assert_eq!(
        client.call(11, &session(opened, 1, from(&topic, &[(0, 1)]))).error_code,
        code::NONE,
        "the session lives on"
    );
}

#[test]
fn a_closed_session_is_gone_and_its_last_request_is_served() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = filled(&mut client, 2);
    let opened = client.call(11, &session(0, 0, from(&topic, &[(0, 0)]))).session_id;
    let closing = client.call(11, &session(opened, -1, from(&topic, &[(0, 1)])));
    assert_eq!((closing.error_code, closing.session_id, mentioned(&closing)), (code::NONE, 0, vec![(0, 1)]));
    let gone = client.call(11, &session(opened, 1, vec![]));
    assert_eq!(gone.error_code, code::FETCH_SESSION_ID_NOT_FOUND);
}

#[test]
fn a_partition_with_an_error_is_named_in_every_answer_of_its_session() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = filled(&mut client, 1);
    let opened = client.call(11, &session(0, 0, from(&topic, &[(0, 99)])));
    assert_eq!(opened.responses[0].partitions[0].error_code, code::OFFSET_OUT_OF_RANGE);
    let again = client.call(11, &session(opened.session_id, 1, vec![]));
    assert_eq!(again.responses[0].partitions[0].error_code, code::OFFSET_OUT_OF_RANGE);
    let healed = client.call(11, &session(opened.session_id, 2, from(&topic, &[(0, 0)])));
    assert_eq!(mentioned(&healed), [(0, 1)]);
}

#[test]
fn many_sessions_are_bounded_and_fetches_go_on_without_one() {
    let broker = Broker::with(&[("max.incremental.fetch.session.cache.slots", "8")]);
    let mut client = broker.client();
    let topic = filled(&mut client, 1);
    let mut opened = Vec::new();
    for _ in 0..40 {
        let answer = client.call(11, &session(0, 0, from(&topic, &[(0, 0)])));
        assert_eq!(
            (answer.error_code, mentioned(&answer)),
            (code::NONE, vec![(0, 1)]),
            "served with or without a session"
        );
        if answer.session_id != 0 {
            opened.push(answer.session_id);
        }
    }
    let alive = opened
        .iter()
        .filter(|&&id| client.call(11, &session(id, 1, vec![])).error_code == code::NONE)
        .count();
    assert!(alive <= 16, "{alive} sessions live in 8 slots (Kafka rounds up per shard of its cache)");
}

#[test]
fn zstd_is_served_to_old_fetches_too() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("zstd");
    client.create_topic(&topic, 1);
    client.produce(&topic, 0, &Batch::of(&["z"]).codec(Codec::Zstd));
    assert_eq!(offsets(&client.call(4, &fetch_request(&topic, 0, 0))), [0]);
}

#[test]
fn read_committed_names_aborted_transactions_and_read_uncommitted_does_not() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = filled(&mut client, 2);
    for (isolation, aborted) in [(0, None), (1, Some(0))] {
        let answer = client.call(11, &fetch_request(&topic, 0, 0).with_isolation_level(isolation));
        let part = &answer.responses[0].partitions[0];
        assert_eq!((offsets(&answer).len(), part.last_stable_offset, part.log_start_offset), (2, 2, 0));
        assert_eq!(part.aborted_transactions.as_ref().map(Vec::len), aborted, "isolation {isolation}");
        assert_eq!(part.preferred_read_replica.0, -1);
    }
}

#[test]
fn one_request_may_ask_for_many_partitions() {
    let broker = Broker::shared();
    let mut client = broker.client();
    let topic = fresh("wide");
    client.create_topic(&topic, 50);
    for partition in 0..50 {
        client.produce(&topic, partition, &Batch::numbered(partition as usize, 1, 100));
    }
    let all: Vec<(i32, i64)> = (0..50).map(|partition| (partition, 0)).collect();
    let answer = client.call(11, &session(0, -1, from(&topic, &all)));
    let mut found = mentioned(&answer);
    found.sort_unstable();
    assert_eq!(found, (0..50).map(|partition| (partition, 1)).collect::<Vec<_>>());
}

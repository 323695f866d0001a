//! Connections go to the core that owns what they ask for, and their clients notice nothing.

use harness::broker::{Against, free_port};
use harness::client::encode_frame;
use harness::probe::Scrape;
use harness::records::Batch;
use harness::verbs::{fetch_request, fresh, produce_request};
use harness::{Broker, Client};
use kafka_protocol::messages::{FetchRequest, ProduceRequest};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const PRODUCE_VERSION: i16 = 9;
/// Incremental fetches by topic name.
const FETCH_VERSION: i16 = 11;
const AT_ONCE: usize = 8;
/// Machines that test are busy, and cores that are take nobody.
const PATIENCE: Duration = Duration::from_mins(1);

/// A broker of two cores with a port for probes; `None` where it is Kafka, whose threads are its own affair.
fn of_two_cores(test: &str) -> Option<(Broker, u16)> {
    if !Against::chosen().is_thalweg() {
        harness::skip::skip_test(test, "connections move between cores of ours");
        return None;
    }
    let port = free_port();
    let probe = format!("127.0.0.1:{port}");
    Some((Broker::with(&[("thalweg.cores", "2"), ("thalweg.http.listener", &probe)]), port))
}

fn moved(port: u16) -> u64 {
    Scrape::of(port).sum("thalweg_connections_moved_total", &[]) as u64
}

/// A producer that sends several requests at once, and more before they are answered.
struct Producer {
    client: Client,
    topic: String,
    id_next: i32,
    /// What is not answered yet: correlation id, partition, first offset that it must get.
    under_way: VecDeque<(i32, i32, i64)>,
    ends: [i64; 2],
}

impl Producer {
    /// In one piece, so that the broker has read more than it has begun: small batches, and at times one that gets a
    /// buffer of its own.
    fn send(&mut self, partition: i32, count: usize) {
        let mut bytes = Vec::new();
        for _ in 0..count {
            let end = &mut self.ends[partition as usize];
            let record_bytes = if *end % 61 == 0 { 50_000 } else { 300 };
            let records = Batch::numbered(*end as usize, 1, record_bytes).encode();
            let request = produce_request(&self.topic, partition, -1, records);
            bytes.extend(encode_frame(PRODUCE_VERSION, self.id_next, &request));
            self.under_way.push_back((self.id_next, partition, *end));
            self.id_next += 1;
            *end += 1;
        }
        self.client.send_bytes(&bytes).unwrap();
    }

    fn receive(&mut self) {
        let (id, partition, offset) = self.under_way.pop_front().unwrap();
        let answer = self.client.receive::<ProduceRequest>(PRODUCE_VERSION, id).unwrap();
        let answer = &answer.responses[0].partition_responses[0];
        assert_eq!((answer.index, answer.error_code, answer.base_offset), (partition, 0, offset));
    }
}

#[test]
fn a_producer_follows_its_partition_to_the_other_core_with_requests_under_way() {
    let Some((broker, port)) = of_two_cores("moves") else { return };
    let mut client = broker.client();
    let topic = fresh("followed");
    client.create_topic(&topic, 2);
    let mut producer = Producer {
        client: broker.client(),
        topic: topic.clone(),
        id_next: 0,
        under_way: VecDeque::new(),
        ends: [0; 2],
    };
    // Neighbouring partitions lie on different cores: once it is with the first, it has to go to the second.
    let deadline = Instant::now() + PATIENCE;
    for partition in [0, 1, 0] {
        let before = moved(port);
        let start = Instant::now();
        while moved(port) == before && (partition != 0 || start.elapsed() < Duration::from_secs(4)) {
            assert!(Instant::now() < deadline, "it does not move to partition {partition}");
            for _ in 0..10 {
                producer.send(partition, AT_ONCE);
                while producer.under_way.len() > AT_ONCE {
                    producer.receive();
                }
            }
        }
    }
    while !producer.under_way.is_empty() {
        producer.receive();
    }
    assert!(moved(port) >= 1);
    for partition in [0, 1] {
        let read = client.read_from(&topic, partition, 0);
        assert_eq!(read.len() as i64, producer.ends[partition as usize]);
        assert!(read.iter().enumerate().all(|(at, record)| record.offset == at as i64));
    }
}

#[test]
fn a_connection_whose_fetch_session_its_core_keeps_stays_there() {
    let Some((broker, port)) = of_two_cores("moves") else { return };
    let mut client = broker.client();
    let topic = fresh("kept");
    client.create_topic(&topic, 2);
    let begun = |partition| {
        let mut client = broker.client();
        let whole = fetch_request(&topic, partition, 0).with_session_id(0).with_session_epoch(0);
        let session = client.call(FETCH_VERSION, &whole.with_max_wait_ms(0)).session_id;
        assert_ne!(session, 0);
        (client, session)
    };
    // Of each pair one lies with the other core, wherever the connections are.
    let mut sessions: Vec<(Client, i32)> = [0, 1, 0, 1].map(begun).into();
    let start = Instant::now();
    let mut epoch = 1;
    while start.elapsed() < Duration::from_secs(4) || epoch < 200 {
        for (client, session) in &mut sessions {
            let request = FetchRequest::default()
                .with_replica_id((-1).into())
                .with_max_bytes(1 << 20)
                .with_session_id(*session)
                .with_session_epoch(epoch);
            assert_eq!(client.call(FETCH_VERSION, &request).error_code, 0);
        }
        epoch += 1;
    }
    assert_eq!(moved(port), 0);
}

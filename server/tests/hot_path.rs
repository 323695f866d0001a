//! What one request costs on the hot paths: copies, allocations, calls of the socket.
//!
//! A whole shard runs here, behind an allocator that counts; its client sends bytes that were made before. Copies show as
//! bytes allocated: an answer of a megabyte that is made without allocating one was not copied. The bounds are a little
//! above what was measured, so that a copy or an allocation more per request fails the test.
#![allow(clippy::unwrap_used, reason = "a test that meets an Err has failed")]

use bytes::Bytes;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};
use std::alloc::System;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use thalweg_engine::batch::{BatchBuilder, Codec, ProducerFields};
use thalweg_engine::io::DmaDisk;
use thalweg_engine::shard::{Engine, recover};
use thalweg_engine::units::Timestamp;
use thalweg_server::cluster::{Cluster, View};
use thalweg_server::config::Config;
use thalweg_server::metrics::{Health, ShardMetrics};
use thalweg_server::net::{Acceptor, Doors, bind};
use thalweg_server::route::{Paths, ShardId, run_core};
use thalweg_server::start::{MemoryPlan, Parts, engine_settings, make_shard};
use thalweg_server::wire::fetch::{FetchPartition, FetchRequest, FetchTopic};
use thalweg_server::wire::messages::{MetadataRequest, MetadataRequestTopic};
use thalweg_server::wire::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use thalweg_server::wire::{ApiKey, Encode, RequestHeader, Writer};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const TOPIC: &str = "hot";
const LARGE_BYTES: usize = 1_000_000;
const SMALL_BYTES: usize = 1_000;

/// Runs one shard on `directory` until `stop`; says where it listens and what it counts.
fn start(directory: &Path, stop: Arc<AtomicBool>) -> (u16, Arc<ShardMetrics>, std::thread::JoinHandle<()>) {
    let (told, listening) = mpsc::channel();
    let directory = directory.display().to_string();
    let thread = std::thread::spawn(move || {
        let lived = run_core("hot path", None, Duration::ZERO, async move {
            let set = BTreeMap::from([
                ("log.dirs".to_owned(), directory),
                ("listeners".to_owned(), "PLAINTEXT://127.0.0.1:9092".to_owned()),
                ("thalweg.cores".to_owned(), "1".to_owned()),
                ("thalweg.memory.bytes".to_owned(), (1u64 << 30).to_string()),
            ]);
            let config = Arc::new(Config::of(set).unwrap());
            let memory = MemoryPlan::of(&config, 1 << 30, 1).unwrap();
            let settings = engine_settings(&config, memory, 1024);
            let disks: Vec<DmaDisk> = settings.directories.iter().cloned().map(DmaDisk::new).collect();
            let recovered = recover(&disks, &settings, 1, Timestamp(0)).await.unwrap();
            let share = recovered.split(1, |_| 0).pop().unwrap();
            let engine = Engine::start(disks, settings, share).await.unwrap();
            let parts = Parts {
                config,
                cluster_id: "hot-path".to_owned(),
                memory,
                paths: Paths::new(1),
                doors: Doors::new(1),
                view: View::default(),
                start: Instant::now(),
                health: Arc::new(Health::default()),
            };
            let shard = make_shard(ShardId(0), engine, &parts);
            let (router, own) = (shard.router.clone(), Rc::clone(&shard));
            shard.router.spawn("the mesh", async move { router.run(&own).await });
            Cluster::start(&shard, false).await.unwrap();
            let socket = bind("127.0.0.1", 0).unwrap().listen().unwrap();
            let port = socket.local_addr().unwrap().port();
            let acceptor = Acceptor { listener: 0, socket, doors: Arc::clone(&parts.doors) };
            let accepting = acceptor.run(Rc::clone(&shard), std::future::pending());
            shard.router.spawn("a listener", async move { accepting.await.unwrap() });
            told.send((port, Arc::clone(&shard.metrics))).unwrap();
            while !stop.load(Ordering::Relaxed) {
                shard.router.sleep(Duration::from_millis(5)).await;
            }
            shard.connections.stop(&shard, Duration::from_secs(1)).await;
            shard.cluster.stop();
            shard.router.stop();
            shard.engine.stop().await.unwrap();
        });
        lived.unwrap();
    });
    let (port, metrics) = listening.recv().unwrap();
    (port, metrics, thread)
}

fn frame(api_key: ApiKey, api_version: i16, body: &impl Encode) -> Vec<u8> {
    let header = RequestHeader { api_key, api_version, correlation_id: 7, client_id: Some("hot".to_owned()) };
    let mut writer = Writer::default();
    header.write(&mut writer);
    body.encode(&mut writer, api_version);
    let parts = writer.into_parts();
    let bytes: usize = parts.iter().map(Bytes::len).sum();
    [&(bytes as i32).to_be_bytes()[..], &parts.concat()].concat()
}

fn produce(value_bytes: usize) -> Vec<u8> {
    let value: Vec<u8> = (0..value_bytes).map(|at| (at * 31) as u8).collect();
    let builder = BatchBuilder::new(Codec::None).record(Timestamp(1_700_000_000_000), None, Some(&value));
    let producer = ProducerFields { producer_id: -1, producer_epoch: -1, base_sequence: -1 };
    let records = Some(builder.build(producer).unwrap());
    let data = PartitionProduceData { index: 0, records };
    let topic = TopicProduceData {
        name: TOPIC.to_owned(),
        partition_data: vec![data],
        ..TopicProduceData::default()
    };
    let request =
        ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic], ..ProduceRequest::default() };
    frame(ApiKey::Produce, 9, &request)
}

fn fetch(bytes: usize) -> Vec<u8> {
    let partition = FetchPartition {
        partition: 0,
        fetch_offset: 0,
        partition_max_bytes: bytes as i32,
        ..FetchPartition::default()
    };
    let topic = FetchTopic { topic: TOPIC.to_owned(), partitions: vec![partition], ..FetchTopic::default() };
    let request = FetchRequest {
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: bytes as i32,
        session_epoch: -1,
        topics: vec![topic],
        ..FetchRequest::default()
    };
    frame(ApiKey::Fetch, 12, &request)
}

fn create() -> Vec<u8> {
    let topic = MetadataRequestTopic { name: Some(TOPIC.to_owned()), ..MetadataRequestTopic::default() };
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        allow_auto_topic_creation: true,
        ..MetadataRequest::default()
    };
    frame(ApiKey::Metadata, 9, &request)
}

/// One client; its answers go to memory that it had before.
struct Client {
    socket: TcpStream,
    answer: Vec<u8>,
}

impl Client {
    fn ask(&mut self, request: &[u8]) -> usize {
        self.socket.write_all(request).unwrap();
        let mut prefix = [0; 4];
        self.socket.read_exact(&mut prefix).unwrap();
        let bytes = u32::from_be_bytes(prefix) as usize;
        self.socket.read_exact(&mut self.answer[..bytes]).unwrap();
        bytes
    }
}

/// What one request cost, on average over many.
#[derive(Debug)]
struct Cost {
    allocations: f64,
    bytes: f64,
    reads: f64,
    writes: f64,
}

fn cost(client: &mut Client, metrics: &ShardMetrics, request: &[u8], count: u64) -> Cost {
    for _ in 0..20 {
        client.ask(request);
    }
    let calls =
        || (metrics.socket_reads.load(Ordering::Relaxed), metrics.socket_writes.load(Ordering::Relaxed));
    let (reads, writes) = calls();
    let region = Region::new(ALLOCATOR);
    for _ in 0..count {
        client.ask(request);
    }
    let Stats { allocations, reallocations, bytes_allocated, .. } = region.change();
    let (reads_now, writes_now) = calls();
    let each = |number: u64| number as f64 / count as f64;
    Cost {
        allocations: each((allocations + reallocations) as u64),
        bytes: each(bytes_allocated as u64),
        reads: each(reads_now - reads),
        writes: each(writes_now - writes),
    }
}

#[test]
fn the_hot_paths_copy_once_allocate_little_and_call_the_socket_seldom() {
    let directory = tempfile::tempdir().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (port, metrics, thread) = start(directory.path(), Arc::clone(&stop));
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut client = Client { socket, answer: vec![0; 4 << 20] };
    let (large, small, none) = (produce(LARGE_BYTES), produce(SMALL_BYTES), fetch(LARGE_BYTES + 1000));
    while client.ask(&create()) < 40 {}
    std::thread::sleep(Duration::from_millis(100));

    let cost_large = cost(&mut client, &metrics, &large, 100);
    let cost_fetch = cost(&mut client, &metrics, &none, 100);
    let cost_small = cost(&mut client, &metrics, &small, 1000);
    println!("produce of {LARGE_BYTES} B: {cost_large:?}");
    println!("fetch of {LARGE_BYTES} B:   {cost_fetch:?}");
    println!("produce of {SMALL_BYTES} B:    {cost_small:?}");
    stop.store(true, Ordering::Relaxed);
    drop(client);
    thread.join().unwrap();

    let large_bytes = LARGE_BYTES as f64;
    // The frame's own buffer and the one copy, into the log's tail; the rest is small.
    assert!(
        cost_large.bytes < 2.4 * large_bytes,
        "a produce copies its records more than once: {cost_large:?}"
    );
    assert!(cost_large.allocations < 200.0, "{cost_large:?}");
    // A length, then as much as the socket holds at a time; one answer.
    assert!(cost_large.reads < 24.0 && cost_large.writes < 1.2, "{cost_large:?}");

    assert!(cost_fetch.bytes < 0.03 * large_bytes, "a fetch copies records: {cost_fetch:?}");
    assert!(cost_fetch.allocations < 70.0, "{cost_fetch:?}");
    assert!(cost_fetch.reads < 1.2 && cost_fetch.writes < 24.0, "{cost_fetch:?}");

    // With the blocks of its commit, since nobody shares that with it here.
    assert!(cost_small.bytes < 40_000.0 && cost_small.allocations < 100.0, "{cost_small:?}");
    assert!(cost_small.reads < 1.2 && cost_small.writes < 1.2, "{cost_small:?}");
}

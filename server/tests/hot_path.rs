//! What one request costs on the hot paths: copies, allocations, calls of the socket.
//!
//! Whole shards run here, behind an allocator that counts; their client sends bytes that were made before. Copies show as
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
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};
use thalweg_engine::batch::{BatchBuilder, Codec, ProducerFields};
use thalweg_engine::io::DmaDisk;
use thalweg_engine::shard::{Engine, EngineSettings, recover};
use thalweg_engine::units::Timestamp;
use thalweg_server::cluster::{Cluster, View};
use thalweg_server::config::Config;
use thalweg_server::metrics::{Health, ShardMetrics};
use thalweg_server::net::{Acceptor, Doors, bind};
use thalweg_server::route::{Paths, Pulse, ShardId, owner, run_core};
use thalweg_server::shard::Shard;
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

/// Shards that serve until they are told to end.
struct Running {
    port: u16,
    metrics: Vec<Arc<ShardMetrics>>,
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
    pulse: Pulse,
}

/// Starts so many shards on `directory`; topics have a partition on each.
fn start(directory: &Path, shard_count: usize) -> Running {
    let set = BTreeMap::from([
        ("log.dirs".to_owned(), directory.display().to_string()),
        ("listeners".to_owned(), "PLAINTEXT://127.0.0.1:9092".to_owned()),
        ("thalweg.cores".to_owned(), shard_count.to_string()),
        ("thalweg.memory.bytes".to_owned(), (1u64 << 30).to_string()),
        ("num.partitions".to_owned(), shard_count.to_string()),
    ]);
    let config = Arc::new(Config::of(set).unwrap());
    let memory = MemoryPlan::of(&config, 1 << 30, shard_count).unwrap();
    let settings = engine_settings(&config, memory, 1024);
    let disks = |settings: &EngineSettings| -> Vec<DmaDisk> {
        settings.directories.iter().cloned().map(DmaDisk::new).collect()
    };
    let pulse = Pulse::start().unwrap();
    let own = settings.clone();
    let recovering = async move { recover(&disks(&own), &own, shard_count, Timestamp(0)).await.unwrap() };
    let recovered = run_core(&pulse, "recovery", None, Duration::ZERO, recovering).unwrap();
    let parts = Arc::new(Parts {
        config,
        cluster_id: "hot-path".to_owned(),
        memory,
        paths: Paths::new(shard_count),
        doors: Doors::new(shard_count),
        view: View::default(),
        start: Instant::now(),
        health: Arc::new(Health::default()),
    });
    let stop = Arc::new(AtomicBool::new(false));
    let (told, hearing) = mpsc::channel();
    let engines = Arc::new(Barrier::new(shard_count));
    let shares = recovered.split(shard_count, |identity| {
        owner(uuid::Uuid::from_bytes(identity.topic_id), identity.partition, shard_count).0
    });
    let live = |(shard, share)| {
        let (parts, stop, told) = (Arc::clone(&parts), Arc::clone(&stop), told.clone());
        let (engines, settings, pulse) = (Arc::clone(&engines), settings.clone(), pulse.clone());
        std::thread::spawn(move || {
            let lived = run_core(&pulse, "hot path", None, Duration::ZERO, async move {
                let engine = Engine::start(disks(&settings), settings, share).await.unwrap();
                engines.wait();
                let shard = make_shard(ShardId(shard), engine, &parts);
                let (router, own) = (shard.router.clone(), Rc::clone(&shard));
                shard.router.spawn("the mesh", async move { router.run(&own).await });
                let port = if shard.id.0 == 0 { Some(open(&shard, &parts).await) } else { None };
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
        })
    };
    let threads: Vec<_> = shares.into_iter().enumerate().map(live).collect();
    let (ports, metrics): (Vec<Option<u16>>, Vec<_>) = hearing.iter().take(shard_count).unzip();
    Running { port: ports.into_iter().flatten().next().unwrap(), metrics, stop, threads, pulse }
}

/// Shard 0 opens the metadata log and a door.
async fn open(shard: &Rc<Shard>, parts: &Parts) -> u16 {
    Cluster::start(shard, false).await.unwrap();
    let socket = bind("127.0.0.1", 0).unwrap().listen().unwrap();
    let port = socket.local_addr().unwrap().port();
    let acceptor = Acceptor { listener: 0, socket, doors: Arc::clone(&parts.doors) };
    let accepting = acceptor.run(Rc::clone(shard), std::future::pending());
    shard.router.spawn("a listener", async move { accepting.await.unwrap() });
    port
}

impl Running {
    fn socket_calls(&self) -> (u64, u64) {
        let sum = |count: fn(&ShardMetrics) -> &AtomicU64| {
            self.metrics.iter().map(|shard| count(shard).load(Ordering::Relaxed)).sum()
        };
        (sum(|shard| &shard.socket_reads), sum(|shard| &shard.socket_writes))
    }

    fn client(&self) -> Client {
        let socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        socket.set_nodelay(true).unwrap();
        Client { socket, answer: vec![0; 4 << 20] }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        self.pulse.end();
    }
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

fn produce(index: i32, value_bytes: usize) -> Vec<u8> {
    let value: Vec<u8> = (0..value_bytes).map(|at| (at * 31) as u8).collect();
    let builder = BatchBuilder::new(Codec::None).record(Timestamp(1_700_000_000_000), None, Some(&value));
    let producer = ProducerFields { producer_id: -1, producer_epoch: -1, base_sequence: -1 };
    let records = Some(builder.build(producer).unwrap());
    let data = PartitionProduceData { index, records };
    let topic = TopicProduceData {
        name: TOPIC.to_owned(),
        partition_data: vec![data],
        ..TopicProduceData::default()
    };
    let request =
        ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic], ..ProduceRequest::default() };
    frame(ApiKey::Produce, 9, &request)
}

fn fetch(partition: i32, bytes: usize) -> Vec<u8> {
    let partition = FetchPartition {
        partition,
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

fn cost(client: &mut Client, running: &Running, request: &[u8], count: u64) -> Cost {
    for _ in 0..20 {
        client.ask(request);
    }
    let (reads, writes) = running.socket_calls();
    let region = Region::new(ALLOCATOR);
    for _ in 0..count {
        client.ask(request);
    }
    let Stats { allocations, reallocations, bytes_allocated, .. } = region.change();
    let (reads_now, writes_now) = running.socket_calls();
    let each = |number: u64| number as f64 / count as f64;
    Cost {
        allocations: each((allocations + reallocations) as u64),
        bytes: each(bytes_allocated as u64),
        reads: each(reads_now - reads),
        writes: each(writes_now - writes),
    }
}

/// Costs of a large produce, a large fetch and a small produce on one partition.
fn costs(running: &Running, client: &mut Client, partition: i32) -> [Cost; 3] {
    let (large, small) = (produce(partition, LARGE_BYTES), produce(partition, SMALL_BYTES));
    let costs = [
        cost(client, running, &large, 100),
        cost(client, running, &fetch(partition, LARGE_BYTES + 1000), 100),
        cost(client, running, &small, 1000),
    ];
    println!("partition {partition} of {} shards", running.metrics.len());
    println!("produce of {LARGE_BYTES} B: {:?}", costs[0]);
    println!("fetch of {LARGE_BYTES} B:   {:?}", costs[1]);
    println!("produce of {SMALL_BYTES} B:    {:?}", costs[2]);
    costs
}

/// With one shard, and with two, where one of the partitions belongs to a core that the connection is not on: one test,
/// since all that the process allocates is counted.
#[test]
fn the_hot_paths_copy_once_allocate_little_and_call_the_socket_seldom() {
    for shard_count in [1, 2] {
        let directory = tempfile::tempdir().unwrap();
        let running = start(directory.path(), shard_count);
        let mut client = running.client();
        while client.ask(&create()) < 40 {}
        std::thread::sleep(Duration::from_millis(100));
        for partition in 0..shard_count as i32 {
            let [large, fetch, small] = costs(&running, &mut client, partition);
            check(&large, &fetch, &small);
        }
        drop(client);
        running.end();
    }
}

fn check(large: &Cost, fetch: &Cost, small: &Cost) {
    let large_bytes = LARGE_BYTES as f64;
    // The frame's own buffer and the one copy, into the log's tail; the rest is small.
    assert!(large.bytes < 2.2 * large_bytes, "a produce copies its records more than once: {large:?}");
    assert!(large.allocations < 180.0, "{large:?}");
    // A length, then as much as the socket holds at a time; one answer.
    assert!(large.reads < 24.0 && large.writes < 1.2, "{large:?}");

    assert!(fetch.bytes < 0.03 * large_bytes, "a fetch copies records: {fetch:?}");
    assert!(fetch.allocations < 72.0, "{fetch:?}");
    assert!(fetch.reads < 1.2 && fetch.writes < 24.0, "{fetch:?}");

    // With the blocks of its commit, since nobody shares that with it here.
    assert!(small.bytes < 45_000.0 && small.allocations < 110.0, "{small:?}");
    assert!(small.reads < 1.2 && small.writes < 1.2, "{small:?}");
}

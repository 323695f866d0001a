//! Bytes that no client would send. Meanwhile others are served, memory keeps to its limit, and afterwards it is the same process.

use harness::broker::MEMORY_BYTES;
use harness::client::frame;
use harness::records::{self, Batch, Codec};
use harness::samples::{Sample, samples};
use harness::siege::{Siege, alone};
use harness::verbs::{code, fetch_request, fresh, produce_request};
use harness::{Against, Broker, Client, skip};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const MIB: u64 = 1024 * 1024;
/// What the broker may hold, whatever is sent to it: its budget, and as much again for code, sockets, tasks and the allocator.
const RESIDENT_BYTES_MAX: u64 = MEMORY_BYTES + 512 * MIB;
/// Every random byte here comes from it.
const SEED: u64 = 0x7468_616c_7765_6721;

fn connect(broker: &Broker) -> TcpStream {
    let stream = TcpStream::connect(broker.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(250))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

/// Sends bytes, then nothing more, and reads whatever comes until the broker closes or falls silent.
fn throw(broker: &Broker, bytes: &[u8]) {
    let mut stream = connect(broker);
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = [0; 4096];
    while stream.read(&mut answer).is_ok_and(|length| length > 0) {}
}

#[test]
fn noise_and_lying_lengths_are_no_frames() {
    let _alone = alone();
    let broker = Broker::start();
    let siege = Siege::begin(&broker);
    let mut random = StdRng::seed_from_u64(SEED);
    for round in 0..300 {
        let mut noise = vec![0; random.random_range(1..3000)];
        random.fill_bytes(&mut noise);
        if round % 3 == 0 {
            noise = frame(&noise); // a right length around nonsense
        }
        if round % 3 == 1 && noise.len() > 8 {
            noise[..8].copy_from_slice(&[
                0,
                0,
                11,
                200,
                0,
                random.random_range(0..93),
                0,
                random.random_range(0..20),
            ]);
        }
        throw(&broker, &noise);
    }
    siege.end("noise", RESIDENT_BYTES_MAX);
}

#[test]
fn lengths_that_no_frame_can_have_close_their_connection() {
    let broker = Broker::shared();
    for length in [-1_i32, i32::MIN, i32::MAX, 100 * 1024 * 1024 + 1] {
        let mut client = broker.client();
        client.send_bytes(&length.to_be_bytes()).unwrap();
        let _ = client.send_bytes(&[0; 64]);
        assert!(client.is_closed_within(Duration::from_secs(10)), "length {length}");
    }
    let mut client = broker.client();
    client.send_bytes(&frame(&[0, 18])).unwrap(); // shorter than any header
    assert!(client.is_closed_within(Duration::from_secs(10)));
}

#[test]
fn an_unknown_api_or_version_closes_its_connection_but_api_versions_answers() {
    let broker = Broker::shared();
    for (key, version) in [(0_i16, 99_i16), (1, 3), (3, 99), (999, 0), (-1, 0), (4, 0)] {
        let mut client = broker.client();
        let header =
            [&key.to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 0]].concat();
        client.send_bytes(&frame(&header)).unwrap();
        assert!(client.is_closed_within(Duration::from_secs(10)), "API {key} version {version}");
    }
    let mut client = broker.client();
    client.send_bytes(&frame(&[0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff, 0])).unwrap();
    let answer = client.receive_frame().unwrap();
    assert_eq!(
        answer[..6],
        [0, 0, 0, 7, 0, 35],
        "correlation id and UNSUPPORTED_VERSION in a body of version 0 (KIP-511)"
    );
    assert!(
        client.try_call(0, &kafka_protocol::messages::ApiVersionsRequest::default()).is_ok(),
        "the connection lives on"
    );
}

/// Values that a length, a count or an index should not have.
const LIES: [&[u8]; 8] = [
    &[0x7f, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xfe],
    &[0x80, 0, 0, 0],
    &[0x7f, 0xff],
    &[0xff, 0xfe],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    &[0],
];

/// A frame with one lie in it, at a place behind the API key and version; its own length is right again.
fn with_a_lie(sample: &Sample, random: &mut StdRng) -> Vec<u8> {
    let mut body = sample.frame[4..].to_vec();
    let at = random.random_range(8..body.len());
    match random.random_range(0..4) {
        0 => body.truncate(at),
        1 => body[at] ^= 1 << random.random_range(0..8),
        2 => {
            let lie = LIES[random.random_range(0..LIES.len())];
            let end = (at + lie.len()).min(body.len());
            body[at..end].copy_from_slice(&lie[..end - at]);
        }
        _ => {
            let lie = LIES[random.random_range(0..LIES.len())];
            body.splice(at..at, lie.iter().copied());
        }
    }
    frame(&body)
}

#[test]
fn lies_in_every_api_and_version_harm_nobody() {
    let _alone = alone();
    let broker = Broker::start();
    let topic = fresh("hostile");
    broker.client().create_topic(&topic, 1);
    let all = samples(&topic);
    let apis: std::collections::BTreeSet<i16> = all.iter().map(|sample| sample.key).collect();
    assert!(apis.len() >= 20 && all.len() > 100, "{} APIs, {} versions", apis.len(), all.len());
    let siege = Siege::begin(&broker);
    let attackers = [0, 1].map(|attacker| {
        let (all, address) = (all.clone(), broker.address());
        thread::spawn(move || {
            let mut random = StdRng::seed_from_u64(SEED + attacker);
            for sample in &all {
                for _ in 0..12 {
                    let bytes = with_a_lie(sample, &mut random);
                    let Ok(mut stream) = TcpStream::connect(&address) else { continue };
                    let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
                    let _ = stream.write_all(&bytes);
                    let _ = stream.shutdown(Shutdown::Write);
                    let _ = stream.read(&mut [0; 4096]);
                }
            }
        })
    });
    for attacker in attackers {
        attacker.join().unwrap();
    }
    siege.end(&format!("lies in {} versions of {} APIs", all.len(), apis.len()), RESIDENT_BYTES_MAX);
}

#[test]
fn every_sample_is_answered_when_it_does_not_lie() {
    let broker = Broker::shared();
    let topic = fresh("hostile");
    broker.client().create_topic(&topic, 1);
    let served = broker.client().api_versions();
    let mut silent = Vec::new();
    for sample in samples(&topic) {
        let known = served.api_keys.iter().any(|api| {
            api.api_key == sample.key && (api.min_version..=api.max_version).contains(&sample.version)
        });
        if !known {
            continue;
        }
        let mut client = broker.client();
        client.send_bytes(&sample.frame).unwrap();
        match client.receive_frame() {
            Ok(answer) => {
                assert_eq!(answer[..4], [0, 0, 0, 7], "API {} version {}", sample.key, sample.version);
            }
            Err(error) => silent.push(format!("API {} version {}: {error}", sample.key, sample.version)),
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn decompression_bombs_do_not_unfold() {
    let _alone = alone();
    let broker = Broker::start();
    let topic = fresh("bombs");
    broker.client().create_topic(&topic, 4);
    // As much as fits into a batch of a megabyte, up to 400 MiB: snappy folds zeros by 21, LZ4 by 255, gzip by 1000, zstd by 10 000.
    let bombs = [(Codec::Gzip, 400), (Codec::Snappy, 20), (Codec::Lz4, 200), (Codec::Zstd, 400)]
        .map(|(codec, mib)| (codec, records::zeros(codec, mib << 20)));
    for (codec, bomb) in &bombs {
        assert!(bomb.len() < 1_048_588, "{codec:?}: {}", bomb.len());
    }
    let siege = Siege::begin(&broker);
    let attackers: Vec<_> = (0..8)
        .map(|attacker| {
            let (mut client, topic, bombs) = (broker.client(), topic.clone(), bombs.clone());
            thread::spawn(move || {
                for (codec, bomb) in bombs {
                    let answer = client.try_produce(&topic, attacker % 4, bomb);
                    assert!(answer.error_code != code::CORRUPT_MESSAGE, "{codec:?} is well formed");
                }
            })
        })
        .collect();
    for attacker in attackers {
        attacker.join().unwrap();
    }
    siege.end("decompression bombs", RESIDENT_BYTES_MAX);
}

/// As many open files as this process may have.
fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[test]
fn fifteen_hundred_promises_of_90_mib_starve_nobody() {
    let _alone = alone();
    if !Against::chosen().is_thalweg() {
        skip::skip_test("1500 promises of 90 MiB", "Apache Kafka runs out of memory in it and serves nobody");
        return;
    }
    let files = raise_file_limit();
    assert!(
        files > 4000,
        "1 500 connections take 3 000 open files on one machine, this process may have {files}"
    );
    let broker = Broker::start();
    let siege = Siege::begin(&broker);
    let mut promise = (90 * 1024 * 1024_i32).to_be_bytes().to_vec();
    promise.extend_from_slice(&[0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff]); // Produce 9
    let mut streams: Vec<(TcpStream, usize)> = Vec::new();
    for _ in 0..1500 {
        let Ok(mut stream) = TcpStream::connect(broker.address()) else { continue };
        let _ = stream.write_all(&promise);
        let _ = stream.set_nonblocking(true);
        streams.push((stream, 0));
    }
    let piece = vec![0x5a; 64 * 1024];
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut sent = 0_usize;
    while Instant::now() < deadline && sent < 6 << 30 {
        let before = sent;
        for (stream, own) in &mut streams {
            if *own < 8 << 20 {
                let written = stream.write(&piece).unwrap_or(0);
                *own += written;
                sent += written;
            }
        }
        if sent == before {
            thread::sleep(Duration::from_millis(50)); // the broker reads no further, which is its right
        }
    }
    skip::loud(&format!(
        "hostile: {} connections promised 90 MiB each and could send {} MiB",
        streams.len(),
        sent >> 20
    ));
    siege.end("1500 promises of 90 MiB", RESIDENT_BYTES_MAX);
    drop(streams);
    let mut client = broker.client();
    client.create_topic("afterwards", 1);
    assert_eq!(client.produce("afterwards", 0, &Batch::of(&["served"])), 0);
}

#[test]
fn readers_that_never_read_their_answers_hold_up_nobody() {
    let _alone = alone();
    raise_file_limit();
    let broker = Broker::start();
    let topic = fresh("slow");
    let mut client = broker.client();
    client.create_topic(&topic, 1);
    for number in 0..64 {
        client.produce(&topic, 0, &Batch::numbered(number, 1, 1_000_000));
    }
    let siege = Siege::begin(&broker);
    let mut slow: Vec<Client> = Vec::new();
    for _ in 0..200 {
        let mut client = broker.client();
        for _ in 0..5 {
            let request = fetch_request(&topic, 0, 0).with_max_bytes(50 << 20);
            client.send(11, &request).unwrap();
        }
        slow.push(client);
    }
    thread::sleep(Duration::from_secs(8));
    siege.end("200 readers that never read 64 MB answers", RESIDENT_BYTES_MAX);
}

#[test]
fn answers_cut_off_in_the_middle_harm_nobody() {
    let _alone = alone();
    let broker = Broker::start();
    let topic = fresh("cut");
    let mut client = broker.client();
    client.create_topic(&topic, 1);
    for number in 0..8 {
        client.produce(&topic, 0, &Batch::numbered(number, 1, 900_000));
    }
    let siege = Siege::begin(&broker);
    for round in 0..200 {
        let mut reader = broker.client();
        reader.send(11, &fetch_request(&topic, 0, 0)).unwrap();
        if round % 2 == 0 {
            let _ = reader.stream().read(&mut [0; 1000]);
        }
        let batch = Batch::numbered(0, 1, 500_000).encode();
        let request = harness::client::encode_frame(9, 1, &produce_request(&topic, 0, -1, batch));
        let _ = reader.send_bytes(&request[..request.len() / 2]); // and gone, in the middle of both
    }
    siege.end("connections cut in the middle", RESIDENT_BYTES_MAX);
    assert_eq!(broker.client().list_offset(&topic, 0, -1).offset, 8, "no half request was carried out");
}

/// Their first batches take more descriptors than are left.
const DESCRIPTOR_PARTITIONS: i32 = 300;
/// Who writes to them at once.
const DESCRIPTOR_CLIENTS: i32 = 8;

/// What the broker may have open from now on.
fn limit_files(broker: &Broker, count: u64) {
    // The most it may ask for is what it has from this process.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: Some(count), maximum };
    prlimit(Pid::from_raw(broker.pid() as i32), Resource::Nofile, limit).unwrap();
}

#[test]
fn a_broker_without_a_descriptor_left_refuses_batches_and_stays() {
    let _alone = alone();
    if !Against::chosen().is_thalweg() {
        skip::skip_test("no descriptor left", "Apache Kafka stops its log directory");
        return;
    }
    let broker = Broker::start();
    let topic = fresh("descriptors");
    broker.client().create_topic(&topic, DESCRIPTOR_PARTITIONS);
    let mut clients: Vec<Client> = (0..DESCRIPTOR_CLIENTS).map(|_| broker.client()).collect();
    clients[0].produce(&topic, 0, &Batch::of(&["first"]));
    let open = std::fs::read_dir(format!("/proc/{}/fd", broker.pid())).unwrap().count() as u64;
    let every = |clients: &mut Vec<Client>| -> Vec<i16> {
        thread::scope(|scope| {
            let running: Vec<_> = (0..)
                .zip(clients.iter_mut())
                .map(|(number, client)| {
                    let topic = &topic;
                    scope.spawn(move || {
                        let own = (1..DESCRIPTOR_PARTITIONS)
                            .filter(|partition| partition % DESCRIPTOR_CLIENTS == number);
                        let send = |partition| {
                            client.try_produce(topic, partition, Batch::of(&["v"]).encode()).error_code
                        };
                        own.map(send).collect::<Vec<_>>()
                    })
                })
                .collect();
            running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        })
    };

    limit_files(&broker, open + 100);
    let answers = every(&mut clients);
    let count = |answers: &[i16], wanted| answers.iter().filter(|code| **code == wanted).count();
    let (taken, refused) = (count(&answers, code::NONE), count(&answers, code::KAFKA_STORAGE_ERROR));
    assert!(taken > 0 && refused > 0 && taken + refused == answers.len(), "{answers:?}");
    clients[0].produce(&topic, 0, &Batch::of(&["second"]));

    limit_files(&broker, open + 2000);
    let answers = every(&mut clients);
    assert_eq!(count(&answers, code::NONE), answers.len(), "{answers:?}");
    let records: usize =
        (0..DESCRIPTOR_PARTITIONS).map(|partition| clients[0].read_from(&topic, partition, 0).len()).sum();
    assert_eq!(records, 2 + taken + answers.len());
}

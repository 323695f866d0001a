//! Several log directories: partitions are spread over them, and one that does not work takes away its own and no other.
#![expect(clippy::float_cmp, reason = "these numbers are counts, which are exact")]

use harness::broker::{Against, free_port};
use harness::disk::{FileSystem, LoopDisk};
use harness::probe::{Scrape, get};
use harness::records::{self, Batch};
use harness::scratch::Scratch;
use harness::skip::skip_test;
use harness::verbs::{code, fresh};
use harness::{Broker, Client};
use std::fs;
use std::path::{Path, PathBuf};

/// A broker of these directories, and its port for probes.
fn broker_of(dirs: &[PathBuf]) -> (Broker, u16) {
    let http = free_port();
    let dirs: Vec<&str> = dirs.iter().map(|dir| dir.to_str().unwrap()).collect();
    let broker = Broker::with(&[
        ("log.dirs", &dirs.join(",")),
        ("thalweg.http.listener", &format!("127.0.0.1:{http}")),
        ("offsets.topic.num.partitions", "6"),
    ]);
    (broker, http)
}

fn is_thalweg(test: &str) -> bool {
    let is_ours = Against::chosen().is_thalweg();
    if !is_ours {
        skip_test(test, "directories are named and broken as ours are");
    }
    is_ours
}

fn dirs_in(scratch: &Scratch, count: usize) -> Vec<PathBuf> {
    (0..count).map(|number| scratch.path().join(format!("d{number}"))).collect()
}

/// A file where the directory was: root may write anywhere, but not into that.
fn take_away(dir: &Path) {
    fs::rename(dir, dir.with_extension("away")).unwrap();
    fs::write(dir, "").unwrap();
}

fn put_back(dir: &Path) {
    fs::remove_file(dir).unwrap();
    fs::rename(dir.with_extension("away"), dir).unwrap();
}

/// Ten records into each partition.
fn produce_everywhere(client: &mut Client, topic: &str, partitions: i32, first: usize) {
    for partition in 0..partitions {
        client.produce(topic, partition, &Batch::numbered(first, 10, 100));
    }
}

/// What each partition says to all that a client may ask of its leader.
fn assert_offline(client: &mut Client, topic: &str, partition: i32) {
    let batch = Batch::numbered(0, 1, 100).encode();
    assert_eq!(client.try_produce(topic, partition, batch).error_code, code::KAFKA_STORAGE_ERROR);
    assert_eq!(client.fetch(topic, partition, 0).error_code, code::KAFKA_STORAGE_ERROR);
    assert_eq!(client.list_offset(topic, partition, -1).error_code, code::KAFKA_STORAGE_ERROR);
    let told = client.metadata(topic).partitions.remove(partition as usize);
    assert_eq!((told.error_code, told.leader_id.0), (code::LEADER_NOT_AVAILABLE, -1));
    assert_eq!(told.offline_replicas, told.replica_nodes);
}

/// Partitions of the topic in one directory are offline, all others have so many records.
fn assert_only_offline(client: &mut Client, topic: &str, places: &[usize], offline: usize, records: usize) {
    for (partition, place) in (0..).zip(places) {
        if *place == offline {
            assert_offline(client, topic, partition);
        } else {
            let read = client.read_from(topic, partition, 0);
            assert_eq!(records::values(&read).len(), records, "{topic}-{partition}");
            assert_eq!(client.metadata(topic).partitions[partition as usize].error_code, code::NONE);
        }
    }
}

#[test]
fn partitions_made_at_once_are_spread_evenly_over_all_cores_and_directories() {
    if !is_thalweg("log_dirs") {
        return;
    }
    let scratch = Scratch::new("dirs");
    let (broker, _) = broker_of(&dirs_in(&scratch, 3));
    let mut client = broker.client();
    client.create_topic("hundred", 100);
    let places = client.places();
    let mut counts: Vec<usize> = places.iter().map(|place| place.partitions.len()).collect();
    counts.sort_unstable();
    assert!(counts == [33, 33, 34] || counts == [32, 34, 34], "beside the metadata log: {counts:?}");
    produce_everywhere(&mut client, "hundred", 100, 0);
    for place in client.places() {
        assert!(place.total_bytes > 0 && place.usable_bytes > 0 && place.error_code == 0);
        assert!(place.partitions.values().all(|bytes| *bytes > 1000), "{:?}", place.partitions);
        for (topic, partition) in place.partitions.keys() {
            assert!(Path::new(&place.directory).join(format!("{topic}-{partition}")).is_dir());
        }
    }
    // What is deleted makes room for what comes.
    client.create_topic("few", 2);
    assert_eq!(client.delete_topic("hundred"), code::NONE);
    client.create_topic("again", 10);
    let mut counts: Vec<usize> = client.places().iter().map(|place| place.partitions.len()).collect();
    counts.sort_unstable();
    assert!(counts[0] >= 3 && counts[2] <= 5, "{counts:?}");
}

#[test]
fn a_directory_that_is_gone_at_the_start_keeps_its_partitions_offline_until_it_is_back() {
    if !is_thalweg("log_dirs") {
        return;
    }
    let scratch = Scratch::new("dirs");
    let dirs = dirs_in(&scratch, 3);
    let (mut broker, http) = broker_of(&dirs);
    let mut client = broker.client();
    client.create_topic("t", 9);
    produce_everywhere(&mut client, "t", 9, 0);
    let places: Vec<usize> = (0..9).map(|partition| client.place_of("t", partition)).collect();
    broker.stop();
    take_away(&dirs[2]);
    broker.start_again(None);
    let log = broker.log_text();
    let told = log.lines().filter(|line| line.contains("a log directory cannot be used")).count();
    assert_eq!(told, 1, "{log}");
    let mut client = broker.client();
    assert_only_offline(&mut client, "t", &places, 2, 10);
    let (status, health) = get(http, "/health");
    assert!(status == 200 && health.starts_with("degraded: 1 log directories"), "{health}");
    assert!(Scrape::of(http).sum("thalweg_directories_stopped", &[("shard", "0")]) == 1.0);
    let described = client.places();
    assert_eq!(described[2].error_code, code::KAFKA_STORAGE_ERROR);
    assert!(described[2].partitions.is_empty() && described[0].error_code == 0);
    // The others take what is new, and what was deleted meanwhile does not come back.
    client.create_topic("new", 6);
    assert!((0..6).all(|partition| client.place_of("new", partition) != 2));
    client.create_topic("short-lived", 2);
    assert_eq!(client.delete_topic("short-lived"), code::NONE);
    for partition in (0..9).filter(|partition| places[*partition as usize] != 2) {
        client.produce("t", partition, &Batch::numbered(10, 10, 100));
    }
    broker.kill();
    put_back(&dirs[2]);
    broker.start_again(None);
    let mut client = broker.client();
    for (partition, place) in (0..).zip(&places) {
        let expected = if *place == 2 { 10 } else { 20 };
        assert_eq!(client.read_from("t", partition, 0).len(), expected, "t-{partition}");
        assert_eq!(client.place_of("t", partition), *place, "nothing was made anew");
    }
    produce_everywhere(&mut client, "t", 9, 20);
    assert_eq!(get(http, "/health"), (200, "alive\n".to_string()));
}

#[test]
fn a_topic_whose_directory_is_gone_can_be_deleted_and_made_again() {
    if !is_thalweg("log_dirs") {
        return;
    }
    let scratch = Scratch::new("dirs");
    let dirs = dirs_in(&scratch, 2);
    let (mut broker, _) = broker_of(&dirs);
    let mut client = broker.client();
    client.create_topic("t", 4);
    produce_everywhere(&mut client, "t", 4, 0);
    broker.stop();
    take_away(&dirs[1]);
    broker.start_again(None);
    let mut client = broker.client();
    assert_eq!(client.delete_topic("t"), code::NONE);
    client.create_topic("t", 4);
    produce_everywhere(&mut client, "t", 4, 100);
    broker.stop();
    put_back(&dirs[1]);
    broker.start_again(None);
    let mut client = broker.client();
    for partition in 0..4 {
        let values = records::values(&client.read_from("t", partition, 0));
        assert_eq!(values.len(), 10, "of the new topic only");
        assert!(values[0].ends_with("-00000100"), "{values:?}");
    }
    let is_old = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("t-");
    let left = fs::read_dir(&dirs[1]).unwrap().flatten().filter(|entry| entry.path().is_dir()).any(is_old);
    assert!(!left, "what the old topic left is gone");
}

#[test]
fn without_the_metadata_log_nothing_is_served_and_nothing_made() {
    if !is_thalweg("log_dirs") {
        return;
    }
    let scratch = Scratch::new("dirs");
    let dirs = dirs_in(&scratch, 2);
    let (mut broker, _) = broker_of(&dirs);
    broker.client().create_topic("t", 2);
    broker.stop();
    take_away(&dirs[0]); // the first log of all is the metadata's
    let log = broker.start_refused();
    assert!(log.contains("the metadata log is in none of the log directories that work"), "{log}");
    put_back(&dirs[0]);
    broker.start_again(None);
    assert_eq!(broker.client().metadata("t").partitions.len(), 2);
}

#[test]
fn one_directory_alone_is_refused_by_name() {
    if !is_thalweg("log_dirs") {
        return;
    }
    let scratch = Scratch::new("dirs");
    let dirs = dirs_in(&scratch, 1);
    let (mut broker, _) = broker_of(&dirs);
    broker.client().create_topic("t", 2);
    broker.stop();
    take_away(&dirs[0]);
    let log = broker.start_refused();
    assert!(log.contains("name a directory, this is a file"), "{log}");
    put_back(&dirs[0]);
    broker.start_again(None);
}

#[test]
fn a_directory_that_lacks_a_journal_file_or_says_rubbish_is_left_out() {
    if !is_thalweg("log_dirs") {
        return;
    }
    let scratch = Scratch::new("dirs");
    let dirs = dirs_in(&scratch, 2);
    let (mut broker, _) = broker_of(&dirs);
    let mut client = broker.client();
    client.create_topic("t", 6);
    produce_everywhere(&mut client, "t", 6, 0);
    let places: Vec<usize> = (0..6).map(|partition| client.place_of("t", partition)).collect();
    for file in ["thalweg-journal/00000000.journal", "thalweg-journal/manifest", "meta.properties"] {
        broker.stop();
        let (file, aside) = (dirs[1].join(file), dirs[1].join("aside"));
        fs::rename(&file, &aside).unwrap();
        if file.ends_with("meta.properties") {
            fs::write(&file, "rubbish\n").unwrap();
        }
        broker.start_again(None);
        assert_only_offline(&mut broker.client(), "t", &places, 1, 10);
        broker.stop();
        fs::rename(&aside, &file).unwrap();
        broker.start_again(None);
        let mut client = broker.client();
        assert!(
            (0..6).all(|partition| client.read_from("t", partition, 0).len() == 10),
            "{}",
            file.display()
        );
    }
}

#[test]
fn directories_are_added_taken_out_and_reordered() {
    if !is_thalweg("log_dirs") {
        return;
    }
    let scratch = Scratch::new("dirs");
    let dirs = dirs_in(&scratch, 3);
    let (mut broker, _) = broker_of(&dirs[..2]);
    let mut client = broker.client();
    client.create_topic("t", 6);
    produce_everywhere(&mut client, "t", 6, 0);
    let places: Vec<usize> = (0..6).map(|partition| client.place_of("t", partition)).collect();
    broker.stop();
    // Added: what is new goes there first.
    broker.set("log.dirs", &joined(&[&dirs[2], &dirs[1], &dirs[0]]));
    broker.start_again(None);
    let mut client = broker.client();
    produce_everywhere(&mut client, "t", 6, 10);
    client.create_topic("new", 3);
    assert!((0..3).all(|partition| client.place_of("new", partition) == 0));
    broker.stop();
    // Taken out: offline, never made anew.
    broker.set("log.dirs", &joined(&[&dirs[0], &dirs[2]]));
    broker.start_again(None);
    let mut client = broker.client();
    assert_only_offline(&mut client, "t", &places, 1, 20);
    broker.stop();
    broker.set("log.dirs", &joined(&[&dirs[0], &dirs[1], &dirs[2]]));
    broker.start_again(None);
    let mut client = broker.client();
    assert!((0..6).all(|partition| client.read_from("t", partition, 0).len() == 20));
    // A copy of a directory is nobody's second half.
    broker.stop();
    let copy = scratch.path().join("copy");
    let copied = std::process::Command::new("cp").arg("-a").args([&dirs[1], &copy]).status().unwrap();
    assert!(copied.success());
    broker.set("log.dirs", &joined(&[&dirs[0], &dirs[1], &dirs[2], &copy]));
    let log = broker.start_refused();
    assert!(log.contains("one is a copy of the other"), "{log}");
}

fn joined(dirs: &[&PathBuf]) -> String {
    dirs.iter().map(|dir| dir.to_str().unwrap()).collect::<Vec<_>>().join(",")
}

/// Kafka's own tool shows what is wrong with which directory.
#[test]
fn kafkas_tool_shows_a_directory_that_does_not_work() {
    if !is_thalweg("log_dirs") {
        return;
    }
    let scratch = Scratch::new("dirs");
    let dirs = dirs_in(&scratch, 2);
    let (mut broker, _) = broker_of(&dirs);
    broker.client().create_topic("t", 2);
    broker.stop();
    take_away(&dirs[1]);
    broker.start_again(None);
    for release in harness::kafka_tools::RELEASES {
        let Some(mut shell) = harness::tool_shell::ToolShell::start(release, &broker.address()) else {
            continue;
        };
        let said = shell.run("log-dirs", &["--describe"]);
        let json = said.lines.iter().find(|line| line.starts_with('{')).expect("a line of JSON");
        let told: serde_json::Value = serde_json::from_str(json).unwrap();
        let told = told["brokers"][0]["logDirs"].as_array().unwrap().clone();
        let of = |dir: &Path| told.iter().find(|one| one["logDir"] == dir.to_str().unwrap()).unwrap().clone();
        assert!(
            of(&dirs[0])["error"].is_null() && !of(&dirs[0])["partitions"].as_array().unwrap().is_empty()
        );
        let error = of(&dirs[1])["error"].to_string();
        assert!(error.contains("KafkaStorageException"), "{release}: {error}");
    }
}

/// A mount that dies under the broker: its partitions, at once, and no other.
#[test]
fn a_directory_that_dies_while_the_broker_runs_takes_down_its_own_partitions() {
    if !is_thalweg("log_dirs") {
        return;
    }
    for system in [FileSystem::Ext4, FileSystem::Xfs] {
        let Some(disk) = LoopDisk::new("a directory that dies", system, 400) else { continue };
        let scratch = Scratch::new("dirs");
        let dirs = [scratch.path().join("well"), disk.path().join("data")];
        let (mut broker, http) = broker_of(&dirs);
        let mut client = broker.client();
        let topic = fresh("dies");
        client.create_topic(&topic, 8);
        produce_everywhere(&mut client, &topic, 8, 0);
        let places: Vec<usize> = (0..8).map(|partition| client.place_of(&topic, partition)).collect();
        disk.break_down();
        let hit = places.iter().position(|place| *place == 1).unwrap() as i32;
        let batch = Batch::numbered(10, 10, 100).encode();
        let refused = client.try_produce(&topic, hit, batch).error_code;
        assert_eq!(refused, code::KAFKA_STORAGE_ERROR, "{system}");
        broker.wait_for_line("partitions went offline with their log directory");
        assert_only_offline(&mut client, &topic, &places, 1, 10);
        let (status, health) = get(http, "/health");
        assert!(status == 200 && health.starts_with("degraded: 1 log directories"), "{health}");
        let described = client.places();
        assert_eq!((described[0].error_code, described[1].error_code), (0, code::KAFKA_STORAGE_ERROR));
        // New topics go where there is a disk, and the metadata log is in the one that works.
        let new = fresh("after");
        client.create_topic(&new, 4);
        produce_everywhere(&mut client, &new, 4, 0);
        broker.kill();
        disk.unmount();
        disk.mount().unwrap();
        broker.start_again(None);
        let mut client = broker.client();
        for partition in 0..8 {
            assert_eq!(client.read_from(&topic, partition, 0).len(), 10, "{system}, {topic}-{partition}");
        }
        produce_everywhere(&mut client, &topic, 8, 10);
        drop(broker);
    }
}

/// The directory that holds the metadata log dies: no topic can be made or deleted, the rest serves.
#[test]
fn a_metadata_log_that_dies_forbids_changes_and_nothing_else() {
    if !is_thalweg("log_dirs") {
        return;
    }
    let Some(disk) = LoopDisk::new("a metadata log that dies", FileSystem::Ext4, 400) else { return };
    let scratch = Scratch::new("dirs");
    let dirs = [disk.path().join("data"), scratch.path().join("well")];
    let (mut broker, _) = broker_of(&dirs);
    let mut client = broker.client();
    client.create_topic("t", 8);
    produce_everywhere(&mut client, "t", 8, 0);
    let places: Vec<usize> = (0..8).map(|partition| client.place_of("t", partition)).collect();
    disk.break_down();
    let refused = client.try_create_topic("new", 1, &[]);
    assert_eq!(refused.0, code::KAFKA_STORAGE_ERROR, "{refused:?}");
    broker.wait_for_line("partitions went offline with their log directory");
    assert_only_offline(&mut client, "t", &places, 0, 10);
    let well = places.iter().position(|place| *place == 1).unwrap() as i32;
    client.produce("t", well, &Batch::numbered(10, 10, 100));
    broker.kill();
    // As long as it is gone, nothing starts: nobody could say which topics there are.
    disk.unmount();
    fs::write(disk.path().join("data"), "").unwrap();
    let log = broker.start_refused();
    assert!(log.contains("the metadata log is in none of the log directories that work"), "{log}");
    fs::remove_file(disk.path().join("data")).unwrap();
    disk.mount().unwrap();
    broker.start_again(None);
    let mut client = broker.client();
    for partition in 0..8 {
        let expected = if partition == well { 20 } else { 10 };
        assert_eq!(client.read_from("t", partition, 0).len(), expected);
    }
    client.create_topic("new", 1);
}

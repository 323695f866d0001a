//! The broker as a process: how it starts, what it says, how it is asked to reopen its log and to stop.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod started;

use rustix::process::Signal;
use started::{Broker, command, port, refusal};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn it_says_what_it_runs_on_and_stops_cleanly_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(directory.path(), &[]);
    let log = broker.log();
    for told in ["version=", "kernel=", "cluster_id=", "file_system=", "memory_each=", "alignment_bytes=4096"]
    {
        assert!(log.contains(told), "{told} in {log}");
    }
    assert!(broker.get("/health").ends_with("alive\n"));
    assert!(broker.get("/metrics").contains("\nthalweg_partitions_online{shard=\"0\"} "));
    broker.signal(Signal::TERM);
    assert_eq!(broker.wait().code(), Some(0), "{}", broker.log());
    assert!(broker.log().contains("stopped cleanly"));
    let mut again = Broker::start(directory.path(), &[]);
    assert!(again.log().contains("unclean=false"));
    again.signal(Signal::INT);
    assert_eq!(again.wait().code(), Some(0));
}

/// How the program is linked has a part in it, so that nothing but the program itself can show it.
#[test]
fn nothing_interrupts_a_core_for_what_completes_where_the_kernel_can_do_without() {
    let directory = tempfile::tempdir().unwrap();
    let log = Broker::start(directory.path(), &[]).log();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let numbers: Vec<u32> = release.split(['.', '-']).map_while(|part| part.parse().ok()).take(2).collect();
    let told = if numbers >= vec![5, 19] {
        "rings that interrupt nobody"
    } else {
        "the kernel interrupts the broker"
    };
    assert!(log.contains(told), "{release}: {log}");
}

#[test]
fn a_log_that_was_moved_away_is_reopened_on_sighup() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path(), &["thalweg.log.format=json"]);
    fs::rename(directory.path().join("broker.log"), directory.path().join("broker.log.1")).unwrap();
    broker.signal(Signal::HUP);
    let start = Instant::now();
    while !broker.log().contains("reopened") {
        assert!(start.elapsed() < Duration::from_secs(10), "nothing in the new file");
        thread::sleep(Duration::from_millis(10));
    }
    assert!(
        broker.log().lines().all(|line| line.starts_with('{') && line.ends_with('}')),
        "JSON: {}",
        broker.log()
    );
}

/// When the journal's daemon starts anew, the pipe that is a service's stderr has no reader any more.
#[test]
fn a_log_that_nobody_reads_any_more_ends_no_broker() {
    let directory = tempfile::tempdir().unwrap();
    let http = port();
    let mut command = command(directory.path(), http, &["thalweg.log.file="]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    let mut broker = Broker { child, directory: directory.path().to_owned(), http };
    broker.wait_until_ready();
    broker.signal(Signal::TERM);
    assert_eq!(broker.wait().code(), Some(0));
}

#[test]
fn a_directory_has_one_broker_until_that_one_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(directory.path(), &[]);
    let cluster = fs::read_to_string(directory.path().join("data/meta.properties")).unwrap();
    let told = refusal(directory.path(), &["--cores", "1"]);
    assert!(told.contains("in use by another broker"), "{told}");
    broker.signal(Signal::KILL);
    broker.wait();
    let again = Broker::start(directory.path(), &[]);
    assert!(again.log().contains("unclean=true"), "{}", again.log());
    assert_eq!(fs::read_to_string(directory.path().join("data/meta.properties")).unwrap(), cluster);
}

#[test]
fn what_does_not_fit_is_refused_in_one_line_before_anything_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let told = |arguments: &[&str]| refusal(directory.path(), arguments);
    assert!(told(&["--set", "num.partition=3"]).contains("did you mean num.partitions?"));
    assert!(told(&["--set", "listeners=SSL://:9093"]).contains("SSL is not served"));
    assert!(told(&["--cores", "4000,"]).contains("CPU 4000"));
    assert!(told(&["--set", "thalweg.http.listener=9644"]).contains("HOST:PORT or none is wanted"));
    assert!(told(&["--config", "no-such-file.toml"]).contains("no-such-file.toml"));
    assert!(told(&["--set", "thalweg.log.file=no/such/directory"]).contains("thalweg.log.file"));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was made");
    let told = told(&["--set", "thalweg.memory.bytes=67108864", "--cores", "5"]);
    assert!(told.contains("12 MiB for each of 5 cores, and 32 are needed"), "{told}");
}

#[test]
fn settings_come_from_kafkas_file_the_environment_and_flags() {
    let directory = tempfile::tempdir().unwrap();
    let properties = "broker.id=7\nzookeeper.connect=localhost:2181\nnum.partitions=3\nlog.dirs=elsewhere\n";
    fs::write(directory.path().join("server.properties"), properties).unwrap();
    let http = port();
    let mut command = command(directory.path(), http, &["num.partitions=5"]);
    command.args(["--config", "server.properties"]).env("THALWEG_LOG_DIRS", "here");
    let mut broker = Broker { child: command.spawn().unwrap(), directory: directory.path().to_owned(), http };
    broker.wait_until_ready();
    assert!(
        broker.log().contains("settings without a meaning here keys=\"zookeeper.connect\""),
        "{}",
        broker.log()
    );
    let meta = fs::read_to_string(directory.path().join("here/meta.properties")).unwrap();
    assert!(meta.contains("node.id=7\n"), "{meta}");
    assert!(!directory.path().join("elsewhere").exists());
    broker.signal(Signal::TERM);
    assert_eq!(broker.wait().code(), Some(0));
}

#[test]
fn a_supervisor_is_told_when_clients_are_served_and_when_they_no_longer_are() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let hear = || {
        let mut bytes = [0; 64];
        let count = supervisor.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    };
    let http = port();
    let mut command = command(directory.path(), http, &[]);
    let child = command.env("NOTIFY_SOCKET", &path).spawn().unwrap();
    let mut broker = Broker { child, directory: directory.path().to_owned(), http };
    assert_eq!(hear(), "READY=1");
    assert!(broker.get("/ready").ends_with("ready\n"), "it is ready when it says so");
    broker.signal(Signal::TERM);
    assert_eq!(hear(), "STOPPING=1");
    assert_eq!(broker.wait().code(), Some(0));
}

#[test]
fn a_port_that_is_taken_is_told_before_a_journal_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().port();
    let own = port();
    let clients = format!("listeners=PLAINTEXT://127.0.0.1:{taken}");
    let told = refusal(directory.path(), &["--set", &clients, "--set", "thalweg.log.level=error"]);
    assert!(told.contains(&format!("listener PLAINTEXT: 127.0.0.1:{taken}: another program")), "{told}");
    let clients = format!("listeners=PLAINTEXT://127.0.0.1:{own}");
    let probes = format!("thalweg.http.listener=127.0.0.1:{taken}");
    let arguments = ["--set", &clients, "--set", &probes, "--set", "thalweg.log.level=error"];
    let told = refusal(directory.path(), &arguments);
    assert!(told.contains("thalweg.http.listener") && told.contains("or none"), "{told}");
    assert!(!directory.path().join("data/thalweg-journal").exists());
}

#[test]
fn wrong_flags_end_with_another_code_and_help_says_what_there_is() {
    let ended = |arguments: &[&str]| started::broker().args(arguments).output().unwrap();
    let wrong = ended(&["--no-such-flag"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("--no-such-flag"));
    let help = ended(&["--help"]);
    let told = String::from_utf8(help.stdout).unwrap();
    assert_eq!(help.status.code(), Some(0));
    for word in ["--config", "--set", "--cores", "THALWEG_LOG_DIRS", "SIGHUP", "127.0.0.1:9092", "./data"] {
        assert!(told.contains(word), "{word} in {told}");
    }
    assert!(String::from_utf8(ended(&["--version"]).stdout).unwrap().starts_with("thalweg "));
}

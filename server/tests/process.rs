//! The broker as a process: how it starts, what it says, how it is asked to reopen its log and to stop.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// The broker's program, without the variables of the test run: those that begin with `THALWEG_` would be settings.
fn broker() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("THALWEG_")) {
        command.env_remove(name);
    }
    command
}

/// A port that was free a moment ago.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A broker on a directory of its own.
struct Broker {
    child: Child,
    directory: PathBuf,
    http: u16,
}

fn command(directory: &Path, http: u16, more: &[&str]) -> Command {
    let mut command = broker();
    command.current_dir(directory).stdin(Stdio::null()).args(["--cores", "1"]);
    let settings = [
        format!("listeners=PLAINTEXT://127.0.0.1:{}", port()),
        format!("thalweg.http.listener=127.0.0.1:{http}"),
        "thalweg.journal.file.bytes=33554432".to_owned(),
        "thalweg.memory.bytes=268435456".to_owned(),
        "thalweg.log.file=broker.log".to_owned(),
    ];
    for setting in settings.iter().map(String::as_str).chain(more.iter().copied()) {
        command.args(["--set", setting]);
    }
    command
}

impl Broker {
    fn start(directory: &Path, more: &[&str]) -> Self {
        let http = port();
        let child = command(directory, http, more).spawn().unwrap();
        let mut broker = Self { child, directory: directory.to_owned(), http };
        broker.wait_until_ready();
        broker
    }

    fn wait_until_ready(&mut self) {
        let start = Instant::now();
        while !self.get("/ready").starts_with("HTTP/1.1 200") {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended: {}", self.log());
            assert!(start.elapsed() < READY_WITHIN, "not ready: {}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What its port for probes answers; empty while it answers nothing.
    fn get(&self, path: &str) -> String {
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.http)) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
            let _ = stream.read_to_string(&mut answer);
        }
        answer
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("broker.log")).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id() as i32).unwrap(), signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < STOP_WITHIN, "it does not end: {}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What it says on stderr before it ends, which it must with code 1.
fn refusal(directory: &Path, arguments: &[&str]) -> String {
    let mut command = broker();
    let output = command.current_dir(directory).args(arguments).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_eq!(told.lines().count(), 1, "one line: {told}");
    told
}

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
    assert!(told(&["--config", "no-such-file.toml"]).contains("no-such-file.toml"));
    assert!(told(&["--set", "thalweg.log.file=no/such/directory"]).contains("thalweg.log.file"));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was made");
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

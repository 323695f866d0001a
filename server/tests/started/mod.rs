//! The broker's program, started with its data in a directory of the test.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// The broker's program, without the variables of the test run: those that begin with `THALWEG_` would be settings.
pub(crate) fn broker() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("THALWEG_")) {
        command.env_remove(name);
    }
    command
}

/// A port that was free a moment ago.
pub(crate) fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A broker on a directory of its own.
pub(crate) struct Broker {
    pub(crate) child: Child,
    pub(crate) directory: PathBuf,
    pub(crate) http: u16,
}

/// A broker on one core, with its log in `broker.log`; later settings count more.
pub(crate) fn command(directory: &Path, http: u16, more: &[&str]) -> Command {
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
    pub(crate) fn start(directory: &Path, more: &[&str]) -> Self {
        let http = port();
        let child = command(directory, http, more).spawn().unwrap();
        let mut broker = Self { child, directory: directory.to_owned(), http };
        broker.wait_until_ready();
        broker
    }

    pub(crate) fn wait_until_ready(&mut self) {
        let start = Instant::now();
        while !self.get("/ready").starts_with("HTTP/1.1 200") {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended: {}", self.log());
            assert!(start.elapsed() < READY_WITHIN, "not ready: {}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What its port for probes answers; empty while it answers nothing.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.http)) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
            let _ = stream.read_to_string(&mut answer);
        }
        answer
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.join("broker.log")).unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id() as i32).unwrap(), signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
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
pub(crate) fn refusal(directory: &Path, arguments: &[&str]) -> String {
    let mut command = broker();
    refused(command.current_dir(directory).args(arguments).output().unwrap())
}

/// The one line of a program that refused to run.
pub(crate) fn refused(output: Output) -> String {
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_eq!(told.lines().count(), 1, "one line: {told}");
    assert!(output.stdout.is_empty());
    told
}

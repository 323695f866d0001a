//! One running driver of a real client: started with a verb, told commands, its events read as they come.
//!
//! The drivers' side of this is described in `tests/clients/README.md`. What a driver has said is folded into `Seen`; nothing here judges.

use crate::process;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything that these tests wait for takes on a machine that does ten other things.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// The last lines of a process that has ended are on their way at most this long.
const DRAINED_WITHIN: Duration = Duration::from_secs(10);
/// How much of a driver's standard error a failing test prints.
const STDERR_BYTES_MAX: usize = 6000;

/// How a driver is started: its program and what stands before the verb.
#[derive(Clone, Debug)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Its first arguments.
    pub arguments: Vec<String>,
    /// Keys that every start with this verb gets, or every start where the verb is empty: `(verb, key=value)`.
    pub keys: Vec<(&'static str, &'static str)>,
}

impl Program {
    /// A program that is nothing but its file.
    pub fn alone(path: PathBuf) -> Self {
        Self { path, arguments: Vec::new(), keys: Vec::new() }
    }

    /// What stands behind the program's name for this verb, up to the keys of the moment.
    pub fn command_line(&self, verb: &str) -> Vec<String> {
        let keys = self.keys.iter().filter(|(of, _)| of.is_empty() || *of == verb);
        let mut line = self.arguments.clone();
        line.push(verb.to_string());
        line.extend(keys.map(|(_, key)| (*key).to_string()));
        line
    }
}

/// A record as a client handed it out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taken {
    /// `topic:partition`.
    pub at: String,
    /// Its offset.
    pub offset: i64,
    /// Its key, if it has one.
    pub key: Option<String>,
    /// Its value without the dots that fill it up.
    pub value: String,
    /// Length of the whole value.
    pub bytes: u64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
}

/// All that a driver has told so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Records in the order they were handed out.
    pub records: Vec<Taken>,
    /// `topic:partition` of what it owns now.
    pub owned: BTreeSet<String>,
    /// How often it was told an assignment, or that partitions were taken from it.
    pub rebalances: usize,
    /// Offsets it says it has committed.
    pub committed: BTreeMap<String, i64>,
    /// Events by name.
    pub counts: BTreeMap<String, usize>,
    /// Messages of `error` events.
    pub errors: Vec<String>,
    /// Records acknowledged so far, and those given up.
    pub acked: u64,
    /// Records that were given up.
    pub failed: u64,
    /// Records that it says it has read, at its end.
    pub read: Option<u64>,
}

impl Seen {
    /// How often an event came.
    pub fn count(&self, event: &str) -> usize {
        self.counts.get(event).copied().unwrap_or(0)
    }

    fn fold(&mut self, event: &Value) {
        let name = event["event"].as_str().unwrap_or_default();
        *self.counts.entry(name.to_string()).or_default() += 1;
        match name {
            "assigned" => {
                self.owned = names(&event["partitions"]).collect();
                self.rebalances += 1;
            }
            "revoked" => {
                for name in names(&event["partitions"]) {
                    self.owned.remove(&name);
                    self.rebalances += 1;
                }
            }
            "record" => self.records.push(Taken {
                at: word(&event["at"]),
                offset: event["offset"].as_i64().expect("a record has an offset"),
                key: event["key"].as_str().map(str::to_string),
                value: word(&event["value"]),
                bytes: event["bytes"].as_u64().expect("a record has a length"),
                timestamp: event["timestamp"].as_i64().unwrap_or(-1),
            }),
            "committed" => {
                for (at, offset) in event["offsets"].as_object().into_iter().flatten() {
                    self.committed.insert(at.clone(), offset.as_i64().unwrap_or(-1));
                }
            }
            "progress" | "produced" => {
                self.acked = event["acked"].as_u64().unwrap_or(0);
                self.failed = event["failed"].as_u64().unwrap_or(0);
                self.errors.extend(names(&event["errors"]));
            }
            "stopped" => self.read = event["read"].as_u64(),
            "error" => self.errors.push(word(&event["message"])),
            _ => {}
        }
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

fn names(list: &Value) -> impl Iterator<Item = String> {
    list.as_array().into_iter().flatten().map(word)
}

/// A driver that runs; killed with the value.
#[derive(Debug)]
pub struct Driver {
    /// What failures call it.
    pub name: String,
    /// What it has told, up to the last look.
    pub seen: Seen,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Arc<Mutex<Vec<u8>>>,
}

impl Driver {
    /// Starts `program verb key=value...`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(program: &Program, name: &str, verb: &str, keys: &[(&str, &str)]) -> Self {
        let mut command = Command::new(&program.path);
        command.args(program.command_line(verb));
        command.args(keys.iter().map(|(key, value)| format!("{key}={value}")));
        let mut child = process::spawn(&command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = Arc::new(Mutex::new(Vec::new()));
        keep(child.stderr.take().expect("stderr is a pipe"), Arc::clone(&stderr));
        let stdin = child.stdin.take();
        Self { name: format!("{name} {verb}"), seen: Seen::default(), child, stdin, lines, stderr }
    }

    /// Takes in what it has said since the last look.
    ///
    /// # Panics
    /// If a line is no JSON, or tells an error that ends it.
    pub fn look(&mut self) -> &Seen {
        while let Ok(line) = self.lines.try_recv() {
            self.take(&line);
        }
        &self.seen
    }

    fn take(&mut self, line: &str) {
        let event: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error} in {line:?}", self.name));
        self.seen.fold(&event);
        assert!(event["fatal"] != Value::Bool(true), "{}: {line}", self.name);
    }

    /// Takes in all that an ended driver has said.
    fn drain(&mut self) {
        while let Ok(line) = self.lines.recv_timeout(DRAINED_WITHIN) {
            self.take(&line);
        }
    }

    /// Gives it a command.
    ///
    /// # Panics
    /// If it has ended.
    pub fn tell(&mut self, command: &str) {
        let stdin = self.stdin.as_mut().unwrap_or_else(|| panic!("{} was told to stop", self.name));
        writeln!(stdin, "{command}").and_then(|()| stdin.flush()).unwrap_or_else(|error| {
            panic!("{} takes no {command}: {error}", self.name);
        });
    }

    /// Gives it a command and waits for the event that answers it.
    ///
    /// # Panics
    /// If that event does not come.
    pub fn tell_until(&mut self, command: &str, event: &str) {
        let before = self.look().count(event);
        self.tell(command);
        self.until(&format!("{event} after {command}"), |seen| seen.count(event) > before);
    }

    /// Waits until what it has said is enough.
    ///
    /// # Panics
    /// If that does not happen, or it ends first.
    pub fn until(&mut self, what: &str, mut enough: impl FnMut(&Seen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() {
                self.drain();
            }
            if enough(self.look()) {
                return;
            }
            assert!(ended.is_none(), "{} ended with {ended:?} before: {what}", self.name);
            assert!(Instant::now() < deadline, "{}: not within {PATIENCE:?}: {what}", self.name);
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Lets it end: `stop` for a consumer that has not ended by itself, then exit code 0.
    ///
    /// # Panics
    /// If it does not end, or with another code.
    pub fn end(&mut self) -> &Seen {
        if let Some(mut stdin) = self.stdin.take() {
            let _ = writeln!(stdin, "stop"); // one that has ended already takes none
        }
        self.ended()
    }

    /// Waits until it has ended by itself with exit code 0.
    ///
    /// # Panics
    /// If it does not end, or with another code.
    pub fn ended(&mut self) -> &Seen {
        let status = process::wait(&mut self.child, PATIENCE);
        self.drain();
        assert!(status.is_some(), "{} does not end", self.name);
        assert!(status.is_some_and(|status| status.success()), "{} ended with {status:?}", self.name);
        let told = self.seen.read.unwrap_or(self.seen.records.len() as u64);
        assert!(self.seen.count("stopped") + self.seen.count("produced") == 1, "{}: no last word", self.name);
        assert_eq!(
            self.seen.records.len() as u64,
            told,
            "{}: records that came, and that it told",
            self.name
        );
        &self.seen
    }

    /// SIGKILL, as a crash.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    /// What a failure should tell of it.
    fn story(&self) -> String {
        let mut story = format!("--- {}: {:?}; owns {:?}", self.name, self.seen.counts, self.seen.owned);
        for error in self.seen.errors.iter().rev().take(5).rev() {
            let _ = write!(story, "\n  error: {error}");
        }
        let stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let start = stderr.len().saturating_sub(STDERR_BYTES_MAX);
        let _ = write!(story, "\n{}", String::from_utf8_lossy(&stderr[start..]));
        story
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.story());
        }
        self.kill();
    }
}

/// Keeps the last part of what a pipe says.
fn keep(mut pipe: impl Read + Send + 'static, kept: Arc<Mutex<Vec<u8>>>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend_from_slice(&buffer[..length]);
            let excess = kept.len().saturating_sub(4 * STDERR_BYTES_MAX);
            kept.drain(..excess);
        }
    });
}

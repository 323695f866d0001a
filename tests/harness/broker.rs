//! Start, stop, kill and start again: one broker under test, `thalweg` of this workspace or, for comparison, Apache Kafka.
//!
//! A broker of its own (`Broker::with`) costs a start; `Broker::shared` is one broker with default settings for every test that
//! only needs topics of its own. Each keeps its log, which a failing test prints.

use crate::client::Client;
use crate::kafka_tools;
use crate::process;
use crate::scratch::{Scratch, profile_dir, repository};
use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest};
use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

const READY_WITHIN: Duration = Duration::from_mins(1);
/// For requests, tails and caches of the broker under test.
pub const MEMORY_BYTES: u64 = 512 * 1024 * 1024;
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// How much of a log a failing test prints.
const LOG_TAIL_BYTES: usize = 16 * 1024;

/// Which broker the tests run against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Against {
    /// The `thalweg` binary of this workspace.
    Thalweg,
    /// Apache Kafka of this release, one KRaft node.
    Kafka(String),
}

impl Against {
    /// As `THALWEG_TEST_AGAINST` says: unset, `kafka` (4.3.1) or `kafka-<release>`.
    ///
    /// # Panics
    /// If it says something else.
    pub fn chosen() -> Self {
        match env::var("THALWEG_TEST_AGAINST").ok().as_deref() {
            None | Some("" | "thalweg") => Self::Thalweg,
            Some("kafka") => Self::Kafka("4.3.1".to_string()),
            Some(text) => {
                let release = text.strip_prefix("kafka-");
                Self::Kafka(release.unwrap_or_else(|| panic!("THALWEG_TEST_AGAINST={text}")).to_string())
            }
        }
    }

    /// Whether the broker is ours: for what only a broker of ours is asked.
    pub fn is_thalweg(&self) -> bool {
        *self == Self::Thalweg
    }
}

/// Where a broker's settings come from, besides its flags.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources {
    /// Name and content of the file that `--config` names.
    pub file: Option<(&'static str, &'static str)>,
    /// Variables.
    pub environment: &'static [(&'static str, &'static str)],
}

/// One broker process, its data directory and its log. Ends with the value.
#[derive(Debug)]
pub struct Broker {
    against: Against,
    scratch: Scratch,
    port: u16,
    settings: Vec<(String, String)>,
    /// A file of settings and variables, both below the settings in priority.
    sources: Sources,
    child: Option<Child>,
    log: PathBuf,
}

impl Broker {
    /// A broker of its own with default settings.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// A broker of its own; the settings have Kafka's names. `{port}` in a value is the port that tests
    /// connect to, `{controller}` that of Kafka's controller.
    ///
    /// # Panics
    /// If it does not get ready.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        Self::with_sources(settings, Sources::default())
    }

    /// The same with a file and variables besides, for `thalweg` alone.
    ///
    /// # Panics
    /// If it does not get ready.
    pub fn with_sources(settings: &[(&str, &str)], sources: Sources) -> Self {
        let mut broker = Self::prepared(settings, sources);
        broker.start_again(None);
        broker
    }

    /// A broker that has not been started yet: whoever wants to can lay out its data directory first.
    pub fn prepared(settings: &[(&str, &str)], sources: Sources) -> Self {
        let against = Against::chosen();
        let scratch = Scratch::new("broker");
        let log = scratch.path().join("server.log");
        let mut all = vec![("group.initial.rebalance.delay.ms".to_string(), "0".to_string())];
        let port = free_port();
        let ports =
            [("{port}", port), ("{controller}", port + 1)].map(|(word, port)| (word, port.to_string()));
        let filled = |value: &str| {
            ports.iter().fold(value.to_string(), |value, (word, port)| value.replace(word, port))
        };
        all.extend(settings.iter().map(|&(key, value)| (key.to_string(), filled(value))));
        Self { against, scratch, port, settings: all, sources, child: None, log }
    }

    /// The broker with default settings that all tests of this process share. Never stop or kill it.
    ///
    /// # Panics
    /// If it does not get ready.
    pub fn shared() -> Shared {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        let broker = SHARED.get_or_init(Self::start);
        Shared { broker, log_start: broker.log_text().len() }
    }

    /// Starts the stopped or killed broker on the same data and port and waits until it answers; returns how long that took.
    ///
    /// # Panics
    /// If it runs already or does not get ready.
    pub fn start_again(&mut self, cores: Option<&str>) -> Duration {
        let begun = self.begin(cores);
        self.wait_until_ready(begun)
    }

    /// Starts the process and does not wait for it; returns when that was.
    ///
    /// # Panics
    /// If it runs already.
    pub fn begin(&mut self, cores: Option<&str>) -> Instant {
        assert!(self.child.is_none(), "the broker runs already");
        let command = match &self.against {
            Against::Thalweg => self.thalweg(cores),
            Against::Kafka(release) => self.kafka(release),
        };
        let begun = Instant::now(); // not before: the first command builds the broker
        let mut child = process::spawn(&command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
        drop(follow(child.stdout.take().expect("a pipe"), &self.log));
        drop(follow(child.stderr.take().expect("a pipe"), &self.log));
        self.child = Some(child);
        begun
    }

    /// Waits until the process that was started answers; returns how long that took since `begun`.
    ///
    /// # Panics
    /// If it ends or does not answer within a minute.
    pub fn wait_until_ready(&mut self, begun: Instant) -> Duration {
        let ready = self.ready_or_ended(begun);
        ready.unwrap_or_else(|ended| {
            panic!("the broker ended with {ended:?} instead of getting ready\n{}", self.log_tail())
        })
    }

    /// Waits until the process that was started answers, or ends by itself; returns how long the first took.
    ///
    /// # Errors
    /// How it ended.
    ///
    /// # Panics
    /// If it does neither within a minute.
    pub fn ready_or_ended(&mut self, begun: Instant) -> Result<Duration, ExitStatus> {
        while !self.answers() {
            if let Some(ended) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                self.child = None;
                return Err(ended);
            }
            assert!(begun.elapsed() < READY_WITHIN, "not ready within {READY_WITHIN:?}\n{}", self.log_tail());
            thread::sleep(Duration::from_millis(20));
        }
        Ok(begun.elapsed())
    }

    /// Starts the stopped or killed broker, which must refuse: the log of that start.
    ///
    /// # Panics
    /// If it runs, or does not end with code 1.
    pub fn start_refused(&mut self) -> String {
        assert!(self.child.is_none(), "the broker runs already");
        let before = self.log_text().len();
        let command = self.thalweg(None);
        let mut child = process::spawn(&command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let readers = [
            follow(child.stdout.take().expect("a pipe"), &self.log),
            follow(child.stderr.take().expect("a pipe"), &self.log),
        ];
        self.child = Some(child);
        let status = self.wait_for_end();
        readers.into_iter().for_each(|reader| reader.join().expect("a log can be read"));
        let log = self.log_text().split_off(before);
        assert_eq!(status.code(), Some(1), "{log}");
        log
    }

    /// Gives the broker another value of a setting, from its next start on.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.to_string(), value.to_string()));
    }

    /// Waits until the broker has logged this.
    ///
    /// # Panics
    /// If it does not within 20 seconds.
    pub fn wait_for_line(&self, line: &str) {
        let start = Instant::now();
        while !self.log_text().contains(line) {
            assert!(start.elapsed() < STOP_WITHIN, "no line {line:?} in {}", self.log_text());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGTERM; the broker must end cleanly with exit code 0.
    ///
    /// # Panics
    /// If it does not within 20 seconds.
    pub fn stop(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        let status = self.wait_for_end();
        let clean = if self.against.is_thalweg() { 0 } else { 143 }; // a JVM that a signal stops says so, even after a clean end
        assert_eq!(status.code(), Some(clean), "after SIGTERM\n{}", self.log_tail());
    }

    /// Sends a signal to the process.
    ///
    /// # Panics
    /// If the broker does not run.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid() as i32).expect("a process id is not 0");
        rustix::process::kill_process(pid, signal).expect("the broker can be signalled");
    }

    /// How the broker ends that was asked to.
    ///
    /// # Panics
    /// If it does not within 20 seconds.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the broker runs");
        let status = process::wait(&mut child, STOP_WITHIN);
        let Some(status) = status else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the broker did not end within {STOP_WITHIN:?}\n{}", self.log_tail());
        };
        status
    }

    /// SIGKILL, as a crash of the process.
    ///
    /// # Panics
    /// If the broker does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the broker runs");
        child.kill().expect("the broker can be killed");
        child.wait().expect("a killed broker ends");
    }

    /// Whether the process is there and answers `ApiVersions` and `Metadata`.
    fn answers(&self) -> bool {
        let Ok(mut client) = Client::connect_within(&self.address(), Duration::from_secs(1)) else {
            return false;
        };
        if client.try_call(0, &ApiVersionsRequest::default()).is_err() {
            return false;
        }
        let every_topic = MetadataRequest::default().with_topics(None);
        client.try_call(1, &every_topic).is_ok_and(|answer| !answer.brokers.is_empty())
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A fresh connection.
    ///
    /// # Panics
    /// If the broker does not take it.
    pub fn client(&self) -> Client {
        Client::connect_within(&self.address(), Duration::from_secs(10))
            .expect("the broker takes connections")
    }

    /// The broker's process id.
    ///
    /// # Panics
    /// If it does not run.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the broker runs").id()
    }

    /// Whether the process that was started is still the one that runs.
    pub fn is_alive(&self) -> bool {
        self.child.as_ref().is_some_and(|child| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
            stat.rsplit(')')
                .next()
                .is_some_and(|rest| !rest.trim_start().starts_with('Z') && !rest.is_empty())
        })
    }

    /// `log.dirs`.
    pub fn data_dir(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// The segment files of one partition, by base offset.
    ///
    /// # Panics
    /// If the partition has no directory.
    pub fn segments(&self, topic: &str, partition: i32) -> Vec<PathBuf> {
        let dir = self.data_dir().join(format!("{topic}-{partition}"));
        let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        let mut logs: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        logs.retain(|path| path.extension().is_some_and(|ending| ending == "log"));
        logs.sort();
        logs
    }

    /// The directory of everything that belongs to this broker: data, log, settings.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// Its directory stays when this value goes.
    pub fn keep(&mut self) {
        self.scratch.keep();
    }

    /// What the tests run against.
    pub fn against(&self) -> &Against {
        &self.against
    }

    /// All that the broker has logged.
    pub fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn log_tail(&self) -> String {
        tail_of(&self.log_text(), 0)
    }

    fn thalweg(&self, cores: Option<&str>) -> Command {
        let mut command = Command::new(thalweg_binary());
        command.arg("--set").arg(format!("listeners=PLAINTEXT://{}", self.address()));
        command.arg("--set").arg(format!("log.dirs={}", self.data_dir().display()));
        command.arg("--set").arg(format!("thalweg.memory.bytes={MEMORY_BYTES}"));
        // Brokers of tests run side by side: no port of their own for metrics, and the smallest journals.
        command.args(["--set", "thalweg.http.listener=none", "--set", "thalweg.journal.file.bytes=33554432"]);
        if let Some((name, text)) = self.sources.file {
            fs::write(self.scratch.path().join(name), text).expect("the settings can be written");
            command.args(["--config", name]);
        }
        // Variables of the test run are none of the broker's settings.
        for (name, _) in env::vars().filter(|(name, _)| name.starts_with("THALWEG_")) {
            command.env_remove(name);
        }
        command.envs(self.sources.environment.iter().copied());
        for (key, value) in &self.settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        if let Some(cores) = cores {
            command.arg("--cores").arg(cores);
        }
        command.current_dir(self.scratch.path());
        command
    }

    /// One node that is broker and controller; its controller listens on the port that follows.
    fn kafka(&self, release: &str) -> Command {
        let dir = self.scratch.path();
        let properties = dir.join("server.properties");
        let (port, controller) = (self.port, self.port + 1);
        let mut text = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\n\
             log.dirs={}\noffsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n",
            self.data_dir().display()
        );
        for (key, value) in &self.settings {
            text.extend([key, "=", value, "\n"]);
        }
        fs::write(&properties, text).expect("the settings can be written");
        let kafka = kafka_tools::Kafka::installed(release)
            .expect("Kafka's jars are needed to run the tests against it");
        if !self.data_dir().join("meta.properties").exists() {
            let mut format = kafka.java("256m", "kafka.tools.StorageTool");
            format
                .args(["format", "--ignore-formatted", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c"])
                .arg(&properties);
            let _ =
                process::run(&format, b"", Duration::from_mins(1)).succeeded("formatting Kafka's storage");
        }
        let mut command = kafka.java("640m", "kafka.Kafka");
        command.arg(&properties);
        command
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- the broker's log, its end\n{}", self.log_tail());
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// One test's view of the shared broker: what was logged meanwhile is printed if the test fails.
#[derive(Debug)]
pub struct Shared {
    broker: &'static Broker,
    log_start: usize,
}

impl Deref for Shared {
    type Target = Broker;

    fn deref(&self) -> &Broker {
        self.broker
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if thread::panicking() {
            let state = if self.broker.is_alive() { "alive" } else { "GONE" };
            let logged = tail_of(&self.broker.log_text(), self.log_start);
            eprintln!("--- the shared broker is {state}; it logged since this test began\n{logged}");
        }
    }
}

fn tail_of(text: &str, start: usize) -> String {
    let start = start.max(text.len().saturating_sub(LOG_TAIL_BYTES));
    String::from_utf8_lossy(&text.as_bytes()[start.min(text.len())..]).into_owned()
}

/// Copies a pipe into the log file until it ends.
fn follow(mut pipe: impl io::Read + Send + 'static, log: &Path) -> thread::JoinHandle<()> {
    let mut file = File::options().create(true).append(true).open(log).expect("the log can be written");
    thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(length) = pipe.read(&mut buffer) {
            if length == 0 || file.write_all(&buffer[..length]).is_err() {
                return;
            }
        }
    })
}

/// `target/<profile>/thalweg`, built.
///
/// # Panics
/// If cargo cannot build it.
pub fn thalweg_binary() -> PathBuf {
    binary("thalweg")
}

/// `target/<profile>/thalweg-loadgen`, built.
///
/// # Panics
/// If cargo cannot build it.
pub fn loadgen_binary() -> PathBuf {
    binary("thalweg-loadgen")
}

/// A binary of this workspace, built from the present source unless `THALWEG_TEST_BUILT=1` says that this was just done.
fn binary(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        if env::var("THALWEG_TEST_BUILT").as_deref() == Ok("1") {
            return;
        }
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--workspace", "--bins"]).current_dir(repository());
        if profile_dir().ends_with("release") {
            cargo.arg("--release");
        }
        let _ =
            process::run(&cargo, b"", Duration::from_mins(20)).succeeded("building the binaries under test");
    });
    let path = profile_dir().join(name);
    assert!(path.is_file(), "{} is missing: cargo build --workspace --bins", path.display());
    path
}

/// A port that nobody listens on, below the range that outgoing connections take theirs from, with a free one behind it.
///
/// # Panics
/// If there is none.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 600) as u16 * 20;
    for _ in 0..6000 {
        let step = NEXT.fetch_add(2, Ordering::Relaxed);
        let port = 18_000 + (start + step) % 12_000;
        let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if free(port) && free(port + 1) {
            return port;
        }
    }
    panic!("no free port between 18000 and 30000");
}

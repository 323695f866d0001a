//! The clients of the matrix: one row each, how its driver is built and how it is started.
//!
//! Drivers lie in `tests/clients` and keep to its README. What is fetched for them is kept in the client cache and what is compiled under
//! `target/`, so that only the first run takes long. A client that cannot be had is skipped in one loud line.

use crate::cached::cached;
use crate::driver::{Driver, Program};
use crate::kafka_tools::RELEASES;
use crate::process::{self, which};
use crate::programs::{self, built, go_build, java_driver, once};
use crate::scratch::{repository, target_dir};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;
use std::{env, fs};

/// A client as the matrix names it.
#[derive(Debug)]
pub struct Subject {
    /// Its row.
    pub name: &'static str,
    /// Where its driver comes from.
    pub source: Source,
    /// Keys that it always gets: `(verb, key=value)`, where an empty verb is every verb.
    pub keys: &'static [(&'static str, &'static str)],
    /// Where it behaves in its own way, on Kafka as well: a verb, and what is not asked of it there, with the reason.
    pub differs: &'static [(&'static str, &'static str)],
    /// A fault of the client's own that shows at times, on Kafka as well: a cell that fails is tried once more, loudly.
    pub stumbles: Option<&'static str>,
    /// Whether it is another row's client with another assignor, and only what groups do differs.
    pub groups_only: bool,
}

/// Where a driver comes from.
#[derive(Debug)]
pub enum Source {
    /// `tests/clients/python`: the requirements file of a virtual environment of its own, and the program.
    Python(&'static str, &'static str),
    /// A Go module of this name in `tests/clients`.
    Go(&'static str),
    /// A crate of this name in `tests/clients`, outside the workspace.
    Cargo(&'static str),
    /// What `programs.rs` builds.
    Made(fn() -> Option<Program>),
}

const fn subject(name: &'static str, source: Source) -> Subject {
    Subject { name, source, keys: &[], differs: &[], stumbles: None, groups_only: false }
}

const fn with_assignor(
    name: &'static str,
    source: Source,
    keys: &'static [(&'static str, &'static str)],
) -> Subject {
    Subject { name, source, keys, differs: &[], stumbles: None, groups_only: true }
}

/// sarama with the protocol version that its users set by hand.
const fn sarama(name: &'static str, keys: &'static [(&'static str, &'static str)]) -> Subject {
    Subject { name, source: Source::Go("ibm-sarama"), keys, differs: &[], stumbles: None, groups_only: false }
}

const KAFKA_PYTHON_OLD: Source = Source::Python("kafka-python-2.0.2", "with_kafka_python.py");
const KAFKA_PYTHON: Source = Source::Python("kafka-python", "with_kafka_python.py");
const AIOKAFKA: Source = Source::Python("aiokafka", "with_aiokafka.py");
const CONFLUENT: Source = Source::Python("confluent-kafka", "with_confluent_kafka.py");

const RDKAFKA: Source = Source::Cargo("rdkafka");
const FRANZ_GO: Source = Source::Go("franz-go");
const JAVA_OLD: Source = Source::Made(|| java_driver(RELEASES[0]));
const JAVA: Source = Source::Made(|| java_driver(RELEASES[1]));

const RANGE: &[(&str, &str)] = &[("consume", "assignor=range")];
const STICKY: &[(&str, &str)] = &[("consume", "assignor=sticky")];
const COOPERATIVE: &[(&str, &str)] = &[("consume", "assignor=cooperative-sticky")];

const GIVES_UP: &str = "a delivery of every record: this fork gives some up with an error, on Kafka 4.3.1 too, and Filebeat sends those again";

/// Every row of the matrix.
pub const SUBJECTS: &[Subject] = &[
    subject("Java 3.5.1", JAVA_OLD),
    with_assignor("Java 3.5.1, sticky", JAVA_OLD, STICKY),
    with_assignor("Java 3.5.1, cooperative", JAVA_OLD, COOPERATIVE),
    subject("Java 4.3.1", JAVA),
    with_assignor("Java 4.3.1, sticky", JAVA, STICKY),
    with_assignor("Java 4.3.1, cooperative", JAVA, COOPERATIVE),
    subject("confluent-kafka", CONFLUENT),
    with_assignor("confluent-kafka, cooperative", CONFLUENT, COOPERATIVE),
    subject("rust-rdkafka", RDKAFKA),
    Subject {
        differs: &[(
            "static restart",
            "a quiet restart: franz-go's cooperative leader rebalances when it comes back, on Kafka 4.3.1 too",
        )],
        ..subject("franz-go", FRANZ_GO)
    },
    with_assignor("franz-go, range", FRANZ_GO, RANGE),
    sarama("sarama 1.0.0", &[("", "protocol=1.0.0")]),
    sarama("sarama 2.1.0", &[("", "protocol=2.1.0")]),
    sarama("sarama 4.0.0", &[("", "protocol=4.0.0")]),
    Subject {
        differs: &[("broker restarted", GIVES_UP), ("broker killed", GIVES_UP)],
        ..subject("Filebeat's sarama", Source::Made(programs::sarama))
    },
    subject("kafka-go", Source::Go("kafka-go")),
    subject("KafkaJS", Source::Made(programs::kafkajs)),
    subject("kafka-python 2.0.2", KAFKA_PYTHON_OLD),
    Subject {
        stumbles: Some("a poll that ends inside a rejoin makes it lose its assignment, on Kafka 4.3.1 too"),
        ..subject("kafka-python 3.0.12", KAFKA_PYTHON)
    },
    subject("aiokafka", AIOKAFKA),
];

/// A subject whose driver is there and has said what its client cannot do.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Its row.
    pub name: &'static str,
    /// How it is started.
    pub program: Program,
    /// The client's own name and version.
    pub version: String,
    /// What it cannot do, each with the reason.
    pub lacks: BTreeMap<String, String>,
    /// What is not asked of it, by verb.
    pub differs: &'static [(&'static str, &'static str)],
    /// Why a cell of it that fails is tried once more.
    pub stumbles: Option<&'static str>,
}

impl Ready {
    /// What is not asked of it in this verb.
    pub fn differs(&self, verb: &str) -> Option<String> {
        self.differs.iter().find(|(of, _)| *of == verb).map(|(_, what)| (*what).to_string())
    }

    /// Starts a verb.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(&self, verb: &str, keys: &[(&str, &str)]) -> Driver {
        Driver::start(&self.program, self.name, verb, keys)
    }
}

impl Subject {
    /// Builds the driver if need be and asks it what its client lacks; `None`, loudly, where it cannot be had.
    ///
    /// # Panics
    /// If a driver that was built does not tell its features.
    pub fn ready(&self) -> Option<Ready> {
        static KNOWN: Mutex<BTreeMap<&'static str, Ready>> = Mutex::new(BTreeMap::new());
        let mut program = self.source.program()?;
        let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(ready) = known.get(self.name) {
            return Some(ready.clone());
        }
        program.keys.extend_from_slice(self.keys);
        let features = features(&program);
        let ready = Ready {
            name: self.name,
            version: format!("{} {}", text(&features["client"]), text(&features["version"])),
            lacks: features["lacks"].as_object().map_or_else(BTreeMap::new, |lacks| {
                lacks.iter().map(|(name, why)| (name.clone(), text(why))).collect()
            }),
            differs: self.differs,
            stumbles: self.stumbles,
            program,
        };
        known.insert(self.name, ready.clone());
        Some(ready)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

fn features(program: &Program) -> Value {
    let mut command = Command::new(&program.path);
    command.args(program.command_line("features"));
    let output = process::run(&command, b"", Duration::from_mins(1)).succeeded("a driver's features");
    let line = output.lines().last().copied().unwrap_or_default().to_string();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
}

impl Source {
    fn program(&self) -> Option<Program> {
        match self {
            Self::Python(requirements, script) => {
                let path = once(requirements, || environment(requirements))?;
                let script = python_drivers().join(script).display().to_string();
                Some(Program { path, arguments: vec!["-B".to_string(), script], keys: Vec::new() })
            }
            Self::Made(make) => make(),
            Self::Go(name) => Some(Program::alone(once(name, || go_build(name))?)),
            Self::Cargo(name) => Some(Program::alone(once(name, || cargo_build(name))?)),
        }
    }
}

fn python_drivers() -> PathBuf {
    repository().join("tests/clients/python")
}

/// The interpreter of a virtual environment that has what the requirements file lists, and nothing else.
fn environment(name: &str) -> Result<PathBuf, String> {
    which("python3").ok_or("python3 is not installed")?;
    let requirements = python_drivers().join(format!("{name}.txt"));
    let listed =
        fs::read_to_string(&requirements).map_err(|error| format!("{}: {error}", requirements.display()))?;
    let mut version = Command::new("python3");
    version.arg("--version");
    let version = process::run(&version, b"", Duration::from_mins(1));
    let wanted = format!("{}\n{listed}", version.stdout.trim());
    let home = cached(&format!("python-{name}"), &wanted, |home| {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"]).arg(home.join("venv"));
        built(&venv)?;
        let mut pip = Command::new(home.join("venv/bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "-r"]);
        built(pip.arg(&requirements))
    })?;
    Ok(home.join("venv/bin/python"))
}

/// Builds a crate of its own; its C library takes a minute or two the first time.
fn cargo_build(name: &str) -> Result<PathBuf, String> {
    let target = target_dir().join("test-clients").join(name);
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--release", "--locked", "--target-dir"]).arg(&target);
    cargo.current_dir(repository().join("tests/clients").join(name));
    built(&cargo)?;
    Ok(target.join("release").join(format!("thalweg-test-{name}")))
}

//! One run: a broker on an empty directory, its topic, what it holds before, the load, and what is there afterwards.
//!
//! ```text
//! caches dropped, start -- [a JVM: trained] -- topic -- [fill -- stop, caches dropped, start] -- load -- offsets -- end, directory removed
//! ```

use crate::contender::Contender;
use crate::outcome::{Kind, Outcome};
use crate::plan::{REST_S, Sizes, Workload};
use crate::work;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use thalweg_benches::brokers::cpus::{Cpus, pinned};
use thalweg_benches::brokers::disk::{forget, has_room, remove_aside, set_aside};
use thalweg_benches::brokers::probe::{self, Asked, EARLIEST, LATEST};
use thalweg_benches::brokers::process::Broker;

const TOPIC: &str = "rivals";
/// Of a broker that is trained.
const TRAINING: &str = "training";
/// More partitions teach it nothing.
const TRAINING_PARTITIONS_MAX: usize = 16;
/// Events a second are read back as they come, with a tail's own settings.
const ROUNDTRIP: &str = "roundtrip.toml";
/// Single records, as a ladder has them.
const SINGLES: [&str; 2] = ["--batch-records", "1"];
/// The same bytes for every broker and in every round.
const SEED: &str = "1";
/// Batches of a filling, and its records.
const FILL: [&str; 8] =
    ["--connections", "4", "--in-flight", "5", "--batch-bytes", "65536", "--record-bytes", "1024"];
const FILL_RECORD_BYTES: f64 = 1024.0;
/// What a filled topic takes on disk, and what indexes and a journal add.
const FILL_ROOM: f64 = 1.6;
/// Partitions take room before anything is in them.
const PARTITION_ROOM_BYTES: u64 = 192 << 10;
/// A run that takes so much longer than its windows hangs. Kafka makes and opens thousands of partitions in minutes.
const RUN_OVER: Duration = Duration::from_mins(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A broker comes to rest before it counts as idle.
const IDLE_AFTER_SHARE: f64 = 0.5;

/// Where runs happen.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) loadgen: PathBuf,
    /// Folder of the workload files.
    pub(crate) loads: PathBuf,
    /// Folder for data; out of the way before and after each run.
    pub(crate) directory: PathBuf,
    pub(crate) cpus: Cpus,
    pub(crate) port: u16,
    pub(crate) sizes: Sizes,
    pub(crate) keeps_page_cache: bool,
}

/// What is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task<'a> {
    pub(crate) workload: &'a Workload,
    pub(crate) contender: &'a Contender,
    /// Records a second that are offered; `None`: as many as it takes.
    pub(crate) records_per_s: Option<u64>,
    /// Where the load generator's result goes.
    pub(crate) result: &'a Path,
}

impl Task<'_> {
    fn is_trained(&self) -> bool {
        self.workload.trains(self.contender)
    }

    /// Before it is measured there is time for the machine to come to rest.
    fn rests_anyway(&self) -> bool {
        self.is_trained() || self.workload.fill
    }
}

/// The command of a workload file.
pub(crate) fn kind(loads: &Path, load: &str) -> io::Result<(Kind, String)> {
    let path = loads.join(load);
    let wrong = |told: String| io::Error::other(format!("{}: {told}", path.display()));
    let file: toml::Value =
        toml::from_str(&fs::read_to_string(&path)?).map_err(|error| wrong(error.to_string()))?;
    let command = file.get("command").and_then(toml::Value::as_str).unwrap_or_default();
    let kind = Kind::of(command).ok_or_else(|| wrong(format!("no table is made of {command:?}")))?;
    Ok((kind, command.to_owned()))
}

impl Stage {
    /// Runs it. A broker that cannot is an outcome as well; an error is of this machine or of these tools.
    pub(crate) fn run(&self, task: Task<'_>) -> io::Result<Outcome> {
        let partitions = task.workload.partitions;
        if let Some(reason) = task.contender.program.cannot_hold(partitions) {
            return Ok(Outcome::cannot(reason));
        }
        let fill_bytes = if task.workload.fill { self.sizes.fill_gb * 1e9 * FILL_ROOM } else { 0.0 };
        let room_bytes = fill_bytes as u64 + partitions as u64 * PARTITION_ROOM_BYTES;
        fs::create_dir_all(&self.directory)?;
        let directory = self.directory.join("broker");
        if directory.exists() {
            set_aside(&directory)?;
        }
        let is_short = has_room(&self.directory, &task.workload.name, room_bytes).is_err();
        // Who is trained has time for it.
        if is_short || task.rests_anyway() {
            remove_aside(&self.directory)?;
        }
        has_room(&self.directory, &task.workload.name, room_bytes)?;
        if is_short && !task.rests_anyway() {
            std::thread::sleep(Duration::from_secs_f64(REST_S));
        }
        fs::create_dir_all(&directory)?;
        let outcome = match self.measured(task, &directory) {
            Ok(outcome) => outcome,
            Err(error) => {
                let log = fs::read_to_string(directory.join("broker.log")).unwrap_or_default();
                let last =
                    log.lines().last().map_or(String::new(), |line| format!("; its last line: {line}"));
                Outcome::cannot(format!("{error}{last}"))
            }
        };
        set_aside(&directory)?;
        Ok(outcome)
    }

    /// Once all is measured.
    pub(crate) fn end(&self) -> io::Result<()> {
        if self.directory.exists() { remove_aside(&self.directory) } else { Ok(()) }
    }

    fn measured(&self, task: Task<'_>, directory: &Path) -> io::Result<Outcome> {
        let topic = Asked { topic: TOPIC.to_owned(), partition_end: task.workload.partitions };
        let mut page_cache = if task.rests_anyway() {
            self.forget(directory, &BTreeSet::new())?
        } else {
            format!(
                "nothing was removed or dropped from the page cache for {REST_S} s, or while a JVM trained"
            )
        };
        let mut broker = self.started(task, directory)?;
        if !task.workload.fill {
            self.train(task, &mut broker)?;
        }
        probe::create(self.port, &topic)?;
        // A broker may name itself leader before it acts as one; it does once it tells the offsets.
        broker.until(|| {
            probe::leaders(self.port, std::slice::from_ref(&topic))?;
            ends(self.port, &topic).map(drop)
        })?;
        let mut filled = Filled::default();
        if task.workload.fill {
            filled = self.fill(&topic)?;
            let files = broker.program_files(directory)?;
            broker.stop()?;
            page_cache = self.forget(directory, &files)?;
            broker = self.started(task, directory)?;
            if task.is_trained() {
                self.train(task, &mut broker)?;
            } else {
                std::thread::sleep(Duration::from_secs_f64(REST_S));
            }
            broker.until(|| ends(self.port, &topic).map(drop))?;
        }
        let mut outcome = match &task.workload.load {
            None => self.idle(&broker)?,
            Some(load) => self.loaded(task, load, &broker, &topic, filled)?,
        };
        outcome.page_cache = page_cache;
        broker.kill()?;
        Ok(outcome)
    }

    fn started(&self, task: Task<'_>, directory: &Path) -> io::Result<Broker> {
        let mut broker = task.contender.program.start_pinned(directory, self.port, &self.cpus.broker, &[])?;
        broker.ready()?;
        Ok(broker)
    }

    /// Gives a broker that compiles while it runs the load that it will have: as fast as it takes it where the load is measured by
    /// its rate, so that nothing waits at the end. What it wrote is synced, or the kernel would write it meanwhile.
    fn train(&self, task: Task<'_>, broker: &mut Broker) -> io::Result<()> {
        let Some(load) = task.workload.load.as_ref().filter(|_| task.is_trained()) else { return Ok(()) };
        let (kind, _) = kind(&self.loads, load)?;
        let (name, load, flags) = match kind {
            Kind::Produce => ("produce", load.as_str(), task.workload.flags.as_slice()),
            Kind::Roundtrip => ("roundtrip", load.as_str(), task.workload.flags.as_slice()),
            Kind::Tail => ("roundtrip", ROUNDTRIP, &[][..]),
            Kind::Ladder => ("produce", "produce.toml", &[][..]),
            Kind::Consume => return Ok(()),
        };
        let topic = Asked {
            topic: TRAINING.to_owned(),
            partition_end: task.workload.partitions.min(TRAINING_PARTITIONS_MAX),
        };
        probe::create(self.port, &topic)?;
        broker.until(|| {
            probe::leaders(self.port, std::slice::from_ref(&topic))?;
            ends(self.port, &topic).map(drop)
        })?;
        let mut command = self.generator(name, TRAINING);
        command.arg("--workload").arg(self.loads.join(load)).args(flags);
        command.args(["--partitions", &topic.partition_end.to_string(), "--seed", SEED]);
        command.args(["--time", &self.sizes.train_s.to_string()]);
        match kind {
            Kind::Ladder => drop(command.args(SINGLES)),
            Kind::Roundtrip | Kind::Tail => {
                if let Some(rate) = task.records_per_s {
                    command.args(["--rate", &rate.to_string()]);
                }
            }
            Kind::Produce | Kind::Consume => {}
        }
        let json = self.directory.join("training.json");
        let result = ended(command, &json, RUN_OVER + Duration::from_secs_f64(self.sizes.train_s))?;
        fs::remove_file(&json)?;
        if let Some(failure) = result["failures"].as_array().and_then(|failures| failures.first()) {
            return Err(io::Error::other(format!("training: {failure}")));
        }
        rustix::fs::sync();
        Ok(())
    }

    /// What was done about the page cache, in words.
    fn forget(&self, directory: &Path, files: &BTreeSet<PathBuf>) -> io::Result<String> {
        if self.keeps_page_cache {
            return Ok("the page cache was left as it was".to_owned());
        }
        Ok(forget(directory, files)?.condition())
    }

    /// Resident memory and the share of a CPU of a broker that nobody asks anything.
    fn idle(&self, broker: &Broker) -> io::Result<Outcome> {
        let window = Duration::from_secs_f64(self.sizes.time_s);
        std::thread::sleep(window.mul_f64(IDLE_AFTER_SHARE));
        let (before_s, since) = (broker.cpu_s()?, Instant::now());
        std::thread::sleep(window);
        let share = (broker.cpu_s()? - before_s) / since.elapsed().as_secs_f64();
        let mut outcome = Outcome::default();
        outcome.push("resident memory of the broker", "MiB", Some(broker.resident_mib()?));
        outcome.push("share of a CPU", "%", Some(share * 100.0));
        Ok(outcome)
    }

    fn fill(&self, topic: &Asked) -> io::Result<Filled> {
        let records = (self.sizes.fill_gb * 1e9 / FILL_RECORD_BYTES).ceil().max(1.0) as u64;
        let json = self.directory.join("fill.json");
        let mut command = self.generator("produce", TOPIC);
        command.args(FILL).args(["--partitions", &topic.partition_end.to_string(), "--seed", SEED]);
        command.args(["--count", &records.to_string()]);
        // Twenty minutes for what a disk of today takes in one.
        let result = ended(command, &json, RUN_OVER * 2)?;
        fs::remove_file(&json)?;
        let produce = &result["produce"];
        let (acknowledged, found) = (produce["acknowledged_records"].as_u64(), ends(self.port, topic)?);
        if acknowledged != Some(records) || found != records {
            let told = format!(
                "of {records} records to fill, {acknowledged:?} were acknowledged and {found} are there"
            );
            return Err(io::Error::other(told));
        }
        Ok(Filled { records, batch_bytes: produce["rates"]["batch_bytes"].as_u64().unwrap_or(0) })
    }

    fn loaded(
        &self,
        task: Task<'_>,
        load: &str,
        broker: &Broker,
        topic: &Asked,
        filled: Filled,
    ) -> io::Result<Outcome> {
        let (kind, name) = kind(&self.loads, load)?;
        let warm_up_s = self.sizes.warm_up_s + task.workload.warm_up_more_s;
        let time_s = self.sizes.time_s;
        let mut command = self.generator(&name, TOPIC);
        command.arg("--workload").arg(self.loads.join(load)).args(&task.workload.flags);
        command.args(["--broker-pid", &broker.pid().to_string()]).arg("--data-dir").arg(&self.directory);
        command.args(["--broker-version", task.contender.label]);
        if kind != Kind::Consume {
            // A reader has nothing to get warm with: all it reads counts.
            command.args(["--partitions", &topic.partition_end.to_string(), "--seed", SEED]);
            command.args(["--warm-up", &warm_up_s.to_string()]);
        }
        let whole_s = warm_up_s + time_s;
        match kind {
            Kind::Consume => {}
            Kind::Ladder => drop(command.args(["--steady", &time_s.to_string()])),
            _ => drop(command.args(["--time", &whole_s.to_string()])),
        }
        if let Some(rate) = task.records_per_s {
            command.args(["--rate", &rate.to_string()]);
        }
        // A ladder has some twenty windows.
        let within = Duration::from_secs_f64(whole_s * 25.0) + RUN_OVER;
        let result = ended(command, task.result, within)?;
        let mut outcome = Outcome::of(kind, &result);
        outcome.work = work::done(kind, &result, filled.records, ends(self.port, topic)?);
        let windows = if kind == Kind::Tail { 2.0 } else { 1.0 };
        let offered = task.records_per_s.map(|rate| rate as f64 * whole_s * windows + filled.records as f64);
        outcome.faults.extend(work::faults(&outcome.work, offered));
        if kind == Kind::Consume {
            let read = result["consume"]["rates"]["batch_bytes"].as_u64().unwrap_or(0);
            if read != filled.batch_bytes {
                let wrote = filled.batch_bytes;
                outcome.faults.push(format!("{wrote} B of batches were written and {read} B were read"));
            }
        }
        Ok(outcome)
    }

    /// The load generator on its CPU.
    fn generator(&self, command: &str, topic: &str) -> Command {
        let mut pinned = pinned(&[self.cpus.generator]);
        pinned.arg(&self.loadgen).arg(command);
        pinned.args(["--brokers", &format!("127.0.0.1:{}", self.port), "--topic", topic]);
        pinned
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Filled {
    records: u64,
    batch_bytes: u64,
}

/// Records of the topic, by the offsets at both ends of its partitions.
fn ends(port: u16, topic: &Asked) -> io::Result<u64> {
    let asked = std::slice::from_ref(topic);
    let (starts, ends) = (probe::offsets(port, asked, EARLIEST)?, probe::offsets(port, asked, LATEST)?);
    Ok(starts.iter().zip(ends).map(|(start, end)| (end - start).max(0) as u64).sum())
}

/// Runs the load generator to its end; its result, which is in `json`. A run that did not go as asked has a result, too.
fn ended(mut command: Command, json: &Path, within: Duration) -> io::Result<Value> {
    let told = json.with_extension("told");
    command.arg("--json").arg(json);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&told)?);
    let (mut child, since) = (command.spawn()?, Instant::now());
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if since.elapsed() > within {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other(format!("the load generator did not end within {within:?}")));
        }
        std::thread::sleep(LOOK_EVERY);
    };
    let words = fs::read_to_string(&told)?;
    fs::remove_file(&told)?;
    let last = words.lines().last().unwrap_or_default().to_owned();
    let result = fs::read(json)
        .map_err(|_| io::Error::other(format!("the load generator ended: {status}: {last}")))?;
    serde_json::from_slice(&result).map_err(io::Error::other)
}

//! The raw loops and the load generator as processes: run, wait, read the JSON they print.

use crate::disk::remove;
use crate::process::Broker;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often a run is looked at from outside.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The load generator takes signals from this age on.
const LISTENS_WITHIN: Duration = Duration::from_millis(500);

/// Time for a broker that was started to come to rest.
pub(crate) const SETTLE: Duration = Duration::from_secs(1);

/// A broker that was started, once it has come to rest.
pub(crate) fn at_rest(started: io::Result<Broker>) -> io::Result<Broker> {
    let mut broker = started?;
    broker.ready()?;
    std::thread::sleep(SETTLE);
    Ok(broker)
}

/// Where the binaries are and where their files go.
#[derive(Clone, Debug)]
pub(crate) struct Bench {
    /// Folder of `thalweg`, `thalweg-loadgen` and the raw loops.
    pub(crate) binaries: PathBuf,
    /// Folder on the file system that is measured.
    pub(crate) directory: PathBuf,
    /// Seconds of each run, and before them.
    pub(crate) time_s: f64,
    pub(crate) warm_up_s: f64,
}

/// What one run of the load generator says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Produced {
    pub(crate) mb_per_s: f64,
    pub(crate) records_per_s: f64,
    pub(crate) batches_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
}

impl Produced {
    fn of(value: &Value) -> Self {
        let latency = &value["produce"]["latency"];
        let rates = &value["produce"]["rates"];
        let us = |name: &str| {
            let known = latency["percentiles"].as_array().into_iter().flatten();
            known
                .filter(|known| known["name"] == name)
                .find_map(|known| known["us"].as_f64())
                .unwrap_or(f64::NAN)
        };
        let rate = |name: &str| rates[name].as_f64().unwrap_or(f64::NAN);
        Self {
            mb_per_s: rate("mb_per_s"),
            records_per_s: rate("records_per_s"),
            batches_per_s: rate("batches_per_s"),
            p50_us: us("p50"),
            p99_us: us("p99"),
            p999_us: us("p99.9"),
            max_us: latency["max_us"].as_f64().unwrap_or(f64::NAN),
        }
    }
}

impl Bench {
    /// A raw loop on CPU 0, and what it printed.
    pub(crate) fn raw(&self, name: &str, arguments: &[&str]) -> io::Result<Value> {
        let mut command = Command::new(self.binaries.join(name));
        command.arg("--directory").arg(&self.directory).args(arguments);
        command.args(["--time-s", &self.time_s.to_string(), "--warm-up-s", &self.warm_up_s.to_string()]);
        output_of(&mut command)
    }

    /// The load generator on CPU 1, to its end.
    pub(crate) fn produce(&self, port: u16, arguments: &[&str]) -> io::Result<Produced> {
        Ok(Produced::of(&self.produce_result(port, arguments)?))
    }

    /// The same, with all that the load generator says.
    pub(crate) fn produce_result(&self, port: u16, arguments: &[&str]) -> io::Result<Value> {
        result_of(&mut self.producer(port, arguments))
    }

    /// A run of `thalweg-loadgen consume` on CPU 1 to its end, and its result.
    pub(crate) fn consume(&self, port: u16, arguments: &[&str]) -> io::Result<Value> {
        let mut command = Command::new("taskset");
        command.args(["-c", "1"]).arg(self.binaries.join("thalweg-loadgen")).arg("consume");
        command.args(["--brokers", &format!("127.0.0.1:{port}")]).args(arguments).stdin(Stdio::null());
        result_of(&mut command)
    }

    /// The same as `produce`; `look` is called ten times a second meanwhile.
    pub(crate) fn produce_watched(
        &self,
        port: u16,
        arguments: &[&str],
        mut look: impl FnMut() -> io::Result<()>,
    ) -> io::Result<Produced> {
        let mut command = self.producer(port, arguments);
        command.stdout(Stdio::null());
        Ok(Produced::of(&self.watched(command, "produce.json", |_| look())?))
    }

    /// The load generator in the background; the caller ends it.
    pub(crate) fn produce_meanwhile(&self, port: u16, arguments: &[&str]) -> io::Result<Child> {
        self.producer(port, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    }

    /// A run of `thalweg-loadgen group` on CPU 1 to its end, and its result; `look` is called ten times a second meanwhile.
    pub(crate) fn group(&self, port: u16, arguments: &[&str], mut look: impl FnMut()) -> io::Result<Value> {
        let mut command = Command::new("taskset");
        command.args(["-c", "1"]).arg(self.binaries.join("thalweg-loadgen")).arg("group");
        command.args(["--brokers", &format!("127.0.0.1:{port}")]);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        self.watched(command, "group.json", |_| {
            look();
            Ok(())
        })
    }

    /// A run of `thalweg-loadgen consume` on what CPU 1 has left: the scheduler lets it run when no sender wants to. Ends
    /// early, with the figures so far, once `is_over`.
    pub(crate) fn consume_idly(
        &self,
        port: u16,
        arguments: &[&str],
        is_over: impl Fn() -> bool,
    ) -> io::Result<Value> {
        let mut command = Command::new("chrt");
        command.args(["--idle", "0", "taskset", "-c", "1"]).arg(self.binaries.join("thalweg-loadgen"));
        command.args(["consume", "--brokers", &format!("127.0.0.1:{port}")]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let (since, mut asked) = (Instant::now(), false);
        self.watched(command, "consume.json", |child| {
            // Not before it listens; and once, the second time it would end without a word.
            if is_over() && !asked && since.elapsed() > LISTENS_WITHIN {
                asked = true;
                kill_process(Pid::from_child(child), Signal::INT)?;
            }
            Ok(())
        })
    }

    /// Runs the load generator to its end, and its result, which goes through the file `name`.
    fn watched(
        &self,
        mut command: Command,
        name: &str,
        mut look: impl FnMut(&Child) -> io::Result<()>,
    ) -> io::Result<Value> {
        let json = self.directory.join(name);
        let mut child = command.arg("--json").arg(&json).spawn()?;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if let Err(error) = look(&child) {
                child.kill()?;
                child.wait()?;
                return Err(error);
            }
            std::thread::sleep(LOOK_EVERY);
        };
        let ended = || io::Error::other(format!("{command:?}: {status}"));
        let result = std::fs::read(&json).map_err(|_| ended())?;
        std::fs::remove_file(&json)?;
        let value: Value = serde_json::from_slice(&result).map_err(io::Error::other)?;
        told_no_failure(&value)?;
        if status.success() { Ok(value) } else { Err(ended()) }
    }

    fn producer(&self, port: u16, arguments: &[&str]) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", "1"]).arg(self.binaries.join("thalweg-loadgen")).arg("produce");
        command.args(["--brokers", &format!("127.0.0.1:{port}"), "--acks", "all"]);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// An empty folder of this name.
    pub(crate) fn fresh(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.directory.join(name);
        remove(&path)?;
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }
}

/// The first thing that did not go as the load generator was asked.
fn told_no_failure(value: &Value) -> io::Result<()> {
    match value["failures"].as_array().and_then(|failures| failures.first()) {
        Some(failure) => Err(io::Error::other(format!("the load generator: {failure}"))),
        None => Ok(()),
    }
}

/// Processor time of the broker in the seconds that a result counts; not a number where it was not watched.
pub(crate) fn broker_cpu_s(result: &Value) -> f64 {
    let used = &result["resources"]["brokers"][0];
    ["cpu_user_s", "cpu_system_s"].map(|name| used[name].as_f64().unwrap_or(f64::NAN)).iter().sum()
}

/// Runs the load generator to its end, and its result.
fn result_of(command: &mut Command) -> io::Result<Value> {
    let value = output_of(command.args(["--json", "-"]))?;
    told_no_failure(&value)?;
    Ok(value)
}

fn output_of(command: &mut Command) -> io::Result<Value> {
    let output = command.stderr(Stdio::piped()).output()?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{command:?}: {}: {told}", output.status)));
    }
    serde_json::from_slice(&output.stdout).map_err(io::Error::other)
}

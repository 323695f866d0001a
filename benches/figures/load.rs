//! The raw loops and the load generator as processes: run, wait, read the JSON they print.

use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where the binaries are and where their files go.
#[derive(Clone, Debug)]
pub(crate) struct Bench {
    /// Folder of `thalweg`, `thalweg-loadgen`, `raw_stream` and `raw_journal`.
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
    pub(crate) batches_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
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
        let value = output_of(&mut self.producer(port, arguments))?;
        let latency = &value["produce"]["latency"];
        let rates = &value["produce"]["rates"];
        let us = |name: &str| {
            let known = latency["percentiles"].as_array().into_iter().flatten();
            known
                .filter(|known| known["name"] == name)
                .find_map(|known| known["us"].as_f64())
                .unwrap_or(f64::NAN)
        };
        if let Some(failure) = value["failures"].as_array().and_then(|failures| failures.first()) {
            return Err(io::Error::other(format!("the load generator: {failure}")));
        }
        Ok(Produced {
            mb_per_s: rates["mb_per_s"].as_f64().unwrap_or(f64::NAN),
            batches_per_s: rates["batches_per_s"].as_f64().unwrap_or(f64::NAN),
            p50_us: us("p50"),
            p99_us: us("p99"),
            p999_us: us("p99.9"),
            max_us: latency["max_us"].as_f64().unwrap_or(f64::NAN),
        })
    }

    /// The load generator in the background; the caller ends it.
    pub(crate) fn produce_meanwhile(&self, port: u16, arguments: &[&str]) -> io::Result<Child> {
        self.producer(port, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    }

    /// A run of `thalweg-loadgen group` on CPU 1 to its end, and its result; `look` is called ten times a second meanwhile.
    pub(crate) fn group(&self, port: u16, arguments: &[&str], mut look: impl FnMut()) -> io::Result<Value> {
        let json = self.directory.join("group.json");
        let mut command = Command::new("taskset");
        command.args(["-c", "1"]).arg(self.binaries.join("thalweg-loadgen")).arg("group");
        command.args(["--brokers", &format!("127.0.0.1:{port}"), "--json"]).arg(&json);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.spawn()?;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            look();
            std::thread::sleep(Duration::from_millis(100));
        };
        let result = std::fs::read(&json)?;
        std::fs::remove_file(&json)?;
        let value: Value = serde_json::from_slice(&result).map_err(io::Error::other)?;
        match value["failures"].as_array().and_then(|failures| failures.first()) {
            Some(failure) => Err(io::Error::other(format!("the load generator: {failure}"))),
            None if !status.success() => Err(io::Error::other(format!("{command:?}: {status}"))),
            None => Ok(value),
        }
    }

    fn producer(&self, port: u16, arguments: &[&str]) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", "1"]).arg(self.binaries.join("thalweg-loadgen")).arg("produce");
        command.args(["--brokers", &format!("127.0.0.1:{port}"), "--acks", "all", "--json", "-"]);
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

/// Removes a folder and has the removal done before anything else is measured.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    rustix::fs::sync();
    Ok(())
}

fn output_of(command: &mut Command) -> io::Result<Value> {
    let output = command.stderr(Stdio::piped()).output()?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{command:?}: {}: {told}", output.status)));
    }
    serde_json::from_slice(&output.stdout).map_err(io::Error::other)
}

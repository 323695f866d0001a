//! Who is measured: a program with settings, what its acknowledgement promises, and which build it is.

use crc32c::crc32c_append;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use thalweg_benches::brokers::process::{KAFKA_FLAGS, Program};

/// A sync for each message: what Kafka calls a flush.
const SYNC_EACH: &str = "log.flush.interval.messages=1";
const READ_BYTES: usize = 1 << 20;

/// One broker with one set of settings.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    /// As on the command line and in the names of files.
    pub(crate) id: &'static str,
    /// As in tables.
    pub(crate) label: &'static str,
    /// What it promises with an acknowledgement, and what else to know.
    pub(crate) promise: &'static str,
    pub(crate) program: Program,
    /// Tells this build from others of the same program.
    pub(crate) build: String,
    pub(crate) pace: Pace,
    /// It compiles while it runs: on one core it takes most of a minute of a load until its rate is the one it keeps.
    pub(crate) compiles: bool,
}

/// What a run takes beside its windows, roughly: for the plan alone.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "names end with their units, and all are seconds")]
pub(crate) struct Pace {
    /// A start on an empty directory, an end and the removal.
    pub(crate) start_s: f64,
    /// A clean stop and a start on data.
    pub(crate) again_s: f64,
    /// Making, holding and removing a partition.
    pub(crate) partition_s: f64,
    /// Filling 10^9 bytes, and reading them back.
    pub(crate) gb_s: f64,
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) thalweg: PathBuf,
    pub(crate) settings: Vec<String>,
    pub(crate) kafka: Option<PathBuf>,
}

impl Programs {
    /// The contender of this name. Its build is looked at only if it is to be run.
    pub(crate) fn contender(&self, id: &str, is_run: bool) -> io::Result<Contender> {
        let jars = || self.kafka.clone().unwrap_or_default();
        let kafka = Pace { start_s: 8.0, again_s: 6.0, partition_s: 0.03, gb_s: 3.0 };
        let mut found = match id {
            "thalweg" => Contender {
                id: "thalweg",
                label: "Thalweg",
                promise: "answers when written and synced",
                program: Program::Thalweg { binary: self.thalweg.clone(), settings: self.settings.clone() },
                build: String::new(),
                pace: Pace { start_s: 1.5, again_s: 1.5, partition_s: 0.002, gb_s: 2.0 },
                compiles: false,
            },
            "kafka" => Contender {
                id: "kafka",
                label: "Kafka",
                promise: "4.3.1 as it comes, heap of 1 GiB: answers from memory and does not sync",
                program: Program::Kafka { jars: jars(), settings: Vec::new() },
                build: String::new(),
                pace: kafka,
                compiles: true,
            },
            "kafka-sync" => Contender {
                id: "kafka-sync",
                label: "Kafka, synced",
                promise: "4.3.1 with log.flush.interval.messages=1: answers when synced",
                program: Program::Kafka { jars: jars(), settings: vec![SYNC_EACH.to_owned()] },
                build: String::new(),
                pace: Pace { gb_s: 6.0, ..kafka },
                compiles: true,
            },
            other => {
                let known = "thalweg, kafka, kafka-sync";
                return Err(io::Error::other(format!("there is no broker {other:?}: {known}")));
            }
        };
        if is_run {
            found.build = found.look()?;
        }
        Ok(found)
    }
}

impl Contender {
    fn look(&self) -> io::Result<String> {
        match &self.program {
            Program::Thalweg { binary, settings } => {
                Ok(format!("{} {}", checksum(binary)?, settings.join(" ")).trim_end().to_owned())
            }
            Program::Kafka { jars, settings } => {
                let (jars, java, flags) = (jars_checksum(jars)?, java_version()?, KAFKA_FLAGS.join(" "));
                Ok(format!("{jars}, {java}, {flags} {}", settings.join(" ")).trim_end().to_owned())
            }
        }
    }
}

/// The JVM's own first words.
fn java_version() -> io::Result<String> {
    let told = |error: io::Error| io::Error::other(format!("java: {error}"));
    let output = Command::new("java").arg("-version").output().map_err(told)?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Of a program's bytes.
pub(crate) fn checksum(path: &Path) -> io::Result<String> {
    let told = |error: io::Error| io::Error::other(format!("{}: {error}", path.display()));
    let mut file = File::open(path).map_err(told)?;
    let (mut crc, mut bytes, mut buffer) = (0, 0, vec![0; READ_BYTES]);
    loop {
        match file.read(&mut buffer).map_err(told)? {
            0 => return Ok(format!("{crc:08x}-{bytes}")),
            count => {
                crc = crc32c_append(crc, &buffer[..count]);
                bytes += count;
            }
        }
    }
}

/// Of jars by name and length: a release does not change under its version.
fn jars_checksum(folder: &Path) -> io::Result<String> {
    let told = |error: io::Error| io::Error::other(format!("{}: {error}", folder.display()));
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(told)? {
        let entry = entry?;
        names.push(format!("{}:{}", entry.file_name().to_string_lossy(), entry.metadata()?.len()));
    }
    names.sort_unstable();
    Ok(format!("{:08x}-{} jars", crc32c_append(0, names.join("\n").as_bytes()), names.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_bytes_make_another_build() {
        let folder = std::env::temp_dir().join(format!("thalweg-contender-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let thalweg = folder.join("thalweg");
        let build = |bytes: &str, settings: &[&str]| {
            fs::write(&thalweg, bytes).unwrap();
            let settings = settings.iter().map(ToString::to_string).collect();
            let programs = Programs { thalweg: thalweg.clone(), settings, kafka: None };
            programs.contender("thalweg", true).unwrap().build
        };
        let first = build("a", &[]);
        assert_eq!(first, build("a", &[]));
        assert_ne!(first, build("b", &[]));
        assert_ne!(first, build("a", &["num.partitions=3"]));
        fs::remove_dir_all(&folder).unwrap();
    }
}

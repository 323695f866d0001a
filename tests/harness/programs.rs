//! Clients that are programs of their own: built or installed by the project's own files, once, at the first test that needs them.
//!
//! | client | from | built by |
//! | --- | --- | --- |
//! | sarama as Filebeat ships it | `tests/clients/sarama` (Go modules) | `go build` |
//! | Filebeat | `tests/clients/filebeat` (Go modules) | `go build`, about two minutes the first time |
//! | kcat (librdkafka) | Debian's package `kcat` | `apt-get install`, where we may |
//! | what makes XFS and ext4 | Debian's packages `xfsprogs`, `e2fsprogs` | `apt-get install`, where we may |
//! | Chromium | Debian's package `chromium` | `apt-get install`, where we may |
//! | KafkaJS | `tests/clients/kafkajs` (lock file of npm) | `npm ci` |
//! | the rows of the client matrix | `tests/clients`, as `subjects.rs` lists them | pip, go, npm, javac, cargo |
//! | Java producer and consumer, tools in a row | `tests/clients/java` | `javac` against a release's jars |

use crate::cached::cached;
use crate::driver::Program;
use crate::kafka_tools::Kafka;
use crate::process::{self, which};
use crate::scratch::{repository, target_dir};
use crate::skip;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

const BUILD_WITHIN: Duration = Duration::from_mins(25);

/// One build at a time, and each only once.
static BUILT: Mutex<Vec<(String, Result<PathBuf, String>)>> = Mutex::new(Vec::new());

/// The Go driver on Elastic's sarama; `None`, loudly, where it cannot be built.
pub fn sarama() -> Option<Program> {
    once("sarama", || go_build("sarama")).map(Program::alone)
}

/// Filebeat; `None`, loudly, where it cannot be built.
pub fn filebeat() -> Option<PathBuf> {
    once("filebeat", || go_build("filebeat"))
}

/// kcat; `None`, loudly, where it is not installed and may not be.
pub fn kcat() -> Option<PathBuf> {
    installed("kcat", "kcat", &["kcat", "kafkacat"])
}

/// A program of one of these `names`, from Debian's `package` where it is not there; `None`, loudly, where that may not be installed.
pub(crate) fn installed(client: &str, package: &str, names: &[&str]) -> Option<PathBuf> {
    let find = || names.iter().find_map(|name| which(name));
    once(client, || {
        if let Some(found) = find() {
            return Ok(found);
        }
        if !rustix::process::geteuid().is_root() || which("apt-get").is_none() {
            return Err(format!(
                "not installed, and installing Debian's package {package} takes root and apt-get"
            ));
        }
        let install = || apt_get(&["install", "-y", "-qq", "--no-install-recommends", package]);
        install().or_else(|_| apt_get(&["update", "-qq"]).and_then(|()| install()))?;
        find().ok_or_else(|| format!("the package {package} brought none of {names:?}"))
    })
}

/// The Java driver against one release's clients; `None`, loudly, where it cannot be built.
pub fn java_driver(release: &str) -> Option<Program> {
    let kafka = Kafka::installed(release)?;
    let classes = java_classes(&kafka)?;
    let class_path = format!("{}:{}", classes.display(), kafka.class_path());
    let java = kafka.java_with("256m", &class_path, "Driver");
    let arguments = java.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
    Some(Program { path: java.get_program().into(), arguments, keys: Vec::new() })
}

/// What lies in `tests/clients/java`, compiled against one release's jars; `None`, loudly, where it cannot be built.
pub(crate) fn java_classes(kafka: &Kafka) -> Option<PathBuf> {
    let release = kafka.release();
    once(&format!("Java clients {release}"), || {
        let classes = target_dir().join("test-clients").join(format!("java-{release}"));
        fs::create_dir_all(&classes).map_err(|error| error.to_string())?;
        let mut javac = Command::new("javac");
        javac.args(["-nowarn", "-cp", &kafka.class_path(), "-d"]).arg(&classes);
        let sources = ["Driver.java", "Tools.java"];
        javac.args(sources.map(|source| repository().join("tests/clients/java").join(source)));
        built(&javac)?;
        Ok(classes)
    })
}

/// The driver on KafkaJS; `None`, loudly, where it cannot be built.
pub fn kafkajs() -> Option<Program> {
    let main = once("kafkajs", || npm_install("kafkajs"))?;
    Some(Program { path: "node".into(), arguments: vec![main.display().to_string()], keys: Vec::new() })
}

/// Installs what the lock file of `tests/clients/<name>` pins, once, and lays the driver beside it: Node looks for modules from there.
fn npm_install(name: &str) -> Result<PathBuf, String> {
    for program in ["node", "npm"] {
        which(program).ok_or_else(|| format!("{program} is not installed"))?;
    }
    let source = repository().join("tests/clients").join(name);
    let lock = source.join("package-lock.json");
    let wanted = fs::read_to_string(&lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    let pinned = ["package.json", "package-lock.json"];
    let home = cached(&format!("npm-{name}"), &wanted, |home| {
        copy(&source, home, |file| pinned.contains(&file))?;
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-fund", "--no-audit", "--loglevel=error"]).current_dir(home);
        built(&npm)
    })?;
    let beside = target_dir().join("test-clients").join(name);
    fs::create_dir_all(&beside).map_err(|error| error.to_string())?;
    copy(&source, &beside, |file| file == "package.json" || file.ends_with(".js"))?;
    let modules = beside.join("node_modules");
    let _ = fs::remove_file(&modules);
    symlink(home.join("node_modules"), &modules)
        .map_err(|error| format!("{}: {error}", modules.display()))?;
    Ok(beside.join("main.js"))
}

fn copy(source: &Path, target: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), String> {
    let entries = fs::read_dir(source).map_err(|error| format!("{}: {error}", source.display()))?;
    for name in entries.flatten().map(|entry| entry.file_name()) {
        if wanted(&name.to_string_lossy()) {
            fs::copy(source.join(&name), target.join(&name))
                .map_err(|error| format!("{}: {error}", name.display()))?;
        }
    }
    Ok(())
}

/// Builds `tests/clients/<name>`. Go keeps what it compiled, so only the first build takes long.
pub(crate) fn go_build(name: &str) -> Result<PathBuf, String> {
    which("go").ok_or("go is not installed")?;
    let binary = target_dir().join("test-clients").join(name);
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-ldflags=-s -w", "-o"]).arg(&binary).arg(".");
    go.env("CGO_ENABLED", "0").env("GOFLAGS", "-buildvcs=false -mod=readonly").env("GOTOOLCHAIN", "local");
    go.current_dir(repository().join("tests/clients").join(name));
    built(&go)?;
    Ok(binary)
}

fn apt_get(arguments: &[&str]) -> Result<(), String> {
    let mut apt = Command::new("apt-get");
    apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    built(&apt)
}

pub(crate) fn built(command: &Command) -> Result<(), String> {
    let output = process::run(command, b"", BUILD_WITHIN);
    let last: Vec<&str> = output.stderr.lines().rev().take(3).collect();
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{command:?}: {}: {}", output.status, last.join(" | ")))
    }
}

pub(crate) fn once(client: &str, build: impl FnOnce() -> Result<PathBuf, String>) -> Option<PathBuf> {
    let mut known = BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let index = known.iter().position(|(name, _)| name == client).unwrap_or_else(|| {
        known.push((client.to_string(), build()));
        known.len() - 1
    });
    let outcome = known[index].1.clone();
    drop(known);
    outcome.map_err(|why| skip::skip_client(client, &why)).ok()
}

#[cfg(test)]
mod tests {
    //! Runs before the behaviour tests, so that no build takes the cores away from under them.
    use super::*;
    use crate::kafka_tools::RELEASES;
    use crate::subjects::SUBJECTS;

    #[test]
    fn every_client_is_built_or_named_as_skipped() {
        let ready = [
            ("sarama", sarama().is_some()),
            ("filebeat", filebeat().is_some()),
            ("kcat", kcat().is_some()),
            ("kafkajs", kafkajs().is_some()),
            ("chromium", crate::browser::chromium().is_some()),
            ("java 3.5.1", java_driver(RELEASES[0]).is_some()),
            ("java 4.3.1", java_driver(RELEASES[1]).is_some()),
        ];
        let subjects = SUBJECTS.iter().map(|subject| (subject.name, subject.ready().is_some()));
        let names: Vec<_> =
            ready.into_iter().chain(subjects).filter(|(_, there)| *there).map(|(name, _)| name).collect();
        skip::loud(&format!("clients ready: {}", names.join(", ")));
    }
}

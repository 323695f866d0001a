//! Apache Kafka's own classes: its command line tools, unchanged, and the broker itself where the tests run against Kafka.
//!
//! `tests/clients/java/pom.xml` names what they need; Maven fetches it once per release into the client cache. A JVM costs about a second
//! to start, so tools are run sparingly, with small heaps and the first compiler only.

use crate::cached::cached;
use crate::process::{self, Output, which};
use crate::scratch::repository;
use crate::skip;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

/// The releases whose tools the tests run.
pub const RELEASES: [&str; 2] = ["3.5.1", "4.3.1"];

const TOOL_WITHIN: Duration = Duration::from_mins(2);
const INSTALL_WITHIN: Duration = Duration::from_mins(15);

/// The jars of one release.
#[derive(Clone, Debug)]
pub struct Kafka {
    release: String,
    libs: PathBuf,
}

impl Kafka {
    /// Installs the release if need be; `None`, loudly, where Java, Maven or the registry is missing.
    ///
    /// # Panics
    /// If the cache cannot be written.
    pub fn installed(release: &str) -> Option<Self> {
        static INSTALLED: Mutex<BTreeMap<String, Option<Kafka>>> = Mutex::new(BTreeMap::new());
        let mut installed = INSTALLED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(Some(known)) = installed.get(release) {
            return Some(known.clone());
        }
        let outcome = install(release);
        let kafka = match outcome {
            Ok(libs) => Some(Self { release: release.to_string(), libs }),
            Err(why) => {
                drop(installed);
                skip::skip_client(&format!("Kafka {release} tools"), &why);
                return None;
            }
        };
        installed.insert(release.to_string(), kafka.clone());
        kafka
    }

    /// `3.5.1`, `4.3.1`.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The class path of all jars.
    pub fn class_path(&self) -> String {
        format!("{}/*", self.libs.display())
    }

    /// A JVM that will run `class`, with this much heap.
    pub fn java(&self, heap: &str, class: &str) -> Command {
        self.java_with(heap, &self.class_path(), class)
    }

    /// The same with a class path of one's own.
    pub fn java_with(&self, heap: &str, class_path: &str, class: &str) -> Command {
        let mut command = Command::new("java");
        command.arg(format!("-Xmx{heap}")).args([
            "-XX:+UseSerialGC",
            "-Xshare:auto",
            "-XX:TieredStopAtLevel=1",
        ]);
        command.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", class_path, class]);
        command
    }

    /// Runs a tool by the name of its shell script (`topics`, `console-consumer`, ...) to its end.
    pub fn run(&self, tool: &str, arguments: &[&str]) -> Output {
        self.run_with_input(tool, arguments, b"")
    }

    /// The same with bytes on its standard input.
    pub fn run_with_input(&self, tool: &str, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.java("256m", self.class_of(tool));
        command.args(arguments);
        process::run(&command, input, TOOL_WITHIN)
    }

    /// What `kafka-<tool>.sh` runs; releases before 4 kept some tools in the core jar.
    pub(crate) fn class_of(&self, tool: &str) -> &'static str {
        match (self.release.starts_with("3."), tool) {
            (true, "topics") => "kafka.admin.TopicCommand",
            (false, "topics") => "org.apache.kafka.tools.TopicCommand",
            (true, "console-producer") => "kafka.tools.ConsoleProducer",
            (false, "console-producer") => "org.apache.kafka.tools.ConsoleProducer",
            (true, "console-consumer") => "kafka.tools.ConsoleConsumer",
            (false, "console-consumer") => "org.apache.kafka.tools.consumer.ConsoleConsumer",
            (true, "get-offsets") => "kafka.tools.GetOffsetShell",
            (false, "get-offsets") => "org.apache.kafka.tools.GetOffsetShell",
            (true, "broker-api-versions") => "kafka.admin.BrokerApiVersionsCommand",
            (false, "broker-api-versions") => "org.apache.kafka.tools.BrokerApiVersionsCommand",
            (true, "dump-log") => "kafka.tools.DumpLogSegments",
            (false, "dump-log") => "org.apache.kafka.tools.DumpLogSegments",
            (true, "consumer-groups") => "kafka.admin.ConsumerGroupCommand",
            (false, "consumer-groups") => "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
            (false, "groups") => "org.apache.kafka.tools.GroupsCommand",
            (true, "delete-records") => "kafka.admin.DeleteRecordsCommand",
            (false, "delete-records") => "org.apache.kafka.tools.DeleteRecordsCommand",
            (true, "log-dirs") => "kafka.admin.LogDirsCommand",
            (false, "log-dirs") => "org.apache.kafka.tools.LogDirsCommand",
            (_, "configs") => "kafka.admin.ConfigCommand",
            _ => panic!("no tool {tool} is known"),
        }
    }
}

/// Fetches the jars of one release unless they are there; the answer is their folder.
fn install(release: &str) -> Result<PathBuf, String> {
    for program in ["java", "mvn"] {
        which(program).ok_or_else(|| format!("{program} is not installed"))?;
    }
    let pom = repository().join("tests/clients/java/pom.xml");
    let wanted = fs::read_to_string(&pom).map_err(|error| format!("{}: {error}", pom.display()))?;
    let home = cached(&format!("kafka-{release}"), &wanted, |home| {
        let libs = home.join("libs");
        let _ = fs::remove_dir_all(&libs);
        copy_dependencies(&pom, release, &libs)
    })?;
    Ok(home.join("libs"))
}

fn copy_dependencies(pom: &Path, release: &str, libs: &Path) -> Result<(), String> {
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "-Dstyle.color=never", "-f"]).arg(pom).arg(format!("-Dkafka.version={release}"));
    maven.arg("dependency:copy-dependencies").arg(format!("-DoutputDirectory={}", libs.display()));
    let output = process::run(&maven, b"", INSTALL_WITHIN);
    if output.status.success() {
        return Ok(());
    }
    let said = format!("{}{}", output.stdout, output.stderr);
    let end: String =
        said.lines().filter(|line| line.contains("ERROR")).take(3).collect::<Vec<_>>().join(" ");
    Err(format!("mvn ended with {}: {end}", output.status))
}

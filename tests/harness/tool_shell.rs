//! Several of Kafka's command line tools in one JVM: starting one costs about a second, and these tests run many.

use crate::kafka_tools::Kafka;
use crate::process;
use crate::programs::java_classes;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

const TOOL_WITHIN: Duration = Duration::from_mins(2);

/// `tests/clients/java/Tools.java` of one release, talking to one broker. Ends with the value.
#[derive(Debug)]
pub struct ToolShell {
    kafka: Kafka,
    bootstrap: String,
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

/// What a tool said and how it ended.
#[derive(Debug)]
pub struct Said {
    /// The exit status.
    pub status: i32,
    /// Both streams, line by line, without empty lines and spaces at line ends.
    pub lines: Vec<String>,
}

impl ToolShell {
    /// A JVM that waits for tools to run; `None`, loudly, where Java or the release is missing.
    ///
    /// # Panics
    /// If the JVM cannot be started.
    pub fn start(release: &str, bootstrap: &str) -> Option<Self> {
        let kafka = Kafka::installed(release)?;
        let classes = java_classes(&kafka)?;
        let class_path = format!("{}:{}", classes.display(), kafka.class_path());
        let command = kafka.java_with("256m", &class_path, "Tools");
        let mut child = process::spawn(&command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (stdin, stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Some(Self { kafka, bootstrap: bootstrap.to_string(), child, stdin, lines })
    }

    /// The release of the tools.
    pub fn release(&self) -> &str {
        self.kafka.release()
    }

    /// Runs a tool by the name of its shell script to its end, however it ends.
    ///
    /// # Panics
    /// If it does not end within two minutes.
    pub fn try_run(&mut self, tool: &str, arguments: &[&str]) -> Said {
        let words = [&[self.kafka.class_of(tool), "--bootstrap-server", &self.bootstrap], arguments].concat();
        writeln!(self.stdin, "{}", words.join("\t")).expect("the JVM reads");
        let deadline = Instant::now() + TOOL_WITHIN;
        let mut lines = Vec::new();
        loop {
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|error| panic!("{tool} {arguments:?}: {error}: {lines:#?}"));
            if let Some(status) = line.strip_prefix('\u{1}') {
                let status = status.parse().expect("a status is a number");
                return Said { status, lines };
            }
            if !line.trim().is_empty() {
                lines.push(line.trim_end().to_string());
            }
        }
    }

    /// Runs a tool that must end with 0.
    ///
    /// # Panics
    /// If it does not.
    pub fn run(&mut self, tool: &str, arguments: &[&str]) -> Said {
        let said = self.try_run(tool, arguments);
        assert_eq!(said.status, 0, "{tool} {arguments:?}: {:#?}", said.lines);
        said
    }
}

impl Drop for ToolShell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Said {
    /// The words of each line, sorted: the tools print groups and partitions in no order.
    pub fn rows(&self) -> Vec<Vec<&str>> {
        let mut rows: Vec<Vec<&str>> =
            self.lines.iter().map(|line| line.split_whitespace().collect()).collect();
        rows.sort();
        rows
    }

    /// The rows without those that begin with one of these words: headings and remarks.
    pub fn rows_without(&self, first: &[&str]) -> Vec<Vec<&str>> {
        self.rows().into_iter().filter(|row| !row.first().is_some_and(|word| first.contains(word))).collect()
    }

    /// Whether a line holds this text.
    pub fn tells(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.contains(text))
    }
}

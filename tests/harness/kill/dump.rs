//! Kafka's own `DumpLogSegments` over the segment files: valid batches, offsets that continue, counts that fit.

use super::stage::Topic;
use crate::kafka_tools::Kafka;
use crate::records;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

const RELEASE: &str = "4.3.1";
/// Files of one run of the tool: an argument has a length limit.
const FILES_MAX: usize = 400;
/// Sealed segments looked at while the broker runs.
const SEALED_MAX: usize = 150;
/// A sealed segment is brought to its file in the background.
const WHOLE_WITHIN: Duration = Duration::from_secs(20);

/// Dumps segments: all of them behind a clean stop, else the sealed ones of topics whose files nobody removes.
/// Returns how many files Kafka read, `None` where Kafka is not installed, and what is wrong.
pub(super) fn dump(data: &Path, topics: &[Topic], is_stopped: bool) -> (Option<usize>, Vec<String>) {
    let Some(kafka) = Kafka::installed(RELEASE) else { return (None, Vec::new()) };
    let mut segments = Vec::new();
    let mut violations = Vec::new();
    for topic in topics {
        for partition in 0..topic.kind.partitions {
            let mut own = segments_of(&data.join(format!("{}-{partition}", topic.kind.name)));
            if !is_stopped {
                own.pop();
            }
            segments.extend(own.into_iter().map(|path| (topic, partition, path)));
        }
    }
    if !is_stopped {
        segments.retain(|(topic, ..)| topic.kind.start == super::stage::Start::Fixed);
        segments.truncate(SEALED_MAX);
        violations.extend(segments.iter().filter_map(|(.., path)| wait_until_whole(path)));
    }
    let mut ranges: BTreeMap<PathBuf, Vec<(i64, i64)>> = BTreeMap::new();
    for some in segments.chunks(FILES_MAX) {
        let files: Vec<_> = some.iter().map(|(.., path)| path.display().to_string()).collect();
        let output = kafka.run("dump-log", &["--files", &files.join(",")]);
        if !output.status.success() {
            violations.push(format!("kafka-dump-log ended with {}: {}", output.status, output.stderr));
        }
        let mut current = PathBuf::new();
        for line in output.lines() {
            if let Some(path) = line.strip_prefix("Dumping ") {
                current = path.into();
            } else if line.starts_with("baseOffset:") {
                match batch_in(line) {
                    Some(range) => ranges.entry(current.clone()).or_default().push(range),
                    None => violations.push(format!("{}: {line}", current.display())),
                }
            } else if line.contains("Found") || line.contains("invalid") {
                violations.push(format!("{}: {line}", current.display()));
            }
        }
    }
    let file_count = segments.len();
    for (place, (topic, partition, path)) in segments.iter().enumerate() {
        let found = ranges.remove(path).unwrap_or_default();
        let base = base_of(path);
        let follows =
            segments.get(place + 1).filter(|(other, next, _)| other.id == topic.id && next == partition);
        let end = match follows {
            Some((.., next)) => Some(base_of(next)),
            None if is_stopped => Some(topic.audited[*partition as usize].end),
            None => None,
        };
        let mut next = base;
        for (start, batch_end) in found {
            if start != next {
                violations
                    .push(format!("{}: offset {next} is due, a batch begins at {start}", path.display()));
            }
            next = batch_end;
        }
        if end.is_some_and(|end| end != next) {
            violations.push(format!("{}: ends at {next}, {end:?} is due", path.display()));
        }
    }
    (Some(file_count), violations)
}

/// Base and end offset of a batch line that says nothing wrong of itself.
fn batch_in(line: &str) -> Option<(i64, i64)> {
    let number =
        |label: &str| -> Option<i64> { line.split(label).nth(1)?.split_whitespace().next()?.parse().ok() };
    let (base, last, count) = (number("baseOffset: ")?, number("lastOffset: ")?, number("count: ")?);
    (line.contains("isvalid: true") && last - base + 1 == count).then_some((base, last + 1))
}

/// Segment files of a partition's directory, by base offset.
fn segments_of(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut logs: Vec<_> = entries.map(|entry| entry.path()).collect();
    logs.retain(|path| path.extension().is_some_and(|ending| ending == "log"));
    logs.sort();
    logs
}

fn base_of(path: &Path) -> i64 {
    path.file_stem().and_then(|stem| stem.to_string_lossy().parse().ok()).unwrap_or(-1)
}

/// Waits until a sealed file holds batches to its last byte; says what is wrong if that takes too long.
fn wait_until_whole(path: &Path) -> Option<String> {
    let deadline = Instant::now() + WHOLE_WITHIN;
    loop {
        let bytes = Bytes::from(fs::read(path).unwrap_or_default());
        let batches: usize = records::batches(&bytes).iter().map(Bytes::len).sum();
        if batches == bytes.len() && batches > 0 {
            return None;
        }
        if Instant::now() > deadline {
            return Some(format!("{}: {batches} B of batches in {} B", path.display(), bytes.len()));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

//! What a reader gets, from memory and from disk, beside loops that only move the bytes.

use crate::disk::{forget, has_room, remove};
use crate::load::{Bench, at_rest, broker_cpu_s};
use crate::process::{Broker, Program};
use crate::table::{Row, Table};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};
use thalweg_benches::numbers::ratios;

const TOPIC: &str = "figures";
/// What fits into the tails' memory, and what is larger than every cache.
const SOURCES: [Source; 3] = [
    Source { name: "memory", bytes: 256 << 20, is_restarted: false, readers: "1" },
    Source { name: "disk", bytes: 3 << 30, is_restarted: true, readers: "1" },
    // One reader waits for each answer before it asks again; as many as the raw loop has reads under way do not.
    Source { name: "disk", bytes: 3 << 30, is_restarted: true, readers: "4" },
];
/// As much at once as a partition gives for a reader that is far behind.
const READ: [&str; 4] = ["--fetch-bytes", "8388608", "--partition-bytes", "8388608"];

/// Where the bytes are that are read.
struct Source {
    name: &'static str,
    bytes: u64,
    /// Between filling and reading, so that nothing is in memory.
    is_restarted: bool,
    /// Each of a partition of its own.
    readers: &'static str,
}

#[derive(Default)]
struct Rounds {
    raw: Vec<f64>,
    raw_by_cpu: Vec<f64>,
    broker: Vec<f64>,
    broker_by_cpu: Vec<f64>,
}

/// Readers of a partition each, beside `raw_fetch`.
pub(crate) fn fetch(
    bench: &Bench,
    program: &Program,
    port: u16,
    rounds: usize,
    table: &mut Table,
) -> io::Result<()> {
    for source in SOURCES {
        // Its data, and a journal.
        has_room(&bench.directory, &format!("fetch from {}", source.name), source.bytes * 2)?;
        let mut all = Rounds::default();
        for round in 0..rounds {
            let (raw, read) = one_round(bench, program, port, &source, round % 2 == 0)?;
            let value = |name: &str| raw[name].as_f64().unwrap_or(f64::NAN);
            all.raw.push(value("mb_per_s"));
            all.raw_by_cpu.push(value("mb_per_cpu_s"));
            let rate = |name: &str| read["consume"]["rates"][name].as_f64().unwrap_or(f64::NAN);
            all.broker.push(rate("mb_per_s"));
            all.broker_by_cpu.push(rate("batch_bytes") / 1e6 / broker_cpu_s(&read));
            eprintln!(
                "fetch from {} by {}, round {round}: raw {:.0} MB/s, broker {:.0} MB/s",
                source.name, source.readers, all.raw[round], all.broker[round]
            );
        }
        let (share, by_cpu) = (ratios(&all.broker, &all.raw), ratios(&all.broker_by_cpu, &all.raw_by_cpu));
        let rows = vec![
            Row::new("`raw_fetch`", "MB/s", all.raw),
            Row::new("broker", "MB/s", all.broker),
            Row::new("broker / raw, same round", "", share).at_least(0.8),
            Row::new("`raw_fetch`, for each second of its processor time", "MB", all.raw_by_cpu),
            Row::new("broker, for each second of its processor time", "MB", all.broker_by_cpu),
            Row::new("broker / raw, by processor time", "", by_cpu),
        ];
        let title =
            format!("Fetch from {}: readers of a partition each: {}, one core", source.name, source.readers);
        table.push(&title, rows);
    }
    Ok(())
}

/// What the raw loop says, and what the load generator does.
fn one_round(
    bench: &Bench,
    program: &Program,
    port: u16,
    source: &Source,
    raw_first: bool,
) -> io::Result<(Value, Value)> {
    let directory = bench.fresh("broker")?;
    let outcome = if source.is_restarted {
        fill(bench, program, &directory, port, source)?.stop()?;
        // Both read the same files. What was written just now comes slower, to whoever is first.
        let files = segments(&directory)?;
        let from_disk: Vec<&str> =
            ["--from", "disk"].into_iter().chain(files.iter().map(String::as_str)).collect();
        let raw = || {
            forget(&directory, &BTreeSet::new())?;
            bench.raw("raw_fetch", &from_disk)
        };
        let read = || {
            forget(&directory, &BTreeSet::new())?;
            read(bench, at_rest(program.start(&directory, port))?, port, source)
        };
        if raw_first {
            let raw = raw()?;
            (raw, read()?)
        } else {
            let read = read()?;
            (raw()?, read)
        }
    } else {
        let raw = bench.raw("raw_fetch", &["--from", "memory", "--bytes", &source.bytes.to_string()])?;
        (raw, read(bench, fill(bench, program, &directory, port, source)?, port, source)?)
    };
    remove(&directory)?;
    Ok(outcome)
}

/// As arguments of the raw loop.
fn segments(directory: &Path) -> io::Result<Vec<String>> {
    let mut arguments = Vec::new();
    for log in fs::read_dir(directory.join("data"))? {
        let log = log?;
        if !log.file_name().to_string_lossy().starts_with(TOPIC) {
            continue;
        }
        for file in fs::read_dir(log.path())? {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                arguments.extend(["--file".to_owned(), path.display().to_string()]);
            }
        }
    }
    Ok(arguments)
}

fn fill(
    bench: &Bench,
    program: &Program,
    directory: &Path,
    port: u16,
    source: &Source,
) -> io::Result<Broker> {
    let broker = at_rest(program.start(directory, port))?;
    let count = (source.bytes / 1000).to_string();
    let fill = ["--batch-bytes", "65536", "--record-bytes", "999", "--connections", "1", "--in-flight", "5"];
    let topic = ["--topic", TOPIC, "--partitions", source.readers, "--count", &count];
    bench.produce(port, &[topic.as_slice(), &fill].concat())?;
    Ok(broker)
}

/// Ends the broker.
fn read(bench: &Bench, mut broker: Broker, port: u16, source: &Source) -> io::Result<Value> {
    broker.serves(TOPIC)?;
    let (pid, time) = (broker.pid().to_string(), (bench.time_s + bench.warm_up_s).to_string());
    let warm_up = bench.warm_up_s.to_string();
    let mut arguments = vec!["--topic", TOPIC, "--repeat", "--time", &time, "--warm-up", &warm_up];
    arguments.extend(["--connections", source.readers]);
    arguments.extend(["--broker-pid", &pid].iter().chain(&READ));
    let read = bench.consume(port, &arguments)?;
    broker.kill()?;
    Ok(read)
}

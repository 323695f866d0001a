//! What a reader gets, from memory and from disk, beside loops that only move the bytes.

use crate::disk::{forget, has_room, remove};
use crate::load::{Bench, at_rest, broker_cpu_s};
use crate::process::Program;
use crate::table::{Row, Table};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io;
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
        // Its data, and a journal; the raw loop's file is gone by then.
        has_room(&bench.directory, &format!("fetch from {}", source.name), source.bytes * 2)?;
        let mut all = Rounds::default();
        for round in 0..rounds {
            let bytes = source.bytes.to_string();
            let raw = bench.raw("raw_fetch", &["--from", source.name, "--bytes", &bytes])?;
            let value = |name: &str| raw[name].as_f64().unwrap_or(f64::NAN);
            all.raw.push(value("mb_per_s"));
            all.raw_by_cpu.push(value("mb_per_cpu_s"));
            let read = from_broker(bench, program, port, &source)?;
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

fn from_broker(bench: &Bench, program: &Program, port: u16, source: &Source) -> io::Result<Value> {
    let directory = bench.fresh("broker")?;
    let mut broker = at_rest(program.start(&directory, port))?;
    let count = (source.bytes / 1000).to_string();
    let fill = ["--batch-bytes", "65536", "--record-bytes", "999", "--connections", "1", "--in-flight", "5"];
    let topic = ["--topic", TOPIC, "--partitions", source.readers, "--count", &count];
    bench.produce(port, &[topic.as_slice(), &fill].concat())?;
    if source.is_restarted {
        broker.stop()?;
        forget(&directory, &BTreeSet::new())?;
        broker = at_rest(program.start(&directory, port))?;
    }
    broker.serves(TOPIC)?;
    let (pid, time) = (broker.pid().to_string(), (bench.time_s + bench.warm_up_s).to_string());
    let warm_up = bench.warm_up_s.to_string();
    let mut arguments = vec!["--topic", TOPIC, "--repeat", "--time", &time, "--warm-up", &warm_up];
    arguments.extend(["--connections", source.readers]);
    arguments.extend(["--broker-pid", &pid].iter().chain(&READ));
    let read = bench.consume(port, &arguments)?;
    broker.kill()?;
    remove(&directory)?;
    Ok(read)
}

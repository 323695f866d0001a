//! The way back after kill -9: with many partitions, and with little and much data; then what a broker takes that is idle.
//!
//! ```text
//! load, light load ... kill -9, sync, caches dropped, start -- first answer -- one partition -- all -- idle
//!                                                     0 s
//! ```
//! Both brokers have the first CPU for all their threads and the same data from the same generator, with their defaults:
//! Kafka so reads again what lies behind its last checkpoint of recovery points, which it writes once a minute.

use crate::disk::{forget, has_room, remove};
use crate::load::Bench;
use crate::probe::{self, Asked, LATEST};
use crate::process::{Broker, FIRST_CPU, Program};
use crate::table::{Row, Table};
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};
use thalweg_benches::numbers::ratios;

/// Partitions of a topic at most: Kafka makes no topic of 10 000 in one request.
const TOPIC_PARTITIONS_MAX: usize = 1000;
/// Batches of 4 KiB of each partition, where partitions are many.
const BATCHES: usize = 16;
const BATCH_RECORDS: usize = 4;
/// Partitions of the cases that differ in data.
const FEW: usize = 4;
/// A record of the loads, its key, headers and frame left out.
const RECORD_BYTES: f64 = 1000.0;
/// What a partition takes on disk beside its records: reserved blocks, indexes, files of its own.
const PARTITION_BYTES: u64 = 192 << 10;
/// The first answer has to be there so soon, whatever the data.
const FIRST_ANSWER_S_MAX: f64 = 2.0;

/// How large; small to try it out, full for the page.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    pub(crate) partition_count: usize,
    /// Of the data of the other cases, in units of 10^9 bytes.
    pub(crate) data_gb: Vec<f64>,
    /// Light load before the kill.
    pub(crate) rest: Duration,
    pub(crate) idle: Duration,
}

/// What lies on disk when the broker is killed.
#[derive(Clone, Debug)]
struct Scene {
    name: String,
    topics: Vec<Asked>,
    records_each: u64,
    batch_bytes: &'static str,
    /// What is measured when all is back.
    idle: Option<Duration>,
}

impl Scene {
    fn many(partition_count: usize, idle: Duration) -> Self {
        let topic_count = partition_count.div_ceil(TOPIC_PARTITIONS_MAX);
        let topic = |at: usize| Asked {
            topic: format!("many-{at}"),
            partition_end: (partition_count - at * TOPIC_PARTITIONS_MAX).min(TOPIC_PARTITIONS_MAX),
        };
        Self {
            name: format!("{partition_count} partitions"),
            topics: (0..topic_count).map(topic).collect(),
            records_each: (BATCHES * BATCH_RECORDS) as u64,
            batch_bytes: "4096",
            idle: Some(idle),
        }
    }

    fn large(data_gb: f64) -> Self {
        Self {
            name: format!("{data_gb} GB"),
            topics: vec![Asked { topic: "large".to_owned(), partition_end: FEW }],
            records_each: (data_gb * 1e9 / RECORD_BYTES / FEW as f64) as u64,
            batch_bytes: "1000000",
            idle: None,
        }
    }

    fn partition_count(&self) -> usize {
        self.topics.iter().map(|topic| topic.partition_end).sum()
    }

    fn data_bytes(&self) -> u64 {
        let records = self.records_each * self.partition_count() as u64;
        (records as f64 * RECORD_BYTES * 1.1) as u64 + self.partition_count() as u64 * PARTITION_BYTES
    }
}

/// Seconds from the start after the kill, and what the broker took then.
#[derive(Clone, Copy, Debug)]
struct Back {
    first_s: f64,
    one_s: f64,
    all_s: f64,
    cpu_s: f64,
    idle_mib: f64,
    idle_share: f64,
}

/// What a scene gave with one program.
#[derive(Debug, Default)]
struct Runs {
    backs: Vec<Back>,
    /// Why there are no more.
    cannot: Option<String>,
}

/// All scenes on each broker in turn, round by round.
pub(crate) fn recovery(
    bench: &Bench,
    programs: &[Program],
    port: u16,
    rounds: usize,
    sizes: &Sizes,
    table: &mut Table,
) -> io::Result<()> {
    let many = [Scene::many(sizes.partition_count, sizes.idle)];
    let large: Vec<Scene> = sizes.data_gb.iter().map(|gb| Scene::large(*gb)).collect();
    // Now, and not after half an hour.
    for scene in many.iter().chain(&large) {
        has_room(&bench.directory, &scene.name, scene.data_bytes())?;
    }
    let mut conditions = vec![
        "time counts from the start after the kill; a question every 2 ms, on a connection each".to_owned(),
        format!("killed under 1 000 records/s of 1 kB, after {} s of them", sizes.rest.as_secs_f64()),
        "all threads of the broker on CPU 0; segments of 1 GiB and all else by default; Kafka has a heap of 1 GiB and its \
         release's num.recovery.threads.per.data.dir"
            .to_owned(),
    ];
    let mut told = None;
    let mut run = |scenes: &[Scene]| -> io::Result<Vec<Vec<Runs>>> {
        let mut all: Vec<Vec<Runs>> =
            scenes.iter().map(|_| programs.iter().map(|_| Runs::default()).collect()).collect();
        for _ in 0..rounds {
            for (scene, of_scene) in scenes.iter().zip(&mut all) {
                for (program, runs) in programs.iter().zip(of_scene) {
                    told = another(bench, program, port, scene, sizes.rest, runs)?.or(told.take());
                }
            }
        }
        Ok(all)
    };
    let (of_many, of_large) = (run(&many)?, run(&large)?);
    conditions.extend(told);
    let title = format!("kill -9 to answers: {} that all hold records", many[0].name);
    table.push_under(&title, conditions.clone(), rows(&many, programs, &of_many));
    let mut of_sizes = rows(&large, programs, &of_large);
    of_sizes.extend(growth(&large, programs, &of_large));
    let title = format!("kill -9 to answers: data in {FEW} partitions, written in batches of 1 MB");
    table.push_under(&title, conditions, of_sizes);
    Ok(())
}

/// One more run; what was done about caches. Where Kafka cannot run, that is a figure too; ours has to.
fn another(
    bench: &Bench,
    program: &Program,
    port: u16,
    scene: &Scene,
    rest: Duration,
    runs: &mut Runs,
) -> io::Result<Option<String>> {
    if runs.cannot.is_some() {
        return Ok(None);
    }
    let is_kafka = matches!(program, Program::Kafka { .. });
    runs.cannot = program.cannot_hold(scene.partition_count());
    if runs.cannot.is_some() {
        return Ok(None);
    }
    has_room(&bench.directory, &scene.name, scene.data_bytes())?;
    let directory = bench.fresh("broker")?;
    let outcome = killed(bench, program, port, scene, rest, &directory);
    match outcome {
        Err(error) if is_kafka => {
            let log = fs::read_to_string(directory.join("broker.log")).unwrap_or_default();
            let last = log.lines().last().unwrap_or_default().to_owned();
            remove(&directory)?;
            runs.cannot = Some(format!("{error}; its last line: {last}"));
            Ok(None)
        }
        // Its log stays to be read, its data do not.
        Err(error) => {
            remove(&directory.join("data"))?;
            Err(error)
        }
        Ok((back, condition)) => {
            // Told before the files go: thousands of them take minutes.
            eprintln!("recovery, round {}, {}, {}: {back:?}", runs.backs.len(), scene.name, program.name());
            remove(&directory)?;
            runs.backs.push(back);
            Ok(Some(condition))
        }
    }
}

/// Loads, kills, starts again, asks.
fn killed(
    bench: &Bench,
    program: &Program,
    port: u16,
    scene: &Scene,
    rest: Duration,
    directory: &Path,
) -> io::Result<(Back, String)> {
    let mut broker = program.start_pinned(directory, port, &FIRST_CPU, &[])?;
    broker.ready()?;
    load(bench, port, scene)?;
    let before = probe::offsets(port, &scene.topics, LATEST)?;
    if let Some(empty) = before.iter().position(|end| *end == 0) {
        return Err(io::Error::other(format!("partition {empty} of {} holds no records", scene.name)));
    }
    let light = ["--rate", "1000", "--batch-bytes", "4096", "--record-bytes", "999", "--connections", "4"];
    let first = &scene.topics[0];
    let (partitions, time) = (first.partition_end.to_string(), (rest.as_secs_f64() + 600.0).to_string());
    let to = ["--topic", &first.topic, "--partitions", &partitions, "--time", &time];
    let arguments: Vec<&str> = to.iter().chain(&light).copied().collect();
    let mut sender = bench.produce_meanwhile(port, &arguments)?;
    std::thread::sleep(rest);
    let (before, files) = (probe::offsets(port, &scene.topics, LATEST), broker.program_files(directory));
    let ended = sender.try_wait()?;
    broker.kill()?;
    sender.kill()?;
    sender.wait()?;
    if let Some(status) = ended {
        return Err(io::Error::other(format!("the light load ended before the kill: {status}")));
    }
    let condition = forget(directory, &files?)?.condition();
    let mut broker = program.start_pinned(directory, port, &FIRST_CPU, &[])?;
    let back = answers(&mut broker, scene, &before?)?;
    broker.kill()?;
    Ok((back, condition))
}

/// Fills every partition, topic by topic, at full speed.
fn load(bench: &Bench, port: u16, scene: &Scene) -> io::Result<()> {
    for topic in &scene.topics {
        let (partitions, count) =
            (topic.partition_end.to_string(), scene.records_each * topic.partition_end as u64);
        // As many senders as share the partitions evenly.
        let connections = (1..=64).rev().find(|count| topic.partition_end % count == 0).unwrap_or(1);
        let (connections, count) = (connections.to_string(), count.to_string());
        let flags = ["--topic", &topic.topic, "--partitions", &partitions, "--connections", &connections];
        let load = ["--batch-bytes", scene.batch_bytes, "--record-bytes", "999", "--count", &count];
        let arguments: Vec<&str> = flags.iter().chain(&load).copied().collect();
        bench.produce(port, &arguments)?;
    }
    Ok(())
}

/// The first answers of a broker that came back, which may tell less of no partition than `before`; then its idleness.
fn answers(broker: &mut Broker, scene: &Scene, before: &[i64]) -> io::Result<Back> {
    let (port, all) = (broker.port, &scene.topics);
    let one = [Asked { topic: all[0].topic.clone(), partition_end: 1 }];
    let first_s = broker.ready()?.as_secs_f64();
    let one_s = broker.until(|| probe::offsets(port, &one, LATEST).map(drop))?.as_secs_f64();
    let mut after = Vec::new();
    let all_s = broker.until(|| {
        probe::leaders(port, all)?;
        after = probe::offsets(port, all, LATEST)?;
        Ok(())
    })?;
    let cpu_s = broker.cpu_s()?;
    if let Some(at) = before.iter().zip(&after).position(|(before, after)| after < before) {
        let (before, after) = (before[at], after[at]);
        return Err(io::Error::other(format!("partition {at} ended at {before} and ends at {after}")));
    }
    let (idle_mib, idle_share) = scene.idle.map_or(Ok((f64::NAN, f64::NAN)), |time| idle(broker, time))?;
    Ok(Back { first_s, one_s, all_s: all_s.as_secs_f64(), cpu_s, idle_mib, idle_share })
}

/// Resident memory in MiB and the share of a CPU, of a broker that nobody asks anything for `time`, after half of it to rest.
fn idle(broker: &Broker, time: Duration) -> io::Result<(f64, f64)> {
    std::thread::sleep(time / 2);
    let (before_s, since) = (broker.cpu_s()?, Instant::now());
    std::thread::sleep(time);
    let share = (broker.cpu_s()? - before_s) / since.elapsed().as_secs_f64();
    Ok((broker.resident_mib()?, share))
}

fn rows(scenes: &[Scene], programs: &[Program], runs: &[Vec<Runs>]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (scene, of_scene) in scenes.iter().zip(runs) {
        for (program, runs) in programs.iter().zip(of_scene) {
            let of = |value: fn(&Back) -> f64| runs.backs.iter().map(value).collect::<Vec<f64>>();
            let name = format!("{}, {}", program.name(), scene.name);
            if let Some(reason) = &runs.cannot {
                rows.push(Row::new(format!("{name}: cannot run: {reason}"), "", Vec::new()));
            }
            if runs.backs.is_empty() {
                continue;
            }
            let first = Row::new(format!("{name}: first answer"), "s", of(|back| back.first_s));
            let is_ours = matches!(program, Program::Thalweg { .. });
            rows.push(if is_ours { first.at_most(FIRST_ANSWER_S_MAX) } else { first });
            rows.push(Row::new(format!("{name}: end offset of a partition"), "s", of(|back| back.one_s)));
            rows.push(Row::new(
                format!("{name}: leaders and end offsets of all"),
                "s",
                of(|back| back.all_s),
            ));
            rows.push(Row::new(format!("{name}: processor time by then"), "s", of(|back| back.cpu_s)));
            if scene.idle.is_some() {
                rows.push(Row::new(format!("{name}: idle, resident"), "MiB", of(|back| back.idle_mib)));
                let percent = of(|back| back.idle_share * 100.0);
                rows.push(Row::new(format!("{name}: idle, share of a CPU"), "%", percent));
            }
        }
    }
    rows
}

/// How the time grows from the first size to the last.
fn growth(scenes: &[Scene], programs: &[Program], runs: &[Vec<Runs>]) -> Vec<Row> {
    let (Some(small), Some(large)) = (runs.first(), runs.last()) else { return Vec::new() };
    if runs.len() < 2 {
        return Vec::new();
    }
    let names = format!("{} / {}", scenes[scenes.len() - 1].name, scenes[0].name);
    let growth = |((program, small), large): ((&Program, &Runs), &Runs)| {
        let all = |runs: &Runs| runs.backs.iter().map(|back| back.all_s).collect::<Vec<f64>>();
        Row::new(format!("{}, {names}: all", program.name()), "", ratios(&all(large), &all(small)))
    };
    programs.iter().zip(small).zip(large).map(growth).filter(|row| !row.values.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_spread_over_topics_that_kafka_makes() {
        let scene = Scene::many(2500, Duration::ZERO);
        let counts: Vec<usize> = scene.topics.iter().map(|topic| topic.partition_end).collect();
        assert_eq!((counts, scene.partition_count()), (vec![1000, 1000, 500], 2500));
    }

    #[test]
    fn a_scene_of_data_takes_at_least_its_bytes() {
        let scene = Scene::large(20.0);
        assert_eq!(scene.records_each * FEW as u64 * 1000, 20_000_000_000);
        assert!(scene.data_bytes() > 20_000_000_000);
    }
}

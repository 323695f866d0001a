//! Groups of consumers at scale, on each broker in turn: many members, many groups, a storm, commits beside produce load.
//!
//! Broker on the first CPU with all its threads, generator on the second; settings are the defaults of both, which agree in
//! all that groups depend on (`group.initial.rebalance.delay.ms` 3000, sessions of the clients 45 s unless told).

use crate::disk::remove;
use crate::load::Bench;
use crate::process::Program;
use crate::table::{Row, Table};
use serde_json::Value;
use std::io;
use std::time::Duration;

/// Time for a fresh broker to come to rest; a JVM has warmed up by then as far as it does without load.
const SETTLE: Duration = Duration::from_secs(3);

/// One load, and which figures of its result are told.
struct Load {
    title: &'static str,
    flags: &'static [&'static str],
    figures: &'static [Figure],
}

/// A figure of a result: its name, its unit, and where it is.
struct Figure {
    name: &'static str,
    unit: &'static str,
    read: fn(&Value) -> f64,
}

const fn figure(name: &'static str, unit: &'static str, read: fn(&Value) -> f64) -> Figure {
    Figure { name, unit, read }
}

/// Milliseconds of a percentile of a latency.
fn ms(latency: &Value, percentile: &str) -> f64 {
    if percentile == "max" {
        return latency["max_us"].as_f64().unwrap_or(f64::NAN) / 1e3;
    }
    let known = latency["percentiles"].as_array().into_iter().flatten();
    let found = known.filter(|known| known["name"] == percentile).find_map(|known| known["us"].as_f64());
    found.unwrap_or(f64::NAN) / 1e3
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// All errors of this API, whatever their code.
fn errors(group: &Value, api: &str) -> f64 {
    let errors = group["errors"].as_object().into_iter().flatten();
    errors
        .filter(|(name, _)| name.starts_with(api))
        .filter_map(|(_, count)| count.as_f64())
        .fold(0.0, |sum, count| sum + count)
}

fn stable_ms(group: &Value, event: usize, percentile: &str) -> f64 {
    ms(&group["events"][event]["time_to_stable"], percentile)
}

const ONE_GROUP: Load = Load {
    title: "One group, 1 000 members on 1 000 partitions join at once; then one leaves, then one dies",
    flags: &[
        "--topic",
        "thousand",
        "--partitions",
        "1000",
        "--time",
        "32",
        "--session-timeout-ms",
        "6000",
        "--heartbeat-ms",
        "1000",
        "--event",
        "0:join:1000",
        "--event",
        "10:leave:1",
        "--event",
        "16:die:1",
    ],
    figures: &[
        figure("all joined: to a stable assignment", "ms", |run| stable_ms(&run["group"], 0, "max")),
        figure("join, p50", "ms", |run| ms(&run["group"]["join_latency"], "p50")),
        figure("sync, p99", "ms", |run| ms(&run["group"]["sync_latency"], "p99")),
        figure("one left: to a stable assignment", "ms", |run| stable_ms(&run["group"], 1, "max")),
        figure("one died (session 6 s): to a stable assignment", "ms", |run| {
            stable_ms(&run["group"], 2, "max")
        }),
        figure("stop the world of a partition, p50", "ms", |run| ms(&run["group"]["stop_the_world"], "p50")),
        figure("heartbeat, p99", "ms", |run| ms(&run["group"]["heartbeat_latency"], "p99")),
        figure("rebalances", "", |run| number(&run["group"]["rebalances"])),
    ],
};

const MANY_GROUPS: Load = Load {
    title: "5 000 groups of 3 members come within 10 s, then commit 1 000 times a second; then a member of each leaves within 5 s",
    flags: &[
        "--topic",
        "many",
        "--partitions",
        "6",
        "--time",
        "40",
        "--warm-up",
        "17",
        "--groups",
        "5000",
        "--heartbeat-ms",
        "3000",
        "--commit-rate",
        "1000",
        "--commit-start",
        "17",
        "--event",
        "0:join:3:10",
        "--event",
        "28:leave:1:5",
    ],
    figures: &[
        figure("a group's last member came: to a stable assignment, p50", "ms", |run| {
            stable_ms(&run["group"], 0, "p50")
        }),
        figure("the same, p99", "ms", |run| stable_ms(&run["group"], 0, "p99")),
        figure("groups that were never stable", "", |run| number(&run["group"]["events"][0]["never_stable"])),
        figure("a member left: to a stable assignment, p50", "ms", |run| stable_ms(&run["group"], 1, "p50")),
        figure("the same, p99", "ms", |run| stable_ms(&run["group"], 1, "p99")),
        figure("commit, p50", "ms", |run| ms(&run["group"]["commit_latency"], "p50")),
        figure("commit, p99", "ms", |run| ms(&run["group"]["commit_latency"], "p99")),
        figure("heartbeat, p99", "ms", |run| ms(&run["group"]["heartbeat_latency"], "p99")),
    ],
};

const STORM: Load = Load {
    title: "A storm: 200 members on 400 partitions, cooperative; for 20 s 80 come and 78 leave, evenly spread, and 2 die",
    flags: &[
        "--topic",
        "storm",
        "--partitions",
        "400",
        "--time",
        "45",
        "--session-timeout-ms",
        "6000",
        "--heartbeat-ms",
        "500",
        "--rebalance-timeout-ms",
        "10000",
        "--assignor",
        "cooperative-sticky",
        "--event",
        "0:join:200",
        "--event",
        "8:join:80:20",
        "--event",
        "8:leave:78:20",
        "--event",
        "8:die:2:20",
    ],
    figures: &[
        figure("rebalances", "", |run| number(&run["group"]["rebalances"])),
        figure("stop the world of a partition, p50", "ms", |run| ms(&run["group"]["stop_the_world"], "p50")),
        figure("stop the world, p99", "ms", |run| ms(&run["group"]["stop_the_world"], "p99")),
        figure("after the last of them: to a stable assignment", "ms", |run| {
            stable_ms(&run["group"], 1, "max").min(stable_ms(&run["group"], 2, "max")).min(stable_ms(
                &run["group"],
                3,
                "max",
            ))
        }),
        figure("join, p50", "ms", |run| ms(&run["group"]["join_latency"], "p50")),
        figure("sync, p99", "ms", |run| ms(&run["group"]["sync_latency"], "p99")),
        figure("members that were told they are unknown", "", |run| {
            let errors = run["group"]["errors"].as_object().into_iter().flatten();
            errors
                .filter(|(name, _)| name.contains("UnknownMember"))
                .filter_map(|(_, count)| count.as_f64())
                .fold(0.0, |sum, count| sum + count)
        }),
    ],
};

const COMMITS: Load = Load {
    title: "10 000 offset commits/s by 1 000 members of 100 groups beside 1 000 batches/s of 20 kB, acks=all",
    flags: &[
        "--topic",
        "commits",
        "--partitions",
        "10",
        "--time",
        "30",
        "--warm-up",
        "14",
        "--groups",
        "100",
        "--commit-rate",
        "10000",
        "--commit-start",
        "10",
        "--event",
        "0:join:10:1",
        "--feed",
        "--connections",
        "10",
        "--rate",
        "20000",
        "--batch-records",
        "20",
        "--batch-bytes",
        "30000",
        "--record-bytes",
        "1000",
    ],
    figures: &[
        figure("commits", "/s", |run| number(&run["group"]["commits_per_s"])),
        figure("commit, from the intended time, p50", "ms", |run| ms(&run["group"]["commit_latency"], "p50")),
        figure("commit, p99", "ms", |run| ms(&run["group"]["commit_latency"], "p99")),
        figure("commit, p99.9", "ms", |run| ms(&run["group"]["commit_latency"], "p99.9")),
        figure("commit, worst", "ms", |run| ms(&run["group"]["commit_latency"], "max")),
        figure("commits due and never sent", "", |run| number(&run["group"]["unsent_commits"])),
        figure("commits refused", "", |run| errors(&run["group"], "OffsetCommit")),
        figure("batches beside them", "/s", |run| number(&run["produce"]["rates"]["batches_per_s"])),
        figure("a batch, p50", "ms", |run| ms(&run["produce"]["latency"], "p50")),
        figure("a batch, p99", "ms", |run| ms(&run["produce"]["latency"], "p99")),
    ],
};

/// What the broker took for a load, beside what the generator tells.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    idle_mib: f64,
    peak_mib: f64,
    cpu_s: f64,
}

/// All loads on each broker in turn, each on a fresh directory.
pub(crate) fn groups(
    bench: &Bench,
    programs: &[Program],
    port: u16,
    rounds: usize,
    table: &mut Table,
) -> io::Result<()> {
    for load in [&ONE_GROUP, &MANY_GROUPS, &STORM, &COMMITS] {
        let mut runs: Vec<Vec<(Value, Taken)>> = programs.iter().map(|_| Vec::new()).collect();
        for round in 0..rounds {
            for (program, runs) in programs.iter().zip(&mut runs) {
                let (result, taken) = run(bench, program, port, load)?;
                let told = |figure: &Figure| format!("{} {:.1}", figure.name, (figure.read)(&result));
                let told: Vec<String> = load.figures.iter().map(told).collect();
                eprintln!("groups, round {round}, {}: {}; {taken:?}", program.name(), told.join("; "));
                runs.push((result, taken));
            }
        }
        let mut rows = Vec::new();
        for figure in load.figures {
            for (program, runs) in programs.iter().zip(&runs) {
                let values = runs.iter().map(|(result, _)| (figure.read)(result)).collect();
                rows.push(Row::new(format!("{}: {}", program.name(), figure.name), figure.unit, values));
            }
        }
        for (program, runs) in programs.iter().zip(&runs) {
            let of =
                |value: fn(&Taken) -> f64| runs.iter().map(|(_, taken)| value(taken)).collect::<Vec<f64>>();
            let name = program.name();
            rows.push(Row::new(format!("{name}: resident before"), "MiB", of(|taken| taken.idle_mib)));
            rows.push(Row::new(format!("{name}: resident, most"), "MiB", of(|taken| taken.peak_mib)));
            rows.push(Row::new(
                format!("{name}: processor time of the broker"),
                "s",
                of(|taken| taken.cpu_s),
            ));
        }
        table.push(load.title, rows);
    }
    Ok(())
}

fn run(bench: &Bench, program: &Program, port: u16, load: &Load) -> io::Result<(Value, Taken)> {
    let directory = bench.fresh("broker")?;
    let mut broker = program.start(&directory, port)?;
    broker.ready()?;
    broker.pin()?;
    std::thread::sleep(SETTLE);
    let mut taken = Taken { idle_mib: broker.resident_mib()?, peak_mib: 0.0, cpu_s: broker.cpu_s()? };
    let result = bench.group(broker.port, load.flags, || {
        taken.peak_mib = taken.peak_mib.max(broker.resident_mib().unwrap_or(0.0));
    })?;
    taken.cpu_s = broker.cpu_s()? - taken.cpu_s;
    broker.kill()?;
    remove(&directory)?;
    Ok((result, taken))
}

//! The figures of PERF.md: raw loops and broker in turn, round by round, as a table. `figures.sh` builds and starts it.
//!
//! ```text
//! raw_stream, broker, raw_stream, broker ...      a machine that slows down slows both; the ratio of a round stands
//! ```
//! The broker and the raw loops have the first CPU, senders the second. Each run of a broker has a fresh directory.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the report of a bench is what it prints")]

mod cases;
mod fetch;
mod groups;
mod load;
mod recovery;
mod shards;
mod table;
mod upkeep;

use clap::{Parser, ValueEnum};
use load::Bench;
use process::Program;
use recovery::Sizes;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use table::Table;
use thalweg_benches::brokers::{disk, probe, process};
use thalweg_benches::machine::{facts, load_average};
use upkeep::{Plan, Upkeep};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    Stream,
    Batches,
    Lonely,
    Fetch,
    Shards,
    Starts,
    Groups,
    Recovery,
    Upkeep,
}

/// Runs raw loops and broker in turn and writes figures.md and figures.json.
#[derive(Debug, Parser)]
struct Arguments {
    /// Longer runs and more rounds.
    #[arg(long)]
    full: bool,
    /// Only these; may be given several times. `groups`, `recovery` and `upkeep` run only if they are named.
    #[arg(long)]
    only: Vec<Case>,
    /// Rounds; 3, with --full 5.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of each run; 5, with --full 30.
    #[arg(long)]
    time_s: Option<f64>,
    /// Seconds before that; 3, with --full 10.
    #[arg(long)]
    warm_up_s: Option<f64>,
    /// Partitions of the case `recovery`; 200, with --full 10 000.
    #[arg(long)]
    partitions: Option<usize>,
    /// Data of the case `recovery`, 10^9 bytes; may be given several times; 0.1 and 0.4, with --full 1 and 20.
    #[arg(long)]
    data_gb: Vec<f64>,
    /// Seconds of light load before the kill of the case `recovery`; 2, with --full 65.
    #[arg(long)]
    rest_s: Option<f64>,
    /// Seconds of idleness that are measured after the start of the case `recovery`; 5, with --full 20.
    #[arg(long)]
    idle_s: Option<f64>,
    /// Backlog of the case `upkeep`, 10^9 bytes; 0.3, with --full 5.
    #[arg(long)]
    backlog_gb: Option<f64>,
    /// Upkeep of the case `upkeep`; may be given several times; all of it if none is named.
    #[arg(long)]
    with: Vec<Upkeep>,
    /// Folder of the binaries.
    #[arg(long)]
    binaries: PathBuf,
    /// Folder for the data, on the file system to measure.
    #[arg(long)]
    directory: PathBuf,
    /// Folder for the table.
    #[arg(long)]
    output: PathBuf,
    /// Folder with the jars of a Kafka release, for starts and memory beside it.
    #[arg(long)]
    kafka: Option<PathBuf>,
    /// First of two ports that are free.
    #[arg(long, default_value_t = 19_640)]
    port: u16,
    /// Settings of the broker, KEY=VALUE; may be given several times.
    #[arg(long)]
    set: Vec<String>,
    /// What was built and how, for the table.
    #[arg(long, default_value = "unknown")]
    build: String,
}

impl Arguments {
    fn by_profile<T>(&self, quick: T, full: T) -> T {
        if self.full { full } else { quick }
    }

    /// The broker of this repository, and Kafka if its jars are there.
    fn programs(&self) -> Vec<Program> {
        let thalweg = Program::Thalweg { binary: self.binaries.join("thalweg"), settings: self.set.clone() };
        let kafka = self.kafka.clone().map(|jars| Program::Kafka { jars, settings: Vec::new() });
        std::iter::once(thalweg).chain(kafka).collect()
    }

    fn sizes(&self) -> Sizes {
        let seconds = |given: Option<f64>, quick, full| {
            Duration::from_secs_f64(given.unwrap_or(self.by_profile(quick, full)))
        };
        let data_gb = if self.data_gb.is_empty() {
            self.by_profile(vec![0.1, 0.4], vec![1.0, 20.0])
        } else {
            self.data_gb.clone()
        };
        Sizes {
            partition_count: self.partitions.unwrap_or(self.by_profile(200, 10_000)),
            data_gb,
            rest: seconds(self.rest_s, 2.0, 65.0),
            idle: seconds(self.idle_s, 5.0, 20.0),
        }
    }

    fn plan(&self) -> Plan {
        Plan {
            backlog_gb: self.backlog_gb.unwrap_or(self.by_profile(0.3, 5.0)),
            with: if self.with.is_empty() { Upkeep::value_variants().to_vec() } else { self.with.clone() },
        }
    }
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let bench = Bench {
        binaries: arguments.binaries.clone(),
        directory: arguments.directory.clone(),
        time_s: arguments.time_s.unwrap_or(arguments.by_profile(5.0, 30.0)),
        warm_up_s: arguments.warm_up_s.unwrap_or(arguments.by_profile(3.0, 10.0)),
    };
    std::fs::create_dir_all(&bench.directory)?;
    let rounds = arguments.rounds.unwrap_or(arguments.by_profile(3, 5));
    let programs = arguments.programs();
    let broker = &programs[0];
    let mut conditions = conditions(&arguments, &bench, rounds);
    let is_named = |case| arguments.only.contains(&case);
    let wanted = |case| arguments.only.is_empty() || is_named(case);
    let (mut table, port) = (Table::default(), arguments.port);
    if wanted(Case::Stream) {
        cases::stream(&bench, broker, port, rounds, &mut table)?;
    }
    if wanted(Case::Batches) {
        cases::batches(&bench, broker, port, rounds, &mut table)?;
    }
    if wanted(Case::Lonely) {
        cases::lonely(&bench, broker, port, rounds, &mut table)?;
    }
    if wanted(Case::Fetch) {
        fetch::fetch(&bench, broker, port, rounds, &mut table)?;
    }
    if wanted(Case::Shards) {
        shards::shards(&bench, broker, port, rounds, &mut table)?;
    }
    if wanted(Case::Starts) {
        cases::starts(&bench, &programs, port, rounds, &mut table)?;
    }
    // Only when asked for: a round of these takes minutes.
    if is_named(Case::Groups) {
        groups::groups(&bench, &programs, port, rounds, &mut table)?;
    }
    if is_named(Case::Recovery) {
        recovery::recovery(&bench, &programs, port, rounds, &arguments.sizes(), &mut table)?;
    }
    if is_named(Case::Upkeep) {
        upkeep::upkeep(&bench, &programs, port, rounds, &arguments.plan(), &mut table)?;
    }
    conditions.push(("load of the machine at the end", load_average()));
    table.write(&arguments.output, &conditions)?;
    print!("{}", table.markdown(&conditions));
    Ok(())
}

fn conditions(arguments: &Arguments, bench: &Bench, rounds: usize) -> Vec<(&'static str, String)> {
    let mut conditions = facts(&bench.directory, &arguments.build);
    conditions.push(("settings over the defaults", arguments.set.join(" ")));
    let runs = format!("{rounds} rounds, {} s each after {} s of warm-up", bench.time_s, bench.warm_up_s);
    conditions.push(("runs", runs));
    conditions.push(("load of the machine at the start", load_average()));
    conditions
}

//! The figures of PERF.md: raw loops and broker in turn, round by round, as a table. `figures.sh` builds and starts it.
//!
//! ```text
//! raw_stream, broker, raw_stream, broker ...      a machine that slows down slows both; the ratio of a round stands
//! ```
//! The broker and the raw loops have the first CPU, senders the second. Each run of a broker has a fresh directory.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the report of a bench is what it prints")]

mod cases;
mod groups;
mod load;
mod process;
mod table;

use clap::{Parser, ValueEnum};
use load::Bench;
use process::Program;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use table::Table;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    Stream,
    Batches,
    Lonely,
    Starts,
    Groups,
}

/// Runs raw loops and broker in turn and writes figures.md and figures.json.
#[derive(Debug, Parser)]
struct Arguments {
    /// Longer runs and more rounds.
    #[arg(long)]
    full: bool,
    /// Only these; may be given several times. `groups` runs only if it is named.
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

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let by_profile = |quick: f64, full: f64| if arguments.full { full } else { quick };
    let bench = Bench {
        binaries: arguments.binaries.clone(),
        directory: arguments.directory.clone(),
        time_s: arguments.time_s.unwrap_or(by_profile(5.0, 30.0)),
        warm_up_s: arguments.warm_up_s.unwrap_or(by_profile(3.0, 10.0)),
    };
    std::fs::create_dir_all(&bench.directory)?;
    let rounds = arguments.rounds.unwrap_or(if arguments.full { 5 } else { 3 });
    let broker = Program::Thalweg { binary: bench.binaries.join("thalweg"), settings: arguments.set.clone() };
    let mut conditions = conditions(&arguments, &bench, rounds);
    let wanted = |case| arguments.only.is_empty() || arguments.only.contains(&case);
    let (mut table, port) = (Table::default(), arguments.port);
    if wanted(Case::Stream) {
        cases::stream(&bench, &broker, port, rounds, &mut table)?;
    }
    if wanted(Case::Batches) {
        cases::batches(&bench, &broker, port, rounds, &mut table)?;
    }
    if wanted(Case::Lonely) {
        cases::lonely(&bench, &broker, port, rounds, &mut table)?;
    }
    if wanted(Case::Starts) {
        let kafka = arguments.kafka.clone().map(|jars| Program::Kafka { jars });
        let programs: Vec<Program> = std::iter::once(broker).chain(kafka).collect();
        cases::starts(&bench, &programs, port, rounds, &mut table)?;
    }
    // Only when asked for: a round takes minutes.
    if arguments.only.contains(&Case::Groups) {
        let kafka = arguments.kafka.clone().map(|jars| Program::Kafka { jars });
        let thalweg =
            Program::Thalweg { binary: bench.binaries.join("thalweg"), settings: arguments.set.clone() };
        let programs: Vec<Program> = std::iter::once(thalweg).chain(kafka).collect();
        groups::groups(&bench, &programs, port, rounds, &mut table)?;
    }
    conditions.push(("load of the machine at the end", load_average()));
    table.write(&arguments.output, &conditions)?;
    print!("{}", table.markdown(&conditions));
    Ok(())
}

fn conditions(arguments: &Arguments, bench: &Bench, rounds: usize) -> Vec<(&'static str, String)> {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu_info = text("/proc/cpuinfo");
    let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = text("/proc/sys/kernel/osrelease");
    let mut find = Command::new("findmnt");
    find.args(["-n", "-o", "FSTYPE,SOURCE", "-T"]).arg(&bench.directory);
    let file_system = find.output().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let commit = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    vec![
        ("machine", format!("{cores} x {}, Linux {}", model.unwrap_or("?").trim(), kernel.trim())),
        ("file system", file_system.unwrap_or_default()),
        ("commit", commit.unwrap_or_default()),
        ("build", arguments.build.clone()),
        ("settings over the defaults", arguments.set.join(" ")),
        ("runs", format!("{rounds} rounds, {} s each after {} s of warm-up", bench.time_s, bench.warm_up_s)),
        ("load of the machine at the start", load_average()),
    ]
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

//! The tool behind `benches/regress`, which gives it two builds: counts what they do, judges, keeps a history.
//!
//! ```text
//! loops     instructions of the inner loops, under callgrind          -> FIGURES.json
//! process   system calls, allocations, bytes written, processor time  -> FIGURES.json
//! judge     two sets of figures -> table, verdict, a line of history; ends with 3 when something got worse
//! spread    several sets of one build -> how far they lie apart
//! ```
//! `figures` holds what is counted and how much worse is too much.
#![expect(clippy::print_stdout, reason = "the table is what it prints")]

mod broker;
mod figures;
mod judge;
mod loops;
mod process;
#[path = "../../tests/harness/strace.rs"]
#[expect(unreachable_pub, reason = "the harness of the tests shows it to everybody")]
mod strace;

use clap::Parser;
use figures::Figures;
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit status when something got worse.
const WORSE: u8 = 3;

/// Counts and judges builds; `benches/regress` runs it.
#[derive(Debug, Parser)]
enum Arguments {
    /// Counts instructions of the inner loops.
    Loops {
        /// The bench `loops`, built.
        #[arg(long)]
        binary: PathBuf,
        /// Cases at once.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// Where the figures go.
        #[arg(long)]
        output: PathBuf,
    },
    /// Counts what the whole process does for a fixed workload.
    Process(process::Options),
    /// Judges one build against another.
    Judge(judge::Options),
    /// Says how far several countings of one build lie apart.
    Spread {
        /// Their figures.
        #[arg(required = true, num_args = 2..)]
        figures: Vec<PathBuf>,
    },
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    match Arguments::parse() {
        Arguments::Loops { binary, jobs, output } => loops::count(&binary, jobs)?.save(&output)?,
        Arguments::Process(options) => process::count(&options)?.save(&options.output)?,
        Arguments::Judge(options) => {
            if judge::judge(&options)? {
                return Ok(ExitCode::from(WORSE));
            }
        }
        Arguments::Spread { figures } => {
            let all = figures.iter().map(|path| Figures::load(path)).collect::<Result<Vec<_>, _>>()?;
            print!("{}", judge::spread(&all));
        }
    }
    Ok(ExitCode::SUCCESS)
}

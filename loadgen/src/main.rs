//! The load generator's process: settings from the command line, one run, its report; or runs of before, compared.
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use thalweg_loadgen::compare::{self, CompareFlags};
use thalweg_loadgen::page::{self, ReportFlags};
use thalweg_loadgen::result::RunResult;
use thalweg_loadgen::run::{RunError, Stop, run};
use thalweg_loadgen::spec::{Command, Spec};
use thalweg_loadgen::{hlog, report};

/// Measures a broker that speaks Kafka's protocol.
#[derive(Debug, Parser)]
#[command(name = "thalweg-loadgen", version, about, max_term_width = 120)]
struct Line {
    #[command(subcommand)]
    word: Word,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of them in a process")]
enum Word {
    #[command(flatten)]
    Run(Command),
    /// Judge interleaved pairs of runs: better, worse, no difference that matters, or cannot tell
    ///
    /// Exit status: 0 nothing is worse; 1 they cannot be compared; 2 wrong command line; 3 a figure is worse; 4 none is, but some
    /// cannot be told.
    Compare(CompareFlags),
    /// Write results, and figures over commits, as one page of HTML
    Report(ReportFlags),
}

fn main() -> ExitCode {
    let done = match Line::parse().word {
        Word::Run(command) => begin(command).map_err(|error| error.to_string()),
        Word::Compare(flags) => compared(&flags).map_err(|error| error.to_string()),
        Word::Report(flags) => page::write(&flags).map(|()| 0).map_err(|error| error.to_string()),
    };
    match done {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("thalweg-loadgen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compared(flags: &CompareFlags) -> Result<u8, compare::CompareError> {
    let comparison = compare::compare(flags)?;
    print!("{}", compare::text(&comparison));
    Ok(comparison.exit_status())
}

fn begin(command: Command) -> Result<u8, RunError> {
    let spec = Spec::from_command(command)?;
    let stop = Stop::default();
    // Order counts: the second signal finds the flag that the first one set, and ends the process.
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, stop.flag())
            .and_then(|_| signal_hook::flag::register(signal, stop.flag()))
            .map_err(|source| RunError::System { what: "listening for signals", source })?;
    }
    let json = spec.common().json.clone();
    let hlog = spec.common().hlog.clone();
    let result = run(spec, &stop)?;
    if let Some(path) = hlog {
        hlog::save(&path, result.start_unix_ms, &result.intervals)
            .map_err(|source| RunError::Output { path, source })?;
    }
    let table = report::text(&result);
    match json {
        Some(path) if path.as_os_str() == "-" => {
            eprint!("{table}");
            println!("{}", to_json(&result)?);
        }
        Some(path) => {
            print!("{table}");
            std::fs::write(&path, to_json(&result)? + "\n")
                .map_err(|source| RunError::Output { path, source })?;
        }
        None => print!("{table}"),
    }
    Ok(result.exit_status())
}

fn to_json(result: &RunResult) -> Result<String, RunError> {
    serde_json::to_string_pretty(result)
        .map_err(|error| RunError::System { what: "writing JSON", source: std::io::Error::other(error) })
}

//! The load generator's process: settings from the command line, one run, its report.
use std::process::ExitCode;

use clap::Parser as _;
use thalweg_loadgen::result::RunResult;
use thalweg_loadgen::run::{RunError, Stop, run};
use thalweg_loadgen::spec::{Arguments, Spec};
use thalweg_loadgen::{hlog, report};

fn main() -> ExitCode {
    match begin(Arguments::parse()) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("thalweg-loadgen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn begin(arguments: Arguments) -> Result<u8, RunError> {
    let spec = Spec::from_command(arguments.command)?;
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

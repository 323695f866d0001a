//! `crash_campaign --rounds N [--seed N] [--no-dumps]`: kills a broker again and again under load and audits it each time.
//!
//! Ends with 0 if nothing was violated. `cargo build --release --bins` first: it starts the broker that lies beside it.

use harness::kill::{Settings, campaign};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut settings = Settings { rounds: 20, seed: rand::random(), dumps: true };
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok());
        let known = match flag.as_str() {
            "--rounds" => number().map(|rounds| settings.rounds = rounds as u32),
            "--seed" => number().map(|seed| settings.seed = seed),
            "--no-dumps" => {
                settings.dumps = false;
                Some(())
            }
            _ => None,
        };
        if known.is_none() {
            eprintln!("crash_campaign --rounds N [--seed N] [--no-dumps]; not understood: {flag}");
            return ExitCode::from(2);
        }
    }
    println!("crash campaign: {} rounds, seed {}", settings.rounds, settings.seed);
    let summary = campaign(settings);
    println!("{}", summary.words());
    if summary.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

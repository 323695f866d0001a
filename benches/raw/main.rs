//! What this machine can do without a broker: the loops that figures are measured against.
//!
//! ```text
//! raw stream   one socket -> checksum -> direct writes, a sync every 10 ms: the ceiling of one fat producer
//! raw journal  one direct write and one sync for what N clients have in flight: the ceiling of durable answers
//! ```
//! Each prints one line of JSON.
#![expect(clippy::print_stdout, reason = "the report of a bench is what it prints")]

mod journal;
mod stream;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Loops without a broker, to measure against.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    load: Load,
    /// Directory for the files that are written.
    #[arg(long, global = true, default_value = ".")]
    directory: PathBuf,
    /// Seconds that count, after one that does not.
    #[arg(long, global = true, default_value_t = 5)]
    seconds: u64,
    /// The CPU of the loop.
    #[arg(long, global = true, default_value_t = 0)]
    cpu: usize,
}

#[derive(Subcommand)]
enum Load {
    /// Receive, checksum, write; a sync every 10 ms.
    Stream {
        /// Bytes of one frame.
        #[arg(long, default_value_t = 1_000_000)]
        batch_bytes: usize,
        /// The CPU of the sender.
        #[arg(long, default_value_t = 1)]
        sender_cpu: usize,
    },
    /// One write and one sync for all that is in flight.
    Journal {
        /// Batches in flight.
        #[arg(long, default_value_t = 64)]
        clients: usize,
        /// Bytes of each.
        #[arg(long, default_value_t = 4096)]
        batch_bytes: usize,
    },
}

fn main() -> ExitCode {
    let Arguments { load, directory, seconds, cpu } = Arguments::parse();
    let path = directory.join(format!("thalweg-raw-{}", std::process::id()));
    let run = Run { path: path.clone(), seconds, cpu };
    let outcome = match load {
        Load::Stream { batch_bytes, sender_cpu } => stream::measure(&run, batch_bytes, sender_cpu),
        Load::Journal { clients, batch_bytes } => journal::measure(&run, clients, batch_bytes),
    };
    let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path));
    match outcome {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("raw: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What both loops are told.
struct Run {
    path: PathBuf,
    seconds: u64,
    cpu: usize,
}

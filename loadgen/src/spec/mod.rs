//! What is to be run? Flags over a workload file over defaults, checked once; from there on nothing is optional by accident.
mod check;
mod command;
mod flags;
mod group;
mod scenes;
#[cfg(test)]
mod tests;
mod values;
mod workload;

pub(crate) use check::drawn;
pub use check::{Common, Consume, Produce, Roundtrip};
pub use command::Spec;
pub use flags::{Arguments, Command, CommonFlags, ConsumeFlags, GroupFlags, ProduceFlags, RoundtripFlags};
pub use group::Group;
pub use scenes::{Backlog, BacklogFlags, Crash, CrashFlags, Ladder, LadderFlags, Tail, TailFlags};
pub use values::{Acks, KeySpread, Partitions, Profile, ReadFrom};
pub use workload::Workload;

use std::path::PathBuf;

/// Why a run cannot begin as asked.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// A key that has no default is missing.
    #[error("--{key} is missing")]
    Missing {
        /// The flag.
        key: &'static str,
    },
    /// A value is out of range or contradicts another.
    #[error("{key} {value}: {wants}")]
    Invalid {
        /// The flag.
        key: &'static str,
        /// As given.
        value: String,
        /// What is right.
        wants: &'static str,
    },
    /// The workload file cannot be read.
    #[error("workload {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The workload file is not one.
    #[error("workload {}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        source: Box<toml::de::Error>,
    },
    /// The workload file is for another command.
    #[error("workload {} is for `{wanted}`, not for `{given}`", path.display())]
    OtherCommand {
        /// The file.
        path: PathBuf,
        /// The command in the file.
        wanted: String,
        /// The command on the line.
        given: &'static str,
    },
}

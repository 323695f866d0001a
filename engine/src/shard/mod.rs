//! What runs on one core?
//!
//! `Engine` is the door of the whole crate: the logs of one shard, appended to and read by the server. It never leaves
//! its core; what it hands out (`Bytes`) may.

mod api;
mod append;
mod cold;
mod commit_loop;
mod cursor;
mod directory;
mod ends;
mod engine;
mod indexes;
mod journal_reader;
mod keeper;
mod lazy;
mod names;
mod new_files;
mod pages;
mod read;
mod recovery;
mod rescue;
mod roster;
mod scrub;
mod settings;
mod signal;
mod start;
mod states;
mod stats;
mod table;
mod upkeep;
mod write_back_loop;

#[cfg(test)]
mod ahead_tests;
#[cfg(test)]
mod rot_tests;
#[cfg(test)]
mod scrub_tests;
#[cfg(test)]
mod sim_tests;
#[cfg(test)]
mod tests;

pub use api::{
    Append, AppendError, EpochEnd, Isolation, LogError, Read, ReadError, ReadOutcome, Staged, StoredLog,
    TimedOffset,
};
pub use engine::Engine;
pub use lazy::{EarlyLogs, EarlyTopic};
pub use recovery::RecoveryError;
pub use settings::EngineSettings;
pub use start::{Recovered, Share, StartError, recover, recover_without};
pub use stats::{EngineStats, Latency};

//! What runs on one core?
//!
//! `Engine` is the door of the whole crate: the logs of one shard, appended to and read by the server. It never leaves
//! its core; what it hands out (`Bytes`) may.

mod api;
mod memory;

pub use api::{
    Append, AppendError, EpochEnd, Isolation, LogError, Read, ReadError, ReadOutcome, Staged, TimedOffset,
};
pub use memory::Engine;

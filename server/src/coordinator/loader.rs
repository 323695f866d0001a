//! Reads a coordinator's log from its start into its machine.

use super::{Machine, Record};
use std::time::Duration;
use thalweg_engine::shard::{Engine, Isolation, Read, ReadError};
use thalweg_engine::units::LogId;

/// Bytes of one read: large enough for the disk, small enough that others get their turn between two.
const READ_BYTES_MAX: usize = 1 << 20;

/// What was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Records that went into the machine.
    pub record_count: u64,
    /// Records that could not be read and were skipped.
    pub malformed_count: u64,
}

/// Replays everything the log holds now.
///
/// # Errors
/// When the log cannot be read; the machine is of no use then.
pub(super) async fn load<M: Machine>(
    engine: &Engine,
    log_id: LogId,
    machine: &mut M,
) -> Result<Loaded, ReadError> {
    let bounds = engine.bounds(log_id)?;
    let mut loaded = Loaded::default();
    let mut offset = bounds.log_start;
    while offset < bounds.log_end {
        let read = Read {
            offset,
            bytes_max: READ_BYTES_MAX,
            first_batch_whole: true,
            isolation: Isolation::Uncommitted,
        };
        let outcome = engine.read(log_id, read).await?;
        let before = offset;
        for slice in &outcome.slices {
            offset = super::log::walk(slice, offset, |record: Record| {
                loaded.record_count += 1;
                if let Err(error) = machine.replay(&record) {
                    loaded.malformed_count += 1;
                    tracing::warn!(%log_id, %error, "a coordinator's record was skipped");
                }
            })
            .ok_or(ReadError::Corrupt { offset })?;
        }
        if offset == before {
            break; // the log shrank under us: nothing more to read
        }
        futures_lite::future::yield_now().await;
    }
    Ok(loaded)
}

/// How long loading took, for the log line of whoever asked for it.
pub(super) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

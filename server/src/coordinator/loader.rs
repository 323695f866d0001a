//! Reads a coordinator's log from its start into its machine.

use super::log::{Store, walk};
use super::{Machine, Record};
use thalweg_engine::shard::ReadError;
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
    store: &impl Store,
    log_id: LogId,
    machine: &mut M,
) -> Result<Loaded, ReadError> {
    let bounds = store.bounds(log_id)?;
    // A log that was let go a moment ago may have records on their way: reads see only what is durable.
    store.durable(log_id, bounds.log_end).await?;
    let mut loaded = Loaded::default();
    let mut offset = bounds.log_start;
    while offset < bounds.log_end {
        let batches = store.read(log_id, offset, READ_BYTES_MAX).await?;
        if batches.is_empty() {
            break; // the log became shorter under us: nothing more to read
        }
        let replay = |record: Record| {
            loaded.record_count += 1;
            if let Err(error) = machine.replay(&record) {
                loaded.malformed_count += 1;
                tracing::warn!(%log_id, %error, "a coordinator's record was skipped");
            }
        };
        offset = walk(&batches, offset, replay).map_err(|_| ReadError::Corrupt { offset })?;
        futures_lite::future::yield_now().await;
    }
    Ok(loaded)
}

//! Walks single records; compressed batches unpack behind a bound.

use std::ops::ControlFlow;

use super::BatchError;
use crate::units::{Offset, Timestamp};

/// One record, borrowed from its batch (or from the one record's worth of unpacked bytes).
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its place in the partition.
    pub offset: Offset,
    /// Its own timestamp, or the batch's under `LogAppendTime`.
    pub timestamp: Timestamp,
    /// `None` is not the same as empty.
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Application headers.
    pub headers: RecordHeaders<'a>,
}

/// Headers of one record.
#[derive(Clone, Copy, Debug)]
pub struct RecordHeaders<'a> {
    bytes: &'a [u8],
    count: u32,
}

/// Calls `visit` with each record of one whole batch, in order, until it breaks.
///
/// # Errors
/// As [`BatchError`] says.
pub fn for_each_record(
    batch: &[u8],
    unpacked_bytes_max: usize,
    visit: impl FnMut(Record<'_>) -> ControlFlow<()>,
) -> Result<(), BatchError> {
    unimplemented!()
}

/// The first record at or after `target` by timestamp.
///
/// # Errors
/// As [`for_each_record`].
pub fn find_timestamp(
    batch: &[u8],
    target: Timestamp,
    unpacked_bytes_max: usize,
) -> Result<Option<(Offset, Timestamp)>, BatchError> {
    unimplemented!()
}

/// The first record that carries the batch's largest timestamp.
///
/// # Errors
/// As [`for_each_record`].
pub fn find_max_timestamp(
    batch: &[u8],
    unpacked_bytes_max: usize,
) -> Result<Option<(Offset, Timestamp)>, BatchError> {
    unimplemented!()
}

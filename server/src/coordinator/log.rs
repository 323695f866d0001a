//! A coordinator's log: what a host asks of the engine, and its records as batches.

use super::Record;
use bytes::Bytes;
use std::future::Future;
use std::ops::ControlFlow;
use thalweg_engine::batch::{
    BatchBuilder, BatchError, BatchHeader, Codec, Origin, ProducerFields, for_each_record,
};
use thalweg_engine::log::LogBounds;
use thalweg_engine::shard::{Append, AppendError, Engine, Isolation, LogError, Read, ReadError};
use thalweg_engine::units::{LogId, Offset, Timestamp};

/// Bytes that a compressed batch may unfold to: an imported log may hold larger ones than are written here.
const UNFOLDED_BYTES_MAX: usize = 16 << 20;
/// Bytes of records in one batch before compression: what is written can be read again.
const RECORDS_BYTES_MAX: usize = 12 << 20;

/// Where a coordinator's records are kept: the engine, or a memory of the tests.
pub trait Store: Clone + 'static {
    /// The log's bounds now.
    ///
    /// # Errors
    /// `Unknown`, `Offline`.
    fn bounds(&self, log_id: LogId) -> Result<LogBounds, LogError>;

    /// Resolves when everything below `end` is on the device and synced.
    fn durable(&self, log_id: LogId, end: Offset) -> impl Future<Output = Result<(), LogError>> + 'static;

    /// Appends one batch; resolves when it is on the device and synced. Appends take effect in the order of their first
    /// polls.
    fn append(
        &self,
        log_id: LogId,
        batch: Bytes,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), AppendError>> + 'static;

    /// Whole batches from the one that holds `offset`, at least one where there are any.
    fn read(
        &self,
        log_id: LogId,
        offset: Offset,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Bytes, ReadError>> + 'static;
}

impl Store for Engine {
    fn bounds(&self, log_id: LogId) -> Result<LogBounds, LogError> {
        Engine::bounds(self, log_id)
    }

    fn durable(&self, log_id: LogId, end: Offset) -> impl Future<Output = Result<(), LogError>> + 'static {
        Engine::durable(self, log_id, end)
    }

    fn append(
        &self,
        log_id: LogId,
        batch: Bytes,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), AppendError>> + 'static {
        let engine = self.clone();
        async move {
            let append = Append { records: batch, zstd_allowed: true, origin: Origin::Coordinator };
            let staged = engine.stage(log_id, &append, now).await?;
            Ok(engine.durable(log_id, staged.offset_end).await?)
        }
    }

    fn read(
        &self,
        log_id: LogId,
        offset: Offset,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Bytes, ReadError>> + 'static {
        let engine = self.clone();
        async move {
            let read = Read { offset, bytes_max, first_batch_whole: true, isolation: Isolation::Uncommitted };
            let mut slices = engine.read(log_id, read).await?.slices;
            // A batch may lie across two slices.
            Ok(if slices.len() == 1 { slices.remove(0) } else { Bytes::from(slices.concat()) })
        }
    }
}

/// One batch of these records.
///
/// # Errors
/// `TooLarge` beyond 12 MiB of keys and values, and what the engine's builder says.
pub(super) fn encode(records: &[Record], codec: Codec, wall: Timestamp) -> Result<Bytes, BatchError> {
    let record_bytes = |record: &Record| record.key.len() + record.value.as_ref().map_or(0, Bytes::len);
    let bytes: usize = records.iter().map(record_bytes).sum();
    if bytes > RECORDS_BYTES_MAX {
        return Err(BatchError::TooLarge { bytes, limit: RECORDS_BYTES_MAX });
    }
    let add = |builder: BatchBuilder, record: &Record| {
        builder.record(wall, Some(&record.key), record.value.as_deref())
    };
    records.iter().fold(BatchBuilder::new(codec), add).build(ProducerFields::default())
}

/// Calls `each` for every record at or after `start` in whole batches; returns the offset after the last one.
///
/// # Errors
/// When the bytes are not whole batches.
pub(super) fn walk(
    batches: &[u8],
    start: Offset,
    mut each: impl FnMut(Record),
) -> Result<Offset, BatchError> {
    let mut rest = batches;
    let mut end = start;
    while !rest.is_empty() {
        let header = BatchHeader::read(rest)?;
        let cut = BatchError::Truncated { bytes: rest.len() };
        let (batch, next) = rest.split_at_checked(header.batch_bytes()).ok_or(cut)?;
        if !header.is_control() {
            for_each_record(batch, UNFOLDED_BYTES_MAX, |record| {
                if record.offset >= start {
                    // Copied: a record that stays must not keep the whole read in memory.
                    let key = record.key.map(Bytes::copy_from_slice).unwrap_or_default();
                    each(Record { key, value: record.value.map(Bytes::copy_from_slice) });
                }
                ControlFlow::Continue(())
            })?;
        }
        let last = header.base_offset.checked_add(i64::from(header.last_offset_delta));
        end = last.and_then(Offset::from_wire).ok_or(BatchError::Truncated { bytes: rest.len() })?.advance(1);
        rest = next;
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &'static str, value: Option<&'static str>) -> Record {
        Record { key: Bytes::from(key), value: value.map(Bytes::from) }
    }

    #[test]
    fn records_come_back_from_their_batch_with_tombstones_under_every_codec() {
        let records = vec![record("a", Some("1")), record("b", None), record("", Some(""))];
        for codec in Codec::ALL {
            let batch = encode(&records, codec, Timestamp(5)).unwrap();
            let mut seen = Vec::new();
            assert_eq!(walk(&batch, Offset::ZERO, |record| seen.push(record)), Ok(Offset::new(3)));
            assert_eq!(seen, records, "{codec:?}");
            seen.clear();
            assert_eq!(walk(&batch, Offset::new(2), |record| seen.push(record)), Ok(Offset::new(3)));
            assert_eq!(seen, records[2..], "{codec:?}");
        }
    }

    #[test]
    fn what_compresses_well_is_not_stored_if_it_could_not_be_read_again() {
        let large =
            |bytes: usize| vec![Record { key: Bytes::new(), value: Some(Bytes::from(vec![0; bytes])) }];
        let batch = encode(&large(RECORDS_BYTES_MAX), Codec::Zstd, Timestamp(5)).unwrap();
        let mut count = 0;
        assert_eq!(walk(&batch, Offset::ZERO, |_| count += 1), Ok(Offset::new(1)));
        assert_eq!(count, 1);
        let refused = encode(&large(RECORDS_BYTES_MAX + 1), Codec::Zstd, Timestamp(5));
        assert!(matches!(refused, Err(BatchError::TooLarge { limit: RECORDS_BYTES_MAX, .. })), "{refused:?}");
    }

    #[test]
    fn a_cut_batch_is_noticed_and_never_panics() {
        let batch = encode(&[record("key", Some("value"))], Codec::None, Timestamp(5)).unwrap();
        for cut in 1..batch.len() {
            assert!(walk(&batch[..cut], Offset::ZERO, |_| {}).is_err(), "cut at {cut}");
        }
    }
}

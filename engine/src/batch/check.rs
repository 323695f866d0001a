//! What Kafka's broker checks before it appends a client's batch, and what it corrects.
//!
//! The only way to a `CheckedBatch`. Sources: `LogValidator`, `DefaultRecordBatch` and `UnifiedLog` of Kafka 4.3, and
//! what a running 4.3.1 answered.

use super::build::checksum;
use super::codec::Codec;
use super::error::{BatchError, RecordError};
use super::header::{BatchHeader, CRC_START, HEADER_BYTES, TimestampType};
use super::records::{RawRecord, read_record, unfolded};
use super::remake::remake;
use crate::units::{LeaderEpoch, Offset, Timestamp};
use bytes::Bytes;

/// Errors of single records that an answer carries at most.
const RECORD_ERRORS_MAX: usize = 100;

/// A topic's `compression.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetCompression {
    /// Keep what the producer chose.
    Producer,
    /// Make every batch this codec's, at this level.
    Codec(Codec, Option<i32>),
}

/// Who hands a batch in; a client may not send control batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A Produce request.
    Client,
    /// A coordinator of this broker.
    Coordinator,
}

/// What a batch is held against.
#[derive(Clone, Debug)]
pub struct CheckRules {
    /// `max.message.bytes`: the whole batch.
    pub batch_bytes_max: usize,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// Records need keys.
    pub compacted: bool,
    /// `compression.type`.
    pub compression: TargetCompression,
    /// What a compressed batch may unfold to.
    pub unpacked_bytes_max: usize,
    /// The request is Produce 7 or later.
    pub zstd_allowed: bool,
    /// Who hands it in.
    pub origin: Origin,
    /// The broker's clock.
    pub now: Timestamp,
}

/// A batch that may be stored: the producer's own bytes unless Kafka's rules change something inside the checksum.
#[derive(Clone, Debug)]
pub struct CheckedBatch {
    bytes: Bytes,
    header: BatchHeader,
    append_time: Timestamp,
}

impl CheckedBatch {
    /// The batch's bytes; the header among them may differ from `header`, which is the one to store.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The header to store, before offsets are given.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Records in it.
    pub fn record_count(&self) -> u32 {
        self.header.record_count as u32
    }

    /// Offsets it takes.
    pub fn offset_span(&self) -> u32 {
        self.header.last_offset_delta as u32 + 1
    }

    /// Bytes of the whole batch.
    pub fn batch_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The greatest timestamp.
    pub fn max_timestamp(&self) -> Timestamp {
        Timestamp(self.header.max_timestamp)
    }

    /// The broker's time under `LogAppend`, otherwise none.
    pub fn append_time(&self) -> Timestamp {
        self.append_time
    }

    /// The header with its offset and leader epoch: they lie before the checksum's range.
    pub fn stamped_header(&self, base: Offset, leader_epoch: LeaderEpoch) -> [u8; HEADER_BYTES] {
        BatchHeader { base_offset: base.as_i64(), partition_leader_epoch: leader_epoch.0, ..self.header }
            .write()
    }
}

/// Checks the records of one partition of a Produce request: exactly one batch.
///
/// Keeps the bytes without a copy unless the topic's compression differs. Cost: one pass of CRC-32C, one walk over
/// the records.
///
/// # Errors
/// See `BatchError`.
pub fn check(records: &Bytes, rules: &CheckRules) -> Result<CheckedBatch, BatchError> {
    let header = check_header(records, rules)?;
    let codec = header.codec()?;
    if codec == Codec::Zstd && !rules.zstd_allowed {
        return Err(BatchError::Compression);
    }
    let target = match rules.compression {
        TargetCompression::Producer => codec,
        TargetCompression::Codec(target, _) => target,
    };
    let content = unfolded(&header, records, rules.unpacked_bytes_max)?;
    let max_timestamp = check_records(&header, &content, rules)?;
    let (mut header, bytes) = match rules.compression {
        TargetCompression::Codec(_, level) if target != codec => remake(&header, &content, target, level)?,
        _ => (header, records.clone()),
    };
    drop(content);
    let mut append_time = Timestamp::NONE;
    let before = header;
    if rules.timestamp_type == TimestampType::LogAppend && !header.is_control() {
        append_time = rules.now;
        header.attributes |= 8;
        header.max_timestamp = rules.now.0;
    } else {
        header.attributes &= !8;
        header.max_timestamp = max_timestamp;
    }
    if header != before {
        header.crc = checksum(&header, bytes.get(HEADER_BYTES..).unwrap_or_default());
    }
    if bytes.len() > rules.batch_bytes_max && rules.origin == Origin::Client {
        return Err(BatchError::TooLarge { bytes: bytes.len(), limit: rules.batch_bytes_max });
    }
    Ok(CheckedBatch { bytes, header, append_time })
}

fn check_header(records: &Bytes, rules: &CheckRules) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::read(records)?;
    let bytes = header.batch_bytes();
    if bytes > records.len() {
        return Err(BatchError::Truncated { bytes: records.len() });
    }
    if bytes > rules.batch_bytes_max
        && rules.origin == Origin::Client
        && rules.compression == TargetCompression::Producer
    {
        return Err(BatchError::TooLarge { bytes, limit: rules.batch_bytes_max });
    }
    if bytes < records.len() {
        return Err(BatchError::invalid("a produce request may carry one batch for each partition"));
    }
    let computed = crc32c::crc32c(records.get(CRC_START..).unwrap_or_default());
    if computed != header.crc {
        return Err(BatchError::Checksum { found: header.crc, computed });
    }
    if header.base_offset != 0 {
        return Err(BatchError::invalid(format!(
            "the base offset is {}, it should be 0",
            header.base_offset
        )));
    }
    if header.record_count <= 0 || header.last_offset_delta != header.record_count - 1 {
        return Err(BatchError::invalid(format!(
            "the last offset delta {} does not fit {} records",
            header.last_offset_delta, header.record_count
        )));
    }
    if rules.origin == Origin::Client && header.is_control() {
        return Err(BatchError::invalid("clients may not write control records"));
    }
    if header.producer_id >= 0 && (header.base_sequence < 0 || header.producer_epoch < 0) {
        return Err(BatchError::invalid(format!(
            "producer {} sent sequence {} and epoch {}",
            header.producer_id, header.base_sequence, header.producer_epoch
        )));
    }
    Ok(header)
}

/// Errors of single records, collected up to a bound.
#[derive(Default)]
struct Faults {
    invalid: Vec<RecordError>,
    timestamps: Vec<RecordError>,
}

fn note(list: &mut Vec<RecordError>, index: i32, message: impl FnOnce() -> String) {
    if list.len() < RECORD_ERRORS_MAX {
        list.push(RecordError { index, message: message() });
    }
}

/// Walks all records; returns the greatest timestamp.
fn check_records(header: &BatchHeader, content: &[u8], rules: &CheckRules) -> Result<i64, BatchError> {
    let mut rest = content;
    let mut faults = Faults::default();
    let mut max_timestamp = -1;
    for index in 0..header.record_count {
        let Some(raw) = read_record(&mut rest) else {
            let reason = format!("record {index} of {} is cut or its lengths lie", header.record_count);
            return Err(BatchError::invalid(reason));
        };
        let timestamp = header.base_timestamp.wrapping_add(raw.timestamp_delta);
        max_timestamp = max_timestamp.max(timestamp);
        check_record(index, &raw, timestamp, rules, &mut faults);
    }
    if !rest.is_empty() {
        let reason =
            format!("{} B follow the {} records that the header counts", rest.len(), header.record_count);
        return Err(BatchError::invalid(reason));
    }
    if !faults.invalid.is_empty() {
        let reason = "one or more records have been rejected".to_owned();
        return Err(BatchError::Invalid { reason, records: faults.invalid });
    }
    if !faults.timestamps.is_empty() {
        let reason = "one or more records have been rejected due to invalid timestamp".to_owned();
        return Err(BatchError::Timestamp { reason, records: faults.timestamps });
    }
    Ok(max_timestamp)
}

fn check_record(index: i32, raw: &RawRecord<'_>, timestamp: i64, rules: &CheckRules, faults: &mut Faults) {
    if raw.offset_delta != index {
        note(&mut faults.invalid, index, || {
            format!("the record has offset delta {}, not {index}", raw.offset_delta)
        });
    }
    if rules.compacted && raw.key.is_none() {
        note(&mut faults.invalid, index, || "Compacted topic cannot accept message without key".to_owned());
    }
    if rules.timestamp_type == TimestampType::Create && timestamp >= 0 && rules.origin == Origin::Client {
        let early = rules.now.0.saturating_sub(timestamp) > rules.timestamp_before_max_ms;
        let late = timestamp.saturating_sub(rules.now.0) > rules.timestamp_after_max_ms;
        if early || late {
            note(&mut faults.timestamps, index, || {
                let start = rules.now.0.saturating_sub(rules.timestamp_before_max_ms).max(0);
                let end = rules.now.0.saturating_add(rules.timestamp_after_max_ms);
                format!(
                    "Timestamp {timestamp} of message with offset {index} is out of range [{start}, {end}]"
                )
            });
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;

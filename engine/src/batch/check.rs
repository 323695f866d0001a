//! What Kafka looks at before it appends a batch, and what it corrects: the only way to a [`CheckedBatch`].
//!
//! ```text
//! records field -> one whole batch, magic 2 -> size -> checksum -> counts, control, producer -> each record's framing
//!   -> the topic's compression -> the header to store (append time, true maximum timestamp)
//! ```
//! The order is Kafka's (`ProduceRequest`, `UnifiedLog`, `LogValidator`), since it decides which of two faults a
//! producer hears of. Every comment that says "4.3.1" is what that release answered to a batch made by hand.
//! One pass of CRC-32C over the bytes, one walk over the records; compressed ones are unpacked a chunk at a time and
//! not kept.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::build::{checksum, complete, header_room};
use super::codec::Codec;
use super::error::{BatchError, RECORD_ERRORS_MAX, RecordError};
use super::framing::{Framing, for_each_framing};
use super::header::{BatchHeader, CRC_START, HEADER_BYTES, PREFIX_BYTES, TimestampType, bit};
use super::pack::Packer;
use super::unpack::Unpacked;
use crate::units::{ProducerId, Timestamp};

/// Bytes of a batch up to its magic, the least that tells a batch from rubbish.
const HEADER_BYTES_TO_MAGIC: usize = 17;

/// A topic's `compression.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetCompression {
    /// Keep what the producer chose.
    Producer,
    /// Make every batch this codec's (`uncompressed` is `Codec::None`), at this level or the codec's default. A batch
    /// that has the codec already is kept, whatever its level.
    Codec(Codec, Option<i32>),
}

/// Who hands a batch in; a client may not send control batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A Produce request.
    Client,
    /// A coordinator of this broker: its sizes and timestamps are its own affair.
    Coordinator,
}

/// What a batch is held against.
#[derive(Clone, Debug)]
pub struct CheckRules {
    /// `max.message.bytes`: the whole batch, header included.
    pub batch_bytes_max: usize,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `cleanup.policy` has `compact`: records need keys.
    pub compacted: bool,
    /// `compression.type`, with the level that goes with it.
    pub compression: TargetCompression,
    /// What a compressed batch may unfold to. Time spent is bounded by it; memory is, but for zstd's window, not
    /// used in proportion to it.
    pub unpacked_bytes_max: usize,
    /// The request is Produce 7 or later.
    pub zstd_allowed: bool,
    /// Who hands it in.
    pub origin: Origin,
    /// The broker's clock.
    pub now: Timestamp,
}

/// A batch that may be stored: the producer's own bytes unless the topic wants another compression.
///
/// The header to store is kept beside the bytes, because it may differ: see `stamped_header`.
#[derive(Clone, Debug)]
pub struct CheckedBatch {
    bytes: Bytes,
    header: BatchHeader,
    append_time: Timestamp,
    max_timestamp_delta: u32,
}

impl CheckedBatch {
    /// The batch's bytes. The first 61 are the producer's header: store [`stamped_header`](Self::stamped_header) in
    /// their place.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The header to store, before offsets are given.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Records in it: at least one.
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

    /// The largest timestamp of its records, or the append time.
    pub fn max_timestamp(&self) -> Timestamp {
        Timestamp(self.header.max_timestamp)
    }

    /// Place in the batch of the first record with that timestamp.
    pub fn max_timestamp_delta(&self) -> u32 {
        self.max_timestamp_delta
    }

    /// The broker's time under `LogAppend`, otherwise none.
    pub fn append_time(&self) -> Timestamp {
        self.append_time
    }

    /// The producer, if it is idempotent.
    pub fn producer_id(&self) -> Option<ProducerId> {
        (self.header.producer_id >= 0).then_some(ProducerId(self.header.producer_id))
    }

    /// The producer's epoch; not negative if there is a producer id.
    pub fn producer_epoch(&self) -> i16 {
        self.header.producer_epoch
    }

    /// The first record's number in the producer's count; not negative if there is a producer id.
    pub fn base_sequence(&self) -> i32 {
        self.header.base_sequence
    }
}

/// Checks the records of one partition of a Produce request: exactly one batch.
///
/// The bytes are shared, not copied, unless the topic's compression differs from the batch's.
///
/// # Errors
/// See [`BatchError`]. `Truncated` is never among them: a cut batch from a client is `Invalid`, as in Kafka.
pub fn check(records: &Bytes, rules: &CheckRules) -> Result<CheckedBatch, BatchError> {
    let (header, bytes) = only_batch(records, rules)?;
    check_bytes(&header, &bytes, rules)?;
    check_header(&header, rules)?;
    let packed = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let found = check_records(&header, packed, rules)?;
    let (mut header, bytes) = match rules.compression {
        // Kafka: a control batch that came uncompressed stays so.
        TargetCompression::Codec(target, level) if target != header.codec()? && !header.is_control() => {
            let limit = if rules.origin == Origin::Client { rules.batch_bytes_max } else { usize::MAX };
            recompress(header, packed, rules.unpacked_bytes_max, target, level, limit)?
        }
        _ => (header, bytes),
    };
    let (append_time, max_timestamp, max_timestamp_delta) = match rules.timestamp_type {
        TimestampType::LogAppend => (rules.now, rules.now, 0),
        TimestampType::Create => (Timestamp::NONE, found.max_timestamp, found.max_timestamp_delta),
    };
    if header.timestamp_type() != rules.timestamp_type || header.max_timestamp != max_timestamp.0 {
        header.attributes = stored_attributes(&header, header.codec()?, rules.timestamp_type);
        header.max_timestamp = max_timestamp.0;
        header.crc = checksum(&header, bytes.get(HEADER_BYTES..).unwrap_or_default());
    }
    Ok(CheckedBatch { bytes, header, append_time, max_timestamp_delta })
}

/// Whether these records have to be unfolded to be looked at.
pub fn is_packed(records: &[u8]) -> bool {
    BatchHeader::read(records).is_ok_and(|header| header.codec() != Ok(Codec::None))
}

/// Whether `check` would pack these records anew.
pub fn is_remade(records: &[u8], rules: &CheckRules) -> bool {
    let TargetCompression::Codec(target, _) = rules.compression else { return false };
    let found = BatchHeader::read(records).ok();
    found.is_some_and(|header| !header.is_control() && header.codec().is_ok_and(|codec| codec != target))
}

/// The one batch of the field. As Kafka 4.3.1: behind it, another whole batch and whatever has an impossible length or
/// magic are refused, while bytes too few to be a batch are cut off.
fn only_batch(records: &Bytes, rules: &CheckRules) -> Result<(BatchHeader, Bytes), BatchError> {
    let none = || BatchError::invalid("a produce request must have one whole record batch per partition");
    let header = match BatchHeader::read(records) {
        Err(BatchError::Truncated { .. }) => return Err(none()),
        outcome => outcome?,
    };
    let batch_bytes = header.batch_bytes();
    let Some((_, behind)) = records.split_at_checked(batch_bytes) else { return Err(none()) };
    if header.codec() == Ok(Codec::Zstd) && !rules.zstd_allowed {
        return Err(BatchError::Compression);
    }
    if behind.len() >= PREFIX_BYTES {
        match BatchHeader::read(behind) {
            Err(error @ BatchError::Corrupt { .. }) => return Err(error),
            _ if behind.len() < HEADER_BYTES_TO_MAGIC => {}
            _ if length_field(behind).is_some_and(|length| behind.len() - PREFIX_BYTES < length) => {}
            _ => {
                return Err(BatchError::invalid(
                    "a produce request must have one record batch per partition",
                ));
            }
        }
    }
    Ok((header, records.slice(..batch_bytes)))
}

fn length_field(batch: &[u8]) -> Option<usize> {
    let (length, _) = batch.get(PREFIX_BYTES - 4..)?.split_first_chunk()?;
    usize::try_from(i32::from_be_bytes(*length)).ok()
}

/// What is said of the bytes as a whole: base offset, then size, then checksum, as Kafka does.
fn check_bytes(header: &BatchHeader, batch: &[u8], rules: &CheckRules) -> Result<(), BatchError> {
    if header.base_offset != 0 {
        let reason =
            format!("the base offset of the record batch should be 0, but it is {}", header.base_offset);
        return Err(BatchError::invalid(reason));
    }
    if batch.len() > rules.batch_bytes_max && rules.origin == Origin::Client {
        return Err(BatchError::TooLarge { bytes: batch.len(), limit: rules.batch_bytes_max });
    }
    let computed = crc32c::crc32c(batch.get(CRC_START..).unwrap_or_default());
    if computed != header.crc {
        return Err(BatchError::Checksum { found: header.crc, computed });
    }
    Ok(())
}

/// What the header says of the records, held against itself.
fn check_header(header: &BatchHeader, rules: &CheckRules) -> Result<(), BatchError> {
    let (count, delta) = (header.record_count, header.last_offset_delta);
    if delta < 0 || count <= 0 || i64::from(delta) + 1 != i64::from(count) {
        let reason = format!("last offset delta {delta} and count of records {count} do not fit each other");
        return Err(BatchError::invalid(reason));
    }
    if header.is_control() && rules.origin == Origin::Client {
        return Err(BatchError::invalid("clients are not allowed to write control records"));
    }
    // 4.3.1 takes epoch -1 with a producer id if it does not know the id, which leads nowhere; no client sends it.
    // A negative producer id other than -1 counts as none.
    if header.producer_id >= 0 && (header.base_sequence < 0 || header.producer_epoch < 0) {
        let (id, epoch, sequence) = (header.producer_id, header.producer_epoch, header.base_sequence);
        let reason = format!("invalid sequence number {sequence} or epoch {epoch} with producer id {id}");
        return Err(BatchError::invalid(reason));
    }
    Ok(())
}

/// What the walk over the records found.
struct Found {
    max_timestamp: Timestamp,
    max_timestamp_delta: u32,
}

fn check_records(header: &BatchHeader, packed: &[u8], rules: &CheckRules) -> Result<Found, BatchError> {
    // A largest timestamp below -1 counts as none, and -1 it stays if all records are below: as 4.3.1.
    let mut found = Found { max_timestamp: Timestamp::NONE, max_timestamp_delta: 0 };
    let mut faults = Faults::default();
    for_each_framing(header, packed, rules.unpacked_bytes_max, |index, framing| {
        let timestamp = Timestamp(header.base_timestamp.wrapping_add(framing.timestamp_delta));
        if timestamp > found.max_timestamp {
            found = Found { max_timestamp: timestamp, max_timestamp_delta: index };
        }
        if let Some(fault) = fault_of(header, index, framing, timestamp, rules) {
            faults.note(index, &fault);
        }
        ControlFlow::Continue(())
    })?;
    faults.into_outcome().map(|()| found)
}

/// What can be wrong with one record whose framing is right.
enum Fault {
    /// 4.3.1 stores these in an uncompressed batch, where consumers then see wrong offsets, renumbers them where it
    /// recompresses anyway, and fails with -1 where it does not. Here they are refused.
    OffsetDelta(i32),
    NoKey,
    TimestampType,
    Timestamp(Timestamp),
}

fn fault_of(
    header: &BatchHeader,
    index: u32,
    framing: Framing,
    timestamp: Timestamp,
    rules: &CheckRules,
) -> Option<Fault> {
    if i64::from(framing.offset_delta) != i64::from(index) {
        return Some(Fault::OffsetDelta(framing.offset_delta));
    }
    if rules.compacted && !framing.has_key {
        return Some(Fault::NoKey);
    }
    if rules.origin == Origin::Coordinator {
        return None;
    }
    if rules.timestamp_type == TimestampType::Create && timestamp != Timestamp::NONE {
        // Wrapping, as Java does: a timestamp further in the past than i64 can say counts as far in the future.
        let age_ms = rules.now.0.wrapping_sub(timestamp.0);
        let out =
            age_ms > rules.timestamp_before_max_ms || age_ms.wrapping_neg() > rules.timestamp_after_max_ms;
        return out.then_some(Fault::Timestamp(timestamp));
    }
    // 4.3.1 takes a client's claim of LogAppendTime on a CreateTime topic and clears it (in `check`), but keeps the
    // largest timestamp of the header, which no record need have; here it is the records'.
    (header.timestamp_type() == TimestampType::LogAppend).then_some(Fault::TimestampType)
}

/// The faults of single records, as many as an answer may carry.
#[derive(Default)]
struct Faults {
    records: Vec<RecordError>,
    count: u64,
    timestamps: bool,
}

impl Faults {
    fn note(&mut self, index: u32, fault: &Fault) {
        self.count += 1;
        self.timestamps |= matches!(fault, Fault::Timestamp(_) | Fault::TimestampType);
        if self.records.len() >= RECORD_ERRORS_MAX {
            return;
        }
        let message = match fault {
            Fault::OffsetDelta(delta) => format!("Offset delta {delta} of the record at place {index}"),
            Fault::NoKey => "Compacted topic cannot accept message without key".to_owned(),
            Fault::TimestampType => "Producer should not set timestamp type to LogAppendTime".to_owned(),
            Fault::Timestamp(Timestamp(ms)) => {
                format!("Timestamp {ms} of message with offset {index} is out of range")
            }
        };
        self.records.push(RecordError { index: index as i32, message });
    }

    /// Kafka's choice: one record with a bad timestamp makes the whole answer 32, with all faulty records in it.
    fn into_outcome(self) -> Result<(), BatchError> {
        if self.count == 0 {
            return Ok(());
        }
        let records = self.records;
        if self.timestamps {
            let reason = "One or more records have been rejected due to invalid timestamp".to_owned();
            return Err(BatchError::Timestamp { reason, records });
        }
        let reason =
            format!("One or more records have been rejected due to {} record errors in total", self.count);
        Err(BatchError::Invalid { reason, records })
    }
}

/// Attributes as Kafka writes them anew: bits that mean nothing are dropped.
fn stored_attributes(header: &BatchHeader, codec: Codec, timestamp_type: TimestampType) -> i16 {
    let kept = header.attributes & (bit::TRANSACTIONAL | bit::CONTROL | bit::DELETE_HORIZON);
    let log_append_time = if timestamp_type == TimestampType::LogAppend { bit::LOG_APPEND_TIME } else { 0 };
    kept | log_append_time | codec.number()
}

/// The same records in another codec. Producer fields and timestamps stay, record by record; so does the base
/// timestamp, where Kafka takes the first record's (they differ in batches that no client makes).
fn recompress(
    header: BatchHeader,
    packed: &[u8],
    unpacked_bytes_max: usize,
    codec: Codec,
    level: Option<i32>,
    batch_bytes_max: usize,
) -> Result<(BatchHeader, Bytes), BatchError> {
    let mut sink = Packer::new(codec, level, header_room(packed.len()))?;
    let too_large = |bytes| BatchError::TooLarge { bytes, limit: batch_bytes_max };
    match header.codec()? {
        Codec::None => sink.write(packed)?,
        source => {
            let mut unpacked = Unpacked::new(source, packed, unpacked_bytes_max)?;
            loop {
                let rest = unpacked.rest()?;
                let bytes = rest.len();
                if bytes == 0 {
                    break;
                }
                sink.write(rest)?;
                unpacked.consume(bytes);
                if sink.packed_bytes() > batch_bytes_max {
                    return Err(too_large(sink.packed_bytes()));
                }
            }
        }
    }
    let batch = sink.finish()?;
    if batch.len() > batch_bytes_max {
        return Err(too_large(batch.len()));
    }
    // The delete horizon stands in the base timestamp's place and is a leader's to set: Kafka drops it here.
    let attributes = stored_attributes(&header, codec, header.timestamp_type()) & !bit::DELETE_HORIZON;
    Ok(complete(BatchHeader { attributes, ..header }, batch))
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;

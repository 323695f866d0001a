//! Single records: walked in place; of a compressed batch behind a bound.

use super::codec::{Codec, unfold};
use super::error::BatchError;
use super::header::{BatchHeader, HEADER_BYTES, TimestampType};
use super::varint::{read_int, read_long};
use crate::units::{Offset, Timestamp};
use std::borrow::Cow;
use std::ops::ControlFlow;

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp: the batch's append time under `LogAppend`.
    pub timestamp: Timestamp,
    /// `None` is a null key.
    pub key: Option<&'a [u8]>,
    /// `None` is a null value, a tombstone on compacted topics.
    pub value: Option<&'a [u8]>,
    /// The headers as they are encoded: count, then key and value each.
    pub headers: &'a [u8],
}

/// One record as its batch has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawRecord<'a> {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: &'a [u8],
}

fn bytes_field<'a>(body: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = read_int(body)?;
    if length < 0 {
        return (length == -1).then_some(None);
    }
    let (field, rest) = body.split_at_checked(length as usize)?;
    *body = rest;
    Some(Some(field))
}

/// Takes one record off the front; `None` when it is cut or its lengths lie.
pub(super) fn read_record<'a>(bytes: &mut &'a [u8]) -> Option<RawRecord<'a>> {
    let length = usize::try_from(read_int(bytes)?).ok()?;
    let (mut body, rest) = bytes.split_at_checked(length)?;
    let (_attributes, fields) = body.split_first()?;
    body = fields;
    let timestamp_delta = read_long(&mut body)?;
    let offset_delta = read_int(&mut body)?;
    let key = bytes_field(&mut body)?;
    let value = bytes_field(&mut body)?;
    let headers = body;
    let header_count = read_int(&mut body).filter(|count| *count >= 0)?;
    for _ in 0..header_count {
        bytes_field(&mut body)??; // a header's key is never null
        bytes_field(&mut body)?;
    }
    if !body.is_empty() {
        return None;
    }
    *bytes = rest;
    Some(RawRecord { timestamp_delta, offset_delta, key, value, headers })
}

/// The records of a batch, unfolded if they are compressed.
pub(super) fn unfolded<'a>(
    header: &BatchHeader,
    batch: &'a [u8],
    bytes_max: usize,
) -> Result<Cow<'a, [u8]>, BatchError> {
    let records =
        batch.get(HEADER_BYTES..header.batch_bytes()).ok_or(BatchError::Truncated { bytes: batch.len() })?;
    match header.codec()? {
        Codec::None => Ok(Cow::Borrowed(records)),
        codec => unfold(codec, records, bytes_max).map(Cow::Owned),
    }
}

/// Visits the records of a whole batch in order, until the visitor breaks.
///
/// # Errors
/// As `check` for bytes that are no batch or unfold to more than `unpacked_bytes_max`.
pub fn for_each_record(
    batch: &[u8],
    unpacked_bytes_max: usize,
    mut visit: impl FnMut(Record<'_>) -> ControlFlow<()>,
) -> Result<(), BatchError> {
    let header = BatchHeader::read(batch)?;
    let records = unfolded(&header, batch, unpacked_bytes_max)?;
    let mut rest = &records[..];
    for number in 0..header.record_count {
        let raw =
            read_record(&mut rest).ok_or_else(|| BatchError::invalid(format!("record {number} is cut")))?;
        let timestamp = match header.timestamp_type() {
            TimestampType::Create => header.base_timestamp.wrapping_add(raw.timestamp_delta),
            TimestampType::LogAppend => header.max_timestamp,
        };
        let offset = Offset::from_wire(header.base_offset.wrapping_add(i64::from(raw.offset_delta)));
        let offset = offset.ok_or_else(|| BatchError::invalid("an offset is negative"))?;
        let record = Record {
            offset,
            timestamp: Timestamp(timestamp),
            key: raw.key,
            value: raw.value,
            headers: raw.headers,
        };
        if visit(record).is_break() {
            break;
        }
    }
    Ok(())
}

/// The first record of a batch at or after `target`.
///
/// # Errors
/// As `for_each_record`.
pub fn find_timestamp(
    batch: &[u8],
    target: Timestamp,
    unpacked_bytes_max: usize,
) -> Result<Option<(Offset, Timestamp)>, BatchError> {
    let mut found = None;
    for_each_record(batch, unpacked_bytes_max, |record| {
        if record.timestamp >= target {
            found = Some((record.offset, record.timestamp));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// The first record that carries a batch's greatest timestamp.
///
/// # Errors
/// As `for_each_record`.
pub fn find_max_timestamp(
    batch: &[u8],
    unpacked_bytes_max: usize,
) -> Result<Option<(Offset, Timestamp)>, BatchError> {
    let mut found: Option<(Offset, Timestamp)> = None;
    for_each_record(batch, unpacked_bytes_max, |record| {
        if found.is_none_or(|(_, greatest)| record.timestamp > greatest) {
            found = Some((record.offset, record.timestamp));
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

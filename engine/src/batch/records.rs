//! Single records: lookups by time, coordinators' own logs, compaction.
//!
//! Keys and values are borrowed from the batch, or, if it is compressed, from the one record that is unpacked at the
//! time. Lookups by time do not look at keys and values at all.

use std::ops::ControlFlow;

use super::codec::Codec;
use super::error::BatchError;
use super::framing::{ByteSource, Flaw, for_each_framing, more_records, record_count};
use super::header::{BatchHeader, HEADER_BYTES, TimestampType};
use super::unpack::Unpacked;
use super::varint::{read_int, read_long};
use crate::units::{Offset, Timestamp};

/// One record, borrowed from its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp: the batch's append time under `LogAppend`.
    pub timestamp: Timestamp,
    /// `None` is a null key, which is not an empty one.
    pub key: Option<&'a [u8]>,
    /// `None` is a null value: on compacted topics, "forget this key".
    pub value: Option<&'a [u8]>,
    /// What the application put beside it.
    pub headers: RecordHeaders<'a>,
}

/// The headers of one record: an iterator over names and values. A name is text by convention only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordHeaders<'a> {
    fields: &'a [u8],
    count: u32,
}

impl<'a> Iterator for RecordHeaders<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        let name = take_field(&mut self.fields).ok()??;
        let value = take_field(&mut self.fields).ok()?;
        Some((name, value))
    }
}

/// Visits the records of a whole batch in order, until the visitor breaks. Checks no checksum.
///
/// # Errors
/// `Truncated`, `Corrupt` or `Invalid` for bytes that are no batch, `Bomb` if the records unfold to more than
/// `unpacked_bytes_max`. Records before the fault were visited.
pub fn for_each_record(
    batch: &[u8],
    unpacked_bytes_max: usize,
    mut visit: impl FnMut(Record<'_>) -> ControlFlow<()>,
) -> Result<(), BatchError> {
    let (header, packed) = split(batch)?;
    let count = record_count(&header)?;
    match header.codec()? {
        Codec::None => {
            let mut rest = packed;
            for index in 0..count {
                let record = next_plain(&mut rest)
                    .and_then(|body| parse(&header, body))
                    .map_err(|flaw| flaw.of_record(index))?;
                if visit(record).is_break() {
                    return Ok(());
                }
            }
            if rest.is_empty() { Ok(()) } else { Err(more_records()) }
        }
        codec => {
            let mut unpacked = Unpacked::new(codec, packed, unpacked_bytes_max)?;
            let mut body = Vec::new();
            for index in 0..count {
                let record = next_unpacked(&mut unpacked, &mut body)
                    .and_then(|()| parse(&header, &body))
                    .map_err(|flaw| flaw.of_record(index))?;
                if visit(record).is_break() {
                    return Ok(());
                }
            }
            if unpacked.rest()?.is_empty() { Ok(()) } else { Err(more_records()) }
        }
    }
}

/// The first record of a whole batch, from `start` on, that is as late as `target` or later.
///
/// # Errors
/// As [`for_each_record`].
pub fn find_timestamp(
    batch: &[u8],
    target: Timestamp,
    start: Offset,
    unpacked_bytes_max: usize,
) -> Result<Option<(Offset, Timestamp)>, BatchError> {
    let base = BatchHeader::read(batch)?.base_offset;
    let is_left = |delta: i64| base.saturating_add(delta) >= start.as_i64();
    find(batch, unpacked_bytes_max, |delta, timestamp| timestamp >= target && is_left(delta))
}

/// The first record that carries a whole batch's largest timestamp, as its header names it.
///
/// # Errors
/// As [`for_each_record`].
pub fn find_max_timestamp(
    batch: &[u8],
    unpacked_bytes_max: usize,
) -> Result<Option<(Offset, Timestamp)>, BatchError> {
    let max_timestamp = Timestamp(BatchHeader::read(batch)?.max_timestamp);
    find(batch, unpacked_bytes_max, |_, timestamp| timestamp == max_timestamp)
}

fn find(
    batch: &[u8],
    unpacked_bytes_max: usize,
    is_found: impl Fn(i64, Timestamp) -> bool,
) -> Result<Option<(Offset, Timestamp)>, BatchError> {
    let (header, packed) = split(batch)?;
    let mut found = None;
    for_each_framing(&header, packed, unpacked_bytes_max, |_, framing| {
        let timestamp = record_timestamp(&header, framing.timestamp_delta);
        if is_found(framing.offset_delta.into(), timestamp) {
            found = Some((framing.offset_delta, timestamp));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    let Some((delta, timestamp)) = found else { return Ok(None) };
    let offset =
        record_offset(&header, delta).ok_or_else(|| BatchError::invalid("a record below offset 0"))?;
    Ok(Some((offset, timestamp)))
}

fn split(batch: &[u8]) -> Result<(BatchHeader, &[u8]), BatchError> {
    let header = BatchHeader::read(batch)?;
    let packed = batch.get(HEADER_BYTES..header.batch_bytes());
    packed.map(|packed| (header, packed)).ok_or(BatchError::Truncated { bytes: batch.len() })
}

fn record_timestamp(header: &BatchHeader, delta: i64) -> Timestamp {
    match header.timestamp_type() {
        TimestampType::Create => Timestamp(header.base_timestamp.wrapping_add(delta)),
        TimestampType::LogAppend => Timestamp(header.max_timestamp),
    }
}

fn record_offset(header: &BatchHeader, delta: i32) -> Option<Offset> {
    header.base_offset.checked_add(i64::from(delta)).and_then(Offset::from_wire)
}

fn next_plain<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Flaw> {
    let length = usize::try_from(read_int(rest)?).map_err(|_| Flaw::Length)?;
    let (body, behind) = rest.split_at_checked(length).ok_or(Flaw::Ended)?;
    *rest = behind;
    Ok(body)
}

/// Copies one record out of the stream. `body` grows with what is there, not with what the length says.
fn next_unpacked(unpacked: &mut Unpacked<'_>, body: &mut Vec<u8>) -> Result<(), Flaw> {
    body.clear();
    let mut left = usize::try_from(read_int(unpacked)?).map_err(|_| Flaw::Length)?;
    while left > 0 {
        let rest = unpacked.rest().map_err(|error| Flaw::Source(Box::new(error)))?;
        let here = rest.get(..left).unwrap_or(rest);
        if here.is_empty() {
            return Err(Flaw::Ended);
        }
        body.extend_from_slice(here);
        let taken = here.len();
        left -= taken;
        unpacked.consume(taken);
    }
    Ok(())
}

fn parse<'a>(header: &BatchHeader, mut body: &'a [u8]) -> Result<Record<'a>, Flaw> {
    body.byte()?; // attributes: no bit means anything yet
    let timestamp = record_timestamp(header, read_long(&mut body)?);
    let delta = read_int(&mut body)?;
    let offset = record_offset(header, delta)
        .ok_or_else(|| Flaw::Source(Box::new(BatchError::invalid("a record below offset 0"))))?;
    let key = take_field(&mut body)?;
    let value = take_field(&mut body)?;
    let count = u32::try_from(read_int(&mut body)?).map_err(|_| Flaw::HeaderCount)?;
    let fields = body;
    for _ in 0..count {
        take_field(&mut body)?.ok_or(Flaw::HeaderKey)?;
        take_field(&mut body)?;
    }
    if !body.is_empty() {
        return Err(Flaw::Length);
    }
    Ok(Record { offset, timestamp, key, value, headers: RecordHeaders { fields, count } })
}

/// A field with its length before it; `None` if that is negative.
fn take_field<'a>(body: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Flaw> {
    let Ok(length) = usize::try_from(read_int(body)?) else { return Ok(None) };
    let (field, behind) = body.split_at_checked(length).ok_or(Flaw::Ended)?;
    *body = behind;
    Ok(Some(field))
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;

//! A coordinator's records as one batch, and back.

use super::Record;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use thalweg_engine::units::{Offset, Timestamp};

/// Bytes of a batch before its records.
const HEADER_BYTES: usize = 61;
/// Bytes of a batch's head that its length field does not count.
const LENGTH_END: usize = 12;
const ATTRIBUTES_CODEC: i16 = 0b111;
const ATTRIBUTES_CONTROL: i16 = 1 << 5;

/// One uncompressed batch of these records, without a producer.
///
/// # Panics
/// On an empty list: a batch has records.
pub(crate) fn encode(records: &[Record], wall: Timestamp) -> Bytes {
    assert!(!records.is_empty(), "a batch has records");
    let mut body = BytesMut::new();
    let mut each = BytesMut::new();
    for (index, record) in records.iter().enumerate() {
        each.clear();
        each.put_u8(0); // attributes
        put_varint(&mut each, 0); // every record carries the batch's time
        put_varint(&mut each, index as i64);
        put_varint(&mut each, record.key.len() as i64);
        each.put_slice(&record.key);
        match &record.value {
            Some(value) => {
                put_varint(&mut each, value.len() as i64);
                each.put_slice(value);
            }
            None => put_varint(&mut each, -1),
        }
        put_varint(&mut each, 0); // headers
        put_varint(&mut body, each.len() as i64);
        body.put_slice(&each);
    }
    let mut checked = BytesMut::with_capacity(HEADER_BYTES + body.len());
    checked.put_i16(0); // attributes: no codec, the producer's time
    checked.put_i32(records.len() as i32 - 1);
    checked.put_i64(wall.0);
    checked.put_i64(wall.0);
    checked.put_i64(-1); // producer id
    checked.put_i16(-1); // producer epoch
    checked.put_i32(-1); // base sequence
    checked.put_i32(records.len() as i32);
    checked.put_slice(&body);
    let mut batch = BytesMut::with_capacity(HEADER_BYTES + body.len());
    batch.put_i64(0); // base offset, given by the log
    batch.put_i32((HEADER_BYTES - LENGTH_END + body.len()) as i32);
    batch.put_i32(-1); // leader epoch, given by the log
    batch.put_u8(2);
    batch.put_u32(crc32c::crc32c(&checked));
    batch.put_slice(&checked);
    batch.freeze()
}

/// Calls `each` for every record at or after `start` in whole batches; returns the offset after the last one.
///
/// `None` when the bytes are not batches as a coordinator writes them.
pub(crate) fn walk(batches: &Bytes, start: Offset, mut each: impl FnMut(Record)) -> Option<Offset> {
    let mut rest = batches.clone();
    let mut end = start;
    while !rest.is_empty() {
        let mut header = rest.clone();
        let base = header.try_get_i64().ok()?;
        let length = usize::try_from(header.try_get_i32().ok()?).ok()?.checked_add(LENGTH_END)?;
        if length < HEADER_BYTES || length > rest.len() {
            return None;
        }
        let mut batch = rest.split_to(length);
        batch.advance(LENGTH_END + 9); // leader epoch, magic, CRC: the engine checked them
        let attributes = batch.try_get_i16().ok()?;
        let delta_last = batch.try_get_i32().ok()?;
        batch.advance(8 + 8 + 8 + 2 + 4);
        let count = batch.try_get_i32().ok()?;
        if attributes & ATTRIBUTES_CODEC != 0 {
            return None;
        }
        for _ in 0..if attributes & ATTRIBUTES_CONTROL == 0 { count } else { 0 } {
            let (delta, record) = read_record(&mut batch)?;
            if base.checked_add(delta)? >= start.as_i64() {
                each(record);
            }
        }
        end = Offset::from_wire(base.checked_add(i64::from(delta_last))?)?.advance(1);
    }
    Some(end)
}

fn read_record(batch: &mut Bytes) -> Option<(i64, Record)> {
    let length = usize::try_from(varint(batch)?).ok()?;
    let mut record = take(batch, length)?;
    record.try_get_u8().ok()?;
    let _time_delta = varint(&mut record)?;
    let delta = varint(&mut record)?;
    let key = nullable(&mut record)?.unwrap_or_default();
    let value = nullable(&mut record)?;
    Some((delta, Record { key, value }))
}

#[expect(clippy::option_option, reason = "outer: the bytes end early, inner: null")]
fn nullable(bytes: &mut Bytes) -> Option<Option<Bytes>> {
    let length = varint(bytes)?;
    if length < 0 {
        return Some(None);
    }
    take(bytes, usize::try_from(length).ok()?).map(Some)
}

fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= bytes.len()).then(|| bytes.split_to(length))
}

fn put_varint(bytes: &mut BytesMut, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        bytes.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.put_u8(rest as u8);
}

fn varint(bytes: &mut Bytes) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let byte = bytes.try_get_u8().ok()?;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &'static str, value: Option<&'static str>) -> Record {
        Record { key: Bytes::from(key), value: value.map(Bytes::from) }
    }

    #[test]
    fn records_come_back_from_their_batch_with_tombstones() {
        let records = vec![record("a", Some("1")), record("b", None), record("", Some(""))];
        let batch = encode(&records, Timestamp(5));
        let mut seen = Vec::new();
        assert_eq!(walk(&batch, Offset::ZERO, |record| seen.push(record)), Some(Offset::new(3)));
        assert_eq!(seen, records);
        seen.clear();
        assert_eq!(walk(&batch, Offset::new(2), |record| seen.push(record)), Some(Offset::new(3)));
        assert_eq!(seen, records[2..]);
    }

    #[test]
    fn a_cut_batch_is_noticed_and_never_panics() {
        let batch = encode(&[record("key", Some("value"))], Timestamp(5));
        for cut in 1..batch.len() {
            assert_eq!(walk(&batch.slice(..cut), Offset::ZERO, |_| {}), None, "cut at {cut}");
        }
    }
}

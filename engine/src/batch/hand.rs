//! Batches made by hand, for tests: every field may lie.

use bytes::Bytes;

use super::build::complete;
use super::codec::Codec;
use super::header::{BatchHeader, HEADER_BYTES, TimestampType};
use super::pack::Packer;
use super::varint::write_long;
use super::{CheckRules, Origin, TargetCompression};
use crate::units::Timestamp;

/// The clock of the tests.
pub(super) const NOW: i64 = 1_700_000_000_000;
pub(super) const PACKING: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// A topic's defaults.
pub(super) fn rules() -> CheckRules {
    CheckRules {
        batch_bytes_max: 1_048_588,
        timestamp_type: TimestampType::Create,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: 3_600_000,
        compacted: false,
        compression: TargetCompression::Producer,
        unpacked_bytes_max: 64 << 20,
        zstd_allowed: true,
        origin: Origin::Client,
        now: Timestamp(NOW),
    }
}

/// One record, field by field; a length that is `None` is the true one.
#[derive(Clone)]
pub(super) struct Hand {
    pub(super) length: Option<i64>,
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i64,
    pub(super) key: Option<&'static [u8]>,
    pub(super) key_bytes: Option<i64>,
    pub(super) value: Option<&'static [u8]>,
    pub(super) value_bytes: Option<i64>,
    pub(super) header_count: Option<i64>,
    pub(super) headers: Vec<[Option<&'static [u8]>; 2]>,
    pub(super) behind: &'static [u8],
}

/// A record that nothing is wrong with.
pub(super) fn record(offset_delta: i64) -> Hand {
    Hand {
        length: None,
        timestamp_delta: 0,
        offset_delta,
        key: Some(b"k"),
        key_bytes: None,
        value: Some(b"v"),
        value_bytes: None,
        header_count: None,
        headers: Vec::new(),
        behind: b"",
    }
}

impl Hand {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut body = vec![0];
        write_long(self.timestamp_delta, &mut body);
        write_long(self.offset_delta, &mut body);
        for (field, bytes) in [(self.key, self.key_bytes), (self.value, self.value_bytes)] {
            write_long(bytes.unwrap_or(field.map_or(-1, |field| field.len() as i64)), &mut body);
            body.extend_from_slice(field.unwrap_or_default());
        }
        write_long(self.header_count.unwrap_or(self.headers.len() as i64), &mut body);
        for field in self.headers.iter().flatten() {
            write_long(field.map_or(-1, |field| field.len() as i64), &mut body);
            body.extend_from_slice(field.unwrap_or_default());
        }
        body.extend_from_slice(self.behind);
        write_long(self.length.unwrap_or(body.len() as i64), out);
        out.extend_from_slice(&body);
    }
}

/// Records as they lie in a batch, not packed.
pub(super) fn plain(records: &[Hand]) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        record.encode(&mut out);
    }
    out
}

/// Bytes, packed.
pub(super) fn packed(codec: Codec, plain: &[u8]) -> Vec<u8> {
    let mut packer = Packer::new(codec, None, Vec::new()).unwrap();
    packer.write(plain).unwrap();
    packer.finish().unwrap()
}

/// A batch of these packed bytes that says it has `record_count` records; its checksum is right.
pub(super) fn batch_of(codec: Codec, record_count: i32, packed: &[u8]) -> Bytes {
    let header = BatchHeader {
        base_offset: 0,
        batch_length: 0,
        partition_leader_epoch: -1,
        magic: 2,
        crc: 0,
        attributes: codec.number(),
        last_offset_delta: record_count - 1,
        base_timestamp: NOW,
        max_timestamp: NOW,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count,
    };
    seal(header, packed)
}

/// A batch of these records.
pub(super) fn batch(codec: Codec, records: &[Hand]) -> Bytes {
    batch_of(codec, records.len() as i32, &packed(codec, &plain(records)))
}

/// Three records that nothing is wrong with.
pub(super) fn good(codec: Codec) -> Bytes {
    batch(codec, &[record(0), record(1), record(2)])
}

/// Header and records in one piece, the length and the checksum made right.
pub(super) fn seal(header: BatchHeader, packed: &[u8]) -> Bytes {
    complete(header, [&[0; HEADER_BYTES][..], packed].concat()).1
}

/// The batch with another header, its checksum made right.
pub(super) fn altered(batch: &Bytes, change: impl FnOnce(&mut BatchHeader)) -> Bytes {
    let mut header = BatchHeader::read(batch).unwrap();
    change(&mut header);
    seal(header, batch.get(HEADER_BYTES..).unwrap())
}

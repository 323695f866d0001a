//! Makes batches: of coordinators' own records, for recompression, for tests.

use super::codec::{Codec, fold};
use super::error::BatchError;
use super::header::{BatchHeader, CRC_START, HEADER_BYTES, LENGTH_PREFIX_BYTES};
use super::varint::write_long;
use crate::units::Timestamp;
use bytes::Bytes;

/// Who produced a batch; the default is nobody in particular.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerFields {
    /// -1 for none.
    pub producer_id: i64,
    /// -1 for none.
    pub producer_epoch: i16,
    /// -1 for none.
    pub base_sequence: i32,
}

impl Default for ProducerFields {
    fn default() -> Self {
        Self { producer_id: -1, producer_epoch: -1, base_sequence: -1 }
    }
}

/// Collects records, then makes one batch of them.
pub struct BatchBuilder {
    codec: Codec,
    level: Option<i32>,
    attributes: i16,
    records: Vec<u8>,
    record_count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// An empty batch under `CreateTime`.
    pub fn new(codec: Codec) -> Self {
        Self::with_level(codec, None)
    }

    pub(super) fn with_level(codec: Codec, level: Option<i32>) -> Self {
        let attributes = codec.number();
        let (records, record_count) = (Vec::new(), 0);
        Self { codec, level, attributes, records, record_count, base_timestamp: -1, max_timestamp: -1 }
    }

    /// Adds a record.
    #[must_use]
    pub fn record(self, timestamp: Timestamp, key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        self.record_with_headers(timestamp, key, value, &[0])
    }

    /// Adds a record with headers as they are encoded: count, then key and value each.
    #[must_use]
    pub fn record_with_headers(
        mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[u8],
    ) -> Self {
        if self.record_count == 0 {
            self.base_timestamp = timestamp.0;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp.0);
        let mut body = Vec::with_capacity(24 + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len));
        body.push(0);
        write_long(timestamp.0.wrapping_sub(self.base_timestamp), &mut body);
        write_long(i64::from(self.record_count), &mut body);
        for field in [key, value] {
            write_long(field.map_or(-1, |field| field.len() as i64), &mut body);
            body.extend_from_slice(field.unwrap_or_default());
        }
        body.extend_from_slice(headers);
        write_long(body.len() as i64, &mut self.records);
        self.records.extend_from_slice(&body);
        self.record_count += 1;
        self
    }

    /// The batch, at base offset 0.
    ///
    /// # Errors
    /// When the codec fails.
    pub fn build(self, producer: ProducerFields) -> Result<Bytes, BatchError> {
        let folded = match self.codec {
            Codec::None => self.records,
            codec => fold(codec, self.level, &self.records)?,
        };
        let header = BatchHeader {
            base_offset: 0,
            batch_length: (HEADER_BYTES - LENGTH_PREFIX_BYTES + folded.len()) as i32,
            partition_leader_epoch: -1,
            magic: 2,
            crc: 0,
            attributes: self.attributes,
            last_offset_delta: self.record_count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: producer.producer_id,
            producer_epoch: producer.producer_epoch,
            base_sequence: producer.base_sequence,
            record_count: self.record_count,
        };
        Ok(assemble(header, &folded))
    }
}

/// Header and records in one piece, with the checksum that belongs to them.
pub(super) fn assemble(mut header: BatchHeader, records: &[u8]) -> Bytes {
    header.crc = checksum(&header, records);
    let mut out = Vec::with_capacity(HEADER_BYTES + records.len());
    out.extend_from_slice(&header.write());
    out.extend_from_slice(records);
    out.into()
}

/// The checksum of a batch with this header and these (compressed) records.
pub(super) fn checksum(header: &BatchHeader, records: &[u8]) -> u32 {
    let bytes = header.write();
    let covered = bytes.get(CRC_START..).unwrap_or_default();
    crc32c::crc32c_append(crc32c::crc32c(covered), records)
}

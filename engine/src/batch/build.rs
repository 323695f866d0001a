//! Makes a batch of records: coordinators' own, and tests'.

use bytes::Bytes;

use super::codec::Codec;
use super::error::BatchError;
use super::header::{BatchHeader, CRC_START, HEADER_BYTES, MAGIC, PREFIX_BYTES, TimestampType, bit};
use super::pack::Packer;
use super::varint::write_long;
use crate::units::Timestamp;

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

impl ProducerFields {
    /// Not idempotent.
    pub const NONE: Self = Self { producer_id: -1, producer_epoch: -1, base_sequence: -1 };
}

impl Default for ProducerFields {
    fn default() -> Self {
        Self::NONE
    }
}

/// Collects records, then makes one batch of them.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    codec: Codec,
    level: Option<i32>,
    attributes: i16,
    records: Vec<u8>,
    /// One record without its length, which is known when it is complete.
    body: Vec<u8>,
    record_count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// A batch without records, under `CreateTime`.
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            level: None,
            attributes: codec.number(),
            records: Vec::new(),
            body: Vec::new(),
            record_count: 0,
            base_timestamp: Timestamp::NONE.0,
            max_timestamp: Timestamp::NONE.0,
        }
    }

    /// Compresses at this level instead of the codec's default.
    #[must_use]
    pub fn level(mut self, level: i32) -> Self {
        self.level = Some(level);
        self
    }

    /// Says whose clock the timestamps are of. Under `LogAppend` the largest one pushed counts for all.
    #[must_use]
    pub fn timestamp_type(mut self, timestamp_type: TimestampType) -> Self {
        self.attributes &= !bit::LOG_APPEND_TIME;
        if timestamp_type == TimestampType::LogAppend {
            self.attributes |= bit::LOG_APPEND_TIME;
        }
        self
    }

    /// Makes it part of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.attributes |= bit::TRANSACTIONAL;
        self
    }

    /// Makes it a control batch: its records are markers that no application sees.
    #[must_use]
    pub fn control(mut self) -> Self {
        self.attributes |= bit::CONTROL;
        self
    }

    /// Adds a record.
    #[must_use]
    pub fn record(self, timestamp: Timestamp, key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        self.record_with_headers(timestamp, key, value, &[])
    }

    /// Adds a record with application headers.
    #[must_use]
    pub fn record_with_headers(
        mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Self {
        self.push(timestamp, key, value, headers);
        self
    }

    /// Adds a record with application headers, in place. Copies key, value and headers.
    pub fn push(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        if self.record_count == 0 {
            self.base_timestamp = timestamp.0;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp.0);
        self.body.clear();
        self.body.push(0);
        write_long(timestamp.0.wrapping_sub(self.base_timestamp), &mut self.body);
        write_long(i64::from(self.record_count), &mut self.body);
        write_field(key, &mut self.body);
        write_field(value, &mut self.body);
        write_long(headers.len() as i64, &mut self.body);
        for (name, value) in headers {
            write_field(Some(name.as_bytes()), &mut self.body);
            write_field(*value, &mut self.body);
        }
        write_long(self.body.len() as i64, &mut self.records);
        self.records.extend_from_slice(&self.body);
        self.record_count += 1;
    }

    /// Records so far.
    pub fn record_count(&self) -> u32 {
        self.record_count as u32
    }

    /// Bytes of the batch so far, before compression.
    pub fn plain_bytes(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// The batch, with base offset 0 and leader epoch -1.
    ///
    /// # Errors
    /// When the codec fails.
    pub fn build(self, producer: ProducerFields) -> Result<Bytes, BatchError> {
        let header = BatchHeader {
            base_offset: 0,
            batch_length: 0,
            partition_leader_epoch: -1,
            magic: MAGIC,
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
        let mut packer = Packer::new(self.codec, self.level, header_room(self.records.len()))?;
        packer.write(&self.records)?;
        Ok(complete(header, packer.finish()?).1)
    }
}

fn write_field(field: Option<&[u8]>, out: &mut Vec<u8>) {
    write_long(field.map_or(-1, |field| field.len() as i64), out);
    out.extend_from_slice(field.unwrap_or_default());
}

/// An empty header with room for records behind it: what [`complete`] completes.
pub(super) fn header_room(records_bytes: usize) -> Vec<u8> {
    let mut batch = Vec::with_capacity(HEADER_BYTES + records_bytes);
    batch.resize(HEADER_BYTES, 0);
    batch
}

/// Writes the header of a batch whose records are in place: its length and checksum are of those.
pub(super) fn complete(mut header: BatchHeader, mut batch: Vec<u8>) -> (BatchHeader, Bytes) {
    assert!(batch.len() >= HEADER_BYTES, "a batch without room for its header");
    header.batch_length = (batch.len() - PREFIX_BYTES) as i32;
    header.crc = checksum(&header, batch.get(HEADER_BYTES..).unwrap_or_default());
    if let Some(room) = batch.first_chunk_mut() {
        *room = header.encode();
    }
    (header, batch.into())
}

/// The checksum of a batch with this header and these (packed) records.
pub(super) fn checksum(header: &BatchHeader, packed: &[u8]) -> u32 {
    let bytes = header.encode();
    let covered = bytes.get(CRC_START..).unwrap_or_default();
    crc32c::crc32c_append(crc32c::crc32c(covered), packed)
}

//! Makes a v2 batch of records.

use bytes::Bytes;

use super::{Codec, TimestampType};
use crate::units::Timestamp;

/// Who made a batch, in the terms of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerFields {
    /// -1: not idempotent.
    pub producer_id: i64,
    /// -1: not idempotent.
    pub producer_epoch: i16,
    /// -1: not counted.
    pub base_sequence: i32,
}

impl ProducerFields {
    /// A producer that is not idempotent.
    pub const NONE: Self = Self { producer_id: -1, producer_epoch: -1, base_sequence: -1 };
}

/// Collects records, then makes one batch of them.
pub struct BatchBuilder {
    codec: Codec,
}

impl BatchBuilder {
    /// No record yet.
    pub fn new(codec: Codec, timestamp_type: TimestampType) -> Self {
        unimplemented!()
    }

    /// Adds one record.
    pub fn push(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) -> &mut Self {
        unimplemented!()
    }

    /// The batch: base offset 0, leader epoch -1.
    pub fn build(&mut self, producer: ProducerFields) -> Bytes {
        unimplemented!()
    }
}

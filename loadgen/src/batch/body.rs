//! Make the records of a batch, once, so that many batches can be sent around the same bytes.
use std::sync::Arc;

use super::{Codec, CodecError, HEADER_BYTES, TAG_BYTES, TAG_KEY, Tag, Tags, varint};
use crate::payload::Payload;

/// Records as they follow a batch's header, packed, with what a header around them needs to know. Shared between the
/// requests in flight; never changed after it was made.
#[derive(Clone, Debug)]
pub struct Body(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bytes: Vec<u8>,
    codec: Codec,
    record_count: u32,
    payload_bytes: u64,
    crc: u32,
    /// Column `i` is what bit `i` of a CRC becomes by the bytes of this body; empty for small ones, which are counted anew.
    shift: Vec<u32>,
}

/// Above this many bytes the CRC of a header and a body is put together from both, not counted over both.
const COUNT_ANEW_BYTES_MAX: usize = 2048;

impl Body {
    fn new(bytes: Vec<u8>, codec: Codec, record_count: u32, payload_bytes: u64, reused: bool) -> Self {
        let crc = crc32c::crc32c(&bytes);
        let shift = if reused && bytes.len() > COUNT_ANEW_BYTES_MAX {
            (0..32).map(|bit| crc32c::crc32c_combine(1 << bit, 0, bytes.len())).collect()
        } else {
            Vec::new()
        };
        Self(Arc::new(Inner { bytes, codec, record_count, payload_bytes, crc, shift }))
    }

    /// The packed records.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// How they are packed.
    pub fn codec(&self) -> Codec {
        self.0.codec
    }

    /// How many records there are.
    pub fn record_count(&self) -> u32 {
        self.0.record_count
    }

    /// Bytes of keys and values before packing.
    pub fn payload_bytes(&self) -> u64 {
        self.0.payload_bytes
    }

    /// Bytes of a batch around this body.
    pub fn batch_bytes(&self) -> usize {
        HEADER_BYTES + self.0.bytes.len()
    }

    /// CRC of something with CRC `front`, followed by this body.
    pub(super) fn crc_after(&self, front: u32) -> u32 {
        if self.0.shift.is_empty() {
            return crc32c::crc32c_append(front, &self.0.bytes);
        }
        // CRCs are linear: each bit of `front` moves on its own.
        let moved = self.0.shift.iter().enumerate().filter(|(bit, _)| front >> bit & 1 == 1);
        moved.fold(self.0.crc, |crc, (_, column)| crc ^ column)
    }

    /// Gives the memory back if no request uses it any more.
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        Arc::into_inner(self.0).map(|inner| inner.bytes)
    }
}

/// When a batch is full.
#[derive(Clone, Copy, Debug)]
pub struct BodyShape {
    /// Most records in a batch.
    pub records_max: u32,
    /// Most bytes in a batch before packing, header included; one record always fits.
    pub batch_bytes_max: usize,
    /// How the records are packed.
    pub codec: Codec,
}

/// Makes the bodies of one connection.
#[derive(Debug)]
pub struct BodyMaker {
    payload: Payload,
    shape: BodyShape,
    key: Vec<u8>,
    has_key: bool,
    value: Vec<u8>,
    /// The value at hand was made for the batch before and did not fit.
    carried: bool,
}

impl BodyMaker {
    /// Bodies of this shape from this payload.
    pub fn new(payload: Payload, shape: BodyShape) -> Self {
        Self { payload, shape, key: Vec::new(), has_key: false, value: Vec::new(), carried: false }
    }

    /// About how many records a batch will hold.
    pub fn records_mean(&self) -> u32 {
        let record_bytes = self.payload.value_bytes_mean() + 16;
        let fitting = self.shape.batch_bytes_max.saturating_sub(HEADER_BYTES) / record_bytes;
        u32::try_from(fitting.max(1)).unwrap_or(u32::MAX).min(self.shape.records_max)
    }

    /// The next body, of at most `records_max` records; `tags`: theirs, or none carries one.
    /// `memory` is used for the bytes if they are not packed. `reused`: many headers will be put before it.
    ///
    /// # Errors
    /// If the codec fails.
    ///
    /// # Panics
    /// If `records_max` is 0: a batch without records is none.
    pub fn make(
        &mut self,
        records_max: u32,
        tags: Option<Tags>,
        memory: Vec<u8>,
        reused: bool,
    ) -> Result<Body, CodecError> {
        assert!(records_max > 0);
        let records_max = records_max.min(self.shape.records_max);
        let bytes_max = self.shape.batch_bytes_max.saturating_sub(HEADER_BYTES);
        let mut plain = memory;
        plain.clear();
        let (mut record_count, mut payload_bytes) = (0, 0);
        while record_count < records_max {
            if !self.carried {
                self.next_record();
            }
            let content = self.content_bytes(record_count, tags.is_some());
            let record_bytes = varint::bytes(content as i64) + content;
            self.carried = record_count > 0 && plain.len() + record_bytes > bytes_max;
            if self.carried {
                break;
            }
            let tag = tags.map(|tags| tags.of(record_count));
            self.write_record(&mut plain, content, record_count, tag);
            payload_bytes += (self.key.len() + self.value.len()) as u64;
            record_count += 1;
        }
        let codec = self.shape.codec;
        let bytes = if codec == Codec::None { plain } else { codec.compress(&plain)? };
        Ok(Body::new(bytes, codec, record_count, payload_bytes, reused))
    }

    fn next_record(&mut self) {
        self.key.clear();
        self.value.clear();
        self.has_key = self.payload.write_key(&mut self.key);
        self.payload.write_value(&mut self.value);
    }

    /// Bytes of the record at hand after its length field.
    fn content_bytes(&self, offset_delta: u32, tagged: bool) -> usize {
        let key_bytes = if self.has_key { varint::bytes(self.key.len() as i64) + self.key.len() } else { 1 };
        let value_bytes = varint::bytes(self.value.len() as i64) + self.value.len();
        let tag_bytes = if tagged { 1 + TAG_KEY.len() + 1 + TAG_BYTES } else { 0 };
        // Attributes, time delta and the count of headers take a byte each.
        3 + varint::bytes(i64::from(offset_delta)) + key_bytes + value_bytes + tag_bytes
    }

    fn write_record(&self, out: &mut Vec<u8>, content: usize, offset_delta: u32, tag: Option<Tag>) {
        varint::write(out, content as i64);
        let start = out.len();
        out.push(0); // attributes
        varint::write(out, 0); // all records of a batch have its time
        varint::write(out, i64::from(offset_delta));
        if self.has_key {
            varint::write(out, self.key.len() as i64);
            out.extend_from_slice(&self.key);
        } else {
            varint::write(out, -1);
        }
        varint::write(out, self.value.len() as i64);
        out.extend_from_slice(&self.value);
        varint::write(out, i64::from(tag.is_some()));
        if let Some(tag) = tag {
            varint::write(out, TAG_KEY.len() as i64);
            out.extend_from_slice(TAG_KEY);
            varint::write(out, TAG_BYTES as i64);
            out.extend_from_slice(&tag.encode(&self.key, &self.value));
        }
        debug_assert_eq!(out.len() - start, content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batches, Stamp, records};
    use crate::payload::Keys;

    const STAMP: Stamp =
        Stamp { timestamp_ms: 1_700_000_000_000, producer_id: 9, producer_epoch: 1, base_sequence: 77 };

    fn maker(batch_bytes_max: usize, codec: Codec) -> BodyMaker {
        let shape = BodyShape { records_max: 1000, batch_bytes_max, codec };
        BodyMaker::new(Payload::iis(Keys::own(8), 1, 1), shape)
    }

    fn batch(body: &Body) -> bytes::Bytes {
        [&STAMP.header_for(body)[..], body.bytes()].concat().into()
    }

    #[test]
    fn a_batch_is_full_by_bytes_and_the_record_that_did_not_fit_begins_the_next() {
        let mut maker = maker(10_000, Codec::None);
        let (first, second) = (
            maker.make(1000, None, Vec::new(), false).unwrap(),
            maker.make(1000, None, Vec::new(), false).unwrap(),
        );
        for body in [&first, &second] {
            assert!((8_400..=10_000).contains(&body.batch_bytes()), "{}", body.batch_bytes());
        }
        let mut one_by_one = super::tests::maker(1, Codec::None);
        let singles: Vec<_> = (0..first.record_count() + second.record_count())
            .map(|_| one_by_one.make(1, None, Vec::new(), false).unwrap().payload_bytes())
            .collect();
        assert_eq!(singles.iter().sum::<u64>(), first.payload_bytes() + second.payload_bytes());
    }

    #[test]
    fn a_batch_is_full_by_count_and_one_record_always_fits() {
        assert_eq!(maker(1 << 20, Codec::None).make(5, None, Vec::new(), false).unwrap().record_count(), 5);
        assert_eq!(maker(1, Codec::None).make(5, None, Vec::new(), false).unwrap().record_count(), 1);
    }

    #[test]
    fn what_is_made_is_read_back_in_every_codec() {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let tag = Tag { run: 5, producer: 3, sequence: 1000, intended_nanos: 42, sent_nanos: 43 };
            let tags = Tags { first: tag, spacing_nanos: 7 };
            let body = maker(20_000, codec).make(1000, Some(tags), Vec::new(), false).unwrap();
            let whole = batch(&body);
            let found: Vec<_> = Batches::new(whole).collect::<Result<_, _>>().unwrap();
            assert_eq!(found.len(), 1);
            found[0].check_crc().unwrap();
            let plain = found[0].unpacked().unwrap();
            let mut count = 0;
            for record in records(&plain, body.record_count().into()) {
                let record = record.unwrap();
                assert_eq!(record.offset_delta, count);
                let found =
                    Tag::decode(record.tag.unwrap(), record.key.unwrap(), record.value.unwrap()).unwrap();
                let place = count as u64;
                assert_eq!(found, Tag { sequence: 1000 + place, intended_nanos: 42 + 7 * place, ..tag });
                count += 1;
            }
            assert_eq!(count, i64::from(body.record_count()));
        }
    }

    #[test]
    fn the_crc_put_together_is_the_crc_counted_over_all() {
        for batch_bytes_max in [100, 4096, 1_000_000] {
            let body = maker(batch_bytes_max, Codec::None).make(1000, None, Vec::new(), true).unwrap();
            let whole = batch(&body);
            assert_eq!(whole[17..21], crc32c::crc32c(&whole[21..]).to_be_bytes());
        }
    }

    #[test]
    fn memory_comes_back_only_when_no_request_holds_it() {
        let body = maker(4096, Codec::None).make(1000, None, Vec::new(), false).unwrap();
        let other = body.clone();
        assert!(body.into_bytes().is_none());
        assert!(other.into_bytes().is_some());
    }
}

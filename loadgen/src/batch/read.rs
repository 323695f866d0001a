//! Walk the batches of a fetch answer and the records of a batch. Bounded by the bytes that are there; nothing panics.
use bytes::Bytes;

use super::{CRC_START, Codec, CodecError, HEADER_BYTES, Header, TAG_KEY, varint};

/// What is wrong with a batch that a broker served.
#[derive(Debug, thiserror::Error)]
pub enum BatchFault {
    /// The header's length field is impossible.
    #[error("batch length field is impossible")]
    Length,
    /// Not format v2.
    #[error("batch of format {magic}, expected 2")]
    Magic {
        /// The format byte found.
        magic: u8,
    },
    /// Bytes changed.
    #[error("batch CRC is {found:08x}, its bytes give {counted:08x}")]
    Crc {
        /// In the header.
        found: u32,
        /// Over the bytes.
        counted: u32,
    },
    /// No such codec.
    #[error("unknown codec {number}")]
    UnknownCodec {
        /// The number in the attributes.
        number: i16,
    },
    /// The packed records are broken.
    #[error("packed records are broken")]
    Unpack(#[source] CodecError),
    /// A record is cut, or its fields do not fit its length, or more or fewer records follow than the header says.
    #[error("record {index} of a batch is broken")]
    Record {
        /// Place in the batch, from 0.
        index: i64,
    },
}

/// The whole batches in the records of one partition. The cut batch at the end of an answer is left out: it comes again.
#[derive(Debug)]
pub struct Batches {
    rest: Bytes,
}

impl Batches {
    /// All batches in `records`.
    pub fn new(records: Bytes) -> Self {
        Self { rest: records }
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, BatchFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let header = Header::read(&self.rest)?;
        let (batch_bytes, magic) = (header.batch_bytes(), header.magic());
        let fault = match batch_bytes {
            Some(bytes) if bytes > self.rest.len() => return None,
            Some(bytes) if magic == 2 => return Some(Ok(RecordBatch(self.rest.split_to(bytes)))),
            Some(_) => BatchFault::Magic { magic },
            None => BatchFault::Length,
        };
        self.rest.clear();
        Some(Err(fault))
    }
}

/// One whole batch of format v2; shares the answer's memory.
#[derive(Clone, Debug)]
pub struct RecordBatch(Bytes);

impl RecordBatch {
    /// Its header.
    ///
    /// # Panics
    /// Never: only whole batches are made.
    pub fn header(&self) -> Header<'_> {
        Header::read(&self.0).expect("a batch is made of at least a header")
    }

    /// Bytes, header included.
    pub fn batch_bytes(&self) -> usize {
        self.0.len()
    }

    /// Counts the CRC anew.
    ///
    /// # Errors
    /// [`BatchFault::Crc`] if it is not the header's.
    pub fn check_crc(&self) -> Result<(), BatchFault> {
        let (found, counted) = (self.header().crc(), crc32c::crc32c(&self.0[CRC_START..]));
        if found == counted { Ok(()) } else { Err(BatchFault::Crc { found, counted }) }
    }

    /// The records' bytes, unpacked.
    ///
    /// # Errors
    /// If the codec is unknown or the bytes are not of it.
    pub fn unpacked(&self) -> Result<Bytes, BatchFault> {
        let attributes = self.header().attributes();
        let codec =
            Codec::from_attributes(attributes).ok_or(BatchFault::UnknownCodec { number: attributes & 7 })?;
        codec.decompress(&self.0.slice(HEADER_BYTES..)).map_err(BatchFault::Unpack)
    }
}

/// One record; borrows from the unpacked batch.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Offset minus the batch's base offset.
    pub offset_delta: i64,
    /// `None`: the record has no key.
    pub key: Option<&'a [u8]>,
    /// `None`: the record has no value.
    pub value: Option<&'a [u8]>,
    /// The bytes of its verification tag, if it carries one.
    pub tag: Option<&'a [u8]>,
}

/// Walks `count` records; after the last, or the first broken one, the walk ends. Bytes after the last are a fault, too.
pub fn records(plain: &[u8], count: i64) -> impl Iterator<Item = Result<Record<'_>, BatchFault>> {
    let (mut rest, mut index, mut broken) = (plain, 0, false);
    std::iter::from_fn(move || {
        if broken || (index >= count && rest.is_empty()) {
            return None;
        }
        let record = if index < count { read_record(&mut rest) } else { None };
        broken = record.is_none();
        index += 1;
        Some(record.ok_or(BatchFault::Record { index: index - 1 }))
    })
}

fn read_record<'a>(rest: &mut &'a [u8]) -> Option<Record<'a>> {
    let content_bytes = usize::try_from(varint::read(rest)?).ok()?;
    let (mut content, after) = rest.split_at_checked(content_bytes)?;
    *rest = after;
    let (_attributes, fields) = content.split_first()?;
    content = fields;
    let _time_delta = varint::read(&mut content)?;
    let offset_delta = varint::read(&mut content)?;
    let key = read_bytes(&mut content)?;
    let value = read_bytes(&mut content)?;
    let mut tag = None;
    for _ in 0..varint::read(&mut content)? {
        let name = read_bytes(&mut content)??;
        let header_value = read_bytes(&mut content)?;
        if name == TAG_KEY {
            tag = header_value;
        }
    }
    content.is_empty().then_some(Record { offset_delta, key, value, tag })
}

/// A field with its length before it; the inner `None` is a null.
#[expect(
    clippy::option_option,
    reason = "cut and null are two things, and the caller treats both in one line"
)]
fn read_bytes<'a>(input: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = varint::read(input)?;
    if length == -1 {
        return Some(None);
    }
    let (field, after) = input.split_at_checked(usize::try_from(length).ok()?)?;
    *input = after;
    Some(Some(field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BodyMaker, BodyShape, Stamp};
    use crate::payload::{Keys, Payload};

    fn batch(base_offset: i64) -> Vec<u8> {
        let shape = BodyShape { records_max: 3, batch_bytes_max: 1 << 20, codec: Codec::None };
        let body = BodyMaker::new(Payload::filler(50, 50, Keys::own(4), 1, 1), shape)
            .make(3, None, Vec::new(), false)
            .unwrap();
        let stamp = Stamp { timestamp_ms: 5, producer_id: -1, producer_epoch: -1, base_sequence: -1 };
        let mut batch = [&stamp.header_for(&body)[..], body.bytes()].concat();
        batch[..8].copy_from_slice(&base_offset.to_be_bytes());
        batch
    }

    #[test]
    fn batches_end_to_end_are_walked_and_a_cut_one_at_the_end_is_left_out() {
        let mut bytes = [batch(0), batch(3), batch(6)].concat();
        bytes.truncate(bytes.len() - 1);
        let bases: Vec<_> =
            Batches::new(bytes.into()).map(|found| found.unwrap().header().base_offset()).collect();
        assert_eq!(bases, [0, 3]);
    }

    #[test]
    fn a_changed_byte_is_found_by_the_crc() {
        for at in 21..batch(0).len() {
            let mut bytes = batch(0);
            bytes[at] ^= 1;
            let found = Batches::new(bytes.into()).next().unwrap().unwrap();
            assert!(matches!(found.check_crc(), Err(BatchFault::Crc { .. })), "byte {at}");
        }
    }

    #[test]
    fn more_or_fewer_records_than_the_header_says_are_found() {
        let found = Batches::new(batch(0).into()).next().unwrap().unwrap();
        let plain = found.unpacked().unwrap();
        assert!(records(&plain, 3).all(|record| record.is_ok()));
        assert!(matches!(records(&plain, 2).last(), Some(Err(BatchFault::Record { index: 2 }))));
        assert!(matches!(records(&plain, 4).last(), Some(Err(BatchFault::Record { index: 3 }))));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_walks_panic(noise: Vec<u8>, at in 0..400_usize, byte: u8) {
            let mut bytes = [batch(0), noise].concat();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            for found in Batches::new(bytes.into()).flatten() {
                let _ = found.check_crc();
                if let Ok(plain) = found.unpacked() && plain.len() < 1 << 20 {
                    let _ = records(&plain, found.header().record_count()).count();
                }
            }
        }
    }
}

//! Record batches as producers make them, and as no producer should.
//!
//! Written by hand from the format's description, so that a fault in a library cannot hide on both sides; read back by `kafka-protocol`.
//! ```text
//! 0 base offset 8 | 8 length 4 | 12 leader epoch 4 | 16 magic 1 | 17 crc 4 | 21 attributes 2 | 23 last offset delta 4
//! 27 base timestamp 8 | 35 max timestamp 8 | 43 producer id 8 | 51 epoch 2 | 53 base sequence 4 | 57 count 4 | 61 records
//! ```

use bytes::Bytes;
use kafka_protocol::records::{Record, RecordBatchDecoder};
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes before the first record.
pub const HEADER_BYTES: usize = 61;
/// Where the part that the CRC covers begins.
const CRC_START: usize = 21;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    None = 0,
    /// gzip (RFC 1952).
    Gzip = 1,
    /// snappy in the blocks of xerial's stream format, as Java and Go write it.
    Snappy = 2,
    /// An LZ4 frame.
    Lz4 = 3,
    /// A Zstandard frame.
    Zstd = 4,
}

/// Every codec.
pub const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// A record's own bytes; `None` is null.
#[derive(Clone, Debug, Default)]
pub struct KeyValue {
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
}

/// One batch to be made.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Codec of its records.
    pub codec: Codec,
    /// -1: none.
    pub producer_id: i64,
    /// -1: none.
    pub producer_epoch: i16,
    /// -1: none.
    pub base_sequence: i32,
    /// Bits beside the codec's: 0x8 `LogAppendTime`, 0x10 transactional, 0x20 control.
    pub attributes: i16,
    /// Timestamp of the first record, milliseconds; the next ones follow by one each.
    pub base_timestamp: i64,
    /// Key and value of each record.
    pub records: Vec<KeyValue>,
}

impl Batch {
    /// A batch of these values, without keys or producer, with the present time.
    pub fn of(values: &[&str]) -> Self {
        let records = values
            .iter()
            .map(|value| KeyValue { key: None, value: Some(value.as_bytes().to_vec()) })
            .collect();
        Self {
            codec: Codec::None,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            attributes: 0,
            base_timestamp: now_ms(),
            records,
        }
    }

    /// A batch of `count` numbered records of about `value_bytes` each.
    pub fn numbered(first: usize, count: usize, value_bytes: usize) -> Self {
        let values: Vec<_> = (first..first + count)
            .map(|number| format!("{}{number:08}", "-".repeat(value_bytes.saturating_sub(8))))
            .collect();
        Self::of(&values.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The same with another codec.
    #[must_use]
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// The same from an idempotent producer.
    #[must_use]
    pub fn from_producer(mut self, producer: (i64, i16), base_sequence: i32) -> Self {
        (self.producer_id, self.producer_epoch) = producer;
        self.base_sequence = base_sequence;
        self
    }

    /// The same at another time.
    #[must_use]
    pub fn at(mut self, base_timestamp: i64) -> Self {
        self.base_timestamp = base_timestamp;
        self
    }

    /// The same with keys `k0`, `k1`, ...
    #[must_use]
    pub fn keyed(mut self) -> Self {
        for (number, record) in self.records.iter_mut().enumerate() {
            record.key = Some(format!("k{number}").into_bytes());
        }
        self
    }

    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut records = Vec::new();
        for (delta, KeyValue { key, value }) in self.records.iter().enumerate() {
            let mut record = vec![0];
            put_varint(&mut record, delta as i64);
            put_varint(&mut record, delta as i64);
            for field in [key, value] {
                put_varint(&mut record, field.as_ref().map_or(-1, |bytes| bytes.len() as i64));
                record.extend_from_slice(field.as_deref().unwrap_or_default());
            }
            put_varint(&mut record, 0);
            put_varint(&mut records, record.len() as i64);
            records.extend_from_slice(&record);
        }
        self.encode_around(&compress(self.codec, &records))
    }

    /// A header that speaks of `self.records` around other bytes.
    pub fn encode_around(&self, records: &[u8]) -> Bytes {
        let last_delta = self.records.len() as i64 - 1;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + records.len());
        bytes.extend_from_slice(&0_i64.to_be_bytes());
        bytes.extend_from_slice(&((HEADER_BYTES - 12 + records.len()) as i32).to_be_bytes());
        bytes.extend_from_slice(&(-1_i32).to_be_bytes());
        bytes.push(2);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&(self.attributes | self.codec as i16).to_be_bytes());
        bytes.extend_from_slice(&(last_delta as i32).to_be_bytes());
        bytes.extend_from_slice(&self.base_timestamp.to_be_bytes());
        bytes.extend_from_slice(&(self.base_timestamp + last_delta).to_be_bytes());
        bytes.extend_from_slice(&self.producer_id.to_be_bytes());
        bytes.extend_from_slice(&self.producer_epoch.to_be_bytes());
        bytes.extend_from_slice(&self.base_sequence.to_be_bytes());
        bytes.extend_from_slice(&(self.records.len() as i32).to_be_bytes());
        bytes.extend_from_slice(records);
        seal(&mut bytes);
        Bytes::from(bytes)
    }
}

/// The present, in milliseconds since 1970.
///
/// # Panics
/// If the clock stands before 1970.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis() as i64
}

/// A batch with some header bytes changed and a CRC that fits them.
pub fn altered(batch: &Bytes, at: usize, field: &[u8]) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[at..at + field.len()].copy_from_slice(field);
    seal(&mut bytes);
    Bytes::from(bytes)
}

/// Writes the CRC that fits the bytes.
fn seal(bytes: &mut [u8]) {
    let crc = crc32c::crc32c(&bytes[CRC_START..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// `bytes` in the codec's form.
///
/// # Panics
/// Never: all codecs write to memory.
pub fn compress(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    match codec {
        Codec::None => bytes.to_vec(),
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes).expect("memory takes bytes");
            encoder.finish().expect("memory takes bytes")
        }
        Codec::Snappy => {
            let mut stream = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
            for block in bytes.chunks(32 * 1024) {
                let block = snap::raw::Encoder::new().compress_vec(block).expect("a block is small");
                stream.extend_from_slice(&(block.len() as u32).to_be_bytes());
                stream.extend_from_slice(&block);
            }
            stream
        }
        Codec::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(bytes).expect("memory takes bytes");
            encoder.finish().expect("memory takes bytes")
        }
        Codec::Zstd => zstd::bulk::compress(bytes, 3).expect("memory takes bytes"),
    }
}

/// One valid record whose value is `unfolded_bytes` zeros, compressed: a few kilobytes that unfold to that much.
pub fn zeros(codec: Codec, unfolded_bytes: usize) -> Bytes {
    let mut record = Vec::with_capacity(unfolded_bytes + 32);
    let value_bytes = unfolded_bytes as i64;
    let mut body = vec![0, 0, 0, 1]; // attributes, timestamp delta, offset delta, no key
    put_varint(&mut body, value_bytes);
    put_varint(&mut record, body.len() as i64 + value_bytes + 1);
    record.extend_from_slice(&body);
    record.resize(record.len() + unfolded_bytes + 1, 0); // the value, then no headers
    Batch::of(&[""]).codec(codec).encode_around(&compress(codec, &record))
}

/// The records of whole batches; a last batch that is cut short is left out, as consumers do.
///
/// # Panics
/// If a batch does not decode or its CRC is wrong.
pub fn decode(bytes: &Bytes) -> Vec<Record> {
    let mut records = Vec::new();
    for batch in batches(bytes) {
        let set = RecordBatchDecoder::decode(&mut batch.clone()).unwrap_or_else(|error| {
            let (base, bytes) = (i64::from_be_bytes(field(&batch, 0)), batch.len());
            let zeros = longest_zeros(&batch);
            panic!(
                "the stored batch at offset {base} does not decode: {error}; {bytes} B, zeros at {zeros:?}"
            )
        });
        records.extend(set.records);
    }
    records
}

/// The longest stretch of zeros: what a disk lost mostly is one.
fn longest_zeros(bytes: &[u8]) -> std::ops::Range<usize> {
    let (mut longest, mut start) = (0..0, 0);
    for (at, byte) in bytes.iter().enumerate() {
        if *byte != 0 {
            start = at + 1;
        } else if at + 1 - start > longest.len() {
            longest = start..at + 1;
        }
    }
    longest
}

/// The whole batches in the bytes, each as stored.
pub fn batches(bytes: &Bytes) -> Vec<Bytes> {
    let mut batches = Vec::new();
    let mut at = 0;
    while bytes.len() - at >= HEADER_BYTES {
        let length: [u8; 4] = bytes[at + 8..at + 12].try_into().unwrap_or_default();
        let end = at + 12 + i32::from_be_bytes(length) as usize;
        if end > bytes.len() || i32::from_be_bytes(length) < 49 {
            break;
        }
        batches.push(bytes.slice(at..end));
        at = end;
    }
    batches
}

/// A big-endian number in a batch's header.
///
/// # Panics
/// If the batch is shorter.
pub fn field<const N: usize>(batch: &Bytes, at: usize) -> [u8; N] {
    batch[at..at + N].try_into().expect("the range has this length")
}

/// The values as text, `None` for null.
pub fn values(records: &[Record]) -> Vec<String> {
    let text = |value: &Option<Bytes>| {
        value.as_ref().map_or("null".to_string(), |bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    records.iter().map(|record| text(&record.value)).collect()
}

fn put_varint(buffer: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        buffer.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    buffer.push(rest as u8);
}

//! The 61 bytes before the records: written around finished records, and read in place.
use super::{Body, CRC_START, HEADER_BYTES, LENGTH_END};

/// What differs between two batches around the same records.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// Time of all records of the batch, milliseconds since 1970.
    pub timestamp_ms: i64,
    /// -1: not idempotent.
    pub producer_id: i64,
    /// -1: not idempotent.
    pub producer_epoch: i16,
    /// Sequence of the first record; -1: not idempotent.
    pub base_sequence: i32,
}

impl Stamp {
    /// The header for `body`. The records' part of the CRC was counted once, when they were made, so the cost does not
    /// grow with them.
    pub fn header_for(&self, body: &Body) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(8, &((HEADER_BYTES - LENGTH_END + body.bytes().len()) as i32).to_be_bytes());
        put(12, &(-1_i32).to_be_bytes());
        put(16, &[2]);
        put(21, &(body.codec() as i16).to_be_bytes());
        put(23, &(body.record_count() as i32 - 1).to_be_bytes());
        put(27, &self.timestamp_ms.to_be_bytes());
        put(35, &self.timestamp_ms.to_be_bytes());
        put(43, &self.producer_id.to_be_bytes());
        put(51, &self.producer_epoch.to_be_bytes());
        put(53, &self.base_sequence.to_be_bytes());
        put(57, &(body.record_count() as i32).to_be_bytes());
        let crc = body.crc_after(crc32c::crc32c(&header[CRC_START..]));
        header[17..CRC_START].copy_from_slice(&crc.to_be_bytes());
        header
    }
}

/// A view of the header of a batch that lies in memory.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a>(&'a [u8; HEADER_BYTES]);

impl<'a> Header<'a> {
    /// The header at the front of `bytes`; `None` if there are too few.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        bytes.first_chunk().map(Self)
    }

    /// Offset of the first record.
    pub fn base_offset(self) -> i64 {
        self.int(0, 8)
    }

    /// Bytes of the whole batch; `None` if the field is impossible.
    pub fn batch_bytes(self) -> Option<usize> {
        let counted = usize::try_from(self.int(8, 4)).ok()?;
        (counted >= HEADER_BYTES - LENGTH_END).then_some(counted + LENGTH_END)
    }

    /// Format; 2 in all that this generator reads.
    pub fn magic(self) -> u8 {
        self.0[16]
    }

    /// CRC-32C of everything after it.
    pub fn crc(self) -> u32 {
        self.int(17, 4) as u32
    }

    /// Codec, kind of timestamp, transactional and control bits.
    pub fn attributes(self) -> i16 {
        self.int(21, 2) as i16
    }

    /// The batch holds a marker of a transaction, no records of a producer.
    pub fn is_control(self) -> bool {
        self.attributes() & 0x20 != 0
    }

    /// Offset of the last record minus that of the first.
    pub fn last_offset_delta(self) -> i64 {
        self.int(23, 4)
    }

    /// Time of the first record, milliseconds since 1970.
    pub fn base_timestamp_ms(self) -> i64 {
        self.int(27, 8)
    }

    /// How many records follow.
    pub fn record_count(self) -> i64 {
        self.int(57, 4)
    }

    /// A signed big-endian integer of up to eight bytes.
    fn int(self, at: usize, bytes: usize) -> i64 {
        let signed = i64::from(self.0[at] as i8);
        self.0[at + 1..at + bytes].iter().fold(signed, |value, byte| value << 8 | i64::from(*byte))
    }
}

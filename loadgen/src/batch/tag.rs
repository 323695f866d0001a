//! The mark each record carries so that a reader can prove what became of it.
//!
//! It travels as a record header, so that keys and values stay as the workload wants them.
//! ```text
//!  0         1        9          13         21            29        37    41
//!  | version | run id | producer | sequence | intended ns | sent ns | CRC |
//! ```
//! The sequence counts the records of one producer in one partition from 0. The CRC-32C is over the fields before it, the
//! key and the value: it finds bytes that changed although the batch's own CRC is right.

/// Length of a tag.
pub const TAG_BYTES: usize = 41;
/// Name of the record header that holds a tag.
pub const TAG_KEY: &[u8] = b"tw";
/// First byte of a tag.
const TAG_VERSION: u8 = 2;
const CRC_AT: usize = 37;

/// Who sent a record, as its how-manieth, and when it was meant to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// One run of the generator: random, so that runs into one topic stay apart.
    pub run: u64,
    /// Number of the connection within its run.
    pub producer: u32,
    /// Place among the records of this producer in this partition, from 0, dense.
    pub sequence: u64,
    /// When the record was meant to leave, in nanoseconds since the start of its run.
    pub intended_nanos: u64,
    /// When its batch was made, in the same count: it is given to the connection right after. Sent again, it keeps this time.
    pub sent_nanos: u64,
}

/// Those of one batch.
#[derive(Clone, Copy, Debug)]
pub struct Tags {
    /// Of its first record.
    pub first: Tag,
    /// How much later each further record was meant to leave, nanoseconds.
    pub spacing_nanos: u64,
}

impl Tags {
    /// That of the record so many places behind the first.
    pub fn of(&self, place: u32) -> Tag {
        let place = u64::from(place);
        let intended_nanos = self.first.intended_nanos + place * self.spacing_nanos;
        Tag { sequence: self.first.sequence + place, intended_nanos, ..self.first }
    }
}

impl Tag {
    /// The tag's bytes for a record of this key and value.
    pub fn encode(&self, key: &[u8], value: &[u8]) -> [u8; TAG_BYTES] {
        let mut bytes = [0; TAG_BYTES];
        bytes[0] = TAG_VERSION;
        bytes[1..9].copy_from_slice(&self.run.to_be_bytes());
        bytes[9..13].copy_from_slice(&self.producer.to_be_bytes());
        bytes[13..21].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[21..29].copy_from_slice(&self.intended_nanos.to_be_bytes());
        bytes[29..CRC_AT].copy_from_slice(&self.sent_nanos.to_be_bytes());
        let crc = checksum(&bytes[..CRC_AT], key, value);
        bytes[CRC_AT..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// Reads a tag; `Err` if it is no tag or its record is not the one it was made for.
    ///
    /// # Errors
    /// [`TagFault`] says which of both.
    pub fn decode(bytes: &[u8], key: &[u8], value: &[u8]) -> Result<Self, TagFault> {
        let bytes: &[u8; TAG_BYTES] = bytes.try_into().map_err(|_| TagFault::Unknown)?;
        if bytes[0] != TAG_VERSION {
            return Err(TagFault::Unknown);
        }
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_be_bytes(word)
        };
        let half = |at: usize| (word(at) >> 32) as u32;
        let crc = u32::from_be_bytes([bytes[37], bytes[38], bytes[39], bytes[40]]);
        if crc != checksum(&bytes[..CRC_AT], key, value) {
            return Err(TagFault::Checksum);
        }
        Ok(Self {
            run: word(1),
            producer: half(9),
            sequence: word(13),
            intended_nanos: word(21),
            sent_nanos: word(29),
        })
    }
}

/// Why bytes are not the tag of their record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagFault {
    /// Not a tag of this version.
    Unknown,
    /// The tag, the key or the value changed.
    Checksum,
}

fn checksum(fields: &[u8], key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(fields), key), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_comes_back_whole() {
        let tag = Tag {
            run: u64::MAX - 1,
            producer: 7,
            sequence: 1 << 40,
            intended_nanos: 123_456_789,
            sent_nanos: 234_567_890,
        };
        assert_eq!(Tag::decode(&tag.encode(b"key", b"value"), b"key", b"value"), Ok(tag));
    }

    #[test]
    fn any_changed_bit_of_tag_key_or_value_is_found() {
        let tag = Tag { run: 1, producer: 2, sequence: 3, intended_nanos: 4, sent_nanos: 5 };
        let bytes = tag.encode(b"key", b"value");
        for bit in 8..TAG_BYTES * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Tag::decode(&changed, b"key", b"value"), Err(TagFault::Checksum), "bit {bit}");
        }
        assert_eq!(Tag::decode(&bytes, b"kez", b"value"), Err(TagFault::Checksum));
        assert_eq!(Tag::decode(&bytes, b"key", b"valuf"), Err(TagFault::Checksum));
        assert_eq!(Tag::decode(&bytes[1..], b"key", b"value"), Err(TagFault::Unknown));
    }
}

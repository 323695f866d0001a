//! The compression of records: names and numbers.

use super::error::BatchError;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks: one bare block, or several in the frame of snappy-java.
    Snappy,
    /// One LZ4 frame of independent blocks.
    Lz4,
    /// RFC 8878 (KIP-110).
    Zstd,
}

impl Codec {
    /// Every codec, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec that the lowest three bits of the attributes name.
    ///
    /// # Errors
    /// `Invalid` for 5 to 7. (Kafka 4.3.1 answers -1, an exception nobody caught.)
    pub(super) fn from_attributes(attributes: i16) -> Result<Self, BatchError> {
        match attributes & 7 {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            other => Err(BatchError::invalid(format!("unknown compression type id: {other}"))),
        }
    }

    /// The number that a batch's attributes carry.
    pub(super) const fn number(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The codec of that number, as a batch's attributes and some of Kafka's settings have it.
    pub fn from_number(number: i32) -> Option<Self> {
        usize::try_from(number).ok().and_then(|number| Self::ALL.get(number).copied())
    }

    /// The codec by Kafka's name for it in configurations; `uncompressed` is `None`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "uncompressed" | "none" => Some(Self::None),
            "gzip" => Some(Self::Gzip),
            "snappy" => Some(Self::Snappy),
            "lz4" => Some(Self::Lz4),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

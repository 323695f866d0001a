//! Compress and decompress the records of a batch, in the forms Kafka's Java client uses.
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use kafka_protocol::compression::{Compressor, Decompressor, Gzip, Lz4, Snappy, Zstd};
use serde::{Deserialize, Serialize};

/// How the records of a batch are packed: the lowest three bits of its attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// As they are.
    #[default]
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// In blocks, as the Java library frames them.
    Snappy = 2,
    /// LZ4 frames.
    Lz4 = 3,
    /// Zstandard frames.
    Zstd = 4,
}

/// The packed bytes are not what their codec makes, or the codec failed.
#[derive(Debug, thiserror::Error)]
#[error("{codec:?}: {reason}")]
pub struct CodecError {
    /// The codec that was asked.
    pub codec: Codec,
    /// What it said.
    pub reason: String,
}

impl Codec {
    /// The codec in a batch's attributes; `None`: there is no such codec.
    pub fn from_attributes(attributes: i16) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd]
            .into_iter()
            .find(|codec| *codec as i16 == attributes & 7)
    }

    /// Packs `plain`, copying it once more for the codecs of the crate below.
    ///
    /// # Errors
    /// If the codec fails.
    pub fn compress(self, plain: &[u8]) -> Result<Vec<u8>, CodecError> {
        let mut packed = BytesMut::new();
        macro_rules! pack {
            ($codec:ty) => {
                <$codec>::compress(&mut packed, |buffer| {
                    buffer.put_slice(plain);
                    Ok(())
                })
            };
        }
        let result = match self {
            Self::None => return Ok(plain.to_vec()),
            Self::Gzip => pack!(Gzip),
            Self::Snappy => pack!(Snappy),
            Self::Lz4 => pack!(Lz4),
            Self::Zstd => pack!(Zstd),
        };
        result.map_err(|error| CodecError { codec: self, reason: error.to_string() })?;
        Ok(packed.into())
    }

    /// Unpacks `packed`; without a copy if it was not packed.
    ///
    /// # Errors
    /// If the bytes are not of this codec.
    pub fn decompress(self, packed: &Bytes) -> Result<Bytes, CodecError> {
        let mut packed = packed.clone();
        macro_rules! unpack {
            ($codec:ty) => {
                <$codec>::decompress(&mut packed, |buffer| Ok(buffer.copy_to_bytes(buffer.remaining())))
            };
        }
        let result = match self {
            Self::None => return Ok(packed),
            Self::Gzip => unpack!(Gzip),
            Self::Snappy => unpack!(Snappy),
            Self::Lz4 => unpack!(Lz4),
            Self::Zstd => unpack!(Zstd),
        };
        result.map_err(|error| CodecError { codec: self, reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    #[test]
    fn every_codec_gives_back_what_it_was_given() {
        let plain: Vec<u8> = (0..200_000_u32).flat_map(|number| (number / 100).to_le_bytes()).collect();
        for codec in ALL {
            let packed = codec.compress(&plain).unwrap();
            assert!(codec == Codec::None || packed.len() < plain.len() / 2, "{codec:?}: {}", packed.len());
            assert_eq!(codec.decompress(&packed.into()).unwrap(), plain, "{codec:?}");
        }
    }

    #[test]
    fn bytes_of_no_codec_are_an_error_and_not_a_panic() {
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            assert!(codec.decompress(&Bytes::from_static(b"not packed by anything")).is_err(), "{codec:?}");
        }
    }

    #[test]
    fn attributes_name_the_codec_and_nothing_else() {
        for codec in ALL {
            assert_eq!(Codec::from_attributes(codec as i16 | 0b11000), Some(codec));
        }
        assert_eq!(Codec::from_attributes(5), None);
    }
}

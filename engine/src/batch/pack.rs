//! Packs records as Kafka's own producer frames them.
//!
//! gzip as RFC 1952; snappy in snappy-java's frame; lz4 in one frame of independent 64 KiB blocks without checks; zstd
//! in one frame. The levels are Kafka's (KIP-390).

use std::io::{self, Write};

use super::codec::Codec;
use super::error::BatchError;
use super::snappy::SnappyPacker;

/// Kafka's default levels.
const GZIP_LEVEL: i32 = 6;
const LZ4_LEVEL: i32 = 9;
const ZSTD_LEVEL: i32 = 3;
/// From here on lz4 uses its slow compressor; Kafka does for every level but its default, which is the fast one.
const LZ4_SLOW_LEVEL_MIN: i32 = 3;
const LZ4_SLOW_LEVEL_MAX: i32 = 12;

/// Takes plain bytes, gives them out packed.
pub(super) enum Packer {
    Plain(Vec<u8>),
    Gzip(Box<flate2::write::GzEncoder<Vec<u8>>>),
    Snappy(Box<SnappyPacker>),
    Lz4(lz4::Encoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

fn failed(error: impl std::fmt::Display) -> BatchError {
    BatchError::invalid(format!("compression failed: {error}"))
}

impl Packer {
    /// Packed bytes go behind what is in `out`. `level` outside of the codec's range counts as its nearest.
    ///
    /// # Errors
    /// `Invalid` if the codec cannot start, which none does.
    pub(super) fn new(codec: Codec, level: Option<i32>, out: Vec<u8>) -> Result<Self, BatchError> {
        Ok(match codec {
            Codec::None => Self::Plain(out),
            Codec::Gzip => {
                let level = level.filter(|level| *level >= 0).unwrap_or(GZIP_LEVEL).min(9); // -1: the default
                Self::Gzip(Box::new(flate2::write::GzEncoder::new(
                    out,
                    flate2::Compression::new(level as u32),
                )))
            }
            Codec::Snappy => Self::Snappy(Box::new(SnappyPacker::new(out))),
            Codec::Lz4 => Self::Lz4(lz4_encoder(level, out).map_err(failed)?),
            Codec::Zstd => {
                let level = level.unwrap_or(ZSTD_LEVEL);
                Self::Zstd(zstd::stream::write::Encoder::new(out, level).map_err(failed)?)
            }
        })
    }

    /// Packs some more.
    ///
    /// # Errors
    /// As [`Packer::new`].
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), BatchError> {
        match self {
            Self::Plain(out) => {
                out.extend_from_slice(bytes);
                Ok(())
            }
            Self::Gzip(encoder) => encoder.write_all(bytes).map_err(failed),
            Self::Snappy(packer) => packer.write(bytes),
            Self::Lz4(encoder) => encoder.write_all(bytes).map_err(failed),
            Self::Zstd(encoder) => encoder.write_all(bytes).map_err(failed),
        }
    }

    /// Bytes given out so far, with those that were there before: never more than there will be.
    pub(super) fn packed_bytes(&self) -> usize {
        match self {
            Self::Plain(out) => out.len(),
            Self::Gzip(encoder) => encoder.get_ref().len(),
            Self::Snappy(packer) => packer.packed_bytes(),
            Self::Lz4(encoder) => encoder.writer().len(),
            Self::Zstd(encoder) => encoder.get_ref().len(),
        }
    }

    /// Everything, packed.
    ///
    /// # Errors
    /// As [`Packer::new`].
    pub(super) fn finish(self) -> Result<Vec<u8>, BatchError> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Gzip(encoder) => encoder.finish().map_err(failed),
            Self::Snappy(packer) => packer.finish(),
            Self::Lz4(encoder) => {
                let (out, outcome) = encoder.finish();
                outcome.map(|()| out).map_err(failed)
            }
            Self::Zstd(encoder) => encoder.finish().map_err(failed),
        }
    }
}

fn lz4_encoder(level: Option<i32>, out: Vec<u8>) -> io::Result<lz4::Encoder<Vec<u8>>> {
    let level = match level.unwrap_or(LZ4_LEVEL) {
        LZ4_LEVEL => 0,
        level => level.clamp(LZ4_SLOW_LEVEL_MIN, LZ4_SLOW_LEVEL_MAX),
    };
    lz4::EncoderBuilder::new()
        .level(level as u32)
        .block_size(lz4::BlockSize::Max64KB)
        .block_mode(lz4::BlockMode::Independent)
        .block_checksum(lz4::liblz4::BlockChecksum::NoBlockChecksum)
        .checksum(lz4::ContentChecksum::NoChecksum)
        .build(out)
}

//! The compression of records: names, numbers, bounded unfolding, and folding again.

use super::error::BatchError;
use std::io::{self, Read, Write};

/// Compression of the records in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not compressed.
    None,
    /// RFC 1952.
    Gzip,
    /// Raw blocks or the framing of snappy-java.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// RFC 8878.
    Zstd,
}

/// What snappy-java puts in front: magic, version, compatible version.
const XERIAL_HEAD: &[u8; 16] = &[0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
/// Bytes of a snappy-java block before compression, its default.
const XERIAL_BLOCK_BYTES: usize = 32 << 10;
/// zstd frames that ask for a larger window are refused: 8 MiB is what its decoders allow by default in streams of
/// level 19 and below; Kafka's producers stay below.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

impl Codec {
    /// The codec that the lowest three bits name.
    pub(super) fn from_attributes(attributes: i16) -> Result<Self, BatchError> {
        match attributes & 7 {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            other => Err(BatchError::invalid(format!("compression type {other} does not exist"))),
        }
    }

    /// The number that a batch's attributes carry.
    pub(super) fn number(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
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

/// Unfolds `records`, at most `bytes_max` of it.
///
/// # Errors
/// `Bomb` past the bound; `Invalid` for bytes that the codec does not understand.
pub(super) fn unfold(codec: Codec, records: &[u8], bytes_max: usize) -> Result<Vec<u8>, BatchError> {
    let garbage =
        |error: io::Error| BatchError::invalid(format!("the compressed part does not unfold: {error}"));
    match codec {
        Codec::None => Ok(records.to_vec()),
        Codec::Gzip => read_bounded(flate2::read::MultiGzDecoder::new(records), records.len(), bytes_max),
        Codec::Lz4 => read_bounded(lz4_flex::frame::FrameDecoder::new(records), records.len(), bytes_max),
        Codec::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(records).map_err(garbage)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(garbage)?;
            read_bounded(decoder, records.len(), bytes_max)
        }
        Codec::Snappy => unfold_snappy(records, bytes_max),
    }
}

fn read_bounded(mut reader: impl Read, packed: usize, bytes_max: usize) -> Result<Vec<u8>, BatchError> {
    let mut out = Vec::with_capacity((packed * 3).min(bytes_max).min(1 << 20));
    let limit = bytes_max as u64 + 1;
    match reader.by_ref().take(limit).read_to_end(&mut out) {
        Ok(count) if count > bytes_max => Err(BatchError::Bomb { limit: bytes_max }),
        Ok(_) => Ok(out),
        Err(error) => Err(BatchError::invalid(format!("the compressed part does not unfold: {error}"))),
    }
}

fn unfold_snappy(records: &[u8], bytes_max: usize) -> Result<Vec<u8>, BatchError> {
    let mut out = Vec::new();
    let Some(mut rest) = records.strip_prefix(&XERIAL_HEAD[..]) else {
        unfold_snappy_block(records, &mut out, bytes_max)?;
        return Ok(out);
    };
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let (block, tail) =
            tail.split_at_checked(length).ok_or_else(|| BatchError::invalid("a snappy block is cut"))?;
        unfold_snappy_block(block, &mut out, bytes_max)?;
        rest = tail;
    }
    if rest.is_empty() { Ok(out) } else { Err(BatchError::invalid("a snappy block is cut")) }
}

fn unfold_snappy_block(block: &[u8], out: &mut Vec<u8>, bytes_max: usize) -> Result<(), BatchError> {
    let garbage =
        |error: snap::Error| BatchError::invalid(format!("the compressed part does not unfold: {error}"));
    let claimed = snap::raw::decompress_len(block).map_err(garbage)?;
    // A snappy element of two bytes yields 64 at most: a larger claim is a lie and gets no memory.
    if claimed > block.len().saturating_mul(64) || out.len() + claimed > bytes_max {
        return Err(BatchError::Bomb { limit: bytes_max });
    }
    let start = out.len();
    out.resize(start + claimed, 0);
    let target = out.get_mut(start..).unwrap_or_default();
    let count = snap::raw::Decoder::new().decompress(block, target).map_err(garbage)?;
    out.truncate(start + count);
    Ok(())
}

/// Folds records, at a level or the codec's own default.
///
/// # Errors
/// `Invalid` when the codec fails, which its writers do only on a level out of range.
pub(super) fn fold(codec: Codec, level: Option<i32>, records: &[u8]) -> Result<Vec<u8>, BatchError> {
    let failed = |error: String| BatchError::invalid(format!("compression failed: {error}"));
    match codec {
        Codec::None => Ok(records.to_vec()),
        Codec::Gzip => {
            let level = level
                .filter(|level| (1..=9).contains(level))
                .map_or(flate2::Compression::default(), |level| flate2::Compression::new(level as u32));
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(records).map_err(|error| failed(error.to_string()))?;
            encoder.finish().map_err(|error| failed(error.to_string()))
        }
        Codec::Lz4 => {
            let info = lz4_flex::frame::FrameInfo::new()
                .block_size(lz4_flex::frame::BlockSize::Max64KB)
                .block_mode(lz4_flex::frame::BlockMode::Independent);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(records).map_err(|error| failed(error.to_string()))?;
            encoder.finish().map_err(|error| failed(error.to_string()))
        }
        Codec::Zstd => {
            zstd::stream::encode_all(records, level.unwrap_or(3)).map_err(|error| failed(error.to_string()))
        }
        Codec::Snappy => {
            let mut out = XERIAL_HEAD.to_vec();
            let mut encoder = snap::raw::Encoder::new();
            for block in records.chunks(XERIAL_BLOCK_BYTES) {
                let folded = encoder.compress_vec(block).map_err(|error| failed(error.to_string()))?;
                out.extend_from_slice(&(folded.len() as u32).to_be_bytes());
                out.extend_from_slice(&folded);
            }
            Ok(out)
        }
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    const FOLDING: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    #[test]
    fn what_is_folded_unfolds_to_the_same() {
        let records: Vec<u8> = (0..200_000u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
        for codec in FOLDING {
            let folded = fold(codec, None, &records).unwrap();
            assert_eq!(unfold(codec, &folded, records.len()).unwrap(), records, "{codec:?}");
            for cut in [0, 1, folded.len() / 2, folded.len() - 1] {
                let _ = unfold(codec, &folded[..cut], records.len());
            }
        }
        let raw = snap::raw::Encoder::new().compress_vec(&records).unwrap();
        assert_eq!(unfold(Codec::Snappy, &raw, records.len()).unwrap(), records);
    }

    #[test]
    fn what_unfolds_past_its_bound_is_refused_and_takes_no_more_memory_than_the_bound() {
        let zeros = vec![0; 64 << 20];
        for codec in FOLDING {
            let folded = fold(codec, None, &zeros).unwrap();
            assert_eq!(
                unfold(codec, &folded, 1 << 20),
                Err(BatchError::Bomb { limit: 1 << 20 }),
                "{codec:?}"
            );
        }
        let lie = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
        assert_eq!(unfold(Codec::Snappy, &lie, 1 << 30), Err(BatchError::Bomb { limit: 1 << 30 }));
    }
}

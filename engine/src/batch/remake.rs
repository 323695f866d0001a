//! A batch made anew because its topic wants another compression (`compression.type`).

use super::codec::Codec;
use super::error::BatchError;
use super::header::{BatchHeader, HEADER_BYTES, LENGTH_PREFIX_BYTES};
use super::{build::assemble, codec::fold};
use bytes::Bytes;

/// The same records under another codec; producer fields, timestamps and attributes but the codec's stay.
pub(super) fn remake(
    header: &BatchHeader,
    unfolded: &[u8],
    codec: Codec,
    level: Option<i32>,
) -> Result<(BatchHeader, Bytes), BatchError> {
    let folded = fold(codec, level, unfolded)?;
    let attributes = (header.attributes & !7) | codec.number();
    let batch_length = (HEADER_BYTES - LENGTH_PREFIX_BYTES + folded.len()) as i32;
    let bytes = assemble(BatchHeader { attributes, batch_length, ..*header }, &folded);
    Ok((BatchHeader::read(&bytes)?, bytes))
}

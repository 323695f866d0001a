//! Snappy: one bare block (librdkafka, sarama), or blocks in the frame of snappy-java (Java, sarama too).
//!
//! ```text
//! bare:    block                                        its first bytes say what it unfolds to
//! framed:  82 'S' 'N' 'A' 'P' 'P' 'Y' 00 | version 4 | compatible 4 | (length 4, block)...
//! ```
//! As Kafka 4.3.1: the versions may say anything; another header may stand where a length is expected (streams may
//! follow each other); fewer than four bytes at the end are ignored.

use super::error::BatchError;

/// What snappy-java puts first.
const MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
/// Magic, version and compatible version.
const FRAME_HEADER_BYTES: usize = 16;
/// A copy of two bytes' offset takes three bytes and yields at most 64: nothing in the format yields more per byte.
const UNFOLDING_MAX: usize = 22;
/// What snappy-java's own blocks hold.
const PACKED_BLOCK_BYTES: usize = 32 << 10;

/// The blocks of one batch.
pub(super) struct SnappyBlocks<'a> {
    rest: &'a [u8],
    framed: bool,
    decoder: snap::raw::Decoder,
}

impl<'a> SnappyBlocks<'a> {
    pub(super) fn new(packed: &'a [u8]) -> Self {
        let framed = packed.len() >= FRAME_HEADER_BYTES && packed.starts_with(MAGIC);
        let rest = if framed { packed.get(FRAME_HEADER_BYTES..).unwrap_or_default() } else { packed };
        Self { rest, framed, decoder: snap::raw::Decoder::new() }
    }

    /// Unpacks the next block to the start of `chunk`; returns its bytes, 0 at the end, `None` if the block says that
    /// it has more than `budget_bytes`.
    pub(super) fn next_block(
        &mut self,
        chunk: &mut Vec<u8>,
        budget_bytes: usize,
    ) -> Result<Option<usize>, BatchError> {
        let Some(block) = self.next_packed()? else { return Ok(Some(0)) };
        let claimed_bytes = snap::raw::decompress_len(block).map_err(BatchError::undecodable)?;
        if claimed_bytes > block.len().saturating_mul(UNFOLDING_MAX) {
            return Err(BatchError::undecodable("a snappy block cannot unfold to what it says"));
        }
        if claimed_bytes > budget_bytes {
            return Ok(None);
        }
        if chunk.len() < claimed_bytes {
            chunk.resize(claimed_bytes, 0);
        }
        let unpacked = chunk.get_mut(..claimed_bytes).unwrap_or_default();
        match self.decoder.decompress(block, unpacked).map_err(BatchError::undecodable)? {
            0 => Err(BatchError::undecodable("an empty snappy block")),
            bytes => Ok(Some(bytes)),
        }
    }

    fn next_packed(&mut self) -> Result<Option<&'a [u8]>, BatchError> {
        if !self.framed {
            // Once, also if it is empty: an empty stream is no snappy block.
            self.framed = true;
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        while self.rest.len() >= FRAME_HEADER_BYTES && self.rest.starts_with(MAGIC) {
            self.rest = self.rest.get(FRAME_HEADER_BYTES..).unwrap_or_default();
        }
        let Some((length, behind)) = self.rest.split_first_chunk() else { return Ok(None) };
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(BatchError::undecodable)?;
        let (block, behind) = behind
            .split_at_checked(length)
            .ok_or_else(|| BatchError::undecodable("the last snappy block is cut"))?;
        self.rest = behind;
        Ok(Some(block))
    }
}

/// Packs into frames of snappy-java, which every client reads.
pub(super) struct SnappyPacker {
    out: Vec<u8>,
    block: Vec<u8>,
    encoder: snap::raw::Encoder,
}

impl SnappyPacker {
    pub(super) fn new(mut out: Vec<u8>) -> Self {
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&1u32.to_be_bytes());
        out.extend_from_slice(&1u32.to_be_bytes());
        Self { out, block: Vec::new(), encoder: snap::raw::Encoder::new() }
    }

    pub(super) fn packed_bytes(&self) -> usize {
        self.out.len()
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), BatchError> {
        while !bytes.is_empty() {
            let room = PACKED_BLOCK_BYTES - self.block.len();
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == PACKED_BLOCK_BYTES {
                self.end_block()?;
            }
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<(), BatchError> {
        let start = self.out.len();
        self.out.resize(start + 4 + snap::raw::max_compress_len(self.block.len()), 0);
        let (length, packed) = self
            .out
            .get_mut(start..)
            .and_then(<[u8]>::split_first_chunk_mut)
            .ok_or_else(|| BatchError::invalid("no room for a snappy block"))?;
        let bytes = self.encoder.compress(&self.block, packed).map_err(BatchError::undecodable)?;
        *length = (bytes as u32).to_be_bytes();
        self.out.truncate(start + 4 + bytes);
        self.block.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Vec<u8>, BatchError> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        Ok(self.out)
    }
}

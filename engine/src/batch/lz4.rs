//! The LZ4 frame format as Kafka's readers understand it.
//!
//! ```text
//! 04 22 4d 18 | flags | block size | (content size 8) | header check | (length 4 LE, block, (check 4))... | 0 4 | (check 4)
//! flags: version 2 bits = 01 | blocks independent | block checks | content size | content check | reserved | dictionary
//! ```
//! As Kafka 4.3.1: exactly one frame; blocks must be independent (its consumers cannot read linked ones), no
//! dictionary, reserved bits zero; header and block checks must be right; the content size and the content check are
//! passed over; what follows the frame is ignored.

use twox_hash::XxHash32;

use super::error::BatchError;

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
/// A length with this bit set: the block is stored as it is.
const STORED_BIT: u32 = 0x8000_0000;
/// No sequence of a block yields more per byte.
const UNFOLDING_MAX: usize = 255;

/// The blocks of one frame.
pub(super) struct Lz4Blocks<'a> {
    rest: &'a [u8],
    block_bytes_max: usize,
    block_checks: bool,
    content_check: bool,
    ended: bool,
}

fn bad(reason: &'static str) -> BatchError {
    BatchError::undecodable(reason)
}

fn check_of(bytes: &[u8]) -> u32 {
    XxHash32::oneshot(0, bytes)
}

fn take_number(rest: &mut &[u8]) -> Result<u32, BatchError> {
    let (number, behind) = rest.split_first_chunk().ok_or_else(|| bad("the lz4 frame is cut"))?;
    *rest = behind;
    Ok(u32::from_le_bytes(*number))
}

impl<'a> Lz4Blocks<'a> {
    /// Reads the frame's header.
    pub(super) fn new(packed: &'a [u8]) -> Result<Self, BatchError> {
        let described = packed.strip_prefix(&MAGIC).ok_or_else(|| bad("no lz4 frame"))?;
        let [flags, block_size, ..] = described else { return Err(bad("the lz4 frame is cut")) };
        if flags >> 6 != 1 {
            return Err(bad("unknown version of the lz4 frame"));
        }
        if flags & 0x03 != 0 || block_size & 0x8f != 0 {
            return Err(bad("reserved bits in the lz4 frame's header"));
        }
        if flags & 0x20 == 0 {
            return Err(bad("lz4 blocks that depend on each other are not supported"));
        }
        let block_bytes_max = match block_size >> 4 {
            size @ 4..=7 => 1 << (8 + 2 * size), // 64 KiB, 256 KiB, 1 MiB, 4 MiB
            _ => return Err(bad("unknown block size in the lz4 frame's header")),
        };
        let descriptor_bytes = if flags & 0x08 == 0 { 2 } else { 10 };
        let (descriptor, behind) =
            described.split_at_checked(descriptor_bytes).ok_or_else(|| bad("the lz4 frame is cut"))?;
        let (check, rest) = behind.split_first().ok_or_else(|| bad("the lz4 frame is cut"))?;
        if *check != (check_of(descriptor) >> 8) as u8 {
            return Err(bad("wrong check of the lz4 frame's header"));
        }
        Ok(Self {
            rest,
            block_bytes_max,
            block_checks: flags & 0x10 != 0,
            content_check: flags & 0x04 != 0,
            ended: false,
        })
    }

    /// Unpacks the next block to the start of `chunk`; returns its bytes, 0 at the end.
    pub(super) fn next_block(&mut self, chunk: &mut Vec<u8>) -> Result<usize, BatchError> {
        while !self.ended {
            let length = take_number(&mut self.rest)?;
            if length == 0 {
                self.ended = true;
                if self.content_check {
                    take_number(&mut self.rest)?;
                }
                break;
            }
            let bytes = self.unpack_block(length, chunk)?;
            if bytes > 0 {
                return Ok(bytes);
            }
        }
        Ok(0)
    }

    fn unpack_block(&mut self, length: u32, chunk: &mut Vec<u8>) -> Result<usize, BatchError> {
        let packed_bytes = (length & !STORED_BIT) as usize;
        if packed_bytes > self.block_bytes_max {
            return Err(bad("an lz4 block is longer than its frame allows"));
        }
        let (block, behind) =
            self.rest.split_at_checked(packed_bytes).ok_or_else(|| bad("the lz4 frame is cut"))?;
        self.rest = behind;
        if self.block_checks && take_number(&mut self.rest)? != check_of(block) {
            return Err(bad("wrong check of an lz4 block"));
        }
        let stored = length & STORED_BIT != 0;
        let room = if stored { packed_bytes } else { packed_bytes.saturating_mul(UNFOLDING_MAX) };
        let room = room.min(self.block_bytes_max);
        if chunk.len() < room {
            chunk.resize(room, 0);
        }
        let unpacked = chunk.get_mut(..room).unwrap_or_default();
        if stored {
            unpacked.copy_from_slice(block);
            return Ok(packed_bytes);
        }
        lz4_flex::block::decompress_into(block, unpacked).map_err(BatchError::undecodable)
    }
}

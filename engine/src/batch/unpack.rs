//! Unpacks compressed records a chunk at a time, and stops at a bound.
//!
//! ```text
//! packed bytes -> gzip members, zstd frames: into a chunk of at most 32 KiB
//!              -> lz4 blocks (at most 4 MiB), snappy blocks (at most 22 times their packed size): one block a chunk
//! ```
//! Nothing is allocated because a length field says so: a block's memory is also bounded by the most that its packed
//! bytes could unfold to. zstd keeps a window besides; only as much of it is ever touched as was unpacked.
//! What a codec accepts follows Kafka 4.3.1's own readers, since stored batches are read by them: gzip members may
//! follow each other, and what follows the last is ignored; an lz4 frame ends at its end mark, and what follows is
//! ignored; zstd frames may follow each other, skippable ones too, and nothing else may.

use std::io::{ErrorKind, Read};

use flate2::bufread::GzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

use super::codec::Codec;
use super::error::BatchError;
use super::framing::{ByteSource, Flaw, RecordSource};
use super::lz4::Lz4Blocks;
use super::snappy::SnappyBlocks;

/// Unpacked bytes held at a time, where the format has no blocks of its own.
const CHUNK_BYTES_MAX: usize = 32 << 10;
/// The largest window a zstd frame may ask for, as in zstd's own default and Kafka's consumers: 128 MiB, which is what
/// Kafka's producer declares at level 22. (4.3.1 takes 27 and refuses 28.)
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

enum Stream<'a> {
    Gzip(Gzip<'a>),
    Zstd(ZstdDecoder<'a, &'a [u8]>),
    Lz4(Lz4Blocks<'a>),
    Snappy(SnappyBlocks<'a>),
}

/// The unpacked bytes of one batch, in order.
pub(super) struct Unpacked<'a> {
    stream: Stream<'a>,
    /// One chunk; what is not yet taken lies in `start..end`.
    chunk: Vec<u8>,
    start: usize,
    end: usize,
    unpacked_bytes: usize,
    unpacked_bytes_max: usize,
}

impl<'a> Unpacked<'a> {
    /// Nothing is unpacked yet. `codec` is not `None`.
    pub(super) fn new(codec: Codec, packed: &'a [u8], unpacked_bytes_max: usize) -> Result<Self, BatchError> {
        let stream = match codec {
            Codec::None => unreachable!("plain records are read where they lie"),
            Codec::Gzip => Stream::Gzip(Gzip::new(packed)),
            Codec::Snappy => Stream::Snappy(SnappyBlocks::new(packed)),
            Codec::Lz4 => Stream::Lz4(Lz4Blocks::new(packed)?),
            Codec::Zstd => {
                let mut decoder = ZstdDecoder::with_buffer(packed).map_err(BatchError::undecodable)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(BatchError::undecodable)?;
                Stream::Zstd(decoder)
            }
        };
        let chunk = match &stream {
            Stream::Gzip(_) | Stream::Zstd(_) => {
                vec![0; packed.len().saturating_mul(8).clamp(512, CHUNK_BYTES_MAX)]
            }
            Stream::Lz4(_) | Stream::Snappy(_) => Vec::new(),
        };
        Ok(Self { stream, chunk, start: 0, end: 0, unpacked_bytes: 0, unpacked_bytes_max })
    }

    /// What is left of the current chunk, or the next one; empty at the end. [`consume`](Self::consume) takes of it.
    pub(super) fn rest(&mut self) -> Result<&[u8], BatchError> {
        if self.start == self.end {
            self.refill()?;
        }
        Ok(self.chunk.get(self.start..self.end).unwrap_or_default())
    }

    /// Takes bytes that [`rest`](Self::rest) showed.
    pub(super) fn consume(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.end - self.start, "took more than was shown");
        self.start += bytes;
    }

    #[cold]
    fn refill(&mut self) -> Result<(), BatchError> {
        (self.start, self.end) = (0, 0);
        let budget_bytes = self.unpacked_bytes_max - self.unpacked_bytes;
        let bytes = match &mut self.stream {
            Stream::Gzip(gzip) => gzip.read(&mut self.chunk)?,
            Stream::Zstd(decoder) => read(decoder, &mut self.chunk).map_err(BatchError::undecodable)?,
            Stream::Lz4(blocks) => blocks.next_block(&mut self.chunk)?,
            Stream::Snappy(blocks) => match blocks.next_block(&mut self.chunk, budget_bytes)? {
                Some(bytes) => bytes,
                None => budget_bytes.saturating_add(1),
            },
        };
        if bytes > budget_bytes {
            return Err(BatchError::Bomb { limit: self.unpacked_bytes_max });
        }
        self.unpacked_bytes += bytes;
        self.end = bytes;
        Ok(())
    }
}

fn read(source: &mut impl Read, chunk: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match source.read(chunk) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

impl ByteSource for Unpacked<'_> {
    #[inline]
    fn byte(&mut self) -> Result<u8, Flaw> {
        if self.start == self.end {
            self.refill().map_err(|error| Flaw::Source(Box::new(error)))?;
        }
        // At the end of the stream `end` is 0 while the chunk still has bytes: look at `start..end` only.
        let byte = self.chunk.get(..self.end).and_then(|chunk| chunk.get(self.start)).ok_or(Flaw::Ended)?;
        self.start += 1;
        Ok(*byte)
    }

    fn skip(&mut self, mut bytes: usize) -> Result<(), Flaw> {
        while bytes > 0 {
            let here = self.rest().map_err(|error| Flaw::Source(Box::new(error)))?.len().min(bytes);
            if here == 0 {
                return Err(Flaw::Ended);
            }
            self.consume(here);
            bytes -= here;
        }
        Ok(())
    }

    fn is_at_end(&mut self) -> Result<bool, Flaw> {
        Ok(self.rest().map_err(|error| Flaw::Source(Box::new(error)))?.is_empty())
    }
}

impl<'a> RecordSource for Unpacked<'a> {
    type Part<'s>
        = Part<'s, 'a>
    where
        Self: 's;

    #[inline]
    fn part(&mut self, bytes: usize) -> Result<Part<'_, 'a>, Flaw> {
        Ok(Part { source: self, left: bytes })
    }
}

/// One record's bytes within the stream.
pub(super) struct Part<'s, 'a> {
    source: &'s mut Unpacked<'a>,
    left: usize,
}

impl ByteSource for Part<'_, '_> {
    #[inline]
    fn byte(&mut self) -> Result<u8, Flaw> {
        self.left = self.left.checked_sub(1).ok_or(Flaw::Ended)?;
        self.source.byte()
    }

    #[inline]
    fn skip(&mut self, bytes: usize) -> Result<(), Flaw> {
        self.left = self.left.checked_sub(bytes).ok_or(Flaw::Ended)?;
        self.source.skip(bytes)
    }

    #[inline]
    fn is_at_end(&mut self) -> Result<bool, Flaw> {
        Ok(self.left == 0)
    }
}

/// Gzip members, one after the other.
struct Gzip<'a> {
    member: GzDecoder<&'a [u8]>,
    member_count: usize,
    ended: bool,
}

impl<'a> Gzip<'a> {
    fn new(packed: &'a [u8]) -> Self {
        Self { member: GzDecoder::new(packed), member_count: 0, ended: false }
    }

    fn read(&mut self, chunk: &mut [u8]) -> Result<usize, BatchError> {
        while !self.ended {
            match read(&mut self.member, chunk) {
                Ok(0) => {
                    let behind = *self.member.get_ref();
                    self.ended = behind.is_empty();
                    self.member = GzDecoder::new(behind);
                    self.member_count += 1;
                }
                Ok(bytes) => return Ok(bytes),
                // Java's reader takes what is no header behind a whole member for the end; so do we.
                Err(_) if self.member_count > 0 && self.member.header().is_none() => self.ended = true,
                Err(error) => return Err(BatchError::undecodable(error)),
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;

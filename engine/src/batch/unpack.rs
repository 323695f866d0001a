//! Unpacks compressed records a chunk at a time, and stops at a bound.
//!
//! ```text
//! packed bytes -> gzip members, zstd frames: into a chunk of at most 32 KiB
//!              -> lz4 blocks (at most 4 MiB), snappy blocks (at most 22 times their packed size): one block a chunk
//! ```
//! Chunk and zstd context are kept for the thread's next batch, as long as they are small: for a batch of 4 KiB, making
//! them anew takes longer than unpacking.
//! Nothing is allocated because a length field says so: a block's memory is also bounded by the most that its packed
//! bytes could unfold to. zstd keeps a window besides; only as much of it is ever touched as was unpacked.
//! What a codec accepts follows Kafka 4.3.1's own readers, since stored batches are read by them: gzip members may
//! follow each other, and what follows the last is ignored; an lz4 frame ends at its end mark, and what follows is
//! ignored; zstd frames may follow each other, skippable ones too, and nothing else may.

use std::cell::RefCell;
use std::io::{ErrorKind, Read};

use flate2::bufread::GzDecoder;
use zstd::zstd_safe::{self, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::codec::Codec;
use super::error::BatchError;
use super::framing::{ByteSource, Flaw, RecordSource};
use super::lz4::Lz4Blocks;
use super::snappy::SnappyBlocks;

/// The most that a batch may ever unfold to, whatever its topic allows: looking for a record by its time takes as long.
pub const UNPACKED_BYTES_MAX: usize = 1 << 30;
/// Unpacked bytes held at a time, where the format has no blocks of its own.
const CHUNK_BYTES_MAX: usize = 32 << 10;
/// The largest window a zstd frame may ask for, as in zstd's own default and Kafka's consumers: 128 MiB, which is what
/// Kafka's producer declares at level 22. (4.3.1 takes 27 and refuses 28.)
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// What a thread keeps from one batch to the next, of each kind: lz4's largest block, zstd's window at level 3.
const SPARE_BYTES_MAX: usize = 4 << 20;

thread_local! {
    static SPARE_CHUNK: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static SPARE_CONTEXT: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

enum Stream<'a> {
    Gzip(Box<Gzip<'a>>),
    Zstd(Zstd<'a>),
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
    /// Unpacked so far.
    bytes_total: usize,
    bytes_max: usize,
}

impl<'a> Unpacked<'a> {
    /// Nothing is unpacked yet. `codec` is not `None`.
    pub(super) fn new(codec: Codec, packed: &'a [u8], bytes_max: usize) -> Result<Self, BatchError> {
        let stream = match codec {
            Codec::None => unreachable!("plain records are read where they lie"),
            Codec::Gzip => Stream::Gzip(Box::new(Gzip::new(packed))),
            Codec::Snappy => Stream::Snappy(SnappyBlocks::new(packed)),
            Codec::Lz4 => Stream::Lz4(Lz4Blocks::new(packed)?),
            Codec::Zstd => Stream::Zstd(Zstd::new(packed)?),
        };
        let mut chunk = SPARE_CHUNK.take();
        if matches!(stream, Stream::Gzip(_) | Stream::Zstd(_)) && chunk.len() < CHUNK_BYTES_MAX {
            chunk.resize(CHUNK_BYTES_MAX, 0);
        }
        Ok(Self { stream, chunk, start: 0, end: 0, bytes_total: 0, bytes_max })
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
        let budget_bytes = self.bytes_max - self.bytes_total;
        let bytes = match &mut self.stream {
            Stream::Gzip(gzip) => gzip.read(self.chunk.get_mut(..CHUNK_BYTES_MAX).unwrap_or_default())?,
            Stream::Zstd(zstd) => zstd.read(self.chunk.get_mut(..CHUNK_BYTES_MAX).unwrap_or_default())?,
            Stream::Lz4(blocks) => blocks.next_block(&mut self.chunk)?,
            Stream::Snappy(blocks) => match blocks.next_block(&mut self.chunk, budget_bytes)? {
                Some(bytes) => bytes,
                None => budget_bytes.saturating_add(1),
            },
        };
        if bytes > budget_bytes {
            return Err(BatchError::Bomb { limit: self.bytes_max });
        }
        self.bytes_total += bytes;
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

impl Drop for Unpacked<'_> {
    fn drop(&mut self) {
        if self.chunk.capacity() <= SPARE_BYTES_MAX {
            SPARE_CHUNK.set(std::mem::take(&mut self.chunk));
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

/// Zstandard frames, one after the other.
struct Zstd<'a> {
    /// There until it is dropped.
    context: Option<DCtx<'static>>,
    rest: &'a [u8],
    /// Between frames: the bytes may end here.
    is_whole: bool,
}

impl<'a> Zstd<'a> {
    fn new(packed: &'a [u8]) -> Result<Self, BatchError> {
        let mut context = match SPARE_CONTEXT.take() {
            Some(context) => context,
            None => DCtx::try_create().ok_or_else(|| BatchError::undecodable("no memory"))?,
        };
        context.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).map_err(refused)?;
        Ok(Self { context: Some(context), rest: packed, is_whole: true })
    }

    fn read(&mut self, chunk: &mut [u8]) -> Result<usize, BatchError> {
        let Some(context) = &mut self.context else { unreachable!("read after drop") };
        while !(self.is_whole && self.rest.is_empty()) {
            let (mut input, mut output) = (InBuffer::around(self.rest), OutBuffer::around(chunk));
            let wanted_bytes = context.decompress_stream(&mut output, &mut input).map_err(refused)?;
            let (taken, unpacked) = (input.pos(), output.pos());
            self.rest = self.rest.get(taken..).unwrap_or_default();
            self.is_whole = wanted_bytes == 0;
            if unpacked > 0 {
                return Ok(unpacked);
            }
            if taken == 0 {
                return Err(BatchError::undecodable("the last zstd frame is cut"));
            }
        }
        Ok(0)
    }
}

fn refused(code: zstd_safe::ErrorCode) -> BatchError {
    BatchError::undecodable(zstd_safe::get_error_name(code))
}

impl Drop for Zstd<'_> {
    fn drop(&mut self) {
        let Some(mut context) = self.context.take() else { return };
        if context.sizeof() <= SPARE_BYTES_MAX && context.reset(ResetDirective::SessionAndParameters).is_ok()
        {
            SPARE_CONTEXT.set(Some(context));
        }
    }
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;

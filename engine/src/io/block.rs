//! Aligned memory that one owner fills and any core may read.
//!
//! ```text
//! 0 ............ filled ............. capacity
//!  shared, never   the owner writes here,
//!  written again   nobody else looks
//! ```
#![expect(unsafe_code, reason = "one writer and many readers of disjoint parts of one allocation")]

use super::BLOCK_BYTES;
use bytes::Bytes;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The multiple of the block size at or below `position`.
pub const fn aligned_down(position: u64) -> u64 {
    position - position % BLOCK_BYTES as u64
}

/// The multiple of the block size at or above `position`.
pub const fn aligned_up(position: u64) -> u64 {
    position.next_multiple_of(BLOCK_BYTES as u64)
}

/// Chunks of this size are used again by the core that made them: memory touched for the first time costs a fault for
/// each page, which in a virtual machine was seen to take six milliseconds for a megabyte.
pub const SPARE_CHUNK_BYTES: usize = 1 << 20;
/// So are those that hold one page of a segment file. An allocator that gives memory back to the system faults it in
/// anew for every page of a long scan, two megabytes at a time where those are huge: measured, a fifth of a core at 64 MB/s.
pub const SPARE_PAGE_BYTES: usize = 256 << 10;

/// Chunks of one size that nobody holds any more, of one core. They come back from whatever core let go of them last.
struct Spare {
    chunks: Mutex<Vec<Memory>>,
    bytes_max: usize,
}

impl Spare {
    fn chunks(&self) -> MutexGuard<'_, Vec<Memory>> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<NonNull<u8>> {
        // What lies here belongs to no core: dropped as it is, it would be freed.
        let memory = ManuallyDrop::new(self.chunks().pop()?);
        Some(memory.start)
    }

    fn give_back(&self, start: NonNull<u8>, layout: Layout) -> bool {
        let mut chunks = self.chunks();
        let has_room = (chunks.len() + 1) * layout.size() <= self.bytes_max;
        if has_room {
            chunks.push(Memory { start, layout, spare: None });
        }
        has_room
    }
}

thread_local! {
    static SPARE: RefCell<Vec<(usize, Arc<Spare>)>> = const { RefCell::new(Vec::new()) };
}

/// Lets this core keep up to `bytes_max` of chunks that were let go, and as much of pages.
pub fn keep_spare_chunks(bytes_max: usize) {
    let of_size = |bytes| (bytes, Arc::new(Spare { chunks: Mutex::default(), bytes_max }));
    SPARE.with(|own| own.replace(vec![of_size(SPARE_CHUNK_BYTES), of_size(SPARE_PAGE_BYTES)]));
}

fn spare_of(capacity: usize) -> Option<Arc<Spare>> {
    let of_size = |own: &(usize, Arc<Spare>)| (own.0 == capacity).then(|| Arc::clone(&own.1));
    SPARE.with(|own| own.borrow().iter().find_map(of_size))
}

struct Memory {
    start: NonNull<u8>,
    layout: Layout,
    /// Where it goes when nobody holds it any more.
    spare: Option<Arc<Spare>>,
}

// SAFETY: `Memory` owns its allocation. Bytes below a chunk's `filled` are never written again and may be read from
// any thread; bytes above it are touched by the one `Chunk` alone, through `&mut self`.
unsafe impl Send for Memory {}
// SAFETY: as above: shared references only ever read what is below `filled`.
unsafe impl Sync for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.spare.take().is_some_and(|spare| spare.give_back(self.start, self.layout)) {
            return;
        }
        // SAFETY: `start` came from `alloc` with this very layout and is freed once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// A stretch of a log's tail: grows by appending, handed out in shared slices. Owned by the partition's shard.
pub struct Chunk {
    memory: Arc<Memory>,
    filled: usize,
}

struct View {
    memory: Arc<Memory>,
    range: Range<usize>,
}

impl AsRef<[u8]> for View {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `Chunk::share` made the range below `filled`; those bytes are initialised and never written again,
        // and `memory` keeps them alive.
        unsafe {
            std::slice::from_raw_parts(self.memory.start.as_ptr().add(self.range.start), self.range.len())
        }
    }
}

impl Chunk {
    /// Memory for `capacity` bytes, aligned to a block.
    ///
    /// # Panics
    /// When `capacity` is not a positive multiple of the block size.
    pub fn with_capacity(capacity: usize) -> Self {
        assert!(capacity > 0 && capacity.is_multiple_of(BLOCK_BYTES), "chunk of {capacity} B");
        let Ok(layout) = Layout::from_size_align(capacity, BLOCK_BYTES) else {
            unreachable!("{capacity} B aligned to a block is a layout")
        };
        let spare = spare_of(capacity);
        let start = spare.as_ref().and_then(|spare| spare.take()).unwrap_or_else(|| {
            // SAFETY: the layout's size is not zero.
            let start = unsafe { alloc(layout) };
            NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout))
        });
        Self { memory: Arc::new(Memory { start, layout, spare }), filled: 0 }
    }

    /// Bytes it can hold.
    pub fn capacity(&self) -> usize {
        self.memory.layout.size()
    }

    /// Bytes it holds.
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// Copies as much of `bytes` as fits behind what is there; returns how much that was.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.capacity() - self.filled);
        // SAFETY: `filled + count <= capacity`; nobody else reads or writes at or above `filled`; `bytes` cannot
        // overlap it, since what this chunk hands out ends at `filled`.
        unsafe {
            let target = self.memory.start.as_ptr().add(self.filled);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, count);
        }
        self.filled += count;
        count
    }

    /// The bytes of a range that is filled.
    ///
    /// # Panics
    /// When the range passes what is filled.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        assert!(range.start <= range.end && range.end <= self.filled, "{range:?} of {} filled", self.filled);
        // SAFETY: the range is below `filled`: initialised and never written again.
        unsafe { std::slice::from_raw_parts(self.memory.start.as_ptr().add(range.start), range.len()) }
    }

    /// A shared slice of a range that is filled: no copy; any core may keep and send it.
    ///
    /// # Panics
    /// When the range passes what is filled.
    pub fn share(&self, range: Range<usize>) -> Bytes {
        assert!(range.start <= range.end && range.end <= self.filled, "{range:?} of {} filled", self.filled);
        Bytes::from_owner(View { memory: Arc::clone(&self.memory), range })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_slice_outlives_its_chunk_and_never_changes() {
        let mut chunk = Chunk::with_capacity(BLOCK_BYTES);
        assert_eq!(chunk.fill(b"first"), 5);
        let slice = chunk.share(0..5);
        assert_eq!(chunk.fill(&[7; BLOCK_BYTES]), BLOCK_BYTES - 5);
        drop(chunk);
        assert_eq!(&slice[..], b"first");
    }

    #[test]
    fn a_spare_chunk_is_used_again_once_nobody_reads_it() {
        std::thread::spawn(|| {
            keep_spare_chunks(SPARE_CHUNK_BYTES);
            let mut chunk = Chunk::with_capacity(SPARE_CHUNK_BYTES);
            chunk.fill(b"read elsewhere");
            let slice = chunk.share(0..14);
            let first = slice.as_ptr();
            drop(chunk);
            let mut other = Chunk::with_capacity(SPARE_CHUNK_BYTES);
            other.fill(b"another");
            assert_ne!(other.bytes(0..1).as_ptr(), first, "it is still read");
            std::thread::spawn(move || assert_eq!(&slice[..], b"read elsewhere")).join().unwrap();
            let mut again = Chunk::with_capacity(SPARE_CHUNK_BYTES);
            assert_eq!((again.filled(), again.fill(b"new")), (0, 3));
            assert_eq!(again.bytes(0..3).as_ptr(), first);
            drop((other, again));
        })
        .join()
        .unwrap();
    }

    #[test]
    #[should_panic(expected = "filled")]
    fn what_is_not_filled_is_never_shared() {
        let chunk = Chunk::with_capacity(BLOCK_BYTES);
        let _ = chunk.share(0..1);
    }
}

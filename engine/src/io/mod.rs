//! How do bytes reach the device?
//!
//! `Disk` is everything the engine asks of a log directory; `dma` carries it out with direct I/O, `sim` in memory with
//! power cuts. All `unsafe` of the project is in this room.

mod block;
mod cache;
mod dma;
mod heap;
mod probe;
mod rouse;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod slice;

pub use block::{Chunk, SPARE_CHUNK_BYTES, SPARE_PAGE_BYTES, aligned_down, aligned_up, keep_spare_chunks};
pub(crate) use cache::{Checked, Page, PageCache, PageKey};
pub use dma::DmaDisk;
pub use heap::{give_back_all_freed, give_back_freed, keep_freed_for, small_pages_only};
pub use probe::probe_io_uring;
pub use rouse::Rouser;
pub use slice::take_turns_after;

use bytes::Bytes;
use std::future::Future;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Unit of every write: device blocks are never smaller than 512 B, and 4096 B is what file systems use.
pub const BLOCK_BYTES: usize = 4096;

/// The largest single read or write handed to the device; larger ones are cut.
pub const IO_BYTES_MAX: usize = 1 << 20;

/// The disk has no room, or the process none of its quota: nothing is broken.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The process has no descriptors or no memory for a request, or a lock was not given up: nothing is said of the disk.
pub(crate) fn is_own_limit(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock)
        || has_no_descriptor(error)
        || system_error(error) == Some(libc::ENOMEM)
}

/// Nothing was opened, so nothing was tried on the disk.
pub(crate) fn has_no_descriptor(error: &io::Error) -> bool {
    matches!(system_error(error), Some(libc::EMFILE | libc::ENFILE))
}

/// The system's number of an error, also where it says of which file.
fn system_error(error: &io::Error) -> Option<i32> {
    let inner = || error.get_ref()?.source()?.downcast_ref::<io::Error>()?.raw_os_error();
    error.raw_os_error().or_else(inner)
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Must exist; only read.
    Read,
    /// Must exist; read and written.
    Write,
    /// Made when it is not there; read and written.
    Create,
}

/// Names in a directory, in order, with `true` for directories.
pub type Names = Vec<(String, bool)>;

/// Files that are made one after the other, empty, where they are not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFiles {
    /// What they are made in.
    pub directory: PathBuf,
    /// It is made first.
    pub with_directory: bool,
    /// Their names in it.
    pub files: Vec<String>,
}

/// One log directory: files by paths relative to it, and the clock and tasks its loops need.
pub trait Disk: Clone + 'static {
    /// An open file.
    type File: DiskFile;

    /// Opens a file for direct I/O. In `Write` and `Create` modes it also takes the file's lock, waiting for a dying
    /// process to let go of it (its writes may still be in flight).
    fn open(&self, path: &Path, mode: OpenMode) -> impl Future<Output = io::Result<Self::File>>;
    /// Names in a directory, with `true` for directories.
    fn list(&self, path: &Path) -> impl Future<Output = io::Result<Names>>;
    /// `list` for many directories at once, in their order: a start looks into thousands.
    fn list_all(&self, paths: Vec<PathBuf>) -> impl Future<Output = Vec<io::Result<Names>>>;
    /// The first block of many files at once, in their order; less of shorter ones.
    fn read_fronts(&self, paths: Vec<PathBuf>) -> impl Future<Output = Vec<io::Result<Vec<u8>>>>;
    /// Makes a directory; it may exist already.
    fn create_directory(&self, path: &Path) -> impl Future<Output = io::Result<()>>;
    /// Makes files in many directories at once, outcomes in their order.
    fn create_files(&self, wanted: Vec<NewFiles>) -> impl Future<Output = Vec<io::Result<()>>>;
    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &Path) -> impl Future<Output = io::Result<()>>;
    /// `sync_directory` for many at once, outcomes in their order: a file system may write the names of all in one go. `failed`
    /// hears of each error when it is seen, on whatever thread, also while others are still under way.
    fn sync_directories(
        &self,
        paths: Vec<PathBuf>,
        failed: impl Fn(&io::Error) + Send + Sync + 'static,
    ) -> impl Future<Output = Vec<io::Result<()>>>;
    /// Renames a file or directory.
    fn rename(&self, source: &Path, target: &Path) -> impl Future<Output = io::Result<()>>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> impl Future<Output = io::Result<()>>;
    /// Removes a directory with all that is in it.
    fn remove_directory(&self, path: &Path) -> impl Future<Output = io::Result<()>>;
    /// Reads a small file whole; `bytes_max` bounds it.
    fn read_small(&self, path: &Path, bytes_max: usize) -> impl Future<Output = io::Result<Vec<u8>>>;
    /// Replaces a small file atomically: temporary file, sync, rename, and with `durable` the directory's sync. A durable
    /// one of about the same length needs no free block from its second time on, where the file system can exchange names.
    fn replace_small(
        &self,
        path: &Path,
        bytes: Vec<u8>,
        durable: bool,
    ) -> impl Future<Output = io::Result<()>>;
    /// Bytes that this process may still take on the directory's file system.
    fn free_bytes(&self) -> impl Future<Output = io::Result<u64>>;
    /// Sleeps on the executor's clock.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;
    /// The executor's clock.
    fn now(&self) -> Instant;
    /// Milliseconds since 1970.
    fn wall_ms(&self) -> u64;
    /// Lets other tasks run when this one has used its time.
    fn yield_now(&self) -> impl Future<Output = ()>;
    /// Does work that takes long on a thread beside the executor, which goes on meanwhile.
    fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T>;
    /// Starts a task beside this one, in the foreground or in the background's smaller share of the core.
    fn spawn(&self, background: bool, task: impl Future<Output = ()> + 'static);
}

/// An open file. Every position and length is a multiple of `BLOCK_BYTES`.
pub trait DiskFile: 'static {
    /// Memory a write may come from.
    type Buffer: AsRef<[u8]> + AsMut<[u8]> + 'static;
    /// What a read found, in memory of the device's: soon to be copied out of it.
    type Found: Deref<Target = [u8]>;

    /// Memory for a write; its content is undefined.
    fn buffer(&self, bytes: usize) -> Self::Buffer;
    /// Writes all of `blocks` at `at`. Starts when first polled.
    fn write(&self, at: u64, blocks: Self::Buffer) -> impl Future<Output = io::Result<()>>;
    /// Reads up to `bytes` at `at`, both whole blocks; short only at the end of the file.
    fn read_blocks(&self, at: u64, bytes: usize) -> impl Future<Output = io::Result<Self::Found>>;
    /// Reads up to `bytes` at `at` into memory that any core may keep; short only at the end of the file.
    fn read(&self, at: u64, bytes: usize) -> impl Future<Output = io::Result<Bytes>> {
        async move {
            if bytes == 0 {
                return Ok(Bytes::new());
            }
            let mut memory = Chunk::with_capacity(bytes);
            memory.fill(&self.read_blocks(at, bytes).await?);
            Ok(memory.share(0..memory.filled()))
        }
    }
    /// fdatasync: covers the writes that completed before it began.
    fn sync(&self) -> impl Future<Output = io::Result<()>>;
    /// Reserves blocks up to `end`; the file is that long afterwards.
    fn reserve(&self, end: u64) -> impl Future<Output = io::Result<()>>;
    /// Cuts the file to exactly `bytes`.
    fn cut(&self, bytes: u64) -> impl Future<Output = io::Result<()>>;
    /// Closes the file, and with it gives up its lock; dropped files are closed some time later.
    fn close(self) -> impl Future<Output = io::Result<()>>;
    /// The file's length.
    fn bytes(&self) -> impl Future<Output = io::Result<u64>>;
}

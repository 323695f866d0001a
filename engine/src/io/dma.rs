//! `Disk` on glommio: direct I/O for data, the blocking pool for names.

use super::{BLOCK_BYTES, Disk, DiskFile, Names, NewFiles, OpenMode};
use glommio::io::{DmaFile, OpenOptions, ReadResult};
use glommio::{GlommioError, Latency, Shares, TaskQueueHandle};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use std::future::Future;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a file's lock may be held by a process that is being ended. Measured: 40-60 ms after kill -9.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);

/// Threads for the same work in many places: what is not in memory yet waits for the device, several at a time.
const HANDS_MAX: usize = 16;
/// With fewer directories than this for each, a thread that looks into them costs more than it brings.
const LISTED_MIN: usize = 32;
/// The same where each waits for a sync.
const SYNCED_MIN: usize = 4;

/// A log directory on this machine, seen from one executor.
#[derive(Clone)]
pub struct DmaDisk {
    root: Rc<PathBuf>,
    background: Option<TaskQueueHandle>,
}

/// An open file of it.
pub struct DmaDiskFile {
    file: DmaFile,
}

/// Memory of the executor's own, registered with the ring where that was possible.
pub struct DmaBlocks(glommio::io::DmaBuffer);

impl AsRef<[u8]> for DmaBlocks {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl AsMut<[u8]> for DmaBlocks {
    fn as_mut(&mut self) -> &mut [u8] {
        self.0.as_bytes_mut()
    }
}

impl DmaDisk {
    /// The directory at `root`. To be made inside the executor that uses it: its background tasks get a queue of a
    /// tenth of the core's shares.
    pub fn new(root: PathBuf) -> Self {
        let queue =
            glommio::executor().create_task_queue(Shares::Static(100), Latency::NotImportant, "write-back");
        Self { root: Rc::new(root), background: Some(queue) }
    }

    /// The same work on many paths, on a few threads beside the executor, `each_min` for each; what came of them, in order.
    async fn of_all<T: Send + 'static>(
        &self,
        paths: Vec<PathBuf>,
        each_min: usize,
        work: impl Fn(&Path) -> io::Result<T> + Send + Sync + 'static,
    ) -> Vec<io::Result<T>> {
        if paths.is_empty() {
            return Vec::new();
        }
        let root = PathBuf::clone(&self.root);
        let all = move || {
            let size = paths.len().div_ceil(HANDS_MAX).max(each_min);
            let mut outcomes: Vec<Option<io::Result<T>>> = Vec::new();
            outcomes.resize_with(paths.len(), || None);
            let pieces = Mutex::new(paths.chunks(size).zip(outcomes.chunks_mut(size)));
            let next = || pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
            let do_pieces = || {
                while let Some((paths, outcomes)) = next() {
                    for (path, outcome) in paths.iter().zip(outcomes) {
                        *outcome = Some(work(&root.join(path)));
                    }
                }
            };
            std::thread::scope(|scope| {
                for _ in 1..paths.len().div_ceil(size) {
                    // Where the system gives no thread there are fewer; this one does what is left.
                    let _ = std::thread::Builder::new().spawn_scoped(scope, do_pieces);
                }
                do_pieces();
            });
            outcomes.into_iter().flatten().collect()
        };
        glommio::executor().spawn_blocking(all).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        path: &Path,
        work: impl FnOnce(PathBuf) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let path = self.root.join(path);
        glommio::executor().spawn_blocking(move || work(path)).await
    }
}

fn list(path: &Path) -> io::Result<Names> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let is_directory = entry.file_type()?.is_dir();
        names.extend(entry.file_name().into_string().ok().map(|name| (name, is_directory)));
    }
    names.sort();
    Ok(names)
}

fn read_front(path: &Path) -> io::Result<Vec<u8>> {
    let mut front = Vec::with_capacity(BLOCK_BYTES);
    std::fs::File::open(path)?.take(BLOCK_BYTES as u64).read_to_end(&mut front)?;
    Ok(front)
}

fn create_files(root: &Path, wanted: &NewFiles) -> io::Result<()> {
    let directory = root.join(&wanted.directory);
    if wanted.with_directory {
        std::fs::create_dir_all(&directory)?;
    }
    for file in &wanted.files {
        std::fs::File::options().create(true).truncate(false).write(true).open(directory.join(file))?;
    }
    Ok(())
}

fn sync_directory(path: &Path) -> io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}

async fn lock(file: &DmaFile) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK) if start.elapsed() < LOCK_WAIT_MAX => {
                glommio::timer::sleep(Duration::from_millis(5)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The new content is written over the file before the last one, whose blocks are there, and both names are exchanged:
/// that works on a disk without a free block, which must not forbid a start.
fn replace_durably(path: &Path, temporary: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = std::fs::File::options().create(true).truncate(false).write(true).open(temporary)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()?;
    let exchanged = renameat_with(CWD, temporary, CWD, path, RenameFlags::EXCHANGE);
    match exchanged {
        Ok(()) => {}
        // The first time there is nothing to exchange with; some file systems cannot do it at all.
        Err(Errno::NOENT | Errno::INVAL | Errno::NOSYS) => std::fs::rename(temporary, path)?,
        Err(error) => return Err(error.into()),
    }
    path.parent().map_or(Ok(()), sync_directory)
}

/// What the system said of a file, and of which; glommio's own conversion leaves out the system's number.
#[derive(Debug, thiserror::Error)]
#[error("{source}: {op} {}", path.as_deref().unwrap_or(Path::new("a file")).display())]
struct FileError {
    source: io::Error,
    op: &'static str,
    path: Option<PathBuf>,
}

fn io_error<T>(error: glommio::GlommioError<T>) -> io::Error {
    match error {
        GlommioError::EnhancedIoError { source, op, path, .. } => {
            io::Error::new(source.kind(), FileError { source, op, path })
        }
        error => error.into(),
    }
}

impl Disk for DmaDisk {
    type File = DmaDiskFile;

    async fn open(&self, path: &Path, mode: OpenMode) -> io::Result<DmaDiskFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read).create(mode == OpenMode::Create);
        let file = options.dma_open(self.root.join(path)).await.map_err(io_error)?;
        if mode != OpenMode::Read {
            lock(&file).await?;
        }
        Ok(DmaDiskFile { file })
    }

    async fn list(&self, path: &Path) -> io::Result<Names> {
        self.blocking(path, |path| list(&path)).await
    }

    async fn list_all(&self, paths: Vec<PathBuf>) -> Vec<io::Result<Names>> {
        self.of_all(paths, LISTED_MIN, list).await
    }

    async fn read_fronts(&self, paths: Vec<PathBuf>) -> Vec<io::Result<Vec<u8>>> {
        self.of_all(paths, LISTED_MIN, read_front).await
    }

    async fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.blocking(path, std::fs::create_dir_all).await
    }

    async fn create_files(&self, wanted: Vec<NewFiles>) -> Vec<io::Result<()>> {
        // On one thread: they would wait for each other, and on few cores the executor for all of them.
        let root = PathBuf::clone(&self.root);
        let all = move || wanted.iter().map(|wanted| create_files(&root, wanted)).collect();
        glommio::executor().spawn_blocking(all).await
    }

    async fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.blocking(path, |path| sync_directory(&path)).await
    }

    async fn sync_directories(
        &self,
        paths: Vec<PathBuf>,
        failed: impl Fn(&io::Error) + Send + Sync + 'static,
    ) -> Vec<io::Result<()>> {
        let sync = move |path: &Path| sync_directory(path).inspect_err(&failed);
        self.of_all(paths, SYNCED_MIN, sync).await
    }

    async fn rename(&self, source: &Path, target: &Path) -> io::Result<()> {
        let target = self.root.join(target);
        self.blocking(source, move |source| std::fs::rename(source, target)).await
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        self.blocking(path, std::fs::remove_file).await
    }

    async fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.blocking(path, std::fs::remove_dir_all).await
    }

    async fn read_small(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        self.blocking(path, move |path| {
            let mut bytes = Vec::new();
            std::fs::File::open(&path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
            if bytes.len() > bytes_max {
                let message = format!("{} is longer than {bytes_max} B", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            Ok(bytes)
        })
        .await
    }

    async fn replace_small(&self, path: &Path, bytes: Vec<u8>, durable: bool) -> io::Result<()> {
        self.blocking(path, move |path| {
            let mut temporary = path.clone().into_os_string();
            temporary.push(".new");
            let temporary = PathBuf::from(temporary);
            if durable {
                return replace_durably(&path, &temporary, &bytes);
            }
            let mut file = std::fs::File::create(&temporary)?;
            file.write_all(&bytes)?;
            std::fs::rename(&temporary, &path)
        })
        .await
    }

    async fn free_bytes(&self) -> io::Result<u64> {
        let room =
            |path: PathBuf| Ok(rustix::fs::statvfs(path).map(|found| found.f_bavail * found.f_frsize)?);
        self.blocking(Path::new(""), room).await
    }

    async fn sleep(&self, duration: Duration) {
        glommio::timer::sleep(duration).await;
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall_ms(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| since.as_millis() as u64)
    }

    async fn yield_now(&self) {
        glommio::yield_if_needed().await;
    }

    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        glommio::executor().spawn_blocking(work).await
    }

    fn spawn(&self, background: bool, task: impl Future<Output = ()> + 'static) {
        match self.background.filter(|_| background) {
            Some(queue) => match glommio::spawn_local_into(task, queue) {
                Ok(task) => drop(task.detach()),
                Err(error) => unreachable!("the queue lives as long as its executor: {error}"),
            },
            None => drop(glommio::spawn_local(task).detach()),
        }
    }
}

impl DiskFile for DmaDiskFile {
    type Buffer = DmaBlocks;
    type Found = ReadResult;

    fn buffer(&self, bytes: usize) -> DmaBlocks {
        DmaBlocks(self.file.alloc_dma_buffer(bytes))
    }

    async fn write(&self, at: u64, blocks: DmaBlocks) -> io::Result<()> {
        let wanted = blocks.0.len();
        debug_assert!(wanted.is_multiple_of(BLOCK_BYTES) && at.is_multiple_of(BLOCK_BYTES as u64));
        let written = self.file.write_at(blocks.0, at).await.map_err(io_error)?;
        // A short direct write means that the device took no more: the rest would fail as well.
        if written != wanted {
            let message = format!("wrote {written} of {wanted} B at {at}");
            return Err(io::Error::new(io::ErrorKind::WriteZero, message));
        }
        Ok(())
    }

    async fn read_blocks(&self, at: u64, bytes: usize) -> io::Result<ReadResult> {
        debug_assert!(bytes.is_multiple_of(BLOCK_BYTES) && at.is_multiple_of(BLOCK_BYTES as u64));
        self.file.read_at_aligned(at, bytes).await.map_err(io_error)
    }

    async fn sync(&self) -> io::Result<()> {
        self.file.fdatasync().await.map_err(io_error)
    }

    async fn reserve(&self, end: u64) -> io::Result<()> {
        self.file.pre_allocate(end, false).await.map_err(io_error)
    }

    async fn cut(&self, bytes: u64) -> io::Result<()> {
        self.file.truncate(bytes).await.map_err(io_error)
    }

    async fn close(self) -> io::Result<()> {
        self.file.close().await.map_err(io_error)
    }

    async fn bytes(&self) -> io::Result<u64> {
        self.file.file_size().await.map_err(io_error)
    }
}

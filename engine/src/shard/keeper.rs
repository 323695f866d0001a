//! What the shards share of one log directory: the list of journal files, the free ones, and whether it stopped.
//!
//! Cold: touched when a journal file is begun or freed, never by an append.

use crate::io::{BLOCK_BYTES, Disk, DiskFile, IO_BYTES_MAX, OpenMode, is_full};
use crate::journal::{JournalFile, Manifest, StartId};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) const JOURNAL_DIRECTORY: &str = "thalweg-journal";

/// The path of a journal file below the log directory.
pub(crate) fn journal_path(file: JournalFile) -> PathBuf {
    Path::new(JOURNAL_DIRECTORY).join(file.name())
}

/// The path of the manifest.
pub(crate) fn manifest_path() -> PathBuf {
    Path::new(JOURNAL_DIRECTORY).join("manifest")
}

struct Files {
    manifest: Manifest,
    free: Vec<JournalFile>,
    /// Files of earlier starts that some shard's logs may still need.
    old: Vec<JournalFile>,
    /// Files of the rescue: kept while this start lasts.
    rescue_count: usize,
    /// Files that are being made.
    making: usize,
    /// The disk had no room for one more file when one was last tried.
    is_full: bool,
}

/// See the file's header. Shared by all shards.
pub(crate) struct Keeper {
    pub(crate) start: StartId,
    files: Mutex<Files>,
    stopped: AtomicBool,
    reason: Mutex<String>,
    /// Shards whose logs may still need files of earlier starts.
    old_users: AtomicUsize,
    file_bytes: u64,
    files_max: usize,
    /// Serialises manifest writes of different shards: a turn is taken, then served.
    turn_next: AtomicU64,
    turn_served: AtomicU64,
}

impl Files {
    /// Files of this start, free ones included.
    fn live(&self) -> usize {
        self.manifest.files.len() - self.old.len() - self.rescue_count + self.making
    }
}

impl Keeper {
    pub(crate) fn new(
        start: StartId,
        manifest: Manifest,
        old: Vec<JournalFile>,
        rescue: &[JournalFile],
        shard_count: usize,
        file_bytes: u64,
        files_max: usize,
    ) -> Arc<Self> {
        let free = manifest
            .files
            .iter()
            .copied()
            .filter(|file| !old.contains(file) && !rescue.contains(file))
            .collect();
        Arc::new(Self {
            start,
            files: Mutex::new(Files {
                manifest,
                free,
                old,
                rescue_count: rescue.len(),
                making: 0,
                is_full: false,
            }),
            stopped: AtomicBool::new(false),
            reason: Mutex::new(String::new()),
            old_users: AtomicUsize::new(shard_count),
            file_bytes,
            files_max: files_max * shard_count,
            turn_next: AtomicU64::new(0),
            turn_served: AtomicU64::new(0),
        })
    }

    /// Of a directory that this start cannot use: it has stopped before it began.
    pub(crate) fn absent(reason: &str, shard_count: usize) -> Arc<Self> {
        let start = StartId { counter: 0, random: [0; 16] };
        let keeper = Self::new(start, Manifest::default(), Vec::new(), &[], shard_count, 0, 0);
        keeper.stopped.store(true, Ordering::SeqCst);
        reason.clone_into(&mut keeper.reason.lock().unwrap_or_else(PoisonError::into_inner));
        keeper
    }

    fn files(&self) -> std::sync::MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A write or sync failed: nothing on this directory is acknowledged from now on, on any shard.
    pub(crate) fn stop(&self, reason: &str) {
        let mut first = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.stopped.swap(true, Ordering::SeqCst) {
            tracing::error!(reason, "log directory stopped: restart the broker once the disk is well");
            reason.clone_into(&mut first);
        }
    }

    /// This start never used the directory: what is in it nobody knows.
    pub(crate) fn is_absent(&self) -> bool {
        self.start.counter == 0 // starts count from 1
    }

    /// Why the directory stopped, if it did.
    pub(crate) fn stopped(&self) -> Option<String> {
        self.stopped
            .load(Ordering::SeqCst)
            .then(|| self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Journal files that could be begun now: free ones and, unless the disk is full, those that may still be made.
    pub(crate) fn available(&self) -> usize {
        let files = self.files();
        let makeable = if files.is_full { 0 } else { self.files_max.saturating_sub(files.live()) };
        files.free.len() + makeable
    }

    /// A file to begin, at least so long: a free one while more than `free_kept` are, else a new one, written with zeros,
    /// synced and listed. `None` when the disk is full: nothing changed, and a file that becomes free will do.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) async fn take<D: Disk>(
        &self,
        disk: &D,
        bytes_min: u64,
        free_kept: usize,
    ) -> io::Result<Option<JournalFile>> {
        if let Some(file) = self.take_free(bytes_min, free_kept) {
            return Ok(Some(file));
        }
        self.make(disk, bytes_min).await
    }

    fn take_free(&self, bytes_min: u64, free_kept: usize) -> Option<JournalFile> {
        let mut files = self.files();
        if files.free.len() <= free_kept {
            return None;
        }
        let at = files.free.iter().rposition(|file| file.bytes >= bytes_min)?;
        Some(files.free.remove(at))
    }

    /// Makes free files until there are more than `free_kept`, or as many as there may be: done ahead, in the
    /// background. `false` when the disk is full.
    pub(crate) async fn make_ahead<D: Disk>(
        &self,
        disk: &D,
        bytes_min: u64,
        free_kept: usize,
    ) -> io::Result<bool> {
        loop {
            let wanted = {
                let files = self.files();
                let free = files.free.iter().filter(|file| file.bytes >= bytes_min).count();
                free <= free_kept && files.making == 0 && files.live() < self.files_max
            };
            if !wanted {
                return Ok(true);
            }
            let made = self.make(disk, bytes_min).await?;
            self.files().free.extend(made);
            if made.is_none() {
                return Ok(false);
            }
        }
    }

    async fn make<D: Disk>(&self, disk: &D, bytes_min: u64) -> io::Result<Option<JournalFile>> {
        self.files().making += 1;
        let made = self.make_listed(disk, bytes_min).await;
        let is_full = made.as_ref().is_err_and(is_full);
        let mut files = self.files();
        files.making -= 1;
        files.is_full = is_full;
        if is_full { Ok(None) } else { made.map(Some) }
    }

    async fn make_listed<D: Disk>(&self, disk: &D, bytes_min: u64) -> io::Result<JournalFile> {
        self.take_turn(disk).await;
        let result = self.make_alone(disk, bytes_min).await;
        self.turn_served.fetch_add(1, Ordering::SeqCst);
        result
    }

    async fn take_turn<D: Disk>(&self, disk: &D) {
        let turn = self.turn_next.fetch_add(1, Ordering::SeqCst);
        while self.turn_served.load(Ordering::SeqCst) != turn {
            disk.sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    /// A journal of this start holds its first table, synced: from now on the manifest says that such a journal must be
    /// there. The first shard to come writes it.
    ///
    /// # Errors
    /// Those of the disk; a full one only leaves it unsaid.
    pub(crate) async fn note_served<D: Disk>(&self, disk: &D) -> io::Result<()> {
        if self.files().manifest.served_counter == self.start.counter {
            return Ok(());
        }
        self.take_turn(disk).await;
        let mut manifest = self.files().manifest.clone();
        let outcome = if manifest.served_counter == self.start.counter {
            Ok(())
        } else {
            manifest.served_counter = self.start.counter;
            disk.replace_small(&manifest_path(), manifest.encode(), true).await
        };
        if outcome.is_ok() {
            self.files().manifest.served_counter = self.start.counter;
        }
        self.turn_served.fetch_add(1, Ordering::SeqCst);
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
            outcome => outcome,
        }
    }

    /// Free files that are too short for the table of today make room for the new one.
    async fn make_alone<D: Disk>(&self, disk: &D, bytes_min: u64) -> io::Result<JournalFile> {
        let (mut manifest, short) = {
            let mut files = self.files();
            let (short, free): (Vec<_>, Vec<_>) =
                files.free.drain(..).partition(|file| file.bytes < bytes_min);
            files.free = free;
            (files.manifest.clone(), short)
        };
        // The table grows on: one step further than it needs now.
        let bytes = if bytes_min > self.file_bytes { 2 * bytes_min } else { self.file_bytes };
        let bytes = bytes.next_multiple_of(BLOCK_BYTES as u64);
        let made = make_file(disk, manifest.number_next(), bytes).await;
        manifest.files.retain(|file| !short.contains(file));
        let listed = match made {
            Ok(file) => {
                manifest.files.push(file);
                disk.replace_small(&manifest_path(), manifest.encode(), true).await.map(|()| file)
            }
            Err(error) => Err(error),
        };
        if listed.is_err() {
            self.files().free.extend(short);
            return listed;
        }
        self.files().manifest = manifest;
        for file in short {
            disk.remove(&journal_path(file)).await?;
        }
        listed
    }

    /// A file that no log needs any more.
    pub(crate) fn free(&self, file: JournalFile) {
        self.files().free.push(file);
    }

    /// The disk may have room again: the next file that is wanted will show.
    pub(crate) fn look_for_room(&self) {
        self.files().is_full = false;
    }

    /// Whether any shard may still need files of earlier starts, so that the next recovery reads them.
    pub(crate) fn needs_old(&self) -> bool {
        self.old_users.load(Ordering::SeqCst) > 0
    }

    /// A shard needs no file of earlier starts any more; the last one to say so frees them.
    pub(crate) fn old_done(&self) {
        if self.old_users.fetch_sub(1, Ordering::SeqCst) == 1 {
            let mut files = self.files();
            let old = std::mem::take(&mut files.old);
            files.free.extend(old);
        }
    }
}

/// Makes a journal file; it counts once the manifest lists it.
pub(super) async fn make_file<D: Disk>(disk: &D, number: u32, bytes: u64) -> io::Result<JournalFile> {
    let file = JournalFile { number, bytes };
    let path = journal_path(file);
    let temporary = path.with_extension("new");
    if let Err(error) = fill_with_zeros(disk, &temporary, bytes).await {
        // What was taken for it must not keep a full disk full. Nothing depends on it: whether it goes is no matter.
        let _ = disk.remove(&temporary).await;
        return Err(error);
    }
    disk.rename(&temporary, &path).await?;
    disk.sync_directory(Path::new(JOURNAL_DIRECTORY)).await?;
    Ok(file)
}

/// Real writes, not a hole or an unwritten extent: what is overwritten later must need no change of metadata.
async fn fill_with_zeros<D: Disk>(disk: &D, path: &Path, bytes: u64) -> io::Result<()> {
    let file = disk.open(path, OpenMode::Create).await?;
    file.reserve(bytes).await?;
    let mut at = 0;
    while at < bytes {
        let count = (bytes - at).min(IO_BYTES_MAX as u64) as usize;
        debug_assert!(count.is_multiple_of(BLOCK_BYTES));
        let mut blocks = file.buffer(count);
        blocks.as_mut().fill(0);
        file.write(at, blocks).await?;
        at += count as u64;
        disk.yield_now().await;
    }
    file.sync().await
}

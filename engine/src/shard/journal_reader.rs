//! Reads a journal file: its first piece, which says whether the rest is needed, then that, several pieces at a time.

use super::keeper::journal_path;
use super::recovery::RecoveryError;
use crate::io::{Disk, DiskFile, IO_BYTES_MAX, OpenMode};
use crate::journal::{COMMIT_BYTES_MAX, FileHead, JournalFile};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use std::io;

/// Reads under way at once: enough to keep a fast device busy.
const READS_IN_FLIGHT: usize = 8;

/// A journal file of which the first piece was read.
///
/// The file's lock is not taken: a write of a killed process that is still in flight was answered to nobody, and who
/// uses the file again waits for the lock.
pub(super) struct BegunJournal<'a, D: Disk> {
    opened: D::File,
    file: JournalFile,
    directory: &'a str,
    first: Bytes,
}

impl<'a, D: Disk> BegunJournal<'a, D> {
    pub(super) async fn open(disk: &D, file: JournalFile, directory: &'a str) -> Result<Self, RecoveryError> {
        let missing = || missing(file, directory);
        let opened = match disk.open(&journal_path(file), OpenMode::Read).await {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
            Err(error) => return Err(failed("opening a journal file", directory)(error)),
        };
        if opened.bytes().await.map_err(failed("measuring a journal file", directory))? < file.bytes {
            return Err(missing());
        }
        let first_bytes = file.bytes.min(IO_BYTES_MAX as u64) as usize;
        let first = opened.read(0, first_bytes).await.map_err(failed("reading a journal file", directory))?;
        if first.len() != first_bytes {
            return Err(missing());
        }
        Ok(Self { opened, file, directory, first })
    }

    /// A file that was used begins with a table: a bad block in front of it makes it no unused one.
    pub(super) fn head(&self) -> FileHead {
        FileHead::read(&self.first)
    }

    /// The file's bytes, without most of the zeros that nothing follows. It is synced after the last read: what was read may have been
    /// in a volatile cache only.
    pub(super) async fn read(&self) -> Result<Vec<u8>, RecoveryError> {
        let (file, directory) = (self.file, self.directory);
        let pieces = (0..file.bytes).step_by(IO_BYTES_MAX).skip(1).map(|at| {
            let count = (file.bytes - at).min(IO_BYTES_MAX as u64) as usize;
            let opened = &self.opened;
            async move { opened.read(at, count).await.map(|piece| (piece, count)) }
        });
        let mut pieces = stream::iter(pieces).buffered(READS_IN_FLIGHT);
        let mut bytes = Vec::with_capacity(file.bytes as usize);
        bytes.extend_from_slice(&self.first);
        // Memory that is touched for the first time costs more than the read.
        let mut zeros = 0;
        while let Some(read) = pieces.next().await {
            let (piece, count) = read.map_err(failed("reading a journal file", directory))?;
            if piece.len() != count {
                return Err(missing(file, directory));
            }
            if piece.iter().all(|byte| *byte == 0) {
                zeros += piece.len();
                continue;
            }
            bytes.resize(bytes.len() + std::mem::take(&mut zeros), 0);
            bytes.extend_from_slice(&piece);
        }
        bytes.resize(bytes.len() + zeros.min(COMMIT_BYTES_MAX), 0); // what was torn off the last commit
        self.opened.sync().await.map_err(failed("syncing a journal file", directory))?;
        Ok(bytes)
    }
}

fn missing(file: JournalFile, directory: &str) -> RecoveryError {
    RecoveryError::JournalMissing { directory: directory.to_owned(), name: file.name() }
}

fn failed(what: &'static str, directory: &str) -> impl FnOnce(io::Error) -> RecoveryError {
    let directory = directory.to_owned();
    move |source| RecoveryError::Io { what, directory, source }
}

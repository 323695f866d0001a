//! Reads a journal file whole, several pieces at a time.

use super::keeper::journal_path;
use super::recovery::RecoveryError;
use crate::io::{Disk, DiskFile, IO_BYTES_MAX, OpenMode};
use crate::journal::JournalFile;
use futures_util::stream::{self, StreamExt};
use std::io;

/// Reads under way at once: enough to keep a fast device busy.
const READS_IN_FLIGHT: usize = 8;

/// The bytes of a journal file; none for one that was never used.
///
/// The file's lock is not taken: a write of a killed process that is still in flight was answered to nobody, and who
/// uses the file again waits for the lock. It is synced after the last read: what was read may have been in a
/// volatile cache only.
pub(super) async fn read_journal<D: Disk>(
    disk: &D,
    file: JournalFile,
    directory: &str,
) -> Result<Vec<u8>, RecoveryError> {
    let missing = || RecoveryError::JournalMissing { directory: directory.to_owned(), name: file.name() };
    let io = |what: &'static str| {
        let directory = directory.to_owned();
        move |source| RecoveryError::Io { what, directory, source }
    };
    let opened = match disk.open(&journal_path(file), OpenMode::Read).await {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
        Err(error) => return Err(io("opening a journal file")(error)),
    };
    if opened.bytes().await.map_err(io("measuring a journal file"))? < file.bytes {
        return Err(missing());
    }
    // A file that was used begins with a table, and a bad block in front of it makes it no unused one.
    let first_bytes = file.bytes.min(IO_BYTES_MAX as u64) as usize;
    let first = opened.read(0, first_bytes).await.map_err(io("reading a journal file"))?;
    if first.len() != first_bytes {
        return Err(missing());
    }
    if first.iter().all(|byte| *byte == 0) {
        return Ok(Vec::new());
    }
    let pieces = (0..file.bytes).step_by(IO_BYTES_MAX).skip(1).map(|at| {
        let count = (file.bytes - at).min(IO_BYTES_MAX as u64) as usize;
        let opened = &opened;
        async move { opened.read(at, count).await.map(|piece| (piece, count)) }
    });
    let mut pieces = stream::iter(pieces).buffered(READS_IN_FLIGHT);
    let mut bytes = Vec::with_capacity(file.bytes as usize);
    bytes.extend_from_slice(&first);
    while let Some(read) = pieces.next().await {
        let (piece, count) = read.map_err(io("reading a journal file"))?;
        if piece.len() != count {
            return Err(missing());
        }
        bytes.extend_from_slice(&piece);
    }
    opened.sync().await.map_err(io("syncing a journal file"))?;
    Ok(bytes)
}

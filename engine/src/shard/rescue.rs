//! Writes what is known of fenced logs into journal files of their own, so that the journals which held it can go.

use super::keeper::{journal_path, make_file};
use crate::io::{Disk, DiskFile, OpenMode};
use crate::journal::{
    JournalEnd, JournalFile, Manifest, Outcome, RESCUE_SHARD, RecoveredLog, RecoveredPiece, Rescued, StartId,
    encode_rescue,
};
use crate::units::LogId;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// A rescue that was written and synced; its files are in the manifest in memory.
pub(super) struct WrittenRescue {
    pub(super) files: Vec<JournalFile>,
    pub(super) end: JournalEnd,
}

/// Rescues every log of `outcome` that has a fault, and what belongs to no log, into files of `unused` or new ones.
/// Faults of logs in `judged_anew` are not written down: the next start looks again. `None` when there is none.
pub(super) async fn rescue_fenced<D: Disk>(
    disk: &D,
    outcome: &mut Outcome,
    judged_anew: &BTreeSet<LogId>,
    manifest: &mut Manifest,
    unused: &[JournalFile],
    file_bytes: u64,
) -> io::Result<Option<WrittenRescue>> {
    let mut pieces_of: BTreeMap<LogId, Vec<RecoveredPiece>> = BTreeMap::new();
    for log in outcome.logs.iter_mut().filter(|log| log.fault.is_some()) {
        pieces_of.insert(log.state.identity.log_id, take_pieces(log));
    }
    let strays = outcome.strays.iter().map(|stray| Rescued {
        log_id: stray.log_id,
        state: None,
        pieces: &stray.pieces,
        fence: Some(&stray.fault),
    });
    let fenced = outcome.logs.iter().filter_map(|log| {
        let log_id = log.state.identity.log_id;
        let fence = log.fault.as_deref()?;
        let fence = (!judged_anew.contains(&log_id)).then_some(fence);
        Some(Rescued { log_id, state: Some(&log.state), pieces: pieces_of.get(&log_id)?, fence })
    });
    let rescued: Vec<Rescued<'_>> = strays.chain(fenced).collect();
    if rescued.is_empty() {
        return Ok(None);
    }
    manifest.start_counter += 1;
    let start = StartId { counter: manifest.start_counter, random: rand::random() };
    let commits = encode_rescue(start, &rescued);
    let end = JournalEnd { start, shard: RESCUE_SHARD, sequence: commits.len() as u64, clean: true };
    let files = write_files(disk, manifest, unused, &commits, file_bytes).await?;
    Ok(Some(WrittenRescue { files, end }))
}

/// All bytes of a log that are known and perhaps in no segment.
fn take_pieces(log: &mut RecoveredLog) -> Vec<RecoveredPiece> {
    let mut pieces = std::mem::take(&mut log.pieces);
    if pieces.is_empty() {
        pieces.extend(log.open.drain(..).filter(|segment| !segment.tail.is_empty()).map(|segment| {
            let start = segment.state.written_end;
            let first_batch = segment.batches.first().map_or(segment.state.end, |batch| batch.start);
            RecoveredPiece { base: segment.state.base, start, first_batch, bytes: segment.tail }
        }));
    }
    log.open.clear();
    pieces
}

async fn write_files<D: Disk>(
    disk: &D,
    manifest: &mut Manifest,
    unused: &[JournalFile],
    commits: &[Vec<u8>],
    file_bytes: u64,
) -> io::Result<Vec<JournalFile>> {
    let mut unused = unused.iter().copied().filter(|file| file.bytes == file_bytes);
    let mut written = Vec::new();
    let mut rest = commits;
    while !rest.is_empty() {
        let mut bytes = 0;
        let count = rest.iter().take_while(|commit| {
            bytes += commit.len() as u64;
            bytes <= file_bytes
        });
        let (now, later) = rest.split_at(count.count().max(1));
        rest = later;
        let file = match unused.next() {
            Some(file) => file,
            None => {
                let made = make_file(disk, manifest.number_next(), file_bytes).await?;
                manifest.files.push(made);
                made
            }
        };
        let opened = disk.open(&journal_path(file), OpenMode::Write).await?;
        let mut at = 0;
        for commit in now {
            let mut blocks = opened.buffer(commit.len());
            blocks.as_mut().copy_from_slice(commit);
            opened.write(at, blocks).await?;
            at += commit.len() as u64;
        }
        opened.sync().await?;
        written.push(file);
    }
    Ok(written)
}

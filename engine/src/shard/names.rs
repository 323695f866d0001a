//! Whose is a partition's directory? Its log's id stands in it, as the name of an empty file.
//!
//! ```text
//! orders-0/3f2a...c1.id                   the log that made it
//!          00000000000000000000.log
//! 3f2a...c1.deleted                       a deleted log's, on its way out: removed by this or the next start
//! 3f2a...c1.kept                          one that stood where a new log's had to be, and that no journal calls deleted
//! ```
//! Topics' names are used again, ids never are: a log that finds another one's directory in its place moves it aside and
//! touches nothing in it. The id's name becomes durable with that of the log's first segment.

use super::directory::{Directory, SharedLog};
use crate::batch::BatchHeader;
use crate::io::{BLOCK_BYTES, Disk, Names, NewFiles, is_full};
use crate::journal::RecoveredLog;
use crate::segment::{Stage, file_name};
use crate::units::{LogId, Offset};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Ending of a directory whose log was deleted: its name before is the log's id.
pub(super) const DELETED: &str = ".deleted";
/// Ending of a directory that was moved aside.
const KEPT: &str = ".kept";
/// Ending of the empty file that names a directory's log.
const ID: &str = ".id";

impl<D: Disk> Directory<D> {
    /// What is to be made for a log that has no file yet, so that a directory is there and says whose it is; `found` says what
    /// stands there. Whatever is another log's, or nobody's, is moved aside. Names are nobody else's meanwhile.
    pub(super) async fn claim_directory(
        &self,
        log: &SharedLog,
        found: io::Result<Names>,
    ) -> io::Result<NewFiles> {
        let (log_id, name) = {
            let log = log.borrow();
            (log.identity.log_id, log.directory_name.clone())
        };
        let own = id_file(&log_id.to_string());
        let with_directory = match found {
            Ok(found) if found.iter().any(|(name, _)| *name == own) => false,
            // A crash came before the first file.
            Ok(found) if found.is_empty() => false,
            Ok(found) => {
                let id = id_in(&found).unwrap_or_else(|| log_id.to_string());
                let aside = format!("{id}{KEPT}");
                tracing::warn!(
                    directory = name,
                    aside,
                    "another log's directory stood in a new one's place: moved aside"
                );
                match self.disk.rename(Path::new(&name), Path::new(&aside)).await {
                    // The log stands twice among those that are looked at, and was moved already.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    outcome => outcome?,
                }
                true
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error),
        };
        Ok(NewFiles { directory: name.into(), with_directory, files: vec![own] })
    }

    /// Removes the directory of a log that was deleted, and of no other: durably out of the way when it returns.
    pub(super) async fn remove_own_directory(&self, name: &str, log_id: LogId) -> io::Result<()> {
        let aside = format!("{log_id}{DELETED}");
        let moved = {
            let _pass = self.gates.names.enter().await;
            self.move_aside(name, log_id, Path::new(&aside)).await
        };
        match moved {
            Ok(()) => {
                self.sync_root().await?;
                remove_aside(&self.disk, Path::new(&aside)).await
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn move_aside(&self, name: &str, log_id: LogId, aside: &Path) -> io::Result<()> {
        let found = self.disk.list(Path::new(name)).await;
        let is_own = |found: &Vec<(String, bool)>| id_in(found).is_none_or(|id| id == log_id.to_string());
        if let Some(found) = found.ok().filter(is_own) {
            // Not with the topic's name in it: that may be as long as a file's name can be.
            return set_aside(&self.disk, Path::new(name), &found, aside).await;
        }
        // A log of the same name was quicker, or none of its own ever held a batch.
        self.disk.rename(Path::new(&format!("{log_id}{KEPT}")), aside).await
    }
}

/// Takes the directory of a log whose deletion is durable out of the way: it gets a name of its own, under which it can be removed.
/// XFS has no room for a new name on a full disk. There it is removed where it is, with the file that says whose it is as the last:
/// names are nobody else's meanwhile.
async fn set_aside<D: Disk>(disk: &D, name: &Path, found: &[(String, bool)], aside: &Path) -> io::Result<()> {
    match disk.rename(name, aside).await {
        Err(error) if is_full(&error) => {}
        outcome => return outcome,
    }
    for (file, _) in found.iter().filter(|(file, _)| !file.ends_with(ID)) {
        match disk.remove(&name.join(file)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    disk.sync_directory(name).await?;
    disk.remove_directory(name).await
}

/// Removes what was set aside; it may have gone already.
async fn remove_aside<D: Disk>(disk: &D, aside: &Path) -> io::Result<()> {
    match disk.remove_directory(aside).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

fn id_file(log_id: &str) -> String {
    format!("{log_id}{ID}")
}

/// The id that stands in a directory.
fn id_in(names: &[(String, bool)]) -> Option<String> {
    names.iter().find_map(|(name, _)| name.strip_suffix(ID).filter(|id| is_id(id)).map(str::to_owned))
}

fn is_id(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether this is what is left of a deleted log.
pub(super) fn is_deleted(name: &str) -> bool {
    name.strip_suffix(DELETED).is_some_and(is_id)
}

/// Whether this is a directory that was moved aside.
pub(super) fn is_kept(name: &str) -> bool {
    name.strip_suffix(KEPT).is_some_and(is_id)
}

/// Whether this may be a partition's directory.
pub(super) fn is_partition(name: &str) -> bool {
    let number = name.rsplit_once('-').map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether the log has a directory of its own: that is made, and its name synced, before the first batch is accepted, also
/// where all bytes still are in the journal alone, and stays when all of them have expired.
pub(super) fn has_directory(log: &RecoveredLog) -> bool {
    log.state.segments.last().is_some_and(|segment| segment.offset_end > Offset::ZERO)
}

/// Says of every log whether its directory and the files that it counts on are there and its own; those that must not
/// be served for that alone.
pub(super) async fn look_into_directories<D: Disk>(
    disk: &D,
    logs: &mut [RecoveredLog],
    partitions: &BTreeSet<String>,
) -> BTreeSet<LogId> {
    let mut faulty = BTreeSet::new();
    let (mut looked_at, mut paths) = (Vec::new(), Vec::new());
    for log in logs.iter_mut().filter(|log| log.fault.is_none() && has_directory(log)) {
        let name = super::recovery::directory_name(&log.state.identity);
        if partitions.contains(&name) {
            paths.push(PathBuf::from(&name));
            looked_at.push((log, name));
        } else {
            log.fault = Some(format!("its directory {name} is missing: put it back and start again"));
            faulty.insert(log.state.identity.log_id);
        }
    }
    for ((log, name), found) in looked_at.into_iter().zip(disk.list_all(paths).await) {
        log.fault = match found {
            Ok(found) => fault_of(log, &name, &found),
            Err(error) => Some(format!("its directory {name} cannot be read: {error}")),
        };
        if log.fault.is_some() {
            faulty.insert(log.state.identity.log_id);
        }
    }
    look_at_active_segments(disk, logs, &mut faulty).await;
    faulty
}

/// Files that will be written to begin with their first batches: otherwise they are other segments', swapped while the
/// broker was stopped, and a write would spoil them. Sealed ones are looked at when they are first read.
async fn look_at_active_segments<D: Disk>(disk: &D, logs: &mut [RecoveredLog], faulty: &mut BTreeSet<LogId>) {
    let (mut looked_at, mut paths) = (Vec::new(), Vec::new());
    for log in logs.iter_mut().filter(|log| log.fault.is_none()) {
        let name = super::recovery::directory_name(&log.state.identity);
        let written = log.state.segments.iter().filter(|segment| segment.stage != Stage::Sealed);
        let written = written.filter(|segment| segment.written_end.as_u64() >= BLOCK_BYTES as u64);
        let found: Vec<_> = written.map(|segment| (segment.base, segment.first_crc)).collect();
        for (base, first_crc) in &found {
            let file = format!("{name}/{}", file_name(*base));
            paths.push(PathBuf::from(&file));
            looked_at.push((log.state.identity.log_id, file, *base, *first_crc));
        }
    }
    let mut others = std::collections::BTreeMap::new();
    for ((log_id, file, base, first_crc), front) in looked_at.into_iter().zip(disk.read_fronts(paths).await) {
        // A front that is damaged, or cannot be read, is told by who reads it.
        let header = front.ok().and_then(|front| BatchHeader::read(&front).ok());
        if header.is_some_and(|header| header.base_offset == base.as_i64() && header.crc != first_crc) {
            others.insert(
                log_id,
                format!("its file {file} is another one's: put the right one back and start again"),
            );
        }
    }
    for log in logs.iter_mut() {
        if let Some(fault) = others.remove(&log.state.identity.log_id) {
            faulty.insert(log.state.identity.log_id);
            log.fault = Some(fault);
        }
    }
}

fn fault_of(log: &RecoveredLog, name: &str, found: &[(String, bool)]) -> Option<String> {
    let own = log.state.identity.log_id.to_string();
    if let Some(id) = id_in(found).filter(|id| *id != own) {
        return Some(format!(
            "the directory {name} is that of log {id}: put the right one back and start again"
        ));
    }
    let names: BTreeSet<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let filled = log.state.segments.iter().filter(|segment| segment.end.as_u64() > 0);
    let mut files = filled.map(|segment| file_name(segment.base));
    let missing = files.find(|file| !names.contains(file.as_str()))?;
    Some(format!("its file {name}/{missing} is missing: put it back and start again"))
}

/// Removes those of the directories in `names` that a crash left of logs which the journals call deleted, durably;
/// returns the rest.
pub(super) async fn remove_deleted<D: Disk>(
    disk: &D,
    names: Vec<String>,
    deleted: &[LogId],
) -> io::Result<Vec<String>> {
    if deleted.is_empty() {
        return Ok(names);
    }
    let deleted: BTreeSet<String> = deleted.iter().map(LogId::to_string).collect();
    let (mut rest, mut removed) = (Vec::new(), Vec::new());
    let lists = disk.list_all(names.iter().map(PathBuf::from).collect()).await;
    for (name, found) in names.into_iter().zip(lists) {
        let found = found?;
        match id_in(&found).filter(|id| deleted.contains(id)) {
            Some(id) => {
                let aside = format!("{id}{DELETED}");
                set_aside(disk, Path::new(&name), &found, Path::new(&aside)).await?;
                removed.push(aside);
            }
            None => rest.push(name),
        }
    }
    if !removed.is_empty() {
        disk.sync_directory(Path::new("")).await?;
    }
    for aside in removed {
        remove_aside(disk, Path::new(&aside)).await?;
    }
    Ok(rest)
}

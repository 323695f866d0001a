//! Reads every journal of a directory that counts and hands each log's tail to its present owner, in memory.
//!
//! Whatever the number of cores now and then: each journal of each earlier start is read in the order it was written.
//! Can be cut and repeated at any point: nothing but the start counter changes before the logs' owners write their
//! first tables. Its time depends on the journals' size and the number of logs, never on the size of the data.

use super::journal_reader::BegunJournal;
use super::keeper::{JOURNAL_DIRECTORY, Keeper, manifest_path};
use super::names::{is_deleted, is_kept, is_partition, look_into_directories, remove_deleted};
use super::rescue::rescue_fenced;
use super::settings::EngineSettings;
use crate::io::Disk;
use crate::journal::{
    FileHead, JournalEnd, JournalFile, Manifest, Need, Outcome, RESCUE_SHARD, RecoveredLog, Replay, Replayed,
    StartId, needed_files, needs_elders, replay_files,
};
use crate::log::LogIdentity;
use crate::units::{LogId, Timestamp};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The manifest is never larger.
const MANIFEST_BYTES_MAX: usize = 1 << 20;

/// Why a log directory cannot be started on.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// Reading or making files failed.
    #[error("{what} in {directory}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The log directory.
        directory: String,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The list of journal files does not check.
    #[error(
        "{directory}/thalweg-journal/manifest does not check: restore it from a backup, or move the directory away"
    )]
    Manifest {
        /// The log directory.
        directory: String,
    },
    /// A journal file that the manifest names is missing or too short.
    #[error(
        "journal file {name} of {directory} is missing or cut: restore it, records in it were acknowledged"
    )]
    JournalMissing {
        /// The log directory.
        directory: String,
        /// The file's name.
        name: String,
    },
    /// The journals of the last start are not there, though all files are.
    #[error(
        "the journal files of {directory}/thalweg-journal are older than their manifest: put back those of the last stop, records in them were acknowledged"
    )]
    JournalOlder {
        /// The log directory.
        directory: String,
    },
    /// Journals of a start that the manifest has not come to.
    #[error(
        "{directory}/thalweg-journal/manifest is older than its journal files: put back the one of the last stop, it may name more of them"
    )]
    ManifestOlder {
        /// The log directory.
        directory: String,
    },
    /// Partitions but no journal.
    #[error(
        "{directory} holds partitions but no journal: restore {directory}/thalweg-journal, or move the partitions away"
    )]
    NoJournal {
        /// The log directory.
        directory: String,
    },
}

/// One log directory as recovery found it. Its logs are taken by their owners.
pub(crate) struct RecoveredDirectory {
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) logs: Vec<RecoveredLog>,
    pub(crate) deleted: Vec<LogId>,
    pub(crate) nameless: Vec<LogId>,
    pub(crate) ends: Vec<JournalEnd>,
    /// Where the rescue ended that this recovery wrote; it is among `ends`.
    pub(crate) rescue: Option<JournalEnd>,
    /// Directories of partitions that no journal knows.
    pub(crate) unknown: Vec<String>,
    pub(crate) unclean: bool,
}

/// Recovers one directory through `disk`.
pub(crate) async fn recover_directory<D: Disk>(
    disk: &D,
    directory: &str,
    settings: &EngineSettings,
    shard_count: usize,
    now: Timestamp,
) -> Result<RecoveredDirectory, RecoveryError> {
    let io = |what: &'static str| {
        let directory = directory.to_owned();
        move |source| RecoveryError::Io { what, directory, source }
    };
    disk.create_directory(Path::new(JOURNAL_DIRECTORY)).await.map_err(io("making the journal directory"))?;
    disk.sync_directory(Path::new("")).await.map_err(io("syncing the directory"))?;
    let names = disk.list(Path::new("")).await.map_err(io("listing the directory"))?;
    // A deletion is durable before its directory is moved aside: what is left of it may go.
    for (name, _) in names.iter().filter(|(name, is_directory)| *is_directory && is_deleted(name)) {
        disk.remove_directory(Path::new(name)).await.map_err(io("removing what a deleted topic left"))?;
    }
    let kept: Vec<String> =
        names.iter().filter(|(name, _)| is_kept(name)).map(|(name, _)| name.clone()).collect();
    let partitions: BTreeSet<String> = names
        .into_iter()
        .filter(|(name, is_directory)| *is_directory && is_partition(name))
        .map(|(name, _)| name)
        .collect();
    let mut manifest = read_manifest(disk, directory, !partitions.is_empty()).await?;
    let files = read_journals(disk, &manifest, directory).await?;
    let mut replay = Replay::new(now);
    let Replayed { mut ends, mut needed, before, unclean } = replay_files(&files, &mut replay);
    drop(files);
    check_ages(&manifest, &ends, directory)?;
    let mut outcome = replay.finish();
    // A full disk must not forbid this start: what no log needs is free at once. With a fault nothing is given up.
    let is_sound = outcome.strays.is_empty() && outcome.logs.iter().all(|log| log.fault.is_none());
    for numbers in before {
        needed.extend(numbers.into_iter().skip_while(|number| is_sound && !outcome.files.contains(number)));
    }
    let old: Vec<JournalFile> =
        needed.iter().filter_map(|number| manifest.files.get(*number).copied()).collect();
    for stray in &outcome.strays {
        let (log_id, fault) = (stray.log_id, &stray.fault);
        tracing::error!(%log_id, fault, "the journals hold bytes of a log that they do not know: kept aside");
    }
    let missing = look_into_directories(disk, &mut outcome.logs, &partitions).await;
    let unused: Vec<JournalFile> =
        manifest.files.iter().copied().filter(|file| !old.contains(file)).collect();
    let rescue =
        rescue_fenced(disk, &mut outcome, &missing, &mut manifest, &unused, settings.journal_file_bytes);
    let rescue = rescue.await.map_err(io("keeping fenced logs aside"))?;
    ends.extend(rescue.as_ref().map(|rescue| rescue.end));
    let nameless = outcome.strays.iter().map(|stray| stray.log_id).collect();
    let Outcome { logs, deleted, .. } = outcome;
    // A name that is used again stands for its new log only once that has a file.
    let is_written =
        |log: &&RecoveredLog| log.state.segments.iter().any(|segment| segment.written_end.as_u64() > 0);
    let name_of = |log: &RecoveredLog| directory_name(&log.state.identity);
    let known: BTreeSet<String> = logs.iter().map(name_of).collect();
    let taken: BTreeSet<String> = logs.iter().filter(is_written).map(name_of).collect();
    let loose = partitions.into_iter().filter(|name| !taken.contains(name)).chain(kept).collect();
    let mut unknown = remove_deleted(disk, loose, &deleted).await.map_err(io("removing a deleted topic"))?;
    unknown.retain(|name| !known.contains(name));
    manifest.start_counter += 1;
    disk.replace_small(&manifest_path(), manifest.encode(), true)
        .await
        .map_err(io("writing the manifest"))?;
    let start = StartId { counter: manifest.start_counter, random: rand::random() };
    let (bytes, files_max) = (settings.journal_file_bytes, settings.journal_files_max);
    let rescue_files = rescue.as_ref().map_or(&[][..], |rescue| &rescue.files);
    let keeper = Keeper::new(start, manifest, old, rescue_files, shard_count, bytes, files_max);
    let rescue = rescue.map(|rescue| rescue.end);
    Ok(RecoveredDirectory { keeper, logs, deleted, nameless, ends, rescue, unknown, unclean })
}

/// Whether manifest and journals are of the same time: each proves starts that the other must know.
fn check_ages(manifest: &Manifest, ends: &[JournalEnd], directory: &str) -> Result<(), RecoveryError> {
    let counters = ends.iter().filter(|end| end.shard != RESCUE_SHARD).map(|end| end.start.counter);
    let newest = counters.max().unwrap_or(0);
    let directory = directory.to_owned();
    if newest < manifest.served_counter {
        return Err(RecoveryError::JournalOlder { directory });
    }
    if newest > manifest.start_counter {
        return Err(RecoveryError::ManifestOlder { directory });
    }
    Ok(())
}

/// The bytes of every journal file, as the manifest lists them; none of one that nobody needs.
async fn read_journals<D: Disk>(
    disk: &D,
    manifest: &Manifest,
    directory: &str,
) -> Result<Vec<Vec<u8>>, RecoveryError> {
    let mut begun = Vec::new();
    for file in &manifest.files {
        begun.push(BegunJournal::open(disk, *file, directory).await?);
    }
    let heads: Vec<FileHead> = begun.iter().map(BegunJournal::head).collect();
    let needs = needed_files(&heads);
    let mut files = vec![Vec::new(); begun.len()];
    for ((journal, file), _) in
        begun.iter().zip(&mut files).zip(&needs).filter(|(_, need)| **need == Need::Always)
    {
        *file = journal.read().await?;
    }
    if needs.contains(&Need::UnlessDone) && needs_elders(&files) {
        let elders = begun.iter().zip(&mut files).zip(&needs);
        for ((journal, file), _) in elders.filter(|(_, need)| **need == Need::UnlessDone) {
            *file = journal.read().await?;
        }
    }
    Ok(files)
}

/// The directory of a log below its log directory.
pub(crate) fn directory_name(identity: &LogIdentity) -> String {
    format!("{}-{}", identity.topic, identity.partition)
}

async fn read_manifest<D: Disk>(
    disk: &D,
    directory: &str,
    has_partitions: bool,
) -> Result<Manifest, RecoveryError> {
    match disk.read_small(&manifest_path(), MANIFEST_BYTES_MAX).await {
        Ok(bytes) => Manifest::decode(&bytes)
            .ok_or_else(|| RecoveryError::Manifest { directory: directory.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound && has_partitions => {
            Err(RecoveryError::NoJournal { directory: directory.to_owned() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Manifest::default()),
        Err(source) => {
            Err(RecoveryError::Io { what: "reading the manifest", directory: directory.to_owned(), source })
        }
    }
}

//! Can the broker run here? Looked at before anything is started; each trouble is one line with the way out.
//!
//! ```text
//! facts   what the machine says: read once
//! judge   what the facts mean: pure
//! lock    one broker a directory, as long as the process lives
//! ```

mod facts;
mod judge;
mod lock;

pub use judge::{GroundError, Warning};

use crate::config::{Config, CoreSet};
use facts::{DirectoryFacts, Facts};
use judge::JournalRoom;
use lock::DirectoryLock;
use std::path::PathBuf;

/// One log directory that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// As it was named.
    pub path: String,
    /// Its file system.
    pub file_system: String,
    /// The device under it, where the system tells.
    pub device: String,
}

/// What was found, and the locks that keep other brokers out as long as this lives.
#[derive(Debug)]
pub struct Ground {
    /// Held, never read.
    _locks: Vec<DirectoryLock>,
    /// Kernel release.
    pub kernel: String,
    /// The log directories, in the order of `log.dirs`.
    pub directories: Vec<Directory>,
    /// Open files that the process may have.
    pub files_max: u64,
    /// Memory of the machine, or of the control group if that is less.
    pub memory_bytes: u64,
    /// CPUs that the process may use.
    pub cpus: Vec<usize>,
    /// What does not keep the broker from running and should be known.
    pub warnings: Vec<Warning>,
}

impl Ground {
    /// The CPU for each shard: those that were listed, or the first of those the process may use. `None` where more
    /// cores were asked for than there are: those shards go where the kernel puts them.
    pub fn placement(&self, cores: &CoreSet) -> Vec<Option<usize>> {
        let count = cores.count();
        match cores {
            CoreSet::List(cpus) => cpus.iter().copied().map(Some).collect(),
            _ if count > self.cpus.len() => vec![None; count],
            _ => self.cpus.iter().copied().take(count).map(Some).collect(),
        }
    }
}

/// Looks at everything, raises the limits of files and locked memory as far as it may, makes and locks the directories.
///
/// # Errors
/// The first trouble, in one line, with what to do.
pub fn check(config: &Config) -> Result<Ground, GroundError> {
    let facts = Facts::of_this_machine();
    let mut warnings = judge::machine(&facts, &config.thalweg_cores)?;
    let first_bytes = config.thalweg_journal_file_bytes * config.thalweg_cores.count() as u64;
    let room = JournalRoom {
        first_bytes,
        most_bytes: first_bytes.saturating_mul(config.thalweg_journal_files_max as u64),
    };
    let mut locks = Vec::new();
    let mut directories = Vec::new();
    let mut seen: Vec<PathBuf> = Vec::new();
    for name in &config.log_dirs {
        let path = facts::make_directory(name)?;
        if seen.contains(&path) {
            return Err(GroundError::SameDirectory { path: name.clone() });
        }
        locks.push(DirectoryLock::take(&path, name)?);
        let found = DirectoryFacts::of(&path, name);
        warnings.extend(judge::directory(&found, config.thalweg_allow_cow, room)?);
        directories.push(Directory {
            path: name.clone(),
            file_system: judge::file_system(found.magic).name.to_owned(),
            device: found.device,
        });
        seen.push(path);
    }
    Ok(Ground {
        _locks: locks,
        kernel: facts.kernel,
        directories,
        files_max: facts.files_max,
        memory_bytes: facts.memory_bytes,
        cpus: facts.cpus,
        warnings,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::path::Path;

    fn config(directories: &[&Path]) -> Config {
        let names: Vec<_> = directories.iter().map(|path| path.to_str().unwrap()).collect();
        Config::of(BTreeMap::from([("log.dirs".to_owned(), names.join(","))])).unwrap()
    }

    #[test]
    fn this_machine_can_run_a_broker_and_only_one_in_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/here");
        let ground = check(&config(&[&path])).unwrap();
        assert!(ground.files_max >= 1024 && ground.memory_bytes > 64 << 20 && !ground.cpus.is_empty());
        assert!(!ground.kernel.is_empty() && !ground.directories[0].file_system.is_empty());
        assert!(matches!(check(&config(&[&path])), Err(GroundError::Locked { .. })));
        drop(ground);
        assert!(check(&config(&[&path])).is_ok());
    }

    #[test]
    fn one_directory_under_two_names_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let other = directory.path().join("../").join(directory.path().file_name().unwrap());
        let refused = check(&config(&[directory.path(), &other])).unwrap_err();
        assert!(matches!(refused, GroundError::SameDirectory { .. }), "{refused}");
    }

    #[test]
    fn shards_go_to_cpus_the_process_may_use() {
        let directory = tempfile::tempdir().unwrap();
        let mut ground = check(&config(&[directory.path()])).unwrap();
        ground.cpus = vec![2, 5, 7];
        assert_eq!(ground.placement(&CoreSet::Count(2)), [Some(2), Some(5)]);
        assert_eq!(ground.placement(&CoreSet::Count(4)), [None; 4]);
        assert_eq!(ground.placement(&CoreSet::List(vec![7])), [Some(7)]);
    }
}

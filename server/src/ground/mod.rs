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
use std::collections::BTreeMap;
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
    /// The log directories that can be used, in the order of `log.dirs`.
    pub directories: Vec<Directory>,
    /// Those that cannot, by their place in `log.dirs`, and why. At least one can.
    pub absent: BTreeMap<usize, String>,
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
/// A directory that is out of order is left out as long as another one works; one that was named by mistake is not.
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
    let mut used = Used::default();
    let (mut absent, mut first_error) = (BTreeMap::new(), None);
    for (at, name) in config.log_dirs.iter().enumerate() {
        match used.take(name, config.thalweg_allow_cow, room) {
            Ok(told) => warnings.extend(told),
            Err(error) if error.is_out_of_order() => {
                absent.insert(at, error.to_string());
                first_error.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    if let (Some(error), true) = (first_error, used.directories.is_empty()) {
        return Err(error);
    }
    Ok(Ground {
        _locks: used.locks,
        kernel: facts.kernel,
        directories: used.directories,
        absent,
        files_max: facts.files_max,
        memory_bytes: facts.memory_bytes,
        cpus: facts.cpus,
        warnings,
    })
}

/// What of `log.dirs` was looked at and will do.
#[derive(Default)]
struct Used {
    locks: Vec<DirectoryLock>,
    directories: Vec<Directory>,
    seen: Vec<PathBuf>,
}

impl Used {
    /// Makes, locks and judges one directory; what should be known of it.
    fn take(
        &mut self,
        name: &str,
        cow_allowed: bool,
        room: JournalRoom,
    ) -> Result<Vec<Warning>, GroundError> {
        let path = facts::make_directory(name)?;
        if self.seen.contains(&path) {
            return Err(GroundError::SameDirectory { path: name.to_owned() });
        }
        let lock = DirectoryLock::take(&path, name)?;
        let found = DirectoryFacts::of(&path, name)?;
        let warnings = judge::directory(&found, cow_allowed, room)?;
        self.locks.push(lock);
        self.directories.push(Directory {
            path: name.to_owned(),
            file_system: judge::file_system(found.magic).name.to_owned(),
            device: found.device,
        });
        self.seen.push(path);
        Ok(warnings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn a_directory_that_is_out_of_order_is_left_out_as_long_as_another_works() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a-file");
        std::fs::write(&file, "").unwrap();
        let well = directory.path().join("well");
        let ground = check(&config(&[&file, &well])).unwrap();
        assert_eq!((ground.absent.len(), ground.directories.len()), (1, 1));
        assert!(ground.absent[&0].contains("name a directory, this is a file"), "{:?}", ground.absent);
        assert!(matches!(check(&config(&[&file])), Err(GroundError::NotMade { .. })));
        // What was named by mistake is refused, whatever else works.
        assert!(matches!(check(&config(&[&well, &file])), Err(GroundError::Locked { .. })));
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

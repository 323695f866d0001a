//! What a case needs of the machine's disk and memory of files: room for its data, and nothing of them in memory.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";
/// Left free for the journal, and for others.
const RESERVE_BYTES: u64 = 4 << 30;

/// Refuses by name what would not fit on the file system of `directory`.
pub fn has_room(directory: &Path, what: &str, bytes: u64) -> io::Result<()> {
    let disk = rustix::fs::statvfs(directory)?;
    let free = disk.f_bavail * disk.f_frsize;
    if free >= bytes + RESERVE_BYTES {
        return Ok(());
    }
    let gb = |bytes: u64| bytes as f64 / 1e9;
    Err(io::Error::other(format!(
        "{what} takes {:.1} GB and {:.1} GB must stay free, but {} has {:.1} GB: give smaller sizes or another FIGURES_DIR",
        gb(bytes),
        gb(RESERVE_BYTES),
        directory.display(),
        gb(free)
    )))
}

/// Writes everything out and forgets what files hold, of the whole machine if that is allowed, else of `directory`. The files
/// of `programs` are in memory afterwards: how long a disk takes to bring in a virtual machine is not what is measured.
pub fn forget(directory: &Path, programs: &BTreeSet<PathBuf>) -> io::Result<Forgotten> {
    rustix::fs::sync();
    let forgotten = if fs::write(DROP_CACHES, "3").is_ok() {
        Forgotten::All
    } else {
        forget_files(directory, "")?;
        Forgotten::Files
    };
    for path in programs {
        match File::open(path) {
            Ok(mut file) => drop(io::copy(&mut file, &mut io::sink())?),
            // A JVM's counters of itself are removed by whatever JVM comes next.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(forgotten)
}

/// What [`forget`] could do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// Files, directories and inodes.
    All,
    /// Files' contents only.
    Files,
}

impl Forgotten {
    /// For a table.
    pub fn condition(self) -> String {
        match self {
            Self::All => format!(
                "before each start everything was synced, the page cache dropped ({DROP_CACHES}) and the program's files read again"
            ),
            Self::Files => format!(
                "before each start everything was synced and the data files dropped from the page cache; {DROP_CACHES} is not \
                 allowed here, so directories and inodes stayed in memory"
            ),
        }
    }
}

/// Removes a folder and has the removal done before anything else is measured.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    rustix::fs::sync();
    Ok(())
}

/// Name of a folder that is set aside, before its number.
const ASIDE: &str = "aside-";

/// Takes a folder of thousands of files out of the way, to be removed once all is measured. ext4 leaves the inodes of
/// removed files alone for minutes and looks past each of them whenever a file is made: who made 10 000 partitions right
/// after as many were removed took 20 s instead of 4.
pub fn set_aside(path: &Path) -> io::Result<()> {
    let mut aside = (0..).map(|number: u32| path.with_file_name(format!("{ASIDE}{number}")));
    match aside.find(|aside| !aside.exists()) {
        Some(aside) => fs::rename(path, aside),
        None => remove(path),
    }
}

/// Removes what was set aside in `directory`.
pub fn remove_aside(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(ASIDE) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Drops from the page cache what is clean of all files below the folders in `directory` whose names begin with `prefix`.
pub fn forget_files(directory: &Path, prefix: &str) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let is_named = entry.file_name().to_string_lossy().starts_with(prefix);
        if entry.file_type()?.is_dir() {
            forget_files(&entry.path(), if is_named { "" } else { prefix })?;
        } else if prefix.is_empty() {
            match File::open(entry.path()) {
                Ok(file) => rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // removed meanwhile
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

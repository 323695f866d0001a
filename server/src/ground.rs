//! Can the broker run here? Looked at before anything is started; each trouble is one line with the way out.

use crate::config::Config;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// glommio cannot make an executor below this.
const MEMLOCK_BYTES_MIN: u64 = 512 << 10;
/// Below this the broker runs out of descriptors with its first few clients.
const FILES_MIN: u64 = 1024;

/// What was found, and the locks that keep other brokers out as long as this lives.
pub struct Ground {
    /// One for each log directory: held, never read.
    _locks: Vec<File>,
    /// Kernel release.
    pub kernel: String,
    /// File system of each log directory, by name.
    pub file_systems: Vec<String>,
    /// Open files that the process may have.
    pub files_max: u64,
}

/// Looks at everything.
///
/// # Errors
/// The first trouble, in one line, with what to do.
pub fn check(config: &Config) -> Result<Ground, String> {
    check_io_uring(&read_sysctl("/proc/sys/kernel/io_uring_disabled"), probe_io_uring())?;
    check_memlock(raise(Resource::Memlock))?;
    let files_max = raise(Resource::Nofile);
    check_files(files_max)?;
    let mut locks = Vec::new();
    let mut file_systems = Vec::new();
    for directory in &config.log_dirs {
        let path = PathBuf::from(directory);
        std::fs::create_dir_all(&path).map_err(|error| {
            format!("log directory {directory} cannot be made: {error}; make it, owned by the user that runs the broker")
        })?;
        locks.push(lock(&path)?);
        file_systems.push(check_file_system(&path, config.thalweg_allow_cow)?);
    }
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    Ok(Ground { _locks: locks, kernel, file_systems, files_max })
}

fn read_sysctl(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Whether a ring can be made: the runtime's own first step.
fn probe_io_uring() -> io::Result<()> {
    thalweg_engine::io::probe_io_uring()
}

fn check_io_uring(disabled: &str, probe: io::Result<()>) -> Result<(), String> {
    let Err(error) = probe else { return Ok(()) };
    Err(match (disabled.trim(), error.raw_os_error()) {
        ("2", _) => "io_uring is forbidden by kernel.io_uring_disabled=2: set it to 0 (sysctl -w kernel.io_uring_disabled=0)".to_owned(),
        ("1", _) => "io_uring is limited by kernel.io_uring_disabled=1: set it to 0, or put the broker's user into the group of kernel.io_uring_group".to_owned(),
        (_, Some(38)) => "this kernel has no io_uring: Linux 5.8 or later is needed, 6.1 or later is recommended".to_owned(),
        (_, Some(1 | 13)) => "io_uring is forbidden here, most likely by a container's seccomp profile: allow io_uring_setup, io_uring_enter and io_uring_register".to_owned(),
        (_, Some(12)) => "io_uring gets no memory: raise the limit of locked memory (LimitMEMLOCK=infinity, or ulimit -l unlimited)".to_owned(),
        _ => format!("io_uring does not work here: {error}"),
    })
}

/// Raises a soft limit to the hard one; returns what holds then.
fn raise(resource: Resource) -> u64 {
    let limit = getrlimit(resource);
    if limit.current != limit.maximum {
        let _ = setrlimit(resource, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    getrlimit(resource).current.unwrap_or(u64::MAX)
}

fn check_memlock(bytes: u64) -> Result<(), String> {
    if bytes >= MEMLOCK_BYTES_MIN {
        return Ok(());
    }
    Err(format!(
        "only {bytes} B of memory may be locked, {MEMLOCK_BYTES_MIN} are needed: LimitMEMLOCK=infinity in the unit, or ulimit -l"
    ))
}

fn check_files(count: u64) -> Result<(), String> {
    if count >= FILES_MIN {
        return Ok(());
    }
    Err(format!(
        "only {count} files may be open, {FILES_MIN} are needed and 100000 recommended: LimitNOFILE=100000 in the unit, or ulimit -n"
    ))
}

fn lock(directory: &Path) -> Result<File, String> {
    let path = directory.join(".lock");
    let told = |error: io::Error| {
        format!("{}: {error}; the user that runs the broker must be able to write there", path.display())
    };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(told)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(_) => Err(format!(
            "log directory {} is in use by another broker: stop that one, or give this one another log.dirs",
            directory.display()
        )),
    }
}

fn check_file_system(directory: &Path, cow_allowed: bool) -> Result<String, String> {
    let found = rustix::fs::statfs(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let (name, copies) = name_of(found.f_type as u64);
    if copies && !cow_allowed {
        return Err(format!(
            "log directory {} is on {name}, which copies on write: put it on ext4 or XFS, or set thalweg.allow.cow=true and expect slower writes",
            directory.display()
        ));
    }
    let probe = directory.join(".direct-io-probe");
    let opened =
        rustix::fs::open(&probe, OFlags::CREATE | OFlags::WRONLY | OFlags::DIRECT, Mode::RUSR | Mode::WUSR);
    let _ = std::fs::remove_file(&probe);
    match opened {
        Ok(_) => Ok(name.to_owned()),
        Err(error) => Err(format!(
            "log directory {} is on {name}, which refuses direct I/O ({error}): put it on ext4 or XFS",
            directory.display()
        )),
    }
}

/// A file system's name by its magic number, and whether it copies on write.
fn name_of(magic: u64) -> (&'static str, bool) {
    match magic & 0xffff_ffff {
        0xef53 => ("ext4", false),
        0x5846_5342 => ("XFS", false),
        0x9123_683e => ("btrfs", true),
        0xca45_1a4e => ("bcachefs", true),
        0x2fc1_2fc1 => ("ZFS", true),
        0x0102_1994 => ("tmpfs", false),
        0x794c_7630 => ("overlayfs", false),
        0x6969 => ("NFS", false),
        0x6573_5546 => ("FUSE", false),
        _ => ("a file system that is not known here", false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_with_io_uring_names_its_own_way_out() {
        let fails = |code| Err(io::Error::from_raw_os_error(code));
        assert!(check_io_uring("0\n", Ok(())).is_ok());
        assert!(check_io_uring("2\n", fails(1)).unwrap_err().contains("sysctl"));
        assert!(check_io_uring("0\n", fails(1)).unwrap_err().contains("seccomp"));
        assert!(check_io_uring("", fails(38)).unwrap_err().contains("kernel"));
        assert!(check_io_uring("0", fails(12)).unwrap_err().contains("LimitMEMLOCK"));
    }

    #[test]
    fn limits_that_are_too_low_say_how_to_raise_them() {
        assert!(check_memlock(64 << 10).unwrap_err().contains("LimitMEMLOCK"));
        assert!(check_memlock(8 << 20).is_ok());
        assert!(check_files(256).unwrap_err().contains("LimitNOFILE"));
    }

    #[test]
    fn a_directory_has_one_broker() {
        let directory = tempfile::tempdir().unwrap();
        let first = lock(directory.path()).unwrap();
        assert!(lock(directory.path()).unwrap_err().contains("another broker"));
        drop(first);
        assert!(lock(directory.path()).is_ok());
    }
}

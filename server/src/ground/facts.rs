//! What the machine says of itself. Reads and limits raised, no judgement.

use super::judge::GroundError;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::CapabilitySet;
use std::io;
use std::path::{Path, PathBuf};

/// What the machine and the process have.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Kernel release.
    pub(super) kernel: String,
    /// Content of `kernel.io_uring_disabled`; empty where the kernel has no such switch.
    pub(super) io_uring_disabled: String,
    /// What making a ring came to: the error's number, 0 if it worked.
    pub(super) ring_error: i32,
    /// Memory the process may lock, after raising the limit.
    pub(super) memlock_bytes: u64,
    /// Whether that limit does not hold for this process.
    pub(super) may_lock_all: bool,
    /// Files the process may open, after raising the limit.
    pub(super) files_max: u64,
    /// CPUs the process may use.
    pub(super) cpus: Vec<usize>,
    /// Memory of the machine, or of the control group if that is less.
    pub(super) memory_bytes: u64,
}

impl Facts {
    pub(super) fn of_this_machine() -> Self {
        let memlock_bytes = raise(Resource::Memlock); // before the probe: kernels before 5.12 charge rings to it
        let ring = thalweg_engine::io::probe_io_uring();
        Self {
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            io_uring_disabled: std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
                .unwrap_or_default(),
            ring_error: ring.err().map_or(0, |error| error.raw_os_error().unwrap_or(-1)),
            memlock_bytes,
            may_lock_all: rustix::thread::capabilities(None)
                .is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK)),
            files_max: raise(Resource::Nofile),
            cpus: cpus(),
            memory_bytes: memory_bytes(),
        }
    }
}

/// Raises a soft limit to the hard one; returns what holds then.
fn raise(resource: Resource) -> u64 {
    let limit = getrlimit(resource);
    if limit.current != limit.maximum {
        let _ = setrlimit(resource, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    getrlimit(resource).current.unwrap_or(u64::MAX)
}

fn cpus() -> Vec<usize> {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect(),
        Err(_) => (0..all).collect(),
    }
}

fn memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    let machine = info.totalram as u64 * u64::from(info.mem_unit);
    let group = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    machine.min(group_memory_bytes(Path::new("/sys/fs/cgroup"), &group))
}

/// The least limit of the process's control group and those around it (version 2).
fn group_memory_bytes(root: &Path, groups: &str) -> u64 {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let limits = Path::new(own).ancestors().filter_map(|group| {
        let text = std::fs::read_to_string(root.join(group).join("memory.max")).ok()?;
        text.trim().parse::<u64>().ok() // "max" is none
    });
    limits.min().unwrap_or(u64::MAX)
}

/// What one log directory is like.
#[derive(Clone, Debug)]
pub(super) struct DirectoryFacts {
    /// As it was named.
    pub(super) name: String,
    /// The file system's magic number.
    pub(super) magic: u64,
    /// The device under it.
    pub(super) device: String,
    /// What opening a file for direct I/O came to: the error's text, `None` if it worked.
    pub(super) direct_error: Option<String>,
    /// Apache Kafka's files are in it, and none of ours.
    pub(super) is_kafkas: bool,
    /// There are journals in it.
    pub(super) has_journal: bool,
    /// Room for this process.
    pub(super) free_bytes: u64,
}

/// Makes a log directory; returns its path without links.
pub(super) fn make_directory(name: &str) -> Result<PathBuf, GroundError> {
    let made = std::fs::create_dir_all(name).and_then(|()| std::fs::canonicalize(name));
    made.map_err(|error| GroundError::NotMade { path: name.to_owned(), error })
}

impl DirectoryFacts {
    /// # Errors
    /// When it cannot be written.
    pub(super) fn of(path: &Path, name: &str) -> Result<Self, GroundError> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let direct_error = match probe_direct(path) {
            Ok(()) => None,
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Some(error.to_string()),
            Err(error) => return Err(GroundError::NotWritable { path: name.to_owned(), error }),
        };
        Ok(Self {
            name: name.to_owned(),
            magic: rustix::fs::statfs(path).map_or(0, |found| found.f_type as u64 & 0xffff_ffff),
            device: device_of(path, &mounts),
            direct_error,
            is_kafkas: is_kafkas(path),
            has_journal: path.join("thalweg-journal").exists(),
            free_bytes: rustix::fs::statvfs(path).map_or(u64::MAX, |found| found.f_bavail * found.f_frsize),
        })
    }
}

/// Whether a file there can be opened for direct I/O.
fn probe_direct(directory: &Path) -> io::Result<()> {
    let probe = directory.join(".direct-io-probe");
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&probe, flags, Mode::RUSR | Mode::WUSR);
    let _ = std::fs::remove_file(&probe);
    match opened.map(drop).map_err(io::Error::from) {
        // Not even a name has room. What is there already tells as much; where nothing is, the room is judged.
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            let flags = OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC;
            match rustix::fs::open(directory.join("thalweg-journal/manifest"), flags, Mode::empty()) {
                Ok(_) | Err(rustix::io::Errno::NOENT) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }
        outcome => outcome,
    }
}

/// The source of the mount that a path lies in.
fn device_of(path: &Path, mounts: &str) -> String {
    let mount = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let point = left.split(' ').nth(4)?.replace("\\040", " ");
        let source = right.split(' ').nth(1)?.to_owned();
        path.starts_with(&point).then_some((point.len(), source))
    };
    // Of several mounts at one point the last covers the others.
    mounts
        .lines()
        .filter_map(mount)
        .max_by_key(|(length, _)| *length)
        .map_or(String::new(), |(_, source)| source)
}

/// Kafka keeps its progress in these files; our directories have a journal instead.
fn is_kafkas(directory: &Path) -> bool {
    let has = |name: &str| directory.join(name).exists();
    let checkpoints =
        ["recovery-point-offset-checkpoint", "replication-offset-checkpoint", "cleaner-offset-checkpoint"];
    !has("thalweg-journal") && checkpoints.into_iter().any(has)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_of_nested_control_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("system.slice/thalweg.service");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join("memory.max"), "max\n").unwrap();
        std::fs::write(root.path().join("system.slice/memory.max"), "1048576\n").unwrap();
        let groups = "1:name=x:/\n0::/system.slice/thalweg.service\n";
        assert_eq!(group_memory_bytes(root.path(), groups), 1 << 20);
        assert_eq!(group_memory_bytes(root.path(), ""), u64::MAX);
    }

    #[test]
    fn the_innermost_mount_names_the_device() {
        let mounts = "22 1 254:0 / / rw - ext4 /dev/vda rw\n\
            30 22 254:16 / /var/lib rw shared:1 - xfs /dev/vdb rw\n\
            31 22 0:5 / /var/lib\\040old rw - tmpfs tmpfs rw\nrubbish\n";
        assert_eq!(device_of(Path::new("/var/lib/thalweg"), mounts), "/dev/vdb");
        assert_eq!(device_of(Path::new("/var/library"), mounts), "/dev/vda");
        assert_eq!(device_of(Path::new("/var/lib old/x"), mounts), "tmpfs");
        assert_eq!(device_of(Path::new("/"), ""), "");
    }

    #[test]
    fn kafkas_data_are_told_from_ours() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!is_kafkas(directory.path()));
        std::fs::write(directory.path().join("replication-offset-checkpoint"), "0\n").unwrap();
        assert!(is_kafkas(directory.path()));
        std::fs::create_dir(directory.path().join("thalweg-journal")).unwrap();
        assert!(!is_kafkas(directory.path()));
    }
}

//! What a number is a number of: processor, kernel, memory, file system, build.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// The machine and the build that a result came from. Nothing here names the machine itself.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Model of the processor, as the kernel names it.
    pub cpu: String,
    /// Cores this process may use.
    pub core_count: usize,
    /// Kernel release.
    pub kernel: String,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// The broker's data directory, if it was named and is on this machine.
    pub data_dir: Option<FileSystem>,
    /// Commit of the load generator's source; `+changes` if there were some.
    pub loadgen_commit: &'static str,
    /// `false`: a debug build, which measures itself.
    pub optimized: bool,
    /// Where the broker was.
    pub broker: Option<Broker>,
}

/// A file system, from the kernel's list of mounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileSystem {
    /// The directory asked about.
    pub path: PathBuf,
    /// Such as `ext4`.
    pub kind: String,
    /// The device, or what stands in its place.
    pub device: String,
    /// Options of the mount and of the file system.
    pub options: String,
    /// The disk under it, if it lies on one.
    pub disk: Option<Disk>,
}

/// A disk, as the kernel describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Such as `nvme0n1`.
    pub name: String,
    /// The maker's name for it; empty: it tells none.
    pub model: String,
    /// Size, bytes.
    pub size_bytes: u64,
    /// It turns.
    pub is_rotational: Option<bool>,
    /// `write back`: a write is safe once the disk was told to flush; `write through`: at once.
    pub write_cache: String,
}

/// Where the broker was.
#[derive(Clone, Debug, Serialize)]
pub struct Broker {
    /// Its address.
    pub address: SocketAddr,
    /// It shared this machine's cores with the load generator.
    pub same_machine: bool,
    /// Name and version, as told to the generator; the protocol does not tell them.
    pub version: Option<String>,
    /// How many APIs it offers.
    pub api_count: usize,
    /// Features with their levels, as its answer to `ApiVersions` names them: of Kafka, `metadata.version` tells its age.
    pub features: BTreeMap<String, i16>,
}

/// The other end of a connection, and what it said of itself.
#[derive(Clone, Debug)]
pub struct Peer {
    /// This end.
    pub own: SocketAddr,
    /// The broker's.
    pub address: SocketAddr,
    /// How many APIs it offers.
    pub api_count: usize,
    /// Features with their levels.
    pub features: BTreeMap<String, i16>,
}

impl Machine {
    /// This machine, now. What cannot be found out is empty.
    pub fn look(data_dir: Option<&Path>) -> Self {
        let field = |file: &str, key: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
            line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let memory = field("/proc/meminfo", "MemTotal");
        let memory_kib = memory.split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
        Self {
            cpu: field("/proc/cpuinfo", "model name"),
            core_count: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            memory_mib: memory_kib / 1024,
            data_dir: data_dir.and_then(|path| {
                let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
                file_system_of(&path.canonicalize().ok()?, &mounts)
            }),
            loadgen_commit: env!("LOADGEN_COMMIT"),
            optimized: !cfg!(debug_assertions),
            broker: None,
        }
    }

    /// Notes where the broker was and what it said of itself; its version is what the settings say.
    pub fn meet(&mut self, peer: Option<Peer>, version: Option<&str>) {
        self.broker = peer.map(|peer| Broker {
            address: peer.address,
            same_machine: peer.address.ip().is_loopback() || peer.own.ip() == peer.address.ip(),
            version: version.map(str::to_owned),
            api_count: peer.api_count,
            features: peer.features,
        });
    }

    /// What a reader of the figures should be warned of.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.optimized {
            warnings.push("debug build of the load generator: it measures itself".to_owned());
        }
        if self.broker.as_ref().is_some_and(|broker| broker.same_machine) {
            warnings.push("the broker shares this machine's cores with the load generator".to_owned());
        }
        if let Some(found) = &self.data_dir
            && ["tmpfs", "overlay", "ramfs"].contains(&found.kind.as_str())
        {
            warnings.push(format!("the broker's data lies on {}, not on a disk of its own", found.kind));
        }
        warnings
    }
}

/// The mount that `path` lies on, in the form of `/proc/self/mountinfo`:
/// `36 35 98:0 /root /mount options - type device options`.
fn file_system_of(path: &Path, mounts: &str) -> Option<FileSystem> {
    let found = mounts.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(2);
        let number = place.next()?;
        let mut place = place.skip(1);
        let mount = place.next()?.replace("\\040", " ");
        path.starts_with(&mount).then_some((mount.len(), place.next()?, kind, number))
    });
    // Of equal mount points the later one hides the earlier.
    let (_, options, kind, number) = found.max_by_key(|(length, ..)| *length)?;
    let mut kind = kind.split(' ');
    Some(FileSystem {
        path: path.to_owned(),
        kind: kind.next()?.to_owned(),
        device: kind.next()?.to_owned(),
        options: format!("{options};{}", kind.next().unwrap_or_default()),
        disk: Disk::of(number),
    })
}

impl Disk {
    /// The disk that a device of this number (`major:minor`) is, or is a part of.
    fn of(number: &str) -> Option<Self> {
        const SECTOR_BYTES: u64 = 512;
        let device = Path::new("/sys/dev/block").join(number).canonicalize().ok()?;
        let folder = device.ancestors().take(2).find(|folder| folder.join("queue").is_dir())?;
        let read = |file: &str| {
            std::fs::read_to_string(folder.join(file)).map(|text| text.trim().to_owned()).unwrap_or_default()
        };
        Some(Self {
            name: folder.file_name()?.to_string_lossy().into_owned(),
            model: read("device/model"),
            size_bytes: read("size").parse::<u64>().unwrap_or(0) * SECTOR_BYTES,
            is_rotational: read("queue/rotational").parse::<u8>().ok().map(|flag| flag == 1),
            write_cache: read("queue/write_cache"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_is_the_file_system_of_a_path() {
        let mounts = "22 1 252:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n\
                      30 22 0:26 / /data rw,noatime - xfs /dev/vdb rw\n\
                      31 22 0:27 / /database rw - tmpfs none rw\n";
        let found = file_system_of(Path::new("/data/broker"), mounts).unwrap();
        assert_eq!((found.kind.as_str(), found.device.as_str()), ("xfs", "/dev/vdb"));
        assert_eq!(found.options, "rw,noatime;rw");
        assert_eq!(file_system_of(Path::new("/var"), mounts).unwrap().kind, "ext4");
    }

    #[test]
    fn this_machine_can_be_described() {
        let machine = Machine::look(Some(Path::new("/proc")));
        assert!(machine.core_count > 0 && machine.memory_mib > 0 && !machine.kernel.is_empty());
        assert_eq!(machine.data_dir.unwrap().kind, "proc");
    }
}

//! What the facts mean: go on, go on and say so, or stop with the way out. Pure.

use super::facts::{DirectoryFacts, Facts};
use crate::config::CoreSet;
use crate::route::LOCKED_BYTES;
use std::io;

/// glommio cannot make an executor below this.
const MEMLOCK_BYTES_MIN: u64 = 512 << 10;
/// Below this the broker runs out of descriptors with its first few clients.
const FILES_MIN: u64 = 1024;
/// Below this a few thousand partitions and clients do.
const FILES_RECOMMENDED: u64 = 65_536;

/// Why the broker cannot run here. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum GroundError {
    /// The switch is off for everybody.
    #[error(
        "io_uring is forbidden by kernel.io_uring_disabled=2: set it to 0 (sysctl -w kernel.io_uring_disabled=0)"
    )]
    RingDisabled,
    /// The switch lets only some use it.
    #[error(
        "io_uring is limited by kernel.io_uring_disabled=1: set it to 0, or put the broker's user into the group that kernel.io_uring_group names"
    )]
    RingLimited,
    /// The kernel does not have it.
    #[error("kernel {kernel} has no io_uring: Linux 5.8 is needed, 6.1 or later recommended")]
    RingAbsent {
        /// Its release.
        kernel: String,
    },
    /// Something else forbids it.
    #[error(
        "io_uring is forbidden here, most likely by a seccomp filter: allow io_uring_setup, io_uring_enter and io_uring_register (containers: a seccomp profile of your own; systemd: SystemCallFilter=)"
    )]
    RingFiltered,
    /// There is no memory for it.
    #[error(
        "io_uring gets no memory: raise the limit of locked memory (LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited)"
    )]
    RingMemory,
    /// It fails otherwise.
    #[error("io_uring does not work here: {}", io::Error::from_raw_os_error(*code))]
    Ring {
        /// The system's error number.
        code: i32,
    },
    /// The limit is too low.
    #[error(
        "only {bytes} B of memory may be locked, {MEMLOCK_BYTES_MIN} are needed: LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited"
    )]
    Memlock {
        /// What it is.
        bytes: u64,
    },
    /// The limit is too low.
    #[error(
        "only {count} files may be open, {FILES_MIN} are needed and {FILES_RECOMMENDED} recommended: LimitNOFILE=1048576 in the unit, or ulimit -n 1048576"
    )]
    Files {
        /// What it is.
        count: u64,
    },
    /// A CPU that was listed is not there.
    #[error(
        "thalweg.cores names CPU {cpu}, which this process may not use (it may use {allowed}): name others, or a number of cores"
    )]
    Cpu {
        /// Which.
        cpu: usize,
        /// Those it may use.
        allowed: String,
    },
    /// The directory is not there and cannot be made.
    #[error(
        "log directory {path} cannot be made: {error}: {}, or set log.dirs",
        way_in(error, "make it, owned by the user that runs the broker")
    )]
    NotMade {
        /// As it was named.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The directory cannot be written.
    #[error(
        "log directory {path} cannot be written: {error}: {}, or set log.dirs",
        way_in(error, "give it to the user that runs the broker (chown)")
    )]
    NotWritable {
        /// As it was named.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// Two names, one directory.
    #[error("log directory {path} is named twice in log.dirs: name each once")]
    SameDirectory {
        /// The second name.
        path: String,
    },
    /// Another broker has it.
    #[error(
        "log directory {path} is in use by another broker: stop that one, or give this one another log.dirs"
    )]
    Locked {
        /// As it was named.
        path: String,
    },
    /// Kafka's data, which we would not read.
    #[error(
        "log directory {path} holds data of Apache Kafka, which are not taken over: set log.dirs to a new directory and copy the topics by their clients"
    )]
    Kafkas {
        /// As it was named.
        path: String,
    },
    /// The file system copies on write.
    #[error(
        "log directory {path} is on {file_system}, which copies on write: put it on ext4 or XFS, or set thalweg.allow.cow=true and expect slow writes and space that runs out early"
    )]
    CopiesOnWrite {
        /// As it was named.
        path: String,
        /// Its file system.
        file_system: &'static str,
    },
    /// There is no room for the first journals.
    #[error(
        "log directory {path} has {} MiB free, {} are needed for its first journals: make room, set log.dirs, or a smaller thalweg.journal.file.bytes or fewer --cores",
        free_bytes >> 20,
        needed_bytes >> 20
    )]
    Full {
        /// As it was named.
        path: String,
        /// What is free.
        free_bytes: u64,
        /// A journal file for each core.
        needed_bytes: u64,
    },
    /// The file system refuses direct I/O.
    #[error(
        "log directory {path} is on {file_system}, which refuses direct I/O ({reason}): put it on ext4 or XFS"
    )]
    NoDirect {
        /// As it was named.
        path: String,
        /// Its file system.
        file_system: &'static str,
        /// What the system said.
        reason: String,
    },
}

impl GroundError {
    /// The directory is as it was meant and does not work; others may.
    pub(super) fn is_out_of_order(&self) -> bool {
        matches!(self, Self::NotMade { .. } | Self::NotWritable { .. } | Self::Full { .. })
    }
}

/// How a directory becomes one that can be written; `usual` where the system gives no better hint.
fn way_in<'a>(error: &io::Error, usual: &'a str) -> &'a str {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            "mount it for writing, or name it in ReadWritePaths= where systemd's unit forbids it"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "name a directory, this is a file",
        _ => usual,
    }
}

/// What should be known and keeps nobody from running.
pub type Warning = String;

/// A file system by its magic number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileSystem {
    pub(super) name: &'static str,
    copies_on_write: bool,
    /// Why it is a poor place for data that were promised to be durable.
    concern: Option<&'static str>,
}

const FILE_SYSTEMS: [(u64, &str, bool, Option<&str>); 12] = [
    (0xef53, "ext4", false, None),
    (0x5846_5342, "XFS", false, None),
    (0x9123_683e, "btrfs", true, None),
    (0xca45_1a4e, "bcachefs", true, None),
    (0x2fc1_2fc1, "ZFS", true, None),
    (0x0102_1994, "tmpfs", false, Some("it is memory: what was acknowledged is gone after a reboot")),
    (0x8584_58f6, "ramfs", false, Some("it is memory: what was acknowledged is gone after a reboot")),
    (0x794c_7630, "overlayfs", false, Some("it goes with the container: mount a volume there")),
    (0x6969, "NFS", false, Some("what a sync means is up to its server")),
    (0xff53_4d42, "CIFS", false, Some("what a sync means is up to its server")),
    (0xfe53_4d42, "SMB", false, Some("what a sync means is up to its server")),
    (0x6573_5546, "FUSE", false, Some("what a sync means is up to its program")),
];

/// What is known of a file system.
pub(super) fn file_system(magic: u64) -> FileSystem {
    let known = FILE_SYSTEMS.iter().find(|(known, ..)| *known == magic);
    known.map_or(
        FileSystem {
            name: "a file system that is not known here",
            copies_on_write: false,
            concern: Some("only ext4 and XFS are tested"),
        },
        |(_, name, copies_on_write, concern)| FileSystem {
            name,
            copies_on_write: *copies_on_write,
            concern: *concern,
        },
    )
}

/// Whether the machine will do.
pub(super) fn machine(facts: &Facts, cores: &CoreSet) -> Result<Vec<Warning>, GroundError> {
    ring(facts)?;
    if facts.memlock_bytes < MEMLOCK_BYTES_MIN {
        return Err(GroundError::Memlock { bytes: facts.memlock_bytes });
    }
    if facts.files_max < FILES_MIN {
        return Err(GroundError::Files { count: facts.files_max });
    }
    let mut warnings = Vec::new();
    if facts.files_max < FILES_RECOMMENDED {
        warnings.push(format!(
            "only {} files may be open, for connections and partitions together: LimitNOFILE=1048576 in the unit, or ulimit -n",
            facts.files_max
        ));
    }
    let registered_bytes = (cores.count() * LOCKED_BYTES) as u64;
    if facts.memlock_bytes < registered_bytes && !facts.may_lock_all {
        warnings.push(format!(
            "only {} KiB of memory may be locked, {} are wanted for buffers of the rings: without them reads and writes cost more. LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited",
            facts.memlock_bytes >> 10,
            registered_bytes >> 10
        ));
    }
    match cores {
        CoreSet::List(cpus) => {
            if let Some(cpu) = cpus.iter().find(|cpu| !facts.cpus.contains(cpu)) {
                let allowed = facts.cpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
                return Err(GroundError::Cpu { cpu: *cpu, allowed });
            }
        }
        CoreSet::Count(count) if *count > facts.cpus.len() => {
            warnings.push(format!("{count} cores asked for on {} CPUs: they take turns", facts.cpus.len()));
        }
        CoreSet::Count(_) | CoreSet::All => {}
    }
    Ok(warnings)
}

fn ring(facts: &Facts) -> Result<(), GroundError> {
    const EPERM: i32 = 1;
    const EACCES: i32 = 13;
    const ENOMEM: i32 = 12;
    const ENOSYS: i32 = 38;
    Err(match (facts.ring_error, facts.io_uring_disabled.trim()) {
        (0, _) => return Ok(()),
        (EPERM | EACCES, "2") => GroundError::RingDisabled,
        (EPERM | EACCES, "1") => GroundError::RingLimited,
        // Some filters answer "no such call" for what they forbid; a kernel that has the switch has the call.
        (ENOSYS, "") => GroundError::RingAbsent { kernel: facts.kernel.clone() },
        (EPERM | EACCES | ENOSYS, _) => GroundError::RingFiltered,
        (ENOMEM, _) => GroundError::RingMemory,
        (code, _) => GroundError::Ring { code },
    })
}

/// Room that the journals take in one directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct JournalRoom {
    /// At a first start.
    pub(super) first_bytes: u64,
    /// When all their files are in use.
    pub(super) most_bytes: u64,
}

/// Whether a log directory will do.
pub(super) fn directory(
    facts: &DirectoryFacts,
    cow_allowed: bool,
    room: JournalRoom,
) -> Result<Vec<Warning>, GroundError> {
    let path = facts.name.clone();
    let system = file_system(facts.magic);
    if facts.is_kafkas {
        return Err(GroundError::Kafkas { path });
    }
    if system.copies_on_write && !cow_allowed {
        return Err(GroundError::CopiesOnWrite { path, file_system: system.name });
    }
    if let Some(reason) = &facts.direct_error {
        return Err(GroundError::NoDirect { path, file_system: system.name, reason: reason.clone() });
    }
    let free_bytes = facts.free_bytes;
    if !facts.has_journal && free_bytes < room.first_bytes {
        return Err(GroundError::Full { path, free_bytes, needed_bytes: room.first_bytes });
    }
    let concern = match system.concern {
        None if system.copies_on_write => Some("it copies on write"),
        concern => concern,
    };
    let mut warnings: Vec<Warning> = Vec::new();
    if let Some(concern) = concern {
        warnings.push(format!("log directory {path} is on {}: {concern}", system.name));
    }
    if free_bytes < room.most_bytes {
        warnings.push(format!(
            "log directory {path} has {} MiB free: its journals alone may take {}. Make room, or lower thalweg.journal.files.max",
            free_bytes >> 20,
            room.most_bytes >> 20
        ));
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        Facts {
            kernel: "6.8.0".to_owned(),
            io_uring_disabled: "0\n".to_owned(),
            ring_error: 0,
            memlock_bytes: 1 << 30,
            may_lock_all: false,
            files_max: 1 << 20,
            cpus: vec![0, 1],
            memory_bytes: 8 << 30,
        }
    }

    fn trouble(facts: &Facts) -> String {
        machine(facts, &CoreSet::All).unwrap_err().to_string()
    }

    fn place() -> DirectoryFacts {
        DirectoryFacts {
            name: "/data".to_owned(),
            magic: 0xef53,
            device: "/dev/sda1".to_owned(),
            direct_error: None,
            is_kafkas: false,
            has_journal: false,
            free_bytes: 64 << 30,
        }
    }

    const ROOM: JournalRoom = JournalRoom { first_bytes: 64 << 20, most_bytes: 512 << 20 };

    #[test]
    fn a_good_machine_has_nothing_to_say() {
        assert_eq!(machine(&good(), &CoreSet::All).unwrap(), Vec::<String>::new());
        assert_eq!(directory(&place(), false, ROOM).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn each_trouble_with_io_uring_names_its_own_way_out() {
        let told = |ring_error, switch: &str| {
            trouble(&Facts { ring_error, io_uring_disabled: switch.to_owned(), ..good() })
        };
        assert!(told(1, "2\n").contains("sysctl -w"));
        assert!(told(1, "1\n").contains("kernel.io_uring_group"));
        assert!(told(1, "0\n").contains("seccomp"));
        assert!(told(13, "").contains("seccomp"));
        assert!(told(38, "0\n").contains("seccomp"));
        assert!(told(38, "").contains("kernel 6.8.0 has no io_uring"));
        assert!(told(12, "0\n").contains("LimitMEMLOCK"));
        assert!(told(22, "0\n").contains("Invalid argument"));
    }

    #[test]
    fn limits_that_are_too_low_say_how_to_raise_them() {
        assert!(trouble(&Facts { memlock_bytes: 64 << 10, ..good() }).contains("LimitMEMLOCK"));
        assert!(trouble(&Facts { files_max: 256, ..good() }).contains("LimitNOFILE"));
        let warned = machine(&Facts { files_max: 20_000, ..good() }, &CoreSet::All).unwrap();
        assert!(warned[0].contains("20000 files"), "{warned:?}");
        let little = Facts { memlock_bytes: 8 << 20, ..good() };
        let warned = machine(&little, &CoreSet::Count(2)).unwrap();
        assert!(
            warned[0].starts_with("only 8192 KiB of memory may be locked, 98304 are wanted"),
            "{warned:?}"
        );
        let warned = machine(&Facts { may_lock_all: true, ..little }, &CoreSet::Count(2)).unwrap();
        assert_eq!(warned, Vec::<String>::new());
    }

    #[test]
    fn cpus_that_are_not_there_are_named() {
        let refused = machine(&good(), &CoreSet::List(vec![1, 4])).unwrap_err().to_string();
        assert!(refused.contains("CPU 4") && refused.contains("0,1"), "{refused}");
        assert_eq!(machine(&good(), &CoreSet::Count(3)).unwrap().len(), 1);
        assert!(machine(&good(), &CoreSet::List(vec![1])).unwrap().is_empty());
    }

    #[test]
    fn places_where_promises_cannot_be_kept_are_refused() {
        let told = |facts: &DirectoryFacts| directory(facts, false, ROOM).unwrap_err().to_string();
        let btrfs = DirectoryFacts { magic: 0x9123_683e, ..place() };
        assert!(told(&btrfs).contains("thalweg.allow.cow=true"));
        assert!(directory(&btrfs, true, ROOM).unwrap()[0].contains("copies on write"));
        let tmpfs = DirectoryFacts {
            magic: 0x0102_1994,
            direct_error: Some("Invalid argument".to_owned()),
            ..place()
        };
        assert!(told(&tmpfs).contains("tmpfs, which refuses direct I/O"));
        assert!(told(&DirectoryFacts { is_kafkas: true, ..place() }).contains("Apache Kafka"));
        let odd = directory(&DirectoryFacts { magic: 1, ..place() }, false, ROOM).unwrap();
        assert!(odd[0].contains("only ext4 and XFS are tested"), "{odd:?}");
        let forbidden = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
        let forbidden = GroundError::NotWritable { path: "/srv".to_owned(), error: forbidden };
        assert!(forbidden.to_string().contains("ReadWritePaths="), "{forbidden}");
    }

    #[test]
    fn a_disk_without_room_for_the_journals_is_told_before_it_is_full() {
        let little = DirectoryFacts { free_bytes: 40 << 20, ..place() };
        let told = directory(&little, false, ROOM).unwrap_err().to_string();
        assert!(told.contains("40 MiB free, 64 are needed"), "{told}");
        // With journals in it, there is something to recover: it must start, and may have no more room than that.
        let old = directory(&DirectoryFacts { has_journal: true, ..little }, false, ROOM).unwrap();
        assert!(old[0].contains("its journals alone may take 512"), "{old:?}");
    }
}

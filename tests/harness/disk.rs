//! Disks of a few hundred MiB that a test may fill, break and mend: a file behind a loop device, with a file system in it.
//!
//! Needs root, loop devices and the file system's tools, which are installed where we may; where one is missing, the test is
//! skipped in one loud line. What was mounted is taken down when the value ends, and what a killed test left when the next
//! one begins.

use crate::process::which;
use crate::programs::installed;
use crate::scratch::{Scratch, target_dir};
use crate::skip::skip_test;
use std::fmt::{self, Display};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

/// Programs, and Debian's packages that they are installed from.
const PACKAGES: [(&[&str], &str); 2] = [(&["mkfs.ext4"], "e2fsprogs"), (&["mkfs.xfs", "xfs_io"], "xfsprogs")];

/// What file system a disk has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// Turns read-only after an error, as most machines mount it.
    Ext4,
    /// Shuts down after an error.
    Xfs,
}

impl Display for FileSystem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if *self == Self::Ext4 { "ext4" } else { "xfs" })
    }
}

/// A disk of its own, mounted. Keep it longer than the broker that uses it.
#[derive(Debug)]
pub struct LoopDisk {
    system: FileSystem,
    /// Memory under the image, where the device itself shall run out.
    memory: Option<PathBuf>,
    image: PathBuf,
    mount: PathBuf,
    _scratch: Scratch,
}

impl LoopDisk {
    /// A fresh disk; `None`, loudly, where none can be had.
    pub fn new(test: &str, system: FileSystem, mib: u64) -> Option<Self> {
        Self::on(test, system, mib, None)
    }

    /// A disk whose device fails every write beyond its first so many MiB: the file system believes that it has more.
    pub fn failing_after(test: &str, system: FileSystem, mib: u64, device_mib: u64) -> Option<Self> {
        Self::on(test, system, mib, Some(device_mib))
    }

    fn on(test: &str, system: FileSystem, mib: u64, device_mib: Option<u64>) -> Option<Self> {
        static SWEEP: Once = Once::new();
        SWEEP.call_once(unmount_what_was_left);
        let scratch = Scratch::new("disk");
        let memory = device_mib.map(|_| scratch.path().join("memory"));
        let image = memory.as_deref().unwrap_or(scratch.path()).join("image");
        let mount = scratch.path().join("mount");
        let disk = Self { system, memory, image, mount, _scratch: scratch };
        match disk.make(mib, device_mib) {
            Ok(()) => Some(disk),
            Err(why) => {
                skip_test(&format!("{test} on {system}"), &why);
                None
            }
        }
    }

    fn make(&self, mib: u64, device_mib: Option<u64>) -> Result<(), String> {
        fs::create_dir_all(&self.mount).map_err(|error| error.to_string())?;
        if let (Some(memory), Some(device_mib)) = (&self.memory, device_mib) {
            fs::create_dir_all(memory).map_err(|error| error.to_string())?;
            run("mount", &["-t", "tmpfs", "-o", &format!("size={device_mib}m"), "disk", text(memory)])?;
        }
        let file = File::create(&self.image).map_err(|error| error.to_string())?;
        file.set_len(mib << 20).map_err(|error| error.to_string())?;
        match self.system {
            // Nothing is kept for root, as whom these tests run.
            FileSystem::Ext4 => run("mkfs.ext4", &["-q", "-m", "0", text(&self.image)])?,
            FileSystem::Xfs => run("mkfs.xfs", &["-q", text(&self.image)])?,
        };
        self.mount()
    }

    /// Mounts it again after `unmount`.
    ///
    /// # Errors
    /// What `mount` says.
    pub fn mount(&self) -> Result<(), String> {
        let options = if self.system == FileSystem::Ext4 { "loop,errors=remount-ro" } else { "loop" };
        run("mount", &["-o", options, text(&self.image), text(&self.mount)])?;
        if self.memory.is_none() {
            return Ok(());
        }
        // The loop driver calls a write that its file took in part a success. Page by page there is no part.
        let pages = format!("/sys/block/{}/queue/max_sectors_kb", self.device());
        fs::write(&pages, "4").map_err(|error| format!("{pages}: {error}"))
    }

    /// Takes it down, as soon as nobody uses it any more.
    ///
    /// # Panics
    /// If somebody still does.
    pub fn unmount(&self) {
        run("umount", &[text(&self.mount)]).expect("nobody uses the disk");
    }

    /// Where its files are.
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// Bytes that are left.
    ///
    /// # Panics
    /// If the file system does not tell.
    pub fn free_bytes(&self) -> u64 {
        let found = rustix::fs::statvfs(&self.mount).expect("a mounted file system tells");
        found.f_bavail * found.f_frsize
    }

    /// Somebody else takes all but so many bytes; down to the last block with 0. Gone when `make_room` is called.
    ///
    /// # Panics
    /// If it cannot be written for another reason than its end.
    pub fn fill_up(&self, left_bytes: u64) {
        let mut filler =
            File::options().create(true).append(true).open(self.filler()).expect("a name has room");
        // The smallest blocks that a file system has here are of 1 KiB.
        for piece_bytes in [1 << 20, 4096, 1024] {
            let piece = vec![1; piece_bytes];
            while self.free_bytes() >= left_bytes + piece_bytes as u64 || left_bytes == 0 {
                match filler.write_all(&piece).and_then(|()| filler.sync_all()) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("filling the disk: {error}"),
                }
            }
        }
    }

    /// What somebody else took is free again.
    ///
    /// # Panics
    /// If it cannot be removed.
    pub fn make_room(&self) {
        fs::remove_file(self.filler()).expect("the filler can be removed");
    }

    fn filler(&self) -> PathBuf {
        self.mount.join("of-somebody-else")
    }

    /// From now on nothing can be written: ext4 finds an error in itself and turns read-only, XFS shuts down.
    ///
    /// # Panics
    /// If this kernel has no way to do it.
    pub fn break_down(&self) {
        match self.system {
            FileSystem::Ext4 => {
                let device = self.device();
                fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "a test")
                    .expect("ext4 can be hurt");
            }
            FileSystem::Xfs => {
                run("xfs_io", &["-x", "-c", "shutdown", text(&self.mount)]).expect("XFS can be shut down");
            }
        }
    }

    /// Tries what an operator may try; the system refuses while files are open for writing.
    ///
    /// # Errors
    /// What `mount` says.
    pub fn remount_read_only(&self) -> Result<(), String> {
        run("mount", &["-o", "remount,ro", text(&self.mount)]).map(drop)
    }

    /// A device that failed beyond its end has so many MiB from now on.
    ///
    /// # Panics
    /// If it was made without such an end.
    pub fn mend_device(&self, device_mib: u64) {
        let memory = self.memory.as_ref().expect("a device that fails");
        run("mount", &["-o", &format!("remount,size={device_mib}m"), text(memory)]).expect("memory can grow");
    }

    /// `loop7`.
    fn device(&self) -> String {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("the mounts can be read");
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some(text(&self.mount)));
        let device = line.and_then(|line| line.split(' ').next()).expect("it is mounted");
        device.trim_start_matches("/dev/").to_owned()
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        for mount in [Some(&self.mount), self.memory.as_ref()].into_iter().flatten() {
            let _ = run("umount", &["-l", text(mount)]); // it may never have been mounted
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    // What makes file systems is where only root looks for it.
    let place = ["/usr/sbin", "/sbin"].map(|folder| Path::new(folder).join(program));
    let found = which(program).or_else(|| place.into_iter().find(|path| path.is_file()));
    let found = match (found, PACKAGES.iter().find(|(names, _)| names.contains(&program))) {
        (None, Some((_, package))) => installed(program, package, &[program]),
        (found, _) => found,
    };
    let found = found.ok_or_else(|| format!("{program} is missing"))?;
    let output = Command::new(found).args(arguments).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// Mounts of tests that were killed.
fn unmount_what_was_left() {
    let root = target_dir().join("test-data");
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
    for point in points.filter(|point| point.starts_with(&root)) {
        let process = point.strip_prefix(&root).ok().and_then(|rest| rest.iter().next());
        if process.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = run("umount", &["-l", text(point)]);
        }
    }
}

//! What a hand at the medium does while nobody runs: looks, puts, takes, swaps, turns bits.

use super::file::block_of;
use super::world::InFlight;
use super::{BLOCK_BYTES, SimDisk};
use std::io;
use std::path::{Path, PathBuf};

impl SimDisk {
    /// Paths and lengths of all files.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let mut world = self.0.world.borrow_mut();
        let paths = world.paths();
        paths
            .into_iter()
            .map(|(path, inode)| (path, world.file(inode).map_or(0, |file| file.bytes())))
            .collect()
    }

    /// A file's bytes as they would be read now; empty for one that is not there.
    pub fn content(&self, path: &Path) -> Vec<u8> {
        let mut world = self.0.world.borrow_mut();
        let found = world.find(path).and_then(|inode| world.file(inode).map(|file| file.read(0, usize::MAX)));
        found.unwrap_or_default()
    }

    /// Puts a file on the medium, synced, with the directories above it.
    ///
    /// # Errors
    /// When a name above it is a file's.
    pub fn put(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.0.world.borrow_mut();
        let parents: Vec<&Path> = path.ancestors().skip(1).collect();
        parents.iter().rev().try_for_each(|parent| world.create_directory(parent))?;
        let inode = world.find(path).or_else(|_| world.create_file(path))?;
        let blocks = bytes.chunks(BLOCK_BYTES).map(block_of).collect();
        world.land(InFlight { inode, at: 0, blocks }, |block| Some(block.clone()))?;
        let write = world.write_next;
        let file = world.file(inode)?;
        file.cut(bytes.len() as u64, write);
        let covered = file.begin_sync(u64::MAX);
        file.end_sync(covered);
        let change_end = world.begin_sync_directory();
        for parent in parents {
            let directory = world.find(parent)?;
            world.end_sync_directory(directory, change_end);
        }
        Ok(())
    }

    /// Turns one bit of a file on the medium, between lives.
    pub fn flip_bit(&self, path: &Path, at: u64, bit: u32) {
        let mut world = self.0.world.borrow_mut();
        let inode = world.find(path);
        if let Ok(file) = inode.and_then(|inode| world.file(inode)) {
            file.flip(at, bit);
        }
    }

    /// The next so many reads of open files come with a bit turned on their way; the medium is well.
    pub fn garble_reads(&self, count: u64) {
        self.0.garbled.set(count);
    }

    /// Takes a file away, between lives.
    pub fn lose_file(&self, path: &Path) {
        let root = Path::new("");
        let mut world = self.0.world.borrow_mut();
        if world.unlink(path).is_ok()
            && let Ok(directory) = world.find(path.parent().unwrap_or(root))
        {
            let change_end = world.begin_sync_directory();
            world.end_sync_directory(directory, change_end);
        }
    }

    /// Gives a file or directory another name, between lives.
    pub fn move_name(&self, source: &Path, target: &Path) {
        let root = Path::new("");
        let mut world = self.0.world.borrow_mut();
        if world.rename(source, target).is_ok() {
            let change_end = world.begin_sync_directory();
            for path in [source, target] {
                if let Ok(directory) = world.find(path.parent().unwrap_or(root)) {
                    world.end_sync_directory(directory, change_end);
                }
            }
        }
    }
}

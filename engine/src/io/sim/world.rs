//! The simulated medium: files, names, locks, and what a power cut makes of them.
//!
//! Names are durable by themselves only after a sync of their directory: until then each creation, removal and rename
//! may come true or not, whatever became of the others.

use super::file::{Block, File, torn};
use super::random::Random;
use crate::io::BLOCK_BYTES;
use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Number of a file or directory.
pub(super) type Inode = usize;

const ROOT: Inode = 0;

pub(super) enum Node {
    File(File),
    Directory { synced: BTreeMap<String, Inode>, names: BTreeMap<String, Inode> },
}

/// A change of names that is not synced.
#[derive(Clone)]
enum Change {
    Link { directory: Inode, name: String, inode: Inode },
    Unlink { directory: Inode, name: String },
    Rename { source: (Inode, String), target: (Inode, String), inode: Inode },
}

/// A write on its way to the device.
pub(super) struct InFlight {
    pub(super) inode: Inode,
    pub(super) at: u64,
    pub(super) blocks: Vec<Block>,
}

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Only what was synced is sure to be there.
    PowerCut,
    /// The process is gone; what the kernel had stays, and writes in flight land late.
    Kill,
}

pub(super) struct World {
    pub(super) nodes: Vec<Node>,
    changes: Vec<(u64, Change)>,
    change_next: u64,
    pub(super) write_next: u64,
    pub(super) in_flight: BTreeMap<u64, InFlight>,
    late: Vec<(Duration, InFlight)>,
    pub(super) storage_bytes_max: u64,
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} is not there", path.display()))
}

impl World {
    pub(super) fn new() -> Self {
        let root = Node::Directory { synced: BTreeMap::new(), names: BTreeMap::new() };
        Self {
            nodes: vec![root],
            changes: Vec::new(),
            change_next: 0,
            write_next: 0,
            in_flight: BTreeMap::new(),
            late: Vec::new(),
            storage_bytes_max: u64::MAX,
        }
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<Inode> {
        let mut inode = ROOT;
        for part in path.components() {
            let Component::Normal(name) = part else { return Err(missing(path)) };
            let Some(Node::Directory { names, .. }) = self.nodes.get(inode) else {
                return Err(missing(path));
            };
            inode = *name.to_str().and_then(|name| names.get(name)).ok_or_else(|| missing(path))?;
        }
        Ok(inode)
    }

    /// The directory that holds a path, and the last name of it.
    fn place(&self, path: &Path) -> io::Result<(Inode, String)> {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| missing(path))?;
        Ok((self.find(path.parent().unwrap_or(Path::new("")))?, name.to_owned()))
    }

    pub(super) fn names(&self, inode: Inode) -> io::Result<&BTreeMap<String, Inode>> {
        match &self.nodes[inode] {
            Node::Directory { names, .. } => Ok(names),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn file(&mut self, inode: Inode) -> io::Result<&mut File> {
        match &mut self.nodes[inode] {
            Node::File(file) => Ok(file),
            Node::Directory { .. } => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn is_directory(&self, inode: Inode) -> bool {
        matches!(self.nodes[inode], Node::Directory { .. })
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.nodes, &change, |node| match node {
            Node::Directory { names, .. } => Some(names),
            Node::File(_) => None,
        });
        self.changes.push((self.change_next, change));
        self.change_next += 1;
    }

    pub(super) fn create(&mut self, path: &Path, node: Node) -> io::Result<Inode> {
        let (directory, name) = self.place(path)?;
        self.nodes.push(node);
        let inode = self.nodes.len() - 1;
        self.change(Change::Link { directory, name, inode });
        Ok(inode)
    }

    pub(super) fn create_file(&mut self, path: &Path) -> io::Result<Inode> {
        self.create(path, Node::File(File::default()))
    }

    pub(super) fn create_directory(&mut self, path: &Path) -> io::Result<()> {
        if self.find(path).is_ok() {
            return Ok(());
        }
        let node = Node::Directory { synced: BTreeMap::new(), names: BTreeMap::new() };
        self.create(path, node).map(|_| ())
    }

    pub(super) fn unlink(&mut self, path: &Path) -> io::Result<()> {
        self.find(path)?;
        let (directory, name) = self.place(path)?;
        self.change(Change::Unlink { directory, name });
        Ok(())
    }

    pub(super) fn rename(&mut self, source: &Path, target: &Path) -> io::Result<()> {
        let inode = self.find(source)?;
        let (source, target) = (self.place(source)?, self.place(target)?);
        self.change(Change::Rename { source, target, inode });
        Ok(())
    }

    /// A sync of a directory begins: it covers what happened so far.
    pub(super) fn begin_sync_directory(&self) -> u64 {
        self.change_next
    }

    pub(super) fn end_sync_directory(&mut self, directory: Inode, change_end: u64) {
        let (covered, left) = std::mem::take(&mut self.changes)
            .into_iter()
            .partition(|(number, change)| *number < change_end && change.touches(directory));
        self.changes = left;
        let covered: Vec<(u64, Change)> = covered;
        covered.iter().for_each(|(_, change)| self.settle(change));
    }

    fn settle(&mut self, change: &Change) {
        apply(&mut self.nodes, change, |node| match node {
            Node::Directory { synced, .. } => Some(synced),
            Node::File(_) => None,
        });
    }

    /// Bytes that files with a name take.
    pub(super) fn storage_bytes(&self) -> u64 {
        let bytes = |inode: Inode| if let Node::File(file) = &self.nodes[inode] { file.bytes() } else { 0 };
        self.paths().into_iter().map(|(_, inode)| bytes(inode)).sum()
    }

    /// Makes room for a file that grows.
    pub(super) fn grow(&mut self, inode: Inode, end: u64) -> io::Result<()> {
        let bytes = self.file(inode)?.bytes();
        if end > bytes
            && self.storage_bytes_max < u64::MAX
            && self.storage_bytes() + (end - bytes) > self.storage_bytes_max
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file(inode)?.extend(end);
        Ok(())
    }

    /// A write reaches the device, all blocks of it or those that `lands` says.
    pub(super) fn land(
        &mut self,
        write: InFlight,
        mut lands: impl FnMut(&Block) -> Option<Block>,
    ) -> io::Result<()> {
        let end = write.at + (write.blocks.len() * BLOCK_BYTES) as u64;
        self.grow(write.inode, end)?;
        let number = self.write_next;
        self.write_next += 1;
        let file = self.file(write.inode)?;
        for (place, block) in (write.at / BLOCK_BYTES as u64..).zip(write.blocks) {
            if let Some(block) = lands(&block) {
                file.write(place, block, number);
            }
        }
        Ok(())
    }

    /// Writes of a killed process that were due by now; how many.
    pub(super) fn land_late(&mut self, now: Duration) -> usize {
        let (due, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= now);
        self.late = left;
        let count = due.len();
        for (_, write) in due {
            let _ = self.land(write, |block| Some(block.clone()));
        }
        count
    }

    /// The life is over.
    pub(super) fn end_life(&mut self, end: End, now: Duration, random: &mut Random) {
        let mut flying: Vec<InFlight> = std::mem::take(&mut self.in_flight).into_values().collect();
        if end == End::Kill {
            for node in &mut self.nodes {
                if let Node::File(file) = node {
                    file.unlock();
                }
            }
            for write in flying {
                let lands = now + Duration::from_micros(random.below(60_000));
                if random.per_mille(700)
                    && let Ok(file) = self.file(write.inode)
                {
                    file.locked_until = file.locked_until.max(lands + Duration::from_micros(1));
                    self.late.push((lands, write));
                }
            }
            return;
        }
        flying.extend(std::mem::take(&mut self.late).into_iter().map(|(_, write)| write));
        for write in flying {
            // Whether a block came, came not or came torn is up to the cut; each may still be lost below.
            let mut choice = random.clone();
            let _ = self.land(write, |block| match choice.below(4) {
                0 => None,
                1 => Some(torn(&None, block, &mut choice)),
                _ => Some(block.clone()),
            });
            random.next_u64();
        }
        self.cut_names(random);
        for node in &mut self.nodes {
            if let Node::File(file) = node {
                file.power_cut(random);
            }
        }
    }

    fn cut_names(&mut self, random: &mut Random) {
        let changes = std::mem::take(&mut self.changes);
        // As file systems with a journal do it, or each change for itself.
        let in_order = random.per_mille(500);
        let count = random.below(changes.len() as u64 + 1) as usize;
        for (at, (_, change)) in changes.iter().enumerate() {
            if if in_order { at < count } else { random.per_mille(500) } {
                self.settle(change);
            }
        }
        for node in &mut self.nodes {
            if let Node::Directory { synced, names } = node {
                names.clone_from(synced);
            }
        }
        self.free_unnamed();
    }

    /// Nobody finds these files any more.
    fn free_unnamed(&mut self) {
        let mut named = vec![false; self.nodes.len()];
        let mut open = vec![ROOT];
        while let Some(inode) = open.pop() {
            if !std::mem::replace(&mut named[inode], true)
                && let Node::Directory { names, .. } = &self.nodes[inode]
            {
                open.extend(names.values());
            }
        }
        for (node, named) in self.nodes.iter_mut().zip(named) {
            if let (Node::File(file), false) = (node, named) {
                *file = File::default();
            }
        }
    }

    /// All files by their paths.
    pub(super) fn paths(&self) -> Vec<(PathBuf, Inode)> {
        let mut found = Vec::new();
        let mut open = vec![(PathBuf::new(), ROOT)];
        while let Some((path, inode)) = open.pop() {
            match &self.nodes[inode] {
                Node::File(_) => found.push((path, inode)),
                Node::Directory { names, .. } => {
                    open.extend(names.iter().map(|(name, inode)| (path.join(name), *inode)));
                }
            }
        }
        found.sort();
        found
    }
}

impl Change {
    fn touches(&self, inode: Inode) -> bool {
        match self {
            Self::Link { directory, .. } | Self::Unlink { directory, .. } => *directory == inode,
            Self::Rename { source, target, .. } => source.0 == inode || target.0 == inode,
        }
    }
}

fn apply(
    nodes: &mut [Node],
    change: &Change,
    names: impl Fn(&mut Node) -> Option<&mut BTreeMap<String, Inode>>,
) {
    let mut within = |directory: Inode, edit: &dyn Fn(&mut BTreeMap<String, Inode>)| {
        if let Some(names) = nodes.get_mut(directory).and_then(&names) {
            edit(names);
        }
    };
    match change {
        Change::Link { directory, name, inode } => within(*directory, &|names| {
            names.insert(name.clone(), *inode);
        }),
        Change::Unlink { directory, name } => within(*directory, &|names| {
            names.remove(name);
        }),
        Change::Rename { source, target, inode } => {
            within(source.0, &|names| {
                if names.get(&source.1) == Some(inode) {
                    names.remove(&source.1);
                }
            });
            within(target.0, &|names| {
                names.insert(target.1.clone(), *inode);
            });
        }
    }
}

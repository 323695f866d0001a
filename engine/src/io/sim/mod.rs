//! A disk in memory that can do everything a real one does wrong, and does it again from the same seed.
//!
//! ```text
//! lives of the code under test:  run -> cut at a step | failed sync | ... -> end_life -> run again
//! the medium:                    synced | unsynced, may be kept, lost or torn | in flight, may land late
//! ```
//! Every request is two steps, one when it begins and one when its effect is there and nobody knows yet; a life may be
//! cut at any step. Made for tests; nothing here is in a broker.

mod executor;
mod file;
mod medium;
mod random;
mod world;

pub use executor::Simulation;
pub use random::Random;
pub use world::End;

use super::{BLOCK_BYTES, Disk, DiskFile, Names, NewFiles, OpenMode};
use bytes::Bytes;
use file::{Block, block_of};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};
use world::{InFlight, Inode, World};

/// Milliseconds since 1970 when a simulation begins.
pub const WALL_START_MS: u64 = 1_700_000_000_000;
/// How long a lock is waited for.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);

/// What goes wrong, and how often. The default is a disk that is well.
#[derive(Clone, Debug)]
pub struct Faults {
    /// The life is cut when so many steps were taken since the faults were set.
    pub cut_after_steps: Option<u64>,
    /// Failed writes, so many in 100 000; half of them land in part.
    pub write_fails: u64,
    /// Failed syncs, so many in 100 000; unsynced blocks of this file and of others may be lost then.
    pub sync_fails: u64,
    /// Failed reads of files, so many in 100 000.
    pub read_fails: u64,
    /// Requests that take up to a second, so many in 100 000.
    pub slow: u64,
    /// What all files together may take.
    pub storage_bytes_max: u64,
    /// What has to be free when something gets another name: XFS wants a block.
    pub name_bytes: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            cut_after_steps: None,
            write_fails: 0,
            sync_fails: 0,
            read_fails: 0,
            slow: 0,
            storage_bytes_max: u64::MAX,
            name_bytes: 0,
        }
    }
}

/// See the file's header; clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Rc<Inner>);

struct Inner {
    simulation: Simulation,
    world: RefCell<World>,
    random: RefCell<Random>,
    faults: RefCell<Faults>,
    steps: Cell<u64>,
    /// What went wrong so far, each with how often.
    happened: RefCell<BTreeMap<&'static str, u64>>,
    handle_next: Cell<u64>,
    garbled: Cell<u64>,
    computing: Cell<u64>,
    computing_most: Cell<u64>,
    root_syncs: Cell<u64>,
    begun: Instant,
}

/// An open file of it; gives up its lock a little after it is dropped, as descriptors closed through a ring do.
pub struct SimFile {
    disk: SimDisk,
    inode: Inode,
    handle: u64,
}

impl SimDisk {
    /// An empty disk, used by the tasks of `simulation`.
    pub fn new(simulation: &Simulation, seed: u64) -> Self {
        Self(Rc::new(Inner {
            simulation: simulation.clone(),
            world: RefCell::new(World::new()),
            random: RefCell::new(Random::new(seed ^ 0x0D15_C0FF)),
            faults: RefCell::default(),
            steps: Cell::new(0),
            happened: RefCell::default(),
            handle_next: Cell::new(1),
            garbled: Cell::default(),
            computing: Cell::default(),
            computing_most: Cell::default(),
            root_syncs: Cell::default(),
            begun: Instant::now(),
        }))
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.0.world.borrow_mut().storage_bytes_max = faults.storage_bytes_max;
        *self.0.faults.borrow_mut() = faults;
        self.0.steps.set(0);
    }

    /// The disk has so many bytes left from now on.
    pub fn leave_storage(&self, bytes: u64) {
        let mut world = self.0.world.borrow_mut();
        world.storage_bytes_max = world.storage_bytes() + bytes;
    }

    /// The most works that were under way beside the executor at once.
    pub fn computing_most(&self) -> u64 {
        self.0.computing_most.get()
    }

    /// Syncs of the log directory's own names so far.
    pub fn root_syncs(&self) -> u64 {
        self.0.root_syncs.get()
    }

    /// What went wrong so far, each with how often: a test of faults shows with it that they came.
    pub fn happened(&self) -> BTreeMap<&'static str, u64> {
        self.0.happened.borrow().clone()
    }

    fn count(&self, what: &'static str) {
        *self.0.happened.borrow_mut().entry(what).or_default() += 1;
    }

    /// Steps taken since the faults were set.
    pub fn steps(&self) -> u64 {
        self.0.steps.get()
    }

    /// Ends a life whose tasks are gone already.
    pub fn end_life(&self, end: End) {
        let now = self.0.simulation.clock();
        self.land_late();
        let (mut world, mut random) = (self.0.world.borrow_mut(), self.0.random.borrow_mut());
        world.end_life(end, now, &mut random);
    }

    fn chance(&self, of_100_000: u64) -> bool {
        of_100_000 > 0 && self.0.random.borrow_mut().below(100_000) < of_100_000
    }

    /// Counts a step; never goes on once the life is cut.
    async fn step(&self) {
        let steps = self.0.steps.get() + 1;
        self.0.steps.set(steps);
        if self.0.faults.borrow().cut_after_steps == Some(steps) {
            self.0.simulation.cut();
        }
        if self.0.simulation.is_cut() {
            std::future::pending::<()>().await;
        }
        self.land_late();
    }

    fn land_late(&self) {
        let landed = self.0.world.borrow_mut().land_late(self.0.simulation.clock());
        (0..landed).for_each(|_| self.count("writes of a killed process that landed late"));
    }

    /// The time a request takes.
    async fn latency(&self, fastest_us: u64) {
        let slow = self.0.faults.borrow().slow;
        let slowest_us = if self.chance(slow) { 1_000_000 } else { 8 * fastest_us };
        let us = fastest_us + self.0.random.borrow_mut().below(slowest_us);
        self.0.simulation.sleep(Duration::from_micros(us)).await;
    }

    /// A request without a part in flight: its effect comes all at once.
    async fn request<T>(
        &self,
        fastest_us: u64,
        effect: impl FnOnce(&mut World) -> io::Result<T>,
    ) -> io::Result<T> {
        self.step().await;
        self.latency(fastest_us).await;
        let outcome = effect(&mut self.0.world.borrow_mut());
        self.step().await;
        outcome
    }

    /// A read fails, or not.
    fn fail_read(&self) -> io::Result<()> {
        let fails = self.0.faults.borrow().read_fails;
        if !self.chance(fails) {
            return Ok(());
        }
        self.count("failed reads");
        Err(io::Error::other("the read failed"))
    }

    async fn lock(&self, inode: Inode, handle: u64) -> io::Result<()> {
        let end = self.0.simulation.clock() + LOCK_WAIT_MAX;
        loop {
            let now = self.0.simulation.clock();
            {
                let mut world = self.0.world.borrow_mut();
                let file = world.file(inode)?;
                if file.locked_by.is_none() && file.locked_until <= now {
                    file.locked_by = Some(handle);
                    return Ok(());
                }
            }
            if now >= end {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.0.simulation.sleep(Duration::from_millis(5)).await;
        }
    }

    /// What was written to this file, and often what was written to others, may be gone, and no other sync tells.
    fn sync_failed(&self, inode: Inode) -> io::Error {
        self.count("failed syncs");
        let (mut world, mut random) = (self.0.world.borrow_mut(), self.0.random.borrow_mut());
        let others = random.per_mille(500);
        for (number, node) in world.nodes.iter_mut().enumerate() {
            if let world::Node::File(file) = node
                && (number == inode || others)
                && file.lose_some(&mut random)
                && number != inode
            {
                self.count("files that lost writes to another file's failed sync");
            }
        }
        io::Error::other("the sync failed")
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let until = self.disk.0.simulation.clock()
            + Duration::from_micros(self.disk.0.random.borrow_mut().below(3000));
        if let Ok(mut world) = self.disk.0.world.try_borrow_mut()
            && let Ok(file) = world.file(self.inode)
            && file.locked_by == Some(self.handle)
        {
            file.unlock();
            file.locked_until = file.locked_until.max(until);
        }
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    async fn open(&self, path: &Path, mode: OpenMode) -> io::Result<SimFile> {
        let found = self.request(20, |world| match world.find(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && mode == OpenMode::Create => {
                world.create_file(path)
            }
            found => found,
        });
        let inode = found.await?;
        self.0.world.borrow_mut().file(inode)?;
        let handle = self.0.handle_next.replace(self.0.handle_next.get() + 1);
        if mode != OpenMode::Read {
            self.lock(inode, handle).await?;
        }
        Ok(SimFile { disk: self.clone(), inode, handle })
    }

    async fn list(&self, path: &Path) -> io::Result<Names> {
        self.request(20, |world| {
            let inode = world.find(path)?;
            let names = world.names(inode)?;
            Ok(names.iter().map(|(name, inode)| (name.clone(), world.is_directory(*inode))).collect())
        })
        .await
    }

    async fn list_all(&self, paths: Vec<PathBuf>) -> Vec<io::Result<Names>> {
        let mut lists = Vec::with_capacity(paths.len());
        for path in &paths {
            lists.push(self.list(path).await);
        }
        lists
    }

    async fn read_fronts(&self, paths: Vec<PathBuf>) -> Vec<io::Result<Vec<u8>>> {
        let mut fronts = Vec::with_capacity(paths.len());
        for path in &paths {
            let front = self.request(20, |world| Ok(world.file(world.find(path)?)?.read(0, BLOCK_BYTES)));
            fronts.push(front.await);
        }
        fronts
    }

    async fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.request(20, |world| world.create_directory(path)).await
    }

    async fn create_files(&self, wanted: Vec<NewFiles>) -> Vec<io::Result<()>> {
        let mut outcomes = Vec::with_capacity(wanted.len());
        for NewFiles { directory, with_directory, files } in wanted {
            let mut outcome = if with_directory { self.create_directory(&directory).await } else { Ok(()) };
            for path in files.iter().map(|file| directory.join(file)) {
                if outcome.is_ok() {
                    outcome = self
                        .request(20, |world| world.find(&path).or_else(|_| world.create_file(&path)))
                        .await
                        .map(drop);
                }
            }
            outcomes.push(outcome);
        }
        outcomes
    }

    async fn sync_directories(
        &self,
        paths: Vec<PathBuf>,
        failed: impl Fn(&io::Error) + Send + Sync + 'static,
    ) -> Vec<io::Result<()>> {
        let mut outcomes = Vec::with_capacity(paths.len());
        for path in &paths {
            outcomes.push(self.sync_directory(path).await.inspect_err(&failed));
        }
        outcomes
    }

    async fn sync_directory(&self, path: &Path) -> io::Result<()> {
        // It is opened by its name first, which may be gone by then.
        let found = self.request(20, |world| Ok((world.find(path)?, world.begin_sync_directory())));
        let (inode, change_end) = found.await?;
        if path == Path::new("") {
            self.0.root_syncs.set(self.0.root_syncs.get() + 1);
        }
        self.latency(200).await;
        let fails = self.0.faults.borrow().sync_fails;
        if self.chance(fails) {
            return Err(self.sync_failed(inode));
        }
        self.0.world.borrow_mut().end_sync_directory(inode, change_end);
        self.step().await;
        Ok(())
    }

    async fn rename(&self, source: &Path, target: &Path) -> io::Result<()> {
        let name_bytes = self.0.faults.borrow().name_bytes;
        self.request(20, |world| {
            let free = world.storage_bytes_max.saturating_sub(world.storage_bytes());
            if free < name_bytes && world.find(target).is_err() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            world.rename(source, target)
        })
        .await
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        self.request(20, |world| world.unlink(path)).await
    }

    async fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let names: Vec<String> =
            self.request(20, |world| Ok(world.names(world.find(path)?)?.keys().cloned().collect())).await?;
        for name in names {
            self.request(20, |world| world.unlink(&path.join(&name))).await?;
        }
        self.remove(path).await
    }

    async fn read_small(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        self.fail_read()?;
        self.request(20, |world| {
            let inode = world.find(path)?;
            let bytes = world.file(inode)?.read(0, usize::MAX);
            if bytes.len() > bytes_max { Err(io::ErrorKind::InvalidData.into()) } else { Ok(bytes) }
        })
        .await
    }

    async fn replace_small(&self, path: &Path, bytes: Vec<u8>, durable: bool) -> io::Result<()> {
        let temporary = path.with_added_extension("new");
        let file = {
            let found = self.request(20, |world| {
                let inode = world.find(&temporary).or_else(|_| world.create_file(&temporary))?;
                let write = world.write_next;
                world.file(inode)?.cut(0, write);
                Ok(inode)
            });
            let inode = found.await?;
            SimFile { disk: self.clone(), inode, handle: 0 }
        };
        // Through the page cache: it is there at once and never lands late, and is as volatile as the rest.
        let content = self.request(20, |world| {
            let write = InFlight {
                inode: file.inode,
                at: 0,
                blocks: bytes.chunks(BLOCK_BYTES).map(block_of).collect(),
            };
            world.land(write, |block| Some(block.clone()))?;
            let number = world.write_next;
            world.file(file.inode)?.cut(bytes.len() as u64, number);
            Ok(())
        });
        content.await?;
        if durable {
            file.sync().await?;
        }
        self.rename(&temporary, path).await?;
        match path.parent() {
            Some(parent) if durable => self.sync_directory(parent).await,
            _ => Ok(()),
        }
    }

    async fn free_bytes(&self) -> io::Result<u64> {
        self.request(5, |world| Ok(world.storage_bytes_max.saturating_sub(world.storage_bytes()))).await
    }

    async fn sleep(&self, duration: Duration) {
        self.0.simulation.sleep(duration).await;
    }

    fn now(&self) -> Instant {
        self.0.begun + self.0.simulation.clock()
    }

    fn wall_ms(&self) -> u64 {
        WALL_START_MS + self.0.simulation.clock().as_millis() as u64
    }

    async fn yield_now(&self) {
        self.0.simulation.yield_now().await;
    }

    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (computing, most) = (&self.0.computing, &self.0.computing_most);
        computing.set(computing.get() + 1);
        most.set(most.get().max(computing.get()));
        self.latency(2000).await;
        computing.set(computing.get() - 1);
        work()
    }

    fn spawn(&self, _background: bool, task: impl Future<Output = ()> + 'static) {
        self.0.simulation.spawn(task);
    }
}

impl DiskFile for SimFile {
    type Buffer = Vec<u8>;
    type Found = Vec<u8>;

    fn buffer(&self, bytes: usize) -> Vec<u8> {
        vec![0xEE; bytes] // undefined means that nobody may count on zeros
    }

    async fn write(&self, at: u64, blocks: Vec<u8>) -> io::Result<()> {
        assert!(blocks.len().is_multiple_of(BLOCK_BYTES) && at.is_multiple_of(BLOCK_BYTES as u64));
        let disk = &self.disk.0;
        let number = disk.handle_next.replace(disk.handle_next.get() + 1);
        let blocks: Vec<Block> = blocks.chunks(BLOCK_BYTES).map(block_of).collect();
        let count = blocks.len() as u64;
        disk.world.borrow_mut().in_flight.insert(number, InFlight { inode: self.inode, at, blocks });
        self.disk.step().await;
        self.disk.latency(20 + count).await;
        let fails = disk.faults.borrow().write_fails;
        let failed = self.disk.chance(fails);
        {
            let mut world = disk.world.borrow_mut();
            let Some(write) = world.in_flight.remove(&number) else { unreachable!("it was put there above") };
            if failed {
                // A short write is an error too, and both may have left some blocks.
                self.disk.count("failed and short writes");
                let mut left = disk.random.borrow_mut().below(2 * count);
                let _ = world.land(write, |block| {
                    left = left.saturating_sub(1);
                    (left > 0).then(|| block.clone())
                });
                return Err(io::Error::new(io::ErrorKind::WriteZero, "the write failed"));
            }
            world.land(write, |block| Some(block.clone()))?;
        }
        self.disk.step().await;
        Ok(())
    }

    async fn read_blocks(&self, at: u64, bytes: usize) -> io::Result<Vec<u8>> {
        assert!(bytes.is_multiple_of(BLOCK_BYTES) && at.is_multiple_of(BLOCK_BYTES as u64));
        let found = self.disk.request(50, |world| Ok(world.file(self.inode)?.read(at, bytes)));
        let mut found = found.await?;
        self.disk.fail_read()?;
        let (garbled, middle) = (self.disk.0.garbled.get(), found.len() / 2);
        if let Some(byte) = found.get_mut(middle).filter(|_| garbled > 0) {
            *byte ^= 8;
            self.disk.0.garbled.set(garbled - 1);
        }
        Ok(found)
    }

    /// Without the copy: starts read whole journals.
    async fn read(&self, at: u64, bytes: usize) -> io::Result<Bytes> {
        self.read_blocks(at, bytes).await.map(Bytes::from)
    }

    async fn sync(&self) -> io::Result<()> {
        self.disk.step().await;
        let covered = {
            let mut world = self.disk.0.world.borrow_mut();
            let write_end = world.write_next;
            world.file(self.inode)?.begin_sync(write_end)
        };
        self.disk.latency(200).await;
        let fails = self.disk.0.faults.borrow().sync_fails;
        if self.disk.chance(fails) {
            return Err(self.disk.sync_failed(self.inode));
        }
        self.disk.0.world.borrow_mut().file(self.inode)?.end_sync(covered);
        self.disk.step().await;
        Ok(())
    }

    async fn reserve(&self, end: u64) -> io::Result<()> {
        self.disk.request(50, |world| world.grow(self.inode, end)).await
    }

    async fn cut(&self, bytes: u64) -> io::Result<()> {
        self.disk
            .request(20, |world| {
                let write = world.write_next;
                world.write_next += 1;
                world.file(self.inode)?.cut(bytes, write);
                Ok(())
            })
            .await
    }

    async fn close(self) -> io::Result<()> {
        Ok(())
    }

    async fn bytes(&self) -> io::Result<u64> {
        self.disk.request(5, |world| Ok(world.file(self.inode)?.bytes())).await
    }
}

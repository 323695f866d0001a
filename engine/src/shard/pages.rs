//! Pages of segment files: out of the cache, or from the device, several at once and ahead of their readers.

use super::cold::{TURN_BYTES, look_at_rings};
use super::cursor::Trouble;
use super::directory::{Directory, SharedLog};
use super::signal::Done;
use super::stats::EngineStats;
use crate::io::{
    BLOCK_BYTES, Chunk, Disk, DiskFile, Page, PageKey, SPARE_PAGE_BYTES, aligned_down, aligned_up,
};
use crate::log::PartitionLog;
use crate::segment::Stage;
use crate::units::{FilePos, Offset};
use bytes::Bytes;
use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::rc::Rc;

/// Unit of reading and caching.
pub(super) const PAGE_BYTES: u64 = SPARE_PAGE_BYTES as u64;
/// Pages fetched ahead of a reader that goes through a log.
pub(super) const PAGES_AHEAD: u64 = 4;
/// Ahead of one that takes at least as much at once: what it takes, within these bounds. The device has work meanwhile.
const PAGES_FAR_AHEAD_MIN: u64 = 16;
const PAGES_FAR_AHEAD_MAX: u64 = 32;
/// Pages that follow at once when as many were given.
const PAGES_FOLLOWING: usize = 4;
/// With more on their way the device has enough to do: what comes long before its reader does is in no cache of the processor
/// any more when that copies, checks and sends it.
const PAGES_COMING_MAX: usize = 64;

/// A page on its way from the device; several readers may wait for it.
#[derive(Default)]
pub(crate) struct PageRead {
    /// The device gave it, or failed: the next may be asked for.
    arrived: Done,
    done: Done,
    outcome: RefCell<Option<Result<Page, io::ErrorKind>>>,
}

impl<D: Disk> Directory<D> {
    /// Starts reading all pages of a range that lie below memory, so that they come at once.
    pub(super) fn start_pages(
        self: &Rc<Self>,
        log: &SharedLog,
        base: Offset,
        start: FilePos,
        end: FilePos,
    ) -> Result<(), Trouble> {
        let disk_end = {
            let log = log.borrow();
            let segment = log.segment(base).ok_or(Trouble::Gone)?;
            end.min(segment.tail.memory_start())
        };
        if start < disk_end {
            let pages = start.as_u64() / PAGE_BYTES..disk_end.as_u64().div_ceil(PAGE_BYTES);
            for page in pages.skip(1) {
                self.start_page(log, base, page);
            }
        }
        Ok(())
    }

    /// Starts reading a range, of which a reader in order wants all at once, and has as much behind it follow, a few pages for
    /// each few that the device gave: while the range is copied, checked, sent and handled, the device has the next to do, and
    /// its queue never runs dry. No more at once than the range: an append that comes finds no more in front of it.
    pub(super) async fn start_pages_and_next(
        self: &Rc<Self>,
        log: &SharedLog,
        base: Offset,
        start: FilePos,
        end: FilePos,
    ) {
        let pages = start.as_u64() / PAGE_BYTES..end.as_u64().div_ceil(PAGE_BYTES);
        let page_count = (pages.end - pages.start).clamp(PAGES_FAR_AHEAD_MIN, PAGES_FAR_AHEAD_MAX);
        let pages_below_memory = pages.start..pages.end.min(Self::pages_end(log, base));
        let coming: Vec<_> = pages_below_memory.filter_map(|page| self.start_page(log, base, page)).collect();
        self.fetch_ahead(log, base, end, page_count.saturating_sub(coming.len() as u64));
        if coming.is_empty() {
            // Or the rings would see it after the answer, which may take the core for milliseconds.
            look_at_rings(&self.disk).await;
            return;
        }
        let (directory, log) = (Rc::clone(self), Rc::clone(log));
        self.disk.spawn(false, async move {
            let mut left = coming.len();
            for few in coming.chunks(PAGES_FOLLOWING) {
                if let Some(last) = few.last() {
                    last.arrived.wait().await;
                }
                left -= few.len();
                directory.fetch_ahead(&log, base, end, page_count.saturating_sub(left as u64));
            }
        });
    }

    /// Starts reading pages from `from` on, while few are on their way. No more than fills the cache's part for what is read
    /// once, with what nobody has read yet: a thousand such readers would take each other's pages away.
    pub(super) fn fetch_ahead(
        self: &Rc<Self>,
        log: &SharedLog,
        base: Offset,
        from: FilePos,
        page_count: u64,
    ) {
        let first = from.as_u64().div_ceil(PAGE_BYTES);
        let end = Self::pages_end(log, base).min(first + page_count);
        let room = (self.cache.borrow().unread_room() / PAGE_BYTES as usize).min(PAGES_COMING_MAX);
        for page in first..end {
            if self.pages_coming.borrow().len() >= room {
                return;
            }
            self.start_page(log, base, page);
        }
    }

    /// One past the last page with bytes below what is in memory.
    fn pages_end(log: &SharedLog, base: Offset) -> u64 {
        let log = log.borrow();
        log.segment(base).map_or(0, |segment| segment.tail.memory_start().as_u64().div_ceil(PAGE_BYTES))
    }

    /// The next readers of these bytes ask the device again.
    pub(super) fn forget_pages(&self, log: &SharedLog, base: Offset, range: Range<FilePos>) {
        let number = log.borrow().segment(base).map(|segment| segment.number);
        let Some(segment) = number else { return };
        let mut cache = self.cache.borrow_mut();
        for page in range.start.as_u64() / PAGE_BYTES..range.end.as_u64().div_ceil(PAGE_BYTES) {
            cache.forget(PageKey { segment, page });
        }
        EngineStats::set(&self.stats.cache_bytes, cache.bytes() as u64);
    }

    /// The page's key, and how much of it the file holds.
    fn page_extent(log: &PartitionLog, base: Offset, page: u64) -> Option<(PageKey, usize)> {
        let segment = log.segment(base)?;
        let written = segment.tail.written_end().as_u64();
        let file_end =
            if segment.stage == Stage::Sealed { aligned_up(written) } else { aligned_down(written) };
        let bytes = file_end.saturating_sub(page * PAGE_BYTES).min(PAGE_BYTES) as usize;
        Some((PageKey { segment: segment.number, page }, bytes))
    }

    fn start_page(self: &Rc<Self>, log: &SharedLog, base: Offset, page: u64) -> Option<Rc<PageRead>> {
        let (key, bytes) = Self::page_extent(&log.borrow(), base, page).filter(|(_, bytes)| *bytes > 0)?;
        if self.cache.borrow().holds(key, data_bytes(&log.borrow(), base, page, bytes)) {
            return None;
        }
        if let Some(running) = self.pages_coming.borrow().get(&key) {
            return Some(Rc::clone(running));
        }
        let read = Rc::new(PageRead::default());
        self.pages_coming.borrow_mut().insert(key, Rc::clone(&read));
        let (directory, log, coming) = (Rc::clone(self), Rc::clone(log), Rc::clone(&read));
        self.disk.spawn(false, async move {
            let outcome = directory.read_page(&log, base, page, bytes, &coming.arrived).await;
            coming.arrived.set();
            if let Ok(found) = &outcome {
                let mut cache = directory.cache.borrow_mut();
                cache.insert(key, found.clone());
                EngineStats::set(&directory.stats.cache_bytes, cache.bytes() as u64);
            }
            directory.pages_coming.borrow_mut().remove(&key);
            *coming.outcome.borrow_mut() = Some(outcome.map_err(|error| error.kind()));
            coming.done.set();
        });
        Some(read)
    }

    async fn read_page(
        &self,
        log: &SharedLog,
        base: Offset,
        page: u64,
        bytes: usize,
        arrived: &Done,
    ) -> io::Result<Page> {
        let file = self.segment_file(log, base, false).await?;
        let found = self.read_aside(&file, page * PAGE_BYTES, bytes, arrived).await?;
        EngineStats::add(&self.stats.read_bytes_total, found.len() as u64);
        Ok(Page::unchecked(found))
    }

    /// Reads a segment's bytes from `at`, a block's start, on; fewer only at the end of the file. Beside appends in pieces, one
    /// at a time for the whole shard: a commit that comes finds no more than one before it, at the device and in the copy out
    /// of the device's memory. `arrived` is set before the copy; when more is under way it waits for what that sets going.
    pub(super) async fn read_aside(
        &self,
        file: &D::File,
        at: u64,
        bytes: usize,
        arrived: &Done,
    ) -> io::Result<Bytes> {
        let wanted = bytes.next_multiple_of(BLOCK_BYTES);
        let mut memory = Chunk::with_capacity(wanted);
        while memory.filled() < wanted {
            let (at, left) = (at + memory.filled() as u64, wanted - memory.filled());
            let place = self.cold.enter(&self.disk).await;
            let count = if place.is_some() { left.min(TURN_BYTES) } else { left };
            let found = file.read_blocks(at, count).await?;
            arrived.set();
            if let Some(place) = &place {
                place.calm(&self.disk).await;
            } else if self.pages_coming.borrow().len() > PAGES_AHEAD as usize {
                look_at_rings(&self.disk).await;
            }
            if memory.fill(&found) < count {
                break;
            }
        }
        Ok(memory.share(0..memory.filled().min(bytes)))
    }

    /// The page, with all the data that a reader may want of it who begins at `from` in it.
    pub(super) async fn page(
        self: &Rc<Self>,
        log: &SharedLog,
        base: Offset,
        page: u64,
        from: usize,
    ) -> Result<Page, Trouble> {
        for _ in 0..3 {
            let (key, bytes) = Self::page_extent(&log.borrow(), base, page).ok_or(Trouble::Gone)?;
            let wanted = data_bytes(&log.borrow(), base, page, bytes);
            if let Some(found) = self.cache.borrow_mut().find(key, wanted, from) {
                EngineStats::add(&self.stats.cache_hits_total, 1);
                return Ok(found);
            }
            EngineStats::add(&self.stats.cache_misses_total, 1);
            let Some(read) = self.start_page(log, base, page) else { continue };
            read.done.wait().await;
            let outcome = read.outcome.borrow().clone();
            match outcome {
                Some(Ok(found)) if found.bytes.len() >= wanted => {
                    self.cache.borrow_mut().find(key, wanted, from); // which notes where it was read
                    return Ok(found);
                }
                Some(Err(_)) if log.borrow().segment(base).is_none() => return Err(Trouble::Gone),
                Some(Err(kind)) => return Err(Trouble::Io(kind.into())),
                Some(Ok(_)) | None => {}
            }
        }
        let at = FilePos::new(page * PAGE_BYTES);
        Err(Trouble::rot("the file is shorter than what was written to it".to_owned(), base, at, base))
    }
}

/// Bytes of data that a reader may want of a page that has `bytes` in the file.
fn data_bytes(log: &PartitionLog, base: Offset, page: u64, bytes: usize) -> usize {
    let end = log.segment(base).map_or(0, |segment| segment.tail.durable_end().as_u64());
    bytes.min(end.saturating_sub(page * PAGE_BYTES) as usize)
}

//! Reads: the tail from memory, the rest from the segments through the cache, with pages fetched ahead.

use super::api::{Read, ReadError, ReadOutcome, TimedOffset};
use super::append::UNFOLDED_AT_ONCE_MAX;
use super::directory::{Directory, SharedLog};
use super::signal::Done;
use super::stats::EngineStats;
use crate::batch::{HEADER_BYTES, UNPACKED_BYTES_MAX, find_max_timestamp, find_timestamp, is_packed};
use crate::io::{BLOCK_BYTES, Disk, DiskFile, PageKey, aligned_down, aligned_up};
use crate::log::{LogBounds, PartitionLog};
use crate::segment::{Gathered, Index, IndexEntry, Located, Segment, Stage, View, trim};
use crate::units::{FilePos, LeaderEpoch, LogId, Offset, Timestamp};
use bytes::Bytes;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;

/// Unit of reading and caching.
const PAGE_BYTES: u64 = 256 << 10;
/// Pages fetched ahead of a reader that goes through a log.
const PAGES_AHEAD: u64 = 4;
/// An index file is never larger.
const INDEX_FILE_BYTES_MAX: usize = 1 << 20;

/// Indexes of sealed segments that are kept in memory: 24 MiB of them.
const INDEXES_MAX: usize = 256;

/// A page on its way from the device; several readers may wait for it.
#[derive(Default)]
pub(crate) struct PageRead {
    done: Done,
    outcome: RefCell<Option<Result<Bytes, io::ErrorKind>>>,
}

/// Why a read did not end as hoped, before it is told to the server.
enum Trouble {
    Io(io::Error),
    /// What did not check, and where.
    Corrupt(String),
    Gone,
}

/// Steps through the batches of one segment.
struct Cursor {
    base: Offset,
    at: FilePos,
    /// Offset of the batch there.
    offset: Offset,
    gathered: Gathered,
    from_disk: u64,
}

impl<D: Disk> Directory<D> {
    /// Whole batches from `read.offset` on, below `visible_end`.
    pub(crate) async fn read(
        self: &Rc<Self>,
        log: &SharedLog,
        read: Read,
        visible_end: Offset,
    ) -> Result<ReadOutcome, ReadError> {
        let bounds = log.borrow().bounds();
        let mut outcome = ReadOutcome { slices: Vec::new(), bytes: 0, bounds };
        let mut offset = read.offset;
        while offset < visible_end {
            let found = {
                let log = log.borrow();
                let segment = log.segment_at(offset);
                segment.map(|segment| (segment.base, read_memory(segment, offset, visible_end, &read)))
            };
            let Some((base, in_memory)) = found else { break };
            let answered = match in_memory {
                Some(slices) => Ok(slices),
                None => self.read_cold(log, base, offset, visible_end, &read).await,
            };
            match answered {
                Ok(slices) if slices.is_empty() => {}
                Ok(slices) => {
                    outcome.bytes = slices.iter().map(Bytes::len).sum();
                    outcome.slices = slices;
                    return Ok(outcome);
                }
                Err(trouble) => return Err(Self::trouble(log, &trouble, read.offset)),
            }
            // Nothing of this segment is left at or after the offset: the next one has it.
            let next = log.borrow().segments.iter().map(|segment| segment.base).find(|next| *next > base);
            let Some(next) = next else { break };
            offset = next.max(offset);
        }
        Ok(outcome)
    }

    fn trouble(log: &SharedLog, trouble: &Trouble, offset: Offset) -> ReadError {
        let mut log = log.borrow_mut();
        let log_id = log.identity.log_id;
        match trouble {
            Trouble::Gone if log.is_detached => super::api::LogError::Unknown { log_id }.into(),
            // Its segment expired under the reader.
            Trouble::Gone => {
                let LogBounds { log_start, log_end, .. } = log.bounds();
                ReadError::OutOfRange { offset, log_start, log_end }
            }
            Trouble::Corrupt(what) => {
                let reason = format!("stored bytes near offset {offset} do not check: {what}");
                tracing::error!(
                    topic = log.identity.topic,
                    partition = log.identity.partition,
                    reason,
                    "log fenced"
                );
                log.fence(reason);
                ReadError::Corrupt { offset }
            }
            Trouble::Io(error) => {
                tracing::error!(topic = log.identity.topic, partition = log.identity.partition, %error, "reading failed");
                super::api::LogError::Offline { log_id, reason: error.to_string() }.into()
            }
        }
    }

    async fn read_cold(
        self: &Rc<Self>,
        log: &SharedLog,
        base: Offset,
        offset: Offset,
        visible_end: Offset,
        read: &Read,
    ) -> Result<Vec<Bytes>, Trouble> {
        let start = self.index_floor(log, base, |index| index.floor(offset)).await?;
        let mut cursor = Cursor::new(base, start);
        let mut first = None;
        let mut end = cursor.at;
        while let Some(located) = self.next(log, &mut cursor).await? {
            if located.offset_end() <= offset {
                cursor.gathered.skip_to(located.end.min(cursor.gathered.end()));
                continue;
            }
            let start = first.unwrap_or(located.start);
            let bytes = (located.end.as_u64() - start.as_u64()) as usize;
            let whole = first.is_none() && read.first_batch_whole;
            if located.offset_end() > visible_end || (bytes > read.bytes_max && !whole) {
                break;
            }
            if first.is_none() {
                self.gather(log, &mut cursor, located.start.advance(read.bytes_max as u64)).await?;
            }
            self.gather(log, &mut cursor, located.end).await?;
            if cursor.gathered.end() < located.end {
                return Err(Trouble::Corrupt(format!(
                    "a batch from {} to {} is cut",
                    located.start, located.end
                )));
            }
            first = Some(start);
            end = located.end;
            if bytes >= read.bytes_max {
                break;
            }
        }
        let Some(first) = first else { return Ok(Vec::new()) };
        if cursor.from_disk * 2 >= PAGE_BYTES {
            self.fetch_ahead(log, base, cursor.gathered.end());
        }
        Ok(trim(&cursor.gathered, first..end))
    }

    /// The next batch, or `None` at the segment's end.
    async fn next(self: &Rc<Self>, log: &SharedLog, cursor: &mut Cursor) -> Result<Option<Located>, Trouble> {
        loop {
            match cursor.gathered.view(cursor.at, cursor.offset) {
                View::Batch(located) => {
                    let limit = Self::readable_end(log, cursor.base)?;
                    if located.end > limit {
                        return if cursor.at >= limit {
                            Self::ended(log, cursor)
                        } else {
                            Err(cursor.corrupt("a batch passes the durable end"))
                        };
                    }
                    if located.offset_end() > Self::offset_end(log, cursor.base)? {
                        return Err(cursor.corrupt("a batch passes the last offset of its segment"));
                    }
                    if !Self::is_of_its_epoch(log, &located) {
                        return Err(cursor.corrupt("a batch has another leader epoch than its place"));
                    }
                    cursor.at = located.end;
                    cursor.offset = located.offset_end();
                    return Ok(Some(located));
                }
                View::Corrupt if cursor.at < Self::readable_end(log, cursor.base)? => {
                    return Err(cursor.corrupt("the segment ends inside a batch"));
                }
                View::Corrupt => return Self::ended(log, cursor),
                View::Short => {
                    if cursor.at > cursor.gathered.end() {
                        cursor.gathered = Gathered { start: cursor.at, ..Gathered::default() };
                    }
                    let before = cursor.gathered.end();
                    self.gather(log, cursor, cursor.at.advance(HEADER_BYTES as u64)).await?;
                    if cursor.gathered.end() == before {
                        return Self::ended(log, cursor);
                    }
                }
            }
        }
    }

    /// No more batches: those of a sealed segment came to its last offset, or what one of them says of its records or its
    /// length is wrong. Else readers would go on in the next segment and miss records.
    fn ended(log: &SharedLog, cursor: &Cursor) -> Result<Option<Located>, Trouble> {
        let log = log.borrow();
        let segment = log.segment(cursor.base).ok_or(Trouble::Gone)?;
        if segment.stage == Stage::Sealed && cursor.offset != segment.offset_end {
            return Err(cursor.corrupt("the batches of a sealed segment end before its last offset"));
        }
        Ok(None)
    }

    /// One past the last record of the segment.
    fn offset_end(log: &SharedLog, base: Offset) -> Result<Offset, Trouble> {
        log.borrow().segment(base).map(|segment| segment.offset_end).ok_or(Trouble::Gone)
    }

    /// No checksum covers a batch's leader epoch: it must be the one that is known of its offset, unless that is so old
    /// that it was forgotten.
    fn is_of_its_epoch(log: &SharedLog, located: &Located) -> bool {
        let known = log.borrow().epochs().at(Offset::new(located.header.base_offset));
        known.is_none_or(|known| known.0 == located.header.partition_leader_epoch)
    }

    /// Batches of the segment end here at the latest: what is durable.
    fn readable_end(log: &SharedLog, base: Offset) -> Result<FilePos, Trouble> {
        let log = log.borrow();
        log.segment(base).map(|segment| segment.tail.durable_end()).ok_or(Trouble::Gone)
    }

    /// Gathers bytes up to `end` or the last durable one: pages below what is in memory, then memory.
    async fn gather(
        self: &Rc<Self>,
        log: &SharedLog,
        cursor: &mut Cursor,
        end: FilePos,
    ) -> Result<(), Trouble> {
        let goal = end.min(Self::readable_end(log, cursor.base)?);
        self.start_pages(log, cursor.base, cursor.gathered.end(), goal)?;
        while cursor.gathered.end() < goal {
            let at = cursor.gathered.end();
            let in_memory = {
                let log = log.borrow();
                let segment = log.segment(cursor.base).ok_or(Trouble::Gone)?;
                let in_memory = segment.tail.memory_start() <= at;
                if in_memory {
                    let mut slices = Vec::new();
                    segment.tail.share(at..goal, &mut slices);
                    for slice in slices {
                        cursor.gathered.push(slice);
                    }
                }
                in_memory
            };
            if !in_memory {
                let page = self.page(log, cursor.base, at.as_u64() / PAGE_BYTES).await?;
                let skip = (at.as_u64() % PAGE_BYTES) as usize;
                let slice = page.get(skip..).filter(|rest| !rest.is_empty()).map(|_| page.slice(skip..));
                let slice =
                    slice.ok_or_else(|| cursor.corrupt("the file is shorter than what was written to it"))?;
                let limit = (Self::readable_end(log, cursor.base)?.as_u64() - at.as_u64()) as usize;
                cursor.from_disk += slice.len() as u64;
                let length = slice.len().min(limit);
                cursor.gathered.push(slice.slice(..length));
            }
        }
        Ok(())
    }

    /// Starts reading all pages of a range that lie below memory, so that they come at once.
    fn start_pages(
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

    fn fetch_ahead(self: &Rc<Self>, log: &SharedLog, base: Offset, from: FilePos) {
        let end = match log.borrow().segment(base) {
            Some(segment) => segment.tail.memory_start().as_u64(),
            None => return,
        };
        let first = from.as_u64().div_ceil(PAGE_BYTES);
        for page in (first..first + PAGES_AHEAD).take_while(|page| page * PAGE_BYTES < end) {
            self.start_page(log, base, page);
        }
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
            let outcome = directory.read_page(&log, base, page, bytes).await;
            if let Ok(bytes) = &outcome {
                let mut cache = directory.cache.borrow_mut();
                cache.insert(key, bytes.clone());
                EngineStats::set(&directory.stats.cache_bytes, cache.bytes() as u64);
            }
            directory.pages_coming.borrow_mut().remove(&key);
            *coming.outcome.borrow_mut() = Some(outcome.map_err(|error| error.kind()));
            coming.done.set();
        });
        Some(read)
    }

    async fn read_page(&self, log: &SharedLog, base: Offset, page: u64, bytes: usize) -> io::Result<Bytes> {
        let file = self.segment_file(log, base, false).await?;
        let found = file.read(page * PAGE_BYTES, bytes.next_multiple_of(BLOCK_BYTES)).await?;
        EngineStats::add(&self.stats.read_bytes_total, found.len() as u64);
        let length = found.len().min(bytes);
        Ok(found.slice(..length))
    }

    async fn page(self: &Rc<Self>, log: &SharedLog, base: Offset, page: u64) -> Result<Bytes, Trouble> {
        for _ in 0..3 {
            let (key, bytes) = Self::page_extent(&log.borrow(), base, page).ok_or(Trouble::Gone)?;
            let wanted = data_bytes(&log.borrow(), base, page, bytes);
            if let Some(found) = self.cache.borrow_mut().find(key, wanted) {
                EngineStats::add(&self.stats.cache_hits_total, 1);
                return Ok(found);
            }
            EngineStats::add(&self.stats.cache_misses_total, 1);
            let Some(read) = self.start_page(log, base, page) else { continue };
            read.done.wait().await;
            let outcome = read.outcome.borrow().clone();
            match outcome {
                Some(Ok(found)) if found.len() >= wanted => return Ok(found),
                Some(Err(_)) if log.borrow().segment(base).is_none() => return Err(Trouble::Gone),
                Some(Err(kind)) => return Err(Trouble::Io(kind.into())),
                Some(Ok(_)) | None => {}
            }
        }
        Err(Trouble::Corrupt(format!("page {page} of segment {base} cannot be read whole")))
    }

    /// Asks the segment's index; reads or builds that of a sealed segment first.
    async fn index_floor(
        self: &Rc<Self>,
        log: &SharedLog,
        base: Offset,
        ask: impl Fn(&Index) -> Option<IndexEntry>,
    ) -> Result<Option<IndexEntry>, Trouble> {
        loop {
            let path = {
                let log = log.borrow();
                let segment = log.segment(base).ok_or(Trouble::Gone)?;
                match &segment.index {
                    Some(index) => return Ok(ask(index)),
                    None => (segment.index_path(&log.directory_name), segment.tail.staged_end().as_u64()),
                }
            };
            let found = self.disk.read_small(&path.0, INDEX_FILE_BYTES_MAX).await.ok();
            let index = match found.and_then(|bytes| Index::decode(&bytes, path.1)) {
                Some(index) => index,
                None => self.build_index(log, base).await?,
            };
            if let Some(segment) = log.borrow_mut().segment_mut(base) {
                segment.index = Some(index);
            }
            let log_id = log.borrow().identity.log_id;
            self.note_index(log_id, base);
        }
    }

    /// The index of this sealed segment is in memory now: the one that is there for longest goes when there are too many.
    pub(crate) fn note_index(&self, log_id: LogId, base: Offset) {
        let mut indexes = self.indexes.borrow_mut();
        indexes.push_back((log_id, base));
        while indexes.len() > INDEXES_MAX {
            let Some((log_id, base)) = indexes.pop_front() else { return };
            let Some(log) = self.log(log_id) else { continue };
            let mut log = log.borrow_mut();
            if let Some(segment) = log.segment_mut(base).filter(|segment| segment.stage == Stage::Sealed) {
                segment.index = None;
            }
        }
    }

    /// Walks all batches of a segment.
    async fn build_index(self: &Rc<Self>, log: &SharedLog, base: Offset) -> Result<Index, Trouble> {
        let interval = log.borrow().settings.index_interval_bytes;
        let mut index = Index::default();
        let mut cursor = Cursor::new(base, None);
        let mut max_timestamp = Timestamp::NONE;
        while let Some(located) = self.next(log, &mut cursor).await? {
            let entry = IndexEntry {
                offset: Offset::new(located.header.base_offset),
                position: located.start,
                max_timestamp_before: max_timestamp,
            };
            index.note(entry, interval);
            max_timestamp = max_timestamp.max(located.max_timestamp());
            cursor.gathered.skip_to(located.end.min(cursor.gathered.end()));
            self.disk.yield_now().await;
        }
        Ok(index)
    }

    /// The first record at or after `time`; with `exact`, the first one that carries the segment's greatest timestamp.
    pub(crate) async fn find_time(
        self: &Rc<Self>,
        log: &SharedLog,
        time: Timestamp,
        greatest: bool,
    ) -> Result<Option<TimedOffset>, ReadError> {
        let segments: Vec<(Offset, Timestamp)> =
            log.borrow().segments.iter().map(|segment| (segment.base, segment.max_timestamp)).collect();
        let time = if greatest {
            segments.iter().map(|(_, max)| *max).max().unwrap_or(Timestamp::NONE)
        } else {
            time
        };
        if greatest && time == Timestamp::NONE {
            return Ok(None);
        }
        for (base, _) in segments.into_iter().filter(|(_, max)| *max >= time) {
            match self.find_time_in(log, base, time, greatest).await {
                Ok(None) | Err(Trouble::Gone) => {}
                Ok(found) => return Ok(found),
                Err(trouble) => return Err(Self::trouble(log, &trouble, base)),
            }
        }
        Ok(None)
    }

    async fn find_time_in(
        self: &Rc<Self>,
        log: &SharedLog,
        base: Offset,
        time: Timestamp,
        greatest: bool,
    ) -> Result<Option<TimedOffset>, Trouble> {
        let start = self.index_floor(log, base, |index| index.floor_time(time)).await?;
        let mut cursor = Cursor::new(base, start);
        while let Some(located) = self.next(log, &mut cursor).await? {
            let bounds = log.borrow().bounds();
            if located.offset_end() > bounds.high_watermark {
                return Ok(None);
            }
            if located.max_timestamp() < time || located.offset_end() <= bounds.log_start {
                cursor.gathered.skip_to(located.end.min(cursor.gathered.end()));
                continue;
            }
            self.gather(log, &mut cursor, located.end).await?;
            let batch = cursor
                .gathered
                .contiguous(located.start..located.end)
                .ok_or_else(|| cursor.corrupt("a batch is cut"))?;
            let packed_bytes = if is_packed(&batch) { batch.len() } else { 0 };
            let log_start = bounds.log_start;
            let finding = move |unpacked_bytes_max| {
                if greatest {
                    find_max_timestamp(&batch, unpacked_bytes_max)
                } else {
                    find_timestamp(&batch, time, log_start, unpacked_bytes_max)
                }
            };
            // Whatever was let in under the bounds of its time is read under the largest: it is no rot.
            let found = self.unfold(packed_bytes, UNFOLDED_AT_ONCE_MAX, UNPACKED_BYTES_MAX, finding).await;
            if let Some((offset, timestamp)) = found.map_err(|error| Trouble::Corrupt(error.to_string()))? {
                let leader_epoch = LeaderEpoch(located.header.partition_leader_epoch);
                return Ok(Some(TimedOffset { offset, timestamp, leader_epoch }));
            }
        }
        Ok(None)
    }
}

/// Bytes of data that a reader may want of a page that has `bytes` in the file.
fn data_bytes(log: &PartitionLog, base: Offset, page: u64, bytes: usize) -> usize {
    let end = log.segment(base).map_or(0, |segment| segment.tail.durable_end().as_u64());
    bytes.min(end.saturating_sub(page * PAGE_BYTES) as usize)
}

fn read_memory(segment: &Segment, offset: Offset, visible_end: Offset, read: &Read) -> Option<Vec<Bytes>> {
    let mut batches = segment.tail.batches_at(offset);
    let first = batches.next().filter(|batch| batch.base <= offset)?;
    let fits = |end: FilePos| (end.as_u64() - first.start.as_u64()) as usize <= read.bytes_max;
    if first.offset_end > visible_end || !(fits(first.end) || read.first_batch_whole) {
        return Some(Vec::new());
    }
    let mut end = first.end;
    for batch in batches.take_while(|batch| batch.offset_end <= visible_end && fits(batch.end)) {
        end = batch.end;
    }
    let mut slices = Vec::new();
    segment.tail.share(first.start..end, &mut slices);
    Some(slices)
}

impl Cursor {
    fn corrupt(&self, what: &str) -> Trouble {
        Trouble::Corrupt(format!(
            "{what}, at {} of segment {}, where offset {} is",
            self.at, self.base, self.offset
        ))
    }

    fn new(base: Offset, start: Option<IndexEntry>) -> Self {
        let (at, offset) = start.map_or((FilePos::ZERO, base), |entry| (entry.position, entry.offset));
        let gathered = Gathered { start: at, ..Gathered::default() };
        Self { base, at, offset, gathered, from_disk: 0 }
    }
}

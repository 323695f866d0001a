//! Indexes of sealed segments: read when somebody asks, held against their segment, built anew where they do not fit.
//!
//! An index says where to begin to look, never what is there: one that is missing, damaged or another segment's costs a
//! walk, and no log is fenced for it.

use super::cursor::{Cursor, Trouble};
use super::directory::{Directory, SharedLog};
use super::stats::EngineStats;
use super::upkeep::INDEXING_PAUSE;
use crate::io::Disk;
use crate::segment::{Index, IndexEntry, OTHERS, Segment, Stage};
use crate::units::{FilePos, LogId, Offset, Timestamp};
use std::rc::Rc;

/// An index file is never larger.
const INDEX_FILE_BYTES_MAX: usize = 1 << 20;

/// Indexes of sealed segments that are kept in memory: 24 MiB of them.
const INDEXES_MAX: usize = 256;

impl<D: Disk> Directory<D> {
    /// A cursor where the segment's index says, before a batch that is there.
    pub(super) async fn cursor(
        self: &Rc<Self>,
        log: &SharedLog,
        base: Offset,
        ask: impl Fn(&Index) -> Option<IndexEntry>,
    ) -> Result<Cursor, Trouble> {
        self.identify(log, base).await?;
        let start = self.index_floor(log, base, &ask).await?;
        let mut cursor = Cursor::new(base, start);
        let is_sealed = log.borrow().segment(base).is_some_and(|segment| segment.stage == Stage::Sealed);
        let Some(entry) = start.filter(|_| is_sealed) else { return Ok(cursor) };
        match self.next(log, &mut cursor).await {
            Ok(_) => {
                cursor.move_to(entry.position, entry.offset);
                Ok(cursor)
            }
            // The index may be at fault. The walk that makes a new one comes past the place: if that is bad, it says so.
            Err(Trouble::Corrupt(_)) => {
                let index = self.build_index(log, base).await?;
                let start = ask(&index);
                self.take_index(log, base, index).await;
                Ok(Cursor::new(base, start))
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// A file of the right name, with batches of the right offsets, may be another partition's. Once for each segment: it
    /// begins with the batch that the journal knows. One whose first batch is damaged is not another's for that.
    async fn identify(self: &Rc<Self>, log: &SharedLog, base: Offset) -> Result<(), Trouble> {
        let first_crc = {
            let log = log.borrow();
            let segment = log.segment(base).ok_or(Trouble::Gone)?;
            if segment.is_own || segment.tail.memory_start() == FilePos::ZERO {
                return Ok(());
            }
            segment.first_crc
        };
        let mut cursor = Cursor::new(base, None);
        let found = match self.next(log, &mut cursor).await {
            Ok(Some(located)) => {
                self.whole(log, &mut cursor, &located).await.map(|whole| whole.then_some(located))
            }
            Ok(None) => Ok(None),
            Err(trouble) => Err(trouble),
        };
        match found {
            Ok(Some(located)) if located.header.crc != first_crc => {
                Err(Trouble::rot(OTHERS.to_owned(), base, FilePos::ZERO, base))
            }
            Ok(_) | Err(Trouble::Corrupt(_)) => {
                if let Some(segment) = log.borrow_mut().segment_mut(base) {
                    segment.is_own = true;
                }
                Ok(())
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Asks the segment's index; reads or builds that of a sealed segment first.
    async fn index_floor(
        self: &Rc<Self>,
        log: &SharedLog,
        base: Offset,
        ask: impl Fn(&Index) -> Option<IndexEntry>,
    ) -> Result<Option<IndexEntry>, Trouble> {
        loop {
            {
                let log = log.borrow();
                let segment = log.segment(base).ok_or(Trouble::Gone)?;
                if let Some(index) = &segment.index {
                    return Ok(ask(index));
                }
            }
            match self.index_in_file(log, base).await {
                Some(index) => self.keep_index(log, base, index),
                None => {
                    let index = self.build_index(log, base).await?;
                    self.take_index(log, base, index).await;
                }
            }
        }
    }

    /// What the index file of a sealed segment says; `None` for one that is missing, damaged or not of this segment.
    pub(super) async fn index_in_file(&self, log: &SharedLog, base: Offset) -> Option<Index> {
        let (path, offset_end, bytes) = {
            let log = log.borrow();
            let segment = log.segment(base)?;
            (segment.index_path(&log.directory_name), segment.offset_end, segment.bytes())
        };
        let found = self.disk.read_small(&path, INDEX_FILE_BYTES_MAX).await.ok()?;
        Index::decode(&found, bytes).filter(|index| index.lies_within(base..offset_end, bytes))
    }

    fn keep_index(&self, log: &SharedLog, base: Offset, index: Index) {
        if let Some(segment) = log.borrow_mut().segment_mut(base) {
            segment.index = Some(index);
        }
        let log_id = log.borrow().identity.log_id;
        self.note_index(log_id, base);
    }

    /// An index that was built because that in the file is of no use: into memory, and into the file.
    pub(super) async fn take_index(&self, log: &SharedLog, base: Offset, index: Index) {
        EngineStats::add(&self.stats.indexes_rebuilt_total, 1);
        let Some((number, path, bytes)) = log.borrow().segment(base).map(|segment| {
            let path = segment.index_path(&log.borrow().directory_name);
            (segment.number, path, index.encode(segment.bytes()))
        }) else {
            return;
        };
        tracing::info!(file = %path.display(), "the index of a segment was missing or wrong: built anew");
        self.keep_index(log, base, index);
        // While files of the log are removed none is made.
        while log.borrow().removing && !self.is_ending() {
            self.disk.sleep(INDEXING_PAUSE).await;
        }
        {
            let mut log = log.borrow_mut();
            let is_same = |segment: &Segment| segment.number == number && segment.stage == Stage::Sealed;
            // Whoever removes these files, or gives the directory away, has begun; or another writes the same.
            if !log.segment(base).is_some_and(is_same) || log.is_detached || log.removing || log.indexing {
                return;
            }
            log.indexing = true;
        }
        let written = self.disk.replace_small(&path, bytes, false).await;
        log.borrow_mut().indexing = false;
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "an index that was built anew could not be kept");
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

    /// Walks all batches of a segment, each of them checked.
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
            if !self.whole(log, &mut cursor, &located).await? {
                continue;
            }
            index.note(entry, interval);
            max_timestamp = max_timestamp.max(located.max_timestamp());
            cursor.skip(&located);
            self.disk.yield_now().await;
        }
        Ok(index)
    }
}

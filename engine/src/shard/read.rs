//! Reads: the tail from memory, the rest from the segments through the cache, with pages fetched ahead.
//!
//! Nothing that the device gave is answered, or believed, before it was checked: a header against its place, the batch by
//! its checksum. What does not check is read once more, then its log is fenced.

use super::api::{Read, ReadError, ReadOutcome, TimedOffset};
use super::append::UNFOLDED_AT_ONCE_MAX;
use super::cold::{TURN_BYTES, Turn};
use super::cursor::{Cursor, Rot, Trouble};
use super::directory::{Directory, SharedLog};
use super::pages::{PAGE_BYTES, PAGES_AHEAD};
use super::stats::EngineStats;
use crate::batch::{
    BatchCrc, BatchError, HEADER_BYTES, UNPACKED_BYTES_MAX, find_max_timestamp, find_timestamp, is_packed,
};
use crate::io::Disk;
use crate::log::LogBounds;
use crate::segment::{Gathered, Located, Segment, Stage, View, trim};
use crate::units::{FilePos, LeaderEpoch, Offset, Timestamp};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Bytes that are checked before others get their turn: about a hundred microseconds.
const CHECKED_AT_ONCE_MAX: u64 = 1 << 20;
/// A batch that says to be larger is checked before it is held in memory. Few are: it is read twice.
const HELD_UNCHECKED_MAX: usize = if cfg!(test) { 64 << 10 } else { 16 << 20 };

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
                let found = |segment: &Segment| {
                    let place = (segment.base, segment.number);
                    (place, segment.offset_end, read_memory(segment, offset, visible_end, &read))
                };
                log.segment_at(offset).map(found)
            };
            let Some((place, offset_end, in_memory)) = found else { break };
            let answered = match in_memory {
                Some(slices) => Ok(slices),
                // Boxed: every request's task would be twice as large for what few of them do.
                None => Box::pin(self.read_cold(log, place, offset, visible_end, &read)).await,
            };
            match answered {
                // What is left here did not fit, or is not to be seen yet: what lies behind it must not be answered.
                Ok(slices) if slices.is_empty() && offset < offset_end => break,
                Ok(slices) if slices.is_empty() => {}
                Ok(slices) => {
                    outcome.bytes = slices.iter().map(Bytes::len).sum();
                    outcome.slices = slices;
                    return Ok(outcome);
                }
                // The segment expired under the reader, and the offset did not: it lies in the gap behind it.
                Err(Trouble::Gone) if Self::may_be_read(log, offset) => continue,
                Err(trouble) => return Err(self.trouble(log, &trouble, read.offset)),
            }
            // Nothing of this segment is left at or after the offset: the next one has it.
            let next = log.borrow().segments.iter().map(|segment| segment.base).find(|next| *next > place.0);
            let Some(next) = next else { break };
            offset = next.max(offset);
        }
        Ok(outcome)
    }

    fn may_be_read(log: &SharedLog, offset: Offset) -> bool {
        let log = log.borrow();
        !log.is_detached && offset >= log.bounds().log_start
    }

    fn trouble(&self, log: &SharedLog, trouble: &Trouble, offset: Offset) -> ReadError {
        let log_id = log.borrow().identity.log_id;
        match trouble {
            Trouble::Gone if log.borrow().is_detached => super::api::LogError::Unknown { log_id }.into(),
            // Its segment expired under the reader.
            Trouble::Gone => {
                let LogBounds { log_start, log_end, .. } = log.borrow().bounds();
                ReadError::OutOfRange { offset, log_start, log_end }
            }
            Trouble::Corrupt(rot) => {
                self.rot_found(log, rot);
                ReadError::Corrupt { offset }
            }
            Trouble::Io(error) => {
                let log = log.borrow();
                tracing::error!(topic = log.identity.topic, partition = log.identity.partition, %error, "reading failed");
                super::api::LogError::Offline { log_id, reason: error.to_string() }.into()
            }
        }
    }

    /// Fences a log whose stored bytes do not check, and says where.
    pub(super) fn rot_found(&self, log: &SharedLog, rot: &Rot) {
        let mut log = log.borrow_mut();
        // Somebody else came to the place as well, or the log is offline for another reason: then this says nothing of it.
        if log.fault.is_some() {
            return;
        }
        let Rot { what, base, at, offset } = rot;
        let name = log.segment(*base).map(|segment| segment.path(&log.directory_name)).unwrap_or_default();
        let root = self.settings.directories.get(self.scrub.place()).map_or(Path::new(""), PathBuf::as_path);
        let file = root.join(name).display().to_string();
        let reason =
            format!("stored bytes do not check: {what}, in {file} at {at}, where offset {offset} is");
        let (topic, partition) = (&log.identity.topic, log.identity.partition);
        tracing::error!(topic, partition, file, position = %at, %offset, what, "stored bytes do not check: log fenced");
        EngineStats::add(&self.stats.rot_found_total, 1);
        self.stats.logs_online.fetch_sub(1, Ordering::Relaxed);
        EngineStats::add(&self.stats.logs_offline, 1);
        log.fence(reason);
    }

    async fn read_cold(
        self: &Rc<Self>,
        log: &SharedLog,
        place: (Offset, u64),
        offset: Offset,
        visible_end: Offset,
        read: &Read,
    ) -> Result<Vec<Bytes>, Trouble> {
        let bounded = self.cold_turn().await;
        if bounded {
            self.cold.calm(&self.disk).await;
        }
        let found = self.read_segment(log, place, offset, visible_end, read, bounded).await;
        if bounded {
            self.cold.read(found.as_ref().map_or(0, |slices| slices.iter().map(Bytes::len).sum()));
            EngineStats::set(&self.stats.cold_bytes_per_s, self.cold.bytes_per_s());
            // Its answer is sent next, in one go.
            self.cold.calm(&self.disk).await;
        }
        found
    }

    /// Until a reader of old records has its turn; `true` when that is one beside appends, for `TURN_BYTES`.
    async fn cold_turn(&self) -> bool {
        let mut waited = Duration::ZERO;
        let bounded = loop {
            let (wait, is_last) = match self.cold.turn(self.disk.now()) {
                Turn::Free => break false,
                Turn::Later(wait) => (wait, false),
                Turn::After(wait) => (wait, true),
            };
            if !wait.is_zero() {
                self.disk.sleep(wait).await;
                waited += wait;
            }
            if is_last {
                break true;
            }
        };
        if !waited.is_zero() {
            EngineStats::add(&self.stats.cold_waits_total, 1);
            EngineStats::add(&self.stats.cold_wait_us_total, waited.as_micros() as u64);
        }
        bounded
    }

    /// Batches of one segment, its base and its number given, that are not in memory; in a `bounded` turn no more than
    /// `TURN_BYTES` beyond the first.
    async fn read_segment(
        self: &Rc<Self>,
        log: &SharedLog,
        (base, number): (Offset, u64),
        offset: Offset,
        visible_end: Offset,
        read: &Read,
        bounded: bool,
    ) -> Result<Vec<Bytes>, Trouble> {
        let more_bytes_max = if bounded { read.bytes_max.min(TURN_BYTES) } else { read.bytes_max };
        let known = self.read_ends.borrow().find(number, offset);
        let mut cursor = match known {
            Some(position) => Cursor::at(base, position, offset),
            None => self.cursor(log, base, |index| index.floor(offset)).await?,
        };
        let mut first = None;
        let (mut end, mut offset_end) = (cursor.at, offset);
        loop {
            let located = match self.next(log, &mut cursor).await {
                // What lies before the bad place is right and is answered; the next read comes to the place itself.
                Err(Trouble::Corrupt(_)) if first.is_some() => break,
                found => found?,
            };
            let Some(located) = located else { break };
            if located.offset_end() <= offset {
                cursor.skip(&located);
                continue;
            }
            let start = first.unwrap_or(located.start);
            let bytes = (located.end.as_u64() - start.as_u64()) as usize;
            let fits = match first {
                None => bytes <= read.bytes_max || read.first_batch_whole,
                Some(_) => bytes <= more_bytes_max,
            };
            if !fits {
                break;
            }
            if first.is_none() {
                let end = located.start.advance(more_bytes_max as u64);
                if known.is_some() && !bounded && more_bytes_max as u64 >= PAGE_BYTES * PAGES_AHEAD {
                    let end = end.min(Self::readable_end(log, base)?);
                    // Boxed, as above: few reads are so large.
                    Box::pin(self.start_pages_and_next(log, base, cursor.gathered.end(), end)).await;
                }
                self.gather(log, &mut cursor, end).await?;
            }
            match self.whole(log, &mut cursor, &located).await {
                Err(Trouble::Corrupt(_)) if first.is_some() => break,
                Ok(false) => continue,
                checked => drop(checked?),
            }
            // Only now: what was not checked may say anything of its offsets.
            if located.offset_end() > visible_end {
                break;
            }
            first = Some(start);
            (end, offset_end) = (located.end, located.offset_end());
            if bytes >= more_bytes_max {
                break;
            }
        }
        let Some(first) = first else { return Ok(Vec::new()) };
        self.read_ends.borrow_mut().note(number, offset_end, end);
        let (turn_bytes, page_count) =
            if bounded { (TURN_BYTES as u64, 1) } else { (PAGE_BYTES, PAGES_AHEAD) };
        if cursor.from_disk * 2 >= turn_bytes {
            self.fetch_ahead(log, base, cursor.gathered.end(), page_count);
        }
        Ok(trim(&cursor.gathered, first..end))
    }

    /// The next batch, or `None` at the segment's end. Its header stands where it should; more is not known of it before
    /// `whole` says so.
    pub(super) async fn next(
        self: &Rc<Self>,
        log: &SharedLog,
        cursor: &mut Cursor,
    ) -> Result<Option<Located>, Trouble> {
        loop {
            match self.look(log, cursor).await {
                Err(Trouble::Corrupt(rot)) => {
                    let end = cursor.at.advance(HEADER_BYTES as u64);
                    self.read_again(log, cursor, rot, end)?;
                }
                found => return found,
            }
        }
    }

    async fn look(self: &Rc<Self>, log: &SharedLog, cursor: &mut Cursor) -> Result<Option<Located>, Trouble> {
        loop {
            let limit = Self::readable_end(log, cursor.base)?;
            if cursor.at >= limit {
                return Self::check_end(log, cursor).map(|()| None);
            }
            match cursor.gathered.view(cursor.at, cursor.offset) {
                View::Batch(located) if located.end > limit => {
                    return Err(cursor.corrupt("a batch passes the end of what may be read"));
                }
                // A reader would take it for the end of what is visible, and go on in the next segment.
                View::Batch(located) if located.offset_end() > Self::offset_end(log, cursor.base)? => {
                    return Err(cursor.corrupt("a batch passes the last offset of its segment"));
                }
                View::Batch(located) if !Self::is_of_its_epoch(log, &located) => {
                    return Err(cursor.corrupt("a batch has another leader epoch than its place"));
                }
                View::Batch(located) => {
                    cursor.move_to(located.end, located.offset_end());
                    return Ok(Some(located));
                }
                View::Corrupt => return Err(cursor.corrupt("no batch with this offset stands here")),
                View::Short => {
                    if cursor.at > cursor.gathered.end() {
                        cursor.gathered = Gathered::from(cursor.at);
                    }
                    let before = cursor.gathered.end();
                    self.gather(log, cursor, cursor.at.advance(HEADER_BYTES as u64)).await?;
                    if cursor.gathered.end() == before {
                        return Err(cursor.corrupt("the segment ends inside a batch's header"));
                    }
                }
            }
        }
    }

    /// A sealed segment's batches end where its offsets do.
    fn check_end(log: &SharedLog, cursor: &Cursor) -> Result<(), Trouble> {
        let log = log.borrow();
        let segment = log.segment(cursor.base).ok_or(Trouble::Gone)?;
        if segment.stage == Stage::Sealed && segment.offset_end != cursor.offset {
            let what = format!("the segment ends, and its offsets end at {}", segment.offset_end);
            return Err(cursor.corrupt(&what));
        }
        Ok(())
    }

    /// Gathers all of a batch that `next` found. What of it came from the device is checked by the batch's checksum, once
    /// for as long as it is in memory. `false` when it did not check and was read again: the cursor stands before it.
    ///
    /// Measured (`benches/integrity.rs`): checking a cached page each time it is sent adds half to the CPU of sending it,
    /// and a log that many consumers follow is sent from the cache many times.
    pub(super) async fn whole(
        self: &Rc<Self>,
        log: &SharedLog,
        cursor: &mut Cursor,
        located: &Located,
    ) -> Result<bool, Trouble> {
        let range = located.start..located.end;
        if located.header.batch_bytes() > HELD_UNCHECKED_MAX {
            // A length whose bits turned may ask for most of a segment: nothing is held for it.
            let mut ahead = Cursor::at(cursor.base, located.start, located.base_offset());
            if !self.sum(log, &mut ahead, located, false).await? {
                return self.read_wrong(log, cursor, located);
            }
        }
        self.gather(log, cursor, located.end).await?;
        if cursor.gathered.end() >= located.end && cursor.gathered.is_checked(range.clone()) {
            return Ok(true);
        }
        if !self.sum(log, cursor, located, true).await? {
            return self.read_wrong(log, cursor, located);
        }
        cursor.gathered.note_checked(range);
        Ok(true)
    }

    /// Whether a batch's checksum is that of its bytes, which are kept in `cursor` or let go of on the way.
    async fn sum(
        self: &Rc<Self>,
        log: &SharedLog,
        cursor: &mut Cursor,
        located: &Located,
        kept: bool,
    ) -> Result<bool, Trouble> {
        let (mut crc, mut at) = (BatchCrc::default(), located.start);
        while at < located.end {
            let end = located.end.min(at.advance(CHECKED_AT_ONCE_MAX));
            self.gather(log, cursor, end).await?;
            cursor.gathered.add_to(&mut crc, at..end);
            if !kept {
                cursor.gathered.skip_to(end.min(cursor.gathered.end()));
            }
            at = end;
            self.disk.yield_now().await;
        }
        Ok(crc.matches(&located.header))
    }

    /// A batch that does not check is looked at again, the first time.
    fn read_wrong(&self, log: &SharedLog, cursor: &mut Cursor, located: &Located) -> Result<bool, Trouble> {
        cursor.move_to(located.start, located.base_offset());
        let rot = cursor.rot("a batch's checksum does not fit its bytes");
        self.read_again(log, cursor, rot, located.end).map(|()| false)
    }

    /// Bytes that do not check are asked of the device once more, past the cache, before their log is fenced. A bit may
    /// have turned in memory or on the way, and then the medium is well: a partition must not be offline until the next
    /// start for that. Rot on the medium reads the same again; the one read more costs nothing beside what follows.
    fn read_again(
        &self,
        log: &SharedLog,
        cursor: &mut Cursor,
        rot: Rot,
        end: FilePos,
    ) -> Result<(), Trouble> {
        if cursor.again_from.is_some_and(|from| from >= rot.at) {
            return Err(Trouble::Corrupt(rot));
        }
        let (topic, partition) = (log.borrow().identity.topic.clone(), log.borrow().identity.partition);
        let (segment, position, offset, what) = (rot.base, rot.at, rot.offset, rot.what);
        tracing::warn!(topic, partition, %segment, %position, %offset, what, "stored bytes do not check: read again");
        EngineStats::add(&self.stats.reads_repeated_total, 1);
        self.forget_pages(log, cursor.base, rot.at..end);
        cursor.gathered.cut(rot.at);
        cursor.again_from = Some(rot.at);
        Ok(())
    }

    /// No checksum covers a batch's leader epoch: it must be the one that is known of its offset, unless that is so old
    /// that it was forgotten. Its last record is asked for: the log may start inside the batch, and the epoch with it.
    pub(super) fn is_of_its_epoch(log: &SharedLog, located: &Located) -> bool {
        let last = Offset::new(located.offset_end().as_i64() - 1);
        let known = log.borrow().epochs().at(last);
        known.is_none_or(|known| known.0 == located.header.partition_leader_epoch)
    }

    /// Batches of the segment end here at the latest: what is durable, or may be read before it is.
    fn readable_end(log: &SharedLog, base: Offset) -> Result<FilePos, Trouble> {
        let log = log.borrow();
        log.segment(base).map(|segment| log.readable_end(segment)).ok_or(Trouble::Gone)
    }

    /// One past the last record of the segment.
    fn offset_end(log: &SharedLog, base: Offset) -> Result<Offset, Trouble> {
        log.borrow().segment(base).map(|segment| segment.offset_end).ok_or(Trouble::Gone)
    }

    /// Gathers bytes up to `end` or the last one that may be read: pages below what is in memory, then memory.
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
                let skip = (at.as_u64() % PAGE_BYTES) as usize;
                let page = self.page(log, cursor.base, at.as_u64() / PAGE_BYTES, skip).await?;
                if page.bytes.len() <= skip {
                    return Err(cursor.corrupt("the file is shorter than what was written to it"));
                }
                let limit = (Self::readable_end(log, cursor.base)?.as_u64() - at.as_u64()) as usize;
                let bytes = page.bytes.len() - skip;
                cursor.from_disk += bytes as u64;
                cursor.gathered.push_page(&page, skip..skip + bytes.min(limit));
            }
        }
        Ok(())
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
                Err(trouble) => return Err(self.trouble(log, &trouble, base)),
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
        let mut cursor = self.cursor(log, base, |index| index.floor_time(time)).await?;
        while let Some(located) = self.next(log, &mut cursor).await? {
            if !self.whole(log, &mut cursor, &located).await? {
                continue;
            }
            let bounds = log.borrow().bounds();
            if located.offset_end() > bounds.high_watermark {
                return Ok(None);
            }
            if located.max_timestamp() < time || located.offset_end() <= bounds.log_start {
                cursor.skip(&located);
                continue;
            }
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
            let corrupt = |error: BatchError| {
                Trouble::rot(error.to_string(), base, located.start, located.base_offset())
            };
            if let Some((offset, timestamp)) = found.map_err(corrupt)? {
                let leader_epoch = LeaderEpoch(located.header.partition_leader_epoch);
                return Ok(Some(TimedOffset { offset, timestamp, leader_epoch }));
            }
        }
        Ok(None)
    }
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

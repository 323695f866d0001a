//! How do batches lie in one file?

mod index;
mod piece;
mod reader;
mod tail;
mod walk;

pub(crate) use index::{Index, IndexEntry};
pub(crate) use reader::{Gathered, Located, View, trim};
pub(crate) use tail::{Staging, Tail, TailBatch};
pub(crate) use walk::{OTHERS, Step, Walk};

use crate::units::{FilePos, Offset, Timestamp};
use std::path::PathBuf;

/// Where a segment stands between its first batch and its last byte on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Takes batches.
    Active,
    /// Takes no more; its last blocks are on their way, then it is cut to its length.
    Sealing,
    /// Exactly as long as its data, all of it synced.
    Sealed,
}

/// One file of a log, and what is known of it. A view of the owning shard.
pub(crate) struct Segment {
    /// Offset of its first record; names the file.
    pub(crate) base: Offset,
    /// Unique in this process; names its pages in the cache.
    pub(crate) number: u64,
    pub(crate) stage: Stage,
    /// One past its last record.
    pub(crate) offset_end: Offset,
    /// The bytes in memory; empty and at its end once sealed.
    pub(crate) tail: Tail,
    /// Blocks are reserved up to here.
    pub(crate) reserved_end: FilePos,
    /// Sparse places of batches; `None` until a sealed segment is first read.
    pub(crate) index: Option<Index>,
    /// Greatest timestamp in it; `Timestamp::NONE` when it holds none.
    pub(crate) max_timestamp: Timestamp,
    /// The same of what a commit carries, written or under way: a state must not speak of more.
    pub(crate) planned_max_timestamp: Timestamp,
    /// Greatest timestamp of its first batch: what rolling by time counts from.
    pub(crate) first_timestamp: Timestamp,
    /// Checksum of its first batch: who finds another one in its file has another segment's.
    pub(crate) first_crc: u32,
    /// Its file was looked at since the start: it begins with that batch.
    pub(crate) is_own: bool,
    /// When it last grew, as far as this process knows: its age when no record of it bears a time.
    pub(crate) touched: Timestamp,
    /// The journal knows of it: a roll to it is planned or was recovered.
    pub(crate) announced: bool,
}

/// Name of the file of the segment that begins with this offset, as Kafka names it.
pub(crate) fn file_name(base: Offset) -> String {
    format!("{:020}.log", base.as_i64())
}

impl Segment {
    /// An empty active segment.
    pub(crate) fn new(base: Offset, number: u64) -> Self {
        Self {
            base,
            number,
            stage: Stage::Active,
            offset_end: base,
            tail: Tail::at(FilePos::ZERO),
            reserved_end: FilePos::ZERO,
            index: Some(Index::default()),
            max_timestamp: Timestamp::NONE,
            planned_max_timestamp: Timestamp::NONE,
            first_timestamp: Timestamp::NONE,
            first_crc: 0,
            is_own: false,
            touched: Timestamp::NONE,
            announced: false,
        }
    }

    /// Bytes of data in it, staged ones included.
    pub(crate) fn bytes(&self) -> u64 {
        self.tail.staged_end().as_u64()
    }

    /// The batches from `start` on are planned now, as far as the tail says.
    pub(crate) fn note_planned(&mut self, start: FilePos) {
        let end = self.tail.planned_end();
        let planned = self.tail.batches_from(start).take_while(|batch| batch.end <= end);
        let greatest = planned.map(|batch| batch.max_timestamp).max().unwrap_or(Timestamp::NONE);
        self.planned_max_timestamp = self.planned_max_timestamp.max(greatest);
    }

    /// Its file below the log directory.
    pub(crate) fn path(&self, log_directory: &str) -> PathBuf {
        PathBuf::from(log_directory).join(file_name(self.base))
    }

    /// Its index file, written when it is sealed.
    pub(crate) fn index_path(&self, log_directory: &str) -> PathBuf {
        PathBuf::from(log_directory).join(format!("{:020}.twindex", self.base.as_i64()))
    }
}

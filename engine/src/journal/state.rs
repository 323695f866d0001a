//! All that is known of one log at one moment, as an entry carries it.

use super::codec::{Put, Take};
use super::commit::StartId;
use crate::log::{Epochs, LogIdentity, Producers};
use crate::segment::{IndexEntry, Stage};
use crate::units::{FilePos, LeaderEpoch, LogId, Offset, Timestamp};

const VERSION: u8 = 3;
/// No log comes to an offset or a position above these. What claims to is refused, so that sums with lengths and counts
/// of one journal's bytes never overflow.
pub(super) const OFFSET_MAX: i64 = 1 << 62;
pub(super) const POSITION_MAX: u64 = 1 << 62;

/// One segment of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentState {
    pub(crate) base: Offset,
    pub(crate) stage: Stage,
    pub(crate) offset_end: Offset,
    /// Bytes of data, all of them durable.
    pub(crate) end: FilePos,
    /// Of them, those that are in the file, synced.
    pub(crate) written_end: FilePos,
    pub(crate) max_timestamp: Timestamp,
    pub(crate) first_timestamp: Timestamp,
    /// Checksum of the first batch, 0 while there is none.
    pub(crate) first_crc: u32,
    /// A few index entries of an active segment.
    pub(crate) milestones: Vec<IndexEntry>,
}

/// A log's state.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LogState {
    pub(crate) identity: LogIdentity,
    pub(crate) log_start: Offset,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) epochs: Epochs,
    pub(crate) producers: Producers,
    /// Offsets below it may have been given out before their sync; 0 is none.
    pub(crate) ceiling: Offset,
    pub(crate) segments: Vec<SegmentState>,
}

impl LogState {
    /// A log that holds nothing.
    pub(crate) fn empty(identity: LogIdentity, leader_epoch: LeaderEpoch) -> Self {
        Self {
            identity,
            log_start: Offset::ZERO,
            leader_epoch,
            epochs: Epochs::default(),
            producers: Producers::default(),
            ceiling: Offset::ZERO,
            segments: Vec::new(),
        }
    }

    /// About as many as `encode` writes, rather more.
    fn bytes_about(&self) -> usize {
        let segments: usize = self.segments.iter().map(|segment| 64 + 24 * segment.milestones.len()).sum();
        64 + self.identity.topic.len() + self.epochs.bytes_max() + self.producers.bytes_max() + segments
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes_about());
        self.encode_into(&mut bytes);
        bytes
    }

    /// Appends it to bytes.
    pub(crate) fn encode_into(&self, bytes: &mut Vec<u8>) {
        let mut out = Put(std::mem::take(bytes));
        let topic = self.identity.topic.as_bytes();
        out.u8(VERSION).bytes(&self.identity.topic_id).i32(self.identity.partition);
        out.u16(topic.len() as u16).bytes(topic);
        out.i64(self.log_start.as_i64()).i32(self.leader_epoch.0).i64(self.ceiling.as_i64());
        self.epochs.encode(&mut out);
        self.producers.encode(&mut out);
        out.u32(self.segments.len() as u32);
        for segment in &self.segments {
            out.i64(segment.base.as_i64()).u8(stage_code(segment.stage)).i64(segment.offset_end.as_i64());
            out.u64(segment.end.as_u64()).u64(segment.written_end.as_u64());
            out.i64(segment.max_timestamp.0).i64(segment.first_timestamp.0).u32(segment.first_crc);
            out.u32(segment.milestones.len() as u32);
            for entry in &segment.milestones {
                out.i64(entry.offset.as_i64()).u64(entry.position.as_u64()).i64(entry.max_timestamp_before.0);
            }
        }
        *bytes = out.0;
    }

    /// `None` for bytes that `encode` did not write.
    pub(crate) fn decode(log_id: LogId, bytes: &[u8]) -> Option<Self> {
        let mut take = Take(bytes);
        if take.u8()? != VERSION {
            return None;
        }
        let (topic_id, partition) = (take.array()?, take.i32()?);
        let topic_bytes = take.u16()?;
        let topic = String::from_utf8(take.bytes(topic_bytes.into())?.to_vec()).ok()?;
        let identity = LogIdentity { log_id, topic_id, topic, partition };
        let log_start = Offset::from_wire(take.i64()?)?;
        let leader_epoch = LeaderEpoch(take.i32()?);
        let ceiling = Offset::from_wire(take.i64()?)?;
        let epochs = Epochs::decode(&mut take)?;
        let producers = Producers::decode(&mut take)?;
        let count = take.count(57)?;
        let segments = (0..count).map(|_| decode_segment(&mut take)).collect::<Option<Vec<_>>>()?;
        let state = Self { identity, log_start, leader_epoch, epochs, producers, ceiling, segments };
        let is_sound =
            take.0.is_empty() && log_start.as_i64() <= OFFSET_MAX && ceiling.as_i64() <= OFFSET_MAX;
        is_sound.then_some(state)
    }
}

fn decode_segment(take: &mut Take<'_>) -> Option<SegmentState> {
    let base = Offset::from_wire(take.i64()?)?;
    let stage = match take.u8()? {
        0 => Stage::Active,
        1 => Stage::Sealing,
        2 => Stage::Sealed,
        _ => return None,
    };
    let offset_end = Offset::from_wire(take.i64()?)?;
    let (end, written_end) = (FilePos::new(take.u64()?), FilePos::new(take.u64()?));
    let (max_timestamp, first_timestamp) = (Timestamp(take.i64()?), Timestamp(take.i64()?));
    let first_crc = take.u32()?;
    let count = take.count(24)?;
    let milestones = (0..count).map(|_| decode_entry(take)).collect::<Option<Vec<_>>>()?;
    let is_sound = written_end <= end
        && base <= offset_end
        && end.as_u64() <= POSITION_MAX
        && offset_end.as_i64() <= OFFSET_MAX
        && milestones.iter().all(|entry| entry.position.as_u64() <= POSITION_MAX);
    is_sound.then_some(SegmentState {
        base,
        stage,
        offset_end,
        end,
        written_end,
        max_timestamp,
        first_timestamp,
        first_crc,
        milestones,
    })
}

fn decode_entry(take: &mut Take<'_>) -> Option<IndexEntry> {
    Some(IndexEntry {
        offset: Offset::from_wire(take.i64()?)?,
        position: FilePos::new(take.u64()?),
        max_timestamp_before: Timestamp(take.i64()?),
    })
}

fn stage_code(stage: Stage) -> u8 {
    match stage {
        Stage::Active => 0,
        Stage::Sealing => 1,
        Stage::Sealed => 2,
    }
}

/// The payload of an `Older` entry: per journal of an earlier start, the last sequence that was accepted.
pub(crate) fn encode_older(older: &[(StartId, u32, u64)]) -> Vec<u8> {
    let mut out = Put::default();
    out.u32(older.len() as u32);
    for (start, shard, sequence) in older {
        out.u64(start.counter).bytes(&start.random).u32(*shard).u64(*sequence);
    }
    out.0
}

/// `None` for bytes that `encode_older` did not write.
pub(crate) fn decode_older(bytes: &[u8]) -> Option<Vec<(StartId, u32, u64)>> {
    let mut take = Take(bytes);
    let count = take.count(36)?;
    let one = |take: &mut Take<'_>| {
        let counter = take.u64()?;
        Some((StartId { counter, random: take.array()? }, take.u32()?, take.u64()?))
    };
    let older = (0..count).map(|_| one(&mut take)).collect::<Option<_>>()?;
    take.0.is_empty().then_some(older)
}

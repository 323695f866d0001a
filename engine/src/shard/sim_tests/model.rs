//! What must be true of the logs whatever happened to the disk: a list of batches per log, and how much was promised.

use super::{happened, promise};
use crate::batch::{BatchBuilder, BatchHeader, Codec, Origin, ProducerFields, crc_matches};
use crate::io::sim::Random;
use crate::log::{Durability, DurabilityMode, LogIdentity, LogSettings};
use crate::units::{LeaderEpoch, LogId, Offset, Timestamp};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

pub(super) const NOW: i64 = crate::io::sim::WALL_START_MS as i64;

/// What is known of a log's creation and deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Being {
    /// Asked for, not answered.
    Creating,
    Live,
    /// Deletion asked for, not answered.
    Deleting,
    Deleted,
    /// Bytes of it are gone from the journals: offline for ever.
    Lost,
}

/// How long a batch is, and how many records it holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    value_bytes: u64,
    record_count: u64,
}

/// A batch before it is staged.
pub(super) struct Drawn {
    pub(super) records: Bytes,
    shape: Shape,
    producer: ProducerFields,
}

/// One batch that was staged.
pub(super) struct ModelBatch {
    pub(super) base: i64,
    pub(super) offset_end: i64,
    pub(super) records: Bytes,
    pub(super) leader_epoch: i32,
    shape: Shape,
    producer: ProducerFields,
    /// What its log promised when it was staged, and when that was.
    pub(super) durability: Durability,
    pub(super) staged: Duration,
    pub(super) answered: bool,
}

/// One log.
#[expect(clippy::struct_excessive_bools, reason = "each says one thing that happened to the log")]
pub(super) struct ModelLog {
    pub(super) identity: LogIdentity,
    pub(super) settings: LogSettings,
    pub(super) origin: Origin,
    codec: Codec,
    pub(super) being: Being,
    /// Its files were damaged before this life: what it serves is right all the same.
    pub(super) hurt: bool,
    /// Bytes of it are gone for good.
    pub(super) is_lost: bool,
    pub(super) batches: Vec<ModelBatch>,
    /// Batches that a crash took back: others of their lengths come in their places.
    taken_back: VecDeque<Shape>,
    pub(super) leader_epoch: i32,
    /// Below it everything was acknowledged as durable.
    pub(super) acked_end: i64,
    /// The greatest high watermark that anybody saw, or end of a batch that was answered.
    pub(super) seen_end: i64,
    /// The offset that the next record gets: above the last batch where a crash left a gap.
    pub(super) next: i64,
    /// It once had a weaker mode.
    was_weak: bool,
    /// This life's recovery found it, and it is served.
    pub(super) is_found: bool,
    /// The life before found it and stopped cleanly.
    pub(super) is_rested: bool,
    /// Records below it were removed, and that was acknowledged.
    pub(super) start_acked: i64,
    /// Nobody asked for more to be removed.
    pub(super) start_max: i64,
}

impl ModelLog {
    /// Topic 0 is a coordinator's, as that of group offsets: many small batches of nobody in particular.
    pub(super) fn new(number: u64, topic: u64, random: &mut Random) -> Self {
        let mut id = [0xA5; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let identity =
            LogIdentity { log_id: LogId(id), topic_id: id, topic: format!("t{topic}"), partition: 0 };
        let segment_bytes = [20_000, 100_000, 400_000][random.below(3) as usize];
        let of_coordinator = topic == 0;
        let codec = [Codec::None, Codec::None, Codec::Gzip, Codec::Lz4][random.below(4) as usize];
        let settings = LogSettings {
            segment_bytes,
            retention_bytes: (random.below(4) == 0).then_some(150_000),
            retention_ms: (random.below(6) == 0).then_some(4_000),
            file_delete_delay_ms: random.below(2) * 3_000,
            durability: promise::random(random),
            ..LogSettings::default()
        };
        let was_weak = !of_coordinator && settings.durability.mode != DurabilityMode::Media;
        Self {
            identity,
            settings: if of_coordinator {
                LogSettings { segment_bytes, compacted: true, ..LogSettings::default() }
            } else {
                settings
            },
            origin: if of_coordinator { Origin::Coordinator } else { Origin::Client },
            codec: if of_coordinator { Codec::None } else { codec },
            being: Being::Creating,
            hurt: false,
            is_lost: false,
            batches: Vec::new(),
            taken_back: VecDeque::new(),
            leader_epoch: 0,
            acked_end: 0,
            seen_end: 0,
            next: 0,
            was_weak,
            is_found: false,
            is_rested: false,
            start_acked: 0,
            start_max: 0,
        }
    }

    pub(super) fn id(&self) -> LogId {
        self.identity.log_id
    }

    pub(super) fn end(&self) -> i64 {
        self.batches.last().map_or(0, |batch| batch.offset_end)
    }

    /// The topic gets another durability mode; a coordinator's keeps its own.
    pub(super) fn change_mode(&mut self, random: &mut Random) {
        if self.origin == Origin::Client {
            self.settings.durability = promise::random(random);
            self.was_weak |= self.settings.durability.mode != DurabilityMode::Media;
        }
    }

    /// A producer was told that its batch is there.
    pub(super) fn answered(&mut self, end: i64) {
        self.seen_end = self.seen_end.max(end);
        if let Ok(at) = self.batches.binary_search_by_key(&end, |batch| batch.offset_end) {
            self.batches[at].answered = true;
        }
    }

    /// The first record at or after `offset`.
    pub(super) fn record_from(&self, offset: i64) -> Option<i64> {
        let place = self.batches.partition_point(|batch| batch.offset_end <= offset);
        self.batches.get(place).map(|batch| batch.base.max(offset))
    }

    fn next_shape(&self, random: &mut Random) -> Shape {
        let value_bytes = match random.below(20) {
            _ if self.origin == Origin::Coordinator => 20 + random.below(100),
            0 => 30_000 + random.below(90_000),
            1..4 => 8_000 + random.below(20_000),
            4..8 => 3_000 + random.below(3_000),
            _ => random.below(300),
        };
        Shape { value_bytes, record_count: 1 + random.below(3) }
    }

    /// The producer fields of the batch that would follow; most are idempotent producers', each with a sequence of its
    /// own.
    fn next_producer(&self, random: &mut Random) -> ProducerFields {
        if self.origin == Origin::Coordinator || random.below(8) == 0 {
            return ProducerFields::NONE;
        }
        let producer_id = 7 + random.below(3) as i64;
        let last = self.batches.iter().rev().find(|batch| batch.producer.producer_id == producer_id);
        let fresh = ProducerFields { producer_id, producer_epoch: 0, base_sequence: 0 };
        let Some(last) = last else { return fresh };
        let producer_epoch = last.producer.producer_epoch;
        if random.below(20) == 0 {
            return ProducerFields { producer_epoch: producer_epoch + 1, ..fresh };
        }
        let base_sequence = last.producer.base_sequence + (last.offset_end - last.base) as i32;
        ProducerFields { producer_epoch, base_sequence, ..fresh }
    }

    /// The batch that would follow. Where a crash took one back, often one as long: what is left of the old one must
    /// never pass for the new one.
    pub(super) fn next_batch(&mut self, random: &mut Random) -> Drawn {
        let again = self.taken_back.pop_front().filter(|_| random.below(4) > 0);
        if again.is_some() {
            happened::mark("batches as long as one that was taken back");
        }
        let last = self.batches.last().map(|batch| batch.shape).filter(|_| random.below(6) == 0);
        let shape = again.or(last).unwrap_or_else(|| self.next_shape(random));
        let producer = self.next_producer(random);
        Drawn { records: self.build(shape, producer, random.next_u64()), shape, producer }
    }

    fn build(&self, shape: Shape, producer: ProducerFields, salt: u64) -> Bytes {
        let Shape { value_bytes, record_count } = shape;
        let base = self.next;
        // Packed, the largest ones unfold to more than is looked at on the spot.
        let value_bytes = if self.codec == Codec::None { value_bytes } else { value_bytes * 3 };
        let mut builder = BatchBuilder::new(self.codec);
        for record in 0..record_count {
            let value: Vec<u8> = (0..value_bytes / record_count)
                .map(|at| ((at * 31) ^ (salt >> (at % 8 * 8))) as u8)
                .collect();
            let time = Timestamp(NOW + base + record as i64);
            builder.push(time, Some(b"k"), Some(&value), &[]);
        }
        builder.build(producer).unwrap()
    }

    /// A batch of a known producer that no broker may store: beyond a gap, or of an epoch that is over.
    pub(super) fn wrong_batch(&self, random: &mut Random) -> Option<Bytes> {
        let last = self.batches.iter().rev().find(|batch| batch.producer.producer_id >= 0)?.producer;
        let is_old = last.producer_epoch > 0 && random.below(2) == 0;
        let wrong = if is_old {
            ProducerFields { producer_epoch: last.producer_epoch - 1, ..last }
        } else {
            ProducerFields { base_sequence: last.base_sequence + 1000, ..last }
        };
        Some(self.build(Shape { value_bytes: 100, record_count: 1 }, wrong, random.next_u64()))
    }

    /// One of the last five batches of some producer, and where it was stored: its client sends it again.
    pub(super) fn sent_batch(&self, random: &mut Random) -> Option<(Bytes, i64)> {
        let last = self.batches.iter().rev().find(|batch| batch.producer.producer_id >= 0)?.producer;
        let is_same = |batch: &&ModelBatch| {
            let known = batch.producer;
            (known.producer_id, known.producer_epoch) == (last.producer_id, last.producer_epoch)
        };
        let recent: Vec<&ModelBatch> = self.batches.iter().rev().filter(is_same).take(5).collect();
        let batch = recent.get(random.below(recent.len() as u64) as usize)?;
        Some((batch.records.clone(), batch.base))
    }

    pub(super) fn staged(&mut self, base: Offset, offset_end: Offset, drawn: Drawn, now: Duration) {
        assert_eq!(base.as_i64(), self.next, "{}: offsets are continuous", self.identity.topic);
        self.next = offset_end.as_i64();
        let Drawn { records, shape, producer } = drawn;
        self.batches.push(ModelBatch {
            base: base.as_i64(),
            offset_end: offset_end.as_i64(),
            records,
            leader_epoch: self.leader_epoch,
            shape,
            producer,
            durability: self.settings.durability.clone(),
            staged: now,
            answered: false,
        });
    }

    /// What a read that began at `offset` found is what was staged there; returns where it ends.
    pub(super) fn check_read(&self, offset: i64, found: &[u8]) -> i64 {
        let mut at = 0;
        let mut place = self.batches.partition_point(|batch| batch.offset_end <= offset);
        let mut end = offset;
        let name = &self.identity.topic;
        while at < found.len() {
            let header = BatchHeader::read(&found[at..]).unwrap();
            let batch = self.batches.get(place).unwrap_or_else(|| panic!("more than was staged at {end}"));
            let bytes = &found[at..at + header.batch_bytes()];
            assert_eq!(header.base_offset, batch.base, "{name}");
            assert_eq!(header.partition_leader_epoch, batch.leader_epoch, "{name}: another epoch at {end}");
            assert!(crc_matches(bytes), "{name}: the batch at {} does not check", batch.base);
            assert!(bytes[16..] == batch.records[16..], "{name}: other bytes at {}", batch.base);
            end = batch.offset_end;
            at += bytes.len();
            place += 1;
        }
        end
    }

    /// Leader epoch of the record at `offset`.
    pub(super) fn epoch_at(&self, offset: i64) -> Option<LeaderEpoch> {
        let place = self.batches.partition_point(|batch| batch.offset_end <= offset);
        self.batches.get(place).map(|batch| LeaderEpoch(batch.leader_epoch))
    }

    /// Records below it may be gone.
    pub(super) fn may_start_at(&self) -> i64 {
        let expires = self.settings.retention_bytes.is_some() || self.settings.retention_ms.is_some();
        if expires { self.seen_end.max(self.acked_end) } else { self.start_max }
    }

    /// The log starts here, says a reader: nothing removed is back, and nothing is gone that nobody removed.
    pub(super) fn seen_to_start_at(&mut self, start: i64) {
        let name = &self.identity.topic;
        assert!(start >= self.start_acked, "{name}: removed to {}, starts at {start}", self.start_acked);
        assert!(start <= self.may_start_at(), "{name}: starts at {start}, removed to {}", self.start_max);
        self.start_max = self.start_max.max(start);
    }

    /// The same, and it was acknowledged.
    pub(super) fn starts_at(&mut self, start: i64) {
        self.seen_to_start_at(start);
        self.start_acked = start;
    }

    /// Recovery knows of so many records of each producer (`newest`: its epoch and next sequence), holds records up to
    /// `records_end` (`None`: all that it knew of were removed), and goes on at `next`: what was promised is there, and no
    /// offset that somebody saw comes again.
    pub(super) fn recovered(
        &mut self,
        newest: impl Fn(i64) -> Option<(i16, i32)>,
        records_end: Option<i64>,
        next: i64,
    ) {
        let name = self.identity.topic.clone();
        let is_known = |batch: &ModelBatch| {
            let ProducerFields { producer_id, producer_epoch, base_sequence } = batch.producer;
            if producer_id < 0 {
                return batch.offset_end <= records_end.unwrap_or(self.start_acked);
            }
            let sequence_end = base_sequence + (batch.offset_end - batch.base) as i32;
            newest(producer_id).is_some_and(|newest| newest >= (producer_epoch, sequence_end))
        };
        let kept = self.batches.iter().position(|batch| !is_known(batch)).unwrap_or(self.batches.len());
        let mut lost = self.batches.split_off(kept);
        let end = self.end();
        assert!(records_end.is_none_or(|known| known == end), "{name}: {records_end:?}, not {end}");
        self.taken_back = lost.iter().map(|batch| batch.shape).collect();
        lost.retain(|batch| batch.offset_end > self.start_acked); // the others were removed
        assert!(next >= self.seen_end, "{name}: seen to {}, goes on at {next}", self.seen_end);
        assert!(next >= end, "{name}: it ends at {end} and goes on at {next}");
        let is_promised = lost.iter().any(|batch| batch.offset_end <= self.acked_end);
        assert!(!is_promised, "{name}: acknowledged to {}, found to {end}", self.acked_end);
        promise::check_lost(&name, &lost);
        let is_gap = next > end && next > self.next;
        assert!(!is_gap || self.was_weak, "{name}: a gap to {next}, and it was always synced");
        assert!(!is_gap || !self.is_rested, "{name}: a gap to {next} after a clean stop");
        assert!(lost.is_empty() || !self.is_rested, "{name}: a clean stop lost something");
        (self.is_found, self.is_rested) = (true, false);
        self.next = next;
        self.acked_end = end.max(self.start_acked);
        self.seen_end = next;
    }
}

//! What must be true of the logs whatever happened to the disk: a list of batches per log, and how much was promised.

use super::promise;
use crate::batch::{BatchBuilder, BatchHeader, Codec, ProducerFields, crc_matches};
use crate::io::sim::Random;
use crate::log::{Durability, LogIdentity, LogSettings};
use crate::units::{LogId, Offset, Timestamp};
use bytes::Bytes;
use std::time::Duration;

pub(super) const NOW: i64 = crate::io::sim::WALL_START_MS as i64;

/// Who writes to every log.
pub(super) const PRODUCER: i64 = 7;

/// What is known of a log's creation and deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Being {
    /// Asked for, not answered.
    Creating,
    Live,
    /// Deletion asked for, not answered.
    Deleting,
    Deleted,
}

/// One batch that was staged.
pub(super) struct ModelBatch {
    pub(super) base: i64,
    pub(super) offset_end: i64,
    pub(super) records: Bytes,
    /// Records of its log up to its end: the producer's next sequence.
    pub(super) sequence_end: i32,
    /// What its log promised when it was staged, and when that was.
    pub(super) durability: Durability,
    pub(super) staged: Duration,
    pub(super) answered: bool,
}

/// One log.
pub(super) struct ModelLog {
    pub(super) identity: LogIdentity,
    pub(super) settings: LogSettings,
    codec: Codec,
    pub(super) being: Being,
    pub(super) batches: Vec<ModelBatch>,
    /// Below it everything was acknowledged as durable.
    pub(super) acked_end: i64,
    /// The greatest high watermark that anybody saw, or end of a batch that was answered.
    pub(super) seen_end: i64,
    /// The offset that the next record gets: above the last batch where a crash left a gap.
    pub(super) next: i64,
    /// It once had a weaker mode.
    pub(super) was_weak: bool,
    /// The broker stopped cleanly since the log was last recovered.
    pub(super) is_rested: bool,
    /// Records below it were removed, and that was acknowledged.
    pub(super) start_acked: i64,
    /// Nobody asked for more to be removed.
    pub(super) start_max: i64,
}

impl ModelLog {
    pub(super) fn new(number: u64, topic: u64, random: &mut Random) -> Self {
        let mut id = [0xA5; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let identity =
            LogIdentity { log_id: LogId(id), topic_id: id, topic: format!("t{topic}"), partition: 0 };
        let segment_bytes = [20_000, 100_000, 400_000][random.below(3) as usize];
        Self {
            identity,
            settings: LogSettings {
                segment_bytes,
                retention_bytes: (random.below(4) == 0).then_some(150_000),
                retention_ms: (random.below(6) == 0).then_some(4_000),
                file_delete_delay_ms: random.below(2) * 3_000,
                durability: promise::random(random),
                ..LogSettings::default()
            },
            codec: [Codec::None, Codec::None, Codec::Gzip, Codec::Lz4][random.below(4) as usize],
            being: Being::Creating,
            batches: Vec::new(),
            acked_end: 0,
            seen_end: 0,
            next: 0,
            was_weak: false,
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

    fn sequence(&self) -> i32 {
        self.batches.last().map_or(0, |batch| batch.sequence_end)
    }

    /// The batch that would follow.
    pub(super) fn next_batch(&self, random: &mut Random) -> Bytes {
        let value_bytes = match random.below(20) {
            0 => 30_000 + random.below(90_000),
            1..4 => 8_000 + random.below(20_000),
            4..8 => 3_000 + random.below(3_000),
            _ => random.below(300),
        };
        let salt = random.next_u64();
        let record_count = 1 + random.below(3);
        let (base, base_sequence) = (self.next, self.sequence());
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
        let producer = ProducerFields { producer_id: PRODUCER, producer_epoch: 0, base_sequence };
        builder.build(producer).unwrap()
    }

    pub(super) fn staged(&mut self, base: Offset, offset_end: Offset, records: Bytes, now: Duration) {
        assert_eq!(base.as_i64(), self.next, "{}: offsets are continuous", self.identity.topic);
        self.next = offset_end.as_i64();
        let record_count = (offset_end.as_i64() - base.as_i64()) as i32;
        self.batches.push(ModelBatch {
            base: base.as_i64(),
            offset_end: offset_end.as_i64(),
            records,
            sequence_end: self.sequence() + record_count,
            durability: self.settings.durability.clone(),
            staged: now,
            answered: false,
        });
    }

    /// A producer was told that its batch is there.
    pub(super) fn answered(&mut self, end: i64) {
        self.seen_end = self.seen_end.max(end);
        if let Ok(at) = self.batches.binary_search_by_key(&end, |batch| batch.offset_end) {
            self.batches[at].answered = true;
        }
    }

    /// What a read that began at `offset` found is what was staged there; returns where it ends.
    pub(super) fn check_read(&self, offset: i64, found: &[u8]) -> i64 {
        let mut at = 0;
        let mut place = self.batches.partition_point(|batch| batch.offset_end <= offset);
        let mut end = offset;
        while at < found.len() {
            let header = BatchHeader::read(&found[at..]).unwrap();
            let batch = self.batches.get(place).unwrap_or_else(|| panic!("more than was staged at {end}"));
            let bytes = &found[at..at + header.batch_bytes()];
            assert_eq!(header.base_offset, batch.base, "{}", self.identity.topic);
            assert!(
                crc_matches(bytes),
                "{}: the batch at {} does not check",
                self.identity.topic,
                batch.base
            );
            assert!(
                bytes[16..] == batch.records[16..],
                "{}: other bytes at {}",
                self.identity.topic,
                batch.base
            );
            end = batch.offset_end;
            at += bytes.len();
            place += 1;
        }
        end
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

    /// Recovery knows of so many records of the producer, holds them up to `records_end` (`None`: all that it knew of were
    /// removed), and goes on at `next`: what was promised is there, and no offset that somebody saw comes again.
    pub(super) fn recovered(&mut self, sequence: i32, records_end: Option<i64>, next: i64) {
        let name = self.identity.topic.clone();
        let kept = self.batches.partition_point(|batch| batch.sequence_end <= sequence);
        let mut lost = self.batches.split_off(kept);
        assert_eq!(self.sequence(), sequence, "{name}: it ends inside a batch");
        assert!(
            records_end.is_none_or(|end| end == self.end()),
            "{name}: {records_end:?}, not {}",
            self.end()
        );
        let records_end = self.end();
        lost.retain(|batch| batch.offset_end > self.start_acked); // the others were removed
        assert!(next >= self.seen_end, "{name}: seen to {}, goes on at {next}", self.seen_end);
        assert!(next >= records_end);
        for batch in &lost {
            let end = batch.offset_end;
            assert!(
                end > self.acked_end,
                "{name}: acknowledged to {}, found to {records_end}",
                self.acked_end
            );
        }
        promise::check_lost(&name, &lost);
        let is_gap = next > records_end && next > self.next;
        assert!(!is_gap || self.was_weak, "{name}: a gap to {next}, and it was always synced");
        assert!(!is_gap || !self.is_rested, "{name}: a gap to {next} after a clean stop");
        assert!(lost.is_empty() || !self.is_rested, "{name}: a clean stop lost something");
        self.is_rested = false;
        self.next = next;
        self.acked_end = self.end().max(self.start_acked);
        self.seen_end = next;
    }
}

//! Rolling, and what a state says of batches that no commit carries; where a log stands, for tests that end badly.

use super::*;
use crate::batch::{
    BatchBuilder, CheckRules, Codec, Origin, ProducerFields, TargetCompression, TimestampType, check,
};
use crate::units::LogId;

impl PartitionLog {
    /// The epoch of this producer and the sequence that its next batch must have, if it is known.
    pub(crate) fn newest_sequence(&self, producer_id: i64) -> Option<(i16, i32)> {
        self.producers.newest(producer_id)
    }

    /// Where it stands, for a test that ended badly.
    pub(crate) fn describe(&self) -> String {
        use std::fmt::Write;
        let mut text = format!(
            "\n  {} {:?} fault {:?} queued {} writing {} run {} reserving {} state {} turns {} pins {:?}",
            self.identity.topic,
            self.bounds,
            self.fault,
            self.queued,
            self.writing,
            self.run.is_some(),
            self.reserving,
            self.state_wanted,
            self.turns.len(),
            self.pins,
        );
        for segment in self.segments.iter().filter(|segment| segment.stage != Stage::Sealed) {
            let _ = write!(
                text,
                "\n    {} {:?} memory {} (from {}) written {} durable {} planned {} staged {} reserved {}",
                segment.base,
                segment.stage,
                segment.tail.memory_bytes(),
                segment.tail.memory_start(),
                segment.tail.written_end(),
                segment.tail.durable_end(),
                segment.tail.planned_end(),
                segment.tail.staged_end(),
                segment.reserved_end
            );
        }
        text
    }
}

const NOW: Timestamp = Timestamp(2_000_000_000_000);

fn log(settings: LogSettings) -> PartitionLog {
    let identity =
        LogIdentity { log_id: LogId([1; 16]), topic_id: [1; 16], topic: "t".to_owned(), partition: 0 };
    let state = LogState::empty(identity, LeaderEpoch(0));
    let recovered = RecoveredLog { state, open: Vec::new(), fault: None, pieces: Vec::new() };
    PartitionLog::new(recovered, settings, || 1)
}

fn batch(time: i64, timestamp_type: TimestampType) -> CheckedBatch {
    batch_of(time, timestamp_type, b"value")
}

fn batch_of(time: i64, timestamp_type: TimestampType, value: &[u8]) -> CheckedBatch {
    let built = BatchBuilder::new(Codec::None).record(Timestamp(time), None, Some(value));
    let rules = CheckRules {
        batch_bytes_max: 1 << 20,
        timestamp_type,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: i64::MAX,
        compacted: false,
        compression: TargetCompression::Producer,
        unpacked_bytes_max: 1 << 20,
        zstd_allowed: true,
        origin: Origin::Client,
        now: NOW,
    };
    check(&built.build(ProducerFields::NONE).unwrap(), &rules).unwrap()
}

/// Appends; says whether that began a segment.
fn append(log: &mut PartitionLog, batch: &CheckedBatch) -> bool {
    let before = log.segments.len();
    if let Admission::Reserve { base, end } = log.admit(batch, NOW, || 1) {
        log.on_reserved(base, end);
    }
    log.stage(batch, NOW);
    log.segments.len() > before
}

#[test]
fn a_segment_ends_by_the_time_between_its_first_batch_and_the_next_whatever_the_clock_says() {
    let mut log = log(LogSettings { segment_ms: 1000, ..LogSettings::default() });
    let times = [
        (10_000, true),
        (10_900, false),
        (11_000, false),
        (3_000, false),
        (11_001, true),
        (12_001, false),
        (1, false),
        (12_002, true),
    ];
    for (time, rolls) in times {
        assert_eq!(append(&mut log, &batch(time, TimestampType::Create)), rolls, "{time}");
    }
    let bases: Vec<i64> = log.segments.iter().map(|segment| segment.base.as_i64()).collect();
    assert_eq!(bases, [0, 4, 7]);
}

#[test]
fn under_log_append_time_a_segments_age_is_the_brokers() {
    let mut log = log(LogSettings { segment_ms: 1000, ..LogSettings::default() });
    for time in [10_000, 90_000, 1] {
        append(&mut log, &batch(time, TimestampType::LogAppend));
    }
    assert_eq!(log.segments.len(), 1);
    assert_eq!(log.segments[0].max_timestamp, NOW);
}

#[test]
fn jitter_larger_than_the_age_does_not_roll_at_every_batch() {
    let settings = LogSettings { segment_ms: 1000, segment_jitter_ms: u64::MAX, ..LogSettings::default() };
    let mut log = log(settings);
    append(&mut log, &batch(10_000, TimestampType::Create));
    assert!(!append(&mut log, &batch(10_001, TimestampType::Create)));
}

/// A checkpoint spoke of the timestamp of a batch that a crash took away: the greatest timestamp was then one that no
/// record had, and was found nowhere.
#[test]
fn a_state_knows_no_timestamp_of_a_batch_that_no_commit_carries() {
    let mut log = log(LogSettings::default());
    append(&mut log, &batch(500, TimestampType::Create));
    log.plan(u64::MAX);
    append(&mut log, &batch(900, TimestampType::Create));
    assert_eq!(log.state().segments[0].max_timestamp, Timestamp(500));
    log.plan(u64::MAX);
    assert_eq!(log.state().segments[0].max_timestamp, Timestamp(900));
}

/// Both begin at the position up to which the segment is written, and move it.
#[test]
fn a_write_back_and_a_large_run_of_one_log_wait_for_each_other() {
    let mut log = log(LogSettings::default());
    let append_some = |log: &mut PartitionLog| {
        for _ in 0..3 {
            append(log, &batch_of(500, TimestampType::Create, &[7; 6_000]));
        }
    };
    let commit = |log: &mut PartitionLog| {
        let parts = log.plan(u64::MAX);
        parts.iter().for_each(|part| log.on_durable(part, FileSeq(1)));
    };
    append_some(&mut log);
    commit(&mut log);
    append_some(&mut log);
    assert!(log.begin_run(1).is_some());
    assert_eq!(log.plan_write_back(), None);
    log.run_synced();
    assert_eq!(log.plan_write_back(), None, "no commit carries the run yet");
    commit(&mut log);
    append_some(&mut log);
    commit(&mut log);
    let planned = log.plan_write_back().unwrap();
    append_some(&mut log);
    assert_eq!(log.begin_run(1), None);
    log.on_written_back(&planned);
    assert!(log.begin_run(1).is_some());
}

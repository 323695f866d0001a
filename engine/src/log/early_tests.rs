//! Windows, ceilings and gaps, commit by commit.

use super::*;
use crate::batch::{
    BatchBuilder, CheckRules, CheckedBatch, Codec, Origin, ProducerFields, TargetCompression, TimestampType,
    check,
};
use crate::journal::{FileSeq, LogState, RecoveredLog, SegmentState};
use crate::log::{Admission, Durability, LogIdentity, LogSettings};
use crate::units::{LeaderEpoch, LogId, Timestamp};

const FILE: FileSeq = FileSeq(1);
const MS: Duration = Duration::from_millis(1);

fn state() -> LogState {
    let identity =
        LogIdentity { log_id: LogId([1; 16]), topic_id: [1; 16], topic: "t".to_owned(), partition: 0 };
    LogState::empty(identity, LeaderEpoch(0))
}

fn recovered(state: LogState, durability: Durability) -> PartitionLog {
    let found = RecoveredLog { state, open: Vec::new(), fault: None, pieces: Vec::new() };
    PartitionLog::new(found, LogSettings { durability, ..LogSettings::default() }, || 1)
}

fn window(window_bytes: u64) -> Durability {
    Durability { mode: DurabilityMode::Window, window_bytes, window: 100 * MS, ..Durability::default() }
}

fn batch() -> CheckedBatch {
    let built = BatchBuilder::new(Codec::None).record(Timestamp(5), None, Some(&[7; 100]));
    let rules = CheckRules {
        batch_bytes_max: 1 << 20,
        timestamp_type: TimestampType::Create,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: i64::MAX,
        compacted: false,
        compression: TargetCompression::Producer,
        unpacked_bytes_max: 1 << 20,
        zstd_allowed: true,
        origin: Origin::Client,
        now: Timestamp(5),
    };
    check(&built.build(ProducerFields::NONE).unwrap(), &rules).unwrap()
}

fn waits(log: &mut PartitionLog, now: Instant) -> bool {
    log.holds_back(batch().batch_bytes() as u64, 1, now)
}

/// As an append does it, without looking whether it should wait.
fn stage(log: &mut PartitionLog, now: Instant) {
    if let Admission::Reserve { base, end } = log.admit(&batch(), Timestamp(5), || 1) {
        log.on_reserved(base, end);
    }
    log.stage(&batch(), Timestamp(5));
    log.answer_early(now, 1);
}

/// One commit, from its plan to its sync; what it carried.
fn commit(log: &mut PartitionLog) -> Vec<Part> {
    let parts = log.plan(u64::MAX);
    parts.iter().for_each(|part| log.on_durable(part, FILE));
    parts
}

/// A log that has its ceiling.
fn raised(durability: Durability, now: Instant) -> PartitionLog {
    let mut log = recovered(state(), durability);
    assert!(waits(&mut log, now), "no offset is given out before it is reserved");
    commit(&mut log);
    assert!(!waits(&mut log, now));
    log
}

fn segment(base: i64, offset_end: i64, bytes: u64) -> SegmentState {
    SegmentState {
        base: Offset::new(base),
        stage: Stage::Active,
        offset_end: Offset::new(offset_end),
        end: FilePos::new(bytes),
        written_end: FilePos::new(bytes),
        max_timestamp: Timestamp(5),
        first_timestamp: Timestamp(5),
        first_crc: 0,
        milestones: Vec::new(),
    }
}

#[test]
fn what_is_staged_below_a_durable_ceiling_is_answered_and_read_before_its_sync() {
    let now = Instant::now();
    let mut log = raised(window(1 << 20), now);
    assert_eq!(log.state().ceiling, Offset::new(1 + i64::from(CEILING_STEP_MIN)));
    stage(&mut log, now);
    let bounds = log.bounds();
    assert_eq!((bounds.durable_end, bounds.high_watermark), (Offset::ZERO, Offset::new(1)));
    let active = log.segments.last().unwrap();
    assert_eq!(log.readable_end(active), active.tail.staged_end());
    assert_eq!(log.answered_unsynced_bytes(), batch().batch_bytes() as u64);
    commit(&mut log);
    assert_eq!((log.bounds().durable_end, log.answered_unsynced_bytes()), (Offset::new(1), 0));
}

#[test]
fn an_append_waits_for_its_window_by_bytes_and_by_age_and_a_large_one_goes_alone() {
    let now = Instant::now();
    let bytes = batch().batch_bytes() as u64;
    let mut log = raised(window(2 * bytes), now);
    stage(&mut log, now);
    assert!(!waits(&mut log, now + 99 * MS));
    assert!(waits(&mut log, now + 100 * MS), "the first one is too old");
    stage(&mut log, now + 50 * MS);
    assert!(waits(&mut log, now + 51 * MS), "a third one does not fit");
    commit(&mut log);
    assert!(!waits(&mut log, now + 500 * MS));
    log.settings.durability.window_bytes = 1;
    assert!(!waits(&mut log, now + 500 * MS), "nothing is unsynced");
    stage(&mut log, now + 500 * MS);
    assert!(waits(&mut log, now + 500 * MS));
}

#[test]
fn a_commit_is_due_when_half_of_a_window_is_used_up_or_a_flush_is() {
    let now = Instant::now();
    let bytes = batch().batch_bytes() as u64;
    let mut log = raised(window(4 * bytes), now);
    assert_eq!(log.urgency(1 << 20), None);
    stage(&mut log, now);
    assert_eq!(log.urgency(1 << 20), Some(Urgency::At(now + 50 * MS)));
    log.settings.durability.flush = 20 * MS;
    assert_eq!(log.urgency(1 << 20), Some(Urgency::At(now + 20 * MS)));
    stage(&mut log, now + 10 * MS);
    assert_eq!(log.urgency(1 << 20), Some(Urgency::Now), "half of its bytes");
    log.settings.durability.mode = DurabilityMode::Memory;
    assert_eq!(log.urgency(1 << 20), Some(Urgency::At(now + 20 * MS)));
    assert_eq!(log.urgency(2 * bytes), Some(Urgency::Now), "a commit is full");
    log.settings.durability.flush_messages = 2;
    assert_eq!(log.urgency(1 << 20), Some(Urgency::Now));
    commit(&mut log);
    stage(&mut log, now + 30 * MS);
    assert_eq!(log.urgency(1 << 20), Some(Urgency::At(now + 50 * MS)), "what is synced does not count");
    log.settings.durability.mode = DurabilityMode::Media;
    assert_eq!(log.urgency(1 << 20), Some(Urgency::Now));
}

#[test]
fn the_first_early_answer_waits_for_what_was_staged_under_the_stronger_promise() {
    let now = Instant::now();
    let mut log = recovered(state(), Durability::default());
    stage(&mut log, now);
    assert_eq!(log.bounds().high_watermark, Offset::ZERO);
    log.settings.durability = window(1 << 20);
    assert!(waits(&mut log, now));
    commit(&mut log);
    assert!(waits(&mut log, now), "now for the ceiling");
    commit(&mut log);
    assert!(!waits(&mut log, now));
}

#[test]
fn a_ceiling_is_taken_back_by_the_commit_that_carries_all_that_was_seen_and_by_no_earlier_one() {
    let now = Instant::now();
    let mut log = raised(window(1 << 20), now);
    stage(&mut log, now);
    log.settings.durability.mode = DurabilityMode::Media;
    log.state_wanted = true;
    let parts = log.plan(0);
    assert!(matches!(&parts[..], [Part::State(_)]), "{parts:?}");
    assert!(log.state().ceiling > Offset::ZERO, "what was seen is not carried yet");
    let parts = commit(&mut log);
    assert!(matches!(&parts[..], [Part::Data { .. }, Part::Ceiling { end: Offset::ZERO }]), "{parts:?}");
    assert_eq!(log.state().ceiling, Offset::ZERO);
    assert!(!log.wants_commit());
    // Back again: the old ceiling no longer counts.
    log.settings.durability.mode = DurabilityMode::Window;
    assert!(waits(&mut log, now));
}

#[test]
fn a_log_that_ends_below_its_ceiling_goes_on_at_it_in_a_segment_of_its_own() {
    let found = |segments: Vec<SegmentState>| {
        let mut state = state();
        (state.ceiling, state.segments) = (Offset::new(500), segments);
        recovered(state, Durability::default())
    };
    let places = |log: &PartitionLog| -> Vec<(i64, Stage)> {
        log.segments.iter().map(|segment| (segment.base.as_i64(), segment.stage)).collect()
    };
    let log = found(vec![segment(0, 10, 1000)]);
    assert_eq!(places(&log), [(0, Stage::Sealing), (500, Stage::Active)]);
    assert_eq!(log.bounds().high_watermark, Offset::new(500));
    // Its first table says so: whoever recovers it again finds no further gap.
    let again = recovered(log.state(), Durability::default());
    assert_eq!(places(&again), places(&log));
    assert_eq!((again.bounds().log_end, again.gap().is_empty()), (Offset::new(500), true));
    // A segment without a byte has perhaps no file.
    let log = found(vec![SegmentState { stage: Stage::Sealed, ..segment(0, 10, 1000) }, segment(10, 10, 0)]);
    assert_eq!(places(&log), [(0, Stage::Sealed), (500, Stage::Active)]);
    let log = found(Vec::new());
    assert_eq!((places(&log), log.bounds().log_start), (vec![(500, Stage::Active)], Offset::ZERO));
    assert_eq!(log.segment_at(Offset::new(3)).unwrap().base, Offset::new(500), "readers below it find it");
    // A start that was raised beyond what the crash left.
    let mut state = state();
    (state.ceiling, state.log_start, state.segments) =
        (Offset::new(500), Offset::new(40), vec![segment(0, 10, 1000)]);
    let mut log = recovered(state, Durability::default());
    assert_eq!((log.bounds().log_start, log.bounds().log_end), (Offset::new(40), Offset::new(500)));
    log.segments[0].stage = Stage::Sealed;
    let start = log.expire(Timestamp(0), || 2).start;
    assert_eq!(start, Some(Offset::new(40)), "a segment below the start goes, and the start stays");
    assert_eq!(log.cut(Offset::new(40)).len(), 1);
}

//! Break a log in every way a broker could, and see that the verdict names it.
use super::*;
use crate::batch::{Batches, Body, BodyMaker, BodyShape, Codec, RecordBatch, Stamp, Tag, Tags};
use crate::payload::{Keys, Payload};

const RUN: u64 = 77;
const BATCH_RECORDS: u32 = 10;

/// One partition with what two producers wrote in turns, and their ledger.
struct Scene {
    batches: Vec<Vec<u8>>,
    ledger: Ledger,
    /// What `ListOffsets` says instead of the truth.
    said: Option<Range<i64>>,
}

impl Scene {
    /// Ten batches of ten records, acknowledged.
    fn new() -> Self {
        let mut scene = Self {
            batches: Vec::new(),
            ledger: Ledger { run: RUN, idempotent: true, ..Ledger::default() },
            said: None,
        };
        for number in 0..10 {
            let (producer, sequence) = (number as u32 % 2, number / 2 * u64::from(BATCH_RECORDS));
            scene.batches.push(batch(producer, sequence, Codec::Lz4));
            let base_offset = number as i64 * i64::from(BATCH_RECORDS);
            let sequences = sequence..sequence + u64::from(BATCH_RECORDS);
            scene.ledger.acknowledged((producer, 0), sequences, Some(base_offset));
        }
        scene
    }

    /// Reads all batches, each with the base offset after the one before, and judges.
    fn judge(&self) -> Verdict {
        self.judge_with(std::slice::from_ref(&self.ledger))
    }

    fn judge_with(&self, ledgers: &[Ledger]) -> Verdict {
        let mut log = Vec::new();
        for (number, batch) in self.batches.iter().enumerate() {
            let mut batch = batch.clone();
            batch[..8].copy_from_slice(&(number as i64 * i64::from(BATCH_RECORDS)).to_be_bytes());
            log.push(whole(batch));
        }
        // A broker serves no batch that lies below the log's start as a whole.
        let start = self.said.as_ref().map_or(0, |said| said.start);
        log.retain(|batch| batch.header().base_offset() + i64::from(BATCH_RECORDS) > start);
        judge_log(&log, ledgers, self.said.clone())
    }
}

fn batch(producer: u32, sequence: u64, codec: Codec) -> Vec<u8> {
    let shape = BodyShape { records_max: BATCH_RECORDS, batch_bytes_max: 1 << 20, codec };
    let first = Tag { run: RUN, producer, sequence, intended_nanos: 0, sent_nanos: 0 };
    let tags = Tags { first, spacing_nanos: 0 };
    let body: Body = BodyMaker::new(Payload::filler(40, 50, Keys::own(3), 1, u64::from(producer)), shape)
        .make(BATCH_RECORDS, Some(tags), Vec::new(), false)
        .unwrap();
    let stamp = Stamp { timestamp_ms: 1, producer_id: 1, producer_epoch: 0, base_sequence: sequence as i32 };
    [&stamp.header_for(&body)[..], body.bytes()].concat()
}

fn whole(bytes: Vec<u8>) -> RecordBatch {
    Batches::new(bytes.into()).next().unwrap().unwrap()
}

fn judge_log(log: &[RecordBatch], ledgers: &[Ledger], said: Option<Range<i64>>) -> Verdict {
    let mut checker = Checker::default();
    checker.begin(0, said.as_ref().map_or(0, |said| said.start));
    for batch in log {
        checker.batch(0, batch, |_| {});
    }
    let end = checker.partitions[&0].offsets.end;
    let said = said.unwrap_or(0..end);
    let bounds = Bounds { before: said.clone(), after: said, complete: true };
    judge(checker, ledgers, &BTreeMap::from([(0, bounds)]))
}

fn faults(verdict: &Verdict) -> Vec<(FaultKind, u64)> {
    verdict.faults.iter().map(|(kind, found)| (kind, found.count)).collect()
}

#[test]
fn a_whole_log_is_proven_record_by_record() {
    let verdict = Scene::new().judge();
    assert!(verdict.is_good(), "{verdict:?}");
    assert_eq!((verdict.records, verdict.acknowledged_records), (100, 100));
    assert!(Scene::new().judge_with(&[]).is_good(), "also without a ledger");
}

#[test]
fn a_lost_batch_in_the_middle_is_found_with_and_without_a_ledger() {
    let mut scene = Scene::new();
    scene.batches.remove(4);
    let verdict = scene.judge();
    assert_eq!(verdict.faults.count(FaultKind::Lost), 10);
    assert!(verdict.faults.count(FaultKind::Misplaced) > 0, "what follows moved down");
    assert_eq!(faults(&scene.judge_with(&[])), [(FaultKind::Lost, 10)]);
}

#[test]
fn a_lost_end_is_found_by_the_ledger() {
    let mut scene = Scene::new();
    scene.batches.truncate(7);
    assert_eq!(faults(&scene.judge()), [(FaultKind::Lost, 30)]);
    assert!(scene.judge_with(&[]).is_good(), "nothing but the ledger knows of it");
}

#[test]
fn a_whole_lost_partition_is_found_by_the_ledger() {
    let mut scene = Scene::new();
    scene.batches.clear();
    assert_eq!(faults(&scene.judge()), [(FaultKind::Lost, 100)]);
}

#[test]
fn a_doubled_batch_is_a_fault_of_an_idempotent_run() {
    let mut scene = Scene::new();
    scene.batches.push(scene.batches[3].clone());
    assert_eq!(faults(&scene.judge()), [(FaultKind::Doubled, 10)]);
    assert_eq!(faults(&scene.judge_with(&[])), [(FaultKind::Doubled, 10)]);
}

#[test]
fn a_plain_run_that_sent_again_may_double_and_reorder_but_not_lose() {
    let mut scene = Scene::new();
    (scene.ledger.idempotent, scene.ledger.repeated) = (false, 1);
    scene.batches.push(scene.batches[3].clone());
    let verdict = scene.judge();
    assert!(verdict.is_good(), "{verdict:?}");
    assert_eq!(verdict.forgiven_doubled_records, 10);
    scene.ledger.repeated = 0;
    assert_eq!(faults(&scene.judge()), [(FaultKind::Doubled, 10)], "nothing was sent again");
    scene.ledger.repeated = 1;
    scene.batches.truncate(9);
    assert_eq!(faults(&scene.judge()), [(FaultKind::Lost, 10)]);
}

#[test]
fn two_batches_that_changed_places_are_out_of_order() {
    let mut scene = Scene::new();
    scene.batches.swap(2, 4);
    let verdict = scene.judge();
    assert_eq!(faults(&verdict), [(FaultKind::OutOfOrder, 10), (FaultKind::Misplaced, 20)]);
    assert_eq!(faults(&scene.judge_with(&[])), [(FaultKind::OutOfOrder, 10)]);
}

#[test]
fn a_changed_byte_is_found_by_the_batch_crc() {
    let mut scene = Scene::new();
    let at = scene.batches[5].len() - 1;
    scene.batches[5][at] ^= 0x40;
    let verdict = scene.judge();
    assert_eq!(verdict.faults.count(FaultKind::BatchBroken), 1);
    assert_eq!(verdict.faults.count(FaultKind::Lost), 10);
}

#[test]
fn a_changed_value_under_a_new_crc_is_found_by_its_tag() {
    let mut bytes = batch(0, 0, Codec::None);
    let at = bytes.windows(4).position(|window| window == b"the ").unwrap();
    bytes[at] = b'T';
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let mut ledger = Ledger { run: RUN, idempotent: true, ..Ledger::default() };
    ledger.acknowledged((0, 0), 0..10, Some(0));
    let verdict = judge_log(&[whole(bytes)], &[ledger], None);
    assert_eq!(faults(&verdict), [(FaultKind::Lost, 1), (FaultKind::RecordChanged, 1)]);
}

#[test]
fn jumps_in_offsets_are_found_in_both_directions() {
    let numbered = |base_offset: i64, sequence| {
        let mut bytes = batch(0, sequence, Codec::None);
        bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
        whole(bytes)
    };
    let hole = judge_log(&[numbered(0, 0), numbered(12, 10)], &[], None);
    assert_eq!(faults(&hole), [(FaultKind::OffsetHole, 2)]);
    let again = judge_log(&[numbered(0, 0), numbered(0, 0)], &[], None);
    assert_eq!(faults(&again), [(FaultKind::OffsetBack, 1)]);
    let overlap = judge_log(&[numbered(0, 0), numbered(5, 10)], &[], None);
    assert_eq!(overlap.faults.count(FaultKind::OffsetBack), 1);
}

#[test]
fn a_record_count_that_does_not_fit_the_offsets_is_found() {
    let mut bytes = batch(0, 0, Codec::None);
    bytes[57..61].copy_from_slice(&9_i32.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let verdict = judge_log(&[whole(bytes)], &[], None);
    assert!(verdict.faults.count(FaultKind::BatchBroken) > 0);
}

#[test]
fn bounds_that_disagree_with_what_was_read_are_found() {
    let mut scene = Scene::new();
    scene.said = Some(0..90);
    assert_eq!(faults(&scene.judge()), [(FaultKind::BoundsDisagree, 1)]);
    scene.said = Some(0..110);
    assert_eq!(faults(&scene.judge()), [(FaultKind::Unreadable, 1)]);
}

#[test]
fn records_below_the_logs_start_are_expired_and_not_lost() {
    let mut scene = Scene::new();
    scene.said = Some(35..100);
    let verdict = scene.judge();
    assert!(verdict.is_good(), "{verdict:?}");
    assert_eq!((verdict.expired_records, verdict.acknowledged_records, verdict.records), (35, 65, 65));
}

#[test]
fn unknown_outcomes_may_be_there_or_not_and_refused_ones_may_not() {
    let mut scene = Scene::new();
    let acknowledged = std::mem::take(&mut scene.ledger.streams);
    scene.ledger.unknown((0, 0), 0..60);
    scene.ledger.streams.get_mut(&(0, 0)).unwrap().acknowledged = Vec::new();
    scene.ledger.streams.insert((1, 0), acknowledged[&(1, 0)].clone());
    let verdict = scene.judge();
    assert!(verdict.is_good(), "{verdict:?}");
    assert_eq!((verdict.unknown_found_records, verdict.unknown_absent_records), (50, 10));
    scene.ledger.streams.remove(&(0, 0));
    scene.ledger.refused((0, 0), 0..50);
    assert_eq!(faults(&scene.judge()), [(FaultKind::Uninvited, 50)]);
}

#[test]
fn what_lies_behind_the_place_where_reading_stopped_is_not_judged() {
    let mut scene = Scene::new();
    scene.batches.truncate(5);
    let mut checker = Checker::default();
    checker.begin(0, 0);
    for (number, batch) in scene.batches.iter().enumerate() {
        let mut batch = batch.clone();
        batch[..8].copy_from_slice(&(number as i64 * 10).to_be_bytes());
        checker.batch(0, &whole(batch), |_| {});
    }
    let bounds = Bounds { before: 0..100, after: 0..100, complete: false };
    let verdict = judge(checker, &[scene.ledger], &BTreeMap::from([(0, bounds)]));
    assert!(verdict.is_good(), "{verdict:?}");
    assert_eq!(verdict.acknowledged_records, 50);
}

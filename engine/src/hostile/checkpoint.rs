//! What states, lists of elders and manifests say is kept exactly, or they are refused.
//!
//! The first byte of an input chooses the parser; with its high bit a manifest gets a right checksum, without which no
//! change would get past it.

use crate::journal::{JournalFile, LogState, Manifest, SegmentState, StartId, decode_older, encode_older};
use crate::log::{Claim, LogIdentity};
use crate::segment::{IndexEntry, Stage};
use crate::units::{FilePos, LeaderEpoch, LogId, Offset, Timestamp};

/// See the file's header.
///
/// # Panics
/// On a finding.
pub fn checkpoint(input: &[u8]) -> u64 {
    let Some((choice, bytes)) = input.split_first() else { return 0 };
    let is_taken = match choice % 3 {
        0 => state(bytes),
        1 => older(bytes),
        _ if choice & 0x80 == 0 => manifest(bytes),
        _ => manifest(&[bytes, &crc32c::crc32c(bytes).to_le_bytes()].concat()),
    };
    u64::from(choice % 3) * 2 + u64::from(is_taken)
}

fn state(bytes: &[u8]) -> bool {
    let log_id = LogId([7; 16]);
    let Some(state) = LogState::decode(log_id, bytes) else { return false };
    let encoded = state.encode();
    let again = LogState::decode(log_id, &encoded).expect("what was written can be read");
    assert_eq!(again, state, "a state is another one after it was written");
    // Nothing of the bytes was passed over. Producers stand in no order: with several, only the length tells.
    assert_eq!(encoded.len(), bytes.len(), "bytes of a state mean nothing");
    assert!(state.producers.count() > 1 || encoded == bytes, "bytes of a state mean nothing");
    for segment in &state.segments {
        assert!(segment.written_end <= segment.end && segment.base <= segment.offset_end);
    }
    // Questions that a log asks of it.
    for offset in [0, 1, i64::MAX - 1].map(Offset::new) {
        state.epochs.at(offset);
        state.epochs.end_of(LeaderEpoch(offset.as_i64() as i32), state.leader_epoch, offset);
        let mut cut = state.epochs.clone();
        cut.cut(offset);
        state.producers.below(offset);
    }
    let claim = Claim { producer_id: 1, epoch: 0, sequence_first: i32::MAX, record_count: 1 };
    state.producers.judge(&claim);
    true
}

fn older(bytes: &[u8]) -> bool {
    let Some(older) = decode_older(bytes) else { return false };
    assert!(encode_older(&older) == bytes, "bytes of a list of elders mean nothing");
    true
}

fn manifest(bytes: &[u8]) -> bool {
    let Some(manifest) = Manifest::decode(bytes) else { return false };
    assert!(manifest.encode() == bytes, "bytes of a manifest mean nothing");
    let next = manifest.number_next();
    assert!(manifest.files.iter().all(|file| file.number < next), "a new file has the number of an old one");
    true
}

/// A state with everything in it, one with nothing, lists and manifests.
pub fn checkpoint_seeds() -> Vec<Vec<u8>> {
    let identity =
        LogIdentity { log_id: LogId([7; 16]), topic_id: [8; 16], topic: "topic".to_owned(), partition: 3 };
    let empty = LogState::empty(identity, LeaderEpoch(2));
    let mut full = empty.clone();
    for number in 0..4_i64 {
        let (base, offset_end) = (Offset::new(number * 10), Offset::new(number * 10 + 10));
        full.epochs.note(LeaderEpoch(number as i32), base);
        for producer_id in 0..3 {
            let claim = Claim { producer_id, epoch: 1, sequence_first: number as i32 * 10, record_count: 10 };
            full.producers.note(&claim, base, offset_end, Timestamp(5), offset_end);
        }
        let stage = [Stage::Sealed, Stage::Sealing, Stage::Sealing, Stage::Active][number as usize];
        let entry =
            IndexEntry { offset: base, position: FilePos::new(4096), max_timestamp_before: Timestamp(9) };
        full.segments.push(SegmentState {
            base,
            stage,
            offset_end,
            end: FilePos::new(9000),
            written_end: FilePos::new(8192),
            max_timestamp: Timestamp(number),
            first_timestamp: Timestamp::NONE,
            first_crc: 0,
            milestones: vec![entry; number as usize],
        });
    }
    let elder = (StartId { counter: 3, random: [1; 16] }, 1, 77);
    let files = (0..5).map(|number| JournalFile { number, bytes: 1 << 26 }).collect();
    let manifest = Manifest { start_counter: 12, files, ..Manifest::default() }.encode();
    let with = |choice: u8, bytes: &[u8]| [&[choice], bytes].concat();
    vec![
        with(0, &empty.encode()),
        with(0, &full.encode()),
        with(1, &encode_older(&[])),
        with(1, &encode_older(&[elder, elder])),
        with(2, &manifest),
        with(0x80 + 3, &manifest[..manifest.len() - 4]),
        with(0x80, &Manifest::default().encode()[..20]),
    ]
}

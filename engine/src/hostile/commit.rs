//! One commit with damage: what is read of it is what was written, entry by entry, or it is not read.
//!
//! An input says what stands in the commit, what is asked for, and what is turned in its bytes. The start's random id
//! follows from the whole input: who changes a byte cannot know the checksum that belongs to it, as on a real disk. A
//! forged one gets right checksums after its change; then only panics, ranges and memory count.

use super::Choices;
use crate::io::BLOCK_BYTES;
use crate::journal::{
    Commit, CommitHead, Entry, EntryKind, Fault, Planned, StartId, commit_bytes, encode_commit, read_commit,
    read_first_commit, reseal,
};
use crate::units::LogId;
use std::ops::Range;

const ENTRIES_MAX: usize = 12;
const CHANGES_MAX: usize = 24;
const PAYLOAD_BYTES_MAX: u16 = 5000;
/// docs/format.md: the head, and one entry of the table.
const HEAD_BYTES: usize = 96;
const ENTRY_BYTES: usize = 56;

struct Written {
    head: CommitHead,
    planned: Vec<Planned>,
    bytes: Vec<u8>,
}

impl Written {
    fn expected(&self) -> (StartId, u32, u64) {
        (self.head.start, self.head.shard, self.head.sequence)
    }

    /// Where head and table stand in front, and where again.
    fn copies(&self) -> [Range<usize>; 2] {
        let bytes = HEAD_BYTES + self.planned.len() * ENTRY_BYTES;
        [0..bytes, self.bytes.len() - bytes..self.bytes.len()]
    }
}

/// See the file's header.
///
/// # Panics
/// On a finding.
pub fn commit(input: &[u8]) -> u64 {
    let mut choices = Choices(input);
    let flags = choices.u8();
    let written = write(&mut choices, u128::from(crc32c::crc32c(input)) << 64 | u128::from(mixed(input)));
    let mut bytes = written.bytes.clone();
    damage(&mut choices, &mut bytes);
    if flags & 2 != 0 {
        bytes.extend_from_slice(&[0xEE; BLOCK_BYTES]); // what an earlier lap left behind it
    }
    if flags & 1 == 0 {
        damaged(&written, &bytes);
    } else {
        reseal(&mut bytes);
        forged(&written, &bytes);
    }
    u64::from(flags & 3)
}

fn write(choices: &mut Choices<'_>, random: u128) -> Written {
    let head = CommitHead {
        start: StartId { counter: u64::from(choices.u8()), random: random.to_le_bytes() },
        shard: u32::from(choices.u8() % 4),
        sequence: choices.u64() >> 1, // the last number of all is no commit's
        known_synced: choices.u64(),
    };
    let count = usize::from(choices.u8()) % (ENTRIES_MAX + 1);
    let mut planned = Vec::new();
    for number in 0..count {
        let kind = EntryKind::ALL[usize::from(choices.u8()) % EntryKind::ALL.len()];
        let (segment_base, position) = (i64::from(choices.u16()), u64::from(choices.u16()));
        let log_id = LogId([number as u8; 16]);
        let entry = Entry { kind, log_id, segment_base, position, offset_end: segment_base + 1 };
        planned.push(Planned { entry, payload_bytes: usize::from(choices.u16() % PAYLOAD_BYTES_MAX) });
    }
    let payload_bytes = planned.iter().map(|planned| planned.payload_bytes).sum();
    let mut bytes = vec![0xEE; commit_bytes(count, payload_bytes)];
    encode_commit(&mut bytes, head, &planned, |number, payload| payload.fill(number as u8 + 1));
    Written { head, planned, bytes }
}

/// Turns bits, and does what a disk does to a sector or a block: not written, or gone.
fn damage(choices: &mut Choices<'_>, bytes: &mut Vec<u8>) {
    for _ in 0..CHANGES_MAX {
        if choices.0.is_empty() || bytes.is_empty() {
            return;
        }
        let (kind, at) = (choices.u8(), choices.u16());
        let at =
            if kind & 0x80 == 0 { usize::from(at) } else { bytes.len().saturating_sub(1 + usize::from(at)) };
        let at = at % bytes.len();
        let unit = if kind & 8 == 0 { 512 } else { BLOCK_BYTES };
        let block = at / unit * unit..(at / unit * unit + unit).min(bytes.len());
        match kind % 8 {
            0..=3 => bytes
                .iter_mut()
                .skip(at)
                .zip(choices.bytes(1 << (kind % 4)))
                .for_each(|(byte, turn)| *byte ^= turn),
            4 => bytes[block].fill(0),
            5 => bytes[block].fill(0xEE),
            6 => bytes.truncate(at),
            _ => bytes.copy_within(block, 0), // a write that went to the wrong place
        }
    }
}

fn damaged(written: &Written, bytes: &[u8]) {
    let (start, shard, sequence) = written.expected();
    let right = read_commit(bytes, Some((start, shard, sequence)));
    let found = [&right, &read_commit(bytes, None), &read_first_commit(bytes)];
    found.into_iter().flatten().for_each(|found| is_what_was_written(written, found, bytes));
    let others = [
        (StartId { counter: start.counter + 1, ..start }, shard, sequence),
        (start, shard + 1, sequence),
        (start, shard, sequence.wrapping_add(1)),
    ];
    for other in others {
        assert_eq!(read_commit(bytes, Some(other)).err(), Some(Fault::Absent), "read as another one");
    }
    let [front, copy] = written.copies();
    let is_whole = |range: &Range<usize>| bytes.get(range.clone()) == written.bytes.get(range.clone());
    if is_whole(&copy) || (is_whole(&front) && bytes.len() >= written.bytes.len()) {
        let found = right.expect("one whole copy of head and table is enough");
        let sound = |(number, payload): (usize, &Option<Range<usize>>)| {
            let range = payload_range(written, number);
            payload.is_some() == (bytes[range.clone()] == written.bytes[range])
        };
        assert!(found.entries.iter().map(|(_, payload)| payload).enumerate().all(sound));
    }
    if is_whole(&front) && bytes.len() >= written.bytes.len() {
        assert!(read_commit(bytes, None).is_ok(), "its front is whole");
    }
}

fn payload_range(written: &Written, number: usize) -> Range<usize> {
    let before: usize = written.planned.iter().take(number).map(|planned| planned.payload_bytes).sum();
    let start = HEAD_BYTES + written.planned.len() * ENTRY_BYTES + before;
    start..start + written.planned.get(number).map_or(0, |planned| planned.payload_bytes)
}

fn is_what_was_written(written: &Written, found: &Commit, bytes: &[u8]) {
    assert_eq!((found.head, found.bytes), (written.head, written.bytes.len()));
    assert_eq!(found.entries.len(), written.planned.len());
    for (number, ((entry, payload), planned)) in found.entries.iter().zip(&written.planned).enumerate() {
        assert_eq!(*entry, planned.entry, "entry {number} is another one");
        if let Some(range) = payload {
            assert_eq!(*range, payload_range(written, number));
            assert!(bytes[range.clone()] == written.bytes[range.clone()], "payload {number} is another one");
        }
    }
}

/// With right checksums anything may be read, but never a payload outside the commit or a commit outside the file.
fn forged(written: &Written, bytes: &[u8]) {
    for found in
        [read_commit(bytes, Some(written.expected())), read_commit(bytes, None), read_first_commit(bytes)]
    {
        let Ok(found) = found else { continue };
        assert!(found.bytes <= bytes.len() && found.bytes.is_multiple_of(BLOCK_BYTES) && found.bytes > 0);
        let inside =
            |payload: &Option<Range<usize>>| payload.as_ref().is_none_or(|range| range.end <= found.bytes);
        assert!(
            found.entries.iter().all(|(_, payload)| inside(payload)),
            "a payload lies outside its commit"
        );
    }
}

fn mixed(input: &[u8]) -> u64 {
    input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Commits of no, one and several entries; a bit, a sector, a block and an end that are gone.
pub fn commit_seeds() -> Vec<Vec<u8>> {
    let entry = |kind: u8, bytes: u16| [&[kind, 5, 0, 0, 16][..], &bytes.to_le_bytes()].concat();
    let with = |flags: u8, entries: &[Vec<u8>], changes: &[u8]| {
        let mut input =
            vec![flags, 3, 1, 7, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, entries.len() as u8];
        entries.iter().for_each(|entry| input.extend(entry));
        input.extend(changes);
        input
    };
    let three = [entry(0, 5000), entry(1, 300), entry(2, 4999)];
    let mut seeds = Vec::new();
    for flags in 0..4 {
        for changes in
            [&[][..], &[0, 60, 0, 1], &[4, 0, 0], &[12, 0, 0, 0x80, 10, 0, 1], &[6, 0, 16], &[0x8c, 0, 0]]
        {
            seeds.push(with(flags, &[], changes));
            seeds.push(with(flags, &[entry(0, 10)], changes));
            seeds.push(with(flags, &three, changes));
        }
    }
    seeds
}

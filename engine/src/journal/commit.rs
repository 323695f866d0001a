//! The bytes of one commit: what one write makes durable for all logs of a shard.
//!
//! ```text
//! | head 96 | table: entries of 56 | payloads ... | zeros | table again | head again |
//!   block-aligned start                                        block-aligned end
//! ```
//! Head and table have checksums of their own and stand twice, so that one bad block loses no more than the payloads
//! in it; each entry's payload has its own. Every checksum begins with the start's random id: bytes of an earlier
//! start, or a head that a client put into a record, never check.

use super::codec::{Put, Take};
use crate::io::BLOCK_BYTES;
use crate::units::LogId;
use std::ops::Range;

const MAGIC: u64 = u64::from_le_bytes(*b"THALWEGJ");
const HEAD_BYTES: usize = 96;
const ENTRY_BYTES: usize = 56;
/// No commit is longer. A log's state or a batch that does not fit goes another way (large run, several commits).
pub(crate) const COMMIT_BYTES_MAX: usize = 16 << 20;

/// Who wrote a commit: one start of the broker, never repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct StartId {
    /// Rises by one at every start.
    pub(crate) counter: u64,
    /// Random.
    pub(crate) random: [u8; 16],
}

/// What stands in front of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommitHead {
    pub(crate) start: StartId,
    pub(crate) shard: u32,
    /// Previous + 1 within one start and shard.
    pub(crate) sequence: u64,
    /// All commits up to this one were synced when this one was written; 0 is none.
    pub(crate) known_synced: u64,
}

/// What an entry says of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum EntryKind {
    /// Whole batches at `position` of the segment; `offset_end` follows them.
    Data = 1,
    /// Blocks up to `position` are in the segment, synced; the payload names the batches that are new.
    Run = 2,
    /// Bytes from `position` on, beginning inside a batch; the payload starts with the first batch's position.
    Rest = 3,
    /// A new log; the payload is its state.
    Create = 4,
    /// The log is gone.
    Delete = 5,
    /// The segment ends at `position` and `offset_end`; the next one begins there.
    Roll = 6,
    /// The log's whole state, in place of all that was said of it before.
    State = 7,
    /// The table that a file begins with is complete: states of all logs of this shard stand before it. `position` is the
    /// sequence of the table's first commit, `segment_base` that of the oldest file in use; `offset_end` is 1 when the same
    /// table follows once more.
    TableEnd = 8,
    /// Older journals and the last sequence of each that was accepted; `position` is the number of shards now.
    Older = 9,
    /// Nothing follows: the broker stopped cleanly.
    CleanStop = 10,
    /// This shard needs no journal of an earlier start any more but those that the payload names (as `Older` does):
    /// rescues. `position` is the number of shards now.
    OldDone = 11,
    /// The log must not be served; the payload says why. Stands in rescues only.
    Fence = 12,
    /// One log's state in the table that a file begins with: what stands before that file says the same, so that one which
    /// does not check is no loss to who read that. `position` is the sequence of the table's first commit.
    TableState = 13,
    /// Offsets below `offset_end` may be given out before their sync: whatever of them is missing at the next start, they
    /// are not given out again. 0 takes that back.
    Ceiling = 14,
}

impl EntryKind {
    pub(crate) const ALL: [Self; 14] = [
        Self::Data,
        Self::Run,
        Self::Rest,
        Self::Create,
        Self::Delete,
        Self::Roll,
        Self::State,
        Self::TableEnd,
        Self::Older,
        Self::CleanStop,
        Self::OldDone,
        Self::Fence,
        Self::TableState,
        Self::Ceiling,
    ];

    fn read(raw: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == raw)
    }
}

/// One entry as it stands in the table, its payload apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: EntryKind,
    pub(crate) log_id: LogId,
    pub(crate) segment_base: i64,
    pub(crate) position: u64,
    pub(crate) offset_end: i64,
}

impl Entry {
    /// An entry that says something of the journal, not of a log.
    pub(crate) fn control(kind: EntryKind) -> Self {
        Self { kind, log_id: LogId::default(), segment_base: 0, position: 0, offset_end: 0 }
    }
}

/// An entry on its way into a commit: how many bytes its payload has; they are filled in afterwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    pub(crate) entry: Entry,
    pub(crate) payload_bytes: usize,
}

/// A commit's length on disk.
pub(crate) fn commit_bytes(entry_count: usize, payload_bytes: usize) -> usize {
    (2 * (HEAD_BYTES + entry_count * ENTRY_BYTES) + payload_bytes).next_multiple_of(BLOCK_BYTES)
}

/// Head and table of a commit, which stand at its start and again at its end.
#[cfg(test)]
pub(crate) fn front_bytes(entry_count: usize) -> usize {
    HEAD_BYTES + entry_count * ENTRY_BYTES
}

fn seed(start: StartId) -> u32 {
    crc32c::crc32c_append(start.counter as u32, &start.random)
}

/// Writes a commit into `target`, which is as long as `commit_bytes` says. `fill` writes each entry's payload into the
/// memory it gets: the one copy from the logs' tails into the journal.
pub(crate) fn encode_commit(
    target: &mut [u8],
    head: CommitHead,
    planned: &[Planned],
    mut fill: impl FnMut(usize, &mut [u8]),
) {
    let table_bytes = planned.len() * ENTRY_BYTES;
    let payload_start = HEAD_BYTES + table_bytes;
    let mut table = Put(Vec::with_capacity(table_bytes));
    let mut at = payload_start;
    for (number, planned) in planned.iter().enumerate() {
        let payload = &mut target[at..at + planned.payload_bytes];
        fill(number, payload);
        let checksum = crc32c::crc32c_append(seed(head.start), payload);
        let entry = planned.entry;
        table.u8(entry.kind as u8).u8(0).u16(0).u32(checksum).bytes(&entry.log_id.0).i64(entry.segment_base);
        table.u64(entry.position).i64(entry.offset_end).u32(at as u32).u32(planned.payload_bytes as u32);
        at += planned.payload_bytes;
    }
    let commit_bytes = target.len();
    let mut front = Put(Vec::with_capacity(HEAD_BYTES));
    front
        .u64(MAGIC)
        .bytes(&head.start.random)
        .u64(head.start.counter)
        .u64(head.sequence)
        .u64(head.known_synced);
    front.u32(commit_bytes as u32).u32(planned.len() as u32).u32(head.shard);
    front.u32(crc32c::crc32c_append(seed(head.start), &table.0));
    front.bytes(&[0; HEAD_BYTES - 4 - 64]);
    let checksum = crc32c::crc32c_append(seed(head.start), &front.0);
    front.u32(checksum);
    let copy_start = commit_bytes - HEAD_BYTES - table_bytes;
    target[at..copy_start].fill(0);
    target[..HEAD_BYTES].copy_from_slice(&front.0);
    target[HEAD_BYTES..payload_start].copy_from_slice(&table.0);
    target[copy_start..copy_start + table_bytes].copy_from_slice(&table.0);
    target[copy_start + table_bytes..].copy_from_slice(&front.0);
}

/// A commit whose head and table check.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) head: CommitHead,
    pub(crate) bytes: usize,
    /// Each entry with the place of its payload, or `None` where the payload does not check.
    pub(crate) entries: Vec<(Entry, Option<Range<usize>>)>,
}

/// Why there is no commit at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing that checks as a commit begins here.
    Absent,
    /// A head stands here, but its table checks in neither copy.
    TableLost,
}

struct Front {
    head: CommitHead,
    commit_bytes: usize,
    entry_count: usize,
    table_checksum: u32,
}

fn read_front(bytes: &[u8]) -> Option<Front> {
    let bytes = bytes.get(..HEAD_BYTES)?;
    let (content, checksum) = bytes.split_at(HEAD_BYTES - 4);
    let mut take = Take(content);
    if take.u64()? != MAGIC {
        return None;
    }
    let random = take.array::<16>()?;
    let start = StartId { counter: take.u64()?, random };
    let (sequence, known_synced) = (take.u64()?, take.u64()?);
    let (commit_bytes, entry_count, shard) = (take.u32()? as usize, take.u32()? as usize, take.u32()?);
    let table_checksum = take.u32()?;
    let sound = crc32c::crc32c_append(seed(start), content).to_le_bytes() == *checksum
        && commit_bytes.is_multiple_of(BLOCK_BYTES)
        && commit_bytes <= COMMIT_BYTES_MAX
        && sequence < u64::MAX // the next one has a number, too
        && 2 * (HEAD_BYTES + entry_count.checked_mul(ENTRY_BYTES)?) <= commit_bytes;
    let head = CommitHead { start, shard, sequence, known_synced };
    sound.then_some(Front { head, commit_bytes, entry_count, table_checksum })
}

fn read_table(bytes: &[u8], front: &Front, commit: &[u8]) -> Option<Vec<(Entry, Option<Range<usize>>)>> {
    if crc32c::crc32c_append(seed(front.head.start), bytes) != front.table_checksum {
        return None;
    }
    let mut entries = Vec::with_capacity(front.entry_count);
    let mut take = Take(bytes);
    for _ in 0..front.entry_count {
        let kind = EntryKind::read(take.u8()?)?;
        take.bytes(3)?;
        let checksum = take.u32()?;
        let log_id = LogId(take.array()?);
        let (segment_base, position, offset_end) = (take.i64()?, take.u64()?, take.i64()?);
        let (start, length) = (take.u32()? as usize, take.u32()? as usize);
        let range = start..start.checked_add(length)?;
        let sound = commit
            .get(range.clone())
            .is_some_and(|payload| crc32c::crc32c_append(seed(front.head.start), payload) == checksum);
        entries.push((Entry { kind, log_id, segment_base, position, offset_end }, sound.then_some(range)));
    }
    Some(entries)
}

/// Reads the commit that begins at the start of `bytes` (the rest of a journal file).
///
/// `expected` narrows what may stand here once a journal's start, shard and next sequence are known: then a commit whose
/// first block is lost is found by the copy in its last one. The shard counts too: shards give each other free files,
/// and what is left of one in a file may go on with the very number that the other comes to.
pub(crate) fn read_commit(bytes: &[u8], expected: Option<(StartId, u32, u64)>) -> Result<Commit, Fault> {
    let wanted = |front: &Front| {
        let found = (front.head.start, front.head.shard, front.head.sequence);
        expected.is_none_or(|expected| found == expected)
    };
    let front = read_front(bytes).filter(wanted);
    let front = match (front, expected) {
        (Some(front), _) => front,
        (None, Some(_)) => read_last_front(bytes).filter(wanted).ok_or(Fault::Absent)?,
        (None, None) => return Err(Fault::Absent),
    };
    let commit = bytes.get(..front.commit_bytes).ok_or(Fault::Absent)?;
    let table_bytes = front.entry_count * ENTRY_BYTES;
    let copy_start = front.commit_bytes - HEAD_BYTES - table_bytes;
    let first = commit.get(HEAD_BYTES..HEAD_BYTES + table_bytes);
    let copy = commit.get(copy_start..copy_start + table_bytes);
    let table = [first, copy].into_iter().flatten().find_map(|table| read_table(table, &front, commit));
    let entries = table.ok_or(Fault::TableLost)?;
    Ok(Commit { head: front.head, bytes: front.commit_bytes, entries })
}

/// Reads the first commit of a file, of which nothing is known yet, by either copy of its head.
pub(crate) fn read_first_commit(bytes: &[u8]) -> Result<Commit, Fault> {
    let front = read_front(bytes).or_else(|| read_last_front(bytes)).ok_or(Fault::Absent)?;
    read_commit(bytes, Some((front.head.start, front.head.shard, front.head.sequence)))
}

/// Gives every commit of a journal file the checksums of what it holds now, so that changed fields reach the parsers
/// behind the checksums: for a fuzz target.
#[cfg(any(test, feature = "sim"))]
pub(crate) fn reseal(bytes: &mut [u8]) {
    for at in (0..bytes.len()).step_by(BLOCK_BYTES) {
        let Some(commit) = bytes.get_mut(at..) else { return };
        let mut take = Take(commit);
        let head = take.u64().filter(|magic| *magic == MAGIC).and_then(|_| {
            let random = take.array()?;
            let start = StartId { counter: take.u64()?, random };
            take.bytes(16)?;
            Some((start, take.u32()? as usize, take.u32()? as usize))
        });
        let Some((start, commit_bytes, entry_count)) = head else { continue };
        let table_bytes = entry_count.saturating_mul(ENTRY_BYTES);
        let fits = commit_bytes <= commit.len() && 2 * (HEAD_BYTES + table_bytes) <= commit_bytes;
        let Some(commit) = commit.get_mut(..commit_bytes).filter(|_| fits) else { continue };
        for entry in 0..entry_count {
            let place = HEAD_BYTES + entry * ENTRY_BYTES;
            let field =
                |at: usize| commit[at..].first_chunk().map_or(0, |raw| u32::from_le_bytes(*raw)) as usize;
            let (from, length) = (field(place + 48), field(place + 52));
            let payload = from.checked_add(length).and_then(|end| commit.get(from..end)).unwrap_or_default();
            let checksum = crc32c::crc32c_append(seed(start), payload);
            commit[place + 4..place + 8].copy_from_slice(&checksum.to_le_bytes());
        }
        let table = crc32c::crc32c_append(seed(start), &commit[HEAD_BYTES..HEAD_BYTES + table_bytes]);
        commit[60..64].copy_from_slice(&table.to_le_bytes());
        let head = crc32c::crc32c_append(seed(start), &commit[..HEAD_BYTES - 4]);
        commit[HEAD_BYTES - 4..HEAD_BYTES].copy_from_slice(&head.to_le_bytes());
        let copy = commit_bytes - HEAD_BYTES - table_bytes;
        commit.copy_within(HEAD_BYTES..HEAD_BYTES + table_bytes, copy);
        commit.copy_within(..HEAD_BYTES, copy + table_bytes);
    }
}

fn read_last_front(bytes: &[u8]) -> Option<Front> {
    let ends = (BLOCK_BYTES..=bytes.len().min(COMMIT_BYTES_MAX)).step_by(BLOCK_BYTES);
    ends.filter_map(|end| Some((end, read_front(bytes.get(end - HEAD_BYTES..end)?)?)))
        .find(|(end, front)| front.commit_bytes == *end)
        .map(|(_, front)| front)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> CommitHead {
        let start = StartId { counter: 3, random: [9; 16] };
        CommitHead { start, shard: 1, sequence: 7, known_synced: 6 }
    }

    fn sample() -> Vec<u8> {
        let planned: Vec<Planned> = (0..3u8)
            .map(|number| Planned {
                entry: Entry {
                    kind: EntryKind::Data,
                    log_id: LogId([number; 16]),
                    segment_base: 100,
                    position: 4096,
                    offset_end: 117,
                },
                payload_bytes: 5000,
            })
            .collect();
        let mut bytes = vec![0xEE; commit_bytes(3, 15_000)];
        encode_commit(&mut bytes, head(), &planned, |number, payload| payload.fill(number as u8 + 1));
        bytes
    }

    #[test]
    fn a_commit_reads_back_as_it_was_written() {
        let bytes = sample();
        let commit = read_commit(&bytes, None).unwrap();
        assert_eq!((commit.head, commit.bytes, commit.entries.len()), (head(), bytes.len(), 3));
        for (number, (entry, payload)) in commit.entries.iter().enumerate() {
            assert_eq!(entry.log_id, LogId([number as u8; 16]));
            assert!(bytes[payload.clone().unwrap()].iter().all(|byte| *byte == number as u8 + 1));
        }
    }

    #[test]
    fn a_commit_whose_first_block_is_gone_is_read_by_its_copy_and_loses_only_the_payload_in_it() {
        let mut bytes = sample();
        bytes[..BLOCK_BYTES].fill(0);
        assert_eq!(read_commit(&bytes, None).unwrap_err(), Fault::Absent);
        let commit = read_commit(&bytes, Some((head().start, 1, 7))).unwrap();
        let sound: Vec<bool> = commit.entries.iter().map(|(_, payload)| payload.is_some()).collect();
        assert_eq!(sound, [false, true, true]);
    }

    #[test]
    fn a_torn_table_is_read_from_its_copy_and_both_torn_are_named() {
        let mut bytes = sample();
        bytes[HEAD_BYTES + 10] ^= 1;
        assert!(read_commit(&bytes, None).is_ok());
        let copy = bytes.len() - HEAD_BYTES - 3 * ENTRY_BYTES + 10;
        bytes[copy] ^= 1;
        assert_eq!(read_commit(&bytes, None).unwrap_err(), Fault::TableLost);
    }

    #[test]
    fn a_commit_of_another_start_or_out_of_turn_is_none() {
        let bytes = sample();
        let other = StartId { counter: 4, random: [9; 16] };
        assert_eq!(read_commit(&bytes, Some((other, 1, 7))).unwrap_err(), Fault::Absent);
        assert_eq!(read_commit(&bytes, Some((head().start, 1, 8))).unwrap_err(), Fault::Absent);
        assert_eq!(read_commit(&bytes, Some((head().start, 2, 7))).unwrap_err(), Fault::Absent);
    }

    #[test]
    fn no_cut_or_flipped_byte_makes_reading_panic_or_a_payload_wrong() {
        let bytes = sample();
        for at in (0..bytes.len()).step_by(7) {
            let mut torn = bytes.clone();
            torn[at] ^= 0x55;
            let _ = read_commit(&bytes[..at], Some((head().start, 1, 7)));
            let Ok(commit) = read_commit(&torn, Some((head().start, 1, 7))) else { continue };
            for (number, (_, payload)) in commit.entries.iter().enumerate() {
                let sound =
                    payload.clone().is_none_or(|range| torn[range].iter().all(|b| *b == number as u8 + 1));
                assert!(sound, "flip at {at} went unnoticed");
            }
        }
    }
}

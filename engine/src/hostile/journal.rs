//! Journal files of well-formed commits, some of which lie, through chain and replay into logs that a start adopts.
//!
//! ```text
//! input -> steps -> entries -> commits -> files -> replay_files -> Replay::finish -> PartitionLog::new
//!            |                                                                            |
//!            +--> what every log should hold --------- as long as no step lied -----------+
//! ```
//! Every commit has right checksums: they hide nothing from the fuzzer here. As long as all steps are what an engine
//! would write, every log comes back to the byte; once one lied, nothing may panic and memory is bounded.

use super::Choices;
use crate::batch::{BatchBuilder, Codec, HEADER_BYTES, ProducerFields};
use crate::io::{BLOCK_BYTES, aligned_down};
use crate::journal::{
    CommitHead, Entry, EntryKind, LogState, Outcome, Planned, RESCUE_SHARD, Replay, SegmentState, StartId,
    commit_bytes, encode_commit, encode_older, replay_files,
};
use crate::log::{LogIdentity, LogSettings, PartitionLog};
use crate::segment::Stage;
use crate::units::{FilePos, LeaderEpoch, LogId, Offset, Timestamp};
use bytes::Bytes;

const STEPS_MAX: usize = 64;
const LOGS: u8 = 4;
const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// What one log should be found to hold.
#[derive(Clone, Default)]
struct Model {
    is_live: bool,
    was_live: bool,
    segments: Vec<(i64, i64)>,
    base: i64,
    offset_end: i64,
    /// The active segment's bytes, where batches begin in them, and how many are in its file.
    bytes: Vec<u8>,
    starts: Vec<u64>,
    written_end: u64,
    max_timestamp: i64,
}

struct Forger {
    files: Vec<Vec<u8>>,
    entries: Vec<(Entry, Vec<u8>)>,
    head: CommitHead,
    logs: [Model; LOGS as usize],
    /// No step lied so far.
    is_sound: bool,
}

/// See the file's header.
///
/// # Panics
/// On a finding.
pub fn journal(input: &[u8]) -> u64 {
    let mut choices = Choices(input);
    let mut forger = Forger::new();
    for _ in 0..STEPS_MAX {
        if choices.0.is_empty() {
            break;
        }
        forger.step(&mut choices);
    }
    forger.end_commit();
    let mut replay = Replay::new(NOW);
    let replayed = replay_files(&forger.files, &mut replay);
    assert!(replayed.needed.iter().all(|number| *number < forger.files.len()));
    let outcome = replay.finish();
    let way = outcome.logs.len() + 5 * outcome.deleted.len() + 25 * outcome.strays.len();
    if forger.is_sound {
        forger.assert_found(&outcome);
    }
    for log in outcome.logs {
        let mut number = 0;
        let log = PartitionLog::new(log, LogSettings::default(), || {
            number += 1;
            number
        });
        let bounds = log.bounds();
        assert!(bounds.log_start <= bounds.log_end || log.fault.is_some(), "a log ends before it starts");
    }
    way as u64
}

impl Forger {
    fn new() -> Self {
        let start = StartId { counter: 1, random: [5; 16] };
        let head = CommitHead { start, shard: 0, sequence: 1, known_synced: 0 };
        let mut forger = Self {
            files: vec![Vec::new()],
            entries: Vec::new(),
            head,
            logs: Default::default(),
            is_sound: true,
        };
        forger.table();
        forger
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        let choice = choices.u8();
        match choice & 15 {
            kind @ 0..=11 => self.entry(EntryKind::ALL[usize::from(kind)], choice >> 4, choices),
            12 => self.end_commit(),
            13 => {
                self.end_commit();
                self.files.push(Vec::new());
                if choice & 0x80 == 0 { self.table() } else { self.is_sound = false }
            }
            14 => {
                self.end_commit();
                self.is_sound = false;
                self.head.start.counter = u64::from(choices.u8() % 3);
                self.head.shard = [0, 1, RESCUE_SHARD][usize::from(choice >> 4) % 3];
                self.head.sequence = u64::from(choices.u8());
                self.files.push(Vec::new());
            }
            _ => {
                self.end_commit();
                self.is_sound = false;
                self.head.sequence =
                    if choice & 0x80 == 0 { self.head.sequence.wrapping_add(1) } else { choices.u64() };
            }
        }
    }

    /// What a file begins with.
    fn table(&mut self) {
        for log in 0..LOGS {
            if self.logs[usize::from(log)].is_live {
                let payload = self.state(log).encode();
                self.push(EntryKind::TableState, log, payload);
                self.note_table();
            }
        }
        self.entries.push((Entry::control(EntryKind::TableEnd), Vec::new()));
        self.note_table();
        self.entries.push((Entry { position: 1, ..Entry::control(EntryKind::Older) }, encode_older(&[])));
        self.end_commit();
    }

    /// Entries of a table name the commit with which it begins.
    fn note_table(&mut self) {
        if let Some((entry, _)) = self.entries.last_mut() {
            entry.position = self.head.sequence;
        }
    }

    fn push(&mut self, kind: EntryKind, log: u8, payload: Vec<u8>) {
        let model = &self.logs[usize::from(log)];
        let entry = Entry {
            kind,
            log_id: LogId([log; 16]),
            segment_base: model.base,
            position: model.bytes.len() as u64,
            offset_end: model.offset_end,
        };
        self.entries.push((entry, payload));
    }

    fn end_commit(&mut self) {
        let entries = std::mem::take(&mut self.entries);
        let planned: Vec<Planned> = entries
            .iter()
            .map(|(entry, payload)| Planned { entry: *entry, payload_bytes: payload.len() })
            .collect();
        let payload_bytes = entries.iter().map(|(_, payload)| payload.len()).sum();
        let mut bytes = vec![0; commit_bytes(planned.len(), payload_bytes)];
        encode_commit(&mut bytes, self.head, &planned, |number, target| {
            target.copy_from_slice(&entries[number].1);
        });
        self.head.known_synced = self.head.sequence;
        self.head.sequence = self.head.sequence.wrapping_add(1);
        if let Some(file) = self.files.last_mut() {
            file.extend(bytes);
        }
    }

    /// One entry; with `lies` some of its fields are the fuzzer's own.
    fn entry(&mut self, kind: EntryKind, lies: u8, choices: &mut Choices<'_>) {
        let choice = choices.u8();
        let log = choice % LOGS;
        // A table's entry where no table is, and a ceiling.
        let stray = match kind {
            EntryKind::State if choice & 0x80 != 0 => Some(EntryKind::TableState),
            EntryKind::Roll if choice & 0x80 != 0 => Some(EntryKind::Ceiling),
            _ => None,
        };
        let (is_stray, kind) = (stray.is_some(), stray.unwrap_or(kind));
        if lies == 0 && !is_stray {
            return self.honest(kind, log, choices);
        }
        self.is_sound = false;
        let payload = if lies & 8 == 0 {
            self.payload(kind, log, choices)
        } else {
            lie(kind, self.state(log), choices)
        };
        self.push(kind, log, payload);
        let Some((entry, _)) = self.entries.last_mut() else { return };
        if lies & 1 != 0 {
            entry.segment_base = choices.i64();
        }
        if lies & 2 != 0 {
            entry.position = choices.u64();
        }
        if lies & 4 != 0 {
            entry.offset_end = choices.i64();
        }
    }

    /// An entry as an engine writes it, and what the log holds then; nothing where an engine would write none.
    fn honest(&mut self, kind: EntryKind, log: u8, choices: &mut Choices<'_>) {
        let model = &mut self.logs[usize::from(log)];
        match kind {
            EntryKind::Create if !model.was_live => {
                (model.is_live, model.was_live, model.max_timestamp) = (true, true, -1);
            }
            EntryKind::TableEnd | EntryKind::CleanStop => {
                return self.entries.push((Entry::control(kind), Vec::new()));
            }
            EntryKind::Delete if model.is_live => model.is_live = false,
            EntryKind::Data | EntryKind::Run | EntryKind::Rest | EntryKind::State | EntryKind::Roll
                if model.is_live => {}
            _ => return,
        }
        match kind {
            EntryKind::Data => {
                let position = model.bytes.len() as u64;
                let payload = self.payload(kind, log, choices);
                self.push(kind, log, payload);
                if let Some((entry, _)) = self.entries.last_mut() {
                    entry.position = position;
                }
            }
            EntryKind::Run => {
                let payload = self.payload(kind, log, choices);
                self.push(kind, log, payload);
                let model = &mut self.logs[usize::from(log)];
                model.written_end = aligned_down(model.bytes.len() as u64);
                if let Some((entry, _)) = self.entries.last_mut() {
                    entry.position = model.written_end;
                }
                self.rest(log);
            }
            EntryKind::Rest if model.bytes.is_empty() => {} // nor is there a segment yet
            EntryKind::Rest => self.rest(log),
            EntryKind::Roll if model.bytes.is_empty() => {}
            EntryKind::Roll => {
                self.push(kind, log, Vec::new());
                let model = &mut self.logs[usize::from(log)];
                model.segments.push((model.base, model.offset_end));
                (model.base, model.written_end, model.max_timestamp) = (model.offset_end, 0, -1);
                model.bytes.clear();
                model.starts.clear();
            }
            EntryKind::State => {
                let model = &mut self.logs[usize::from(log)];
                model.written_end = aligned_down(model.bytes.len() as u64); // written back meanwhile
                let payload = self.state(log).encode();
                self.push(kind, log, payload);
            }
            _ => {
                let payload = self.payload(kind, log, choices);
                self.push(kind, log, payload);
            }
        }
    }

    /// The tail again, from the last block in the file on.
    fn rest(&mut self, log: u8) {
        let model = &self.logs[usize::from(log)];
        let (position, end) = (model.written_end, model.bytes.len() as u64);
        let first = model.starts.iter().copied().find(|start| *start >= position).unwrap_or(end);
        let payload = [&first.to_le_bytes()[..], &model.bytes[position as usize..]].concat();
        self.push(EntryKind::Rest, log, payload);
        if let Some((entry, _)) = self.entries.last_mut() {
            entry.position = position;
        }
    }

    fn payload(&mut self, kind: EntryKind, log: u8, choices: &mut Choices<'_>) -> Vec<u8> {
        match kind {
            EntryKind::Data => self.append(log, usize::from(choices.u8()) * 8).1,
            EntryKind::Run => {
                let (start, batch) = self.append(log, BLOCK_BYTES + usize::from(choices.u8()) * 8);
                [&start.to_le_bytes()[..], &batch[..HEADER_BYTES]].concat()
            }
            EntryKind::Rest => self.logs[usize::from(log)].bytes.clone(),
            EntryKind::Create | EntryKind::State | EntryKind::TableState => self.state(log).encode(),
            EntryKind::Older | EntryKind::OldDone => {
                let elder = |choices: &mut Choices<'_>| {
                    let start = StartId { counter: u64::from(choices.u8() % 3), random: [5; 16] };
                    (start, [0, 1, RESCUE_SHARD][usize::from(choices.u8() % 3)], u64::from(choices.u8()))
                };
                let count = choices.u8() % 4;
                encode_older(&(0..count).map(|_| elder(choices)).collect::<Vec<_>>())
            }
            _ => Vec::new(),
        }
    }

    /// One batch more; where it begins, and its bytes.
    fn append(&mut self, log: u8, value_bytes: usize) -> (u64, Vec<u8>) {
        let model = &mut self.logs[usize::from(log)];
        let builder = BatchBuilder::new(Codec::None).record(NOW, None, Some(&vec![log; value_bytes]));
        let producer =
            ProducerFields { producer_id: 9, producer_epoch: 0, base_sequence: model.offset_end as i32 };
        let mut batch = builder.build(producer).map(Bytes::into).unwrap_or_else(|_| Vec::new());
        batch[..8].copy_from_slice(&model.offset_end.to_be_bytes());
        let start = model.bytes.len() as u64;
        model.starts.push(start);
        model.bytes.extend(&batch);
        model.offset_end += 1;
        model.max_timestamp = NOW.0;
        (start, batch)
    }

    fn state(&self, log: u8) -> LogState {
        let model = &self.logs[usize::from(log)];
        let (log_id, topic) = (LogId([log; 16]), format!("t{log}"));
        let identity = LogIdentity { log_id, topic_id: [log; 16], topic, partition: 0 };
        let mut state = LogState::empty(identity, LeaderEpoch(0));
        let segment = |base: i64, offset_end: i64| SegmentState {
            base: Offset::new(base),
            stage: Stage::Sealed,
            offset_end: Offset::new(offset_end),
            end: FilePos::new(BLOCK_BYTES as u64),
            written_end: FilePos::new(BLOCK_BYTES as u64),
            max_timestamp: NOW,
            first_timestamp: NOW,
            first_crc: 0,
            milestones: Vec::new(),
        };
        state.segments.extend(model.segments.iter().map(|(base, offset_end)| segment(*base, *offset_end)));
        if !model.bytes.is_empty() || !model.segments.is_empty() {
            state.segments.push(SegmentState {
                stage: Stage::Active,
                end: FilePos::new(model.bytes.len() as u64),
                written_end: FilePos::new(model.written_end),
                max_timestamp: Timestamp(model.max_timestamp),
                ..segment(model.base, model.offset_end)
            });
        }
        state
    }

    /// Every log is there to the byte, and none that was deleted.
    fn assert_found(&self, outcome: &Outcome) {
        assert!(outcome.strays.is_empty(), "bytes without a state");
        for (log, model) in self.logs.iter().enumerate() {
            let log_id = LogId([log as u8; 16]);
            let found = outcome.logs.iter().find(|found| found.state.identity.log_id == log_id);
            assert_eq!(found.is_some(), model.is_live, "log {log}");
            let Some(found) = found else { continue };
            assert_eq!(found.fault, None, "log {log}");
            let Some(active) = found.state.segments.last() else {
                assert!(model.bytes.is_empty() && model.segments.is_empty(), "log {log} lost its segments");
                continue;
            };
            assert_eq!(active.base.as_i64(), model.base);
            assert_eq!(active.offset_end.as_i64(), model.offset_end, "log {log}");
            assert_eq!(found.state.segments.len(), model.segments.len() + 1);
            let open = found.open.last().expect("the active segment is open");
            let tail_start = open.state.written_end.as_u64();
            assert_eq!(open.tail, model.bytes[tail_start as usize..], "log {log} has another tail");
            let starts: Vec<u64> = open.batches.iter().map(|batch| batch.start.as_u64()).collect();
            let expected = model.starts.iter().copied().filter(|start| *start >= tail_start);
            assert_eq!(starts, expected.collect::<Vec<_>>(), "log {log} has other batches");
        }
    }
}

/// A payload that is the fuzzer's own, in the form that its kind asks for where that is the way to its fields.
fn lie(kind: EntryKind, mut state: LogState, choices: &mut Choices<'_>) -> Vec<u8> {
    let form = choices.u8();
    match kind {
        EntryKind::Create | EntryKind::State | EntryKind::TableState if form & 1 == 0 => {
            let segment = SegmentState {
                base: non_negative(choices),
                stage: [Stage::Active, Stage::Sealing, Stage::Sealed][usize::from(form >> 1) % 3],
                offset_end: non_negative(choices),
                end: FilePos::new(choices.u64()),
                written_end: FilePos::new(choices.u64()),
                max_timestamp: Timestamp(choices.i64()),
                first_timestamp: NOW,
                first_crc: 0,
                milestones: Vec::new(),
            };
            if form & 0x40 == 0 {
                state.segments.clear();
            }
            state.segments.push(segment);
            if form & 0x80 != 0 {
                state.log_start = non_negative(choices);
            }
            state.encode()
        }
        EntryKind::Data if form & 1 == 0 => {
            let batch =
                BatchBuilder::new(Codec::None).record(NOW, None, None).build(ProducerFields::default());
            let mut batch = batch.map(Bytes::into).unwrap_or_else(|_| Vec::new());
            for _ in 0..form >> 6 {
                let at = usize::from(choices.u8()) % HEADER_BYTES;
                batch[at..].iter_mut().zip(choices.bytes(8)).for_each(|(byte, lie)| *byte = *lie);
            }
            batch
        }
        _ => {
            let count = usize::from(choices.u16() % 512);
            choices.bytes(count).to_vec()
        }
    }
}

fn non_negative(choices: &mut Choices<'_>) -> Offset {
    Offset::new(choices.i64() & i64::MAX)
}

/// Lives of a log as an engine writes them, and some lies.
pub fn journal_seeds() -> Vec<Vec<u8>> {
    let [create, data, run, rest, roll, state, delete] = [3, 0, 1, 2, 5, 6, 4];
    let (commit, file) = (12, 13);
    let life = vec![
        create, 1, data, 1, 30, commit, data, 1, 200, data, 1, 255, commit, roll, 1, data, 1, 7, commit, run,
        1, 9, commit, data, 1, 90, rest, 1, commit, state, 1, commit, create, 2, data, 2, 250, file, data, 1,
        80, data, 2, 1, commit, delete, 2, commit, data, 1, 255, data, 1, 255, data, 1, 255, state, 1, file,
        data, 1, 3, 9,
    ];
    let journals = [&life[..], &[14, 1, 2, 0x88, 1, 1, 1, 0, 5, 7, 8, 14 + 16, 2, 1, 0, 3, 5, 12]].concat();
    let lies = |kind: u8| {
        let bits = [1_u8, 2, 4, 8, 15]
            .map(|bits| [&life[..9], &[kind + (bits << 4), 1], &[255; 24], &[12]].concat());
        bits.into_iter()
    };
    let mut seeds: Vec<Vec<u8>> = (0..12).flat_map(lies).collect();
    seeds.extend([life, journals]);
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lying(kind: EntryKind, payload: Vec<u8>, change: impl FnOnce(&mut Forger)) {
        let mut forger = Forger::new();
        forger.logs[1].is_live = true;
        forger.push(EntryKind::Create, 1, LogState::empty(forger.state(1).identity, LeaderEpoch(0)).encode());
        forger.push(kind, 1, payload);
        change(&mut forger);
        forger.end_commit();
        let mut replay = Replay::new(NOW);
        replay_files(&forger.files, &mut replay);
        let outcome = replay.finish();
        assert!(outcome.logs.iter().all(|log| log.fault.is_some()), "a lie was believed");
    }

    /// Found by an input of the fuzz target: each number of the gap was noted, which takes all memory that there is.
    #[test]
    fn a_gap_of_any_length_in_the_sequences_of_a_journal_takes_no_memory() {
        let mut forger = Forger::new();
        for sequence in [2, u64::MAX - 1] {
            forger.head.sequence = sequence;
            forger.end_commit();
        }
        replay_files(&forger.files, &mut Replay::new(NOW));
    }

    /// Found by fuzzing: no commit is a part of such a table, and how many steps it took was computed with an overflow.
    #[test]
    fn a_table_that_ends_before_it_begins_ends_nothing() {
        let mut forger = Forger::new();
        forger.files.push(vec![0; BLOCK_BYTES]);
        let end = Entry { position: u64::MAX, ..Entry::control(EntryKind::TableEnd) };
        forger.entries.push((end, Vec::new()));
        forger.entries.push((Entry { position: 1, ..Entry::control(EntryKind::Older) }, encode_older(&[])));
        forger.end_commit();
        let mut replay = Replay::new(NOW);
        let replayed = replay_files(&forger.files, &mut replay);
        assert_eq!(replayed.ends.len(), 1);
    }

    /// Memory was reserved for all that the state claimed.
    #[test]
    fn a_state_that_claims_a_tail_of_any_length_fences_its_log_and_takes_no_memory() {
        let mut forger = Forger::new();
        forger.logs[1].bytes = vec![0; 8];
        let mut state = forger.state(1);
        for end in [1 << 40, u64::MAX] {
            state.segments[0].end = FilePos::new(end);
            lying(EntryKind::State, state.encode(), |_| ());
        }
    }

    /// Sums with their lengths passed the largest number.
    #[test]
    fn entries_beyond_any_file_fence_their_log() {
        for kind in [EntryKind::Data, EntryKind::Rest, EntryKind::Run] {
            lying(kind, vec![255; 200], |forger| forger.entries[1].0.position = u64::MAX);
        }
    }

    /// Found by fuzzing: the end of such a batch of a copied tail was computed with an overflow.
    #[test]
    fn a_batch_of_a_copied_tail_that_ends_before_it_begins_fences_its_log() {
        let mut forger = Forger::new();
        let (_, mut batch) = forger.append(1, 10);
        batch[23..27].copy_from_slice(&(-1_i32).to_be_bytes());
        forger.logs[1].is_live = true;
        forger.push(EntryKind::State, 1, forger.state(1).encode());
        forger.logs[1].bytes = batch;
        forger.rest(1);
        forger.end_commit();
        let mut replay = Replay::new(NOW);
        replay_files(&forger.files, &mut replay);
        let outcome = replay.finish();
        assert_eq!(outcome.logs.len(), 1);
        assert!(outcome.logs[0].fault.is_some());
    }

    /// The first raise of its start would have ended the shard.
    #[test]
    fn a_state_that_starts_behind_its_end_fences_its_log() {
        let mut forger = Forger::new();
        forger.logs[1].segments.push((0, 5));
        let mut state = forger.state(1);
        state.log_start = Offset::new(50);
        lying(EntryKind::State, state.encode(), |_| ());
    }
}

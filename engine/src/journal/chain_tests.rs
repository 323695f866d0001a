//! Chains of commits: what counts, what is a loss, what is harmless.

use super::*;
use crate::journal::commit::{CommitHead, Entry, Planned, commit_bytes, encode_commit};
use crate::journal::state::{LogState, encode_older};
use crate::log::LogIdentity;
use crate::units::{LeaderEpoch, LogId, Timestamp};

const START: StartId = StartId { counter: 4, random: [9; 16] };

/// A journal file of one shard of `START`, and where each of its commits lies.
struct Written {
    start: StartId,
    /// Journals of earlier starts that count.
    older: Vec<(StartId, u32, u64)>,
    shard: u32,
    bytes: Vec<u8>,
    commits: Vec<std::ops::Range<usize>>,
    sequence_next: u64,
}

fn state_of(log: u8) -> LogState {
    let id = [log; 16];
    let identity = LogIdentity { log_id: LogId(id), topic_id: id, topic: format!("t{log}"), partition: 0 };
    LogState::empty(identity, LeaderEpoch(0))
}

fn entry(kind: EntryKind, log: u8) -> Entry {
    Entry { log_id: LogId([log; 16]), ..Entry::control(kind) }
}

impl Written {
    fn begin(sequence: u64) -> Self {
        Self {
            start: START,
            older: Vec::new(),
            shard: 0,
            bytes: Vec::new(),
            commits: Vec::new(),
            sequence_next: sequence,
        }
    }

    fn commit(&mut self, entries: &[(Entry, Vec<u8>)]) {
        let planned: Vec<Planned> = entries
            .iter()
            .map(|(entry, payload)| Planned { entry: *entry, payload_bytes: payload.len() })
            .collect();
        let payload_bytes = entries.iter().map(|(_, payload)| payload.len()).sum();
        let mut bytes = vec![0; commit_bytes(entries.len(), payload_bytes)];
        let sequence = self.sequence_next;
        let head = CommitHead { start: self.start, shard: self.shard, sequence, known_synced: sequence - 1 };
        encode_commit(&mut bytes, head, &planned, |number, target| {
            target.copy_from_slice(&entries[number].1);
        });
        self.commits.push(self.bytes.len()..self.bytes.len() + bytes.len());
        self.bytes.extend_from_slice(&bytes);
        self.sequence_next += 1;
    }

    /// A table of logs 1 to 3, a commit for each and one that ends it.
    fn table(&mut self, again: bool) {
        let position = self.sequence_next;
        for log in 1..=3 {
            let named = Entry { position, ..entry(EntryKind::TableState, log) };
            self.commit(&[(named, state_of(log).encode())]);
        }
        let end = Entry { position, offset_end: again.into(), ..Entry::control(EntryKind::TableEnd) };
        let kind = if self.older.is_empty() { EntryKind::OldDone } else { EntryKind::Older };
        let older = Entry { position: 1, ..Entry::control(kind) };
        self.commit(&[(end, Vec::new()), (older, encode_older(&self.older))]);
    }

    /// Something that is in no table.
    fn further(mut self) -> Self {
        for log in 1..=3 {
            self.commit(&[(entry(EntryKind::State, log), state_of(log).encode())]);
        }
        self.commit(&[]);
        self
    }

    fn without(&self, commits: &[usize]) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        commits.iter().for_each(|number| bytes[self.commits[*number].clone()].fill(0));
        bytes.extend_from_slice(&[0; 8192]);
        bytes
    }
}

/// The first file of a start, with logs 1 to 3, and the one behind it, which ends with the witness of a table alone.
fn two_files() -> [Written; 2] {
    let mut first = Written::begin(1);
    first.table(true);
    first.table(false);
    let first = first.further();
    let mut second = Written::begin(first.sequence_next);
    second.table(false);
    second.commit(&[]);
    [first, second]
}

/// Logs that are known, and those of them that must not be served.
fn found(files: &[Vec<u8>]) -> (usize, Vec<u8>) {
    let mut replay = Replay::new(Timestamp(0));
    replay_files(files, &mut replay);
    let outcome = replay.finish();
    let faulty = outcome.logs.iter().filter(|log| log.fault.is_some());
    let mut faulty: Vec<u8> = faulty.map(|log| log.state.identity.log_id.0[0]).collect();
    faulty.sort_unstable();
    (outcome.logs.len(), faulty)
}

#[test]
fn commits_of_a_table_may_be_gone_while_the_file_before_it_is_whole() {
    let [first, second] = two_files();
    for gone in 0..4 {
        assert_eq!(found(&[first.without(&[]), second.without(&[gone])]), (3, vec![]), "commit {gone}");
    }
    for gone in [&[0, 1][..], &[1, 2], &[0, 1, 2]] {
        assert_eq!(found(&[first.without(&[]), second.without(gone)]), (3, vec![]), "commits {gone:?}");
    }
}

#[test]
fn a_table_of_one_commit_may_be_gone_and_not_what_follows_it() {
    let [first, _] = two_files();
    let mut second = Written::begin(first.sequence_next);
    let position = second.sequence_next;
    let mut entries: Vec<(Entry, Vec<u8>)> = (1..=3)
        .map(|log| (Entry { position, ..entry(EntryKind::TableState, log) }, state_of(log).encode()))
        .collect();
    entries.push((Entry { position, ..Entry::control(EntryKind::TableEnd) }, Vec::new()));
    let done = Entry { position: 1, ..Entry::control(EntryKind::OldDone) };
    entries.push((done, encode_older(&[])));
    second.commit(&entries);
    second.commit(&[]);
    second.commit(&[]);
    assert_eq!(found(&[first.without(&[]), second.without(&[0])]), (3, vec![]));
    assert_eq!(found(&[first.without(&[]), second.without(&[1])]), (3, vec![1, 2, 3]));
    assert_eq!(found(&[first.without(&[]), second.without(&[0, 1])]), (3, vec![1, 2, 3]));
}

#[test]
fn each_of_the_two_tables_of_a_first_file_may_miss_a_commit() {
    let [first, _] = two_files();
    for gone in 0..8 {
        assert_eq!(found(&[first.without(&[gone])]), (3, vec![]), "commit {gone}");
    }
}

#[test]
fn what_no_table_before_says_is_missed() {
    let [first, second] = two_files();
    // Not part of a table: a log may have got more there. The table behind it covers that, as far as it is there: what is
    // gone of it may then have told of any log, and only what follows that covers.
    let changes = 8..11;
    for gone in changes.clone() {
        assert_eq!(found(&[first.without(&[gone]), second.without(&[])]), (3, vec![]), "commit {gone}");
        assert_eq!(found(&[first.without(&[gone]), second.without(&[1])]), (3, vec![1, 2]), "commit {gone}");
    }
    // Nothing before it: whoever is known by then may be concerned. Whom the lost commit named, the metadata log says.
    for gone in 1..4 {
        let (_, faulty) = found(&[second.without(&[gone])]);
        assert_eq!(faulty, (1..=gone as u8).collect::<Vec<u8>>(), "commit {gone}");
    }
}

#[test]
fn a_payload_of_a_table_that_does_not_check_is_no_loss_to_who_read_the_file_before() {
    let [first, second] = two_files();
    let rotten = |commit: usize| {
        let mut bytes = second.without(&[]);
        let payload = second.commits[commit].start + 96 + 56;
        bytes[payload] ^= 4;
        bytes
    };
    for commit in 0..3 {
        assert_eq!(found(&[first.without(&[]), rotten(commit)]), (3, vec![]));
        // A stray: no state of it is known.
        assert_eq!(found(&[rotten(commit)]), (2, vec![]));
    }
}

#[test]
fn who_is_missing_in_a_whole_table_was_deleted_though_what_said_so_is_gone() {
    let [mut first, _] = two_files();
    let created = first.commits.len();
    first.commit(&[(entry(EntryKind::Create, 4), state_of(4).encode())]);
    first.commit(&[(entry(EntryKind::Delete, 4), Vec::new())]);
    first.commit(&[]);
    let mut second = Written::begin(first.sequence_next);
    second.table(false);
    second.commit(&[]);
    for gone in [&[][..], &[created], &[created + 1], &[created, created + 1]] {
        assert_eq!(found(&[first.without(gone), second.without(&[])]), (3, vec![]), "commits {gone:?}");
    }
}

/// Shards give each other free files, and what one left there may go on with the very number that the other comes to.
#[test]
fn what_another_shard_left_in_a_file_is_no_part_of_this_ones_journal() {
    let mut own = Written::begin(1);
    own.table(false);
    let mut left = Written { shard: 1, ..Written::begin(own.sequence_next) };
    left.commit(&[(entry(EntryKind::Create, 4), state_of(4).encode())]);
    assert_eq!(found(&[[own.bytes, left.bytes].concat()]), (3, vec![]));
}

#[test]
fn a_bit_that_turned_in_a_head_is_no_loss_since_it_stands_twice() {
    let [first, _] = two_files();
    for at in 0..96 {
        let mut bytes = first.without(&[]);
        bytes[first.commits[9].start + at] ^= 1 << (at % 8);
        assert_eq!(found(&[bytes]), (3, vec![]), "byte {at}");
    }
}

/// Found by a simulated life: the logs of every other journal went offline, though the file had been free.
#[test]
fn a_freed_file_that_a_start_only_began_to_use_takes_nobody_offline() {
    let elder = StartId { counter: 3, ..START };
    let mut of_elder = Written { start: elder, ..Written::begin(1) };
    of_elder.commit(&[(entry(EntryKind::Create, 4), state_of(4).encode())]);
    let naming = |sequence| Written { older: vec![(elder, 0, 1)], ..Written::begin(sequence) };
    let mut first = naming(1);
    first.table(false);
    let first = first.further();
    let mut second = naming(first.sequence_next);
    second.table(false);
    second.commit(&[]);
    let found = |gone: &[usize], second: &[Vec<u8>]| {
        found(&[&[of_elder.without(&[]), first.without(gone)], second].concat())
    };
    assert_eq!(found(&[], &[second.without(&[])]), (4, vec![]));
    // Its first commits were written over and torn; what they held before is said again by the file behind it.
    for gone in [&[0][..], &[0, 1, 2, 3, 4, 5]] {
        assert_eq!(found(gone, &[second.without(&[])]), (4, vec![]), "commits {gone:?}");
    }
    // Without a table behind it nobody knows whom the lost commits named.
    assert_eq!(found(&[0], &[]).1, [4]);
}

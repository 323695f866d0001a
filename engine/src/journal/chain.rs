//! Which commits of which journal files count, and in which order.
//!
//! ```text
//! files as listed ->  a chain per (start, shard), files in order of their first sequence
//!   [ 301..349 ]   gap   [ 400..455 ][ 456..510 ][ 511..   torn
//!     freed, stale         ^ begins with a table: the chain counts from here
//! ```
//! The newest start that named its elders counts, with the journals that it named; once every shard has said that it
//! needs them no more, with the rescues alone. What is missing inside a chain, though a later commit proves that it was synced, is a
//! loss and named; a last commit that is not whole was never answered and is dropped.

use super::commit::{Commit, EntryKind, Fault, StartId, read_commit, read_first_commit};
use super::replay::{FileHead, JournalEnd, Replay};
use super::rescue::RESCUE_SHARD;
use super::state::decode_older;
use crate::io::BLOCK_BYTES;
use std::collections::{BTreeMap, BTreeSet};

type Key = (StartId, u32);

/// What one file holds of one journal.
struct Span {
    number: usize,
    key: Key,
    commits: Vec<(usize, Commit)>,
    /// The first sequence of each gap: what was synced once and does not check. Only the first, since a head that lies
    /// could make a gap of any length.
    lost: Vec<u64>,
    head_lost: bool,
}

impl Span {
    fn first(&self) -> u64 {
        self.commits.first().map_or(0, |(_, commit)| commit.head.sequence)
    }

    fn end(&self) -> u64 {
        self.commits.last().map_or(0, |(_, commit)| commit.head.sequence + 1)
    }

    /// Whether some table in it is there to the last byte, whatever else is not.
    fn has_table(&self, limit: Option<u64>) -> bool {
        let counts = |(_, commit): &&(usize, Commit)| limit.is_none_or(|limit| commit.head.sequence <= limit);
        let commits = || self.commits.iter().filter(counts).map(|(_, commit)| commit);
        commits().any(|last| {
            let has = |kinds: &[EntryKind]| {
                let found = last.entries.iter().find(|(entry, _)| kinds.contains(&entry.kind));
                found.filter(|(_, payload)| payload.is_some()).map(|(entry, _)| entry.position)
            };
            let Some(first) = has(&[EntryKind::TableEnd]) else { return false };
            let range = first..=last.head.sequence;
            let parts = commits().filter(|commit| range.contains(&commit.head.sequence));
            let (count, whole) = parts.fold((0_u64, true), |(count, whole), commit| {
                (count + 1, whole && commit.entries.iter().all(|(_, payload)| payload.is_some()))
            });
            whole
                && has(&[EntryKind::Older, EntryKind::OldDone]).is_some()
                && count
                    .checked_sub(1)
                    .is_some_and(|steps| last.head.sequence.checked_sub(first) == Some(steps))
        })
    }

    /// Whether the table at its head is there to the last byte, as is all behind it.
    fn has_whole_table(&self, limit: Option<u64>) -> bool {
        let counts = |(_, commit): &&(usize, Commit)| limit.is_none_or(|limit| commit.head.sequence <= limit);
        let mut entries = self.commits.iter().filter(counts).flat_map(|(_, commit)| &commit.entries);
        let until_end = entries.by_ref().take_while(|(_, payload)| payload.is_some());
        let mut kinds = until_end.map(|(entry, _)| entry.kind);
        !self.head_lost
            && self.lost.is_empty()
            && kinds.any(|kind| kind == EntryKind::TableEnd)
            && kinds.any(|kind| matches!(kind, EntryKind::Older | EntryKind::OldDone))
    }
}

/// What came of the journals.
pub(crate) struct Replayed {
    /// Where each journal that counted ended.
    pub(crate) ends: Vec<JournalEnd>,
    /// Numbers of the files that counted and stand from the last whole table of their journal on: what was said before
    /// says that table too.
    pub(crate) needed: Vec<usize>,
    /// Numbers of those before it, in order, journal by journal: needed from the first one on in which bytes of a log
    /// still lie. Never one without those behind it, since a gap ends a journal.
    pub(crate) before: Vec<Vec<usize>>,
    /// The newest start ended without the mark of a clean stop.
    pub(crate) unclean: bool,
}

/// Applies the commits of these files (each a whole journal file's bytes) to `replay`.
pub(crate) fn replay_files(files: &[Vec<u8>], replay: &mut Replay) -> Replayed {
    let mut chains = chains_of(files);
    let (limits, is_trusted) = select(&mut chains, files);
    let mut replayed = Replayed { ends: Vec::new(), needed: Vec::new(), before: Vec::new(), unclean: false };
    let newest = chains.keys().filter(|key| key.1 != RESCUE_SHARD).map(|(start, _)| *start).max();
    for (key, spans) in chains {
        let end = apply_chain(files, key, &spans, limits.get(&key).copied(), replay);
        replayed.unclean |= Some(key.0) == newest && !end.clean;
        replayed.ends.push(end);
        let limit = limits.get(&key).copied();
        let table = spans.iter().rposition(|span| is_trusted && span.has_whole_table(limit)).unwrap_or(0);
        replayed.before.push(spans.iter().take(table).map(|span| span.number).collect());
        replayed.needed.extend(spans.iter().skip(table).map(|span| span.number));
        if !is_trusted {
            replay.journal_lost(key.0, key.1, 0);
        }
    }
    replayed
}

/// Whether journals of earlier starts count beside these of the newest.
pub(crate) fn needs_elders(files: &[Vec<u8>]) -> bool {
    let chains = chains_of(files);
    let done: Vec<u64> =
        chains.values().filter_map(|spans| old_done_of(spans, files)).map(|(count, _)| count).collect();
    done.first().is_none_or(|shard_count| done.len() as u64 != *shard_count)
}

fn chains_of(files: &[Vec<u8>]) -> BTreeMap<Key, Vec<Span>> {
    let mut chains: BTreeMap<Key, Vec<Span>> = BTreeMap::new();
    for span in files.iter().enumerate().filter_map(|(number, bytes)| parse_file(number, bytes)) {
        chains.entry(span.key).or_default().push(span);
    }
    chains.values_mut().for_each(cut_gaps);
    chains
}

/// Leaves the files of a journal that count: what lies before a gap was freed.
fn cut_gaps(spans: &mut Vec<Span>) {
    spans.sort_by_key(Span::first);
    let is_gap = |at: &usize| spans[*at].first() != spans[at - 1].end() && !spans[*at].head_lost;
    let gap = (1..spans.len()).rev().find(is_gap);
    spans.drain(..gap.unwrap_or(0));
}

fn parse_file(number: usize, bytes: &[u8]) -> Option<Span> {
    let head = read_first_commit(bytes).ok();
    let head_lost = head.is_none();
    let found = || {
        let mut places = (BLOCK_BYTES..bytes.len()).step_by(BLOCK_BYTES);
        places.find_map(|at| Some((at, read_commit(bytes.get(at..)?, None).ok()?)))
    };
    let (mut at, first) = head.map(|head| (0, head)).or_else(found)?;
    let key = (first.head.start, first.head.shard);
    let mut expected = first.head.sequence;
    let mut span = Span { number, key, commits: Vec::new(), lost: Vec::new(), head_lost };
    while let Some(rest) = bytes.get(at..) {
        match read_commit(rest, Some((key.0, key.1, expected))) {
            Ok(commit) => {
                let place = at;
                at += commit.bytes;
                expected += 1;
                span.commits.push((place, commit));
            }
            Err(Fault::Absent | Fault::TableLost) => match find_later(rest, key, expected) {
                Some((skip, sequence)) => {
                    span.lost.push(expected);
                    at += skip;
                    expected = sequence;
                }
                None => break,
            },
        }
    }
    Some(span)
}

/// A later commit of the same journal in what is left of a file: then what is missing before it was synced once.
fn find_later(rest: &[u8], key: Key, expected: u64) -> Option<(usize, u64)> {
    (BLOCK_BYTES..rest.len()).step_by(BLOCK_BYTES).find_map(|at| {
        let commit = read_commit(rest.get(at..)?, None).ok()?;
        let later = (commit.head.start, commit.head.shard) == key && commit.head.sequence > expected;
        later.then_some((at, commit.head.sequence))
    })
}

/// Keeps the chains that count; returns the last accepted sequence of those of earlier starts, and whether that is
/// known: a start that served and whose list of elders is gone leaves it open which of them count.
fn select(chains: &mut BTreeMap<Key, Vec<Span>>, files: &[Vec<u8>]) -> (BTreeMap<Key, u64>, bool) {
    let mut starts: Vec<StartId> = chains.keys().map(|(start, _)| *start).collect();
    starts.dedup();
    while let Some(start) = starts.pop() {
        let is_own = move |(known, shard): &Key| *known == start && *shard != RESCUE_SHARD;
        let own = || chains.iter().filter(move |(key, _)| is_own(key)).map(|(_, spans)| spans);
        let named: Vec<(u64, Older)> = own().filter_map(|spans| older_of(spans, files)).collect();
        let done: Vec<(u64, Older)> = own().filter_map(|spans| old_done_of(spans, files)).collect();
        let Some(shard_count) = named.iter().chain(&done).map(|(count, _)| *count).max() else {
            if own().any(|spans| has_served(spans)) {
                return (BTreeMap::new(), false);
            }
            continue; // it ended before it served anybody
        };
        let all_done = done.len() as u64 == shard_count;
        let counting = if all_done { done.into_iter().next() } else { named.into_iter().next() };
        let older = counting.map(|(_, older)| older).unwrap_or_default();
        let limits: BTreeMap<Key, u64> = older.into_iter().map(|(s, n, q)| ((s, n), q)).collect();
        chains.retain(|key, _| key.0 == start || limits.contains_key(key));
        return (limits, true);
    }
    chains.clear();
    (BTreeMap::new(), true)
}

/// Whether anything stands in a journal that comes after its first table.
fn has_served(spans: &[Span]) -> bool {
    let table = [
        EntryKind::State, // of journals before tables had a kind of their own
        EntryKind::TableState,
        EntryKind::TableEnd,
        EntryKind::Older,
        EntryKind::OldDone,
    ];
    let mut commits = spans.iter().flat_map(|span| &span.commits);
    commits.any(|(_, commit)| {
        commit.entries.is_empty() || commit.entries.iter().any(|(entry, _)| !table.contains(&entry.kind))
    })
}

type Older = Vec<(StartId, u32, u64)>;

/// The list of journals in the first entry of this kind, with the number of shards that wrote it.
fn list_of(spans: &[Span], files: &[Vec<u8>], kind: EntryKind) -> Option<(u64, Older)> {
    let mut entries = spans.iter().flat_map(|span| {
        span.commits
            .iter()
            .flat_map(move |(at, commit)| commit.entries.iter().map(move |entry| (span.number, *at, entry)))
    });
    entries.find_map(|(number, at, (entry, payload))| {
        // The newest file's is as good as the first one's: the list never changes while it counts.
        let payload = payload.clone().filter(|_| entry.kind == kind)?;
        let older = decode_older(files.get(number)?.get(at..)?.get(payload)?)?;
        Some((entry.position, older))
    })
}

fn older_of(spans: &[Span], files: &[Vec<u8>]) -> Option<(u64, Older)> {
    list_of(spans, files, EntryKind::Older)
}

/// The rescues that are left, if this journal needs no other earlier one.
fn old_done_of(spans: &[Span], files: &[Vec<u8>]) -> Option<(u64, Older)> {
    list_of(spans, files, EntryKind::OldDone)
}

/// Whether all that stood before in a journal is known at some place of it: then what its next table says is known.
#[derive(Default)]
struct Known {
    /// A whole table stands before, and nothing was lost since.
    is_whole: bool,
    /// The place is inside the table that a file begins with.
    in_table: bool,
    /// Something of that table was lost.
    table_lost: bool,
}

impl Known {
    fn begin_file(&mut self) {
        (self.in_table, self.table_lost) = (true, false);
    }

    /// Whether the commits from `lost` on, which are missing in front of `next`, were part of a table and nothing else,
    /// and what it said is known. One that is missing at a table's end is the one that ends it.
    fn covers(&self, lost: u64, next: &Commit) -> bool {
        let is_of_table = match table_first(next) {
            Some(first) => lost >= first,
            None => next.head.sequence.checked_sub(1) == Some(lost),
        };
        self.is_whole && self.in_table && is_of_table
    }

    fn lose(&mut self, is_covered: bool) {
        self.table_lost = true;
        self.is_whole &= is_covered;
    }

    fn pass(&mut self, commit: &Commit) {
        let end = commit.entries.iter().find(|(entry, _)| entry.kind == EntryKind::TableEnd);
        let Some((end, _)) = end.filter(|_| self.in_table) else { return };
        self.is_whole |= !self.table_lost;
        self.in_table = end.offset_end != 0;
        self.table_lost = false;
    }
}

/// The sequence with which the table began that this commit is a part of.
fn table_first(commit: &Commit) -> Option<u64> {
    let is_of_table = |kind| matches!(kind, EntryKind::TableState | EntryKind::TableEnd);
    commit.entries.iter().find(|(entry, _)| is_of_table(entry.kind)).map(|(entry, _)| entry.position)
}

fn apply_chain(
    files: &[Vec<u8>],
    key: Key,
    spans: &[Span],
    limit: Option<u64>,
    replay: &mut Replay,
) -> JournalEnd {
    let mut end = JournalEnd { start: key.0, shard: key.1, sequence: 0, clean: false };
    let accepted = |sequence: u64| limit.is_none_or(|limit| sequence <= limit);
    let last = spans.last().map_or(0, Span::end).saturating_sub(1);
    let (mut expected, mut known) = (None, Known::default());
    for (at, span) in spans.iter().enumerate() {
        let head = expected.unwrap_or(span.first());
        let mut lost: BTreeSet<u64> = span.lost.iter().copied().filter(|lost| accepted(*lost)).collect();
        lost.extend((head < span.first() && accepted(head)).then_some(head));
        expected = Some(span.end());
        known.begin_file();
        let is_head_known = span.commits.first().is_some_and(|(_, next)| known.covers(head, next));
        // What was said before a table, it says, too. A file that was free and is begun by another start when the power
        // fails has lost its head, and what it held before lies behind that.
        let is_said_again = || spans.iter().skip(at).any(|later| later.has_table(limit));
        let head = match span.head_lost {
            false => FileHead::There,
            true if is_head_known || is_said_again() => FileHead::Covered,
            true => FileHead::Lost,
        };
        replay.begin_file(span.number, span.first(), head);
        for (at, commit) in span.commits.iter().filter(|(_, commit)| accepted(commit.head.sequence)) {
            let sequence = commit.head.sequence;
            // In order: a later state may cover what was lost.
            let later = lost.split_off(&sequence);
            let before = std::mem::replace(&mut lost, later);
            if let Some(first) = before.first() {
                let is_covered = known.covers(*first, commit);
                known.lose(is_covered);
                replay.table_lost();
                before
                    .iter()
                    .filter(|_| !is_covered)
                    .for_each(|lost| replay.journal_lost(key.0, key.1, *lost));
            }
            let whole = commit.entries.iter().all(|(_, payload)| payload.is_some());
            if sequence == last && !whole && limit.is_none() {
                tracing::info!(
                    sequence,
                    "the last commit of a journal is torn: dropped, nobody was answered"
                );
                continue;
            }
            let bytes = files.get(span.number).and_then(|bytes| bytes.get(*at..)).unwrap_or_default();
            replay.apply(commit, bytes);
            known.pass(commit);
            end.sequence = sequence;
            end.clean = commit.entries.iter().any(|(entry, _)| entry.kind == EntryKind::CleanStop);
        }
        for sequence in lost {
            replay.journal_lost(key.0, key.1, sequence);
        }
    }
    if limit.is_some_and(|limit| limit > end.sequence) {
        replay.journal_lost(key.0, key.1, end.sequence + 1);
    }
    end
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;

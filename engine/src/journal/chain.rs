//! Which commits of which journal files count, and in which order.
//!
//! ```text
//! files as listed ->  a chain per (start, shard), files in order of their first sequence
//!   [ 301..349 ]   gap   [ 400..455 ][ 456..510 ][ 511..   torn
//!     freed, stale         ^ begins with a table: the chain counts from here
//! ```
//! The newest start that named its elders counts, with the journals that it named unless every shard has since said
//! that it needs them no more. What is missing inside a chain, though a later commit proves that it was synced, is a
//! loss and named; a last commit that is not whole was never answered and is dropped.

use super::commit::{Commit, EntryKind, Fault, StartId, read_commit, read_first_commit};
use super::replay::{JournalEnd, Replay};
use super::state::decode_older;
use crate::io::BLOCK_BYTES;
use std::collections::BTreeMap;

type Key = (StartId, u32);

/// What one file holds of one journal.
struct Span {
    number: usize,
    key: Key,
    commits: Vec<(usize, Commit)>,
    /// Sequences that were synced once and do not check.
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
}

/// What came of the journals.
pub(crate) struct Replayed {
    /// Where each journal that counted ended.
    pub(crate) ends: Vec<JournalEnd>,
    /// Numbers of the files that counted: they may hold what some log still needs.
    pub(crate) needed: Vec<usize>,
    /// The newest start ended without the mark of a clean stop.
    pub(crate) unclean: bool,
}

/// Applies the commits of these files (each a whole journal file's bytes) to `replay`.
pub(crate) fn replay_files(files: &[Vec<u8>], replay: &mut Replay) -> Replayed {
    let mut chains: BTreeMap<Key, Vec<Span>> = BTreeMap::new();
    for span in files.iter().enumerate().filter_map(|(number, bytes)| parse_file(number, bytes)) {
        chains.entry(span.key).or_default().push(span);
    }
    chains.values_mut().for_each(cut_gaps);
    let (limits, is_trusted) = select(&mut chains, files);
    let mut replayed = Replayed { ends: Vec::new(), needed: Vec::new(), unclean: false };
    let newest = chains.keys().map(|(start, _)| *start).max();
    for (key, spans) in chains {
        let end = apply_chain(files, key, &spans, limits.get(&key).copied(), replay);
        replayed.unclean |= Some(key.0) == newest && !end.clean;
        replayed.ends.push(end);
        replayed.needed.extend(spans.iter().map(|span| span.number));
        if !is_trusted {
            replay.journal_lost(key.0, key.1, 0);
        }
    }
    replayed
}

/// Leaves the files of a journal that count: each begins with a table, so that what lies before a gap, and before the
/// whole head of a file that follows one without, is not needed. If it is after all, its logs are found incomplete.
fn cut_gaps(spans: &mut Vec<Span>) {
    spans.sort_by_key(Span::first);
    let begins_at = |at: usize| {
        let follows = at > 0 && spans[at].first() == spans[at - 1].end();
        match spans[at].head_lost {
            true => (at + 1 < spans.len()).then_some(at + 1),
            false => (!follows).then_some(at),
        }
    };
    let first = (0..spans.len()).rev().find_map(begins_at).unwrap_or(0);
    spans.drain(..first);
    // Only the newest file may be without its head now, and what stood there was synced.
    let lost = spans.len().checked_sub(2).map(|before| spans[before].end());
    if let Some(last) = spans.last_mut().filter(|last| last.head_lost) {
        last.lost.insert(0, lost.unwrap_or(last.first().saturating_sub(1)));
    }
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
                    span.lost.extend(expected..sequence);
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
        let own = || chains.iter().filter(move |((known, _), _)| *known == start).map(|(_, spans)| spans);
        let named: Vec<(u64, Older)> = own().filter_map(|spans| older_of(spans, files)).collect();
        let done = own().filter(|spans| says_old_done(spans).is_some()).count() as u64;
        let counts =
            named.iter().map(|(count, _)| *count).chain(own().filter_map(|spans| says_old_done(spans)));
        let Some(shard_count) = counts.max() else {
            if own().any(|spans| has_served(spans)) {
                return (BTreeMap::new(), false);
            }
            continue; // it ended before it served anybody
        };
        let limits: BTreeMap<Key, u64> = match named.into_iter().next() {
            Some((_, older)) if done < shard_count => {
                older.into_iter().map(|(s, n, q)| ((s, n), q)).collect()
            }
            _ => BTreeMap::new(),
        };
        chains.retain(|key, _| key.0 == start || limits.contains_key(key));
        return (limits, true);
    }
    chains.clear();
    (BTreeMap::new(), true)
}

/// Whether anything stands in a journal that comes after its first table.
fn has_served(spans: &[Span]) -> bool {
    let table = [EntryKind::State, EntryKind::TableEnd, EntryKind::Older, EntryKind::OldDone];
    let mut commits = spans.iter().flat_map(|span| &span.commits);
    commits.any(|(_, commit)| {
        commit.entries.is_empty() || commit.entries.iter().any(|(entry, _)| !table.contains(&entry.kind))
    })
}

type Older = Vec<(StartId, u32, u64)>;

fn older_of(spans: &[Span], files: &[Vec<u8>]) -> Option<(u64, Older)> {
    let mut entries = spans.iter().flat_map(|span| {
        span.commits
            .iter()
            .flat_map(move |(at, commit)| commit.entries.iter().map(move |entry| (span.number, *at, entry)))
    });
    entries.find_map(|(number, at, (entry, payload))| {
        // The newest file's is as good as the first one's: the list never changes while it counts.
        let payload = payload.clone().filter(|_| entry.kind == EntryKind::Older)?;
        let older = decode_older(files.get(number)?.get(at..)?.get(payload)?)?;
        Some((entry.position, older))
    })
}

/// The number of shards, if this journal needs no earlier one.
fn says_old_done(spans: &[Span]) -> Option<u64> {
    let mut entries =
        spans.iter().flat_map(|span| span.commits.iter()).flat_map(|(_, commit)| commit.entries.iter());
    entries.find(|(entry, _)| entry.kind == EntryKind::OldDone).map(|(entry, _)| entry.position)
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
    for span in spans {
        for (at, commit) in span.commits.iter().filter(|(_, commit)| accepted(commit.head.sequence)) {
            let whole = commit.entries.iter().all(|(_, payload)| payload.is_some());
            if commit.head.sequence == last && !whole && limit.is_none() {
                tracing::info!(
                    sequence = last,
                    "the last commit of a journal is torn: dropped, nobody was answered"
                );
                continue;
            }
            let bytes = files.get(span.number).and_then(|bytes| bytes.get(*at..)).unwrap_or_default();
            replay.apply(commit, bytes);
            end.sequence = commit.head.sequence;
            end.clean = commit.entries.iter().any(|(entry, _)| entry.kind == EntryKind::CleanStop);
        }
    }
    for sequence in spans.iter().flat_map(|span| &span.lost).filter(|sequence| accepted(**sequence)) {
        replay.journal_lost(key.0, key.1, *sequence);
    }
    if limit.is_some_and(|limit| limit > end.sequence) {
        replay.journal_lost(key.0, key.1, end.sequence + 1);
    }
    end
}

//! Damage to journals and the manifest, and which logs it may hurt: those whose bytes it meets, no other.

use super::damage::{Damage, Scenery, pick};
use crate::io::BLOCK_BYTES;
use crate::io::sim::{Random, SimDisk};
use crate::journal::{Commit, EntryKind, JournalFile, Manifest, front_bytes, read_commit};
use crate::units::LogId;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

const MANIFEST: &str = "thalweg-journal/manifest";

/// Journal files that the manifest lists, with the lengths that it names: one made over what a crash left may be longer.
fn listed(disk: &SimDisk) -> Vec<(PathBuf, u64)> {
    let manifest = Manifest::decode(&disk.content(Path::new(MANIFEST))).unwrap_or_default();
    let path = |file: &JournalFile| (Path::new("thalweg-journal").join(file.name()), file.bytes);
    manifest.files.iter().map(path).collect()
}

fn journals(disk: &SimDisk) -> Vec<PathBuf> {
    listed(disk).into_iter().map(|(path, _)| path).collect()
}

/// Commits in a journal file, those of earlier starts that lie behind included, each with its place.
fn commits_in(content: &[u8]) -> Vec<(usize, Commit)> {
    let (mut at, mut found) = (0, Vec::new());
    while let Some(rest) = content.get(at..).filter(|rest| !rest.is_empty()) {
        match read_commit(rest, None) {
            Ok(commit) => {
                let bytes = commit.bytes;
                found.push((at, commit));
                at += bytes;
            }
            Err(_) => at += BLOCK_BYTES,
        }
    }
    found
}

/// Whose bytes lie in this part of a file; `None`: all logs may need what does.
fn met(commits: &[(usize, Commit)], part: Range<usize>) -> Option<BTreeSet<LogId>> {
    let meets = |other: Range<usize>| part.start < other.end && other.start < part.end;
    let mut logs = BTreeSet::new();
    for (at, commit) in commits {
        let front = front_bytes(commit.entries.len());
        let end = at + commit.bytes;
        // Head and table stand twice.
        if meets(*at..at + front) && meets(end - front..end) {
            return None;
        }
        for (entry, payload) in &commit.entries {
            let Some(payload) = payload.clone().filter(|payload| !payload.is_empty()) else { continue };
            if meets(at + payload.start..at + payload.end) {
                if matches!(entry.kind, EntryKind::Older | EntryKind::OldDone) {
                    return None;
                }
                logs.insert(entry.log_id);
            }
        }
    }
    Some(logs)
}

/// A commit of some journal with its file, often the newest one: it was answered, and a later one is its witness.
fn one_commit(disk: &SimDisk, random: &mut Random) -> Option<(PathBuf, Vec<(usize, Commit)>, usize)> {
    let path = pick(journals(disk), random)?;
    let commits = commits_in(&disk.content(&path));
    let with_payload = |commit: &Commit| {
        commit.entries.iter().any(|(_, payload)| payload.as_ref().is_some_and(|p| !p.is_empty()))
    };
    let mut chosen: Vec<usize> =
        (0..commits.len()).filter(|number| with_payload(&commits[*number].1)).collect();
    chosen.sort_by_key(|number| (commits[*number].1.head.start, commits[*number].1.head.sequence));
    let newest = chosen.last().copied().filter(|_| random.below(2) == 0);
    let number = newest.or_else(|| pick(chosen, random))?;
    Some((path, commits, number))
}

pub(super) fn turn_bit(scenery: &Scenery<'_>, random: &mut Random) -> Option<Damage> {
    let (path, commits, number) = one_commit(scenery.disk, random)?;
    let (place, commit) = &commits[number];
    let payloads: Vec<Range<usize>> =
        commit.entries.iter().filter_map(|(_, payload)| payload.clone()).collect();
    let front = front_bytes(commit.entries.len());
    let part = match random.below(6) {
        0 => 0..front,
        1 | 2 => 0..front_bytes(0), // the head alone
        3 => 0..commit.bytes,
        _ => pick(payloads, random).filter(|payload| !payload.is_empty())?,
    };
    let at = place + part.start + random.below(part.len() as u64) as usize;
    let logs = met(&commits, at..at + 1);
    let logs: Vec<LogId> = logs.map_or_else(|| scenery.perhaps_here(), |logs| logs.into_iter().collect());
    let damage = Damage::new(scenery.disk, "bits turned in journals", logs).lasting();
    Some(damage.turn(&path, at as u64, random.below(8) as u32))
}

/// A block reads as something else.
pub(super) fn lose_block(scenery: &Scenery<'_>, random: &mut Random) -> Option<Damage> {
    let (path, commits, number) = one_commit(scenery.disk, random)?;
    let (place, commit) = &commits[number];
    let start = place + random.below((commit.bytes / BLOCK_BYTES) as u64) as usize * BLOCK_BYTES;
    let lost = start..start + BLOCK_BYTES;
    Some(overwrite(scenery, random, "blocks of journals lost", (&path, &commits), lost))
}

/// A whole commit reads as something else: only those behind it prove that it was there.
pub(super) fn lose_commit(scenery: &Scenery<'_>, random: &mut Random) -> Option<Damage> {
    let (path, commits, number) = one_commit(scenery.disk, random)?;
    let (place, commit) = &commits[number];
    let lost = *place..place + commit.bytes;
    Some(overwrite(scenery, random, "commits of journals lost", (&path, &commits), lost))
}

fn overwrite(
    scenery: &Scenery<'_>,
    random: &mut Random,
    what: &'static str,
    (path, commits): (&Path, &[(usize, Commit)]),
    lost: Range<usize>,
) -> Damage {
    let logs = met(commits, lost.clone());
    let logs: Vec<LogId> = logs.map_or_else(|| scenery.perhaps_here(), |logs| logs.into_iter().collect());
    let mut content = scenery.disk.content(path);
    let is_zeros = random.below(2) == 0;
    for byte in &mut content[lost] {
        *byte = if is_zeros { 0 } else { random.below(256) as u8 };
    }
    Damage::new(scenery.disk, what, logs).lasting().put(path, &content)
}

pub(super) fn turn_manifest_bit(scenery: &Scenery<'_>, random: &mut Random) -> Option<Damage> {
    let bytes = scenery.disk.content(Path::new(MANIFEST)).len() as u64;
    let damage = Damage::new(scenery.disk, "bits turned in manifests", []).refused();
    (bytes > 0).then(|| damage.turn(Path::new(MANIFEST), random.below(bytes), random.below(8) as u32))
}

pub(super) fn lose_manifest(scenery: &Scenery<'_>) -> Option<Damage> {
    let is_there = !scenery.disk.content(Path::new(MANIFEST)).is_empty();
    let damage = Damage::new(scenery.disk, "manifests lost", []).refused();
    is_there.then(|| damage.lose(Path::new(MANIFEST)))
}

/// A journal file is missing, or cut.
pub(super) fn lose_file(scenery: &Scenery<'_>, random: &mut Random) -> Option<Damage> {
    let (path, bytes) = pick(listed(scenery.disk), random)?;
    let damage = Damage::new(scenery.disk, "journal files lost or cut", []).refused();
    let content = scenery.disk.content(&path);
    let left = random.below(bytes.min(content.len() as u64)) as usize;
    Some(if random.below(2) == 0 { damage.lose(&path) } else { damage.put(&path, &content[..left]) })
}

//! What befalls files while no broker runs, which logs it may hurt, and how it is put right again.
//!
//! ```text
//! a life that ended well ─► damage ─► a life in which exactly the hurt logs may be offline ─► mended ─► all is there
//!                              └ bytes of a journal: nothing brings them back, their log stays offline for ever
//! ```

use super::happened;
use super::journal_damage;
use super::model::{Being, ModelLog};
use crate::batch::BatchHeader;
use crate::io::sim::{Random, SimDisk};
use crate::units::LogId;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Damage after which every log is asked for many times: who is led astray finds the wrong record.
pub(super) const INDEXES: &str = "indexes damaged, lost, swapped";

/// What may be expected of a life on damaged files.
#[derive(Clone, Debug, Default)]
pub(super) struct Hurt {
    pub(super) what: &'static str,
    /// These may be offline, or go offline when the bad bytes are met. All others serve.
    pub(super) logs: BTreeSet<LogId>,
    /// What is offline stays so for ever.
    pub(super) is_lasting: bool,
    /// The start must be refused.
    pub(super) refused: bool,
}

enum Mend {
    /// If nobody wrote there meanwhile.
    Turn {
        path: PathBuf,
        at: u64,
        bit: u32,
        bad: u8,
    },
    Put {
        path: PathBuf,
        content: Vec<u8>,
    },
    Move {
        source: PathBuf,
        target: PathBuf,
    },
}

/// Damage that was done.
pub(super) struct Damage {
    pub(super) hurt: Hurt,
    disk: SimDisk,
    mends: Vec<Mend>,
}

/// What is done to files in.
pub(super) struct Scenery<'a> {
    pub(super) disks: &'a [SimDisk],
    pub(super) disk: &'a SimDisk,
    pub(super) logs: &'a [ModelLog],
    /// The last life stopped cleanly: nothing but what is in the files counts.
    pub(super) is_clean: bool,
    /// Bytes of a journal were damaged before.
    pub(super) was_lasting: bool,
}

/// Does one kind of damage to one disk; `None` when there is nothing of the kind.
pub(super) fn damage(scenery: &Scenery<'_>, random: &mut Random) -> Option<Damage> {
    let found = match random.below(if scenery.is_clean { 26 } else { 18 }) {
        0..7 if scenery.was_lasting => None,
        0..5 => journal_damage::turn_bit(scenery, random),
        5 => journal_damage::lose_block(scenery, random),
        6 => journal_damage::lose_commit(scenery, random),
        7 => journal_damage::turn_manifest_bit(scenery, random),
        8 => journal_damage::lose_manifest(scenery),
        9 => journal_damage::lose_file(scenery, random),
        10..14 => turn_segment_bit(scenery, random),
        14..18 => damage_index(scenery, random),
        18 => rename_id(scenery, random),
        19 => lose_id(scenery, random),
        20..22 => lose_segment(scenery, random),
        22 => cut_segment(scenery, random),
        23..25 => swap_directories(scenery, random),
        _ => lose_directory(scenery, random),
    };
    found.inspect(|damage| happened::mark(damage.hurt.what))
}

impl Damage {
    pub(super) fn new(disk: &SimDisk, what: &'static str, logs: impl IntoIterator<Item = LogId>) -> Self {
        let hurt = Hurt { what, logs: logs.into_iter().collect(), is_lasting: false, refused: false };
        Self { hurt, disk: disk.clone(), mends: Vec::new() }
    }

    pub(super) fn lasting(mut self) -> Self {
        self.hurt.is_lasting = true;
        self
    }

    pub(super) fn refused(mut self) -> Self {
        self.hurt.refused = true;
        self
    }

    pub(super) fn turn(mut self, path: &Path, at: u64, bit: u32) -> Self {
        self.disk.flip_bit(path, at, bit);
        let bad = self.disk.content(path).get(at as usize).copied().unwrap_or_default();
        self.mends.push(Mend::Turn { path: path.to_owned(), at, bit, bad });
        self
    }

    pub(super) fn put(mut self, path: &Path, content: &[u8]) -> Self {
        self.mends.push(Mend::Put { path: path.to_owned(), content: self.disk.content(path) });
        self.disk.put(path, content).unwrap();
        self
    }

    pub(super) fn lose(mut self, path: &Path) -> Self {
        self.mends.push(Mend::Put { path: path.to_owned(), content: self.disk.content(path) });
        self.disk.lose_file(path);
        self
    }

    fn rename(mut self, source: &Path, target: &Path) -> Self {
        self.disk.move_name(source, target);
        self.mends.push(Mend::Move { source: target.to_owned(), target: source.to_owned() });
        self
    }

    /// Puts everything right again, except what lasts.
    pub(super) fn mend(self) {
        if self.hurt.is_lasting {
            return;
        }
        for mend in self.mends.into_iter().rev() {
            match mend {
                Mend::Turn { path, at, bit, bad } => {
                    if self.disk.content(&path).get(at as usize) == Some(&bad) {
                        self.disk.flip_bit(&path, at, bit);
                    }
                }
                Mend::Put { path, content } => self.disk.put(&path, &content).unwrap(),
                Mend::Move { source, target } => self.disk.move_name(&source, &target),
            }
        }
    }
}

impl Scenery<'_> {
    /// Logs that may be served, with their directories on this disk.
    fn homes(&self) -> Vec<(LogId, PathBuf)> {
        let live = self.logs.iter().filter(|log| log.being == Being::Live);
        live.filter_map(|log| Some((log.id(), home(self.disk, log)?))).collect()
    }

    /// All logs but those that live on another disk for sure.
    pub(super) fn perhaps_here(&self) -> Vec<LogId> {
        let is_elsewhere = |log: &&ModelLog| {
            let elsewhere = |disk: &SimDisk| home(disk, log).is_some();
            home(self.disk, log).is_none() && self.disks.iter().any(elsewhere)
        };
        self.logs.iter().filter(|log| !is_elsewhere(log)).map(ModelLog::id).collect()
    }

    fn one_home(&self, random: &mut Random) -> Option<(LogId, PathBuf)> {
        pick(self.homes(), random)
    }

    /// A log with one of its files that end so.
    fn one_file(&self, random: &mut Random, ending: &str) -> Option<(LogId, PathBuf)> {
        let (log_id, home) = self.one_home(random)?;
        let files = self.disk.files().into_iter().map(|(path, _)| path);
        let own =
            files.filter(|path| path.starts_with(&home) && path.extension().is_some_and(|e| e == ending));
        Some((log_id, pick(own.collect(), random)?))
    }
}

/// The directory of a log, if it has one on this disk.
fn home(disk: &SimDisk, log: &ModelLog) -> Option<PathBuf> {
    let home = PathBuf::from(format!("{}-0", log.identity.topic));
    let own = home.join(format!("{}.id", log.id()));
    disk.files().iter().any(|(path, _)| *path == own).then_some(home)
}

pub(super) fn pick<T>(mut from: Vec<T>, random: &mut Random) -> Option<T> {
    if from.is_empty() {
        return None;
    }
    let at = random.below(from.len() as u64) as usize;
    Some(from.swap_remove(at))
}

/// Where each batch of a segment's file lies.
fn batches_in(content: &[u8]) -> Vec<Range<usize>> {
    let (mut at, mut found) = (0, Vec::new());
    while let Some(header) = content.get(at..).and_then(|rest| BatchHeader::read(rest).ok()) {
        let end = at + header.batch_bytes();
        if end > content.len() {
            break;
        }
        found.push(at..end);
        at = end;
    }
    found
}

/// Fields in front of what the checksum covers are held against what is known of the place; the rest is the checksum's.
fn turn_segment_bit(scenery: &Scenery<'_>, random: &mut Random) -> Option<Damage> {
    let (log_id, path) = scenery.one_file(random, "log")?;
    let batch = pick(batches_in(&scenery.disk.content(&path)), random)?;
    let field = match random.below(8) {
        0 | 1 => 0..8,   // base offset
        2 => 8..12,      // length
        3 | 4 => 12..16, // leader epoch
        5 => 16..21,     // magic, checksum
        _ => 21..batch.len(),
    };
    let at = batch.start + field.start + random.below(field.len() as u64) as usize;
    let damage = Damage::new(scenery.disk, "bits turned in segments", [log_id]);
    Some(damage.turn(&path, at as u64, random.below(8) as u32))
}

/// An index may be thrown away: nobody is hurt.
fn damage_index(scenery: &Scenery<'_>, random: &mut Random) -> Option<Damage> {
    let (_, path) = scenery.one_file(random, "twindex")?;
    let damage = Damage::new(scenery.disk, INDEXES, []);
    let bytes = scenery.disk.content(&path).len() as u64;
    Some(match random.below(4) {
        0 => damage.lose(&path),
        1 => {
            let (_, other) = scenery.one_file(random, "twindex")?;
            let content = scenery.disk.content(&other);
            damage.put(&path, &content)
        }
        _ => damage.turn(&path, random.below(bytes), random.below(8) as u32),
    })
}

fn id_path(log_id: LogId, home: &Path) -> PathBuf {
    home.join(format!("{log_id}.id"))
}

/// A digit of a directory's log id is another one.
fn rename_id(scenery: &Scenery<'_>, random: &mut Random) -> Option<Damage> {
    let (log_id, home) = scenery.one_home(random)?;
    let mut other = log_id;
    // The last bytes are the same in all ids of these tests: it is nobody's.
    other.0[8 + random.below(8) as usize] ^= 1 << random.below(8);
    let damage = Damage::new(scenery.disk, "ids of directories changed", [log_id]);
    Some(damage.rename(&id_path(log_id, &home), &id_path(other, &home)))
}

fn lose_id(scenery: &Scenery<'_>, random: &mut Random) -> Option<Damage> {
    let (log_id, home) = scenery.one_home(random)?;
    Some(Damage::new(scenery.disk, "ids of directories lost", [log_id]).lose(&id_path(log_id, &home)))
}

fn lose_segment(scenery: &Scenery<'_>, random: &mut Random) -> Option<Damage> {
    let (log_id, path) = scenery.one_file(random, "log")?;
    Some(Damage::new(scenery.disk, "segments lost", [log_id]).lose(&path))
}

fn cut_segment(scenery: &Scenery<'_>, random: &mut Random) -> Option<Damage> {
    let (log_id, path) = scenery.one_file(random, "log")?;
    let content = scenery.disk.content(&path);
    let left = random.below(content.len() as u64) as usize;
    Some(Damage::new(scenery.disk, "segments cut", [log_id]).put(&path, &content[..left]))
}

fn swap_directories(scenery: &Scenery<'_>, random: &mut Random) -> Option<Damage> {
    let ((first_id, first), (second_id, second)) = (scenery.one_home(random)?, scenery.one_home(random)?);
    if first_id == second_id {
        return None;
    }
    let aside = Path::new("aside");
    let damage = Damage::new(scenery.disk, "directories swapped", [first_id, second_id]);
    Some(damage.rename(&first, aside).rename(&second, &first).rename(aside, &second))
}

fn lose_directory(scenery: &Scenery<'_>, random: &mut Random) -> Option<Damage> {
    let (log_id, home) = scenery.one_home(random)?;
    Some(Damage::new(scenery.disk, "directories of logs lost", [log_id]).rename(&home, Path::new("aside")))
}

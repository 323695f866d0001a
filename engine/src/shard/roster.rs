//! Which log directory gets the next log, and which of them cannot be used at all?
//!
//! The shards share one roster: logs are counted over all of them, so that many made at once are spread evenly.
//! ```text
//! stopped ─► never chosen      no room ─► only where none has any      else: the one with the fewest logs
//! ```
//! Fewest logs, not fewest bytes: a new log is empty, and what it will hold nobody knows; bytes of today would send all
//! logs that are made together into one place.

use super::directory::Directory;
use crate::io::Disk;
use crate::units::LogId;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long it is believed what a file system said of its room.
const ROOM_KNOWN_FOR: Duration = Duration::from_secs(1);

/// See the file's header. A broker view, made by recovery.
pub(crate) struct Roster {
    log_counts: Mutex<Vec<usize>>,
}

/// What a directory's file system said last, as this shard knows it.
#[derive(Clone, Copy)]
pub(super) struct KnownRoom {
    at: Instant,
    has_room: bool,
}

impl Roster {
    pub(super) fn new(log_counts: Vec<usize>) -> Arc<Self> {
        Arc::new(Self { log_counts: Mutex::new(log_counts) })
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Vec<usize>> {
        self.log_counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one of these directories with the fewest logs, the first of several; its new log is counted.
    pub(super) fn choose(&self, candidates: &[usize]) -> Option<usize> {
        let mut counts = self.counts();
        let chosen = candidates.iter().copied().min_by_key(|at| counts.get(*at).copied())?;
        *counts.get_mut(chosen)? += 1;
        Some(chosen)
    }

    /// A log of this directory is gone.
    pub(super) fn leave(&self, directory: usize) {
        if let Some(count) = self.counts().get_mut(directory) {
            *count = count.saturating_sub(1);
        }
    }
}

/// Directories that a new log may go to: those that work and have room, else those that work.
pub(super) async fn candidates<D: Disk>(directories: &[Rc<Directory<D>>]) -> Vec<usize> {
    let works = |at: &usize| directories[*at].keeper.stopped().is_none();
    let working: Vec<usize> = (0..directories.len()).filter(works).collect();
    if working.len() < 2 {
        return working;
    }
    let mut roomy = Vec::with_capacity(working.len());
    for at in &working {
        if directories[*at].has_room().await {
            roomy.push(*at);
        }
    }
    // One may have stopped meanwhile.
    roomy.retain(works);
    if roomy.is_empty() { working.into_iter().filter(works).collect() } else { roomy }
}

impl<D: Disk> Directory<D> {
    /// Whether there is room for a journal file, the unit in which a directory takes the most at once.
    async fn has_room(&self) -> bool {
        let now = self.disk.now();
        if let Some(known) = self.known_room.get().filter(|known| now < known.at + ROOM_KNOWN_FOR) {
            return known.has_room;
        }
        let free_bytes = self.disk.free_bytes().await;
        // One that does not tell is a directory in trouble: others come first.
        let has_room = free_bytes.is_ok_and(|free_bytes| free_bytes >= self.settings.journal_file_bytes);
        self.known_room.set(Some(KnownRoom { at: now, has_room }));
        has_room
    }
}

/// Logs that were found in two directories: a copy, or a directory that came back after its place was taken. Which one
/// holds what was acknowledged nobody can say.
pub(super) fn found_twice<'a>(
    logs: impl Iterator<Item = (usize, &'a LogId)>,
    names: &[String],
) -> BTreeMap<LogId, String> {
    let mut places: BTreeMap<LogId, Vec<&str>> = BTreeMap::new();
    for (directory, log_id) in logs {
        let name = names.get(directory).map_or("?", String::as_str);
        places.entry(*log_id).or_default().push(name);
    }
    let twice = places.into_iter().filter(|(_, places)| places.len() > 1);
    let fault = |places: Vec<&str>| {
        format!(
            "it is in {}: take the wrong directory out of log.dirs and start again",
            places.join(" and in ")
        )
    };
    twice.map(|(log_id, places)| (log_id, fault(places))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_logs_made_at_once_are_spread_evenly_whoever_makes_them() {
        let roster = Roster::new(vec![0, 1, 0]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..25).for_each(|_| assert!(roster.choose(&[0, 1, 2]).is_some())));
            }
        });
        let mut counts = roster.counts().clone();
        counts.sort_unstable();
        assert_eq!(counts, [33, 34, 34]);
    }

    #[test]
    fn only_candidates_are_chosen_and_what_leaves_makes_room() {
        let roster = Roster::new(vec![0, 5, 6]);
        assert_eq!(roster.choose(&[1, 2]), Some(1));
        assert_eq!(roster.choose(&[1, 2]), Some(1));
        assert_eq!(roster.choose(&[1, 2]), Some(2));
        roster.leave(2);
        roster.leave(2);
        assert_eq!(roster.choose(&[1, 2]), Some(2));
        assert_eq!(roster.choose(&[]), None);
    }
}

//! Which journal files need not be read: seen from the first piece of each.
//!
//! A table names the oldest file that was in use when it was written. What lies before that in its journal was given back,
//! durably covered, and stays in its file until somebody uses it again. Journals of earlier starts need not be read either
//! once no shard of the newest needs them. What cannot be told makes all files needed.

use super::commit::{EntryKind, StartId, read_commit, read_first_commit};
use super::rescue::RESCUE_SHARD;
use crate::io::BLOCK_BYTES;
use std::collections::BTreeMap;

/// What the first piece of a journal file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileHead {
    /// It was never used.
    Unused,
    /// It does not check.
    Unreadable,
    /// It begins with a commit of this journal.
    Known {
        start: StartId,
        shard: u32,
        /// Sequence of the first commit.
        first: u64,
        /// First sequence of the oldest file in use; `None` when its table does not say.
        oldest: Option<u64>,
    },
}

impl FileHead {
    /// `bytes` are the file's first ones, a mebibyte of them.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        // Whole blocks at once: a start looks at a mebibyte of each file.
        let is_zero = |block: &[u8]| block.iter().fold(0, |all, byte| all | byte) == 0;
        if bytes.chunks(BLOCK_BYTES).all(is_zero) {
            return Self::Unused;
        }
        let Ok(commit) = read_first_commit(bytes) else { return Self::Unreadable };
        let (start, shard, first) = (commit.head.start, commit.head.shard, commit.head.sequence);
        let (mut at, mut commit) = (0, commit);
        let mut oldest = None;
        loop {
            if let Some((end, _)) = commit.entries.iter().find(|(entry, _)| entry.kind == EntryKind::TableEnd)
            {
                oldest = u64::try_from(end.segment_base).ok().filter(|oldest| *oldest > 0);
                break;
            }
            at += commit.bytes;
            let next =
                bytes.get(at..).map(|rest| read_commit(rest, Some((start, shard, commit.head.sequence + 1))));
            let Some(Ok(next)) = next else { break };
            commit = next;
        }
        Self::Known { start, shard, first, oldest }
    }
}

/// Whether a file must be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Never,
    Always,
    /// It is of an earlier start: unless every shard of the newest has said that it needs none.
    UnlessDone,
}

/// Says of each file whether it must be read.
pub(crate) fn needed_files(heads: &[FileHead]) -> Vec<Need> {
    if heads.contains(&FileHead::Unreadable) {
        let need = |head: &FileHead| if *head == FileHead::Unused { Need::Never } else { Need::Always };
        return heads.iter().map(need).collect();
    }
    // The newest file of each journal: its table counts.
    let mut newest: BTreeMap<(StartId, u32), (u64, Option<u64>)> = BTreeMap::new();
    for head in heads {
        if let FileHead::Known { start, shard, first, oldest } = *head {
            let known = newest.entry((start, shard)).or_insert((first, oldest));
            if known.0 < first {
                *known = (first, oldest);
            }
        }
    }
    let newest_start = newest.keys().filter(|key| key.1 != RESCUE_SHARD).map(|key| key.0).max();
    let need = |head: &FileHead| match *head {
        FileHead::Known { start, shard, first, .. } => {
            let oldest = newest.get(&(start, shard)).and_then(|(_, oldest)| *oldest);
            match oldest {
                Some(oldest) if first < oldest => Need::Never,
                _ if shard == RESCUE_SHARD || Some(start) == newest_start => Need::Always,
                _ => Need::UnlessDone,
            }
        }
        FileHead::Unused | FileHead::Unreadable => Need::Never,
    };
    heads.iter().map(need).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(counter: u64, shard: u32, first: u64, oldest: Option<u64>) -> FileHead {
        FileHead::Known { start: StartId { counter, random: [1; 16] }, shard, first, oldest }
    }

    #[test]
    fn what_was_given_back_before_the_newest_table_need_not_be_read() {
        let files = [
            head(7, 0, 1, Some(1)),
            head(7, 0, 100, Some(1)),
            FileHead::Unused,
            head(7, 0, 300, Some(200)),
            head(7, 0, 200, Some(100)),
            head(7, 1, 1, Some(1)),
        ];
        let (never, always) = (Need::Never, Need::Always);
        assert_eq!(needed_files(&files), [never, never, never, always, always, always]);
    }

    #[test]
    fn journals_of_earlier_starts_may_be_needed_and_rescues_are() {
        let files = [
            head(5, 0, 9, Some(9)),
            head(5, 0, 1, Some(1)),
            head(6, RESCUE_SHARD, 1, None),
            head(7, 0, 1, Some(1)),
        ];
        let expected = [Need::UnlessDone, Need::Never, Need::Always, Need::Always];
        assert_eq!(needed_files(&files), expected);
    }

    #[test]
    fn what_cannot_be_told_makes_all_files_needed() {
        let always = Need::Always;
        let files = [head(7, 0, 1, None), head(7, 0, 9, Some(9)), FileHead::Unused, FileHead::Unreadable];
        assert_eq!(needed_files(&files), [always, always, Need::Never, always]);
        assert_eq!(needed_files(&[files[0], files[1], head(7, 0, 20, None)]), [always, always, always]);
    }
}

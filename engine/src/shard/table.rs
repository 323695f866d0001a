//! The table that every journal file begins with, so that it stands alone: the states of all logs of the shard.
//!
//! ```text
//! [ states .. ][ states .. | deleted | end | which elders count, twice ]  then commits as they come
//! ```
//! What a table says is known twice, so that a bad place in it fences nobody: the file before it is kept. In front of a
//! start's first file there is none, since the journals of earlier starts go as soon as they can: its table stands there
//! twice.

use super::commit_loop::{Carried, Source};
use super::directory::{Current, Directory, UsedFile};
use super::keeper::journal_path;
use super::stats::EngineStats;
use crate::io::{Disk, OpenMode};
use crate::journal::{Entry, EntryKind, FileSeq, commit_bytes, encode_older};
use std::io;
use std::rc::Rc;

impl<D: Disk> Directory<D> {
    /// At least half of a file is for what comes after its table.
    fn file_bytes_min(&self, table_bytes: u64) -> u64 {
        2 * table_bytes + self.commit_bytes_worst()
    }

    /// Length of the file that a start begins with.
    pub(super) fn first_file_bytes(&self) -> u64 {
        self.file_bytes_min(bytes_of(&self.table(false))).max(self.settings.journal_file_bytes)
    }

    /// Begins a journal file with the table of all logs; `false` when there is none to be had now, since the disk is
    /// full.
    pub(crate) async fn begin_file(self: &Rc<Self>) -> io::Result<bool> {
        let table = self.table(false);
        let table_bytes = bytes_of(&table);
        let bytes_min = self.file_bytes_min(table_bytes);
        let Some(taken) = self.keeper.take(&self.disk, bytes_min, self.free_kept()).await? else {
            return Ok(false);
        };
        let is_first = self.journal.borrow().used.is_empty();
        // A table of more than a third of its file stands there once: the disk may have no room for a longer file.
        let is_twice = is_first && 3 * table_bytes + self.commit_bytes_worst() <= taken.bytes;
        let file = Rc::new(self.disk.open(&journal_path(taken), OpenMode::Write).await?);
        {
            let mut journal = self.journal.borrow_mut();
            let seq = FileSeq(journal.file_seq_next);
            journal.file_seq_next += 1;
            journal.current = Some(Current { file, position: 0, bytes: taken.bytes, seq });
            let first = journal.head.sequence;
            journal.used.push_back(UsedFile { seq, file: taken, first });
            EngineStats::set(&self.stats.journal_files_used, journal.used.len() as u64);
        }
        if is_twice {
            self.write_table(self.table(true)).await?;
            self.write_table(self.table(false)).await?;
        } else {
            self.write_table(table).await?;
        }
        // Before more files are made, which takes longer than a start should.
        self.keeper.note_served(&self.disk).await?;
        if self.available() <= self.settings.journal_files_max / 2 || self.journal.borrow().needs_old {
            self.lap_wanted.set();
        }
        let directory = Rc::clone(self);
        self.spawn_counted(true, async move {
            // Without it appends wait for write-back instead.
            match directory
                .keeper
                .make_ahead(&directory.disk, bytes_min, directory.shard_count as usize)
                .await
            {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!("the disk is full: the journal gets no further file");
                    directory.lap_wanted.set();
                }
                Err(error) => directory.fail("making a journal file", &error),
            }
        });
        Ok(true)
    }

    async fn write_table(&self, table: Vec<(Vec<Carried>, usize)>) -> io::Result<()> {
        for (carried, _) in table {
            self.write(&carried, carried.iter().map(Carried::payload_bytes).sum()).await?;
        }
        Ok(())
    }

    /// The commits of a table, each with its length: the states of all logs, then the entries that make it count; `again`
    /// says that it follows once more.
    fn table(&self, again: bool) -> Vec<(Vec<Carried>, usize)> {
        let states = Rc::new(self.take_states());
        let mut journal = self.journal.borrow_mut();
        let of_table = |kind| Entry { position: journal.head.sequence, ..Entry::control(kind) };
        let state = of_table(EntryKind::TableState);
        let oldest = journal.used.front().map_or(0, |used| used.first as i64);
        let table_end =
            Entry { segment_base: oldest, offset_end: again.into(), ..of_table(EntryKind::TableEnd) };
        let of_logs = states.logs.iter().flatten().map(|(log_id, range)| {
            let source = Source::State { states: Rc::clone(&states), range: range.clone() };
            Carried { entry: Entry { log_id: *log_id, ..state }, source }
        });
        let needs_old = self.keeper.needs_old();
        journal
            .deleted
            .retain(|deleted| deleted.is_rescued || deleted.has_directory || (deleted.is_older && needs_old));
        let gone = journal.deleted.iter().map(|deleted| {
            Carried::control(
                Entry { log_id: deleted.log_id, ..Entry::control(EntryKind::Delete) },
                Vec::new(),
            )
        });
        // Which earlier journals still count stands at the head of every file, since the first file goes one day.
        let (kind, older) = if journal.needs_old {
            (EntryKind::Older, encode_older(&journal.older))
        } else {
            (EntryKind::OldDone, encode_older(&journal.rescues))
        };
        // Twice: who cannot read it does not know which journals count.
        let older_entry = Entry { position: self.shard_count, ..Entry::control(kind) };
        let end = [(table_end, Vec::new()), (older_entry, older.clone()), (older_entry, older)]
            .map(|(entry, payload)| Carried::control(entry, payload));
        let mut commits = Vec::new();
        let entries_about = states.logs.len() + gone.len() + end.len();
        let (mut carried, mut payload_bytes) = (Vec::with_capacity(entries_about), 0);
        for next in of_logs.chain(gone).chain(end) {
            let next_bytes = next.payload_bytes();
            if payload_bytes + next_bytes > self.settings.commit_bytes_max
                || carried.len() >= self.settings.commit_entries_max
            {
                let bytes = commit_bytes(carried.len(), payload_bytes);
                commits.push((std::mem::take(&mut carried), bytes));
                payload_bytes = 0;
            }
            payload_bytes += next_bytes;
            carried.push(next);
        }
        let bytes = commit_bytes(carried.len(), payload_bytes);
        commits.push((carried, bytes));
        commits
    }
}

fn bytes_of(table: &[(Vec<Carried>, usize)]) -> u64 {
    table.iter().map(|(_, bytes)| *bytes as u64).sum()
}

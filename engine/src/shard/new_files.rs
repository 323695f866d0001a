//! Files for segments, the first of a log with the log's directory.
//!
//! ```text
//! look into the places -> move aside what is another's -> make -> sync the directories -> sync the log directory
//! ```
//! Each step waits for the device, and a topic's partitions get their first batches at about the same time: who comes while files
//! are made is served next, together with all others who came meanwhile.

use super::directory::{Directory, Reservation, SharedLog};
use super::signal::Done;
use super::start::guarded;
use crate::io::{Disk, NewFiles, has_no_descriptor};
use crate::segment::file_name;
use crate::units::Offset;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

/// Files made at once. Their logs come back to the core together, with blocks to reserve.
const MADE_AT_ONCE_MAX: usize = 128;
/// What fails when a sync of theirs does.
const SYNCING: &str = "syncing names";

/// Files that somebody waits for.
#[derive(Default)]
pub(super) struct WantedFiles {
    firsts: Lane,
    /// Of segments that follow another in their log: they need no new directory, and wait for none.
    later: Lane,
}

/// In the order they came.
#[derive(Default)]
struct Lane {
    waiting: RefCell<VecDeque<Rc<WantedFile>>>,
    /// A task makes them, until none is left.
    are_made: Cell<bool>,
}

impl WantedFiles {
    fn lane(&self, of_firsts: bool) -> &Lane {
        if of_firsts { &self.firsts } else { &self.later }
    }
}

struct WantedFile {
    log: SharedLog,
    base: Offset,
    directory: PathBuf,
    /// It may be the log's first: its directory is made, too. Mostly at offset 0; above it where a crash took all that the log had
    /// answered.
    is_first: bool,
    done: Done,
    outcome: RefCell<io::Result<()>>,
    /// A deletion waits until it is made, also when who wanted it has gone.
    _reservation: Reservation,
}

impl WantedFile {
    fn end(&self, outcome: io::Result<()>) {
        *self.outcome.borrow_mut() = outcome;
        self.done.set();
    }

    fn in_its_directory(&self) -> NewFiles {
        NewFiles { directory: self.directory.clone(), with_directory: false, files: Vec::new() }
    }
}

/// The same error for one more who waits.
fn again(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

impl<D: Disk> Directory<D> {
    /// Makes a segment's file, and the log's directory with its first one. Their names are durable afterwards.
    pub(super) async fn make_file(self: &Rc<Self>, log: &SharedLog, base: Offset) -> io::Result<()> {
        let wanted = {
            let reservation = Reservation::begin(log);
            let borrowed = log.borrow();
            Rc::new(WantedFile {
                log: Rc::clone(log),
                base,
                directory: PathBuf::from(&borrowed.directory_name),
                is_first: borrowed.segments.first().is_some_and(|first| first.base == base),
                done: Done::default(),
                outcome: RefCell::new(Ok(())),
                _reservation: reservation,
            })
        };
        let lane = self.new_files.lane(wanted.is_first);
        lane.waiting.borrow_mut().push_back(Rc::clone(&wanted));
        if !lane.are_made.replace(true) {
            let (directory, of_firsts) = (Rc::clone(self), wanted.is_first);
            let making = async move { directory.make_wanted_files(of_firsts).await };
            self.spawn_counted(false, guarded(Rc::clone(self), making));
        }
        wanted.done.wait().await;
        wanted.outcome.replace(Ok(()))
    }

    async fn make_wanted_files(&self, of_firsts: bool) {
        let lane = self.new_files.lane(of_firsts);
        loop {
            let next: Vec<_> = {
                let mut waiting = lane.waiting.borrow_mut();
                let count = waiting.len().min(MADE_AT_ONCE_MAX);
                waiting.drain(..count).collect()
            };
            if next.is_empty() {
                lane.are_made.set(false);
                return;
            }
            self.make_at_once(next, of_firsts).await;
        }
    }

    async fn make_at_once(&self, wanted: Vec<Rc<WantedFile>>, are_firsts: bool) {
        if !are_firsts {
            let places = wanted.iter().map(|file| Ok(file.in_its_directory())).collect();
            let made = self.create_wanted(wanted, places).await;
            self.sync_wanted(made).await.iter().for_each(|file| file.end(Ok(())));
            return;
        }
        let made = {
            let _pass = self.gates.names.enter().await;
            self.create_firsts(wanted).await
        };
        let synced = self.sync_wanted(made).await;
        if synced.is_empty() {
            return;
        }
        let outcome = self.sync_root().await;
        synced.iter().for_each(|file| file.end(outcome.as_ref().copied().map_err(again)));
    }

    /// Those that are there afterwards, each in a directory that says whose it is.
    async fn create_firsts(&self, wanted: Vec<Rc<WantedFile>>) -> Vec<Rc<WantedFile>> {
        // What was deleted while it waited here nobody would remove once it was made.
        let (gone, wanted): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|file| file.log.borrow().is_detached);
        gone.iter().for_each(|file| file.end(Err(io::ErrorKind::NotFound.into())));
        let found = self.disk.list_all(wanted.iter().map(|file| file.directory.clone()).collect()).await;
        let mut places = Vec::with_capacity(wanted.len());
        for (file, found) in wanted.iter().zip(found) {
            places.push(self.claim_directory(&file.log, found).await);
        }
        self.create_wanted(wanted, places).await
    }

    /// Those that are there afterwards.
    async fn create_wanted(
        &self,
        wanted: Vec<Rc<WantedFile>>,
        found: Vec<io::Result<NewFiles>>,
    ) -> Vec<Rc<WantedFile>> {
        let (mut going, mut places) = (Vec::with_capacity(wanted.len()), Vec::with_capacity(wanted.len()));
        for (file, place) in wanted.into_iter().zip(found) {
            match place {
                Ok(mut place) => {
                    place.files.push(file_name(file.base));
                    places.push(place);
                    going.push(file);
                }
                Err(error) => file.end(Err(error)),
            }
        }
        let outcomes = self.disk.create_files(places).await;
        Self::those_that_did(going.into_iter().zip(outcomes))
    }

    /// Makes the names in the logs' own directories durable; those of which they are.
    async fn sync_wanted(&self, made: Vec<Rc<WantedFile>>) -> Vec<Rc<WantedFile>> {
        let paths = made.iter().map(|file| file.directory.clone()).collect::<Vec<_>>();
        // At once, not when the others have ended as well: until then commits would be answered that a failed sync may have lost.
        let keeper = Arc::clone(&self.keeper);
        let failed = move |error: &io::Error| {
            if error.kind() != io::ErrorKind::NotFound && !has_no_descriptor(error) {
                keeper.stop(&format!("{SYNCING}: {error}"));
            }
        };
        let outcomes = self.disk.sync_directories(paths, failed).await;
        for (file, outcome) in made.iter().zip(&outcomes) {
            // A log that was deleted meanwhile may have no directory any more: there was nothing to sync, and the disk is well.
            let is_gone =
                |error: &io::Error| error.kind() == io::ErrorKind::NotFound && file.log.borrow().is_detached;
            // Nor is it ill where the process could not open it.
            if let Err(error) = outcome
                && !is_gone(error)
                && !has_no_descriptor(error)
            {
                self.fail(SYNCING, error);
            }
        }
        Self::those_that_did(made.into_iter().zip(outcomes))
    }

    /// The others are told what came of them.
    fn those_that_did(
        outcomes: impl Iterator<Item = (Rc<WantedFile>, io::Result<()>)>,
    ) -> Vec<Rc<WantedFile>> {
        let mut did = Vec::new();
        for (file, outcome) in outcomes {
            match outcome {
                Ok(()) => did.push(file),
                Err(error) => file.end(Err(error)),
            }
        }
        did
    }
}

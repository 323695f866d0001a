//! The states of all logs, encoded ahead of the table that they are for.
//!
//! With thousands of logs, encoding them all takes milliseconds in which nobody is answered. So a few at a time are
//! encoded while the file before the table is still being written; the table takes them as they are, and only those that
//! changed meanwhile are encoded anew. Whoever borrows a log to change it makes what was encoded of it old.

use super::directory::Directory;
use crate::io::Disk;
use crate::log::PartitionLog;
use crate::units::LogId;
use std::cell::{Cell, Ref, RefCell, RefMut};
use std::ops::Range;
use std::rc::Rc;

/// States that are encoded at once, in less than 100 us.
const ENCODED_AT_ONCE: usize = 128;

/// Where a log's state stands among those that were encoded ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// Of which states: a log keeps its place after they were used.
    generation: u64,
    at: usize,
}

/// A log and its owner's grip on it.
pub(crate) struct OwnedLog {
    log: RefCell<PartitionLog>,
    /// Where its state stands, as long as it is what was encoded.
    encoded: Cell<Option<Place>>,
    /// Places whose logs changed, of all logs of the directory.
    changed: Rc<RefCell<Vec<Place>>>,
}

impl OwnedLog {
    #[inline]
    pub(crate) fn borrow(&self) -> Ref<'_, PartitionLog> {
        self.log.borrow()
    }

    #[inline]
    pub(crate) fn borrow_mut(&self) -> RefMut<'_, PartitionLog> {
        if let Some(place) = self.encoded.take() {
            self.changed.borrow_mut().push(place);
        }
        self.log.borrow_mut()
    }
}

/// What is encoded so far of one directory's logs.
#[derive(Default)]
pub(crate) struct StatesAhead {
    generation: Cell<u64>,
    /// `None` while nobody is about to begin a file.
    states: RefCell<Option<States>>,
    changed: Rc<RefCell<Vec<Place>>>,
}

/// Encoded states of logs.
#[derive(Default)]
pub(crate) struct States {
    pub(crate) bytes: Vec<u8>,
    /// Each log with the bytes of its state; `None` where they are old.
    pub(crate) logs: Vec<Option<(LogId, Range<usize>)>>,
    /// Those that are not encoded yet.
    rest: Vec<LogId>,
}

impl StatesAhead {
    /// A log that the directory owns from now on.
    pub(crate) fn own(&self, log: PartitionLog) -> Rc<OwnedLog> {
        if let Some(states) = self.states.borrow_mut().as_mut() {
            states.rest.push(log.identity.log_id);
        }
        let changed = Rc::clone(&self.changed);
        Rc::new(OwnedLog { log: RefCell::new(log), encoded: Cell::new(None), changed })
    }

    fn encode(&self, states: &mut States, log: &OwnedLog) {
        let borrowed = log.borrow();
        if borrowed.is_detached {
            return; // a log that recovery fenced is in no table: the rescue says what is known of it
        }
        let start = states.bytes.len();
        borrowed.state().encode_into(&mut states.bytes);
        log.encoded.set(Some(Place { generation: self.generation.get(), at: states.logs.len() }));
        states.logs.push(Some((borrowed.identity.log_id, start..states.bytes.len())));
    }
}

impl<D: Disk> Directory<D> {
    /// Begins to encode the states of all logs, if nobody has.
    pub(super) fn encode_ahead(self: &Rc<Self>) {
        if self.states_ahead.states.borrow().is_some() {
            return;
        }
        *self.states_ahead.states.borrow_mut() = Some(self.states_begun());
        let directory = Rc::clone(self);
        self.spawn_counted(false, async move {
            while directory.encode_some() {
                directory.step_back().await;
            }
        });
    }

    fn states_begun(&self) -> States {
        self.states_ahead.generation.update(|generation| generation + 1);
        self.states_ahead.changed.borrow_mut().clear();
        States { rest: self.logs.borrow().keys().copied().collect(), ..States::default() }
    }

    /// Whether there may be more to encode; none once they were used.
    fn encode_some(&self) -> bool {
        let mut states = self.states_ahead.states.borrow_mut();
        let Some(states) = states.as_mut() else { return false };
        (0..ENCODED_AT_ONCE).all(|_| self.encode_next(states))
    }

    /// `false` when none is left.
    fn encode_next(&self, states: &mut States) -> bool {
        let Some(log_id) = states.rest.pop() else { return false };
        if let Some(log) = self.log(log_id) {
            self.states_ahead.encode(states, &log);
        }
        true
    }

    /// The states of all logs, as a commit planned now knows them.
    pub(super) fn take_states(&self) -> States {
        let states = self.states_ahead.states.take();
        let mut states = states.unwrap_or_else(|| self.states_begun());
        let changed = self.states_ahead.changed.take();
        let generation = self.states_ahead.generation.get();
        for place in changed.iter().filter(|place| place.generation == generation) {
            states.rest.extend(states.logs[place.at].take().map(|(log_id, _)| log_id));
        }
        while self.encode_next(&mut states) {}
        states
    }
}

//! How does replicated memory work?
//!
//! A coordinator is a log. A `Machine` holds the state of one partition of an internal topic in memory and decides
//! without I/O or clock; a `Host` owns the machines of one shard and carries out what they decide:
//! ```text
//! request -> machine.handle -> answers now, or records -> log -> durable -> machine.durable -> answers
//! start   -> loader reads the log -> machine.replay, record by record -> machine.loaded
//! clock   -> machine.tick
//! ```
//! An answer that depends on a record leaves only after that record is on the device. Groups use it now, transactions
//! later. Here: the mechanism. Elsewhere: what is decided (`group`), what the wire says about it (`api`).

mod clock;
mod host;
mod loader;
mod log;
mod reply;
mod timers;

use bytes::Bytes;
use std::time::Duration;
use thalweg_engine::units::Timestamp;

pub use clock::Clock;
pub use host::{Host, HostError};
pub use loader::Loaded;
pub use log::Store;
pub(crate) use reply::reply;
pub use timers::Timers;

/// The two clocks a machine needs, read once per event by whoever drives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Time since the broker started; deadlines are counted in it, so that a step of the wall clock expires nobody.
    pub uptime: Duration,
    /// Wall clock, for what is stored.
    pub wall: Timestamp,
}

/// One record of a coordinator's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What the record is about; compaction keeps the newest of each key.
    pub key: Bytes,
    /// The new state, `None` to forget the key.
    pub value: Option<Bytes>,
}

/// A request that waits for its answer; given by the host, unique among those waiting on one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Records that a machine asked to have stored; given by the machine, rising.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppendId(pub u64);

/// Why the log did not take an append. Nothing was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The records do not fit into one batch of the topic.
    #[error("the records are larger than one batch may be")]
    TooLarge,
    /// The shard has no room for bytes at the moment; the client may try again.
    #[error("no room in the log at the moment")]
    Busy,
}

/// What a machine wants done, in order.
#[derive(Debug)]
pub struct Effects<A> {
    /// Answers that may leave now.
    pub answers: Vec<(RequestId, A)>,
    /// Records to store, each list as one batch.
    pub appends: Vec<(AppendId, Vec<Record>)>,
}

impl<A> Default for Effects<A> {
    fn default() -> Self {
        Self { answers: Vec::new(), appends: Vec::new() }
    }
}

impl<A> Effects<A> {
    /// Lets an answer go.
    pub fn answer(&mut self, request: RequestId, answer: A) {
        self.answers.push((request, answer));
    }
}

/// The state of one partition of a coordinator's topic. No await, no clock, no file.
pub trait Machine: 'static {
    /// What can be asked of it.
    type Command;
    /// What it answers.
    type Answer: 'static;

    /// Takes one stored record into the state, in log order, before `loaded`.
    ///
    /// # Errors
    /// A record that cannot be read; it is skipped and reported.
    fn replay(&mut self, record: &Record) -> Result<(), ReplayError>;
    /// The whole log was replayed: time begins.
    fn loaded(&mut self, now: Now, effects: &mut Effects<Self::Answer>);
    /// Acts on a request; it is answered now or by a later event, but always.
    fn handle(
        &mut self,
        request: RequestId,
        command: Self::Command,
        now: Now,
        effects: &mut Effects<Self::Answer>,
    );
    /// This append is on the device and synced. Machines hear of their appends in the order they asked for them.
    fn durable(&mut self, append: AppendId, now: Now, effects: &mut Effects<Self::Answer>);
    /// This append was not taken; told in order like `durable`.
    fn refused(&mut self, append: AppendId, refusal: Refusal, now: Now, effects: &mut Effects<Self::Answer>);
    /// Acts on what is due.
    fn tick(&mut self, now: Now, effects: &mut Effects<Self::Answer>);
    /// When `tick` has something to do, counted in `Now::uptime`; may be early, never late.
    fn next_deadline(&mut self) -> Option<Duration>;
}

/// A stored record that its reader does not understand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The key or the value is not what its schema says.
    #[error("{what} does not decode")]
    Malformed {
        /// Which schema.
        what: &'static str,
    },
}

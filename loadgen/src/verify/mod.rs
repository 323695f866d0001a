//! Is everything that was acknowledged there: once, whole, and in order?
//!
//! Three parts: a [`Ledger`] is what the producers know, a [`Checker`] is what a reader found, [`judge`] compares them.
//! ```text
//!  produce --verifiable --acked FILE -> Ledger ----+
//!                                                  +-> judge -> Verdict: faults by kind, with examples
//!  consume --verify: batches -> Checker, bounds ---+
//! ```
mod checker;
mod fault;
mod judge;
mod ledger;
mod ranges;

pub use checker::{Checker, PartitionCheck, StreamCheck};
pub use fault::{FaultKind, Faults, Found};
pub use judge::{Bounds, Verdict, judge};
pub use ledger::{Ledger, LedgerError, Outcomes, Placed, StreamId};
pub use ranges::Ranges;

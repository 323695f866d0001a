//! What do groups of consumers do while members come, go and die?
//!
//! ```text
//!  script -> worker -> seat: sockets -> member: what it asks next     board: stable? who reads what, since when nobody?
//!                        |                                            delivered: once, again, never; committed: kept
//!                        +-> coordinate, reading: messages            tally: the figures
//! ```
//! `assign`, `board`, `committed`, `delivered`, `member` and `script` are machines without socket and clock.
mod assign;
mod board;
mod committed;
mod coordinate;
mod delivered;
mod member;
mod plan;
mod reading;
mod script;
mod seat;
mod tally;
mod worker;

pub use assign::{Assignor, Claim, assign};
pub use board::Board;
pub use committed::Committed;
pub use coordinate::{GroupVersions, Voice};
pub use delivered::{Delivered, Missed};
pub use member::{Member, Rules, Turn, Want};
pub use plan::{Membership, Plan, prepare};
pub use script::{Action, Event, Step, steps};
pub use seat::Group;
pub use tally::{EventTally, Tally};
pub use worker::{Goal, Worker};

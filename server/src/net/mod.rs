//! How do requests enter and answers leave?
//!
//! One acceptor per listener hands sockets to shards; each connection is one task on its shard, and may move to another.
//! Machines (`frame`, `pipeline`, `budget`, `send`, `moves`) decide; `socket`, `connection`, `connections` and `listener`
//! carry out.

mod bind;
mod budget;
mod connection;
mod connections;
mod frame;
mod http;
mod listener;
mod moves;
mod pipeline;
mod send;
mod socket;

pub use bind::{BindError, Bound, bind, bind_within};
pub use budget::Budget;
pub use connections::{CloseReason, Connections};
pub use frame::{FrameError, Frames, Target};
pub use http::serve_http;
pub use listener::{Acceptor, Doors, Load};
pub use moves::Reach;
pub use pipeline::Class;
pub use send::{Outbox, PARTS_MAX};

//! The Kafka face: sockets in, requests understood, work handed to the engine's shards, answers out.
//!
//! ```text
//! wire         What do the bytes of a request mean?
//! coordinator  How does replicated memory work?
//! group        Who reads what?
//! ```

pub mod coordinator;
pub mod group;
pub mod wire;

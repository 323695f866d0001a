//! The Kafka face: sockets in, requests understood, work handed to the engine's shards, answers out.
//!
//! ```text
//! route        Which core owns this, and how does work get there?
//! wire         What do the bytes of a request mean?
//! config       What did the operator ask for?
//! cluster      Which topics and partitions exist, and who leads?
//! coordinator  How does replicated memory work?
//! group        Who reads what?
//! ```

pub mod cluster;
pub mod config;
pub mod coordinator;
pub mod group;
pub mod route;
pub mod wire;

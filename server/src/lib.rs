//! The Kafka face: sockets in, requests understood, work handed to the engine's shards, answers out.
//!
//! ```text
//! wire         What do the bytes of a request mean?
//! ```

pub mod wire;

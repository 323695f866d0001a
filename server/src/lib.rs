//! The Kafka face: sockets in, requests understood, work handed to the engine's shards, answers out.

pub mod wire;

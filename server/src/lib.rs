//! The Kafka face: sockets in, requests understood, work handed to the engine's shards, answers out.

pub mod coordinator;
pub mod group;
pub mod cluster;
pub mod route;

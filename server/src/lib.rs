//! The Kafka face: sockets in, requests understood, work handed to the engine's shards, answers out.
//!
//! ```text
//! net          How do requests enter and answers leave?
//! wire         What do the bytes of a request mean?
//! api          What does each request do?
//! route        Which core owns this, and how does work get there?
//! cluster      Which topics and partitions exist, and who leads?
//! coordinator  How does replicated memory work?
//! group        Who reads what?
//! args         What may the command line say?
//! config       What did the operator ask for?
//! ground       Can the broker run here?
//! identity     Who is this broker?
//! banner       What does it run on, in a few lines?
//! logging      Where do those lines go?
//! signals      When shall it stop?
//! metrics      What is happening?
//! ```

pub mod api;
pub mod args;
pub mod banner;
pub mod cluster;
pub mod config;
pub mod coordinator;
pub mod ground;
pub mod group;
pub mod identity;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod route;
pub mod shard;
pub mod signals;
pub mod start;
pub mod supervisor;
pub mod wire;

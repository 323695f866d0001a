//! Measure a broker that speaks Kafka's protocol: offered load, throughput, latency from the intended time, and proof that
//! nothing is lost, doubled or out of order.
//!
//! ```text
//!  spec -> run -> producer: schedule, payload, batch -> client          result -> report, JSON
//!                 consumer: client -> batch -> verify
//!                 group:    script -> members -> client
//!
//!  JSON -> saved -> page: HTML with plots;  compare: verdicts by rank tests        (names of figures: figures; numbers as text: quantity)
//! ```
//! Machines without socket or clock: `schedule`, `payload`, `batch`, `verify`, `histogram`, `series`, `producer::Lane`, `compare`, `page`,
//! `group::{Member, Board, ..}`.
//! Sockets are in `client`, event loops in `producer`, `consumer` and `group`, threads and the clock in `run`.
pub mod batch;
pub mod client;
pub mod compare;
pub mod consumer;
pub mod figures;
pub mod group;
pub mod histogram;
pub mod history;
pub mod hlog;
pub mod machine;
pub mod page;
pub mod payload;
pub mod producer;
pub mod quantity;
pub mod report;
pub mod resources;
pub mod result;
pub mod run;
pub mod saved;
pub mod schedule;
pub mod series;
pub mod spec;
mod table;
pub mod verify;

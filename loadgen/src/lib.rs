//! Measure a broker that speaks Kafka's protocol: offered load, throughput, latency from the intended time, and proof that
//! nothing is lost, doubled or out of order.
pub mod batch;
pub mod client;
pub mod histogram;
pub mod payload;
pub mod schedule;
pub mod series;
pub mod verify;
pub mod producer { pub mod lane; }

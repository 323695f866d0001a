//! Behaviour of the whole broker: one file a behaviour, one binary for all.
#![allow(
    clippy::unwrap_used,
    reason = "a test that meets a None or an Err has failed, and its place says where"
)]

mod answers;
mod clients;
mod configs;
mod consumer_groups;
mod crash;
mod damage;
mod durability;
mod fetch_waits;
mod full_disk;
mod group_calls;
mod group_load;
mod group_tools;
mod hostile;
mod idempotence;
mod integrity;
mod kafka_tools;
mod kill_rounds;
mod list_offsets;
mod listeners;
mod log_dirs;
mod many_partitions;
mod matrix;
mod metadata;
mod metrics;
mod moves;
mod produce_acks;
mod reports;
mod request_costs;
mod restart;
mod retention;
mod rivals;
mod rooms;
mod scene;
mod settings;
mod stopping;
mod topics;

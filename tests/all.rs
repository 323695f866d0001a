//! Behaviour of the whole broker: one file a behaviour, one binary for all.

mod clients;
mod configs;
mod consumer_groups;
mod crash;
mod fetch_waits;
mod hostile;
mod idempotence;
mod kafka_tools;
mod list_offsets;
mod produce_acks;
mod restart;
mod rooms;
mod topics;

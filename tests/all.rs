//! Behaviour of the whole broker: one file a behaviour, one binary for all.

mod produce_acks;

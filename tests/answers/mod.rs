//! Whole answers, field by field, as Apache Kafka gave them to the same requests: see `harness::transcript`.

mod cluster;
mod configs;
mod fetch;
mod keys;
mod offsets;
mod old;
mod produce;
mod random;
mod stored;
mod topics;

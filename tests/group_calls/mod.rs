//! Every group request in every version, answer by answer as Kafka gives it: conversations, held against golden files.

mod membership;
mod offsets;
mod operators;
mod requests;
mod restart;
mod static_members;
mod time;

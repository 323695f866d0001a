//! Everything the behaviour tests need to start, feed, kill and ask a broker.
//!
//! `THALWEG_TEST_AGAINST=kafka` (or `kafka-3.5.1`) runs the same tests against Apache Kafka itself: that is how an expectation is
//! known to be Kafka's and not ours. Without it they run against the `thalweg` binary of this workspace.

pub mod broker;
pub mod browser;
pub mod cached;
pub mod client;
pub mod conversation;
pub mod disk;
pub mod driver;
pub mod kafka_tools;
pub mod kill;
pub mod places;
pub mod probe;
pub mod process;
pub mod programs;
pub mod records;
pub mod samples;
pub mod scratch;
pub mod siege;
pub mod skip;
pub mod source;
pub mod strace;
pub mod subjects;
pub mod told;
pub mod tool_shell;
pub mod transcript;
pub mod verbs;

pub use broker::{Against, Broker};
pub use client::Client;
pub use transcript::Transcript;

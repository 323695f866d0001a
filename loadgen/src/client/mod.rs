//! How do requests reach a broker? Frames over sockets of our own, coded by the crate `kafka-protocol`.
//!
//! [`Control`] asks and waits, for everything that is rare. [`Link`] never waits, for produce and fetch; one [`Poll`] per
//! thread tells which links can go on.
mod control;
mod poll;
mod produce_frame;
mod raw;
mod recover;
mod topic;
mod wakes;

pub use control::{Control, Versions};
pub(crate) use control::{decode, encode, resolve};
pub use poll::{Poll, Ready};
pub(crate) use produce_frame::PRODUCE_VERSION_MAX;
pub use produce_frame::{Acknowledgement, ProduceFrames};
pub use raw::{Flushed, Frame, Link, LinkState};
pub use recover::{Directory, Leader, Reconnect};
pub(crate) use topic::topic_name;
pub use topic::{Partition, Topic};
pub(crate) use wakes::Wakes;

use std::net::SocketAddr;

/// Why talking to a broker failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is not `host:port`, or the name is unknown.
    #[error("cannot resolve {address}: {source}")]
    Resolve {
        /// As given.
        address: String,
        /// What the resolver said.
        source: std::io::Error,
    },
    /// None of the brokers given can be reached.
    #[error("no broker of {addresses:?} can be reached: {source}")]
    Unreachable {
        /// All that were tried.
        addresses: Vec<SocketAddr>,
        /// What the last one said.
        source: std::io::Error,
    },
    /// An open connection failed.
    #[error("connection to {address} failed: {source}")]
    Io {
        /// The broker.
        address: SocketAddr,
        /// What the socket said.
        source: std::io::Error,
    },
    /// The broker promised a frame larger than this generator accepts.
    #[error("broker promised a frame of {frame_bytes} bytes, limit {frame_bytes_max}")]
    FrameTooLarge {
        /// The length field.
        frame_bytes: i64,
        /// The limit.
        frame_bytes_max: usize,
    },
    /// The answer is not what its schema says.
    #[error("answer to {api} v{version} cannot be read: {reason}")]
    Decode {
        /// Name of the API.
        api: &'static str,
        /// Version asked.
        version: i16,
        /// What did not fit.
        reason: String,
    },
    /// A request of ours cannot be written in a version the broker offers.
    #[error("request {api} v{version} cannot be written: {reason}")]
    Encode {
        /// Name of the API.
        api: &'static str,
        /// Version tried.
        version: i16,
        /// What did not fit.
        reason: String,
    },
    /// Broker and generator know no common version.
    #[error("broker offers {api} {broker_min}-{broker_max}, this generator speaks {own_min}-{own_max}")]
    NoCommonVersion {
        /// Name of the API.
        api: &'static str,
        /// Lowest that the broker offers.
        broker_min: i16,
        /// Highest that the broker offers.
        broker_max: i16,
        /// Lowest that this generator speaks.
        own_min: i16,
        /// Highest that this generator speaks.
        own_max: i16,
    },
    /// The broker answered with an error.
    #[error("{api} of {subject}: {}", code_name(*code))]
    Refused {
        /// Name of the API.
        api: &'static str,
        /// Topic or other thing it was about.
        subject: String,
        /// Kafka's error code.
        code: i16,
    },
    /// The topic has another number of partitions than asked for.
    #[error("topic {topic} has {found} partitions, {wanted} were asked for; delete it or ask for {found}")]
    PartitionCount {
        /// The topic.
        topic: String,
        /// As it is.
        found: usize,
        /// As asked for.
        wanted: usize,
    },
    /// A partition did not get a leader in time.
    #[error("partition {partition} of {topic} has no leader")]
    NoLeader {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
}

/// Why a request went wrong or had to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The broker answered with this error.
    Code(i16),
    /// The connection ended before an answer.
    LinkLost,
}

impl Cause {
    /// For people and reports.
    pub fn name(self) -> String {
        match self {
            Self::Code(code) => code_name(code),
            Self::LinkLost => "connection lost".to_owned(),
        }
    }
}

/// Kafka's name for an error code, with its number.
pub fn code_name(code: i16) -> String {
    match kafka_protocol::error::ResponseError::try_from_code(code) {
        Some(error) => format!("{error:?} ({code})"),
        None => format!("no error ({code})"),
    }
}

/// The same request may succeed later, by Kafka's own table.
pub fn is_retriable(code: i16) -> bool {
    kafka_protocol::error::ResponseError::try_from_code(code).is_some_and(|error| error.is_retriable())
}

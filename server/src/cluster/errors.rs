//! Why a change was not made. The texts are what a client's user reads, Kafka's own where it has one.

use super::names::NameError;

/// The metadata log cannot take changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Its log directory stopped, or a record's fate is unknown: no change until the next start.
    #[error("The metadata log takes no more changes: {reason}")]
    Stopped {
        /// For the operator.
        reason: String,
    },
    /// The disk of its log directory has no room for the record; nothing was stored.
    #[error("The disk of the metadata log is full: remove something from it and try again.")]
    Full,
    /// No room for the record at the moment; nothing was stored.
    #[error("The metadata log has no room at the moment: {reason}")]
    Busy {
        /// For the operator.
        reason: String,
    },
    /// The broker is starting or stopping.
    #[error("The broker is not ready for changes.")]
    NotReady,
}

/// Why a topic was not created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateTopicError {
    /// The name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Metrics could not tell it from another topic.
    #[error("Topic '{name}' collides with existing topic: {existing}")]
    Collides {
        /// The name asked for.
        name: String,
        /// The topic that exists.
        existing: String,
    },
    /// It exists.
    #[error("Topic '{name}' already exists.")]
    Exists {
        /// The name.
        name: String,
    },
    /// The name belongs to the metadata log.
    #[error("Creation of internal topic {name} is prohibited.")]
    Prohibited {
        /// The name.
        name: String,
    },
    /// The broker has as many partitions as it may.
    #[error("{wanted} partitions more would pass the {partition_count_max} that this broker holds at most.")]
    TooManyPartitions {
        /// Partitions asked for.
        wanted: usize,
        /// The limit.
        partition_count_max: usize,
    },
    /// Its logs could not be made; nothing of it is left.
    #[error("The logs of topic '{name}' could not be made: {reason}")]
    Logs {
        /// The topic.
        name: String,
        /// For the operator.
        reason: String,
    },
    /// The metadata log.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a topic was not deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteTopicError {
    /// It does not exist, or not any more.
    #[error("This server does not host this topic ID.")]
    Unknown,
    /// The metadata log.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why partitions were not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddPartitionsError {
    /// No such topic.
    #[error("This server does not host this topic-partition.")]
    Unknown,
    /// It has as many already, or more.
    #[error("{}", partition_count_text(.name, *.count, *.wanted))]
    Count {
        /// The topic.
        name: String,
        /// Partitions it has.
        count: usize,
        /// Partitions asked for.
        wanted: usize,
    },
    /// The broker has as many partitions as it may.
    #[error("{wanted} partitions more would pass the {partition_count_max} that this broker holds at most.")]
    TooManyPartitions {
        /// Partitions asked for.
        wanted: usize,
        /// The limit.
        partition_count_max: usize,
    },
    /// Their logs could not be made; the topic is what it was.
    #[error("The logs of new partitions of topic '{name}' could not be made: {reason}")]
    Logs {
        /// The topic.
        name: String,
        /// For the operator.
        reason: String,
    },
    /// The metadata log.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn partition_count_text(name: &str, count: usize, wanted: usize) -> String {
    if wanted == count {
        return format!("Topic already has {count} partition(s).");
    }
    format!("The topic {name} currently has {count} partition(s); {wanted} would not be an increase.")
}

/// Why a topic's configuration was not changed. `E` says why the new one is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlterConfigsError<E> {
    /// No such topic.
    #[error("The topic '{name}' does not exist.")]
    Unknown {
        /// The topic.
        name: String,
    },
    /// The change is not valid.
    #[error("{0}")]
    Invalid(E),
    /// The metadata log.
    #[error("{0}")]
    Store(StoreError),
}

impl<E> From<StoreError> for AlterConfigsError<E> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

//! Every inner error -> its Kafka error code.

use crate::cluster::{AddPartitionsError, CreateTopicError, DeleteTopicError, StoreError};
use crate::wire::ErrorCode;
use thalweg_engine::batch::BatchError;
use thalweg_engine::shard::{AppendError, LogError, ReadError};

/// The code of a log that cannot be asked.
pub fn of_log(error: &LogError) -> ErrorCode {
    match error {
        LogError::Unknown { .. } => ErrorCode::NotLeaderOrFollower,
        LogError::Offline { .. } => ErrorCode::KafkaStorageError,
    }
}

/// The code of a batch that was refused.
pub fn of_batch(error: &BatchError) -> ErrorCode {
    match error {
        BatchError::Truncated { .. } | BatchError::Corrupt { .. } | BatchError::Checksum { .. } => {
            ErrorCode::CorruptMessage
        }
        BatchError::TooLarge { .. } | BatchError::Bomb { .. } => ErrorCode::MessageTooLarge,
        BatchError::Invalid { .. } => ErrorCode::InvalidRecord,
        BatchError::Timestamp { .. } => ErrorCode::InvalidTimestamp,
        BatchError::Compression => ErrorCode::UnsupportedCompressionType,
    }
}

/// The code of an append that was refused.
pub fn of_append(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::Log(error) => of_log(error),
        AppendError::Batch(error) => of_batch(error),
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        AppendError::Transactional => ErrorCode::TransactionalIdAuthorizationFailed,
        AppendError::Full { .. } | AppendError::Busy { .. } => ErrorCode::KafkaStorageError,
    }
}

/// The code of a read that was refused.
pub fn of_read(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::Log(error) => of_log(error),
        ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Corrupt { .. } => ErrorCode::KafkaStorageError,
    }
}

/// The code of a metadata log that takes no changes: a client may try again where that can help.
pub fn of_store(error: &StoreError) -> ErrorCode {
    match error {
        StoreError::Stopped { .. } | StoreError::Full => ErrorCode::KafkaStorageError,
        StoreError::Busy { .. } | StoreError::NotReady => ErrorCode::RequestTimedOut,
    }
}

/// The code of a topic that was not created.
pub fn of_create(error: &CreateTopicError) -> ErrorCode {
    match error {
        CreateTopicError::Name(_) | CreateTopicError::Collides { .. } => ErrorCode::InvalidTopicException,
        CreateTopicError::Exists { .. } => ErrorCode::TopicAlreadyExists,
        CreateTopicError::Prohibited { .. } => ErrorCode::InvalidRequest,
        CreateTopicError::TooManyPartitions { .. } => ErrorCode::PolicyViolation,
        CreateTopicError::Logs { .. } => ErrorCode::KafkaStorageError,
        CreateTopicError::Store(error) => of_store(error),
    }
}

/// The code of a topic that was not deleted.
pub fn of_delete(error: &DeleteTopicError) -> ErrorCode {
    match error {
        DeleteTopicError::Unknown => ErrorCode::UnknownTopicId,
        DeleteTopicError::Store(error) => of_store(error),
    }
}

/// The code of partitions that were not added.
pub fn of_add_partitions(error: &AddPartitionsError) -> ErrorCode {
    match error {
        AddPartitionsError::Unknown => ErrorCode::UnknownTopicOrPartition,
        AddPartitionsError::Count { .. } => ErrorCode::InvalidPartitions,
        AddPartitionsError::TooManyPartitions { .. } => ErrorCode::PolicyViolation,
        AddPartitionsError::Logs { .. } => ErrorCode::KafkaStorageError,
        AddPartitionsError::Store(error) => of_store(error),
    }
}

//! Every inner error of the data path -> its Kafka error code.

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
        AppendError::Busy { .. } => ErrorCode::KafkaStorageError,
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

//! Kafka's error codes by name.

use super::primitives::{Context, Field, Reader, WireError, Writer};

macro_rules! codes {
    ($($name:ident = $code:literal,)*) => {
        /// A Kafka error code.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "the names are those of Kafka's protocol guide")]
        #[repr(i16)]
        pub enum ErrorCode {
            #[default]
            None = 0,
            $($name = $code,)*
        }

        impl ErrorCode {
            /// Its name in metrics and logs.
            pub fn name(self) -> &'static str {
                match self { Self::None => "None", $(Self::$name => stringify!($name),)* }
            }

            /// The code of a number that this broker sends.
            pub fn from_i16(code: i16) -> Option<Self> {
                match code { 0 => Some(Self::None), $($code => Some(Self::$name),)* _ => None }
            }
        }
    };
}

impl Field for ErrorCode {
    fn read(reader: &mut Reader, context: Context) -> Result<Self, WireError> {
        // Only tests read answers: a code that this broker never sends is an unknown one.
        Ok(Self::from_i16(i16::read(reader, context)?).unwrap_or(Self::UnknownServerError))
    }
    fn write(&self, writer: &mut Writer, context: Context) {
        (*self as i16).write(writer, context);
    }
}

codes! {
    UnknownServerError = -1,
    OffsetOutOfRange = 1,
    CorruptMessage = 2,
    UnknownTopicOrPartition = 3,
    LeaderNotAvailable = 5,
    NotLeaderOrFollower = 6,
    RequestTimedOut = 7,
    MessageTooLarge = 10,
    OffsetMetadataTooLarge = 12,
    CoordinatorLoadInProgress = 14,
    CoordinatorNotAvailable = 15,
    NotCoordinator = 16,
    InvalidTopicException = 17,
    InvalidRequiredAcks = 21,
    IllegalGeneration = 22,
    InconsistentGroupProtocol = 23,
    InvalidGroupId = 24,
    UnknownMemberId = 25,
    InvalidSessionTimeout = 26,
    RebalanceInProgress = 27,
    InvalidCommitOffsetSize = 28,
    InvalidTimestamp = 32,
    UnsupportedVersion = 35,
    TopicAlreadyExists = 36,
    InvalidPartitions = 37,
    InvalidReplicationFactor = 38,
    InvalidReplicaAssignment = 39,
    InvalidConfig = 40,
    NotController = 41,
    InvalidRequest = 42,
    UnsupportedForMessageFormat = 43,
    PolicyViolation = 44,
    OutOfOrderSequenceNumber = 45,
    InvalidProducerEpoch = 47,
    TransactionalIdAuthorizationFailed = 53,
    KafkaStorageError = 56,
    UnknownProducerId = 59,
    NonEmptyGroup = 68,
    GroupIdNotFound = 69,
    FetchSessionIdNotFound = 70,
    InvalidFetchSessionEpoch = 71,
    TopicDeletionDisabled = 73,
    FencedLeaderEpoch = 74,
    UnknownLeaderEpoch = 75,
    UnsupportedCompressionType = 76,
    OffsetNotAvailable = 78,
    MemberIdRequired = 79,
    GroupMaxSizeReached = 81,
    FencedInstanceId = 82,
    GroupSubscribedToTopic = 86,
    InvalidRecord = 87,
    UnstableOffsetCommit = 88,
    ProducerFenced = 90,
    UnknownTopicId = 100,
    InconsistentTopicId = 103,
    FetchSessionTopicIdError = 106,
    MismatchedEndpointType = 114,
    UnsupportedEndpointType = 115,
}

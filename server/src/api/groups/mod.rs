//! `FindCoordinator` and the group requests.
//!
//! Each function takes one decoded request, asks the shard that owns the group's partition of `__consumer_offsets`, and
//! gives the answer that fits the request's version. What a group decides is in `group`; how that becomes durable is in
//! `coordinator`; here is only what differs between versions of the wire.

mod admin;
mod home;
mod membership;
mod offsets;

pub use admin::{delete_groups, describe_groups, list_groups, offset_delete};
pub use home::{Groups, find_coordinator};
pub use membership::{heartbeat, join_group, leave_group, sync_group};
pub use offsets::{offset_commit, offset_fetch};

use crate::coordinator::HostError;
use crate::group::GroupError;
use crate::wire::ErrorCode;

/// Groups of one request that are asked at a time.
const ASKED_AT_ONCE_MAX: usize = 64;

/// Why a group could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The offsets topic is not there, or its shard has stopped.
    #[error("the group coordinator is not available")]
    NotAvailable,
    /// The coordinator said so.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl From<AskError> for ErrorCode {
    fn from(error: AskError) -> Self {
        match error {
            AskError::NotAvailable => Self::CoordinatorNotAvailable,
            AskError::Host(HostError::Loading) => Self::CoordinatorLoadInProgress,
            AskError::Host(HostError::NotHere) => Self::NotCoordinator,
        }
    }
}

impl From<GroupError> for ErrorCode {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::InvalidGroupId => Self::InvalidGroupId,
            GroupError::InvalidSessionTimeout => Self::InvalidSessionTimeout,
            GroupError::MemberIdRequired => Self::MemberIdRequired,
            GroupError::UnknownMemberId => Self::UnknownMemberId,
            GroupError::GroupIdNotFound => Self::GroupIdNotFound,
            GroupError::NonEmptyGroup => Self::NonEmptyGroup,
            GroupError::SubscribedToTopic => Self::GroupSubscribedToTopic,
            GroupError::IllegalGeneration => Self::IllegalGeneration,
            GroupError::RebalanceInProgress => Self::RebalanceInProgress,
            GroupError::InconsistentProtocol => Self::InconsistentGroupProtocol,
            GroupError::FencedInstanceId => Self::FencedInstanceId,
            GroupError::GroupMaxSizeReached => Self::GroupMaxSizeReached,
            GroupError::OffsetMetadataTooLarge => Self::OffsetMetadataTooLarge,
            GroupError::CommitTooLarge => Self::InvalidCommitOffsetSize,
            GroupError::MetadataTooLarge => Self::UnknownServerError,
            GroupError::NotAvailable => Self::CoordinatorNotAvailable,
        }
    }
}

//! Every request and response, one file per family; those of the data path lie in `produce` and `fetch`.
//!
//! Names are those of Kafka's schemas, fields in snake case; a field that a version does not have is at Kafka's default.
//! `error_code` fields are [`ErrorCode`](super::ErrorCode), other codes are plain numbers.

mod api_versions;
mod configs;
mod coordinator;
mod group_admin;
mod groups;
pub mod internal;
mod list_offsets;
mod metadata;
mod offset_commit;
mod producers;
mod reassignments;
mod records;
mod topics;

pub use api_versions::*;
pub use configs::*;
pub use coordinator::*;
pub use group_admin::*;
pub use groups::*;
pub use list_offsets::*;
pub use metadata::*;
pub use offset_commit::*;
pub use producers::*;
pub use reassignments::*;
pub use records::*;
pub use topics::*;

pub use super::fetch::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic, ReplicaState};
pub use super::produce::*;

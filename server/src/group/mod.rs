//! Who reads what?
//!
//! The state of consumer groups as machines: no await, no clock, no file, no socket.
//! ```text
//! partition   one partition of __consumer_offsets: its groups, its offsets, what is being stored
//! classic     one group of the join / sync / heartbeat protocol
//! offsets     what a group committed, and when that expires
//! operator    what operators see and forget
//! upkeep      what is forgotten, when
//! records     Kafka's record schemas in the log
//! messages    what can be asked and what is answered, apart from any version of the wire
//! ```
//! Elsewhere: versions and error codes (`api::groups`), storing, loading and waking (`coordinator`).

mod budget;
mod classic;
mod member;
mod messages;
mod offsets;
mod operator;
mod partition;
mod records;
mod settings;
mod upkeep;

pub use budget::Budget;
pub use classic::{ClassicGroup, GroupMetadata, MemberMetadata, State, Turn, Write};
pub use member::Member;
pub use messages::{
    Answer, Command, Commit, CommitPartition, CommitTopic, CommitTopicAnswer, DeletedTopic, FetchOffsets,
    FetchedOffset, FetchedTopic, GroupDescription, GroupError, Heartbeat, Join, JoinAnswer, JoinMember,
    Leave, LeaveAnswer, LeaveMember, ListedGroup, MemberDescription, Protocol, Sync, SyncAnswer,
};
pub use offsets::{Offsets, StoredOffset};
pub use partition::Partition;
pub use records::GroupRecord;
pub use settings::GroupSettings;

/// Which partition of the offsets topic a group's records go to: Java's `String.hashCode` of the id, made positive.
///
/// # Panics
/// When `partition_count` is not positive.
pub fn partition_of(group_id: &str, partition_count: i32) -> i32 {
    assert!(partition_count > 0, "a topic has partitions");
    let hash =
        group_id.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    (hash & i32::MAX) % partition_count
}

#[cfg(test)]
mod tests;

//! What can be asked of groups and what they answer, apart from any version of the wire.

use super::classic::State;
use bytes::Bytes;

/// A request to the groups of one partition of the offsets topic.
#[derive(Clone, Debug)]
pub enum Command {
    /// Become or stay a member; answered when the generation is complete.
    Join(Join),
    /// Get, and from the leader: give, the assignment of this generation.
    Sync(Sync),
    /// Stay a member.
    Heartbeat(Heartbeat),
    /// Go.
    Leave(Leave),
    /// Store offsets.
    Commit(Commit),
    /// Read stored offsets.
    Fetch(FetchOffsets),
    /// One group, as operators see it.
    Describe(String),
    /// All groups of the partition, in short.
    List,
    /// Forget a group without members, offsets and all.
    Delete(String),
    /// Forget offsets that no member reads.
    DeleteOffsets {
        /// The group.
        group_id: String,
        /// Topics with their partitions.
        topics: Vec<(String, Vec<i32>)>,
    },
    /// Which topics offsets are stored for: to find those that were deleted while nobody looked.
    StoredTopics,
    /// Topics are gone: forget what was committed for them.
    TopicsDeleted(Vec<DeletedTopic>),
}

/// The answers, in the order of `Command`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To `Join`.
    Join(JoinAnswer),
    /// To `Sync`.
    Sync(Result<SyncAnswer, GroupError>),
    /// To `Heartbeat`.
    Heartbeat(Result<(), GroupError>),
    /// To `Leave`.
    Leave(Result<Vec<LeaveAnswer>, GroupError>),
    /// To `Commit`: per topic and partition, in the order asked.
    Commit(Result<Vec<CommitTopicAnswer>, GroupError>),
    /// To `Fetch`.
    Fetch(Result<Vec<FetchedTopic>, GroupError>),
    /// To `Describe`; `None` when there is no such group.
    Described(Option<GroupDescription>),
    /// To `List`.
    Listed(Vec<ListedGroup>),
    /// To `Delete`.
    Deleted(Result<(), GroupError>),
    /// To `DeleteOffsets`: per topic and partition, in the order asked.
    OffsetsDeleted(Result<Vec<CommitTopicAnswer>, GroupError>),
    /// To `StoredTopics`: names with the ids they were committed under.
    StoredTopics(Vec<(String, [u8; 16])>),
    /// To `TopicsDeleted`.
    Done,
}

/// Why a group says no. `api::codes` knows the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// Group ids are not empty, except for offsets.
    #[error("the group id is empty")]
    InvalidGroupId,
    /// Outside `group.min.session.timeout.ms ..= group.max.session.timeout.ms`.
    #[error("the session timeout is out of range")]
    InvalidSessionTimeout,
    /// Join again with the id given here.
    #[error("join again with the member id given")]
    MemberIdRequired,
    /// No such member; join anew.
    #[error("not a member of this group")]
    UnknownMemberId,
    /// No such group: what version 9 of a commit is told in place of `IllegalGeneration`.
    #[error("no such group")]
    GroupIdNotFound,
    /// The generation is another one; join anew.
    #[error("the group is in another generation")]
    IllegalGeneration,
    /// A rebalance runs; join again.
    #[error("the group rebalances")]
    RebalanceInProgress,
    /// Another type or no protocol in common.
    #[error("no protocol in common with the group")]
    InconsistentProtocol,
    /// Someone else runs under this `group.instance.id`.
    #[error("another member runs under this instance id")]
    FencedInstanceId,
    /// It has members.
    #[error("the group is not empty")]
    NonEmptyGroup,
    /// Its members read this topic.
    #[error("the group's members read this topic")]
    SubscribedToTopic,
    /// `group.max.size`.
    #[error("the group is full")]
    GroupMaxSizeReached,
    /// The note beside the offset is too long.
    #[error("the offset's metadata is too large")]
    OffsetMetadataTooLarge,
    /// The offsets of one request do not fit into one batch.
    #[error("too many offsets in one commit")]
    CommitTooLarge,
    /// The assignment does not fit into one batch.
    #[error("the group's metadata is too large to store")]
    MetadataTooLarge,
    /// No memory or no room in the log at the moment; try again.
    #[error("the coordinator has no room at the moment")]
    NotAvailable,
}

/// One way to share out the work that a member understands, with what it wants to say under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// For consumers the assignor's name, such as `range`.
    pub name: String,
    /// For consumers the subscription.
    pub metadata: Bytes,
}

/// `JoinGroup`.
#[derive(Clone, Debug)]
pub struct Join {
    /// The group.
    pub group_id: String,
    /// Empty for someone new.
    pub member_id: String,
    /// The id to give if someone new is taken in: randomness comes from outside.
    pub member_id_new: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// As the request's header says.
    pub client_id: String,
    /// Where the connection comes from, as Kafka prints it.
    pub client_host: String,
    /// `consumer`, `connect`, or what else.
    pub protocol_type: String,
    /// In order of preference.
    pub protocols: Vec<Protocol>,
    /// Silence longer than this ends the membership.
    pub session_timeout_ms: i32,
    /// How long a rebalance waits for this member.
    pub rebalance_timeout_ms: i32,
    /// `JoinGroup` v4 and later: someone new must first learn its id and join again with it.
    pub known_id_required: bool,
    /// `JoinGroup` v9 and later: the answer may tell the leader not to assign.
    pub may_skip_assignment: bool,
}

/// Answer to `Join`; on an error only `member_id` counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinAnswer {
    /// What went wrong.
    pub error: Option<GroupError>,
    /// The generation the member is in now, -1 on an error.
    pub generation: i32,
    /// The group's type.
    pub protocol_type: Option<String>,
    /// The protocol chosen.
    pub protocol: Option<String>,
    /// Who assigns.
    pub leader: String,
    /// The member's id from now on.
    pub member_id: String,
    /// The leader need not assign: the assignment stands.
    pub skip_assignment: bool,
    /// For the leader: everyone.
    pub members: Vec<JoinMember>,
}

/// A member as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinMember {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// What it said under the protocol chosen.
    pub metadata: Bytes,
}

/// `SyncGroup`.
#[derive(Clone, Debug)]
pub struct Sync {
    /// The group.
    pub group_id: String,
    /// The generation the member joined.
    pub generation: i32,
    /// The member.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// From v5: what the member believes.
    pub protocol_type: Option<String>,
    /// From v5: what the member believes.
    pub protocol: Option<String>,
    /// From the leader: member id and its share.
    pub assignments: Vec<(String, Bytes)>,
}

/// Answer to `Sync`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncAnswer {
    /// The group's type.
    pub protocol_type: Option<String>,
    /// The protocol chosen.
    pub protocol: Option<String>,
    /// The member's share.
    pub assignment: Bytes,
}

/// Heartbeat.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// The group.
    pub group_id: String,
    /// The generation the member is in.
    pub generation: i32,
    /// The member.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
}

/// `LeaveGroup`.
#[derive(Clone, Debug)]
pub struct Leave {
    /// The group.
    pub group_id: String,
    /// Who goes.
    pub members: Vec<LeaveMember>,
}

/// One that goes: by its id, or by its instance id alone when an operator takes it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveMember {
    /// Empty when only the instance is known.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
}

/// Answer for one member of `Leave`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveAnswer {
    /// As asked.
    pub member: LeaveMember,
    /// What went wrong.
    pub error: Option<GroupError>,
}

/// `OffsetCommit`.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The group; may be empty.
    pub group_id: String,
    /// The generation, -1 from who is no member.
    pub generation: i32,
    /// The member, empty from who is none.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// Version 9 and later know `GroupIdNotFound`.
    pub knows_group_id_not_found: bool,
    /// Versions 2 to 4: keep these offsets that long, -1 for the broker's rule.
    pub retention_ms: i64,
    /// What to store; topics that exist.
    pub topics: Vec<CommitTopic>,
}

/// Offsets of one topic to store.
#[derive(Clone, Debug)]
pub struct CommitTopic {
    /// The topic's name.
    pub name: String,
    /// Its id, all zeros when it has none.
    pub topic_id: [u8; 16],
    /// Its partitions.
    pub partitions: Vec<CommitPartition>,
}

/// One offset to store.
#[derive(Clone, Debug)]
pub struct CommitPartition {
    /// The partition.
    pub partition: i32,
    /// The next offset to read.
    pub offset: i64,
    /// The epoch of the record before it, -1 when unknown.
    pub leader_epoch: i32,
    /// A note.
    pub metadata: String,
    /// Version 1: when it was committed, -1 for now.
    pub commit_timestamp: i64,
}

/// What became of the partitions of one topic, in the order asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitTopicAnswer {
    /// The topic's name.
    pub name: String,
    /// Partition, and what went wrong.
    pub partitions: Vec<(i32, Option<GroupError>)>,
}

/// `OffsetFetch`, one group's part.
#[derive(Clone, Debug)]
pub struct FetchOffsets {
    /// The group.
    pub group_id: String,
    /// Topics with their partitions; `None` for all there are.
    pub topics: Option<Vec<(String, Vec<i32>)>>,
    /// Offsets of open transactions make the answer wait; there are none yet.
    pub require_stable: bool,
}

/// Offsets of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedTopic {
    /// The topic's name.
    pub name: String,
    /// Its partitions, in the order asked, or ascending.
    pub partitions: Vec<FetchedOffset>,
}

/// One stored offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedOffset {
    /// The partition.
    pub partition: i32,
    /// The next offset to read, -1 for none.
    pub offset: i64,
    /// The epoch of the record before it, -1 when unknown.
    pub leader_epoch: i32,
    /// The note.
    pub metadata: String,
    /// The id of the topic that it was committed for, zeros when unknown.
    pub topic_id: [u8; 16],
}

impl FetchedOffset {
    /// Nothing is stored.
    pub fn none(partition: i32) -> Self {
        Self { partition, offset: -1, leader_epoch: -1, metadata: String::new(), topic_id: [0; 16] }
    }
}

/// A topic that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    /// Its name, which another may carry by now.
    pub name: String,
    /// Its id.
    pub topic_id: [u8; 16],
}

/// A group, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Where it is in its round.
    pub state: State,
    /// `consumer`, `connect`; empty for a group of offsets alone.
    pub protocol_type: String,
    /// The protocol chosen; empty unless it is stable.
    pub protocol: String,
    /// Everyone.
    pub members: Vec<MemberDescription>,
}

/// A member, as operators see it. What it said and its share are told of stable groups only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// Its client id.
    pub client_id: String,
    /// Where it comes from.
    pub client_host: String,
    /// What it said under the protocol chosen.
    pub metadata: Bytes,
    /// Its share.
    pub assignment: Bytes,
}

/// A group in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its id.
    pub group_id: String,
    /// Where it is in its round.
    pub state: State,
    /// `consumer`, `connect`; empty for a group of offsets alone.
    pub protocol_type: String,
}

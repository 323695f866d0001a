//! What the operator may set about groups.

/// The broker's settings for groups, Kafka's names with dots as underscores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// `group.min.session.timeout.ms`
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`
    pub session_timeout_ms_max: i32,
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for more members before its first generation.
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`: members of one group.
    pub members_max: usize,
    /// `offset.metadata.max.bytes`: the note beside a committed offset, in characters as Kafka counts it.
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub offsets_check_interval_ms: u64,
    /// How long a member whose first join waits may go unheard before it is taken out; it cannot send heartbeats yet.
    pub new_member_timeout_ms: i32,
    /// `thalweg.groups.max`: groups that one shard may hold.
    pub groups_max: usize,
    /// `thalweg.groups.bytes.max`: bytes of member metadata, assignments and offsets that one shard may hold.
    pub bytes_max: usize,
}

impl Default for GroupSettings {
    /// The defaults of Kafka 4.3; the last two are ours.
    fn default() -> Self {
        Self {
            session_timeout_ms_min: 6_000,
            session_timeout_ms_max: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            members_max: i32::MAX as usize,
            offset_metadata_bytes_max: 4096,
            offsets_retention_ms: 7 * 24 * 3_600_000,
            offsets_check_interval_ms: 600_000,
            new_member_timeout_ms: 300_000,
            groups_max: 100_000,
            bytes_max: 256 << 20,
        }
    }
}

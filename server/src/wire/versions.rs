//! The one table: which API is served in which versions. `ApiVersions` is answered from it.

use std::ops::RangeInclusive;

macro_rules! apis {
    ($($name:ident = $key:literal, $served:expr, flexible $flexible:literal;)*) => {
        /// The APIs that are served.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "the names are those of Kafka's protocol guide")]
        #[repr(i16)]
        pub enum ApiKey { $($name = $key,)* }

        impl ApiKey {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The API of a key.
            pub fn from_i16(key: i16) -> Option<Self> {
                match key { $($key => Some(Self::$name),)* _ => None }
            }

            /// Versions that are answered.
            pub fn served(self) -> RangeInclusive<i16> {
                match self { $(Self::$name => $served,)* }
            }

            /// The first version with compact types and tagged fields.
            pub fn flexible_since(self) -> i16 {
                match self { $(Self::$name => $flexible,)* }
            }

            /// Its name in metrics and logs.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
        }
    };
}

apis! {
    Produce = 0, 3..=13, flexible 9;
    Fetch = 1, 4..=18, flexible 12;
    ListOffsets = 2, 0..=11, flexible 6;
    Metadata = 3, 0..=13, flexible 9;
    OffsetCommit = 8, 1..=10, flexible 8;
    OffsetFetch = 9, 1..=10, flexible 6;
    FindCoordinator = 10, 0..=6, flexible 3;
    JoinGroup = 11, 0..=9, flexible 6;
    Heartbeat = 12, 0..=4, flexible 4;
    LeaveGroup = 13, 0..=5, flexible 4;
    SyncGroup = 14, 0..=5, flexible 4;
    ApiVersions = 18, 0..=4, flexible 3;
    CreateTopics = 19, 0..=7, flexible 5;
    DeleteTopics = 20, 0..=6, flexible 4;
    InitProducerId = 22, 0..=5, flexible 2;
    OffsetForLeaderEpoch = 23, 2..=4, flexible 4;
    DescribeConfigs = 32, 0..=4, flexible 4;
    AlterConfigs = 33, 0..=2, flexible 2;
    CreatePartitions = 37, 0..=3, flexible 2;
    IncrementalAlterConfigs = 44, 0..=1, flexible 1;
    ListPartitionReassignments = 46, 0..=0, flexible 0;
    DescribeCluster = 60, 0..=2, flexible 0;
}

impl ApiKey {
    /// Whether a version is answered.
    pub fn is_served(self, version: i16) -> bool {
        self.served().contains(&version)
    }

    /// Whether a version has compact types and tagged fields.
    pub fn is_flexible(self, version: i16) -> bool {
        version >= self.flexible_since()
    }

    /// The versions that `ApiVersions` names. Produce is listed from 0: librdkafka takes Produce 0 in the list for
    /// "the broker can compress" and never sends it.
    pub fn listed(self) -> RangeInclusive<i16> {
        match self {
            Self::Produce => 0..=*self.served().end(),
            _ => self.served(),
        }
    }
}

//! Which requests are answered, in which versions: the one table, which `ApiVersions` prints.

use super::codes::ErrorCode;
use super::messages::{ApiVersion, ApiVersionsResponse};
use std::fmt;
use std::ops::RangeInclusive;

/// Versions that a client is told and that are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Service {
    /// Answered and told.
    Served(RangeInclusive<i16>),
    /// Answered from the first number on, told from the second on.
    ServedListedFrom(RangeInclusive<i16>, i16),
    /// Can be read and written; not answered.
    Codec,
}

macro_rules! api_keys {
    ($($name:ident = $key:literal, flexible $flexible:literal, $service:expr;)*) => {
        /// The kind of a request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ApiKey {
            $(
                #[doc = concat!("Request kind ", stringify!($key), ", flexible from version ", stringify!($flexible), ".")]
                $name = $key,
            )*
        }

        impl ApiKey {
            /// Every kind that is known, by rising number.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The kind of that number, `None` if it is not known.
            pub fn from_i16(key: i16) -> Option<Self> {
                match key {
                    $($key => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Kafka's name of it, for logs and metrics.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The first version with compact types and tagged fields.
            pub fn flexible_since(self) -> i16 {
                match self {
                    $(Self::$name => $flexible,)*
                }
            }

            fn service(self) -> Service {
                match self {
                    $(Self::$name => $service,)*
                }
            }
        }
    };
}

api_keys! {
    // librdkafka takes "Produce v0 is listed" for "the broker can compress": as in Kafka 4, 0-2 are told and close the
    // connection when asked.
    Produce = 0, flexible 9, Service::ServedListedFrom(3..=13, 0);
    Fetch = 1, flexible 12, Service::Served(4..=18);
    ListOffsets = 2, flexible 6, Service::Served(0..=11);
    Metadata = 3, flexible 9, Service::Served(0..=13);
    OffsetCommit = 8, flexible 8, Service::Served(1..=10);
    OffsetFetch = 9, flexible 6, Service::Served(1..=10);
    FindCoordinator = 10, flexible 3, Service::Served(0..=6);
    JoinGroup = 11, flexible 6, Service::Served(0..=9);
    Heartbeat = 12, flexible 4, Service::Served(0..=4);
    LeaveGroup = 13, flexible 4, Service::Served(0..=5);
    SyncGroup = 14, flexible 4, Service::Served(0..=5);
    DescribeGroups = 15, flexible 5, Service::Codec;
    ListGroups = 16, flexible 3, Service::Codec;
    ApiVersions = 18, flexible 3, Service::Served(0..=4);
    CreateTopics = 19, flexible 5, Service::Served(0..=7);
    DeleteTopics = 20, flexible 4, Service::Served(0..=6);
    DeleteRecords = 21, flexible 2, Service::Served(0..=2);
    InitProducerId = 22, flexible 2, Service::Served(0..=5);
    OffsetForLeaderEpoch = 23, flexible 4, Service::Served(2..=4);
    DescribeConfigs = 32, flexible 4, Service::Served(0..=4);
    AlterConfigs = 33, flexible 2, Service::Served(0..=2);
    DescribeLogDirs = 35, flexible 2, Service::Served(1..=5);
    CreatePartitions = 37, flexible 2, Service::Served(0..=3);
    DeleteGroups = 42, flexible 2, Service::Codec;
    IncrementalAlterConfigs = 44, flexible 1, Service::Served(0..=1);
    ListPartitionReassignments = 46, flexible 0, Service::Served(0..=0);
    DescribeCluster = 60, flexible 0, Service::Served(0..=2);
}

impl ApiKey {
    /// The number.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Versions that are answered, `None` if none is.
    pub fn served(self) -> Option<RangeInclusive<i16>> {
        match self.service() {
            Service::Served(versions) | Service::ServedListedFrom(versions, _) => Some(versions),
            Service::Codec => None,
        }
    }

    /// Versions that clients are told, `None` if they are told nothing.
    pub fn listed(self) -> Option<RangeInclusive<i16>> {
        match self.service() {
            Service::Served(versions) => Some(versions),
            Service::ServedListedFrom(versions, start) => Some(start..=*versions.end()),
            Service::Codec => None,
        }
    }

    /// Whether a request of that version is answered.
    pub fn is_served(self, version: i16) -> bool {
        self.served().is_some_and(|versions| versions.contains(&version))
    }

    /// Whether that version has compact types and tagged fields.
    pub fn is_flexible(self, version: i16) -> bool {
        version >= self.flexible_since()
    }

    fn listing(self) -> Option<ApiVersion> {
        let versions = self.listed()?;
        Some(ApiVersion {
            api_key: self.code(),
            min_version: *versions.start(),
            max_version: *versions.end(),
        })
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The answer to `ApiVersions` in a version that is served. No features are told: none is served yet that needs one.
pub fn api_versions() -> ApiVersionsResponse {
    let api_keys = ApiKey::ALL.iter().filter_map(|key| key.listing()).collect();
    ApiVersionsResponse { api_keys, ..ApiVersionsResponse::default() }
}

/// The answer to `ApiVersions` in a version that is not served: to be written as version 0 (KIP-511).
pub fn api_versions_unsupported() -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion,
        api_keys: ApiKey::ApiVersions.listing().into_iter().collect(),
        ..ApiVersionsResponse::default()
    }
}

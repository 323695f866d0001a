//! `ApiVersions`: which requests in which versions, and which features.

use crate::wire::codes::ErrorCode;
use crate::wire::table::messages;

messages! {
    /// Asks what the broker can do; the first request of most clients.
    message ApiVersionsRequest (0..=4, flexible 3) {
        client_software_name: String [3..],
        client_software_version: String [3..],
    }

    /// What the broker can do. Always behind a response header of version 0 (KIP-511).
    message ApiVersionsResponse (0..=4, flexible 3) {
        error_code: ErrorCode [0..],
        api_keys: Vec<ApiVersion> [0..],
        throttle_time_ms: i32 [1..],
        supported_features: Vec<SupportedFeatureKey> [3..; tag 0 = Vec::new()],
        finalized_features_epoch: i64 [3..; tag 1 = -1],
        finalized_features: Vec<FinalizedFeatureKey> [3..; tag 2 = Vec::new()],
        zk_migration_ready: bool [3..; tag 3 = false],
    }

    /// One request kind and the versions of it that are answered.
    struct ApiVersion {
        api_key: i16 [0..],
        min_version: i16 [0..],
        max_version: i16 [0..],
    }

    /// A feature that the broker could use, with its levels (KIP-584).
    struct SupportedFeatureKey {
        name: String [3..],
        min_version: i16 [3..],
        max_version: i16 [3..],
    }

    /// A feature that the cluster uses, with its levels (KIP-584).
    struct FinalizedFeatureKey {
        name: String [3..],
        max_version_level: i16 [3..],
        min_version_level: i16 [3..],
    }
}

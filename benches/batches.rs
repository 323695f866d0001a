//! What the benches of batches agree in: the rules by which one is checked, and the time at which.

use thalweg_engine::batch::{CheckRules, Origin, TargetCompression, TimestampType};
use thalweg_engine::units::Timestamp;

/// Milliseconds since 1970: of all records, and of the broker's clock.
pub const NOW: i64 = 1_700_000_000_000;

/// Those of a topic with Kafka's defaults, and room for batches of 2 MiB.
pub fn rules() -> CheckRules {
    CheckRules {
        batch_bytes_max: 2 << 20,
        timestamp_type: TimestampType::Create,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: 3_600_000,
        compacted: false,
        compression: TargetCompression::Producer,
        unpacked_bytes_max: 64 << 20,
        zstd_allowed: true,
        origin: Origin::Client,
        now: Timestamp(NOW),
    }
}

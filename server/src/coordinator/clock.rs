//! The clocks of the process, for who drives machines.

use super::Now;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use thalweg_engine::units::Timestamp;

/// Reads both clocks; one per broker, its copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose uptime counts from `start`.
    pub fn since(start: Instant) -> Self {
        Self { start }
    }

    /// Both times now.
    pub fn now(&self) -> Now {
        let wall_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as i64);
        Now { uptime: self.start.elapsed(), wall: Timestamp(wall_ms) }
    }
}

//! What the durability modes of a log allow a crash to take back.

use super::model::ModelBatch;
use crate::io::sim::Random;
use crate::log::{Durability, DurabilityMode};
use std::time::Duration;

/// Between a batch's staging and the test's own look at the clock.
const CLOCK_SLACK: Duration = Duration::from_millis(5);

/// Settings of a log, for now: most are as they are by default.
pub(super) fn random(random: &mut Random) -> Durability {
    let mode = match random.below(6) {
        0..3 => DurabilityMode::Media,
        3 | 4 => DurabilityMode::Window,
        _ => DurabilityMode::Memory,
    };
    Durability {
        mode,
        window: Duration::from_millis([0, 5, 100, 3_000][random.below(4) as usize]),
        window_bytes: [1, 5_000, 60_000, 1 << 20][random.below(4) as usize],
        flush_messages: [i64::MAX as u64, i64::MAX as u64, 1, 7][random.below(4) as usize],
        flush: Duration::from_millis([i64::MAX as u64, i64::MAX as u64, 0, 50][random.below(4) as usize]),
    }
}

/// Of what was lost, all that was answered was answered under a weaker mode; under `window` within its bounds, whatever the
/// disk did meanwhile and whatever modes came before and after.
pub(super) fn check_lost(name: &str, lost: &[ModelBatch]) {
    let mut bytes = 0;
    for (at, batch) in lost.iter().enumerate() {
        bytes += batch.records.len() as u64;
        let Durability { mode, window, window_bytes, .. } = batch.durability;
        let place = format!("{name}: the batch at {} of {mode:?} is lost", batch.base);
        assert!(mode != DurabilityMode::Media || !batch.answered, "{place}, and was answered");
        if mode == DurabilityMode::Window {
            assert!(at == 0 || bytes <= window_bytes, "{place}, with {bytes} B of {window_bytes} B");
            let age = batch.staged.saturating_sub(lost[0].staged);
            assert!(at == 0 || age <= window + CLOCK_SLACK, "{place}, {age:?} after the first of {window:?}");
        }
    }
}

//! A thread that wakes every core a hundred times a second.
//!
//! An executor can park with runnable tasks when its preempt timer fires at the wrong moment; a wake-up from outside
//! ends that (measured: every 5-10 ms ended all stalls that were provoked).

use crate::route::Paths;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Time between two pulses.
const PULSE: Duration = Duration::from_millis(8);

/// Starts the thread; it ends when `stop` is set.
///
/// # Errors
/// When no thread can be made.
pub fn pulse(paths: Paths, stop: Arc<AtomicBool>) -> std::io::Result<()> {
    let beat = move || {
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(PULSE);
            paths.nudge();
        }
    };
    std::thread::Builder::new().name("pulse".to_owned()).spawn(beat).map(drop)
}

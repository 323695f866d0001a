//! What a topic promises of an answer, as its settings say it.

use std::time::Duration;

/// When a produce is answered, and what a crash may take back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DurabilityMode {
    /// Answered when synced: a crash takes back nothing.
    #[default]
    Media,
    /// Answered in memory as long as the window has room: a crash takes back what was in the window.
    Window,
    /// Answered in memory: a crash takes back whatever was not synced yet.
    Memory,
}

/// `thalweg.durability.*` and `flush.*` of a topic. What is said of windows and flushes acts in the weaker modes only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durability {
    /// `thalweg.durability.mode`.
    pub mode: DurabilityMode,
    /// `thalweg.durability.window.ms`: nothing is answered while something that was answered so long ago is not synced.
    pub window: Duration,
    /// `thalweg.durability.window.bytes`: so many answered bytes are not synced at most, or one batch that is larger.
    pub window_bytes: u64,
    /// `flush.messages`: so many records are synced, whatever else says that there is time.
    pub flush_messages: u64,
    /// `flush.ms`: a record is synced when it is so old.
    pub flush: Duration,
}

impl Default for Durability {
    fn default() -> Self {
        Self {
            mode: DurabilityMode::Media,
            window: Duration::from_secs(1),
            window_bytes: 16 << 20,
            flush_messages: i64::MAX as u64,
            flush: Duration::from_millis(i64::MAX as u64),
        }
    }
}

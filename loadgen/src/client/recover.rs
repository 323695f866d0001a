//! After a failure: when to connect again, and where to.
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Control, Topic};

const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often one connection may ask for its leader.
const ASK_PAUSE: Duration = Duration::from_secs(1);
/// Not leader; unknown partition; leader not available; fenced epoch; unknown epoch: the leader may be elsewhere.
const MOVED_CODES: [i16; 5] = [6, 3, 5, 74, 76];

/// When one connection is tried again. A machine: times count from the start of the run.
#[derive(Clone, Copy, Debug)]
pub struct Reconnect {
    at: Duration,
    pause: Duration,
    down_since: Option<Duration>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self { at: Duration::ZERO, pause: PAUSE_MIN, down_since: None }
    }
}

impl Reconnect {
    /// The next attempt.
    pub fn at(&self) -> Duration {
        self.at
    }

    /// An attempt begins.
    pub fn on_attempt(&mut self, now: Duration) {
        self.at = now;
    }

    /// The attempt that began last takes too long.
    pub fn is_overdue(&self, now: Duration) -> bool {
        now > self.at + CONNECT_TIMEOUT
    }

    /// The connection is up.
    pub fn on_up(&mut self) {
        (self.pause, self.down_since) = (PAUSE_MIN, None);
    }

    /// The connection is gone, or an attempt failed; each failure doubles the pause.
    pub fn on_lost(&mut self, now: Duration) {
        self.down_since.get_or_insert(now);
        self.at = now + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// There was no connection for longer than `patience`.
    pub fn is_hopeless(&self, now: Duration, patience: Duration) -> bool {
        self.down_since.is_some_and(|since| now > since + patience)
    }
}

/// Where the leader of a connection's partitions is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leader {
    /// All of them there.
    At(SocketAddr),
    /// Not all of them at one broker any more.
    Split,
    /// Nobody tells now.
    Unknown,
}

/// Asks for leaders, for all connections of a run. With one broker it never asks.
#[derive(Debug)]
pub struct Directory {
    topic: String,
    has_several_brokers: bool,
    asking: Mutex<Control>,
}

impl Directory {
    /// Asks through `control` from now on. `bootstrap` is what it was connected with.
    pub fn new(control: Control, topic: &Topic, bootstrap: &str) -> Self {
        let mut leaders = topic.partitions.iter().map(|partition| partition.leader);
        let first = leaders.next();
        let several_leaders = leaders.any(|leader| Some(leader) != first);
        Self {
            topic: topic.name.clone(),
            has_several_brokers: several_leaders || bootstrap.contains(','),
            asking: Mutex::new(control),
        }
    }

    /// An error of this code may mean that the leader is elsewhere.
    pub fn may_have_moved(&self, code: i16) -> bool {
        self.has_several_brokers && MOVED_CODES.contains(&code)
    }

    /// After a connection failed: it may be worth asking.
    pub fn may_help(&self) -> bool {
        self.has_several_brokers
    }

    /// Where these partitions are led. Asks and waits, at most once a second per `last_asked`.
    pub fn leader(&self, partitions: &[i32], last_asked: &mut Duration, now: Duration) -> Leader {
        if now < *last_asked + ASK_PAUSE {
            return Leader::Unknown;
        }
        *last_asked = now;
        let mut control = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(topic) = Topic::look_up(&mut control, &self.topic) else { return Leader::Unknown };
        let mut own = topic.partitions.iter().filter(|partition| partitions.contains(&partition.index));
        let Some(leader) = own.next().map(|partition| partition.leader) else { return Leader::Unknown };
        if own.all(|partition| partition.leader == leader) { Leader::At(leader) } else { Leader::Split }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_begin_anew_once_up() {
        let mut reconnect = Reconnect::default();
        let mut now = Duration::ZERO;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            reconnect.on_lost(now);
            pauses.push(reconnect.at().saturating_sub(now).as_millis());
            now = reconnect.at();
        }
        assert_eq!(pauses, [20, 40, 80, 160, 320, 500, 500, 500]);
        assert!(reconnect.is_hopeless(Duration::from_secs(11), Duration::from_secs(10)));
        reconnect.on_up();
        assert!(!reconnect.is_hopeless(Duration::from_secs(999), Duration::from_secs(10)));
        reconnect.on_lost(now);
        assert_eq!(reconnect.at().saturating_sub(now).as_millis(), 20);
    }
}

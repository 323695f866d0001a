//! All that is random in a round, drawn before it begins, so that a seed says what was done whatever the broker did.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;

/// What happens to the broker in one round, and what it is fed.
#[expect(clippy::struct_excessive_bools, reason = "each is a throw of its own")]
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Seed of what the loads draw themselves.
    pub(super) seed: u64,
    /// Kills under the same load, one after the other.
    pub(super) kills: Vec<Kill>,
    /// From the last start to the end of the load.
    pub(super) after: Duration,
    /// Producers are given up at the last kill: nobody will know what became of what they had under way.
    pub(super) gives_up: bool,
    /// A clean stop and start behind the audit.
    pub(super) stops: bool,
    /// Kafka reads the segments.
    pub(super) dumps: bool,
    /// A kill with nothing under way, at the end.
    pub(super) idle_kill: bool,
    /// The number of cores of the start behind it.
    pub(super) cores: &'static str,
}

/// One kill and the start behind it.
#[derive(Clone, Debug)]
pub(super) struct Kill {
    /// From the load's beginning or the last start.
    pub(super) after: Duration,
    /// Starts that are killed before they are ready, so long after each began.
    pub(super) at_starts: Vec<Duration>,
    /// The number of cores it is started on again.
    pub(super) cores: &'static str,
}

impl Plan {
    /// Round `number` of the campaign with this seed.
    pub(super) fn draw(seed: u64, number: u32) -> Self {
        let seed = seed.wrapping_add(u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let random = &mut StdRng::seed_from_u64(seed);
        let kill_count = if random.random_ratio(1, 4) { 2 } else { 1 };
        let kills = (0..kill_count).map(|_| Kill::draw(random)).collect();
        Self {
            seed,
            kills,
            after: Duration::from_millis(random.random_range(0..400)),
            gives_up: random.random_ratio(1, 6),
            stops: random.random_ratio(1, 5),
            dumps: number % 10 == 4,
            idle_kill: random.random_ratio(1, 8),
            cores: cores(random),
        }
    }

    /// In a few characters, for the round's line.
    pub(super) fn words(&self) -> String {
        let mut words: Vec<String> = self.kills.iter().map(Kill::words).collect();
        words.extend(self.gives_up.then(|| "producers given up".to_owned()));
        words.extend(self.stops.then(|| format!("clean stop, start on {}", self.cores)));
        words.extend(self.idle_kill.then(|| "kill while idle".to_owned()));
        words.join("; ")
    }
}

impl Kill {
    fn draw(random: &mut StdRng) -> Self {
        let again = match random.random_range(0..10) {
            0..6 => 0,
            6..9 => 1,
            _ => 3,
        };
        Self {
            after: Duration::from_millis(random.random_range(40..900)),
            at_starts: (0..again).map(|_| Duration::from_millis(random.random_range(0..300))).collect(),
            cores: cores(random),
        }
    }

    fn words(&self) -> String {
        let mut words = format!("kill at {} ms", self.after.as_millis());
        for after in &self.at_starts {
            words.extend([", again ", &after.as_millis().to_string(), " ms into the start"]);
        }
        words + ", start on " + self.cores
    }
}

fn cores(random: &mut StdRng) -> &'static str {
    if random.random() { "1" } else { "2" }
}

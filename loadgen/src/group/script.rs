//! What happens to the members of a run, and when: read from words or a table, spread over groups and time.
//!
//! ```text
//!  0:join:100       at 0 s every group gets 100 members at once
//!  10:die:30:5      from 10 s to 15 s thirty members of every group die, evenly spread
//! ```
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What members do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// New ones come.
    Join,
    /// The longest-serving leave: commit, LeaveGroup.
    Leave,
    /// The longest-serving vanish: their connections close without a word.
    Die,
    /// The longest-serving go and come back at once: static ones without leaving, others leave and join anew.
    Restart,
}

/// One line of a script; the same for every group of the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Seconds after the start.
    pub at_s: f64,
    /// What happens.
    pub action: Action,
    /// To how many members of each group.
    pub member_count: u32,
    /// Spread over so many seconds.
    #[serde(default)]
    pub over_s: f64,
}

impl FromStr for Event {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("{text}: AT_S:join|leave|die|restart:MEMBERS[:OVER_S] is wanted");
        let parts: Vec<&str> = text.split(':').collect();
        let [at_s, action, member_count, ref over_s @ ..] = parts[..] else { return Err(fault()) };
        let action = match action {
            "join" => Action::Join,
            "leave" => Action::Leave,
            "die" => Action::Die,
            "restart" => Action::Restart,
            _ => return Err(fault()),
        };
        let over_s = match over_s {
            [] => 0.0,
            [over_s] => over_s.parse().map_err(|_| fault())?,
            _ => return Err(fault()),
        };
        Ok(Self {
            at_s: at_s.parse().map_err(|_| fault())?,
            action,
            member_count: member_count.parse().map_err(|_| fault())?,
            over_s,
        })
    }
}

impl Event {
    /// As in a report.
    pub fn words(&self) -> String {
        let action = match self.action {
            Action::Join => "join",
            Action::Leave => "leave",
            Action::Die => "die",
            Action::Restart => "restart",
        };
        let over = if self.over_s > 0.0 { format!(" over {} s", self.over_s) } else { String::new() };
        format!("at {} s {} {action}{over}", self.at_s, self.member_count)
    }
}

/// One thing that happens to one member of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: Duration,
    /// To this group.
    pub group: u32,
    /// What.
    pub action: Action,
    /// Place of its event in the script.
    pub event: usize,
    /// After it, the event is over for this group.
    pub is_last: bool,
}

/// All steps for `groups` of `group_count`, soonest first. What is spread is spread over all groups as well.
pub fn steps(script: &[Event], groups: impl Iterator<Item = u32> + Clone, group_count: u32) -> Vec<Step> {
    let mut steps = Vec::new();
    for (event, line) in script.iter().enumerate() {
        let whole = f64::from(line.member_count) * f64::from(group_count);
        for member in 0..line.member_count {
            for group in groups.clone() {
                let place = f64::from(member) * f64::from(group_count) + f64::from(group);
                steps.push(Step {
                    at: Duration::from_secs_f64(line.at_s + line.over_s * place / whole),
                    group,
                    action: line.action,
                    event,
                    is_last: member + 1 == line.member_count,
                });
            }
        }
    }
    // Stable: at the same time things happen in the order of the script.
    steps.sort_by_key(|step| step.at);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_from_words_or_a_table() {
        let event: Event = "10:die:30:2.5".parse().unwrap();
        assert_eq!(event.words(), "at 10 s 30 die over 2.5 s");
        let table: Event =
            toml::from_str("at_s = 10\naction = \"die\"\nmember_count = 30\nover_s = 2.5").unwrap();
        assert_eq!(event, table);
        for wrong in ["", "1:join", "1:jion:3", "x:join:3", "1:join:-3", "1:join:3:4:5"] {
            assert!(wrong.parse::<Event>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn steps_are_spread_over_groups_and_time_and_each_group_knows_its_last() {
        let script = ["0:join:2:4".parse().unwrap(), "1:leave:1".parse().unwrap()];
        let steps = steps(&script, 0..2, 2);
        let told: Vec<_> =
            steps.iter().map(|step| (step.at.as_millis(), step.group, step.action, step.is_last)).collect();
        assert_eq!(
            told,
            [
                (0, 0, Action::Join, false),
                (1000, 1, Action::Join, false),
                (1000, 0, Action::Leave, true),
                (1000, 1, Action::Leave, true),
                (2000, 0, Action::Join, true),
                (3000, 1, Action::Join, true)
            ]
        );
    }
}

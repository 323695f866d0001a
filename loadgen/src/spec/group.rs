//! The checked form of the settings of `group`.
use serde::Serialize;

use super::check::{drawn, invalid, seconds, within};
use super::{GroupFlags, Produce, ReadFrom, SpecError};
use crate::group::{Action, Assignor, Event};

const GROUPS_MAX: u32 = 100_000;
const MEMBERS_MAX: u64 = 100_000;
const STEPS_MAX: u64 = 10_000_000;
const COMMITS_PER_S_MAX: u64 = 10_000_000;

/// Settings of `group`; the flags say what each means.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the flags of the same names say what each means")]
pub struct Group {
    pub name: String,
    pub group_count: u32,
    pub events: Vec<Event>,
    pub assignor: Assignor,
    pub is_static: bool,
    pub session_timeout_ms: u32,
    pub rebalance_timeout_ms: u32,
    pub heartbeat_ms: u32,
    pub commits_per_s: u64,
    pub commit_start_s: f64,
    pub commit_partition_count: u32,
    pub commit_interval_ms: u32,
    pub read: bool,
    pub from: ReadFrom,
    pub fetch_min_bytes: u32,
    pub fetch_max_wait_ms: u32,
    pub feed: bool,
    pub time_s: f64,
}

impl Group {
    pub(super) fn check(flags: GroupFlags, produce: &Produce) -> Result<Self, SpecError> {
        let time_s = produce.time_s.ok_or(SpecError::Missing { key: "time" })?;
        let from = flags.from.unwrap_or_default();
        if matches!(from, ReadFrom::Offset(_)) {
            return Err(invalid("--from", "OFFSET", "a group begins at earliest or latest"));
        }
        let session_timeout_ms =
            within("--session-timeout-ms", flags.session_timeout_ms.unwrap_or(45_000), 1..=86_400_000)?;
        let heartbeat_ms = within("--heartbeat-ms", flags.heartbeat_ms.unwrap_or(3_000), 1..=3_600_000)?;
        if heartbeat_ms >= session_timeout_ms {
            return Err(invalid("--heartbeat-ms", heartbeat_ms, "less than --session-timeout-ms"));
        }
        let checked = Self {
            // A name of its own: members that a run before left behind would be waited for until their sessions end.
            name: flags.name.unwrap_or_else(|| format!("thalweg-loadgen-{:08x}", drawn() as u32)),
            group_count: within("--groups", flags.group_count.unwrap_or(1), 1..=GROUPS_MAX)?,
            events: flags.events.unwrap_or_default(),
            assignor: flags.assignor.unwrap_or_default(),
            is_static: flags.is_static.unwrap_or(false),
            session_timeout_ms,
            rebalance_timeout_ms: within(
                "--rebalance-timeout-ms",
                flags.rebalance_timeout_ms.unwrap_or(300_000),
                1..=86_400_000,
            )?,
            heartbeat_ms,
            commits_per_s: within("--commit-rate", flags.commits_per_s.unwrap_or(0), 0..=COMMITS_PER_S_MAX)?,
            commit_start_s: seconds("--commit-start", flags.commit_start_s.unwrap_or(0.0))?,
            commit_partition_count: within(
                "--commit-partitions",
                flags.commit_partition_count.unwrap_or(1),
                1..=100_000,
            )?,
            commit_interval_ms: within(
                "--commit-interval-ms",
                flags.commit_interval_ms.unwrap_or(5_000),
                0..=86_400_000,
            )?,
            read: flags.read.unwrap_or(false),
            from,
            fetch_min_bytes: within("--fetch-min-bytes", flags.fetch_min_bytes.unwrap_or(1), 0..=1 << 30)?,
            fetch_max_wait_ms: within(
                "--fetch-max-wait-ms",
                flags.fetch_max_wait_ms.unwrap_or(500),
                0..=600_000,
            )?,
            feed: flags.feed.unwrap_or(false),
            time_s,
        };
        checked.check_script()?;
        Ok(checked)
    }

    fn check_script(&self) -> Result<(), SpecError> {
        if self.events.is_empty() {
            return Err(SpecError::Missing { key: "event" });
        }
        for event in &self.events {
            let end = event.at_s + event.over_s;
            if !(event.at_s >= 0.0 && event.over_s >= 0.0 && end <= self.time_s) {
                return Err(invalid("--event", event.words(), "within the time of the run (--time)"));
            }
            if event.member_count == 0 {
                return Err(invalid("--event", event.words(), "at least one member"));
            }
        }
        let steps: u64 = self.events.iter().map(|event| u64::from(event.member_count)).sum();
        let steps = steps * u64::from(self.group_count);
        if steps > STEPS_MAX {
            return Err(invalid("--event", steps, "at most ten million members in the whole script"));
        }
        if self.member_count_max() > MEMBERS_MAX {
            return Err(invalid("--event", self.member_count_max(), "at most 100 000 members at once"));
        }
        Ok(())
    }

    /// Most members that may be there at once, all groups together: those that leave may still be on their way.
    pub fn member_count_max(&self) -> u64 {
        let mut script: Vec<&Event> = self.events.iter().collect();
        script.sort_by(|one, other| one.at_s.total_cmp(&other.at_s));
        let (mut members, mut most) = (0_u64, 0);
        for event in script {
            let count = u64::from(event.member_count);
            match event.action {
                Action::Join => members += count,
                Action::Leave | Action::Die => members = members.saturating_sub(count),
                Action::Restart => {}
            }
            most = most.max(members);
        }
        most * u64::from(self.group_count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Arguments, Spec};
    use super::*;
    use clap::Parser as _;

    fn group(line: &str) -> Result<Group, SpecError> {
        let words = format!("thalweg-loadgen group --topic t {line}");
        let arguments = Arguments::try_parse_from(words.split_whitespace()).unwrap();
        match Spec::from_command(arguments.command)? {
            Spec::Group { group, .. } => Ok(group),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_script_may_come_from_a_file_with_units_in_its_keys() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "command = \"group\"\n[produce]\ntime_s = 20\n[group]\ngroup_count = 3\n\
             [[group.events]]\nat_s = 0\naction = \"join\"\nmember_count = 10\n\
             [[group.events]]\nat_s = 5.5\naction = \"die\"\nmember_count = 4\nover_s = 2\n",
        )
        .unwrap();
        let checked = group(&format!("--workload {}", file.path().display())).unwrap();
        assert_eq!(checked.events[1], "5.5:die:4:2".parse().unwrap());
        assert_eq!((checked.group_count, checked.member_count_max()), (3, 30));
    }

    #[test]
    fn a_script_that_cannot_be_played_is_refused() {
        for (line, key) in [
            ("--event 0:join:1", "--time"),
            ("--time 10", "--event"),
            ("--time 10 --event 9:join:5:2", "--event"),
            ("--time 10 --event 0:join:0", "--event"),
            ("--time 10 --event 0:join:5 --heartbeat-ms 5000 --session-timeout-ms 5000", "--heartbeat-ms"),
            ("--time 10 --event 0:join:5 --from 7", "--from"),
            ("--time 10 --event 0:join:1000 --groups 1000", "--event"),
        ] {
            let told = group(line).unwrap_err().to_string();
            assert!(told.starts_with(key), "{line}: {told}");
        }
    }
}

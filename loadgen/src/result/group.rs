//! What a run's groups went through.
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::client::code_name;
use crate::group;
use crate::histogram::LatencySummary;
use crate::spec;

/// Examples of commits that were lost, of all groups together.
const GONE_BACK_MAX: usize = 5;

/// The groups of a run.
#[derive(Clone, Debug, Serialize)]
pub struct GroupFigures {
    /// Groups.
    pub group_count: u32,
    /// Members alive at the end, all groups together.
    pub live_members: u64,
    /// Generations that a member reached, all groups together.
    pub rebalances: u64,
    /// The script, with what each line brought about.
    pub events: Vec<EventFigures>,
    /// Share of the time in which assignments were stable: all live members in one generation, every partition owned once.
    pub stable_share: f64,
    /// Time without a reader, by partition and rebalance; before a partition's first reader nothing stood still.
    pub stop_the_world: LatencySummary,
    /// From asking to join to the answer with a generation; includes the waiting for other members.
    pub join_latency: LatencySummary,
    /// From asking for a share to having it; includes the waiting for the leader.
    pub sync_latency: LatencySummary,
    /// Heartbeats.
    pub heartbeat_latency: LatencySummary,
    /// Seconds over which commits at a rate are counted: after the warm-up, to the end of the run.
    pub commit_window_s: f64,
    /// Commits a second.
    pub commits_per_s: f64,
    /// Offsets in them a second.
    pub committed_offsets_per_s: f64,
    /// Commits at a rate, from the intended time.
    pub commit_latency: LatencySummary,
    /// The same from the sending.
    pub commit_service: LatencySummary,
    /// Commits that were due and never sent.
    pub unsent_commits: u64,
    /// Commits without an answer.
    pub lost_commits: u64,
    /// Records that reached members.
    pub read_records: u64,
    /// Of them, records that had reached a member of the group before.
    pub doubled_records: u64,
    /// Records of the log that reached no member of a group; `null`: nobody read.
    pub missed_records: Option<u64>,
    /// The first few, in words.
    pub missed_examples: Vec<String>,
    /// Offsets of each group whose commits were answered, by partition; -1: none.
    pub committed_offsets: BTreeMap<String, Vec<i64>>,
    /// Committed offsets that were told lower than a commit that had been answered.
    pub gone_back_offsets: u64,
    /// The first few, in words.
    pub gone_back_examples: Vec<String>,
    /// How often a partition got a reader while it had another.
    pub overlaps: u64,
    /// Answers with an error, by API and Kafka's name.
    pub errors: BTreeMap<String, u64>,
    /// Connections that broke.
    pub lost_links: u64,
    /// Members that gave up.
    pub failed_members: u64,
}

/// One line of the script.
#[derive(Clone, Debug, Serialize)]
pub struct EventFigures {
    /// In words.
    pub event: String,
    /// Groups to which it happened.
    pub group_count: u64,
    /// Groups that were not stable after it any more.
    pub never_stable: u64,
    /// From its end to the next stable assignment, by group.
    pub time_to_stable: LatencySummary,
}

impl GroupFigures {
    /// From the merged tally of all threads.
    pub fn new(
        tally: &group::Tally,
        groups: &[group::Group],
        spec: &spec::Group,
        missed: Option<group::Missed>,
        elapsed: Duration,
    ) -> Self {
        let window_s = tally.end.min(elapsed).saturating_sub(tally.warm_up).as_secs_f64();
        let per_s = |count: u64| if window_s > 0.0 { count as f64 / window_s } else { 0.0 };
        let (stable, whole) = (tally.stable_of.0.as_secs_f64(), tally.stable_of.1.as_secs_f64());
        let events = spec.events.iter().zip(&tally.events).map(|(event, figures)| EventFigures {
            event: event.words(),
            group_count: figures.group_count,
            never_stable: figures.group_count - figures.settled.count(),
            time_to_stable: figures.settled.summary(),
        });
        let committed =
            groups.iter().map(|group| (group.name.clone(), group.committed.answered().to_vec())).collect();
        let gone_back =
            groups.iter().flat_map(|group| &group.committed.examples).take(GONE_BACK_MAX).cloned().collect();
        let errors =
            tally.errors.iter().map(|((api, code), count)| (format!("{api} {}", code_name(*code)), *count));
        Self {
            group_count: spec.group_count,
            live_members: tally.live_members,
            rebalances: tally.generations,
            events: events.collect(),
            stable_share: if whole > 0.0 { stable / whole } else { 0.0 },
            stop_the_world: tally.gaps.summary(),
            join_latency: tally.joins.summary(),
            sync_latency: tally.syncs.summary(),
            heartbeat_latency: tally.beats.summary(),
            commit_window_s: window_s,
            commits_per_s: per_s(tally.committed),
            committed_offsets_per_s: per_s(tally.committed_offsets),
            commit_latency: tally.commits.summary(),
            commit_service: tally.commit_services.summary(),
            unsent_commits: tally.unsent_commits,
            lost_commits: tally.lost_commits,
            read_records: tally.records,
            doubled_records: tally.doubled_records,
            missed_records: missed.as_ref().map(|missed| missed.records),
            missed_examples: missed.map(|missed| missed.examples).unwrap_or_default(),
            committed_offsets: committed,
            gone_back_offsets: groups.iter().map(|group| group.committed.gone_back).sum(),
            gone_back_examples: gone_back,
            overlaps: tally.overlaps,
            errors: errors.collect(),
            lost_links: tally.lost_links,
            failed_members: tally.failure_count,
        }
    }
}

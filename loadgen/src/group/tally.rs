//! All that one thread measures of its groups.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::client::Cause;
use crate::histogram::Latencies;
use crate::run::Progress;
use crate::series::Series;

/// Figures of one thread, or of several merged.
#[derive(Debug)]
pub struct Tally {
    /// Commits meant to leave before are in no figure.
    pub warm_up: Duration,
    /// Commits answered after are in no rate.
    pub end: Duration,
    /// Told a line a second.
    pub progress: Arc<Progress>,
    /// From asking to join to the answer with a generation.
    pub joins: Latencies,
    /// From asking for a share to having it.
    pub syncs: Latencies,
    /// Heartbeats.
    pub beats: Latencies,
    /// Commits at a rate: from the intended time to the answer.
    pub commits: Latencies,
    /// The same from the sending.
    pub commit_services: Latencies,
    /// Commits answered without an error inside of the measured window.
    pub committed: u64,
    /// Offsets in them.
    pub committed_offsets: u64,
    /// Commits without an answer: their connection broke.
    pub lost_commits: u64,
    /// Commits that were due and never sent.
    pub unsent_commits: u64,
    /// Time without a reader, by partition and rebalance.
    pub gaps: Latencies,
    /// By event of the script: time to a stable assignment, by group.
    pub events: Vec<EventTally>,
    /// Answers with an error, by API and code.
    pub errors: BTreeMap<(&'static str, i16), u64>,
    /// Connections that broke.
    pub lost_links: u64,
    /// Generations that a member reached, all groups together.
    pub generations: u64,
    /// Partitions that got a reader while they had another.
    pub overlaps: u64,
    /// Time in which assignments were stable, and time in which groups had members; sums over groups.
    pub stable_of: (Duration, Duration),
    /// Members alive at the end.
    pub live_members: u64,
    /// Records that reached members, and those that came again.
    pub records: u64,
    /// Of them, those that had reached one before.
    pub doubled_records: u64,
    /// Second by second: commits, and their latencies.
    pub series: Series,
    /// What did not go as asked.
    pub failures: Vec<String>,
    /// Failures beyond those kept.
    pub failure_count: u64,
}

/// One event of the script.
#[derive(Clone, Debug, Default)]
pub struct EventTally {
    /// Groups to which it happened.
    pub group_count: u64,
    /// Time to the next stable assignment.
    pub settled: Latencies,
}

/// Failures kept in words; more are counted.
const FAILURES_MAX: usize = 20;

impl Tally {
    /// Nothing yet, for a script of so many events.
    pub fn new(warm_up: Duration, end: Duration, event_count: usize, progress: Arc<Progress>) -> Self {
        Self {
            warm_up,
            end,
            progress,
            joins: Latencies::new(),
            syncs: Latencies::new(),
            beats: Latencies::new(),
            commits: Latencies::new(),
            commit_services: Latencies::new(),
            committed: 0,
            committed_offsets: 0,
            lost_commits: 0,
            unsent_commits: 0,
            gaps: Latencies::new(),
            events: vec![EventTally::default(); event_count],
            errors: BTreeMap::new(),
            lost_links: 0,
            generations: 0,
            overlaps: 0,
            stable_of: (Duration::ZERO, Duration::ZERO),
            live_members: 0,
            records: 0,
            doubled_records: 0,
            series: Series::new(&["commit", "commit_service"]),
            failures: Vec::new(),
            failure_count: 0,
        }
    }

    /// A commit at a rate, sent at `sent`, was taken.
    pub fn on_committed(&mut self, intended: Duration, sent: Duration, offsets: usize, now: Duration) {
        let (latency, service) = (now.saturating_sub(intended), now.saturating_sub(sent));
        self.series.record(now, 1, 0);
        self.series.record_latency(now, 0, latency, 1);
        self.series.record_latency(now, 1, service, 1);
        self.progress.add(1, 0);
        self.progress.took(latency, 1);
        if intended >= self.warm_up {
            self.commits.record(latency);
            self.commit_services.record(service);
        }
        if now >= self.warm_up && now < self.end {
            self.committed += 1;
            self.committed_offsets += offsets as u64;
        }
    }

    /// The broker answered with an error.
    pub fn on_error(&mut self, api: &'static str, code: i16, now: Duration) {
        *self.errors.entry((api, code)).or_default() += 1;
        self.series.record_error(now, Cause::Code(code));
        self.progress.failed();
    }

    /// Something ended before its time.
    pub fn fail(&mut self, told: String) {
        self.failure_count += 1;
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(told);
        }
    }

    /// Takes over another thread's figures, all but its series.
    pub fn merge(&mut self, other: &mut Self) {
        self.joins.merge(&other.joins);
        self.syncs.merge(&other.syncs);
        self.beats.merge(&other.beats);
        self.commits.merge(&other.commits);
        self.commit_services.merge(&other.commit_services);
        self.gaps.merge(&other.gaps);
        self.committed += other.committed;
        self.committed_offsets += other.committed_offsets;
        self.lost_commits += other.lost_commits;
        self.unsent_commits += other.unsent_commits;
        for (own, others) in self.events.iter_mut().zip(&other.events) {
            own.group_count += others.group_count;
            own.settled.merge(&others.settled);
        }
        for (what, count) in &other.errors {
            *self.errors.entry(*what).or_default() += count;
        }
        self.lost_links += other.lost_links;
        self.generations += other.generations;
        self.overlaps += other.overlaps;
        self.stable_of.0 += other.stable_of.0;
        self.stable_of.1 += other.stable_of.1;
        self.live_members += other.live_members;
        self.records += other.records;
        self.doubled_records += other.doubled_records;
        self.failure_count += other.failure_count;
        let room = FAILURES_MAX.saturating_sub(self.failures.len());
        self.failures.extend(other.failures.drain(..).take(room));
    }
}

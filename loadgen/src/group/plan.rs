//! From settings to workers: topic, bounds, leaders, groups dealt to threads.
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::FetchRequest;

use super::coordinate::{GroupVersions, Voice};
use super::member::Rules;
use super::script::steps;
use super::seat::Group;
use super::{Board, Committed, Delivered, Tally, Worker};
use crate::client::{Control, Poll, Topic};
use crate::machine::Peer;
use crate::run::files;
use crate::run::{Progress, RunError};
use crate::schedule::{Load, Schedule};
use crate::spec::{self, Common, Produce, ReadFrom};

/// Fetch v13 names topics by id; the generator names them.
const FETCH_VERSION_MAX: i16 = 12;

/// What all members of a run share.
#[derive(Debug)]
pub struct Plan {
    pub(crate) voice: Voice,
    pub(crate) rules: Rules,
    /// Asked for coordinators.
    pub(crate) bootstrap: SocketAddr,
    pub(crate) leaders: Vec<SocketAddr>,
    /// Place among `leaders` of each partition's.
    pub(crate) leader_of: Vec<usize>,
    /// First offset and end of each partition before the run.
    pub(crate) bounds: Vec<Range<i64>>,
    from_latest: bool,
    pub(crate) is_static: bool,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) retry_time: Duration,
    pub(crate) fetch_version: i16,
    pub(crate) fetch_wait: Duration,
    pub(crate) fetch_min_bytes: i32,
    pub(crate) commit_partition_count: usize,
    /// Commits at a rate are due from here on.
    pub(crate) commit_start: Duration,
    pub(crate) end: Duration,
    pub(crate) drain: Duration,
}

impl Plan {
    pub(crate) fn partition_count(&self) -> i32 {
        self.bounds.len() as i32
    }

    /// Sockets of a member.
    pub(crate) fn link_count(&self) -> usize {
        1 + if self.rules.reads { self.leaders.len() } else { 0 }
    }

    /// Where reading of a partition begins with this commit; -1: there is none.
    pub(crate) fn begin(&self, partition: i32, committed: i64) -> i64 {
        let Some(bounds) = self.bounds.get(partition as usize) else { return 0 };
        match committed {
            0.. => committed,
            _ if self.from_latest => bounds.end,
            _ => bounds.start,
        }
    }

    /// Offsets that are to reach a group: from where a reader without a commit begins, to `ends`.
    pub(crate) fn wanted(&self, ends: &[i64]) -> Vec<Range<i64>> {
        (0..).zip(ends).map(|(partition, end)| self.begin(partition, -1)..*end).collect()
    }
}

/// All that is ready to run.
pub struct Membership {
    /// The threads' work.
    pub workers: Vec<Worker>,
    /// The run.
    pub plan: Arc<Plan>,
    /// The topic.
    pub topic: Topic,
    /// The broker asked first.
    pub peer: Option<Peer>,
}

/// Makes everything ready: topic, bounds, event loops. Nobody has joined when this returns.
///
/// # Errors
/// If a broker cannot be reached or refuses, there is no such topic, or the process may not open so many sockets.
pub fn prepare(
    common: &Common,
    produce: &Produce,
    group: &spec::Group,
    progress: &Arc<Progress>,
) -> Result<Membership, RunError> {
    let mut control = Control::connect(&common.brokers, &common.client_id)?;
    let topic = Topic::ensure(
        &mut control,
        &common.topic,
        produce.partition_count,
        produce.replica_count,
        &produce.topic_configs,
    )?;
    let peer = control.peer();
    let bootstrap = peer.as_ref().map_or_else(|| topic.partitions[0].leader, |peer| peer.address);
    let bounds = topic.bounds(&common.client_id)?;
    let mut leaders: Vec<SocketAddr> = topic.partitions.iter().map(|partition| partition.leader).collect();
    let all_leaders = leaders.clone();
    leaders.sort_unstable();
    leaders.dedup();
    let leader_of = all_leaders
        .iter()
        .map(|leader| leaders.iter().position(|known| known == leader).unwrap_or(0))
        .collect();
    let versions = GroupVersions::choose(control.versions())?;
    let plan = Arc::new(Plan {
        voice: Voice {
            versions,
            client_id: common.client_id.clone(),
            topic: topic.name.clone(),
            assignor: group.assignor,
            session_timeout_ms: group.session_timeout_ms as i32,
            rebalance_timeout_ms: group.rebalance_timeout_ms as i32,
        },
        rules: Rules {
            assignor: group.assignor,
            heartbeat: Duration::from_millis(group.heartbeat_ms.into()),
            commit_interval: (group.commit_interval_ms > 0)
                .then(|| Duration::from_millis(group.commit_interval_ms.into())),
            reads: group.read,
        },
        bootstrap,
        leaders,
        leader_of,
        bounds: bounds.into_values().collect(),
        from_latest: group.from == ReadFrom::Latest,
        is_static: group.is_static,
        rebalance_timeout: Duration::from_millis(group.rebalance_timeout_ms.into()),
        retry_time: common.retry_time(),
        fetch_version: control.versions().choose::<FetchRequest>(FETCH_VERSION_MAX)?,
        fetch_wait: Duration::from_millis(group.fetch_max_wait_ms.into()),
        fetch_min_bytes: group.fetch_min_bytes as i32,
        commit_partition_count: group.commit_partition_count as usize,
        commit_start: Duration::from_secs_f64(group.commit_start_s),
        end: Duration::from_secs_f64(group.time_s),
        drain: Duration::from_secs_f64(produce.drain_s),
    });
    files::may_open(group.member_count_max() * plan.link_count() as u64)?;
    let workers = workers(common, group, &plan, progress)?;
    Ok(Membership { workers, plan, topic, peer })
}

/// Groups are dealt to threads; all members of a group are driven by one.
fn workers(
    common: &Common,
    group: &spec::Group,
    plan: &Arc<Plan>,
    progress: &Arc<Progress>,
) -> Result<Vec<Worker>, RunError> {
    let thread_count = common.thread_count.min(group.group_count);
    let partition_count = plan.bounds.len();
    let load = Load {
        rate_per_s: group.commits_per_s,
        record_count: None,
        // The schedule's clock begins with the first commit.
        end: Some(plan.end.saturating_sub(plan.commit_start)),
        producer_count: thread_count,
        batch_records: 1,
        linger: None,
    };
    let mut workers = Vec::new();
    for thread in 0..thread_count {
        let own = (thread..group.group_count).step_by(thread_count as usize);
        let name = |number: u32| match group.group_count {
            1 => group.name.clone(),
            _ => format!("{}-{number}", group.name),
        };
        let groups = own.clone().map(|number| Group {
            name: name(number),
            board: Board::new(partition_count),
            delivered: Delivered::new(partition_count),
            committed: Committed::new(partition_count),
            serving: std::collections::VecDeque::new(),
            free: Vec::new(),
            identity_next: 0,
        });
        workers.push(Worker {
            plan: Arc::clone(plan),
            poll: Poll::new().map_err(|source| RunError::System { what: "making an event loop", source })?,
            groups: groups.collect(),
            group_first: thread,
            group_step: thread_count,
            steps: steps(&group.events, own, group.group_count),
            commits: (group.commits_per_s > 0).then(|| Schedule::new(&load, thread)),
            tally: Tally::new(common.warm_up(), plan.end, group.events.len(), Arc::clone(progress)),
        });
    }
    Ok(workers)
}

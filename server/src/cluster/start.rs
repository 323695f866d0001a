//! From the metadata log and the logs that are there to a cluster that serves.
//!
//! | the metadata says | the engine has it | what is done |
//! |--|--|--|
//! | ready | yes | served |
//! | ready | no | offline, reported, never made anew: its records were promised |
//! | created, not ready | no | made: nobody was told of it |
//! | deleted, not gone | yes | deleted |
//! | nothing | yes | kept aside and reported |
//!
//! While a log directory cannot be used nothing that may be in it is made or taken for gone: topics that were not ready
//! wait, those that were deleted stay so until their logs are found and deleted.

use super::METADATA_LOG_ID;
use super::changes::{Change, ChangeError};
use super::errors::StoreError;
use super::format::FormatError;
use super::image::{Image, Partition, Topic};
use super::lead::{Lead, identity};
use super::rules::Rules;
use super::state::State;
use super::store::{FoundLog, Store};
use arc_swap::ArcSwap;
use rustc_hash::FxHashMap;
use std::rc::Rc;
use std::sync::Arc;
use thalweg_engine::units::LogId;

/// Why the cluster did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterStartError {
    /// Data without the log that says what it is.
    #[error(
        "the log directories hold {log_count} logs but no metadata log: is a log directory missing? Nothing was changed"
    )]
    MetadataMissing {
        /// Logs that were found.
        log_count: usize,
    },
    /// It may be in a directory that cannot be used.
    #[error(
        "the metadata log is in none of the log directories that work: it is in {}, which cannot be used, or nowhere. Mend what the lines above name, or take it out of log.dirs, and start again. Nothing was changed",
        directories.join(" or ")
    )]
    MetadataAbsent {
        /// Those that do not work.
        directories: Vec<String>,
    },
    /// The metadata log is there and cannot be read.
    #[error("the metadata log is offline: {reason}")]
    MetadataOffline {
        /// What happened.
        reason: String,
    },
    /// A record that cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A record that does not fit.
    #[error("the metadata log contradicts itself: {0}")]
    Change(#[from] ChangeError),
    /// The broker's values for topics do not fit together.
    #[error(transparent)]
    Config(crate::config::ConfigError),
    /// The log cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a start found and did, for the log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterStarted {
    /// Topics that are served.
    pub topic_count: usize,
    /// Their partitions.
    pub partition_count: usize,
    /// Those of them that are offline.
    pub offline_count: usize,
    /// Topics and additions whose logs were made now.
    pub completed_count: usize,
    /// Deleted topics whose logs were deleted now.
    pub deleted_count: usize,
    /// Logs that the metadata does not know.
    pub unknown_count: usize,
}

type Found = FxHashMap<LogId, FoundLog>;

/// Loads the metadata log, raises the epochs after an unclean stop, holds partitions against logs, completes what was cut
/// short and publishes the image.
pub(super) async fn start<S: Store>(
    store: S,
    cluster_id: String,
    unclean: bool,
    published: Arc<ArcSwap<Image>>,
    rules: Rules,
) -> Result<(Rc<Lead<S>>, ClusterStarted), ClusterStartError> {
    let found: Found = store.logs().await?.into_iter().map(|log| (log.identity.log_id, log)).collect();
    match found.get(&METADATA_LOG_ID) {
        Some(FoundLog { fault: Some(reason), .. }) => {
            return Err(ClusterStartError::MetadataOffline { reason: reason.clone() });
        }
        Some(_) => {}
        None if !store.directories_stopped().is_empty() => {
            return Err(ClusterStartError::MetadataAbsent { directories: store.directories_stopped() });
        }
        None if !found.is_empty() => {
            return Err(ClusterStartError::MetadataMissing { log_count: found.len() });
        }
        None => store.create_metadata_log().await?,
    }
    let mut image = replay(&store, cluster_id, &rules).await?;
    let mut started = ClusterStarted::default();
    place(&mut image, &found, &mut started);
    let lead = Rc::new(Lead::new(store, State::new(image, rules), published));
    if unclean {
        lead.commit(|_| Ok::<_, StoreError>((vec![Change::UncleanStart], ()))).await?;
    }
    complete(&lead, &mut started).await?;
    let image = lead.state.borrow().durable.clone();
    for topic in image.topics() {
        lead.configure(topic).await;
    }
    started.topic_count = image.topics().len();
    lead.publish_now();
    Ok((lead, started))
}

async fn replay<S: Store>(store: &S, cluster_id: String, rules: &Rules) -> Result<Image, ClusterStartError> {
    let mut image = Image::new(cluster_id);
    let mut outcome = Ok(());
    store
        .replay(&mut |record| {
            if outcome.is_ok() {
                outcome = take_record(&mut image, record, rules);
            }
        })
        .await?;
    outcome.map(|()| image)
}

fn take_record(image: &mut Image, record: &[u8], rules: &Rules) -> Result<(), ClusterStartError> {
    let change = Change::decode(record)?;
    Ok(image.apply(&change, rules)?)
}

/// Says of every ready partition where its log is, or that it is not.
fn place(image: &mut Image, found: &Found, started: &mut ClusterStarted) {
    let mut known: Vec<LogId> = Vec::new();
    let topics: Vec<Arc<Topic>> = image.by_id.values().cloned().collect();
    for topic in topics {
        let mut placed = Topic::clone(&topic);
        for partition in &mut placed.partitions {
            place_partition(&topic, partition, found.get(&partition.log_id), started);
        }
        started.partition_count += placed.partitions.len();
        known.extend(placed.partitions_all().map(|partition| partition.log_id));
        image.put(placed);
    }
    for topic in image.creating.values().chain(image.deleting.values()) {
        known.extend(topic.partitions_all().map(|partition| partition.log_id));
    }
    let known: std::collections::HashSet<LogId> = known.into_iter().collect();
    for log in found.values().filter(|log| log.identity.log_id != METADATA_LOG_ID) {
        if !known.contains(&log.identity.log_id) {
            started.unknown_count += 1;
            let (topic, partition) = (&log.identity.topic, log.identity.partition);
            tracing::error!(log_id = %log.identity.log_id, topic, partition, "a log that the metadata does not know is kept aside");
        }
    }
}

fn place_partition(
    topic: &Topic,
    partition: &mut Partition,
    found: Option<&FoundLog>,
    started: &mut ClusterStarted,
) {
    let fault = match found {
        None => Some("its log is missing: it is not made anew".to_owned()),
        Some(log) if log.identity != identity(topic, partition) => Some(format!(
            "its log says that it is partition {} of {}",
            log.identity.partition, log.identity.topic
        )),
        Some(log) => {
            partition.owner = log.shard;
            log.fault.clone()
        }
    };
    if let Some(fault) = fault {
        partition.online = false;
        started.offline_count += 1;
        tracing::error!(topic = topic.name, partition = partition.index, fault, "a partition is offline");
    }
}

/// Ends what the last life of the broker began: deletions, creations, additions.
async fn complete<S: Store>(lead: &Lead<S>, started: &mut ClusterStarted) -> Result<(), ClusterStartError> {
    let image = lead.state.borrow().durable.clone();
    for topic in image.deleting.values() {
        lead.delete_logs(topic).await;
        started.deleted_count += 1;
    }
    if !lead.store.directories_stopped().is_empty() {
        // What seems to be missing may be there: nothing is made a second time.
        let waiting = image.creating.len() + image.topics().filter(|topic| topic.is_growing()).count();
        if waiting > 0 {
            tracing::error!(
                waiting,
                "topics that a stop cut short are completed once all log directories work"
            );
        }
        return Ok(());
    }
    for topic in image.creating.values() {
        let made = lead.make_logs(topic, &topic.partitions).await;
        if complete_one(lead, topic, made, Change::TopicReady { topic_id: topic.id }).await? {
            started.completed_count += 1;
            started.partition_count += topic.partitions.len();
        }
    }
    for topic in image.topics().filter(|topic| topic.is_growing()) {
        let made = lead.make_logs(topic, &topic.partitions_adding).await;
        if complete_one(lead, topic, made, Change::PartitionsReady { topic_id: topic.id }).await? {
            started.completed_count += 1;
            started.partition_count += topic.partitions_adding.len();
        }
    }
    Ok(())
}

async fn complete_one<S: Store>(
    lead: &Lead<S>,
    topic: &Topic,
    made: Result<(), String>,
    ready: Change,
) -> Result<bool, ClusterStartError> {
    if let Err(reason) = made {
        tracing::error!(
            topic = topic.name,
            reason,
            "a topic could not be completed; the next start tries again"
        );
        return Ok(false);
    }
    tracing::info!(topic = topic.name, "completed what the last stop cut short");
    lead.commit(|_| Ok::<_, StoreError>((vec![ready], ()))).await?;
    Ok(true)
}

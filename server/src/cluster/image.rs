//! What exists: an immutable view of the whole broker, read by every shard.

use crate::config::TopicSettings;
use crate::route::ShardId;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use thalweg_engine::units::LogId;
use uuid::Uuid;

/// One partition, as all shards know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number in the topic, from 0; also its place in `Topic::partitions`.
    pub index: i32,
    /// Its log, on the owner's engine.
    pub log_id: LogId,
    /// 0 at creation, one more at every unclean start.
    pub leader_epoch: i32,
    /// The shard that has the log.
    pub owner: ShardId,
    /// False when the start did not find its log or its log directory stopped since: it is not served and never made anew.
    pub online: bool,
}

/// One topic that can be served.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Given at creation; a topic of the same name made later has another.
    pub id: Uuid,
    /// By index, without gaps.
    pub partitions: Vec<Partition>,
    /// What the topic itself sets, by Kafka's names.
    pub overrides: BTreeMap<String, String>,
    /// Every setting, the topic's own or the broker's; shared by topics that set nothing.
    pub settings: Arc<TopicSettings>,
    /// One of the broker's own.
    pub internal: bool,
    /// Added, but their logs are not all made yet: not served.
    pub(super) partitions_adding: Vec<Partition>,
}

impl Topic {
    /// A partition by its number on the wire.
    pub fn partition(&self, index: i32) -> Option<&Partition> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    /// Whether partitions are being added.
    pub(super) fn is_growing(&self) -> bool {
        !self.partitions_adding.is_empty()
    }

    /// Those that are served and those that are being made.
    pub(super) fn partitions_all(&self) -> impl Iterator<Item = &Partition> {
        self.partitions.iter().chain(&self.partitions_adding)
    }
}

/// A broker view: what the metadata log says, as of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// The cluster's id, as Metadata answers it.
    pub cluster_id: String,
    /// One past the last producer id that was given to any shard, as of the last publication.
    pub producer_id_end: i64,
    /// Unclean starts so far.
    pub unclean_start_count: u32,
    /// Topics that were served and are deleted: who follows the image may have seen neither the topic nor its going.
    pub deleted_count: u64,
    /// Partitions of all topics, also of those being made or deleted: what limits creation.
    pub(super) partition_count: usize,
    /// Served topics by name.
    pub(super) by_name: BTreeMap<Arc<str>, Arc<Topic>>,
    /// The same topics by id.
    pub(super) by_id: FxHashMap<Uuid, Arc<Topic>>,
    /// Recorded, their logs not all made: the name is taken, nobody sees them.
    pub(super) creating: BTreeMap<Uuid, Arc<Topic>>,
    /// Their names.
    pub(super) creating_names: BTreeSet<String>,
    /// Deleted, their logs not all gone: nobody sees them.
    pub(super) deleting: BTreeMap<Uuid, Arc<Topic>>,
}

impl Image {
    /// An empty cluster.
    pub fn new(cluster_id: String) -> Self {
        Self { cluster_id, ..Self::default() }
    }

    /// A served topic by name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(name)
    }

    /// A served topic by id.
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    /// Every served topic, in the order of their names.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Arc<Topic>> {
        self.by_name.values()
    }

    /// Partitions of all topics, also of those being made or deleted.
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// A topic in whatever state, by id.
    pub(super) fn any_by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.by_id.get(&id).or_else(|| self.creating.get(&id)).or_else(|| self.deleting.get(&id))
    }

    /// Whether a topic has the name or is being made with it.
    pub(super) fn is_taken(&self, name: &str) -> bool {
        self.by_name.contains_key(name) || self.creating_names.contains(name)
    }

    /// The logs of these partitions cannot be asked until the next start; how many of them were online.
    pub(super) fn take_offline(&mut self, logs: &BTreeSet<LogId>) -> usize {
        let mut count = 0;
        let is_hit = |partition: &Partition| partition.online && logs.contains(&partition.log_id);
        let hit = |topic: &&Arc<Topic>| topic.partitions.iter().any(is_hit);
        for topic in self.by_id.values().filter(hit).cloned().collect::<Vec<_>>() {
            let mut topic = Topic::clone(&topic);
            for partition in topic.partitions.iter_mut().filter(|partition| is_hit(partition)) {
                partition.online = false;
                count += 1;
            }
            self.put(topic);
        }
        count
    }

    /// Puts a changed topic in its place.
    pub(super) fn put(&mut self, topic: Topic) {
        let topic = Arc::new(topic);
        if self.by_id.contains_key(&topic.id) {
            self.by_name.insert(Arc::from(topic.name.as_str()), Arc::clone(&topic));
            self.by_id.insert(topic.id, topic);
        } else if let Some(place) = self.creating.get_mut(&topic.id) {
            *place = topic;
        } else if let Some(place) = self.deleting.get_mut(&topic.id) {
            *place = topic;
        }
    }
}

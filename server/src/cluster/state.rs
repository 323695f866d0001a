//! What the lead knows beyond the published image: changes on their way to the device, and what they will make.
//!
//! ```text
//! durable ........ staged
//!  on the device    decided, in the log's tail: what the next decision is held against
//! ```
//! Changes are decided one after another and become durable in that order, so that both images are built by the same
//! records in the same order.

use super::METADATA_TOPIC;
use super::changes::Change;
use super::errors::{AddPartitionsError, CreateTopicError, DeleteTopicError};
use super::image::{Image, Topic};
use super::names::{collision_key, validate_name};
use super::rules::Rules;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use thalweg_engine::units::{LogId, Offset};
use uuid::Uuid;

/// How many producer ids a shard gets at a time.
pub const PRODUCER_IDS_PER_BLOCK: i64 = 1000;

/// A topic to be created; its overrides were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions, at least one.
    pub partition_count: usize,
    /// What the topic itself sets.
    pub overrides: BTreeMap<String, String>,
}

/// A broker view, of shard 0.
#[derive(Debug)]
pub(super) struct State {
    pub(super) staged: Image,
    pub(super) durable: Image,
    pending: VecDeque<(Offset, Vec<Change>)>,
    /// Staged topics with a `.` or `_` in their names, by collision key.
    collisions: BTreeMap<String, BTreeSet<String>>,
    pub(super) rules: Rules,
    /// Deleted topics with logs in directories that do not work: those stay for a later start, the name is free.
    pub(super) left_behind: BTreeSet<Uuid>,
}

impl State {
    pub(super) fn new(image: Image, rules: Rules) -> Self {
        let mut collisions = BTreeMap::<String, BTreeSet<String>>::new();
        for topic in image.by_name.values().chain(image.creating.values()) {
            note_collision(&mut collisions, &topic.name);
        }
        let (pending, left_behind) = (VecDeque::new(), BTreeSet::new());
        Self { durable: image.clone(), staged: image, pending, collisions, rules, left_behind }
    }

    /// Takes changes that were staged up to `end`.
    ///
    /// # Panics
    /// When they do not fit: they were decided on this very state.
    pub(super) fn stage(&mut self, end: Offset, changes: Vec<Change>) {
        for change in &changes {
            match change {
                Change::TopicCreated { name, .. } => note_collision(&mut self.collisions, name),
                Change::TopicDeleted { topic_id } => {
                    if let Some(topic) = self.staged.any_by_id(*topic_id).cloned() {
                        self.forget_collision(&topic.name);
                    }
                }
                _ => {}
            }
            let applied = self.staged.apply(change, &self.rules);
            assert!(applied.is_ok(), "a decision does not fit the state it was made on: {applied:?}");
        }
        self.pending.push_back((end, changes));
    }

    /// Everything below `end` is on the device.
    ///
    /// # Panics
    /// When records do not fit in the order they were staged in.
    pub(super) fn settle(&mut self, end: Offset) {
        while self.pending.front().is_some_and(|(pending_end, _)| *pending_end <= end) {
            for change in self.pending.pop_front().map(|(_, changes)| changes).unwrap_or_default() {
                let applied = self.durable.apply(&change, &self.rules);
                assert!(applied.is_ok(), "staged changes become durable in another order: {applied:?}");
            }
        }
    }

    fn forget_collision(&mut self, name: &str) {
        let key = collision_key(name);
        if let Some(names) = self.collisions.get_mut(&key) {
            names.remove(name);
            if names.is_empty() {
                self.collisions.remove(&key);
            }
        }
    }

    /// Whether a topic may be created, without anything done.
    pub(super) fn check_create(&self, new: &NewTopic) -> Result<(), CreateTopicError> {
        validate_name(&new.name)?;
        let name = || new.name.clone();
        if new.name == METADATA_TOPIC {
            return Err(CreateTopicError::Prohibited { name: name() }); // its directory is the metadata log's
        }
        if self.staged.is_taken(&new.name) {
            return Err(CreateTopicError::Exists { name: name() });
        }
        let colliding = self.collisions.get(&collision_key(&new.name)).and_then(BTreeSet::first);
        if let Some(existing) = colliding {
            return Err(CreateTopicError::Collides { name: name(), existing: existing.clone() });
        }
        let is_in_the_way = |topic: &Topic| topic.name == new.name && !self.left_behind.contains(&topic.id);
        if self.staged.deleting.values().any(|topic| is_in_the_way(topic)) {
            let reason = "those of its predecessor are not all deleted".to_owned();
            return Err(CreateTopicError::Logs { name: name(), reason });
        }
        let (wanted, partition_count_max) = (new.partition_count, self.rules.partition_count_max);
        if self.staged.partition_count + wanted > partition_count_max {
            return Err(CreateTopicError::TooManyPartitions { wanted, partition_count_max });
        }
        Ok(())
    }

    pub(super) fn create(
        &self,
        new: &NewTopic,
        topic_id: Uuid,
        log_ids: Vec<LogId>,
    ) -> Result<Change, CreateTopicError> {
        self.check_create(new)?;
        let (name, overrides) = (new.name.clone(), new.overrides.clone());
        Ok(Change::TopicCreated { name, topic_id, log_ids, overrides })
    }

    pub(super) fn delete(&self, topic_id: Uuid) -> Result<Change, DeleteTopicError> {
        self.staged.topic_by_id(topic_id).ok_or(DeleteTopicError::Unknown)?;
        Ok(Change::TopicDeleted { topic_id })
    }

    /// Whether a topic may grow to `count` partitions; what it is now.
    pub(super) fn check_add_partitions(
        &self,
        name: &str,
        count: usize,
    ) -> Result<Arc<Topic>, AddPartitionsError> {
        let topic = self.staged.topic(name).ok_or(AddPartitionsError::Unknown)?;
        let known = topic.partitions.len();
        if count <= known {
            let name = name.to_owned();
            return Err(AddPartitionsError::Count { name, count: known, wanted: count });
        }
        let (wanted, partition_count_max) = (count - known, self.rules.partition_count_max);
        if self.staged.partition_count + wanted > partition_count_max {
            return Err(AddPartitionsError::TooManyPartitions { wanted, partition_count_max });
        }
        if !topic.partitions_adding.is_empty() {
            let reason = "those of an earlier request are not all made".to_owned();
            return Err(AddPartitionsError::Logs { name: name.to_owned(), reason });
        }
        Ok(Arc::clone(topic))
    }

    pub(super) fn producer_ids(&self) -> Change {
        Change::ProducerIdsAllocated { end: self.staged.producer_id_end + PRODUCER_IDS_PER_BLOCK }
    }
}

fn note_collision(collisions: &mut BTreeMap<String, BTreeSet<String>>, name: &str) {
    if name.contains(['.', '_']) {
        collisions.entry(collision_key(name)).or_default().insert(name.to_owned());
    }
}

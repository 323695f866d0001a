//! The records of the metadata log, and how each changes the image.

use super::image::{Image, Partition, Topic};
use super::names::is_internal;
use super::rules::Rules;
use crate::route;
use std::collections::BTreeMap;
use std::sync::Arc;
use thalweg_engine::units::LogId;
use uuid::Uuid;

/// One record of the metadata log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A topic exists from now on; its logs are not made yet.
    TopicCreated {
        /// Its name.
        name: String,
        /// Its id.
        topic_id: Uuid,
        /// A log for each partition.
        log_ids: Vec<LogId>,
        /// What the topic itself sets.
        overrides: BTreeMap<String, String>,
    },
    /// All logs of a created topic are on the device: from now on a missing one is a loss, not work to be done.
    TopicReady {
        /// The topic.
        topic_id: Uuid,
    },
    /// A topic is gone for everybody; its logs are still to be deleted.
    TopicDeleted {
        /// The topic.
        topic_id: Uuid,
    },
    /// The last log of a deleted topic is deleted.
    TopicGone {
        /// The topic.
        topic_id: Uuid,
    },
    /// A topic has more partitions; their logs are not made yet.
    PartitionsAdded {
        /// The topic.
        topic_id: Uuid,
        /// A log for each new partition.
        log_ids: Vec<LogId>,
    },
    /// The logs of the added partitions are on the device.
    PartitionsReady {
        /// The topic.
        topic_id: Uuid,
    },
    /// The added partitions could not be made and are forgotten.
    PartitionsDropped {
        /// The topic.
        topic_id: Uuid,
    },
    /// A topic's own configuration, whole.
    ConfigsChanged {
        /// The topic.
        topic_id: Uuid,
        /// All that the topic itself sets from now on.
        overrides: BTreeMap<String, String>,
    },
    /// Producer ids below `end` were given to a shard and are never given again.
    ProducerIdsAllocated {
        /// One past the last of them.
        end: i64,
    },
    /// The broker started after a stop that was not clean: every leader epoch rises by one.
    UncleanStart,
}

/// A record that does not fit what came before it: the log is not one that this broker wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// It names a topic that is not there, or not in the state that the record begins from.
    #[error("topic {topic_id} is not in the state that {change} begins from")]
    Topic {
        /// The record's kind.
        change: &'static str,
        /// The topic.
        topic_id: Uuid,
    },
    /// The name or the id of a new topic is taken.
    #[error("topic '{name}' with id {topic_id} exists already")]
    Exists {
        /// The name.
        name: String,
        /// The id.
        topic_id: Uuid,
    },
    /// Producer ids would be given twice.
    #[error("producer ids end at {known}, a record says {end}")]
    ProducerIds {
        /// What is known.
        known: i64,
        /// What the record says.
        end: i64,
    },
}

impl Image {
    /// Takes one record into the image.
    ///
    /// # Errors
    /// When it does not fit what came before; nothing is changed then.
    pub(super) fn apply(&mut self, change: &Change, rules: &Rules) -> Result<(), ChangeError> {
        match change {
            Change::TopicCreated { name, topic_id, log_ids, overrides } => {
                self.begin_topic(name, *topic_id, log_ids, overrides, rules)?;
            }
            Change::TopicReady { topic_id } => {
                let topic = self.take_created(*topic_id).ok_or_else(|| missing("TopicReady", *topic_id))?;
                self.by_id.insert(topic.id, Arc::clone(&topic));
                self.by_name.insert(Arc::from(topic.name.as_str()), topic);
            }
            Change::TopicDeleted { topic_id } => {
                let served = self.by_id.remove(topic_id);
                if let Some(topic) = &served {
                    self.by_name.remove(topic.name.as_str());
                    self.deleted_count += 1;
                }
                let topic = served.or_else(|| self.take_created(*topic_id));
                let topic = topic.ok_or_else(|| missing("TopicDeleted", *topic_id))?;
                self.deleting.insert(*topic_id, topic);
            }
            Change::TopicGone { topic_id } => {
                let topic = self.deleting.remove(topic_id).ok_or_else(|| missing("TopicGone", *topic_id))?;
                self.partition_count -= topic.partitions_all().count();
            }
            Change::PartitionsAdded { topic_id, log_ids } => {
                let is_free = |topic: &Topic| topic.partitions_adding.is_empty();
                self.change_served("PartitionsAdded", *topic_id, is_free, |topic| {
                    let start = topic.partitions.len() as i32;
                    topic.partitions_adding = partitions(*topic_id, start, log_ids, rules.shard_count);
                })?;
                self.partition_count += log_ids.len();
            }
            Change::PartitionsReady { topic_id } => {
                self.change_served("PartitionsReady", *topic_id, is_adding, |topic| {
                    topic.partitions.append(&mut topic.partitions_adding);
                })?;
            }
            Change::PartitionsDropped { topic_id } => {
                let mut count = 0;
                self.change_served("PartitionsDropped", *topic_id, is_adding, |topic| {
                    count = std::mem::take(&mut topic.partitions_adding).len();
                })?;
                self.partition_count -= count;
            }
            Change::ConfigsChanged { topic_id, overrides } => {
                self.change_served(
                    "ConfigsChanged",
                    *topic_id,
                    |_| true,
                    |topic| {
                        topic.settings = rules.settings(&topic.name, overrides);
                        topic.overrides.clone_from(overrides);
                    },
                )?;
            }
            Change::ProducerIdsAllocated { end } => {
                if *end < self.producer_id_end {
                    return Err(ChangeError::ProducerIds { known: self.producer_id_end, end: *end });
                }
                self.producer_id_end = *end;
            }
            Change::UncleanStart => self.raise_epochs(),
        }
        Ok(())
    }

    fn begin_topic(
        &mut self,
        name: &str,
        topic_id: Uuid,
        log_ids: &[LogId],
        overrides: &BTreeMap<String, String>,
        rules: &Rules,
    ) -> Result<(), ChangeError> {
        if self.is_taken(name) || self.any_by_id(topic_id).is_some() {
            return Err(ChangeError::Exists { name: name.to_owned(), topic_id });
        }
        let topic = Topic {
            name: name.to_owned(),
            id: topic_id,
            partitions: partitions(topic_id, 0, log_ids, rules.shard_count),
            overrides: overrides.clone(),
            settings: rules.settings(name, overrides),
            internal: is_internal(name),
            partitions_adding: Vec::new(),
        };
        self.partition_count += topic.partitions.len();
        self.creating_names.insert(name.to_owned());
        self.creating.insert(topic_id, Arc::new(topic));
        Ok(())
    }

    fn take_created(&mut self, topic_id: Uuid) -> Option<Arc<Topic>> {
        let topic = self.creating.remove(&topic_id)?;
        self.creating_names.remove(&topic.name);
        Some(topic)
    }

    fn change_served(
        &mut self,
        change: &'static str,
        topic_id: Uuid,
        may: impl FnOnce(&Topic) -> bool,
        edit: impl FnOnce(&mut Topic),
    ) -> Result<(), ChangeError> {
        let known = self.by_id.get(&topic_id).filter(|topic| may(topic));
        let mut topic = known.map(|topic| Topic::clone(topic)).ok_or_else(|| missing(change, topic_id))?;
        edit(&mut topic);
        self.put(topic);
        Ok(())
    }

    fn raise_epochs(&mut self) {
        self.unclean_start_count += 1;
        let topics: Vec<_> = self.by_id.values().chain(self.creating.values()).cloned().collect();
        for topic in topics {
            let mut topic = Topic::clone(&topic);
            let (ready, adding) = (topic.partitions.iter_mut(), topic.partitions_adding.iter_mut());
            ready.chain(adding).for_each(|partition| partition.leader_epoch += 1);
            self.put(topic);
        }
    }
}

fn is_adding(topic: &Topic) -> bool {
    !topic.partitions_adding.is_empty()
}

fn missing(change: &'static str, topic_id: Uuid) -> ChangeError {
    ChangeError::Topic { change, topic_id }
}

fn partitions(topic_id: Uuid, start: i32, log_ids: &[LogId], shard_count: usize) -> Vec<Partition> {
    let partition = |(index, log_id): (i32, &LogId)| Partition {
        index,
        log_id: *log_id,
        leader_epoch: 0,
        owner: route::owner(topic_id, index, shard_count),
        online: true,
    };
    (start..).zip(log_ids).map(partition).collect()
}

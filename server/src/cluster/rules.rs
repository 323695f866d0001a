//! What the configuration says about every topic.

use super::names::is_internal;
use crate::config::{Config, ConfigError, TopicSettings};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The broker's part in what a topic is: where its partitions go, what its keys come to. Of one life of the broker.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// Cores that partitions are placed on.
    pub(super) shard_count: usize,
    /// Partitions of all topics that this broker holds at most.
    pub(super) partition_count_max: usize,
    config: Arc<Config>,
    defaults: Arc<TopicSettings>,
    /// The same for the broker's own topics.
    internal: Arc<TopicSettings>,
}

impl Rules {
    /// # Errors
    /// When the broker's own values do not make a topic.
    pub(super) fn new(config: Arc<Config>, shard_count: usize) -> Result<Self, ConfigError> {
        let defaults = Arc::new(TopicSettings::from_overrides(&config, &BTreeMap::new())?);
        let internal = Arc::new(TopicSettings::of_internal(&config, &BTreeMap::new())?);
        let partition_count_max = usize::try_from(config.thalweg_partitions_max).unwrap_or(usize::MAX);
        Ok(Self { shard_count, partition_count_max, config, defaults, internal })
    }

    /// What a topic's keys come to. They were checked when they were set; if the broker's own values were changed since
    /// so that both no longer fit together, the broker's are taken and the operator is told.
    pub(super) fn settings(&self, topic: &str, overrides: &BTreeMap<String, String>) -> Arc<TopicSettings> {
        let (own, defaults) = if is_internal(topic) {
            (TopicSettings::of_internal(&self.config, overrides), &self.internal)
        } else if overrides.is_empty() {
            return Arc::clone(&self.defaults);
        } else {
            (TopicSettings::from_overrides(&self.config, overrides), &self.defaults)
        };
        match own {
            Ok(settings) => Arc::new(settings),
            Err(error) => {
                tracing::error!(topic, %error, "a topic's configuration no longer fits the broker's: it has the broker's now");
                Arc::clone(defaults)
            }
        }
    }
}

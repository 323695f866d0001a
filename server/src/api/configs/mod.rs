//! `DescribeConfigs`, `AlterConfigs`, `IncrementalAlterConfigs`.
//!
//! Topics have configurations that can be changed; the broker's own is read at its start and only shown.

mod alter;
mod describe;

pub(super) use alter::{alter_configs, incremental_alter_configs};
pub(super) use describe::describe_configs;

use crate::config::{Config, TopicKey};
use std::collections::BTreeMap;

/// Kinds of resources, as the wire numbers them.
mod resource {
    pub(super) const TOPIC: i8 = 2;
    pub(super) const BROKER: i8 = 4;
    pub(super) const BROKER_LOGGER: i8 = 8;
    pub(super) const CLIENT_METRICS: i8 = 16;
    pub(super) const GROUP: i8 = 32;
}

/// Where a value comes from, as the wire numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(super) enum ValueSource {
    Topic = 1,
    StaticBroker = 4,
    Default = 5,
    BrokerLogger = 6,
}

/// What a key of a topic comes to, and why.
pub(super) fn topic_value(
    config: &Config,
    overrides: &BTreeMap<String, String>,
    key: &TopicKey,
) -> (String, ValueSource) {
    match overrides.get(key.name) {
        Some(value) => (value.clone(), ValueSource::Topic),
        None => (key.default_text(config), broker_source(config, key)),
    }
}

/// Where a topic's key has its default from.
fn broker_source(config: &Config, key: &TopicKey) -> ValueSource {
    match key.broker_key {
        Some(name) if config.set.contains_key(name) => ValueSource::StaticBroker,
        _ => ValueSource::Default,
    }
}

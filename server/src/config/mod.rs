//! What the operator asked for, checked.
//!
//! Rising priority: Kafka 4.3's defaults, the file, the environment, the flags. Keys have Kafka's names where Kafka
//! has one; those of our own begin with `thalweg.`.

mod describe;
mod foreign;
mod keys;
mod limits;
mod listeners;
mod reference;
mod sources;
mod topic;
mod topic_keys;
mod values;

pub use describe::{ConfigSource, Described, Synonym};
pub use keys::{Acts, Config, KeyInfo, broker_keys};
pub use limits::Limits;
pub use listeners::Listener;
#[cfg(test)]
pub(crate) use reference::in_repository;
pub use reference::{broker_toml, reference};
pub use sources::{Loaded, Source, load};
pub use topic::TopicSettings;
pub use topic_keys::{TopicKey, topic_key, topic_keys};
pub use values::{CoreSet, KeyType};

/// Why a configuration cannot be used. Each says which key, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A key that nobody knows.
    #[error("unknown key {key}{}", nearest.as_ref().map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default())]
    Unknown {
        /// As it was written.
        key: String,
        /// The closest known one.
        nearest: Option<String>,
    },
    /// A topic's key that nobody knows, in Kafka's words.
    #[error("Unknown topic config name: {key}")]
    UnknownTopicKey {
        /// As it was written.
        key: String,
    },
    /// A value that does not fit its key, in Kafka's words.
    #[error("Invalid value {value} for configuration {key}: {reason}")]
    Value {
        /// The key.
        key: String,
        /// As it was written.
        value: String,
        /// What would fit.
        reason: String,
    },
    /// A file that cannot be read.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
}

impl ConfigError {
    pub(crate) fn value(key: &str, value: &str, reason: impl Into<String>) -> Self {
        Self::Value { key: key.to_owned(), value: value.to_owned(), reason: reason.into() }
    }
}

impl Config {
    /// The listener that a connection came by.
    ///
    /// # Panics
    /// On a number that no listener has: connections carry the number they were accepted with.
    pub fn advertised(&self, listener: usize) -> &Listener {
        &self.listeners_parsed[listener]
    }
}

//! What the operator asked for, checked.
//!
//! Rising priority: Kafka 4.3's defaults, the file, the environment, the flags. Keys have Kafka's names where Kafka
//! has one; those of our own begin with `thalweg.`.

mod keys;
mod listeners;
mod sources;
mod topic;
mod values;

pub use keys::{Config, KeyInfo, broker_keys};
pub use listeners::Listener;
pub use sources::{Source, load};
pub use topic::{TopicKey, TopicSettings, topic_key, topic_keys};
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
    /// A value that does not fit its key.
    #[error("{key} = {value}: {reason}")]
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

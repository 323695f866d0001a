//! Which topics and partitions exist, and who leads?
//!
//! Every change is a record in the metadata log (an engine log on shard 0), durable before any effect. Replaying the log
//! gives the `Image`, an immutable snapshot that every shard reads and that is swapped whole.
//! ```text
//! create: TopicCreated durable ─► logs made on their owners ─► `TopicReady` durable ─► image published ─► answer
//! delete: TopicDeleted durable ─► image published without it ─► logs deleted ─► `TopicGone` durable ─► answer
//! ```
//! A start completes what a stop cut short: a topic without its `TopicReady` gets the logs it lacks, one without its
//! `TopicGone` loses those it has left. A log that was ready and is missing stays offline and is never made anew.

mod changes;
mod errors;
mod format;
mod handle;
mod image;
mod lead;
mod names;
mod rules;
mod shards;
mod start;
mod state;
mod store;
mod turn;

#[cfg(test)]
mod tests;

pub use changes::{Change, ChangeError};
pub use errors::{AddPartitionsError, AlterConfigsError, CreateTopicError, DeleteTopicError, StoreError};
pub use format::FormatError;
pub use handle::{Cluster, View};
pub use image::{Image, Partition, Topic};
pub use names::{NameError, TOPIC_NAME_CHARS_MAX, collision_key, is_internal, validate_name};
pub use start::{ClusterStartError, ClusterStarted};
pub use state::{NewTopic, PRODUCER_IDS_PER_BLOCK};

use thalweg_engine::log::LogIdentity;
use thalweg_engine::units::LogId;
use uuid::Uuid;

/// Topic id of the metadata log, Kafka's own for it.
pub const METADATA_TOPIC_ID: Uuid = Uuid::from_u128(1);
/// Topic name of the metadata log.
pub const METADATA_TOPIC: &str = "__cluster_metadata";
/// Log id of the metadata log: the one id that is not random, so that a start finds it.
pub const METADATA_LOG_ID: LogId = LogId(METADATA_TOPIC_ID.into_bytes());

/// Who the metadata log is.
pub fn metadata_log() -> LogIdentity {
    LogIdentity {
        log_id: METADATA_LOG_ID,
        topic_id: METADATA_TOPIC_ID.into_bytes(),
        topic: METADATA_TOPIC.to_owned(),
        partition: 0,
    }
}

/// A topic of a test: its name, how many partitions, what it sets.
#[cfg(test)]
pub(crate) type TestTopic<'a> = (&'a str, u32, &'a [(&'a str, &'a str)]);

/// An image of such topics with ids from 10 on, all on one shard.
#[cfg(test)]
pub(crate) fn image_of(config: &std::sync::Arc<crate::config::Config>, topics: &[TestTopic<'_>]) -> Image {
    let rules = rules::Rules::new(std::sync::Arc::clone(config), 1).unwrap();
    let mut image = Image::new("test".into());
    for (number, (name, partition_count, overrides)) in (10u128..).zip(topics) {
        let topic_id = Uuid::from_u128(number);
        let overrides =
            overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let log_ids = (0..*partition_count).map(|index| LogId([index as u8; 16])).collect();
        let created = Change::TopicCreated { name: (*name).to_owned(), topic_id, log_ids, overrides };
        image.apply(&created, &rules).unwrap();
        image.apply(&Change::TopicReady { topic_id }, &rules).unwrap();
    }
    image
}

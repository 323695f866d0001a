//! The table of topics' keys: each falls back to a key of the broker, or to a default of its own.

use super::keys::Acts::{self, Later, Never, Now};
use super::limits::Limits::{self, Any, ListOf, OneOf, Only, Range, RangeOr, Ratio};
use super::values::KeyType::{self, Boolean, Double, Int, List, Long, String as Text};

/// What `compression.type` may be.
pub(super) const COMPRESSION_TYPES: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
/// What `message.timestamp.type` may be.
pub(super) const TIMESTAMP_TYPES: &[&str] = &["CreateTime", "LogAppendTime"];
/// What `cleanup.policy` may be.
pub(super) const CLEANUP_POLICIES: &[&str] = &["compact", "delete"];

/// What `thalweg.durability.mode` may be.
pub(super) const DURABILITY_MODES: &[&str] = &["media", "window", "memory"];
/// The one of them that the broker's own topics have.
pub(super) const DURABILITY_OF_OURS: &str = "media";
/// The key.
pub(super) const DURABILITY_MODE: &str = "thalweg.durability.mode";

const I32: i64 = i32::MAX as i64;
const I64: i64 = i64::MAX;
const NO_REMOTE: &str = "there is no remote storage";
const ONE_BROKER: &str = "there is one broker and no replication to throttle";

/// What is known of a topic's key.
#[derive(Clone, Copy, Debug)]
pub struct TopicKey {
    /// Kafka's name for it.
    pub name: &'static str,
    /// Its type.
    pub kind: KeyType,
    /// The broker's key that gives its default, if one does.
    pub broker_key: Option<&'static str>,
    /// Broker's keys that give it where `broker_key` is unset, in this order.
    pub broker_key_others: &'static [&'static str],
    /// The default where no broker key gives it.
    pub default: &'static str,
    /// What values it takes.
    pub limits: Limits,
    /// Whether it acts.
    pub acts: Acts,
    /// What it does.
    pub doc: &'static str,
}

macro_rules! topic_keys {
    ($($name:literal $kind:ident, $limits:expr, $acts:ident,
        $(from $broker_key:literal $(or $other:literal)*)? $(default $default:literal)?; $doc:literal)*) => {
        &[$(TopicKey {
            name: $name,
            kind: $kind,
            broker_key: topic_keys!(@option $($broker_key)?),
            broker_key_others: &[$($($other),*)?],
            default: topic_keys!(@text $($default)?),
            limits: $limits,
            acts: $acts,
            doc: $doc,
        }),*]
    };
    (@option) => { None };
    (@option $key:literal) => { Some($key) };
    (@text) => { "" };
    (@text $text:literal) => { $text };
}

const KEYS: &[TopicKey] = topic_keys! {
    "cleanup.policy" List, ListOf(CLEANUP_POLICIES), Now, from "log.cleanup.policy"; "delete, compact, both, or empty to keep everything. delete acts; compact refuses records without a key, compacting itself is not there yet."
    "compression.gzip.level" Int, RangeOr(1, 9, -1), Now, from "compression.gzip.level"; "Level where compression.type is gzip; -1 is gzip's own default."
    "compression.lz4.level" Int, Range(1, 17), Now, from "compression.lz4.level"; "Level where compression.type is lz4."
    "compression.type" Text, OneOf(COMPRESSION_TYPES), Now, from "compression.type"; "producer keeps what clients chose; a codec, or uncompressed, makes batches of another one anew."
    "compression.zstd.level" Int, Range(-131_072, 22), Now, from "compression.zstd.level"; "Level where compression.type is zstd."
    "delete.retention.ms" Long, Range(0, I64), Later, from "log.cleaner.delete.retention.ms"; "How long tombstones stay."
    "file.delete.delay.ms" Long, Range(0, I64), Now, from "log.segment.delete.delay.ms"; "How long the file of a deleted segment stays."
    "flush.messages" Long, Range(1, I64), Now, from "log.flush.interval.messages"; "In the weaker modes of thalweg.durability.mode: after so many records they are synced, without the answer waiting for it. Under media every record is synced before its answer."
    "flush.ms" Long, Range(0, I64), Now, from "log.flush.interval.ms" default "9223372036854775807"; "In the weaker modes of thalweg.durability.mode: a record is synced when it is so old. Under media every record is synced before its answer."
    "follower.replication.throttled.replicas" List, Only("", ONE_BROKER), Never, default ""; "Replicas whose followers are throttled: none."
    "index.interval.bytes" Int, Range(0, I32), Now, from "log.index.interval.bytes"; "Distance of index entries."
    "leader.replication.throttled.replicas" List, Only("", ONE_BROKER), Never, default ""; "Replicas whose leaders are throttled: none."
    "local.retention.bytes" Long, Only("-2", NO_REMOTE), Never, default "-2"; "Bytes kept here of what is in remote storage; -2 is retention.bytes."
    "local.retention.ms" Long, Only("-2", NO_REMOTE), Never, default "-2"; "How long records stay here that are in remote storage; -2 is retention.ms."
    "max.compaction.lag.ms" Long, Range(1, I64), Later, from "log.cleaner.max.compaction.lag.ms"; "Age after which records are compacted."
    "max.message.bytes" Int, Range(0, I32), Now, from "message.max.bytes"; "The largest record batch, header included."
    "message.timestamp.after.max.ms" Long, Range(0, I64), Now, from "log.message.timestamp.after.max.ms"; "How far ahead of the broker's clock a record may be."
    "message.timestamp.before.max.ms" Long, Range(0, I64), Now, from "log.message.timestamp.before.max.ms"; "How far behind the broker's clock a record may be."
    "message.timestamp.type" Text, OneOf(TIMESTAMP_TYPES), Now, from "log.message.timestamp.type"; "CreateTime keeps the producer's timestamps, LogAppendTime sets the broker's."
    "min.cleanable.dirty.ratio" Double, Ratio, Later, from "log.cleaner.min.cleanable.ratio"; "Share of a log that must be dirty before it is compacted."
    "min.compaction.lag.ms" Long, Range(0, I64), Later, from "log.cleaner.min.compaction.lag.ms"; "Age before which records are not compacted."
    "min.insync.replicas" Int, Range(1, I32), Now, from "min.insync.replicas"; "Replicas that acks=all waits for, and never more than the partition has: there is one."
    "preallocate" Boolean, Any, Never, from "log.preallocate"; "Without effect: blocks are always reserved, in growing steps."
    "remote.log.copy.disable" Boolean, Only("false", NO_REMOTE), Never, default "false"; "Whether copying to remote storage rests."
    "remote.log.delete.on.disable" Boolean, Only("false", NO_REMOTE), Never, default "false"; "Whether remote storage is emptied when it is turned off."
    "remote.storage.enable" Boolean, Only("false", NO_REMOTE), Never, default "false"; "Whether sealed segments move to remote storage."
    "retention.bytes" Long, Any, Now, from "log.retention.bytes"; "Bytes kept of a partition; -1 is no limit."
    "retention.ms" Long, Range(-1, I64), Now, from "log.retention.ms" or "log.retention.minutes" or "log.retention.hours"; "How long records are kept; -1 is for ever."
    "segment.bytes" Int, Range(14, I32), Now, from "log.segment.bytes"; "A segment is sealed before it would grow past this."
    "segment.index.bytes" Int, Range(4, I32), Never, from "log.index.size.max.bytes"; "Without effect: indexes are bounded by their segment."
    "segment.jitter.ms" Long, Range(0, I64), Now, from "log.roll.jitter.ms" or "log.roll.jitter.hours"; "Spread taken off segment.ms, so that logs made together roll apart."
    "segment.ms" Long, Range(1, I64), Now, from "log.roll.ms" or "log.roll.hours"; "Age at which a segment is sealed."
    "thalweg.durability.mode" Text, OneOf(DURABILITY_MODES), Now, from "thalweg.durability.mode"; "What an answer promises. media: records are synced before it. window: they are in memory, and what is not synced yet never exceeds the window. memory: they are in memory, and synced when it suits. What was answered and not synced is lost in a crash."
    "thalweg.durability.window.bytes" Long, Range(1, I64), Now, from "thalweg.durability.window.bytes"; "Under window: so many answered bytes of a partition are not synced at most, or one batch that is larger."
    "thalweg.durability.window.ms" Long, Range(0, I64), Now, from "thalweg.durability.window.ms"; "Under window: nothing is answered while a record that was answered so long ago is not synced."
    "unclean.leader.election.enable" Boolean, Any, Never, from "unclean.leader.election.enable"; "Without effect: one broker elects nobody."
};

/// All keys of topics, in the order of their names.
pub fn topic_keys() -> &'static [TopicKey] {
    KEYS
}

/// The key of a name.
pub fn topic_key(name: &str) -> Option<&'static TopicKey> {
    KEYS.iter().find(|key| key.name == name)
}

impl TopicKey {
    /// The broker's keys that can give its value, the first that is set wins.
    pub fn broker_keys(&self) -> impl Iterator<Item = &'static str> {
        self.broker_key.into_iter().chain(self.broker_key_others.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{KeyInfo, broker_keys};

    #[test]
    fn a_topics_key_is_like_the_brokers_key_behind_it() {
        let broker = broker_keys();
        for key in KEYS {
            for name in key.broker_keys() {
                let behind: &KeyInfo = broker.iter().find(|known| known.name == name).unwrap();
                assert_eq!(key.acts, behind.acts, "{} and {name}", key.name);
                if key.broker_key == Some(name) {
                    assert_eq!(
                        (key.kind, key.limits),
                        (behind.kind, behind.limits),
                        "{} and {name}",
                        key.name
                    );
                }
            }
            if key.broker_key.is_none() {
                assert_eq!(key.limits.check(key.kind, key.default), Ok(()), "{}", key.name);
            }
        }
        assert!(KEYS.is_sorted_by_key(|key| key.name));
    }
}

//! The one table of the broker's keys: name, type, default, limits, whether it acts, meaning.
//!
//! Everything else is made of it: the fields of [`Config`], what is refused, `DescribeConfigs`, `config/broker.toml`
//! and `docs/config.md`. Defaults are those of Kafka 4.3 but where a comment says why not.

use super::ConfigError;
use super::limits::Limits::{self, Any, ListOf, OneOf, Range, Ratio};
use super::listeners::{Listener, parse_http, parse_listeners};
use super::topic::TopicSettings;
use super::values::{CoreSet, KeyType, Value};
use std::collections::BTreeMap;

/// Whether setting a key changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acts {
    /// It does what it says.
    Now,
    /// It is checked and kept; compaction, which acts on it, is not there yet.
    Later,
    /// It is checked and has no effect: its text says why none is needed.
    Never,
}

/// What is known of a key.
#[derive(Clone, Debug)]
pub struct KeyInfo {
    /// The group of keys it stands in.
    pub section: &'static str,
    /// Kafka's name for it, or ours.
    pub name: &'static str,
    /// Its type.
    pub kind: KeyType,
    /// The default as text; `None` where the key is unset.
    pub default: Option<String>,
    /// What values it takes.
    pub limits: Limits,
    /// Whether it acts.
    pub acts: Acts,
    /// What it does.
    pub doc: &'static str,
}

macro_rules! keys {
    ($($section:literal {
        $($name:literal $field:ident: $type:ty = $default:expr, $limits:expr, $acts:ident; $doc:literal)*
    })*) => {
        /// The broker's configuration: a field per key, dots as underscores, in the unit the key's name gives.
        #[derive(Clone, Debug)]
        pub struct Config {
            $($(#[doc = $doc] pub $field: $type,)*)*
            /// `listeners` with what is advertised for each.
            pub listeners_parsed: Vec<Listener>,
            /// Host and port of `thalweg.http.listener`, unless it is none.
            pub http_parsed: Option<(String, u16)>,
            /// Keys that were set, as text: what is not here is a default.
            pub set: BTreeMap<String, String>,
        }

        /// All keys of the broker, in the order of the table.
        pub fn broker_keys() -> Vec<KeyInfo> {
            vec![$($(KeyInfo {
                section: $section,
                name: $name,
                kind: <$type as Value>::TYPE,
                default: Value::text(&{ let default: $type = $default; default }),
                limits: $limits,
                acts: Acts::$acts,
                doc: $doc,
            },)*)*]
        }

        impl Config {
            fn read(set: BTreeMap<String, String>) -> Result<Self, ConfigError> {
                $($(let $field: $type = match set.get($name) {
                    Some(text) => read_one($name, text, $limits)?,
                    None => $default,
                };)*)*
                Ok(Self { $($($field,)*)* listeners_parsed: Vec::new(), http_parsed: None, set })
            }

            /// A key's value as text; `None` for what is no key, and for a key without a value.
            pub fn text(&self, name: &str) -> Option<String> {
                match name { $($($name => Value::text(&self.$field),)*)* _ => None }
            }
        }
    };
}

fn read_one<T: Value>(name: &str, text: &str, limits: Limits) -> Result<T, ConfigError> {
    let wrong = |reason| ConfigError::value(name, text, reason);
    if T::MAY_BE_EMPTY && text.trim().is_empty() {
        return T::parse("").map_err(wrong);
    }
    limits.check(T::TYPE, text).map_err(wrong)?;
    T::parse(text).map_err(wrong)
}

impl Config {
    /// Makes a configuration of what was set, as text by name.
    ///
    /// # Errors
    /// The first key that does not fit.
    pub fn of(set: BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut config = Self::read(set)?;
        config.listeners_parsed = parse_listeners(
            &config.listeners,
            &config.advertised_listeners,
            &config.listener_security_protocol_map,
        )?;
        config.http_parsed = parse_http(&config.thalweg_http_listener)?;
        config.check_relations()?;
        TopicSettings::from_overrides(&config, &BTreeMap::new())?;
        Ok(config)
    }

    /// What must hold between keys.
    fn check_relations(&self) -> Result<(), ConfigError> {
        let wrong = |key: &str, reason: &str| {
            let value = self.text(key).unwrap_or_default();
            Err(ConfigError::value(key, &value, reason))
        };
        if self.log_dirs.is_empty() {
            return wrong("log.dirs", "at least one directory is wanted");
        }
        let mut directories = self.log_dirs.clone();
        directories.sort();
        directories.dedup();
        if directories.len() < self.log_dirs.len() {
            return wrong("log.dirs", "a directory is named twice");
        }
        if self.group_min_session_timeout_ms > self.group_max_session_timeout_ms {
            return wrong(
                "group.min.session.timeout.ms",
                "it must not lie above group.max.session.timeout.ms",
            );
        }
        if self.queued_max_request_bytes > 0
            && self.queued_max_request_bytes < i64::from(self.socket_request_max_bytes)
        {
            return wrong("queued.max.request.bytes", "it must not lie below socket.request.max.bytes");
        }
        Ok(())
    }
}

const I32: i64 = i32::MAX as i64;
const I64: i64 = i64::MAX;
const HOUR_MS: i64 = 3_600_000;

keys! {
    "Who and where" {
        "node.id" node_id: i32 = 1, Range(0, I32), Now; "This broker's number; broker.id is taken too. Fixed once there are data."
        "listeners" listeners: Vec<String> = vec!["PLAINTEXT://127.0.0.1:9092".to_owned()], Any, Now; "Where clients connect: NAME://HOST:PORT, several separated by commas. An empty host is every address."
        "advertised.listeners" advertised_listeners: Vec<String> = Vec::new(), Any, Now; "What clients are told to connect to, by listener name. A listener that is not named here tells its own host, or this machine's name if it listens on every address."
        "listener.security.protocol.map" listener_security_protocol_map: Vec<String> = Vec::new(), Any, Now; "NAME:PROTOCOL pairs for listeners whose name is no protocol. PLAINTEXT is served; SSL and SASL are refused."
        "log.dirs" log_dirs: Vec<String> = vec!["data".to_owned()], Any, Now; "Directories for data, separated by commas; log.dir is taken too. Relative to the directory the broker is started in. New partitions go to the one with the fewest, passing over those that do not work or have no room; one that does not work takes its own partitions offline, the others serve. One may be added, put elsewhere in the list, or taken out: its partitions are offline then, and served again once it is back."
        "thalweg.cores" thalweg_cores: CoreSet = CoreSet::All, Any, Now; "Cores to run on: a number, or a list of CPUs such as 0,2-3 (one CPU: 3,). Empty is every CPU the process may use. --cores sets it too."
        "thalweg.http.listener" thalweg_http_listener: String = "127.0.0.1:9644".to_owned(), Any, Now; "HOST:PORT of /metrics, /health and /ready; none turns it off."
    }
    "Topics that clients make" {
        "auto.create.topics.enable" auto_create_topics_enable: bool = true, Any, Now; "A topic is made when a client first asks for it."
        "delete.topic.enable" delete_topic_enable: bool = true, Any, Now; "Topics may be deleted."
        "num.partitions" num_partitions: i32 = 1, Range(1, 100_000), Now; "Partitions of a topic that is made without saying how many."
        "default.replication.factor" default_replication_factor: i32 = 1, Range(1, 1), Now; "Replicas of a topic that is made without saying how many. There is one broker."
        "min.insync.replicas" min_insync_replicas: i32 = 1, Range(1, I32), Now; "Replicas that acks=all waits for, and never more than the partition has: there is one."
        "thalweg.partitions.max" thalweg_partitions_max: i64 = 100_000, Range(1, 1_000_000), Now; "Partitions of all topics together."
    }
    "Records" {
        "message.max.bytes" message_max_bytes: i32 = 1_048_588, Range(0, I32), Now; "The largest record batch, header included."
        "compression.type" compression_type: String = "producer".to_owned(), OneOf(super::topic_keys::COMPRESSION_TYPES), Now; "producer keeps what clients chose; a codec, or uncompressed, makes batches of another one anew."
        "compression.gzip.level" compression_gzip_level: i32 = -1, Limits::RangeOr(1, 9, -1), Now; "Level where compression.type is gzip; -1 is gzip's own default."
        "compression.lz4.level" compression_lz4_level: i32 = 9, Range(1, 17), Now; "Level where compression.type is lz4."
        "compression.zstd.level" compression_zstd_level: i32 = 3, Range(-131_072, 22), Now; "Level where compression.type is zstd."
        "log.message.timestamp.type" log_message_timestamp_type: String = "CreateTime".to_owned(), OneOf(super::topic_keys::TIMESTAMP_TYPES), Now; "CreateTime keeps the producer's timestamps, LogAppendTime sets the broker's."
        "log.message.timestamp.before.max.ms" log_message_timestamp_before_max_ms: i64 = I64, Range(0, I64), Now; "How far behind the broker's clock a record may be."
        "log.message.timestamp.after.max.ms" log_message_timestamp_after_max_ms: i64 = HOUR_MS, Range(0, I64), Now; "How far ahead of the broker's clock a record may be."
        "producer.id.expiration.ms" producer_id_expiration_ms: i32 = 86_400_000, Range(1, I32), Now; "How long an idle producer's sequences are remembered."
    }
    "Segments" {
        // Kafka 4 takes 1 MiB at least, Kafka 3.5 took 14 bytes: files and tools of both are served.
        "log.segment.bytes" log_segment_bytes: i32 = 1 << 30, Range(14, I32), Now; "A segment is sealed before it would grow past this."
        "log.roll.ms" log_roll_ms: Option<i64> = None, Range(1, I64), Now; "Age at which a segment is sealed; log.roll.hours when unset."
        "log.roll.hours" log_roll_hours: i32 = 168, Range(1, I32), Now; "The same in hours."
        "log.roll.jitter.ms" log_roll_jitter_ms: Option<i64> = None, Range(0, I64), Now; "Spread taken off the age, so that logs made together roll apart; log.roll.jitter.hours when unset."
        "log.roll.jitter.hours" log_roll_jitter_hours: i32 = 0, Range(0, I32), Now; "The same in hours."
        "log.index.interval.bytes" log_index_interval_bytes: i32 = 4096, Range(0, I32), Now; "Distance of index entries."
        "log.index.size.max.bytes" log_index_size_max_bytes: i32 = 10 << 20, Range(4, I32), Never; "Without effect: indexes are bounded by their segment."
        "log.preallocate" log_preallocate: bool = false, Any, Never; "Without effect: blocks are always reserved, in growing steps."
    }
    "Durability" {
        // The broker's own topics are always media, whatever these say.
        "thalweg.durability.mode" thalweg_durability_mode: String = "media".to_owned(), OneOf(super::topic_keys::DURABILITY_MODES), Now; "What an answer promises. media: records are synced before it. window: they are in memory, and what is not synced yet never exceeds the window. memory: they are in memory, and synced when it suits. What was answered and not synced is lost in a crash."
        "thalweg.durability.window.ms" thalweg_durability_window_ms: i64 = 1000, Range(0, I64), Now; "Under window: nothing is answered while a record that was answered so long ago is not synced."
        "thalweg.durability.window.bytes" thalweg_durability_window_bytes: i64 = 16 << 20, Range(1, I64), Now; "Under window: so many answered bytes of a partition are not synced at most, or one batch that is larger."
        "log.flush.interval.messages" log_flush_interval_messages: i64 = I64, Range(1, I64), Now; "In the weaker modes of thalweg.durability.mode: after so many records they are synced, without the answer waiting for it. Under media every record is synced before its answer."
        "log.flush.interval.ms" log_flush_interval_ms: Option<i64> = None, Range(0, I64), Now; "In the weaker modes of thalweg.durability.mode: a record is synced when it is so old. Under media every record is synced before its answer."
    }
    "Retention and compaction" {
        "log.cleanup.policy" log_cleanup_policy: Vec<String> = vec!["delete".to_owned()], ListOf(super::topic_keys::CLEANUP_POLICIES), Now; "delete, compact, both, or empty to keep everything. delete acts; compact refuses records without a key, compacting itself is not there yet."
        "log.retention.ms" log_retention_ms: Option<i64> = None, Range(-1, I64), Now; "How long records are kept; log.retention.minutes, then log.retention.hours, when unset. -1 is for ever."
        "log.retention.minutes" log_retention_minutes: Option<i32> = None, Any, Now; "The same in minutes."
        "log.retention.hours" log_retention_hours: i32 = 168, Any, Now; "The same in hours."
        "log.retention.bytes" log_retention_bytes: i64 = -1, Any, Now; "Bytes kept of a partition; -1 is no limit."
        "log.retention.check.interval.ms" log_retention_check_interval_ms: i64 = 300_000, Range(1, I64), Now; "How often retention looks."
        "log.initial.task.delay.ms" log_initial_task_delay_ms: i64 = 30_000, Range(0, I64), Now; "How long after the start retention looks for the first time, and segments begin to be read for rot."
        "log.segment.delete.delay.ms" log_segment_delete_delay_ms: i64 = 60_000, Range(0, I64), Now; "How long the file of a deleted segment stays."
        "log.cleaner.delete.retention.ms" log_cleaner_delete_retention_ms: i64 = 24 * HOUR_MS, Range(0, I64), Later; "How long tombstones stay."
        "log.cleaner.min.compaction.lag.ms" log_cleaner_min_compaction_lag_ms: i64 = 0, Range(0, I64), Later; "Age before which records are not compacted."
        "log.cleaner.max.compaction.lag.ms" log_cleaner_max_compaction_lag_ms: i64 = I64, Range(1, I64), Later; "Age after which records are compacted."
        "log.cleaner.min.cleanable.ratio" log_cleaner_min_cleanable_ratio: f64 = 0.5, Ratio, Later; "Share of a log that must be dirty before it is compacted."
    }
    "Requests and connections" {
        "socket.request.max.bytes" socket_request_max_bytes: i32 = 104_857_600, Range(1, I32), Now; "The largest request."
        "fetch.max.bytes" fetch_max_bytes: i32 = 57_671_680, Range(1024, I32), Now; "The largest answer to a fetch."
        "max.incremental.fetch.session.cache.slots" max_incremental_fetch_session_cache_slots: i32 = 1000, Range(0, I32), Now; "Incremental fetch sessions kept, shared out to the cores."
        "connections.max.idle.ms" connections_max_idle_ms: i64 = 600_000, Range(-1, I64), Now; "Idle connections are closed after this; a negative value is never."
        "max.connections" max_connections: i32 = i32::MAX, Range(0, I32), Now; "Connections in all. The limit of open files holds besides."
        "max.connections.per.ip" max_connections_per_ip: i32 = i32::MAX, Range(0, I32), Now; "Connections of one address."
        "queued.max.request.bytes" queued_max_request_bytes: i64 = -1, Any, Now; "Bytes of requests that one core may hold; -1 is a quarter of its part of thalweg.memory.bytes."
        "queued.max.requests" queued_max_requests: i32 = 500, Range(1, I32), Never; "Without effect: requests are bounded by their memory and by their number in each connection."
        "unclean.leader.election.enable" unclean_leader_election_enable: bool = false, Any, Never; "Without effect: one broker elects nobody."
    }
    "Consumer groups" {
        "group.min.session.timeout.ms" group_min_session_timeout_ms: i32 = 6_000, Any, Now; "The shortest session timeout a member may ask for."
        "group.max.session.timeout.ms" group_max_session_timeout_ms: i32 = 1_800_000, Any, Now; "The longest session timeout a member may ask for."
        "group.initial.rebalance.delay.ms" group_initial_rebalance_delay_ms: i32 = 3_000, Any, Now; "How long an empty group waits for more members before its first generation."
        "group.max.size" group_max_size: i32 = i32::MAX, Range(1, I32), Now; "Members of one group."
        "offset.metadata.max.bytes" offset_metadata_max_bytes: i32 = 4096, Any, Now; "The note beside a committed offset."
        "thalweg.groups.max" thalweg_groups_max: usize = 100_000, Range(1, 10_000_000), Now; "Groups of each core; who would make one more is told COORDINATOR_NOT_AVAILABLE."
        "thalweg.groups.bytes.max" thalweg_groups_bytes_max: usize = 256 << 20, Range(1 << 20, I64), Now; "Memory of each core for members, their assignments and offsets, beside thalweg.memory.bytes; beyond it joins and commits are told COORDINATOR_NOT_AVAILABLE."
        "offsets.topic.num.partitions" offsets_topic_num_partitions: i32 = 50, Range(1, 10_000), Now; "Partitions of __consumer_offsets, fixed when it is made."
        "offsets.topic.segment.bytes" offsets_topic_segment_bytes: i32 = 104_857_600, Range(1, I32), Now; "Segment size of __consumer_offsets."
        "offsets.topic.compression.codec" offsets_topic_compression_codec: i32 = 0, Range(0, 4), Now; "How batches of __consumer_offsets are compressed: 0 not at all, 1 gzip, 2 snappy, 3 lz4, 4 zstd."
        // Kafka's default of 3 cannot be met by one broker, which then cannot serve groups at all.
        "offsets.topic.replication.factor" offsets_topic_replication_factor: i32 = 1, Range(1, 3), Never; "Taken up to Kafka's default of 3; there is one broker, and one replica."
        "offsets.retention.minutes" offsets_retention_minutes: i32 = 10_080, Range(1, I32), Now; "How long offsets of an empty group are kept."
        "offsets.retention.check.interval.ms" offsets_retention_check_interval_ms: i64 = 600_000, Range(1, I64), Now; "How often that is looked at."
    }
    "Memory, journal and disk" {
        "thalweg.memory.bytes" thalweg_memory_bytes: i64 = 0, Limits::RangeOr(64 << 20, I64, 0), Now; "Memory for requests, tails and caches of all cores together; 0 is a quarter of what the machine or the control group has, from 256 MiB to 4 GiB."
        "thalweg.journal.file.bytes" thalweg_journal_file_bytes: u64 = 64 << 20, Range(32 << 20, 16 << 30), Now; "Length of a journal file."
        "thalweg.journal.files.max" thalweg_journal_files_max: usize = 8, Range(4, 1024), Now; "Journal files for each core and directory; more are made as they are needed."
        "thalweg.commit.bytes.max" thalweg_commit_bytes_max: usize = 4 << 20, Range(64 << 10, 8 << 20), Now; "Records in one commit of the journal."
        "thalweg.large.run.bytes" thalweg_large_run_bytes: u64 = 256 << 10, Range(64 << 10, 64 << 20), Now; "A partition that has more than this to commit writes straight to its segment."
        "thalweg.write.back.bytes.per.s" thalweg_write_back_bytes_per_s: u64 = 256 << 20, Range(0, I64), Now; "Bound of write-back on each core while the journal has room; 0 is none."
        "thalweg.cold.read.min.bytes.per.s" thalweg_cold_read_min_bytes_per_s: u64 = 32 << 20, Range(1 << 20, I64), Now; "Bytes of records older than those in memory that the readers on each core get together whatever producers need. While there are appends they get as much as slows commits down by less than a third or by less than a tenth of a millisecond, and never less than this; without appends nothing holds them back."
        "thalweg.scrub.bytes.per.s" thalweg_scrub_bytes_per_s: u64 = 16 << 20, Range(0, I64), Now; "Bytes of segments that each core reads in a second, beside its work, to find rot before a reader does; 0 is not at all."
        "thalweg.scrub.interval.ms" thalweg_scrub_interval_ms: u64 = 7 * 24 * HOUR_MS as u64, Range(1, I64), Now; "From the start of one pass through all segments to that of the next; a pass that takes longer is followed by the next one. The first one begins log.initial.task.delay.ms after the start."
        "thalweg.spin.us" thalweg_spin_us: u64 = 0, Range(0, 1000), Now; "How long an idle core looks for work before it sleeps."
        "thalweg.allow.cow" thalweg_allow_cow: bool = false, Any, Now; "Start on a file system that copies on write, where each write costs more and space can run out under reserved blocks."
    }
    "The broker's own log" {
        "thalweg.log.format" thalweg_log_format: String = "text".to_owned(), OneOf(&["text", "json"]), Now; "How lines are written."
        "thalweg.log.level" thalweg_log_level: String = "info".to_owned(), Any, Now; "error, warn, info, debug or trace; or filters such as info,thalweg_engine=debug."
        "thalweg.log.file" thalweg_log_file: Option<String> = None, Any, Now; "A file for the log instead of stderr; reopened on SIGHUP."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_fits_its_own_limits_and_names_are_used_once() {
        let keys = broker_keys();
        for key in &keys {
            if let Some(default) = &key.default {
                assert_eq!(key.limits.check(key.kind, default), Ok(()), "{}", key.name);
            }
            assert_eq!(keys.iter().filter(|other| other.name == key.name).count(), 1, "{}", key.name);
        }
    }

    #[test]
    fn keys_that_contradict_each_other_are_refused() {
        for pairs in [
            &[("log.dirs", " , ")][..],
            &[("log.dirs", "a,b,a")],
            &[("group.min.session.timeout.ms", "10"), ("group.max.session.timeout.ms", "9")],
            &[("queued.max.request.bytes", "1000")],
            &[("thalweg.memory.bytes", "1000")],
            &[("log.roll.ms", "0")],
        ] {
            let set = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            assert!(Config::of(set).is_err(), "{pairs:?}");
        }
    }
}

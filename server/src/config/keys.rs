//! The one table of the broker's keys: name, type, default, bounds, meaning.

use super::listeners::{Listener, parse_listeners};
use super::values::{CoreSet, KeyType, Value};
use super::{ConfigError, topic};
use std::collections::BTreeMap;

/// What is known of a key.
#[derive(Clone, Debug)]
pub struct KeyInfo {
    /// Kafka's name for it, or ours.
    pub name: &'static str,
    /// Its type.
    pub kind: KeyType,
    /// The default as text.
    pub default: String,
    /// The smallest and greatest value, where it is a number.
    pub bounds: Option<(i64, i64)>,
    /// What it does.
    pub doc: &'static str,
}

macro_rules! keys {
    ($($name:literal $field:ident: $type:ty = $default:expr $(, $min:literal ..= $max:expr)?; $doc:literal)*) => {
        /// The broker's configuration: a field per key, dots as underscores, in the unit the key's name gives.
        #[derive(Clone, Debug)]
        pub struct Config {
            $(#[doc = $doc] pub $field: $type,)*
            /// `listeners` with what is advertised for each.
            pub listeners_parsed: Vec<Listener>,
            /// Keys that were set, as text: what is not here is a default.
            pub set: BTreeMap<String, String>,
        }

        /// All keys of the broker.
        pub fn broker_keys() -> Vec<KeyInfo> {
            vec![$(KeyInfo {
                name: $name,
                kind: <$type as Value>::TYPE,
                default: Value::text(&{ let default: $type = $default; default }),
                bounds: keys!(@bounds $($min, $max)?),
                doc: $doc,
            },)*]
        }

        impl Config {
            /// Makes a configuration of what was set, as text by name.
            ///
            /// # Errors
            /// The first key that does not fit.
            pub fn of(set: BTreeMap<String, String>) -> Result<Self, ConfigError> {
                $(let $field: $type = match set.get($name) {
                    Some(text) => <$type as Value>::parse(text).map_err(|reason| ConfigError::value($name, text, reason))?,
                    None => $default,
                };
                $(keys!(@check $field, $name, $min, $max);)?)*
                let mut config = Self { $($field,)* listeners_parsed: Vec::new(), set };
                config.listeners_parsed = parse_listeners(
                    &config.listeners,
                    &config.advertised_listeners,
                    &config.listener_security_protocol_map,
                )?;
                topic::TopicSettings::from_overrides(&config, &BTreeMap::new())?;
                Ok(config)
            }

            /// A key's value as text.
            pub fn text(&self, name: &str) -> Option<String> {
                match name { $($name => Some(Value::text(&self.$field)),)* _ => None }
            }
        }
    };
    (@bounds) => { None };
    (@bounds $min:literal, $max:expr) => { Some(($min as i64, $max as i64)) };
    (@check $field:ident, $name:literal, $min:literal, $max:expr) => {
        if !($min as i64..=$max as i64).contains(&($field as i64)) {
            return Err(ConfigError::value($name, &$field.to_string(), format!("it must lie in {} to {}", $min, $max)));
        }
    };
}

const I32: i64 = i32::MAX as i64;
const I64: i64 = i64::MAX;
const HOUR_MS: i64 = 3_600_000;

keys! {
    "listeners" listeners: Vec<String> = vec!["PLAINTEXT://127.0.0.1:9092".to_owned()]; "Where clients connect: NAME://HOST:PORT, several separated by commas. An empty host is every address."
    "advertised.listeners" advertised_listeners: Vec<String> = Vec::new(); "What clients are told to connect to, per listener name; the listeners themselves when it is empty."
    "listener.security.protocol.map" listener_security_protocol_map: Vec<String> = Vec::new(); "NAME:PROTOCOL pairs; only PLAINTEXT is served."
    "node.id" node_id: i32 = 1, 0..=I32; "This broker's number; broker.id is taken too."
    "log.dirs" log_dirs: Vec<String> = vec!["data".to_owned()]; "Directories for data, separated by commas; log.dir is taken too."
    "num.partitions" num_partitions: i32 = 1, 1..=100_000; "Partitions of a topic that is made without saying how many."
    "default.replication.factor" default_replication_factor: i32 = 1, 1..=1; "There is one broker: 1."
    "auto.create.topics.enable" auto_create_topics_enable: bool = true; "A topic is made when a client first asks for it."
    "delete.topic.enable" delete_topic_enable: bool = true; "Topics may be deleted."
    "message.max.bytes" message_max_bytes: i32 = 1_048_588, 0..=I32; "The largest record batch, header included; topics may set max.message.bytes."
    "log.segment.bytes" log_segment_bytes: i32 = 1 << 30, 14..=I32; "A segment is sealed before it would grow past this."
    "log.roll.ms" log_roll_ms: Option<i64> = None; "Age at which a segment is sealed; log.roll.hours when unset."
    "log.roll.hours" log_roll_hours: i64 = 168, 1..=I32; "The same in hours."
    "log.roll.jitter.ms" log_roll_jitter_ms: Option<i64> = None; "Spread taken off the age, so that logs made together roll apart."
    "log.roll.jitter.hours" log_roll_jitter_hours: i64 = 0, 0..=I32; "The same in hours."
    "log.index.interval.bytes" log_index_interval_bytes: i32 = 4096, 0..=I32; "Distance of index entries."
    "log.index.size.max.bytes" log_index_size_max_bytes: i32 = 10 << 20, 4..=I32; "Kept for topics' segment.index.bytes; indexes here are bounded by themselves."
    "log.retention.ms" log_retention_ms: Option<i64> = None; "How long records are kept; log.retention.minutes, then hours, when unset. Kept; acted on by retention."
    "log.retention.minutes" log_retention_minutes: Option<i64> = None; "The same in minutes."
    "log.retention.hours" log_retention_hours: i64 = 168; "The same in hours."
    "log.retention.bytes" log_retention_bytes: i64 = -1; "Bytes kept of a partition; -1 is no limit. Kept; acted on by retention."
    "log.retention.check.interval.ms" log_retention_check_interval_ms: i64 = 300_000, 1..=I64; "How often retention looks."
    "log.cleanup.policy" log_cleanup_policy: Vec<String> = vec!["delete".to_owned()]; "delete, compact or both. compact makes keys obligatory; compaction itself comes with retention."
    "log.cleaner.delete.retention.ms" log_cleaner_delete_retention_ms: i64 = 24 * HOUR_MS, 0..=I64; "How long tombstones stay."
    "log.cleaner.min.compaction.lag.ms" log_cleaner_min_compaction_lag_ms: i64 = 0, 0..=I64; "Age before which records are not compacted."
    "log.cleaner.max.compaction.lag.ms" log_cleaner_max_compaction_lag_ms: i64 = I64, 1..=I64; "Age after which records are compacted."
    "log.cleaner.min.cleanable.ratio" log_cleaner_min_cleanable_ratio: String = "0.5".to_owned(); "Share of a log that must be dirty before it is compacted."
    "log.segment.delete.delay.ms" log_segment_delete_delay_ms: i64 = 60_000, 0..=I64; "How long a deleted segment's file stays."
    "log.flush.interval.messages" log_flush_interval_messages: i64 = I64, 1..=I64; "Without effect: every acknowledged record is synced."
    "log.flush.interval.ms" log_flush_interval_ms: Option<i64> = None; "Without effect: every acknowledged record is synced."
    "log.preallocate" log_preallocate: bool = false; "Without effect: blocks are always reserved, in growing steps."
    "log.message.timestamp.type" log_message_timestamp_type: String = "CreateTime".to_owned(); "CreateTime or LogAppendTime."
    "log.message.timestamp.before.max.ms" log_message_timestamp_before_max_ms: i64 = I64, 0..=I64; "How far behind the broker's clock a record may be."
    "log.message.timestamp.after.max.ms" log_message_timestamp_after_max_ms: i64 = HOUR_MS, 0..=I64; "How far ahead of the broker's clock a record may be."
    "compression.type" compression_type: String = "producer".to_owned(); "producer keeps what clients chose; gzip, snappy, lz4, zstd or uncompressed make batches anew."
    "compression.gzip.level" compression_gzip_level: i32 = -1, -1..=9; "-1 or 1 to 9."
    "compression.lz4.level" compression_lz4_level: i32 = 9, 1..=17; "Taken; the encoder here has one level."
    "compression.zstd.level" compression_zstd_level: i32 = 3, -131_072..=22; "-131072 to 22."
    "min.insync.replicas" min_insync_replicas: i32 = 1, 1..=I32; "Replicas that acks=all waits for; there is one."
    "unclean.leader.election.enable" unclean_leader_election_enable: bool = false; "Without effect on one broker."
    "producer.id.expiration.ms" producer_id_expiration_ms: i32 = 86_400_000, 1..=I32; "How long an idle producer's sequences are remembered."
    "socket.request.max.bytes" socket_request_max_bytes: i32 = 104_857_600, 1..=I32; "The largest request."
    "queued.max.requests" queued_max_requests: i32 = 500, 1..=I32; "Taken; requests are bounded by memory and per connection."
    "queued.max.request.bytes" queued_max_request_bytes: i64 = -1; "Bytes of requests that one core may hold; -1 chooses a share of thalweg.memory.bytes."
    "connections.max.idle.ms" connections_max_idle_ms: i64 = 600_000, -1..=I64; "Idle connections are closed after this."
    "max.connections" max_connections: i32 = I32 as i32, 0..=I32; "Connections in all."
    "max.connections.per.ip" max_connections_per_ip: i32 = I32 as i32, 0..=I32; "Connections of one address."
    "fetch.max.bytes" fetch_max_bytes: i32 = 57_671_680, 1024..=I32; "The largest answer to a fetch."
    "max.incremental.fetch.session.cache.slots" max_incremental_fetch_session_cache_slots: i32 = 1000, 0..=I32; "Incremental fetch sessions kept, shared out to the cores."
    "group.min.session.timeout.ms" group_min_session_timeout_ms: i32 = 6_000; "The shortest session timeout a member may ask for."
    "group.max.session.timeout.ms" group_max_session_timeout_ms: i32 = 1_800_000; "The longest session timeout a member may ask for."
    "group.initial.rebalance.delay.ms" group_initial_rebalance_delay_ms: i32 = 3_000; "How long an empty group waits for more members before its first generation."
    "group.max.size" group_max_size: i32 = I32 as i32, 1..=I32; "Members of one group."
    "offset.metadata.max.bytes" offset_metadata_max_bytes: i32 = 4096; "The note beside a committed offset."
    "offsets.topic.num.partitions" offsets_topic_num_partitions: i32 = 50, 1..=10_000; "Partitions of __consumer_offsets, fixed when it is made."
    "offsets.topic.segment.bytes" offsets_topic_segment_bytes: i32 = 104_857_600, 1..=I32; "Segment size of __consumer_offsets."
    "offsets.topic.replication.factor" offsets_topic_replication_factor: i32 = 1, 1..=3; "Taken up to Kafka's default of 3; there is one broker."
    "offsets.retention.minutes" offsets_retention_minutes: i32 = 10_080, 1..=I32; "How long offsets of an empty group are kept."
    "offsets.retention.check.interval.ms" offsets_retention_check_interval_ms: i64 = 600_000, 1..=I64; "How often that is looked at."
    "thalweg.cores" thalweg_cores: CoreSet = CoreSet::Count(std::thread::available_parallelism().map_or(1, usize::from)); "Cores to run on: a number, or a list of CPUs such as 0,2-3."
    "thalweg.memory.bytes" thalweg_memory_bytes: i64 = 0, 0..=I64; "Memory for requests, tails and caches of all cores; 0 is a quarter of the machine's, 4 GiB at most."
    "thalweg.journal.file.bytes" thalweg_journal_file_bytes: u64 = 64 << 20, 33_554_432..=(1i64 << 34); "Length of a journal file."
    "thalweg.journal.files.max" thalweg_journal_files_max: usize = 8, 4..=1024; "Journal files for each core and directory."
    "thalweg.commit.bytes.max" thalweg_commit_bytes_max: usize = 4 << 20, 65_536..=8_388_608; "Records in one commit of the journal."
    "thalweg.large.run.bytes" thalweg_large_run_bytes: u64 = 256 << 10, 65_536..=67_108_864; "A partition that has more than this to commit writes straight to its segment."
    "thalweg.write.back.bytes.per.s" thalweg_write_back_bytes_per_s: u64 = 256 << 20, 0..=I64; "Bound of write-back while the journal has room; 0 is none."
    "thalweg.partitions.max" thalweg_partitions_max: i64 = 100_000, 1..=1_000_000; "Partitions of all topics."
    "thalweg.http.listener" thalweg_http_listener: String = "127.0.0.1:9644".to_owned(); "Where /metrics, /health and /ready are served; none turns it off."
    "thalweg.log.format" thalweg_log_format: String = "text".to_owned(); "text or json."
    "thalweg.log.level" thalweg_log_level: String = "info".to_owned(); "A level, or filters such as info,thalweg_engine=debug."
    "thalweg.log.file" thalweg_log_file: Option<String> = None; "A file for the log instead of stderr; reopened on SIGHUP."
    "thalweg.spin.us" thalweg_spin_us: u64 = 0, 0..=1000; "How long an idle core looks for work before it sleeps."
    "thalweg.allow.cow" thalweg_allow_cow: bool = false; "Start on a file system that copies on write, though writes there cost more."
}

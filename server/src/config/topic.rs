//! The keys of topics: each falls back to a key of the broker.

use super::ConfigError;
use super::keys::Config;
use super::values::KeyType;
use std::collections::BTreeMap;
use thalweg_engine::batch::{Codec, TargetCompression, TimestampType};
use thalweg_engine::log::LogSettings;

/// What is known of a topic's key.
#[derive(Clone, Copy, Debug)]
pub struct TopicKey {
    /// Kafka's name for it.
    pub name: &'static str,
    /// Its type.
    pub kind: KeyType,
    /// The broker's key that gives its default, if one does.
    pub broker_key: Option<&'static str>,
    /// The default where no broker key gives it.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
}

const fn key(name: &'static str, kind: KeyType, broker_key: &'static str, doc: &'static str) -> TopicKey {
    TopicKey { name, kind, broker_key: Some(broker_key), default: "", doc }
}

const fn own(name: &'static str, kind: KeyType, default: &'static str, doc: &'static str) -> TopicKey {
    TopicKey { name, kind, broker_key: None, default, doc }
}

use KeyType::{Boolean, Double, Int, List, Long, String as Text};

const KEYS: [TopicKey; 33] = [
    key("cleanup.policy", List, "log.cleanup.policy", "delete, compact or both."),
    key("compression.gzip.level", Int, "compression.gzip.level", "Level where compression.type is gzip."),
    key("compression.lz4.level", Int, "compression.lz4.level", "Level where compression.type is lz4."),
    key(
        "compression.type",
        Text,
        "compression.type",
        "producer keeps what clients chose; a codec makes batches anew.",
    ),
    key("compression.zstd.level", Int, "compression.zstd.level", "Level where compression.type is zstd."),
    key("delete.retention.ms", Long, "log.cleaner.delete.retention.ms", "How long tombstones stay."),
    key(
        "file.delete.delay.ms",
        Long,
        "log.segment.delete.delay.ms",
        "How long a deleted segment's file stays.",
    ),
    key(
        "flush.messages",
        Long,
        "log.flush.interval.messages",
        "Without effect: every acknowledged record is synced.",
    ),
    key("flush.ms", Long, "log.flush.interval.ms", "Without effect: every acknowledged record is synced."),
    own("follower.replication.throttled.replicas", List, "", "Without effect on one broker."),
    key("index.interval.bytes", Int, "log.index.interval.bytes", "Distance of index entries."),
    own("leader.replication.throttled.replicas", List, "", "Without effect on one broker."),
    own("local.retention.bytes", Long, "-2", "There is no remote storage: as retention.bytes."),
    own("local.retention.ms", Long, "-2", "There is no remote storage: as retention.ms."),
    key(
        "max.compaction.lag.ms",
        Long,
        "log.cleaner.max.compaction.lag.ms",
        "Age after which records are compacted.",
    ),
    key("max.message.bytes", Int, "message.max.bytes", "The largest record batch, header included."),
    key(
        "message.timestamp.after.max.ms",
        Long,
        "log.message.timestamp.after.max.ms",
        "How far ahead of the broker's clock a record may be.",
    ),
    key(
        "message.timestamp.before.max.ms",
        Long,
        "log.message.timestamp.before.max.ms",
        "How far behind the broker's clock a record may be.",
    ),
    key("message.timestamp.type", Text, "log.message.timestamp.type", "CreateTime or LogAppendTime."),
    key(
        "min.cleanable.dirty.ratio",
        Double,
        "log.cleaner.min.cleanable.ratio",
        "Share that must be dirty before compaction.",
    ),
    key(
        "min.compaction.lag.ms",
        Long,
        "log.cleaner.min.compaction.lag.ms",
        "Age before which records are not compacted.",
    ),
    key("min.insync.replicas", Int, "min.insync.replicas", "Replicas that acks=all waits for."),
    key("preallocate", Boolean, "log.preallocate", "Without effect: blocks are always reserved."),
    own("remote.log.copy.disable", Boolean, "false", "There is no remote storage."),
    own("remote.log.delete.on.disable", Boolean, "false", "There is no remote storage."),
    own("remote.storage.enable", Boolean, "false", "There is no remote storage: true is refused."),
    key("retention.bytes", Long, "log.retention.bytes", "Bytes kept of a partition."),
    key("retention.ms", Long, "log.retention.ms", "How long records are kept."),
    key("segment.bytes", Int, "log.segment.bytes", "A segment is sealed before it would grow past this."),
    key("segment.index.bytes", Int, "log.index.size.max.bytes", "Kept; indexes are bounded by themselves."),
    key("segment.jitter.ms", Long, "log.roll.jitter.ms", "Spread taken off segment.ms."),
    key("segment.ms", Long, "log.roll.ms", "Age at which a segment is sealed."),
    key(
        "unclean.leader.election.enable",
        Boolean,
        "unclean.leader.election.enable",
        "Without effect on one broker.",
    ),
];

/// All keys of topics, in the order of their names.
pub fn topic_keys() -> &'static [TopicKey] {
    &KEYS
}

/// The key of a name.
pub fn topic_key(name: &str) -> Option<&'static TopicKey> {
    KEYS.iter().find(|key| key.name == name)
}

/// What one topic's keys come to.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicSettings {
    /// Every key's value as text, the topic's own or the default.
    pub texts: BTreeMap<&'static str, String>,
    log: LogSettings,
}

impl TopicKey {
    /// The value a topic has that does not set it.
    pub fn default_text(&self, config: &Config) -> String {
        let millis = |unit_ms: i64, count: i64| {
            if count < 0 { count } else { count.saturating_mul(unit_ms) }.to_string()
        };
        match self.name {
            "retention.ms" => config.log_retention_ms.map(|ms| ms.to_string()).unwrap_or_else(|| {
                config.log_retention_minutes.map_or_else(
                    || millis(3_600_000, config.log_retention_hours),
                    |minutes| millis(60_000, minutes),
                )
            }),
            "segment.ms" => config
                .log_roll_ms
                .map_or_else(|| millis(3_600_000, config.log_roll_hours), |ms| ms.to_string()),
            "segment.jitter.ms" => config
                .log_roll_jitter_ms
                .map_or_else(|| millis(3_600_000, config.log_roll_jitter_hours), |ms| ms.to_string()),
            "flush.ms" => config.log_flush_interval_ms.unwrap_or(i64::MAX).to_string(),
            _ => match self.broker_key {
                Some(key) => config.text(key).unwrap_or_default(),
                None => self.default.to_owned(),
            },
        }
    }
}

impl TopicSettings {
    /// Joins a topic's own settings with the broker's.
    ///
    /// # Errors
    /// The first key that is unknown or whose value does not fit.
    pub fn from_overrides(
        config: &Config,
        overrides: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        for (name, value) in overrides {
            let key =
                topic_key(name).ok_or_else(|| ConfigError::Unknown { key: name.clone(), nearest: None })?;
            check_type(key, value)?;
        }
        let text =
            |key: &TopicKey| overrides.get(key.name).cloned().unwrap_or_else(|| key.default_text(config));
        let texts: BTreeMap<&'static str, String> = KEYS.iter().map(|key| (key.name, text(key))).collect();
        let log = log_settings(&Texts(&texts))?;
        Ok(Self { texts, log })
    }

    /// What the engine is told.
    pub fn log_settings(&self) -> LogSettings {
        self.log.clone()
    }
}

fn check_type(key: &TopicKey, value: &str) -> Result<(), ConfigError> {
    let fits = match key.kind {
        Int => value.trim().parse::<i32>().is_ok(),
        Long => value.trim().parse::<i64>().is_ok(),
        Double => value.trim().parse::<f64>().is_ok(),
        Boolean => matches!(value.trim().to_ascii_lowercase().as_str(), "true" | "false"),
        Text | List => true,
    };
    let wanted = match key.kind {
        Int => "Not a number of type INT",
        Long => "Not a number of type LONG",
        Double => "Not a number of type DOUBLE",
        _ => "Expected value to be either true or false",
    };
    if fits { Ok(()) } else { Err(ConfigError::value(key.name, value, wanted)) }
}

/// Kafka's bounds of what is kept for the tools and acts on nothing here.
const BOUNDS_OF_THE_IDLE: [(&str, i64); 6] = [
    ("delete.retention.ms", 0),
    ("file.delete.delay.ms", 0),
    ("flush.messages", 1),
    ("flush.ms", 0),
    ("local.retention.bytes", -2),
    ("local.retention.ms", -2),
];

fn check_idle(texts: &Texts<'_>) -> Result<(), ConfigError> {
    for (name, min) in BOUNDS_OF_THE_IDLE {
        texts.number(name, min, i64::MAX)?;
    }
    texts.number("segment.index.bytes", 4, i64::from(i32::MAX))?;
    let ratio = texts.text("min.cleanable.dirty.ratio");
    if !ratio.trim().parse::<f64>().is_ok_and(|ratio| (0.0..=1.0).contains(&ratio)) {
        let wanted = "Value must be at least 0 and no more than 1";
        return Err(ConfigError::value("min.cleanable.dirty.ratio", ratio, wanted));
    }
    for name in ["follower.replication.throttled.replicas", "leader.replication.throttled.replicas"] {
        let is_pair = |pair: &str| {
            let mut ends = pair.split(':').map(|end| end.trim().parse::<u32>().is_ok());
            (ends.next(), ends.next(), ends.next()) == (Some(true), Some(true), None)
        };
        let text = texts.text(name).trim();
        if !text.is_empty() && text != "*" && !text.split(',').all(is_pair) {
            let wanted = "it must be the literal '*' or a list of [partitionId]:[brokerId]";
            return Err(ConfigError::value(name, text, wanted));
        }
    }
    Ok(())
}

struct Texts<'a>(&'a BTreeMap<&'static str, String>);

impl Texts<'_> {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    fn number(&self, name: &'static str, min: i64, max: i64) -> Result<i64, ConfigError> {
        let text = self.text(name);
        let number = text.trim().parse::<i64>().ok().filter(|number| (min..=max).contains(number));
        let outside = || match text.trim().parse::<i64>() {
            Ok(number) if number > max => format!("Value must be no more than {max}"),
            _ => format!("Value must be at least {min}"),
        };
        number.ok_or_else(|| ConfigError::value(name, text, outside()))
    }
}

fn log_settings(texts: &Texts<'_>) -> Result<LogSettings, ConfigError> {
    let policies: Vec<&str> =
        texts.text("cleanup.policy").split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    if policies.iter().any(|policy| !matches!(*policy, "delete" | "compact")) {
        return Err(ConfigError::value(
            "cleanup.policy",
            texts.text("cleanup.policy"),
            "String must be one of: compact, delete",
        ));
    }
    let timestamp_type = match texts.text("message.timestamp.type") {
        "CreateTime" => TimestampType::Create,
        "LogAppendTime" => TimestampType::LogAppend,
        other => {
            return Err(ConfigError::value(
                "message.timestamp.type",
                other,
                "String must be one of: CreateTime, LogAppendTime",
            ));
        }
    };
    if texts.text("remote.storage.enable").trim().eq_ignore_ascii_case("true") {
        return Err(ConfigError::value("remote.storage.enable", "true", "there is no remote storage"));
    }
    check_idle(texts)?;
    texts.number("retention.ms", -1, i64::MAX)?;
    texts.number("retention.bytes", i64::MIN, i64::MAX)?;
    texts.number("min.insync.replicas", 1, i64::from(i32::MAX))?;
    let min_lag = texts.number("min.compaction.lag.ms", 0, i64::MAX)?;
    if texts.number("max.compaction.lag.ms", 1, i64::MAX)? < min_lag {
        let value = texts.text("max.compaction.lag.ms");
        return Err(ConfigError::value(
            "max.compaction.lag.ms",
            value,
            "it must not lie below min.compaction.lag.ms",
        ));
    }
    Ok(LogSettings {
        // Kafka 4 takes 1 MiB at least; 3.5 took 14 bytes, and its tools still ask for small ones.
        segment_bytes: texts.number("segment.bytes", 14, i64::from(i32::MAX))? as u64,
        segment_ms: texts.number("segment.ms", 1, i64::MAX)? as u64,
        segment_jitter_ms: texts.number("segment.jitter.ms", 0, i64::MAX)? as u64,
        index_interval_bytes: texts.number("index.interval.bytes", 0, i64::from(i32::MAX))? as u64,
        batch_bytes_max: texts.number("max.message.bytes", 0, i64::from(i32::MAX))? as usize,
        timestamp_type,
        timestamp_before_max_ms: texts.number("message.timestamp.before.max.ms", 0, i64::MAX)?,
        timestamp_after_max_ms: texts.number("message.timestamp.after.max.ms", 0, i64::MAX)?,
        compression: compression(texts)?,
        compacted: policies.contains(&"compact"),
    })
}

fn compression(texts: &Texts<'_>) -> Result<TargetCompression, ConfigError> {
    let gzip = texts.number("compression.gzip.level", -1, 9)?;
    if gzip == 0 {
        let wanted = "Value must be between 1 and 9 or equal to -1";
        return Err(ConfigError::value("compression.gzip.level", "0", wanted));
    }
    let zstd = texts.number("compression.zstd.level", -131_072, 22)?;
    texts.number("compression.lz4.level", 1, 17)?;
    match texts.text("compression.type") {
        "producer" => Ok(TargetCompression::Producer),
        name => {
            let wanted = "String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer";
            let known = Codec::from_name(name).filter(|_| name != "none");
            let codec = known.ok_or_else(|| ConfigError::value("compression.type", name, wanted))?;
            let level = match codec {
                Codec::Gzip => Some(gzip as i32),
                Codec::Zstd => Some(zstd as i32),
                Codec::None | Codec::Snappy | Codec::Lz4 => None,
            };
            Ok(TargetCompression::Codec(codec, level))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<TopicSettings, ConfigError> {
        let config = Config::of(BTreeMap::new()).unwrap();
        let overrides = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        TopicSettings::from_overrides(&config, &overrides)
    }

    #[test]
    fn a_topic_without_settings_has_kafkas_defaults() {
        let plain = settings(&[]).unwrap();
        assert_eq!(plain.log_settings(), LogSettings::default());
        assert_eq!(plain.texts["retention.ms"], "604800000");
        assert_eq!(plain.texts["segment.ms"], "604800000");
    }

    #[test]
    fn what_acts_on_data_is_honoured_or_refused() {
        let own = settings(&[
            ("cleanup.policy", "compact,delete"),
            ("compression.type", "zstd"),
            ("segment.bytes", "5000000"),
        ]);
        let log = own.unwrap().log_settings();
        assert!(log.compacted);
        assert_eq!(
            (log.compression, log.segment_bytes),
            (TargetCompression::Codec(Codec::Zstd, Some(3)), 5_000_000)
        );
        for refused in [
            ("no.such.key", "1"),
            ("segment.bytes", "many"),
            ("segment.bytes", "3"),
            ("cleanup.policy", "burn"),
            ("message.timestamp.type", "Now"),
            ("remote.storage.enable", "true"),
            ("min.cleanable.dirty.ratio", "2"),
            ("compression.gzip.level", "0"),
            ("flush.messages", "0"),
            ("file.delete.delay.ms", "-1"),
            ("leader.replication.throttled.replicas", "0:1,x"),
        ] {
            assert!(settings(&[refused]).is_err(), "{refused:?}");
        }
    }
}

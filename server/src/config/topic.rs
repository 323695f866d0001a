//! What one topic's keys come to: its own values over the broker's over the defaults.

use super::ConfigError;
use super::keys::Config;
use super::topic_keys::{DURABILITY_MODE, DURABILITY_OF_OURS, TopicKey, topic_key, topic_keys};
use super::values::words;
use std::collections::BTreeMap;
use std::time::Duration;
use thalweg_engine::batch::{Codec, TargetCompression, TimestampType};
use thalweg_engine::log::{Durability, DurabilityMode, LogSettings};

/// What one topic's keys come to.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicSettings {
    /// Every key's value as text, as Kafka prints it: the topic's own or the default.
    pub texts: BTreeMap<&'static str, String>,
    log: LogSettings,
}

impl TopicKey {
    /// The value a topic has that does not set it.
    pub fn default_text(&self, config: &Config) -> String {
        let set = self.broker_keys().find_map(|name| config.text(name).map(|text| (name, text)));
        let Some((name, text)) = set else { return self.default.to_owned() };
        // A topic's ages are in milliseconds, whatever the broker's key is in.
        let unit_ms = match name {
            _ if name.ends_with(".hours") => 3_600_000,
            _ if name.ends_with(".minutes") => 60_000,
            _ => return text,
        };
        match text.parse::<i64>() {
            Ok(count) if count < 0 => "-1".to_owned(),
            Ok(count) => count.saturating_mul(unit_ms).to_string(),
            Err(_) => text,
        }
    }

    /// Whether a topic may have this value.
    ///
    /// # Errors
    /// What would fit.
    pub fn check(&self, value: &str) -> Result<(), ConfigError> {
        self.limits.check(self.kind, value).map_err(|reason| ConfigError::value(self.name, value, reason))
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
            let key = topic_key(name).ok_or_else(|| ConfigError::UnknownTopicKey { key: name.clone() })?;
            key.check(value)?;
        }
        let text = |key: &TopicKey| match overrides.get(key.name) {
            Some(own) => key.kind.normal(own),
            None => key.default_text(config),
        };
        let texts: BTreeMap<&'static str, String> =
            topic_keys().iter().map(|key| (key.name, text(key))).collect();
        let log = log_settings(&Texts(&texts))?;
        Ok(Self { texts, log })
    }

    /// The same for a topic that the broker itself writes: its answers promise what is synced, whatever the broker's keys
    /// say of topics.
    ///
    /// # Errors
    /// As above; also when it would promise less.
    pub fn of_internal(config: &Config, overrides: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        if let Some(mode) = overrides.get(DURABILITY_MODE).filter(|mode| mode.trim() != DURABILITY_OF_OURS) {
            let reason = format!("the broker's own topics are always {DURABILITY_OF_OURS}");
            return Err(ConfigError::value(DURABILITY_MODE, mode, reason));
        }
        let mut own = overrides.clone();
        own.insert(DURABILITY_MODE.to_owned(), DURABILITY_OF_OURS.to_owned());
        Self::from_overrides(config, &own)
    }

    /// What the engine is told.
    pub fn log_settings(&self) -> LogSettings {
        self.log.clone()
    }
}

/// Values that were checked one by one.
struct Texts<'a>(&'a BTreeMap<&'static str, String>);

impl Texts<'_> {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    fn number(&self, name: &'static str) -> Result<i64, ConfigError> {
        let text = self.text(name);
        text.parse().map_err(|_| ConfigError::value(name, text, "Not a number of type LONG"))
    }
}

fn log_settings(texts: &Texts<'_>) -> Result<LogSettings, ConfigError> {
    let (lag_min, lag_max) = (texts.number("min.compaction.lag.ms")?, texts.number("max.compaction.lag.ms")?);
    if lag_min > lag_max {
        let reason = format!("it lies below min.compaction.lag.ms, which is {lag_min}");
        return Err(ConfigError::value("max.compaction.lag.ms", &lag_max.to_string(), reason));
    }
    let has_policy = |policy: &str| words(texts.text("cleanup.policy")).iter().any(|word| word == policy);
    // Below 0 is no limit; without the policy nothing is deleted for its age or size.
    let limit = |name| {
        let limit = texts.number(name)?;
        Ok::<_, ConfigError>(u64::try_from(limit).ok().filter(|_| has_policy("delete")))
    };
    Ok(LogSettings {
        segment_bytes: texts.number("segment.bytes")? as u64,
        segment_ms: texts.number("segment.ms")? as u64,
        segment_jitter_ms: texts.number("segment.jitter.ms")? as u64,
        index_interval_bytes: texts.number("index.interval.bytes")? as u64,
        batch_bytes_max: texts.number("max.message.bytes")? as usize,
        timestamp_type: match texts.text("message.timestamp.type") {
            "LogAppendTime" => TimestampType::LogAppend,
            _ => TimestampType::Create,
        },
        timestamp_before_max_ms: texts.number("message.timestamp.before.max.ms")?,
        timestamp_after_max_ms: texts.number("message.timestamp.after.max.ms")?,
        compression: compression(texts)?,
        compacted: has_policy("compact"),
        retention_bytes: limit("retention.bytes")?,
        retention_ms: limit("retention.ms")?,
        file_delete_delay_ms: texts.number("file.delete.delay.ms")? as u64,
        durability: durability(texts)?,
        keeps_blocks: false,
    })
}

fn durability(texts: &Texts<'_>) -> Result<Durability, ConfigError> {
    let duration = |name| texts.number(name).map(|ms| Duration::from_millis(ms as u64));
    Ok(Durability {
        mode: match texts.text(DURABILITY_MODE) {
            "window" => DurabilityMode::Window,
            "memory" => DurabilityMode::Memory,
            _ => DurabilityMode::Media,
        },
        window: duration("thalweg.durability.window.ms")?,
        window_bytes: texts.number("thalweg.durability.window.bytes")? as u64,
        flush_messages: texts.number("flush.messages")? as u64,
        flush: duration("flush.ms")?,
    })
}

fn compression(texts: &Texts<'_>) -> Result<TargetCompression, ConfigError> {
    let level = |name| texts.number(name).map(|level| Some(level as i32));
    Ok(match texts.text("compression.type") {
        "uncompressed" => TargetCompression::Codec(Codec::None, None),
        "gzip" => TargetCompression::Codec(Codec::Gzip, level("compression.gzip.level")?),
        "snappy" => TargetCompression::Codec(Codec::Snappy, None),
        "lz4" => TargetCompression::Codec(Codec::Lz4, level("compression.lz4.level")?),
        "zstd" => TargetCompression::Codec(Codec::Zstd, level("compression.zstd.level")?),
        _ => TargetCompression::Producer,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn settings(pairs: &[(&str, &str)]) -> Result<TopicSettings, ConfigError> {
        TopicSettings::from_overrides(&Config::of(BTreeMap::new()).unwrap(), &map(pairs))
    }

    #[test]
    fn a_topic_without_settings_has_kafkas_defaults() {
        let plain = settings(&[]).unwrap();
        let expected = LogSettings { retention_ms: Some(604_800_000), ..LogSettings::default() };
        assert_eq!(plain.log_settings(), expected);
        assert_eq!(plain.texts["retention.ms"], "604800000");
        assert_eq!(plain.texts["segment.ms"], "604800000");
        assert_eq!(plain.texts["flush.ms"], "9223372036854775807");
        assert_eq!(plain.texts["min.cleanable.dirty.ratio"], "0.5");
    }

    #[test]
    fn durability_is_the_brokers_unless_a_topic_has_its_own_and_the_brokers_own_topics_never_promise_less() {
        let set = map(&[
            ("thalweg.durability.mode", "window"),
            ("thalweg.durability.window.ms", "250"),
            ("log.flush.interval.messages", "77"),
        ]);
        let config = Config::of(set).unwrap();
        let of = |own: &[(&str, &str)]| {
            TopicSettings::from_overrides(&config, &map(own)).unwrap().log_settings().durability
        };
        let expected = Durability {
            mode: DurabilityMode::Window,
            window: Duration::from_millis(250),
            flush_messages: 77,
            ..Durability::default()
        };
        assert_eq!(of(&[]), expected);
        assert_eq!(of(&[("thalweg.durability.mode", "memory")]).mode, DurabilityMode::Memory);
        assert_eq!(of(&[("thalweg.durability.mode", "media")]).mode, DurabilityMode::Media);
        let internal = TopicSettings::of_internal(&config, &BTreeMap::new()).unwrap();
        assert_eq!(internal.log_settings().durability.mode, DurabilityMode::Media);
        let weak = map(&[("thalweg.durability.mode", "window")]);
        assert!(TopicSettings::of_internal(&config, &weak).is_err());
    }

    #[test]
    fn the_brokers_keys_are_the_topics_defaults_and_finer_units_win() {
        let of = |pairs| {
            let config = Config::of(map(pairs)).unwrap();
            TopicSettings::from_overrides(&config, &BTreeMap::new()).unwrap()
        };
        let both =
            of(&[("log.retention.hours", "24"), ("log.retention.minutes", "5"), ("log.roll.ms", "90000")]);
        assert_eq!(
            (both.texts["retention.ms"].as_str(), both.texts["segment.ms"].as_str()),
            ("300000", "90000")
        );
        assert_eq!(of(&[("log.retention.hours", "-1")]).texts["retention.ms"], "-1");
        assert_eq!(of(&[("compression.type", "gzip")]).log_settings().compression, {
            TargetCompression::Codec(Codec::Gzip, Some(-1))
        });
    }

    #[test]
    fn what_acts_on_data_is_honoured() {
        let own = settings(&[
            ("cleanup.policy", "compact, delete"),
            ("compression.type", "zstd"),
            ("segment.bytes", " 5000000"),
            ("message.timestamp.type", "LogAppendTime"),
        ]);
        let own = own.unwrap();
        let log = own.log_settings();
        assert!(log.compacted);
        assert_eq!(log.compression, TargetCompression::Codec(Codec::Zstd, Some(3)));
        assert_eq!((log.segment_bytes, log.timestamp_type), (5_000_000, TimestampType::LogAppend));
        assert_eq!(
            (own.texts["cleanup.policy"].as_str(), own.texts["segment.bytes"].as_str()),
            ("compact,delete", "5000000")
        );
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        for refused in [
            ("no.such.key", "1"),
            ("message.format.version", "2.0"),
            ("segment.bytes", "many"),
            ("segment.bytes", "3"),
            ("segment.ms", "0"),
            ("retention.ms", "-2"),
            ("cleanup.policy", "burn"),
            ("cleanup.policy", "delete,"),
            ("compression.type", "none"),
            ("compression.type", "GZIP"),
            ("compression.gzip.level", "0"),
            ("message.timestamp.type", "Now"),
            ("min.insync.replicas", "0"),
            ("min.cleanable.dirty.ratio", "2"),
            ("preallocate", "yes"),
            ("remote.storage.enable", "true"),
            ("remote.log.copy.disable", "true"),
            ("local.retention.ms", "5"),
            ("leader.replication.throttled.replicas", "0:1"),
        ] {
            let error = settings(&[refused]).unwrap_err().to_string();
            assert!(error.contains(refused.0), "{error}");
        }
        assert!(settings(&[("min.compaction.lag.ms", "5"), ("max.compaction.lag.ms", "4")]).is_err());
        assert!(settings(&[("remote.storage.enable", "FALSE"), ("min.insync.replicas", "2")]).is_ok());
    }
}

//! Keys as `DescribeConfigs` answers them: value, where it comes from, and where else it could have come from.

use super::keys::{Config, KeyInfo, broker_keys};
use super::topic_keys::{DURABILITY_MODE, DURABILITY_OF_OURS, TopicKey, topic_keys};
use super::values::KeyType;
use std::collections::BTreeMap;
use std::sync::LazyLock;

static BROKER_KEYS: LazyLock<Vec<KeyInfo>> = LazyLock::new(broker_keys);

/// Where a value comes from, as the protocol numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic = 1,
    /// Set by the broker's file, environment or flags.
    StaticBroker = 4,
    /// Nobody set it.
    Default = 5,
    /// What a logger of the broker is set to.
    BrokerLogger = 6,
}

/// One place a value could come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The key's name there.
    pub name: &'static str,
    /// What it says there.
    pub value: Option<String>,
    /// Which place.
    pub source: ConfigSource,
}

/// One key, described.
#[derive(Clone, Debug)]
pub struct Described {
    /// Its name.
    pub name: &'static str,
    /// Its value now; `None` where it is unset.
    pub value: Option<String>,
    /// Where that comes from.
    pub source: ConfigSource,
    /// Its type.
    pub kind: KeyType,
    /// Whether only a restart changes it.
    pub read_only: bool,
    /// Places it could come from, in falling priority; the first is where it does.
    pub synonyms: Vec<Synonym>,
    /// What it does.
    pub doc: &'static str,
}

impl Config {
    /// The broker's keys.
    pub fn describe(&self) -> impl Iterator<Item = Described> {
        BROKER_KEYS.iter().map(|key| {
            let finest = topic_keys().iter().find(|topic| topic.broker_key == Some(key.name));
            let names = finest.map_or_else(|| vec![key.name], |topic| topic.broker_keys().collect());
            let synonyms = self.places(key.name, &names);
            Described {
                name: key.name,
                value: self.text(key.name).filter(|value| !value.is_empty()),
                source: synonyms.first().map_or(ConfigSource::Default, |first| first.source),
                kind: key.kind,
                read_only: true,
                synonyms,
                doc: key.doc,
            }
        })
    }

    /// Where a value could come from: what is set, then the defaults. As Kafka does, only from `main` on.
    fn places(&self, main: &str, names: &[&'static str]) -> Vec<Synonym> {
        let set = names.iter().filter_map(|name| {
            let value = self.set.contains_key(*name).then(|| self.text(name));
            value.map(|value| Synonym { name, value, source: ConfigSource::StaticBroker })
        });
        let unset = names.iter().filter_map(|name| {
            let default =
                BROKER_KEYS.iter().find(|key| key.name == *name).and_then(|key| key.default.clone());
            let default = default.filter(|default| !default.is_empty());
            default.map(|value| Synonym { name, value: Some(value), source: ConfigSource::Default })
        });
        set.chain(unset).skip_while(|place| place.name != main).collect()
    }
}

impl TopicKey {
    /// What it comes to for a topic that sets `overrides` itself.
    pub fn describe(&self, config: &Config, overrides: &BTreeMap<String, String>) -> Described {
        let names: Vec<&'static str> = self.broker_keys().collect();
        let mut synonyms = self.broker_key.map_or_else(Vec::new, |main| config.places(main, &names));
        let own = overrides.get(self.name).map(|own| self.kind.normal(own));
        if let Some(own) = &own {
            let own = Synonym { name: self.name, value: Some(own.clone()), source: ConfigSource::Topic };
            synonyms.insert(0, own);
        }
        Described {
            name: self.name,
            source: synonyms.first().map_or(ConfigSource::Default, |first| first.source),
            value: Some(own.unwrap_or_else(|| self.default_text(config))),
            kind: self.kind,
            read_only: false,
            synonyms,
            doc: self.doc,
        }
    }

    /// The same for a topic that the broker itself writes: what it promises does not follow the broker's keys.
    pub fn describe_internal(&self, config: &Config, overrides: &BTreeMap<String, String>) -> Described {
        let described = self.describe(config, overrides);
        if self.name != DURABILITY_MODE || described.source == ConfigSource::Topic {
            return described;
        }
        let (value, source) = (Some(DURABILITY_OF_OURS.to_owned()), ConfigSource::Default);
        Described { value, source, synonyms: Vec::new(), ..described }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::topic_key;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn topic(set: &[(&str, &str)], overrides: &[(&str, &str)], name: &str) -> Described {
        topic_key(name).unwrap().describe(&Config::of(map(set)).unwrap(), &map(overrides))
    }

    fn places(described: &Described) -> Vec<(&str, &str, ConfigSource)> {
        let of = |place: &Synonym| (place.name, place.value.clone(), place.source);
        let list: Vec<_> = described.synonyms.iter().map(of).collect();
        list.into_iter()
            .map(|(name, value, source)| (name, &*value.unwrap().leak(), source))
            .map(|(n, v, s)| (n, v as &str, s))
            .collect()
    }

    /// As Kafka 4.3.1 answered, asked with the same settings.
    #[test]
    fn values_tell_where_they_come_from_as_kafka_tells_it() {
        use ConfigSource::{Default, StaticBroker, Topic};
        let plain = topic(&[], &[], "max.message.bytes");
        assert_eq!(places(&plain), [("message.max.bytes", "1048588", Default)]);
        let set = topic(&[("message.max.bytes", "2000000")], &[], "max.message.bytes");
        assert_eq!(set.source, StaticBroker);
        assert_eq!(
            places(&set),
            [("message.max.bytes", "2000000", StaticBroker), ("message.max.bytes", "1048588", Default)]
        );
        let own = topic(&[], &[("segment.bytes", "2000000")], "segment.bytes");
        assert_eq!(
            places(&own),
            [("segment.bytes", "2000000", Topic), ("log.segment.bytes", "1073741824", Default)]
        );
        let rolled = topic(&[("log.roll.ms", "90000")], &[], "segment.ms");
        assert_eq!(
            places(&rolled),
            [("log.roll.ms", "90000", StaticBroker), ("log.roll.hours", "168", Default)]
        );
        let hours = topic(&[("log.retention.hours", "24")], &[], "retention.ms");
        assert_eq!(
            (hours.value.as_deref(), hours.source, hours.synonyms.len()),
            (Some("86400000"), Default, 0)
        );
        assert_eq!(topic(&[], &[("retention.ms", "5000")], "retention.ms").source, Topic);
        assert_eq!(topic(&[], &[], "remote.storage.enable").source, Default);
    }

    #[test]
    fn the_brokers_own_keys_are_read_only() {
        let keys = Config::of(map(&[("num.partitions", "3")])).unwrap();
        let keys: Vec<Described> = keys.describe().collect();
        let find = |name: &str| keys.iter().find(|key| key.name == name).unwrap();
        assert_eq!(
            (find("num.partitions").value.as_deref(), find("num.partitions").source),
            (Some("3"), ConfigSource::StaticBroker)
        );
        assert_eq!(
            (find("log.retention.ms").value.as_deref(), find("log.retention.ms").source),
            (None, ConfigSource::Default)
        );
        assert!(keys.iter().all(|key| key.read_only && !key.doc.is_empty()));
    }
}

//! File, environment, flags: gathered as text by key, later ones over earlier ones.

use super::ConfigError;
use super::keys::{Config, broker_keys};
use std::collections::BTreeMap;
use std::path::Path;

/// Where settings come from, besides the defaults.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// `--config`.
    pub file: Option<std::path::PathBuf>,
    /// The process's environment.
    pub environment: Vec<(String, String)>,
    /// `--set`, each KEY=VALUE.
    pub flags: Vec<String>,
}

/// Names that Kafka takes for a key too.
const SYNONYMS: [(&str, &str); 2] = [("broker.id", "node.id"), ("log.dir", "log.dirs")];

/// Kafka keys without a meaning here: taken, named in one line, without effect. A trailing dot stands for all keys
/// that begin so.
const MEANINGLESS: [&str; 36] = [
    "zookeeper.",
    "process.roles",
    "controller.",
    "inter.broker.",
    "security.inter.broker.protocol",
    "control.plane.listener.name",
    "num.network.threads",
    "num.io.threads",
    "num.replica.fetchers",
    "num.recovery.threads.per.data.dir",
    "socket.send.buffer.bytes",
    "socket.receive.buffer.bytes",
    "socket.listen.backlog.size",
    "background.threads",
    "replica.",
    "leader.imbalance.",
    "auto.leader.rebalance.enable",
    "broker.rack",
    "broker.id.generation.enable",
    "reserved.broker.max.id",
    "log.cleaner.",
    "log.flush.",
    "log.message.format.version",
    "log.message.downconversion.enable",
    "log.message.timestamp.difference.max.ms",
    "transaction.state.log.",
    "transaction.",
    "offsets.",
    "metadata.",
    "kafka.metrics.",
    "metric.",
    "metrics.",
    "group.consumer.",
    "group.share.",
    "share.coordinator.",
    "quota.",
];

/// Gathers and checks; also returns the keys that were taken without effect.
///
/// # Errors
/// The first thing that does not fit, with the way out.
pub fn load(source: &Source) -> Result<(Config, Vec<String>), ConfigError> {
    let mut set = BTreeMap::new();
    let mut ignored = Vec::new();
    let known: Vec<&'static str> = broker_keys().iter().map(|key| key.name).collect();
    let mut take = |key: &str, value: String| {
        let name = SYNONYMS.iter().find(|(synonym, _)| *synonym == key).map_or(key, |(_, name)| name);
        if known.contains(&name) {
            set.insert(name.to_owned(), value);
            return Ok(());
        }
        if is_meaningless(name) {
            ignored.push(name.to_owned());
            return Ok(());
        }
        let nearest = known.iter().map(|known| (strsim::levenshtein(known, name), *known)).min();
        let nearest =
            nearest.filter(|(distance, _)| *distance <= name.len() / 2).map(|(_, known)| known.to_owned());
        Err(ConfigError::Unknown { key: name.to_owned(), nearest })
    };
    if let Some(path) = &source.file {
        let is_properties = path.extension().is_some_and(|ending| ending == "properties");
        let pairs = if is_properties { read_properties(path)? } else { read_toml(path)? };
        for (key, value) in pairs {
            take(&key, value)?;
        }
    }
    for (name, value) in &source.environment {
        // THALWEG_LOG_DIRS is log.dirs; keys of our own keep their first word: THALWEG_THALWEG_CORES would be silly.
        if let Some(rest) = name.strip_prefix("THALWEG_") {
            let dotted = rest.to_ascii_lowercase().replace('_', ".");
            let own = format!("thalweg.{dotted}");
            let key = if known.contains(&own.as_str()) { own } else { dotted };
            if known.contains(&key.as_str()) {
                take(&key, value.clone())?;
            }
        }
    }
    for flag in &source.flags {
        let pair =
            flag.split_once('=').ok_or_else(|| ConfigError::value("--set", flag, "KEY=VALUE is wanted"))?;
        take(pair.0.trim(), pair.1.to_owned())?;
    }
    ignored.sort();
    ignored.dedup();
    Ok((Config::of(set)?, ignored))
}

fn is_meaningless(key: &str) -> bool {
    MEANINGLESS.iter().any(|known| if known.ends_with('.') { key.starts_with(known) } else { key == *known })
}

fn file_error(path: &Path, reason: impl ToString) -> ConfigError {
    ConfigError::File { path: path.display().to_string(), reason: reason.to_string() }
}

fn read_toml(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| file_error(path, error))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| file_error(path, error))?;
    let mut pairs = Vec::new();
    for (key, value) in table {
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Table(_) => {
                let hint = format!(
                    "keys are flat and quoted: \"{key}.something\" = ... instead of {key}.something = ..."
                );
                return Err(file_error(path, hint));
            }
            toml::Value::Array(list) => {
                let texts = list.into_iter().map(|value| value.as_str().map(str::to_owned));
                let texts: Option<Vec<String>> = texts.collect();
                texts
                    .ok_or_else(|| file_error(path, format!("{key}: a list of strings is wanted")))?
                    .join(",")
            }
            other => other.to_string(),
        };
        pairs.push((key, value));
    }
    Ok(pairs)
}

fn read_properties(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let file = std::fs::File::open(path).map_err(|error| file_error(path, error))?;
    let read =
        java_properties::read(std::io::BufReader::new(file)).map_err(|error| file_error(path, error))?;
    let mut pairs: Vec<(String, String)> = read.into_iter().collect();
    pairs.sort();
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(file: &str, ending: &str, flags: &[&str]) -> Result<(Config, Vec<String>), ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(format!("broker.{ending}"));
        std::fs::write(&path, file).unwrap();
        let environment = vec![("THALWEG_NUM_PARTITIONS".to_owned(), "5".to_owned())];
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        load(&Source { file: Some(path), environment, flags })
    }

    #[test]
    fn a_flag_stands_over_the_environment_and_that_over_the_file() {
        let file = "\"num.partitions\" = 3\n\"log.segment.bytes\" = 2000000\n\"log.dirs\" = \"/data\"\n";
        let (config, _) = with(file, "toml", &["message.max.bytes=99"]).unwrap();
        assert_eq!(
            (config.num_partitions, config.log_segment_bytes, config.message_max_bytes),
            (5, 2_000_000, 99)
        );
        assert_eq!(config.log_dirs, ["/data"]);
        let (config, _) = with(file, "toml", &["num.partitions=7"]).unwrap();
        assert_eq!(config.num_partitions, 7);
    }

    #[test]
    fn kafkas_own_file_is_taken_and_what_means_nothing_here_is_named() {
        let file = "broker.id=4\nlog.dirs=/var/lib/kafka\nzookeeper.connect=localhost:2181\nnum.network.threads=3\nlog.retention.hours=24\n";
        let (config, ignored) = with(file, "properties", &[]).unwrap();
        assert_eq!((config.node_id, config.log_retention_hours), (4, 24));
        assert_eq!(ignored, ["num.network.threads", "zookeeper.connect"]);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_right_name() {
        let refused = with("\"num.partition\" = 3\n", "toml", &[]).unwrap_err();
        assert_eq!(refused.to_string(), "unknown key num.partition; did you mean num.partitions?");
        let refused = with("num.partitions = 3\n", "toml", &[]).unwrap_err();
        assert!(refused.to_string().contains("flat and quoted"), "{refused}");
        assert!(with("", "toml", &["num.partitions=0"]).is_err());
        assert!(with("", "toml", &["compression.type=brotli"]).is_err());
    }
}

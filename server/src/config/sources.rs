//! File, environment, flags: gathered as text by key, later ones over earlier ones.

use super::ConfigError;
use super::foreign::{Foreign, foreign, whole_names};
use super::keys::{Config, broker_keys};
use super::listeners::without_controllers;
use super::topic_keys::topic_key;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file of settings is never longer.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Names in the environment begin so.
const VARIABLE_PREFIX: &str = "THALWEG_";

/// Where settings come from, besides the defaults.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// The process's environment.
    pub environment: Vec<(String, String)>,
    /// `--set`, each KEY=VALUE.
    pub flags: Vec<String>,
}

/// What came of the sources.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Checked.
    pub config: Config,
    /// Keys that speak of what is not here: taken without effect.
    pub meaningless: Vec<String>,
    /// Keys that have a meaning and no effect yet.
    pub not_yet: Vec<String>,
    /// Variables that look like ours and name no key.
    pub unknown_variables: Vec<String>,
}

impl Loaded {
    /// Says in the log, a line each, what was set without effect.
    pub fn tell(&self) {
        if !self.meaningless.is_empty() {
            tracing::info!(keys = self.meaningless.join(", "), "settings without a meaning here");
        }
        if !self.not_yet.is_empty() {
            tracing::warn!(keys = self.not_yet.join(", "), "settings that are not acted on yet");
        }
        if !self.unknown_variables.is_empty() {
            tracing::warn!(variables = self.unknown_variables.join(", "), "variables that name no setting");
        }
    }
}

/// Settings gathered so far.
#[derive(Default)]
struct Gathered {
    set: BTreeMap<String, String>,
    meaningless: Vec<String>,
    not_yet: Vec<String>,
    controllers: String,
    known: Vec<&'static str>,
}

/// Gathers and checks.
///
/// # Errors
/// The first thing that does not fit, with the way out.
pub fn load(source: &Source) -> Result<Loaded, ConfigError> {
    let known = broker_keys().iter().map(|key| key.name).collect();
    let mut gathered = Gathered { known, ..Gathered::default() };
    if let Some(path) = &source.file {
        let is_properties = path.extension().is_some_and(|ending| ending == "properties");
        gathered.take_all(if is_properties { read_properties(path)? } else { read_toml(path)? })?;
    }
    let (variables, mut unknown_variables) = gathered.variables(&source.environment);
    gathered.take_all(variables)?;
    let mut flags = Vec::new();
    for flag in &source.flags {
        let pair =
            flag.split_once('=').ok_or_else(|| ConfigError::value("--set", flag, "KEY=VALUE is wanted"))?;
        flags.push((pair.0.trim().to_owned(), pair.1.to_owned()));
    }
    gathered.take_all(flags)?;
    gathered.leave_out_controllers();
    for list in [&mut gathered.meaningless, &mut gathered.not_yet, &mut unknown_variables] {
        list.sort();
        list.dedup();
    }
    let Gathered { set, meaningless, not_yet, .. } = gathered;
    Ok(Loaded { config: Config::of(set)?, meaningless, not_yet, unknown_variables })
}

impl Gathered {
    /// Takes the settings of one source.
    fn take_all(&mut self, pairs: Vec<(String, String)>) -> Result<(), ConfigError> {
        let names: Vec<String> = pairs.iter().map(|(key, _)| key.clone()).collect();
        for (key, value) in pairs {
            for name in own_names(&key, &value) {
                // Within one source a key's own name counts more than another name for it.
                let is_shadowed = name != key && names.iter().any(|other| *other == name);
                if !is_shadowed {
                    self.take(name, &value)?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        if self.known.contains(&name) {
            self.set.insert(name.to_owned(), value.to_owned());
            return Ok(());
        }
        if name == "controller.listener.names" {
            value.clone_into(&mut self.controllers);
        }
        match foreign(name, value) {
            Some(Foreign::Meaningless) => self.meaningless.push(name.to_owned()),
            Some(Foreign::NotYet) => self.not_yet.push(name.to_owned()),
            Some(Foreign::Refused(reason)) => return Err(ConfigError::value(name, value, reason)),
            None => return Err(ConfigError::Unknown { key: name.to_owned(), nearest: self.nearest(name) }),
        }
        Ok(())
    }

    /// The key that was most likely meant.
    fn nearest(&self, name: &str) -> Option<String> {
        if let Some(broker_key) = topic_key(name).and_then(|key| key.broker_key) {
            return Some(broker_key.to_owned()); // retention.ms is a topic's; the broker's is log.retention.ms
        }
        let names = self.known.iter().copied().chain(whole_names());
        let nearest = names.map(|known| (strsim::damerau_levenshtein(known, name), known)).min();
        nearest.filter(|(distance, _)| *distance <= name.len() / 3 + 1).map(|(_, known)| known.to_owned())
    }

    /// What the environment sets, and variables of our prefix that set nothing.
    fn variables(&self, environment: &[(String, String)]) -> (Vec<(String, String)>, Vec<String>) {
        let (mut pairs, mut unknown) = (Vec::new(), Vec::new());
        for (name, value) in environment {
            let Some(rest) = name.strip_prefix(VARIABLE_PREFIX) else { continue };
            let known = self.known.iter().find(|key| variable_of(key) == *name);
            let dotted = rest.to_ascii_lowercase().replace('_', ".");
            match known {
                Some(key) => pairs.push(((*key).to_owned(), value.clone())),
                None if own_names(&dotted, value) != [dotted.as_str()]
                    || foreign(&dotted, value).is_some() =>
                {
                    pairs.push((dotted, value.clone()));
                }
                None => unknown.push(name.clone()),
            }
        }
        (pairs, unknown)
    }

    /// A KRaft node's file lists its controller's listeners too: nobody speaks to those here.
    fn leave_out_controllers(&mut self) {
        let Some(listeners) = self.set.get("listeners").filter(|_| !self.controllers.is_empty()) else {
            return;
        };
        let (kept, left_out) = without_controllers(listeners, &self.controllers);
        self.meaningless.extend(left_out.iter().map(|listener| format!("listeners={listener}")));
        self.set.insert("listeners".to_owned(), kept);
        if let Some(advertised) = self.set.get("advertised.listeners") {
            let (kept, _) = without_controllers(advertised, &self.controllers);
            self.set.insert("advertised.listeners".to_owned(), kept);
        }
    }
}

/// The keys that a name stands for: its own, or those that Kafka lets it stand for.
fn own_names<'a>(key: &'a str, value: &str) -> Vec<&'a str> {
    match key {
        // -1 asks Kafka to choose a number.
        "broker.id" if value.trim() != "-1" => vec!["node.id"],
        "broker.id" => Vec::new(),
        "log.dir" => vec!["log.dirs"],
        "log.message.timestamp.difference.max.ms" => {
            vec!["log.message.timestamp.before.max.ms", "log.message.timestamp.after.max.ms"]
        }
        _ => vec![key],
    }
}

/// The variable that sets a key: `log.dirs` is `THALWEG_LOG_DIRS`, `thalweg.cores` is `THALWEG_CORES`.
pub(super) fn variable_of(key: &str) -> String {
    let short = key.strip_prefix("thalweg.").unwrap_or(key);
    format!("{VARIABLE_PREFIX}{}", short.to_ascii_uppercase().replace('.', "_"))
}

/// Reads a file of settings, not more than the bound.
fn read_text(path: &Path) -> Result<String, ConfigError> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(|error| file_error(path, error))?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| file_error(path, error))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(file_error(path, format!("longer than {FILE_BYTES_MAX} B: no file of settings")));
    }
    Ok(text)
}

fn file_error(path: &Path, reason: impl ToString) -> ConfigError {
    ConfigError::File { path: path.display().to_string(), reason: reason.to_string() }
}

/// What is wrong and in which line; the crate's own text draws the line on several.
fn toml_error(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    file_error(path, format!("line {line}: {}", error.message().replace('\n', "; ")))
}

fn read_toml(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let text = read_text(path)?;
    let table: toml::Table = text.parse().map_err(|error| toml_error(path, &text, &error))?;
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
            toml::Value::Datetime(_) => {
                return Err(file_error(path, format!("{key}: a date is no value; quote it")));
            }
            other => other.to_string(),
        };
        pairs.push((key, value));
    }
    Ok(pairs)
}

fn read_properties(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let text = read_text(path)?;
    let read = java_properties::read(text.as_bytes()).map_err(|error| file_error(path, error))?;
    let mut pairs: Vec<(String, String)> = read.into_iter().collect();
    pairs.sort();
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(file: &str, ending: &str, flags: &[&str]) -> Result<Loaded, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(format!("broker.{ending}"));
        std::fs::write(&path, file).unwrap();
        let environment = vec![("THALWEG_NUM_PARTITIONS".to_owned(), "5".to_owned())];
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        load(&Source { file: Some(path), environment, flags })
    }

    fn environment(pairs: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let environment = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        load(&Source { environment, ..Source::default() })
    }

    #[test]
    fn a_flag_stands_over_the_environment_and_that_over_the_file() {
        let file = "\"num.partitions\" = 3\n\"log.segment.bytes\" = 2000000\n\"log.dirs\" = [\"/data\", \"/more\"]\n";
        let config = with(file, "toml", &["message.max.bytes=99"]).unwrap().config;
        assert_eq!(
            (config.num_partitions, config.log_segment_bytes, config.message_max_bytes),
            (5, 2_000_000, 99)
        );
        assert_eq!(config.log_dirs, ["/data", "/more"]);
        assert_eq!(with(file, "toml", &["num.partitions=7"]).unwrap().config.num_partitions, 7);
        assert_eq!(with(file, "toml", &["log.dir=/x"]).unwrap().config.log_dirs, ["/x"]);
    }

    #[test]
    fn kafkas_own_file_is_taken_and_what_means_nothing_here_is_named() {
        let file = "broker.id=4\nlog.dirs=/var/lib/kafka\nlog.dir=/tmp\nzookeeper.connect=localhost:2181\n\
            num.network.threads=3\nlog.retention.hours=24\nlog.message.timestamp.difference.max.ms=7\n\
            transaction.state.log.min.isr=1\n# comment\nadvertised.listeners=PLAINTEXT\\://h\\:9092\n";
        let loaded = with(file, "properties", &[]).unwrap();
        let config = loaded.config;
        assert_eq!((config.node_id, config.log_retention_hours), (4, 24));
        assert_eq!(config.log_dirs, ["/var/lib/kafka"]);
        assert_eq!(
            (config.log_message_timestamp_before_max_ms, config.log_message_timestamp_after_max_ms),
            (7, 7)
        );
        assert_eq!(config.listeners_parsed[0].host, "h");
        assert_eq!(loaded.meaningless, ["num.network.threads", "zookeeper.connect"]);
        assert_eq!(loaded.not_yet, ["transaction.state.log.min.isr"]);
        assert_eq!(with("broker.id=-1\n", "properties", &[]).unwrap().config.node_id, 1);
    }

    #[test]
    fn a_kraft_nodes_file_is_taken_without_its_controller() {
        let file = "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@localhost:9093\n\
            listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
            advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
            controller.listener.names=CONTROLLER\nlistener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n";
        let loaded = with(file, "properties", &[]).unwrap();
        let names: Vec<_> = loaded.config.listeners_parsed.iter().map(|known| known.name.as_str()).collect();
        assert_eq!(names, ["PLAINTEXT"]);
        assert!(loaded.meaningless.contains(&"listeners=CONTROLLER://:9093".to_owned()));
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_right_name() {
        let refused = |file: &str| with(file, "toml", &[]).unwrap_err().to_string();
        assert_eq!(
            refused("\"num.partition\" = 3\n"),
            "unknown key num.partition; did you mean num.partitions?"
        );
        assert!(refused("\"num.io.thread\" = 3\n").ends_with("did you mean num.io.threads?"));
        assert!(refused("\"retention.ms\" = 3\n").ends_with("did you mean log.retention.ms?"));
        assert!(refused("\"offsets.topic.num.partition\" = 3\n").contains("offsets.topic.num.partitions"));
        assert_eq!(refused("\"qwertyuiop\" = 3\n"), "unknown key qwertyuiop");
        assert!(refused("num.partitions = 3\n").contains("flat and quoted"));
        let twice = refused("\"num.partitions\" = 3\n\n\"num.partitions\" = 4\n");
        assert!(twice.ends_with(": line 3: duplicate key"), "{twice}");
        assert!(!refused("\"log.dirs\" = = 3\n").contains('\n'));
        assert!(refused("\"authorizer.class.name\" = \"x.Y\"\n").contains("no authorizer"));
        for flag in ["num.partitions=0", "compression.type=brotli", "num.partitions", "=3"] {
            assert!(with("", "toml", &[flag]).is_err(), "{flag}");
        }
        assert!(with(&" ".repeat(2 << 20), "toml", &[]).is_err());
        assert!(load(&Source { file: Some("/no/such/file".into()), ..Source::default() }).is_err());
    }

    #[test]
    fn every_key_has_a_variable_of_its_own() {
        let mut names: Vec<String> = broker_keys().iter().map(|key| variable_of(key.name)).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        let loaded = environment(&[
            ("THALWEG_LOG_DIRS", "/a,/b"),
            ("THALWEG_CORES", "1"),
            ("THALWEG_BROKER_ID", "3"),
            ("THALWEG_ZOOKEEPER_CONNECT", "x"),
            ("THALWEG_LOGDIRS", "/c"),
            ("HOME", "/root"),
        ])
        .unwrap();
        assert_eq!(loaded.config.log_dirs, ["/a", "/b"]);
        assert_eq!((loaded.config.thalweg_cores.count(), loaded.config.node_id), (1, 3));
        assert_eq!(
            (loaded.meaningless, loaded.unknown_variables),
            (vec!["zookeeper.connect".to_owned()], vec!["THALWEG_LOGDIRS".to_owned()])
        );
        assert!(environment(&[("THALWEG_NUM_PARTITIONS", "none")]).is_err());
    }

    #[test]
    fn nothing_at_all_serves_on_this_machine_alone() {
        let config = load(&Source::default()).unwrap().config;
        assert_eq!(
            (config.listeners_parsed[0].host.as_str(), config.listeners_parsed[0].port),
            ("127.0.0.1", 9092)
        );
        assert_eq!(config.log_dirs, ["data"]);
    }
}

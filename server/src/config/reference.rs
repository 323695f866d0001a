//! `config/broker.toml` and `docs/config.md`, printed from the tables: they cannot disagree with what runs.

use super::foreign::{Foreign, names};
use super::keys::{Acts, KeyInfo, broker_keys};
use super::topic_keys::{TopicKey, topic_keys};
use super::values::KeyType;
use std::fmt::Write;

/// The unit of a key, which its name ends with.
fn unit(name: &str) -> &'static str {
    let units = [
        (".bytes.per.s", "bytes per second"),
        (".ms", "milliseconds"),
        (".us", "microseconds"),
        (".minutes", "minutes"),
        (".hours", "hours"),
        (".bytes", "bytes"),
        (".bytes.max", "bytes"),
        (".max.bytes", "bytes"),
    ];
    units.iter().find(|(ending, _)| name.ends_with(ending)).map_or("", |(_, unit)| unit)
}

/// A key's type, unit and limits in one phrase.
fn kind(kind: KeyType, name: &str, limits: &str) -> String {
    let parts = [kind.name(), unit(name), limits];
    parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(", ")
}

/// A file of all keys at their defaults, each commented out.
pub fn broker_toml() -> String {
    let mut out = String::from(
        "# Every setting of the broker at its default. Start it with: thalweg --config broker.toml\n\
         # Names are Kafka's where Kafka has one, our own begin with thalweg. Keys are flat and quoted.\n\
         # Over this file stands the environment (THALWEG_LOG_DIRS=/data), over that the flag --set KEY=VALUE.\n",
    );
    let mut section = "";
    for key in broker_keys() {
        if key.section != section {
            section = key.section;
            let _ = writeln!(out, "\n# ---- {section} ----");
        }
        let _ = writeln!(out, "\n# {}", key.doc);
        let _ = write!(out, "# {}.", kind(key.kind, key.name, &key.limits.text()));
        let _ = match key.acts {
            Acts::Later => {
                writeln!(out, " Checked and kept; compaction acts on it, which comes later.")
            }
            Acts::Now | Acts::Never => writeln!(out),
        };
        let _ = writeln!(out, "#\"{}\" = {}", key.name, toml_value(&key));
    }
    out
}

fn toml_value(key: &KeyInfo) -> String {
    match (&key.default, key.kind) {
        (None, _) => "\"\"".to_owned(),
        (Some(text), KeyType::String | KeyType::List) => format!("\"{text}\""),
        (Some(text), _) => text.clone(),
    }
}

const HEAD: &str = "\
# Settings

`thalweg [--config FILE] [--set KEY=VALUE]... [--cores N]` takes settings from four places, each over the one before:

1. the defaults, which are those of Kafka 4.3 unless this page says otherwise;
2. the file: TOML with flat quoted keys (`\"log.dirs\" = \"/data\"`), or Kafka's own form where its name ends in
   `.properties`. `config/broker.toml` has every key;
3. the environment: `THALWEG_` and the key in capitals, dots as underscores, without a leading `thalweg.`:
   `log.dirs` is `THALWEG_LOG_DIRS`, `thalweg.log.level` is `THALWEG_LOG_LEVEL`;
4. the flags. `--cores` is `thalweg.cores`.

A key that nobody knows is refused with the nearest right name; Kafka's keys that are not in these tables are listed
at the end. Every value is checked before anything starts. `kafka-configs --describe --entity-type brokers` prints
what holds.

In the column \"acts\", `kept` means: checked, stored, described, and without effect until compaction is there.
";

/// `docs/config.md`: the tables for people.
pub fn reference() -> String {
    let mut out = String::from(HEAD);
    let mut section = "";
    for key in broker_keys() {
        if key.section != section {
            section = key.section;
            let head = "| key | default | type, unit, limits | acts | meaning |\n|--|--|--|--|--|";
            let _ = writeln!(out, "\n## {section}\n\n{head}");
        }
        let default = key.default.as_deref().map_or("unset".to_owned(), quoted);
        let limits = kind(key.kind, key.name, &key.limits.text());
        let _ = writeln!(out, "| `{}` | {default} | {limits} | {} | {} |", key.name, acts(key.acts), key.doc);
    }
    let _ = writeln!(
        out,
        "\n## Topics\n\nSet when a topic is made, or later with `kafka-configs --alter --entity-type topics`. A value that cannot be \
         honoured is refused with INVALID_CONFIG.\n\n| key | default | type, unit, limits | acts | meaning |\n|--|--|--|--|--|"
    );
    for key in topic_keys() {
        let limits = kind(key.kind, key.name, &key.limits.text());
        let _ = writeln!(
            out,
            "| `{}` | {} | {limits} | {} | {} |",
            key.name,
            default_of(key),
            acts(key.acts),
            key.doc
        );
    }
    foreign_keys(&mut out);
    out
}

fn quoted(text: &str) -> String {
    if text.is_empty() { "empty".to_owned() } else { format!("`{text}`") }
}

fn default_of(key: &TopicKey) -> String {
    let names: Vec<String> = key.broker_keys().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { quoted(key.default) } else { names.join(", ") }
}

fn acts(acts: Acts) -> &'static str {
    match acts {
        Acts::Now => "yes",
        Acts::Later => "kept",
        Acts::Never => "no effect",
    }
}

fn foreign_keys(out: &mut String) {
    let lists = [
        (
            Foreign::Meaningless,
            "Kafka's keys without a meaning here",
            "Taken and named in one line of the log. A name that ends with a dot stands for all keys that begin so.",
        ),
        (Foreign::NotYet, "Kafka's keys that are not acted on yet", "Taken and named in a warning."),
        (
            Foreign::Refused(""),
            "Kafka's keys that are refused",
            "Unless they are empty or have the value that asks for nothing: what they ask for is not here, and nobody should believe it is.",
        ),
    ];
    for (kind, title, text) in lists {
        let list: Vec<String> = names(&kind).into_iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(out, "\n## {title}\n\n{text}\n\n{}", list.join(", "));
    }
}

/// Compares a file of the repository with what it must be; `UPDATE=1` writes it.
#[cfg(test)]
pub(crate) fn in_repository(path: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var("UPDATE").is_ok_and(|update| update == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let path = path.display();
    assert!(
        found == text,
        "{path} is not as the table says: UPDATE=1 cargo test -p thalweg-server in_the_repository"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, load};

    #[test]
    fn the_page_names_variables_as_they_are() {
        for key in ["log.dirs", "thalweg.log.level"] {
            assert!(
                HEAD.contains(&format!("`{key}` is `{}`", crate::config::sources::variable_of(key))),
                "{key}"
            );
        }
    }

    #[test]
    fn the_files_in_the_repository_are_those_of_the_table() {
        in_repository("config/broker.toml", &broker_toml());
        in_repository("docs/config.md", &reference());
    }

    #[test]
    fn the_file_of_defaults_can_be_used_with_every_line_in_force() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("broker.toml");
        std::fs::write(&path, broker_toml().replace("\n#\"", "\n\"")).unwrap();
        let config = load(&Source { file: Some(path), ..Source::default() }).unwrap().config;
        assert_eq!(config.set.len(), broker_keys().len());
        for key in broker_keys() {
            assert_eq!(config.text(key.name), key.default, "{}", key.name);
        }
    }
}

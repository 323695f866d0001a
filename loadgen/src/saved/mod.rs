//! What did a run of some time ago say? Results read back from their files, as far as reports and comparisons use them.
//!
//! Within one version of the schema fields are only added, so what is not known here is passed over and what a file does not have yet
//! is empty. Of another version nothing is guessed.
mod model;
mod parts;

pub use model::{
    Consume, Crash, Disk, Event, Group, Ladder, Latency, Machine, Mount, Part, Percentile, Process, Produce,
    Rates, Reader, Resources, Restart, Run, Schedule, Second, Step, Verdict, Where,
};

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::result::SCHEMA;

/// A result and where it came from.
#[derive(Clone, Debug)]
pub struct Saved {
    /// The file.
    pub path: PathBuf,
    /// What it is called beside others: the part of its path that tells them apart.
    pub name: String,
    /// What it says.
    pub run: Run,
}

/// Why a file is not a result that can be used.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no JSON, or a field holds something else than it should.
    #[error("{}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        source: serde_json::Error,
    },
    /// It is JSON of something else.
    #[error("{}: no result of thalweg-loadgen: it has no \"schema\" of the form {SCHEMA:?}; results are written by --json", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It was written under an earlier version of the schema.
    #[error(
        "{}: schema {found}, but this program reads {SCHEMA}: measure again, or use the thalweg-loadgen that wrote it{}",
        path.display(),
        commit_words(commit.as_deref())
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: String,
        /// Of the program that wrote it, if it says so.
        commit: Option<String>,
    },
    /// It was written under a later version of the schema.
    #[error(
        "{}: schema {found} is newer than this program, which reads {SCHEMA}: use the thalweg-loadgen that wrote it{}, or a later one",
        path.display(),
        commit_words(commit.as_deref())
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: String,
        /// Of the program that wrote it, if it says so.
        commit: Option<String>,
    },
}

fn commit_words(commit: Option<&str>) -> String {
    commit.map(|commit| format!(" (commit {commit})")).unwrap_or_default()
}

impl Saved {
    /// The results at `paths`, each with a name that tells it from the others.
    ///
    /// # Errors
    /// For the first file that is not a result of this version.
    pub fn load_all(paths: &[PathBuf]) -> Result<Vec<Self>, SavedError> {
        let names = names(paths);
        paths.iter().zip(names).map(|(path, name)| Self::load(path, name)).collect()
    }

    fn load(path: &Path, name: String) -> Result<Self, SavedError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SavedError::Read { path: path.to_owned(), source })?;
        Self::parse(path, name, &text)
    }

    /// The result that `text` holds; `path` is for what goes wrong.
    ///
    /// # Errors
    /// If it is not a result of this version.
    pub fn parse(path: &Path, name: String, text: &str) -> Result<Self, SavedError> {
        let parse = |source| SavedError::Parse { path: path.to_owned(), source };
        let value: Value = serde_json::from_str(text).map_err(parse)?;
        check_version(path, &value)?;
        let run = serde_json::from_str(text).map_err(parse)?;
        Ok(Self { path: path.to_owned(), name, run })
    }
}

fn check_version(path: &Path, value: &Value) -> Result<(), SavedError> {
    let foreign = || SavedError::Foreign { path: path.to_owned() };
    let found = value.get("schema").and_then(Value::as_str).ok_or_else(foreign)?;
    if found == SCHEMA {
        return Ok(());
    }
    let version = |schema: &str| {
        let (family, number) = schema.rsplit_once('/')?;
        Some((family.to_owned(), number.parse::<u32>().ok()?))
    };
    let (path, commit) = (path.to_owned(), value.pointer("/machine/loadgen_commit"));
    let commit = commit.and_then(Value::as_str).map(str::to_owned);
    match (version(found), version(SCHEMA)) {
        (Some((theirs, number)), Some((ours, own))) if theirs == ours => {
            let found = found.to_owned();
            if number < own {
                Err(SavedError::Older { path, found, commit })
            } else {
                Err(SavedError::Newer { path, found, commit })
            }
        }
        _ => Err(foreign()),
    }
}

/// The files' names without the ending; with as many folders before them as it takes to tell them apart.
fn names(paths: &[PathBuf]) -> Vec<String> {
    let parts: Vec<Vec<String>> = paths
        .iter()
        .map(|path| {
            let whole = path.with_extension("");
            whole.components().rev().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
        })
        .collect();
    let longest = parts.iter().map(Vec::len).max().unwrap_or(0);
    let named = |count: usize| -> Vec<String> {
        let join = |parts: &Vec<String>| {
            let mut kept: Vec<&str> = parts.iter().take(count).map(String::as_str).collect();
            kept.reverse();
            kept.join("/")
        };
        parts.iter().map(join).collect()
    };
    let differ = |names: &Vec<String>| {
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.windows(2).all(|pair| pair[0] != pair[1])
    };
    (1..longest).map(named).find(differ).unwrap_or_else(|| named(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Saved, String> {
        Saved::parse(Path::new("r.json"), "r".to_owned(), text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_run_writes_is_read_back() {
        let machine = crate::machine::Machine::look(None);
        let result = crate::result::RunResult::new(machine, 1_700_000_000_000);
        let saved = parse(&serde_json::to_string(&result).unwrap()).unwrap();
        assert_eq!(saved.run.start_unix_ms, 1_700_000_000_000);
        assert_eq!(saved.run.machine.core_count, result.machine.core_count as u64);
        assert_eq!(saved.run.warnings, result.warnings);
    }

    #[test]
    fn fields_that_are_not_known_are_passed_over_and_missing_ones_are_empty() {
        let text = format!(r#"{{"schema": "{SCHEMA}", "start_unix_ms": 5, "tea": {{"cups": 3}}}}"#);
        let saved = parse(&text).unwrap();
        assert!(saved.run.produce.is_none() && saved.run.produce_series.is_empty());
    }

    #[test]
    fn another_version_is_refused_with_what_to_do() {
        let newer = parse(r#"{"schema": "thalweg-loadgen/999", "machine": {"loadgen_commit": "abc"}}"#);
        let told = newer.unwrap_err();
        assert!(told.contains("newer") && told.contains("commit abc") && told.contains("r.json"), "{told}");
        let older = parse(r#"{"schema": "thalweg-loadgen/0"}"#).unwrap_err();
        assert!(older.contains("measure again"), "{older}");
        for foreign in [r#"{"schema": "else/1"}"#, "{}", "[1]", r#"{"schema": "thalweg-loadgen/x"}"#] {
            assert!(parse(foreign).unwrap_err().contains("no result of thalweg-loadgen"));
        }
        assert!(parse("{").unwrap_err().contains("line 1"));
        let wrong = parse(&format!(r#"{{"schema": "{SCHEMA}", "warnings": 3}}"#)).unwrap_err();
        assert!(wrong.contains("r.json"), "{wrong}");
    }

    #[test]
    fn names_are_as_short_as_tells_the_files_apart() {
        let named = |paths: &[&str]| names(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(named(&["a/x.json", "a/y.json"]), ["x", "y"]);
        assert_eq!(named(&["a/x.json", "b/x.json"]), ["a/x", "b/x"]);
        assert_eq!(named(&["x.json", "x.json"]), ["x", "x"]);
        assert_eq!(named(&["x.json"]), ["x"]);
    }
}

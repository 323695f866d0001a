//! Figures of earlier commits: a file with one JSON object a line, which grows and is never rewritten.
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::figures::FIGURES;
use crate::saved::Saved;

/// Name and version of a line's schema.
pub const SCHEMA: &str = "thalweg-loadgen-history/1";

/// One run of one commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// [`SCHEMA`].
    pub schema: String,
    /// What was measured.
    pub commit: String,
    /// Wall clock at the start of the run, milliseconds since 1970.
    pub start_unix_ms: i64,
    /// Runs of one workload make a line of the plot.
    pub workload: String,
    /// The kind of machine, in words: figures of different ones are kept apart.
    pub machine: String,
    /// By name, with the unit in it.
    pub figures: BTreeMap<String, f64>,
}

/// Why a history cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// It cannot be read or written.
    #[error("history {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is not one of a history.
    #[error("history {}, line {line}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// From 1 on.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A line is of another version.
    #[error("history {}, line {line}: schema {found:?}, but this program reads {SCHEMA}: take a newer program, or leave that line out", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// From 1 on.
        line: usize,
        /// As found.
        found: String,
    },
}

impl Point {
    /// A result's figures under the commit that was measured.
    pub fn new(saved: &Saved, commit: &str) -> Self {
        let run = &saved.run;
        let figures = FIGURES.iter().filter_map(|figure| Some((figure.name.to_owned(), figure.value(run)?)));
        Self {
            schema: SCHEMA.to_owned(),
            commit: commit.to_owned(),
            start_unix_ms: run.start_unix_ms,
            workload: saved.name.clone(),
            machine: format!(
                "{} x {}, Linux {}",
                run.machine.core_count, run.machine.cpu, run.machine.kernel
            ),
            figures: figures.collect(),
        }
    }
}

/// All lines of a history, in their order.
///
/// # Errors
/// If it cannot be read, or a line is not one of this version.
pub fn load(path: &Path) -> Result<Vec<Point>, HistoryError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| HistoryError::Io { path: path.to_owned(), source })?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(index, line)| parse(path, index + 1, line)).collect()
}

fn parse(path: &Path, line: usize, text: &str) -> Result<Point, HistoryError> {
    #[derive(Deserialize)]
    struct Version {
        schema: String,
    }
    let fault = |source| HistoryError::Parse { path: path.to_owned(), line, source };
    let Version { schema } = serde_json::from_str(text).map_err(fault)?;
    if schema != SCHEMA {
        return Err(HistoryError::Version { path: path.to_owned(), line, found: schema });
    }
    serde_json::from_str(text).map_err(fault)
}

/// Adds lines at the end; makes the file if there is none.
///
/// # Errors
/// If it cannot be written.
pub fn append(path: &Path, points: &[Point]) -> Result<(), HistoryError> {
    let mut text = String::new();
    for point in points {
        // Words and numbers only: nothing that JSON cannot hold.
        text.push_str(&serde_json::to_string(point).unwrap_or_default());
        text.push('\n');
    }
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| HistoryError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saved::Run;

    #[test]
    fn what_was_appended_is_read_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        let run = Run { generator_cpu_s: 1.0, start_unix_ms: 7, ..Run::default() };
        let saved = Saved { path: PathBuf::new(), name: "tail".to_owned(), run };
        let points = [Point::new(&saved, "aaa"), Point::new(&saved, "bbb")];
        append(&path, &points[..1]).unwrap();
        append(&path, &points[1..]).unwrap();
        assert_eq!(load(&path).unwrap(), points);
    }

    #[test]
    fn a_line_that_is_none_is_named_with_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        std::fs::write(&path, "\n{\"schema\": \"thalweg-loadgen-history/9\"}\n").unwrap();
        let told = load(&path).unwrap_err().to_string();
        assert!(told.contains("line 2") && told.contains("history/9"), "{told}");
        std::fs::write(&path, "{}\nnothing\n").unwrap();
        assert!(load(&path).unwrap_err().to_string().contains("line 1"));
    }
}

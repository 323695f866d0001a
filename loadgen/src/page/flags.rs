//! The command `report`: results and a history in, one file of HTML out.
use std::path::PathBuf;

use clap::Args;

use super::page;
use crate::history::{self, HistoryError, Point};
use crate::saved::{Saved, SavedError};

/// What `report` is given.
#[derive(Clone, Debug, Args)]
pub struct ReportFlags {
    /// Results, drawn over each other in one page
    #[arg(value_name = "RESULT.json", required_unless_present = "history")]
    pub results: Vec<PathBuf>,
    /// Figures of earlier commits, one JSON object a line; drawn over commits
    #[arg(long, value_name = "FILE.jsonl")]
    pub history: Option<PathBuf>,
    /// Append the results to the history first, as figures of this commit
    #[arg(long, value_name = "COMMIT", requires = "history")]
    pub append_as: Option<String>,
    /// Where the page goes
    #[arg(long, value_name = "FILE.html")]
    pub output: PathBuf,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A result cannot be used.
    #[error(transparent)]
    Saved(#[from] SavedError),
    /// The history cannot be used.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The page cannot be written.
    #[error("{}: {source}", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Reads, appends if asked to, and writes the page.
///
/// # Errors
/// If a file cannot be used or written. The history was appended to only if all results could be read.
pub fn write(flags: &ReportFlags) -> Result<(), ReportError> {
    let results = Saved::load_all(&flags.results)?;
    let mut past = Vec::new();
    if let Some(path) = &flags.history {
        if let Some(commit) = &flags.append_as {
            let points: Vec<Point> = results.iter().map(|saved| Point::new(saved, commit)).collect();
            history::append(path, &points)?;
        }
        past = history::load(path)?;
    }
    std::fs::write(&flags.output, page(&results, &past))
        .map_err(|source| ReportError::Output { path: flags.output.clone(), source })
}

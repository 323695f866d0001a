//! Is one build better or worse than another? Runs of both, interleaved, judged figure by figure.
//!
//! ```text
//!  results in pairs -> figures (a ratio for each pair) -> rank: how likely by chance, how far apart -> verdict
//! ```
//! Ratios are taken in logarithms, so that twice as much and half as much are equally far. The error asked for is shared among the
//! figures: of whole tables without any true difference, at most that share calls anything better or worse.
mod conditions;
mod judge;
pub mod rank;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use conditions::conditions;
pub use conditions::notes;
pub use judge::{Judgement, Verdict, judge};
pub use text::text;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::figures::{FIGURES, Figure, figure};
use crate::saved::{Saved, SavedError};

/// What `compare` is given.
#[derive(Clone, Debug, Args)]
pub struct CompareFlags {
    /// Results of the one build, in the order in which they were measured
    #[arg(required = true, value_name = "BASE.json")]
    pub base: Vec<PathBuf>,
    /// Results of the other; the first makes a pair with the first of BASE, and so on
    #[arg(long, required = true, num_args = 1.., value_name = "OTHER.json")]
    pub with: Vec<PathBuf>,
    /// The runs are no pairs (Mann-Whitney's test instead of Wilcoxon's); more runs are needed then
    #[arg(long)]
    pub unpaired: bool,
    /// A difference that does not matter, in percent
    #[arg(long = "margin", default_value_t = 5.0, value_name = "PERCENT")]
    pub margin_percent: f64,
    /// Of tables without a true difference, so many may call something better or worse, in percent
    #[arg(long = "error", default_value_t = 5.0, value_name = "PERCENT")]
    pub error_percent: f64,
    /// Only this figure; may be repeated. Fewer figures need fewer pairs
    #[arg(long = "figure", value_name = "NAME")]
    pub figures: Vec<String>,
    /// The part of this name, of runs that are made of several, as a tail is of "without backfill" and "with backfill"
    #[arg(long, value_name = "NAME")]
    pub part: Option<String>,
    /// Write the judgements as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Why nothing can be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A result cannot be used.
    #[error(transparent)]
    Saved(#[from] SavedError),
    /// The sides do not make pairs.
    #[error("{base} results and {with} with --with are no pairs: give as many on both sides, or --unpaired")]
    NoPairs {
        /// Results of the one build.
        base: usize,
        /// Results of the other.
        with: usize,
    },
    /// More than the tests count out.
    #[error("{count} results on one side: at most {} are compared", rank::VALUES_MAX)]
    TooMany {
        /// Results on it.
        count: usize,
    },
    /// A run that failed says nothing about speed.
    #[error("{}: the run did not go as asked: {why}", path.display())]
    Failed {
        /// The result.
        path: PathBuf,
        /// The first failure.
        why: String,
    },
    /// A run is made of several, and which of them is to be judged was not said, or it has none of that name.
    #[error("{}: say with --part which of its parts is to be compared: {}", path.display(), names.join(", "))]
    Part {
        /// The result.
        path: PathBuf,
        /// What there is.
        names: Vec<String>,
    },
    /// A part was asked for of a run that has none.
    #[error("{}: --part {part:?}: the run is not made of parts", path.display())]
    NoParts {
        /// The result.
        path: PathBuf,
        /// As given.
        part: String,
    },
    /// A flag is out of range.
    #[error("--{flag} {value}: {wants}")]
    Invalid {
        /// The flag.
        flag: &'static str,
        /// As given.
        value: String,
        /// What is right.
        wants: String,
    },
    /// There is no figure that all results have.
    #[error("no figure is in all of the results")]
    NoFigure,
    /// The judgements cannot be written.
    #[error("{}: {source}", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// All that was found out.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Runs of the one build.
    pub base_count: usize,
    /// Runs of the other.
    pub with_count: usize,
    /// They were compared pair by pair.
    pub paired: bool,
    /// A difference that does not matter, as a share.
    pub margin: f64,
    /// For the whole table.
    pub error: f64,
    /// Its part for each figure.
    pub figure_error: f64,
    /// What a reader should know before believing it.
    pub notes: Vec<String>,
    /// Figure by figure.
    pub judgements: Vec<Judgement>,
}

/// Reads the results and judges.
///
/// # Errors
/// If a result cannot be used or they cannot be compared.
pub fn compare(flags: &CompareFlags) -> Result<Comparison, CompareError> {
    let base = Saved::load_all(&flags.base)?;
    let with = Saved::load_all(&flags.with)?;
    let comparison = compare_saved(flags, &base, &with)?;
    if let Some(path) = &flags.json {
        let text = serde_json::to_string_pretty(&comparison).map_err(std::io::Error::other);
        text.and_then(|text| std::fs::write(path, text + "\n"))
            .map_err(|source| CompareError::Output { path: path.clone(), source })?;
    }
    Ok(comparison)
}

/// Judges results that were read.
///
/// # Errors
/// If they cannot be compared.
pub fn compare_saved(
    flags: &CompareFlags,
    base: &[Saved],
    with: &[Saved],
) -> Result<Comparison, CompareError> {
    let part = flags.part.as_deref();
    let picked = |results: &[Saved]| -> Result<Vec<Saved>, CompareError> {
        let runs: Vec<Vec<Saved>> =
            results.iter().map(|saved| pick(saved, part)).collect::<Result<_, _>>()?;
        Ok(runs.concat())
    };
    let (base, with) = (&picked(base)?[..], &picked(with)?[..]);
    check(flags, base, with)?;
    let figures = wanted(flags, base, with)?;
    let error = flags.error_percent / 100.0;
    let margin = flags.margin_percent / 100.0;
    // Bonferroni: each figure may err by its part, so that the table errs by no more than the whole.
    let figure_error = error / figures.len() as f64;
    let values = |saved: &[Saved], figure: &Figure| -> Vec<f64> {
        saved.iter().filter_map(|saved| figure.value(&saved.run)).collect()
    };
    let judgements = figures.iter().map(|figure| {
        judge(figure, &values(base, figure), &values(with, figure), !flags.unpaired, margin, figure_error)
    });
    let mut notes = notes(base, with, !flags.unpaired);
    let lacking = FIGURES.iter().filter(|figure| flags.figures.is_empty() && is_in_some(figure, base, with));
    let lacking: Vec<&str> = lacking.map(|figure| figure.title).collect();
    if !lacking.is_empty() {
        notes.push(format!("not in all of the results, so not judged: {}", lacking.join(", ")));
    }
    Ok(Comparison {
        base_count: base.len(),
        with_count: with.len(),
        paired: !flags.unpaired,
        margin,
        error,
        figure_error,
        judgements: judgements.collect(),
        notes,
    })
}

/// The runs that are judged: the whole one, the parts of the name that was asked for, of a ladder its knee.
fn pick(saved: &Saved, part: Option<&str>) -> Result<Vec<Saved>, CompareError> {
    let path = || saved.path.clone();
    let parts = &saved.run.parts;
    match part {
        Some(part) if parts.is_empty() => Err(CompareError::NoParts { path: path(), part: part.to_owned() }),
        None if parts.is_empty() => Ok(vec![saved.clone()]),
        None if saved.run.ladder.is_some() => Ok(Saved::unfolded(std::slice::from_ref(saved))),
        _ => {
            let named = parts.iter().filter(|found| Some(found.name.as_str()) == part);
            let runs: Vec<Saved> =
                named.map(|found| Saved { run: saved.run.with(found), ..saved.clone() }).collect();
            if !runs.is_empty() {
                return Ok(runs);
            }
            let mut names: Vec<String> = parts.iter().map(|part| part.name.clone()).collect();
            names.sort_unstable();
            names.dedup();
            Err(CompareError::Part { path: path(), names })
        }
    }
}

fn check(flags: &CompareFlags, base: &[Saved], with: &[Saved]) -> Result<(), CompareError> {
    for (flag, value, max) in [("margin", flags.margin_percent, 100.0), ("error", flags.error_percent, 50.0)]
    {
        if !(value > 0.0 && value <= max) {
            let wants = format!("more than 0 and at most {max}");
            return Err(CompareError::Invalid { flag, value: value.to_string(), wants });
        }
    }
    if !flags.unpaired && base.len() != with.len() {
        return Err(CompareError::NoPairs { base: base.len(), with: with.len() });
    }
    let count = base.len().max(with.len());
    if count > rank::VALUES_MAX {
        return Err(CompareError::TooMany { count });
    }
    for saved in base.iter().chain(with) {
        if let Some(why) = saved.run.failures.first() {
            return Err(CompareError::Failed { path: saved.path.clone(), why: why.clone() });
        }
    }
    Ok(())
}

/// The figures that were named, or all that all results have.
fn wanted(
    flags: &CompareFlags,
    base: &[Saved],
    with: &[Saved],
) -> Result<Vec<&'static Figure>, CompareError> {
    let in_all = |figure: &Figure| base.iter().chain(with).all(|saved| figure.value(&saved.run).is_some());
    if flags.figures.is_empty() {
        let found: Vec<_> = FIGURES.iter().filter(|figure| in_all(figure)).collect();
        return if found.is_empty() { Err(CompareError::NoFigure) } else { Ok(found) };
    }
    let named = flags.figures.iter().map(|name| {
        let invalid = |wants| CompareError::Invalid { flag: "figure", value: name.clone(), wants };
        let names = || FIGURES.iter().map(|figure| figure.name).collect::<Vec<_>>().join(", ");
        let found = figure(name).ok_or_else(|| invalid(format!("one of {}", names())))?;
        if in_all(found) {
            Ok(found)
        } else {
            Err(invalid("a figure that all of the results have".to_owned()))
        }
    });
    named.collect()
}

/// Whether some results have the figure and others do not: too few samples for a percentile, another kind of run.
fn is_in_some(figure: &Figure, base: &[Saved], with: &[Saved]) -> bool {
    let has = base.iter().chain(with).filter(|saved| figure.value(&saved.run).is_some()).count();
    has > 0 && has < base.len() + with.len()
}

impl Comparison {
    /// Exit status: 0 nothing is worse and every figure was told; 3 a figure is worse; 4 none is, but some cannot be told.
    pub fn exit_status(&self) -> u8 {
        let any = |wanted: fn(&Verdict) -> bool| self.judgements.iter().any(|found| wanted(&found.verdict));
        if any(|verdict| matches!(verdict, Verdict::Worse)) {
            3
        } else if any(|verdict| matches!(verdict, Verdict::CannotTell { .. })) {
            4
        } else {
            0
        }
    }
}

//! Two sets of figures beside each other: what got worse, in a table, and a line for the history.

use crate::figures::{Figures, Kind};
use clap::Args;
use serde_json::json;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What is judged.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Figures before.
    #[arg(long, required = true)]
    base: Vec<PathBuf>,
    /// Figures now.
    #[arg(long, required = true)]
    head: Vec<PathBuf>,
    /// The commit before, for the history.
    #[arg(long)]
    base_commit: String,
    /// The commit now.
    #[arg(long)]
    head_commit: String,
    /// A line of JSON is appended here.
    #[arg(long)]
    history: Option<PathBuf>,
    /// The kind of machine in words, for the history.
    #[arg(long, default_value = "unknown machine")]
    machine: String,
    /// A figure that is meant to be worse: told, and no failure. May be given several times.
    #[arg(long)]
    accepted: Vec<String>,
    /// Prints every figure, not only those that changed.
    #[arg(long)]
    all: bool,
}

/// What became of one figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Same,
    Better,
    Worse,
    New,
    Gone,
}

impl Change {
    fn of(name: &str, base: Option<f64>, head: Option<f64>) -> Self {
        match (base, head, Kind::of(name)) {
            (Some(base), Some(head), Some(kind)) if kind.is_worse(base, head) => Self::Worse,
            (Some(base), Some(head), Some(kind)) if kind.is_better(base, head) => Self::Better,
            (None, Some(_), _) => Self::New,
            (Some(_), None, _) => Self::Gone,
            _ => Self::Same,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Same => "",
            Self::Better => "better",
            Self::Worse => "WORSE",
            Self::New => "new",
            Self::Gone => "gone",
        }
    }
}

/// Several files of one build, as one set. Where a figure stands in more than one, the least counts: what else the machine
/// does can only add to it.
fn merged(paths: &[PathBuf]) -> io::Result<Figures> {
    let mut all = Figures::default();
    for path in paths {
        for (name, value) in Figures::load(path)?.0 {
            let least = all.0.get(&name).map_or(value, |known| known.min(value));
            all.0.insert(name, least);
        }
    }
    Ok(all)
}

/// Prints the table and appends to the history; whether anything got worse.
pub(crate) fn judge(options: &Options) -> io::Result<bool> {
    let (base, head) = (merged(&options.base)?, merged(&options.head)?);
    let (text, mut worse) = table(&base, &head, options.all);
    print!("{text}");
    for name in worse.iter().filter(|name| options.accepted.contains(name)) {
        println!("regress: {name} is worse, as a commit says it is meant to be");
    }
    worse.retain(|name| !options.accepted.contains(name));
    if let Some(path) = &options.history {
        append(path, options, &head, &worse)?;
    }
    Ok(!worse.is_empty())
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value < 100.0 => format!("{value:.3}"),
        Some(value) => format!("{value:.0}"),
    }
}

/// The table, and the names of what got worse.
fn table(base: &Figures, head: &Figures, is_all: bool) -> (String, Vec<String>) {
    let mut names: Vec<&String> = base.0.keys().chain(head.0.keys()).collect();
    names.sort();
    names.dedup();
    let mut text = String::from("| figure | base | head | change | |\n|--|--|--|--|--|\n");
    let (mut worse, mut same) = (Vec::new(), 0);
    for name in names {
        let (before, now) = (base.0.get(name).copied(), head.0.get(name).copied());
        let change = Change::of(name, before, now);
        if change == Change::Worse {
            worse.push(name.clone());
        }
        if change == Change::Same && !is_all {
            same += 1;
            continue;
        }
        let share = before.zip(now).filter(|(before, _)| *before > 0.0);
        let share =
            share.map_or(String::new(), |(before, now)| format!("{:+.2} %", (now / before - 1.0) * 100.0));
        let unit = Kind::of(name).map_or("", |kind| kind.unit);
        let (before, now) = (number(before), number(now));
        let _ = writeln!(text, "| {name}, {unit} | {before} | {now} | {share} | {} |", change.name());
    }
    let _ = writeln!(text, "regress: {} worse, {same} not shown, since they are the same", worse.len());
    (text, worse)
}

/// As the load generator's `report --history` reads it, with the verdict beside.
fn append(path: &Path, options: &Options, figures: &Figures, worse: &[String]) -> io::Result<()> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    let entry = json!({
        "schema": "thalweg-loadgen-history/1",
        "commit": options.head_commit,
        "start_unix_ms": since.as_millis() as u64,
        "workload": "regress",
        "machine": options.machine,
        "figures": figures.0,
        "base": options.base_commit,
        "worse": worse,
    });
    let mut file = std::fs::File::options().create(true).append(true).open(path)?;
    writeln!(file, "{entry}")
}

/// How far countings of one build lie apart, by kind: the widest figure of each.
pub(crate) fn spread(all: &[Figures]) -> String {
    let mut text = String::from("| kind | figures | widest | (most - least) / least |\n|--|--|--|--|\n");
    for kind in crate::figures::KINDS {
        let names = all.iter().flat_map(|figures| figures.0.keys());
        let mut names: Vec<&String> =
            names.filter(|name| Kind::of(name).is_some_and(|found| found.name == kind.name)).collect();
        names.sort();
        names.dedup();
        let width = |name: &&String| {
            let values = || all.iter().filter_map(|figures| figures.0.get(*name).copied());
            let least = values().fold(f64::INFINITY, f64::min);
            let most = values().fold(0.0, f64::max);
            if least > 0.0 { (most - least) / least } else { most }
        };
        let widest =
            names.iter().map(|name| (width(name), *name)).max_by(|one, other| one.0.total_cmp(&other.0));
        if let Some((width, name)) = widest {
            let _ = writeln!(text, "| {} | {} | {name} | {:.4} % |", kind.name, names.len(), width * 100.0);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(values: &[(&str, f64)]) -> Figures {
        Figures(values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect())
    }

    #[test]
    fn what_got_worse_is_named_and_what_is_the_same_is_not_shown() {
        let base =
            figures(&[("instructions/a", 1000.0), ("instructions/b", 1000.0), ("instructions/c", 5.0)]);
        let head =
            figures(&[("instructions/a", 1100.0), ("instructions/b", 1001.0), ("instructions/d", 5.0)]);
        let (text, worse) = table(&base, &head, false);
        assert_eq!(worse, ["instructions/a"]);
        assert!(text.contains("instructions/a, each | 1000 | 1100 | +10.00 % | WORSE"), "{text}");
        assert!(text.contains("gone") && text.contains("new") && !text.contains("instructions/b"), "{text}");
    }

    #[test]
    fn the_spread_is_that_of_the_widest_figure() {
        let all = [figures(&[("syscalls/a", 100.0)]), figures(&[("syscalls/a", 101.0)])];
        assert!(spread(&all).contains("| syscalls | 1 | syscalls/a | 1.0000 % |"));
    }
}

//! Figures over commits: one plot for each figure of a run that the history has twice, a line for each workload on each kind of
//! machine; one for each kind of counted figures (`instructions/CASE`), with those that moved.
use std::collections::BTreeMap;

use super::markup::escaped;
use super::plot::{Axis, COLOURS, Line, Plot, Stroke};
use super::scale::{Scale, Words};
use super::section;
use crate::figures::{FIGURES, Figure, Unit};
use crate::history::Point;
use crate::quantity::quantity;

/// Letters of a commit that are shown.
const COMMIT_LETTERS: usize = 7;
/// A counted figure has moved where it was ever so much above or below its first value.
const MOVED: f64 = 0.01;

/// All plots.
pub(super) fn html(past: &[Point]) -> String {
    let mut commits: Vec<&str> = Vec::new();
    for point in past {
        if !commits.contains(&point.commit.as_str()) {
            commits.push(&point.commit);
        }
    }
    let of_runs: String = FIGURES.iter().filter_map(|figure| plot(figure, past, &commits)).collect();
    let content = of_runs + &counted(past, &commits);
    let note = "Each commit in the order of the history; of several runs of one commit the last one counts. Lines of different machines cannot be compared.";
    section("Over commits", note, &content)
}

fn short(commit: &str) -> String {
    commit.chars().take(COMMIT_LETTERS).collect()
}

fn plot(figure: &Figure, past: &[Point], commits: &[&str]) -> Option<String> {
    let mut lines: BTreeMap<(&str, &str), Vec<Option<f64>>> = BTreeMap::new();
    for point in past {
        let Some(value) = point.figures.get(figure.name) else { continue };
        let place = commits.iter().position(|commit| *commit == point.commit)?;
        lines.entry((&point.workload, &point.machine)).or_insert_with(|| vec![None; commits.len()])[place] =
            Some(*value);
    }
    lines.retain(|_, values| values.iter().flatten().count() > 1);
    if lines.is_empty() {
        return None;
    }
    let several_machines =
        lines.keys().any(|(_, machine)| Some(machine) != lines.keys().next().map(|(_, first)| first));
    let values = || lines.values().flatten().filter_map(|value| *value);
    let (scale, words, unit) = match figure.unit {
        Unit::PerS => (Scale::from_zero(values()), Words::Count, " a second"),
        Unit::Us => (Scale::from_zero(values()), Words::Time, ""),
        Unit::Bytes => (Scale::from_zero(values()), Words::Count, ", bytes"),
        Unit::Ratio => (Scale::from_zero(values()), Words::Count, ""),
    };
    let title = format!("{}{unit}", figure.title);
    let drawn = lines.iter().enumerate().map(|(colour, ((workload, machine), values))| {
        let name = if several_machines { format!("{workload}, {machine}") } else { (*workload).to_owned() };
        line(name, colour, values, commits, |value| quantity(value, figure.unit))
    });
    Some(over_commits(commits, Axis { title, scale, words }, drawn.collect()))
}

fn line(
    name: String,
    colour: usize,
    values: &[Option<f64>],
    commits: &[&str],
    in_words: impl Fn(f64) -> String,
) -> Line {
    // A commit without this one is stepped over, not a hole in the line.
    let known = values.iter().enumerate().filter_map(|(at, value)| Some((at, (*value)?)));
    Line {
        name,
        colour,
        stroke: Stroke::Full,
        points: known.clone().map(|(at, value)| (at as f64, Some(value))).collect(),
        marks: known.map(|(at, value)| format!("{}: {}", short(commits[at]), in_words(value))).collect(),
    }
}

fn over_commits(commits: &[&str], y: Axis, lines: Vec<Line>) -> String {
    let names = Scale::Names(commits.iter().map(|commit| short(commit)).collect());
    let x = Axis { title: "commit".to_owned(), scale: names, words: Words::Count };
    Plot { about: format!("{}, over {} commits", y.title, commits.len()), x, y, lines, borders: Vec::new() }
        .html()
}

/// Counted figures by what was counted, each of them as a multiple of its first value: they differ by a factor of a million.
fn counted(past: &[Point], commits: &[&str]) -> String {
    let mut kinds: BTreeMap<(&str, &str), BTreeMap<&str, Vec<Option<f64>>>> = BTreeMap::new();
    for point in past {
        let Some(place) = commits.iter().position(|commit| *commit == point.commit) else { continue };
        for (name, value) in &point.figures {
            let Some((kind, of)) = name.split_once('/') else { continue };
            let cases = kinds.entry((kind, &point.machine)).or_default();
            cases.entry(of).or_insert_with(|| vec![None; commits.len()])[place] = Some(*value);
        }
    }
    kinds.iter().map(|((kind, machine), cases)| counted_kind(kind, machine, cases, commits)).collect()
}

fn counted_kind(
    kind: &str,
    machine: &str,
    cases: &BTreeMap<&str, Vec<Option<f64>>>,
    commits: &[&str],
) -> String {
    let several = cases.iter().filter(|(_, values)| values.iter().flatten().count() > 1);
    let as_shares = several.filter_map(|(of, values)| {
        let first = values.iter().flatten().find(|value| **value > 0.0)?;
        let shares: Vec<_> = values.iter().map(|value| value.map(|value| value / first)).collect();
        let moved = shares.iter().flatten().fold(0.0_f64, |most, share| most.max((share - 1.0).abs()));
        Some((moved, *of, shares))
    });
    let mut shares: Vec<_> = as_shares.collect();
    let all = shares.len();
    shares.retain(|(moved, ..)| *moved > MOVED);
    shares.sort_by(|one, other| other.0.total_cmp(&one.0));
    let moved = shares.len();
    shares.truncate(COLOURS);
    if all == 0 {
        return String::new();
    }
    let note = format!("{kind}, {machine}: {moved} of {all} moved by more than {:.0} %", MOVED * 100.0);
    let note = if moved > shares.len() { format!("{note}, these the most") } else { note };
    let note = format!("<p class=\"note\">{}</p>", escaped(&note));
    if shares.is_empty() {
        return note;
    }
    let scale = Scale::from_zero(shares.iter().flat_map(|(_, _, values)| values).filter_map(|value| *value));
    let lines = shares.iter().enumerate().map(|(colour, (_, of, values))| {
        line((*of).to_owned(), colour, values, commits, |value| format!("x {value:.3}"))
    });
    let title = format!("{kind}, times the first");
    note + &over_commits(commits, Axis { title, scale, words: Words::Count }, lines.collect())
}

//! Figures over commits: one plot for each figure that the history has twice, a line for each workload on each kind of machine.
use std::collections::BTreeMap;

use super::plot::{Axis, Line, Plot, Stroke};
use super::scale::{Scale, Words};
use super::section;
use crate::figures::{FIGURES, Figure, Unit};
use crate::history::Point;
use crate::quantity::quantity;

/// Letters of a commit that are shown.
const COMMIT_LETTERS: usize = 7;

/// All plots.
pub(super) fn html(past: &[Point]) -> String {
    let mut commits: Vec<&str> = Vec::new();
    for point in past {
        if !commits.contains(&point.commit.as_str()) {
            commits.push(&point.commit);
        }
    }
    let content: String = FIGURES.iter().filter_map(|figure| plot(figure, past, &commits)).collect();
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
        // A commit without this workload is stepped over, not a hole in the line.
        let known = values.iter().enumerate().filter_map(|(at, value)| Some((at, (*value)?)));
        let marks = known
            .clone()
            .map(|(at, value)| format!("{}: {}", short(commits[at]), quantity(value, figure.unit)));
        Line {
            name: if several_machines { format!("{workload}, {machine}") } else { (*workload).to_owned() },
            colour,
            stroke: Stroke::Full,
            points: known.clone().map(|(at, value)| (at as f64, Some(value))).collect(),
            marks: marks.collect(),
        }
    });
    let plot = Plot {
        about: format!("{title}, over {} commits", commits.len()),
        x: Axis {
            title: "commit".to_owned(),
            scale: Scale::Names(commits.iter().map(|commit| short(commit)).collect()),
            words: Words::Count,
        },
        y: Axis { title, scale, words },
        lines: drawn.collect(),
        borders: Vec::new(),
    };
    Some(plot.html())
}

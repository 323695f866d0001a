//! A page of HTML for each workload, with the brokers' results drawn over each other: `thalweg-loadgen report` makes them.

use crate::contender::Contender;
use crate::kept::Place;
use crate::outcome::Outcome;
use crate::tables::Section;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use thalweg_benches::numbers::median;

/// Writes `pages/WORKLOAD.html` below `output`; of each broker its middle round is shown.
pub(crate) fn write(
    loadgen: &Path,
    output: &Path,
    contenders: &[Contender],
    sections: &[Section<'_>],
) -> io::Result<()> {
    let pages = output.join("pages");
    fs::create_dir_all(&pages)?;
    for section in sections {
        let shown = contenders.iter().zip(&section.rounds).filter_map(|(contender, rounds)| {
            let round = middle(rounds)?;
            let place = Place::new(&output.join("results"), &section.workload.name, contender.id, round);
            Some(place.result()).filter(|result| result.is_file())
        });
        let results: Vec<PathBuf> = shown.collect();
        // An idle broker has no result of the load generator.
        if results.is_empty() {
            continue;
        }
        let mut command = Command::new(loadgen);
        command.arg("report").args(&results).arg("--output");
        command.arg(pages.join(format!("{}.html", section.workload.name))).stdout(Stdio::null());
        let status = command.status()?;
        if !status.success() {
            return Err(io::Error::other(format!("{command:?}: {status}")));
        }
    }
    Ok(())
}

/// The round whose first figure is the median of all.
fn middle(rounds: &[(usize, Outcome)]) -> Option<usize> {
    let first = |outcome: &Outcome| outcome.figures.first().and_then(|figure| figure.value);
    let ran: Vec<&(usize, Outcome)> = rounds.iter().filter(|(_, outcome)| outcome.cannot.is_none()).collect();
    let values: Vec<f64> = ran.iter().filter_map(|(_, outcome)| first(outcome)).collect();
    let middle = median(&values);
    let found =
        ran.iter().find(|(_, outcome)| first(outcome).is_some_and(|value| value.total_cmp(&middle).is_eq()));
    found.or(ran.first()).map(|(round, _)| *round)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_round_is_shown() {
        let round = |value: Option<f64>| {
            let mut outcome = Outcome::default();
            outcome.push("acknowledged", "records/s", value);
            outcome
        };
        let values = [Some(9.0), Some(1.0), Some(5.0)];
        let rounds: Vec<(usize, Outcome)> = values.into_iter().map(round).enumerate().collect();
        assert_eq!(middle(&rounds), Some(2));
        assert_eq!(middle(&[(0, Outcome::cannot("no".to_owned())), (1, round(None))]), Some(1));
        assert_eq!(middle(&[(0, Outcome::cannot("no".to_owned()))]), None);
    }
}

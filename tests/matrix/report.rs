//! The table of docs/compat.md: written from a run, and held to name what the code has.

use super::VERBS;
use super::cells::Outcome;
use harness::scratch::repository;
use harness::subjects::SUBJECTS;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

const BEGIN: &str = "<!-- the matrix, written by THALWEG_WRITE_MATRIX=1 -->";
const END: &str = "<!-- the end of the matrix -->";

/// What the document says: cells and notes by client and verb.
#[derive(Debug, Default)]
struct Table {
    cells: BTreeMap<(String, String), String>,
    notes: BTreeMap<(String, String), Vec<String>>,
}

fn document() -> PathBuf {
    repository().join("docs/compat.md")
}

/// Puts a column's outcomes into the document if `THALWEG_WRITE_MATRIX=1` asks for it; cells that were not run stay.
pub(super) fn keep(verb: &str, outcomes: &[(&str, Outcome)]) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    if env::var("THALWEG_WRITE_MATRIX").as_deref() != Ok("1") {
        return;
    }
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let text = fs::read_to_string(document()).expect("the document is there");
    let (before, block, after) = parts(&text);
    let mut table = Table::parse(block);
    for (row, outcome) in outcomes {
        let place = ((*row).to_string(), verb.to_string());
        let (cell, notes) = match outcome {
            Outcome::Green(shown) => (
                shown.records.to_string(),
                shown.without.iter().map(|why| format!("without {why}")).collect(),
            ),
            Outcome::Failed(why) => ("FAILED".to_string(), vec![first_line(why)]),
            Outcome::NotApplicable(why) => ("n/a".to_string(), vec![why.clone()]),
            Outcome::Skipped(why) => ("skipped".to_string(), vec![why.clone()]),
        };
        table.cells.insert(place.clone(), cell);
        table.notes.insert(place, notes);
    }
    let written = format!("{before}{BEGIN}\n{}{END}{after}", table.render());
    fs::write(document(), written).expect("the document can be written");
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

/// What stands before the block, in it and after it.
fn parts(text: &str) -> (&str, &str, &str) {
    let (before, rest) = text.split_once(BEGIN).expect("the document has the matrix");
    let (block, after) = rest.split_once(END).expect("the matrix has an end");
    (before, block, after)
}

impl Table {
    fn parse(block: &str) -> Self {
        let mut table = Self::default();
        let mut verbs: Vec<String> = Vec::new();
        for line in block.lines() {
            if let Some(row) = line.strip_prefix("| ") {
                let mut cells = row.trim_end_matches(" |").split(" | ").map(str::to_string);
                let name = cells.next().unwrap_or_default();
                if name == "client" {
                    verbs = cells.collect();
                } else {
                    for (verb, cell) in verbs.iter().zip(cells) {
                        table.cells.insert((name.clone(), verb.clone()), cell);
                    }
                }
            } else if let Some(note) = line.strip_prefix("- ") {
                let Some((place, why)) = note.split_once(": ") else { continue };
                let Some((row, verb)) = place.split_once("; ") else { continue };
                table.notes.entry((row.to_string(), verb.to_string())).or_default().push(why.to_string());
            }
        }
        table
    }

    fn render(&self) -> String {
        let mut lines = vec![row("client", VERBS.iter().map(|verb| verb.name))];
        lines.push(format!("|--|{}", "--|".repeat(VERBS.len())));
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut notes = Vec::new();
        for subject in SUBJECTS {
            let place = |verb: &str| (subject.name.to_string(), verb.to_string());
            let cell = |verb: &str| self.cells.get(&place(verb)).map_or("not run", String::as_str);
            lines.push(row(subject.name, VERBS.iter().map(|verb| cell(verb.name))));
            for verb in VERBS {
                let kind = if cell(verb.name).parse::<usize>().is_ok() { "green" } else { cell(verb.name) };
                *counts.entry(kind).or_default() += 1;
                let whys = self.notes.get(&place(verb.name)).into_iter().flatten();
                notes.extend(whys.map(|why| format!("- {}; {}: {why}", subject.name, verb.name)));
            }
        }
        let counts: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let cells = SUBJECTS.len() * VERBS.len();
        format!("{}\n\n{cells} cells: {}.\n\n{}\n", lines.join("\n"), counts.join(", "), notes.join("\n"))
    }
}

fn row<'a>(name: &str, cells: impl Iterator<Item = &'a str>) -> String {
    format!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "))
}

#[test]
fn the_document_names_every_client_and_verb_and_why_a_cell_is_not_green() {
    let text = fs::read_to_string(document()).unwrap();
    let (_, block, _) = parts(&text);
    let table = Table::parse(block);
    let mut named: Vec<_> = table.cells.keys().cloned().collect();
    let mut known: Vec<_> = SUBJECTS
        .iter()
        .flat_map(|subject| VERBS.iter().map(|verb| (subject.name.to_string(), verb.name.to_string())))
        .collect();
    named.sort();
    known.sort();
    assert_eq!(
        named, known,
        "written by THALWEG_WRITE_MATRIX=1 cargo test -p thalweg-tests --test all -- matrix"
    );
    assert_eq!(format!("\n{}", table.render()), block, "as it would be written again");
    for (place, cell) in &table.cells {
        assert!(cell != "FAILED" && cell != "not run" && cell != "skipped", "{place:?} is {cell}");
        let explained = table.notes.get(place).is_some_and(|notes| !notes.is_empty());
        assert!(cell.parse::<usize>().is_ok() || explained, "{place:?} is {cell} and nobody says why");
    }
}

//! Figures of several rounds, as markdown and as JSON.

use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use thalweg_benches::numbers::{median, number};

/// One figure, once per round.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) values: Vec<f64>,
    /// What it has to reach, in words, and whether the median does.
    pub(crate) goal: Option<(String, bool)>,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, values: Vec<f64>) -> Self {
        Self { name: name.into(), unit, values, goal: None }
    }

    /// With a goal: at least this much.
    pub(crate) fn at_least(mut self, goal: f64) -> Self {
        let reached = self.median() >= goal;
        self.goal = Some((format!("at least {goal}"), reached));
        self
    }

    /// With a goal: at most this much.
    pub(crate) fn at_most(mut self, goal: f64) -> Self {
        let reached = self.median() <= goal;
        self.goal = Some((format!("at most {goal}"), reached));
        self
    }

    /// Of the rounds.
    pub(crate) fn median(&self) -> f64 {
        median(&self.values)
    }
}

/// All that was measured, in sections.
#[derive(Debug, Default)]
pub(crate) struct Table {
    sections: Vec<Section>,
}

#[derive(Debug)]
struct Section {
    title: String,
    /// How it was measured, and what could not be.
    conditions: Vec<String>,
    rows: Vec<Row>,
}

impl Table {
    pub(crate) fn push(&mut self, title: &str, rows: Vec<Row>) {
        self.push_under(title, Vec::new(), rows);
    }

    /// With conditions that hold for this section alone.
    pub(crate) fn push_under(&mut self, title: &str, conditions: Vec<String>, rows: Vec<Row>) {
        self.sections.push(Section { title: title.to_owned(), conditions, rows });
    }

    pub(crate) fn markdown(&self, conditions: &[(&str, String)]) -> String {
        let mut text = String::new();
        for (name, value) in conditions {
            let _ = writeln!(text, "- {name}: {value}");
        }
        for Section { title, conditions, rows } in &self.sections {
            let _ = writeln!(text, "\n{title}");
            for (at, condition) in conditions.iter().enumerate() {
                let _ = writeln!(text, "{}- {condition}", if at == 0 { "\n" } else { "" });
            }
            let _ = writeln!(text, "\n| figure | median | of the rounds | goal |\n|--|--|--|--|");
            for row in rows {
                let rounds: Vec<String> = row.values.iter().map(|value| number(*value)).collect();
                let goal = row.goal.as_ref().map_or(String::new(), |(goal, reached)| {
                    format!("{goal}: {}", if *reached { "reached" } else { "**missed**" })
                });
                let unit = if row.unit.is_empty() { String::new() } else { format!(" {}", row.unit) };
                let median = number(row.median());
                let _ = writeln!(text, "| {} | {median}{unit} | {} | {goal} |", row.name, rounds.join(", "));
            }
        }
        text
    }

    fn json(&self, conditions: &[(&str, String)]) -> Value {
        let conditions: Map<String, Value> =
            conditions.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let sections = self.sections.iter().map(|Section { title, conditions, rows }| {
            let rows = rows.iter().map(|row| {
                json!({
                    "name": row.name, "unit": row.unit, "median": row.median(), "rounds": row.values,
                    "goal": row.goal.as_ref().map(|(goal, _)| goal),
                    "reached": row.goal.as_ref().map(|(_, reached)| reached),
                })
            });
            json!({ "title": title, "conditions": conditions, "rows": rows.collect::<Vec<_>>() })
        });
        json!({ "conditions": conditions, "sections": sections.collect::<Vec<_>>() })
    }

    /// Writes `figures.md` and `figures.json`.
    pub(crate) fn write(&self, folder: &Path, conditions: &[(&str, String)]) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("figures.md"), self.markdown(conditions))?;
        std::fs::write(folder.join("figures.json"), format!("{:#}\n", self.json(conditions)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_judged_by_the_median_of_the_rounds() {
        let row = Row::new("share", "", vec![0.4, 0.6, 0.7]).at_least(0.5);
        assert_eq!(row.goal, Some(("at least 0.5".to_owned(), true)));
        let row = Row::new("p99 over p99", "", vec![1.2, 1.6, 1.7]).at_most(1.5);
        assert_eq!(row.goal, Some(("at most 1.5".to_owned(), false)));
        let mut table = Table::default();
        table.push("A", vec![row]);
        let text = table.markdown(&[("commit", "abc".to_owned())]);
        assert!(
            text.contains("| p99 over p99 | 1.60 | 1.20, 1.60, 1.70 | at most 1.5: **missed** |"),
            "{text}"
        );
    }

    #[test]
    fn conditions_of_a_section_stand_between_its_title_and_its_table() {
        let mut table = Table::default();
        table.push_under("B", vec!["cold".to_owned(), "one core".to_owned()], vec![]);
        let text = table.markdown(&[]);
        assert!(text.contains("\nB\n\n- cold\n- one core\n\n| figure |"), "{text}");
        assert_eq!(table.json(&[])["sections"][0]["conditions"][1], "one core");
    }
}

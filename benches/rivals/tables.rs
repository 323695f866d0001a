//! Tables of what was measured: one for each workload, brokers side by side, conditions above it, faults below it.

use crate::contender::Contender;
use crate::outcome::Outcome;
use crate::plan::Workload;
use crate::work::differences;
use serde_json::{Value, json};
use std::fmt::Write as _;
use thalweg_benches::numbers::{median, number, ratios};

/// The load generator has a bound where none was given; no batch of a megabyte holds so many.
const UNBOUNDED_RECORDS: u64 = 1_000_000;

/// All rounds of a workload.
#[derive(Clone, Debug)]
pub(crate) struct Section<'a> {
    pub(crate) workload: &'a Workload,
    /// Records a second that were offered to all.
    pub(crate) records_per_s: Option<u64>,
    /// Where that comes from.
    pub(crate) reference: Option<String>,
    /// By contender, in their order; of each the rounds that are done, with their numbers.
    pub(crate) rounds: Vec<Vec<(usize, Outcome)>>,
}

/// What every table needs to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) contenders: &'a [Contender],
    pub(crate) facts: &'a [(&'static str, String)],
    /// Windows and processors, the same for all workloads.
    pub(crate) window: &'a str,
    /// What a topic holds where it is filled first, 10^9 bytes.
    pub(crate) fill_gb: f64,
    /// How long a JVM had the same load before, seconds.
    pub(crate) train_s: f64,
}

impl Section<'_> {
    pub(crate) fn markdown(&self, setting: Setting<'_>) -> String {
        let mut text = format!("\n## {}\n\n", self.workload.title);
        for condition in self.conditions(setting) {
            let _ = writeln!(text, "- {condition}");
        }
        let labels: Vec<&str> = setting.contenders.iter().map(|contender| contender.label).collect();
        let pairs = pairs(setting.contenders);
        let mut heads: Vec<String> = labels.iter().map(ToString::to_string).collect();
        heads.extend(pairs.iter().map(|(ours, theirs)| format!("{} / {}", labels[*ours], labels[*theirs])));
        let _ = writeln!(text, "\n| figure | {} |\n|--|{}", heads.join(" | "), "--|".repeat(heads.len()));
        for (name, unit) in self.names() {
            let values: Vec<Vec<f64>> = (0..labels.len()).map(|at| self.values(at, &name)).collect();
            let mut cells: Vec<String> = values.iter().map(|values| cell(values, &unit)).collect();
            cells.extend(pairs.iter().map(|(ours, theirs)| {
                let (ours, theirs) = self.same_rounds(*ours, *theirs, &name);
                number(median(&ratios(&ours, &theirs)))
            }));
            let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
        }
        let told = self.told(setting.contenders);
        for (at, line) in told.iter().enumerate() {
            let _ = writeln!(text, "{}- {line}", if at == 0 { "\n" } else { "" });
        }
        text
    }

    /// How it was measured: the load generator's own words for what was in force.
    fn conditions(&self, setting: Setting<'_>) -> Vec<String> {
        let first =
            self.rounds.iter().flatten().map(|(_, outcome)| outcome).find(|outcome| outcome.cannot.is_none());
        let mut conditions = Vec::new();
        let mut load = vec![counted(self.workload.partitions as u64, "partition")];
        if let Some(outcome) = first {
            load.extend(in_force(&outcome.spec));
        }
        if self.workload.fill {
            load.push(format!(
                "{} GB in batches of 64 KiB before, then the broker started anew",
                setting.fill_gb
            ));
        }
        conditions.push(load.join(", "));
        if let Some(rate) = self.records_per_s {
            let whose = self.reference.as_ref().map_or(String::new(), |told| format!(", {told}"));
            conditions.push(format!("open loop: {rate} records/s offered to every broker{whose}"));
        } else if self.workload.load.is_some() {
            conditions.push("closed loop: as much as the broker answers".to_owned());
        }
        conditions.push(setting.window.to_owned());
        let trained = setting.contenders.iter().filter(|contender| self.workload.trains(contender));
        let trained: Vec<&str> = trained.map(|contender| contender.label).collect();
        if !trained.is_empty() {
            let (who, seconds) = (trained.join("; "), setting.train_s);
            conditions.push(format!(
                "{who}: {seconds} s of this load into another topic before, since a JVM compiles what it runs"
            ));
        }
        conditions.extend(first.map(|outcome| outcome.page_cache.clone()));
        conditions
    }

    /// Figures of any broker, in the order in which they were measured.
    fn names(&self) -> Vec<(String, String)> {
        let mut names: Vec<(String, String)> = Vec::new();
        for figure in self.rounds.iter().flatten().flat_map(|(_, outcome)| &outcome.figures) {
            let is_known = names.iter().any(|(name, _)| *name == figure.name);
            if !is_known {
                names.push((figure.name.clone(), figure.unit.clone()));
            }
        }
        names
    }

    fn by_round(&self, contender: usize, name: &str) -> Vec<(usize, f64)> {
        let value = |outcome: &Outcome| outcome.figures.iter().find(|figure| figure.name == name)?.value;
        self.rounds[contender].iter().filter_map(|(round, outcome)| Some((*round, value(outcome)?))).collect()
    }

    fn values(&self, contender: usize, name: &str) -> Vec<f64> {
        self.by_round(contender, name).into_iter().map(|(_, value)| value).collect()
    }

    /// The median of its rounds.
    pub(crate) fn middle(&self, contender: usize, name: &str) -> Option<f64> {
        Some(median(&self.values(contender, name))).filter(|median| median.is_finite())
    }

    /// Values of the rounds that both have.
    fn same_rounds(&self, ours: usize, theirs: usize, name: &str) -> (Vec<f64>, Vec<f64>) {
        let theirs = self.by_round(theirs, name);
        let of_round =
            |round: usize| theirs.iter().find(|(other, _)| *other == round).map(|(_, value)| *value);
        self.by_round(ours, name)
            .into_iter()
            .filter_map(|(round, value)| Some((value, of_round(round)?)))
            .unzip()
    }

    /// Faults, differences in the work, notes, and who could not run it and why; each once.
    pub(crate) fn told(&self, contenders: &[Contender]) -> Vec<String> {
        let mut told = self.faults(contenders);
        for (contender, rounds) in contenders.iter().zip(&self.rounds) {
            let label = contender.label;
            if let Some(why) = self.workload.left_out(contender) {
                told.push(format!("{label} was left out: {why}"));
            }
            for (round, outcome) in rounds {
                let cannot = outcome.cannot.iter().map(|why| format!("{label} cannot run it: {why}"));
                let notes = outcome.notes.iter().map(|note| format!("{label}, round {}: {note}", round + 1));
                told.extend(cannot.chain(notes));
            }
        }
        let mut once = Vec::new();
        for line in told {
            if !once.contains(&line) {
                once.push(line);
            }
        }
        once
    }

    /// What makes its figures unbelievable.
    pub(crate) fn faults(&self, contenders: &[Contender]) -> Vec<String> {
        let mut faults = Vec::new();
        for (contender, rounds) in contenders.iter().zip(&self.rounds) {
            for (round, outcome) in rounds {
                let wrong = outcome.faults.iter();
                faults.extend(
                    wrong.map(|wrong| format!("**{}, round {}: {wrong}**", contender.label, round + 1)),
                );
            }
        }
        let rounds = self.rounds.iter().flatten().map(|(round, _)| round + 1).max().unwrap_or(0);
        for round in 0..rounds {
            let of_round = contenders.iter().zip(&self.rounds).filter_map(|(contender, rounds)| {
                let found = rounds.iter().find(|(other, _)| *other == round);
                found.map(|(_, outcome)| (contender.label, outcome))
            });
            let of_round: Vec<(&str, &Outcome)> = of_round.collect();
            faults
                .extend(differences(&of_round).iter().map(|told| format!("**round {}: {told}**", round + 1)));
        }
        faults
    }

    pub(crate) fn json(&self, contenders: &[Contender]) -> Value {
        let brokers = contenders.iter().zip(&self.rounds).enumerate().map(|(at, (contender, rounds))| {
            let figures = self.names().into_iter().map(|(name, unit)| {
                let (median, values) = (self.middle(at, &name), self.values(at, &name));
                json!({ "name": name, "unit": unit, "median": median, "rounds": values })
            });
            json!({
                "broker": contender.id, "build": contender.build, "promise": contender.promise,
                "figures": figures.collect::<Vec<_>>(),
                "work": rounds.iter().map(|(_, outcome)| outcome.work).collect::<Vec<_>>(),
            })
        });
        json!({
            "workload": self.workload.name, "title": self.workload.title,
            "offered_records_per_s": self.records_per_s, "reference": self.reference,
            "brokers": brokers.collect::<Vec<_>>(), "told": self.told(contenders),
        })
    }
}

/// What holds for all tables.
pub(crate) fn head(setting: Setting<'_>) -> String {
    let mut text = "# Brokers side by side\n\n".to_owned();
    for (name, value) in setting.facts {
        let _ = writeln!(text, "- {name}: {value}");
    }
    for contender in setting.contenders {
        let _ = writeln!(text, "- {}: {} (build {})", contender.label, contender.promise, contender.build);
    }
    text.push_str(
        "\nMedian of the rounds, each round in brackets; the ratio is the median of the rounds' ratios.\n",
    );
    text
}

/// Ours beside each of the others.
fn pairs(contenders: &[Contender]) -> Vec<(usize, usize)> {
    let ours = contenders.iter().position(|contender| contender.id == "thalweg");
    let others = (0..contenders.len()).filter(|at| Some(*at) != ours);
    ours.map_or_else(Vec::new, |ours| others.map(|other| (ours, other)).collect())
}

fn cell(values: &[f64], unit: &str) -> String {
    let all: Vec<String> = values.iter().map(|value| number(*value)).collect();
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    match all.as_slice() {
        [] => "-".to_owned(),
        [only] => format!("{only}{unit}"),
        _ => format!("{}{unit} ({})", number(median(values)), all.join(", ")),
    }
}

/// With an s where it belongs.
pub(crate) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Settings of a run in words: connections, in flight, batches, records, codec, acknowledgements, readers.
fn in_force(spec: &Value) -> Vec<String> {
    let mut words = Vec::new();
    let produce = &spec["produce"];
    if let Some(connections) = produce["connection_count"].as_u64() {
        words.push(counted(connections, "connection"));
        words.push(format!("{} in flight on each", produce["in_flight_count"]));
        words.push(match produce["batch_record_count"].as_u64() {
            Some(records) if records < UNBOUNDED_RECORDS => {
                format!("batches of {}", counted(records, "record"))
            }
            _ => format!("batches of {} B", produce["batch_bytes"]),
        });
        words.push(match produce["profile"].as_str() {
            Some("filler") => format!("records of {} B", produce["record_bytes"]),
            Some(profile) => format!("records of profile {profile}"),
            None => "records of unknown bytes".to_owned(),
        });
        words.push(format!("codec {}", plain(&produce["codec"])));
        words.push(format!("acks={}", plain(&produce["acks"])));
    }
    for reading in [&spec["consume"], &spec["backlog"]] {
        if let Some(connections) = reading["connection_count"].as_u64() {
            let (bytes, each) = (&reading["fetch_bytes"], &reading["partition_bytes"]);
            let of = counted(connections, "connection");
            words.push(format!("read over {of}, {bytes} B a fetch, {each} B of a partition"));
        }
    }
    if let Some(readers) = spec["roundtrip"]["reader_count"].as_u64() {
        words.push(format!("{} of everything", counted(readers, "reader")));
    }
    words
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::Programs;
    use crate::outcome::Work;
    use crate::plan::{PlanFile, Wanted};
    use std::path::Path;

    fn outcome(rate: f64) -> Outcome {
        let mut outcome =
            Outcome { work: Work { batch_bytes_mean: 4200.0, ..Work::default() }, ..Outcome::default() };
        outcome.push("acknowledged", "records/s", Some(rate));
        outcome
    }

    fn shown(ours: Vec<(usize, Outcome)>, theirs: Vec<(usize, Outcome)>) -> String {
        let file =
            PlanFile::load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/rivals/plan.toml"))).unwrap();
        let wanted =
            Wanted { profile: "default".to_owned(), only: vec!["tiny".to_owned()], ..Wanted::default() };
        let plan = file.plan(&wanted).unwrap();
        let programs = Programs { thalweg: "thalweg".into(), settings: vec![], kafka: None };
        let contenders = ["thalweg", "kafka"].map(|id| programs.contender(id, false).unwrap());
        let section = Section {
            workload: &plan.workloads[0],
            records_per_s: None,
            reference: None,
            rounds: vec![ours, theirs],
        };
        section.markdown(Setting {
            contenders: &contenders,
            facts: &[],
            window: "windows of 6 s",
            fill_gb: 2.0,
            train_s: 35.0,
        })
    }

    #[test]
    fn brokers_stand_side_by_side_with_ratios_of_the_same_rounds() {
        let text = shown(
            vec![(0, outcome(100.0)), (1, outcome(300.0))],
            vec![(0, outcome(50.0)), (1, outcome(100.0))],
        );
        assert!(text.contains("| figure | Thalweg | Kafka | Thalweg / Kafka |"), "{text}");
        let row = "| acknowledged | 100 records/s (100, 300) | 50.0 records/s (50.0, 100) | 2.00 |";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("- 16 partitions\n- closed loop"), "{text}");
        assert!(text.contains("- Kafka: 35 s of this load into another topic before"), "{text}");
    }

    #[test]
    fn a_broker_that_could_not_and_one_that_lost_records_are_told_below_the_table() {
        let lost = Outcome { faults: vec!["9 of 10 records".to_owned()], ..outcome(100.0) };
        let text = shown(vec![(0, lost)], vec![(0, Outcome::cannot("no more files".to_owned()))]);
        assert!(text.contains("| 100 records/s | - | - |"), "{text}");
        assert!(text.contains("\n- **Thalweg, round 1: 9 of 10 records**\n"), "{text}");
        assert!(text.contains("- Kafka cannot run it: no more files\n"), "{text}");
    }

    #[test]
    fn conditions_are_in_the_words_of_the_run_itself() {
        let spec = json!({"produce": {
            "connection_count": 64, "in_flight_count": 5, "batch_record_count": 10_000_000, "batch_bytes": 65536,
            "profile": "filler", "record_bytes": 1024, "codec": "None", "acks": "all",
        }});
        assert_eq!(
            in_force(&spec).join(", "),
            "64 connections, 5 in flight on each, batches of 65536 B, records of 1024 B, codec none, acks=all"
        );
    }
}

//! What must be alike for figures to be compared: settings, machine, and runs taken in turn.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::saved::{Run, Saved};

/// Settings that tell runs apart without changing what is measured.
const MAY_DIFFER: [&str; 7] = [
    "common.brokers",
    "common.topic",
    "common.client_id",
    "common.data_dir",
    "produce.acked",
    "produce.seed",
    "group.name",
];
/// Values named in a note.
const SHOWN_MAX: usize = 4;

/// What a reader of a comparison should know: conditions that differ, warnings of the runs, pairs that were not taken in turn.
pub fn notes(base: &[Saved], with: &[Saved], paired: bool) -> Vec<String> {
    let all = || base.iter().chain(with);
    let mut found = Vec::new();
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for saved in all() {
        for (key, value) in conditions(&saved.run) {
            values.entry(key).or_default().insert(value);
        }
    }
    for (key, values) in values {
        if values.len() > 1 && !MAY_DIFFER.contains(&key.as_str()) {
            let mut shown: Vec<&str> = values.iter().take(SHOWN_MAX).map(String::as_str).collect();
            if values.len() > SHOWN_MAX {
                shown.push("..");
            }
            found.push(format!("not the same in all runs: {key}: {}", shown.join(" | ")));
        }
    }
    let mut warnings: BTreeMap<&str, usize> = BTreeMap::new();
    for warning in all().flat_map(|saved| &saved.run.warnings) {
        *warnings.entry(warning).or_default() += 1;
    }
    let count = base.len() + with.len();
    for (warning, times) in warnings {
        found.push(format!("{times} of {count} runs warn: {warning}"));
    }
    if paired && !are_interleaved(base, with) {
        found.push(
            "the pairs were not taken in turn: what drifted on the machine counts as a difference".to_owned(),
        );
    }
    found
}

/// Settings and machine as flat keys and values; a missing setting is a value of its own.
pub(crate) fn conditions(run: &Run) -> Vec<(String, String)> {
    let mut flat = Vec::new();
    flatten("", &run.spec, &mut flat);
    let machine = &run.machine;
    flat.push(("machine.cpu".to_owned(), machine.cpu.clone()));
    flat.push(("machine.core_count".to_owned(), machine.core_count.to_string()));
    flat.push(("machine.kernel".to_owned(), machine.kernel.clone()));
    flat.push(("machine.memory_mib".to_owned(), machine.memory_mib.to_string()));
    flat.push(("machine.optimized".to_owned(), machine.optimized.to_string()));
    if let Some(mount) = &machine.data_dir {
        flat.push(("machine.file_system".to_owned(), format!("{} on {}", mount.kind, mount.device)));
    }
    if let Some(broker) = &machine.broker {
        flat.push(("machine.broker_on_same_machine".to_owned(), broker.same_machine.to_string()));
    }
    flat
}

fn flatten(prefix: &str, value: &Value, flat: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&key, value, flat);
            }
        }
        Value::Null => flat.push((prefix.to_owned(), "-".to_owned())),
        Value::String(text) => flat.push((prefix.to_owned(), text.clone())),
        other => flat.push((prefix.to_owned(), other.to_string())),
    }
}

/// Between the starts of a pair no other run started.
fn are_interleaved(base: &[Saved], with: &[Saved]) -> bool {
    let start = |saved: &Saved| saved.run.start_unix_ms;
    let starts: Vec<i64> = base.iter().chain(with).map(start).collect();
    base.iter().zip(with).all(|(one, other)| {
        let (first, second) = (start(one).min(start(other)), start(one).max(start(other)));
        starts.iter().all(|start| *start <= first || *start >= second)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn saved(start_unix_ms: i64, spec: Value) -> Saved {
        let run = Run { start_unix_ms, spec, ..Run::default() };
        Saved { path: PathBuf::new(), name: String::new(), run }
    }

    fn at(starts: &[i64]) -> Vec<Saved> {
        starts.iter().map(|start| saved(*start, Value::Null)).collect()
    }

    #[test]
    fn pairs_taken_in_turn_need_no_note_whichever_came_first() {
        assert!(notes(&at(&[10, 40, 50]), &at(&[20, 30, 60]), true).is_empty());
        let found = notes(&at(&[10, 20, 30]), &at(&[40, 50, 60]), true);
        assert!(found.len() == 1 && found[0].contains("not taken in turn"), "{found:?}");
        assert!(notes(&at(&[10, 20, 30]), &at(&[40, 50, 60]), false).is_empty());
    }

    #[test]
    fn settings_that_differ_are_named_and_those_that_must_are_not() {
        let spec =
            |bytes: u64, seed: u64| serde_json::json!({"produce": {"batch_bytes": bytes, "seed": seed}});
        let found = notes(&[saved(1, spec(4096, 1))], &[saved(2, spec(16384, 2))], true);
        assert_eq!(found, ["not the same in all runs: produce.batch_bytes: 16384 | 4096"]);
    }
}

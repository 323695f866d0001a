//! Did every broker do the same work? Records asked, acknowledged, read and found afterwards, and the bytes they came in.

use crate::outcome::{Kind, Outcome, Work};
use serde_json::Value;

/// A plan of a rate ends with a part of a batch for each connection.
const ASKED_SHARE_MAX: f64 = 0.01;
/// Batches of made-up events differ a little with the number of them.
const BATCH_SHARE_MAX: f64 = 0.02;

/// What the result of a run says was asked and done. `filled` records were there before; `found` are there now.
pub(crate) fn done(kind: Kind, result: &Value, filled_records: u64, found_records: u64) -> Work {
    let parts = result["parts"].as_array().filter(|parts| !parts.is_empty());
    let all: Vec<&Value> = parts.map_or_else(|| vec![result], |parts| parts.iter().collect());
    let of = |part: &Value, name: &str| part["produce"][name].as_u64().unwrap_or(0);
    let sum = |count: &dyn Fn(&Value) -> u64| all.iter().map(|part| count(part)).sum::<u64>();
    let acknowledged = sum(&|part| of(part, "acknowledged_records"));
    let unknown_records = sum(&|part| of(part, "unknown_records"));
    let never = sum(&|part| of(part, "refused_records") + of(part, "unsent_records"));
    let asked = acknowledged + unknown_records + never;
    let read = sum(&|part| part["consume"]["read_records"].as_u64().unwrap_or(0));
    let readers = result["spec"]["roundtrip"]["reader_count"].as_u64().unwrap_or(1);
    let (to_read_records, read_records) = match kind {
        Kind::Produce | Kind::Ladder => (0, 0),
        Kind::Consume => (filled_records, read),
        Kind::Roundtrip => (found_records * readers, read),
        // The reader of the backlog goes round; what it and the round trips read is proven by their own verdicts.
        Kind::Tail => (0, 0),
    };
    let batch_bytes_mean = match kind {
        Kind::Consume => {
            let rates = &result["consume"]["rates"];
            let (bytes, batches) = (rates["batch_bytes"].as_f64(), rates["batches"].as_f64());
            bytes.zip(batches).map_or(0.0, |(bytes, batches)| bytes / batches.max(1.0))
        }
        _ => all.iter().find_map(|part| part["produce"]["batch_bytes_mean"].as_f64()).unwrap_or(0.0),
    };
    Work {
        asked_records: asked + filled_records,
        acknowledged_records: acknowledged + filled_records,
        unknown_records,
        found_records,
        to_read_records,
        read_records,
        batch_bytes_mean,
    }
}

/// What is wrong with the work of one run. `offered` records were to be sent by the plan of a rate.
pub(crate) fn faults(work: &Work, offered_records: Option<f64>) -> Vec<String> {
    let mut faults = Vec::new();
    let (found, acknowledged, unknown) =
        (work.found_records, work.acknowledged_records, work.unknown_records);
    if !(acknowledged..=acknowledged + unknown).contains(&found) {
        faults.push(format!(
            "{acknowledged} records were acknowledged, {unknown} had no answer, and {found} are there by their offsets"
        ));
    }
    if work.read_records != work.to_read_records {
        let (read, to_read) = (work.read_records, work.to_read_records);
        faults.push(format!("{to_read} records were to be read and {read} were"));
    }
    if let Some(offered) = offered_records {
        let asked = work.asked_records as f64;
        // A batch each for a thousand connections, at most.
        if (asked - offered).abs() > (offered * ASKED_SHARE_MAX).max(4_000.0) {
            faults.push(format!("{offered:.0} records were to be sent and the generator had {asked:.0} due"));
        }
    }
    faults
}

/// What differs between brokers in one round of one workload.
pub(crate) fn differences(outcomes: &[(&str, &Outcome)]) -> Vec<String> {
    let ran: Vec<_> = outcomes.iter().filter(|(_, outcome)| outcome.cannot.is_none()).collect();
    let Some(((first_label, first), others)) = ran.split_first() else { return Vec::new() };
    let mut told = Vec::new();
    for (label, other) in others {
        let (one, two) = (first.work.batch_bytes_mean, other.work.batch_bytes_mean);
        if (one - two).abs() > one.max(two) * BATCH_SHARE_MAX {
            told.push(format!("a batch has {one:.0} B with {first_label} and {two:.0} B with {label}"));
        }
        if settings(&first.spec) != settings(&other.spec) {
            told.push(format!("{first_label} and {label} were not asked for the same"));
        }
    }
    told
}

/// The settings of a run that have to be the same: all but where the broker and its files are.
fn settings(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if let Some(common) = spec["common"].as_object_mut() {
        for own in ["brokers", "json", "data_dir", "broker_pids", "broker_version"] {
            common.remove(own);
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn produced(acknowledged: u64, unsent: u64) -> Value {
        json!({"produce": {
            "acknowledged_records": acknowledged, "unsent_records": unsent, "batch_bytes_mean": 4200.0,
        }})
    }

    #[test]
    fn what_was_acknowledged_has_to_be_found() {
        let work = done(Kind::Produce, &produced(100, 0), 0, 100);
        assert!(faults(&work, None).is_empty());
        let lost = done(Kind::Produce, &produced(100, 0), 0, 99);
        assert!(
            faults(&lost, None)[0]
                .contains("100 records were acknowledged, 0 had no answer, and 99 are there")
        );
        let doubled = done(Kind::Produce, &produced(100, 0), 0, 101);
        assert_eq!(faults(&doubled, None).len(), 1);
    }

    #[test]
    fn what_had_no_answer_may_be_there_or_not() {
        let mut result = produced(100, 0);
        result["produce"]["unknown_records"] = json!(20);
        let wrong = |found| faults(&done(Kind::Produce, &result, 0, found), None).len();
        assert_eq!([99, 100, 120, 121].map(wrong), [1, 0, 0, 1]);
    }

    #[test]
    fn a_broker_that_does_not_keep_the_rate_was_still_asked_for_it() {
        let work = done(Kind::Produce, &produced(60_000, 40_000), 0, 60_000);
        assert!(faults(&work, Some(100_000.0)).is_empty());
        assert_eq!(faults(&work, Some(200_000.0)).len(), 1);
    }

    #[test]
    fn every_reader_has_to_read_everything() {
        let mut result = produced(100, 0);
        result["spec"] = json!({"roundtrip": {"reader_count": 3}});
        result["consume"] = json!({"read_records": 300});
        assert!(faults(&done(Kind::Roundtrip, &result, 0, 100), None).is_empty());
        result["consume"] = json!({"read_records": 299});
        assert_eq!(faults(&done(Kind::Roundtrip, &result, 0, 100), None).len(), 1);
        let caught_up = json!({"consume": {"read_records": 50, "rates": {"batch_bytes": 500, "batches": 5}}});
        let work = done(Kind::Consume, &caught_up, 50, 50);
        assert_eq!((faults(&work, None).len(), work.batch_bytes_mean), (0, 100.0));
    }

    #[test]
    fn brokers_that_were_asked_for_different_things_are_told_apart_and_places_do_not_count() {
        let outcome = |rate: u64, pid: u64, bytes: f64| Outcome {
            work: Work { batch_bytes_mean: bytes, ..Work::default() },
            spec: json!({"common": {"broker_pids": [pid]}, "produce": {"rate_records_per_s": rate}}),
            ..Outcome::default()
        };
        let compared = |other: Outcome| differences(&[("A", &outcome(5, 1, 4200.0)), ("B", &other)]);
        assert!(compared(outcome(5, 2, 4210.0)).is_empty());
        assert_eq!(compared(outcome(6, 2, 4200.0)), ["A and B were not asked for the same"]);
        assert!(compared(outcome(5, 2, 8000.0))[0].contains("4200 B with A and 8000 B with B"));
        assert!(compared(Outcome::cannot("no".to_owned())).is_empty(), "it did nothing, and says so");
    }
}

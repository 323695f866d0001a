//! Whole comparisons of made-up results, from their files to the exit status.
use std::path::{Path, PathBuf};

use super::{CompareError, CompareFlags, Comparison, Verdict, compare, text};
use crate::result::SCHEMA;

/// One run: its p99, how fast, and when.
fn run(p99_us: f64, records_per_s: f64, start_unix_ms: usize) -> serde_json::Value {
    serde_json::json!({
        "schema": SCHEMA, "start_unix_ms": start_unix_ms,
        "produce": {
            "rates": {"records_per_s": records_per_s},
            "latency": {"samples": 100_000, "percentiles": [{"name": "p99", "us": p99_us}, {"name": "p99.9", "us": null}]},
        },
    })
}

struct Scene {
    folder: tempfile::TempDir,
    flags: CompareFlags,
}

impl Scene {
    /// Pairs taken in turn; what the other side has is `factors` times the base, by pair.
    fn new(count: usize, p99: fn(usize) -> f64, rate: fn(usize) -> f64) -> Self {
        let flags = CompareFlags {
            base: Vec::new(),
            with: Vec::new(),
            unpaired: false,
            margin_percent: 5.0,
            error_percent: 5.0,
            figures: Vec::new(),
            part: None,
            json: None,
        };
        let mut scene = Self { folder: tempfile::tempdir().unwrap(), flags };
        for pair in 0..count {
            let drift = 1.0 + (pair * 7 % 5) as f64 / 100.0;
            let base = run(2000.0 * drift, 10_000.0 / drift, pair * 2);
            let with = run(2000.0 * drift * p99(pair), 10_000.0 / drift * rate(pair), pair * 2 + 1);
            let paths = [("base", base), ("with", with)].map(|(side, run)| scene.write(side, pair, &run));
            let [base, with] = paths;
            scene.flags.base.push(base);
            scene.flags.with.push(with);
        }
        scene
    }

    fn write(&self, side: &str, pair: usize, run: &serde_json::Value) -> PathBuf {
        let path = self.folder.path().join(format!("{side}-{pair}.json"));
        std::fs::write(&path, run.to_string()).unwrap();
        path
    }

    fn compare(&self) -> Comparison {
        compare(&self.flags).unwrap()
    }
}

fn near_one(pair: usize) -> f64 {
    1.0 + (pair * 11 % 7) as f64 / 1000.0 - 0.003
}

fn verdict(found: &Comparison, name: &str) -> Verdict {
    found.judgements.iter().find(|found| found.name == name).unwrap().verdict.clone()
}

#[test]
fn builds_that_are_alike_end_with_0_and_say_within_which_bound() {
    let found = Scene::new(10, near_one, near_one).compare();
    assert_eq!(found.exit_status(), 0);
    assert!(text(&found).contains("no difference larger than 0."), "{}", text(&found));
}

#[test]
fn a_slower_build_ends_with_3_and_a_faster_one_with_0() {
    let slower = Scene::new(10, |pair| 1.2 * near_one(pair), near_one);
    assert_eq!(verdict(&slower.compare(), "latency_p99_us"), Verdict::Worse);
    assert_eq!(slower.compare().exit_status(), 3);
    assert!(text(&slower.compare()).contains("WORSE"));
    let faster = Scene::new(10, near_one, |pair| 1.2 * near_one(pair)).compare();
    assert_eq!(verdict(&faster, "produced_records_per_s"), Verdict::Better);
    assert_eq!(faster.exit_status(), 0);
}

#[test]
fn too_few_pairs_end_with_4_and_the_number_that_is_needed() {
    // Two figures share 5 %: all pairs to one side must be rarer than 2.5 %, which takes seven.
    let found = Scene::new(6, |pair| 2.0 * near_one(pair), near_one).compare();
    assert_eq!(verdict(&found, "latency_p99_us"), Verdict::CannotTell { needed: 7 });
    assert_eq!(found.exit_status(), 4);
    assert!(text(&found).contains("cannot tell: 7 pairs needed, 6 given"));
    // One figure alone may use all of it.
    let mut scene = Scene::new(6, |pair| 2.0 * near_one(pair), near_one);
    scene.flags.figures = vec!["latency_p99_us".to_owned()];
    assert_eq!(scene.compare().exit_status(), 3);
}

#[test]
fn pairs_that_lie_far_apart_end_with_4_and_an_estimate() {
    let wild = |pair: usize| [0.5, 1.8, 0.7, 1.5][pair % 4] * near_one(pair);
    let found = Scene::new(12, wild, near_one).compare();
    assert!(matches!(verdict(&found, "latency_p99_us"), Verdict::CannotTell { needed } if needed > 12));
    assert_eq!(found.exit_status(), 4);
    assert!(text(&found).contains("cannot tell: about "));
}

#[test]
fn a_figure_that_some_runs_lack_is_named_and_not_judged() {
    let mut scene = Scene::new(8, near_one, near_one);
    let mut lacking = run(2000.0, 10_000.0, 100);
    lacking["produce"]["latency"]["percentiles"][0]["us"] = serde_json::Value::Null;
    scene.flags.with[7] = scene.write("lacking", 7, &lacking);
    let found = scene.compare();
    assert_eq!(found.judgements.len(), 1);
    assert!(found.notes.iter().any(|note| note.contains("latency p99")), "{:?}", found.notes);
    scene.flags.figures = vec!["latency_p99_us".to_owned()];
    assert!(matches!(compare(&scene.flags), Err(CompareError::Invalid { flag: "figure", .. })));
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let mut odd = Scene::new(8, near_one, near_one);
    odd.flags.with.pop();
    assert!(matches!(compare(&odd.flags), Err(CompareError::NoPairs { base: 8, with: 7 })));
    odd.flags.unpaired = true;
    assert!(compare(&odd.flags).is_ok());

    let scene = Scene::new(8, near_one, near_one);
    let mut failed = run(1.0, 1.0, 0);
    failed["failures"] = serde_json::json!(["connection 3 gave up"]);
    std::fs::write(&scene.flags.base[2], failed.to_string()).unwrap();
    let told = compare(&scene.flags).unwrap_err().to_string();
    assert!(told.contains("base-2.json") && told.contains("gave up"), "{told}");

    let mut flags = Scene::new(1, near_one, near_one).flags;
    flags.margin_percent = 0.0;
    flags.base = vec![Path::new("/nowhere.json").to_owned()];
    assert!(matches!(compare(&flags), Err(CompareError::Saved(_))));
}

/// The first part is as fast on both sides, the second slower by half on the other.
#[test]
fn of_runs_that_are_made_of_several_the_part_that_is_asked_for_is_judged() {
    let mut scene = Scene::new(8, near_one, near_one);
    assert!(matches!(
        compare(&CompareFlags { part: Some("without backfill".to_owned()), ..scene.flags.clone() }),
        Err(CompareError::NoParts { .. })
    ));
    let paths = scene.flags.base.iter().zip(&scene.flags.with);
    for (pair, path) in paths.flat_map(|(base, with)| [base, with]).enumerate() {
        let slower = if pair % 2 == 0 { 1.0 } else { 1.5 };
        let part = |name: &str, factor: f64| {
            let mut part = run(2000.0 * near_one(pair) * factor, 10_000.0, pair);
            part["name"] = name.into();
            part
        };
        let parts = [part("without backfill", 1.0), part("with backfill", slower)];
        let whole = serde_json::json!({"schema": SCHEMA, "start_unix_ms": pair, "parts": parts});
        std::fs::write(path, whole.to_string()).unwrap();
    }
    let told = compare(&scene.flags).unwrap_err().to_string();
    assert!(told.contains("base-0.json") && told.contains("with backfill, without backfill"), "{told}");
    let mut of_part = |part: &str| {
        scene.flags.part = Some(part.to_owned());
        verdict(&scene.compare(), "latency_p99_us")
    };
    assert!(matches!(of_part("without backfill"), Verdict::Same { .. }));
    assert!(matches!(of_part("with backfill"), Verdict::Worse));
}

#[test]
fn the_judgements_are_written_as_json() {
    let mut scene = Scene::new(8, near_one, near_one);
    let path = scene.folder.path().join("judged.json");
    scene.flags.json = Some(path.clone());
    scene.compare();
    let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(json["judgements"][0]["name"], "produced_records_per_s");
    assert_eq!(json["judgements"][0]["verdict"], "same");
    assert!(json["judgements"][0]["bound"].as_f64().unwrap() < 0.05);
}

//! The load generator's page, looked at in a real browser: as it is in light, in the dark, on a phone and in print.
//!
//! The pictures stay in `target/report-pictures`.

mod made_up;

use harness::browser::{Browser, View};
use harness::scratch::{Scratch, target_dir};
use made_up::Shape;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use thalweg_loadgen::page::{self, ReportFlags};

const LOOK: &str = include_str!("look.js");
const DESK: View = View { width: 1200, height: 900, scheme: "light", media: "screen", scripts: true };
const PHONE: View = View { width: 375, height: 812, ..DESK };
const VIEWS: [(&str, View); 5] = [
    ("light", DESK),
    ("dark", View { scheme: "dark", ..DESK }),
    ("phone", PHONE),
    ("phone-dark", View { scheme: "dark", ..PHONE }),
    // The size of a sheet of A4 between its margins.
    ("print", View { width: 720, media: "print", ..DESK }),
];
const PLAIN: Shape = Shape { slower: 1.0, seconds: 60, stall_at: None, kept: true };

/// Writes results, reads them back as a report.
fn report(scratch: &Scratch, name: &str, results: &[(&str, Value)], with_history: bool) -> PathBuf {
    let write = |name: &str, text: String| {
        let path = scratch.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let flags = ReportFlags {
        results: results.iter().map(|(name, run)| write(&format!("{name}.json"), run.to_string())).collect(),
        history: with_history.then(|| write("history.jsonl", made_up::history())),
        append_as: None,
        output: scratch.path().join(format!("{name}.html")),
    };
    page::write(&flags).unwrap();
    flags.output
}

/// Opens the page in every view, keeps a picture of each, and finds nothing wrong.
fn look_at(browser: &mut Browser, page: &Path, name: &str, plots: u64) {
    for (view_name, view) in VIEWS {
        let mut heard = browser.open(page, view);
        let found = browser.evaluate(LOOK);
        browser.picture(&target_dir().join("report-pictures").join(format!("{name}-{view_name}.png")));
        browser.listen(page, &mut heard);
        assert!(heard.requests.iter().all(|asked| asked.starts_with("data:,")), "{view_name}: {heard:?}");
        assert!(heard.complaints.is_empty(), "{view_name}: {heard:?}");
        let faults = found["faults"].as_array().unwrap();
        assert!(faults.is_empty(), "{name}, {view_name}: {faults:#?}");
        assert_eq!(found["plots"], plots, "{name}, {view_name}");
    }
}

#[test]
fn a_page_is_whole_in_light_in_the_dark_on_a_phone_and_in_print() {
    let Some(mut browser) = Browser::start() else { return };
    let scratch = Scratch::new("report-one");
    let run = made_up::roundtrip(Shape { stall_at: Some(31), ..PLAIN });
    let page = report(&scratch, "one", &[("tail_latency", run)], true);
    // Three kinds of latency, two series of two plots each, three figures over commits and one of counts.
    look_at(&mut browser, &page, "one", 11);
    let told = browser.evaluate("document.body.innerText");
    assert!(told.as_str().unwrap().contains("1 of 2 moved by more than 1 %"), "{told}");
}

#[test]
fn several_results_lie_over_each_other_and_can_be_told_apart() {
    let Some(mut browser) = Browser::start() else { return };
    let scratch = Scratch::new("report-three");
    let runs = [
        ("thalweg", made_up::roundtrip(PLAIN)),
        ("kafka", made_up::roundtrip(Shape { slower: 4.5, stall_at: Some(20), ..PLAIN })),
        (
            "kafka-with-a-sync-per-message",
            made_up::roundtrip(Shape { slower: 21.0, seconds: 75, kept: false, ..PLAIN }),
        ),
    ];
    let page = report(&scratch, "three", &runs, false);
    // Three kinds of latency; of each of two series the throughput and three latencies.
    look_at(&mut browser, &page, "three", 11);
}

#[test]
fn a_ladder_shows_its_knee_and_what_was_measured_there() {
    let Some(mut browser) = Browser::start() else { return };
    let scratch = Scratch::new("report-ladder");
    let page = report(&scratch, "ladder", &[("ladder", made_up::ladder(1.0))], false);
    // Latency over rate; at the knee three kinds of latency and two series of two plots each.
    look_at(&mut browser, &page, "ladder", 8);
    let knee = browser.evaluate("document.querySelector('tr.knee').innerText");
    assert!(knee.as_str().unwrap().starts_with("40\u{202f}000"), "{knee}");
    let runs = [("thalweg", made_up::ladder(1.0)), ("kafka", made_up::ladder(2.5))];
    let page = report(&scratch, "ladders", &runs, false);
    look_at(&mut browser, &page, "ladders", 12);
}

#[test]
fn runs_of_several_parts_are_drawn_as_their_parts_with_readers_and_restarts() {
    let Some(mut browser) = Browser::start() else { return };
    let scratch = Scratch::new("report-parts");
    let mut run = made_up::roundtrip(PLAIN);
    let part = |name: &str, slower| {
        let mut part = made_up::roundtrip(Shape { slower, ..PLAIN });
        part["name"] = name.into();
        part
    };
    run["parts"] = serde_json::json!([part("alone", 1.0), part("beside a backfill", 1.4)]);
    let page = report(&scratch, "parts", &[("tail", run)], false);
    look_at(&mut browser, &page, "parts", 11);
    let mut run = made_up::roundtrip(PLAIN);
    let reader =
        serde_json::json!({"consume": run["consume"], "end_to_end_latency": run["end_to_end_latency"]});
    run["readers"] = serde_json::json!([reader, reader, reader]);
    let restart = |at_s: f64| serde_json::json!({"at_s": at_s, "took_s": 0.4, "exit_status": 0});
    run["crash"] = serde_json::json!({"restarts": [restart(15.0), restart(25.0)]});
    let page = report(&scratch, "crash", &[("crash", run)], false);
    look_at(&mut browser, &page, "crash", 7);
    let text = browser.evaluate("document.querySelector('main').innerText");
    let text = text.as_str().unwrap();
    assert!(
        ["Cost", "Readers", "Restarts", "400 ms", "410 MB"]
            .iter()
            .all(|word| text.replace('\u{a0}', " ").contains(word)),
        "{text}"
    );
}

#[test]
fn strings_of_a_result_stay_strings() {
    let Some(mut browser) = Browser::start() else { return };
    let scratch = Scratch::new("report-hostile");
    let page = report(&scratch, "hostile", &[("evil", made_up::hostile())], false);
    // Acknowledgement, groups, throughput, latency, errors.
    look_at(&mut browser, &page, "hostile", 5);
    let made = browser.evaluate("document.querySelectorAll('main script, img, iframe, [onerror]').length");
    assert_eq!(made, 0);
}

#[test]
fn a_page_says_the_same_without_scripts_and_with_them_tells_values_under_the_pointer() {
    let Some(mut browser) = Browser::start() else { return };
    let scratch = Scratch::new("report-hover");
    let page = report(&scratch, "hover", &[("tail_latency", made_up::roundtrip(PLAIN))], false);
    let text = "document.querySelector('main').innerText";
    browser.open(&page, View { scripts: false, ..DESK });
    let without = browser.evaluate(text);
    browser.open(&page, DESK);
    assert_eq!(browser.evaluate(text), without);
    assert!(without.as_str().unwrap().contains("19\u{202f}998"), "{without}");

    let centre = browser.evaluate(
        "(() => { const plot = document.querySelector('svg.wide[data-x]'); plot.scrollIntoView({block: 'center'}); \
         const box = plot.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()",
    );
    assert_eq!(browser.evaluate("document.querySelector('#tip').hidden"), true);
    browser.point_at(centre[0].as_f64().unwrap(), centre[1].as_f64().unwrap());
    let tip = browser.evaluate("document.querySelector('#tip').innerText");
    let tip = tip.as_str().unwrap();
    assert!(tip.contains(" s\n") && tip.contains("throughput") && tip.contains("19"), "{tip}");
}

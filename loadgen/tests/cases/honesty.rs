//! What a stall does to the figures, and what the generator says of itself.
use thalweg_loadgen::histogram::LatencySummary;

use super::Scene;
use crate::fake::Faults;

const STALL_MS: u64 = 1_000;

/// Microseconds of a percentile that the samples can tell.
fn at(latency: &LatencySummary, name: &str) -> f64 {
    latency.percentiles.iter().find(|found| found.name == name).unwrap().us.unwrap()
}

/// One request in flight a connection and one stall: a few sends in a thousand meet it, a fifth of the intents were due in
/// it. A clock that starts at the send does not see it in a hundred; one that starts at the intent does.
#[test]
fn a_stall_shows_in_p99_from_the_intended_time_and_hides_in_p99_from_the_send() {
    let scene = Scene::new(2, Faults { stall: Some((300, STALL_MS)), ..Faults::default() });
    let produced = scene.run(
        "produce --rate 400 --batch-records 1 --record-bytes 100 --time 5 --in-flight 1 --connections 2",
    );
    let figures = produced.produce.as_ref().unwrap();
    assert_eq!((figures.latency.samples, figures.service.samples), (2000, 2000));
    let half_us = STALL_MS as f64 * 1e3 / 2.0;
    assert!(at(&figures.latency, "p99") > half_us, "{figures:?}");
    assert!(at(&figures.service, "p99") < half_us, "{figures:?}");
    assert!(figures.service.max_us > half_us, "the sends that met it: {figures:?}");
    // The broker held the batches back, not the generator.
    let own_wait = &figures.schedule.as_ref().unwrap().own_wait;
    assert_eq!(own_wait.samples, 2000);
    assert!(at(own_wait, "p99") < half_us, "{own_wait:?}");
}

#[test]
fn a_generator_that_cannot_make_its_batches_in_time_says_so_and_marks_the_result() {
    let scene = Scene::new(1, Faults::default());
    // A batch a millisecond, of a million bytes each that a codec has to go through, and room for all of them.
    let words = "produce --rate 1000 --batch-records 1 --batch-bytes 1000000 --record-bytes 900000 \
                 --codec gzip --verifiable --in-flight 1000 --count 40";
    let produced = scene.run(words);
    let schedule = produced.produce.as_ref().unwrap().schedule.as_ref().unwrap();
    assert!(!schedule.kept, "{schedule:?}");
    assert!(produced.warnings.iter().any(|told| told.contains("DID NOT KEEP ITS OWN SCHEDULE")));
    let json = serde_json::to_value(&produced).unwrap();
    assert_eq!(json["produce"]["schedule"]["kept"], false);
}

#[test]
fn a_closed_loop_has_no_schedule_to_keep() {
    let scene = Scene::new(1, Faults::default());
    let produced = scene.run("produce --count 100 --batch-records 1 --record-bytes 100");
    assert!(produced.produce.as_ref().unwrap().schedule.is_none());
}

#[test]
fn every_latency_has_its_place_in_the_interval_log() {
    let scene = Scene::new(2, Faults::default());
    let result = scene.run("roundtrip --rate 500 --batch-records 1 --record-bytes 100 --time 1");
    let end_to_end = result.end_to_end_service.as_ref().unwrap();
    assert_eq!(end_to_end.samples, 500);
    let kinds: std::collections::BTreeSet<_> =
        result.intervals.iter().map(|interval| interval.kind).collect();
    let wanted = ["end_to_end", "end_to_end_service", "fetch", "produce", "produce_service"];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), wanted);
}

#[test]
fn errors_and_retries_are_told_by_their_cause_each_second() {
    let scene =
        Scene::new(2, Faults { hang_up_every: Some(17), refuse_every: Some(23), ..Faults::default() });
    let result = scene.run("produce --count 2000 --batch-records 5 --record-bytes 50 --idempotent");
    let figures = result.produce.as_ref().unwrap();
    let (lost, refused) = ("connection lost", "NotLeaderOrFollower (6)");
    let seconds = &result.produce_series;
    let errors =
        |cause| -> u64 { seconds.iter().filter_map(|second| second.errors_by_cause.get(cause)).sum() };
    let retries =
        |cause| -> u64 { seconds.iter().filter_map(|second| second.retries_by_cause.get(cause)).sum() };
    assert_eq!((errors(lost), errors(refused)), (figures.lost_links, figures.errors[refused]));
    assert_eq!((retries(lost), retries(refused)), (figures.retries[lost], figures.retries[refused]));
    assert!(retries(lost) > 0 && retries(refused) > 0, "{figures:?}");
    let all: u64 = seconds.iter().map(|second| second.errors).sum();
    assert!(all >= errors(lost) + errors(refused));
}

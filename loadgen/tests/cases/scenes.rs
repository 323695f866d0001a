//! Runs that are made of several, and what produce and roundtrip can do beside sending and reading.
use thalweg_loadgen::result::RunResult;

use super::{Scene, acknowledged};
use crate::fake::Faults;

fn names(result: &RunResult) -> Vec<&str> {
    result.parts.iter().map(|part| part.name.as_str()).collect()
}

#[test]
fn connections_that_are_closed_and_opened_again_lose_nothing() {
    let scene = Scene::new(2, Faults::default());
    let produced = scene.produce(
        "--rate 2000 --batch-records 2 --record-bytes 50 --connections 5 --threads 2 --time 2 --reopen-rate 100 --idempotent",
    );
    let figures = produced.produce.as_ref().unwrap();
    assert_eq!((figures.acknowledged_records, produced.exit_status()), (4000, 0), "{:?}", produced.failures);
    // One that is on its way already is not asked again, so there may be fewer than 200; none is lost unasked.
    assert!((20..=200).contains(&figures.reopen.samples), "{:?}", figures.reopen);
    assert_eq!((figures.lost_links, figures.repeated_batches), (0, 0));
    assert!(produced.intervals.iter().any(|interval| interval.kind == "reopen"));
    let verified = scene.verify();
    assert_eq!(verified.verdict.as_ref().unwrap().acknowledged_records, 4000);
    assert_eq!(verified.exit_status(), 0);
}

#[test]
fn without_answers_connections_are_opened_again_as_well() {
    let scene = Scene::new(1, Faults::default());
    let produced = scene.run("produce --acks 0 --rate 500 --batch-records 1 --time 1 --reopen-rate 20");
    assert_eq!((acknowledged(&produced), produced.exit_status()), (500, 0), "{:?}", produced.failures);
    assert!(produced.produce.as_ref().unwrap().reopen.samples > 0);
}

#[test]
fn each_of_several_readers_gets_everything_and_has_its_own_latency() {
    let scene = Scene::new(3, Faults::default());
    let result = scene.run("roundtrip --rate 1000 --batch-records 2 --record-bytes 50 --time 1 --readers 4");
    assert_eq!(result.exit_status(), 0, "{:?} {:?}", result.failures, result.verdict);
    assert_eq!(result.readers.len(), 4);
    for reader in &result.readers {
        assert_eq!((reader.consume.read_records, reader.end_to_end_latency.samples), (1000, 1000));
        assert!(reader.verdict.is_good());
    }
    assert_eq!(result.consume.as_ref().unwrap().read_records, 4000);
    assert_eq!(result.end_to_end_latency.as_ref().unwrap().samples, 4000);
}

#[test]
fn a_fault_that_readers_find_is_the_verdict_of_the_run() {
    let scene = Scene::new(1, Faults { forget: Some(40), ..Faults::default() });
    let result = scene.run("roundtrip --rate 500 --batch-records 1 --record-bytes 50 --time 1 --readers 2");
    assert_eq!(result.exit_status(), 3);
}

#[test]
fn a_rate_that_the_broker_does_not_keep_is_told_with_its_reason_and_searched_below() {
    // Each request takes the broker over 5 ms, one at a time: it cannot keep any of these, whatever the machine.
    let scene = Scene::new(1, Faults { slow_ms: 5, ..Faults::default() });
    let result = scene.run(
        "ladder --rates 2000,4000 --steady 1 --rest 0 --halvings 1 --p99-max-ms 100 --batch-records 1 \
         --record-bytes 50 --drain 1 --connections 2",
    );
    let ladder = result.ladder.as_ref().unwrap();
    let offered: Vec<_> = ladder.steps.iter().map(|step| step.offered_records_per_s).collect();
    assert_eq!(offered, [2000, 1000], "{:?}", ladder.steps);
    for step in &ladder.steps {
        assert!(!step.kept && step.p99_ms > Some(100.0), "{step:?}");
        assert!(step.reasons.iter().any(|told| told.contains("% of the rate")), "{step:?}");
    }
    assert_eq!((ladder.knee_records_per_s, ladder.broken_records_per_s), (None, Some(1000)));
    assert_eq!(names(&result), ["2000 records/s", "1000 records/s"]);
}

#[test]
fn a_step_with_too_few_samples_is_not_kept() {
    let scene = Scene::new(1, Faults::default());
    let result = scene.run("ladder --rates 20 --steady 1 --halvings 0 --batch-records 1 --record-bytes 50");
    let ladder = result.ladder.as_ref().unwrap();
    assert!(ladder.steps[0].reasons[0].contains("too few samples"), "{ladder:?}");
    assert_eq!(ladder.knee_records_per_s, None);
}

#[test]
fn a_ladder_of_round_trips_bounds_the_way_to_the_reader() {
    let scene = Scene::new(1, Faults::default());
    let result = scene.run(
        "ladder --rates 200 --steady 1 --halvings 0 --end-to-end --p99-max-ms 60000 --batch-records 1 --record-bytes 50",
    );
    let ladder = result.ladder.as_ref().unwrap();
    assert_eq!(ladder.measured, "end_to_end");
    assert!(ladder.steps[0].p99_ms.is_some());
    assert!(result.parts[0].end_to_end_latency.is_some());
}

#[test]
fn a_backlog_is_filled_and_then_read_whole() {
    let scene = Scene::new(3, Faults::default());
    let result =
        scene.run("backlog --fill-bytes 1000000 --record-bytes 990 --connections 2 --backlog-connections 2");
    assert_eq!((names(&result), result.exit_status()), (vec!["fill", "catch up"], 0));
    assert_eq!(result.parts[0].produce.as_ref().unwrap().acknowledged_records, 1000);
    assert_eq!(result.parts[1].consume.as_ref().unwrap().read_records, 1000);
    let again = scene.run("backlog --fill-bytes 0");
    assert_eq!(names(&again), ["catch up"]);
    assert_eq!(again.parts[0].consume.as_ref().unwrap().read_records, 1000);
}

#[test]
fn a_backlog_is_read_again_and_again_beside_the_second_window_only() {
    let scene = Scene::new(2, Faults::default());
    let result = scene.run(
        "tail --rate 200 --batch-records 1 --record-bytes 50 --time 1 --connections 2 --rounds 2 \
         --fill-bytes 200000 --backlog-connections 2",
    );
    let window = ["without backfill", "with backfill", "backfill"];
    assert_eq!(names(&result), [&["fill"][..], &window, &window].concat());
    assert_eq!(result.exit_status(), 0, "{:?}", result.failures);
    for (number, part) in result.parts.iter().enumerate().skip(1) {
        match part.name.as_str() {
            "backfill" => {
                assert!(result.intervals.iter().any(|interval| interval.kind == "backfill_fetch"));
                let read = part.consume.as_ref().unwrap();
                assert!(read.laps > 0, "part {number}: {read:?}");
            }
            _ => assert_eq!(part.end_to_end_latency.as_ref().unwrap().samples, 200, "part {number}"),
        }
    }
}

#[test]
fn a_reader_that_repeats_ends_with_its_time_and_has_nothing_to_do_in_an_empty_log() {
    let scene = Scene::new(1, Faults::default());
    let empty = scene.run("consume --repeat --time 0.3");
    assert_eq!(empty.consume.as_ref().unwrap().laps, 0);
    scene.run("produce --count 100 --batch-records 10 --record-bytes 10");
    let read = scene.run("consume --repeat --time 0.5");
    let figures = read.consume.as_ref().unwrap();
    assert!(figures.laps > 1 && figures.read_records > 100, "{figures:?}");
}

#[test]
fn a_crash_run_restarts_the_broker_and_audits_what_was_acknowledged() {
    let scene = Scene::new(2, Faults { hang_up_every: Some(40), ..Faults::default() });
    let mark = scene.folder.path().join("restarts");
    std::fs::write(scene.folder.path().join("restart.sh"), format!("echo once >> {}", mark.display()))
        .unwrap();
    let script = scene.folder.path().join("restart.sh");
    let words = "crash --rate 500 --batch-records 2 --record-bytes 50 --time 2 --crash-at 0.5,1 \
                 --connections 2 --crash-command";
    let result = scene.run_with(words, &[&format!("sh {}", script.display())]);
    assert_eq!((names(&result), result.exit_status()), (vec!["send", "audit"], 0), "{:?}", result.failures);
    let crash = result.crash.as_ref().unwrap();
    assert_eq!(crash.restarts.len(), 2);
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), "once\nonce\n");
    let verdict = result.parts[1].verdict.as_ref().unwrap();
    assert_eq!(verdict.acknowledged_records, 1000);
    let produced = result.parts[0].produce.as_ref().unwrap();
    assert!(produced.lost_links > 0 && produced.repeated_batches > 0);
}

#[test]
fn a_crash_run_that_finds_a_fault_or_whose_command_failed_says_so() {
    let scene = Scene::new(1, Faults { double: Some(40), ..Faults::default() });
    let words =
        "crash --rate 500 --batch-records 2 --record-bytes 50 --time 1 --crash-at 0.2 --crash-command";
    let result = scene.run_with(words, &["false"]);
    assert_eq!(result.exit_status(), 3);
    assert!(result.failures[0].contains("failed"), "{:?}", result.failures);
}

#[test]
fn a_crash_run_whose_broker_does_not_come_back_proves_nothing_and_tells_what_it_measured() {
    let scene = Scene::new(1, Faults { die: Some(60), ..Faults::default() });
    let words = "crash --rate 500 --batch-records 2 --record-bytes 50 --time 1 --crash-at 0.1 --retry-time 1 \
                 --crash-command";
    let result = scene.run_with(words, &["true"]);
    assert_eq!((names(&result), result.exit_status()), (vec!["send"], 1));
    assert!(result.failures.iter().any(|told| told.contains("nothing is proven")), "{:?}", result.failures);
    assert!(result.parts[0].produce.as_ref().unwrap().acknowledged_records > 0);
}

#[test]
fn what_a_run_cost_is_told_for_the_generator_and_for_each_process_named() {
    let scene = Scene::new(1, Faults::default());
    // The stand-in lives in this process, so both looks are at the same one; the third is at none.
    let own = std::process::id();
    let result = scene.run(&format!(
        "produce --rate 500 --batch-records 1 --record-bytes 1000 --time 1.5 --warm-up 0.5 --broker-pid {own} --broker-pid {}",
        u32::MAX
    ));
    let resources = result.resources.as_ref().unwrap();
    assert_eq!((resources.generator.pid, resources.brokers.len()), (own, 2));
    let sent = resources.produced.sent_records;
    assert!((1..750).contains(&sent), "750 in all, the warm-up's are left out: {sent}");
    assert!(resources.generator.resident_bytes > 0 && resources.generator.resident_bytes_max > 0);
    assert!(resources.generator.cpu_us_per_record.is_some());
    assert!(resources.brokers[1].unknown[0].contains("no process"));
    let told = thalweg_loadgen::report::text(&result);
    assert!(told.contains("us a record"), "{told}");
}

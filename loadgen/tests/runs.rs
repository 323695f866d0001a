//! Whole runs against a broker that keeps its promises, and against one that breaks each of them.
#![expect(clippy::unwrap_used, reason = "what fails in a helper of a test fails the test")]

mod fake;
#[path = "cases/groups.rs"]
mod groups;
#[path = "cases/honesty.rs"]
mod honesty;
#[path = "cases/scenes.rs"]
mod scenes;

use std::path::{Path, PathBuf};

use clap::Parser as _;
use fake::{Faults, TOPIC};
use thalweg_loadgen::report;
use thalweg_loadgen::result::RunResult;
use thalweg_loadgen::run::{Stop, run};
use thalweg_loadgen::spec::{Arguments, Spec};
use thalweg_loadgen::verify::FaultKind;

/// A broker with its faults, and where the journal of the run goes.
struct Scene {
    broker: std::sync::Arc<fake::Shared>,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new(partition_count: usize, faults: Faults) -> Self {
        Self { broker: fake::start(partition_count, faults), folder: tempfile::tempdir().unwrap() }
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("acked")
    }

    fn run(&self, words: &str) -> RunResult {
        self.run_with(words, &[])
    }

    /// `last`: words that may hold blanks, after the others.
    fn run_with(&self, words: &str, last: &[&str]) -> RunResult {
        let (name, flags) = words.split_once(' ').unwrap();
        let address = self.broker.address.to_string();
        let start = ["thalweg-loadgen", name, "--brokers", &address, "--topic", TOPIC];
        let words = start.into_iter().chain(flags.split_whitespace()).chain(last.iter().copied());
        let arguments = Arguments::try_parse_from(words).unwrap();
        let result = run(Spec::from_command(arguments.command).unwrap(), &Stop::default()).unwrap();
        assert!(report::text(&result).contains("broker 127.0.0.1"));
        result
    }

    /// Sends, writing the journal.
    fn produce(&self, words: &str) -> RunResult {
        self.run(&format!("produce --acked {} {words}", self.journal().display()))
    }

    fn verify(&self) -> RunResult {
        self.run(&format!("consume --acked {}", self.journal().display()))
    }
}

fn fault_count(result: &RunResult, kind: FaultKind) -> u64 {
    result.verdict.as_ref().unwrap().faults.count(kind)
}

fn acknowledged(result: &RunResult) -> u64 {
    result.produce.as_ref().unwrap().acknowledged_records
}

const LOAD: &str = "--count 5000 --batch-records 10 --record-bytes 100 --connections 3";

#[test]
fn what_an_honest_broker_acknowledged_is_proven() {
    let scene = Scene::new(4, Faults::default());
    let produced = scene.produce(&format!("{LOAD} --idempotent --codec zstd --key-bytes 8"));
    assert_eq!((acknowledged(&produced), produced.exit_status()), (5000, 0));
    let verified = scene.verify();
    assert_eq!(verified.verdict.as_ref().unwrap().acknowledged_records, 5000);
    assert_eq!(verified.exit_status(), 0);
}

#[test]
fn an_idempotent_run_survives_lost_connections_and_refusals_with_each_record_once() {
    let scene =
        Scene::new(2, Faults { hang_up_every: Some(17), refuse_every: Some(23), ..Faults::default() });
    let produced = scene.produce(&format!("{LOAD} --idempotent"));
    let figures = produced.produce.as_ref().unwrap();
    assert_eq!((figures.acknowledged_records, produced.exit_status()), (5000, 0), "{:?}", produced.failures);
    assert!(figures.lost_links > 10 && figures.repeated_batches > 10 && !figures.errors.is_empty());
    let verified = scene.verify();
    let verdict = verified.verdict.as_ref().unwrap();
    assert!(verdict.is_good(), "{verdict:?}");
    assert_eq!((verdict.records, verdict.acknowledged_records), (5000, 5000));
}

#[test]
fn a_plain_run_never_repeats_and_counts_what_nobody_knows() {
    let scene = Scene::new(2, Faults { hang_up_every: Some(50), ..Faults::default() });
    let produced = scene.produce(LOAD);
    let figures = produced.produce.as_ref().unwrap();
    assert!(figures.unknown_records > 0);
    assert_eq!(figures.repeated_batches, 0);
    assert_eq!(figures.acknowledged_records + figures.unknown_records, 5000);
    let verified = scene.verify();
    let verdict = verified.verdict.as_ref().unwrap();
    assert!(verdict.is_good(), "{verdict:?}");
    assert_eq!(verdict.unknown_found_records + verdict.unknown_absent_records, figures.unknown_records);
    assert!(verdict.unknown_found_records > 0, "the batch was stored before the connection ended");
}

#[test]
fn a_plain_run_with_retries_doubles_and_loses_nothing() {
    let scene = Scene::new(2, Faults { hang_up_every: Some(50), ..Faults::default() });
    let produced = scene.produce(&format!("{LOAD} --retries 5"));
    assert_eq!(acknowledged(&produced), 5000);
    let verified = scene.verify();
    let verdict = verified.verdict.as_ref().unwrap();
    assert!(verdict.is_good(), "{verdict:?}");
    assert!(verdict.forgiven_doubled_records > 0);
}

#[test]
fn a_forgotten_batch_is_reported_as_lost() {
    let scene = Scene::new(2, Faults { forget: Some(40), ..Faults::default() });
    scene.produce(LOAD);
    let verified = scene.verify();
    assert_eq!((fault_count(&verified, FaultKind::Lost), verified.exit_status()), (10, 3));
}

#[test]
fn a_batch_stored_twice_is_reported_as_doubled() {
    let scene = Scene::new(2, Faults { double: Some(40), ..Faults::default() });
    scene.produce(&format!("{LOAD} --idempotent"));
    let verified = scene.verify();
    assert_eq!((fault_count(&verified, FaultKind::Doubled), verified.exit_status()), (10, 3));
    let figures = verified.consume.as_ref().unwrap();
    assert_eq!(figures.read_records, 5010);
}

#[test]
fn a_changed_byte_is_reported_as_broken() {
    let scene = Scene::new(1, Faults { spoil: Some(40), ..Faults::default() });
    scene.produce(LOAD);
    let verified = scene.verify();
    assert_eq!((fault_count(&verified, FaultKind::BatchBroken), verified.exit_status()), (1, 3));
}

#[test]
fn a_stall_shows_in_the_latency_of_every_batch_that_was_due_in_it() {
    let scene = Scene::new(1, Faults { stall: Some((100, 500)), ..Faults::default() });
    let produced =
        scene.run("produce --rate 1000 --batch-records 1 --record-bytes 100 --time 1.5 --in-flight 1");
    let latency = &produced.produce.as_ref().unwrap().latency;
    assert_eq!(latency.samples, 1500);
    let at = |name: &str| latency.percentiles.iter().find(|found| found.name == name).unwrap().us.unwrap();
    // Half a second of 1.5 s was due in the stall: the median of all is not far from it, the worst is all of it.
    assert!(latency.max_us >= 490_000.0, "{latency:?}");
    assert!(at("p90") >= 250_000.0, "{latency:?}");
}

#[test]
fn a_broker_that_is_gone_ends_the_run_with_a_reason() {
    let scene = Scene::new(2, Faults { die: Some(100), ..Faults::default() });
    let produced = scene.produce(&format!("{LOAD} --idempotent --retry-time 0.5"));
    assert_eq!(produced.exit_status(), 1);
    assert!(produced.failures.iter().all(|told| told.contains("gave up")), "{:?}", produced.failures);
    let figures = produced.produce.as_ref().unwrap();
    assert!(figures.unknown_records > 0 && figures.acknowledged_records < 1000);
}

#[test]
fn a_round_trip_tells_both_latencies_and_proves_the_arrival() {
    let scene = Scene::new(3, Faults::default());
    let result = scene
        .run("roundtrip --rate 2000 --batch-records 2 --profile iis --time 1 --warm-up 0.2 --consumers 2");
    assert_eq!(result.exit_status(), 0, "{:?} {:?}", result.failures, result.verdict);
    let produced = result.produce.as_ref().unwrap();
    let end_to_end = result.end_to_end_latency.as_ref().unwrap();
    assert_eq!(produced.acknowledged_records, 2000);
    assert_eq!((produced.latency.samples, end_to_end.samples), (1600, 1600), "the warm-up is left out");
    assert_eq!(produced.latency.measurements, 800, "two records to a batch share what is measured");
    assert_eq!(result.consume.as_ref().unwrap().read_records, 2000);
}

/// A record each 10 ms, eight to a batch: the first waits 70 ms for the eighth, which waits for nothing.
#[test]
fn records_that_come_one_by_one_have_a_latency_each() {
    let scene = Scene::new(1, Faults::default());
    let result =
        scene.run("roundtrip --rate 100 --batch-records 8 --record-bytes 100 --linger-ms 1000 --count 80");
    let produced = result.produce.as_ref().unwrap();
    assert_eq!((produced.latency.samples, produced.service.samples), (80, 80));
    for latency in [&produced.latency, result.end_to_end_latency.as_ref().unwrap()] {
        assert!(latency.max_us >= 69_000.0, "{latency:?}");
        assert!(latency.min_us < latency.max_us * 1.002 - 69_000.0, "{latency:?}");
    }
}

#[test]
fn without_answers_a_batch_is_done_when_it_is_written() {
    let scene = Scene::new(1, Faults::default());
    let produced = scene.run(&format!("produce {LOAD} --acks 0"));
    assert_eq!(acknowledged(&produced), 5000);
}

#[test]
fn many_connections_on_several_threads_reach_every_partition() {
    let scene = Scene::new(50, Faults::default());
    let produced = scene
        .produce("--count 20000 --batch-records 20 --connections 20 --in-flight 2 --threads 2 --idempotent");
    assert_eq!(acknowledged(&produced), 20_000);
    let verified =
        scene.run(&format!("consume --acked {} --connections 7 --threads 2", scene.journal().display()));
    let verdict = verified.verdict.as_ref().unwrap();
    assert!(verdict.is_good(), "{verdict:?}");
    assert_eq!((verdict.partitions, verdict.records), (50, 20_000));
    assert!(scene.broker.logs.lock().unwrap().iter().all(|log| log.end > 0));
}

#[test]
fn reading_ends_at_a_count_or_a_time_and_may_begin_at_an_offset() {
    let scene = Scene::new(1, Faults::default());
    scene.produce(LOAD);
    let from = scene.run("consume --from 4990 --verify");
    assert_eq!(from.consume.as_ref().unwrap().read_records, 10);
    assert_eq!(from.exit_status(), 0, "{:?}", from.verdict);
    let counted = scene.run("consume --count 100 --partition-bytes 1 --verify");
    assert_eq!(counted.consume.as_ref().unwrap().read_records, 100);
    assert_eq!(counted.exit_status(), 0, "{:?}", counted.verdict);
    let timed = scene.run("consume --from latest --time 0.2");
    assert_eq!(timed.consume.as_ref().unwrap().read_records, 0);
}

#[test]
fn the_result_is_json_of_a_named_schema() {
    let scene = Scene::new(1, Faults::default());
    let json = serde_json::to_value(scene.produce(LOAD)).unwrap();
    assert_eq!(json["schema"], "thalweg-loadgen/3");
    assert_eq!(json["spec"]["command"], "produce");
    assert_eq!(json["produce"]["latency"]["percentiles"][5]["name"], "p99.999");
    assert!(json["produce"]["latency"]["percentiles"][5]["us"].is_null(), "500 samples cannot tell");
    assert!(json["machine"]["core_count"].as_u64().unwrap() > 0);
    assert!(Path::new(scene.journal().as_path()).exists());
}

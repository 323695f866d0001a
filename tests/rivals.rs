//! The command that puts brokers side by side, whole but tiny and with Thalweg alone: plan, runs of every kind, tables, pages,
//! what is kept and used again.

use harness::broker::{free_port, loadgen_binary};
use harness::scratch::{Scratch, repository};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::SystemTime;

/// One workload of each kind. Two take their rates from peaks that are run with them.
const SOME: [&str; 6] =
    ["produce_4_records_half", "partitions_100", "fan_out_10", "catch_up", "tail_backfill", "idle"];
const PEAKS: usize = 2;

fn rivals(output: &Path, port: u16, fill_gb: &str, more: &[&str]) -> Output {
    let binaries = loadgen_binary();
    let mut command = Command::new(repository().join("benches/rivals/run"));
    command.env("RIVALS_DIR", output).env("RIVALS_BINARIES", binaries.parent().unwrap());
    command.args(["--brokers", "thalweg", "--port", &port.to_string(), "--rounds", "1", "--keep-page-cache"]);
    command.args(["--time-s", "0.4", "--warm-up-s", "0.1", "--fill-gb", fill_gb, "--partitions-max", "100"]);
    for name in SOME {
        command.args(["--only", name]);
    }
    command.args(more).output().unwrap()
}

fn succeeded(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn written(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

#[test]
fn one_command_measures_brokers_side_by_side_and_keeps_what_it_measured() {
    let scratch = Scratch::new("rivals");
    let (output, port) = (scratch.path().join("out"), free_port());

    let plan = succeeded(&rivals(&output, port, "0.005", &["--plan"]));
    assert!(plan.contains("catch_up") && plan.contains("minutes"), "{plan}");
    assert!(!output.exists(), "a plan runs nothing");

    let printed = succeeded(&rivals(&output, port, "0.005", &[]));
    let table = fs::read_to_string(output.join("rivals.md")).unwrap();
    assert_eq!(printed, table);
    for shown in
        ["| acknowledged | ", "| end to end, p99 | ", "| read | ", "| share of a CPU | ", "64 connections"]
    {
        assert!(table.contains(shown), "{shown:?} is not in\n{table}");
    }
    let all: Value = serde_json::from_slice(&fs::read(output.join("rivals.json")).unwrap()).unwrap();
    let workloads = all["workloads"].as_array().unwrap();
    assert_eq!(workloads.len(), SOME.len() + PEAKS);
    for workload in workloads.iter().filter(|workload| workload["workload"] != "idle") {
        let work = &workload["brokers"][0]["work"][0];
        assert!(work["found_records"].as_u64() > Some(0), "{workload:#}");
        assert_eq!(work["acknowledged_records"], work["found_records"], "{workload:#}");
    }
    assert!(fs::read_to_string(output.join("pages/catch_up.html")).unwrap().contains("<html"));

    // Under the same conditions nothing is measured again; what is not there any more is, and nothing else.
    let kept = |workload: &str| output.join(format!("results/{workload}/thalweg-1.kept.json"));
    let (catch_up, peak) = (written(&kept("catch_up")), written(&kept("produce_4_records")));
    fs::remove_file(kept("idle")).unwrap();
    succeeded(&rivals(&output, port, "0.005", &["--resume"]));
    assert_eq!((written(&kept("catch_up")), written(&kept("produce_4_records"))), (catch_up, peak));
    assert!(kept("idle").is_file());
    // Under other conditions what they touch is measured anew.
    succeeded(&rivals(&output, port, "0.006", &["--resume"]));
    assert!(written(&kept("catch_up")) > catch_up);
    assert_eq!(written(&kept("produce_4_records")), peak);
}

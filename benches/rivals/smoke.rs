//! The whole command of `rivals`, tiny, with Thalweg alone: plan, runs of every kind, tables, results kept and used again.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

/// One workload of each kind, and what they take their rates from.
const SOME: [&str; 6] =
    ["produce_4_records_half", "partitions_100", "fan_out_10", "catch_up", "tail_backfill", "idle"];

/// The folder of the binaries of this build; the broker and the load generator are built there unless they are.
fn binaries() -> PathBuf {
    let rivals = Path::new(env!("CARGO_BIN_EXE_rivals"));
    let folder = rivals.parent().unwrap().to_path_buf();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--workspace", "--bins"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success());
    folder
}

fn rivals(output: &Path, binaries: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/rivals/run"));
    command.env("RIVALS_DIR", output).env("RIVALS_BINARIES", binaries);
    command.args(["--brokers", "thalweg", "--port", "19680", "--rounds", "1", "--keep-page-cache"]);
    command.args(["--time-s", "0.4", "--warm-up-s", "0.1", "--fill-gb", "0.005", "--partitions-max", "100"]);
    for name in SOME {
        command.args(["--only", name]);
    }
    command.args(more).output().unwrap()
}

fn written(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

#[test]
fn the_whole_command_measures_writes_tables_and_keeps_what_it_measured() {
    let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("rivals-{}", std::process::id()));
    let binaries = binaries();

    let planned = rivals(&output, &binaries, &["--plan"]);
    let plan = String::from_utf8(planned.stdout).unwrap();
    assert!(planned.status.success() && plan.contains("catch_up") && plan.contains("minutes"), "{plan}");
    assert!(!output.exists(), "a plan runs nothing");

    let ran = rivals(&output, &binaries, &[]);
    let told = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{told}\n{}", String::from_utf8_lossy(&ran.stdout));
    let table = fs::read_to_string(output.join("rivals.md")).unwrap();
    for shown in ["| acknowledged | ", "| end to end, p99 | ", "| read | ", "| share of a CPU | ", "64 connections"] {
        assert!(table.contains(shown), "{shown:?} is not in\n{table}");
    }
    let all: Value = serde_json::from_slice(&fs::read(output.join("rivals.json")).unwrap()).unwrap();
    let workloads = all["workloads"].as_array().unwrap();
    assert_eq!(workloads.len(), SOME.len() + 2, "with the two peaks that rates are taken from");
    for workload in workloads.iter().filter(|workload| workload["workload"] != "idle") {
        let work = &workload["brokers"][0]["work"][0];
        assert!(work["found_records"].as_u64() > Some(0), "{workload:#}");
        assert_eq!(work["acknowledged_records"], work["found_records"], "{workload:#}");
    }
    assert!(fs::read_to_string(output.join("pages/catch_up.html")).unwrap().contains("<html"));

    // Under the same conditions nothing is measured again; under others what they touch is, and nothing else.
    let kept = |workload: &str| output.join(format!("results/{workload}/thalweg-1.kept.json"));
    let (catch_up, peak) = (written(&kept("catch_up")), written(&kept("produce_4_records")));
    assert!(rivals(&output, &binaries, &["--resume"]).status.success());
    assert_eq!((written(&kept("catch_up")), written(&kept("produce_4_records"))), (catch_up, peak));
    fs::remove_file(kept("catch_up")).unwrap();
    assert!(rivals(&output, &binaries, &["--resume"]).status.success());
    assert!(written(&kept("catch_up")) > catch_up, "what is not there is measured");
    assert_eq!(written(&kept("produce_4_records")), peak);
    fs::remove_dir_all(&output).unwrap();
}

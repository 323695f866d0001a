//! Results that no run made: every part of a page has something to show, and some strings try to break out of it.

use serde_json::{Value, json};
use thalweg_loadgen::result::SCHEMA;

/// What runs differ in.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Latencies are so many times longer than those of the plainest run.
    pub(super) slower: f64,
    /// Seconds of the run.
    pub(super) seconds: u64,
    /// A stall of the broker at this second.
    pub(super) stall_at: Option<u64>,
    /// The generator kept its schedule.
    pub(super) kept: bool,
}

/// One run at a fixed rate, from sender to reader.
pub(super) fn roundtrip(shape: Shape) -> Value {
    let stalled = if shape.stall_at.is_some() { 40.0 } else { 1.0 };
    let mut run = json!({
        "schema": SCHEMA,
        "start_unix_ms": 1_795_656_000_000_i64 + shape.seconds as i64,
        "spec": {
            "command": "roundtrip",
            "common": {"brokers": "127.0.0.1:9092", "topic": "iis_log", "thread_count": 1, "warm_up_s": 10.0, "data_dir": "/data"},
            "produce": {
                "connection_count": 64, "in_flight_count": 5, "batch_bytes": 16384, "rate_records_per_s": 20_000,
                "profile": "iis", "codec": "none", "acks": "all", "seed": shape.seconds, "record_count": null,
            },
        },
        "machine": machine(),
        "produce": {
            "run": "1", "open_loop": true, "prebuilt_batches": false, "partition_count": 12, "acknowledged_records": 1_200_000,
            "batch_bytes_mean": 4096.0, "rates": rates(if shape.kept { 19_998.0 } else { 17_420.0 }),
            "latency": latency(420.0 * shape.slower, stalled, 400_000),
            "wait": latency(3.0, 20.0 * stalled, 400_000),
            "service": latency(390.0 * shape.slower, 1.0, 400_000),
            "schedule": {"kept": shape.kept, "limit_us": 1000.0, "own_wait": latency(4.0, 1.0, 400_000)},
            "errors": {}, "lost_links": 0,
        },
        "consume": {
            "partition_count": 12, "rates": rates(19_997.0), "read_records": 1_200_000,
            "fetch_latency": latency(900.0 * shape.slower, 1.0, 90_000), "errors": {}, "lost_links": 0,
        },
        "end_to_end_latency": latency(700.0 * shape.slower, stalled, 1_000_000),
        "end_to_end_service": latency(660.0 * shape.slower, 1.0, 1_000_000),
        "verdict": {"records": 1_200_000, "acknowledged_records": 1_200_000, "faults": {}},
        "generator_cpu_s": 11.5,
        "resources": resources(),
        "warnings": ["the broker shares this machine's cores with the load generator"],
        "failures": [],
        "produce_series": series(shape, 420.0),
        "consume_series": series(shape, 700.0),
    });
    if !shape.kept {
        let word =
            "records were due and never sent: the offered rate was not reached, percentiles understate";
        run["produce"]["unsent_records"] = json!(154_800);
        run["warnings"].as_array_mut().unwrap().push(json!(word));
    }
    run
}

/// A ladder that breaks between 40 000 and 50 000 records a second; steps lie in the order in which they were tried.
pub(super) fn ladder(slower: f64) -> Value {
    let offered = [10_000.0, 20_000.0, 40_000.0, 80_000.0, 60_000.0, 50_000.0];
    let knee = 45_000.0 / slower;
    let (mut steps, mut parts) = (Vec::new(), Vec::new());
    for rate in offered {
        let kept = rate < knee;
        let load: f64 = rate / knee;
        let p50 = 400.0 * slower * (1.0 + load.powi(6));
        let mut part = roundtrip(Shape { slower, seconds: 30, stall_at: None, kept: true });
        part["name"] = json!(format!("{rate} records/s"));
        part["produce"]["rates"] = rates(rate.min(knee * 1.1));
        part["end_to_end_latency"] = latency(p50, 1.0 + load, 300_000);
        steps.push(json!({
            "offered_records_per_s": rate, "achieved_records_per_s": rate.min(knee * 1.1), "kept": kept,
            "reasons": if kept { vec![] } else { vec![format!("{:.1} % of the rate acknowledged", knee * 110.0 / rate)] },
        }));
        parts.push(part);
    }
    let mut run = roundtrip(Shape { slower, seconds: 30, stall_at: None, kept: true });
    for gone in [
        "produce",
        "consume",
        "end_to_end_latency",
        "end_to_end_service",
        "verdict",
        "produce_series",
        "consume_series",
        "resources",
    ] {
        run.as_object_mut().unwrap().remove(gone);
    }
    run["parts"] = json!(parts);
    run["ladder"] = json!({
        "p99_max_ms": 10.0, "kept_percent": 99.0, "measured": "end_to_end", "steps": steps,
        "knee_records_per_s": offered.into_iter().filter(|rate| *rate < knee).fold(0.0, f64::max),
        "broken_records_per_s": offered.into_iter().filter(|rate| *rate >= knee).fold(f64::INFINITY, f64::min),
    });
    run
}

/// What a run cost, with a broker that tells everything and a generator that does not.
fn resources() -> Value {
    json!({
        "window_s": 50.0,
        "generator": {"pid": 2, "name": "thalweg-loadgen", "cpu_user_s": 3.1, "cpu_system_s": 8.4, "cpu_us_per_record": 9.6,
            "cpu_ns_per_byte": 7.4, "resident_bytes": 31_000_000, "resident_bytes_max": 35_000_000,
            "unknown": ["system calls: the tracer is not for this user"]},
        "brokers": [{"pid": 1, "name": "thalweg", "cpu_user_s": 5.2, "cpu_system_s": 12.9, "cpu_us_per_record": 15.1,
            "cpu_ns_per_byte": 11.6, "resident_bytes": 180_000_000, "resident_bytes_max": 410_000_000, "syscalls": 500_000,
            "syscalls_per_record": 0.42, "disk_written_bytes": 1_700_000_000, "disk_written_per_sent_byte": 1.09}],
    })
}

/// A closed loop that was refused, with names that try to be tags.
pub(super) fn hostile() -> Value {
    let evil = "</title><script>fetch('http://evil.example/')</script><img src=x onerror=alert(1)>";
    json!({
        "schema": SCHEMA,
        "start_unix_ms": 0,
        "spec": {"command": evil, "common": {"topic": format!("\"'&{evil}")}, "produce": {evil: evil}},
        "machine": {"cpu": evil, "kernel": evil, "core_count": 1, "loadgen_commit": evil},
        "produce": {
            "open_loop": false, "latency": latency(100.0, 1.0, 12), "rates": rates(0.0),
            "errors": {evil: 3}, "refused_records": 3, "unknown_records": 1,
        },
        "group": {
            "events": [{"event": evil, "time_to_stable": latency(5000.0, 1.0, 3), "never_stable": 1}],
            "stop_the_world": latency(80_000.0, 1.0, 300), "join_latency": latency(3_000_000.0, 1.0, 100),
            "sync_latency": latency(2000.0, 1.0, 100), "heartbeat_latency": latency(300.0, 1.0, 100), "missed_records": 2,
        },
        "verdict": {"faults": {evil: {"count": 1}}},
        "warnings": [evil],
        "failures": [evil],
        "produce_series": [{"at_s": 0, "records": 0}, {"at_s": 1, "records": 5, "errors": 3, "p50_us": 10.0, "p99_us": 12.0, "max_us": 13.0},
                           {"at_s": 2, "records": 0}],
    })
}

/// A history of two workloads over some commits, one of them slower at the end, and of two counted figures, one of which grew.
pub(super) fn history() -> String {
    let mut lines = String::new();
    for (workload, p99) in [("tail_latency", 1900.0), ("produce_small", 4100.0)] {
        for commit in 0..14_u32 {
            let slower = if commit > 10 { 1.3 } else { 1.0 + f64::from(commit * 7 % 5) * 0.02 };
            let line = json!({
                "schema": thalweg_loadgen::history::SCHEMA,
                "commit": format!("{:07x}c0ffee", commit * 7919 + 1_048_577),
                "start_unix_ms": i64::from(commit) * 86_400_000,
                "workload": workload,
                "machine": "2 x AMD EPYC, Linux 6.18",
                "figures": {"produced_records_per_s": p99 * 9.0 / slower, "latency_p50_us": p99 / 4.0 * slower, "latency_p99_us": p99 * slower},
            });
            lines += &line.to_string();
            lines.push('\n');
        }
    }
    for commit in 0..14_u32 {
        let line = json!({
            "schema": thalweg_loadgen::history::SCHEMA,
            "commit": format!("{:07x}c0ffee", commit * 7919 + 1_048_577),
            "start_unix_ms": i64::from(commit) * 86_400_000,
            "workload": "regress",
            "machine": "2 x AMD EPYC, Linux 6.18",
            "figures": {"instructions/stage/4k": if commit > 7 { 7300.0 } else { 7000.5 }, "instructions/frames/1m": 1_001_003.2},
        });
        lines += &line.to_string();
        lines.push('\n');
    }
    lines
}

fn machine() -> Value {
    json!({
        "cpu": "AMD EPYC 7763 64-Core Processor", "core_count": 2, "kernel": "6.18.0-1-amd64", "memory_mib": 24_052,
        "data_dir": {"path": "/data", "kind": "ext4", "device": "/dev/vda", "options": "rw,noatime;rw"},
        "loadgen_commit": "a4277cc", "optimized": true, "broker": {"address": "127.0.0.1:9092", "same_machine": true},
    })
}

fn rates(per_s: f64) -> Value {
    json!({
        "window_s": 50.0, "records": per_s as u64 * 50, "batches": per_s as u64 * 16, "batch_bytes": per_s as u64 * 65_000,
        "records_per_s": per_s, "batches_per_s": per_s / 3.0, "mb_per_s": per_s / 770.0,
    })
}

/// Percentiles that grow with each nine, the last ones `tail` times more.
fn latency(p50_us: f64, tail: f64, samples: u64) -> Value {
    let percentile = |name: &str, beyond: f64, times: f64| {
        let us = (samples as f64 * beyond >= 1.0).then_some(p50_us * times);
        json!({"name": name, "us": us})
    };
    json!({
        "samples": samples, "measurements": samples, "min_us": p50_us * 0.4, "mean_us": p50_us * 1.1, "max_us": p50_us * 24.0 * tail,
        "percentiles": [
            percentile("p50", 0.5, 1.0), percentile("p90", 0.1, 1.7), percentile("p99", 0.01, 4.2 * tail.sqrt()),
            percentile("p99.9", 0.001, 9.5 * tail), percentile("p99.99", 0.0001, 15.0 * tail),
            percentile("p99.999", 0.00001, 21.0 * tail),
        ],
    })
}

fn series(shape: Shape, p50_us: f64) -> Vec<Value> {
    let second = |at_s: u64| {
        let noise = 1.0 + (at_s * 37 % 17) as f64 / 40.0;
        let p50_us = p50_us * shape.slower * (0.9 + noise * 0.1);
        let since = shape.stall_at.map_or(-1, |stall| at_s as i64 - stall as i64);
        let (records, stall) = match since {
            0 => (1800, 2500.0),
            1 => (38_100, 900.0),
            _ => (20_000 - at_s * 53 % 190, 1.0),
        };
        json!({
            "at_s": at_s, "records": records, "bytes": records * 1300, "batches": records / 3, "errors": 0,
            "p50_us": p50_us, "p99_us": p50_us * 4.0 * noise * stall / 4.0_f64.min(stall), "max_us": p50_us * 9.0 * noise * noise * stall.sqrt() * stall.sqrt(),
        })
    };
    (0..shape.seconds).map(second).collect()
}

//! Prometheus' text format, version 0.0.4: every metric with its help and type, shards as a label.

use super::ShardMetrics;
use crate::wire::{ApiKey, ErrorCode};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use thalweg_engine::shard::Latency;

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn histogram(out: &mut String, name: &str, labels: &str, latency: &Latency) {
    let (buckets, sum_us) = latency.snapshot();
    let mut count = 0;
    for (at, bucket) in buckets.iter().enumerate() {
        count += bucket;
        if (4..28).contains(&at) {
            let bound = (1u64 << at) as f64 / 1e6;
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
        }
    }
    let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
    let _ = writeln!(out, "{name}_sum{{{labels}}} {}\n{name}_count{{{labels}}} {count}", sum_us as f64 / 1e6);
}

/// All metrics of all shards.
pub(super) fn render(shards: &[Arc<ShardMetrics>], now_ms: u64) -> String {
    let mut out = String::with_capacity(64 << 10);
    requests(&mut out, shards);
    plain(&mut out, shards);
    head(&mut out, "thalweg_stage_seconds", "histogram", "Time by stage: queue, commit, device, answer.");
    for (shard, metrics) in shards.iter().enumerate() {
        let stages = [
            ("queue", &metrics.queue),
            ("commit", &metrics.engine.commit_latency),
            ("device", &metrics.engine.device_latency),
            ("answer", &metrics.answer),
        ];
        for (stage, latency) in stages {
            histogram(
                &mut out,
                "thalweg_stage_seconds",
                &format!("shard=\"{shard}\",stage=\"{stage}\""),
                latency,
            );
        }
    }
    head(
        &mut out,
        "thalweg_unsynced_age_seconds",
        "gauge",
        "Age of the oldest record staged and not yet synced.",
    );
    for (shard, metrics) in shards.iter().enumerate() {
        let since = metrics.engine.unsynced_since_ms.load(Ordering::Relaxed);
        let age = if since == 0 { 0.0 } else { now_ms.saturating_sub(since) as f64 / 1e3 };
        let _ = writeln!(out, "thalweg_unsynced_age_seconds{{shard=\"{shard}\"}} {age}");
    }
    out
}

fn requests(out: &mut String, shards: &[Arc<ShardMetrics>]) {
    head(out, "thalweg_requests_total", "counter", "Requests answered, by API.");
    for (shard, metrics) in shards.iter().enumerate() {
        for (at, api) in ApiKey::ALL.iter().enumerate() {
            let count = metrics.requests[at].load(Ordering::Relaxed);
            if count > 0 {
                let _ = writeln!(
                    out,
                    "thalweg_requests_total{{shard=\"{shard}\",api=\"{}\"}} {count}",
                    api.name()
                );
            }
        }
    }
    head(
        out,
        "thalweg_request_seconds",
        "histogram",
        "From a request's last byte to its answer's readiness, by API.",
    );
    for (shard, metrics) in shards.iter().enumerate() {
        for (at, api) in ApiKey::ALL.iter().enumerate() {
            if metrics.requests[at].load(Ordering::Relaxed) > 0 {
                let labels = format!("shard=\"{shard}\",api=\"{}\"", api.name());
                histogram(out, "thalweg_request_seconds", &labels, &metrics.latency[at]);
            }
        }
    }
    head(out, "thalweg_errors_total", "counter", "Errors answered, by Kafka's code.");
    for (shard, metrics) in shards.iter().enumerate() {
        for (at, counter) in metrics.errors.iter().enumerate() {
            let count = counter.load(Ordering::Relaxed);
            if count > 0 {
                let code = at as i16 - 1;
                let name = ErrorCode::from_i16(code).map_or("Unknown", ErrorCode::name);
                let _ = writeln!(
                    out,
                    "thalweg_errors_total{{shard=\"{shard}\",code=\"{code}\",error=\"{name}\"}} {count}"
                );
            }
        }
    }
}

#[expect(clippy::too_many_lines, reason = "one list of metrics, a line or a few each")]
fn plain(out: &mut String, shards: &[Arc<ShardMetrics>]) {
    type Reading = fn(&ShardMetrics) -> i64;
    macro_rules! counter {
        ($($field:ident).+) => { |metrics| metrics.$($field).+.load(Ordering::Relaxed) as i64 };
    }
    let list: [(&str, &str, &str, Reading); 28] = [
        ("thalweg_request_bytes_total", "counter", "Bytes read from clients.", counter!(request_bytes)),
        ("thalweg_response_bytes_total", "counter", "Bytes written to clients.", counter!(response_bytes)),
        ("thalweg_socket_reads_total", "counter", "Reads of sockets.", counter!(socket_reads)),
        ("thalweg_socket_writes_total", "counter", "Writes of sockets.", counter!(socket_writes)),
        ("thalweg_connections", "gauge", "Connections open.", counter!(connections)),
        ("thalweg_connections_total", "counter", "Connections taken.", counter!(connections_total)),
        (
            "thalweg_connections_refused_total",
            "counter",
            "Connections refused for a limit.",
            counter!(connections_refused),
        ),
        (
            "thalweg_connections_failed_total",
            "counter",
            "Connections closed for something wrong.",
            counter!(connections_failed),
        ),
        ("thalweg_panics_total", "counter", "Panics caught.", counter!(panics)),
        ("thalweg_request_memory_bytes", "gauge", "Memory that requests hold.", counter!(request_memory)),
        ("thalweg_fetch_sessions", "gauge", "Incremental fetch sessions.", counter!(fetch_sessions)),
        ("thalweg_batches_total", "counter", "Batches appended.", counter!(engine.batches_total)),
        (
            "thalweg_batch_bytes_total",
            "counter",
            "Bytes of batches appended.",
            counter!(engine.batch_bytes_total),
        ),
        ("thalweg_commits_total", "counter", "Commits of the journal.", counter!(engine.commits_total)),
        ("thalweg_commit_bytes_total", "counter", "Bytes of commits.", counter!(engine.commit_bytes_total)),
        (
            "thalweg_run_bytes_total",
            "counter",
            "Bytes that went straight to segments.",
            counter!(engine.run_bytes_total),
        ),
        (
            "thalweg_write_back_bytes_total",
            "counter",
            "Bytes written back to segments.",
            counter!(engine.write_back_bytes_total),
        ),
        ("thalweg_laps_total", "counter", "Laps of write-back.", counter!(engine.laps_total)),
        (
            "thalweg_read_bytes_total",
            "counter",
            "Bytes read from segments.",
            counter!(engine.read_bytes_total),
        ),
        (
            "thalweg_cache_hits_total",
            "counter",
            "Pages found in the cache.",
            counter!(engine.cache_hits_total),
        ),
        (
            "thalweg_cache_misses_total",
            "counter",
            "Pages not found in the cache.",
            counter!(engine.cache_misses_total),
        ),
        ("thalweg_unsynced_bytes", "gauge", "Bytes staged, not yet synced.", counter!(engine.unsynced_bytes)),
        (
            "thalweg_tail_memory_bytes",
            "gauge",
            "Memory of the logs' tails.",
            counter!(engine.tail_memory_bytes),
        ),
        ("thalweg_cache_bytes", "gauge", "Memory of the page cache.", counter!(engine.cache_bytes)),
        ("thalweg_partitions_online", "gauge", "Partitions served.", counter!(engine.logs_online)),
        (
            "thalweg_partitions_offline",
            "gauge",
            "Partitions fenced or offline.",
            counter!(engine.logs_offline),
        ),
        ("thalweg_journal_files_used", "gauge", "Journal files in use.", counter!(engine.journal_files_used)),
        (
            "thalweg_directories_stopped",
            "gauge",
            "Log directories that stopped.",
            counter!(engine.directories_stopped),
        ),
    ];
    for (name, kind, help, read) in list {
        head(out, name, kind, help);
        for (shard, metrics) in shards.iter().enumerate() {
            let _ = writeln!(out, "{name}{{shard=\"{shard}\"}} {}", read(metrics));
        }
    }
}

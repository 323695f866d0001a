//! Every metric: its name, kind, help, and where its numbers are. Names end with their unit, counters with `_total`.

use super::render::Samples;
use super::{Closed, ShardMetrics};
use crate::wire::{ApiKey, ErrorCode};
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;
use thalweg_engine::shard::EarlyTopic;

/// What a metric's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It is what it is now.
    Gauge,
    /// Counts by size, with sum and number.
    Histogram,
}

impl Kind {
    /// As the text format writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What its numbers are.
    pub kind: Kind,
    /// What it says.
    pub help: &'static str,
    /// Writes a shard's numbers.
    pub(super) write: fn(&ShardMetrics, &mut Samples<'_>),
}

use Kind::{Counter, Gauge, Histogram};

macro_rules! metric_table {
    ($($kind:ident $name:literal $help:literal, |$shard:ident, $out:ident| $write:expr;)*) => {
        const METRICS: &[Metric] = &[$(Metric {
            name: $name,
            kind: $kind,
            help: $help,
            write: |$shard, $out| $write,
        }),*];
    };
}

metric_table! {
    Counter "thalweg_requests_total" "Requests answered, by API and version.", |shard, out| requests(shard, out);
    Histogram "thalweg_request_seconds" "From a request's last byte to its answer's readiness, by API.", |shard, out| request_seconds(shard, out);
    Histogram "thalweg_stage_seconds" "Time by stage: queue (arrival to start), commit (staged to durable), device (one write and sync of the journal), answer (ready to sent).", |shard, out| stages(shard, out);
    Counter "thalweg_errors_total" "Errors answered, by Kafka's code.", |shard, out| errors(shard, out);
    Counter "thalweg_request_bytes_total" "Bytes read from clients.", |shard, out| out.value(&[], shard.request_bytes.load(Relaxed));
    Counter "thalweg_response_bytes_total" "Bytes written to clients.", |shard, out| out.value(&[], shard.response_bytes.load(Relaxed));
    Counter "thalweg_socket_reads_total" "Reads of sockets that brought bytes.", |shard, out| out.value(&[], shard.socket_reads.load(Relaxed));
    Counter "thalweg_socket_writes_total" "Writes of sockets that took bytes.", |shard, out| out.value(&[], shard.socket_writes.load(Relaxed));
    Gauge "thalweg_connections" "Connections open.", |shard, out| out.value(&[], shard.connections.load(Relaxed));
    Counter "thalweg_connections_total" "Connections taken.", |shard, out| out.value(&[], shard.connections_total.load(Relaxed));
    Counter "thalweg_connections_moved_total" "Connections that moved between cores, to what they ask for or away from a busy one.", |shard, out| out.value(&[], shard.connections_moved.load(Relaxed));
    Counter "thalweg_connections_refused_total" "Connections refused for a limit.", |shard, out| out.value(&[], shard.connections_refused.load(Relaxed));
    Counter "thalweg_connections_failed_total" "Connections closed for something their client did wrong.", |shard, out| out.value(&[], shard.connections_failed.load(Relaxed));
    Counter "thalweg_connections_closed_total" "Connections that ended, by reason.", |shard, out| closed(shard, out);
    Counter "thalweg_panics_total" "Panics caught.", |shard, out| out.value(&[], shard.panics.load(Relaxed));
    Gauge "thalweg_memory_bytes" "Memory in use, by budget: requests (on their way in), tails (not yet in their segments, and for readers of the newest), cache (pages read from segments), groups (members and offsets).", |shard, out| memory(shard, out);
    Gauge "thalweg_memory_limit_bytes" "Memory that may be used, by budget.", |shard, out| memory_limits(shard, out);
    Gauge "thalweg_fetch_sessions" "Incremental fetch sessions kept.", |shard, out| out.value(&[], shard.fetch_sessions.load(Relaxed));
    Counter "thalweg_batches_total" "Batches appended.", |shard, out| out.value(&[], shard.engine.batches_total.load(Relaxed));
    Counter "thalweg_batch_bytes_total" "Bytes of batches appended.", |shard, out| out.value(&[], shard.engine.batch_bytes_total.load(Relaxed));
    Gauge "thalweg_answered_unsynced_bytes" "Bytes answered and not yet synced, by topic: what a crash would take back. Topics in a weaker durability mode only; those beyond the first thousand stand together under *.", |shard, out| answered_unsynced_bytes(shard, out);
    Gauge "thalweg_answered_unsynced_age_seconds" "How long ago the oldest of them was answered, by topic.", |shard, out| answered_unsynced_age(shard, out);
    Gauge "thalweg_unsynced_bytes" "Bytes staged and neither synced nor answered.", |shard, out| out.value(&[], shard.engine.unsynced_bytes.load(Relaxed));
    Gauge "thalweg_unsynced_age_seconds" "Age of the oldest record staged and neither synced nor answered.", |shard, out| unsynced_age(shard, out);
    Counter "thalweg_commits_total" "Commits of the journal.", |shard, out| out.value(&[], shard.engine.commits_total.load(Relaxed));
    Counter "thalweg_commit_bytes_total" "Bytes of commits.", |shard, out| out.value(&[], shard.engine.commit_bytes_total.load(Relaxed));
    Gauge "thalweg_journal_used_bytes" "Journal files in use, in bytes.", |shard, out| out.value(&[], shard.engine.journal_files_used.load(Relaxed) * shard.limits.journal_file_bytes);
    Gauge "thalweg_journal_limit_bytes" "What the journal may grow to.", |shard, out| out.value(&[], shard.limits.journal_files as u64 * shard.limits.journal_file_bytes);
    Gauge "thalweg_journal_files_used" "Journal files in use.", |shard, out| out.value(&[], shard.engine.journal_files_used.load(Relaxed));
    Counter "thalweg_run_bytes_total" "Bytes of large runs, written straight to segments.", |shard, out| out.value(&[], shard.engine.run_bytes_total.load(Relaxed));
    Counter "thalweg_write_back_bytes_total" "Bytes written back to segments.", |shard, out| out.value(&[], shard.engine.write_back_bytes_total.load(Relaxed));
    Counter "thalweg_laps_total" "Laps of write-back.", |shard, out| out.value(&[], shard.engine.laps_total.load(Relaxed));
    Counter "thalweg_segments_removed_total" "Segments that expired or lay below a raised log start.", |shard, out| out.value(&[], shard.engine.segments_removed_total.load(Relaxed));
    Counter "thalweg_removed_bytes_total" "Bytes of those segments.", |shard, out| out.value(&[], shard.engine.removed_bytes_total.load(Relaxed));
    Counter "thalweg_read_bytes_total" "Bytes read from segments.", |shard, out| out.value(&[], shard.engine.read_bytes_total.load(Relaxed));
    Counter "thalweg_rot_found_total" "Logs fenced because stored bytes did not check, whoever read them.", |shard, out| out.value(&[], shard.engine.rot_found_total.load(Relaxed));
    Counter "thalweg_reads_repeated_total" "Places of segments that did not check and were read a second time: more of these than of logs fenced are bits that turn in memory or on the way.", |shard, out| out.value(&[], shard.engine.reads_repeated_total.load(Relaxed));
    Counter "thalweg_indexes_rebuilt_total" "Indexes of segments that were missing or wrong, built anew.", |shard, out| out.value(&[], shard.engine.indexes_rebuilt_total.load(Relaxed));
    Counter "thalweg_cold_read_waits_total" "Reads of old records that waited for their turn beside appends.", |shard, out| out.value(&[], shard.engine.cold_waits_total.load(Relaxed));
    Counter "thalweg_cold_read_wait_seconds_total" "How long they waited.", |shard, out| out.value(&[], shard.engine.cold_wait_us_total.load(Relaxed) as f64 / 1e6);
    Gauge "thalweg_cold_read_bytes_per_second" "What such reads of one core had together, when they were last bounded.", |shard, out| out.value(&[], shard.engine.cold_bytes_per_s.load(Relaxed));
    Counter "thalweg_scrub_bytes_total" "Bytes of segments that the scrubber read.", |shard, out| out.value(&[], shard.engine.scrub_bytes_total.load(Relaxed));
    Counter "thalweg_scrub_batches_total" "Batches that the scrubber found right.", |shard, out| out.value(&[], shard.engine.scrub_batches_total.load(Relaxed));
    Counter "thalweg_scrub_passes_total" "Passes of the scrubber through all logs of a directory.", |shard, out| out.value(&[], shard.engine.scrub_passes_total.load(Relaxed));
    Counter "thalweg_scrub_failures_total" "Segments that the scrubber could not read; the broker's log names them.", |shard, out| out.value(&[], shard.engine.scrub_failures_total.load(Relaxed));
    Gauge "thalweg_scrub_pass_age_seconds" "Time since the scrubber had gone through every directory, by the one that is behind most; 0 before the first time.", |shard, out| scrub_age(shard, out);
    Counter "thalweg_cache_hits_total" "Pages found in the cache.", |shard, out| out.value(&[], shard.engine.cache_hits_total.load(Relaxed));
    Counter "thalweg_cache_misses_total" "Pages not found in the cache.", |shard, out| out.value(&[], shard.engine.cache_misses_total.load(Relaxed));
    Gauge "thalweg_partitions_online" "Logs served: partitions of topics, also internal ones, and the log of the metadata.", |shard, out| out.value(&[], shard.engine.logs_online.load(Relaxed));
    Gauge "thalweg_partitions_offline" "Logs fenced or offline, which are not served.", |shard, out| out.value(&[], shard.engine.logs_offline.load(Relaxed));
    Gauge "thalweg_directories_stopped" "Log directories that stopped after a failed write or sync, or could not be used at the start. Every core tells the same ones: take the largest.", |shard, out| out.value(&[], shard.engine.directories_stopped.load(Relaxed));
}

/// All metrics, in the order they are printed.
pub fn metrics() -> &'static [Metric] {
    METRICS
}

/// `docs/metrics.md`: the list for people.
pub fn reference() -> String {
    let mut out = String::from(
        "# Metrics\n\n\
         `GET /metrics` on `thalweg.http.listener` (127.0.0.1:9644) answers Prometheus' text format. Every metric has the label\n\
         `shard`, the number of the core that counted; sum over it. Beside it `/health` answers 200 while the broker does its work,\n\
         and says `degraded` once a log directory has stopped; `/ready` answers 200 while clients are served.\n\n\
         Worth an alarm: `thalweg_directories_stopped`, `thalweg_partitions_offline`, `thalweg_rot_found_total`,\n\
         `thalweg_scrub_failures_total` and `thalweg_panics_total` above 0; `thalweg_reads_repeated_total` that grows;\n\
         `thalweg_unsynced_age_seconds` above what a client may wait; and `thalweg_scrub_pass_age_seconds` above twice\n\
         `thalweg.scrub.interval.ms`: the disk holds more than the scrubber's rate goes through in that time.\n\n\
         | metric | kind | meaning |\n|--|--|--|\n| `thalweg_build_info` | gauge | The version that runs, as a label. |\n",
    );
    for metric in METRICS {
        let _ = writeln!(out, "| `{}` | {} | {} |", metric.name, metric.kind.name(), metric.help);
    }
    out
}

fn requests(shard: &ShardMetrics, out: &mut Samples<'_>) {
    for (api, counted) in ApiKey::ALL.iter().zip(&shard.apis) {
        for (version, count) in counted.versions.iter().enumerate() {
            let count = count.load(Relaxed);
            if count > 0 {
                out.value(&[("api", api.name()), ("version", &version.to_string())], count);
            }
        }
    }
}

fn request_seconds(shard: &ShardMetrics, out: &mut Samples<'_>) {
    for (api, counted) in ApiKey::ALL.iter().zip(&shard.apis) {
        if counted.versions.iter().any(|count| count.load(Relaxed) > 0) {
            out.histogram(&[("api", api.name())], &counted.latency);
        }
    }
}

fn stages(shard: &ShardMetrics, out: &mut Samples<'_>) {
    for (stage, latency) in [
        ("queue", &shard.queue),
        ("commit", &shard.engine.commit_latency),
        ("device", &shard.engine.device_latency),
        ("answer", &shard.answer),
    ] {
        out.histogram(&[("stage", stage)], latency);
    }
}

fn errors(shard: &ShardMetrics, out: &mut Samples<'_>) {
    for (at, count) in shard.errors.iter().enumerate() {
        let count = count.load(Relaxed);
        if count > 0 {
            let code = at as i16 - 1;
            let name = ErrorCode::from_i16(code).map_or("Unknown", ErrorCode::name);
            out.value(&[("code", &code.to_string()), ("error", name)], count);
        }
    }
}

fn closed(shard: &ShardMetrics, out: &mut Samples<'_>) {
    for ((_, name), count) in Closed::ALL.iter().zip(&shard.closed) {
        out.value(&[("reason", name)], count.load(Relaxed));
    }
}

fn memory(shard: &ShardMetrics, out: &mut Samples<'_>) {
    out.value(&[("budget", "requests")], shard.request_memory.load(Relaxed));
    out.value(&[("budget", "tails")], shard.engine.tail_memory_bytes.load(Relaxed));
    out.value(&[("budget", "cache")], shard.engine.cache_bytes.load(Relaxed));
    out.value(&[("budget", "groups")], shard.group_memory.load(Relaxed));
}

fn memory_limits(shard: &ShardMetrics, out: &mut Samples<'_>) {
    out.value(&[("budget", "requests")], shard.limits.request_bytes);
    out.value(&[("budget", "tails")], shard.limits.tail_bytes);
    out.value(&[("budget", "cache")], shard.limits.cache_bytes);
    out.value(&[("budget", "groups")], shard.limits.group_bytes);
}

/// Topics in a weaker mode that are told apart; the name of all others, which no topic can have.
const TOPICS_MAX: usize = 1000;
const OTHER_TOPICS: &str = "*";

/// What each topic of a shard has answered and not synced, the others together as the last one.
fn early_topics(shard: &ShardMetrics) -> Vec<EarlyTopic> {
    let mut topics = shard.engine.early.topics();
    if topics.len() > TOPICS_MAX {
        let others = topics.split_off(TOPICS_MAX);
        topics.push(EarlyTopic {
            topic: OTHER_TOPICS.to_owned(),
            bytes: others.iter().map(|topic| topic.bytes).sum(),
            since_ms: others.iter().map(|topic| topic.since_ms).filter(|ms| *ms > 0).min().unwrap_or(0),
        });
    }
    topics
}

fn answered_unsynced_bytes(shard: &ShardMetrics, out: &mut Samples<'_>) {
    for topic in early_topics(shard) {
        out.value(&[("topic", &topic.topic)], topic.bytes);
    }
}

fn answered_unsynced_age(shard: &ShardMetrics, out: &mut Samples<'_>) {
    for topic in early_topics(shard) {
        let age_ms = if topic.since_ms == 0 { 0 } else { out.now_ms.saturating_sub(topic.since_ms) };
        out.value(&[("topic", &topic.topic)], age_ms as f64 / 1e3);
    }
}

fn unsynced_age(shard: &ShardMetrics, out: &mut Samples<'_>) {
    let since_ms = shard.engine.unsynced_since_ms.load(Relaxed);
    let age_ms = if since_ms == 0 { 0 } else { out.now_ms.saturating_sub(since_ms) };
    out.value(&[], age_ms as f64 / 1e3);
}

fn scrub_age(shard: &ShardMetrics, out: &mut Samples<'_>) {
    let passed_ms = shard.engine.scrub_passed_ms.load(Relaxed);
    let age_ms = if passed_ms == 0 { 0 } else { out.now_ms.saturating_sub(passed_ms) };
    out.value(&[], age_ms as f64 / 1e3);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::in_repository;

    #[test]
    fn the_page_in_the_repository_is_that_of_the_table() {
        in_repository("docs/metrics.md", &reference());
    }

    #[test]
    fn names_follow_the_rules_of_prometheus() {
        for metric in METRICS {
            let name = metric.name;
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Counter, "{name}");
            assert_eq!(
                metric.kind == Histogram,
                name.ends_with("_seconds") && !name.contains("_age_"),
                "{name}"
            );
            assert!(!metric.help.contains('\n') && metric.help.ends_with('.'), "{name}");
            assert_eq!(METRICS.iter().filter(|other| other.name == name).count(), 1, "{name}");
        }
    }
}

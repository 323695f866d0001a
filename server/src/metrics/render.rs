//! Prometheus' text format, version 0.0.4: every metric with its help and type, shards as a label.

use super::ShardMetrics;
use super::names::metrics;
use std::fmt::{Display, Write};
use std::sync::Arc;
use thalweg_engine::shard::Latency;

/// The first and last bounds of histograms, as powers of two of a microsecond: 16 us to 134 s.
const BOUNDS: std::ops::Range<usize> = 4..28;

/// Where one shard's numbers of one metric are written.
pub(super) struct Samples<'a> {
    out: &'a mut String,
    name: &'static str,
    shard: usize,
    /// Milliseconds since 1970.
    pub(super) now_ms: u64,
}

impl Samples<'_> {
    /// Writes a number. Labels are ours, or topics' names: no character in them has to be escaped.
    pub(super) fn value(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.line("", labels, "", value);
    }

    /// Writes a histogram.
    pub(super) fn histogram(&mut self, labels: &[(&str, &str)], latency: &Latency) {
        let (buckets, sum_us) = latency.snapshot();
        let mut count = 0;
        for (at, bucket) in buckets.iter().enumerate() {
            count += bucket;
            if BOUNDS.contains(&at) {
                let bound = (1u64 << at) as f64 / 1e6;
                self.line("_bucket", labels, &format!(",le=\"{bound}\""), count);
            }
        }
        self.line("_bucket", labels, ",le=\"+Inf\"", count);
        self.line("_sum", labels, "", sum_us as f64 / 1e6);
        self.line("_count", labels, "", count);
    }

    fn line(&mut self, ending: &str, labels: &[(&str, &str)], last: &str, value: impl Display) {
        let _ = write!(self.out, "{}{ending}{{shard=\"{}\"", self.name, self.shard);
        for (label, text) in labels {
            let _ = write!(self.out, ",{label}=\"{text}\"");
        }
        let _ = writeln!(self.out, "{last}}} {value}");
    }
}

/// All metrics of all shards.
pub(super) fn render(shards: &[Arc<ShardMetrics>], now_ms: u64) -> String {
    let mut out = String::with_capacity(64 << 10);
    let version = env!("CARGO_PKG_VERSION");
    let _ =
        writeln!(out, "# HELP thalweg_build_info The version that runs.\n# TYPE thalweg_build_info gauge");
    let _ = writeln!(out, "thalweg_build_info{{version=\"{version}\"}} 1");
    for metric in metrics() {
        let (name, kind) = (metric.name, metric.kind.name());
        let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", metric.help);
        for (shard, numbers) in shards.iter().enumerate() {
            (metric.write)(numbers, &mut Samples { out: &mut out, name, shard, now_ms });
        }
    }
    #[cfg(feature = "count")]
    allocations(&mut out);
    out
}

/// What the whole process has allocated so far, C code apart. Only a build that counts has these two.
#[cfg(feature = "count")]
fn allocations(out: &mut String) {
    let stats = stats_alloc::INSTRUMENTED_SYSTEM.stats();
    let _ = writeln!(out, "thalweg_allocations_total {}", stats.allocations + stats.reallocations);
    let _ = writeln!(out, "thalweg_allocated_bytes_total {}", stats.bytes_allocated);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Closed, ShardLimits, metrics};
    use crate::wire::{ApiKey, ErrorCode};
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    fn shard() -> Arc<ShardMetrics> {
        let limits = ShardLimits { journal_file_bytes: 32, journal_files: 8, ..ShardLimits::default() };
        let shard = ShardMetrics::new(Arc::default(), limits);
        shard.request(ApiKey::Produce, 9, Duration::from_millis(3));
        shard.request(ApiKey::Produce, 9, Duration::from_millis(30));
        shard.error(ErrorCode::NotLeaderOrFollower);
        shard.closed(Closed::Idle);
        shard.engine.unsynced_since_ms.store(1_000, Relaxed);
        shard.engine.journal_files_used.store(2, Relaxed);
        Arc::new(shard)
    }

    #[test]
    fn what_was_counted_is_printed_for_each_shard() {
        let text = render(&[shard(), shard()], 3_500);
        for line in [
            "thalweg_requests_total{shard=\"0\",api=\"Produce\",version=\"9\"} 2",
            "thalweg_request_seconds_count{shard=\"1\",api=\"Produce\"} 2",
            "thalweg_request_seconds_sum{shard=\"1\",api=\"Produce\"} 0.033",
            "thalweg_request_seconds_bucket{shard=\"0\",api=\"Produce\",le=\"0.004096\"} 1",
            "thalweg_request_seconds_bucket{shard=\"0\",api=\"Produce\",le=\"+Inf\"} 2",
            "thalweg_errors_total{shard=\"0\",code=\"6\",error=\"NotLeaderOrFollower\"} 1",
            "thalweg_connections_closed_total{shard=\"0\",reason=\"idle\"} 1",
            "thalweg_unsynced_age_seconds{shard=\"0\"} 2.5",
            "thalweg_journal_used_bytes{shard=\"0\"} 64",
            "thalweg_journal_limit_bytes{shard=\"0\"} 256",
        ] {
            assert!(text.lines().any(|printed| printed == line), "{line}\n{text}");
        }
    }

    #[test]
    fn every_line_is_one_that_prometheus_reads() {
        let text = render(&[shard()], 0);
        let mut described = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                described = rest.split(' ').next().unwrap();
                continue;
            }
            if line.starts_with("# HELP ") {
                continue;
            }
            let (name, rest) = line.split_once('{').unwrap();
            assert!(name.starts_with(described), "{line} stands under {described}");
            let (labels, value) = rest.split_once("} ").unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            for label in labels.split(',') {
                let (_, text) = label.split_once('=').unwrap();
                assert!(text.len() > 2 && text.starts_with('"') && text.ends_with('"'), "{line}");
            }
        }
        assert!(metrics().iter().all(|metric| text.contains(&format!("# TYPE {} ", metric.name))));
    }
}

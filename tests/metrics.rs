//! `/metrics`, `/health` and `/ready` of a broker that works: what was done is what is told.
#![expect(clippy::float_cmp, reason = "these numbers are counts, which are exact")]

use harness::Broker;
use harness::broker::{Against, free_port};
use harness::probe::{Scrape, get};
use harness::records::Batch;
use harness::verbs::{code, fresh};

/// A broker with a port for probes; `None` where it is Kafka, which has none.
fn probed() -> Option<(Broker, u16)> {
    if !Against::chosen().is_thalweg() {
        harness::skip::skip_test("metrics", "they are of a broker of ours");
        return None;
    }
    let port = free_port();
    Some((Broker::with(&[("thalweg.http.listener", &format!("127.0.0.1:{port}"))]), port))
}

#[test]
fn probes_are_answered_and_what_is_no_probe_is_refused() {
    let Some((_broker, port)) = probed() else { return };
    assert_eq!(get(port, "/health"), (200, "alive\n".to_string()));
    assert_eq!(get(port, "/ready"), (200, "ready\n".to_string()));
    assert_eq!(get(port, "/").0, 404);
    assert_eq!(get(port, "/metrics/").0, 404);
}

#[test]
fn requests_bytes_and_errors_are_counted_as_they_were_sent() {
    let Some((broker, port)) = probed() else { return };
    let mut client = broker.client();
    let topic = fresh("counted");
    client.create_topic(&topic, 3);
    let before = Scrape::of(port);
    let batch = Batch::numbered(0, 10, 1000);
    let batch_bytes = batch.encode().len() as f64;
    for partition in 0..3 {
        client.produce(&topic, partition, &batch);
    }
    assert_eq!(client.read_from(&topic, 0, 0).len(), 10);
    let unknown = client.try_produce("no-such-topic-here", 7, batch.encode()).error_code;
    assert_eq!(unknown, code::UNKNOWN_TOPIC_OR_PARTITION);
    let after = Scrape::of(port);
    let grown = |name: &str, labels: &[(&str, &str)]| after.sum(name, labels) - before.sum(name, labels);
    assert_eq!(grown("thalweg_requests_total", &[("api", "Produce")]), 4.0);
    assert_eq!(grown("thalweg_request_seconds_count", &[("api", "Produce")]), 4.0);
    assert!(grown("thalweg_requests_total", &[("api", "Fetch"), ("version", "11")]) >= 1.0);
    assert_eq!(grown("thalweg_errors_total", &[("code", "3"), ("error", "UnknownTopicOrPartition")]), 1.0);
    assert_eq!(grown("thalweg_batches_total", &[]), 3.0);
    assert_eq!(grown("thalweg_batch_bytes_total", &[]), 3.0 * batch_bytes);
    assert!(grown("thalweg_request_bytes_total", &[]) > 4.0 * batch_bytes, "four batches came in");
    assert!(grown("thalweg_response_bytes_total", &[]) > batch_bytes, "one batch went out");
    assert!(after.sum("thalweg_connections", &[]) >= 1.0);
}

#[test]
fn stages_memory_partitions_and_what_is_not_yet_synced_are_told() {
    let Some((broker, port)) = probed() else { return };
    let mut client = broker.client();
    let topic = fresh("told");
    let before = Scrape::of(port);
    client.create_topic(&topic, 5);
    client.produce(&topic, 0, &Batch::numbered(0, 100, 1000));
    let after = Scrape::of(port);
    let grown = |name: &str, labels: &[(&str, &str)]| after.sum(name, labels) - before.sum(name, labels);
    for stage in ["queue", "commit", "device", "answer"] {
        assert!(grown("thalweg_stage_seconds_count", &[("stage", stage)]) >= 1.0, "{stage}");
    }
    for budget in ["requests", "tails", "cache", "groups"] {
        let is = after.sum("thalweg_memory_bytes", &[("budget", budget)]);
        assert!(is <= after.sum("thalweg_memory_limit_bytes", &[("budget", budget)]), "{budget}: {is}");
        assert!(after.sum("thalweg_memory_limit_bytes", &[("budget", budget)]) > 0.0, "{budget}");
    }
    assert!(after.sum("thalweg_memory_bytes", &[("budget", "tails")]) > 100_000.0, "the batch is in a tail");
    assert_eq!(grown("thalweg_partitions_online", &[]), 5.0);
    assert_eq!(after.sum("thalweg_partitions_offline", &[]), 0.0);
    // What was answered is synced, and nothing else is under way.
    assert_eq!(after.sum("thalweg_unsynced_bytes", &[]), 0.0);
    assert_eq!(after.sum("thalweg_unsynced_age_seconds", &[]), 0.0);
}

#[test]
fn the_page_about_metrics_lists_what_is_told_and_nothing_else() {
    let Some((_broker, port)) = probed() else { return };
    let page = std::fs::read_to_string(harness::scratch::repository().join("docs/metrics.md")).unwrap();
    let mut listed: Vec<(String, String)> = Vec::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        listed.push((cells[1].trim_matches('`').to_string(), cells[2].to_string()));
    }
    assert_eq!(Scrape::of(port).kinds, listed);
}

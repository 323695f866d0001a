//! `/metrics`, `/health` and `/ready`: a request's bytes in, an answer's bytes out.

use super::{ShardMetrics, render};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A request is never longer.
const REQUEST_BYTES_MAX: usize = 8192;

/// What a probe is told.
#[derive(Debug, Default)]
pub struct Health {
    /// All shards serve.
    pub ready: AtomicBool,
}

fn answer(status: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    (head + body).into_bytes()
}

/// Answers a request; `None` while its head is not complete.
pub fn respond(
    request: &[u8],
    shards: &[Arc<ShardMetrics>],
    health: &Health,
    now_ms: u64,
) -> Option<Vec<u8>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(request) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if request.len() < REQUEST_BYTES_MAX => return None,
        _ => return Some(answer("400 Bad Request", "text/plain", "not a request that is understood\n")),
    }
    let path = parsed.path.unwrap_or_default().split('?').next().unwrap_or_default();
    let stopped = shards.iter().any(|shard| shard.engine.directories_stopped.load(Ordering::Relaxed) > 0);
    Some(match (parsed.method, path) {
        (Some("GET"), "/metrics") => {
            answer("200 OK", "text/plain; version=0.0.4", &render::render(shards, now_ms))
        }
        (Some("GET"), "/health") if stopped => answer(
            "503 Service Unavailable",
            "text/plain",
            "a log directory stopped: see the log, restart once the disk is well\n",
        ),
        (Some("GET"), "/health") => answer("200 OK", "text/plain", "alive\n"),
        (Some("GET"), "/ready") if health.ready.load(Ordering::Relaxed) && !stopped => {
            answer("200 OK", "text/plain", "ready\n")
        }
        (Some("GET"), "/ready") => answer("503 Service Unavailable", "text/plain", "not ready\n"),
        (Some("GET"), _) => {
            answer("404 Not Found", "text/plain", "/metrics, /health and /ready are served here\n")
        }
        _ => answer("405 Method Not Allowed", "text/plain", "only GET is served here\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ApiKey, ErrorCode};

    fn ask(request: &str, health: &Health) -> Option<String> {
        let metrics = ShardMetrics::new(Arc::default());
        metrics.request(ApiKey::Produce, std::time::Duration::from_millis(3));
        metrics.error(ErrorCode::NotLeaderOrFollower);
        respond(request.as_bytes(), &[Arc::new(metrics)], health, 0)
            .map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn metrics_name_what_was_counted() {
        let text = ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", &Health::default()).unwrap();
        assert!(text.contains("thalweg_requests_total{shard=\"0\",api=\"Produce\"} 1\n"));
        assert!(
            text.contains("thalweg_errors_total{shard=\"0\",code=\"6\",error=\"NotLeaderOrFollower\"} 1\n")
        );
        assert!(text.contains("thalweg_request_seconds_count{shard=\"0\",api=\"Produce\"} 1\n"));
    }

    #[test]
    fn a_broker_is_ready_once_it_says_so_and_nonsense_is_refused() {
        let health = Health::default();
        let ready = "GET /ready HTTP/1.1\r\n\r\n";
        assert!(ask(ready, &health).unwrap().starts_with("HTTP/1.1 503"));
        health.ready.store(true, Ordering::Relaxed);
        assert!(ask(ready, &health).unwrap().starts_with("HTTP/1.1 200"));
        assert_eq!(ask("GET /ready HTT", &health), None);
        assert!(ask("\0\0\0\x1a\0\x12", &health).unwrap().starts_with("HTTP/1.1 400"));
        assert!(ask("POST /metrics HTTP/1.1\r\n\r\n", &health).unwrap().starts_with("HTTP/1.1 405"));
    }
}

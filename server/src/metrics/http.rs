//! `/metrics`, `/health` and `/ready`: a request's bytes in, an answer's bytes out.

use super::{ShardMetrics, render};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A request is never longer.
const REQUEST_BYTES_MAX: usize = 8192;
/// Nor has it more headers.
const HEADERS_MAX: usize = 64;

/// What a probe is told.
#[derive(Debug, Default)]
pub struct Health {
    /// All shards serve.
    pub ready: AtomicBool,
}

/// What is answered, before it is bytes.
struct Page {
    status: &'static str,
    kind: &'static str,
    body: String,
}

fn text(status: &'static str, body: impl Into<String>) -> Page {
    Page { status, kind: "text/plain; charset=utf-8", body: body.into() }
}

/// Answers a request; `None` while its head is not complete. The connection ends with the answer.
///
/// `/metrics` is Prometheus' text, `/health` says whether the process does its work and which part of it it cannot do,
/// `/ready` whether clients are served.
pub fn respond(
    request: &[u8],
    shards: &[Arc<ShardMetrics>],
    health: &Health,
    now_ms: u64,
) -> Option<Vec<u8>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let page = match parsed.parse(request) {
        _ if request.len() > REQUEST_BYTES_MAX => {
            text("431 Request Header Fields Too Large", "this request is too long\n")
        }
        Ok(httparse::Status::Complete(_)) => {
            let path = parsed.path.unwrap_or_default().split('?').next().unwrap_or_default();
            page(parsed.method.unwrap_or_default(), path, shards, health, now_ms)
        }
        Ok(httparse::Status::Partial) if request.len() < REQUEST_BYTES_MAX => return None,
        _ => text("400 Bad Request", "not a request that is understood\n"),
    };
    let Page { status, kind, body } = page;
    let length = body.len();
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nCache-Control: no-store\r\n\
         {allow}Connection: close\r\n\r\n"
    );
    let is_head = parsed.method == Some("HEAD");
    Some(if is_head { head } else { head + &body }.into_bytes())
}

fn page(method: &str, path: &str, shards: &[Arc<ShardMetrics>], health: &Health, now_ms: u64) -> Page {
    if !matches!(method, "GET" | "HEAD") {
        return text("405 Method Not Allowed", "only GET and HEAD are served here\n");
    }
    let stopped = shards.iter().map(|shard| shard.engine.directories_stopped.load(Ordering::Relaxed)).max();
    let stopped = stopped.unwrap_or(0);
    // The others serve, and whoever ends a broker for this takes them away, too. Without any, it ends by itself.
    let trouble = || {
        format!(
            "degraded: {stopped} log directories do not work, their partitions are offline: see the log, restart once they are well\n"
        )
    };
    match path {
        "/metrics" => Page {
            status: "200 OK",
            kind: "text/plain; version=0.0.4; charset=utf-8",
            body: render::render(shards, now_ms),
        },
        "/health" if stopped > 0 => text("200 OK", trouble()),
        "/health" => text("200 OK", "alive\n"),
        "/ready" if health.ready.load(Ordering::Relaxed) => text("200 OK", "ready\n"),
        "/ready" => text("503 Service Unavailable", "not ready: starting or stopping\n"),
        _ => text("404 Not Found", "/metrics, /health and /ready are served here\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ShardLimits;
    use proptest::prelude::*;

    fn ask(request: &str, health: &Health, stopped: u64) -> Option<String> {
        let metrics = ShardMetrics::new(Arc::default(), ShardLimits::default());
        metrics.engine.directories_stopped.store(stopped, Ordering::Relaxed);
        let answer = respond(request.as_bytes(), &[Arc::new(metrics)], health, 0);
        answer.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    fn status(request: &str, health: &Health, stopped: u64) -> String {
        ask(request, health, stopped).unwrap()["HTTP/1.1 ".len()..][..3].to_owned()
    }

    #[test]
    fn a_broker_is_ready_once_it_says_so() {
        let health = Health::default();
        let ready = "GET /ready HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(status(ready, &health, 0), "503");
        health.ready.store(true, Ordering::Relaxed);
        assert_eq!(status(ready, &health, 0), "200");
        assert_eq!(status("GET /health HTTP/1.1\r\n\r\n", &health, 0), "200");
    }

    #[test]
    fn a_stopped_directory_is_told_with_what_to_do() {
        let health = Health { ready: AtomicBool::new(true) };
        let told = ask("GET /health HTTP/1.1\r\n\r\n", &health, 1).unwrap();
        assert!(told.starts_with("HTTP/1.1 200") && told.contains("degraded: 1 log directories"), "{told}");
        assert_eq!(status("GET /ready HTTP/1.0\r\n\r\n", &health, 1), "200");
        assert_eq!(status("GET /metrics?x=1 HTTP/1.1\r\n\r\n", &health, 1), "200");
    }

    #[test]
    fn what_is_asked_wrongly_is_answered_shortly() {
        let health = Health::default();
        assert_eq!(ask("GET /ready HTT", &health, 0), None);
        assert_eq!(status("\0\0\0\x1a\0\x12", &health, 0), "400");
        assert_eq!(status("GET /nowhere HTTP/1.1\r\n\r\n", &health, 0), "404");
        assert!(ask("POST /metrics HTTP/1.1\r\n\r\n", &health, 0).unwrap().contains("Allow: GET, HEAD"));
        assert_eq!(status(&format!("GET /{} HTTP/1.1\r\n", "x".repeat(9000)), &health, 0), "431");
        assert_eq!(status(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65)), &health, 0), "400");
        let head = ask("HEAD /metrics HTTP/1.1\r\n\r\n", &health, 0).unwrap();
        assert!(head.ends_with("\r\n\r\n") && !head.contains("Content-Length: 0\r\n"), "{head}");
    }

    #[test]
    fn the_length_that_is_told_is_the_length_that_is_sent() {
        let told = ask("GET /metrics HTTP/1.1\r\n\r\n", &Health::default(), 0).unwrap();
        let (head, body) = told.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_or_waited_for(request in proptest::collection::vec(any::<u8>(), 0..9000)) {
            let answer = respond(&request, &[], &Health::default(), 0);
            prop_assert!(answer.is_some() || request.len() < REQUEST_BYTES_MAX);
        }
    }
}

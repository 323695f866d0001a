//! A client that cannot be had on this machine is skipped in one loud, counted line, never silently.

use std::collections::BTreeSet;
use std::env;
use std::sync::Mutex;

static SKIPPED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Says once per client that it is skipped, and why. The line goes past the test runner's capture, so that it is always seen.
///
/// # Panics
/// With `THALWEG_REQUIRE_CLIENTS=1`, where a missing client is a failure.
pub fn skip_client(client: &str, why: &str) {
    let mut skipped = SKIPPED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if skipped.insert(client.to_string()) {
        let line = format!("SKIPPED CLIENT {}: {client}: {}", skipped.len(), why.replace('\n', " | "));
        loud(&line);
        drop(skipped);
        assert!(env::var("THALWEG_REQUIRE_CLIENTS").as_deref() != Ok("1"), "{line}");
    } else {
        drop(skipped);
        assert!(env::var("THALWEG_REQUIRE_CLIENTS").as_deref() != Ok("1"), "{client} is missing: {why}");
    }
}

/// Says that a test does not apply to the broker that is asked.
pub fn skip_test(test: &str, why: &str) {
    loud(&format!("SKIPPED TEST {test}: {why}"));
}

/// A figure or a fact that shall be seen whether the test passes or not.
///
/// Written to the terminal's or log's standard error itself: the test runner captures only what the print macros write.
pub fn loud(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

//! The Rust bindings of librdkafka under the contract of tests/clients/README.md.

mod consume;
mod contract;
mod produce;

use contract::{Keys, emit, refuse};
use rdkafka::util::get_rdkafka_version;
use serde_json::json;
use std::process::ExitCode;

/// What every client of this driver is set to.
const CONNECT: [(&str, &str); 2] = [("log_level", "4"), ("socket.keepalive.enable", "true")];

fn main() -> ExitCode {
    let verb = std::env::args().nth(1).unwrap_or_default();
    let outcome = match verb.as_str() {
        "features" => {
            Keys::parse(&[]);
            let version = format!("{} (librdkafka {})", RDKAFKA, get_rdkafka_version().1);
            let lacks = json!({"sticky": "librdkafka has range, roundrobin and cooperative-sticky; no eager sticky assignor."});
            emit(&json!({"event": "features", "client": "rust-rdkafka", "version": version, "lacks": lacks}));
            Ok(())
        }
        "produce" => produce::produce(&Keys::parse(&produce::KEYS)),
        "consume" => consume::consume(&Keys::parse(&consume::KEYS)),
        _ => refuse("a verb: features, produce or consume"),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            contract::failed(&error.to_string(), true);
            ExitCode::FAILURE
        }
    }
}

/// The version that Cargo.toml pins.
const RDKAFKA: &str = "0.39.0";

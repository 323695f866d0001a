//! What a request costs the broker in system calls: one connection, one request in flight, steady state.
//!
//! Nothing is shared with other requests there, so the numbers are the most that one costs, and stay the same from run to
//! run, but for how often a core is woken while it waits for the disk. Allocations and copies are counted in
//! `server/tests/hot_path.rs`, instructions by `benches/regress`.

use harness::broker::Sources;
use harness::records::Batch;
use harness::skip::{loud, skip_test};
use harness::strace::{Strace, of_requests};
use harness::verbs::{code, fresh};
use harness::{Broker, Client};

const REQUESTS: u32 = 2000;

/// About a third above what was counted (docs/performance.md).
const PRODUCE_TINY_MAX: f64 = 32.0;
const PRODUCE_BATCH_MAX: f64 = 34.0;
const FETCH_MAX: f64 = 10.0;

/// Counts the calls of so many requests of a kind, after some that do not count; fails when they are more than `max` each.
/// `false` where nobody may trace.
fn costs_at_most(max: f64, what: &str, broker: &Broker, mut request: impl FnMut()) -> bool {
    (0..100).for_each(|_| request());
    let strace = match Strace::attach(broker.pid(), broker.dir()) {
        Ok(strace) => strace,
        Err(error) => {
            skip_test("request_costs", &format!("system calls cannot be counted here: {error}"));
            return false;
        }
    };
    (0..REQUESTS).for_each(|_| request());
    let counts = strace.detach().expect("strace says what it counted");
    let each = of_requests(&counts) as f64 / f64::from(REQUESTS);
    loud(&format!("system calls of {what}: {each:.2}; of {REQUESTS}: {counts:?}"));
    assert!(each <= max, "{what} costs {each:.2} system calls, at most {max} are allowed: {counts:#?}");
    assert!(each >= 2.0, "a request is received and answered: {counts:#?}");
    true
}

fn produce(client: &mut Client, topic: &str, value: &str) {
    let answer = client.produce_as(9, -1, topic, 0, Batch::of(&[value]).encode());
    assert_eq!(answer.error_code, code::NONE);
}

#[test]
fn a_request_costs_few_system_calls() {
    let mut broker = Broker::prepared(&[("thalweg.cores", "1")], Sources::default());
    if !broker.against().is_thalweg() {
        return skip_test("request_costs", "the numbers are ours");
    }
    broker.start_again(None);
    let mut client = broker.client();
    let topic = fresh("costs");
    client.create_topic(&topic, 1);
    let value = "v".repeat(100);
    let tiny = || produce(&mut client, &topic, &value);
    if !costs_at_most(PRODUCE_TINY_MAX, "a produce of one record", &broker, tiny) {
        return;
    }
    let value = "v".repeat(60_000);
    let batch = || produce(&mut client, &topic, &value);
    costs_at_most(PRODUCE_BATCH_MAX, "a produce of 60 kB", &broker, batch);
    // From the record that was produced last: it is in memory.
    let end = client.produce(&topic, 0, &Batch::of(&["last"]));
    let fetch = || assert!(client.fetch(&topic, 0, end).records.is_some_and(|records| !records.is_empty()));
    costs_at_most(FETCH_MAX, "a fetch from memory", &broker, fetch);
}

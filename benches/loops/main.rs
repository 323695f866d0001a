//! The inner loops, each alone: what a request costs the processor, without socket, ring and device.
//!
//! ```text
//! check, unpack, pack   batches as producers send them (engine/src/batch)
//! stage, read, produce  the engine on a disk in memory (engine/src/shard)
//! frames, request, answer  bytes of the socket and back (server/src/net, server/src/wire)
//! group                 joins, shares, heartbeats and commits (server/src/group)
//! ```
//! `cargo bench -p thalweg-benches --bench loops [-- WORD..]` times those whose names hold a word; inside `cargo test` each
//! runs once or twice. `--case NAME` runs one and prints its operations: `benches/regress` counts its instructions under
//! callgrind, where the allocator is glibc's, since the broker's own one looks at the clock.
#![expect(clippy::print_stdout, reason = "the report of a bench is what it prints")]

mod batches;
mod engine;
mod groups;
mod meter;
mod wire;

use meter::Meter;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

/// Each case is measured so often, and its fastest time is told: the least disturbed one.
const TIMES: u32 = 9;

type Case = (&'static str, fn(&Rc<Meter>));

const CASES: [Case; 36] = [
    ("check/none/1-record", |meter| batches::check_one_record(meter)),
    ("check/none/4k", |meter| batches::check_4k(meter)),
    ("check/none/1m", |meter| batches::check_1m(meter)),
    ("unpack/gzip/64k", |meter| batches::unpack_gzip(meter)),
    ("unpack/snappy/64k", |meter| batches::unpack_snappy(meter)),
    ("unpack/lz4/64k", |meter| batches::unpack_lz4(meter)),
    ("unpack/zstd/64k", |meter| batches::unpack_zstd(meter)),
    ("pack/none/64k", |meter| batches::pack_none(meter)),
    ("pack/gzip/64k", |meter| batches::pack_gzip(meter)),
    ("pack/snappy/64k", |meter| batches::pack_snappy(meter)),
    ("pack/lz4/64k", |meter| batches::pack_lz4(meter)),
    ("pack/zstd/64k", |meter| batches::pack_zstd(meter)),
    ("stage/1-record", engine::stage_one_record),
    ("stage/4k", engine::stage_4k),
    ("stage/1m", engine::stage_1m),
    ("read/memory/20k", engine::read_memory_20k),
    ("read/memory/1m", engine::read_memory_1m),
    ("read/pages/20k", engine::read_pages_20k),
    ("read/pages/1m", engine::read_pages_1m),
    ("read/in-order/64k", engine::read_in_order_64k),
    ("produce/4k", engine::produce_4k),
    ("frames/200", |meter| wire::frames_200(meter)),
    ("frames/200/by-eight", |meter| wire::frames_200_by_eight(meter)),
    ("frames/1m", |meter| wire::frames_1m(meter)),
    ("request/produce", |meter| wire::produce_request(meter)),
    ("request/fetch/1", |meter| wire::fetch_request_1(meter)),
    ("request/fetch/100", |meter| wire::fetch_request_100(meter)),
    ("request/commit/10", |meter| wire::commit_request(meter)),
    ("answer/produce", |meter| wire::produce_answer(meter)),
    ("answer/fetch/1", |meter| wire::fetch_answer_1(meter)),
    ("answer/fetch/100", |meter| wire::fetch_answer_100(meter)),
    ("group/rebalance/20", |meter| groups::rebalances(meter)),
    ("group/heartbeat", |meter| groups::heartbeats(meter)),
    ("group/commit", |meter| groups::commits(meter)),
    ("group/life/20", |meter| groups::lives(meter)),
    ("all/nothing", |meter| meter.count(1, || ())),
];

fn run(case: &Case, is_full: bool) -> (u64, Duration) {
    let meter = Rc::new(Meter::new(is_full));
    (case.1)(&meter);
    let done = meter.done();
    assert!(done.0 > 0, "{} counts nothing", case.0);
    done
}

fn time(case: &Case) {
    let each = || {
        let (operations, elapsed) = run(case, true);
        elapsed.as_secs_f64() * 1e9 / operations as f64
    };
    let best_ns = (0..TIMES).map(|_| each()).fold(f64::INFINITY, f64::min);
    println!("{:24} {best_ns:>14.1} ns", case.0);
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--cases"] => CASES.iter().for_each(|case| println!("{}", case.0)),
        ["--case", name] => match CASES.iter().find(|case| case.0 == name) {
            Some(case) => println!("{}", run(case, true).0),
            None => {
                println!("no case {name}: --cases lists them");
                return ExitCode::FAILURE;
            }
        },
        ref words => {
            let is_bench = words.contains(&"--bench");
            let words: Vec<&str> = words.iter().copied().filter(|word| !word.starts_with("--")).collect();
            let is_meant = |case: &&Case| words.is_empty() || words.iter().any(|word| case.0.contains(word));
            for case in CASES.iter().filter(is_meant) {
                if is_bench {
                    time(case);
                } else {
                    run(case, false);
                }
            }
        }
    }
    ExitCode::SUCCESS
}

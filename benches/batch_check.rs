//! What it costs to check a batch: per codec, beside the checksum alone.
//!
//! `cargo bench -p thalweg-benches --bench batch_check`; inside `cargo test` each case runs once.
#![expect(clippy::print_stdout, reason = "the report of a bench is what it prints")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use thalweg_benches::batches::{NOW, rules};
use thalweg_engine::batch::{
    BatchBuilder, CheckRules, Codec, ProducerFields, TargetCompression, TimestampType, check,
};
use thalweg_engine::units::Timestamp;

const BOMB_BYTES: usize = 64 << 20;

/// Records of 1.2 kB that compress about as well as log lines do, until `plain_bytes` are full.
fn batch(codec: Codec, plain_bytes: usize) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    let mut noise = 1u64;
    while builder.plain_bytes() + 1_230 <= plain_bytes {
        let value: Vec<u8> = (0..1_200u64)
            .map(|at| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if at % 6 == 0 {
                    (noise >> 59) as u8 + b'a'
                } else {
                    b"GET /some/path?with=query HTTP/1.1 "[at as usize % 35]
                }
            })
            .collect();
        builder.push(Timestamp(NOW), None, Some(&value), &[]);
    }
    builder.build(ProducerFields::NONE).expect("no codec fails on this")
}

/// The fastest of several rounds: the least disturbed one.
fn time_of(rounds: u32, round: Duration, mut work: impl FnMut()) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..rounds {
        let (start, mut times) = (Instant::now(), 0);
        while times == 0 || start.elapsed() < round {
            work();
            times += 1;
        }
        best = best.min(start.elapsed() / times);
    }
    best
}

fn report(name: &str, batch: &Bytes, rules: &CheckRules, (rounds, round): (u32, Duration)) {
    let check_time = time_of(rounds, round, || {
        black_box(check(black_box(batch), rules)).expect("a sound batch");
    });
    let crc_time = time_of(rounds, round, || {
        black_box(crc32c::crc32c(black_box(&batch[21..])));
    });
    let gb_per_s = batch.len() as f64 / check_time.as_secs_f64() / 1e9;
    println!(
        "{name:28} {:>9} B  check {:>10.2} us  {gb_per_s:>6.2} GB/s  checksum alone {:>8.2} us",
        batch.len(),
        check_time.as_secs_f64() * 1e6,
        crc_time.as_secs_f64() * 1e6,
    );
}

/// How long a batch that unfolds past the bound keeps a core busy until it is refused.
fn report_bomb(codec: Codec, (rounds, round): (u32, Duration)) {
    let rules = CheckRules { batch_bytes_max: usize::MAX, unpacked_bytes_max: BOMB_BYTES - 1_000, ..rules() };
    let mut builder = BatchBuilder::new(codec);
    builder.push(Timestamp(NOW), None, Some(&vec![0; BOMB_BYTES]), &[]);
    let bomb = builder.build(ProducerFields::NONE).expect("no codec fails on this");
    let time = time_of(rounds, round, || {
        black_box(check(black_box(&bomb), &rules)).expect_err("a bomb");
    });
    println!(
        "{codec:?} bomb of {BOMB_BYTES} B in {} B: refused in {:.1} ms",
        bomb.len(),
        time.as_secs_f64() * 1e3
    );
}

fn main() {
    let effort = if std::env::args().any(|argument| argument == "--bench") {
        (5, Duration::from_millis(200))
    } else {
        (1, Duration::ZERO)
    };
    for plain_bytes in [1_000_000, 4_096] {
        for codec in Codec::ALL {
            let batch = batch(codec, plain_bytes);
            report(&format!("{codec:?} of {plain_bytes} B"), &batch, &rules(), effort);
        }
    }
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        report_bomb(codec, effort);
    }
    let plain = batch(Codec::None, 1_000_000);
    let appended = CheckRules { timestamp_type: TimestampType::LogAppend, ..rules() };
    report("None, LogAppendTime", &plain, &appended, effort);
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let compression = TargetCompression::Codec(codec, None);
        report(&format!("None to {codec:?}"), &plain, &CheckRules { compression, ..rules() }, effort);
    }
}

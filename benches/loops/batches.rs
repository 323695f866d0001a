//! Batches: the check of what a producer sent, and the codecs both ways.

use crate::meter::Meter;
use bytes::Bytes;
use std::hint::black_box;
pub(crate) use thalweg_benches::batches::NOW;
use thalweg_benches::batches::rules;
use thalweg_engine::batch::{BatchBuilder, Codec, ProducerFields, check};
use thalweg_engine::units::Timestamp;

/// Values that compress about as well as log lines do.
fn values(value_bytes: usize, count: usize) -> Vec<Vec<u8>> {
    let mut noise = 1u64;
    let mut byte = |at: usize| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if at.is_multiple_of(6) {
            (noise >> 59) as u8 + b'a'
        } else {
            b"GET /some/path?with=query HTTP/1.1 "[at % 35]
        }
    };
    (0..count).map(|_| (0..value_bytes).map(&mut byte).collect()).collect()
}

fn pack(codec: Codec, values: &[Vec<u8>]) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    values.iter().for_each(|value| builder.push(Timestamp(NOW), None, Some(value), &[]));
    builder.build(ProducerFields::NONE).expect("no codec fails on this")
}

/// A batch of uncompressed records.
pub(crate) fn plain(value_bytes: usize, count: usize) -> Bytes {
    pack(Codec::None, &values(value_bytes, count))
}

fn check_batch(meter: &Meter, rounds: u64, batch: &Bytes) {
    let rules = rules();
    let rounds = meter.rounds(rounds);
    meter.count(rounds, || {
        for _ in 0..rounds {
            black_box(check(black_box(batch), &rules)).expect("a sound batch");
        }
    });
}

pub(crate) fn check_one_record(meter: &Meter) {
    check_batch(meter, 2000, &plain(100, 1));
}

pub(crate) fn check_4k(meter: &Meter) {
    check_batch(meter, 500, &plain(100, 36));
}

pub(crate) fn check_1m(meter: &Meter) {
    check_batch(meter, 4, &plain(1_000, 960));
}

fn unpack(meter: &Meter, codec: Codec) {
    check_batch(meter, 10, &pack(codec, &values(1_000, 64)));
}

pub(crate) fn unpack_gzip(meter: &Meter) {
    unpack(meter, Codec::Gzip);
}

pub(crate) fn unpack_snappy(meter: &Meter) {
    unpack(meter, Codec::Snappy);
}

pub(crate) fn unpack_lz4(meter: &Meter) {
    unpack(meter, Codec::Lz4);
}

pub(crate) fn unpack_zstd(meter: &Meter) {
    unpack(meter, Codec::Zstd);
}

fn pack_anew(meter: &Meter, codec: Codec) {
    let (values, rounds) = (values(1_000, 64), meter.rounds(4));
    meter.count(rounds, || {
        for _ in 0..rounds {
            black_box(pack(codec, black_box(&values)));
        }
    });
}

pub(crate) fn pack_none(meter: &Meter) {
    pack_anew(meter, Codec::None);
}

pub(crate) fn pack_gzip(meter: &Meter) {
    pack_anew(meter, Codec::Gzip);
}

pub(crate) fn pack_snappy(meter: &Meter) {
    pack_anew(meter, Codec::Snappy);
}

pub(crate) fn pack_lz4(meter: &Meter) {
    pack_anew(meter, Codec::Lz4);
}

pub(crate) fn pack_zstd(meter: &Meter) {
    pack_anew(meter, Codec::Zstd);
}

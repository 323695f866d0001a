//! The index file of a sealed segment, any bytes with a right checksum: it is refused, or never makes a reader get other
//! bytes, miss a batch or go round.
//!
//! The first byte of an input says how a reader asks; the others are the file.
#![no_main]

use std::sync::LazyLock;
use thalweg_engine::hostile::{index, index_seed};
use thalweg_fuzz::stored::{Change, Reader, Stored};

static STORED: LazyLock<Stored> = LazyLock::new(Stored::make);

thalweg_fuzz::target!(check, memory_bytes_max, seeds);

/// The disk, the engine's own budgets, and the base of it all at the first try.
fn memory_bytes_max(input_bytes: usize) -> usize {
    (32 << 20) + 16 * input_bytes
}

/// Of the first segment.
fn segment_bytes() -> u64 {
    let segments = STORED.paths("log");
    let bytes = STORED.files.iter().find(|(path, _)| Some(&path.as_path()) == segments.first());
    bytes.map_or(0, |(_, bytes)| bytes.len() as u64)
}

fn check(input: &[u8]) -> u64 {
    let Some((flags, content)) = input.split_first() else { return 0 };
    let bytes = [content, &crc32c::crc32c(content).to_le_bytes()].concat();
    if !index(&bytes, segment_bytes()) {
        return 1;
    }
    let mut files = STORED.files.clone();
    let path = STORED.paths("log")[0].with_extension("twindex");
    files.retain(|(known, _)| *known != path);
    files.push((path, bytes));
    let reader = Reader {
        first: flags >> 4,
        bytes_max: [1, 300, 3000, 1 << 20][usize::from(flags >> 1) % 4],
        first_batch_whole: flags & 1 == 0,
    };
    2 + STORED.live(&files, Change::Index, reader)
}

/// The engine's own, none, and some that lie.
fn seeds() -> Vec<Vec<u8>> {
    let own = STORED
        .files
        .iter()
        .filter(|(path, _)| path.extension().is_some_and(|extension| extension == "twindex"));
    let with = |flags: u8, content: &[u8]| [&[flags], content].concat();
    let mut seeds: Vec<Vec<u8>> = own.map(|(_, bytes)| with(6, &bytes[..bytes.len() - 4])).collect();
    for places in
        [&[][..], &[(3, 100, 0)], &[(3, 200, 5), (6, 300, 9), (9, 5000, 9)], &[(30, 100, 0), (3, 200, 0)]]
    {
        seeds.push(with(6, &index_seed(places, segment_bytes())));
    }
    seeds
}

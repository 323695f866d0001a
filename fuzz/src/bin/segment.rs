//! Files of segments with changed bytes under a state that is sound: a reader gets what was appended, or an error.
//!
//! An input says how a reader asks (two bytes) and what happens to the segments: bits that turn, sectors that were never
//! written or went to the wrong place, files that are cut or change places. With the first bit set the checksum of every
//! batch is put right afterwards: then the parsers behind it see the changes.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;
use thalweg_engine::batch::walk;
use thalweg_fuzz::stored::{Change, Reader, Stored};

static STORED: LazyLock<Stored> = LazyLock::new(Stored::make);

const CHANGES_MAX: usize = 32;
const SECTOR_BYTES: usize = 512;
const CRC_AT: usize = 17;
const CRC_START: usize = 21;

thalweg_fuzz::target!(check, memory_bytes_max, seeds);

/// The disk, its changed copy, the engine's own budgets, and the base of it all at the first try.
fn memory_bytes_max(_: usize) -> usize {
    32 << 20
}

fn check(input: &[u8]) -> u64 {
    let Some((&[flags, first], mut changes)) = input.split_first_chunk::<2>() else { return 0 };
    let reader = Reader {
        first,
        bytes_max: [1, 300, 3000, 1 << 20][usize::from(flags >> 1) % 4],
        first_batch_whole: flags & 8 == 0,
    };
    let mut files = STORED.files.clone();
    for _ in 0..CHANGES_MAX {
        change_one(&mut files, &mut changes);
    }
    let change = if flags & 1 == 0 { Change::Damage } else { Change::Forgery };
    if change == Change::Forgery {
        segments(&mut files).for_each(put_right);
    }
    STORED.live(&files, change, reader)
}

fn segments(files: &mut [(PathBuf, Vec<u8>)]) -> impl Iterator<Item = &mut Vec<u8>> {
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    files.iter_mut().filter(move |(path, _)| is_segment(path)).map(|(_, bytes)| bytes)
}

/// Which file, what, where, and five bytes more of it.
fn change_one(files: &mut [(PathBuf, Vec<u8>)], changes: &mut &[u8]) {
    let Some((&[file, kind, low, high], rest)) = changes.split_first_chunk::<4>() else { return };
    let mut segments: Vec<&mut Vec<u8>> = segments(files).collect();
    let count = segments.len();
    let source = segments[usize::from(kind >> 4) % count].clone();
    let Some(bytes) = segments.get_mut(usize::from(file) % count).filter(|bytes| !bytes.is_empty()) else {
        return;
    };
    let at = usize::from(u16::from_le_bytes([low, high])) % bytes.len();
    let sector =
        at / SECTOR_BYTES * SECTOR_BYTES..(at / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES).min(bytes.len());
    let mut taken = 0;
    match kind & 7 {
        0..=3 => {
            taken = (1 << (kind & 3)).min(rest.len());
            bytes.iter_mut().skip(at).zip(&rest[..taken]).for_each(|(byte, turn)| *byte ^= turn);
        }
        4 => bytes[sector].fill(0),
        5 => {
            let wrong = source.get(sector.clone()).unwrap_or_default();
            bytes[sector].iter_mut().zip(wrong).for_each(|(byte, wrong)| *byte = *wrong);
        }
        6 => bytes.truncate(at),
        _ => **bytes = source, // another segment's file under this one's name
    }
    *changes = &rest[taken..];
}

/// As far as batches follow each other.
fn put_right(bytes: &mut Vec<u8>) {
    let found: Vec<(usize, usize)> =
        walk(bytes).map_while(Result::ok).map(|(at, header)| (at, at + header.batch_bytes())).collect();
    for (start, end) in found.into_iter().filter(|(start, end)| end - start > CRC_START) {
        let checksum = crc32c::crc32c(&bytes[start + CRC_START..end]);
        bytes[start + CRC_AT..start + CRC_START].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Nothing changed, and each kind of change in a few places, for readers of every kind.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = (0..16).map(|flags| vec![flags, flags]).collect();
    for kind in 0..8_u8 {
        for at in [0_u16, 8, 12, 16, 21, 23, 43, 61, 700, 4096] {
            let [low, high] = at.to_le_bytes();
            let turns = [1, 2, 4, 8, 16, 32, 64, 128];
            let taken = if kind < 4 { 1 << kind } else { 0 };
            seeds.push(
                [&[kind % 2 + 6, at as u8, (at % 3) as u8, kind | 16, low, high], &turns[..taken]].concat(),
            );
        }
    }
    seeds
}

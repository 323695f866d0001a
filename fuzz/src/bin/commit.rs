//! One commit of a journal, damaged or forged: `thalweg_engine::hostile::commit` says what is promised.
#![no_main]

use thalweg_engine::hostile::{commit, commit_seeds};

thalweg_fuzz::target!(commit, memory_bytes_max, commit_seeds);

/// The commit, its damaged copy, and what is read of it, three times.
fn memory_bytes_max(input_bytes: usize) -> usize {
    (2 << 20) + 64 * input_bytes
}

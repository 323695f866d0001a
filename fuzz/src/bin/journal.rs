//! Journal files of commits that lie, through chain and replay: `thalweg_engine::hostile::journal` says what is promised.
#![no_main]

use thalweg_engine::hostile::{journal, journal_seeds};

thalweg_fuzz::target!(journal, memory_bytes_max, journal_seeds);

/// The files (a table and a tail of every log at most each 64 steps), and what recovery keeps of them.
fn memory_bytes_max(input_bytes: usize) -> usize {
    (32 << 20) + 64 * input_bytes
}

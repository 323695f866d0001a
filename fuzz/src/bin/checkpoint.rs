//! States, lists of elders and manifests: `thalweg_engine::hostile::checkpoint` says what is promised.
#![no_main]

use thalweg_engine::hostile::{checkpoint, checkpoint_seeds};

thalweg_fuzz::target!(checkpoint, memory_bytes_max, checkpoint_seeds);

/// What was decoded, encoded and decoded again, and questioned.
fn memory_bytes_max(input_bytes: usize) -> usize {
    (64 << 10) + 64 * input_bytes
}

//! Faults that are planted: were one not found within seconds, nothing found elsewhere would mean nothing.
//!
//! The variable names the fault: a panic behind two numbers and a word that chance would never meet, which takes what
//! was compared and which edges were taken, or memory that grows faster than its input.
#![no_main]

use std::sync::LazyLock;

static IS_GREEDY: LazyLock<bool> =
    LazyLock::new(|| std::env::var("THALWEG_FUZZ_PLANTED").is_ok_and(|fault| fault == "memory"));

thalweg_fuzz::target!(check, memory_bytes_max, seeds);

fn memory_bytes_max(input_bytes: usize) -> usize {
    4096 + 16 * input_bytes
}

fn check(input: &[u8]) -> u64 {
    if *IS_GREEDY {
        return Vec::<u8>::with_capacity(input.len() << 10).capacity() as u64 >> 30;
    }
    let Some((number, rest)) = input.split_first_chunk() else { return 0 };
    if u64::from_be_bytes(*number) != 0x7468_616c_7765_6721 {
        return 1;
    }
    let Some((count, rest)) = rest.split_first_chunk() else { return 2 };
    if u32::from_le_bytes(*count) != 77_777_777 {
        return 3;
    }
    assert!(
        rest.first_chunk().map(|word| u32::from_le_bytes(*word)) != Some(0x776f_6c66),
        "the planted fault"
    );
    4
}

fn seeds() -> Vec<Vec<u8>> {
    vec![vec![0; 8]]
}

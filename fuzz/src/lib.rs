//! Holds a parser to its promises under libFuzzer: no panic, no memory beyond what was paid for, and what its check asserts.
//!
//! ```text
//! corpus -> pick, change -> check -> which edges were taken, how often, what was compared with what
//!   ^                         |        a new one: keep the input
//!   +-------------------------+
//! ```
//! The library gives the loop, the changes and the corpus; here is what it does not know: how much memory a try may hold,
//! "ways" (a number that a check makes up of what it saw, counted as an edge), and where the first inputs come from.

mod memory;
pub mod stored;

pub use libfuzzer_sys;
pub use memory::Counting;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Names a directory that is to be filled with a target's first inputs; the process ends then.
const SEEDS_VARIABLE: &str = "THALWEG_FUZZ_SEEDS";
/// Ways that are told apart.
const WAYS_MAX: usize = 1 << 13;

// libFuzzer reads this section as counters beside those of the edges, and clears it before each try.
// SAFETY: the section's name is libFuzzer's own for arrays of bytes, and this is one.
#[unsafe(link_section = "__libfuzzer_extra_counters")]
static WAYS: [AtomicU8; WAYS_MAX] = [const { AtomicU8::new(0) }; WAYS_MAX];

/// The whole of a target: what to do with an input (the number it returns says which way was taken), how much memory an
/// input of so many bytes may hold at once, and the inputs to begin with.
#[macro_export]
macro_rules! target {
    ($check:path, $memory_bytes_max:path, $seeds:path) => {
        #[global_allocator]
        static MEMORY: $crate::Counting = $crate::Counting;

        use $crate::libfuzzer_sys;
        libfuzzer_sys::fuzz_target!(init: $crate::begin($seeds), |input: &[u8]| $crate::attempt(
            input,
            $check,
            $memory_bytes_max
        ));
    };
}

/// Writes the first inputs and ends, where that is asked for.
///
/// # Panics
/// When they cannot be written.
pub fn begin(seeds: fn() -> Vec<Vec<u8>>) {
    let Some(folder) = std::env::var_os(SEEDS_VARIABLE).map(PathBuf::from) else { return };
    fs::create_dir_all(&folder).expect("a folder for the first inputs");
    for (number, seed) in seeds().iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:05}")), seed).expect("a file for a first input");
    }
    std::process::exit(0);
}

/// One try.
///
/// # Panics
/// On a finding: libFuzzer saves the input then and ends.
pub fn attempt(input: &[u8], check: fn(&[u8]) -> u64, memory_bytes_max: fn(usize) -> usize) {
    let allowed_bytes = memory_bytes_max(input.len());
    memory::begin();
    let way = check(input);
    let held_bytes = memory::end();
    assert!(
        held_bytes <= allowed_bytes,
        "{} B unfolded to {held_bytes} B of memory, allowed {allowed_bytes}",
        input.len()
    );
    WAYS[(way.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 51) as usize].store(1, Relaxed);
}

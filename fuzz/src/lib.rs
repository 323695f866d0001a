//! Changes known inputs at random and holds a parser to its promises: no panic, no memory beyond what was paid for.
//!
//! ```text
//! seeds -> pool -> pick, change -> parser -> which way did it take?
//!           ^                                  | a new one: keep the input
//!           +----------------------------------+
//! ```
//! There is no instrumentation: "which way" is a number that the target makes up of what it saw (API, version, kind of
//! error). All random choices come from one seed, so a walk can be walked again.

mod memory;
mod mutate;
mod options;
mod random;

pub use memory::Counting;
pub use random::Random;

use options::Options;
use std::collections::HashSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Inputs kept beside the seeds, so that a walk cannot grow without end.
const KEPT_MAX: usize = 20_000;
/// Inputs are cut to this before they are tried.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// A parser under test.
pub struct Target {
    /// Its name: that of the binary.
    pub name: &'static str,
    /// Where changes begin; at least one.
    pub seeds: Vec<Vec<u8>>,
    /// Tries an input and says which way it took. Panics on a broken promise.
    pub check: fn(&[u8]) -> u64,
    /// Most memory that one try of so many bytes may hold at once.
    pub memory_bytes_max: fn(usize) -> usize,
}

/// Runs a target as the command line says; fails at the first finding.
pub fn run(target: &Target) -> ExitCode {
    assert!(!target.seeds.is_empty(), "a target needs something to begin with");
    let options = match Options::from_arguments() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    if let Some(path) = &options.input {
        let input = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return match attempt(target, &input) {
            Ok(way) => {
                println!("{}: {} B taken, way {way:#x}", target.name, input.len());
                ExitCode::SUCCESS
            }
            Err(finding) => {
                println!("{}: {finding}", target.name);
                ExitCode::FAILURE
            }
        };
    }
    walk(target, &options)
}

fn walk(target: &Target, options: &Options) -> ExitCode {
    let seed = options.seed.unwrap_or_else(random::fresh_seed);
    let mut random = Random::new(seed);
    let mut pool = target.seeds.clone();
    let mut ways = HashSet::new();
    let began = Instant::now();
    let end = began + Duration::from_secs(options.seconds);
    let mut tries = 0_u64;
    while tries < options.tries_max && (!tries.is_multiple_of(64) || Instant::now() < end) {
        // The seeds themselves come first.
        let mut input = match target.seeds.get(tries as usize) {
            Some(seed) => seed.clone(),
            None => mutate::changed(&pool, &mut random),
        };
        input.truncate(INPUT_BYTES_MAX);
        tries += 1;
        match attempt(target, &input) {
            Ok(way) if ways.insert(way) && pool.len() < target.seeds.len() + KEPT_MAX => pool.push(input),
            Ok(_) => {}
            Err(finding) => {
                let path = save(target.name, seed, tries, &input);
                println!(
                    "{}: {finding}\n  seed {seed}, try {tries}, input in {}",
                    target.name,
                    path.display()
                );
                return ExitCode::FAILURE;
            }
        }
    }
    println!(
        "{}: {tries} tries in {:.1} s, {} ways, nothing found (seed {seed})",
        target.name,
        began.elapsed().as_secs_f64(),
        ways.len()
    );
    ExitCode::SUCCESS
}

/// One try: which way it took, or what is wrong.
fn attempt(target: &Target, input: &[u8]) -> Result<u64, String> {
    let allowed_bytes = (target.memory_bytes_max)(input.len());
    memory::begin(input);
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.check)(input)));
    let held_bytes = memory::end();
    let way = outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        format!("panic: {}", text.or_else(|| panic.downcast_ref().copied()).unwrap_or("without a text"))
    })?;
    if held_bytes > allowed_bytes {
        return Err(format!(
            "{} B unfolded to {held_bytes} B of memory, allowed {allowed_bytes}",
            input.len()
        ));
    }
    Ok(way)
}

fn save(name: &str, seed: u64, tries: u64, input: &[u8]) -> PathBuf {
    let folder = artifacts();
    let path = folder.join(format!("{name}-{seed}-{tries}"));
    fs::create_dir_all(&folder).expect("a folder for findings");
    fs::write(&path, input).expect("a file for the finding");
    path
}

/// Where findings are kept.
fn artifacts() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/artifacts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static MEMORY: Counting = Counting;

    fn options(seed: u64) -> Options {
        Options { seconds: 60, tries_max: 200_000, seed: Some(seed), input: None }
    }

    fn target(name: &'static str, check: fn(&[u8]) -> u64) -> Target {
        Target { name, seeds: vec![vec![0; 8]], check, memory_bytes_max: |bytes| 4096 + 16 * bytes }
    }

    // One test, since what one try holds is counted for the whole process.
    #[test]
    fn panics_and_allocations_are_found_and_quiet_parsers_pass() {
        let quiet = target("quiet", |input| input.iter().map(|byte| u64::from(*byte)).sum());
        assert_eq!(walk(&quiet, &options(1)), ExitCode::SUCCESS);

        let panics = target("panics", |input| {
            assert!(!matches!(input, [0x7f, 0xff, ..]), "the parser's own bug");
            u64::from(input.first() == Some(&0x7f))
        });
        assert_eq!(walk(&panics, &options(1)), ExitCode::FAILURE);
        assert_eq!(attempt(&panics, &[0x7f, 0xff]), Err("panic: the parser's own bug".to_owned()));

        let greedy =
            target("greedy", |input| Vec::<u8>::with_capacity(input.len() << 12).capacity() as u64 >> 20);
        assert_eq!(walk(&greedy, &options(1)), ExitCode::FAILURE);

        let found = fs::read_dir(artifacts()).unwrap().map(|file| file.unwrap().path());
        for path in found.filter(|path| path.to_string_lossy().contains("-1-")) {
            fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn a_seed_walks_the_same_way_again() {
        let pool = [vec![1, 2, 3], vec![9; 40]];
        let walked = |seed| {
            let mut random = Random::new(seed);
            (0..100).map(|_| mutate::changed(&pool, &mut random)).collect::<Vec<_>>()
        };
        assert_eq!(walked(7), walked(7));
        assert_ne!(walked(7), walked(8));
    }
}

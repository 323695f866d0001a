//! What becomes of bytes on the disk that nobody of ours wrote?
//!
//! ```text
//! commit      one commit, damaged or forged         read_commit, both copies, wrong lengths
//! journal     files of well-formed commits that lie chain, replay, adoption by a start
//! checkpoint  states, lists of elders, manifests    decode and encode
//! index       index files                           decode, encode, every question
//! ```
//! Each takes the bytes of a fuzzer, tries a parser and panics when a promise is broken; the number it returns says which
//! way was taken. Only tests and fuzz targets have this room: what it reaches is private to the crate.

mod checkpoint;
mod commit;
mod index;
mod journal;

pub use checkpoint::{checkpoint, checkpoint_seeds};
pub use commit::{commit, commit_seeds};
pub use index::{index, index_seed};
pub use journal::{journal, journal_seeds};

/// Gives every commit of a journal file's bytes the checksums of what it holds now, so that changed fields reach the
/// parsers behind the checksums.
pub fn reseal_journal(bytes: &mut [u8]) {
    crate::journal::reseal(bytes);
}

/// Choices taken off an input; zeros once it has ended.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut found = [0; N];
        for (target, byte) in found.iter_mut().zip(self.bytes(N)) {
            *target = *byte;
        }
        found
    }
    fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.array())
    }
    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }
    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }
    fn i64(&mut self) -> i64 {
        i64::from_le_bytes(self.array())
    }
    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        head
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// The inputs to begin with, and those that fuzzing kept.
    fn try_all(target: &str, seeds: Vec<Vec<u8>>, check: fn(&[u8]) -> u64) {
        for seed in seeds {
            check(&seed);
        }
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
        let mut count = 0;
        for file in fs::read_dir(&corpus).unwrap() {
            check(&fs::read(file.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 10, "{} is there", corpus.display());
    }

    #[test]
    fn a_commit_is_read_as_it_was_written_or_not_at_all() {
        try_all("commit", commit_seeds(), commit);
    }

    #[test]
    fn journals_give_every_log_back_and_those_that_lie_bring_no_start_down() {
        try_all("journal", journal_seeds(), journal);
    }

    #[test]
    fn states_lists_of_elders_and_manifests_are_kept_exactly_or_refused() {
        try_all("checkpoint", checkpoint_seeds(), checkpoint);
    }

    #[test]
    fn an_index_that_is_taken_is_in_order() {
        try_all("index", vec![index_seed(&[(3, 100, 0)], 1000)], |input| {
            let bytes = input.get(1..).unwrap_or_default();
            u64::from(index(&[bytes, &crc32c::crc32c(bytes).to_le_bytes()].concat(), 1000))
        });
    }
}

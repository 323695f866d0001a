//! The list of a log directory's journal files, so that a missing one is noticed.
//!
//! A small file, replaced atomically and synced before a file named in it is first used.

use super::codec::{Put, Take};

const MAGIC: &[u8; 8] = b"TWMANIF2";
/// A manifest names at most this many files.
const FILES_MAX: usize = 65_536;

/// One journal file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct JournalFile {
    /// Names it: `00000007.journal`.
    pub(crate) number: u32,
    /// Its length, all of it written once.
    pub(crate) bytes: u64,
}

impl JournalFile {
    /// Its name in the journal directory.
    pub(crate) fn name(&self) -> String {
        format!("{:08}.journal", self.number)
    }
}

/// The journal files of a directory, and how often a broker started on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) start_counter: u64,
    /// The newest start whose journals held a first table, synced, before it served anybody: a directory where none of
    /// them is as new holds an older copy of its journals.
    pub(crate) served_counter: u64,
    pub(crate) files: Vec<JournalFile>,
}

impl Manifest {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Put::default();
        out.bytes(MAGIC).u64(self.start_counter).u64(self.served_counter).u32(self.files.len() as u32);
        for file in &self.files {
            out.u32(file.number).u64(file.bytes);
        }
        let checksum = crc32c::crc32c(&out.0);
        out.u32(checksum);
        out.0
    }

    /// `None` for bytes that `encode` did not write.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, checksum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        if crc32c::crc32c(content).to_le_bytes() != *checksum {
            return None;
        }
        let mut take = Take(content);
        if take.array::<8>()? != *MAGIC {
            return None;
        }
        let (start_counter, served_counter) = (take.u64()?, take.u64()?);
        let count = take.count(12).filter(|count| *count <= FILES_MAX)?;
        let mut files = Vec::with_capacity(count);
        for _ in 0..count {
            files.push(JournalFile { number: take.u32()?, bytes: take.u64()? });
        }
        // A number is left for the next file.
        let is_sound = take.0.is_empty() && files.iter().all(|file| file.number < u32::MAX);
        is_sound.then_some(Self { start_counter, served_counter, files })
    }

    /// The number for a new file.
    pub(crate) fn number_next(&self) -> u32 {
        self.files.iter().map(|file| file.number + 1).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_back_and_one_that_is_cut_or_changed_does_not() {
        let files = (0..5).map(|number| JournalFile { number, bytes: 1 << 26 }).collect();
        let manifest = Manifest { start_counter: 12, served_counter: 11, files };
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes), Some(manifest.clone()));
        assert_eq!(manifest.number_next(), 5);
        for at in 0..bytes.len() {
            let mut torn = bytes.clone();
            torn[at] ^= 4;
            assert_eq!(Manifest::decode(&torn), None);
            assert_eq!(Manifest::decode(&bytes[..at]), None);
        }
    }
}

//! One simulated file: what is on the medium, and what a power cut may still take back.

use super::random::Random;
use crate::io::BLOCK_BYTES;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// What devices write whole even when the power fails.
const SECTOR_BYTES: usize = 512;

/// A block's bytes; `None` is all zeros.
pub(super) type Block = Option<Rc<[u8; BLOCK_BYTES]>>;

/// See the file's header.
#[derive(Default)]
pub(super) struct File {
    /// Blocks that stay whatever happens.
    synced: BTreeMap<u64, Block>,
    /// What was written to each block since its last sync, oldest first, each with the number of its write.
    unsynced: BTreeMap<u64, Vec<(u64, Block)>>,
    synced_bytes: u64,
    bytes: u64,
    /// The open file that holds the lock, and until when a write of a killed process keeps it taken.
    pub(super) locked_by: Option<u64>,
    pub(super) locked_until: Duration,
}

/// What a sync that begins now will cover.
#[derive(Clone, Copy)]
pub(super) struct Covered {
    write_end: u64,
    bytes: u64,
}

/// The bytes of a block that is not all zeros.
pub(super) fn block_of(bytes: &[u8]) -> Block {
    let mut block = [0; BLOCK_BYTES];
    block[..bytes.len()].copy_from_slice(bytes);
    (block != [0; BLOCK_BYTES]).then(|| Rc::new(block))
}

impl File {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn block(&self, number: u64) -> Block {
        let unsynced = self.unsynced.get(&number).and_then(|writes| writes.last());
        unsynced.map(|(_, block)| block.clone()).or_else(|| self.synced.get(&number).cloned()).flatten()
    }

    /// As reads see it now; short at the end of the file.
    pub(super) fn read(&self, at: u64, bytes: usize) -> Vec<u8> {
        let bytes = self.bytes.saturating_sub(at).min(bytes as u64) as usize;
        let mut found = vec![0; bytes];
        for (number, target) in (at / BLOCK_BYTES as u64..).zip(found.chunks_mut(BLOCK_BYTES)) {
            if let Some(block) = self.block(number) {
                target.copy_from_slice(&block[..target.len()]);
            }
        }
        found
    }

    /// Writes one block, unsynced.
    pub(super) fn write(&mut self, number: u64, block: Block, write: u64) {
        if self.synced.get(&number) == Some(&block) && !self.unsynced.contains_key(&number) {
            return;
        }
        if block.is_none() && !self.synced.contains_key(&number) && !self.unsynced.contains_key(&number) {
            return; // zeros where there never was anything
        }
        self.unsynced.entry(number).or_default().push((write, block));
    }

    /// Makes the file at least this long.
    pub(super) fn extend(&mut self, bytes: u64) {
        self.bytes = self.bytes.max(bytes);
    }

    /// Cuts or extends the file to exactly this length; what lay beyond is zeros if it ever grows again.
    pub(super) fn cut(&mut self, bytes: u64, write: u64) {
        let whole = bytes / BLOCK_BYTES as u64;
        let rest = (bytes % BLOCK_BYTES as u64) as usize;
        let beyond: Vec<u64> = self.synced.keys().chain(self.unsynced.keys()).copied().collect();
        for number in beyond.into_iter().filter(|number| *number >= whole) {
            let kept = if number == whole { rest } else { 0 };
            let block = self.block(number).and_then(|block| block_of(&block[..kept]));
            self.write(number, block, write);
        }
        self.bytes = bytes;
    }

    /// A sync begins: later writes are not covered by it.
    pub(super) fn begin_sync(&self, write_end: u64) -> Covered {
        Covered { write_end, bytes: self.bytes }
    }

    /// The sync ended well.
    pub(super) fn end_sync(&mut self, covered: Covered) {
        self.synced_bytes = covered.bytes;
        let synced = &mut self.synced;
        self.unsynced.retain(|number, writes| {
            let count = writes.partition_point(|(write, _)| *write < covered.write_end);
            if let Some((_, block)) = writes.drain(..count).next_back() {
                synced.insert(*number, block);
            }
            !writes.is_empty()
        });
    }

    /// A sync failed: what was written may be gone, and reads show it or not. Whether anything is.
    pub(super) fn lose_some(&mut self, random: &mut Random) -> bool {
        let before = self.unsynced.len();
        self.unsynced.retain(|_, _| random.per_mille(500));
        self.unsynced.len() < before
    }

    /// The power is cut: each unsynced block keeps its old content, one of its new ones, or sectors of both.
    pub(super) fn power_cut(&mut self, random: &mut Random) {
        for (number, writes) in std::mem::take(&mut self.unsynced) {
            let mut kept = self.synced.get(&number).cloned().flatten();
            for (_, block) in writes {
                kept = match random.below(5) {
                    0 | 1 => kept,
                    2 | 3 => block,
                    _ => torn(&kept, &block, random),
                };
            }
            self.synced.insert(number, kept);
        }
        if random.per_mille(500) {
            self.synced_bytes = self.bytes;
        }
        self.bytes = self.synced_bytes;
        let end = self.bytes.div_ceil(BLOCK_BYTES as u64);
        self.synced.retain(|number, _| *number < end);
        self.unlock();
    }

    /// The process is gone, and its locks with it.
    pub(super) fn unlock(&mut self) {
        self.locked_by = None;
    }

    /// Turns one bit of what is on the medium.
    pub(super) fn flip(&mut self, at: u64, bit: u32) {
        let number = at / BLOCK_BYTES as u64;
        let mut block = self.block(number).map_or([0; BLOCK_BYTES], |block| *block);
        block[(at % BLOCK_BYTES as u64) as usize] ^= 1 << (bit % 8);
        self.unsynced.remove(&number);
        self.synced.insert(number, block_of(&block));
    }
}

/// Some sectors of the one, the rest of the other.
pub(super) fn torn(old: &Block, new: &Block, random: &mut Random) -> Block {
    let mut block = old.as_ref().map_or([0; BLOCK_BYTES], |block| **block);
    for start in (0..BLOCK_BYTES).step_by(SECTOR_BYTES) {
        if random.per_mille(500) {
            let sector = start..start + SECTOR_BYTES;
            match new {
                Some(new) => block[sector.clone()].copy_from_slice(&new[sector]),
                None => block[sector].fill(0),
            }
        }
    }
    block_of(&block)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(byte: u8) -> Block {
        block_of(&[byte; BLOCK_BYTES])
    }

    #[test]
    fn a_synced_block_stays_and_an_unsynced_one_may_go_or_be_torn() {
        let mut seen = [0; 3];
        for seed in 0..100 {
            let mut file = File::default();
            file.extend(2 * BLOCK_BYTES as u64);
            file.write(0, filled(1), 0);
            let covered = file.begin_sync(1);
            file.write(1, filled(2), 1);
            file.end_sync(covered);
            file.power_cut(&mut Random::new(seed));
            let bytes = file.read(0, 2 * BLOCK_BYTES);
            assert!(bytes[..BLOCK_BYTES].iter().all(|byte| *byte == 1));
            let count: usize = bytes[BLOCK_BYTES..].iter().map(|byte| usize::from(*byte == 2)).sum();
            assert!(count.is_multiple_of(SECTOR_BYTES));
            seen[usize::from(count > 0) + usize::from(count == BLOCK_BYTES)] += 1;
        }
        assert!(seen.iter().all(|count| *count > 5), "{seen:?}");
    }

    #[test]
    fn what_was_cut_off_is_zeros_when_the_file_grows_again() {
        let mut file = File::default();
        file.extend(2 * BLOCK_BYTES as u64);
        file.write(0, filled(1), 0);
        file.write(1, filled(1), 0);
        file.cut(10, 1);
        assert_eq!(file.read(0, 2 * BLOCK_BYTES), [1; 10]);
        file.extend(2 * BLOCK_BYTES as u64);
        assert_eq!(file.read(0, 2 * BLOCK_BYTES).iter().filter(|byte| **byte != 0).count(), 10);
    }
}

//! Which journal files a log still needs.

use crate::units::{FilePos, Offset};
use std::collections::VecDeque;

/// Order in which a shard's journal files were begun, older starts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileSeq(pub(crate) u64);

/// The journal files that hold bytes of one log which are not yet in its segments, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    files: VecDeque<(FileSeq, Offset, FilePos)>,
}

impl Pins {
    /// Bytes of the segment at `base` up to `end` stand in `file`.
    pub(crate) fn add(&mut self, file: FileSeq, base: Offset, end: FilePos) {
        match self.files.back_mut() {
            Some(last) if last.0 == file && last.1 == base => last.2 = end,
            _ => self.files.push_back((file, base, end)),
        }
    }

    /// Everything of the segment at `base` below `written_end` is in its file. Says nothing of the segment before it,
    /// which may still be sealing while a large run goes to this one.
    pub(crate) fn on_written(&mut self, base: Offset, written_end: FilePos) {
        self.files.retain(|(_, known, end)| *known != base || *end > written_end);
    }

    /// All that is needed was copied into `file`: nothing older holds it now.
    pub(crate) fn move_to(&mut self, file: FileSeq, base: Offset, end: FilePos) {
        self.files.clear();
        self.files.push_back((file, base, end));
    }

    /// The oldest file that is needed.
    pub(crate) fn oldest(&self) -> Option<FileSeq> {
        self.files.front().map(|(file, _, _)| *file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_needed_until_the_last_byte_in_it_is_written_back() {
        let (base, next) = (Offset::ZERO, Offset::new(10));
        let mut pins = Pins::default();
        pins.add(FileSeq(1), base, FilePos::new(100));
        pins.add(FileSeq(1), base, FilePos::new(5000));
        pins.add(FileSeq(2), base, FilePos::new(9000));
        pins.add(FileSeq(2), next, FilePos::new(50));
        pins.on_written(base, FilePos::new(4096));
        assert_eq!(pins.oldest(), Some(FileSeq(1)));
        pins.on_written(base, FilePos::new(8192));
        assert_eq!(pins.oldest(), Some(FileSeq(2)));
        pins.on_written(base, FilePos::new(9000));
        assert_eq!(pins.oldest(), Some(FileSeq(2)));
        pins.move_to(FileSeq(3), next, FilePos::new(50));
        assert_eq!(pins.oldest(), Some(FileSeq(3)));
    }

    /// Found by a seed: the file with the end of a sealing segment was given back, and after a crash the log was fenced.
    #[test]
    fn a_run_into_the_next_segment_gives_back_nothing_of_the_one_before_it() {
        let (base, next) = (Offset::ZERO, Offset::new(10));
        let mut pins = Pins::default();
        pins.add(FileSeq(1), base, FilePos::new(5000));
        pins.on_written(next, FilePos::new(65_536));
        assert_eq!(pins.oldest(), Some(FileSeq(1)));
        pins.on_written(base, FilePos::new(5000));
        assert_eq!(pins.oldest(), None);
    }
}

//! Where a read stands in a segment, and what may be in its way.

use crate::segment::{Gathered, IndexEntry, Located};
use crate::units::{FilePos, Offset};
use std::io;

/// Why a read did not end as hoped, before it is told to the server.
pub(super) enum Trouble {
    Io(io::Error),
    /// Stored bytes do not check.
    Corrupt(Rot),
    Gone,
}

/// What did not check, and where.
pub(super) struct Rot {
    pub(super) what: String,
    /// The segment.
    pub(super) base: Offset,
    pub(super) at: FilePos,
    /// The offset that should stand there.
    pub(super) offset: Offset,
}

impl Trouble {
    pub(super) fn rot(what: String, base: Offset, at: FilePos, offset: Offset) -> Self {
        Self::Corrupt(Rot { what, base, at, offset })
    }
}

/// Steps through the batches of one segment.
pub(super) struct Cursor {
    pub(super) base: Offset,
    pub(super) at: FilePos,
    /// Offset of the batch there.
    pub(super) offset: Offset,
    pub(super) gathered: Gathered,
    /// Bytes that pages gave.
    pub(super) from_disk: u64,
    /// The bytes from here on were read a second time.
    pub(super) again_from: Option<FilePos>,
}

impl Cursor {
    pub(super) fn new(base: Offset, start: Option<IndexEntry>) -> Self {
        let (at, offset) = start.map_or((FilePos::ZERO, base), |entry| (entry.position, entry.offset));
        Self::at(base, at, offset)
    }

    pub(super) fn at(base: Offset, at: FilePos, offset: Offset) -> Self {
        Self { base, at, offset, gathered: Gathered::from(at), from_disk: 0, again_from: None }
    }

    /// The next batch to look at stands at `at`; what was gathered stays.
    pub(super) fn move_to(&mut self, at: FilePos, offset: Offset) {
        (self.at, self.offset) = (at, offset);
    }

    /// The bytes of this batch are not needed any more.
    pub(super) fn skip(&mut self, located: &Located) {
        self.gathered.skip_to(located.end.min(self.gathered.end()));
    }

    pub(super) fn rot(&self, what: &str) -> Rot {
        Rot { what: what.to_owned(), base: self.base, at: self.at, offset: self.offset }
    }

    pub(super) fn corrupt(&self, what: &str) -> Trouble {
        Trouble::Corrupt(self.rot(what))
    }
}

//! The quantities of the engine, one type each, so that an offset never becomes a position.
//!
//! Ranges are half-open everywhere: a field is `start` or `end`, never "last".

use std::fmt;

/// Place of a record in its partition, counted in records: dense, never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(i64);

impl Offset {
    /// The first offset of every new log.
    pub const ZERO: Self = Self(0);

    /// `None` below zero: -1 means "unset" on the wire and must not travel further in.
    pub fn from_wire(raw: i64) -> Option<Self> {
        (raw >= 0).then_some(Self(raw))
    }

    /// An offset from a number of ours.
    ///
    /// # Panics
    /// On a negative number: that is a bug of the caller, not bad input.
    pub fn new(raw: i64) -> Self {
        assert!(raw >= 0, "offset {raw} is negative");
        Self(raw)
    }

    /// The number as the wire and the files spell it.
    pub fn as_i64(self) -> i64 {
        self.0
    }

    /// The offset `record_count` records further on.
    #[must_use]
    pub fn advance(self, record_count: u32) -> Self {
        Self(self.0 + i64::from(record_count))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Place in one segment file, counted in bytes from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePos(u64);

impl FilePos {
    /// The first byte of a file.
    pub const ZERO: Self = Self(0);

    /// A position from a count of bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes before this position.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The position `bytes` further on.
    #[must_use]
    pub const fn advance(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }
}

impl fmt::Display for FilePos {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// How often leadership of a partition changed hands; rises at every unclean start too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaderEpoch(pub i32);

/// Milliseconds since 1970-01-01 UTC, as record batches carry them; -1 is "none".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Kafka's "no timestamp".
    pub const NONE: Self = Self(-1);
}

/// Identity that the broker gave an idempotent producer; never negative here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerId(pub i64);

/// Random identity of a log, never used again, also stored in its directory (docs/format.md, rule 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub [u8; 16]);

impl fmt::Display for LogId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).as_simple().fmt(formatter)
    }
}

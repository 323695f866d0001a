//! Bytes in, whole frames out: 4 bytes of length, then so many bytes.
//!
//! Memory grows with the bytes that came, never with those that were promised; a connection that has sent large frames
//! before gets its next one's memory at once.

use std::io;

/// The first piece of memory for a frame.
const FIRST_BYTES: usize = 16 << 10;

/// A length that is refused before a byte of the frame is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {bytes} B; socket.request.max.bytes is {limit}")]
pub(super) struct FrameError {
    pub(super) bytes: i32,
    pub(super) limit: usize,
}

impl From<FrameError> for io::Error {
    fn from(error: FrameError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Decides how much memory a frame gets next.
pub(super) struct Growth {
    /// The longest frame that this connection has sent whole.
    trusted_bytes: usize,
}

impl Growth {
    pub(super) fn new() -> Self {
        Self { trusted_bytes: FIRST_BYTES }
    }

    /// A frame's length from its prefix.
    pub(super) fn length(prefix: [u8; 4], limit: usize) -> Result<usize, FrameError> {
        let bytes = i32::from_be_bytes(prefix);
        usize::try_from(bytes).ok().filter(|length| *length <= limit).ok_or(FrameError { bytes, limit })
    }

    /// How many bytes of memory a frame of `length` gets when `filled` of it have come.
    pub(super) fn next(&self, length: usize, filled: usize) -> usize {
        length.min(self.trusted_bytes.max(filled.saturating_mul(2)).max(FIRST_BYTES))
    }

    /// A frame of `length` came whole.
    pub(super) fn complete(&mut self, length: usize) {
        self.trusted_bytes = self.trusted_bytes.max(length).min(4 << 20);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_lies_is_refused_before_memory_is_taken() {
        assert!(Growth::length((-1i32).to_be_bytes(), 100).is_err());
        assert!(Growth::length(101i32.to_be_bytes(), 100).is_err());
        assert_eq!(Growth::length(100i32.to_be_bytes(), 100), Ok(100));
    }

    #[test]
    fn memory_follows_what_came_until_a_connection_has_earned_more() {
        let mut growth = Growth::new();
        assert_eq!(growth.next(90 << 20, 0), FIRST_BYTES);
        assert_eq!(growth.next(90 << 20, 1 << 20), 2 << 20);
        assert_eq!(growth.next(100, 0), 100);
        growth.complete(1 << 20);
        assert_eq!(growth.next(90 << 20, 0), 1 << 20);
    }
}

//! Read values off one frame; nothing is allocated before the bytes for it are known to be there.
//!
//! ```text
//! frame   | read | ............ left ............ | beyond a tagged field |
//!                ^ position                       ^ end
//! ```
//! Two bounds hold for any bytes: an array reserves at most `left / smallest element` elements, and all that is
//! allocated while one frame is read stays within the reader's allowance (`memory_bytes_max`).

use super::error::WireError;
use bytes::Bytes;

/// Memory that any frame may unfold to, however small.
pub const DECODED_BYTES_MIN: usize = 64 * 1024;
/// Memory per byte of the frame: a list of names of one letter is 13 times as large in memory as on the wire.
pub const DECODED_PER_FRAME_BYTE: usize = 16;
/// Memory that no frame may pass, however large. Record bytes do not count: they stay in the frame.
pub const DECODED_BYTES_MAX: usize = 128 * 1024 * 1024;

/// A tagged field is a number and a size, one byte each at least.
const TAGGED_FIELD_BYTES_MIN: usize = 2;

/// A place in a frame.
#[derive(Debug)]
pub struct Reader {
    frame: Bytes,
    position: usize,
    end: usize,
    memory_bytes_left: usize,
    field: &'static str,
}

impl Reader {
    /// Starts at the first byte, with the usual allowance of memory.
    pub fn new(frame: Bytes) -> Self {
        let scaled = frame.len().saturating_mul(DECODED_PER_FRAME_BYTE).saturating_add(DECODED_BYTES_MIN);
        Self::with_memory(frame, scaled.min(DECODED_BYTES_MAX))
    }

    /// Starts at the first byte; what is decoded takes at most `memory_bytes_max` of new memory.
    pub fn with_memory(frame: Bytes, memory_bytes_max: usize) -> Self {
        let end = frame.len();
        Self { frame, position: 0, end, memory_bytes_left: memory_bytes_max, field: "frame" }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bytes not read yet.
    pub fn remaining_bytes(&self) -> usize {
        self.end.saturating_sub(self.position)
    }

    /// Names what is read next, for errors.
    pub(super) fn enter(&mut self, field: &'static str) {
        self.field = field;
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let bytes = self.frame.get(self.position..self.end).and_then(|rest| rest.first_chunk::<N>());
        let Some(&bytes) = bytes else { return Err(self.truncated(N)) };
        self.position += N;
        Ok(bytes)
    }

    /// The next bytes as a slice of the frame, which stays alive as long as the slice does.
    pub(super) fn slice(&mut self, bytes: usize) -> Result<Bytes, WireError> {
        if bytes > self.remaining_bytes() {
            return Err(self.truncated(bytes));
        }
        let slice = self.frame.slice(self.position..self.position + bytes);
        self.position += bytes;
        Ok(slice)
    }

    /// The next bytes as text, copied. What is not UTF-8 becomes U+FFFD, as Kafka reads it: a client with a name in
    /// another encoding is served, a topic of such a name is refused by its name.
    pub(super) fn text(&mut self, bytes: usize) -> Result<String, WireError> {
        let end = self.position.saturating_add(bytes);
        let text = self.frame.get(self.position..end).filter(|_| end <= self.end);
        let Some(text) = text else { return Err(self.truncated(bytes)) };
        let text = String::from_utf8_lossy(text).into_owned();
        self.charge(text.len())?;
        self.position = end;
        Ok(text)
    }

    /// An unsigned number, seven bits a byte, lowest first.
    pub(super) fn varint(&mut self) -> Result<u32, WireError> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::Varint { field: self.field, position: self.position })
    }

    /// Checks that `count` elements of at least `bytes_min` each can be there, and that they fit the allowance.
    pub(super) fn admit(
        &mut self,
        count: i64,
        bytes_min: usize,
        memory_each_bytes: usize,
    ) -> Result<usize, WireError> {
        let remaining_bytes = self.remaining_bytes();
        let (field, position) = (self.field, self.position);
        match usize::try_from(count) {
            Ok(elements) if elements <= remaining_bytes / bytes_min.max(1) => {
                self.charge(elements.saturating_mul(memory_each_bytes))?;
                Ok(elements)
            }
            _ => Err(WireError::Count { field, count, remaining_bytes, position }),
        }
    }

    fn charge(&mut self, needed_bytes: usize) -> Result<(), WireError> {
        let allowed_bytes = self.memory_bytes_left;
        match allowed_bytes.checked_sub(needed_bytes) {
            Some(left) => {
                self.memory_bytes_left = left;
                Ok(())
            }
            None => Err(WireError::Memory {
                field: self.field,
                needed_bytes,
                allowed_bytes,
                position: self.position,
            }),
        }
    }

    /// Reads a section of tagged fields: `known` reads a field and says true, or leaves it to be skipped.
    pub(super) fn tagged_fields(
        &mut self,
        mut known: impl FnMut(&mut Self, u32) -> Result<bool, WireError>,
    ) -> Result<(), WireError> {
        self.field = "tagged fields";
        let count = self.varint()?;
        let count = self.admit(i64::from(count), TAGGED_FIELD_BYTES_MIN, 0)?;
        for _ in 0..count {
            self.field = "tagged field";
            let tag = self.varint()?;
            let bytes = self.varint()? as usize;
            if bytes > self.remaining_bytes() {
                return Err(self.truncated(bytes));
            }
            let outer_end = self.end;
            let end = self.position + bytes;
            self.end = end;
            if !known(self, tag)? {
                self.position = end;
            }
            if self.position != end {
                return Err(WireError::TaggedField { tag, position: self.position, end });
            }
            self.end = outer_end;
        }
        Ok(())
    }

    pub(super) fn null(&self) -> WireError {
        WireError::Null { field: self.field, position: self.position }
    }

    pub(super) fn bad_length(&self, length: i64) -> WireError {
        WireError::Length { field: self.field, length, position: self.position }
    }

    pub(super) fn unknown_error_code(&self, code: i16) -> WireError {
        WireError::UnknownErrorCode { field: self.field, code, position: self.position }
    }

    fn truncated(&self, needed_bytes: usize) -> WireError {
        WireError::Truncated {
            field: self.field,
            needed_bytes,
            remaining_bytes: self.remaining_bytes(),
            position: self.position,
        }
    }
}

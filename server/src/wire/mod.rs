//! What do the bytes of a request mean, and how is an answer spelled?
//!
//! Pure: bytes in, values out, and back; no socket, no clock. The layout of every version comes from one table per
//! message (`table.rs`), so that decoding, encoding and size cannot disagree.
//! ```text
//! reader, writer    bytes, with every length checked before anything is allocated
//! field             the types of the protocol and their forms
//! table             one table per message -> struct, defaults, decode, encode, size
//! messages          the tables;  produce, fetch: those of the data path, around slices of records
//! header, answer    what stands around a body;  stored: around a record that the broker keeps for itself
//! versions, codes   which requests are answered;  Kafka's error numbers
//! ```
//! Bytes from a socket never panic here and never allocate more than a bounded multiple of themselves.
#![deny(clippy::indexing_slicing, clippy::expect_used)]

pub mod answer;
pub mod codes;
pub mod error;
pub mod fetch;
pub mod field;
pub mod header;
pub mod messages;
pub mod produce;
pub mod reader;
pub mod stored;
mod table;
#[cfg(test)]
mod tests;
pub mod versions;
pub mod writer;

pub use answer::Answer;
pub use codes::ErrorCode;
pub use error::WireError;
pub use header::{RequestHeader, ResponseHeader};
pub use reader::Reader;
pub use versions::ApiKey;
pub use writer::{Size, Writer};

use field::{Field, Form};
use std::ops::RangeInclusive;

/// A request or response, or a stored record with versions of its own.
pub trait Message {
    /// Kafka's name of it.
    const NAME: &'static str;
    /// Versions that can be read and written.
    const VERSIONS: RangeInclusive<i16>;
    /// The first version with compact types and tagged fields.
    const FLEXIBLE_SINCE: i16;
}

/// Reads a message.
pub trait Decode: Sized {
    /// Reads it where the reader stands; bytes behind it are left.
    ///
    /// # Errors
    /// `UnsupportedVersion`, or what is wrong with the bytes.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, WireError>;
}

/// Writes a message.
pub trait Encode {
    /// Writes it. What the version has no field for is left out; null where it has no null is written as empty.
    fn encode(&self, writer: &mut Writer, version: i16);
    /// What [`Self::encode`] will write.
    fn measure(&self, version: i16) -> Size;
    /// Bytes that [`Self::encode`] will write.
    fn encoded_bytes(&self, version: i16) -> usize {
        self.measure(version).bytes
    }
}

fn form<M: Message>(version: i16) -> Form {
    Form { version, flexible: version >= M::FLEXIBLE_SINCE, nullable: false }
}

impl<M: Message + Field> Decode for M {
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, WireError> {
        if !M::VERSIONS.contains(&version) {
            return Err(WireError::UnsupportedVersion { message: M::NAME, version });
        }
        M::read(reader, form::<M>(version))
    }
}

impl<M: Message + Field> Encode for M {
    fn encode(&self, writer: &mut Writer, version: i16) {
        self.write(writer, form::<M>(version));
    }

    fn measure(&self, version: i16) -> Size {
        let mut size = Size::default();
        Field::measure(self, &mut size, form::<M>(version));
        size
    }
}

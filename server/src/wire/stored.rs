//! Keys and values of records that a broker keeps for itself: their version as an i16, then the fields.

use super::error::WireError;
use super::field::{Field, Form};
use super::reader::Reader;
use super::writer::Writer;
use super::{Decode, Encode};
use bytes::Bytes;

const PLAIN: Form = Form { version: 0, flexible: false, nullable: false };

/// The version in front of a key or value.
///
/// # Errors
/// `Truncated`.
pub fn version(reader: &mut Reader) -> Result<i16, WireError> {
    reader.enter("version of a record");
    i16::read(reader, PLAIN)
}

/// Reads a value in whichever version it says. What follows the last field is from a later release and is let be.
///
/// # Errors
/// `UnsupportedVersion`, or what is wrong with the bytes.
pub fn decode<M: Decode>(bytes: &Bytes) -> Result<M, WireError> {
    let mut reader = Reader::new(bytes.clone());
    let version = version(&mut reader)?;
    M::decode(&mut reader, version)
}

/// Writes a key or value with its version in front.
pub fn encode(message: &impl Encode, version: i16) -> Bytes {
    let mut writer = Writer::with_capacity(size_of::<i16>() + message.encoded_bytes(version));
    version.write(&mut writer, PLAIN);
    message.encode(&mut writer, version);
    writer.into_bytes()
}

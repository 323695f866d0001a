//! What stands in front of every request and response.
//!
//! ```text
//! request  v1   key i16 | version i16 | correlation id i32 | client id, nullable string with an i16 length
//!          v2   the same | tagged fields                    (flexible versions; the client id stays as in v1)
//! response v0   correlation id i32
//!          v1   correlation id i32 | tagged fields          (flexible versions, but never ApiVersions: KIP-511)
//! ```

use super::error::WireError;
use super::field::{Field, Form};
use super::reader::Reader;
use super::versions::ApiKey;
use super::writer::Writer;

/// The client id keeps its old form in both header versions.
const CLIENT_ID: Form = Form { version: 0, flexible: false, nullable: true };
const PLAIN: Form = Form { version: 0, flexible: false, nullable: false };

/// Head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// What is asked.
    pub api_key: ApiKey,
    /// In which version: any number that the client sent.
    pub api_version: i16,
    /// Comes back in the answer.
    pub correlation_id: i32,
    /// How the client calls itself.
    pub client_id: Option<String>,
}

impl RequestHeader {
    /// Reads it; the reader then stands at the body.
    ///
    /// A version that is not served is no error here: `ApiVersions` has an answer to that.
    ///
    /// # Errors
    /// `UnknownApi`, or what is wrong with the bytes.
    pub fn read(reader: &mut Reader) -> Result<Self, WireError> {
        reader.enter("RequestHeader");
        let key = i16::read(reader, PLAIN)?;
        let api_version = i16::read(reader, PLAIN)?;
        let correlation_id = i32::read(reader, PLAIN)?;
        let api_key = ApiKey::from_i16(key).ok_or(WireError::UnknownApi { key })?;
        reader.enter("RequestHeader.client_id");
        let client_id = Option::read(reader, CLIENT_ID)?;
        if api_key.is_flexible(api_version) {
            reader.tagged_fields(|_, _| Ok(false))?;
        }
        Ok(Self { api_key, api_version, correlation_id, client_id })
    }

    /// Writes it.
    pub fn write(&self, writer: &mut Writer) {
        self.api_key.code().write(writer, PLAIN);
        self.api_version.write(writer, PLAIN);
        self.correlation_id.write(writer, PLAIN);
        self.client_id.write(writer, CLIENT_ID);
        if self.api_key.is_flexible(self.api_version) {
            writer.varint(0);
        }
    }
}

/// Head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHeader {
    /// That of the request.
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// Reads the head of an answer to that request.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn read(reader: &mut Reader, key: ApiKey, version: i16) -> Result<Self, WireError> {
        reader.enter("ResponseHeader");
        let correlation_id = i32::read(reader, PLAIN)?;
        if Self::has_tagged_fields(key, version) {
            reader.tagged_fields(|_, _| Ok(false))?;
        }
        Ok(Self { correlation_id })
    }

    /// Writes the head of an answer to that request.
    pub fn write(self, writer: &mut Writer, key: ApiKey, version: i16) {
        self.correlation_id.write(writer, PLAIN);
        if Self::has_tagged_fields(key, version) {
            writer.varint(0);
        }
    }

    /// Bytes that [`Self::write`] writes.
    pub fn encoded_bytes(key: ApiKey, version: i16) -> usize {
        size_of::<i32>() + usize::from(Self::has_tagged_fields(key, version))
    }

    fn has_tagged_fields(key: ApiKey, version: i16) -> bool {
        key != ApiKey::ApiVersions && key.is_flexible(version)
    }
}

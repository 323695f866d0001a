//! What stands in front of every request and answer.

use super::primitives::{Context, Field, Reader, WireError, Writer};
use super::versions::ApiKey;

/// The header of a request, versions 1 and 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// Which API.
    pub api_key: ApiKey,
    /// Which version of it.
    pub api_version: i16,
    /// Comes back with the answer.
    pub correlation_id: i32,
    /// How the client calls itself.
    pub client_id: Option<String>,
}

/// Why a request's header cannot be used. There is no answer to it: the connection closes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// An API that is not served.
    #[error("API key {api_key} is not served")]
    UnknownApi {
        /// As it was sent.
        api_key: i16,
    },
    /// The bytes do not suffice.
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl RequestHeader {
    /// Reads a header off a frame's front.
    ///
    /// # Errors
    /// See `HeaderError`.
    pub fn read(reader: &mut Reader) -> Result<Self, HeaderError> {
        let plain = Context { version: 0, flexible: false };
        let raw_key = i16::read(reader, plain)?;
        let api_version = i16::read(reader, plain)?;
        let api_key = ApiKey::from_i16(raw_key).ok_or(HeaderError::UnknownApi { api_key: raw_key })?;
        let correlation_id = i32::read(reader, plain)?;
        // The client id stays a classic string in header version 2 (KIP-482).
        let client_id = Option::<String>::read(reader, plain)?;
        if api_key.is_flexible(api_version) {
            reader.tagged(|_, _| Ok(()))?;
        }
        Ok(Self { api_key, api_version, correlation_id, client_id })
    }

    /// Starts the answer: its correlation id and, from header version 1 on, no tagged fields.
    pub fn answer(&self) -> Writer {
        let mut writer = Writer::default();
        self.correlation_id.write(&mut writer, Context { version: 0, flexible: false });
        if self.api_key.is_flexible(self.api_version) && self.api_key != ApiKey::ApiVersions {
            writer.varint(0);
        }
        writer
    }

    /// The version as the messages' tables want it.
    pub fn context(&self) -> Context {
        Context { version: self.api_version, flexible: self.api_key.is_flexible(self.api_version) }
    }
}

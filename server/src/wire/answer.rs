//! A whole answer, ready to be sent: owned pieces and slices of stored batches, in order.
//!
//! ```text
//! | i32 length | header | body ...... | batches | ...... | batches | ... |
//!   parts[0], owned                     slices    owned    slices    owned
//! ```
//! One pass over the body to measure, one to write; batches are neither copied nor looked at.

use super::Encode;
use super::header::{RequestHeader, ResponseHeader};
use super::writer::Writer;
use bytes::Bytes;

const LENGTH_BYTES: usize = size_of::<i32>();

/// Bytes of one answer, length in front, as they go to the socket one part after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The pieces, in order; none is empty. The owned ones share one allocation.
    pub parts: Vec<Bytes>,
    /// The sum of their lengths.
    pub bytes: usize,
}

impl Answer {
    /// The answer to a request with that header, in its version.
    ///
    /// Reserves exactly what the owned parts take.
    ///
    /// # Panics
    /// On an answer of 2 GiB and more: what goes into one answer is bounded long before.
    pub fn of(header: &RequestHeader, body: &impl Encode) -> Self {
        let (key, version) = (header.api_key, header.api_version);
        let size = body.measure(version);
        let framed_bytes = ResponseHeader::encoded_bytes(key, version) + size.bytes;
        assert!(i32::try_from(framed_bytes).is_ok(), "an answer of {framed_bytes} B to {key} v{version}");
        let bytes = LENGTH_BYTES + framed_bytes;
        let mut writer = Writer::with_capacity(bytes - size.slice_bytes);
        writer.put(&(framed_bytes as i32).to_be_bytes());
        ResponseHeader { correlation_id: header.correlation_id }.write(&mut writer, key, version);
        body.encode(&mut writer, version);
        let parts = writer.into_parts();
        debug_assert_eq!(
            parts.iter().map(Bytes::len).sum::<usize>(),
            bytes,
            "{key} v{version} was measured wrongly"
        );
        Self { parts, bytes }
    }

    /// The answer as one run of bytes, copied: for tests.
    pub fn concat(&self) -> Vec<u8> {
        self.parts.concat()
    }
}

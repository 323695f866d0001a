//! An answer on its way out: pieces in order, each owned or shared with a log's tail or the cache.

use super::header::RequestHeader;
use super::primitives::{Field, Writer};
use bytes::Bytes;

/// The bytes of one answer, length prefix included. Records in it are shared slices, never copied.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// In order.
    pub parts: Vec<Bytes>,
    /// Sum of the parts.
    pub bytes: usize,
}

impl Answer {
    /// An answer of one message.
    pub fn of(header: &RequestHeader, message: &impl Field) -> Self {
        let mut writer = header.answer();
        message.write(&mut writer, header.context());
        Self::framed(vec![writer.bytes.freeze()])
    }

    /// Puts the length in front.
    pub fn framed(parts: Vec<Bytes>) -> Self {
        let body: usize = parts.iter().map(Bytes::len).sum();
        let mut framed = Vec::with_capacity(parts.len() + 1);
        framed.push(Bytes::copy_from_slice(&(body as i32).to_be_bytes()));
        framed.extend(parts);
        Self { parts: framed, bytes: body + 4 }
    }

    /// The answer as one run of bytes: for tests.
    pub fn concat(&self) -> Vec<u8> {
        self.parts.concat()
    }
}

/// Collects an answer with record slices in it.
#[derive(Default)]
pub struct AnswerBuilder {
    parts: Vec<Bytes>,
    /// Where fields go next.
    pub writer: Writer,
}

impl AnswerBuilder {
    /// Begins with what was written so far.
    pub fn new(writer: Writer) -> Self {
        Self { parts: Vec::new(), writer }
    }

    /// Adds slices as they are.
    pub fn slices(&mut self, slices: Vec<Bytes>) {
        if !slices.is_empty() {
            self.parts.push(self.writer.bytes.split().freeze());
            self.parts.extend(slices);
        }
    }

    /// The answer, framed.
    pub fn finish(mut self) -> Answer {
        self.parts.push(self.writer.bytes.split().freeze());
        Answer::framed(self.parts)
    }
}

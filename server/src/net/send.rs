//! Answers on their way out: gathered writes of their parts as they lie in memory.
//!
//! The one place where ways to send are tried. Answers that are ready together leave in one call of the kernel; what the
//! socket does not take stays, and no byte is copied in user space.

use crate::wire::Answer;
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::IoSlice;

/// Parts that one call gathers; more wait for the next.
pub const PARTS_MAX: usize = 128;

/// What is to be sent on one connection, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    parts: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbox {
    /// Puts an answer behind the others.
    pub fn push(&mut self, answer: Answer) {
        self.bytes += answer.bytes;
        self.parts.extend(answer.parts.into_iter().filter(|part| !part.is_empty()));
    }

    /// Bytes that are not sent yet.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether all is sent.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Points `slices` at the next parts; returns how many.
    pub fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; PARTS_MAX]) -> usize {
        for (slice, part) in slices.iter_mut().zip(&self.parts) {
            *slice = IoSlice::new(part);
        }
        self.parts.len().min(PARTS_MAX)
    }

    /// The socket took `count` bytes.
    ///
    /// # Panics
    /// If that is more than there were.
    pub fn advance(&mut self, mut count: usize) {
        assert!(count <= self.bytes, "the socket took {count} B of {}", self.bytes);
        self.bytes -= count;
        while let Some(part) = self.parts.front_mut().filter(|_| count > 0) {
            let taken = count.min(part.len());
            part.advance(taken);
            count -= taken;
            if part.is_empty() {
                self.parts.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(parts: &[&'static str]) -> Answer {
        let parts: Vec<Bytes> = parts.iter().map(|part| Bytes::from_static(part.as_bytes())).collect();
        Answer { bytes: parts.iter().map(Bytes::len).sum(), parts }
    }

    #[test]
    fn partial_writes_go_on_where_they_stopped() {
        for step in 1..20 {
            let mut outbox = Outbox::default();
            outbox.push(answer(&["head", "", "records", "tail"]));
            outbox.push(answer(&["next"]));
            let mut sent = Vec::new();
            while !outbox.is_empty() {
                let mut slices = [IoSlice::new(&[]); PARTS_MAX];
                let count = outbox.gather(&mut slices);
                let joined: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
                let taken = joined.len().min(step);
                sent.extend_from_slice(&joined[..taken]);
                outbox.advance(taken);
            }
            assert_eq!((sent.as_slice(), outbox.bytes()), (&b"headrecordstailnext"[..], 0));
        }
    }
}

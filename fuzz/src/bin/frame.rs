//! Bytes of a socket into frames, in pieces of any size: the same frames as a plain cutter finds in the whole.
//!
//! The first bytes of an input choose the limit and the pieces; the rest is what the socket delivers.
#![no_main]

use bytes::Bytes;
use frames::{FrameError, Frames, Target as Room};
use thalweg_engine::io::sim::Random;

#[path = "../../../server/src/net/frame.rs"]
#[allow(dead_code, unused_imports, reason = "what the server uses of it")]
mod frames;

/// Limit (two bytes, times 16) and the seed of the pieces.
const CHOICES_BYTES: usize = 6;

thalweg_fuzz::target!(check, memory_bytes_max, seeds);

/// The pieces that came, twice while a buffer grows, and the buffers that any connection may have.
fn memory_bytes_max(input_bytes: usize) -> usize {
    256 * 1024 + 4 * input_bytes
}

fn check(input: &[u8]) -> u64 {
    let Some((choices, mut stream)) = input.split_first_chunk::<CHOICES_BYTES>() else { return 0 };
    let [high, low, seed @ ..] = *choices;
    let frame_bytes_max = 16 * usize::from(u16::from_be_bytes([high, low]));
    let mut pieces = Random::new(u64::from(u32::from_be_bytes(seed)));
    let mut expected = Plain { stream, frame_bytes_max };
    let mut frames = Frames::new(frame_bytes_max);
    let mut count = 0_u64;
    loop {
        match frames.cut() {
            Ok(Some(frame)) => {
                assert_eq!(Some(Ok(frame)), expected.next());
                count += 1;
                continue;
            }
            Ok(None) => {}
            Err(error) => {
                assert!(matches!(expected.next(), Some(Err(()))), "{error}, but the plain cutter goes on");
                return count << 2 | 1 | u64::from(matches!(error, FrameError::Negative { .. })) << 1;
            }
        }
        if stream.is_empty() {
            let left = expected.next();
            assert_eq!(left, None, "all has come, and a frame is held back");
            return count << 2 | u64::from(frames.is_between()) << 1;
        }
        frames.grow();
        let bits = pieces.below(17); // as often a few bytes as a full buffer
        let bytes = 1 + pieces.below(1 << bits) as usize;
        let taken = take(&mut frames, &stream[..bytes.min(stream.len())]);
        assert!(taken > 0, "there is no room after grow");
        frames.received(taken);
        stream = &stream[taken..];
    }
}

/// As a socket does: as much as there is room for.
fn take(frames: &mut Frames, bytes: &[u8]) -> usize {
    match frames.target() {
        Room::Slice(room) => {
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            count
        }
        Room::Spare(buffer) => {
            let count = (buffer.capacity() - buffer.len()).min(bytes.len());
            buffer.extend_from_slice(&bytes[..count]);
            count
        }
    }
}

/// Cuts a whole stream, frame by frame.
struct Plain<'a> {
    stream: &'a [u8],
    frame_bytes_max: usize,
}

impl Iterator for Plain<'_> {
    type Item = Result<Bytes, ()>;

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.stream.split_first_chunk::<4>()?;
        let frame_bytes =
            usize::try_from(i32::from_be_bytes(*head)).ok().filter(|bytes| *bytes <= self.frame_bytes_max);
        let Some(frame_bytes) = frame_bytes else { return Some(Err(())) };
        if rest.len() < frame_bytes {
            return None;
        }
        let (frame, rest) = rest.split_at(frame_bytes);
        self.stream = rest;
        Some(Ok(Bytes::copy_from_slice(frame)))
    }
}

/// Frames of many sizes behind each other, and lengths that lie.
fn seeds() -> Vec<Vec<u8>> {
    let with = |choices: [u8; CHOICES_BYTES], sizes: &[usize]| {
        let mut bytes = choices.to_vec();
        for size in sizes {
            bytes.extend((*size as i32).to_be_bytes());
            bytes.extend((0..*size).map(|at| at as u8));
        }
        bytes
    };
    vec![
        with([0xff, 0xff, 0, 0, 0, 1], &[0, 1, 4, 100, 0]),
        with([0xff, 0xff, 0, 0, 0, 2], &[40_000, 3, 33_000, 100]),
        with([0xff, 0xff, 0, 0, 0, 3], &[1_000; 20]),
        with([0, 4, 0, 0, 0, 4], &[60, 64, 65, 60]),
        [&[0xff, 0xff, 0, 0, 0, 5][..], &i32::MAX.to_be_bytes(), b"some"].concat(),
        [&[0xff, 0xff, 0, 0, 0, 6][..], &(-1_i32).to_be_bytes()].concat(),
        [&[0xff, 0xff, 0, 0, 0, 7][..], &1_000_000_i32.to_be_bytes(), &[7; 3_000]].concat(),
    ]
}

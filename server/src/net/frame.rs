//! Cut what a socket delivers into requests: a 4-byte length, then so many bytes.
//!
//! ```text
//! small frames   one buffer for several:  [len|frame][len|frame][len|fra...    cut out as slices that share it
//! large frames   4 bytes of length first, then a buffer of the frame's own, filled by the socket to the byte:
//!                [len] [frame ............ |len of the next]                   no byte is moved after the kernel's copy
//! ```
//! Which way the next frame is read follows from the size of the last one. A length is believed as far as it is paid
//! for: a frame's own buffer begins with `GRANT_BYTES_MIN` and doubles with the bytes that came, unless the connection
//! has sent a frame as large before; so promises alone cost nothing. Between two frames nothing is held.
//! No socket, no await: the caller reads into `target` what it was granted room for.

use bytes::{Buf, Bytes, BytesMut};

/// From this size on a frame gets a buffer of its own.
pub(super) const LARGE_BYTES_MIN: usize = 32 << 10;
/// Smallest and largest buffer that small frames share.
const SHARED_BYTES: std::ops::RangeInclusive<usize> = (4 << 10)..=(64 << 10);
/// What a promised large frame is given before more of it has come.
const GRANT_BYTES_MIN: usize = 64 << 10;
const PREFIX_BYTES: usize = 4;

const _: () = assert!(LARGE_BYTES_MIN + PREFIX_BYTES <= *SHARED_BYTES.end()); // a small frame fits a shared buffer

/// Why a connection's bytes are no frames. There is no way to go on: it is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length below zero.
    #[error("a frame length of {length}")]
    Negative {
        /// As it was sent.
        length: i32,
    },
    /// Longer than `socket.request.max.bytes`. Nothing was allocated for it.
    #[error("a frame of {length} B, limit {limit} B")]
    TooLarge {
        /// As it was sent.
        length: usize,
        /// `socket.request.max.bytes`.
        limit: usize,
    },
}

enum State {
    /// Between frames, nothing held.
    Empty,
    /// Several small frames in one buffer; bytes at `filled` and after it are not read yet.
    Shared { buffer: BytesMut, filled: usize },
    /// The length of a frame that is expected to be large.
    Prefix { bytes: [u8; PREFIX_BYTES], filled: usize },
    /// One large frame, without its length; as much of it as the vector is long.
    Own { buffer: Vec<u8>, frame_bytes: usize },
}

/// Where the next bytes of the socket go.
pub enum Target<'a> {
    /// Into this slice.
    Slice(&'a mut [u8]),
    /// Behind this vector's end, as far as its capacity reaches.
    Spare(&'a mut Vec<u8>),
}

/// Cuts frames off one connection's bytes.
pub struct Frames {
    state: State,
    frame_bytes_max: usize,
    /// Size of the last frame: the next is expected to be like it.
    last_bytes: usize,
    /// What this connection has shown that it sends.
    proven_bytes: usize,
}

impl Frames {
    /// A connection's beginning; frames longer than `frame_bytes_max` are refused.
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { state: State::Empty, frame_bytes_max, last_bytes: 0, proven_bytes: 0 }
    }

    /// Goes on behind frames that were cut off elsewhere, with what was read and not cut; none of it is larger than a shared
    /// buffer.
    pub fn resume(frame_bytes_max: usize, rest: &[u8]) -> Self {
        let mut frames = Self::new(frame_bytes_max);
        if !rest.is_empty() {
            frames.share(rest, Self::resumed_bytes(rest.len()));
        }
        frames
    }

    /// Memory that `resume` takes for so many bytes.
    pub fn resumed_bytes(rest_bytes: usize) -> usize {
        shared_bytes(rest_bytes).max(rest_bytes + 1)
    }

    /// What was read and not cut, for `resume`; `None` inside a large frame.
    pub fn rest(&self) -> Option<&[u8]> {
        match &self.state {
            State::Empty => Some(&[]),
            State::Shared { buffer, filled } => buffer.get(..*filled),
            State::Prefix { bytes, filled } => bytes.get(..*filled),
            State::Own { .. } => None,
        }
    }

    /// Whether nothing of a frame has come yet.
    pub fn is_between(&self) -> bool {
        match &self.state {
            State::Empty => true,
            State::Shared { filled, .. } | State::Prefix { filled, .. } => *filled == 0,
            State::Own { .. } => false,
        }
    }

    /// The next whole frame, without its length.
    ///
    /// # Errors
    /// See `FrameError`; what follows cannot be read either.
    pub fn cut(&mut self) -> Result<Option<Bytes>, FrameError> {
        match &mut self.state {
            State::Empty => Ok(None),
            State::Shared { buffer, filled } => {
                let head = buffer.get(..*filled).and_then(|head| head.first_chunk::<PREFIX_BYTES>());
                let Some(head) = head else {
                    if *filled == 0 {
                        self.state = State::Empty;
                    }
                    return Ok(None);
                };
                let frame_bytes = length(*head, self.frame_bytes_max)?;
                if *filled < PREFIX_BYTES + frame_bytes {
                    if frame_bytes >= LARGE_BYTES_MIN {
                        // Once per connection that begins to send large frames: what came already moves over.
                        let buffer = buffer.get(PREFIX_BYTES..*filled).unwrap_or_default().to_vec();
                        self.state = State::Own { buffer, frame_bytes };
                    }
                    return Ok(None);
                }
                *filled -= PREFIX_BYTES + frame_bytes;
                buffer.advance(PREFIX_BYTES);
                let frame = buffer.split_to(frame_bytes).freeze();
                if *filled == 0 {
                    self.state = State::Empty;
                }
                self.note(frame_bytes);
                Ok(Some(frame))
            }
            State::Prefix { bytes, filled: PREFIX_BYTES } => {
                let frame_bytes = length(*bytes, self.frame_bytes_max)?;
                if frame_bytes == 0 {
                    self.state = State::Empty;
                    return Ok(Some(Bytes::new()));
                }
                if frame_bytes >= LARGE_BYTES_MIN {
                    self.state = State::Own { buffer: Vec::new(), frame_bytes };
                }
                Ok(None)
            }
            State::Prefix { .. } => Ok(None),
            State::Own { buffer, frame_bytes } => {
                let frame_bytes = *frame_bytes;
                if buffer.len() < frame_bytes {
                    return Ok(None);
                }
                let mut frame = std::mem::take(buffer);
                let rest = frame.get(frame_bytes..).unwrap_or_default().to_vec();
                frame.truncate(frame_bytes);
                self.note(frame_bytes);
                self.begin(&rest);
                Ok(Some(Bytes::from(frame)))
            }
        }
    }

    /// Memory that must be granted before `target` has room; 0 when it has.
    pub fn wanted_bytes(&self) -> usize {
        match &self.state {
            State::Empty if self.last_bytes >= LARGE_BYTES_MIN => 0,
            State::Empty => shared_bytes(PREFIX_BYTES + self.last_bytes),
            State::Shared { buffer, filled } if *filled == buffer.len() => {
                let head = buffer.first_chunk::<PREFIX_BYTES>();
                let frame_bytes = head.map_or(0, |head| i32::from_be_bytes(*head).max(0) as usize);
                shared_bytes(PREFIX_BYTES + frame_bytes)
            }
            State::Prefix { bytes, filled: PREFIX_BYTES } => {
                shared_bytes(PREFIX_BYTES + i32::from_be_bytes(*bytes).max(0) as usize)
            }
            State::Shared { .. } | State::Prefix { .. } => 0,
            State::Own { buffer, frame_bytes } if buffer.len() == buffer.capacity() => {
                // Sizes of compressed frames vary: a quarter more than what was shown is believed, too.
                let shown = self.proven_bytes + self.proven_bytes / 4;
                let paid = GRANT_BYTES_MIN.max(2 * buffer.len()).max(shown + PREFIX_BYTES);
                paid.min(frame_bytes + PREFIX_BYTES) - buffer.len()
            }
            State::Own { .. } => 0,
        }
    }

    /// Whether the memory wanted is for a frame of its own, not for a shared buffer.
    pub fn is_large(&self) -> bool {
        matches!(self.state, State::Own { .. })
    }

    /// Allocates what was wanted. Afterwards `target` has room.
    pub fn grow(&mut self) {
        let bytes = self.wanted_bytes();
        match &mut self.state {
            State::Empty if bytes == 0 => {
                self.state = State::Prefix { bytes: [0; PREFIX_BYTES], filled: 0 };
            }
            State::Empty => self.state = State::Shared { buffer: BytesMut::zeroed(bytes), filled: 0 },
            State::Shared { buffer, .. } if bytes > 0 => {
                let begun = std::mem::take(buffer);
                self.share(&begun, bytes);
            }
            State::Prefix { bytes: begun, filled: PREFIX_BYTES } => {
                let begun = *begun;
                self.share(&begun, bytes);
            }
            State::Own { buffer, .. } if bytes > 0 => buffer.reserve_exact(bytes),
            _ => {}
        }
    }

    /// Where the socket's next bytes go; never empty after `grow`.
    pub fn target(&mut self) -> Target<'_> {
        match &mut self.state {
            State::Empty => Target::Slice(&mut []),
            State::Shared { buffer, filled } => Target::Slice(buffer.get_mut(*filled..).unwrap_or_default()),
            State::Prefix { bytes, filled } => Target::Slice(bytes.get_mut(*filled..).unwrap_or_default()),
            State::Own { buffer, .. } => Target::Spare(buffer),
        }
    }

    /// The socket put `count` bytes into the target; a vector has grown by them already.
    pub fn received(&mut self, count: usize) {
        match &mut self.state {
            State::Shared { filled, .. } | State::Prefix { filled, .. } => *filled += count,
            State::Empty | State::Own { .. } => {}
        }
    }

    fn note(&mut self, frame_bytes: usize) {
        self.last_bytes = frame_bytes;
        self.proven_bytes = frame_bytes.max(self.proven_bytes - self.proven_bytes / 8);
    }

    /// Goes on behind a large frame, with what was read of the next.
    fn begin(&mut self, rest: &[u8]) {
        if rest.len() > PREFIX_BYTES {
            return self.share(rest, shared_bytes(rest.len()));
        }
        let mut bytes = [0; PREFIX_BYTES];
        for (byte, read) in bytes.iter_mut().zip(rest) {
            *byte = *read;
        }
        self.state = match rest.len() {
            0 => State::Empty,
            filled => State::Prefix { bytes, filled },
        };
    }

    /// A new shared buffer that begins with `begun`.
    fn share(&mut self, begun: &[u8], bytes: usize) {
        let mut buffer = BytesMut::zeroed(bytes.max(begun.len() + 1));
        for (byte, read) in buffer.iter_mut().zip(begun) {
            *byte = *read;
        }
        self.state = State::Shared { buffer, filled: begun.len() };
    }
}

/// A shared buffer for frames of about this size: room for two of them.
fn shared_bytes(bytes: usize) -> usize {
    (2 * bytes).next_power_of_two().clamp(*SHARED_BYTES.start(), *SHARED_BYTES.end())
}

fn length(prefix: [u8; PREFIX_BYTES], limit: usize) -> Result<usize, FrameError> {
    let length = i32::from_be_bytes(prefix);
    let bytes = usize::try_from(length).map_err(|_| FrameError::Negative { length })?;
    if bytes > limit { Err(FrameError::TooLarge { length: bytes, limit }) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 90 << 20;

    /// Feeds what a socket holds, `step` bytes a read at most; gives the frames, the bytes granted and the reads.
    fn feed(frames: &mut Frames, mut bytes: &[u8], step: usize) -> (Vec<Bytes>, usize, usize) {
        let (mut cut, mut granted, mut reads) = (Vec::new(), 0, 0);
        loop {
            while let Some(frame) = frames.cut().unwrap() {
                cut.push(frame);
            }
            if bytes.is_empty() {
                return (cut, granted, reads);
            }
            granted += frames.wanted_bytes();
            frames.grow();
            assert_eq!(frames.wanted_bytes(), 0);
            reads += 1;
            let count = match frames.target() {
                Target::Slice(slice) => {
                    let count = slice.len().min(bytes.len()).min(step);
                    slice[..count].copy_from_slice(&bytes[..count]);
                    count
                }
                Target::Spare(vector) => {
                    let count = (vector.capacity() - vector.len()).min(bytes.len()).min(step);
                    vector.extend_from_slice(&bytes[..count]);
                    count
                }
            };
            assert!(count > 0, "there is always room after grow");
            frames.received(count);
            bytes = &bytes[count..];
        }
    }

    fn frame(length: usize) -> Vec<u8> {
        let mut bytes = (length as u32).to_be_bytes().to_vec();
        bytes.extend((0..length).map(|at| (at * 31 + length) as u8));
        bytes
    }

    #[test]
    fn small_frames_in_one_read_share_its_buffer() {
        let mut frames = Frames::new(LIMIT);
        let bytes = [frame(10), frame(0), frame(300)].concat();
        let (cut, granted, reads) = feed(&mut frames, &bytes, usize::MAX);
        assert_eq!(cut.iter().map(Bytes::len).collect::<Vec<_>>(), [10, 0, 300]);
        assert_eq!((granted, reads), (4096, 1));
        assert_eq!(cut[1].as_ptr() as usize + 4, cut[2].as_ptr() as usize);
        assert!(frames.is_between());
    }

    #[test]
    fn a_promise_alone_is_given_little() {
        let mut frames = Frames::new(LIMIT);
        let (cut, granted, _) = feed(&mut frames, &frame(LIMIT)[..5], usize::MAX);
        assert!(cut.is_empty());
        assert_eq!(granted, 4096);
        assert!(frames.wanted_bytes() <= GRANT_BYTES_MIN);
    }

    #[test]
    fn memory_grows_with_the_bytes_that_came() {
        let whole = frame(LIMIT);
        for came in [1000, 100_000, 3_000_000, 50_000_000] {
            let mut frames = Frames::new(LIMIT);
            let (_, granted, _) = feed(&mut frames, &whole[..came], usize::MAX);
            assert!(granted <= 4096 + GRANT_BYTES_MIN.max(2 * came), "{granted} B for {came} B");
        }
    }

    #[test]
    fn after_the_first_large_frame_each_is_read_into_its_own_buffer_with_one_read() {
        let mut frames = Frames::new(LIMIT);
        feed(&mut frames, &frame(1_000_000), usize::MAX);
        let bytes = [frame(1_000_000), frame(999_000), frame(1_000_000)].concat();
        let (cut, granted, reads) = feed(&mut frames, &bytes, usize::MAX);
        assert_eq!(cut.len(), 3);
        assert_eq!(granted, 2_999_000 + 3 * PREFIX_BYTES, "exactly the frames, nothing moved");
        assert_eq!(reads, 4, "one for the first length, then a frame and the next length each");
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_before_anything_is_held_for_them() {
        let mut frames = Frames::new(1000);
        let state = |bytes: [u8; 4], frames: &mut Frames| {
            frames.grow();
            let Target::Slice(slice) = frames.target() else { panic!() };
            slice[..4].copy_from_slice(&bytes);
            frames.received(4);
            frames.cut()
        };
        assert_eq!(
            state(1001i32.to_be_bytes(), &mut frames),
            Err(FrameError::TooLarge { length: 1001, limit: 1000 })
        );
        let mut frames = Frames::new(1000);
        assert_eq!(state((-2i32).to_be_bytes(), &mut frames), Err(FrameError::Negative { length: -2 }));
    }

    proptest! {
        #[test]
        fn however_the_bytes_arrive_the_same_frames_come_out(
            sizes in proptest::collection::vec(
                prop_oneof![0usize..200, 3000usize..9000, 30_000usize..40_000, 60_000usize..300_000], 1..12),
            step in prop_oneof![1usize..50, 1000usize..70_000, Just(usize::MAX)],
        ) {
            let bytes: Vec<u8> = sizes.iter().flat_map(|size| frame(*size)).collect();
            let mut frames = Frames::new(LIMIT);
            let (cut, _, _) = feed(&mut frames, &bytes, step);
            prop_assert_eq!(cut.len(), sizes.len());
            for (found, size) in cut.iter().zip(&sizes) {
                prop_assert_eq!(&found[..], &frame(*size)[PREFIX_BYTES..]);
            }
            prop_assert!(frames.is_between());
        }

        #[test]
        fn frames_that_go_on_elsewhere_are_the_same(
            sizes in proptest::collection::vec(prop_oneof![0usize..200, 3000usize..9000, 30_000usize..70_000], 2..12),
            step in prop_oneof![1usize..50, 1000usize..70_000, Just(usize::MAX)],
            part in 0.0..1.0_f64,
        ) {
            let bytes: Vec<u8> = sizes.iter().flat_map(|size| frame(*size)).collect();
            let (head, tail) = bytes.split_at((bytes.len() as f64 * part) as usize);
            let mut frames = Frames::new(LIMIT);
            let (mut cut, _, _) = feed(&mut frames, head, step);
            let mut frames = match frames.rest() {
                Some(rest) => Frames::resume(LIMIT, rest),
                None => frames,
            };
            cut.extend(feed(&mut frames, tail, step).0);
            prop_assert_eq!(cut.len(), sizes.len());
            for (found, size) in cut.iter().zip(&sizes) {
                prop_assert_eq!(&found[..], &frame(*size)[PREFIX_BYTES..]);
            }
        }
    }
}

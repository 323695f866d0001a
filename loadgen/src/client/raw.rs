//! One connection that never waits: frames queued to leave, bytes gathered until a frame is whole.
//!
//! Owned by one thread with its [`Poll`]. What the frames mean is the caller's business, and so is when to connect again.
//! ```text
//!  send(frame) -> queue -> flush: gathered write -> kernel        kernel -> receive -> buffer -> frame()
//!                  head | batch, shared | tail                               4-byte length | answer
//! ```
use std::collections::VecDeque;
use std::io::{self, IoSlice, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::{ClientError, Poll};
use crate::batch::Body;

/// Most frames given to the kernel in one write; three pieces each.
const GATHER_FRAMES_MAX: usize = 32;
/// Room for answers until a length field says how much more is needed.
const READ_BYTES: usize = 64 * 1024;

/// A request on its way: its own bytes before and after a body that it shares.
#[derive(Debug)]
pub struct Frame {
    /// Length, header and all before the records.
    pub head: Vec<u8>,
    /// Records of a produce request; other requests have none.
    pub body: Option<Body>,
    /// What follows the records.
    pub tail: &'static [u8],
}

impl Frame {
    fn pieces(&self) -> [&[u8]; 3] {
        [&self.head, self.body.as_ref().map_or(&[], |body| body.bytes()), self.tail]
    }

    fn bytes(&self) -> usize {
        self.pieces().iter().map(|piece| piece.len()).sum()
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// No socket.
    Down,
    /// The kernel is connecting.
    Connecting,
    /// Requests can leave.
    Up,
}

/// What one flush did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// So many frames went to the kernel whole, oldest first.
    pub frames: usize,
    /// Nothing is left in the queue.
    pub empty: bool,
}

/// One connection to one broker.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    token: u64,
    frame_bytes_max: usize,
    read_bytes: usize,
    stream: Option<TcpStream>,
    state: LinkState,
    watched_for_writing: bool,
    out: VecDeque<Frame>,
    /// Bytes of the oldest frame that are with the kernel already.
    out_written: usize,
    /// Received bytes; those before `start` were handed out.
    inbound: Vec<u8>,
    start: usize,
}

impl Link {
    /// A link that is down. `token` names it in `Poll`; answers above `frame_bytes_max` are refused.
    pub fn new(address: SocketAddr, token: u64, frame_bytes_max: usize) -> Self {
        Self {
            address,
            token,
            frame_bytes_max,
            read_bytes: READ_BYTES,
            stream: None,
            state: LinkState::Down,
            watched_for_writing: false,
            out: VecDeque::new(),
            out_written: 0,
            inbound: Vec::new(),
            start: 0,
        }
    }

    /// The same with another room for answers until their length is known: less where links are many and answers small.
    #[must_use]
    pub fn reading(self, read_bytes: usize) -> Self {
        Self { read_bytes, ..self }
    }

    /// Where it stands.
    pub fn state(&self) -> LinkState {
        self.state
    }

    /// The broker's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connect goes to this address.
    pub fn redirect(&mut self, address: SocketAddr) {
        self.address = address;
    }

    /// Connects and waits for it; for the start of a run, when nothing is measured yet.
    ///
    /// # Errors
    /// If the broker does not accept in time.
    pub fn connect_and_wait(&mut self, poll: &Poll, timeout: Duration) -> io::Result<()> {
        let stream = TcpStream::connect_timeout(&self.address, timeout)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        poll.add(&stream, self.token, false)?;
        self.stream = Some(stream);
        self.state = LinkState::Up;
        Ok(())
    }

    /// Begins to connect; [`Self::on_writable`] tells the end of it.
    ///
    /// # Errors
    /// If the kernel refuses at once.
    pub fn connect(&mut self, poll: &Poll) -> io::Result<()> {
        self.close();
        let family = if self.address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        match rustix::net::connect(&socket, &self.address) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        poll.add(&stream, self.token, true)?;
        self.stream = Some(stream);
        self.watched_for_writing = true;
        self.state = LinkState::Connecting;
        Ok(())
    }

    /// The socket has room: ends a connect. Returns whether the link came up just now.
    ///
    /// # Errors
    /// If the connect failed.
    pub fn on_writable(&mut self) -> io::Result<bool> {
        if self.state != LinkState::Connecting {
            return Ok(false);
        }
        let stream = self.stream.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        self.state = LinkState::Up;
        Ok(true)
    }

    /// Ends the connection; what was queued or half received is forgotten.
    pub fn close(&mut self) {
        self.stream = None;
        self.state = LinkState::Down;
        self.watched_for_writing = false;
        self.out.clear();
        self.out_written = 0;
        self.inbound.clear();
        self.start = 0;
    }

    /// Ends the connection with a reset: many at once would leave their ports in use for a minute.
    pub fn reset(&mut self) {
        if let Some(stream) = &self.stream {
            // What cannot be reset is closed.
            let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
        }
        self.close();
    }

    /// Queues a frame; it leaves with the next flush.
    pub fn send(&mut self, frame: Frame) {
        self.out.push_back(frame);
    }

    /// Gives the kernel what it takes. If that is not all, `poll` tells when there is room again.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn flush(&mut self, poll: &Poll) -> io::Result<Flushed> {
        let mut frames = 0;
        let mut blocked = false;
        while !self.out.is_empty() && !blocked {
            let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            let mut slices = Vec::with_capacity(3 * GATHER_FRAMES_MAX.min(self.out.len()));
            let mut skip = self.out_written;
            for piece in self.out.iter().take(GATHER_FRAMES_MAX).flat_map(Frame::pieces) {
                let skipped = skip.min(piece.len());
                skip -= skipped;
                if skipped < piece.len() {
                    slices.push(IoSlice::new(&piece[skipped..]));
                }
            }
            match stream.write_vectored(&slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.out_written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => blocked = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            while let Some(frame) = self.out.front()
                && self.out_written >= frame.bytes()
            {
                self.out_written -= frame.bytes();
                self.out.pop_front();
                frames += 1;
            }
        }
        let empty = self.out.is_empty();
        if self.watched_for_writing == empty {
            let stream = self.stream.as_ref().ok_or(io::ErrorKind::NotConnected)?;
            poll.change(stream, self.token, !empty)?;
            self.watched_for_writing = !empty;
        }
        Ok(Flushed { frames, empty })
    }

    /// Takes from the kernel what it has, up to the room of the buffer. `false`: nothing came.
    ///
    /// # Errors
    /// If the connection is broken or was closed by the broker.
    pub fn receive(&mut self) -> io::Result<bool> {
        let wanted = self.missing_bytes().map_or(self.read_bytes, |bytes| bytes.max(1));
        if self.start > 0 && self.start == self.inbound.len() {
            self.inbound.clear();
            self.start = 0;
        } else if self.start > 0 && self.inbound.capacity() - self.inbound.len() < wanted {
            self.inbound.drain(..self.start);
            self.start = 0;
        }
        if self.inbound.capacity() - self.inbound.len() < wanted {
            self.inbound.reserve_exact(wanted);
        }
        let stream = self.stream.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        match rustix::io::read(stream, rustix::buffer::spare_capacity(&mut self.inbound)) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(true),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The next whole answer, without its length; `None` until more is received.
    ///
    /// # Errors
    /// [`ClientError::FrameTooLarge`] for a length field that is impossible; the link is of no use then.
    pub fn frame(&mut self) -> Result<Option<&[u8]>, ClientError> {
        let Some(end) = self.whole_frame()? else { return Ok(None) };
        let start = std::mem::replace(&mut self.start, end);
        Ok(Some(&self.inbound[start + 4..end]))
    }

    /// As [`Self::frame`], but hands the memory over, so that records in it can be used without a copy. Give it back
    /// with [`Self::recycle`].
    ///
    /// # Errors
    /// As [`Self::frame`].
    pub fn take_frame(&mut self) -> Result<Option<Bytes>, ClientError> {
        let Some(end) = self.whole_frame()? else { return Ok(None) };
        let start = self.start;
        if end < self.inbound.len() {
            self.start = end;
            return Ok(Some(Bytes::copy_from_slice(&self.inbound[start + 4..end])));
        }
        self.start = 0;
        Ok(Some(Bytes::from(std::mem::take(&mut self.inbound)).slice(start + 4..)))
    }

    /// Memory of an answer that nobody uses any more.
    pub fn recycle(&mut self, mut frame: Bytes) {
        if self.inbound.capacity() == 0 && frame.is_unique() {
            frame.truncate(0);
            self.inbound = Vec::from(frame);
            self.inbound.clear();
        }
    }

    /// End of the frame at the front, if it is whole.
    fn whole_frame(&self) -> Result<Option<usize>, ClientError> {
        let Some(frame_bytes) = self.frame_bytes() else { return Ok(None) };
        if !usize::try_from(frame_bytes).is_ok_and(|bytes| bytes <= self.frame_bytes_max) {
            return Err(ClientError::FrameTooLarge {
                frame_bytes: frame_bytes.into(),
                frame_bytes_max: self.frame_bytes_max,
            });
        }
        let end = self.start + 4 + frame_bytes as usize;
        Ok((end <= self.inbound.len()).then_some(end))
    }

    /// Bytes until the frame at the front is whole; `None` if its length is not known or impossible.
    fn missing_bytes(&self) -> Option<usize> {
        let frame_bytes = usize::try_from(self.frame_bytes()?).ok()?;
        let end = self.start + 4 + frame_bytes.min(self.frame_bytes_max);
        end.checked_sub(self.inbound.len())
    }

    fn frame_bytes(&self) -> Option<i32> {
        self.inbound.get(self.start..)?.first_chunk().map(|length| i32::from_be_bytes(*length))
    }
}

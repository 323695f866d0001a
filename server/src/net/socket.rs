//! A client's socket: readiness from the executor's ring, bytes by calls that never wait.
//!
//! The calls are rustix's on a standard socket, since they read into memory that was never written before without first
//! filling it, and since the accepting core can hand such a socket to another core whole.

use super::frame::Target;
use super::send::{Outbox, PARTS_MAX};
use glommio::io::{PollState, PollableFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::task::{Context, Poll};

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Nothing is there yet.
    Nothing,
    /// The other side sends no more.
    End,
    /// Bytes; there may be more only where the target is full.
    Bytes {
        /// How many.
        count: usize,
        /// The target has no room left.
        is_full: bool,
    },
}

/// One connected socket of this core.
pub(super) struct Socket {
    pollable: PollableFd<TcpStream>,
}

impl Socket {
    /// Takes a socket over to this core.
    ///
    /// # Errors
    /// When it cannot be set up: it is gone already.
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { pollable: PollableFd::new(stream).map_err(io::Error::from)? })
    }

    /// The socket itself, for another core, which takes it over with `new`. This one is dropped meanwhile.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub(super) fn share(&self) -> io::Result<TcpStream> {
        self.pollable.get_ref().try_clone()
    }

    /// Resolves when there is something to read, the end or an error included.
    ///
    /// # Errors
    /// When the ring refuses.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.pollable.readable().await.map_err(io::Error::from)
    }

    /// Reads what is there, as much as the target has room for.
    ///
    /// # Errors
    /// The socket's.
    pub(super) fn receive(&self, target: Target<'_>) -> io::Result<Received> {
        let stream = self.pollable.get_ref();
        let flags = RecvFlags::DONTWAIT;
        let (read, room) = match target {
            Target::Slice(slice) => {
                let room = slice.len();
                (rustix::net::recv(stream, slice, flags).map(|(read, _)| read), room)
            }
            Target::Spare(vector) => {
                let (before, room) = (vector.len(), vector.capacity() - vector.len());
                let read = rustix::net::recv(stream, rustix::buffer::spare_capacity(vector), flags);
                (read.map(|_| vector.len() - before), room)
            }
        };
        Ok(match would_block(read)? {
            None => Received::Nothing,
            Some(0) => Received::End,
            Some(count) => Received::Bytes { count, is_full: count == room },
        })
    }

    /// Sends as much of the outbox as the socket takes; resolves when it took something.
    ///
    /// # Errors
    /// The socket's.
    pub(super) fn poll_send(
        &self,
        context: &mut Context<'_>,
        state: &mut PollState,
        outbox: &mut Outbox,
    ) -> Poll<io::Result<usize>> {
        loop {
            let sent = {
                let mut slices = [IoSlice::new(&[]); PARTS_MAX];
                let count = outbox.gather(&mut slices);
                let gathered = slices.get(..count).unwrap_or_default();
                let (mut ancillary, flags) =
                    (SendAncillaryBuffer::default(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
                rustix::net::sendmsg(self.pollable.get_ref(), gathered, &mut ancillary, flags)
            };
            match would_block(sent) {
                Ok(Some(count)) => {
                    outbox.advance(count);
                    return Poll::Ready(Ok(count));
                }
                Err(error) => return Poll::Ready(Err(error)),
                Ok(None) => match self.pollable.poll_writable(context, state) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Ready(Ok(())) => {} // room since we looked: again
                },
            }
        }
    }
}

fn would_block(outcome: Result<usize, Errno>) -> io::Result<Option<usize>> {
    match outcome {
        Ok(count) => Ok(Some(count)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

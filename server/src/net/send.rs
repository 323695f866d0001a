//! Answers to the socket: all pieces that are ready in as few system calls as it takes, none of them copied.

use bytes::{Buf, Bytes};
use futures_lite::AsyncWrite;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;

/// Pieces in one system call; the kernel takes 1024 at most.
const SLICES_MAX: usize = 256;

/// Writes all of it.
pub(super) async fn send(stream: &mut (impl AsyncWrite + Unpin), parts: &mut VecDeque<Bytes>) -> io::Result<()> {
    while !parts.is_empty() {
        let written = {
            let slices: Vec<IoSlice<'_>> = parts.iter().take(SLICES_MAX).map(|part| IoSlice::new(part)).collect();
            poll_fn(|context| Pin::new(&mut *stream).poll_write_vectored(context, &slices)).await?
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        forget(parts, written);
    }
    Ok(())
}

fn forget(parts: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(first) = parts.front_mut() {
        if written < first.len() {
            first.advance(written);
            return;
        }
        written -= first.len();
        parts.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll};

    /// Takes a few bytes at a time, from as many slices as they span.
    struct Trickle(Vec<u8>);

    impl AsyncWrite for Trickle {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(7);
            self.0.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_socket_that_takes_little_at_a_time_gets_everything_in_order() {
        let mut parts: VecDeque<Bytes> = (0..50u8).map(|number| Bytes::from(vec![number; usize::from(number)])).collect();
        let expected = parts.iter().flat_map(|part| part.to_vec()).collect::<Vec<u8>>();
        let mut stream = Trickle(Vec::new());
        futures_lite::future::block_on(send(&mut stream, &mut parts)).unwrap();
        assert_eq!(stream.0, expected);
    }
}

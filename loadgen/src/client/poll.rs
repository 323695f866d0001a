//! Wait until a socket can go on or a time is reached; one per thread.
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll;

/// Most events taken from the kernel at once.
const EVENTS_MAX: usize = 256;

/// The kernel's list of the sockets of one thread, level-triggered.
#[derive(Debug)]
pub struct Poll {
    list: OwnedFd,
}

/// A socket that can go on.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// As given to [`Poll::add`].
    pub token: u64,
    /// There is something to read, or the peer is gone.
    pub readable: bool,
    /// There is room to write, or a connect ended.
    pub writable: bool,
}

impl Poll {
    /// An empty list.
    ///
    /// # Errors
    /// If the process has no file descriptors left.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { list: epoll::create(epoll::CreateFlags::CLOEXEC)? })
    }

    /// Watches `socket` for reading, and for room to write if asked.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn add(&self, socket: impl AsFd, token: u64, for_writing: bool) -> std::io::Result<()> {
        Ok(epoll::add(&self.list, socket, epoll::EventData::new_u64(token), flags(for_writing))?)
    }

    /// Changes what a watched socket is watched for.
    ///
    /// # Errors
    /// If the socket is not watched.
    pub fn change(&self, socket: impl AsFd, token: u64, for_writing: bool) -> std::io::Result<()> {
        Ok(epoll::modify(&self.list, socket, epoll::EventData::new_u64(token), flags(for_writing))?)
    }

    /// Waits at most `timeout` and puts what can go on into `ready`. A socket that was closed is forgotten by the kernel.
    ///
    /// # Errors
    /// If the kernel refuses to wait. A signal ends the wait early, without an error.
    pub fn wait(&self, timeout: Duration, ready: &mut Vec<Ready>) -> std::io::Result<()> {
        ready.clear();
        let mut room = [const { MaybeUninit::<epoll::Event>::uninit() }; EVENTS_MAX];
        let timeout = Timespec {
            tv_sec: timeout.as_secs().min(3600) as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let events = match epoll::wait(&self.list, &mut room, Some(&timeout)) {
            Ok((events, _)) => events,
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        ready.extend(events.iter().map(|event| {
            let (flags, data) = (event.flags, event.data);
            let broken = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
            Ready {
                token: data.u64(),
                readable: broken || flags.contains(epoll::EventFlags::IN),
                writable: broken || flags.contains(epoll::EventFlags::OUT),
            }
        }));
        Ok(())
    }
}

fn flags(for_writing: bool) -> epoll::EventFlags {
    if for_writing { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN }
}

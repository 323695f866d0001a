//! How long an executor may keep the kernel's own workers from its core.
//!
//! A sync is carried out by a worker thread of the ring, on the executor's core. A busy executor was given the core for
//! milliseconds at a time (1.4 ms with two CPUs), and the sync that everybody waits for began only then. Since Linux 6.12
//! a thread may ask for a shorter slice, which its ring's workers inherit: they are short, and get the core that early.
#![expect(unsafe_code, reason = "no crate in use has these calls")]

use std::io;
use std::time::Duration;

/// Has this thread, and the workers of rings that it makes from now on, take turns after so long (the kernel allows 0.1 to
/// 100 ms). Kernels before 6.12 and threads under a policy of their own (`chrt`) go on as they are.
///
/// # Errors
/// What the system said.
pub fn take_turns_after(slice: Duration) -> io::Result<()> {
    // SAFETY: all of its fields are numbers.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    let bytes = size_of::<libc::sched_attr>();
    attributes.size = bytes as u32;
    // SAFETY: the kernel writes at most so many bytes; 0 is the calling thread.
    let outcome = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, bytes, 0, 0, 0) };
    if outcome != 0 {
        return Err(io::Error::last_os_error());
    }
    if attributes.sched_policy != libc::SCHED_OTHER as u32 {
        return Ok(());
    }
    attributes.sched_runtime = slice.as_nanos() as u64;
    // SAFETY: the kernel reads as many bytes as `size` says.
    let outcome = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0, 0, 0, 0) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

//! Whether this kernel, and what guards it, lets us have a ring.
#![expect(unsafe_code, reason = "the calls of io_uring have no safe wrapper that does not also map the ring")]

use std::io;

/// Bytes of `struct io_uring_params`.
const PARAMS_BYTES: usize = 120;

/// Makes a ring of one entry, enters it with nothing to do, and closes it: filters may allow the one and forbid the other.
///
/// # Errors
/// `ENOSYS` without io_uring, `EPERM` or `EACCES` where it is forbidden, `ENOMEM` where memory may not be locked.
pub fn probe_io_uring() -> io::Result<()> {
    #[repr(C, align(8))]
    struct Params([u8; PARAMS_BYTES]);
    let mut params = Params([0; PARAMS_BYTES]);
    // SAFETY: `params` is a zeroed `struct io_uring_params` of its full size that outlives the call, and the kernel
    // writes no further than that.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1u32, params.0.as_mut_ptr()) };
    if ring < 0 {
        return Err(io::Error::last_os_error());
    }
    let nothing = 0u32;
    // SAFETY: with nothing to submit and nothing to wait for, the call reads and writes no memory of ours.
    let entered = unsafe {
        libc::syscall(
            libc::SYS_io_uring_enter,
            ring,
            nothing,
            nothing,
            nothing,
            std::ptr::null::<u8>(),
            0usize,
        )
    };
    let outcome = if entered < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    // SAFETY: `ring` is a descriptor that the kernel just gave us and nobody else knows.
    unsafe { libc::close(ring as libc::c_int) };
    outcome
}

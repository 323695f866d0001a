//! The executors' rings, made so that what completes waits until the executor looks.
//!
//! By default io_uring interrupts a thread whenever something of its ring completes elsewhere, to have the completion noted at
//! once: with many connections that is an interrupt of the other CPU for every request that comes in, a fifth to a third of what a
//! small request costs. `IORING_SETUP_COOP_TASKRUN` (Linux 5.19) leaves it to the thread's next call of the kernel, and an
//! executor makes many. glommio has no way to ask for it, so the program's one call that makes rings passes through here:
//!
//! ```text
//! io-uring crate ── syscall(io_uring_setup, ..) ──linker, --wrap=syscall (build.rs)──► __wrap_syscall ──► libc's syscall
//! ```
//! All other calls are handed on as they are. Tests of the library run with plain rings, and so do the raw loops of benches/.
#![expect(unsafe_code, reason = "stands in for a function of C")]

use std::ffi::{c_int, c_long};
use std::sync::atomic::{AtomicUsize, Ordering};

/// `IORING_SETUP_IOPOLL`: a ring whose completions are looked for by its thread only. The flag would say nothing there.
const IOPOLL: u32 = 1 << 0;
/// `IORING_SETUP_COOP_TASKRUN`.
const COOP_TASKRUN: u32 = 1 << 8;

/// The head of `io_uring_params` (include/uapi/linux/io_uring.h).
#[repr(C)]
struct Params {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
}

static COOPERATIVE: AtomicUsize = AtomicUsize::new(0);
static REFUSED: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" {
    /// libc's `syscall`.
    fn __real_syscall(number: c_long, ...) -> c_long;
}

/// Says in the log how the rings were made.
pub(crate) fn tell() {
    let (cooperative, refused) = (COOPERATIVE.load(Ordering::Relaxed), REFUSED.load(Ordering::Relaxed));
    if refused > 0 || cooperative == 0 {
        tracing::warn!(
            cooperative,
            refused,
            "the kernel interrupts the broker for whatever completes: many small requests cost more (Linux 5.19 can do without)"
        );
    } else {
        tracing::info!(cooperative, "rings that interrupt nobody");
    }
}

/// `syscall(2)` with six arguments, as many as any call has; the others are whatever was in their places.
///
/// # Safety
/// As the call itself.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_syscall(
    number: c_long,
    first: c_long,
    second: c_long,
    third: c_long,
    fourth: c_long,
    fifth: c_long,
    sixth: c_long,
) -> c_long {
    // SAFETY: handed on as it came.
    let call = || unsafe { __real_syscall(number, first, second, third, fourth, fifth, sixth) };
    let params = second as *mut Params;
    if number != libc::SYS_io_uring_setup || params.is_null() {
        return call();
    }
    // SAFETY: io_uring_setup's second argument points to parameters that the caller lends it.
    let flags = unsafe { &raw mut (*params).flags };
    // SAFETY: as above.
    let wanted = unsafe { flags.read() };
    if wanted & IOPOLL != 0 {
        return call();
    }
    // SAFETY: as above.
    unsafe { flags.write(wanted | COOP_TASKRUN) };
    let made = call();
    if made >= 0 {
        COOPERATIVE.fetch_add(1, Ordering::Relaxed);
        return made;
    }
    if last_error() != libc::EINVAL {
        return made;
    }
    REFUSED.fetch_add(1, Ordering::Relaxed);
    // SAFETY: as above.
    unsafe { flags.write(wanted) };
    call()
}

fn last_error() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

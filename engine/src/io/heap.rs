//! Memory that nobody uses, back to the system.
//!
//! The allocator keeps what was freed for a while, and looks whether that time is over only when somebody allocates: a
//! broker that is idle after its recovery would hold what the journals took for ever.
#![expect(unsafe_code, reason = "the allocator's own call has no safe name")]

use std::ffi::c_long;
use std::io;
use std::time::Duration;

/// `mi_option_purge_delay` of mimalloc.h, which the bindings do not name: how long what is free stays with the process,
/// milliseconds.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Has the allocator keep what is free for so long, unless the environment says otherwise (`MIMALLOC_PURGE_DELAY`). A
/// broker's needs go up and down with each lap of write-back, and what was given back comes again as a page fault: two
/// megabytes at a time where pages are huge, measured in a virtual machine as 4.5 ms during which a core does nothing
/// else, 50 times a second. To be called before anything else is.
pub fn keep_freed_for(time: Duration) {
    // SAFETY: sets a number, in whatever thread, also where another allocator is in use.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, time.as_millis() as c_long) }
}

/// Has this process take its memory in pages of 4 KiB, also where the system would join them to huge ones.
///
/// A huge page is cleared whole by the first write to it, and nothing else runs on that core meanwhile: measured in a
/// virtual machine whose host takes back free memory, 4.5 ms for each two megabytes against 1 to 14 us for each 4 KiB.
/// Partitions that grow together come to new memory together, so the stalls add up to hundreds of milliseconds. What
/// huge pages give in return could not be seen in the throughput (PERF.md).
///
/// # Errors
/// When the kernel does not know the request, as before Linux 3.15.
pub fn small_pages_only() -> io::Result<()> {
    Ok(rustix::thread::disable_transparent_huge_pages(true)?)
}

/// Has the allocator look at what this thread made and others freed, and give back what has been free for its time
/// ([`keep_freed_for`]). What was free for less stays, so that a busy broker finds its memory warm. Any thread may call
/// it; it takes milliseconds when there is much to give back.
pub fn give_back_freed() {
    collect(false);
}

/// The same without regard to time, for a moment at which much was freed that will not be needed again.
pub fn give_back_all_freed() {
    collect(true);
}

fn collect(all: bool) {
    // SAFETY: the call has no argument that could be wrong, and may be made by any thread at any time, also where another
    // allocator is in use: there is nothing to give back then.
    unsafe { libmimalloc_sys::mi_collect(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_page_of_the_process_is_huge_any_more() {
        small_pages_only().unwrap();
        assert!(rustix::thread::transparent_huge_pages_are_disabled().unwrap());
    }

    /// The option is known by its number: its value before says that it is still that one.
    #[test]
    fn the_number_of_the_option_is_that_of_the_delay() {
        // SAFETY: reads a number.
        let delay = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert!(std::env::var_os("MIMALLOC_PURGE_DELAY").is_some() || delay() == 1000, "{} ms", delay());
        keep_freed_for(Duration::from_secs(7));
        assert!(std::env::var_os("MIMALLOC_PURGE_DELAY").is_some() || delay() == 7000, "{} ms", delay());
    }
}

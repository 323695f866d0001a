//! Memory that nobody uses, back to the system.
//!
//! The allocator keeps what was freed for a while, and looks whether that time is over only when somebody allocates: a
//! broker that is idle after its recovery would hold what the journals took for ever.
#![expect(unsafe_code, reason = "the allocator's own call has no safe name")]

/// Has the allocator look at what this thread made and others freed, and give back what has been free for its time, a
/// second. What was free for less stays, so that a busy broker finds its memory warm. Any thread may call it; it takes
/// milliseconds when there is much to give back.
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

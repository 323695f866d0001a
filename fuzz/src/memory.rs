//! Counts what one try holds at once, and refuses what no honest try needs.
//!
//! A try runs on one thread; what other threads do meanwhile counts too, so targets have none. What libFuzzer itself
//! holds is not Rust's and is not counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Refused at once, and the process ends (libFuzzer saves the input): parsers of ours reserve a thousandth of this.
const HELD_BYTES_MAX: usize = 4 << 30;

static HELD_BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static HELD_BEFORE: Cell<usize> = const { Cell::new(0) };
}

/// The global allocator of every target.
pub struct Counting;

// SAFETY: every call goes to the system's allocator with the layout it came with; null is a permitted answer.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !grant(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD_BYTES.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise about `pointer` and `layout` is handed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !grant(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // While it moves, both pieces may be there.
        if !grant(bytes) {
            return std::ptr::null_mut();
        }
        HELD_BYTES.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise about `pointer`, `layout` and `bytes` is handed on.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

fn grant(bytes: usize) -> bool {
    let held = HELD_BYTES.fetch_add(bytes, Relaxed).saturating_add(bytes);
    if held > HELD_BYTES_MAX {
        HELD_BYTES.fetch_sub(bytes, Relaxed);
        return false;
    }
    PEAK_BYTES.fetch_max(held, Relaxed);
    true
}

/// A try begins.
pub(crate) fn begin() {
    let held = HELD_BYTES.load(Relaxed);
    HELD_BEFORE.set(held);
    PEAK_BYTES.store(held, Relaxed);
}

/// A try has ended: most that it held at once.
pub(crate) fn end() -> usize {
    PEAK_BYTES.load(Relaxed).saturating_sub(HELD_BEFORE.get())
}

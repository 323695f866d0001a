//! Counts what one try holds at once, and refuses what no honest try needs.
//!
//! A try runs on one thread; what other threads do meanwhile counts too, so targets have none.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::Relaxed};

/// Refused at once, and the process ends: parsers of ours reserve a thousandth of this.
const HELD_BYTES_MAX: usize = 4 << 30;

static HELD_BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);
static INPUT: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static INPUT_BYTES: AtomicUsize = AtomicUsize::new(0);
static REFUSED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static HELD_BEFORE: Cell<usize> = const { Cell::new(0) };
}

/// The global allocator of every target: `#[global_allocator] static MEMORY: Counting = Counting;`
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
        tell(bytes);
        return false;
    }
    PEAK_BYTES.fetch_max(held, Relaxed);
    true
}

/// The process ends after a refusal, so the input is kept here.
fn tell(bytes: usize) {
    let pointer = INPUT.load(Relaxed);
    if pointer.is_null() || REFUSED.swap(true, Relaxed) {
        return;
    }
    // SAFETY: `begin` was given this slice, it outlives the try, and `end` has not been called: the pointer is not null.
    let input = unsafe { std::slice::from_raw_parts(pointer, INPUT_BYTES.load(Relaxed)) };
    let path = crate::artifacts().join(format!("refused-{}", std::process::id()));
    let saved = fs::create_dir_all(crate::artifacts()).and_then(|()| fs::write(&path, input));
    eprintln!("an allocation of {bytes} B; input in {}: {saved:?}", path.display());
}

/// A try begins. `input` stays where it is until [`end`].
pub(crate) fn begin(input: &[u8]) {
    INPUT_BYTES.store(input.len(), Relaxed);
    INPUT.store(input.as_ptr().cast_mut(), Relaxed);
    let held = HELD_BYTES.load(Relaxed);
    HELD_BEFORE.set(held);
    PEAK_BYTES.store(held, Relaxed);
}

/// A try has ended: most that it held at once.
pub(crate) fn end() -> usize {
    INPUT.store(std::ptr::null_mut(), Relaxed);
    PEAK_BYTES.load(Relaxed).saturating_sub(HELD_BEFORE.get())
}

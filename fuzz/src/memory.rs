//! A small machine's memory: allocations beyond it fail, as they do on firmware.
//!
//! Code with fallible allocations gets an error and continues. For others the standard library ends
//! the program, which fuzzing then reports.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The system's allocator with a limit on what is in use. The program that sets the limit makes it
/// its `#[global_allocator]`.
pub struct Limited;

static LIMIT: AtomicUsize = AtomicUsize::new(0);
static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// Sets the limit in bytes.
pub fn set_limit(bytes: usize) {
    LIMIT.store(bytes, Relaxed);
}

/// The limit in bytes, if one is set.
pub fn limit() -> Option<usize> {
    Some(LIMIT.load(Relaxed)).filter(|&limit| limit > 0)
}

/// The most bytes that `work` had in use beyond those that were in use before.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = IN_USE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = work();
    (result, PEAK.load(Relaxed).saturating_sub(before))
}

// SAFETY: every call that is not refused goes to the system's allocator as it came; null is how an
// allocator refuses. Counting touches only atomics.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let in_use = IN_USE.fetch_add(layout.size(), Relaxed).saturating_add(layout.size());
        if limit().is_some_and(|limit| in_use > limit) {
            IN_USE.fetch_sub(layout.size(), Relaxed);
            return std::ptr::null_mut();
        }
        PEAK.fetch_max(in_use, Relaxed);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as in `alloc`; the pointer came from there.
        unsafe { System.dealloc(pointer, layout) }
    }
}

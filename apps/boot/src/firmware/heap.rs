//! The heap.
//!
//! Small blocks come from the firmware's pools. Large ones (the tensors of a model) are pages,
//! and once freed they stay here to be used again: handing pages back takes the firmware 1 to 5
//! seconds per GB (OVMF), and changing models would take that long. They are handed back when the
//! firmware has none left.
//!
//! Only the boot core may use it.

use crate::free_list::{FreeList, PAGE, Span};
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, Ordering};
use uefi::allocator::Allocator as Pools;
use uefi::boot::{self, AllocateType, MemoryType};

#[global_allocator]
static HEAP: Heap = Heap { kept: UnsafeCell::new(FreeList::new()), busy: AtomicBool::new(false) };

/// Blocks of this many bytes and more are pages.
const LARGE: usize = 64 << 10;

struct Heap {
    /// Pages that were freed. More spans than this are a rare case: they go back to the firmware.
    kept: UnsafeCell<FreeList<512>>,
    /// Whether someone is at `kept`.
    busy: AtomicBool,
}

// SAFETY: `kept` is reached only through `Heap::with_kept`, which lets one in at a time.
unsafe impl Sync for Heap {}

/// Bytes in pages that were freed and that the firmware counts as used: all, and the largest block.
pub fn kept() -> (u64, u64) {
    HEAP.with_kept(|kept| (bytes(kept.pages()), bytes(kept.largest()))).unwrap_or_default()
}

fn bytes(pages: usize) -> u64 {
    pages as u64 * PAGE as u64
}

/// Gives the firmware all pages that were kept, for whatever runs after this program.
pub fn hand_back() {
    HEAP.hand_back();
}

impl Heap {
    /// `None` if another core uses the heap at the same time, which none should: it gets no memory
    /// then, rather than memory that is in use.
    fn with_kept<R>(&self, use_it: impl FnOnce(&mut FreeList<512>) -> R) -> Option<R> {
        if self.busy.swap(true, Ordering::Acquire) {
            return None;
        }
        // SAFETY: `busy` was false and is true now, so no one else has a reference until it is
        // false again, and this one ends before that.
        let result = use_it(unsafe { &mut *self.kept.get() });
        self.busy.store(false, Ordering::Release);
        Some(result)
    }

    fn take_pages(&self, pages: usize) -> Option<NonNull<u8>> {
        let again = self.with_kept(|kept| kept.take(pages))?;
        if let Some(start) = again {
            return NonNull::new(ptr::with_exposed_provenance_mut(start));
        }
        new_pages(pages).or_else(|| {
            self.hand_back();
            new_pages(pages)
        })
    }

    /// Gives the firmware all pages that are not in use.
    fn hand_back(&self) {
        while let Some(span) = self.with_kept(FreeList::pop).flatten() {
            free_pages(span);
        }
    }
}

fn new_pages(pages: usize) -> Option<NonNull<u8>> {
    boot::allocate_pages(AllocateType::AnyPages, MemoryType::LOADER_DATA, pages).ok()
}

/// Hands pages back. Should the firmware refuse, they are lost: that beats handing them out twice.
fn free_pages(span: Span) {
    if let Some(start) = NonNull::new(ptr::with_exposed_provenance_mut(span.start)) {
        // SAFETY: the span came from `new_pages` and was freed by whoever had it. It was taken
        // out of the list of kept pages, or never was in it, so it is not handed out again.
        let _ = unsafe { boot::free_pages(start, span.pages) };
    }
}

fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE && layout.align() <= PAGE
}

// SAFETY: large blocks are whole pages that the firmware gave, each in at most one span or block
// at a time (`FreeList` takes out what it gives); they are never moved and are aligned to a page.
// Small ones are those of `uefi`'s allocator. A block's layout says which of both it is.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(layout) {
            let pages = layout.size().div_ceil(PAGE);
            return self.take_pages(pages).map_or(ptr::null_mut(), NonNull::as_ptr);
        }
        // SAFETY: the caller's promise, unchanged.
        unsafe { Pools.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_large(layout) {
            let span =
                Span { start: block.expose_provenance(), pages: layout.size().div_ceil(PAGE) };
            if self.with_kept(|kept| kept.give(span)) == Some(false) {
                free_pages(span);
            }
            return;
        }
        // SAFETY: the caller's promise, unchanged.
        unsafe { Pools.dealloc(block, layout) }
    }
}

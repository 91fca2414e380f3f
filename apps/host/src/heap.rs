//! The heap on Linux: large blocks, such as a model's weights, are in large pages.
//!
//! A processor caches some thousands of address translations (TLB). A model has more 4 KiB pages than
//! that, but only a few hundred of 2 MiB. Linux gives large pages ("transparent huge pages") to
//! memory that asks for them, where 2 MiB that are aligned are one mapping. A matrix alone is often
//! smaller than that, so blocks are placed side by side in one range of addresses.
//!
//! No address is used for two blocks in turn: there are more than enough addresses, and so a new
//! block is always zeros from the system. Freed memory goes back to the system: whole large pages at
//! once, a part of one at the latest when the rest of it is freed. If the system refuses the range, or
//! the range is used up, blocks come from the system allocator.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Blocks of this many bytes and more are pages.
const LARGE: usize = 64 << 10;
/// Bytes of a large page.
const LARGE_PAGE: usize = 2 << 20;
/// Bytes of the range: enough for hundreds of the largest models that fit a machine today.
const RANGE: usize = 1 << 42;

/// The heap. It can be the global allocator.
pub struct Heap {
    range: Mutex<Range>,
}

/// A range of addresses that belongs to this heap. What was freed, and what is beyond the last large
/// page in use, cannot be accessed.
struct Range {
    state: State,
    start: usize,
    /// Where the next block begins.
    next: usize,
    /// End of the part that can be accessed: a multiple of large pages.
    usable: usize,
    end: usize,
    /// Bytes of the system's small page.
    page: usize,
}

#[derive(PartialEq)]
enum State {
    NotAsked,
    Given,
    Refused,
}

impl Heap {
    /// An empty heap.
    pub const fn new() -> Self {
        let range = Range { state: State::NotAsked, start: 0, next: 0, usable: 0, end: 0, page: 0 };
        Heap { range: Mutex::new(range) }
    }

    fn range(&self) -> MutexGuard<'_, Range> {
        // Nothing panics while the lock is held.
        self.range.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block of zeros; null if the block is not for this heap or there is no memory.
    fn take(&self, layout: Layout) -> *mut u8 {
        if layout.size() < LARGE || layout.align() > LARGE {
            return ptr::null_mut();
        }
        let mut range = self.range();
        let block = range.take(layout.size(), layout.align()).unwrap_or(0);
        ptr::with_exposed_provenance_mut(block)
    }
}

impl Default for Heap {
    fn default() -> Self {
        Heap::new()
    }
}

impl Range {
    /// Reserves the addresses, without memory.
    fn reserve(&mut self) {
        self.state = State::Refused;
        // SAFETY: the call only reads a constant of the system.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let Ok(page @ 1..) = usize::try_from(page) else { return };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: the mapping is new, nothing refers to it, and it cannot be accessed.
        let start = unsafe { libc::mmap(ptr::null_mut(), RANGE, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return;
        }
        // SAFETY: the range is that mapping. A system without large pages refuses, which is harmless.
        unsafe { libc::madvise(start, RANGE, libc::MADV_HUGEPAGE) };
        let (start, end) = (start.expose_provenance(), start.addr() + RANGE);
        let first = start.next_multiple_of(LARGE_PAGE);
        *self = Range { state: State::Given, start, next: first, usable: first, end, page };
    }

    fn take(&mut self, size: usize, align: usize) -> Option<usize> {
        if self.state == State::NotAsked {
            self.reserve();
        }
        if self.state == State::Refused {
            return None;
        }
        let block = self.next.checked_next_multiple_of(align)?;
        let end = block.checked_add(size)?.checked_next_multiple_of(self.page)?;
        // Whole large pages are made accessible, or a block's last bytes would not get one.
        let usable = end.checked_next_multiple_of(LARGE_PAGE)?.max(self.usable);
        if usable > self.end {
            return None;
        }
        if usable > self.usable {
            let (more, length) = (self.usable, usable - self.usable);
            let more = ptr::with_exposed_provenance_mut(more);
            // SAFETY: these addresses are in the range and belong to no block yet.
            let result =
                unsafe { libc::mprotect(more, length, libc::PROT_READ | libc::PROT_WRITE) };
            if result != 0 {
                return None;
            }
            self.usable = usable;
        }
        self.next = end;
        Some(block)
    }

    fn has(&self, block: *mut u8) -> bool {
        (self.start..self.end).contains(&block.addr())
    }

    /// Gives a block's memory back to the system. Its addresses are not used again.
    fn give_back(&self, block: *mut u8, size: usize) {
        let length = size.next_multiple_of(self.page);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: the block is whole pages of this range, and its owner has given it up. If the call
        // fails, the memory is lost but belongs to no one else.
        unsafe { libc::mmap(block.cast(), length, libc::PROT_NONE, flags, -1, 0) };
    }
}

// SAFETY: `Range::take` returns every address at most once, aligned as requested and accessible; the
// caller of `dealloc` no longer uses the block. All other blocks are the system allocator's, which
// never returns one in the range: that stays mapped as long as the program runs.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = self.take(layout);
        if !block.is_null() {
            return block;
        }
        // SAFETY: the caller's promise, unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let block = self.take(layout);
        if !block.is_null() {
            return block;
        }
        // SAFETY: the caller's promise, unchanged.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if layout.size() >= LARGE {
            let range = self.range();
            if range.has(block) {
                return range.give_back(block, layout.size());
            }
        }
        // SAFETY: the caller's promise, unchanged; the block is outside the range.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.size() < LARGE && size < LARGE {
            // SAFETY: the caller's promise, unchanged; blocks this small are never in the range.
            return unsafe { System.realloc(block, layout, size) };
        }
        // SAFETY: the caller promises that the size is right for this alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: the caller promises that the size is not zero.
        let new = unsafe { self.alloc(new_layout) };
        if !new.is_null() {
            // SAFETY: both blocks have at least that many bytes, and the new one overlaps nothing.
            // The caller gives up the old one.
            unsafe {
                ptr::copy_nonoverlapping(block, new, layout.size().min(size));
                self.dealloc(block, layout);
            }
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::slice;

    static HEAP: Heap = Heap::new();

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    /// A block, checked to be zeros and then filled.
    fn filled(size: usize, align: usize, with: u8) -> &'static mut [u8] {
        // SAFETY: no size in here is zero.
        let block = unsafe { HEAP.alloc_zeroed(layout(size, align)) };
        assert!(!block.is_null() && block.addr().is_multiple_of(align));
        // SAFETY: the block is that large and not shared until it is freed.
        let bytes = unsafe { slice::from_raw_parts_mut(block, size) };
        assert!(bytes.iter().all(|&byte| byte == 0), "{size}");
        bytes.fill(with);
        bytes
    }

    #[test]
    fn blocks_are_zero_apart_and_keep_what_is_written() {
        let sizes =
            [1, 100, LARGE - 1, LARGE, LARGE + 1, 1_000_000, LARGE_PAGE, 5 * LARGE_PAGE + 7];
        for round in 0..3 {
            let blocks: Vec<_> = (0u8..)
                .zip(
                    sizes.into_iter().flat_map(|size| [64, 4096, LARGE].map(|align| (size, align))),
                )
                .map(|(number, (size, align))| (number, align, filled(size, align, number + 1)))
                .collect();
            for (number, align, bytes) in blocks {
                assert!(bytes.iter().all(|&byte| byte == number + 1), "round {round}");
                // SAFETY: it was made with this layout, and is no longer used.
                unsafe { HEAP.dealloc(bytes.as_mut_ptr(), layout(bytes.len(), align)) };
            }
        }
    }

    #[test]
    fn a_block_that_grows_and_shrinks_keeps_its_bytes() {
        let (mut size, mut block) = (10, filled(10, 8, 7).as_mut_ptr());
        for new in [100, LARGE - 1, LARGE, 3 * LARGE, 9_000_000, LARGE, 10] {
            // SAFETY: it has this layout, and the old address is used no more.
            block = unsafe { HEAP.realloc(block, layout(size, 8), new) };
            size = new;
            // SAFETY: ten bytes have been there all the time.
            let kept = unsafe { slice::from_raw_parts(block, 10) };
            assert_eq!(kept, [7; 10], "{new}");
        }
        // SAFETY: as above.
        unsafe { HEAP.dealloc(block, layout(size, 8)) };
    }

    #[test]
    fn more_than_there_is_is_refused() {
        for size in [1 << 50, isize::MAX as usize - 4096] {
            // SAFETY: the size is not zero.
            let block = unsafe { HEAP.alloc(layout(size, 64)) };
            assert!(block.is_null(), "{size}");
        }
        // What is there is given as before.
        let bytes = filled(1_000_000, 64, 3);
        // SAFETY: it was made with this layout.
        unsafe { HEAP.dealloc(bytes.as_mut_ptr(), layout(1_000_000, 64)) };
    }

    /// Threads at the same time, each sure of its own blocks.
    #[test]
    fn no_block_is_given_twice() {
        std::thread::scope(|scope| {
            for thread in 1..5 {
                scope.spawn(move || {
                    for round in 0..50 {
                        let size = LARGE + 1000 * round;
                        let own = [0, 1].map(|_| filled(size, 64, thread));
                        for bytes in own {
                            assert!(bytes.iter().all(|&byte| byte == thread));
                            // SAFETY: it was made with this layout.
                            unsafe { HEAP.dealloc(bytes.as_mut_ptr(), layout(size, 64)) };
                        }
                    }
                });
            }
        });
    }

    /// The value of a line of the kernel's description of the mapping with this address.
    fn of_mapping(address: usize, name: &str) -> String {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        let value = maps.lines().find_map(|line| {
            let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
            let number = |text| usize::from_str_radix(text, 16);
            if let Some((Ok(start), Ok(end))) = range.map(|(a, b)| (number(a), number(b))) {
                inside = (start..end).contains(&address);
            }
            line.strip_prefix(name).filter(|_| inside)
        });
        value.unwrap().trim().to_string()
    }

    #[test]
    fn what_is_freed_goes_back_to_the_system() {
        for size in [LARGE, 3 * LARGE_PAGE + 5] {
            let bytes = filled(size, 64, 1);
            if !HEAP.range().has(bytes.as_mut_ptr()) {
                eprintln!("skipped: this system gives no range");
                return;
            }
            let address = bytes.as_ptr().addr();
            assert_ne!(of_mapping(address, "Rss:"), "0 kB");
            // SAFETY: it was made with this layout.
            unsafe { HEAP.dealloc(bytes.as_mut_ptr(), layout(size, 64)) };
            assert_eq!(of_mapping(address, "Rss:"), "0 kB");
        }
    }

    #[test]
    fn when_the_range_is_used_up_blocks_are_the_system_s() {
        static FULL: Heap = Heap::new();
        let new = |size| {
            // SAFETY: no size in here is zero.
            let block = unsafe { FULL.alloc_zeroed(layout(size, 64)) };
            assert!(!block.is_null());
            (block, FULL.range().has(block))
        };
        let (first, inside) = new(LARGE);
        if !inside {
            eprintln!("skipped: this system gives no range");
            return;
        }
        let (start, end) = (first.addr(), FULL.range().end);
        // As if all had been given but the last large page.
        let last = end / LARGE_PAGE * LARGE_PAGE - LARGE_PAGE;
        (FULL.range().next, FULL.range().usable) = (last, last);
        let (second, inside) = new(LARGE);
        assert!(inside && second.addr() == last && start < last);
        let (third, inside) = new(LARGE_PAGE);
        assert!(!inside);
        for (block, size) in [(first, LARGE), (third, LARGE_PAGE), (second, LARGE)] {
            // SAFETY: it was made with this layout, and is no longer used.
            unsafe { FULL.dealloc(block, layout(size, 64)) };
        }
    }

    /// The kernel says of each mapping whether it may have large pages ("hg" for huge).
    #[test]
    fn the_system_is_asked_for_large_pages() {
        if !std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
            eprintln!("skipped: this system has no large pages");
            return;
        }
        let bytes = filled(3 * LARGE_PAGE, 64, 1);
        let flags = of_mapping(bytes.as_ptr().addr(), "VmFlags:");
        assert!(flags.split_whitespace().any(|flag| flag == "hg"), "{flags}");
        // SAFETY: it was made with this layout.
        unsafe { HEAP.dealloc(bytes.as_mut_ptr(), layout(3 * LARGE_PAGE, 64)) };
    }
}

//! Bytes that are aligned for the widest vector registers.

use alloc::alloc::alloc_zeroed;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::hint::black_box;

/// 64 bytes: a cache line, and the widest vector register.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

const LINE: usize = 64;
/// Bytes of the smallest page on any machine.
const PAGE: usize = 4096;

/// A fixed number of bytes, initially zero, that begin at a multiple of 64. The default has none.
#[derive(Default)]
pub struct AlignedBytes {
    lines: Vec<Line>,
    length: usize,
}

/// The memory cannot be allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

impl AlignedBytes {
    /// Allocates `length` zero bytes.
    ///
    /// Nothing is written if the allocator has zeros already, as it has in memory that is fresh from
    /// the system. Then the core that first writes to a page takes the page fault.
    pub fn zeroed(length: usize) -> Result<Self, NoMemory> {
        let count = length.div_ceil(LINE);
        if count == 0 {
            return Ok(AlignedBytes { lines: Vec::new(), length });
        }
        let layout = Layout::array::<Line>(count).map_err(|_| NoMemory)?;
        // SAFETY: there is at least one line, so the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        if start.is_null() {
            return Err(NoMemory);
        }
        // SAFETY: the global allocator, which `Vec` uses too, has just allocated it with this layout
        // of `count` lines, and zeros are valid lines.
        let lines = unsafe { Vec::from_raw_parts(start.cast(), count, count) };
        Ok(AlignedBytes { lines, length })
    }

    /// Allocates `length` zero bytes and touches every page, so that no page fault comes later.
    pub fn zeroed_and_touched(length: usize) -> Result<Self, NoMemory> {
        let mut bytes = Self::zeroed(length)?;
        let slice = bytes.as_mut_slice();
        // The compiler knows that they are zero, and would not write zeros.
        slice.iter_mut().step_by(PAGE).for_each(|byte| *black_box(byte) = 0);
        // If the first byte is not the first of a page, there may be one more page.
        slice.last_mut().into_iter().for_each(|byte| *black_box(byte) = 0);
        Ok(bytes)
    }

    /// All bytes.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: a `Line` is 64 initialized bytes without padding, the lines of a `Vec` are
        // contiguous, and `zeroed` made enough of them for `length` bytes.
        unsafe { core::slice::from_raw_parts(self.lines.as_ptr().cast(), self.length) }
    }

    /// All bytes, mutable.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`; any bytes are a valid `Line`, and `&mut self` excludes other
        // references.
        unsafe { core::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_zero_aligned_and_of_the_given_length() {
        for length in [0, 1, 63, 64, 65, PAGE - 1, PAGE, PAGE + 1, 1_000_003] {
            for zeroed in [AlignedBytes::zeroed, AlignedBytes::zeroed_and_touched] {
                let bytes = zeroed(length).unwrap();
                assert_eq!(bytes.as_slice().len(), length);
                assert!(bytes.as_slice().as_ptr().addr().is_multiple_of(LINE));
                assert!(bytes.as_slice().iter().all(|&byte| byte == 0));
            }
        }
        assert_eq!(AlignedBytes::zeroed(usize::MAX).err(), Some(NoMemory));
    }
}

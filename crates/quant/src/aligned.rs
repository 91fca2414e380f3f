//! Bytes whose start is aligned for the widest vector registers.

use alloc::alloc::alloc_zeroed;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::hint::black_box;

/// 64 bytes: a cache line, and the widest vector register there is.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

const LINE: usize = 64;
/// Bytes of the smallest page of any machine.
const PAGE: usize = 4096;

/// A fixed number of bytes, zero at first, that begin at a multiple of 64; none by default.
#[derive(Default)]
pub struct AlignedBytes {
    lines: Vec<Line>,
    length: usize,
}

/// The memory that was asked for is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

impl AlignedBytes {
    /// Allocates `length` zero bytes, or says that the memory is not there.
    ///
    /// Nothing is written if the allocator has zeros at hand, as it has where memory is fresh from
    /// the system. Then it is the core that first writes to a page that waits until the system has
    /// found one.
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
        // SAFETY: the global allocator, which is that of `Vec`, has just given it for this layout of
        // `count` lines, and zeros are valid lines.
        let lines = unsafe { Vec::from_raw_parts(start.cast(), count, count) };
        Ok(AlignedBytes { lines, length })
    }

    /// The same with every page there from now on, so that nobody waits for one later.
    pub fn zeroed_at_once(length: usize) -> Result<Self, NoMemory> {
        let mut bytes = Self::zeroed(length)?;
        let slice = bytes.as_mut_slice();
        // A compiler that knows them to be zero would not write zeros.
        slice.iter_mut().step_by(PAGE).for_each(|byte| *black_box(byte) = 0);
        // If the first does not lie where a page begins, there may be one more.
        slice.last_mut().into_iter().for_each(|byte| *black_box(byte) = 0);
        Ok(bytes)
    }

    /// All the bytes.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: a `Line` is 64 initialised bytes without padding, lines follow each other
        // without gaps, and `zeroed` made enough of them for `length` bytes.
        unsafe { core::slice::from_raw_parts(self.lines.as_ptr().cast(), self.length) }
    }

    /// All the bytes, to be written.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`; any value of the bytes is a valid `Line`, and `&mut self` keeps
        // others away.
        unsafe { core::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_zero_aligned_and_as_many_as_asked_for() {
        for length in [0, 1, 63, 64, 65, PAGE - 1, PAGE, PAGE + 1, 1_000_003] {
            for zeroed in [AlignedBytes::zeroed, AlignedBytes::zeroed_at_once] {
                let bytes = zeroed(length).unwrap();
                assert_eq!(bytes.as_slice().len(), length);
                assert!(bytes.as_slice().as_ptr().addr().is_multiple_of(LINE));
                assert!(bytes.as_slice().iter().all(|&byte| byte == 0));
            }
        }
        assert_eq!(AlignedBytes::zeroed(usize::MAX).err(), Some(NoMemory));
    }
}

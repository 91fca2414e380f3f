//! Bytes whose start is aligned for the widest vector registers.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;

/// 64 bytes: a cache line, and the widest vector register there is.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

const LINE: usize = 64;

/// A fixed number of bytes, zero at first, that begin at a multiple of 64.
pub struct AlignedBytes {
    lines: Vec<Line>,
    length: usize,
}

impl AlignedBytes {
    /// Allocates `length` zero bytes, or says that the memory is not there.
    pub fn zeroed(length: usize) -> Result<Self, TryReserveError> {
        let count = length.div_ceil(LINE);
        let mut lines = Vec::new();
        lines.try_reserve_exact(count)?;
        lines.resize(count, Line([0; LINE]));
        Ok(AlignedBytes { lines, length })
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

//! Reading a file from front to back.

use super::GgufError;
use crate::ReadError;
use alloc::vec::Vec;
use bootllm_platform::ReadAt;

/// The most bytes that are taken at once, and that are read at once.
pub(super) const MOST: usize = 1 << 16;

/// A place in a file. What is taken is little-endian, and within the file.
pub(super) struct Cursor<'a> {
    file: &'a mut dyn ReadAt,
    size: u64,
    position: u64,
    /// Bytes of the file from `start` on.
    buffer: Vec<u8>,
    start: u64,
}

impl<'a> Cursor<'a> {
    /// A cursor at `position`.
    pub(super) fn new(file: &'a mut dyn ReadAt, position: u64) -> Result<Self, ReadError> {
        let size = file.size();
        let mut buffer = Vec::new();
        let most = size.min(MOST as u64) as usize;
        buffer.try_reserve_exact(most).map_err(|_| GgufError::OutOfMemory)?;
        Ok(Cursor { file, size, position, buffer, start: 0 })
    }

    /// The file.
    pub(super) fn file(&mut self) -> &mut dyn ReadAt {
        self.file
    }

    /// The offset of the next byte.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Passes bytes over.
    pub(super) fn skip(&mut self, bytes: u64) -> Result<(), ReadError> {
        let end = self.position.checked_add(bytes).filter(|&end| end <= self.size);
        self.position = end.ok_or(GgufError::CutShort)?;
        Ok(())
    }

    /// The next bytes, [`MOST`] at most.
    pub(super) fn take(&mut self, length: usize) -> Result<&[u8], ReadError> {
        let from = self.position;
        self.skip(length as u64)?;
        self.slice(from, length)
    }

    /// Bytes within the file, [`MOST`] at most.
    fn slice(&mut self, from: u64, length: usize) -> Result<&[u8], ReadError> {
        let end = self.start + self.buffer.len() as u64;
        if from < self.start || from + length as u64 > end {
            self.buffer.resize((self.size - from).min(MOST as u64) as usize, 0);
            self.start = from;
            self.file.read_at(from, &mut self.buffer).inspect_err(|_| self.buffer.clear())?;
        }
        Ok(&self.buffer[(from - self.start) as usize..][..length])
    }

    /// The next number's bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ReadError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, ReadError> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    /// The beginning of the next string, `most` bytes at most, and whether that is all of it.
    pub(super) fn string(&mut self, most: usize) -> Result<(&[u8], bool), ReadError> {
        let length = self.u64()?;
        let taken = length.min(most.min(MOST) as u64) as usize;
        let start = self.position;
        self.skip(length)?;
        Ok((self.slice(start, taken)?, taken as u64 == length))
    }
}

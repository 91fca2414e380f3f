//! Reading a file of a volume.

use super::volume::Volume;
use super::with_code;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_platform::{ReadAt, StorageError};
use uefi::Status;
use uefi::proto::media::file::RegularFile;

/// Bytes read at once. Some firmware fails on more than 1 MiB, and more is no faster.
const BLOCK: u64 = 1 << 20;
/// Bytes read at once where nobody has read just before: a look at a header needs no more.
const FIRST: u64 = 64 << 10;
/// Where reading a block fails, it is read in pieces of these sizes, one after the other.
const PIECES: [usize; 3] = [BLOCK as usize, FIRST as usize, 4 << 10];

/// An open file. It is read in aligned blocks into a buffer that is aligned: many drivers are
/// slow otherwise. And so a header that is read number by number costs one access to the disk.
pub struct VolumeFile {
    volume: Volume,
    name: String,
    /// `None` if it could not be opened again after an error.
    file: Option<RegularFile>,
    size: u64,
    /// The bytes of the file from `start` on, up to a block.
    block: Vec<u8>,
    start: u64,
}

impl VolumeFile {
    pub fn open(mut volume: Volume, name: String) -> Result<Self, StorageError> {
        let (file, size) = volume.open(&name)?;
        Ok(Self { volume, name, file: Some(file), size, block: Vec::new(), start: 0 })
    }

    /// Opens the file anew: after an error, the FAT driver of edk2 refuses to read on for as long
    /// as it is open. False if it is not there any more.
    fn open_again(&mut self) -> bool {
        self.file = None;
        self.file = self.volume.open(&self.name).ok().map(|(file, _)| file);
        self.file.is_some()
    }

    /// Reads a block that holds the byte at `offset`.
    fn load(&mut self, offset: u64) -> Result<(), StorageError> {
        let goes_on = !self.block.is_empty() && offset == self.start + self.block.len() as u64;
        let start = offset - offset % FIRST;
        let end = if goes_on { start - start % BLOCK + BLOCK } else { start + FIRST };
        let length = (end.min(self.size) - start) as usize;
        let failed = |reason| StorageError::Device { offset: start, reason };
        self.block.clear();
        self.block
            .try_reserve_exact(length)
            .map_err(|_| failed("there is no memory left to read into".into()))?;
        self.block.resize(length, 0);
        self.start = start;
        let mut outcome = self.read_block(PIECES[0]);
        for &piece in &PIECES[1..] {
            if outcome.is_ok() || !self.open_again() {
                break;
            }
            outcome = self.read_block(piece);
        }
        outcome.map_err(|(offset, status)| {
            self.block.clear();
            StorageError::Device { offset, reason: with_code(status) }
        })
    }

    /// Fills the block, `piece` bytes at a time. Errors say where in the file.
    fn read_block(&mut self, piece: usize) -> Result<(), (u64, Status)> {
        let mut done = 0;
        let at = |done| self.start + done as u64;
        let file = self.file.as_mut().ok_or((at(0), Status::NO_MEDIA))?;
        file.set_position(self.start).map_err(|error| (at(0), error.status()))?;
        while done < self.block.len() {
            let end = self.block.len().min(done + piece);
            match file.read(&mut self.block[done..end]) {
                Ok(0) => return Err((at(done), Status::END_OF_FILE)),
                Ok(read) => done += read,
                Err(error) => return Err((at(done), error.status())),
            }
        }
        Ok(())
    }

    /// What of the block lies from `offset` on.
    fn loaded(&self, offset: u64) -> &[u8] {
        let within = offset.checked_sub(self.start).and_then(|within| usize::try_from(within).ok());
        within.and_then(|within| self.block.get(within..)).unwrap_or_default()
    }
}

impl ReadAt for VolumeFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let end = offset.saturating_add(buffer.len() as u64);
        if end > self.size {
            return Err(StorageError::PastEnd { end, size: self.size });
        }
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done as u64;
            if self.loaded(at).is_empty() {
                self.load(at)?;
            }
            let loaded = self.loaded(at);
            let length = loaded.len().min(buffer.len() - done);
            buffer[done..done + length].copy_from_slice(&loaded[..length]);
            done += length;
        }
        Ok(())
    }
}

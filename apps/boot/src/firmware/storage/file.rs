//! Reading a file of a volume.

use super::raw::OpenFile;
use super::volume::Volume;
use super::with_code;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_platform::{ReadAt, StorageError};
use uefi::Status;

/// Bytes read at once. Some firmware fails on more than 1 MiB, and more is no faster.
const BLOCK: u64 = 1 << 20;
/// Bytes read at once where the bytes before were not read: a header needs no more.
const FIRST: u64 = 64 << 10;
/// An attempt to read a block asks the firmware for pieces of these sizes, one size after the other
/// as attempts fail. Each failure can take the firmware's own time-outs, some ten seconds.
const PIECES: [usize; 3] = [BLOCK as usize, FIRST as usize, 4 << 10];

/// An open file. It is read in aligned blocks into an aligned buffer, because many drivers are slow
/// otherwise, and a header that is read number by number then costs one access to the disk.
pub struct VolumeFile {
    volume: Volume,
    name: String,
    /// `None` after an error: the FAT driver of edk2 then refuses to read on until the file is
    /// opened again.
    file: Option<OpenFile>,
    size: u64,
    /// The bytes of the file from `start` on, up to a block.
    block: Vec<u8>,
    start: u64,
    /// Failed attempts to read up to `failed_until`. Pieces stay small until that is passed.
    failed: usize,
    failed_until: u64,
}

impl VolumeFile {
    /// Opens a file; `/` separates the folders in its name.
    pub fn open(mut volume: Volume, name: String) -> Result<Self, StorageError> {
        let (file, size) = volume.open_file(&name)?;
        let file = Some(file);
        Ok(Self {
            volume,
            name,
            file,
            size,
            block: Vec::new(),
            start: 0,
            failed: 0,
            failed_until: 0,
        })
    }

    /// Makes one attempt to read a block that holds the byte at `offset`.
    fn load(&mut self, offset: u64) -> Result<(), StorageError> {
        let goes_on = !self.block.is_empty() && offset == self.start + self.block.len() as u64;
        let start = offset - offset % FIRST;
        let end = if goes_on { start - start % BLOCK + BLOCK } else { start + FIRST };
        let length = (end.min(self.size) - start) as usize;
        self.block.clear();
        self.block.try_reserve_exact(length).map_err(|_| StorageError::Device {
            offset: start,
            reason: "there is no memory left to read into".into(),
        })?;
        self.block.resize(length, 0);
        self.start = start;
        let end = start + length as u64;
        match self.read_block(PIECES[self.failed]) {
            Ok(()) => {
                if end >= self.failed_until {
                    self.failed = 0;
                }
                Ok(())
            }
            Err((offset, status)) => {
                let until = if self.failed == 0 { 0 } else { self.failed_until };
                self.failed_until = until.max(end);
                Err(self.failure(offset, status))
            }
        }
    }

    /// The error of an attempt that failed: whether another one is worth making.
    fn failure(&mut self, offset: u64, status: Status) -> StorageError {
        self.block.clear();
        self.file = None;
        // The firmware has repeated the command itself before it gives up waiting.
        self.failed += if status == Status::TIMEOUT { 2 } else { 1 };
        if !self.volume.is_still_present() {
            self.failed = 0;
            return StorageError::Device { offset, reason: with_code(Status::MEDIA_CHANGED) };
        }
        let reason = with_code(status);
        if self.failed < PIECES.len() {
            StorageError::Retry { offset, reason }
        } else {
            self.failed = 0;
            StorageError::Device { offset, reason }
        }
    }

    /// Fills the block, `piece` bytes at a time. Errors say where in the file.
    fn read_block(&mut self, piece: usize) -> Result<(), (u64, Status)> {
        let start = self.start;
        let at = |done| start + done as u64;
        let file = match &mut self.file {
            Some(file) => file,
            closed => {
                let (file, _) = self
                    .volume
                    .open_file(&self.name)
                    .map_err(|_| (start, Status::MEDIA_CHANGED))?;
                closed.insert(file)
            }
        };
        file.seek(start).map_err(|status| (start, status))?;
        let mut done = 0;
        while done < self.block.len() {
            let end = self.block.len().min(done + piece);
            match file.read(&mut self.block[done..end]) {
                Ok(0) => return Err((at(done), Status::END_OF_FILE)),
                Ok(read) => done += read,
                Err(status) => return Err((at(done), status)),
            }
        }
        Ok(())
    }

    /// The bytes of the block from `offset` on.
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
        loop {
            match self.try_read_at(offset, buffer) {
                Err(StorageError::Retry { .. }) => {}
                outcome => return outcome,
            }
        }
    }

    fn try_read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
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

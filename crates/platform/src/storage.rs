//! Storage: the files that models lie in.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// The files of one volume, or of one folder.
pub trait Storage {
    /// All files, with their sizes, in the order of their names.
    fn list(&mut self) -> Result<Vec<Entry>, StorageError>;

    /// Opens the file of this name.
    fn open(&mut self, name: &str) -> Result<Box<dyn ReadAt>, StorageError>;
}

/// A file as [`Storage::list`] shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name that [`Storage::open`] takes; folders in it are parted by `/`.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// A file that is read at any offset.
pub trait ReadAt {
    /// Bytes in the file.
    fn size(&self) -> u64;

    /// Fills the whole of `buffer` from `offset` on, or says why not.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError>;
}

/// Why a file or a volume could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// There is no such file.
    #[error("there is no such file")]
    NotFound {
        /// The file that was asked for.
        name: String,
    },
    /// The file ends before the bytes that were asked for.
    #[error("the file ends at byte {size}, but bytes up to {end} were asked for")]
    PastEnd {
        /// One past the last byte that was asked for.
        end: u64,
        /// Bytes in the file.
        size: u64,
    },
    /// The device or its driver failed.
    #[error("reading failed at byte {offset}: {reason}")]
    Device {
        /// Where in the file.
        offset: u64,
        /// What the device or its driver said.
        reason: String,
    },
    /// The volume itself cannot be read.
    #[error("the volume cannot be read: {reason}")]
    Volume {
        /// What its driver said.
        reason: String,
    },
}

/// Bytes in memory read like a file: for tests and for models inside the program.
impl ReadAt for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let size = self.len() as u64;
        let end = offset.saturating_add(buffer.len() as u64);
        if end > size {
            return Err(StorageError::PastEnd { end, size });
        }
        // Both ends are within the slice, so they fit a usize.
        buffer.copy_from_slice(&self[offset as usize..end as usize]);
        Ok(())
    }
}

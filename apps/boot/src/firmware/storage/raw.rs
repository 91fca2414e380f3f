//! Open files and folders of the firmware's file systems.
//!
//! The `uefi` crate's own types take and return names as `CStr16`, which is UCS-2: a name with a
//! character beyond the BMP, which FAT may hold, cannot be one. Here names are UTF-16.

use crate::file_info;
use crate::firmware::protocol;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bootllm_platform::FileInfo;
use core::mem;
use core::ptr::{self, NonNull};
use uefi::proto::media::fs::SimpleFileSystem;
use uefi::{Guid, Handle, Status};
use uefi_raw::protocol::file_system::{
    FileAttribute, FileInfo as RawFileInfo, FileMode, FileProtocolV1, FileSystemInfo,
    SimpleFileSystemProtocol,
};

/// Words of a buffer that holds what firmware says of a file with a name of 255 units.
const INFO_WORDS: usize = 128;
/// The most that is allocated for it.
const INFO_WORDS_AT_MOST: usize = 8192;

/// An open file or folder. It is closed when this is dropped.
pub struct OpenFile(NonNull<FileProtocolV1>);

impl OpenFile {
    /// Opens the root folder of a volume.
    pub fn root(device: Handle) -> Result<Self, Status> {
        let opened = protocol::with::<SimpleFileSystem, _>(device, |volume| {
            let volume = ptr::from_mut(volume).cast::<SimpleFileSystemProtocol>();
            let mut root = ptr::null_mut();
            // SAFETY: `SimpleFileSystem` is a transparent wrapper of the protocol, which the
            // firmware gave; `root` is ours to write.
            let status = unsafe { ((*volume).open_volume)(volume, &mut root) };
            Self::opened(status, root)
        });
        opened.map_err(|error| error.status())?
    }

    /// Opens a file or folder in this folder for reading; `/` separates folders.
    pub fn open(&mut self, path: &str) -> Result<Self, Status> {
        self.open_for(path, FileMode::READ)
    }

    /// Opens a file in this folder for writing, with or without creating it.
    pub fn open_to_write(&mut self, path: &str, create: bool) -> Result<Self, Status> {
        let create = if create { FileMode::CREATE } else { FileMode::empty() };
        self.open_for(path, FileMode::READ | FileMode::WRITE | create)
    }

    fn open_for(&mut self, path: &str, mode: FileMode) -> Result<Self, Status> {
        let units = path
            .encode_utf16()
            .map(|unit| if unit == u16::from(b'/') { u16::from(b'\\') } else { unit });
        let mut name: Vec<u16> = units.collect();
        if name.contains(&0) {
            return Err(Status::NOT_FOUND);
        }
        name.push(0);
        let file = self.0.as_ptr();
        let mut opened = ptr::null_mut();
        // SAFETY: the file is open until it is dropped; `name` ends with its only zero, and
        // `opened` is ours to write.
        let status = unsafe {
            ((*file).open)(file, &mut opened, name.as_ptr(), mode, FileAttribute::empty())
        };
        Self::opened(status, opened)
    }

    fn opened(status: Status, file: *mut FileProtocolV1) -> Result<Self, Status> {
        match status {
            Status::SUCCESS => NonNull::new(file).map(Self).ok_or(Status::DEVICE_ERROR),
            status => Err(status),
        }
    }

    /// Reads from the current position on, fewer bytes than asked for at the end of the file.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Status> {
        let (file, mut length) = (self.0.as_ptr(), buffer.len());
        // SAFETY: the file is open until it is dropped; the buffer has as many bytes as is said.
        let status = unsafe { ((*file).read)(file, &mut length, buffer.as_mut_ptr().cast()) };
        match status {
            Status::SUCCESS if length <= buffer.len() => Ok(length),
            Status::SUCCESS => Err(Status::BAD_BUFFER_SIZE),
            status => Err(status),
        }
    }

    /// Writes all bytes at the current position, to the disk itself.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Status> {
        let (file, mut length) = (self.0.as_ptr(), bytes.len());
        // SAFETY: the file is open until it is dropped; there are as many bytes as is said.
        match unsafe { ((*file).write)(file, &mut length, bytes.as_ptr().cast()) } {
            Status::SUCCESS if length == bytes.len() => {}
            Status::SUCCESS => return Err(Status::VOLUME_FULL),
            status => return Err(status),
        }
        // SAFETY: as above.
        match unsafe { ((*file).flush)(file) } {
            Status::SUCCESS => Ok(()),
            status => Err(status),
        }
    }

    /// Deletes a file that was opened to write.
    pub fn delete(self) -> Result<(), Status> {
        let file = self.0.as_ptr();
        // Deleting closes the file, whether it succeeds or not (UEFI specification 2.10, 13.5).
        mem::forget(self);
        // SAFETY: the file is open, and this is its last use.
        match unsafe { ((*file).delete)(file) } {
            Status::SUCCESS => Ok(()),
            status => Err(status),
        }
    }

    /// Sets the position of the next read.
    pub fn seek(&mut self, position: u64) -> Result<(), Status> {
        let file = self.0.as_ptr();
        // SAFETY: the file is open until it is dropped.
        match unsafe { ((*file).set_position)(file, position) } {
            Status::SUCCESS => Ok(()),
            status => Err(status),
        }
    }

    /// Returns name, size and attributes of this file or folder.
    pub fn info(&mut self) -> Result<FileInfo, Status> {
        let bytes = self.get_info(&RawFileInfo::ID)?;
        file_info::parse(&bytes).ok_or(Status::VOLUME_CORRUPTED)
    }

    /// The label of the volume that this file lies on.
    pub fn volume_label(&mut self) -> Result<String, Status> {
        /// Bytes before the label (UEFI specification 2.10, 13.5, `EFI_FILE_SYSTEM_INFO`).
        const HEADER: usize = 36;
        let bytes = self.get_info(&FileSystemInfo::ID)?;
        let label = bytes.get(HEADER..).unwrap_or_default().as_chunks().0.iter();
        let units = label.map(|unit| u16::from_le_bytes(*unit)).take_while(|&unit| unit != 0);
        Ok(crate::words::utf16(&units.collect::<Vec<_>>()))
    }

    /// Reads the next entry of this folder; `None` at the end.
    pub fn next_entry(&mut self) -> Result<Option<FileInfo>, Status> {
        let file = self.0.as_ptr();
        // SAFETY: the file is open until it is dropped; the buffer has as many bytes as is said.
        let bytes = fill(|length, buffer| unsafe { ((*file).read)(file, length, buffer.cast()) })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        file_info::parse(&bytes).map(Some).ok_or(Status::VOLUME_CORRUPTED)
    }

    fn get_info(&mut self, kind: &Guid) -> Result<Vec<u8>, Status> {
        let file = self.0.as_ptr();
        // SAFETY: as above.
        fill(|length, buffer| unsafe { ((*file).get_info)(file, kind, length, buffer.cast()) })
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let file = self.0.as_ptr();
        // SAFETY: it is open, and this is its last use. Closing always succeeds (UEFI
        // specification 2.10, 13.5).
        let _ = unsafe { ((*file).close)(file) };
    }
}

/// Has the firmware fill an aligned buffer, with a larger one if it asks for that. `call` takes the
/// length of the buffer, where the firmware writes the length that it used, and the buffer.
fn fill(mut call: impl FnMut(*mut usize, *mut u64) -> Status) -> Result<Vec<u8>, Status> {
    let mut buffer = vec![0_u64; INFO_WORDS];
    for _ in 0..2 {
        let room = size_of_val(&buffer[..]);
        let mut length = room;
        match call(&mut length, buffer.as_mut_ptr()) {
            Status::SUCCESS => {
                let bytes = buffer.iter().flat_map(|word| word.to_ne_bytes());
                return Ok(bytes.take(length).collect());
            }
            Status::BUFFER_TOO_SMALL if length > room && length <= 8 * INFO_WORDS_AT_MOST => {
                buffer = vec![0; length.div_ceil(8)];
            }
            status => return Err(status),
        }
    }
    Err(Status::BUFFER_TOO_SMALL)
}

//! One volume: where it is, its folders and its files.

use super::raw::OpenFile;
use super::with_code;
use crate::firmware::protocol;
use alloc::borrow::ToOwned;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use bootllm_platform::{FileInfo, StorageError, Tree};
use core::time::Duration;
use uefi::proto::device_path::DevicePath;
use uefi::proto::loaded_image::LoadedImage;
use uefi::proto::media::block::BlockIO;
use uefi::proto::media::fs::SimpleFileSystem;
use uefi::{Handle, Status, boot};

/// After this time firmware has noticed that a USB device is gone: it looks at the ports from time
/// to time, but not while it reads.
const UNPLUGGED: Duration = Duration::from_secs(1);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// A volume: not the open device, but where it is.
#[derive(Clone)]
pub struct Volume {
    device: Option<Handle>,
    /// Where the device is plugged in. It identifies a device that was unplugged and is back.
    place: Option<Rc<DevicePath>>,
}

impl Volume {
    /// The volume that this program was started from.
    pub fn of_this_program() -> Self {
        let device = protocol::with::<LoadedImage, _>(boot::image_handle(), |image| image.device());
        match device {
            Ok(Some(device)) => Self::on(device),
            _ => Self { device: None, place: None },
        }
    }

    /// The volume on a device.
    pub fn on(device: Handle) -> Self {
        let place = protocol::with::<DevicePath, _>(device, |path| Rc::from(path.to_boxed()));
        Self { device: Some(device), place: place.ok() }
    }

    /// Whether both are in the same place.
    pub fn is(&self, other: &Self) -> bool {
        match (self.place.as_deref(), other.place.as_deref()) {
            (Some(a), Some(b)) => a.as_bytes() == b.as_bytes(),
            _ => self.device == other.device,
        }
    }

    /// The device, if it is there or is back.
    pub fn device(&mut self) -> Option<Handle> {
        if let Some(device) = self.device
            && protocol::has::<SimpleFileSystem>(device)
        {
            return Some(device);
        }
        let mut rest: &DevicePath = self.place.as_deref()?;
        let device = boot::locate_device_path::<SimpleFileSystem>(&mut rest).ok()?;
        // What is left over of the path says that this is only something on the way there.
        let found = rest.node_iter().next().is_none();
        found.then_some(device).inspect(|&device| self.device = Some(device))
    }

    /// The device, after the firmware was told to start its drivers if it is not there: a device
    /// that was unplugged and is back has none.
    fn device_after_connecting(&mut self) -> Option<Handle> {
        self.device().or_else(|| {
            self.device?;
            protocol::connect_all();
            self.device()
        })
    }

    /// Whether the volume is still there, after an error. It takes a second if it is.
    pub fn is_still_present(&mut self) -> bool {
        for _ in 0..UNPLUGGED.as_millis() / LOOK.as_millis() {
            let medium = |device| {
                protocol::with::<BlockIO, _>(device, |disk| disk.media().is_media_present())
                    // Not every file system lies on a disk.
                    .unwrap_or(true)
            };
            if !self.device().is_some_and(medium) {
                return false;
            }
            boot::stall(LOOK);
        }
        true
    }

    fn root(&mut self) -> Result<OpenFile, StorageError> {
        let device = self.device_after_connecting().ok_or_else(|| {
            let reason = if self.device.is_none() {
                "the program was not started from a disk with files"
            } else {
                "its disk was unplugged; plug it in again"
            };
            StorageError::Volume { reason: reason.to_owned() }
        })?;
        OpenFile::root(device).map_err(volume_error)
    }

    /// The label of the volume.
    pub fn label(&mut self) -> String {
        self.root().ok().and_then(|mut root| root.volume_label().ok()).unwrap_or_default()
    }

    /// Opens a file, whose folders are separated by `/`, and returns it with its size.
    pub fn open_file(&mut self, name: &str) -> Result<(OpenFile, u64), StorageError> {
        let not_found = || StorageError::NotFound { name: name.to_owned() };
        let mut file = self.root()?.open(name).map_err(|status| match status {
            // The second is for names that cannot be.
            Status::NOT_FOUND | Status::INVALID_PARAMETER => not_found(),
            _ => volume_error(status),
        })?;
        let info = file.info().map_err(volume_error)?;
        if info.is_folder { Err(not_found()) } else { Ok((file, info.size)) }
    }
}

/// Small files of the program's own in the root folder of the volume.
impl Volume {
    /// The text of a file, `None` if there is none that is short and UTF-8.
    pub fn read_text(&mut self, name: &str) -> Option<String> {
        const AT_MOST: u64 = 4 << 10;
        let (mut file, size) = self.open_file(name).ok()?;
        let mut bytes = vec![0; usize::try_from(size).ok().filter(|_| size <= AT_MOST)?];
        let read = file.read(&mut bytes).ok()?;
        bytes.truncate(read);
        String::from_utf8(bytes).ok()
    }

    /// Writes a file. There are disks that cannot be written to.
    pub fn write_text(&mut self, name: &str, text: &str) -> Result<(), StorageError> {
        let mut file = self.root()?.open_to_write(name, true).map_err(volume_error)?;
        file.write(text.as_bytes()).map_err(volume_error)
    }

    /// Deletes a file. True if it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let file = self.root().ok().and_then(|mut root| root.open_to_write(name, false).ok());
        file.is_some_and(|file| file.delete().is_ok())
    }
}

impl Tree for Volume {
    type Folder = OpenFile;

    fn open(&mut self, path: &str) -> Result<OpenFile, StorageError> {
        let mut root = self.root()?;
        if path.is_empty() { Ok(root) } else { root.open(path).map_err(volume_error) }
    }

    fn next(&mut self, folder: &mut OpenFile) -> Result<Option<FileInfo>, StorageError> {
        folder.next_entry().map_err(volume_error)
    }
}

fn volume_error(status: Status) -> StorageError {
    StorageError::Volume { reason: with_code(status) }
}

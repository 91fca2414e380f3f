//! The volume that the program was started from.

use super::with_code;
use crate::firmware::protocol;
use crate::words;
use alloc::borrow::ToOwned;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_platform::{Entry, StorageError};
use uefi::boot;
use uefi::proto::device_path::DevicePath;
use uefi::proto::loaded_image::LoadedImage;
use uefi::proto::media::file::{
    Directory, File, FileAttribute, FileHandle, FileInfo, FileMode, FileType, RegularFile,
};
use uefi::proto::media::fs::SimpleFileSystem;
use uefi::{CStr16, Handle, Status};

/// Folders within folders that are looked into.
const DEPTH: usize = 6;
/// Files and folders that are looked at. A damaged file system may have no end.
const ENTRIES: usize = 10_000;

/// A volume: not the open device, but where it is.
#[derive(Clone)]
pub struct Volume {
    device: Option<Handle>,
    /// Where the device is plugged in: it is found by this when it was pulled out and put back.
    place: Option<Rc<DevicePath>>,
}

impl Volume {
    /// The volume that this program was started from.
    pub fn of_this_program() -> Self {
        let device = protocol::with::<LoadedImage, _>(boot::image_handle(), |image| image.device());
        let device = device.ok().flatten();
        let place = device.and_then(|device| {
            protocol::with::<DevicePath, _>(device, |path| Rc::from(path.to_boxed())).ok()
        });
        Self { device, place }
    }

    /// The device, if it still is there or is there again.
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

    fn root(&mut self) -> Result<Directory, StorageError> {
        let device = self.device().ok_or_else(|| {
            let reason = if self.device.is_none() {
                "the program was not started from a disk with files"
            } else {
                "the disk that the program was started from is gone; put it back"
            };
            StorageError::Volume { reason: reason.to_owned() }
        })?;
        protocol::with::<SimpleFileSystem, _>(device, |files| files.open_volume())
            .and_then(|root| root)
            .map_err(|error| volume_error(error.status()))
    }

    /// All files that may be models or belong to them, by name.
    pub fn list(&mut self) -> Result<Vec<Entry>, StorageError> {
        let root = self.root()?;
        let mut found = Vec::new();
        let mut seen = 0;
        let mut folders = Vec::from([(root, String::new())]);
        while let Some((mut folder, path)) = folders.pop() {
            loop {
                let info = match folder.read_entry_boxed() {
                    Ok(Some(info)) => info,
                    Ok(None) => break,
                    Err(error) if path.is_empty() => return Err(volume_error(error.status())),
                    // A folder that cannot be read does not hide the others.
                    Err(_) => break,
                };
                seen += 1;
                if seen > ENTRIES {
                    break;
                }
                let Some(name) = shown_name(&info) else { continue };
                let name = path.clone() + &name;
                if !info.is_directory() {
                    found.push(Entry { name, size: info.file_size() });
                } else if name.matches('/').count() < DEPTH
                    && let Ok(folder) = open_in(&mut folder, info.file_name())
                    && let Ok(FileType::Dir(folder)) = folder.into_type()
                {
                    folders.push((folder, name + "/"));
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Opens a file, whose folders are parted by `/`. Gives its size as well.
    pub fn open(&mut self, name: &str) -> Result<(RegularFile, u64), StorageError> {
        let not_found = || StorageError::NotFound { name: name.to_owned() };
        // The firmware wants UTF-16 and its own separator.
        let mut path: Vec<u16> = name.replace('/', "\\").encode_utf16().collect();
        if path.contains(&0) {
            return Err(not_found());
        }
        path.push(0);
        // SAFETY: the only zero is the last. Names with characters beyond the BMP hold surrogates,
        // which a `CStr16` is not meant to; this one is only passed on to the firmware, whose file
        // systems compare the units of a name and nothing more.
        let path = unsafe { CStr16::from_u16_with_nul_unchecked(&path) };
        let file = open_in(&mut self.root()?, path).map_err(|status| match status {
            // The second is for names that cannot be.
            Status::NOT_FOUND | Status::INVALID_PARAMETER => not_found(),
            _ => volume_error(status),
        })?;
        let failed = |error: uefi::Error| volume_error(error.status());
        match file.into_type().map_err(failed)? {
            FileType::Regular(mut file) => {
                let size = file.get_boxed_info::<FileInfo>().map_err(failed)?.file_size();
                Ok((file, size))
            }
            FileType::Dir(_) => Err(not_found()),
        }
    }
}

fn open_in(folder: &mut Directory, name: &CStr16) -> Result<FileHandle, Status> {
    folder.open(name, FileMode::Read, FileAttribute::empty()).map_err(|error| error.status())
}

/// The name of a file or folder that may hold a model; `None` for the firmware's and the system's
/// own.
fn shown_name(info: &FileInfo) -> Option<String> {
    let name = words::utf16(info.file_name().to_u16_slice());
    let own = info.attribute().intersects(FileAttribute::HIDDEN | FileAttribute::SYSTEM)
        || name.starts_with('.')
        || (info.is_directory() && name.eq_ignore_ascii_case("EFI"));
    (!own).then_some(name)
}

fn volume_error(status: Status) -> StorageError {
    StorageError::Volume { reason: with_code(status) }
}

//! The files of the volume that the program was started from, and those inside the program.

#[cfg(feature = "embed")]
mod embedded;
mod file;
mod volume;

use super::protocol;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_platform::{Entry, ReadAt, Storage, StorageError};
use file::VolumeFile;
use uefi::{Handle, Status};
use volume::Volume;

/// All files that the program can read.
pub struct BootStorage {
    volume: Volume,
}

impl BootStorage {
    /// Finds the volume that the program was started from.
    pub fn find() -> Self {
        Self { volume: Volume::of_this_program() }
    }

    /// The device that the program was started from.
    pub fn device(&mut self) -> Option<Handle> {
        self.volume.device()
    }
}

impl Storage for BootStorage {
    fn list(&mut self) -> Result<Vec<Entry>, StorageError> {
        let on_volume = self.volume.list();
        #[cfg(feature = "embed")]
        {
            // The program works alone: a volume that cannot be read only has no more to offer.
            let inside = embedded::files();
            let mut others = on_volume.unwrap_or_default();
            others.retain(|other| inside.iter().all(|file| file.name != other.name));
            let entry = |file: &embedded::File| Entry {
                name: file.name.clone(),
                size: file.bytes.len() as u64,
            };
            Ok(inside.iter().map(entry).chain(others).collect())
        }
        #[cfg(not(feature = "embed"))]
        on_volume
    }

    fn open(&mut self, name: &str) -> Result<Box<dyn ReadAt>, StorageError> {
        #[cfg(feature = "embed")]
        if let Some(file) = embedded::files().into_iter().find(|file| file.name == name) {
            return Ok(Box::new(file.bytes));
        }
        Ok(Box::new(VolumeFile::open(self.volume.clone(), name.to_owned())?))
    }
}

/// What a status means, and its number for those who look it up.
fn with_code(status: Status) -> String {
    let reason = protocol::reason(status);
    match status {
        Status::NO_MEDIA | Status::MEDIA_CHANGED => reason.to_owned(),
        _ => format!("{reason} ({status})"),
    }
}

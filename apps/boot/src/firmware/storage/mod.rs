//! The files of all volumes, and those inside the program.

mod block;
#[cfg(feature = "embed")]
mod embedded;
mod file;
mod raw;
mod volume;
mod walk;

pub use block::file_system;
pub use volume::Volume;

use super::protocol;
use crate::volume_name;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_platform::{ReadAt, Storage, StorageError, Walk};
use core::cell::RefCell;
use file::VolumeFile;
use uefi::Status;
use walk::VolumeWalk;

/// All files that the program can read.
pub struct BootStorage {
    volumes: Volumes,
    /// Whether there was a walk before: then the user asks to look again.
    walked: bool,
}

impl BootStorage {
    /// Finds the volume that the program was started from.
    pub fn find() -> Self {
        Self { volumes: Volumes::new(Volume::of_this_program()), walked: false }
    }

    /// The volume that the program was started from.
    pub fn boot_volume(&self) -> Volume {
        self.volumes.boot()
    }
}

impl Storage for BootStorage {
    fn walk(&mut self) -> Box<dyn Walk> {
        let thoroughly = core::mem::replace(&mut self.walked, true);
        let on_volumes = VolumeWalk::new(self.volumes.clone(), thoroughly);
        #[cfg(feature = "embed")]
        return Box::new(embedded::WithEmbedded::new(on_volumes));
        #[cfg(not(feature = "embed"))]
        Box::new(on_volumes)
    }

    fn open(&mut self, name: &str) -> Result<Box<dyn ReadAt>, StorageError> {
        #[cfg(feature = "embed")]
        if let Some(file) = embedded::files().into_iter().find(|file| file.name == name) {
            return Ok(Box::new(file.bytes));
        }
        let (volume, path) = self.volumes.of_file(name);
        Ok(Box::new(VolumeFile::open(volume, path.to_owned())?))
    }
}

/// The volumes that are known, shared by the storage and its walks.
#[derive(Clone)]
struct Volumes(Rc<RefCell<Known>>);

struct Known {
    boot: Volume,
    /// The others, with the names that their files begin with.
    others: Vec<(String, Volume)>,
}

impl Volumes {
    fn new(boot: Volume) -> Self {
        Self(Rc::new(RefCell::new(Known { boot, others: Vec::new() })))
    }

    fn boot(&self) -> Volume {
        self.0.borrow().boot.clone()
    }

    /// The name of a volume. It keeps the name that it had.
    fn name(&self, volume: &Volume) -> String {
        let mut known = self.0.borrow_mut();
        let others = &mut known.others;
        if let Some((name, _)) = others.iter().find(|(_, other)| other.is(volume)) {
            return name.clone();
        }
        let taken = |name: &str| others.iter().any(|(other, _)| other == name);
        let name = volume_name::unique(&volume.clone().label(), others.len() + 2, taken);
        others.push((name.clone(), volume.clone()));
        name
    }

    /// The volume of a file, and the file's path on it.
    fn of_file<'a>(&self, name: &'a str) -> (Volume, &'a str) {
        let known = self.0.borrow();
        let other = volume_name::split(name).and_then(|(volume, path)| {
            let (_, volume) = known.others.iter().find(|(name, _)| name == volume)?;
            Some((volume.clone(), path))
        });
        other.unwrap_or_else(|| (known.boot.clone(), name))
    }
}

/// Explains a status and names its code.
fn with_code(status: Status) -> String {
    let reason = protocol::reason(status);
    match status {
        Status::NO_MEDIA | Status::MEDIA_CHANGED => reason.to_owned(),
        _ => format!("{reason} ({status})"),
    }
}

//! The walk through all volumes: the boot volume first, then the others.

use super::volume::Volume;
use super::{Volumes, block};
use crate::firmware::protocol;
use crate::volume_name;
use alloc::borrow::ToOwned;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_platform::{Entry, SkipReason, Skipped, StorageError, TreeWalk, Walk};
use uefi::proto::media::fs::SimpleFileSystem;

/// The walk.
pub struct VolumeWalk {
    volumes: Volumes,
    /// The volume that is being read, and its name; the boot volume has none.
    current: Option<(Option<String>, TreeWalk<Volume>)>,
    /// The volumes to read after it.
    waiting: VecDeque<(String, Volume)>,
    /// Those that are known, so that none is read twice.
    read: Vec<Volume>,
    next: Stage,
    /// The folder being read, with its volume.
    folder: String,
    skipped: Vec<Skipped>,
    /// Whether to go on where models were found.
    thoroughly: bool,
    any_model: bool,
}

/// What comes after the volumes that are waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The volumes that the firmware has started drivers for.
    Connected,
    /// All others, and the disks that it has no file system for. Starting drivers takes time and
    /// hangs some firmware.
    Unconnected,
    /// The disks that it has no file system for.
    Unreadable,
    End,
}

impl VolumeWalk {
    /// Starts with the boot volume and goes on with all volumes that the firmware has connected.
    /// Other disks are connected and looked at if `thoroughly`, or if there is no file that is
    /// named like a model.
    pub fn new(volumes: Volumes, thoroughly: bool) -> Self {
        let boot = volumes.boot();
        Self {
            read: Vec::from([boot.clone()]),
            current: Some((None, TreeWalk::new(boot))),
            volumes,
            waiting: VecDeque::new(),
            next: Stage::Connected,
            folder: String::new(),
            skipped: Vec::new(),
            thoroughly,
            any_model: false,
        }
    }

    /// Queues the volumes that the firmware has a file system for and that were not read.
    fn find_volumes(&mut self) {
        for device in protocol::devices::<SimpleFileSystem>() {
            let volume = Volume::on(device);
            if !self.read.iter().any(|other| other.is(&volume)) {
                self.read.push(volume.clone());
                self.waiting.push_back((self.volumes.name(&volume), volume));
            }
        }
    }

    /// Notes what a volume's walk skipped.
    fn leave(&mut self, name: Option<&str>, walk: &TreeWalk<Volume>) {
        let named = |skipped: &Skipped| Skipped {
            name: full_name(name, &skipped.name),
            reason: skipped.reason.clone(),
        };
        self.skipped.extend(walk.skipped().iter().map(named));
    }

    fn set_folder(&mut self) {
        self.folder = match (&self.current, self.waiting.front()) {
            (Some((name, walk)), _) => full_name(name.as_deref(), walk.folder()),
            (None, Some((name, _))) => full_name(Some(name), ""),
            (None, None) => String::new(),
        };
    }

    /// Reads of the current volume.
    fn read(&mut self) -> Option<Result<Vec<Entry>, StorageError>> {
        let (name, mut walk) = self.current.take()?;
        let Some(step) = walk.step() else {
            self.leave(name.as_deref(), &walk);
            return Some(Ok(Vec::new()));
        };
        let step = match (step, name.clone()) {
            (Ok(mut entries), name) => {
                for entry in &mut entries {
                    entry.name = full_name(name.as_deref(), &entry.name);
                    self.any_model |= is_named_like_a_model(&entry.name);
                }
                Ok(entries)
            }
            (Err(error), None) => Err(error),
            // Only the boot volume must be readable.
            (Err(error), Some(name)) => {
                self.skipped.push(Skipped { name, reason: SkipReason::Failed(error) });
                Ok(Vec::new())
            }
        };
        self.current = Some((name, walk));
        Some(step)
    }
}

impl Walk for VolumeWalk {
    fn folder(&self) -> &str {
        &self.folder
    }

    fn step(&mut self) -> Option<Result<Vec<Entry>, StorageError>> {
        if self.current.is_none() {
            let walk = |(name, volume)| (Some(name), TreeWalk::new(volume));
            self.current = self.waiting.pop_front().map(walk);
        }
        let step = self.read().or_else(|| {
            let enough = self.any_model && !self.thoroughly;
            self.next = match self.next {
                Stage::Connected => {
                    self.find_volumes();
                    Stage::Unconnected
                }
                Stage::Unconnected if !enough => {
                    protocol::connect_all();
                    self.find_volumes();
                    Stage::Unreadable
                }
                Stage::Unreadable => {
                    self.skipped.extend(block::unreadable());
                    Stage::End
                }
                Stage::Unconnected | Stage::End => {
                    self.next = Stage::End;
                    return None;
                }
            };
            Some(Ok(Vec::new()))
        });
        self.set_folder();
        step
    }

    fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }
}

fn full_name(volume: Option<&str>, path: &str) -> String {
    match volume {
        Some(volume) => volume_name::join(volume, path),
        None => path.to_owned(),
    }
}

/// Whether drivers need not be started to find a model.
fn is_named_like_a_model(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(".gguf") || (name.ends_with(".bin") && !name.ends_with("tokenizer.bin"))
}

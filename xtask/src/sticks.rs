//! The disks of a Linux host, and which of them are sticks that may be overwritten.

use std::fmt::{self, Display};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Its name, such as `sdb`.
    pub name: String,
    /// Its vendor and model.
    pub model: String,
    /// Bytes.
    pub size: u64,
    /// Bytes per sector.
    pub sector: u64,
    /// Why it must not be overwritten, if it must not.
    pub refused: Option<Refusal>,
}

/// Why a disk must not be overwritten. Names are those of the disk or of one of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is neither removable nor on USB.
    NotRemovable,
    /// Its write protection is on.
    WriteProtected,
    /// No medium is in it.
    Empty,
    /// A file system on the first is mounted at the second.
    Mounted(String, String),
    /// Linux swaps to it.
    Swap(String),
    /// On the first, the second block device is built.
    UsedBy(String, String),
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotRemovable => write!(f, "it is not removable"),
            Refusal::WriteProtected => write!(f, "it is write-protected"),
            Refusal::Empty => write!(f, "there is no medium in it"),
            Refusal::Mounted(name, place) => {
                write!(f, "{name} is mounted at {place}; unmount it first")
            }
            Refusal::Swap(name) => write!(f, "{name} is used as swap"),
            Refusal::UsedBy(name, holder) => write!(f, "{name} is used by {holder}"),
        }
    }
}

impl Disk {
    /// The disk's device file.
    pub fn device(&self) -> PathBuf {
        Path::new("/dev").join(&self.name)
    }
}

/// What the kernel reports about disks and their use.
pub struct BlockDevices {
    /// `/sys/block`.
    pub block: PathBuf,
    /// `/proc/self/mountinfo`.
    pub mounts: String,
    /// `/proc/swaps`.
    pub swaps: String,
}

impl BlockDevices {
    /// Reads it from the running kernel.
    pub fn read() -> Result<Self> {
        let read =
            |file: &str| fs::read_to_string(file).with_context(|| format!("cannot read {file}"));
        Ok(Self {
            block: PathBuf::from("/sys/block"),
            mounts: read("/proc/self/mountinfo")?,
            swaps: read("/proc/swaps").unwrap_or_default(),
        })
    }

    /// All disks, in the order of their names.
    pub fn disks(&self) -> Result<Vec<Disk>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.block)
            .with_context(|| format!("cannot read {}", self.block.display()))?
        {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        let disks = names
            .into_iter()
            // These are not hardware.
            .filter(|name| {
                let made = ["loop", "ram", "zram", "dm-", "md", "nbd", "sr", "fd"];
                !made.iter().any(|prefix| name.starts_with(prefix))
            })
            .map(|name| self.disk(name))
            .collect();
        Ok(disks)
    }

    fn disk(&self, name: String) -> Disk {
        let folder = self.block.join(&name);
        let read = |file: &str| {
            fs::read_to_string(folder.join(file))
                .map_or(String::new(), |text| text.trim().to_owned())
        };
        let model = format!("{} {}", read("device/vendor"), read("device/model"));
        Disk {
            // The kernel counts in units of 512 bytes, whatever the disk's sectors are.
            size: read("size").parse::<u64>().unwrap_or(0) * 512,
            sector: read("queue/logical_block_size").parse().unwrap_or(512),
            model: model.trim().to_owned(),
            refused: self.reason_to_refuse(&folder, &name),
            name,
        }
    }

    fn reason_to_refuse(&self, folder: &Path, name: &str) -> Option<Refusal> {
        let is =
            |file: &str| fs::read_to_string(folder.join(file)).is_ok_and(|text| text.trim() == "1");
        // The directory is a link into the tree of devices, whose path names the bus.
        let usb = folder.canonicalize().is_ok_and(|path| path.to_string_lossy().contains("/usb"));
        if !is("removable") && !usb {
            return Some(Refusal::NotRemovable);
        }
        if is("ro") {
            return Some(Refusal::WriteProtected);
        }
        if fs::read_to_string(folder.join("size")).is_ok_and(|size| size.trim() == "0") {
            return Some(Refusal::Empty);
        }
        self.parts(folder, name).into_iter().find_map(|(folder, name)| self.use_of(&folder, &name))
    }

    /// The disk itself and its partitions: their directories and names.
    fn parts(&self, folder: &Path, name: &str) -> Vec<(PathBuf, String)> {
        let mut parts = vec![(folder.to_owned(), name.to_owned())];
        for entry in folder.read_dir().into_iter().flatten().flatten() {
            if entry.path().join("partition").is_file() {
                parts.push((entry.path(), entry.file_name().to_string_lossy().into_owned()));
            }
        }
        parts.sort();
        parts
    }

    /// What a disk or a partition is in use for.
    fn use_of(&self, folder: &Path, name: &str) -> Option<Refusal> {
        let number = fs::read_to_string(folder.join("dev")).unwrap_or_default();
        let device = format!("/dev/{name}");
        for line in self.mounts.lines() {
            // `ID PARENT MAJOR:MINOR ROOT MOUNT-POINT OPTIONS ... - TYPE SOURCE OPTIONS`
            let fields: Vec<_> = line.split(' ').collect();
            let source = fields.iter().position(|field| *field == "-").map(|at| at + 2);
            let same_number = !number.is_empty() && fields.get(2) == Some(&number.trim());
            let same_name = source.and_then(|at| fields.get(at)) == Some(&device.as_str());
            if same_number || same_name {
                let place = fields.get(4).copied().unwrap_or("an unknown place").to_owned();
                return Some(Refusal::Mounted(name.to_owned(), place));
            }
        }
        if self.swaps.lines().any(|line| line.split_ascii_whitespace().next() == Some(&device)) {
            return Some(Refusal::Swap(name.to_owned()));
        }
        let holders = folder.join("holders").read_dir().into_iter().flatten().flatten().next();
        let holder = holders?.file_name().to_string_lossy().into_owned();
        Some(Refusal::UsedBy(name.to_owned(), holder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host with a system disk, sticks in different states, and a device that is no disk.
    struct Machine(PathBuf);

    impl Machine {
        fn new() -> Self {
            let folder =
                std::env::temp_dir().join(format!("bootllm-sticks-{}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            let machine = Self(folder);
            machine.disk("sda", "0", "1000000", "8:0", &[("sda1", "8:1"), ("sda2", "8:2")]);
            machine.disk("sdb", "1", "31266816", "8:16", &[("sdb1", "8:17")]);
            machine.disk("sdc", "1", "31266816", "8:32", &[("sdc1", "8:33")]);
            machine.disk("sdd", "1", "0", "8:48", &[]);
            machine.disk("sde", "1", "2000", "8:64", &[("sde1", "8:65")]);
            machine.disk("sdf", "1", "2000", "8:80", &[("sdf1", "8:81")]);
            machine.disk("sdg", "1", "2000", "8:96", &[]);
            machine.disk("loop0", "1", "2000", "7:0", &[]);
            machine.file("sdb/device/vendor", "Maker   \n");
            machine.file("sdb/device/model", "Stick 3000      \n");
            machine.file("sdf/sdf1/holders/dm-0", "");
            machine.file("sdg/ro", "1\n");
            machine
        }

        fn disk(
            &self,
            name: &str,
            removable: &str,
            sectors: &str,
            dev: &str,
            parts: &[(&str, &str)],
        ) {
            self.file(&format!("{name}/removable"), removable);
            self.file(&format!("{name}/size"), sectors);
            self.file(&format!("{name}/dev"), dev);
            self.file(&format!("{name}/queue/logical_block_size"), "512\n");
            for (part, dev) in parts {
                self.file(&format!("{name}/{part}/partition"), "1");
                self.file(&format!("{name}/{part}/dev"), dev);
            }
        }

        fn file(&self, path: &str, text: &str) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn only_removable_disks_that_nothing_uses_may_be_overwritten() {
        let machine = Machine::new();
        let kernel = BlockDevices {
            block: machine.0.clone(),
            mounts: "22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw\n\
                     90 22 8:33 / /media/my\\040stick rw - vfat /dev/sdc1 rw\n"
                .to_owned(),
            swaps: "Filename Type Size Used Priority\n/dev/sde1 partition 100 0 -2\n".to_owned(),
        };
        let disks = kernel.disks().unwrap();
        let refused: Vec<_> = disks.iter().map(|disk| disk.refused.clone()).collect();
        let name = |name: &str| name.to_owned();
        assert_eq!(
            refused,
            [
                Some(Refusal::NotRemovable),
                None,
                Some(Refusal::Mounted(name("sdc1"), name("/media/my\\040stick"))),
                Some(Refusal::Empty),
                Some(Refusal::Swap(name("sde1"))),
                Some(Refusal::UsedBy(name("sdf1"), name("dm-0"))),
                Some(Refusal::WriteProtected),
            ]
        );
        let names: Vec<_> = disks.iter().map(|disk| disk.name.as_str()).collect();
        assert_eq!(names, ["sda", "sdb", "sdc", "sdd", "sde", "sdf", "sdg"]);
        assert_eq!(disks[1].model, "Maker Stick 3000");
        assert_eq!(disks[1].size, 31_266_816 * 512);
        assert_eq!(disks[1].device(), Path::new("/dev/sdb"));
    }
}

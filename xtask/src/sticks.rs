//! The disks of a Linux machine, and which of them are sticks that may be overwritten.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Its name, such as `sdb`.
    pub name: String,
    /// What its maker calls it.
    pub model: String,
    /// Bytes.
    pub size: u64,
    /// Bytes of a sector.
    pub sector: u64,
    /// Why it must not be overwritten, if it must not.
    pub refused: Option<String>,
}

impl Disk {
    /// The file that is the disk.
    pub fn device(&self) -> PathBuf {
        Path::new("/dev").join(&self.name)
    }
}

/// What the kernel says of disks and of what is in use.
pub struct Kernel {
    /// `/sys/block`.
    pub block: PathBuf,
    /// `/proc/self/mountinfo`.
    pub mounts: String,
    /// `/proc/swaps`.
    pub swaps: String,
}

impl Kernel {
    /// Asks this machine's.
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
            // What is no hardware.
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
            // The kernel counts in these units whatever the disk's sectors are.
            size: read("size").parse::<u64>().unwrap_or(0) * 512,
            sector: read("queue/logical_block_size").parse().unwrap_or(512),
            model: model.trim().to_owned(),
            refused: self.reason_to_refuse(&folder, &name),
            name,
        }
    }

    fn reason_to_refuse(&self, folder: &Path, name: &str) -> Option<String> {
        let is =
            |file: &str| fs::read_to_string(folder.join(file)).is_ok_and(|text| text.trim() == "1");
        // The folder is a link into the tree of devices, which tells what the disk hangs on.
        let usb = folder.canonicalize().is_ok_and(|path| path.to_string_lossy().contains("/usb"));
        if !is("removable") && !usb {
            return Some("it is not removable".to_owned());
        }
        if is("ro") {
            return Some("it is write-protected".to_owned());
        }
        if fs::read_to_string(folder.join("size")).is_ok_and(|size| size.trim() == "0") {
            return Some("there is no medium in it".to_owned());
        }
        self.parts(folder, name).into_iter().find_map(|(folder, name)| self.use_of(&folder, &name))
    }

    /// The disk itself and its partitions: their folders and names.
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

    /// What a disk or a partition is used for now.
    fn use_of(&self, folder: &Path, name: &str) -> Option<String> {
        let number = fs::read_to_string(folder.join("dev")).unwrap_or_default();
        let device = format!("/dev/{name}");
        for line in self.mounts.lines() {
            // `ID PARENT MAJOR:MINOR ROOT MOUNT-POINT OPTIONS ... - TYPE SOURCE OPTIONS`
            let fields: Vec<_> = line.split(' ').collect();
            let source = fields.iter().position(|field| *field == "-").map(|at| at + 2);
            let same_number = !number.is_empty() && fields.get(2) == Some(&number.trim());
            let same_name = source.and_then(|at| fields.get(at)) == Some(&device.as_str());
            if same_number || same_name {
                let place = fields.get(4).unwrap_or(&"somewhere");
                return Some(format!("{name} is mounted at {place}; unmount it first"));
            }
        }
        if self.swaps.lines().any(|line| line.split_ascii_whitespace().next() == Some(&device)) {
            return Some(format!("{name} is used as swap"));
        }
        let holders = folder.join("holders").read_dir().into_iter().flatten().flatten().next();
        holders.map(|holder| format!("{name} is used by {}", holder.file_name().to_string_lossy()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with a system disk, sticks in different states, and things that are no disks.
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
        let kernel = Kernel {
            block: machine.0.clone(),
            mounts: "22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw\n\
                     90 22 8:33 / /media/my\\040stick rw - vfat /dev/sdc1 rw\n"
                .to_owned(),
            swaps: "Filename Type Size Used Priority\n/dev/sde1 partition 100 0 -2\n".to_owned(),
        };
        let disks = kernel.disks().unwrap();
        let refused: Vec<_> = disks
            .iter()
            .map(|disk| (disk.name.as_str(), disk.refused.as_deref().unwrap_or("")))
            .collect();
        assert_eq!(
            refused,
            [
                ("sda", "it is not removable"),
                ("sdb", ""),
                ("sdc", "sdc1 is mounted at /media/my\\040stick; unmount it first"),
                ("sdd", "there is no medium in it"),
                ("sde", "sde1 is used as swap"),
                ("sdf", "sdf1 is used by dm-0"),
                ("sdg", "it is write-protected"),
            ]
        );
        assert_eq!(disks[1].model, "Maker Stick 3000");
        assert_eq!(disks[1].size, 31_266_816 * 512);
        assert_eq!(disks[1].device(), Path::new("/dev/sdb"));
    }
}

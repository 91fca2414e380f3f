//! `cargo xtask flash`: the bootable disk on a stick.

use std::fs::File;
use std::io::{self, IsTerminal, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use indicatif::DecimalBytes;

use crate::arch::X86_64;
use crate::disk::{self, Entry, SECTOR};
use crate::image::{self, progress_bar};
use crate::models::ModelArgs;
use crate::project::Project;
use crate::setup;
use crate::sticks::{BlockDevices, Disk, Refusal};
use crate::target::CoreSource;

/// Which stick, and what goes onto it.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The stick, such as sdb; without it the removable disks are listed.
    device: Option<String>,

    #[command(flatten)]
    named: ModelArgs,

    /// Write to this file as if it were a stick; its size stays what it is.
    #[arg(long, value_name = "FILE", conflicts_with = "device", hide = true)]
    file: Option<PathBuf>,
}

/// Why nothing is written.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    /// No removable disk is connected.
    NoStick,
    /// The user named none of the removable disks that are connected.
    NotNamed,
    /// No disk has this name.
    Unknown(String),
    /// This disk must not be overwritten.
    Refused(String, Refusal),
    /// This disk has sectors of another size.
    Sector(String, u64),
    /// The user typed something else than this name.
    NotConfirmed(String),
    /// The disk of this name is not the one that the user confirmed.
    Changed(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::NoStick => {
                write!(f, "no removable disk is connected; plug the stick in and try again")
            }
            Fault::NotNamed => write!(f, "name the one to overwrite: cargo xtask flash DEVICE"),
            Fault::Unknown(name) => {
                write!(f, "there is no disk {name} (name the disk, sdb, not a partition, sdb1)")
            }
            Fault::Refused(name, refusal) => write!(f, "{name} is not overwritten: {refusal}"),
            Fault::Sector(name, sector) => write!(
                f,
                "{name} has sectors of {sector} bytes; flash can only write sectors of {SECTOR}"
            ),
            Fault::NotConfirmed(name) => write!(f, "that was not {name}; nothing was written"),
            Fault::Changed(name) => {
                write!(f, "{name} is not the disk that it was; nothing was written")
            }
        }
    }
}

impl std::error::Error for Fault {}

/// `cargo xtask flash`.
pub fn task(project: &Project, core: CoreSource, options: &Options) -> Result<()> {
    if let Some(file) = &options.file {
        let entries = contents(project, core, &options.named)?;
        // The metadata of a block device says size 0, but its end can be sought.
        let size = open(file)?.seek(SeekFrom::End(0))?;
        return write(file, size, &entries);
    }
    if cfg!(not(target_os = "linux")) {
        bail!(
            "flash writes sticks on Linux only. By hand: format the stick as FAT32 with your \
             system's tool, then copy target/boot/bootllm.efi onto it as EFI/BOOT/BOOTX64.EFI, a \
             model, and its tokenizer as NAME.tokenizer.bin if it is not inside the model \
             (`cargo xtask image` names the files)"
        );
    }
    let disks = BlockDevices::read()?.disks()?;
    let Some(name) = &options.device else {
        return Err(list(&disks).into());
    };
    let disk = choose(&disks, name)?;
    let entries = contents(project, core, &options.named)?;
    confirm(disk, &mut io::stdin().lines(), io::stdin().is_terminal())?;
    // The disk may have been mounted, or another one plugged in, while the user read.
    let disks = BlockDevices::read()?.disks()?;
    ensure!(choose(&disks, name)? == disk, Fault::Changed(name.clone()));
    write(&disk.device(), disk.size, &entries)
}

/// Builds the program and gathers the files.
fn contents(project: &Project, core: CoreSource, named: &ModelArgs) -> Result<Vec<Entry>> {
    let target = setup::target(project, &X86_64, core)?;
    let contents = image::contents(project, &target, named)?;
    for line in &contents.described {
        eprintln!("  {line}");
    }
    Ok(contents.entries)
}

/// Lists the removable disks, and returns what the user has to do.
fn list(disks: &[Disk]) -> Fault {
    let mut sticks =
        disks.iter().filter(|disk| disk.refused != Some(Refusal::NotRemovable)).peekable();
    if sticks.peek().is_none() {
        return Fault::NoStick;
    }
    for disk in sticks {
        let state = match &disk.refused {
            Some(refusal) => refusal.to_string(),
            None => "can be overwritten".to_owned(),
        };
        eprintln!("  {}: {state}", described(disk));
    }
    Fault::NotNamed
}

fn described(disk: &Disk) -> String {
    format!("{:<8} {:>10}  {}", disk.name, DecimalBytes(disk.size).to_string(), disk.model)
}

/// The disk of this name, if it may be overwritten.
fn choose<'a>(disks: &'a [Disk], name: &str) -> Result<&'a Disk, Fault> {
    let name = name.strip_prefix("/dev/").unwrap_or(name);
    let Some(disk) = disks.iter().find(|disk| disk.name == name) else {
        list(disks);
        return Err(Fault::Unknown(name.to_owned()));
    };
    if let Some(refusal) = &disk.refused {
        return Err(Fault::Refused(name.to_owned(), refusal.clone()));
    }
    if disk.sector != SECTOR {
        return Err(Fault::Sector(name.to_owned(), disk.sector));
    }
    Ok(disk)
}

/// Asks whether this disk is meant. The user must type its name.
fn confirm(
    disk: &Disk,
    lines: &mut dyn Iterator<Item = io::Result<String>>,
    terminal: bool,
) -> Result<()> {
    eprintln!("\n  {}\n", described(disk));
    eprint!("EVERYTHING on it will be lost. Type its name to go on: ");
    let _ = io::stderr().flush();
    let typed = lines.next().transpose()?.unwrap_or_default();
    if !terminal {
        eprintln!();
    }
    ensure!(typed.trim() == disk.name, Fault::NotConfirmed(disk.name.clone()));
    Ok(())
}

/// Writes the disk, and reads it back.
fn write(device: &Path, size: u64, entries: &[Entry]) -> Result<()> {
    let shown = device.display();
    let file = open(device)?;
    let content = image::content_size(entries);
    let bar = progress_bar("writing", 2 * content);
    disk::write(&file, size, entries, &mut |bytes| bar.inc(bytes))
        .with_context(|| format!("cannot write {shown}"))?;
    bar.set_message("waiting for the stick");
    file.sync_all().with_context(|| format!("{shown} did not take everything"))?;
    bar.finish_and_clear();
    // When the last handle of a disk is closed, Linux drops its cache, so this reads the stick.
    drop(file);
    let bar = progress_bar("reading", content);
    let file = File::open(device).with_context(|| format!("cannot read {shown} back"))?;
    disk::verify(&file, entries, &mut |bytes| bar.inc(bytes))
        .with_context(|| format!("{shown} is not what was written; the stick may be failing"))?;
    bar.finish_and_clear();
    eprintln!(
        "{shown}: {} files, {}, written and read back; you can pull it out",
        entries.len(),
        DecimalBytes(content)
    );
    Ok(())
}

fn open(device: &Path) -> Result<File> {
    let mut options = File::options();
    options.read(true).write(true);
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // On a disk: fail if anything uses it. The value is that of Linux.
        const O_EXCL: i32 = 0o200;
        options.custom_flags(O_EXCL);
    }
    options.open(device).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => anyhow::anyhow!(
            "you may not write {}. This command gives it to you until it is pulled out; then try \
             again:\n\n  sudo chown \"$USER\" {}\n",
            device.display(),
            device.display()
        ),
        _ => anyhow::Error::new(error).context(format!("cannot open {}", device.display())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::legacy_boot;
    use std::fs;

    fn stick() -> Disk {
        Disk {
            name: "sdb".to_owned(),
            model: "Stick".to_owned(),
            size: 1 << 30,
            sector: 512,
            refused: None,
        }
    }

    fn system_disk() -> Disk {
        Disk { name: "sda".to_owned(), refused: Some(Refusal::NotRemovable), ..stick() }
    }

    #[test]
    fn the_name_must_be_typed() {
        let typed = |line: Option<&str>| {
            let mut lines = line.map(|line| Ok(line.to_owned())).into_iter();
            confirm(&stick(), &mut lines, true)
        };
        typed(Some("sdb")).unwrap();
        typed(Some(" sdb ")).unwrap();
        for wrong in [None, Some(""), Some("y"), Some("sdc"), Some("/dev/sdb")] {
            let error = typed(wrong).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Fault::NotConfirmed("sdb".to_owned())));
        }
    }

    #[test]
    fn only_a_good_stick_is_chosen() {
        let large = Disk { name: "sdc".to_owned(), sector: 4096, ..stick() };
        let disks = [system_disk(), stick(), large];
        assert_eq!(choose(&disks, "sdb").unwrap().name, "sdb");
        assert_eq!(choose(&disks, "/dev/sdb").unwrap().name, "sdb");
        for (name, fault) in [
            ("sda", Fault::Refused("sda".to_owned(), Refusal::NotRemovable)),
            ("sdb1", Fault::Unknown("sdb1".to_owned())),
            ("sdc", Fault::Sector("sdc".to_owned(), 4096)),
        ] {
            assert_eq!(choose(&disks, name), Err(fault));
        }
    }

    #[test]
    fn the_user_is_asked_for_a_name_only_if_there_is_a_stick() {
        assert_eq!(list(&[]), Fault::NoStick);
        assert_eq!(list(&[system_disk()]), Fault::NoStick);
        assert_eq!(list(&[system_disk(), stick()]), Fault::NotNamed);
        let mounted = Disk { refused: Some(Refusal::Empty), ..stick() };
        assert_eq!(list(&[mounted]), Fault::NotNamed);
    }

    #[test]
    fn a_file_is_written_and_read_back() {
        let folder = std::env::temp_dir().join(format!("bootllm-flash-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let model = folder.join("model.bin");
        fs::write(&model, vec![7; 100_000]).unwrap();
        let stick = folder.join("stick");
        // It was used before; nothing of that may be left before the partition.
        fs::write(&stick, vec![0xee; 64 << 20]).unwrap();
        let entries = [Entry::new("model.bin", &model).unwrap()];
        // A second time over an image of ours.
        for _ in 0..2 {
            write(&stick, 64 << 20, &entries).unwrap();
            assert_eq!(stick.metadata().unwrap().len(), 64 << 20);
            let bytes = fs::read(&stick).unwrap();
            assert!(bytes[64 * 512..2048 * 512].iter().all(|&byte| byte == 0));
            assert!(bytes.starts_with(&legacy_boot::code()));
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}

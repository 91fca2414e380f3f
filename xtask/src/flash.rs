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
use crate::models::Named;
use crate::project::Project;
use crate::setup;
use crate::sticks::{Disk, Kernel};
use crate::target::CoreFrom;

/// Which stick, and what goes onto it.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The stick, such as sdb; without it the sticks are listed.
    device: Option<String>,

    #[command(flatten)]
    named: Named,

    /// Write to this file as if it were a stick; its size stays what it is.
    #[arg(long, value_name = "FILE", conflicts_with = "device", hide = true)]
    file: Option<PathBuf>,
}

/// `cargo xtask flash`.
pub fn task(project: &Project, core: CoreFrom, options: &Options) -> Result<()> {
    if let Some(file) = &options.file {
        let entries = contents(project, core, &options.named)?;
        // A block device has no length but where it ends.
        let size = open(file)?.seek(SeekFrom::End(0))?;
        return write(file, size, &entries);
    }
    if cfg!(not(target_os = "linux")) {
        bail!(
            "sticks are only written on Linux. By hand: make a stick one FAT32 volume with your \
             system's own tool, then copy onto it target/boot/bootllm.efi as EFI/BOOT/BOOTX64.EFI, \
             a model, and its tokenizer as NAME.tokenizer.bin if it is not inside the model \
             (`cargo xtask image` names the files)"
        );
    }
    let disks = Kernel::read()?.disks()?;
    let Some(name) = &options.device else {
        list(&disks);
        bail!("which one? `cargo xtask flash DEVICE`");
    };
    let disk = choose(&disks, name)?;
    let entries = contents(project, core, &options.named)?;
    confirm(disk, &mut io::stdin().lines(), io::stdin().is_terminal())?;
    // The disk may have been mounted, or another one put in, while the person read.
    let disks = Kernel::read()?.disks()?;
    ensure!(
        choose(&disks, name)? == disk,
        "{name} is another disk than it was; nothing was written"
    );
    write(&disk.device(), disk.size, &entries)
}

/// Builds the program and gathers the files.
fn contents(project: &Project, core: CoreFrom, named: &Named) -> Result<Vec<Entry>> {
    let target = setup::target(project, &X86_64, core)?;
    let contents = image::contents(project, &target, named)?;
    for line in &contents.described {
        eprintln!("  {line}");
    }
    Ok(contents.entries)
}

fn list(disks: &[Disk]) {
    let sticks: Vec<_> = disks
        .iter()
        .filter(|disk| disk.refused.as_deref() != Some("it is not removable"))
        .collect();
    if sticks.is_empty() {
        eprintln!("there is no removable disk in this machine");
    }
    for disk in sticks {
        let state = disk.refused.as_deref().unwrap_or("can be written");
        eprintln!("  {}: {state}", described(disk));
    }
}

fn described(disk: &Disk) -> String {
    format!("{:<8} {:>10}  {}", disk.name, DecimalBytes(disk.size).to_string(), disk.model)
}

/// The disk of this name, if it may be overwritten.
fn choose<'a>(disks: &'a [Disk], name: &str) -> Result<&'a Disk> {
    let name = name.strip_prefix("/dev/").unwrap_or(name);
    let Some(disk) = disks.iter().find(|disk| disk.name == name) else {
        list(disks);
        bail!("there is no disk {name} (a partition is not a disk: sdb, not sdb1)");
    };
    if let Some(reason) = &disk.refused {
        bail!("{name} is not written to: {reason}");
    }
    ensure!(
        disk.sector == SECTOR,
        "{name} has sectors of {} bytes, only {SECTOR} are known here",
        disk.sector
    );
    Ok(disk)
}

/// Asks whether this disk is meant. Its name must be typed.
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
    ensure!(typed.trim() == disk.name, "that was not {}; nothing was written", disk.name);
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
    // Closing the last handle of a disk makes Linux forget what it remembers of it, so that this
    // reads the stick and not the memory.
    drop(file);
    let bar = progress_bar("reading", content);
    let file = File::open(device).with_context(|| format!("cannot read {shown} back"))?;
    disk::verify(&file, entries, &mut |bytes| bar.inc(bytes))
        .with_context(|| format!("{shown} is not what was written; the stick may be failing"))?;
    bar.finish_and_clear();
    eprintln!(
        "{shown}: {} files, {}, written and read back; it can be pulled out",
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
        // For a disk: fail if anything uses it. The name is the kernel's, the number Linux'.
        const O_EXCL: i32 = 0o200;
        options.custom_flags(O_EXCL);
    }
    options.open(device).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => anyhow::anyhow!(
            "{} may not be written by you. This gives it to you until it is pulled out; then try \
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

    #[test]
    fn the_name_must_be_typed() {
        let typed = |line: Option<&str>| {
            let mut lines = line.map(|line| Ok(line.to_owned())).into_iter();
            confirm(&stick(), &mut lines, true)
        };
        typed(Some("sdb")).unwrap();
        typed(Some(" sdb ")).unwrap();
        for wrong in [None, Some(""), Some("y"), Some("sdc"), Some("/dev/sdb")] {
            let error = typed(wrong).unwrap_err().to_string();
            assert_eq!(error, "that was not sdb; nothing was written");
        }
    }

    #[test]
    fn only_a_good_stick_is_chosen() {
        let refused = Disk {
            name: "sda".to_owned(),
            refused: Some("it is not removable".to_owned()),
            ..stick()
        };
        let large = Disk { name: "sdc".to_owned(), sector: 4096, ..stick() };
        let disks = [refused, stick(), large];
        assert_eq!(choose(&disks, "sdb").unwrap().name, "sdb");
        assert_eq!(choose(&disks, "/dev/sdb").unwrap().name, "sdb");
        for (name, expected) in [
            ("sda", "it is not removable"),
            ("sdb1", "a partition is not a disk"),
            ("sdc", "sectors of 4096"),
        ] {
            let error = choose(&disks, name).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_file_is_written_and_read_back() {
        let folder = std::env::temp_dir().join(format!("bootllm-flash-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let model = folder.join("model.bin");
        fs::write(&model, vec![7; 100_000]).unwrap();
        let stick = folder.join("stick");
        // It was used before: what lies there must not shine through.
        fs::write(&stick, vec![0xee; 64 << 20]).unwrap();
        let entries = [Entry::new("model.bin", &model).unwrap()];
        write(&stick, 64 << 20, &entries).unwrap();
        assert_eq!(stick.metadata().unwrap().len(), 64 << 20);
        let bytes = fs::read(&stick).unwrap();
        assert!(bytes[64 * 512..2048 * 512].iter().all(|&byte| byte == 0));
        fs::remove_dir_all(&folder).unwrap();
    }
}

//! `cargo xtask image`: the disk image.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use indicatif::{DecimalBytes, ProgressBar, ProgressStyle};

use crate::disk::{self, Entry};
use crate::models::{self, Model, Named};
use crate::program::{self, Program};
use crate::project::Project;
use crate::target::Target;

/// Where firmware looks for the program on a disk that it does not know (UEFI 2.10, 3.5.1.1).
const BOOT_FILE: &str = "EFI/BOOT/BOOTX64.EFI";

/// What goes onto a disk.
pub struct Contents {
    /// The program's file.
    pub program: PathBuf,
    /// The program and the files beside it.
    pub entries: Vec<Entry>,
    /// What a person is told of them.
    pub described: Vec<String>,
}

/// Builds the program and gathers the files of the disk.
pub fn contents(project: &Project, target: &Target, named: &Named) -> Result<Contents> {
    let (embedded, models) = named.chosen(project)?;
    let program = program::build(project, target, embedded.as_ref())?;
    gather(&program, embedded.as_ref(), &models)
}

/// The files of a disk with this program and these models.
pub fn gather(program: &Program, embedded: Option<&Model>, models: &[Model]) -> Result<Contents> {
    let describe = |what: &str, model: &Model| {
        let tokenizer = match &model.tokenizer {
            Some(tokenizer) => format!("with the tokenizer {}", tokenizer.display()),
            None => "with its tokenizer inside".to_owned(),
        };
        format!("{what} {} {tokenizer}", model.model.display())
    };
    let mut entries = vec![Entry::new(BOOT_FILE, &program.file)?];
    entries.extend(models::entries(models)?);
    let described = embedded
        .map(|model| describe("inside the program:", model))
        .into_iter()
        .chain(models.iter().map(|model| describe("model", model)))
        .collect();
    disk::check(&entries)?;
    Ok(Contents { program: program.file.clone(), entries, described })
}

/// Writes the image, and gives its size in bytes.
pub fn write(file: &Path, entries: &[Entry]) -> Result<u64> {
    let size = disk::size_for(entries);
    let written = || -> Result<()> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let device =
            File::options().read(true).write(true).create(true).truncate(true).open(file)?;
        device.set_len(size)?;
        let bar = progress_bar("image", 2 * content_size(entries));
        disk::write(device, size, entries, &mut |bytes| bar.inc(bytes))?;
        bar.finish_and_clear();
        Ok(())
    };
    written().with_context(|| format!("cannot make the image {}", file.display()))?;
    Ok(size)
}

/// Bytes of all files together.
pub fn content_size(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.size).sum()
}

/// A bar of bytes on a terminal; nothing elsewhere, nor for what is done at once.
pub fn progress_bar(what: &'static str, bytes: u64) -> ProgressBar {
    const WORTH_A_BAR: u64 = 64 << 20;
    if bytes < WORTH_A_BAR {
        return ProgressBar::hidden();
    }
    let style =
        "{prefix:8} [{bar:40}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}";
    ProgressBar::new(bytes)
        .with_prefix(what)
        .with_style(ProgressStyle::with_template(style).unwrap_or(ProgressStyle::default_bar()))
}

/// `cargo xtask image`.
pub fn task(
    project: &Project,
    target: &Target,
    named: &Named,
    output: Option<&Path>,
) -> Result<()> {
    let contents = contents(project, target, named)?;
    for line in &contents.described {
        eprintln!("  {line}");
    }
    let file = output.map_or_else(|| contents.program.with_extension("img"), PathBuf::from);
    let size = write(&file, &contents.entries)?;
    eprintln!("made {} ({})", project.shown(&file), DecimalBytes(size));
    Ok(())
}

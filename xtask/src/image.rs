//! `cargo xtask image`: the disk image.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use indicatif::{DecimalBytes, ProgressBar, ProgressStyle};

use crate::disk::{self, Entry};
use crate::models::{self, Model, ModelArgs};
use crate::program::{self, Profile, Program};
use crate::project::Project;
use crate::size::ByteSize;
use crate::target::Target;

/// The file for users who open the stick in Windows or elsewhere.
const README: &str = "README.txt";

/// What goes into an image.
#[derive(Args, Clone, Debug)]
pub struct Options {
    #[command(flatten)]
    named: ModelArgs,

    /// Size of the image, such as 8GB (bytes as sticks are labelled) or 8G (powers of 1024); the
    /// partition fills it [default: what the files need]. The file is sparse. The partition cannot
    /// be grown later, so leave room for the models to come.
    #[arg(long, value_name = "SIZE")]
    size: Option<ByteSize>,

    /// The image file, instead of one in target/boot.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What goes onto a disk.
pub struct Contents {
    /// The program's file.
    pub program: PathBuf,
    /// The program and the files next to it.
    pub entries: Vec<Entry>,
    /// A line about each model, for the user.
    pub described: Vec<String>,
}

/// Builds the program and gathers the files of a disk.
pub fn contents(project: &Project, target: &Target, named: &ModelArgs) -> Result<Contents> {
    let (embedded, models) = named.chosen(project)?;
    let program = program::build(project, target, Profile::Release, embedded.as_ref())?;
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
    let readme = program.file.with_file_name(README);
    fs::write(&readme, readme_text())
        .with_context(|| format!("cannot write {}", readme.display()))?;
    let mut entries = vec![Entry::new(program.arch.boot_file, &program.file)?];
    entries.push(Entry::new(README, readme)?);
    entries.extend(models::entries(models)?);
    let described = embedded
        .map(|model| describe("inside the program:", model))
        .into_iter()
        .chain(models.iter().map(|model| describe("model", model)))
        .collect();
    disk::check(&entries)?;
    Ok(Contents { program: program.file.clone(), entries, described })
}

/// The readme with the line ends of Windows, whose old editors know no others.
fn readme_text() -> String {
    include_str!("stick_readme.txt").replace('\n', "\r\n")
}

/// Writes the image, of this many bytes or as small as the files allow. Returns its size in bytes.
pub fn write(file: &Path, entries: &[Entry], size: Option<u64>) -> Result<u64> {
    let least = disk::size_for(entries);
    let size = size.unwrap_or(least) / disk::SECTOR * disk::SECTOR;
    ensure!(
        size >= least,
        "the files need an image of {} or more, not {}",
        DecimalBytes(least),
        DecimalBytes(size)
    );
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
    written().with_context(|| format!("cannot write the image {}", file.display()))?;
    Ok(size)
}

/// Bytes of all files together.
pub fn content_size(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.size).sum()
}

/// A progress bar of bytes. Nothing is shown without a terminal or for little work.
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
pub fn task(project: &Project, target: &Target, options: &Options) -> Result<()> {
    let contents = contents(project, target, &options.named)?;
    for line in &contents.described {
        eprintln!("  {line}");
    }
    let in_boot = || contents.program.with_extension("img");
    let file = options.output.clone().unwrap_or_else(in_boot);
    let size = write(&file, &contents.entries, options.size.map(|ByteSize(bytes)| bytes))?;
    let free = disk::free_space(size, &contents.entries);
    eprintln!(
        "wrote {} ({}, {} of them free for more models)",
        project.shown(&file),
        DecimalBytes(size),
        DecimalBytes(free)
    );
    if options.size.is_none() {
        eprintln!(
            "Its partition cannot be grown later. For more room: --size 8GB, or `cargo xtask \
             flash`, which fills the stick."
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_the_line_ends_of_windows() {
        let text = readme_text();
        assert!(text.is_ascii());
        assert!(text.lines().count() > 20);
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
        assert_eq!(text.matches('\r').count(), text.matches("\r\n").count());
        assert!(text.lines().all(|line| line.len() <= 80));
    }

    #[test]
    fn an_image_is_as_large_as_asked_for_and_sparse() {
        let folder = std::env::temp_dir().join(format!("bootllm-image-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let model = folder.join("model.bin");
        fs::write(&model, vec![7; 100_000]).unwrap();
        let entries = [Entry::new("model.bin", &model).unwrap()];
        let file = folder.join("disk.img");
        let size = 3_000_000_000;
        assert_eq!(write(&file, &entries, Some(size + 511)).unwrap(), size / 512 * 512);
        assert_eq!(file.metadata().unwrap().len(), size / 512 * 512);
        let free = disk::free_space(size, &entries);
        assert!(free > size - (10 << 20) && free < size, "{free}");
        disk::verify(File::open(&file).unwrap(), &entries, &mut |_| ()).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            assert!(file.metadata().unwrap().blocks() * 512 < 32 << 20);
        }
        assert!(write(&file, &entries, Some(1 << 20)).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}

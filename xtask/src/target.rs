//! The target that the UEFI program is built for, and where its `core` comes from.
//!
//! A UEFI program is a PE file with the calling convention of 64-bit Windows, so Windows' own
//! target fits, linked as an EFI application. `x86_64-unknown-uefi` does not: it has no hardware
//! floating point.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::project::Project;
use crate::toolchain::Toolchain;
use crate::{debian, process, sysroot};

/// The target triple.
pub const TRIPLE: &str = "x86_64-pc-windows-msvc";

/// How long rustup may take. Its download is some 30 MB.
const RUSTUP_LIMIT: Duration = Duration::from_secs(180);

/// Where `core` and `alloc` may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CoreFrom {
    /// From the toolchain, else by rustup, else from source: what works first.
    Any,
    /// The toolchain's own, which rustup adds if it is not there.
    Rustup,
    /// Built from the library source.
    Source,
}

/// The target, ready to build for.
pub struct Target {
    /// A sysroot that holds `core`, where it is not the toolchain's own.
    pub sysroot: Option<PathBuf>,
    /// The linker.
    pub linker: PathBuf,
    /// How `core` was got, for a person.
    pub how: String,
}

impl Target {
    /// Finds the target, or gets it.
    pub fn ensure(project: &Project, toolchain: &Toolchain, from: CoreFrom) -> Result<Self> {
        let (sysroot, how) = ensure_core(project, toolchain, from)?;
        Ok(Self { sysroot, linker: toolchain.linker()?, how })
    }
}

fn ensure_core(
    project: &Project,
    toolchain: &Toolchain,
    from: CoreFrom,
) -> Result<(Option<PathBuf>, String)> {
    if from != CoreFrom::Source && toolchain.has_target(TRIPLE) {
        return Ok((None, "present in the toolchain".to_owned()));
    }
    let folder = project.setup();
    if from != CoreFrom::Rustup
        && let Some(sysroot) = sysroot::existing(&folder, toolchain)
    {
        let how = format!("present in {}", project.shown(&sysroot));
        return Ok((Some(sysroot), how));
    }
    if from != CoreFrom::Source {
        match add_with_rustup(toolchain, TRIPLE) {
            Ok(()) => return Ok((None, "got with rustup".to_owned())),
            Err(error) if from == CoreFrom::Rustup => return Err(error),
            Err(error) => {
                eprintln!("  rustup cannot add it ({error:#}), so it is built from source");
            }
        }
    }
    let (library, origin) = library_source(project, toolchain)?;
    eprintln!("  building core and alloc for {TRIPLE}, once (less than a minute)");
    let sysroot = sysroot::build(&folder, toolchain, &library)
        .context("cannot build core and alloc for the UEFI program")?;
    // Fetched for this alone, and large.
    let fetched = folder.join("rust-src");
    if library.starts_with(&fetched) {
        fs::remove_dir_all(&fetched)?;
    }
    Ok((Some(sysroot), format!("built from source ({origin})")))
}

/// Adds a target's `core` and `std` to the toolchain.
pub fn add_with_rustup(toolchain: &Toolchain, triple: &str) -> Result<()> {
    if process::find("rustup").is_none() {
        bail!("there is no rustup");
    }
    eprintln!("  rustup target add {triple}");
    process::run_within(Command::new("rustup").args(["target", "add", triple]), RUSTUP_LIMIT)?;
    if !toolchain.has_target(triple) {
        bail!("rustup added {triple} to another toolchain than {}", toolchain.sysroot.display());
    }
    Ok(())
}

/// The folder `library` of the Rust source, and what it is from.
fn library_source(project: &Project, toolchain: &Toolchain) -> Result<(PathBuf, String)> {
    if let Some(named) = env::var_os("BOOTLLM_RUST_LIBRARY").map(PathBuf::from) {
        if !named.join("Cargo.lock").is_file() {
            bail!(
                "BOOTLLM_RUST_LIBRARY names {}, which is not the folder `library` of a Rust source",
                named.display()
            );
        }
        return Ok((named, "BOOTLLM_RUST_LIBRARY".to_owned()));
    }
    let version = &toolchain.version;
    let places = [
        toolchain.sysroot.join("lib/rustlib/src/rust/library"),
        PathBuf::from(format!("/usr/src/rustc-{version}/library")),
    ];
    for place in places {
        if place.join("Cargo.lock").is_file() {
            let origin = place.display().to_string();
            return Ok((place, origin));
        }
    }
    let debian = if process::find("apt-get").is_some() {
        debian::library_source(version, &project.setup().join("rust-src"))
            .map(|library| (library, format!("Debian's rust-src {version}")))
    } else {
        Err(anyhow::anyhow!("there is no apt-get to ask Debian"))
    };
    debian.with_context(|| {
        format!(
            "cannot get Rust's core library for {TRIPLE}. Any of these helps:\n  \
             - with a network: rustup target add {TRIPLE}\n  \
             - rustup component add rust-src\n  \
             - the source of Rust {version}, unpacked, and BOOTLLM_RUST_LIBRARY set to its folder \
             `library`"
        )
    })
}

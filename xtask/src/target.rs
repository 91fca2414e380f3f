//! The target that the UEFI program is built for, and where its `core` comes from.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::arch::Arch;
use crate::project::Project;
use crate::toolchain::Toolchain;
use crate::{debian, process, sysroot};

/// How long rustup may take. It downloads about 30 MB.
const RUSTUP_LIMIT: Duration = Duration::from_secs(180);

/// Where `core` and `alloc` for the UEFI program come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CoreSource {
    /// The first that works: the toolchain, rustup, the library source.
    Any,
    /// The toolchain; rustup adds them if they are missing.
    Rustup,
    /// The library source, which is compiled once.
    Source,
}

/// A target that can be built for.
pub struct Target {
    /// The architecture.
    pub arch: &'static Arch,
    /// The sysroot with `core`, if that is not the toolchain's.
    pub sysroot: Option<PathBuf>,
    /// The linker.
    pub linker: PathBuf,
    /// Where `core` came from, for the user.
    pub how: String,
}

impl Target {
    /// Finds the target, or installs it.
    pub fn ensure(
        project: &Project,
        toolchain: &Toolchain,
        arch: &'static Arch,
        from: CoreSource,
    ) -> Result<Self> {
        let (sysroot, how) = ensure_core(project, toolchain, arch.triple, from)?;
        Ok(Self { arch, sysroot, linker: toolchain.linker()?, how })
    }
}

fn ensure_core(
    project: &Project,
    toolchain: &Toolchain,
    triple: &str,
    from: CoreSource,
) -> Result<(Option<PathBuf>, String)> {
    if from != CoreSource::Source && toolchain.has_target(triple) {
        return Ok((None, "present in the toolchain".to_owned()));
    }
    let folder = project.setup();
    if from != CoreSource::Rustup
        && let Some(sysroot) = sysroot::existing(&folder, toolchain, triple)
    {
        let how = format!("present in {}", project.shown(&sysroot));
        return Ok((Some(sysroot), how));
    }
    if from != CoreSource::Source {
        match add_with_rustup(toolchain, triple) {
            Ok(()) => return Ok((None, "installed with rustup".to_owned())),
            Err(error) if from == CoreSource::Rustup => return Err(error),
            Err(error) => {
                eprintln!(
                    "  rustup cannot install it ({error:#}); building it from source instead"
                );
            }
        }
    }
    let (library, origin) = library_source(project, toolchain, triple)?;
    eprintln!("  building core and alloc for {triple} once (less than a minute)");
    let sysroot = sysroot::build(&folder, toolchain, triple, &library)
        .context("cannot build core and alloc for the UEFI program")?;
    // It was fetched for this build only, and it is large.
    let fetched = folder.join("rust-src");
    if library.starts_with(&fetched) {
        fs::remove_dir_all(&fetched)?;
    }
    Ok((Some(sysroot), format!("built from source ({origin})")))
}

/// Adds the standard library of a target to the toolchain.
pub fn add_with_rustup(toolchain: &Toolchain, triple: &str) -> Result<()> {
    if process::find("rustup").is_none() {
        bail!("rustup is not installed");
    }
    eprintln!("  rustup target add {triple}");
    process::run_within(Command::new("rustup").args(["target", "add", triple]), RUSTUP_LIMIT)?;
    if !toolchain.has_target(triple) {
        bail!("rustup added {triple} to another toolchain than {}", toolchain.sysroot.display());
    }
    Ok(())
}

/// The directory `library` of the Rust source, and where it came from.
fn library_source(
    project: &Project,
    toolchain: &Toolchain,
    triple: &str,
) -> Result<(PathBuf, String)> {
    if let Some(named) = env::var_os("BOOTLLM_RUST_LIBRARY").map(PathBuf::from) {
        if !named.join("Cargo.lock").is_file() {
            bail!(
                "BOOTLLM_RUST_LIBRARY names {}, which is not the directory `library` of a Rust source",
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
        Err(anyhow::anyhow!("there is no apt-get to fetch it from Debian with"))
    };
    debian.with_context(|| {
        format!(
            "cannot get Rust's core library for {triple}. Do one of these:\n  \
             - with a network: rustup target add {triple}\n  \
             - with a network: rustup component add rust-src\n  \
             - unpack the source of Rust {version} and set BOOTLLM_RUST_LIBRARY to its directory \
             `library`"
        )
    })
}

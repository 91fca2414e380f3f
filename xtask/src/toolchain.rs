//! The Rust toolchain that runs this program.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// What rustc reports about itself.
pub struct Toolchain {
    /// Its version, such as `1.95.0`.
    pub version: String,
    /// The commit that it was built from, or its version if it does not say.
    pub commit: String,
    /// The target triple of the host.
    pub host: String,
    /// The directory that it is installed in.
    pub sysroot: PathBuf,
}

impl Toolchain {
    /// Asks rustc.
    pub fn find() -> Result<Self> {
        let text = process::output(rustc().arg("-vV"))?;
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .map(str::to_owned)
        };
        let version = field("release").context("`rustc -vV` names no release")?;
        Ok(Self {
            commit: field("commit-hash")
                .filter(|hash| hash != "unknown")
                .unwrap_or_else(|| version.clone()),
            host: field("host").context("`rustc -vV` names no host")?,
            sysroot: process::output(rustc().args(["--print", "sysroot"]))?.into(),
            version,
        })
    }

    /// Whether `core` and `alloc` of a target are installed in this toolchain.
    pub fn has_target(&self, target: &str) -> bool {
        let libraries = self.sysroot.join("lib/rustlib").join(target).join("lib");
        libraries.read_dir().is_ok_and(|files| {
            files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
        })
    }

    /// The linker for PE files: the toolchain's, else LLVM's under its usual name.
    pub fn linker(&self) -> Result<PathBuf> {
        let own = self
            .sysroot
            .join("lib/rustlib")
            .join(&self.host)
            .join("bin")
            .join(format!("rust-lld{}", env::consts::EXE_SUFFIX));
        if own.is_file() {
            return Ok(own);
        }
        match ["rust-lld", "lld-link"].into_iter().find_map(process::find) {
            Some(linker) => Ok(linker),
            None => bail!(
                "no linker for UEFI programs: this Rust toolchain has no rust-lld ({} is missing) \
                 and there is no lld-link; install Rust with rustup, or LLVM's linker lld",
                own.display()
            ),
        }
    }
}

/// rustc, the one that cargo uses.
pub fn rustc() -> Command {
    Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

/// The cargo that runs this program.
pub fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

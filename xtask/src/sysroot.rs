//! `core` and `alloc` for the UEFI program, built from Rust's library source.
//!
//! Needed only where rustup cannot install them. They are built once with cargo's `build-std` into
//! a sysroot of the project, one per target; every later build names it with `--sysroot` and uses
//! nothing unstable.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::toolchain::{self, Toolchain};

/// The crates that a program without std is linked with.
const CRATES: [&str; 3] = ["core", "alloc", "compiler_builtins"];

/// Bitcode is kept, so that link-time optimisation reaches into these crates.
const RUSTFLAGS: &str = "-Cembed-bitcode=yes";

const MANIFEST: &str = r#"[package]
name = "sysroot"
version = "0.0.0"
edition = "2024"

[lib]
path = "lib.rs"

[profile.release]
panic = "abort"
codegen-units = 1

[workspace]
"#;

/// What a sysroot is built from. One that was built from anything else cannot be used.
fn key(toolchain: &Toolchain) -> String {
    format!("rustc {} {RUSTFLAGS}\n{MANIFEST}", toolchain.commit)
}

/// The sysroot of this target in this directory, if it was built with this toolchain.
pub fn existing(folder: &Path, toolchain: &Toolchain, triple: &str) -> Option<PathBuf> {
    let sysroot = sysroot(folder, triple);
    let made_of = fs::read_to_string(sysroot.join("made-of")).ok()?;
    (made_of == key(toolchain)).then_some(sysroot)
}

fn sysroot(folder: &Path, triple: &str) -> PathBuf {
    folder.join(format!("sysroot-{triple}"))
}

/// Builds the sysroot of a target from the library source in `library`.
pub fn build(
    folder: &Path,
    toolchain: &Toolchain,
    triple: &str,
    library: &Path,
) -> Result<PathBuf> {
    let package = folder.join("sysroot-build");
    fs::create_dir_all(&package)?;
    fs::write(package.join("Cargo.toml"), MANIFEST)?;
    fs::write(package.join("lib.rs"), "#![no_std]\n")?;
    let built = package.join("target");
    process::run(
        toolchain::cargo()
            .current_dir(&package)
            .args(["build", "--release", "--target", triple, "--target-dir"])
            .arg(&built)
            .arg(format!("-Zbuild-std={}", CRATES.join(",")))
            // Lets the stable compiler build its own library, which uses unstable features.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("__CARGO_TESTS_ONLY_SRC_ROOT", library)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("RUSTFLAGS", RUSTFLAGS),
    )?;

    let sysroot = sysroot(folder, triple);
    if sysroot.exists() {
        fs::remove_dir_all(&sysroot)?;
    }
    let libraries = sysroot.join("lib/rustlib").join(triple).join("lib");
    fs::create_dir_all(&libraries)?;
    let mut copied = 0;
    for file in built.join(triple).join("release/deps").read_dir()? {
        let file = file?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let ours = CRATES.iter().any(|part| name.starts_with(&format!("lib{part}-")));
        if ours && name.ends_with(".rlib") {
            fs::copy(&file, libraries.join(&*name))
                .with_context(|| format!("cannot copy {}", file.display()))?;
            copied += 1;
        }
    }
    if copied != CRATES.len() {
        bail!("the build of {} left {copied} libraries in {}", CRATES.join(", "), built.display());
    }
    fs::remove_dir_all(&package)?;
    // Written last: a sysroot without it is incomplete.
    fs::write(sysroot.join("made-of"), key(toolchain))?;
    Ok(sysroot)
}

//! Miri, the interpreter that finds undefined behaviour. It comes with a nightly toolchain.

use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::process;
use crate::project::Project;

/// The toolchain that has it.
const TOOLCHAIN: &str = "nightly";
/// What Miri needs of it: itself, and the library's source, which it compiles for itself.
const COMPONENTS: [&str; 2] = ["miri", "rust-src"];

/// Whether Miri is installed; the error says what is missing.
pub fn find() -> Result<()> {
    if process::find("rustup").is_none() {
        bail!("there is no rustup, and Miri needs a nightly toolchain");
    }
    let works = process::succeeds(rustup_run().args(["miri", "--version"]));
    ensure!(works, "the {TOOLCHAIN} toolchain has no Miri");
    Ok(())
}

/// Installs it if it is missing.
pub fn ensure() -> Result<()> {
    if find().is_ok() {
        return Ok(());
    }
    // A toolchain that is there is not updated: others may work with it.
    let present = process::succeeds(Command::new("rustup").args(["run", TOOLCHAIN, "rustc", "-V"]));
    if !present {
        let install = ["toolchain", "install", TOOLCHAIN, "--profile", "minimal"];
        process::run(Command::new("rustup").args(install))?;
    }
    let add = ["component", "add", "--toolchain", TOOLCHAIN];
    process::run(Command::new("rustup").args(add).args(COMPONENTS))?;
    find()
}

/// The tests that are interpreted: the scheduler and the divided outputs. (Documentation examples are
/// left out: each would be compiled by itself.)
pub fn command(project: &Project) -> Command {
    let mut command = rustup_run();
    command
        .current_dir(&project.root)
        .args(["miri", "test", "--package", "bootllm-cores", "--lib", "--target-dir"])
        .arg(project.target.join("miri"));
    command
}

/// Cargo of that toolchain, without what the cargo that runs us has set.
fn rustup_run() -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", TOOLCHAIN, "cargo"]);
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(name);
    }
    command
}

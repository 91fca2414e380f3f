//! Building the programs: the UEFI one and the one for Linux.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::models::Model;
use crate::project::Project;
use crate::target::{TRIPLE, Target};
use crate::{efi, process, toolchain};

const PACKAGE: &str = "bootllm-boot";
/// The target of the program that runs on Linux alone.
const LINUX: &str = "x86_64-unknown-linux-gnu";

/// How the linker makes a UEFI program of Windows objects.
///
/// The default base splits high memory, and large allocations then fail; base 0 lets firmware
/// choose. `/Brepro` leaves the time out of the file.
const LINK_ARGUMENTS: [&str; 5] =
    ["/subsystem:efi_application", "/entry:efi_main", "/nodefaultlib", "/base:0x0", "/Brepro"];

/// A UEFI program that was built.
pub struct Program {
    /// The program, ready to be started by firmware.
    pub file: PathBuf,
    /// The linker's map of it.
    pub map: PathBuf,
}

/// Builds the UEFI program, with a model and its tokenizer in it if they are given.
pub fn build(project: &Project, target: &Target, embedded: Option<&Model>) -> Result<Program> {
    let folder = project.boot();
    fs::create_dir_all(&folder)?;
    let name = match embedded {
        Some(embedded) => format!("bootllm-{}", stem(&embedded.model)),
        None => "bootllm".to_owned(),
    };
    let map = folder.join(format!("{name}.map"));

    let mut command = cargo(project, target, "rustc");
    command.args(["--release", "--bin", PACKAGE]);
    if let Some(embedded) = embedded {
        command.env("BOOTLLM_EMBED_MODEL", absolute(&embedded.model)?);
        match &embedded.tokenizer {
            Some(tokenizer) => command
                .args(["--features", "embed-tokenizer"])
                .env("BOOTLLM_EMBED_TOKENIZER", absolute(tokenizer)?),
            None => command.args(["--features", "embed"]),
        };
    }
    command.arg("--");
    command.arg(option("-Clinker=", &target.linker));
    for argument in LINK_ARGUMENTS {
        command.arg(format!("-Clink-arg={argument}"));
    }
    command.arg(option("-Clink-arg=/map:", &map));
    process::run(&mut command)?;

    let built = project.target.join(TRIPLE).join("release").join(format!("{PACKAGE}.exe"));
    efi::check_application(&built)?;
    let file = folder.join(format!("{name}.efi"));
    fs::copy(&built, &file)
        .with_context(|| format!("cannot copy {} to {}", built.display(), file.display()))?;
    Ok(Program { file, map })
}

/// Runs clippy on the UEFI program, warnings being errors.
pub fn clippy(project: &Project, target: &Target) -> Result<()> {
    let mut command = cargo(project, target, "clippy");
    command.args(["--release", "--", "-Dwarnings"]);
    process::run(&mut command)
}

/// Builds `bootllm`, the program for this machine, and gives its path.
pub fn build_host(project: &Project) -> Result<PathBuf> {
    process::run(
        toolchain::cargo()
            .current_dir(&project.root)
            .args(["build", "--release", "--bin", "bootllm", "--target-dir"])
            .arg(&project.target),
    )?;
    Ok(project.target.join("release").join(format!("bootllm{}", env::consts::EXE_SUFFIX)))
}

/// Builds `bootllm` for a Linux on which there is nothing else, not even a C library, and gives its
/// path.
pub fn build_static(project: &Project) -> Result<PathBuf> {
    process::run(
        toolchain::cargo()
            .current_dir(&project.root)
            .args(["build", "--release", "--bin", "bootllm", "--target", LINUX, "--target-dir"])
            .arg(&project.target)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("RUSTFLAGS", "-Ctarget-feature=+crt-static"),
    )?;
    Ok(project.target.join(LINUX).join("release/bootllm"))
}

/// A cargo command about the UEFI program.
fn cargo(project: &Project, target: &Target, verb: &str) -> Command {
    let mut command = toolchain::cargo();
    command
        .current_dir(&project.root)
        .args([verb, "--package", PACKAGE, "--target", TRIPLE, "--target-dir"])
        .arg(&project.target)
        // What a person sets for the programs of this machine does not fit this one.
        .env_remove("RUSTFLAGS");
    let mut flags = short_paths(project);
    if let Some(sysroot) = &target.sysroot {
        flags.extend(["--sysroot".to_owned(), sysroot.display().to_string()]);
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    command
}

/// Flags that keep the folders of this machine out of the program: its panics name source files,
/// and the same sources shall give the same bytes anywhere.
fn short_paths(project: &Project) -> Vec<String> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = home.or_else(|| Some(env::home_dir()?.join(".cargo")));
    let folders = [(cargo, "cargo"), (Some(project.root.clone()), "bootllm")];
    let remap = |(folder, name): (Option<PathBuf>, &str)| {
        folder.map(|folder| format!("--remap-path-prefix={}={name}", folder.display()))
    };
    folders.into_iter().filter_map(remap).collect()
}

fn option(name: &str, value: &Path) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from(name);
    option.push(value);
    option
}

fn absolute(file: &Path) -> Result<PathBuf> {
    file.canonicalize().with_context(|| format!("cannot read {}", file.display()))
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

//! Builds the programs: the UEFI program and `bootllm` for the host.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::arch::{self, Arch};
use crate::models::Model;
use crate::project::Project;
use crate::target::Target;
use crate::{efi, process, toolchain};

const PACKAGE: &str = "bootllm-boot";
/// The target of the program that is linked statically for Linux.
const LINUX: &str = "x86_64-unknown-linux-gnu";

/// A linked UEFI program.
pub struct Program {
    /// The architecture that it is for.
    pub arch: &'static Arch,
    /// The EFI application.
    pub file: PathBuf,
    /// The linker's map of it.
    pub map: PathBuf,
}

/// How the UEFI program is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// As it is released, with link-time optimisation.
    Release,
    /// Without link-time optimisation: built sooner, and with more symbols.
    Dev,
}

impl Profile {
    /// Cargo's profile, and the directory of its output.
    fn name(self) -> &'static str {
        match self {
            Profile::Release => "release",
            Profile::Dev => "boot-dev",
        }
    }
}

/// Builds the UEFI program. A model that is given is put into it, with its tokenizer.
pub fn build(
    project: &Project,
    target: &Target,
    profile: Profile,
    embedded: Option<&Model>,
) -> Result<Program> {
    let (arch, folder) = (target.arch, project.boot());
    fs::create_dir_all(&folder)?;
    let name = name(arch, profile, embedded);
    let map = folder.join(format!("{name}.map"));

    let mut command = cargo(project, target, "rustc");
    command.args(["--profile", profile.name(), "--bin", PACKAGE]);
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
    for argument in arch.link_arguments {
        command.arg(format!("-Clink-arg={argument}"));
    }
    command.arg(option("-Clink-arg=/map:", &map));
    process::run(&mut command)?;

    let output = project.target.join(arch.triple).join(profile.name());
    let built = output.join(format!("{PACKAGE}.{}", arch.extension));
    efi::check_application(&built, arch)?;
    let file = folder.join(format!("{name}.efi"));
    fs::copy(&built, &file)
        .with_context(|| format!("cannot copy {} to {}", built.display(), file.display()))?;
    Ok(Program { arch, file, map })
}

/// What a program's files are called: one name per way to build it.
fn name(arch: &Arch, profile: Profile, embedded: Option<&Model>) -> String {
    let mut name = "bootllm".to_owned();
    if let Some(embedded) = embedded {
        name += &format!("-{}", stem(&embedded.model));
    }
    if arch != &arch::X86_64 {
        name += &format!("-{}", arch.name);
    }
    if profile == Profile::Dev {
        name += "-dev";
    }
    name
}

/// Runs clippy on the UEFI program; warnings are errors.
pub fn clippy(project: &Project, target: &Target) -> Result<()> {
    let mut command = cargo(project, target, "clippy");
    command.args(["--release", "--", "-Dwarnings"]);
    process::run(&mut command)
}

/// Builds `bootllm` for this host and returns its path.
pub fn build_host(project: &Project) -> Result<PathBuf> {
    process::run(
        toolchain::cargo()
            .current_dir(&project.root)
            .args(["build", "--release", "--bin", "bootllm", "--target-dir"])
            .arg(&project.target),
    )?;
    Ok(project.target.join("release").join(format!("bootllm{}", env::consts::EXE_SUFFIX)))
}

/// Builds `bootllm`, linked statically, for a Linux without a C library, and returns its path.
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
        .args([verb, "--package", PACKAGE, "--target", target.arch.triple, "--target-dir"])
        .arg(&project.target)
        // Flags that the user set are for programs of the host.
        .env_remove("RUSTFLAGS");
    let mut flags = short_paths(project);
    if let Some(sysroot) = &target.sysroot {
        flags.extend(["--sysroot".to_owned(), sysroot.display().to_string()]);
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    command
}

/// Flags that keep the directories of this host out of the program: panics name source files, and
/// the same sources must give the same bytes everywhere.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_build_has_its_own_name() {
        let model = Model { model: "models/story.bin".into(), tokenizer: None };
        let names = [
            name(&arch::X86_64, Profile::Release, None),
            name(&arch::X86_64, Profile::Dev, None),
            name(&arch::X86_64, Profile::Release, Some(&model)),
            name(&arch::AARCH64, Profile::Dev, Some(&model)),
        ];
        let expected = ["bootllm", "bootllm-dev", "bootllm-story", "bootllm-story-aarch64-dev"];
        assert_eq!(names, expected);
    }
}

//! `cargo xtask setup`: finds or installs what the other tasks need on this host.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::arch::Arch;
use crate::firmware::Firmware;
use crate::project::Project;
use crate::target::{CoreSource, Target};
use crate::toolchain::Toolchain;
use crate::{packages, process};

/// QEMU and its firmware, as they are installed on this host.
#[derive(Clone, Debug)]
pub struct Emulator {
    /// QEMU.
    pub qemu: PathBuf,
    /// Whether it was present or how it was installed, for the user.
    pub qemu_how: String,
    /// The firmware.
    pub firmware: Firmware,
    /// The same of the firmware.
    pub firmware_how: String,
}

/// Finds or installs what the UEFI program is built with.
pub fn target(project: &Project, arch: &'static Arch, from: CoreSource) -> Result<Target> {
    Target::ensure(project, &Toolchain::find()?, arch, from)
}

/// Finds or installs QEMU and its firmware. `ovmf` is the firmware that the user named.
pub fn emulator(arch: &Arch, ovmf: Option<&Path>) -> Result<Emulator> {
    let present = || "present".to_owned();
    let (mut qemu_how, mut firmware_how) = (present(), present());
    let mut qemu = find_qemu(arch);
    let mut firmware = Firmware::find(arch, ovmf, qemu.as_deref())?;
    if qemu.is_none() || firmware.is_none() {
        let how = packages::install(arch, qemu.is_none(), firmware.is_none())?;
        if qemu.is_none() {
            qemu_how.clone_from(&how);
        }
        if firmware.is_none() {
            firmware_how = how;
        }
        qemu = find_qemu(arch);
        firmware = Firmware::find(arch, ovmf, qemu.as_deref())?;
    }
    match (qemu, firmware) {
        (Some(qemu), Some(firmware)) => Ok(Emulator { qemu, qemu_how, firmware, firmware_how }),
        (None, _) => bail!("{} is still missing after the installation", arch.qemu),
        (_, None) => bail!(
            "no UEFI firmware for QEMU was found; name its code file with --ovmf FILE or in \
             BOOTLLM_OVMF"
        ),
    }
}

fn find_qemu(arch: &Arch) -> Option<PathBuf> {
    process::find(arch.qemu).or_else(|| {
        // QEMU's installer for Windows does not change the PATH.
        let usual = PathBuf::from(format!(r"C:\Program Files\qemu\{}.exe", arch.qemu));
        usual.is_file().then_some(usual)
    })
}

/// `cargo xtask setup`: installs everything, and reports it line by line.
pub fn task(
    project: &Project,
    arch: &'static Arch,
    from: CoreSource,
    ovmf: Option<&Path>,
) -> Result<()> {
    let toolchain = Toolchain::find()?;
    line("rust", &format!("present: rustc {} on {}", toolchain.version, toolchain.host));
    // QEMU first: installing it refreshes the package index, which the target may need.
    let emulator = emulator(arch, ovmf);
    match &emulator {
        Ok(emulator) => {
            let (qemu, code) = (&emulator.qemu, &emulator.firmware.code);
            line("qemu", &format!("{}: {}", emulator.qemu_how, qemu.display()));
            line("firmware", &format!("{}: {}", emulator.firmware_how, code.display()));
        }
        Err(error) => line("qemu", &format!("MISSING: {error:#}")),
    }
    let target = Target::ensure(project, &toolchain, arch, from);
    match &target {
        Ok(target) => {
            line("target", &format!("{}: {}", arch.triple, target.how));
            line("linker", &format!("present: {}", target.linker.display()));
        }
        Err(error) => line("target", &format!("MISSING: {error:#}")),
    }
    if emulator.is_err() || target.is_err() {
        bail!("something is missing, see above");
    }
    Ok(())
}

fn line(what: &str, state: &str) {
    println!("{what:<9} {state}");
}

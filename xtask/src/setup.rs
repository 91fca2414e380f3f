//! `cargo xtask setup`: what the other tasks need of this machine, and getting it.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::firmware::Firmware;
use crate::project::Project;
use crate::target::{CoreFrom, TRIPLE, Target};
use crate::toolchain::Toolchain;
use crate::{packages, process};

/// The program that is the virtual machine.
const QEMU: &str = "qemu-system-x86_64";

/// A virtual machine's parts on this machine.
#[derive(Clone, Debug)]
pub struct Emulator {
    /// QEMU.
    pub qemu: PathBuf,
    /// How it was got, for a person.
    pub qemu_how: String,
    /// The firmware to boot it with.
    pub firmware: Firmware,
    /// How that was got.
    pub firmware_how: String,
}

/// Finds or gets the target of the UEFI program.
pub fn target(project: &Project, from: CoreFrom) -> Result<Target> {
    Target::ensure(project, &Toolchain::find()?, from)
}

/// Finds or gets QEMU and firmware for it.
pub fn emulator(ovmf: Option<&Path>) -> Result<Emulator> {
    let present = || "present".to_owned();
    let (mut qemu_how, mut firmware_how) = (present(), present());
    let mut qemu = find_qemu();
    let mut firmware = Firmware::find(ovmf, qemu.as_deref())?;
    if qemu.is_none() || firmware.is_none() {
        let how = packages::install(qemu.is_none(), firmware.is_none())?;
        if qemu.is_none() {
            qemu_how.clone_from(&how);
        }
        if firmware.is_none() {
            firmware_how = how;
        }
        qemu = find_qemu();
        firmware = Firmware::find(ovmf, qemu.as_deref())?;
    }
    match (qemu, firmware) {
        (Some(qemu), Some(firmware)) => Ok(Emulator { qemu, qemu_how, firmware, firmware_how }),
        (None, _) => bail!("{QEMU} is still missing after installing it"),
        (_, None) => bail!(
            "there is no UEFI firmware for QEMU in any place known here; name its file of code \
             with --ovmf FILE or in BOOTLLM_OVMF"
        ),
    }
}

fn find_qemu() -> Option<PathBuf> {
    process::find(QEMU).or_else(|| {
        // QEMU's installer for Windows does not touch the PATH.
        let usual = PathBuf::from(format!(r"C:\Program Files\qemu\{QEMU}.exe"));
        usual.is_file().then_some(usual)
    })
}

/// Gets everything, and says of each thing how.
pub fn all(project: &Project, from: CoreFrom, ovmf: Option<&Path>) -> Result<()> {
    let toolchain = Toolchain::find()?;
    line("rust", &format!("present: rustc {} on {}", toolchain.version, toolchain.host));
    // QEMU first: installing it refreshes the package index that the other may need.
    let emulator = emulator(ovmf);
    match &emulator {
        Ok(emulator) => {
            let (qemu, code) = (&emulator.qemu, &emulator.firmware.code);
            line("qemu", &format!("{}: {}", emulator.qemu_how, qemu.display()));
            line("firmware", &format!("{}: {}", emulator.firmware_how, code.display()));
        }
        Err(error) => line("qemu", &format!("MISSING: {error:#}")),
    }
    let target = Target::ensure(project, &toolchain, from);
    match &target {
        Ok(target) => {
            line("target", &format!("{TRIPLE}: {}", target.how));
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

//! The machine's package manager.

use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// A package manager: how it installs QEMU and firmware for it.
struct Manager {
    program: &'static str,
    install: &'static [&'static str],
    /// Refreshes its index, where it does not do so by itself.
    refresh: Option<&'static str>,
    needs_root: bool,
    qemu: &'static [&'static str],
    ovmf: &'static [&'static str],
    /// QEMU's emulator of single programs for AArch64, where there is one.
    arm: &'static [&'static str],
}

const MANAGERS: [Manager; 5] = [
    Manager {
        program: "apt-get",
        install: &["install", "--yes", "--no-install-recommends"],
        refresh: Some("update"),
        needs_root: true,
        qemu: &["qemu-system-x86"],
        ovmf: &["ovmf"],
        arm: &["qemu-user-static"],
    },
    Manager {
        program: "dnf",
        install: &["install", "--assumeyes"],
        refresh: None,
        needs_root: true,
        qemu: &["qemu-system-x86-core"],
        ovmf: &["edk2-ovmf"],
        arm: &["qemu-user-static-aarch64"],
    },
    Manager {
        program: "pacman",
        install: &["-S", "--noconfirm", "--needed"],
        refresh: None,
        needs_root: true,
        qemu: &["qemu-system-x86"],
        ovmf: &["edk2-ovmf"],
        arm: &["qemu-user-static"],
    },
    Manager {
        program: "zypper",
        install: &["--non-interactive", "install", "--no-recommends"],
        refresh: None,
        needs_root: true,
        qemu: &["qemu-x86"],
        ovmf: &["qemu-ovmf-x86_64"],
        arm: &["qemu-linux-user"],
    },
    // Homebrew's QEMU brings the firmware.
    Manager {
        program: "brew",
        install: &["install"],
        refresh: None,
        needs_root: false,
        qemu: &["qemu"],
        ovmf: &[],
        arm: &[],
    },
];

/// Installs what is missing of QEMU and OVMF, or says what to type.
pub fn install(qemu: bool, ovmf: bool) -> Result<String> {
    let Some(manager) = manager() else {
        let names: Vec<_> = MANAGERS.iter().map(|manager| manager.program).collect();
        bail!(
            "QEMU is missing and no package manager that is known here ({}); install \
             qemu-system-x86_64 (its own installer brings firmware on Windows), and put it on the \
             PATH",
            names.join(", ")
        );
    };
    let mut packages: Vec<&str> = Vec::new();
    if qemu {
        packages.extend(manager.qemu);
    }
    if ovmf {
        packages.extend(manager.ovmf);
    }
    if packages.is_empty() {
        bail!("{} has no package of UEFI firmware; name a file with --ovmf", manager.program);
    }
    install_packages(manager, &packages)
}

/// Installs QEMU's emulator of single programs for AArch64, or says what to type.
pub fn install_arm_emulator() -> Result<String> {
    match manager() {
        Some(manager) if !manager.arm.is_empty() => install_packages(manager, manager.arm),
        _ => bail!(
            "qemu-aarch64-static is missing and no package manager that is known here has it; it \
             is part of QEMU on Linux"
        ),
    }
}

fn manager() -> Option<&'static Manager> {
    MANAGERS.iter().find(|manager| process::find(manager.program).is_some())
}

fn install_packages(manager: &Manager, packages: &[&str]) -> Result<String> {
    let mut install = vec![manager.program];
    install.extend(manager.install);
    install.extend(packages);
    let prefix: &[&str] = if !manager.needs_root || is_root() {
        &[]
    } else if process::succeeds(Command::new("sudo").args(["-n", "true"])) {
        &["sudo", "-n"]
    } else {
        let refresh = match manager.refresh {
            Some(refresh) => format!("sudo {} {refresh} && ", manager.program),
            None => String::new(),
        };
        let install = install.join(" ");
        bail!("installing needs root; type this, then try again:\n\n  {refresh}sudo {install}\n");
    };
    let run = |words: &[&str]| {
        let words: Vec<_> = prefix.iter().chain(words).copied().collect();
        eprintln!("  {}", words.join(" "));
        process::run(
            Command::new(words[0]).args(&words[1..]).env("DEBIAN_FRONTEND", "noninteractive"),
        )
    };
    if let Err(error) = run(&install) {
        // A fresh machine has no index yet, an old one a stale index.
        let Some(refresh) = manager.refresh else {
            return Err(error);
        };
        run(&[manager.program, refresh])?;
        run(&install)?;
    }
    Ok(format!("installed with {}", manager.program))
}

fn is_root() -> bool {
    process::output(Command::new("id").arg("-u")).is_ok_and(|id| id == "0")
}

//! The host's package manager.

use std::process::Command;

use anyhow::{Result, bail};

use crate::arch::Arch;
use crate::process;

/// A package manager.
struct Manager {
    program: &'static str,
    install: &'static [&'static str],
    /// The subcommand that refreshes its index, if it does not refresh by itself.
    refresh: Option<&'static str>,
    needs_root: bool,
    /// The package of QEMU's user-mode emulation of AArch64, if it has one.
    user_emulation: Option<&'static str>,
}

const MANAGERS: [Manager; 5] = [
    Manager {
        program: "apt-get",
        install: &["install", "--yes", "--no-install-recommends"],
        refresh: Some("update"),
        needs_root: true,
        user_emulation: Some("qemu-user-static"),
    },
    Manager {
        program: "dnf",
        install: &["install", "--assumeyes"],
        refresh: None,
        needs_root: true,
        user_emulation: Some("qemu-user-static-aarch64"),
    },
    Manager {
        program: "pacman",
        install: &["-S", "--noconfirm", "--needed"],
        refresh: None,
        needs_root: true,
        user_emulation: Some("qemu-user-static"),
    },
    Manager {
        program: "zypper",
        install: &["--non-interactive", "install", "--no-recommends"],
        refresh: None,
        needs_root: true,
        user_emulation: Some("qemu-linux-user"),
    },
    Manager {
        program: "brew",
        install: &["install"],
        refresh: None,
        needs_root: false,
        user_emulation: None,
    },
];

/// Installs QEMU and firmware, whichever is missing, or says which command installs them.
pub fn install(arch: &Arch, qemu: bool, firmware: bool) -> Result<String> {
    let found = manager().and_then(|manager| {
        let own = arch.packages.iter().find(|packages| packages.manager == manager.program)?;
        Some((manager, own))
    });
    let Some((manager, own)) = found else {
        let names: Vec<_> = MANAGERS.iter().map(|manager| manager.program).collect();
        bail!(
            "QEMU is missing, and so is a package manager that could install it ({}); install {} \
             (on Windows its installer contains the firmware) and put it on the PATH",
            names.join(", "),
            arch.qemu
        );
    };
    let mut packages: Vec<&str> = Vec::new();
    if qemu {
        packages.extend(own.qemu);
    }
    if firmware {
        packages.extend(own.firmware);
    }
    if packages.is_empty() {
        bail!("{} has no package of UEFI firmware; name a file with --ovmf", manager.program);
    }
    install_packages(manager, &packages)
}

/// Installs QEMU's user-mode emulation of AArch64, or says which command installs it.
pub fn install_user_emulation() -> Result<String> {
    match manager().and_then(|manager| Some((manager, manager.user_emulation?))) {
        Some((manager, package)) => install_packages(manager, &[package]),
        None => bail!(
            "qemu-aarch64-static is missing, and no package manager here has it; it is a part of \
             QEMU on Linux"
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
        bail!("installing needs root; run this, then try again:\n\n  {refresh}sudo {install}\n");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_manager_has_packages_of_every_architecture() {
        for arch in Arch::ALL {
            let named: Vec<_> = arch.packages.iter().map(|packages| packages.manager).collect();
            assert_eq!(named, MANAGERS.map(|manager| manager.program), "{}", arch.name);
        }
    }
}

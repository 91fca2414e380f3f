//! UEFI firmware for QEMU: OVMF, as the distributions and QEMU itself ship it.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Firmware to boot a virtual machine with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firmware {
    /// The code, never written to.
    pub code: PathBuf,
    /// The variables as they are at first; `None` where the code's file holds both.
    pub variables: Option<PathBuf>,
}

/// Where the code and the variables lie, the newest layouts first.
const PLACES: [(&str, &str); 9] = [
    // Debian, Ubuntu
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "OVMF_VARS.fd"),
    // Fedora
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "OVMF_VARS.fd"),
    // Arch
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "OVMF_VARS.4m.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.fd", "OVMF_VARS.fd"),
    ("/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "OVMF_VARS.fd"),
    // Gentoo
    ("/usr/share/edk2-ovmf/OVMF_CODE.fd", "OVMF_VARS.fd"),
    // openSUSE
    ("/usr/share/qemu/ovmf-x86_64-4m-code.bin", "ovmf-x86_64-4m-vars.bin"),
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "ovmf-x86_64-vars.bin"),
];

/// What QEMU itself brings, in its folder `share`.
const QEMU_CODE: &str = "edk2-x86_64-code.fd";
const QEMU_VARIABLES: &str = "edk2-i386-vars.fd";

impl Firmware {
    /// The firmware that was named, else the first that is found.
    pub fn find(named: Option<&Path>, qemu: Option<&Path>) -> Result<Option<Self>> {
        let named =
            named.map(Path::to_owned).or_else(|| env::var_os("BOOTLLM_OVMF").map(PathBuf::from));
        if let Some(code) = named {
            if !code.is_file() {
                bail!("there is no firmware {}", code.display());
            }
            return Ok(Some(Self { variables: variables_beside(&code), code }));
        }
        let distribution = PLACES.iter().map(|(code, variables)| {
            let code = PathBuf::from(code);
            (code.with_file_name(variables), code)
        });
        let own = qemu
            .into_iter()
            .flat_map(shares)
            .map(|share| (share.join(QEMU_VARIABLES), share.join(QEMU_CODE)));
        Ok(distribution
            .chain(own)
            .find(|(variables, code)| code.is_file() && variables.is_file())
            .map(|(variables, code)| Self { code, variables: Some(variables) }))
    }
}

/// The folders that a QEMU program may keep its firmware in.
fn shares(qemu: &Path) -> Vec<PathBuf> {
    // Homebrew and others put a link on the PATH.
    let real = qemu.canonicalize().unwrap_or_else(|_| qemu.to_owned());
    [qemu.to_owned(), real]
        .iter()
        .filter_map(|program| program.parent())
        .flat_map(|folder| {
            [folder.join("../share/qemu"), folder.join("share"), folder.join("share/qemu")]
        })
        .collect()
}

/// The variables that belong to a file of code, by the names in use.
fn variables_beside(code: &Path) -> Option<PathBuf> {
    let name = code.file_name()?.to_str()?;
    if name == QEMU_CODE {
        return Some(code.with_file_name(QEMU_VARIABLES)).filter(|path| path.is_file());
    }
    [("CODE", "VARS"), ("code", "vars")]
        .into_iter()
        .filter(|(from, _)| name.contains(from))
        .map(|(from, to)| code.with_file_name(name.replace(from, to)))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn variables_are_found_by_the_name_of_the_code() {
        let folder = env::temp_dir().join(format!("bootllm-firmware-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for name in ["A_CODE_4M.fd", "A_VARS_4M.fd", "b-code.bin", QEMU_CODE, QEMU_VARIABLES] {
            fs::write(folder.join(name), "").unwrap();
        }
        let beside = |name: &str| {
            variables_beside(&folder.join(name))
                .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        };
        assert_eq!(beside("A_CODE_4M.fd").as_deref(), Some("A_VARS_4M.fd"));
        assert_eq!(beside(QEMU_CODE).as_deref(), Some(QEMU_VARIABLES));
        assert_eq!(beside("b-code.bin"), None);
        assert_eq!(beside("OVMF.fd"), None);
        fs::remove_dir_all(&folder).unwrap();
    }
}

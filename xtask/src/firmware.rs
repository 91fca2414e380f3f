//! UEFI firmware for QEMU: edk2's, as distributions and QEMU itself ship it.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::arch::Arch;

/// Firmware to boot a virtual machine with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firmware {
    /// The file of the code; it is never written to.
    pub code: PathBuf,
    /// The file of the initial variables; `None` if the code's file has both.
    pub variables: Option<PathBuf>,
}

impl Firmware {
    /// The firmware that the user named with `--ovmf` or `BOOTLLM_OVMF`, else the first that is
    /// installed. `qemu` is where QEMU is, if it is installed.
    pub fn find(arch: &Arch, named: Option<&Path>, qemu: Option<&Path>) -> Result<Option<Self>> {
        let named =
            named.map(Path::to_owned).or_else(|| env::var_os("BOOTLLM_OVMF").map(PathBuf::from));
        if let Some(code) = named {
            if !code.is_file() {
                bail!("there is no firmware {}", code.display());
            }
            return Ok(Some(Self { variables: variables_beside(arch, &code), code }));
        }
        let distribution = arch.firmware.iter().map(|(code, variables)| {
            let code = PathBuf::from(code);
            (code.with_file_name(variables), code)
        });
        let (code, variables) = arch.qemu_firmware;
        let own = qemu
            .into_iter()
            .flat_map(data_folders)
            .map(|folder| (folder.join(variables), folder.join(code)));
        Ok(distribution
            .chain(own)
            .find(|(variables, code)| code.is_file() && variables.is_file())
            .map(|(variables, code)| Self { code, variables: Some(variables) }))
    }
}

/// The directories where a QEMU program may keep its firmware.
fn data_folders(qemu: &Path) -> Vec<PathBuf> {
    // Homebrew and others put a symbolic link on the PATH.
    let real = qemu.canonicalize().unwrap_or_else(|_| qemu.to_owned());
    [qemu.to_owned(), real]
        .iter()
        .filter_map(|program| program.parent())
        .flat_map(|folder| {
            [folder.join("../share/qemu"), folder.join("share"), folder.join("share/qemu")]
        })
        .collect()
}

/// The file of variables that belongs to a file of code, by the usual names.
fn variables_beside(arch: &Arch, code: &Path) -> Option<PathBuf> {
    let name = code.file_name()?.to_str()?;
    let (qemu_code, qemu_variables) = arch.qemu_firmware;
    if name == qemu_code {
        return Some(code.with_file_name(qemu_variables)).filter(|path| path.is_file());
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
    use crate::arch::X86_64;
    use std::fs;

    #[test]
    fn variables_are_found_by_the_name_of_the_code() {
        let folder = env::temp_dir().join(format!("bootllm-firmware-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (qemu_code, qemu_variables) = X86_64.qemu_firmware;
        for name in ["A_CODE_4M.fd", "A_VARS_4M.fd", "b-code.bin", qemu_code, qemu_variables] {
            fs::write(folder.join(name), "").unwrap();
        }
        let beside = |name: &str| {
            variables_beside(&X86_64, &folder.join(name))
                .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        };
        assert_eq!(beside("A_CODE_4M.fd").as_deref(), Some("A_VARS_4M.fd"));
        assert_eq!(beside(qemu_code).as_deref(), Some(qemu_variables));
        assert_eq!(beside("b-code.bin"), None);
        assert_eq!(beside("OVMF.fd"), None);
        fs::remove_dir_all(&folder).unwrap();
    }
}

//! The architectures that the UEFI program is built for. Everything that differs between them is
//! in one value.

use clap::ValueEnum;
use clap::builder::PossibleValue;

/// One architecture: how the program is built, what it is called on a disk, and how a virtual
/// machine for it is made.
#[derive(Debug, PartialEq, Eq)]
pub struct Arch {
    /// Its name, in commands and in file names.
    pub name: &'static str,
    /// The Rust target, whose `core` is rustup's component `rust-std-TRIPLE`.
    pub triple: &'static str,
    /// The extension that rustc gives a program of this target.
    pub extension: &'static str,
    /// Linker arguments that make an EFI application.
    pub link_arguments: &'static [&'static str],
    /// The machine number in the PE header (Microsoft's "PE Format", "Machine Types").
    pub pe_machine: u16,
    /// Where firmware looks for a program on a disk that it has no boot entry for (UEFI 2.10,
    /// 3.5.1.1).
    pub boot_file: &'static str,
    /// QEMU's program.
    pub qemu: &'static str,
    /// QEMU's machine type.
    pub machine: &'static str,
    /// The packages of QEMU and of the firmware, by package manager.
    pub packages: &'static [Packages],
    /// Firmware that distributions install: the file of the code and the name of the file of
    /// variables beside it. The newest layouts come first.
    pub firmware: &'static [(&'static str, &'static str)],
    /// Code and variables among QEMU's own data files.
    pub qemu_firmware: (&'static str, &'static str),
}

/// What one package manager calls the packages of an architecture.
#[derive(Debug, PartialEq, Eq)]
pub struct Packages {
    /// The package manager's program.
    pub manager: &'static str,
    /// QEMU.
    pub qemu: &'static [&'static str],
    /// The firmware; empty where QEMU's package contains it.
    pub firmware: &'static [&'static str],
}

/// 64-bit PCs.
///
/// A UEFI program is a PE file with the calling convention of 64-bit Windows, so Windows' target
/// fits when it is linked as an EFI application. `x86_64-unknown-uefi` does not: it has no hardware
/// floating point. Base 0 lets firmware choose the address (the default base would split high
/// memory, and large allocations would fail), and `/Brepro` keeps the time out of the file.
pub const X86_64: Arch = Arch {
    name: "x86_64",
    triple: "x86_64-pc-windows-msvc",
    extension: "exe",
    link_arguments: &[
        "/subsystem:efi_application",
        "/entry:efi_main",
        "/nodefaultlib",
        "/base:0x0",
        "/Brepro",
    ],
    pe_machine: 0x8664,
    boot_file: "EFI/BOOT/BOOTX64.EFI",
    qemu: "qemu-system-x86_64",
    machine: "q35",
    packages: &[
        Packages { manager: "apt-get", qemu: &["qemu-system-x86"], firmware: &["ovmf"] },
        Packages { manager: "dnf", qemu: &["qemu-system-x86-core"], firmware: &["edk2-ovmf"] },
        Packages { manager: "pacman", qemu: &["qemu-system-x86"], firmware: &["edk2-ovmf"] },
        Packages { manager: "zypper", qemu: &["qemu-x86"], firmware: &["qemu-ovmf-x86_64"] },
        Packages { manager: "brew", qemu: &["qemu"], firmware: &[] },
    ],
    firmware: &[
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
    ],
    qemu_firmware: ("edk2-x86_64-code.fd", "edk2-i386-vars.fd"),
};

/// 64-bit ARM. The program compiles and links for it; no image of it has been booted.
///
/// `aarch64-unknown-uefi` has hardware floating point and NEON, so it is used as it is.
pub const AARCH64: Arch = Arch {
    name: "aarch64",
    triple: "aarch64-unknown-uefi",
    extension: "efi",
    link_arguments: &["/base:0x0", "/Brepro"],
    pe_machine: 0xaa64,
    boot_file: "EFI/BOOT/BOOTAA64.EFI",
    qemu: "qemu-system-aarch64",
    machine: "virt",
    packages: &[
        Packages {
            manager: "apt-get",
            qemu: &["qemu-system-arm"],
            firmware: &["qemu-efi-aarch64"],
        },
        Packages {
            manager: "dnf",
            qemu: &["qemu-system-aarch64-core"],
            firmware: &["edk2-aarch64"],
        },
        Packages { manager: "pacman", qemu: &["qemu-system-aarch64"], firmware: &["edk2-aarch64"] },
        Packages { manager: "zypper", qemu: &["qemu-arm"], firmware: &["qemu-uefi-aarch64"] },
        Packages { manager: "brew", qemu: &["qemu"], firmware: &[] },
    ],
    firmware: &[
        ("/usr/share/AAVMF/AAVMF_CODE.fd", "AAVMF_VARS.fd"),
        ("/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "vars-template-pflash.raw"),
        ("/usr/share/edk2/aarch64/QEMU_CODE.fd", "QEMU_VARS.fd"),
    ],
    qemu_firmware: ("edk2-aarch64-code.fd", "edk2-arm-vars.fd"),
};

impl Arch {
    /// All architectures.
    pub const ALL: [&'static Arch; 2] = [&X86_64, &AARCH64];
}

/// An architecture as it is typed: `--arch aarch64`.
impl ValueEnum for &'static Arch {
    fn value_variants<'a>() -> &'a [Self] {
        &Arch::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name))
    }
}

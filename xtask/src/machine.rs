//! A virtual PC, as a QEMU command line.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::arch::{self, Arch};
use crate::firmware::Firmware;
use crate::project::Project;
use crate::setup::Emulator;

/// The key that gives the terminal to QEMU: Ctrl+], as in telnet. QEMU's default, Ctrl+A, is a key
/// of the line editor.
const ESCAPE_KEY: u8 = 0x1d;

/// Bytes of memory below which the firmware itself does not start: OVMF 2022.11 stops with 56 MB
/// and boots bootllm with 64 MB.
pub const LEAST_MEMORY: u64 = 64 << 20;

/// A virtual PC.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The architecture of its processors.
    pub arch: &'static Arch,
    /// Bytes of memory.
    pub memory: u64,
    /// The number of processors.
    pub cpus: u32,
    /// How many of them share a core.
    pub threads: u32,
    /// Whether the processors report a hypervisor in CPUID.
    pub reports_hypervisor: bool,
    /// Whether the clocks count instructions, one per nanosecond of the machine's time. The
    /// time-stamp counter then goes up by one with each instruction, whatever the load of the host.
    /// Works with one processor only.
    pub counts_instructions: bool,
    /// The image of the disk.
    pub disk: PathBuf,
    /// What it starts.
    pub start: Start,
    /// How the disk is attached.
    pub attachment: Attachment,
    /// What the serial port is connected to.
    pub serial: Serial,
    /// The screen.
    pub screen: Screen,
    /// Whether there is a USB keyboard.
    pub keyboard: bool,
    /// Whether a QEMU monitor is needed, for keys, screenshots and memory.
    pub monitor: bool,
    /// Whether the processors wait for gdb before the first instruction.
    pub waits_for_gdb: bool,
    /// QEMU's accelerator; `None` for the fastest that works on this host.
    pub accelerator: Option<String>,
    /// More arguments for QEMU, as the user typed them.
    pub arguments: Vec<OsString>,
}

/// What a machine starts when it is switched on.
#[derive(Clone, Debug)]
pub enum Start {
    /// UEFI firmware, which starts the program on the disk.
    Uefi,
    /// QEMU's BIOS (SeaBIOS), which runs the disk's first sector.
    Bios,
    /// A Linux kernel, without firmware or disk.
    Linux(Linux),
}

/// A Linux kernel with its files.
#[derive(Clone, Debug)]
pub struct Linux {
    /// The kernel.
    pub kernel: PathBuf,
    /// The archive of its first root file system.
    pub initramfs: PathBuf,
    /// The kernel's command line.
    pub command_line: String,
}

/// How a disk is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Attachment {
    /// The virtual disk, the fastest.
    Virtio,
    /// A SATA disk.
    Ahci,
    /// An NVMe disk.
    Nvme,
    /// A USB stick.
    Usb,
}

/// What is at the serial port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serial {
    /// There is none.
    None,
    /// This terminal, keys and all.
    Terminal,
    /// QEMU's standard input and output, as a program uses them.
    Pipe,
}

/// The screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// There is none.
    None,
    /// There is one, seen only in screenshots.
    Hidden,
    /// There is one, in a window, with this kind of display.
    Window(&'static str),
}

impl Machine {
    /// A PC that boots from this image, with a serial port and nothing that is not needed.
    pub fn new(disk: impl Into<PathBuf>) -> Self {
        Self {
            arch: &arch::X86_64,
            memory: 512 << 20,
            cpus: 1,
            threads: 1,
            reports_hypervisor: true,
            counts_instructions: false,
            disk: disk.into(),
            start: Start::Uefi,
            attachment: Attachment::Virtio,
            serial: Serial::Pipe,
            screen: Screen::None,
            keyboard: false,
            monitor: false,
            waits_for_gdb: false,
            accelerator: None,
            arguments: Vec::new(),
        }
    }

    /// The QEMU command that runs it. QEMU exits when the machine is switched off or reset.
    pub fn command(&self, project: &Project, emulator: &Emulator) -> Result<Command> {
        let mut command = Command::new(&emulator.qemu);
        let mut machine = self.arch.machine.to_owned();
        if self.arch == &arch::X86_64 {
            // Firmware waits for every controller, so one without a disk is left out.
            let sata = self.attachment == Attachment::Ahci;
            machine.push_str(if sata { ",sata=on" } else { ",sata=off" });
        }
        command.args(["-nodefaults", "-no-reboot", "-machine", &machine]);
        let accelerator = self.accelerator.as_deref().unwrap_or(accelerator(self.arch));
        command.args(["-accel", accelerator, "-cpu"]);
        let processor = if accelerator.starts_with("tcg") { "max" } else { "host" };
        let hypervisor = if self.reports_hypervisor { "" } else { ",-hypervisor" };
        command.arg(format!("{processor}{hypervisor}"));
        let threads =
            if self.threads > 1 { format!(",threads={}", self.threads) } else { "".into() };
        let memory = format!("{}M", self.memory >> 20);
        command.args(["-m", &memory, "-smp", &format!("{}{threads}", self.cpus)]);
        if self.counts_instructions {
            command.args(["-icount", "shift=0"]);
        }
        if self.waits_for_gdb {
            command.args(["-s", "-S"]);
        }
        // QEMU creates devices in this order: a controller comes before what is plugged into it.
        if self.keyboard || self.attachment == Attachment::Usb {
            command.args(["-device", "qemu-xhci"]);
        }
        match &self.start {
            Start::Uefi => {
                command.arg("-bios").arg(firmware_file(self.arch, &emulator.firmware, project)?);
                self.add_disk(&mut command);
            }
            Start::Bios => self.add_disk(&mut command),
            Start::Linux(linux) => {
                command.arg("-kernel").arg(&linux.kernel);
                command.arg("-initrd").arg(&linux.initramfs);
                command.args(["-append", &linux.command_line]);
            }
        }
        match self.serial {
            Serial::None => {}
            Serial::Pipe => {
                command.args(["-serial", "stdio"]);
            }
            Serial::Terminal => {
                command.args(["-chardev", "stdio,id=terminal,mux=on,signal=off"]);
                command.args(["-serial", "chardev:terminal", "-mon", "chardev=terminal"]);
                command.args(["-echr", &ESCAPE_KEY.to_string()]);
            }
        }
        match self.screen {
            Screen::None => command.args(["-display", "none"]),
            Screen::Hidden => command.args(["-display", "none", "-vga", "std"]),
            Screen::Window(display) => command.args(["-display", display, "-vga", "std"]),
        };
        if self.keyboard {
            command.args(["-device", "usb-kbd"]);
        }
        command.args(&self.arguments);
        Ok(command)
    }

    fn add_disk(&self, command: &mut Command) {
        command.arg("-drive");
        // QEMU wants commas doubled.
        let file = self.disk.display().to_string().replace(',', ",,");
        command.arg(format!("if=none,id=disk,format=raw,file={file}"));
        // `bootindex` lets firmware go to the disk at once, instead of looking at everything.
        command.args([
            "-device",
            match self.attachment {
                Attachment::Virtio => "virtio-blk-pci,drive=disk,bootindex=0",
                Attachment::Ahci => "ide-hd,bus=ide.0,drive=disk,bootindex=0",
                Attachment::Nvme => "nvme,serial=bootllm,drive=disk,bootindex=0",
                Attachment::Usb => {
                    "usb-storage,id=stick,port=1,drive=disk,bootindex=0,removable=on"
                }
            },
        ]);
    }
}

/// The accelerator: the host's virtualisation where it works, else emulation.
fn accelerator(arch: &Arch) -> &'static str {
    let emulation = "tcg";
    if arch != &arch::X86_64 || env::consts::OS != "linux" || env::consts::ARCH != "x86_64" {
        return emulation;
    }
    // The device alone says little: some containers show one that cannot run firmware.
    let device = fs::File::options().read(true).write(true).open("/dev/kvm");
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let capable = flags.split_ascii_whitespace().any(|flag| flag == "vmx" || flag == "svm");
    if device.is_ok() && capable { "kvm" } else { emulation }
}

/// The firmware in one file, variables and code, as in the flash memory of a PC.
///
/// QEMU could take the two as flash memory, but emulates every write to it slowly, and firmware
/// writes many variables at its first start: 0.6 of 3.3 seconds. From one file that cannot be
/// written, it keeps the variables in memory, and forgets them when the machine is switched off.
fn firmware_file(arch: &Arch, firmware: &Firmware, project: &Project) -> Result<PathBuf> {
    let Some(variables) = firmware.variables.as_ref().filter(|_| arch == &arch::X86_64) else {
        return Ok(firmware.code.clone());
    };
    let read =
        |file: &Path| fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    let mut bytes = read(variables)?;
    bytes.extend(read(&firmware.code)?);
    let folder = project.boot();
    fs::create_dir_all(&folder)?;
    let file = folder.join("firmware.fd");
    // Another machine may be starting from it: the same bytes are not written again.
    if fs::read(&file).ok().as_ref() != Some(&bytes) {
        fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::line;

    fn shown(machine: &Machine) -> String {
        let folder = env::temp_dir();
        let project = Project { root: folder.clone(), target: folder };
        let emulator = Emulator {
            qemu: "qemu".into(),
            qemu_how: String::new(),
            firmware: Firmware { code: "OVMF.fd".into(), variables: None },
            firmware_how: String::new(),
        };
        line(&machine.command(&project, &emulator).unwrap())
    }

    #[test]
    fn a_machine_as_a_command() {
        let mut machine = Machine::new("disk.img");
        machine.accelerator = Some("tcg".to_owned());
        assert_eq!(
            shown(&machine),
            "qemu -nodefaults -no-reboot -machine q35,sata=off -accel tcg -cpu max -m 512M -smp 1 \
             -bios OVMF.fd -drive if=none,id=disk,format=raw,file=disk.img \
             -device virtio-blk-pci,drive=disk,bootindex=0 -serial stdio -display none"
        );
    }

    #[test]
    fn a_linux_takes_the_place_of_firmware_and_disk() {
        let mut machine = Machine::new("disk.img");
        machine.accelerator = Some("tcg".to_owned());
        machine.counts_instructions = true;
        machine.start = Start::Linux(Linux {
            kernel: "vmlinuz".into(),
            initramfs: "initramfs".into(),
            command_line: "quiet -- bench".into(),
        });
        assert_eq!(
            shown(&machine),
            "qemu -nodefaults -no-reboot -machine q35,sata=off -accel tcg -cpu max -m 512M -smp 1 \
             -icount shift=0 -kernel vmlinuz -initrd initramfs -append 'quiet -- bench' \
             -serial stdio -display none"
        );
    }

    #[test]
    fn parts_that_depend_on_each_other() {
        let mut machine = Machine::new("a,b.img");
        machine.attachment = Attachment::Ahci;
        assert!(shown(&machine).contains("sata=on"));
        assert!(shown(&machine).contains("file=a,,b.img"));
        machine.attachment = Attachment::Usb;
        machine.keyboard = true;
        let usb = shown(&machine);
        assert_eq!(usb.matches("qemu-xhci").count(), 1);
        assert!(usb.find("qemu-xhci") < usb.find("usb-storage"), "what it is plugged into first");
        machine.serial = Serial::Terminal;
        assert!(shown(&machine).contains("-echr 29"));
        machine.accelerator = Some("kvm".to_owned());
        assert!(shown(&machine).contains("-accel kvm -cpu host -m"));
        (machine.cpus, machine.threads, machine.reports_hypervisor) = (4, 2, false);
        assert!(shown(&machine).contains("-cpu host,-hypervisor -m 512M -smp 4,threads=2 "));
    }

    #[test]
    fn a_bios_gets_no_firmware_file() {
        let mut machine = Machine::new("disk.img");
        machine.start = Start::Bios;
        assert!(!shown(&machine).contains("-bios"));
        assert!(shown(&machine).contains("virtio-blk-pci"));
    }

    #[test]
    fn the_arguments_of_the_user_come_last() {
        let mut machine = Machine::new("disk.img");
        machine.waits_for_gdb = true;
        machine.arguments = ["-device".into(), "e1000".into()].into();
        let shown = shown(&machine);
        assert!(shown.contains(" -s -S "));
        assert!(shown.ends_with(" -device e1000"), "{shown}");
    }
}

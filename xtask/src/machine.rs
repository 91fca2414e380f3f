//! A virtual PC: what it is made of, as a QEMU command line.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::firmware::Firmware;
use crate::project::Project;
use crate::setup::Emulator;

/// The key that leaves the terminal to QEMU: Ctrl+], as in telnet. QEMU's own, Ctrl+A, is a key
/// that a person types at a prompt.
const ESCAPE_KEY: u8 = 0x1d;

/// A virtual PC.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its memory, as QEMU takes it: `512M`, `2G`.
    pub memory: String,
    /// Its processors.
    pub cpus: u32,
    /// How many of them share a core.
    pub threads: u32,
    /// Whether its processors say that they are virtual.
    pub says_virtual: bool,
    /// Whether its clocks count instructions: one each nanosecond, so that its time-stamp counter
    /// goes up by one with each, whatever else this machine is doing. One processor alone can.
    pub counts_instructions: bool,
    /// The image of its disk.
    pub disk: PathBuf,
    /// A Linux to start, in place of firmware and what is on the disk.
    pub linux: Option<Linux>,
    /// How the disk is attached.
    pub attachment: Attachment,
    /// What is at its serial port.
    pub serial: Serial,
    /// Its screen.
    pub screen: Screen,
    /// Whether it has a keyboard of its own, on USB.
    pub keyboard: bool,
    /// Whether QEMU's monitor is wanted, for keys and screenshots.
    pub monitor: bool,
    /// What runs its processors; `None` for the fastest that works here.
    pub accelerator: Option<String>,
    /// More arguments for QEMU.
    pub arguments: Vec<OsString>,
}

/// A Linux that is started without firmware of its own.
#[derive(Clone, Debug)]
pub struct Linux {
    /// The kernel.
    pub kernel: PathBuf,
    /// The archive of the files that it starts with.
    pub initramfs: PathBuf,
    /// What it is told.
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
            memory: "512M".to_owned(),
            cpus: 1,
            threads: 1,
            says_virtual: true,
            counts_instructions: false,
            disk: disk.into(),
            linux: None,
            attachment: Attachment::Virtio,
            serial: Serial::Pipe,
            screen: Screen::None,
            keyboard: false,
            monitor: false,
            accelerator: None,
            arguments: Vec::new(),
        }
    }

    /// The command that switches it on. It ends when the machine is switched off or reset.
    pub fn command(&self, project: &Project, emulator: &Emulator) -> Result<Command> {
        let mut command = Command::new(&emulator.qemu);
        let sata = self.attachment == Attachment::Ahci;
        // Firmware waits for every controller, so one without a disk is left out.
        command.args(["-nodefaults", "-no-reboot", "-machine"]);
        command.arg(format!("q35,sata={}", if sata { "on" } else { "off" }));
        let accelerator = self.accelerator.as_deref().unwrap_or(accelerator());
        command.args(["-accel", accelerator, "-cpu"]);
        let processor = if accelerator.starts_with("tcg") { "max" } else { "host" };
        command.arg(format!("{processor}{}", if self.says_virtual { "" } else { ",-hypervisor" }));
        let threads =
            if self.threads > 1 { format!(",threads={}", self.threads) } else { "".into() };
        command.args(["-m", &self.memory, "-smp", &format!("{}{threads}", self.cpus)]);
        if self.counts_instructions {
            command.args(["-icount", "shift=0"]);
        }
        // QEMU takes devices in this order: first what others are plugged into.
        if self.keyboard || self.attachment == Attachment::Usb {
            command.args(["-device", "qemu-xhci"]);
        }
        match &self.linux {
            Some(linux) => {
                command.arg("-kernel").arg(&linux.kernel);
                command.arg("-initrd").arg(&linux.initramfs);
                command.args(["-append", &linux.command_line]);
            }
            None => {
                command.arg("-bios").arg(unified(&emulator.firmware, project)?);
                self.add_disk(&mut command);
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

/// What runs the processors: the machine's own virtualisation where it works, else emulation.
fn accelerator() -> &'static str {
    let emulation = "tcg";
    if env::consts::OS != "linux" || env::consts::ARCH != "x86_64" {
        return emulation;
    }
    // The device alone says little: some containers show one that cannot run firmware.
    let device = fs::File::options().read(true).write(true).open("/dev/kvm");
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let capable = flags.split_ascii_whitespace().any(|flag| flag == "vmx" || flag == "svm");
    if device.is_ok() && capable { "kvm" } else { emulation }
}

/// The firmware in one file, variables and code, as it lies in a PC's flash memory.
///
/// QEMU could take the two as flash memory, but emulates every write to it slowly, and firmware
/// writes many variables when it starts for the first time: some 0.6 of 3.3 seconds. From one file
/// that cannot be written to, it keeps them in memory, and forgets them with the machine.
fn unified(firmware: &Firmware, project: &Project) -> Result<PathBuf> {
    let Some(variables) = &firmware.variables else {
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
        machine.linux = Some(Linux {
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
        (machine.cpus, machine.threads, machine.says_virtual) = (4, 2, false);
        assert!(shown(&machine).contains("-cpu host,-hypervisor -m 512M -smp 4,threads=2 "));
    }
}

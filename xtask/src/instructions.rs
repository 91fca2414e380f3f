//! `cargo xtask instructions`: instructions per token on bare metal and under Linux.
//!
//! The same model is measured twice in the same virtual PC with one processor: by `/bench` of the
//! UEFI program, and by `bootllm bench` as the only process of the distribution's kernel. QEMU runs
//! with `-icount shift=0`: its time-stamp counter goes up by one with every instruction, also those
//! of firmware, kernel and interrupts, and does not depend on the load of the host. Both programs
//! read that counter around each token, in one function of `bootllm-bench`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use clap::Args;

use crate::arch::X86_64;
use crate::guest::{Guest, Output};
use crate::machine::{Linux, Machine, Start};
use crate::models::Model;
use crate::program::Profile;
use crate::project::Project;
use crate::setup::{self, Emulator};
use crate::size::ByteSize;
use crate::target::CoreSource;
use crate::{debian, image, initramfs, process, program, script};

/// The word after the figure in the report of both programs.
const TICKS: &str = "ticks";
/// The kernel's command line: the console is the serial line, messages are few, the first process is
/// the program, and the machine stops when that exits.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 -- bench /model --threads 1";

/// What to measure, and under which Linux.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The model, instead of the built-in bedtime-stories.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,

    /// Its tokenizer.
    #[arg(long, value_name = "FILE", requires = "model")]
    tokenizer: Option<PathBuf>,

    /// The Linux kernel, instead of Debian's, which is downloaded.
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,

    /// The machine's memory.
    #[arg(long, value_name = "SIZE", default_value = "1G")]
    memory: ByteSize,

    /// The UEFI firmware to use (its file of code).
    #[arg(long, value_name = "FILE")]
    ovmf: Option<PathBuf>,
}

/// `cargo xtask instructions`.
pub fn task(project: &Project, core: CoreSource, options: &Options) -> Result<()> {
    let emulator = setup::emulator(&X86_64, options.ovmf.as_deref())?;
    let target = setup::target(project, &X86_64, core)?;
    let model = match &options.model {
        Some(model) => Model::open(model, options.tokenizer.as_deref())?,
        None => Model::open(&project.root.join("models/bedtime-stories.bin"), None)?,
    };
    let kernel = match &options.kernel {
        Some(kernel) => kernel.clone(),
        None => debian::kernel(&project.setup().join("kernel"))
            .context("cannot get Debian's kernel; name one with --kernel FILE")?,
    };
    let version = fs::read(&kernel)
        .with_context(|| format!("cannot read {}", kernel.display()))
        .map(|bytes| kernel_version(&bytes))?;
    let version = version.with_context(|| format!("{} is no Linux kernel", kernel.display()))?;

    let bare = program::build(project, &target, Profile::Release, None)?;
    let hosted = program::build_static(project)?;
    let folder = project.boot();
    let disk = folder.join("instructions.img");
    let contents = image::gather(&bare, None, std::slice::from_ref(&model))?;
    image::write(&disk, &contents.entries, None)?;
    let initramfs = folder.join("instructions.cpio");
    let read =
        |file: &Path| fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    let files = [("init", &*read(&hosted)?), ("model", &*read(&model.model)?)];
    fs::write(&initramfs, initramfs::archive(&files)?)?;

    let mut machine = Machine::new(disk);
    machine.memory = options.memory.0;
    machine.accelerator = Some("tcg".to_owned());
    machine.counts_instructions = true;
    eprintln!("bare metal (a minute or two)");
    let bare = measured(project, &emulator, &machine)?;
    eprintln!("Linux {version} (the same again)");
    let command_line = COMMAND_LINE.to_owned();
    machine.start = Start::Linux(Linux { kernel, initramfs, command_line });
    let linux = measured(project, &emulator, &machine)?;

    let qemu = process::output(Command::new(&emulator.qemu).arg("--version"))?;
    println!("instructions per token of {}", project.shown(&model.model));
    println!("  bare metal  {bare:12.0}");
    println!("  Linux       {linux:12.0}  {version}");
    println!("  ratio       {:12.4}", bare / linux);
    println!("  {}, one processor, -icount shift=0", qemu.lines().next().unwrap_or("QEMU"));
    Ok(())
}

/// Runs a machine, prints its output, and returns the ticks per token that it reports.
fn measured(project: &Project, emulator: &Emulator, machine: &Machine) -> Result<f64> {
    let said = Arc::new(Mutex::new(String::new()));
    let copy = Arc::clone(&said);
    let output: Output = Box::new(move |text| {
        if let Ok(mut said) = copy.lock() {
            said.push_str(text);
        }
    });
    let mut guest = Guest::start(machine, project, emulator, output)?;
    let ended = match machine.start {
        Start::Linux(_) => guest.wait_for_end().map(drop),
        Start::Uefi | Start::Bios => script::play(&mut guest, &script::parse("/bench")?),
    };
    guest.finish_transcript();
    drop(guest);
    let said = said.lock().map(|said| said.clone()).unwrap_or_default();
    let ticks = ticks(&said);
    // The kernel complains at length that its only process has exited, which is right here.
    let shown = |line: &&str| ticks.is_none() || !line.starts_with('[');
    said.lines().filter(shown).for_each(|line| eprintln!("  {line}"));
    ended?;
    ticks.with_context(|| format!("the machine reported no {TICKS} per token"))
}

/// The figure in a report: the first number before that word.
fn ticks(report: &str) -> Option<f64> {
    let words: Vec<_> = report.split_whitespace().collect();
    let mut before = words.windows(2).filter(|pair| pair[1] == TICKS).map(|pair| pair[0]);
    before.find_map(|number| number.replace(',', "").parse().ok())
}

/// The version in a kernel's header (Linux, Documentation/arch/x86/boot.rst: `header` and
/// `kernel_version`).
fn kernel_version(kernel: &[u8]) -> Option<String> {
    if kernel.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let at = kernel.get(0x20e..0x210)?;
    let at = usize::from(u16::from_le_bytes([at[0], at[1]])) + 0x200;
    let text = kernel.get(at..)?;
    let end = text.iter().take(256).position(|&byte| byte == 0)?;
    let version = str::from_utf8(&text[..end]).ok()?;
    // Then comes who built it.
    let words: Vec<&str> = version.split_whitespace().collect();
    Some(words.first()?.to_string() + &debian_version(&words))
}

/// The version of Debian's package, if the kernel names it.
fn debian_version(words: &[&str]) -> String {
    let at = words.iter().position(|word| *word == "Debian");
    let version = at.and_then(|at| words.get(at + 1));
    version.map_or(String::new(), |version| format!(" (Debian {version})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_is_found_in_a_report() {
        let report = "\n1 core\n  decode  2500.0 tok/s\n              \
            412345 ticks of the CPU's counter for a token\n  share of time\n";
        assert_eq!(ticks(report), Some(412_345.0));
        assert_eq!(ticks("as many ticks as it likes\n  412,345 ticks per token"), Some(412_345.0));
        assert_eq!(ticks("many ticks of the CPU's counter for a token"), None);
        assert_eq!(ticks("412345"), None);
    }

    #[test]
    fn a_kernel_says_its_version() {
        let mut kernel = vec![0; 0x400];
        kernel[0x202..0x206].copy_from_slice(b"HdrS");
        kernel[0x20e..0x210].copy_from_slice(&0x0180_u16.to_le_bytes());
        let version = b"6.1.0-48-amd64 (someone@example) #1 SMP Debian 6.1.172-1 (2026-05-15)\0";
        kernel[0x380..][..version.len()].copy_from_slice(version);
        assert_eq!(kernel_version(&kernel).as_deref(), Some("6.1.0-48-amd64 (Debian 6.1.172-1)"));
        kernel[0x20e..0x210].copy_from_slice(&u16::MAX.to_le_bytes());
        assert_eq!(kernel_version(&kernel), None);
        assert_eq!(kernel_version(&[]), None);
        assert_eq!(kernel_version(&[0; 0x400]), None);
    }
}

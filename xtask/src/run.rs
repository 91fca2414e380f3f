//! `cargo xtask run`: the image in a virtual PC.

use std::ffi::OsString;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Args;
use indicatif::BinaryBytes;

use crate::arch::X86_64;
use crate::guest::Guest;
use crate::machine::{Attachment, LEAST_MEMORY, Machine, Screen, Serial};
use crate::models::ModelArgs;
use crate::program::{self, Profile, Program};
use crate::project::Project;
use crate::setup::{self, Emulator};
use crate::size::ByteSize;
use crate::target::CoreSource;
use crate::{console, debugger, image, process, script};

/// Most processors that a machine gets if the user does not say how many.
const MOST_CPUS: usize = 16;

/// What to run, and on what.
#[derive(Args, Clone, Debug)]
pub struct Options {
    #[command(flatten)]
    named: ModelArgs,

    /// Boot this image instead of building one.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["models", "embed", "dev", "gdb"])]
    image: Option<PathBuf>,

    /// The machine's memory, such as 512M or 2G [default: enough for the models].
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,

    /// The machine's processors [default: as many as this host has, 16 at most].
    #[arg(long, value_name = "N")]
    cpus: Option<u32>,

    /// How the disk is attached.
    #[arg(long, value_enum, default_value = "virtio")]
    disk: Attachment,

    /// Show the machine's screen in a window too.
    #[arg(long)]
    window: bool,

    /// Type the lines of this file at the prompt, then switch off; the transcript goes to standard
    /// output. Lines `#wait-for TEXT`, `#key NAME` and `#type TEXT` are directives.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,

    /// Build without link-time optimisation: the build is faster, the program slower.
    #[arg(long)]
    dev: bool,

    /// Let the machine wait for gdb at its first instruction, and print the gdb command. Builds as
    /// --dev does.
    #[arg(long, conflicts_with = "script")]
    gdb: bool,

    /// QEMU's accelerator, instead of the fastest that works: tcg, kvm, hvf, whpx.
    #[arg(long, value_name = "NAME")]
    accelerator: Option<String>,

    /// The code file of the UEFI firmware to use.
    #[arg(long, value_name = "FILE")]
    ovmf: Option<PathBuf>,

    /// More arguments for QEMU, after `--`.
    #[arg(last = true, value_name = "QEMU-ARGUMENTS")]
    arguments: Vec<OsString>,
}

/// `cargo xtask run`.
pub fn task(project: &Project, core: CoreSource, options: &Options) -> Result<()> {
    // Mistakes of the user are reported before anything takes time.
    let steps = options.script.as_deref().map(script::read).transpose()?;
    if let Some(ByteSize(memory)) = options.memory {
        check_memory(memory)?;
    }
    let mut spent = Spent::default();
    let emulator = setup::emulator(&X86_64, options.ovmf.as_deref())?;
    let (disk, models_size, program) = match &options.image {
        Some(image) if image.is_file() => {
            spent.on("setup check");
            (image.clone(), image.metadata()?.len(), None)
        }
        Some(image) => bail!("there is no image {}", image.display()),
        None => {
            let (disk, size, program) = make_image(project, core, options, &mut spent)?;
            (disk, size, Some(program))
        }
    };
    let machine = machine(options, disk, models_size, &emulator)?;
    eprintln!("  {}", spent.line());
    if let Some(program) = program.filter(|_| options.gdb) {
        return debug(project, &emulator, machine, &program);
    }
    match steps {
        Some(steps) => play(project, &emulator, machine, &steps),
        None => interactive(project, &emulator, machine),
    }
}

/// Checks that the firmware starts with so much memory. QEMU would print the registers of a
/// processor that hangs.
fn check_memory(memory: u64) -> Result<()> {
    ensure!(
        memory >= LEAST_MEMORY,
        "the firmware needs {} MB of memory, and a model more; --memory asks for {}",
        LEAST_MEMORY >> 20,
        BinaryBytes(memory)
    );
    Ok(())
}

/// The virtual PC that the options describe.
fn machine(
    options: &Options,
    disk: PathBuf,
    models_size: u64,
    emulator: &Emulator,
) -> Result<Machine> {
    let mut machine = Machine::new(disk);
    machine.memory = options.memory.map_or_else(|| memory_for(models_size), |ByteSize(size)| size);
    machine.cpus = options.cpus.unwrap_or_else(host_cpus);
    machine.attachment = options.disk;
    machine.accelerator.clone_from(&options.accelerator);
    machine.arguments.clone_from(&options.arguments);
    if options.window {
        machine.screen = Screen::Window(display(emulator)?);
    }
    let cores = if machine.cpus == 1 { "processor" } else { "processors" };
    let (cpus, memory) = (machine.cpus, machine.memory >> 20);
    eprintln!("  a PC with {cpus} {cores} and {memory} MB (--cpus, --memory)");
    Ok(machine)
}

fn host_cpus() -> u32 {
    let host = thread::available_parallelism().map_or(1, usize::from);
    host.min(MOST_CPUS) as u32
}

/// The machine's console is this terminal.
fn interactive(project: &Project, emulator: &Emulator, mut machine: Machine) -> Result<()> {
    machine.serial = Serial::Terminal;
    let mut command = machine.command(project, emulator)?;
    console::run(&mut command)?;
    eprintln!("\nThe virtual PC is off.");
    Ok(())
}

/// The lines of a script are typed at the prompt.
fn play(
    project: &Project,
    emulator: &Emulator,
    mut machine: Machine,
    steps: &[script::ScriptStep],
) -> Result<()> {
    machine.monitor = true;
    let output = Box::new(|text: &str| {
        let mut stdout = stdout();
        // If no one reads it any more, the script is played to its end all the same.
        let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    });
    let mut guest = Guest::start(&machine, project, emulator, output)?;
    script::play(&mut guest, steps)
}

/// The machine waits for gdb.
fn debug(
    project: &Project,
    emulator: &Emulator,
    mut machine: Machine,
    program: &Program,
) -> Result<()> {
    eprintln!("  booting once to see where the firmware loads the program");
    let base = debugger::find_base(project, emulator, &machine, program)?;
    let script = debugger::write_script(program, base)?;
    eprintln!(
        "\nThe program will be at {base:#x}. The machine waits for gdb; in another terminal:\n\n  \
         gdb -x {}\n\nThere, for example: hbreak efi_main, then continue.\n",
        project.shown(&script)
    );
    machine.waits_for_gdb = true;
    interactive(project, emulator, machine)
}

/// Builds the program and writes the image. Returns its path, the size of the models and the
/// program.
fn make_image(
    project: &Project,
    core: CoreSource,
    options: &Options,
    spent: &mut Spent,
) -> Result<(PathBuf, u64, Program)> {
    let (embedded, models) = options.named.chosen(project)?;
    let target = setup::target(project, &X86_64, core)?;
    spent.on("setup check");
    let profile = if options.dev || options.gdb { Profile::Dev } else { Profile::Release };
    let program = program::build(project, &target, profile, embedded.as_ref())?;
    spent.on("program");
    let contents = image::gather(&program, embedded.as_ref(), &models)?;
    for line in &contents.described {
        eprintln!("  {line}");
    }
    let file = project.boot().join("run.img");
    image::write(&file, &contents.entries, None)?;
    spent.on("image");
    Ok((file, image::content_size(&contents.entries), program))
}

/// Memory for models of so many bytes, with room for the firmware and a KV cache.
fn memory_for(models: u64) -> u64 {
    const STEP: u64 = 512 << 20;
    ((256 << 20) + models / 2 * 5).next_multiple_of(STEP)
}

/// A kind of window that this QEMU can open.
fn display(emulator: &Emulator) -> Result<&'static str> {
    let known = process::output(Command::new(&emulator.qemu).args(["-display", "help"]))?;
    let has = |name: &&str| known.lines().any(|line| line.trim() == *name);
    match ["gtk", "sdl", "cocoa"].into_iter().find(|name| has(name)) {
        Some(display) => Ok(display),
        None => bail!(
            "this QEMU cannot open a window; install its graphical part (on Debian and Ubuntu: \
             qemu-system-gui)"
        ),
    }
}

/// What took how long before the machine started.
struct Spent {
    since: Instant,
    parts: Vec<(&'static str, Duration)>,
}

impl Default for Spent {
    fn default() -> Self {
        Self { since: Instant::now(), parts: Vec::new() }
    }
}

impl Spent {
    /// The time since the last call was spent on this.
    fn on(&mut self, what: &'static str) {
        self.parts.push((what, self.since.elapsed()));
        self.since = Instant::now();
    }

    fn line(&self) -> String {
        let parts: Vec<_> = self
            .parts
            .iter()
            .map(|(what, time)| format!("{what} {:.1} s", time.as_secs_f64()))
            .collect();
        format!("before the start: {}", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_grows_with_the_models() {
        for (models, memory) in [(0, 512), (100, 512), (438, 1536)] {
            assert_eq!(memory_for(models << 20), memory << 20);
        }
    }

    #[test]
    fn too_little_memory_for_the_firmware_is_refused() {
        assert!(check_memory(32 << 20).is_err());
        assert!(check_memory((64 << 20) - 1).is_err());
        check_memory(64 << 20).unwrap();
    }
}
